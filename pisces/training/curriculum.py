"""Which SNRs take part in training when, from clean frames to noisy ones, and how often."""

from collections.abc import Sequence

import numpy as np


def admitted(epoch: int, full_from: int, snrs_db: Sequence[int]) -> np.ndarray:
    """Whether each SNR class takes part in training: the highest come first.

    Of the k classes the k * epoch / full_from highest do, rounded down, but never fewer than two.
    Bengio et al., "Curriculum learning", ICML 2009.

    Args:
        epoch: counted from 1.
        full_from: epoch from which all SNRs take part; with 0 or 1 they always do.
        snrs_db: the classes (k,), in any order.

    Returns:
        bool (k,).
    """
    count = max(2, len(snrs_db) * epoch // max(full_from, 1))
    highest = np.sort(snrs_db)[-count:]  # all of them, when count is larger
    return np.asarray(snrs_db) >= highest.min()


def balanced(frames: np.ndarray, power: float, rng: np.random.Generator) -> np.ndarray:
    """Frames in which rare SNRs come more often.

    Where all SNRs have equally many frames, as in RadioML, nothing changes but the order.

    Args:
        frames: (n, 3): modulation, SNR, row.
        power: an SNR of k frames gets a share in proportion to k^(1 - power). With 0 all frames
            stay, with 1 every SNR comes as often as any other.
        rng: shuffles the result.

    Returns:
        Frames (n, 3). Those of an SNR that gains are repeated cyclically; one that loses keeps its
        first frames.
    """
    snrs, sizes = np.unique(frames[:, 1], return_counts=True)
    # Rounding the running totals, and not each share, keeps the number of frames.
    totals = np.cumsum(sizes ** (1.0 - power))
    ends = np.round(len(frames) * totals / totals[-1]).astype(int)
    wanted = np.diff(ends, prepend=0)

    parts = []
    for snr, count in zip(snrs, wanted, strict=True):
        own = frames[frames[:, 1] == snr]
        parts.append(np.resize(own, (count, frames.shape[1])))
    return rng.permutation(np.concatenate(parts))
