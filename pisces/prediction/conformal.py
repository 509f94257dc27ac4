"""Intervals of the SNR that hold the truth as often as they say: split conformal prediction.

Vovk et al., "Algorithmic learning in a random world" (2005); Lei et al., "Distribution-free
predictive inference for regression", JASA 113 (2018) 1094. The promise is for frames that are
exchangeable with those that the quantile was taken from, and for their mean: not for each SNR.
"""

import math

import numpy as np

COVERAGE = 0.9
"""Share of frames whose interval holds the true SNR."""
LEAST_SPREAD = 0.1
"""Of a step of the grid of SNRs: a head that is sure of a class is at least so wrong."""


def quantile(scores: np.ndarray, share: float) -> float | None:
    """The score below or at which a further frame lies with a probability of `share` at least.

    It is the k-th smallest of n for k = ceil((n + 1) share), so that the probability is k / (n + 1)
    where no two scores are equal.

    Args:
        scores: of frames that nothing was fitted to, (n,).
        share: 0..1.

    Returns:
        The score, or None where n frames are too few: every score would then have to do.

    >>> import numpy as np
    >>> quantile(np.arange(1, 20), 0.9)  # the 18th of 19
    18.0
    >>> print(quantile(np.arange(8), 0.9))
    None
    """
    # Rounded: 20 * 0.95 in floating point may be above 19.
    rank = math.ceil(round((len(scores) + 1) * share, 9))
    if rank > len(scores):
        return None
    return float(np.sort(scores)[max(rank, 1) - 1])


def estimate(probabilities: np.ndarray, snrs_db: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of the SNR under the probabilities of the head.

    Args:
        probabilities: (n, SNRs).
        snrs_db: true SNRs that the labels stand for, (SNRs,), rising.

    Returns:
        Mean and standard deviation in dB, (n,) each; the latter with `LEAST_SPREAD` added in power.
    """
    mean = probabilities @ snrs_db
    variance = (probabilities * (snrs_db - mean[:, None]) ** 2).sum(1)
    least = LEAST_SPREAD * float(np.diff(snrs_db).mean())
    return mean, np.sqrt(variance + least**2)


def spreads_needed(
    probabilities: np.ndarray, true_db: np.ndarray, snrs_db: np.ndarray
) -> float | None:
    """How many spreads to either side hold the true SNR of `COVERAGE` of the frames.

    Args:
        probabilities: of frames that were not trained on, (n, SNRs).
        true_db: their true SNRs, (n,).
        snrs_db: as of `estimate`.

    Returns:
        0 or more, or None where n frames are too few.
    """
    mean, spread = estimate(probabilities, snrs_db)
    return quantile(np.abs(true_db - mean) / spread, COVERAGE)


def interval(
    probabilities: np.ndarray, snrs_db: np.ndarray, spreads: float, *, between: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Both ends of the interval of each frame in true dB, (n,) each.

    Frames that were trained on have SNRs of a grid, and a head is soon sure which. A frame between
    two of them is taken for one of either: with `between`, half a step is added to both ends.

    Args:
        probabilities: (n, SNRs).
        snrs_db: as of `estimate`.
        spreads: as of `spreads_needed`.
        between: whether frames may have any SNR.

    Returns:
        Lower and upper end; they may lie beyond the SNRs that were trained on.
    """
    mean, spread = estimate(probabilities, snrs_db)
    half = spreads * spread + (np.diff(snrs_db).max() / 2 if between else 0)
    return mean - half, mean + half
