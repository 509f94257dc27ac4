"""Means over seeds and frames at once: every seed predicts the same test frames.

A figure of seed s and frame f is taken as

    value[s, f] = mean + seed[s] + frame[f] + rest[s, f]

with independent effects of mean 0: another training would draw other seeds, another test other
frames. The variance of the mean over S seeds and F frames is then estimated by

    (MS_seed + MS_frame - MS_rest) / (S F)

of the mean squares of the two-way table, whose expectations are F var(seed) + var(rest),
S var(frame) + var(rest) and var(rest) (Cornfield and Tukey, Annals of Mathematical Statistics 27
(1956) 907). Its degrees of freedom are those of Satterthwaite, Biometrics Bulletin 2 (1946) 110:

    (sum of c MS)^2 / sum of (c MS)^2 / df,    c = 1, 1 and -1.

An effect whose estimated variance is below 0 counts as absent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Estimate:
    """A mean with how sure it is."""

    mean: float
    variance: float
    """Of the mean."""
    degrees: float
    """Degrees of freedom of that variance."""
    seeds: tuple[int, ...]
    """How many there are, of each kind of experiment behind it."""
    frames: int

    @property
    def half_width(self) -> float:
        """Of the 95 % interval by Student's t: a smaller difference could not have been found."""
        return float(stats.t.ppf(0.975, self.degrees) * np.sqrt(self.variance))

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    @property
    def p(self) -> float:
        """Two-sided, of the mean being 0."""
        if self.variance == 0:
            return float(self.mean == 0)
        return float(2 * stats.t.sf(abs(self.mean) / np.sqrt(self.variance), self.degrees))

    def share_interval(self) -> tuple[float, float]:
        """95 % interval of a mean that is a share, both ends within 0..1.

        Wilson's, of as many independent frames as would give this variance, with Student's t in
        place of the normal quantile. It has a width where every seed is right in every frame: then
        the frames count once (Franco, Little, Louis and Slud, Journal of Survey Statistics and
        Methodology 7 (2019) 334).
        """
        share = self.mean
        n = float(self.frames)
        if self.variance > 0:
            n = share * (1 - share) / self.variance

        t = float(stats.t.ppf(0.975, self.degrees))
        middle = share + t**2 / (2 * n)
        half = t * np.sqrt(share * (1 - share) / n + t**2 / (4 * n**2))
        low, high = (middle - half) / (1 + t**2 / n), (middle + half) / (1 + t**2 / n)
        return max(0.0, float(low)), min(1.0, float(high))


def mean_of(values: np.ndarray) -> Estimate:
    """The mean of figures of one kind of experiment, or of their paired differences.

    Args:
        values: (seeds, frames), two or more of each.

    >>> table = np.array([[1.0, 0.0, 2.0], [2.0, 1.0, 3.0]])
    >>> found = mean_of(table)
    >>> print(f"{found.mean:.2f}, variance {found.variance:.3f}")
    1.50, variance 0.583
    """
    return _estimate([values])


def difference(one: np.ndarray, other: np.ndarray, is_paired: bool) -> Estimate:
    """The mean of `one - other`, of two kinds of experiment over the same frames.

    Args:
        one: (seeds, frames), two or more of each.
        other: (seeds, frames); the number of seeds may differ where they are not paired.
        is_paired: whether rows of equal number have the same seed. What a seed does to both kinds
            alike then counts as no difference.
    """
    return _estimate([one - other] if is_paired else [one, -other])


def _estimate(tables: Sequence[np.ndarray]) -> Estimate:
    """The mean of a sum of tables (seeds, frames) over the same frames and seeds of their own."""
    frames = tables[0].shape[1]
    of_frames = np.sum([table.mean(axis=0) for table in tables], axis=0)  # (frames,)
    mean = float(of_frames.mean())

    # Each over seeds x frames, so that they are shares of the variance of the mean.
    by_frame = float(of_frames.var(ddof=1)) / frames
    rest_in_all = sum(_rest(table) for table in tables)
    terms = [(max(by_frame, rest_in_all), frames - 1)]

    for table in tables:
        seeds = len(table)
        by_seed = float(table.mean(axis=1).var(ddof=1)) / seeds
        rest = _rest(table)
        if by_seed > rest:
            terms += [(by_seed, seeds - 1), (-rest, (seeds - 1) * (frames - 1))]

    variance = sum(term for term, _ in terms)
    uncertainty = sum(term**2 / degrees for term, degrees in terms)
    degrees = variance**2 / uncertainty if uncertainty > 0 else float(frames - 1)
    return Estimate(mean, variance, degrees, tuple(map(len, tables)), frames)


def _rest(table: np.ndarray) -> float:
    """MS_rest / (seeds frames): what neither the seed nor the frame explains."""
    seeds, frames = table.shape
    left = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    mean_square = (left**2).sum() / ((seeds - 1) * (frames - 1))
    return float(mean_square) / (seeds * frames)
