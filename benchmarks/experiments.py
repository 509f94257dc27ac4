"""Rows of DVC experiments: queued by name, run until all of them have a result, and read back."""

import io
import json
import os
import subprocess
from collections.abc import Mapping
from typing import Any

import dvc.api
import pandas as pd

from pisces.config import presets
from pisces.config.io import PARAMS


def run(
    experiments: Mapping[str, Mapping[str, Any]],
    overlay: Mapping[str, Any],
    sweep: str,
    jobs: int = 1,
) -> None:
    """Runs every experiment that has no result yet, up to the stage `evaluate`.

    Results are those of this commit: a sweep that was interrupted resumes where it was, and must
    have nothing uncommitted.

    Args:
        experiments: name -> key -> value, on top of the overlay.
        overlay: what all of them change of the shipped defaults, as a preset does.
        sweep: the name in MLflow under which they stand.
        jobs: how many run at a time, each on its share of the cores.

    Raises:
        ValueError: when the queue holds other experiments, which would run as well, or when one
            of ours fails.
    """
    states = queued()
    others = sorted(set(states) - set(experiments))
    if others:
        raise ValueError(
            f"the queue of DVC holds {', '.join(others)}; "
            "see dvc queue status, and run or remove them first"
        )
    done = finished() | set(states)
    before = PARAMS.read_bytes()
    try:
        presets.write(presets.on_defaults(overlay))
        for name, settings in experiments.items():
            if name not in done:
                queue(name, settings)
    finally:
        PARAMS.write_bytes(before)

    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    environment = {"OMP_NUM_THREADS": str(threads), "PISCES_SWEEP": sweep}
    command = ["dvc", "exp", "run", "--run-all", "--jobs", str(jobs)]
    subprocess.run(command, check=True, env=os.environ | environment)
    failed = set(experiments) - finished()
    if failed:
        raise ValueError(
            f"{', '.join(sorted(failed))} failed; see dvc queue logs and one of these names"
        )


def queue(name: str, settings: Mapping[str, Any]) -> None:
    """Puts an experiment, key -> value, into the queue of DVC."""
    options: list[str] = []
    for key, value in settings.items():
        options += ["-S", f"{key}={json.dumps(value)}"]
    dvc_says("exp", "run", "--queue", "--name", name, *options, "evaluate")


def queued() -> dict[str, str]:
    """Name -> state of the experiments in the queue that are still to end."""
    lines = [line.split() for line in dvc_says("queue", "status")]
    return {words[1]: words[-1] for words in lines if words[-1] in ("Queued", "Running")}


def finished() -> set[str]:
    """Names of the experiments of this commit that have a result."""
    return set(dvc_says("exp", "list", "--name-only"))


def dvc_says(*arguments: str) -> list[str]:
    """The lines, none empty, that a dvc command prints.

    Raises:
        CalledProcessError: when it fails, with its complaint on stderr.
    """
    done = subprocess.run(["dvc", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


def read(experiment: str, path: str) -> dict[str, Any]:
    """A JSON file, as an experiment has it."""
    return json.loads(dvc.api.read(path, rev=experiment))


def read_csv(experiment: str, path: str) -> pd.DataFrame:
    """A table, as an experiment has it."""
    return pd.read_csv(io.StringIO(dvc.api.read(path, rev=experiment)))


def metrics(experiment: str, stage: str) -> dict[str, Any]:
    """The metrics file of a stage, as an experiment has it."""
    return read(experiment, f"metrics/{stage}.json")
