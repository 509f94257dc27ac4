"""How long each stage of a run of the pipeline takes, DVC's own work included, as a table.

Every stage runs anew, whatever the workspace holds: it is what `make repro` takes in a fresh copy.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

from benchmarks.timing import machine_and_date

REPRO = ("dvc", "repro", "--force", "report_data", "report")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.parse_args()
    start = time.perf_counter()
    with subprocess.Popen(REPRO, stdout=subprocess.PIPE, text=True) as process:
        lines = list(timed_lines(process))
    end = time.perf_counter()
    if process.returncode:
        sys.exit(process.returncode)

    print(f"{' '.join(REPRO)} on {machine_and_date()}\n")
    print("| stage | seconds |\n|---|---|")
    for name, seconds in seconds_of_stages(lines, end):
        print(f"| `{name}` | {seconds:.0f} |")
    print(f"| all | {end - start:.0f} |")


if __name__ == "__main__":
    main()
