"""Splits a file of labelled frames into one shard a (modulation, SNR), and audits its labels.

A reader of a further format is a module with a `READER` and a line in `READERS`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pisces.core import shards
from pisces.core.files import staged
from pisces.core.modulations import NAMES
from pisces.core.shards import Cell
from pisces.sources import audit, rml2016, rml2018, snr_convention
from pisces.sources.audit import Audit, Kept
from pisces.sources.base import Reader, Source, is_usable
from pisces.sources.finding import NOTHING_EXPECTED, Expected
from pisces.sources.settings import Selection

READERS: dict[str, Reader] = {".pkl": rml2016.READER, ".hdf5": rml2018.READER}
"""By the extension of the file; one of any other extension is read as HDF5."""


def reader_of(path: Path) -> Reader:
    """The reader of a file, by its extension."""
    return READERS.get(path.suffix, rml2018.READER)


def split(data: Selection, out: Path, expected: Expected = NOTHING_EXPECTED) -> Audit:
    """Writes the selected frames of `data.path` as shards and audits them.

    A shard holds `iq` float32 (n, samples, 2) and `row` int64 (n,), its frames' rows in the source,
    ascending. Its attributes are `modulation`, `snr_db` (the label), `source` (file name),
    `source_sha256` (see `fingerprint`), `snr_label`, what the labels mean, and `ask`, the levels of
    ASK. Frames are selected by what their labels say, never by where they lie; all-zero frames are
    left out.

    Args:
        data: which frames of which file.
        out: where the directory of shards appears, whole or not at all.
        expected: what the params assume of the frames, for the audit.

    Returns:
        What was found out about the file and its labels.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in its layout, lacks selected frames, holds NaN or
            infinity in a frame that is read, or contradicts the class order or the convention of
            SNR labels.
        OSError: when reading or writing fails.
    """
    path = Path(data.path)
    reader = reader_of(path)
    with reader.open(path, data.class_order) as source:
        selected = _select(source.rows, data, reader)
        with staged(out) as root:
            kept = _write_shards(source, selected, data.frames_per_cell, root)
            table = audit.snr_table(root)
            meaning = snr_convention.meaning_of(data, table, source.samples)
            signal = audit.examine(root, expected)
            shards.set_attributes(root, {"snr_label": meaning.snr_label, "ask": signal.ask})
    return audit.conclude(source, kept, table, meaning, signal)


def selected_frames(data: Selection) -> dict[Cell, int]:
    """How many frames of each selected cell `data.path` has by its labels, before any split.

    Of a pickle all is read, of an HDF5 file the labels and what the class order is judged on.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in its layout, lacks selected frames, or contradicts the
            class order.
    """
    path = Path(data.path)
    reader = reader_of(path)
    with reader.open(path, data.class_order) as source:
        selected = _select(source.rows, data, reader)
    return {cell: len(rows[: data.frames_per_cell]) for cell, rows in selected.items()}


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's first MiB and its size: tells files apart without reading 20 GB."""
    size = str(path.stat().st_size).encode()
    with path.open("rb") as file:
        return hashlib.sha256(file.read(2**20) + size).hexdigest()


def _select(
    rows: Mapping[Cell, np.ndarray], data: Selection, reader: Reader
) -> dict[Cell, np.ndarray]:
    """Rows of every selected cell, of the `rows` of all cells in the file.

    Raises:
        ValueError: naming the modulations, SNRs or cells that the file does not hold.
    """
    names_held = sorted({cell.modulation for cell in rows}, key=NAMES.index)
    snrs_held = sorted({cell.snr_db for cell in rows})
    _require_held("modulations", data.modulations, names_held, data.path, reader)
    _require_held("snrs_db", data.snrs_db, snrs_held, data.path, reader)

    cells = [Cell(name, snr_db) for name in data.modulations for snr_db in data.snrs_db]
    empty = [f"{cell.modulation} at {cell.snr_db} dB" for cell in cells if cell not in rows]
    if empty:
        raise ValueError(
            f"{data.path} has no frame of {_listed(empty)}; "
            "take the modulation or the SNR out of data.modulations or data.snrs_db"
        )
    return {cell: rows[cell] for cell in cells}


def _require_held(
    key: str, wanted: Sequence[str | int], held: Sequence[str | int], path: str, reader: Reader
) -> None:
    """Raises ValueError unless the file holds all the wanted values of `data.<key>`.

    Where it lacks more than half of them, they were meant for another file, and what helps is the
    preset for files of this kind.
    """
    absent = [value for value in wanted if value not in held]
    if len(absent) > len(wanted) / 2:
        raise ValueError(
            f"data.{key} asks for {len(wanted)} values, "
            f"of which {path} lacks {len(absent)}; "
            f"it holds {_listed(held)}; apply the preset for files like {reader.dataset}: "
            f"python -m pisces preset {reader.preset} --data {path}"
        )
    if absent:
        raise ValueError(
            f"data.{key} asks for {_listed(absent)}, which {path} does not hold; "
            f"it holds {_listed(held)}"
        )


def _listed(values: Sequence[str | int]) -> str:
    return ", ".join(map(str, values))


def _write_shards(
    source: Source, cells: Mapping[Cell, np.ndarray], limit: int | None, root: Path
) -> Kept:
    """Writes the first `limit` usable frames of each cell.

    All-zero frames show only once read, so cells that lost some are topped up by a further pass,
    until none is short.
    """
    room = {cell: len(rows[:limit]) for cell, rows in cells.items()}
    made = _make_shards(source, room, root)
    kept = dict.fromkeys(cells, 0)
    read = dict.fromkeys(cells, 0)

    while due := _due_rows(cells, room, kept, read):
        for cell, rows, frames in source.read(due):
            usable = is_usable(frames)
            if usable.any():
                new = {"iq": frames[usable], "row": rows[usable]}
                shards.write(made[cell], kept[cell], new)
            kept[cell] += int(usable.sum())
            read[cell] += len(rows)

    _shorten(root, kept, room, source.path)
    zeros = sum(read.values()) - sum(kept.values())
    return Kept(kept, zeros, limit)


def _make_shards(
    source: Source, room: Mapping[Cell, int], root: Path
) -> dict[Cell, dict[str, np.memmap]]:
    """Shards with room for so many frames of each cell."""
    attributes = {"source": source.path.name, "source_sha256": fingerprint(source.path)}
    made = {}
    for cell, n in room.items():
        datasets = {"iq": ((n, source.samples, 2), np.float32), "row": ((n,), np.int64)}
        made[cell] = shards.create(cell.path(root), datasets, cell._asdict() | attributes)
    return made


def _due_rows(
    cells: Mapping[Cell, np.ndarray],
    room: Mapping[Cell, int],
    kept: Mapping[Cell, int],
    read: Mapping[Cell, int],
) -> dict[Cell, np.ndarray]:
    """The next rows of the cells that have room left and rows not yet read."""
    due = {}
    for cell, rows in cells.items():
        missing = room[cell] - kept[cell]
        following = rows[read[cell] : read[cell] + missing]
        if len(following):
            due[cell] = following
    return due


def _shorten(root: Path, kept: Mapping[Cell, int], room: Mapping[Cell, int], source: Path) -> None:
    """Cuts shards with more room than usable frames; ValueError where a cell has none."""
    for cell, n in kept.items():
        if n == 0:
            raise ValueError(
                f"every frame of {cell.modulation} at {cell.snr_db} dB in {source} is all zero; "
                "take it out of data.modulations"
            )
        if n < room[cell]:
            path = cell.path(root)
            # Copies, since the file that they are mapped from is written anew.
            filled = {name: np.array(shards.array(path, name)[:n]) for name in ("iq", "row")}
            shards.save(path, filled, shards.attributes(path))
