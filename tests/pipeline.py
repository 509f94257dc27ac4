"""What the tests of the pipeline share: dvc.yaml, copies of the repository, commands in them.

`tests.conftest` makes its fixtures known.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml as pyyaml

from pisces.core import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.read(ROOT / "dvc.yaml")["stages"]
MADE_BY_THE_PIPELINE = ("data/", "models/", "metrics/", "plots/", "dvc.lock")
EPOCHS = 3
PATIENCE_S = 120
"""For what takes a busy machine a few seconds."""


def names(entries: list) -> list[str]:
    """Paths of a list in dvc.yaml, whose entries are paths or a path with settings."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def outputs(stage: str) -> list[str]:
    """All files and folders that a stage writes."""
    entry = STAGES[stage]
    declared = [
        name for kind in ("outs", "plots", "metrics") for name in names(entry.get(kind, []))
    ]
    return [name.replace("${synthesize.format}", "hdf5") for name in declared]


def default_params() -> dict[str, Any]:
    """The params of the repository, not those of whatever preset lies in the workspace."""
    shipped = ROOT / "presets" / "default.yaml"
    return yaml.read(shipped if shipped.is_file() else ROOT / "params.yaml")


def overlaid(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The values with those of `changes` in their places, however deep."""
    result = dict(values)
    for key, value in changes.items():
        deeper = isinstance(value, dict) and isinstance(values.get(key), dict)
        result[key] = overlaid(values[key], value) if deeper else value
    return result


def smoke_params() -> dict[str, Any]:
    """The preset `smoke` on the CPU, with epochs to stop between."""
    params = overlaid(default_params(), yaml.read(ROOT / "presets" / "smoke.yaml"))
    params["data"]["path"] = "data/raw/synthetic.hdf5"
    params["train"] |= {"epochs": EPOCHS, "accelerator": "cpu"}
    return params


def change_params(root: Path, section: str, **values: Any) -> None:
    """Changes keys of one section of a copy's params.yaml."""
    path = root / "params.yaml"
    params = yaml.read(path)
    params[section] |= values
    path.write_text(pyyaml.safe_dump(params, sort_keys=False))


def copy_code(root: Path, params: dict[str, Any]) -> Path:
    """The files of the repository that a person wrote, as they are now, in `root`."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(MADE_BY_THE_PIPELINE):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, root / name)
    (root / "params.yaml").write_text(pyyaml.safe_dump(params, sort_keys=False))
    return root


def environment(site_cache: Path) -> dict[str, str]:
    """Neither this process's settings nor the user's.

    One thread each, so that stages and tests do not wait for each other.
    """
    foreign = ("DVC_", "MLFLOW_", "PISCES_", "GIT_", "OMP_", "MAKE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    for role in ("AUTHOR", "COMMITTER"):
        kept |= {f"GIT_{role}_NAME": "pisces", f"GIT_{role}_EMAIL": "pisces@example.org"}
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {
        "PATH": programs,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "DVC_SITE_CACHE_DIR": str(site_cache),
        "OMP_NUM_THREADS": "1",
        "PISCES_TRACKING": "off",
    }


class Shell:
    """Runs commands in copies of the repository."""

    def __init__(self, variables: dict[str, str]):
        self.variables = variables

    def __call__(self, where: Path, *command: str) -> tuple[int, str]:
        """Exit status, and what was printed on stdout and stderr together."""
        done = subprocess.run(
            command,
            cwd=where,
            env=self.variables,
            check=False,
            timeout=600,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout

    def must(self, where: Path, *command: str) -> str:
        """What a command prints that has to succeed."""
        status, printed = self(where, *command)
        assert status == 0, printed
        return printed


def commit(shell: Shell, root: Path) -> None:
    """Everything in `root` as a git commit, in a repository that is made where there is none."""
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "state"]):
        shell.must(root, "git", *command)


def stages_run(printed: str) -> set[str]:
    """The stages that `dvc repro` says it runs."""
    lines = [line for line in printed.splitlines() if line.startswith("Running stage '")]
    return {line.split("'")[1] for line in lines}


@pytest.fixture(scope="module")
def shell(tmp_path_factory) -> Shell:
    return Shell(environment(tmp_path_factory.mktemp("site_cache")))


@pytest.fixture(scope="module")
def copied(tmp_path_factory, shell) -> Path:
    """A copy of the repository with the preset smoke, committed, in which nothing has run."""
    root = copy_code(tmp_path_factory.mktemp("copied") / "pisces", smoke_params())
    commit(shell, root)
    return root
