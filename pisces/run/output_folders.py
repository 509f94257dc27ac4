"""The folders that stages write into: inside of the repository, and writable before the work."""

import errno
import os
import tempfile
from pathlib import Path

from pisces.core import work
from pisces.core.write_errors import NO_ROOM, RAISE_LIMIT, read_only, size_limit

FOLDERS = {
    "synthesize": ("data/raw",),
    "split_hdf5": ("data", "data/split_hdf5", "metrics", "plots"),
    "render": ("data", "data/constellations"),
    "stratify": ("data",),
    "train": ("models", "metrics", "plots"),
    "evaluate": ("data", "metrics", "plots"),
    "limits": ("metrics", "plots"),
    "perturb": ("data",),
    "pis": ("data", "metrics", "plots"),
    "tune_masks": ("models", "models/mask_tuned"),
    "attribute": ("data", "metrics", "plots"),
    "explore": ("data",),
    "counterfactual": ("data", "metrics", "plots"),
    "report": ("plots",),
    "page": ("plots",),
}
"""Stage -> the folders of its outputs, and those that are outputs themselves."""

SHARED = ("data", "data/raw", "models", "metrics", "plots")
"""Folders that hold outputs and are none, so that DVC follows no link in their place."""

LONGEST_NAME, LONGEST_PATH = 255, 4095
"""Bytes, of a file system of Linux."""


def require(stage: str) -> None:
    """Raises what would stop a stage when its work is done, before that begins.

    Raises:
        ValueError: where a folder of outputs is a link.
        OSError: where something that is no folder lies in its place, or it cannot be written.
    """
    require_no_link()
    for name in (work.WORK, *FOLDERS[stage]):
        require_writable(Path(name))


def require_no_link() -> None:
    """Raises ValueError where a folder of outputs is a link, which DVC refuses, but only later."""
    linked = [folder for folder in map(Path, SHARED) if folder.is_symlink()]
    if linked:
        raise ValueError(
            f"{linked[0]} is a link to {linked[0].resolve()}, and DVC tracks nothing behind a "
            "link: remove it, and put DVC's cache on the other disk with dvc cache dir --local "
            "and cache.type symlink, as docs/guide/own_file.md shows"
        )


def require_target(file: Path) -> None:
    """Raises ValueError or OSError unless a file of this name can be written."""
    _require_name(file)
    if file.is_dir():
        raise ValueError(f"{file} is a folder, where a file is to be written: name a file in it")
    require_writable(file.parent)


def require_writable(folder: Path) -> None:
    """Raises unless a file can be made in a folder, or the folder itself be made.

    Raises:
        ValueError: where a name is too long, or a link leads nowhere.
        OSError: where a file lies in the way, or nothing can be written.
    """
    _require_name(folder)
    for path in (folder, *folder.parents):
        if path.is_symlink() and not path.exists():
            raise ValueError(
                f"{path} is a link to {os.readlink(path)}, which does not exist: make that folder, "
                "or remove the link, and run again"
            )
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(
            f"{there} is a file, where outputs need a folder: move it away, and run again"
        )
    try:
        with tempfile.TemporaryFile(dir=there, buffering=0) as file:
            file.write(b"1")
    except OSError as error:
        raise _in_words(folder, there, error) from None


def _require_name(path: Path) -> None:
    """Raises ValueError where no file system takes the name."""
    for part in path.parts:
        if len(os.fsencode(part)) > LONGEST_NAME:
            raise ValueError(
                f"the name {part[:20]}... is longer than the {LONGEST_NAME} bytes that are "
                "allowed: choose a shorter one for what is written"
            )
    if len(os.fsencode(path.absolute())) > LONGEST_PATH:
        raise ValueError(
            f"the path {str(path)[:20]}... is longer than the {LONGEST_PATH} bytes that are "
            "allowed: choose a shorter one for what is written"
        )


def _in_words(folder: Path, there: Path, error: OSError) -> OSError:
    """The error for a folder in which no file could be made."""
    kind = PermissionError if isinstance(error, PermissionError) else OSError
    reason = read_only(error, there) or NO_ROOM.get(error.errno or 0, str(error))
    if error.errno == errno.EFBIG:
        reason = f"ulimit -f allows files of at most {size_limit()}; {RAISE_LIMIT}"
    elif error.errno in NO_ROOM:
        reason += "; make room"
    return kind(f"nothing can be written to {folder}: {reason}; no work was begun")
