"""Rows of DVC experiments: queued by name, run until all of them have a result, and read back."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dvc.api

from pisces.config.schema import PARAMS, lay_over


def run(
    experiments: Mapping[str, Mapping[str, Any]],
    overlay: Mapping[str, Any],
    sweep: str,
    jobs: int = 1,
) -> None:
    """Runs, on a preset laid over the params and up to `evaluate`, every experiment (name -> key -> value) that has no result.

    Results are those of this commit: a sweep that was interrupted goes on where it was, and must have nothing uncommitted. With several
    jobs at a time each gets its share of the cores.

    Raises:
        ValueError: when the queue holds other experiments, which would run as well, or one of ours fails.
    """
    states = queued()
    if strangers := sorted(set(states) - set(experiments)):
        raise ValueError(
            f"the queue of DVC holds {', '.join(strangers)}; see dvc queue status, and run or remove them first"
        )
    wanted = set(experiments) - finished() - set(states)
    before = PARAMS.read_bytes()
    try:
        lay_over(PARAMS, overlay)
        for name in [name for name in experiments if name in wanted]:
            settings = [
                part
                for key, value in experiments[name].items()
                for part in ("-S", f"{key}={json.dumps(value)}")
            ]
            dvc_says("exp", "run", "--queue", "--name", name, *settings, "evaluate")
    finally:
        PARAMS.write_bytes(before)
    threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // jobs))}
    subprocess.run(
        ["dvc", "exp", "run", "--run-all", "--jobs", str(jobs)],
        check=True,
        env=os.environ | threads | {"PISCES_SWEEP": sweep},
    )
    if failed := set(experiments) - finished():
        raise ValueError(
            f"{', '.join(sorted(failed))} failed; see dvc queue logs and one of these names"
        )


def queued() -> dict[str, str]:
    """Name -> state of the experiments in the queue that are still to end."""
    lines = [line.split() for line in dvc_says("queue", "status")]
    return {words[1]: words[-1] for words in lines if words[-1] in ("Queued", "Running")}


def finished() -> set[str]:
    """Names of the experiments of this commit that have a result."""
    return set(dvc_says("exp", "list", "--name-only"))


def dvc_says(*arguments: str) -> list[str]:
    """The lines, none empty, that a dvc command prints; CalledProcessError, with its complaint on stderr, when it fails."""
    done = subprocess.run(["dvc", *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return [line for line in done.stdout.splitlines() if line.strip()]


def read(experiment: str, path: str) -> dict[str, Any]:
    """A JSON file, as an experiment has it."""
    return json.loads(dvc.api.read(path, rev=experiment))


def metrics(experiment: str, stage: str) -> dict[str, Any]:
    """The metrics file of a stage, as an experiment has it."""
    return read(experiment, f"metrics/{stage}.json")


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of equal keys as a table in Markdown."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_between(page: Path, start: str, end: str, made: str) -> None:
    """Puts `made` between two lines of a page, in place of what stood there."""
    text = page.read_text()
    page.write_text(text.split(start)[0] + start + made + end + text.split(end)[1])
