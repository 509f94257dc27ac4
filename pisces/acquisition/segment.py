"""What is found in a recording, and what is asked of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np


class Annotated(Protocol):
    """What a description says of a part of a recording."""

    @property
    def start(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def low_hz(self) -> float | None: ...
    @property
    def high_hz(self) -> float | None: ...
    @property
    def symbol_rate_hz(self) -> float | None: ...


class Readable(Protocol):
    """What is asked of a recording; `sources` has those of each format."""

    @property
    def count(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def sample_rate_hz(self) -> float | None: ...
    @property
    def frame_length(self) -> int | None: ...
    @property
    def samples_per_symbol(self) -> float | None: ...
    @property
    def annotations(self) -> Sequence[Annotated]: ...
    @property
    def read(self) -> Callable[[int, int], np.ndarray]: ...


@dataclass(frozen=True)
class Segment:
    """One stretch of one signal.

    Frequencies are relative to the recording's centre. Where the sample rate is unknown they are
    in sample rates.
    """

    start: int  # in samples of the recording
    count: int
    center_hz: float
    bandwidth_hz: float  # occupied: all but 1 % of the power at either edge
    symbol_rate_hz: float
    symbol_rate_confidence: float  # 0 to 1; 1 of what was told
    snr_db: float  # power in the occupied band over the noise there; NaN where no noise is seen


class Acquired(NamedTuple):
    """A segment and its frames."""

    segment: Segment
    frames: np.ndarray
    """complex64 (n, samples), carrier near 0; none where the segment is shorter than a frame."""
    starts: np.ndarray
    """Where each frame begins, in samples of the recording: int64 (n,)."""


class Goal(NamedTuple):
    """What frames are to be."""

    samples: int
    """Of a frame."""
    sps: int
    """Samples a symbol."""
    symbol_rate: float | None
    """Symbols a sample of the recording, where it was told."""
    max_offset: float
    """Cycles a sample of the frames, up to which the receiver follows a carrier by itself."""
