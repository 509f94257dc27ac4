"""What kind of file a file is, by its content: names and endings say little of published files."""

import re
from pathlib import Path
from typing import BinaryIO, Literal

from pisces.core.hdf5 import NO_PERMISSION

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_CHANGED = (b"\x89HDF\n\x1a\n", b"\x89HDF\r\r\n\x1a\r\n")
"""Its signature with other line ends, which it has to show just that."""
FIRST_OFFSET = 512
"""Where the signature may stand if not at the beginning, or at 2, 4, 8, ... times that."""

PICKLE = re.compile(rb"\x80[\x00-\xff]|\([dlt]|[}\])]|c[\w.]+\r?\n[\w.]+\r?\n")
"""How pickles begin: of protocol 2 and up, and as text or the binary of Python 2."""
PICKLE_ENDINGS = (".pkl", ".pickle", ".p", ".dat")

ARCHIVES = {
    "bzip2": (0, b"BZh"),
    "gzip": (0, b"\x1f\x8b"),
    "zip": (0, b"PK\x03\x04"),
    "7z": (0, b"7z\xbc\xaf\x27\x1c"),
    "xz": (0, b"\xfd7zXZ\x00"),
    "zstd": (0, b"\x28\xb5\x2f\xfd"),
    "lz4": (0, b"\x04\x22\x4d\x18"),
    "lzip": (0, b"LZIP"),
    "compress": (0, b"\x1f\x9d"),
    "rar": (0, b"Rar!\x1a\x07"),
    "tar": (257, b"ustar"),
}
"""Name -> where its signature stands, and the signature."""

WEB_PAGE = re.compile(rb"\s*(<!doctype html|<html|<\?xml)", re.IGNORECASE)
LFS_POINTER = b"version https://git-lfs.github.com/"

HEAD = 512
"""Bytes from the beginning in which all of these but the signature of HDF5 stand."""

Format = Literal["hdf5", "pickle"]


def format_of(path: Path) -> Format:
    """Whether a file is an HDF5 file or a pickle; where its content does not tell, by its ending.

    Raises:
        ValueError: when it is an archive, a web page or the like, with what to do.
        OSError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
            if _has_hdf5_signature(file, path.stat().st_size):
                return "hdf5"
    except PermissionError:
        raise PermissionError(f"{path} cannot be opened: {NO_PERMISSION}") from None

    refused = _what_else(head)
    if refused:
        raise ValueError(f"{path} {refused}")
    if PICKLE.match(head):
        return "pickle"
    return "pickle" if path.suffix.lower() in PICKLE_ENDINGS else "hdf5"


def _has_hdf5_signature(file: BinaryIO, size: int) -> bool:
    offset = 0
    while offset < size:
        file.seek(offset)
        if file.read(len(HDF5)) == HDF5:
            return True
        offset = max(FIRST_OFFSET, 2 * offset)
    return False


def _what_else(head: bytes) -> str:
    """What a file that begins so is, and what to do; empty where it is none of those known."""
    for name, (offset, signature) in ARCHIVES.items():
        if head[offset:].startswith(signature):
            return (
                f"is packed ({name}): unpack it, and give the file that was in it, "
                "an HDF5 file or a pickle"
            )
    if WEB_PAGE.match(head):
        return "is a web page, not the data: download it again, logged in where that is asked for"
    if head.startswith(LFS_POINTER):
        return "is a pointer of Git LFS, not the data: fetch them with git lfs pull"
    if head.startswith(HDF5_CHANGED):
        return (
            "is an HDF5 file whose line ends were changed, as by a transfer as text; "
            "copy or download it again as a binary file"
        )
    return ""
