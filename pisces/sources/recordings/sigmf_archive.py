"""Reader of SigMF archives: tar, plain or packed, and zip, read without unpacking them to files."""

import io
import lzma
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from sigmf.keys import SIGMF_ARCHIVE_EXTS, SIGMF_DATASET_EXT, SIGMF_METADATA_EXT

from pisces.core.texts import in_one_line
from pisces.sources.recordings import sigmf_metadata
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.contents import Contents, FileContents, copy_of
from pisces.sources.recordings.sigmf_recording import recordings

MOST_MEMBERS = 10_000
TAR_AT = 257
"""Where the signature of tar stands."""
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
)
"""What the standard library raises on archives that are damaged, encrypted or packed otherwise."""


@dataclass(frozen=True)
class Archive:
    """An open archive."""

    path: Path
    file: tarfile.TarFile | zipfile.ZipFile

    def open(self, name: str) -> IO[bytes]:
        """A file in it, to be read from its beginning."""
        if isinstance(self.file, zipfile.ZipFile):
            return self.file.open(name)
        stream = self.file.extractfile(name)
        assert stream is not None, "only regular files are listed"
        return stream


def is_archive(path: Path, head: bytes, _options: Options) -> bool:
    """Whether a file is an archive, by its ending or as tar."""
    has_ending = any(path.name.lower().endswith(ending) for ending in SIGMF_ARCHIVE_EXTS)
    return has_ending or head[TAR_AT:].startswith(b"ustar")


def open_archive(path: Path, options: Options) -> list[Recording]:
    """All recordings in an archive.

    A plain tar is read where it lies. Packed data are unpacked to a temporary copy, since they
    cannot be read by position; it is gone with the last recording.

    Raises:
        ValueError: when it is damaged, or a name in it leaves its folder.
    """
    try:
        archive = _opened(path)
        with archive.file:
            return _recordings(archive, options)
    except DAMAGED as error:
        raise ValueError(
            f"{path} cannot be read as an archive ({in_one_line(error, 200)}): copy it again, or "
            "unpack it and give the .sigmf-meta in it"
        ) from None


def _opened(path: Path) -> Archive:
    if zipfile.is_zipfile(path):
        return Archive(path, zipfile.ZipFile(path))
    return Archive(path, tarfile.open(path, "r:*"))


def _sizes(archive: Archive) -> dict[str, int]:
    """Name of each file in an archive -> its bytes.

    Raises:
        ValueError: when it holds anything but files and folders within its own.
    """
    if isinstance(archive.file, zipfile.ZipFile):
        members = archive.file.infolist()
        _require_inside(archive.path, [one.filename for one in members])
        return {one.filename: one.file_size for one in members if not one.is_dir()}

    listed = list(islice(archive.file, MOST_MEMBERS + 1))
    _require_inside(archive.path, [member.name for member in listed])
    for member in listed:
        if not (member.isfile() or member.isdir()):
            raise ValueError(
                f"{archive.path} holds {member.name!r}, a link or device; an archive of SigMF "
                "holds files only: pack it anew"
            )
    return {member.name: member.size for member in listed if member.isfile()}


def _require_inside(path: Path, names: list[str]) -> None:
    """Raises ValueError where a name leads out of the folder that an archive stands for."""
    if len(names) > MOST_MEMBERS:
        raise ValueError(f"{path} holds more than {MOST_MEMBERS} files: unpack and give them")
    for name in names:
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        is_absolute = posix.is_absolute() or bool(windows.anchor)
        if is_absolute or ".." in posix.parts or ".." in windows.parts:
            raise ValueError(
                f"{path} holds {name!r}, a path that leaves the folder of the archive; it is not "
                "read: pack it anew"
            )


def _recordings(archive: Archive, options: Options) -> list[Recording]:
    sizes = _sizes(archive)
    found = []
    for name, size in sizes.items():
        if not name.endswith(SIGMF_METADATA_EXT):
            continue
        where = f"{archive.path}: {name}"
        if size > sigmf_metadata.MOST_BYTES:
            raise ValueError(
                f"{where} has {size} bytes; at most {sigmf_metadata.MOST_BYTES} are read"
            )
        with archive.open(name) as stream:
            description = sigmf_metadata.describe(stream.read(), where)

        own = PurePosixPath(name).with_suffix(SIGMF_DATASET_EXT).name
        data = str(PurePosixPath(name).with_name(PurePosixPath(description.dataset or own).name))
        if data not in sizes:
            raise ValueError(f"{archive.path} lacks {data}, the data of {name}: pack it anew")
        contents = _contents(archive, data, sizes[data])
        found += recordings(archive.path, PurePosixPath(data).name, description, contents, options)
    if not found:
        raise ValueError(
            f"{archive.path} holds no {SIGMF_METADATA_EXT}: it is no archive of SigMF; unpack it "
            "and give the files in it"
        )
    return found


def _contents(archive: Archive, name: str, size: int) -> Contents:
    """A file of `size` bytes called `name` in an archive, by position."""
    where = f"{archive.path}: {name}"
    if isinstance(archive.file, tarfile.TarFile):
        member = archive.file.getmember(name)
        is_plain = isinstance(archive.file.fileobj, io.BufferedReader)
        if is_plain and not member.issparse():
            return FileContents(archive.path, where, size, member.offset_data)
    with archive.open(name) as stream:
        return copy_of(stream, where, size)
