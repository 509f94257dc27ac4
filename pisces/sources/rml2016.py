"""RML2016.10a and 10b as files: a pickled dict of (modulation, SNR in dB) -> frames, I then Q."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np

from pisces.core.files import staged
from pisces.core.modulations import NAMES, RML2016, RML2016B
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.core.texts import counted
from pisces.sources import safe_pickle, snr_order
from pisces.sources.base import MIN_SAMPLES, Block, Preset, Reader, Source, as_float32, require_file
from pisces.sources.safe_pickle import as_text, described

DATASET = "RML2016.10a"
LAYOUT = "RML2016.10a is a dict of (modulation, SNR in dB) -> floating array (frames, 2, samples)"
SNR_DB_MAX = 1000
"""Either way; beyond it, powers overflow."""


@contextmanager
def open_source(path: Path, _class_order: str) -> Iterator[Source]:
    """A file that has been read; its frames are labelled by name, so the class order is not used.

    Rows count the frames of the cells in the order of their names and SNRs: i in the first, its
    size + i in the second, and so on.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: as `read`, and for frames of fewer than `MIN_SAMPLES` samples.
    """
    arrays = read(path)
    samples = next(iter(arrays.values())).shape[2]
    if samples < MIN_SAMPLES:
        found = counted(samples, "sample")
        raise ValueError(f"{path} holds frames of {found}; the least is {MIN_SAMPLES}")

    rows: dict[Cell, np.ndarray] = {}
    start = 0
    for cell, array in arrays.items():
        rows[cell] = np.arange(start, start + len(array))
        start += len(array)

    def frames_of(cell: Cell, wanted: np.ndarray) -> np.ndarray:
        frames = arrays[cell][wanted - rows[cell][0]]
        return as_float32(frames.transpose(0, 2, 1))  # (n, 2, samples) -> (n, samples, 2)

    def read_blocks(groups: Mapping[Cell, np.ndarray]) -> Iterator[Block[Cell]]:
        for cell, wanted in progress(groups.items(), "reading frames"):
            yield Block(cell, wanted, frames_of(cell, wanted))

    def cell_of(row: int) -> Cell:
        return next(cell for cell, own in rows.items() if own[0] <= row <= own[-1])

    def place(row: int) -> str:
        cell = cell_of(row)
        return f"index {row - rows[cell][0]} of ({cell.modulation}, {cell.snr_db})"

    def read_row(row: int) -> np.ndarray:
        return frames_of(cell_of(row), np.array([row]))

    amiss = snr_order.what_is_amiss(snr_order.sample_of(rows, read_row))
    yield Source(path, samples, rows, read_blocks, None, place, amiss)


SNRS_DB = tuple(range(-20, 19, 2))
PRESETS = (Preset("rml2016a", RML2016, SNRS_DB), Preset("rml2016b", RML2016B, SNRS_DB))
READER = Reader(DATASET, PRESETS, open_source)


def read(path: Path) -> dict[Cell, np.ndarray]:
    """Frames of every cell, sorted by name and SNR: floating (frames, 2, samples), read-only.

    Pickles of Python 2 (protocols 0 to 2) and Python 3 (up to 5) are read. The format allows no
    reading in parts: all frames are in memory until the caller drops them. RML2016.10a has 225 MB
    of them, in a file that is larger, since it spells most bytes in four letters; RML2016.10b has
    1.2 GB.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is cut off, asks for anything but arrays, or holds anything but the dict
            that `LAYOUT` describes.
    """
    require_file(path)
    content = _unpickled(path)
    if not isinstance(content, safe_pickle.PickledDict) or not content:
        raise ValueError(f"{path} holds {described(content)}; {LAYOUT}")

    arrays: dict[Cell, np.ndarray] = {}
    for key, value in content:
        cell = _cell(key, path)
        if cell in arrays:
            raise ValueError(
                f"{path} holds the key {described(key)} twice; "
                "each (modulation, SNR in dB) must be there once"
            )
        arrays[cell] = _array(value, key, path)

    lengths = {array.shape[2] for array in arrays.values()}
    if len(lengths) > 1:
        raise ValueError(
            f"{path} holds frames of {min(lengths)} and {max(lengths)} samples; "
            "all must have the same number"
        )
    return dict(sorted(arrays.items()))


def write(path: Path, arrays: Mapping[Cell, np.ndarray]) -> None:
    """Writes frames, each cell (frames, 2, samples), as Python 2 would read them.

    The file appears whole or not at all.

    Raises:
        OSError: when `path` cannot be written.
    """
    content = {tuple(cell): np.ascontiguousarray(array) for cell, array in arrays.items()}
    with staged(path) as temporary, temporary.open("wb") as file:
        pickler = pickle.Pickler(file, protocol=2)
        pickler.fast = True  # no memo, which would hold every cell twice more
        pickler.dump(content)


def _unpickled(path: Path) -> Any:
    try:
        return safe_pickle.load(path)
    except safe_pickle.Refused as refused:
        raise ValueError(
            f"{path} asks for {refused}, and only NumPy arrays are read from a pickle; {LAYOUT}"
        ) from None
    except safe_pickle.LineEndsChanged as changed:
        raise ValueError(
            f"{path} is a pickle whose line ends were changed from {changed}, as by a transfer as "
            "text or by git with core.autocrlf; copy or download it again as a binary file"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"{path} cannot be read as a pickle of arrays: cut off, or not such a file ({error}); "
            f"copy or download it again; {LAYOUT}"
        ) from None


def _cell(key: Any, path: Path) -> Cell:
    """The cell that a key names; ValueError for anything but (modulation, SNR in dB)."""
    if not _is_cell(key):
        raise ValueError(f"{path} holds the key {described(key)}; {LAYOUT}")
    name, snr_db = key
    if as_text(name) not in NAMES:
        raise ValueError(
            f"{path} holds the modulation {described(name)}; known are {', '.join(NAMES)}"
        )
    if abs(snr_db) > SNR_DB_MAX:
        raise ValueError(
            f"{path} holds the key {described(key)}; SNRs are from {-SNR_DB_MAX} to {SNR_DB_MAX} dB"
        )
    return Cell(as_text(name), int(snr_db))


def _is_cell(key: Any) -> bool:
    if not isinstance(key, tuple) or len(key) != 2:
        return False
    name, snr_db = key
    is_whole = isinstance(snr_db, Integral) and not isinstance(snr_db, bool)
    return isinstance(name, str | bytes) and is_whole


def _array(value: Any, key: tuple[Any, Any], path: Path) -> np.ndarray:
    """The frames under a key; ValueError for anything but a floating array (frames, 2, samples)."""
    array = value.array if isinstance(value, safe_pickle.PickledArray) else None
    if array is None:
        raise ValueError(f"{path} holds {described(value)} under {described(key)}; {LAYOUT}")
    if array.ndim != 3 or array.shape[1] != 2 or not array.size:
        found = f"shape {array.shape}"
    elif array.dtype.kind != "f":
        found = f"type {array.dtype}"
    else:
        return array
    raise ValueError(f"{path} holds an array of {found} under {described(key)}; {LAYOUT}")
