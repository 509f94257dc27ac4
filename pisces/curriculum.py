"""Which SNRs take part in training when: from clean frames to noisy ones."""

from collections.abc import Sequence

import numpy as np


def admitted(epoch: int, epochs: int, snrs_db: Sequence[int]) -> np.ndarray:
    """Whether each SNR class takes part in training in `epoch`, counted from 1: bool (k,).

    Of the k classes the k * epoch / epochs highest do, rounded down, but never fewer than two; so all from epoch `epochs` on. With
    `epochs` 0 or 1 all always do. Bengio et al., "Curriculum learning", ICML 2009.
    """
    count = max(2, len(snrs_db) * epoch // max(epochs, 1))
    return np.asarray(snrs_db) >= np.sort(snrs_db)[-count:].min()
