"""Bytes of a file by their position, wherever the file lies: none stays in memory."""

import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from pisces.core.progress import progress
from pisces.core.texts import readable_size

AT_ONCE = 4 * 2**20
"""Bytes that are copied or hashed at once."""
IN_MEMORY = 32 * 2**20
"""Bytes of a temporary copy that need no disk."""


class Contents(Protocol):
    """Bytes by their position."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`.

        Raises:
            ValueError: when they are not there.
        """


@dataclass(frozen=True)
class FileContents:
    """A file, or a part of one. It is opened for each read, so that none stays open."""

    path: Path
    name: str
    size: int
    first: int = 0
    """Where the part begins in the file."""

    def read(self, offset: int, count: int) -> bytes:
        with self.path.open("rb", buffering=0) as file:
            file.seek(self.first + offset)
            return _read_all(file, count, self.name)


class TemporaryContents:
    """A copy of what cannot be read by position, gone when nobody holds it any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115

    def append(self, block: bytes) -> None:
        """Adds bytes at the end, before anything is read."""
        self._file.write(block)
        self.size += len(block)

    def read(self, offset: int, count: int) -> bytes:
        self._file.seek(offset)
        return _read_all(self._file, count, self.name)

    def __del__(self) -> None:
        self._file.close()


def of_file(path: Path) -> FileContents:
    """The contents of a whole file."""
    return FileContents(path, str(path), path.stat().st_size)


def copy_of(stream: IO[bytes], name: str, size: int) -> TemporaryContents:
    """A temporary copy of the bytes of a stream, in memory where it is small.

    Args:
        stream: at the first of them.
        name: for messages.
        size: bytes that are copied.

    Returns:
        The copy, gone when nobody holds it any more.

    Raises:
        ValueError: when there is no room for it, or the stream ends before.
    """
    require_room(name, size)
    copy = TemporaryContents(name)
    for start in progress(range(0, size, AT_ONCE), f"unpacking {name}"):
        copy.append(_read_all(stream, min(AT_ONCE, size - start), name))
    return copy


def require_room(name: str, size: int) -> None:
    """Raises ValueError unless a temporary copy of so many bytes has room."""
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if size > free:
        raise ValueError(
            f"{name} needs {readable_size(size)} in {folder}, where {readable_size(free)} are "
            "free: set TMPDIR to a folder with more room, or unpack it and give the files in it"
        )


def sha512(contents: Contents) -> str:
    """Hex digest of all bytes, with progress."""
    digest = hashlib.sha512()
    for start in progress(range(0, contents.size, AT_ONCE), f"checking {contents.name}"):
        digest.update(contents.read(start, min(AT_ONCE, contents.size - start)))
    return digest.hexdigest()


def _read_all(file: IO[bytes], count: int, name: str) -> bytes:
    """`count` bytes from where the file is; a system reads 2 GB at once at most."""
    parts, missing = [], count
    while missing:
        part = file.read(missing)
        if not part:
            raise ValueError(
                f"{name} is cut off: {missing} of {count} bytes that should be there are not; "
                "copy it again, or wait until it is written"
            )
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
