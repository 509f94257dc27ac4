"""A folder of labelled recordings as a source of training frames, like any data set.

What is labelled is cut into frames at the rate and length of the model. A recording has one SNR, or
few, and a model needs every class at every SNR: so each frame is given to one SNR label that is no
higher than its own SNR, and white noise brings it down to just that. No frame is used twice.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pisces.acquisition import labels
from pisces.acquisition.acquire import OFFSETS, acquire
from pisces.acquisition.labels import Labelled
from pisces.acquisition.segment import Acquired
from pisces.core import work
from pisces.core.dsp import measured_snr, to_db, to_frames
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.core.texts import counted
from pisces.sources import sharding
from pisces.sources.base import Block, Reader, Source
from pisces.sources.settings import Selection

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


class Frames(NamedTuple):
    """Where frames of one class lie in the file of frames, and at which SNR they were received."""

    rows: list[int]
    snrs_db: list[float]


def reader_of(data: Selection, sps: int, carrier_offset_std: float) -> Reader:
    """The reader of `data.path`: of recordings where it is a folder, else of a data set.

    Args:
        data: which frames.
        sps: samples a symbol of frames that are cut from recordings.
        carrier_offset_std: cycles a sample, of the carrier offsets that the receiver expects.

    Raises:
        FileNotFoundError, ValueError, OSError: as `sharding.reader_of`.
    """
    path = Path(data.path)
    if not path.is_dir():
        return sharding.reader_of(path)
    cut = Cut(data.frame_samples, sps, OFFSETS * carrier_offset_std)
    return Reader("labelled recordings", (), partial(_open, data, cut))


@contextmanager
def _open(
    data: Selection,
    cut: Cut,
    path: Path,
    class_order: str,  # noqa: ARG001
) -> Iterator[Source]:
    """The frames of a folder, which are kept in a file for as long as the source is open."""
    chosen = labels.choose(labels.labelled(path), path, data.modulations)
    convention: SnrLabel = "amplitude" if data.snr_label == "amplitude" else "power"

    # Not beside the recordings, which may lie where nobody can write.
    with work.folder(Path.cwd() / work.WORK, "recordings") as scratch:
        store = scratch / "frames"
        found = _cut_all(chosen, cut, store)
        _require_frames(found, data, cut, path)
        rows = _dealt(found, data, convention)
        frames = np.memmap(store, np.float32, "r").reshape(-1, cut.samples, 2)
        read = partial(_read, frames, convention)
        yield Source(path, cut.samples, rows, read, order=None, snr_label=convention)


def _cut_all(chosen: Sequence[Labelled], cut: Cut, store: Path) -> dict[str, Frames]:
    """Cuts all that is labelled into frames in one file, in a fixed order."""
    found: dict[str, Frames] = defaultdict(lambda: Frames([], []))
    row = 0
    with store.open("wb") as file:
        for one in progress(chosen, "acquire"):
            acquired = acquire(
                one.alone,
                samples=cut.samples,
                sps=cut.sps,
                max_offset=cut.max_offset,
                annotated=True,
            )
            for part in acquired:
                frames = _apart(part, one.recording.sample_rate_hz or 1.0, cut)
                frames = frames[frames.any(axis=1)]
                if not len(frames):
                    continue
                file.write(to_frames(frames).tobytes())
                of_class = found[one.label]
                of_class.rows.extend(range(row, row + len(frames)))
                of_class.snrs_db.extend(to_db(measured_snr(frames).clip(1e-9)).tolist())
                row += len(frames)
    return dict(found)


def _apart(acquired: Acquired, sample_rate_hz: float, cut: Cut) -> np.ndarray:
    """The frames that share no sample: without the last where it reaches back into the one before.

    Else a sample might be trained on in one frame, and tested in the other.
    """
    segment, frames, starts = acquired
    if len(frames) < 2:
        return frames
    symbol = sample_rate_hz / segment.symbol_rate_hz  # in samples of the recording
    is_apart = starts[-1] - starts[-2] > symbol * (cut.samples / cut.sps - 1)
    return frames if is_apart else frames[:-1]


def _require_frames(found: Mapping[str, Frames], data: Selection, cut: Cut, path: Path) -> None:
    """Raises ValueError where a class has no frame, or none that can serve the highest label."""
    for name in data.modulations:
        if name not in found:
            raise ValueError(
                f"{path} gives no frame of {name}: what is labelled so is shorter than "
                f"data.frame_samples = {cut.samples} samples at render.sps = {cut.sps} a symbol, "
                "or is silent; label longer stretches, or lower data.frame_samples"
            )


def _dealt(
    found: Mapping[str, Frames], data: Selection, convention: SnrLabel
) -> dict[Cell, np.ndarray]:
    """Which rows belong to which cell.

    Each frame goes to that one of the labels it can serve which has the fewest so far, and of
    several to the highest, which the fewest frames can serve. Where `data.frames_per_cell` leaves
    some out, those that stay come from all recordings alike.

    Raises:
        ValueError: when no frame of a class can serve some label.
    """
    dealt: dict[Cell, np.ndarray] = {}
    for name in data.modulations:
        rows: dict[int, list[int]] = {label: [] for label in data.snrs_db}
        for row, snr_db in zip(*found[name], strict=True):
            served = [label for label in rows if true_snr_db(label, convention) <= snr_db]
            if served:
                rows[min(served, key=lambda label: (len(rows[label]), -label))].append(row)

        empty = [str(label) for label, of_label in rows.items() if not of_label]
        if empty:
            raise ValueError(
                f"the best of {counted(len(found[name].rows), 'frame')} of {name} in {data.path} "
                f"measures {max(found[name].snrs_db):.1f} dB, and noise can only lower that: "
                f"none is left for {', '.join(empty)} in data.snrs_db; take that out, or label "
                "more and stronger recordings"
            )
        for label, of_label in rows.items():
            dealt[Cell(name, label)] = _spread(np.array(of_label), data.frames_per_cell)
    return dealt


def _spread(rows: np.ndarray, most: int | None) -> np.ndarray:
    """At most so many of some rows, evenly from the first to the last."""
    if most is None or len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]


def _read(
    frames: np.ndarray, convention: SnrLabel, rows: Mapping[Cell, np.ndarray]
) -> Iterator[Block[Cell]]:
    """Frames with as much white noise as brings each down to the SNR of its cell."""
    for cell, of_cell in rows.items():
        snr_db = true_snr_db(cell.snr_db, convention)
        for start in range(0, len(of_cell), BATCH):
            some = of_cell[start : start + BATCH]
            noisy = [with_snr(frames[row], snr_db, rng=_noise_of(row)) for row in some.tolist()]
            yield Block(cell, some, np.stack(noisy))


def _noise_of(row: int) -> np.random.Generator:
    """Draws the noise of a frame; the same in every run, as all that is measured."""
    return generator(0, "noise of recordings", row)


def with_snr(frame: np.ndarray, snr_db: float, *, rng: np.random.Generator) -> np.ndarray:
    """A frame brought down to an SNR over the whole band, by white noise.

    Args:
        frame: float32 (samples, 2), I then Q, whose measured SNR is at least that.
        snr_db: of the result.
        rng: draws the noise.

    Returns:
        float32 (samples, 2).
    """
    iq = frame[:, 0] + 1j * frame[:, 1].astype(np.float64)
    power = float(np.mean(np.abs(iq) ** 2))
    snr = max(float(measured_snr(iq[None])[0]), 0.0)
    noise = power / (snr + 1)
    missing = max((power - noise) / 10 ** (snr_db / 10) - noise, 0.0)
    added = np.sqrt(missing / 2) * rng.standard_normal(frame.shape)  # half on I, half on Q
    return (frame + added).astype(np.float32)
