"""Samples at another rate, by polyphase filters."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, resample_poly

MOST_DENOMINATOR = 1000
"""Of the ratio of rates. It is then right to 1e-6 of itself at least, where it is near 1."""
REACH = 24
"""Periods of the slower rate that the filter reaches to either side."""
KAISER_BETA = 8.0
"""Of the filter's window: what it stops is 80 dB down."""
STOPPED_DB = 80


def nearest_ratio(ratio: float) -> Fraction:
    """A fraction of small numbers near a ratio of rates, above 0.

    Its error is below 1 / (`MOST_DENOMINATOR` * its denominator), of the ratio or of its inverse,
    whichever is below 1 (Hardy and Wright, An Introduction to the Theory of Numbers, theorem 36).
    """
    if ratio < 1:
        return 1 / nearest_ratio(1 / ratio)
    return Fraction(ratio).limit_denominator(MOST_DENOMINATOR)


def resample(iq: np.ndarray, ratio: Fraction) -> np.ndarray:
    """Samples at `ratio` times the rate, the first at the same instant.

    Frequencies up to 0.92 times half the slower rate pass, those that would fold onto them are
    `STOPPED_DB` down.

    Args:
        iq: complex64 (samples,).
        ratio: of the new rate over the old one, above 0.

    Returns:
        complex64 (about samples * ratio,).
    """
    if ratio == 1:
        return iq
    up, down = ratio.numerator, ratio.denominator
    return resample_poly(iq, up, down, window=_taps(max(up, down))).astype(np.complex64)


@lru_cache(maxsize=8)
def _taps(slower: int) -> np.ndarray:
    """Low-pass at 1 / `slower` of half the common rate, float32."""
    return firwin(2 * REACH * slower + 1, 1 / slower, window=("kaiser", KAISER_BETA))


def shift_frequency(iq: np.ndarray, shift: float) -> np.ndarray:
    """Samples moved by `shift` cycles a sample, complex64."""
    turns = np.arange(len(iq)) * shift
    return (iq * np.exp(2j * np.pi * (turns % 1))).astype(np.complex64)
