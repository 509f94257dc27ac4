"""What the reader of a file format gives: labelled frames, block by block, whatever the format."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from pisces.core.shards import Cell
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

    Raises ValueError for a frame that `as_float32` refuses, OSError where reading fails.
    """
    order: OrderFindings | None
    """Findings about the class order; None where they are labelled by name."""


class Reader(NamedTuple):
    """How files of one format are read."""

    dataset: str  # what the format is known by
    preset: str  # the shipped preset for such files
    open: Callable[[Path, str], AbstractContextManager[Source]]  # of a path and a class order


def require_file(path: Path, dataset: str) -> None:
    """Raises FileNotFoundError, with what to change, unless `path` is a file."""
    if path.is_dir():
        raise FileNotFoundError(
            f"{path} is a directory, not a file; "
            f"set data.path (or preset --data) to the file of {dataset} itself, with its extension"
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is not a file; make it with the stage synthesize, "
            f"or set data.path (or preset --data) to your copy of {dataset}"
        )


def as_float32(frames: np.ndarray, rows: np.ndarray, name: str) -> np.ndarray:
    """Frames of any floating type as float32.

    Args:
        frames: (n, samples, 2), I then Q.
        rows: where they are in the file, int64 (n,), for messages.
        name: of the file, for messages.

    Returns:
        The same numbers, float32 (n, samples, 2).

    Raises:
        ValueError: naming the first row that holds NaN, infinity or a value beyond float32.
    """
    with np.errstate(over="ignore"):
        converted = frames.astype(np.float32, copy=False)
    finite = np.isfinite(converted).all(axis=(1, 2))
    if not finite.all():
        raise ValueError(
            f"{name} holds NaN, infinity or a value beyond float32 at row {rows[finite.argmin()]}; "
            "repair or remove it"
        )
    return converted


def is_usable(frames: np.ndarray) -> np.ndarray:
    """Which of the frames (n, samples, 2) are not all zero: bool (n,)."""
    return np.any(frames, axis=(1, 2))
