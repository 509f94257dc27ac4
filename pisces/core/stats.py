"""Intervals, tests and rank correlation, of NumPy arrays from anywhere."""

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
from scipy.stats import binom, binomtest, rankdata, t

Name = TypeVar("Name", bound=Hashable)

WEIGHTS_AT_ONCE = 1 << 23
"""Numbers that `paired_bootstrap` holds in memory at a time, twice."""

DRAWS_AT_ONCE = 1 << 20
"""Numbers that `bootstrap_mean` holds in memory at a time."""


# Intervals


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a share, both ends within 0..1.

    It covers as often as it says even where all or none of `n` succeed, where a bootstrap
    has no width (Wilson, J. Am. Stat. Assoc. 22 (1927) 209; Brown, Cai and DasGupta 2001).

    Raises:
        ValueError: when `n` is 0, or `successes` is not in 0..n.

    >>> low, high = wilson(952, 952)
    >>> print(f"{100 * low:.1f} to {100 * high:.1f} %")
    99.6 to 100.0 %
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share; give 1 or more, and 0 to all of them")

    interval = binomtest(successes, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def percentile_interval(resampled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (...) of the 95 % percentile interval of bootstrap values (..., resamples)."""
    low, high = np.quantile(resampled, [0.025, 0.975], axis=-1)
    return low, high


def paired_bootstrap(
    columns: Mapping[Name, np.ndarray], resamples: int, rng: np.random.Generator
) -> dict[Name, np.ndarray]:
    """Means of columns under the same resamples of frames, so that differences stay paired.

    Args:
        columns: name -> (rows, n), a number or bool of each of the same n frames.
        resamples: how often n frames are drawn with replacement.
        rng: what draws them; all columns see the same draws.

    Returns:
        Name -> (rows, resamples). Memory does not grow with n.
    """
    n = next(iter(columns.values())).shape[1]
    means = {name: np.empty((len(values), resamples)) for name, values in columns.items()}
    step = max(1, WEIGHTS_AT_ONCE // n)

    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        weights = np.empty((stop - start, n))
        for row in weights:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)

        for name, values in columns.items():
            for first in range(0, len(values), step):
                part = values[first : first + step].astype(float)
                means[name][first : first + step, start:stop] = part @ weights.T / n

    return means


def bootstrap_mean(
    values: np.ndarray, resamples: int, rng: np.random.Generator
) -> dict[str, float]:
    """Mean over frames with its 95 % percentile-bootstrap interval.

    Args:
        values: (n,), one a frame. A NaN, where a frame has no value, is left out.
        resamples: how often the frames are drawn with replacement.
        rng: what draws them.

    Returns:
        `frames` (how many have a value), `mean`, `ci_low` and `ci_high`: the last three are NaN
        when no frame has a value.
    """
    values = values[~np.isnan(values)]
    n = len(values)
    if n == 0:
        return {"frames": 0, "mean": np.nan, "ci_low": np.nan, "ci_high": np.nan}

    resampled = np.empty(resamples, values[:1].mean().dtype)  # float32 means stay so
    step = max(1, DRAWS_AT_ONCE // n)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        drawn = rng.integers(n, size=(stop - start, n))
        resampled[start:stop] = values[drawn].mean(axis=1)

    low, high = percentile_interval(resampled)
    return {"frames": n, "mean": float(values.mean()), "ci_low": float(low), "ci_high": float(high)}


def student_mean(values: np.ndarray) -> dict[str, float]:
    """Mean over frames with its 95 % interval by Student's t, for few frames as well.

    Of values that scatter normally it covers as often as it says from two on; of 3 to 15 a
    percentile bootstrap covers less, since it takes their spread for the true one.

    Args:
        values: (n,), one a frame.

    Returns:
        `frames`, `mean`, `ci_low` and `ci_high`: NaN where there are too few, of the mean none and
        of the ends one.
    """
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    reach = float(t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return {"frames": n, "mean": mean, "ci_low": mean - reach, "ci_high": mean + reach}


# Tests


def mcnemar(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two-sided p-values (...) of McNemar's exact test: paired predictions right equally often.

    Both arrays are bool (..., n). Where one is right and the other wrong, each is as likely to be
    the right one, so the smaller count of the two is binomial. 1 where none differs.

    McNemar, "Note on the sampling error of the difference between correlated proportions or
    percentages", Psychometrika, 1947.
    """
    only_one = np.count_nonzero(one & ~other, axis=-1)
    only_other = np.count_nonzero(other & ~one, axis=-1)

    smaller = np.minimum(only_one, only_other)
    one_sided = binom.cdf(smaller, only_one + only_other, 0.5)
    return np.minimum(1.0, 2 * one_sided)


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (n,) adjusted for all n tests, however they depend on each other.

    Calling those up to a significant makes even one mistake with probability a at most. NaN is no
    test: it stays, and the others are adjusted as without it.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of
    Statistics, 1979.
    """
    tests = np.count_nonzero(~np.isnan(p))
    order = np.argsort(p)[:tests]  # NaN comes last
    still_open = np.arange(tests, 0, -1)

    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(still_open * p[order]))
    return adjusted


# Correlation


def rank_correlation(one: np.ndarray, other: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation (n,) of each pair of rows over their chosen entries.

    Args:
        one: scores (n, entries). Equal scores share their middle rank.
        other: scores (n, entries).
        chosen: bool (n, entries), which entries of a row count.

    Returns:
        -1..1; NaN where a row is constant over its chosen entries, or has fewer than two.
    """
    rows = zip(one, other, chosen, strict=True)
    return np.array([_spearman(a[at], b[at]) for a, b, at in rows])


def _spearman(one: np.ndarray, other: np.ndarray) -> float:
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan

    rank_one, rank_other = rankdata(one), rankdata(other)
    a = rank_one - rank_one.mean()
    b = rank_other - rank_other.mean()
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))
