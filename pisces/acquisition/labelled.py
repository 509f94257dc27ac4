"""A folder of labelled recordings as a source of training frames, like any data set.

What is labelled is cut into frames at the rate and length of the model. A recording has one SNR, or
few, and a model needs every class at every SNR: so each frame is given to one label that is no
higher than its own SNR, and white noise brings it down to just that. No frame is used twice.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from pisces.acquisition.acquire import OFFSETS, acquire
from pisces.core import work
from pisces.core.dsp import measured_snr, to_db, to_frames
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.core.snr_label import true_snr_db
from pisces.sources import sharding
from pisces.sources.base import Block, Reader, Source
from pisces.sources.recordings import Annotation, Recording, open_recordings
from pisces.sources.settings import Selection

LABELS = "labels.csv"
"""In the folder: `file,start,count,label` a line, for recordings whose format holds no labels."""
COLUMNS = ("file", "start", "count", "label")
DESCRIPTION = ".sigmf-meta"
BATCH = 256
"""Frames of a block."""


class Cut(NamedTuple):
    """How recordings become frames."""

    samples: int
    """Of a frame."""
    sps: int
    """Samples a symbol."""
    max_offset: float
    """Cycles a sample, as of `acquire.acquire`."""
    seed: int
    """Of the noise."""

    @classmethod
    def of(cls, samples: int, sps: int, carrier_offset_std: float, seed: int) -> Self:
        """For a receiver that expects carrier offsets of this standard deviation."""
        return cls(samples, sps, OFFSETS * carrier_offset_std, seed)


class Labelled(NamedTuple):
    """A stretch of a recording, and what it is."""

    recording: Recording
    """With this one annotation."""
    label: str


class Frames(NamedTuple):
    """Where frames of one class lie in the file of frames, and at which SNR they were received."""

    rows: list[int]
    snrs_db: list[float]


def reader_of(data: Selection, cut: Cut) -> Reader:
    """The reader of `data.path`: of recordings where it is a folder, else of a data set.

    Raises:
        FileNotFoundError, ValueError, OSError: as `sharding.reader_of`.
    """
    path = Path(data.path)
    if not path.is_dir():
        return sharding.reader_of(path)
    return Reader("labelled recordings", (), partial(_open, data, cut))


@contextmanager
def _open(
    data: Selection,
    cut: Cut,
    path: Path,
    class_order: str,  # noqa: ARG001
) -> Iterator[Source]:
    """The frames of a folder, which are kept in a file for as long as the source is open."""
    wanted = [one for one in labelled(path) if one.label in data.modulations]
    with work.folder(work.place_of(path), path.name) as scratch:
        store = scratch / "frames"
        found = _cut_all(wanted, cut, store)
        if not found:
            raise ValueError(
                f"{path} gives no frame of {', '.join(data.modulations)}: its labels are "
                f"{', '.join(sorted({one.label for one in labelled(path)})) or 'none'}; "
                "name some of these in data.modulations and data.own_classes, and see that "
                f"what they label is longer than {cut.samples} samples at {cut.sps} a symbol"
            )
        rows = _dealt(found, data)
        frames = np.memmap(store, np.float32, "r").reshape(-1, cut.samples, 2)
        read = partial(_read, frames, data, cut)
        yield Source(path, cut.samples, rows, read, order=None)


def labelled(folder: Path) -> list[Labelled]:
    """What is labelled in a folder: by its `labels.csv`, or else by annotations of SigMF.

    Raises:
        ValueError: when there are neither, or a file of them cannot be read.
    """
    table = folder / LABELS
    if table.is_file():
        return list(_of_table(folder, table))

    descriptions = sorted(folder.glob(f"*{DESCRIPTION}"))
    if not descriptions:
        raise ValueError(
            f"{folder} holds neither {LABELS} nor SigMF descriptions (*{DESCRIPTION}), "
            "which say what is where in its recordings; add one of them"
        )
    found = []
    for description in descriptions:
        for recording in open_recordings(description):
            named = [one for one in recording.annotations if one.label]
            found += [Labelled(_only(recording, one), str(one.label)) for one in named]
    return found


def _only(recording: Recording, annotation: Annotation) -> Recording:
    return replace(recording, annotations=(annotation,))


def _of_table(folder: Path, table: Path) -> Iterator[Labelled]:
    opened: dict[str, Recording] = {}
    with table.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        missing = set(COLUMNS) - set(rows.fieldnames or ())
        if missing:
            raise ValueError(
                f"{table} has no column {', '.join(sorted(missing))}; "
                f"its first line is {','.join(COLUMNS)}"
            )
        for line, row in enumerate(rows, 2):
            name = row["file"]
            if name not in opened:
                opened[name], *_ = open_recordings(folder / name)
            yield Labelled(_only(opened[name], _annotation(table, line, row)), row["label"])


def _annotation(table: Path, line: int, row: Mapping[str, str]) -> Annotation:
    try:
        start, count = int(row["start"]), int(row["count"])
    except (TypeError, ValueError):
        start, count = -1, 0
    if start < 0 or count < 1 or not row["label"]:
        raise ValueError(
            f"{table}, line {line}: start, count and label are {row['start']}, {row['count']} and "
            f"{row['label']}; they must be a sample from 0 on, how many samples, and a name"
        )
    return Annotation(start, count, row["label"], None, None, None)


def _cut_all(wanted: Sequence[Labelled], cut: Cut, store: Path) -> dict[str, Frames]:
    """Cuts all that is labelled into frames in one file, in a fixed order."""
    found: dict[str, Frames] = defaultdict(lambda: Frames([], []))
    row = 0
    with store.open("wb") as file:
        for one in progress(wanted, "acquire"):
            acquired = acquire(
                one.recording,
                samples=cut.samples,
                sps=cut.sps,
                max_offset=cut.max_offset,
                annotated=True,
            )
            for _, frames, _ in acquired:
                if not len(frames):
                    continue
                file.write(to_frames(frames).tobytes())
                of_class = found[one.label]
                of_class.rows.extend(range(row, row + len(frames)))
                of_class.snrs_db.extend(to_db(measured_snr(frames).clip(1e-9)).tolist())
                row += len(frames)
    return dict(found)


def _dealt(found: Mapping[str, Frames], data: Selection) -> dict[Cell, np.ndarray]:
    """Which rows belong to which cell: each frame to the label in turn that it can serve."""
    true_db = {label: _true_db(label, data) for label in data.snrs_db}
    rows: dict[Cell, list[int]] = defaultdict(list)
    for name, frames in found.items():
        for turn, (row, snr_db) in enumerate(zip(*frames, strict=True)):
            served = [label for label in data.snrs_db if true_db[label] <= snr_db]
            if served:
                rows[Cell(name, served[turn % len(served)])].append(row)
    return {cell: np.array(of_cell) for cell, of_cell in rows.items()}


def _true_db(label: int, data: Selection) -> int:
    return true_snr_db(label, "amplitude" if data.snr_label == "amplitude" else "power")


def _read(
    frames: np.ndarray, data: Selection, cut: Cut, rows: Mapping[Cell, np.ndarray]
) -> Iterator[Block[Cell]]:
    """Frames with as much white noise as brings each down to the SNR of its cell."""
    for cell, of_cell in rows.items():
        for start in range(0, len(of_cell), BATCH):
            some = of_cell[start : start + BATCH]
            noisy = [
                with_snr(frames[row], _true_db(cell.snr_db, data), partial(_noise, cut, row))
                for row in some.tolist()
            ]
            yield Block(cell, some, np.stack(noisy))


def _noise(cut: Cut, row: int) -> np.ndarray:
    """Of unit power, float64 (samples, 2)."""
    rng = generator(cut.seed, "noise of recordings", row)
    return rng.standard_normal((cut.samples, 2)) / np.sqrt(2)


def with_snr(frame: np.ndarray, snr_db: float, noise: Callable[[], np.ndarray]) -> np.ndarray:
    """A frame brought down to an SNR over the whole band.

    Args:
        frame: float32 (samples, 2), I then Q, whose measured SNR is at least that.
        snr_db: of the result.
        noise: draws white noise of unit power, (samples, 2).

    Returns:
        float32 (samples, 2).
    """
    iq = frame[:, 0] + 1j * frame[:, 1].astype(np.float64)
    power = float(np.mean(np.abs(iq) ** 2))
    snr = max(float(measured_snr(iq[None])[0]), 0.0)
    signal = power * snr / (snr + 1)
    missing = signal / 10 ** (snr_db / 10) - (power - signal)
    return (frame + np.sqrt(max(missing, 0.0)) * noise()).astype(np.float32)
