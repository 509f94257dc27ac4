"""What a test could have found."""

from functools import lru_cache

import numpy as np
from scipy.special import bdtr
from scipy.stats import binom, norm

HALVINGS = 17
"""Of the range 0..1 of a difference: to .00001."""

SPREADS = 8
"""Standard deviations of a count, beyond which it is left out."""


@lru_cache(maxsize=4096)
def detectable_difference(differing: int, n: int, significance: float, power: float = 0.8) -> float:
    """The smallest true paired difference that McNemar's exact test finds with some probability.

    What differed is taken for noise that stays, half of it either way, and the difference comes on
    top. The power is that over all numbers of frames that may differ then, with the exact p-value
    of each (Lachenbruch, Statistics in Medicine 11 (1992) 1521, compares it with approximations).

    Args:
        differing: frames that only one of the predictions has right.
        n: all frames.
        significance: the p-value up to which the test calls a difference, two-sided.
        power: the probability to find it, 0..1.

    Returns:
        Of the shares of frames that are right, 0..1; NaN where no difference would be found.

    >>> print(f"{100 * detectable_difference(0, 238, 0.05):.1f} points")
    3.3 points
    """
    most_against = _most_against(n, significance)
    noise = differing / n

    def found(difference: float) -> float:
        differ = min(noise + difference, 1)
        against = max(differ - difference, 0) / 2 / differ  # share of those that differ
        center, spread = n * differ, np.sqrt(n * differ * (1 - differ))
        first = max(0, int(center - SPREADS * spread))
        counts = np.arange(first, min(n, int(center + SPREADS * spread) + 1) + 1)

        called = most_against[counts]
        chance = np.where(called >= 0, bdtr(np.maximum(called, 0), counts, against), 0)
        return float(binom.pmf(counts, n, differ) @ chance)

    low, high = 0.0, 1.0
    if found(high) < power:
        return np.nan
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if found(middle) < power:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=64)
def _most_against(n: int, significance: float) -> np.ndarray:
    """How many of 0..n frames that differ may do so against the others and the test still call it.

    Returns:
        int (n + 1,); -1 where even none is too many.
    """
    counts = np.arange(n + 1)
    guess = counts / 2 - norm.isf(significance / 2) * np.sqrt(counts) / 2 - 1
    most = np.maximum(np.floor(guess), -1).astype(int)

    def called(against: np.ndarray) -> np.ndarray:
        p = 2 * bdtr(np.maximum(against, 0), counts, 0.5)
        return (against < 0) | (p <= significance)

    while not called(most).all():
        most = np.where(called(most), most, most - 1)
    more = (most < counts) & called(most + 1)
    while more.any():
        most = np.where(more, most + 1, most)
        more = (most < counts) & called(most + 1)
    return most
