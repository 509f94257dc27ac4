"""Where outputs are while they are being written: folders in `.work`, which git does not track.

A process that is killed leaves its folder behind. Each folder holds a lock of its process, so that
the next process that writes can tell and remove what nobody owns any more.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pisces.core.locks import LockFile

WORK = ".work"
LOCK = "lock"
NEW = "new-"
SECONDS_TO_LOCK = 60.0
"""Age from which a folder that has no lock yet will never have one."""


def place_of(target: Path) -> Path:
    """The `.work` from which a file can be renamed to `target`.

    It is that of the folder in which the program runs. A target that lies elsewhere, or on another
    disk that is linked or mounted there, has one beside it.
    """
    here, parent = Path.cwd(), target.parent.resolve()
    return (here if _can_rename_into(parent, here) else parent) / WORK


def _can_rename_into(folder: Path, here: Path) -> bool:
    """Whether a folder lies in `here` with no border of a file system between."""
    if not folder.is_relative_to(here) or folder.stat().st_dev != here.stat().st_dev:
        return False

    # A folder that is mounted from the same disk cannot be renamed into, either.
    between = {str(each) for each in (folder, *folder.parents) if each != here}
    between -= {str(each) for each in here.parents}
    return not any(mount.mountpoint in between for mount in psutil.disk_partitions(all=True))


@contextmanager
def folder(place: Path, name: str) -> Iterator[Path]:
    """A new folder in `place`, which is gone afterwards, as is what dead processes left there.

    Args:
        place: as `place_of` gives it.
        name: what is written, for whoever looks into `place`.

    Yields:
        The folder. A file named `lock` lies in it.
    """
    tidy(place)
    path, lock = _make(place, name)
    try:
        yield path
    finally:
        # Released first: a network disk keeps a file that is open.
        lock.release()
        shutil.rmtree(path, ignore_errors=True)
        _remove_if_empty(place)


def tidy(place: Path) -> None:
    """Removes the folders in `place` that no living process owns."""
    for path in place.glob("*/"):
        if path.name.startswith(NEW):
            if _age(path) > SECONDS_TO_LOCK:
                shutil.rmtree(path, ignore_errors=True)
            continue

        lock = LockFile(path / LOCK)
        with contextlib.suppress(OSError):  # another process is just removing it
            if lock.take():
                lock.release()
                shutil.rmtree(path, ignore_errors=True)


def _make(place: Path, name: str) -> tuple[Path, LockFile]:
    """A folder in `place`, and its lock, which is held from the moment the folder has its name."""
    new = None
    while new is None:
        place.mkdir(parents=True, exist_ok=True)
        # Another process may just have removed an empty `place`.
        with contextlib.suppress(FileNotFoundError):
            new = Path(tempfile.mkdtemp(prefix=NEW, dir=place))

    lock = LockFile(new / LOCK)
    lock.take()
    path = new.rename(place / f"{name}.{new.name.removeprefix(NEW)}")
    return path, lock


def _remove_if_empty(place: Path) -> None:
    with contextlib.suppress(OSError):
        place.rmdir()


def _age(path: Path) -> float:
    """Seconds since something was last made in a folder; 0 when it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
