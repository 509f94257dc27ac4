"""How long each stage of a run of the pipeline takes, DVC's own work included, as a table.

Every stage runs anew, whatever the workspace holds: it is what `make repro` takes in a fresh copy.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.pages import table
from benchmarks.timing import machine_and_date

REPRO = ("dvc", "repro", "--force", "report_data", "report", "page")
BEGINS = "Running stage '"


def seconds_of_stages(
    lines: Iterable[tuple[float, str]], end: float
) -> Iterator[tuple[str, float]]:
    """Stage -> seconds, from its first line to that of the next.

    Args:
        lines: when each line of `dvc repro` was printed, in seconds, and the line.
        end: when the last stage was done.
    """
    name, begun = "", 0.0
    for now, line in lines:
        if line.startswith(BEGINS):
            if name:
                yield name, now - begun
            name, begun = line.removeprefix(BEGINS).partition("'")[0], now
    if name:
        yield name, end - begun


def timed_lines(process: subprocess.Popen[str]) -> Iterator[tuple[float, str]]:
    """Passes on what a process prints, with the time, and prints it to stderr."""
    assert process.stdout is not None
    for line in process.stdout:
        sys.stderr.write(line)
        yield time.perf_counter(), line


def run(command: Sequence[str], folder: Path) -> dict[str, float]:
    """Runs a `dvc repro`; a failure of it ends this process with its status.

    Args:
        command: that is run.
        folder: where.

    Returns:
        Stage -> seconds.
    """
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        lines = list(timed_lines(process))
    end = time.perf_counter()
    if process.returncode:
        sys.exit(process.returncode)
    return dict(seconds_of_stages(lines, end))


def rows(seconds: Mapping[str, float], total: float) -> list[dict[str, str]]:
    """Of the table: a row a stage, and the whole."""
    found = [{"stage": f"`{stage}`", "seconds": f"{taken:.0f}"} for stage, taken in seconds.items()]
    return [*found, {"stage": "all", "seconds": f"{total:.0f}"}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    start = time.perf_counter()
    seconds = run(REPRO, Path.cwd())
    total = time.perf_counter() - start

    print(f"{' '.join(REPRO)} on {machine_and_date()}\n")
    print(table(rows(seconds, total)))


if __name__ == "__main__":
    main()
