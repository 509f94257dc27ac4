"""The `dvc` that runs this stage. Killing it leaves the stage behind, so it may be gone first.

Were that stage to go on, it would overwrite what a newer run has made in the meantime.
"""

import os
import threading
import time
from pathlib import Path

import psutil

from pisces.run import signals

SECONDS_BETWEEN_LOOKS = 0.5


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


def end_with_dvc() -> None:
    """From now on this process ends itself, cleared up, once the `dvc` that runs it is gone."""
    dvc = running()
    if dvc:
        threading.Thread(target=_watch, args=(dvc,), daemon=True).start()


def _watch(dvc: psutil.Process) -> None:
    while not is_gone(dvc):
        time.sleep(SECONDS_BETWEEN_LOOKS)
    signals.stop("the dvc that started this stage is gone; the next dvc repro resumes")


def _is_dvc(process: psutil.Process) -> bool:
    """Whether it runs `dvc`, `python .../dvc` or `python -m dvc`."""
    try:
        return any(Path(argument).stem == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:  # another user's process, or one that has just ended
        return False
