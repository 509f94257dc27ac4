"""What comes by the standard input, as a temporary file."""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO

from pisces.core.texts import readable_size

NAME = "-"
AT_ONCE = 4 * 2**20
"""Bytes that are copied at once."""
LEFT_FREE = 10**9
"""Bytes of the disk that a copy leaves free."""


def copied() -> IO[bytes]:
    """A copy of all that comes, in a named file that is gone when nobody holds it any more.

    Raises:
        ValueError: when nothing comes, or more than there is room for.
    """
    if sys.stdin.isatty():
        raise ValueError(f"{NAME} is a terminal, not a recording: pipe one into it")
    stream = sys.stdin.buffer
    copy = tempfile.NamedTemporaryFile(prefix="recording-")  # noqa: SIM115
    folder = Path(copy.name).parent

    size = 0
    while block := stream.read(AT_ONCE):
        if shutil.disk_usage(folder).free < LEFT_FREE + len(block):
            raise ValueError(
                f"{NAME} brings more than {readable_size(size)}, for which {folder} has no room: "
                "write it to a file and give that, or set TMPDIR to a folder with more room"
            )
        copy.write(block)
        size += len(block)
    copy.flush()
    if size == 0:
        raise ValueError(f"{NAME} is empty: see why what writes into it writes nothing")
    return copy
