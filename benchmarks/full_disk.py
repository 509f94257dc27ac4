"""What every stage says on a full disk: the table "Full disk" of docs/results/reliability.md.

    python -m benchmarks.full_disk [--megabytes 60] [--free 8]

Needs Linux: a disk in memory, which no other process sees, gets the tiny run of `bad_inputs` and is
filled up. Each stage then runs once more on it.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from benchmarks.bad_inputs import PAGE, STAGES, make_workspace
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.core.progress import progress
from pisces.core.texts import readable_size
from pisces.run import console

START, END = "<!-- full disk: start -->\n", "<!-- full disk: end -->\n"
ALONE = "PISCES_BENCHMARK_ALONE"
"""Set in a process whose mounts no other one sees."""
FILLING = "filling"


class Answer(NamedTuple):
    """How a stage ended."""

    stage: str
    status: int
    lines: tuple[str, ...]
    """What it wrote on stderr."""
    changed: tuple[str, ...]
    """Files that are there, are gone or hold other bytes since."""


def enter_own_mounts() -> None:
    """Starts this program again where it may mount, unless it runs there already."""
    if ALONE not in os.environ:
        os.environ[ALONE] = "1"
        command = ["unshare", "--map-root-user", "--mount", *sys.orig_argv]
        os.execvp(command[0], command)


def digests(folder: Path) -> dict[str, str]:
    """Path -> digest of every file, the filling and the locks aside, which stay."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix != ".lock" and path.name != FILLING:
            content = path.read_bytes()
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def fill(disk: Path, free: int) -> None:
    """Leaves so many bytes free on a disk."""
    with (disk / FILLING).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - free)


def run(stage: str, disk: Path) -> Answer:
    """Runs a stage in the folder of the disk."""
    before = digests(disk)
    done = subprocess.run(
        [sys.executable, "-B", "-m", *f"stages.{stage}".split()],
        cwd=disk,
        env=os.environ | {"PISCES_TRACKING": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    after = digests(disk)
    names = sorted(before.keys() | after.keys())
    changed = tuple(name for name in names if before.get(name) != after.get(name))
    return Answer(stage, done.returncode, tuple(done.stderr.splitlines()), changed)


def measure(megabytes: int, free: int) -> list[Answer]:
    """Fills a disk and runs every stage on it.

    Args:
        megabytes: its size.
        free: bytes that are left on it.

    Returns:
        How each stage ended, in the order of the pipeline.
    """
    with tempfile.TemporaryDirectory() as folder:
        disk = Path(folder) / "disk"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", str(disk)]
        subprocess.run(mount, check=True)
        try:
            made = make_workspace(Path(folder) / "whole")
            shutil.copytree(made, disk, dirs_exist_ok=True)
            shutil.rmtree(disk / ".ckpt")
            fill(disk, free)
            return [run(stage, disk) for stage in progress(STAGES, "full disk")]
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def rows(answers: list[Answer]) -> list[dict[str, str]]:
    """Of the table: a row a stage."""
    found = []
    for answer in answers:
        said = " ".join(answer.lines).replace("|", "/") or "none: it had room"
        row = {
            "stage": answer.stage,
            "status": str(answer.status),
            "its line": said.removeprefix("error: "),
            "changed files": ", ".join(answer.changed) or "none",
        }
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=60)
    parser.add_argument("--free", type=int, default=8, help="kilobytes (1024 bytes)")
    arguments = parser.parse_args()
    enter_own_mounts()

    free = 1024 * arguments.free
    answers = measure(arguments.megabytes, free)
    head = f"A disk of {arguments.megabytes} MB with {readable_size(free)} free, "
    made = f"{head}{machine_and_date()}:\n\n{table(rows(answers))}"
    write_between(PAGE, START, END, made)
    print(made)


if __name__ == "__main__":
    console.run(main)
