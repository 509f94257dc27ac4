"""Reader of RML2018.01A: an HDF5 file of frames `X`, one-hot modulations `Y` and SNRs `Z`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from pisces.core import hdf5
from pisces.core.dsp import to_complex
from pisces.core.modulations import CLASS_ORDERS, DIGITAL, MODULATIONS
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.sources import class_order as orders
from pisces.sources import snr_order
from pisces.sources.base import (
    MIN_SAMPLES,
    Block,
    K,
    Preset,
    Reader,
    Source,
    as_float32,
    is_usable,
    require_file,
)

DATASET = "RML2018.01A"
SNRS_DB = range(-20, 31, 2)
LABEL_ROWS = 65_536
"""Labels are read so many rows at once."""
MOST_FRAMES, MOST_SAMPLES = 100_000_000, 65_536
"""Of a file: 40 times those of RML2018.01A, and the longest frame that can be generated."""
BLOCK_BYTES = 32 * 2**20
"""Frames are read in blocks of so many bytes, which with their copies bounds the memory."""


class Label(NamedTuple):
    """The labels of a frame in the file; only the class order gives a column its meaning."""

    column: int  # of `Y`
    snr_db: int


@contextmanager
def open_source(path: Path, class_order: str) -> Iterator[Source]:
    """An open file whose layout, labels and class order have been checked.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in the layout of RML2018.01A, or contradicts the order.
    """
    with open_file(path) as file:
        labelled = rows_by_label(file)
        amiss = snr_order.what_is_amiss(_sample(file, labelled))
        try:
            measured = features_by_column(file, labelled)
            order = orders.check_class_order(class_order, measured, str(path))
        except ValueError:
            # Wrong labels name other frames than those of the highest SNRs, which it is judged on.
            if amiss:
                raise ValueError(snr_order.complaint(path, amiss)) from None
            raise

        classes = CLASS_ORDERS[class_order]
        rows = {Cell(classes[label.column], label.snr_db): r for label, r in labelled.items()}
        samples = file["X"].shape[1]
        yield Source(path, samples, rows, partial(read_frames, file), order, snr_amiss=amiss)


def _sample(file: h5py.File, labelled: Mapping[Label, np.ndarray]) -> snr_order.Sample:
    return snr_order.sample_of(labelled, lambda row: _read_rows(file, np.array([row])))


PRESETS = (
    Preset("rml2018", DIGITAL, tuple(SNRS_DB)[10:]),
    Preset("rml2018_iq", MODULATIONS, tuple(SNRS_DB)),
)
READER = Reader(DATASET, PRESETS, open_source)


@contextmanager
def open_file(path: Path) -> Iterator[h5py.File]:
    """An open file whose datasets have the shapes and types of RML2018.01A.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged or has another layout.
        OSError: when it is locked, or may not be read.
    """
    require_file(path)
    try:
        file = hdf5.open_file(path)
    except hdf5.DamagedError as error:
        raise _damaged(path, error) from None
    with file:
        try:
            with hdf5.looking_at(file):
                _check_layout(file)
        except hdf5.DamagedError as error:
            raise _damaged(path, error) from None
        yield file


def _damaged(path: Path, error: hdf5.DamagedError) -> ValueError:
    return ValueError(f"{path} cannot be read as HDF5: {error}; copy or download it again")


def _check_layout(file: h5py.File) -> None:
    for name in "XYZ":
        amiss = _what_is_amiss(file, name)
        if amiss:
            raise ValueError(f"{file.filename} {amiss}; RML2018.01A has the datasets X, Y and Z")
    x = file["X"]
    n = x.shape[0] if x.ndim else 0
    samples = x.shape[1] if x.ndim > 1 else 0
    classes = len(MODULATIONS)

    frames = f"(frames, at least {MIN_SAMPLES} samples, 2)"
    _check_dataset(x, (n, max(samples, MIN_SAMPLES), 2), frames, "floating", kinds="f")
    one_hot = f"({n}, {classes}): one row a frame of X"
    _check_dataset(file["Y"], (n, classes), one_hot, "integer", kinds="biuf")
    snrs = f"({n}, 1): one row a frame of X"
    _check_dataset(file["Z"], (n, 1), snrs, "integer", kinds="iuf")

    if n == 0:
        raise ValueError(f"{file.filename} holds no frames")
    if n > MOST_FRAMES or samples > MOST_SAMPLES:
        raise ValueError(
            f"{file.filename} says that X holds {n} frames of {samples} samples; at most "
            f"{MOST_FRAMES} of {MOST_SAMPLES} are read: take a part of the file, if they are there"
        )


def _what_is_amiss(file: h5py.File, name: str) -> str:
    """Why there is no dataset of this name to be read; empty where there is."""
    if name not in list(file):  # `in file` follows links, and fails where they circle
        return f"has no dataset {name} but {', '.join(file) or 'nothing'}"
    link = file.get(name, getlink=True)
    try:
        found = file.get(name)
    except (OSError, RuntimeError):  # links that lead to each other, a file that is damaged
        found = None

    if isinstance(found, h5py.Dataset):
        return _missing_part(found)
    if isinstance(found, h5py.Group):
        return f"has a group {name}, not a dataset; it holds {', '.join(found) or 'nothing'}"
    if isinstance(link, h5py.SoftLink):
        return f"has {name} as a link to {link.path}, which leads to nothing or in a circle"
    if isinstance(link, h5py.ExternalLink):
        return (
            f"has {name} as a link to {link.path} in {link.filename}, which is not there: "
            "put that file beside it"
        )
    return f"has {name}, but not as a dataset that can be read"


def _missing_part(dataset: h5py.Dataset) -> str:
    """Which file of a dataset made of several is not there: of it, zeros would be read."""
    if not dataset.is_virtual:
        return ""
    folder = Path(dataset.file.filename).parent
    for source in dataset.virtual_sources():
        is_elsewhere = source.file_name != "."
        if is_elsewhere and not (folder / source.file_name).is_file():
            return f"takes {dataset.name[1:]} from {source.file_name}, which is not there"
    return ""


def _check_dataset(
    dataset: h5py.Dataset, shape: tuple[int, ...], required: str, dtype: str, *, kinds: str
) -> None:
    """Raises ValueError unless a dataset has a shape and one of the NumPy kinds of type.

    `required` and `dtype` say shape and type in words.
    """
    name = f"{dataset.name.removeprefix('/')} in {dataset.file.filename}"
    if dataset.shape != shape:
        raise ValueError(f"{name} has shape {dataset.shape}; it must be {required}")
    if dataset.dtype.kind not in kinds:
        raise ValueError(f"{name} has type {dataset.dtype}; it must be {dtype}")


def rows_by_label(file: h5py.File) -> dict[Label, np.ndarray]:
    """The rows, int64 (n,) ascending, of every label that has any.

    Raises:
        ValueError: naming the first row whose `Y` is not one-hot or whose `Z` is no SNR of
            RML2018.01A.
        OSError: when they cannot be read.
    """
    n = len(file["Y"])
    codes = np.empty(n, np.int16)  # one number a label, so that one sort groups them
    for start in progress(range(0, n, LABEL_ROWS), "reading labels"):
        block = slice(start, min(start + LABEL_ROWS, n))
        columns = _columns(hdf5.read(file["Y"], block), start, file.filename)
        snr_indices = _snr_indices(hdf5.read(file["Z"], block)[:, 0], start, file.filename)
        codes[block] = columns * len(SNRS_DB) + snr_indices

    rows = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[rows], return_index=True)
    columns, snr_indices = np.divmod(found, len(SNRS_DB))
    parts = np.split(rows, starts[1:])
    return {
        Label(int(column), SNRS_DB[snr_index]): part
        for column, snr_index, part in zip(columns, snr_indices, parts, strict=True)
    }


def _columns(y: np.ndarray, start: int, name: str) -> np.ndarray:
    """Where the 1 stands in each row of `Y` (n, 24), of which the first is row `start`."""
    ones, others = (y == 1).sum(1), (y != 0).sum(1)
    bad = (ones != 1) | (others != 1)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"Y in {name} is not one-hot at row {start + i}: {y[i].tolist()}; "
            "each row must hold a single 1 among 0s"
        )
    return y.argmax(1)


def _snr_indices(z: np.ndarray, start: int, name: str) -> np.ndarray:
    """Index in `SNRS_DB` of each of `Z` (n,), of which the first is row `start`."""
    bad = ~np.isin(z, SNRS_DB)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"Z in {name} is {z[i]} at row {start + i}; "
            "the SNRs of RML2018.01A are -20, -18, .. 30 dB"
        )
    return (z.astype(np.int64) - SNRS_DB.start) // SNRS_DB.step


def read_frames(file: h5py.File, groups: Mapping[K, np.ndarray]) -> Iterator[Block[K]]:
    """Frames of groups of rows in one pass over the file, block by block.

    Rows of a group come in ascending order. Stretches without a wanted row are not read.

    Raises:
        OSError: when the file cannot be read there.
    """
    keys = list(groups)
    sizes = [len(groups[key]) for key in keys]
    rows = np.concatenate([groups[key] for key in keys])
    owners = np.repeat(np.arange(len(keys)), sizes)  # index in `keys` of each row
    in_file_order = np.argsort(rows, kind="stable")
    rows, owners = rows[in_file_order], owners[in_file_order]

    edges = np.flatnonzero(np.diff(rows // _rows_at_once(file))) + 1
    blocks = list(zip(np.split(rows, edges), np.split(owners, edges), strict=True))
    for block_rows, block_owners in progress(blocks, "reading frames"):
        frames = _read_rows(file, block_rows)
        for owner in np.unique(block_owners):
            owned = block_owners == owner
            yield Block(keys[owner], block_rows[owned], frames[owned])


def _rows_at_once(file: h5py.File) -> int:
    x = file["X"]
    frame_bytes = x.dtype.itemsize * int(np.prod(x.shape[1:]))
    return max(1, BLOCK_BYTES // frame_bytes)


def _read_rows(file: h5py.File, rows: np.ndarray) -> np.ndarray:
    first, last = int(rows[0]), int(rows[-1])
    span = hdf5.read(file["X"], slice(first, last + 1))
    return as_float32(span[rows - first])


def features_by_column(
    file: h5py.File, labelled: Mapping[Label, np.ndarray]
) -> dict[int, dict[str, float]]:
    """`class_order.features` of each column of `Y` that has usable frames of high SNR.

    Columns that are not selected for training are measured, too.
    """
    groups = _judged_rows(labelled)
    if not groups:
        return {}
    parts: dict[int, list[np.ndarray]] = {column: [] for column in groups}
    for column, _, frames in read_frames(file, groups):
        parts[column].append(frames[is_usable(frames)])
    measured = {}
    for column, blocks in parts.items():
        frames = np.concatenate(blocks)
        if len(frames):
            measured[column] = orders.features(to_complex(frames))
    return measured


def _judged_rows(labelled: Mapping[Label, np.ndarray]) -> dict[int, np.ndarray]:
    """Column of `Y` -> the rows that its class is judged on, ascending."""
    high = {snr_db for _, snr_db in labelled if snr_db >= orders.JUDGED_FROM_DB}
    highest = sorted(high)[-orders.JUDGED_SNRS :]
    parts: dict[int, list[np.ndarray]] = {}
    for column, snr_db in sorted(labelled):
        if snr_db in highest:
            parts.setdefault(column, []).append(labelled[Label(column, snr_db)])
    return {
        column: np.sort(np.concatenate(rows))[: orders.JUDGED_FRAMES]
        for column, rows in parts.items()
    }
