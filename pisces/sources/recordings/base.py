"""What the reader of a recording gives: complex samples, piece by piece, whatever the format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Annotation(NamedTuple):
    """What a description says of a part of a recording."""

    start: int
    """First sample, counted in complex samples of the recording."""
    count: int  # type: ignore[assignment]  # it hides a method of tuples
    label: str | None
    low_hz: float | None
    """Edges of the band, in baseband: relative to `Recording.center_hz`."""
    high_hz: float | None
    symbol_rate_hz: float | None
    """From an extension such as signal:detail; None where nothing says so."""


@dataclass(frozen=True)
class Recording:
    """An open recording, of which nothing is in memory but what is being read."""

    path: Path
    """The file that was given."""
    name: str
    """Of the file that holds the samples; of SigMF that of the data, whichever file was given.

    Where one file holds several recordings, its channel or capture stands behind it in brackets.
    """
    count: int
    """Complex samples. A pair of I and Q is one; so is a real sample, made analytic."""
    sample_rate_hz: float | None
    """None: unknown."""
    center_hz: float
    """The frequency of baseband 0; 0 where it is unknown."""
    annotations: tuple[Annotation, ...]
    frame_length: int | None
    """Samples of a frame, where the file is a list of frames unrelated to each other."""
    samples_per_symbol: float | None
    """Where the file or its description says so."""
    read: Callable[[int, int], np.ndarray]
    """`read(start, count)` -> complex64 (count,), in memory bounded by `count`.

    Raises ValueError where a sample is NaN or infinite, or reading fails.
    """
    metadata: dict[str, Any] | None
    """The metadata of SigMF, as read."""
    first_sample: int = 0
    """Where it begins in the samples that `metadata` counts: later captures begin later."""

    def chunks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Start and samples of consecutive pieces, each of `size` samples but the last."""
        for start in range(0, self.count, size):
            yield start, self.read(start, min(size, self.count - start))


class Options(NamedTuple):
    """What a user says of a file that does not say it itself."""

    datatype: str | None
    """Of raw samples, in SigMF's words; formats that say it themselves take no notice."""
    sample_rate_hz: float | None
    """It goes before what a file says."""


class Format(NamedTuple):
    """A format of recordings."""

    name: str
    """For people."""
    recognises: Callable[[Path, bytes, Options], bool]
    """Whether a file is of it: its path, its first `HEAD` bytes, and what the user says of it."""
    open: Callable[[Path, Options], list[Recording]]
    """Opens such a file."""


HEAD = 1_024
"""Bytes from the beginning by which a format is known."""
