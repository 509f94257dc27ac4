"""The chunks of a WAV file: whether all that its header promises is there."""

import struct
from pathlib import Path

from pisces.core.texts import counted

RIFF, RF64, BIG_ENDIAN = b"RIFF", b"RF64", b"RIFX"
CHUNK_HEAD = 8
"""Bytes of a chunk before its content: its name, its size."""
FIRST_CHUNK = 12
FMT_BYTES = 16
MOST_CHUNKS = 1_000
SIZE_UNKNOWN = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000, 0x80000000)
"""What programs write as the size of data of which they do not know the end, as into a pipe."""


def require_whole(path: Path) -> None:
    """Raises ValueError when a WAV file promises more data than it has, or no channel.

    Its header may leave the size open. Files of other formats pass; libsndfile judges them.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(FIRST_CHUNK)
        if head[:4] not in (RIFF, RF64, BIG_ENDIAN):
            return
        number = ">" if head[:4] == BIG_ENDIAN else "<"
        data_bytes_64 = None

        position = FIRST_CHUNK
        for _ in range(MOST_CHUNKS):
            file.seek(position)
            chunk = file.read(CHUNK_HEAD)
            if len(chunk) < CHUNK_HEAD:
                break
            name, length = struct.unpack(f"{number}4sI", chunk)
            position += CHUNK_HEAD
            if name == b"ds64":
                _, data_bytes_64 = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
            if name == b"fmt ":
                _require_format(path, file.read(FMT_BYTES), number)
            if name == b"data":
                _require_data(path, size - position, length, data_bytes_64)
                return
            position += length + length % 2  # chunks begin at even bytes
    raise ValueError(f"{path} is a WAV file without data, or cut off before them: copy it again")


def _require_format(path: Path, content: bytes, number: str) -> None:
    if len(content) < FMT_BYTES:
        raise ValueError(f"{path} is cut off in its header: copy it again")
    channels, rate_hz = struct.unpack(f"{number}HI", content[2:8])
    if channels == 0 or rate_hz == 0:
        raise ValueError(
            f"{path} says {counted(channels, 'channel')} at {rate_hz} Hz; both must be 1 or "
            "more: write its header anew, or give its samples as raw ones with --datatype"
        )


def _require_data(path: Path, there: int, promised: int, promised_64: int | None) -> None:
    if promised == 0xFFFFFFFF and promised_64:
        promised = promised_64
    if promised in SIZE_UNKNOWN:
        return
    if promised > there:
        raise ValueError(
            f"{path} is cut off: {there} of {promised} bytes of samples are there; copy it again, "
            "or correct the size in its header"
        )
