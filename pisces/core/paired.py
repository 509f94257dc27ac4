"""Intervals of what the same frames lose between two predictions.

A frame changes by +1 where only the first prediction is right, by -1 where only the second is, and
by 0 where both or neither are. Whether both or neither plays no part, so that the accuracy itself
cancels. Of few changes a bootstrap knows only those that it saw, and where it saw none it has no
width. A score interval asks of each candidate whether so few would be seen if it were the truth.
"""

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

Z = float(norm.ppf(0.975))

HALVINGS = 50
"""Of the range in which an end lies, 2 wide: to 2e-15."""


def difference_interval(
    lost: np.ndarray | float, gained: np.ndarray | float, n: np.ndarray | int
) -> tuple[np.ndarray, np.ndarray]:
    """95 % score intervals of paired differences of accuracies.

    Tango, "Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design", Statistics in Medicine 17 (1998) 891.

    Args:
        lost: frames that only the first prediction has right, of any shape.
        gained: frames that only the second has right, likewise.
        n: all frames, those that do not change among them.

    Returns:
        Both ends of (share lost) - (share gained), -1..1 each.

    >>> low, high = difference_interval(lost=np.array([0, 12]), gained=np.array([0, 0]), n=238)
    >>> print((100 * low).round(1), (100 * high).round(1))
    [-1.6  2.9] [1.6 8.6]
    """
    lost, gained, n = np.broadcast_arrays(lost, gained, n)
    nothing = np.zeros(lost.shape)
    constant = Rest(*[nothing] * 6)
    return _score_interval(lost, gained, n, constant)


def ratio_interval(
    change: np.ndarray, share: np.ndarray, rest: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of (mean change + mean rest) / mean share over n frames, for many rows.

    The true ratio r makes the mean of `change + rest - r share` zero. So r is in the interval where
    that mean is within 1.96 of its standard errors (Fieller 1954), and the variance of the change
    is Tango's under that r, see `difference_interval`. What shares and rests scatter, and how they
    go with the change, is measured. Where all shares are alike and there is no rest, it is
    `difference_interval` over the share.

    Args:
        change: -1, 0 or 1 of each frame, (..., n).
        share: what the ratio is over, 0 or more; it is broadcast to the change.
        rest: what is added to each change, (..., n).

    Returns:
        Both ends (...); NaN where no frame has a share.
    """
    share = np.broadcast_to(share, change.shape)
    added = np.zeros(change.shape) if rest is None else rest

    # A frame of which nothing is taken adds nothing to either mean, and tells nothing.
    n = np.count_nonzero((share > 0) | (change != 0) | (added != 0), axis=-1)
    sum_of_shares = share.sum(axis=-1, dtype=float)
    taken = sum_of_shares > 0
    mean_share = np.divide(sum_of_shares, n, out=np.full(n.shape, np.nan), where=taken)
    relative = np.where(taken[..., None], share / mean_share[..., None], 1)

    lost = np.count_nonzero(change > 0, axis=-1)
    gained = np.count_nonzero(change < 0, axis=-1)
    of_frames = Rest.of(change, relative, added, np.maximum(n, 1))
    low, high = _score_interval(lost, gained, np.maximum(n, 1), of_frames)
    return low / mean_share, high / mean_share


def bounded_mean_interval(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of means of values that lie in -1..1 and are often alike.

    The values are counted from their median, as if each that differs from it differed by the same
    step: the one with which mean and mean square are as they are, had one more value differed by 1.
    So the interval is `difference_interval` times that step, which is 1 where no value differs.

    Args:
        values: (rows, n).

    Returns:
        Both ends (rows,).
    """
    n = values.shape[1]
    middle = np.median(values, axis=1)
    differing = values - middle[:, None]

    sum_of_squares = np.square(differing).sum(axis=1)
    sum_of_sizes = np.abs(differing).sum(axis=1)
    step = (sum_of_squares + 1) / (sum_of_sizes + 1)

    lost = differing.clip(min=0).sum(axis=1) / step
    gained = -differing.clip(max=0).sum(axis=1) / step
    low, high = difference_interval(lost, gained, n)
    return middle + step * low, middle + step * high


class Rest(NamedTuple):
    """How frames scatter beside their change: variances and covariances (...) over frames."""

    mean: np.ndarray
    """Of what is added to the change."""
    added: np.ndarray
    """Its variance."""
    relative: np.ndarray
    """Variance of the shares, over their mean."""
    added_relative: np.ndarray
    change_added: np.ndarray
    change_relative: np.ndarray

    @classmethod
    def of(
        cls, change: np.ndarray, relative: np.ndarray, added: np.ndarray, n: np.ndarray
    ) -> "Rest":
        """What is measured of frames.

        Args:
            change: of each frame, (..., frames).
            relative: shares over their mean, likewise.
            added: likewise.
            n: frames that count, (...); all three are 0 in the others.
        """

        def covariance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
            return (one * other).sum(axis=-1) / n - one.sum(axis=-1) / n * other.sum(axis=-1) / n

        return cls(
            mean=added.sum(axis=-1) / n,
            added=covariance(added, added),
            relative=covariance(relative, relative),
            added_relative=covariance(added, relative),
            change_added=covariance(change, added),
            change_relative=covariance(change, relative),
        )


def _score_interval(
    lost: np.ndarray, gained: np.ndarray, n: np.ndarray, rest: Rest
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the candidates whose score is within 1.96, found by halving."""
    estimate = (lost - gained) / n + rest.mean

    def accepted(candidate: np.ndarray) -> np.ndarray:
        variance = _variance(lost, gained, n, rest, candidate)
        return n * np.square(estimate - candidate) <= Z**2 * variance

    ends = []
    for limit in (-1.0, 1.0):
        outside, inside = rest.mean + limit, estimate
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2
            within = accepted(middle)
            outside, inside = np.where(within, outside, middle), np.where(within, middle, inside)
        ends.append(inside)
    return ends[0], ends[1]


def _variance(
    lost: np.ndarray, gained: np.ndarray, n: np.ndarray, rest: Rest, candidate: np.ndarray
) -> np.ndarray:
    """Of one frame's `change + rest - candidate * relative share`, if the candidate is true."""
    of_change = _tango_variance(lost, gained, n, candidate - rest.mean)
    of_rest = (
        rest.added - 2 * candidate * rest.added_relative + np.square(candidate) * rest.relative
    )
    of_rest = np.maximum(of_rest, 0)  # less by rounding alone

    # The measured covariance may be more than the two variances allow.
    largest = np.sqrt(of_change * of_rest)
    covariance = rest.change_added - candidate * rest.change_relative
    return of_change + of_rest + 2 * np.clip(covariance, -largest, largest)


def _tango_variance(
    lost: np.ndarray, gained: np.ndarray, n: np.ndarray, difference: np.ndarray
) -> np.ndarray:
    """Of one frame's change, at the most likely shares whose difference is the one given."""
    a = 2 * n
    b = (2 * n - lost + gained) * difference - lost - gained
    c = -gained * difference * (1 - difference)
    of_gained = (np.sqrt(np.maximum(b * b - 4 * a * c, 0)) - b) / (2 * a)
    return np.maximum(2 * of_gained + difference * (1 - difference), 0)
