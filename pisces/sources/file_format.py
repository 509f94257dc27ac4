"""What kind of file a file is, by its content: names and endings say little of published files."""

import codecs
import re
from pathlib import Path
from typing import BinaryIO, Literal

from pisces.core.hdf5 import NO_PERMISSION

HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_CHANGED = (b"\x89HDF\n\x1a\n", b"\x89HDF\r\r\n\x1a\r\n")
"""Its signature with other line ends, which it has to show just that."""
RECODED = re.compile(rb"(\xef\xbf\xbd|\xc2\x89)HDF|(\xef\xbf\xbd|\xc2\x80)[\x02-\x05]")
"""How HDF5 files and pickles begin that were decoded as text and encoded as UTF-8."""
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

LENGTH_OF_NAME, FIRST_NAME = slice(26, 28), 30
"""Where the name of the first member of a zip stands."""
ZIPS = {
    "a NumPy archive (.npz)": rb"[^/]+\.npy",
    "a file of PyTorch": rb"[^/]+/(data\.pkl|\.format_version|\.data/.*)",
    "an office document": rb"\[Content_Types\]\.xml|mimetype",
}
"""What it is -> how its first member is called, of formats that are zips."""
OTHERS = {
    "a NumPy array (.npy)": rb"\x93NUMPY",
    "a MATLAB file of version 5 (.mat)": rb"MATLAB 5\.0 MAT-file",
    "an HDF4 file": rb"\x0e\x03\x13\x01",
    "a netCDF file of version 3": rb"CDF[\x01\x02\x05]",
    "a Parquet table": rb"PAR1",
    "an Arrow table": rb"ARROW1",
    "an SQLite database": rb"SQLite format 3",
    "a PNG picture": rb"\x89PNG\r\n\x1a\n",
    "a JPEG picture": rb"\xff\xd8\xff",
    "a GIF picture": rb"GIF8[79]a",
    "a TIFF picture": rb"II\*\x00|MM\x00\*",
    "a PDF document": rb"%PDF-",
    "a WAV recording": rb"(RIFF|RF64|BW64|RIFX)[\x00-\xff]{4}WAVE",
    "an AIFF recording": rb"FORM[\x00-\xff]{4}AIF[FC]",
    "a FLAC recording": rb"fLaC",
    "an Ogg recording": rb"OggS",
    "a Midas Blue recording": rb"BLUE(EEEI|IEEE)",
    "the metadata of a SigMF recording": rb"\s*\{[\x00-\xff]*\"core:",
    "a program": rb"\x7fELF|MZ",
}
"""What it is -> how such a file begins."""
RAW_ENDINGS = (".sigmf-data", ".cfile", ".iq", ".cf32", ".cs16", ".cs8", ".cu8", ".fc32", ".raw")
"""Of recordings whose content shows nothing."""

READABLE = (
    "data.path takes HDF5 files in the layout of RML2018.01A, and pickles as RML2016.10a and "
    "RML2016.10b"
)

HEAD = 4096
"""Bytes from the beginning in which all of these but the signature of HDF5 stand."""
SHOWN = 40
"""Characters of a text in a message."""

Format = Literal["hdf5", "pickle"]


def format_of(path: Path) -> Format:
    """Whether a file is an HDF5 file or a pickle; where its content does not tell, by its ending.

    Raises:
        ValueError: when it is an archive, a web page, a picture or the like, with what to do.
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
    other = _foreign(head, path.suffix.lower())
    if other:
        raise ValueError(f"{path} is {other}, and {READABLE}")
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
    if not head:
        return f"is empty: copy or download it again; {READABLE}"
    if not any(head):
        return "begins with zeros, as a download that never ended: copy or download it again"
    foreign_zip = _foreign_zip(head)
    for name, (offset, signature) in ARCHIVES.items():
        if head[offset:].startswith(signature) and not foreign_zip:
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
    if RECODED.match(head):
        return (
            "is binary data that were copied as text: its bytes are those of UTF-8 now; "
            "copy or download it again as a binary file"
        )
    return ""


def _foreign(head: bytes, ending: str) -> str:
    """What a file is that is neither HDF5 nor a pickle, with its article; empty if unknown."""
    for name, begins in OTHERS.items():
        if re.match(begins, head):
            return name
    if foreign_zip := _foreign_zip(head):
        return foreign_zip
    text = _as_text(head)
    if text:
        return f"text, which begins with {text[:SHOWN]!r}"
    if ending in RAW_ENDINGS:
        return f"by its ending ({ending}) a recording of samples without labels"
    return ""


def _foreign_zip(head: bytes) -> str:
    """What else a zip is than a packed file; empty where it is none, or nothing else."""
    if not head.startswith(ARCHIVES["zip"][1]):
        return ""
    length = int.from_bytes(head[LENGTH_OF_NAME], "little")
    first = head[FIRST_NAME : FIRST_NAME + length]
    return next((name for name, member in ZIPS.items() if re.fullmatch(member, first)), "")


def _as_text(head: bytes) -> str:
    """The beginning of a text; empty where it is none."""
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head).strip()
    except UnicodeDecodeError:
        return ""
    return text if all(one.isprintable() or one.isspace() for one in text) else ""
