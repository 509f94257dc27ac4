"""Kills every stage at random moments in all usual ways, and looks at what the next run makes.

    python -m benchmarks.kills [--kills 20] [--seed 1] [--preset smoke]

Works on a clone of the last commit in a temporary folder. A kill is harmless when the next
`dvc repro` makes the very bytes of a run that nobody killed, and nothing else lies there.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from benchmarks.clones import make_clone
from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.core import work, yaml
from pisces.core.progress import progress

OUTPUTS = ("data", "models", "metrics", "plots")
LOG = "killed.log"
TIMEOUT_SECONDS = 300

Choose = Callable[[psutil.Process], list[psutil.Process]]


def _hear_signals() -> None:
    """As in a terminal, whatever this process ignores: a background job does not hear Ctrl-C."""
    for _, number in KINDS.values():
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)


def everyone(dvc: psutil.Process) -> list[psutil.Process]:
    return [*dvc.children(recursive=True), dvc]


def dvc_alone(dvc: psutil.Process) -> list[psutil.Process]:
    return [dvc]


def stage_alone(dvc: psutil.Process) -> list[psutil.Process]:
    return dvc.children(recursive=True)


KINDS: dict[str, tuple[Choose, int]] = {
    "kill -9 of all": (everyone, signal.SIGKILL),
    "kill -9 of dvc alone": (dvc_alone, signal.SIGKILL),
    "kill -9 of the stage, as for memory": (stage_alone, signal.SIGKILL),
    "Ctrl-C": (everyone, signal.SIGINT),
    "SIGTERM to all": (everyone, signal.SIGTERM),
    "SIGTERM to dvc alone": (dvc_alone, signal.SIGTERM),
    "SIGHUP to all": (everyone, signal.SIGHUP),
}
"""What is done -> whom it meets, and the signal."""


class Kill(NamedTuple):
    """What is killed, how, and when."""

    stage: str
    kind: str
    seconds: float
    """After dvc has started the stage."""


class Outcome(NamedTuple):
    """What came of a kill and of the run after it."""

    said: str
    """The last line of the stage that was killed."""
    traceback: bool
    same: bool
    """Whether all outputs have the bytes of a run that nobody killed."""
    debris: tuple[str, ...]
    """What lies there beside the outputs."""


def plan(durations: Mapping[str, float], kills: int, seed: int) -> Iterator[Kill]:
    """Kills over all stages and kinds, each as often as the others, at random moments.

    Args:
        durations: stage -> seconds that it takes.
        kills: how many.
        seed: of the order and the moments.

    Yields:
        The kills, whose moments are uniform in the time that the stage takes.
    """
    rng = np.random.default_rng(seed)
    stages = islice(cycle(rng.permutation(list(durations))), kills)
    kinds = islice(cycle(rng.permutation(list(KINDS))), kills)
    for stage, kind in zip(stages, kinds, strict=True):
        yield Kill(str(stage), str(kind), float(rng.uniform(0, durations[stage])))


def perform(kill: Kill, folder: Path, environment: Mapping[str, str]) -> str:
    """Runs a stage and kills it.

    Args:
        kill: of which stage, how and when.
        folder: of the pipeline.
        environment: of `dvc`.

    Returns:
        What was printed until dvc had ended.
    """
    log = folder.parent / LOG
    command = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", kill.stage]
    with log.open("w") as output:
        dvc = psutil.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=_hear_signals,
        )
    while "Running stage" not in log.read_text() and dvc.poll() is None:
        time.sleep(0.01)
    time.sleep(kill.seconds)

    choose, number = KINDS[kill.kind]
    if dvc.is_running() and dvc.poll() is None:
        for process in choose(dvc):
            if process.is_running():
                process.send_signal(number)
    dvc.wait(TIMEOUT_SECONDS)
    return log.read_text()


def repro(folder: Path, environment: Mapping[str, str], *arguments: str) -> str:
    """What a `dvc repro` prints that must succeed."""
    done = subprocess.run(
        ["dvc", "repro", "--no-run-cache", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=4 * TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode:
        raise ValueError(f"dvc repro {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def digests(folder: Path) -> dict[str, str]:
    """Path -> digest of every file among the outputs."""
    found = {}
    for root in OUTPUTS:
        for path in sorted((folder / root).rglob("*")):
            if path.is_file() and path.name != ".gitignore":
                name = str(path.relative_to(folder))
                found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def debris(folder: Path, expected: Mapping[str, str]) -> tuple[str, ...]:
    """What lies beside the expected outputs, the locks aside, which stay."""
    others = set(digests(folder)) - set(expected)
    for place in (work.WORK, ".ckpt"):
        for path in (folder / place).rglob("*"):
            if path.is_file() and path.suffix != ".lock":
                others.add(str(path.relative_to(folder)))
    return tuple(sorted(others))


def measure(kill: Kill, folder: Path, environment: Mapping[str, str]) -> Outcome:
    """Kills a stage, runs it again at once, and compares with what was there before.

    Args:
        kill: of which stage, how and when.
        folder: of a pipeline that has run.
        environment: of `dvc`.

    Returns:
        What the stage said last, and what there is after the run that followed.
    """
    expected = digests(folder)
    printed = perform(kill, folder, environment)
    # By force, for dvc skips a stage that was killed after its last output.
    repro(folder, environment, "--force", "--single-item", kill.stage)

    # A stage whose dvc was killed alone speaks later.
    printed = (folder.parent / LOG).read_text() or printed
    lines = [line for line in printed.splitlines() if line and not line.startswith("ERROR: ")]
    said = lines[-1] if lines else "none"
    found = digests(folder)
    is_same = all(found.get(name) == digest for name, digest in expected.items())
    return Outcome(said, "Traceback" in printed, is_same, debris(folder, expected))


def timed_stages(folder: Path, environment: Mapping[str, str]) -> dict[str, float]:
    """Runs the pipeline; returns stage -> seconds."""
    durations = {}
    for stage in progress(list(yaml.read(folder / "dvc.yaml")["stages"]), "first run"):
        start = time.monotonic()
        repro(folder, environment, "--force", "--single-item", stage)
        durations[stage] = time.monotonic() - start
    return durations


def rows(kills: list[Kill], outcomes: list[Outcome]) -> list[dict[str, str]]:
    """Of the table: a row a kill."""
    found = []
    for kill, outcome in zip(kills, outcomes, strict=True):
        said = "a traceback" if outcome.traceback else f"`{outcome.said.replace('|', '/')}`"
        row = {
            "stage": kill.stage,
            "killed by": kill.kind,
            "after": f"{kill.seconds:.1f} s",
            "its last line": said,
            "same bytes": "yes" if outcome.same else "**no**",
            "debris": ", ".join(outcome.debris) or "none",
        }
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", default="smoke")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "pisces"
        environment = os.environ | {
            "PISCES_TRACKING": "off",
            "DVC_SITE_CACHE_DIR": str(Path(temporary) / "site_cache"),
        }
        make_clone(folder, arguments.preset, environment=environment)
        durations = timed_stages(folder, environment)
        kills = list(plan(durations, arguments.kills, arguments.seed))
        outcomes = [measure(kill, folder, environment) for kill in progress(kills, "kills")]

    harmless = sum(one.same and not one.debris and not one.traceback for one in outcomes)
    print(f"{harmless} of {len(kills)} kills were harmless ({machine_and_date()})\n")
    print(table(rows(kills, outcomes)))


if __name__ == "__main__":
    main()
