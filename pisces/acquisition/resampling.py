"""Samples at another rate, by polyphase filters."""

from fractions import Fraction
from functools import lru_cache

import numpy as np
from scipy.signal import firwin, resample_poly

DENOMINATORS = (10, 100, 1_000, 10_000)
"""Of a ratio of rates, at most: the first that is near enough is taken."""
NEAR = 1e-5
"""Relative error of a ratio that is near enough."""
REACH = 24
"""Periods of the slower rate that the filter reaches to either side."""
KAISER_BETA = 8.0
"""Of the filter's window: what it stops is 80 dB down."""
STOPPED_DB = 80


def nearest_ratio(ratio: float, near: float = NEAR) -> Fraction:
    """A fraction of small numbers near a ratio of rates, above 0.

    With denominators up to N the error is below 1 / N over the denominator (Hardy and Wright, An
    Introduction to the Theory of Numbers, theorem 36): it is at most 1e-4 of a ratio or its
    inverse, whichever is above 1.

    Args:
        ratio: of two rates, above 0.
        near: relative error from which on no larger numbers are tried.
    """
    if ratio < 1:
        return 1 / nearest_ratio(1 / ratio, near)
    for most in DENOMINATORS:
        fraction = Fraction(ratio).limit_denominator(most)
        if abs(float(fraction) / ratio - 1) < near:
            break
    return fraction


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
