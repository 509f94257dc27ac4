"""Splits a file of labelled frames into one shard a (modulation, SNR), and audits its labels.

A reader of a further format is a module with a `READER`, a line in `READERS`.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.core import shards
from pisces.core.files import staged
from pisces.core.modulations import in_order
from pisces.core.shards import Cell
from pisces.core.texts import counted
from pisces.sources import audit, rml2016, rml2018, snr_convention, snr_order
from pisces.sources.audit import Audit, Kept, LabelMeaning
from pisces.sources.base import UNUSABLE, Reader, Source, require_file, unusable
from pisces.sources.file_format import format_of
from pisces.sources.finding import NOTHING_EXPECTED, Expected
from pisces.sources.settings import Selection

READERS: dict[str, Reader] = {"pickle": rml2016.READER, "hdf5": rml2018.READER}
"""By what `format_of` finds in a file; a format that it does not know, by its ending."""

ROWS_NAMED = 10
"""Rows of each kind of unusable frames that a message names."""


def reader_of(path: Path) -> Reader:
    """The reader of a file, by its content, unless there is one for its ending.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is an archive, a web page or the like, with what to do.
        OSError: when it cannot be read.
    """
    require_file(path)
    return READERS.get(path.suffix) or READERS[format_of(path)]


def split(
    data: Selection,
    out: Path,
    expected: Expected = NOTHING_EXPECTED,
    reader: Reader | None = None,
) -> Audit:
    """Writes the selected frames of `data.path` as shards and audits them.

    A shard holds `iq` float32 (n, samples, 2) and `row` int64 (n,), its frames' rows in the source,
    ascending. Its attributes are `modulation`, `snr_db` (the label), `source` (file name),
    `source_sha256` (see `fingerprint`), `snr_label`, what the labels mean, and `ask`, the levels of
    ASK. Frames are selected by what their labels say, never by where they lie. Those that cannot
    be normalised (`base.UNUSABLE`) are refused, or left out with `data.skip_unusable`.

    Args:
        data: which frames of which file.
        out: where the directory of shards appears, whole or not at all.
        expected: what the params assume of the frames, for the audit.
        reader: of `data.path`; None for that of its format.

    Returns:
        What was found out about the file and its labels.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in its layout, lacks selected frames, holds frames that
            cannot be normalised, or contradicts the class order or the convention of SNR labels.
        OSError: when reading or writing fails.
    """
    path = Path(data.path)
    reader = reader or reader_of(path)
    with reader.open(path, data.class_order) as source:
        _require_snr_order(source, data)
        selected = _select(source.rows, data, reader)
        with staged(out, _bytes_of(selected, data.frames_per_cell, source.samples)) as root:
            kept = _write_shards(source, selected, data, root)
            table = audit.snr_table(root)
            meaning = _meaning(source, data, table)
            signal = audit.examine(root, expected)
            shards.set_attributes(root, {"snr_label": meaning.snr_label, "ask": signal.ask})
    return audit.conclude(source, kept, table, meaning, signal)


def _meaning(source: Source, data: Selection, table: pd.DataFrame) -> LabelMeaning:
    """What the SNR labels mean: as the source made its frames, or else as is found."""
    if source.snr_label is None:
        return snr_convention.meaning_of(data, table, source.samples)
    return LabelMeaning(source.snr_label, "source", audit.fit_snr(table, source.snr_label))


def _bytes_of(
    selected: Mapping[Cell, np.ndarray], frames_per_cell: int | None, samples: int
) -> int:
    """What the shards of the selected frames take: I and Q as float32, and a row as int64."""
    frames = sum(len(rows[:frames_per_cell]) for rows in selected.values())
    return frames * (samples * 2 * 4 + 8)


class Selected(NamedTuple):
    """What of a file is selected."""

    samples: int
    """Of a frame."""
    frames: dict[Cell, int]
    """Of each cell."""


def selected_frames(data: Selection, reader: Reader | None = None) -> Selected:
    """How many frames of each selected cell `data.path` has by its labels, before any split.

    Of a pickle all is read, of an HDF5 file the labels and what the class order is judged on. The
    `reader` is as of `split`.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, not in its layout, lacks selected frames, or contradicts the
            class order.
    """
    path = Path(data.path)
    reader = reader or reader_of(path)
    with reader.open(path, data.class_order) as source:
        _require_snr_order(source, data)
        selected = _select(source.rows, data, reader)
    frames = {cell: len(rows[: data.frames_per_cell]) for cell, rows in selected.items()}
    return Selected(source.samples, frames)


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's first MiB and its size: tells files apart without reading 20 GB.

    Of a folder, that of its files' names and fingerprints.
    """
    if path.is_dir():
        files = sorted(one for one in path.rglob("*") if one.is_file())
        listed = [f"{one.relative_to(path)} {fingerprint(one)}" for one in files]
        return hashlib.sha256("\n".join(listed).encode()).hexdigest()
    size = str(path.stat().st_size).encode()
    with path.open("rb") as file:
        return hashlib.sha256(file.read(2**20) + size).hexdigest()


def _require_snr_order(source: Source, data: Selection) -> None:
    """Raises ValueError where SNR labels do not follow the measured SNR and are not forced."""
    if source.snr_amiss and not data.snr_label_forced:
        raise ValueError(snr_order.complaint(source.path, source.snr_amiss))


def _select(
    rows: Mapping[Cell, np.ndarray], data: Selection, reader: Reader
) -> dict[Cell, np.ndarray]:
    """Rows of every selected cell, of the `rows` of all cells in the file.

    Raises:
        ValueError: naming the modulations, SNRs or cells that the file does not hold.
    """
    names_held = in_order(cell.modulation for cell in rows)
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

    Where it lacks more than half of them, they were meant for another file, and a preset may help.
    """
    absent = [value for value in wanted if value not in held]
    if not absent:
        return
    what = _listed(absent)
    remedy = f"take {'it' if len(absent) == 1 else 'them'} out of data.{key}"
    if len(absent) > len(wanted) / 2:
        what = f"{len(wanted)} values, of which {path} lacks {len(absent)}"
        remedy = _preset_for(key, wanted, held, path, reader)
    else:
        what += f", which {path} does not hold"
    raise ValueError(f"data.{key} asks for {what}; it holds {_listed(held)}; {remedy}")


def _preset_for(
    key: str, wanted: Sequence[str | int], held: Sequence[str | int], path: str, reader: Reader
) -> str:
    """The preset that asks for nothing that the file lacks; else which values to set.

    A preset that asks for just what is wanted, and was not found, is of no help.
    """
    apply = f"python -m pisces preset {{}} --data {path}"
    for preset in reader.presets:
        if set(getattr(preset, key)) <= set(held):
            return f"apply the preset for such files: {apply.format(preset.name)}"

    remedy = f"set data.{key} to those of them that you want"
    asking = [getattr(preset, key) for preset in reader.presets]
    if asking and tuple(wanted) not in asking:
        remedy += f", after the preset for files like {reader.dataset}: "
        remedy += apply.format(reader.presets[0].name)
    return remedy


def _listed(values: Sequence[str | int]) -> str:
    return ", ".join(map(str, values))


def _write_shards(
    source: Source, cells: Mapping[Cell, np.ndarray], data: Selection, root: Path
) -> Kept:
    """Writes the first `data.frames_per_cell` usable frames of each cell.

    Whether a frame is usable shows only once it is read, so cells that lost some are topped up by a
    further pass, until none is short.
    """
    limit = data.frames_per_cell
    room = {cell: len(rows[:limit]) for cell, rows in cells.items()}
    made = _make_shards(source, room, root)
    kept = dict.fromkeys(cells, 0)
    read = dict.fromkeys(cells, 0)
    unusable_rows: dict[str, list[int]] = {}

    while due := _due_rows(cells, room, kept, read):
        for cell, rows, frames in source.read(due):
            codes = unusable(frames)
            usable = codes == 0
            if usable.any():
                new = {"iq": frames[usable], "row": rows[usable]}
                shards.write(made[cell], kept[cell], new)
            for code in np.unique(codes[~usable]):
                listed = unusable_rows.setdefault(UNUSABLE[code - 1], [])
                listed += rows[codes == code].tolist()
            kept[cell] += int(usable.sum())
            read[cell] += len(rows)
        if unusable_rows and not data.skip_unusable:
            raise ValueError(_refusal(unusable_rows, source))

    _shorten(root, kept, room, source.path)
    return Kept(kept, {why: sorted(rows) for why, rows in unusable_rows.items()}, limit)


def _refusal(unusable_rows: Mapping[str, Sequence[int]], source: Source) -> str:
    """What is wrong with the frames of these rows, and what to do."""
    count = sum(len(rows) for rows in unusable_rows.values())
    frames = counted(count, "frame")
    kinds = [f"{why}: {_rows_named(rows, source)}" for why, rows in sorted(unusable_rows.items())]
    return (
        f"{source.path} holds {frames} that cannot be normalised "
        f"({'; '.join(kinds)}); repair them, or set data.skip_unusable to true to leave them out"
    )


def _rows_named(rows: Sequence[int], source: Source) -> str:
    first = sorted(rows)[:ROWS_NAMED]
    if source.place is None:
        named = f"{'row' if len(rows) == 1 else 'rows'} {_listed(first)}"
    else:
        named = _listed([source.place(row) for row in first])
    more = len(rows) - len(first)
    return f"{named} and {more} more" if more else named


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
                f"no frame of {cell.modulation} at {cell.snr_db} dB in {source} can be normalised; "
                "take the modulation or the SNR out of data.modulations or data.snrs_db"
            )
        if n < room[cell]:
            path = cell.path(root)
            # Copies, since the file that they are mapped from is written anew.
            filled = {name: np.array(shards.array(path, name)[:n]) for name in ("iq", "row")}
            shards.save(path, filled, shards.attributes(path))
