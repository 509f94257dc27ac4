"""HDF5 files of which it is said why they cannot be opened or read."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from pisces.core.texts import in_one_line

LONGEST = 300
"""Characters of an error of h5py's in one of ours."""

WAIT = "another process has it open for writing: wait until that has ended, or end it"
NO_LOCKS = (
    "its file system has no locks, as some network file systems: "
    "set the environment variable HDF5_USE_FILE_LOCKING to FALSE"
)
NO_PERMISSION = "no permission to read it: change that with chmod or chown, or copy it"
A_DIRECTORY = "it is a directory, not a file"

REMEDIES = {
    errno.EAGAIN: WAIT,
    errno.ENOLCK: NO_LOCKS,
    errno.ENOSYS: NO_LOCKS,
    errno.EOPNOTSUPP: NO_LOCKS,
    errno.EACCES: NO_PERMISSION,
    errno.EPERM: NO_PERMISSION,
    errno.EISDIR: A_DIRECTORY,
}
"""Number of an error of the system -> what is the matter with a file, and what to do."""

FILTER_NAMES = {
    307: "bzip2",
    32000: "lzf",
    32001: "blosc",
    32004: "lz4",
    32008: "bitshuffle",
    32013: "zfp",
    32015: "zstd",
    32026: "blosc2",
}
"""Registered numbers of the filters that are met most."""


class Failure(NamedTuple):
    """Why a file cannot be opened."""

    reason: str
    number: int | None
    """Of the error of the system; None where the content is to blame."""

    @property
    def is_damaged(self) -> bool:
        """Whether the content is to blame, and not the machine around it."""
        return self.number is None


class DamagedError(ValueError):
    """An HDF5 file whose content is to blame."""


def open_file(path: Path, mode: str = "r", libver: str | None = None) -> h5py.File:
    """An open file.

    Args:
        path: of the file.
        mode: r to read, r+ to change, w to make it anew.
        libver: oldest version of HDF5 that shall read what is written; None for h5py's own.

    Returns:
        The file, to be closed.

    Raises:
        DamagedError: when it is cut off or no HDF5 file, in words that follow its name.
        OSError: when it is locked, may not be read, or the system fails, in a whole line.
    """
    try:
        return h5py.File(path, mode, libver=libver)
    except OSError as error:
        failure = failure_of(error)
        if failure.is_damaged and mode != "w":
            raise DamagedError(failure.reason) from None
        raise OSError(f"{path} cannot be opened: {failure.reason}") from None


@contextmanager
def looking_at(file: h5py.File) -> Iterator[None]:
    """Around whatever is asked of an open file but its rows, for which there is `read`.

    Raises:
        DamagedError: in place of any error of h5py, which has as many types as there are kinds of
            damage, in words that follow the name of the file.
    """
    try:
        yield
    except Exception as error:
        is_in_words = str(file.filename) in str(error)
        if is_in_words:
            raise
        raise DamagedError(f"it is damaged ({in_one_line(error, LONGEST)})") from None


def failure_of(error: OSError) -> Failure:
    """What an error of h5py at opening means."""
    text = in_one_line(error, LONGEST)
    if "signature not found" in text:
        return Failure("it is no HDF5 file, or its beginning is damaged", None)
    if "truncated file" in text:
        held, whole = (re.search(rf"{name} = (\d+)", text) for name in ("eof", "stored_eof"))
        sizes = f": {held[1]} of {whole[1]} bytes are there" if held and whole else ""
        return Failure(f"it is cut off{sizes}", None)

    number = error.errno
    if number is None and (written := re.search(r"errno = (\d+)", text)):
        number = int(written[1])
    if number is None:
        return Failure(f"it is damaged ({text})", None)
    return Failure(REMEDIES.get(number, os.strerror(number)), number)


def read(dataset: h5py.Dataset, rows: slice) -> np.ndarray:
    """Rows of a dataset.

    Raises:
        OSError: naming dataset, file and rows, when they are damaged or compressed by a filter that
            is not installed.
    """
    try:
        return np.asarray(dataset[rows])
    except (OSError, RuntimeError) as error:
        damage = f"they are damaged ({in_one_line(error, LONGEST)}); copy or download it again"
        reason = missing_filter(dataset) or damage
        name = str(dataset.name).removeprefix("/")
        raise OSError(
            f"{name} in {dataset.file.filename} cannot be read at rows "
            f"{rows.start} to {rows.stop - 1}: {reason}"
        ) from None


def missing_filter(dataset: h5py.Dataset) -> str:
    """Which filter of a dataset is not installed, and what to do; empty where all are."""
    settings = dataset.id.get_create_plist()
    codes = [settings.get_filter(i)[0] for i in range(settings.get_nfilters())]
    missing = [code for code in codes if not h5py.h5z.filter_avail(code)]
    if not missing:
        return ""
    names = ", ".join(f"{code} ({FILTER_NAMES.get(code, 'unknown')})" for code in missing)
    return (
        f"they are compressed by the HDF5 filter {names}, which is not installed: write the file "
        "anew without it (h5repack -f NONE) where it is, or set HDF5_PLUGIN_PATH to the folder of "
        "its plugin"
    )
