"""The `dvc` that runs this stage. Killing it leaves the stage behind, so it may be gone first."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil

OUTPUT_FOLDERS = [Path(name) for name in ("data", "data/raw", "models", "metrics", "plots")]


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


def require_outputs_inside() -> None:
    """Raises ValueError where a folder of outputs of a DVC stage is a link.

    DVC says so itself, but only when the stage is done: "is outside of git repository".
    """
    linked = [folder for folder in OUTPUT_FOLDERS if folder.is_symlink()]
    if "DVC_STAGE" in os.environ and linked:
        raise ValueError(
            f"{linked[0]} is a link to {linked[0].resolve()}, and DVC tracks nothing behind a "
            "link: remove it, and put DVC's cache on the other disk with dvc cache dir --local "
            "and cache.type symlink, as docs/guide/own_file.md shows"
        )


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it runs `dvc`, `python .../dvc` or `python -m dvc`."""
    try:
        return any(Path(argument).stem == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:  # another user's process, or one that has just ended
        return False
