"""Clones of the last commit, for benchmarks that run the pipeline itself."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def make_clone(
    folder: Path, preset: str, *options: str, environment: Mapping[str, str] | None = None
) -> None:
    """Clones this repository into a new folder, with the params of a preset.

    Args:
        folder: which is made.
        preset: its name.
        options: further ones of `python -m pisces preset`.
        environment: of that command; None for that of this process.
    """
    subprocess.run(["git", "clone", "--quiet", ".", str(folder)], check=True)
    command = [sys.executable, "-m", "pisces", "preset", preset, *options]
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
