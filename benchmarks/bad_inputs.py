"""What the pipeline says of bad inputs: the table "Bad inputs" of docs/results/reliability.md.

A tiny run of every stage is made once. Each case damages one file in a copy of it, or gives a bad
value, and runs the stage or command that reads it. Run as `python -m benchmarks.bad_inputs`.
"""

import importlib
import io
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from benchmarks import bad_files, bad_settings
from benchmarks.damage import Case, params
from benchmarks.pages import table, write_between
from pisces.config import presets
from pisces.run import console

PAGE = Path("docs/results/reliability.md")
START, END = "<!-- bad inputs: start -->\n", "<!-- bad inputs: end -->\n"
STAGES = (
    *("synthesize", "split_hdf5", "render", "stratify", "train", "evaluate", "limits"),
    *("perturb", "pis", "tune_masks", "attribute", "counterfactual", "explore"),
    *("report data", "report results", "page"),
)
TINY: dict[str, Any] = {
    "synthesize": {"frames_per_cell": 12, "samples": 512},
    "data": {"frames_per_cell": 12},
    "render": {"size": 16},
    "train": {"epochs": 1, "accelerator": "cpu"},
    "noise_aware": {"a": {"epochs": 0}},
    "limits": {"trials": 2, "blind_frames": 1},
    "perturb": {"regions": ["ring"]},
    "attribute": {"methods": ["occlusion"], "window": 0.5, "stride": 0.5},
}
"""On top of the preset `smoke`: what is small enough to be made and copied in seconds."""

CASES = (*bad_files.CASES, *bad_settings.CASES)

SECONDS = 30
"""The longest that any answer may take."""
LONGEST = 300
"""Characters of an answer in the table."""
REPOSITORY = "/path/to/clone"
"""What the table calls the folder that it was made in."""


class Answer(NamedTuple):
    """How a stage or command ended."""

    status: int
    """0 for well, 1 for an error in words, 2 for a traceback, 3 for no end in `SECONDS`."""
    lines: tuple[str, ...]
    """What it wrote on stderr."""


class TooLong(BaseException):
    """Raised in a stage that takes longer than `SECONDS`."""


@contextmanager
def _alarm(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Answer:
    """Runs a stage, or a command of `python -m pisces`, in this process and this folder.

    Args:
        command: `pisces` or a module of stages/, and its arguments.
        environment: variables to set; tracking is off unless they say otherwise.

    Returns:
        How it ended.
    """
    name, *arguments = command
    module = importlib.import_module("pisces.__main__" if name == "pisces" else f"stages.{name}")
    variables = {"PISCES_TRACKING": "off"} | dict(environment or {})
    printed, status = io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, variables),
        mock.patch.object(sys, "argv", [name, *arguments]),
        redirect_stderr(printed),
        redirect_stdout(io.StringIO()),
    ):
        try:
            with _alarm(SECONDS):
                console.run(module.main)
        except SystemExit as stop:
            status = int(stop.code or 0)
        except TooLong:
            status = 3
        except Exception:
            status = 2
            traceback.print_exc()
    return Answer(status, tuple(printed.getvalue().strip().splitlines()))


def make_workspace(root: Path) -> Path:
    """A tiny run of all stages in `root`, which is made."""
    source = Path.cwd()
    shutil.copytree(source / "presets", root / "presets")
    for name in ("dvc.yaml", "params.yaml", "none", "imagenet"):
        shutil.copy(source / name, root)
    for name in ("stages", "pisces"):  # which the fingerprint of `train` reads
        shutil.copytree(source / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    with chdir(root):
        presets.write(presets.on_defaults(presets.overlay("smoke")))
        params(TINY)(Path("params.yaml"))
        for stage in STAGES:
            answer = run(stage.split())
            if answer.status:
                raise RuntimeError(f"{stage} failed: {answer.lines}")
    return root


def answer_to(case: Case, workspace: Path, root: Path) -> Answer:
    """What is said of a case.

    Args:
        case: what is damaged, and what then runs.
        workspace: as `make_workspace` makes it; left as it is.
        root: a new folder, which gets a copy of it.

    Returns:
        How the stage or command ended.
    """
    shutil.copytree(workspace, root, ignore=shutil.ignore_patterns("raw"))
    with chdir(root):
        if case.file:
            case.spoil(Path(case.file))
        return run(case.command, case.environment)


def is_helpful(case: Case, answer: Answer) -> bool:
    """Whether it ended with a line that names the file, key or variable."""
    lines = [line for line in answer.lines if case.named in line]
    return answer.status == 1 and len(answer.lines) == 1 and len(lines) == 1


def section(answers: Mapping[Case, Answer]) -> str:
    """What stands in the page: how many inputs, when, and a row for each."""
    rows = []
    for case, answer in answers.items():
        said = " ".join(answer.lines).removeprefix("error: ")
        if len(said) > LONGEST:
            said = said[: LONGEST - 4] + " ..."
        command = " ".join(case.command).removeprefix("pisces ")
        row = {
            "file or setting": f"`{case.file or case.named}`",
            "what is wrong": case.what,
            "run": f"`{command}`",
            "answer": _printable(said).replace("|", "\\|").replace("<", "&lt;"),
        }
        rows.append(row)
    return f"{len(answers)} inputs, {date.today()}:\n\n{table(rows)}"


def _printable(text: str) -> str:
    """A text with escapes in place of what no page shows, such as zero bytes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _without(root: str, answer: Answer) -> Answer:
    """The answer with a name in place of a folder that is gone when the page is read."""
    return answer._replace(lines=tuple(line.replace(root, REPOSITORY) for line in answer.lines))


def main() -> None:
    """Makes the table; names what is not answered in one helpful line."""
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = make_workspace(Path(folder) / "whole")
        for number, case in enumerate(CASES):
            root = Path(folder) / str(number)
            answers[case] = _without(str(root), answer_to(case, workspace, root))
            shutil.rmtree(root)
            if not is_helpful(case, answers[case]):
                print(f"not helpful: {case.label}: {answers[case]}", file=sys.stderr)
    write_between(PAGE, START, END, section(answers))
    print(f"wrote what is said of {len(answers)} bad inputs to {PAGE}")


if __name__ == "__main__":
    console.run(main)
