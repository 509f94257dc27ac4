"""Files that one stage writes and another reads: as written, or one line that says why not.

Whoever opens such a file goes through here, so that a damaged one is named with the stage that
makes it, and no other library's message reaches the user alone.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from pisces.core import way_back
from pisces.core.texts import counted

if TYPE_CHECKING:
    import pandas

_DAMAGED_ARRAYS = (ValueError, TypeError, EOFError, OSError, KeyError, RuntimeError)
"""What NumPy and zipfile raise, the last for what no archive of NumPy's has, such as encryption."""

Columns = Mapping[str, Literal["text", "number"]]
"""Name of a column that must be there -> what it holds."""


def damaged(path: Path, stage: str, reason: str) -> ValueError:
    """The error for a file that is not as its stage writes it.

    Args:
        path: of the file.
        stage: that makes it.
        reason: what is wrong with it, a clause.

    Returns:
        An error to be raised, which names the commands that mend it.
    """
    again = f"make it again with dvc repro --force {stage}"
    remedy = ", or ".join([*way_back.advice(path), again])
    return ValueError(f"{path} is not as the stage {stage} writes it: {reason}; {remedy}")


def require(path: Path, stage: str) -> None:
    """Raises FileNotFoundError unless there is such a file, which `stage` makes."""
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is a folder, not a file; remove it and run dvc repro {stage}"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; make it with dvc repro {stage}")


def read_npz(path: Path, stage: str, names: Iterable[str]) -> dict[str, np.ndarray]:
    """All arrays of an .npz file.

    Args:
        path: of the file.
        stage: that makes it.
        names: of arrays that must be there.

    Returns:
        Name -> array, those that were not asked for among them.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, or lacks an array.
    """
    require(path, stage)
    try:
        with np.load(path) as file:
            arrays = dict(file)
    except PermissionError:
        raise
    except (*_DAMAGED_ARRAYS, zipfile.BadZipFile, zlib.error):
        # NumPy's own words advise to unpickle what is no array.
        reason = "it cannot be read as arrays of numbers and texts, so it is cut off or damaged"
        raise damaged(path, stage, reason) from None

    missing = [name for name in names if name not in arrays]
    if missing:
        raise damaged(path, stage, f"it lacks {', '.join(missing)}")
    return arrays


def read_csv(path: Path, stage: str, columns: Columns) -> "pandas.DataFrame":
    """A table with all its columns.

    Args:
        path: of the file.
        stage: that makes it.
        columns: that must be there, and whether they hold texts or numbers; an empty cell is
            missing in either.

    Returns:
        The table; columns of texts stay texts where these are digits.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is cut off or damaged, lacks a column, or has a text for a number.
    """
    import pandas

    require(path, stage)
    try:
        text = path.read_text(encoding="utf-8")
        lines = list(csv.reader(io.StringIO(text), strict=True))
    except (UnicodeDecodeError, csv.Error):
        raise damaged(path, stage, "it is no table of text") from None
    _check_lines(path, stage, text, lines)

    missing = [name for name in columns if name not in lines[0]]
    if missing:
        raise damaged(path, stage, f"it lacks the column {', '.join(missing)}")

    texts = {name: str for name, kind in columns.items() if kind == "text"}
    rows = pandas.read_csv(io.StringIO(text), dtype=texts)
    for name, kind in columns.items():
        is_number = pandas.api.types.is_numeric_dtype(rows[name])
        if kind == "number" and len(rows) and not is_number:
            raise damaged(path, stage, f"its column {name} holds more than numbers")
    return rows


def _check_lines(path: Path, stage: str, text: str, lines: list[list[str]]) -> None:
    """Raises ValueError unless every line is whole and has as many values as the first."""
    if not lines:
        raise damaged(path, stage, "it is empty")
    for number, line in enumerate(lines, 1):
        if len(line) != len(lines[0]):
            raise damaged(
                path, stage, f"line {number} has {counted(len(line), 'value')}, not {len(lines[0])}"
            )
    # pandas ends every line, so the last number may have lost digits.
    if not text.endswith("\n"):
        raise damaged(path, stage, "its last line is cut off")


def check_rising(index: np.ndarray) -> None:
    """Raises ValueError, with a clause, unless an index (n, 3) names each frame once, in order."""
    if not np.array_equal(index, np.unique(index, axis=0)):
        raise ValueError("its frames do not stand in their order, each once")


def check_index(index: np.ndarray, sizes: np.ndarray) -> None:
    """Raises ValueError, with a clause, unless an index names frames that there are.

    Args:
        index: int64 (n, 3): modulation, SNR, row in the shard.
        sizes: frames of each cell, int64 (modulations, SNRs).
    """
    if index.dtype != np.int64 or index.ndim != 2 or index.shape[1] != 3:
        raise ValueError(f"frames are {index.dtype} {index.shape}, not int64 (n, 3)")
    if len(index) == 0:
        raise ValueError("it names no frame")

    modulations, snrs = sizes.shape
    m, s, row = index.T  # (n,) each
    is_cell = (m >= 0) & (m < modulations) & (s >= 0) & (s < snrs)
    frames_of_cell = np.zeros(len(index), np.int64)  # where there is no such cell
    frames_of_cell[is_cell] = sizes[m[is_cell], s[is_cell]]

    is_there = (row >= 0) & (row < frames_of_cell)
    if not is_there.all():
        first = int(is_there.argmin())
        raise ValueError(
            f"it names row {row[first]} of modulation {m[first]} at SNR {s[first]}, counted from "
            f"0, which the {modulations} x {snrs} shards do not hold, so it is of other frames"
        )
