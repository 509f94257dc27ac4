"""Where outputs are while they are being written: folders in `.work`, which git does not track.

A process that is killed leaves its folder behind. Each folder holds a lock of its process, so that
the next process that writes can tell and remove what nobody owns any more.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from pisces.core.locks import LockFile

WORK = ".work"
LOCK = "lock"
NEW = "new-"
SECONDS_TO_LOCK = 60.0
"""Age from which a folder that has no lock yet will never have one."""


class Output(NamedTuple):
    """What has been written and does not have its name yet."""

    folder: Path
    """Where it waits, on the disk of its target."""
    target: Path

    @property
    def new(self) -> Path:
        """What was written."""
        return self.folder / self.target.name

    @property
    def old(self) -> Path:
        """What had the name before."""
        return self.folder / f"{self.target.name}.old"


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


def name(outputs: Sequence[Output]) -> None:
    """Gives all outputs the names of their targets, or none of them."""
    if len(outputs) == 1 and not outputs[0].target.is_dir():
        # In one step: a signal right after it must not take back what has its name.
        os.replace(outputs[0].new, outputs[0].target)
    else:
        _name_together(outputs)

    for parent in dict.fromkeys(output.target.parent for output in outputs):
        flush_folder(parent)


def _name_together(outputs: Sequence[Output]) -> None:
    """Gives them their names one after another; keeps what had them until all have."""
    begun: list[Output] = []
    try:
        for output in outputs:
            begun.append(output)
            _set_aside(output)
            os.replace(output.new, output.target)
    except BaseException:
        for output in reversed(begun):
            _take_back(output)
        raise


def flush_folder(path: Path) -> None:
    """Returns when the names in a folder would outlive a power cut, where its disk can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _set_aside(output: Output) -> None:
    """Keeps what has the name of an output now, if anything has it."""
    if output.target.is_dir():
        # Removing it in place could be cut short.
        os.replace(output.target, output.old)
    elif os.path.lexists(output.target):
        try:
            os.link(output.target, output.old, follow_symlinks=False)
        except OSError:  # a disk on which a file has one name only
            os.replace(output.target, output.old)


def _take_back(output: Output) -> None:
    """Undoes what `_name_together` has done of an output."""
    has_its_name = not output.new.exists()
    if has_its_name:
        os.replace(output.target, output.new)
    if os.path.lexists(output.old):
        os.replace(output.old, output.target)


def _make(place: Path, name: str) -> tuple[Path, LockFile]:
    """A folder in `place`, and its lock, which is held from the moment the folder has its name."""
    new = None
    while new is None:
        place.mkdir(parents=True, exist_ok=True)
        # Another process may just have removed an empty `place`.
        with contextlib.suppress(FileNotFoundError):
            new = Path(tempfile.mkdtemp(prefix=NEW, dir=place))

    lock = LockFile(new / LOCK)
    try:
        lock.take()
        path = new.rename(place / f"{name}.{new.name.removeprefix(NEW)}")
    except BaseException:  # a signal, and nobody else would remove it for a minute
        lock.release()
        shutil.rmtree(new, ignore_errors=True)
        raise
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
