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
    count: int
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
    """The file that was opened: the metadata, where SigMF names its data."""
    name: str
    """The name of the file that holds the samples, and of the channel where it has several."""
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

    def chunks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Start and samples of consecutive pieces, each of `size` samples but the last."""
        for start in range(0, self.count, size):
            yield start, self.read(start, min(size, self.count - start))
