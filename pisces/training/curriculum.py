"""Which SNRs take part in training when, from clean frames to noisy ones, and how often."""

from collections.abc import Sequence

import numpy as np


def admitted(epoch: int, epochs: int, snrs_db: Sequence[int]) -> np.ndarray:
    """Whether each SNR class takes part in training in `epoch`, counted from 1: bool (k,).

    Of the k classes the k * epoch / epochs highest do, rounded down, but never fewer than two; so all from epoch `epochs` on. With
    `epochs` 0 or 1 all always do. Bengio et al., "Curriculum learning", ICML 2009.
    """
    count = max(2, len(snrs_db) * epoch // max(epochs, 1))
    return np.asarray(snrs_db) >= np.sort(snrs_db)[-count:].min()


def balanced(order: np.ndarray, power: float, rng: np.random.Generator) -> np.ndarray:
    """As many rows as `order` (n, 3) has, in which an SNR of k frames has a share in proportion to k^(1 - power).

    With `power` 0 all stay, with 1 every SNR comes as often as any other. Frames of an SNR that gains come again, in their order; where
    all SNRs have equally many frames, as in RadioML, nothing changes but the order.
    """
    snrs, sizes = np.unique(order[:, 1], return_counts=True)
    ends = np.cumsum(sizes ** (1.0 - power))
    wanted = np.diff(np.round(len(order) * ends / ends[-1]).astype(int), prepend=0)
    parts = [
        np.resize(mine := order[order[:, 1] == snr], (count, mine.shape[1]))
        for snr, count in zip(snrs, wanted, strict=True)
    ]
    return rng.permutation(np.concatenate(parts))
