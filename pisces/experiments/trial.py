"""One experiment of DVC, run in a workplace: watched epoch by epoch, and what came of it.

Generated frames, shards, images and splits are made by one worker at a time: whoever comes later
finds them in DVC's cache. The training reports through `pisces.run.progress_file`.
"""

import csv
import hashlib
import json
import math
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pisces.config import presets
from pisces.config.io import PARAMS
from pisces.core import write_errors, yaml
from pisces.core.files import read_json
from pisces.core.locks import LockFile
from pisces.core.texts import in_one_line
from pisces.experiments import workplace
from pisces.experiments.workplace import Workplace
from pisces.run import progress_file, signals
from pisces.run.hiding import hide

DATA_STAGES = ("synthesize", "split_hdf5", "render", "stratify")
"""What comes before `train`."""
TRAINING, EPOCH = "training", "epoch"
TABLE = Path("plots/training.csv")
SECONDS_BETWEEN_LOOKS = 0.2
LONGEST_LINE = 500

STAGE_FAILED = "failed to run: "
"""What DVC says where a stage failed, and not DVC itself."""
KILLED = re.compile(rf"{STAGE_FAILED}.*, exited with (-9|137)$", re.MULTILINE)
WANTS = (*write_errors.NO_ROOM.values(), *map(os.strerror, write_errors.NO_ROOM))
"""Errors of a disk in the line of a stage."""

Row = Mapping[str, Any]


class Failed(Exception):
    """A stage failed, with its one line. To try it again would fail again."""


class OfMachine(Exception):
    """DVC, git or a disk failed, and not the stage: other params would have met the same."""


class Lost(Exception):
    """DVC was ended by somebody else, so that nothing is known of the experiment."""


class Pruned(Exception):
    """Its training was ended early, since others are better."""


class Experiment(NamedTuple):
    """What shall run."""

    name: str
    params: Mapping[str, Any]
    """The content of params.yaml."""
    until: str
    """The last stage."""
    environment: Mapping[str, str]
    """Further variables for the stages."""


class Outcome(NamedTuple):
    """What an experiment left in the workplace, and in the repository by its name."""

    rows: list[dict[str, float]]
    """An epoch each, as the table of the training has them."""
    trained: bool
    """Whether a training ran, and not all was there already."""


def run(place: Workplace, experiment: Experiment, go_on: Callable[[Row], bool]) -> Outcome:
    """Runs an experiment and brings it into the repository.

    Args:
        place: where it runs.
        experiment: what runs.
        go_on: called with the row of each epoch as it ends; false ends the training.

    Returns:
        What came of it.

    Raises:
        Failed: when a stage fails.
        OfMachine: when DVC fails without a stage, or a stage for want of room on a disk.
        Lost: when DVC, or a stage of it, is ended from outside.
        Pruned: when `go_on` says so.
    """
    place.reset()
    presets.write(experiment.params, place.repository / PARAMS, place.repository / PARAMS)

    watched = _Watched(place, experiment)
    try:
        status = watched.status(go_on)
    except Pruned:
        watched.remove_checkpoints()
        raise
    if status == 0:
        place.publish(experiment.name)
        table = place.repository / TABLE
        return Outcome(read_rows(table) if table.is_file() else [], watched.trained)

    printed = place.log.read_text(errors="replace")
    if status < 0 or was_stopped(printed):
        raise Lost(f"dvc was ended with status {status}")
    if KILLED.search(printed):
        raise Lost("a stage was killed, as where a machine has no memory left")
    line = error_line(printed) or f"dvc ended with status {status} and said nothing"
    if is_of_machine(printed):
        raise OfMachine(line)
    watched.remove_checkpoints()
    raise Failed(line)


class _Watched:
    """An experiment that runs, and what its training has said so far."""

    def __init__(self, place: Workplace, experiment: Experiment):
        self.place = place
        self.experiment = experiment
        self.trained = False
        self._checkpoints: Path | None = None

    def status(self, go_on: Callable[[Row], bool]) -> int:
        """Runs it to its end; returns the exit status of DVC."""
        key = data_key(self.experiment.params, self.place.repository / "dvc.yaml")
        lock = data_lock(self.place, key)
        name = self.experiment.name
        with ExitStack() as until_trained:
            if key not in self.place.made:
                say = partial(print, f"{name} waits for data that another worker makes", flush=True)
                until_trained.enter_context(lock.wait(say))
            with ExitStack() as until_ended:
                with signals.deferred():
                    process = self._start()
                    until_ended.enter_context(workplace.ended(process))
                for row in self._rows(process):
                    self.place.made.add(key)
                    until_trained.close()
                    if EPOCH in row and not go_on(row):
                        raise Pruned
        return process.returncode

    def _start(self) -> "subprocess.Popen[bytes]":
        asked = self.experiment
        return self.place.start(asked.name, asked.until, asked.environment)

    def _rows(self, process: "subprocess.Popen[bytes]") -> Iterator[Row]:
        """What the training says, while the process runs."""
        reader = progress_file.Reader(self.place.progress)
        is_running = True
        while is_running:
            is_running = process.poll() is None
            for row in reader.new():
                self.trained = True
                if "checkpoints" in row:
                    self._checkpoints = Path(row["checkpoints"])
                yield row
            if is_running:
                time.sleep(SECONDS_BETWEEN_LOOKS)

    def remove_checkpoints(self) -> None:
        """Removes what nobody will resume from, unless another training has just taken it."""
        if self._checkpoints is None:
            return
        lock = LockFile(self._checkpoints.with_suffix(".lock"))
        if lock.take():
            with lock:
                shutil.rmtree(self._checkpoints, ignore_errors=True)


def data_key(params: Mapping[str, Any], pipeline: Path) -> str:
    """A name for the data that a training reads, by all params that they are made with.

    Args:
        params: the content of params.yaml.
        pipeline: dvc.yaml, which lists the params of each stage.

    Returns:
        Hexadecimal digits.
    """
    stages = yaml.read(pipeline)["stages"]
    keys = sorted({key for stage in DATA_STAGES for key in stages[stage].get("params", ())})
    values = []
    for key in keys:
        section, _, name = key.partition(".")
        values.append([key, params[section][name] if name else params[section]])
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def data_lock(place: Workplace, key: str) -> LockFile:
    """Held by who makes the data of that key, beside the checkpoints, which machines share."""
    folder = place.checkpoints / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return LockFile(folder / f"{key}.lock")


def read_rows(path: Path) -> list[dict[str, float]]:
    """The table of a training; what is empty there is NaN."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def value_of(metric: str, repository: Path) -> float:
    """A metric of the last run in a repository.

    Args:
        metric: `training.<column>` for the last value of that column of plots/training.csv, or
            `<stage>.<key>` for a number in metrics/<stage>.json.
        repository: its root.

    Returns:
        The number.

    Raises:
        Failed: when there is none.
    """
    name, _, key = metric.partition(".")
    where = TABLE if name == TRAINING else Path("metrics") / f"{name}.json"
    if not (repository / where).is_file():
        raise Failed(f"{where} is not there, which is to have {metric}")
    if name == TRAINING:
        rows = read_rows(repository / where)
        value: Any = rows[-1].get(key) if rows else None
    else:
        value = read_json(repository / where)
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Failed(f"{where} has no finite number for {metric}, but {value}")
    return float(value)


def error_line(printed: str) -> str | None:
    """The line with which a stage failed, or else that of DVC."""
    lines = [line.strip() for line in printed.splitlines()]
    of_stage = [line for line in lines if line.startswith(("error: ", "error in process "))]
    of_dvc = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    found = of_stage or of_dvc
    return in_one_line(hide(found[-1].removeprefix("error: ")), LONGEST_LINE) if found else None


def is_of_machine(printed: str) -> bool:
    """Whether DVC failed by itself, or a stage for want of room on a disk."""
    if STAGE_FAILED not in printed:
        return True
    line = error_line(printed) or ""
    return any(want in line for want in WANTS)


def was_stopped(printed: str) -> bool:
    """Whether a signal from outside ended a stage, which is no fault of the experiment."""
    starts = ("stopped by ", "the dvc that started this stage is gone")
    return any(line.startswith(starts) for line in printed.splitlines())
