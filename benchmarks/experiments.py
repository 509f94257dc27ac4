"""Rows of DVC experiments: run by name until all of them have a result, and read back.

They run as the trials of a sweep do: each worker in a clone of its own, so that one that is killed
harms nothing, and what it had in hand is taken by another or by the next run of the command.
"""

import io
import json
import multiprocessing
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dvc.api
import pandas as pd

from pisces.config import presets
from pisces.core.locks import LockFile
from pisces.experiments import joining, trial, workplace
from pisces.experiments.study_schema import changed
from pisces.experiments.workplace import Workplace

UNTIL = "evaluate"
SECONDS_BETWEEN_LOOKS = 1
LOCKS = Path(".dvc/tmp/experiment_locks")
"""Each is held by the worker that runs the experiment of its name."""

Params = Mapping[str, Any]


def run(experiments: Mapping[str, Params], overlay: Params, sweep: str, jobs: int = 1) -> None:
    """Runs every experiment that has no result yet, up to the stage `evaluate`.

    Results are those of this commit: a row that was interrupted resumes where it was, and must have
    nothing uncommitted.

    Args:
        experiments: name -> key -> value, on top of the overlay.
        overlay: what all of them change of the shipped defaults, as a preset does.
        sweep: the name in MLflow by which they are found.
        jobs: how many run at a time, each on its share of the cores.

    Raises:
        ValueError: with uncommitted changes, or when an experiment has no result in the end.
    """
    root = Path.cwd()
    joining.require_committed(root)
    contents = {
        name: changed(presets.on_defaults(overlay), settings)
        for name, settings in experiments.items()
    }
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    environment = {"OMP_NUM_THREADS": str(threads), "PISCES_SWEEP": sweep}

    spawning = multiprocessing.get_context("spawn")
    workers = [
        spawning.Process(target=work, args=(root, contents, environment)) for _ in range(jobs)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    left = [name for name in experiments if name not in finished(root)]
    if left:
        ends = ", ".join(str(worker.exitcode) for worker in workers)
        raise ValueError(
            f"{', '.join(left)} without a result; workers ended with status {ends}. What a stage "
            f"that failed said is in {workplace.LOGS}; run again for what was interrupted"
        )


def work(root: Path, contents: Mapping[str, Params], environment: Mapping[str, str]) -> None:
    """Runs one experiment after another that nobody else runs, until each has been tried.

    Args:
        root: the repository.
        contents: name of an experiment -> content of its params.yaml.
        environment: further variables for its stages.
    """
    os.chdir(root)
    locks = root / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    tried: set[str] = set()
    with workplace.opened(root, revision(root)) as place:
        # One that another worker holds is looked at again, since that worker may die.
        while left := [name for name in contents if name not in tried | finished(root)]:
            for name in left:
                lock = LockFile(locks / f"{name}.lock")
                if not lock.take():
                    continue
                with lock:
                    if name not in finished(root):
                        _run_one(place, name, contents[name], environment)
                tried.add(name)
            time.sleep(SECONDS_BETWEEN_LOOKS)


def _run_one(place: Workplace, name: str, content: Params, environment: Mapping[str, str]) -> None:
    """Runs an experiment; one that fails leaves a line and its log."""
    print(f"{name} begins", flush=True)
    try:
        trial.run(place, trial.Experiment(name, content, UNTIL, environment), lambda _: True)
    except (trial.Failed, trial.Lost) as error:
        print(f"{name} failed: {error}; see {place.keep_log(name)}", flush=True)
    else:
        print(f"{name} is done", flush=True)


def revision(root: Path) -> str:
    """The commit that experiments belong to."""
    return workplace.git(root, "rev-parse", "HEAD")


def finished(root: Path) -> set[str]:
    """Names of the experiments of this commit that have a result."""
    pattern = workplace.reference(revision(root), "")
    listed = workplace.git(root, "for-each-ref", "--format=%(refname:lstrip=4)", pattern)
    return set(listed.split())


def read(experiment: str, path: str) -> dict[str, Any]:
    """A JSON file, as an experiment has it."""
    return json.loads(dvc.api.read(path, rev=experiment))


def read_csv(experiment: str, path: str) -> pd.DataFrame:
    """A table, as an experiment has it."""
    return pd.read_csv(io.StringIO(dvc.api.read(path, rev=experiment)))


def metrics(experiment: str, stage: str) -> dict[str, Any]:
    """The metrics file of a stage, as an experiment has it."""
    return read(experiment, f"metrics/{stage}.json")
