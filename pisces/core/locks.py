"""Lock files that free themselves when the process that holds them ends, however it ends."""

import contextlib
import errno
import fcntl
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

SECONDS_BETWEEN_TRIES = 0.2
CLOCK_STEP = 2.0
"""Seconds by which the start of one and the same process may seem to move."""

NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}
"""What file systems without locks answer, such as some network disks."""


class LockFile:
    """One process at a time holds it; its file names that process, and stays when it is released.

    Where the file system has no locks, a process of this computer that the file names holds it for
    as long as it lives. Processes of other computers are then not seen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.was_abandoned = False
        """Whether the last holder, before this one, ended without releasing it."""
        self._descriptor: int | None = None

    def take(self) -> bool:
        """Takes it, unless a living process holds it; returns whether it is taken."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        owner = os.pread(descriptor, 1000, 0).decode(errors="replace")
        if not _lock(descriptor, owner):
            os.close(descriptor)
            return False

        self.was_abandoned = bool(owner)
        self._descriptor = descriptor
        try:
            with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, _own_name().encode(), 0)
        except BaseException:  # a signal, and nobody has entered its `with` yet
            self.release()
            raise
        return True

    def wait(self, on_wait: Callable[[], None]) -> Self:
        """Takes it as soon as nobody holds it; `on_wait` is called when that is not at once."""
        if not self.take():
            on_wait()
            while not self.take():
                time.sleep(SECONDS_BETWEEN_TRIES)
        return self

    def release(self) -> None:
        """Lets others have it."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(descriptor: int, owner: str) -> bool:
    """Whether the lock on an open file is now ours."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return not _is_alive(owner)
    return True


def _own_name() -> str:
    process = psutil.Process()
    return f"{platform.node()} {process.pid} {process.create_time():.2f}"


def _is_alive(owner: str) -> bool:
    """Whether a lock file names a process of this computer that still runs."""
    try:
        host, pid, started = owner.split()
        seconds = psutil.Process(int(pid)).create_time() - float(started)
    except (ValueError, psutil.Error):  # it names nothing, or nothing that runs
        return False
    return host == platform.node() and abs(seconds) < CLOCK_STEP
