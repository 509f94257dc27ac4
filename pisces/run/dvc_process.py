"""The `dvc` that runs this stage. Killing it leaves the stage behind, so it may be gone first."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil


def running() -> psutil.Process | None:
    """The `dvc` above this process, or None when none started it here.

    Any shell or launcher may stand between them.
    """
    if "DVC_STAGE" not in os.environ:
        return None
    return next(filter(_is_dvc, psutil.Process().parents()), None)


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended, waited for by its own parent or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return True


def stop_when_gone() -> Callable[[], None]:
    """A check for a long loop: it raises ValueError once the `dvc` of this stage is gone."""
    dvc = running()

    def check() -> None:
        if dvc and is_gone(dvc):
            raise ValueError(
                "the dvc that started this training is gone; "
                "the next dvc repro resumes from the last checkpoint"
            )

    return check


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it runs `dvc`, `python .../dvc` or `python -m dvc`."""
    try:
        return any(Path(argument).stem == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:  # another user's process, or one that has just ended
        return False
