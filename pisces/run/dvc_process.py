"""The `dvc` that runs this stage, which may be gone before the stage is: killing it leaves its children behind."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil


def running() -> psutil.Process | None:
    """The `dvc` above this process, with any shell or launcher between them, or None when no `dvc` started it here."""
    return (
        next(filter(_is_dvc, psutil.Process().parents()), None)
        if "DVC_STAGE" in os.environ
        else None
    )


def is_gone(process: psutil.Process) -> bool:
    """Whether it has ended, waited for by its own parent or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended between the two questions
        return True


def stop_when_gone() -> Callable[[], None]:
    """A check for a long loop, which raises ValueError once the `dvc` that runs this stage now is gone."""
    dvc = running()

    def check() -> None:
        if dvc and is_gone(dvc):
            raise ValueError(
                "the dvc that started this training is gone; the next dvc repro resumes from the last checkpoint"
            )

    return check


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it runs `dvc`, `python .../dvc` or `python -m dvc`."""
    try:
        return any(Path(argument).stem == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:  # another user's process, or one that has just ended
        return False
