"""What the reader of a file format gives: labelled frames, block by block, whatever the format."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from pisces.core.shards import Cell
from pisces.core.snr_label import SnrLabel
from pisces.sources.class_order import OrderFindings

MIN_SAMPLES = 64
"""Samples of the shortest frame that is read."""

K = TypeVar("K", bound=Hashable)


class Block(NamedTuple, Generic[K]):
    """Frames of one group of rows, as many as were read together."""

    group: K
    rows: np.ndarray  # int64 (n,), ascending
    frames: np.ndarray  # float32 (n, samples, 2), I then Q


@dataclass(frozen=True)
class Source:
    """An open file of labelled frames."""

    path: Path
    samples: int
    rows: Mapping[Cell, np.ndarray]
    """Where the frames of each cell are in the file: int64 (n,), ascending."""
    read: Callable[[Mapping[Cell, np.ndarray]], Iterator[Block[Cell]]]
    """Reads some of `rows`; the blocks of a cell come in ascending order of rows.

    Raises OSError where reading fails.
    """
    order: OrderFindings | None
    """Findings about the class order; None where they are labelled by name."""
    place: Callable[[int], str] | None = None
    """Where in the file a user finds the frame of a row; None where the row says it."""
    snr_amiss: str = ""
    """How the SNR labels do not follow the measured SNR (`snr_order.what_is_amiss`)."""
    snr_label: SnrLabel | None = None
    """What the labels mean, where the source itself has made the frames so; None: to be found."""


class Preset(NamedTuple):
    """A shipped preset for files of one data set: the classes that it takes from them."""

    name: str
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]


class Reader(NamedTuple):
    """How files of one format are read."""

    dataset: str  # what the format is known by
    presets: tuple[Preset, ...]  # for such files, the one for most of them first
    open: Callable[[Path, str], AbstractContextManager[Source]]  # of a path and a class order


def require_file(path: Path) -> None:
    """Raises OSError, with what to change, unless `path` is a file."""
    try:
        is_directory, is_file = path.is_dir(), path.is_file()
    except PermissionError:
        raise PermissionError(
            f"{path} cannot be reached: no permission to enter a folder above it: "
            "change that with chmod or chown, or copy the file"
        ) from None
    if is_directory:
        raise FileNotFoundError(
            f"{path} is a directory, not a file; "
            "set data.path (or preset --data) to the data file itself"
        )
    if is_file:
        return
    relative = (
        ""
        if path.is_absolute()
        else f"it is relative to the folder of params.yaml, here {Path.cwd() / path}; give an "
        "absolute path, since experiments that are queued or run with --temp run in a folder of "
        "their own; "
    )
    raise FileNotFoundError(
        f"{path} is not a file; {relative}set data.path (or preset --data) to your copy of "
        "RML2018.01A, RML2016.10a or RML2016.10b; generated frames come from the stage synthesize"
    )


def as_float32(frames: np.ndarray) -> np.ndarray:
    """Frames (n, samples, 2) of any floating type as float32.

    What is beyond its range becomes the largest number within it, and a frame of nothing but
    numbers below its range gets the least one. `unusable` then tells such frames from infinite and
    silent ones.
    """
    with np.errstate(over="ignore", under="ignore"):
        narrow = frames.astype(np.float32, copy=False)
    if narrow is frames:
        return frames

    beyond = np.isinf(narrow) & np.isfinite(frames)
    narrow[beyond] = np.copysign(LARGEST, frames[beyond])
    vanished = ~narrow.any(axis=(1, 2)) & frames.any(axis=(1, 2))
    narrow[vanished] = LEAST
    return narrow


LARGEST = np.finfo(np.float32).max
LEAST = np.finfo(np.float32).smallest_subnormal
"""Numbers of float32 other than 0 and infinity."""


LEAST_POWER = float(np.finfo(np.float32).tiny)
MOST_ENERGY = float(np.finfo(np.float32).max)
"""A frame is divided by its RMS in float32: the mean of its squares must be a normal number, and
their sum within range."""
UNUSABLE = ("all zero", "NaN or infinite", "too weak for float32", "too strong for float32")
"""Why a frame cannot be normalised, by the code of `unusable`, less 1."""


def unusable(frames: np.ndarray) -> np.ndarray:
    """Why each of the frames float32 (n, samples, 2) cannot be normalised: int (n,), 0 if it can.

    Other numbers are places in `UNUSABLE`, counted from 1.
    """
    # In float64 no square of a float32 is out of range.
    energy = np.einsum("nsc,nsc->n", frames, frames, dtype=np.float64)
    conditions = (
        ~np.any(frames, axis=(1, 2)),
        ~np.isfinite(energy),
        energy < LEAST_POWER * frames.shape[1],
        energy > MOST_ENERGY,
    )
    return np.select(conditions, range(1, len(UNUSABLE) + 1), default=0)


def is_usable(frames: np.ndarray) -> np.ndarray:
    """Which of the frames float32 (n, samples, 2) can be normalised: bool (n,)."""
    return unusable(frames) == 0
