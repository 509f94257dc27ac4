"""Levels of samples: those that can be worked with, and those that count as silence or too loud."""

import numpy as np

from pisces.acquisition.segment import Readable

WEAKEST, STRONGEST = 1e-15, 1e15
"""Levels of samples: below it is silence, and above it powers leave float32."""
EXPONENTS = 126
"""Either way, of powers of two that float32 holds to full precision."""


def read(recording: Readable, start: int, count: int) -> np.ndarray:
    """Samples of a recording as `within_range` leaves them.

    Args:
        recording: which is read.
        start: the first sample.
        count: of samples.

    Returns:
        complex64 (count,).
    """
    return within_range(recording.read(start, count), start, recording.name)


def within_range(iq: np.ndarray, start: int, name: str) -> np.ndarray:
    """Samples without those that are as good as silent.

    Args:
        iq: complex64 (samples,), finite.
        start: the number of the first of them, for messages.
        name: of the recording, for messages.

    Returns:
        complex64 (samples,), 0 where the level is below `WEAKEST`.

    Raises:
        ValueError: for levels whose powers would leave float32, with the first place of one.
    """
    level = np.abs(iq)
    loud = level > STRONGEST
    if loud.any():
        raise ValueError(
            f"{name}: sample {start + int(loud.argmax())} has a level of {level[loud][0]:g}, beyond"
            f" {STRONGEST:g}: give the right --datatype, or scale the recording"
        )
    return np.where(level < WEAKEST, 0, iq).astype(np.complex64, copy=False)


def near_one(iq: np.ndarray) -> np.ndarray:
    """Samples times that power of two which brings the highest level to 1/2 to 1.

    Such a factor rounds nothing, and powers of powers then stay within float32.

    Args:
        iq: complex, of any shape.
    """
    highest = float(np.abs(iq).max(initial=0.0))
    _, exponent = np.frexp(highest)
    return iq * np.float32(2.0 ** -np.clip(exponent, -EXPONENTS, EXPONENTS))
