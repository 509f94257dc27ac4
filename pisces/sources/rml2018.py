"""Reader of RML2018.01A and RML2016.10a: checks a file's layout and labels, and splits it into one shard a (modulation, SNR)."""

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import h5py
import numpy as np
import pandas as pd

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.files import staged
from pisces.core.modulations import CLASS_ORDERS, MODULATIONS, NAMES
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.sources import audit, rml2016

SNRS_DB = range(-20, 31, 2)
MIN_SAMPLES = 64
LABEL_ROWS = 65_536
BLOCK_BYTES = 32 * 2**20
"""Frames are read in blocks of so many bytes, which with their copies bounds the memory."""

ORDER_SNRS, ORDER_MIN_DB, ORDER_FRAMES = 3, 10, 32
"""The class order is judged on 32 frames a class of the three highest SNRs, from 10 dB up."""

K = TypeVar("K", bound=Hashable)
Label = tuple[int, int]
"""Column of `Y`, SNR in dB."""


@dataclass(frozen=True)
class Selection:
    """Which frames of which file are taken: the section `data` of params.yaml, as the library takes it."""

    path: str
    class_order: str  # a key of CLASS_ORDERS: what the columns of `Y` mean
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    frames_per_cell: int | None  # the first so many usable ones; None: all

    @property
    def classes(self) -> tuple[str, ...]:
        return CLASS_ORDERS[self.class_order]


class Source(NamedTuple):
    """A file of labelled frames, whatever its format."""

    path: Path
    samples: int
    rows: dict[Cell, np.ndarray]
    """Where the frames of each cell are in the file: int64 (n,), ascending."""
    read: Callable[[Mapping[Cell, np.ndarray]], Iterator[tuple[Cell, np.ndarray, np.ndarray]]]
    """Some of `rows` -> cell, rows (n,), float32 (n, samples, 2), block by block; errors as `read_frames`."""
    order: audit.OrderFindings | None
    """None where frames are labelled by name."""


class Audit(NamedTuple):
    """What was found out about a file and its labels."""

    summary: dict[str, Any]
    table: pd.DataFrame
    """See `audit.snr_table`."""
    warnings: list[str]


def split(data: Selection, out: Path) -> Audit:
    """Writes the selected frames of `data.path` as shards under `out` (which appears whole or not at all) and audits them.

    A shard holds `iq` float32 (n, samples, 2) and `row` int64 (n,), its frames' rows in the source, ascending; its attributes
    are `modulation`, `snr_db`, `source` (file name) and `source_sha256` (of the file's first MiB and its size). Frames are
    selected by what their labels say, never by where they lie; all-zero frames are left out. A path that ends in `.pkl` is a file in
    the layout of RML2016.10a, any other in that of RML2018.01A.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in its layout, lacks selected frames, holds NaN or infinity in a frame that is read, or
            contradicts the class order.
        OSError: when reading or writing fails.
    """
    path = Path(data.path)
    with (_from_pickle if path.suffix == ".pkl" else _from_hdf5)(path, data) as source:
        selected = _select(source, data)
        with staged(out) as root:
            kept, zeros = _write_shards(source, selected, data.frames_per_cell, root)
            table = audit.snr_table(root)
    return _report(source, kept, zeros, table, data.frames_per_cell)


@contextmanager
def _from_pickle(path: Path, _: Selection) -> Iterator[Source]:
    """Rows count the frames of the cells in the order of their names and SNRs: i in the first, its size + i in the second, and so on."""
    arrays = rml2016.read(path)
    samples = next(iter(arrays.values())).shape[2]
    if samples < MIN_SAMPLES:
        raise ValueError(f"{path} holds frames of {samples} samples; the least is {MIN_SAMPLES}")
    starts = np.cumsum([0, *(len(frames) for frames in arrays.values())])
    rows = {
        cell: np.arange(start, start + len(arrays[cell]))
        for cell, start in zip(arrays, starts[:-1], strict=True)
    }

    def read(groups: Mapping[Cell, np.ndarray]) -> Iterator[tuple[Cell, np.ndarray, np.ndarray]]:
        for cell, wanted in progress(groups.items(), "reading frames"):
            frames = arrays[cell][wanted - rows[cell][0]].transpose(
                0, 2, 1
            )  # (n, 2, samples) -> (n, samples, 2)
            yield cell, wanted, _as_float32(frames, wanted, str(path))

    yield Source(path, samples, rows, read, None)


@contextmanager
def _from_hdf5(path: Path, data: Selection) -> Iterator[Source]:
    with open_source(path) as file:
        labelled = rows_by_label(file)
        order = audit.check_class_order(
            data.class_order, features_by_column(file, labelled), str(path)
        )
        rows = {
            Cell(data.classes[column], snr_db): found
            for (column, snr_db), found in labelled.items()
        }
        yield Source(path, file["X"].shape[1], rows, partial(read_frames, file), order)


@contextmanager
def open_source(path: Path) -> Iterator[h5py.File]:
    """An open file whose datasets have the shapes and types of RML2018.01A; errors as `split`."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file; make it with the stage synthesize, or set data.path to your copy of RML2018.01A"
        )
    try:
        source = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(
            f"{path} cannot be read as HDF5: not such a file, or cut off ({error}); copy or download it again"
        ) from None
    with source:
        _check_layout(source)
        yield source


def _check_layout(source: h5py.File) -> None:
    for name in "XYZ":
        if not isinstance(source.get(name), h5py.Dataset):
            raise ValueError(
                f"{source.filename} has no dataset {name} but {', '.join(source) or 'nothing'}; RML2018.01A has X, Y and Z"
            )
    n = source["X"].shape[0] if source["X"].ndim else 0
    samples = source["X"].shape[1] if source["X"].ndim > 1 else 0
    layout = {
        "X": (
            (n, max(samples, MIN_SAMPLES), 2),
            f"(frames, at least {MIN_SAMPLES} samples, 2)",
            "f",
            "floating",
        ),
        "Y": (
            (n, len(MODULATIONS)),
            f"({n}, {len(MODULATIONS)}): one row a frame of X",
            "biuf",
            "integer",
        ),
        "Z": ((n, 1), f"({n}, 1): one row a frame of X", "iuf", "integer"),
    }
    for name, (shape, meaning, kinds, kind) in layout.items():
        if source[name].shape != shape:
            raise ValueError(
                f"{name} in {source.filename} has shape {source[name].shape}; it must be {meaning}"
            )
        if source[name].dtype.kind not in kinds:
            raise ValueError(
                f"{name} in {source.filename} has type {source[name].dtype}; it must be {kind}"
            )
    if n == 0:
        raise ValueError(f"{source.filename} holds no frames")


def rows_by_label(source: h5py.File) -> dict[Label, np.ndarray]:
    """The rows, int64 (n,) ascending, of every (column of Y, SNR in dB) that has any.

    Raises:
        ValueError: naming the first row whose `Y` is not one-hot or whose `Z` is no SNR of RML2018.01A.
    """
    n = len(source["Y"])
    codes = np.empty(n, np.int16)
    for start in progress(range(0, n, LABEL_ROWS), "reading labels"):
        block = slice(start, min(start + LABEL_ROWS, n))
        column = _columns(source["Y"][block], start, source.filename)
        snr_index = _snr_indices(source["Z"][block, 0], start, source.filename)
        codes[block] = column * len(SNRS_DB) + snr_index
    rows = np.argsort(codes, kind="stable")
    found, starts = np.unique(codes[rows], return_index=True)
    parts = np.split(rows, starts[1:])
    return {
        (int(code) // len(SNRS_DB), SNRS_DB[code % len(SNRS_DB)]): part
        for code, part in zip(found, parts, strict=True)
    }


def _columns(y: np.ndarray, start: int, name: str) -> np.ndarray:
    bad = ((y == 1).sum(1) != 1) | ((y != 0).sum(1) != 1)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"Y in {name} is not one-hot at row {start + i}: {y[i].tolist()}; each row must hold a single 1 among 0s"
        )
    return y.argmax(1)


def _snr_indices(z: np.ndarray, start: int, name: str) -> np.ndarray:
    bad = ~np.isin(z, SNRS_DB)
    if bad.any():
        i = int(bad.argmax())
        raise ValueError(
            f"Z in {name} is {z[i]} at row {start + i}; the SNRs of RML2018.01A are -20, -18, .. 30 dB"
        )
    return (z.astype(np.int64) - SNRS_DB.start) // SNRS_DB.step


def read_frames(
    source: h5py.File, groups: Mapping[K, np.ndarray]
) -> Iterator[tuple[K, np.ndarray, np.ndarray]]:
    """Frames of groups of rows in one pass over the file: (group, rows (n,), float32 (n, samples, 2)), block by block.

    Rows of a group come in ascending order; stretches of the file without a wanted row are not read.

    Raises:
        ValueError: naming the first row with NaN or infinity.
        OSError: when the file cannot be read there.
    """
    keys = list(groups)
    rows = np.concatenate(list(groups.values()))
    owners = np.repeat(np.arange(len(keys)), [len(groups[key]) for key in keys])
    in_file_order = np.argsort(rows, kind="stable")
    rows, owners = rows[in_file_order], owners[in_file_order]
    frame_bytes = source["X"].dtype.itemsize * int(np.prod(source["X"].shape[1:]))
    edges = np.flatnonzero(np.diff(rows // max(1, BLOCK_BYTES // frame_bytes))) + 1
    blocks = list(zip(np.split(rows, edges), np.split(owners, edges), strict=True))
    for block_rows, block_owners in progress(blocks, "reading frames"):
        frames = _read(source, block_rows)
        for owner in np.unique(block_owners):
            mine = block_owners == owner
            yield keys[owner], block_rows[mine], frames[mine]


def _read(source: h5py.File, rows: np.ndarray) -> np.ndarray:
    try:
        span = source["X"][rows[0] : rows[-1] + 1]
    except OSError as error:
        raise OSError(
            f"X in {source.filename} cannot be read at rows {rows[0]} to {rows[-1]}: {error}"
        ) from error
    return _as_float32(span[rows - rows[0]], rows, f"X in {source.filename}")


def _as_float32(frames: np.ndarray, rows: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        frames = frames.astype(np.float32, copy=False)
    finite = np.isfinite(frames).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"{name} holds NaN, infinity or a value beyond float32 at row {rows[finite.argmin()]}; repair or remove it"
        )
    return frames


def features_by_column(
    source: h5py.File, labelled: Mapping[Label, np.ndarray]
) -> dict[int, dict[str, float]]:
    """`audit.features` of each column of `Y` that has usable frames of high SNR, selected for training or not."""
    high = sorted({snr_db for _, snr_db in labelled if snr_db >= ORDER_MIN_DB})[-ORDER_SNRS:]
    groups: dict[int, np.ndarray] = {}
    for column in sorted({column for column, snr_db in labelled if snr_db in high}):
        rows = np.concatenate(
            [labelled[column, snr_db] for snr_db in high if (column, snr_db) in labelled]
        )
        groups[column] = np.sort(rows)[:ORDER_FRAMES]
    if not groups:
        return {}
    found: dict[int, list[np.ndarray]] = {}
    for column, _, frames in read_frames(source, groups):
        found.setdefault(column, []).append(frames[_usable(frames)])
    stacked = {column: np.concatenate(parts) for column, parts in found.items()}
    return {
        column: audit.features(to_complex(frames))
        for column, frames in stacked.items()
        if len(frames)
    }


def _usable(frames: np.ndarray) -> np.ndarray:
    return frames.any(axis=(1, 2))


def _select(source: Source, data: Selection) -> dict[Cell, np.ndarray]:
    """Rows of every selected cell; ValueError names the modulations, SNRs or cells that the file does not hold."""
    snrs_held = sorted({cell.snr_db for cell in source.rows})
    names_held = sorted({cell.modulation for cell in source.rows}, key=NAMES.index)
    for key, wanted, held in (
        ("modulations", data.modulations, names_held),
        ("snrs_db", data.snrs_db, snrs_held),
    ):
        absent = [value for value in wanted if value not in held]
        if absent:
            raise ValueError(
                f"data.{key} asks for {_listed(absent)}, which {source.path} does not hold; it holds {_listed(held)}"
            )
    cells = [Cell(name, snr_db) for name in data.modulations for snr_db in data.snrs_db]
    empty = [f"{cell.modulation} at {cell.snr_db} dB" for cell in cells if cell not in source.rows]
    if empty:
        raise ValueError(
            f"{source.path} has no frame of {_listed(empty)}; take the modulation or the SNR out of data.modulations or data.snrs_db"
        )
    return {cell: source.rows[cell] for cell in cells}


def _listed(values: list) -> str:
    return ", ".join(map(str, values))


def _write_shards(
    source: Source, cells: Mapping[Cell, np.ndarray], limit: int | None, root: Path
) -> tuple[dict[Cell, int], int]:
    """Writes the first `limit` usable frames of each cell; returns how many each got, and how many were all zero.

    All-zero frames show only once read, so cells that lost some are topped up by a further pass, until none is short.
    """
    room = {cell: len(rows[:limit]) for cell, rows in cells.items()}
    attributes = {"source": source.path.name, "source_sha256": fingerprint(source.path)}
    made = {}
    for cell, n in room.items():
        datasets = {"iq": ((n, source.samples, 2), np.float32), "row": ((n,), np.int64)}
        made[cell] = shards.create(cell.path(root), datasets, {**cell._asdict(), **attributes})
    kept, read = dict.fromkeys(cells, 0), dict.fromkeys(cells, 0)
    while due := {
        c: rows for c in cells if len(rows := cells[c][read[c] : read[c] + room[c] - kept[c]])
    }:
        for cell, rows, frames in source.read(due):
            usable = _usable(frames)
            if usable.any():
                shards.write(made[cell], kept[cell], {"iq": frames[usable], "row": rows[usable]})
            kept[cell] += int(usable.sum())
            read[cell] += len(rows)
    _shorten(root, kept, room, source.path)
    return kept, sum(read.values()) - sum(kept.values())


def _shorten(root: Path, kept: Mapping[Cell, int], room: Mapping[Cell, int], source: Path) -> None:
    """Cuts shards with more room than usable frames; ValueError where a cell has none."""
    for cell, n in kept.items():
        if n == 0:
            label = f"{cell.modulation} at {cell.snr_db} dB"
            raise ValueError(
                f"every frame of {label} in {source} is all zero; take it out of data.modulations"
            )
        if n < room[cell]:
            path = cell.path(root)
            arrays = {
                dataset: np.array(shards.array(path, dataset)[:n]) for dataset in ("iq", "row")
            }
            shards.save(path, arrays, shards.attributes(path))


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's first MiB and its size: enough to tell files apart without reading 20 GB."""
    with path.open("rb") as file:
        return hashlib.sha256(file.read(2**20) + str(path.stat().st_size).encode()).hexdigest()


def _report(
    source: Source, kept: Mapping[Cell, int], zeros: int, table: pd.DataFrame, limit: int | None
) -> Audit:
    held = [len(rows) for rows in source.rows.values()]
    order = source.order
    fit = audit.fit_snr(table)
    summary = {
        "file": {
            "frames": sum(held),
            "cells": len(held),
            "frames_per_cell_min": min(held),
            "frames_per_cell_max": max(held),
        },
        "kept": {
            "frames": sum(kept.values()),
            "cells": len(kept),
            "frames_per_cell_min": min(kept.values()),
            "frames_per_cell_max": max(kept.values()),
            "all_zero_left_out": zeros,
        },
        "class_order": {}
        if order is None
        else {"checked": order.checked, "contradicted": len(order.contradicted)},
        # Left out where there are too few labels to fit.
        "snr": {}
        if fit.slope is None
        else {"slope": fit.slope, "offset_db": fit.offset_db, "slope_is_one": fit.slope_is_one},
    }
    return Audit(summary, table, _warnings(kept, zeros, order, fit, limit))


def _warnings(
    kept: Mapping[Cell, int],
    zeros: int,
    order: audit.OrderFindings | None,
    fit: audit.SnrFit,
    limit: int | None,
) -> list[str]:
    said = []
    short = sum(n < limit for n in kept.values()) if limit else 0
    if short:
        said.append(
            f"{short} of {len(kept)} cells have fewer than data.frames_per_cell = {limit} usable frames; the least is {min(kept.values())}"
        )
    if zeros:
        said.append(f"{zeros} all-zero frames were left out")
    if order and not order.checked:
        said.append(
            f"the class order could not be checked: that takes frames of {ORDER_MIN_DB} dB or more, with {audit.MIN_SYMBOLS} symbols"
        )
    said += [
        f"frames labelled {name} look unlike it: {why}"
        for name, why in (order.contradicted if order else {}).items()
    ]
    if fit.slope_is_one is False:
        said.append(
            f"measured SNR rises by {fit.slope:.2f} dB for each dB of the label, not by 1 (+-{fit.tolerance:.2f}): the labels are not "
            "the SNR over the whole band (2 means that 10^(-SNR/10) scaled the amplitude of the noise), or the signal reaches beyond "
            "|f| = 0.25 cycles a sample; see plots/audit.csv"
        )
    return said
