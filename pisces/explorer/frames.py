"""Which of the frames that PIS was measured on are shown."""

import numpy as np


def spread(index: np.ndarray, most: int) -> np.ndarray:
    """Frames spread over modulations and SNRs, at most so many of them.

    Every modulation has as many SNRs as there is room for, evenly spaced with the lowest and the
    highest among them, and every such cell as many frames as there is room for.

    Args:
        index: frames to choose from, (n, 3): modulation, SNR, row; in that order.
        most: frames, 1 or more.

    Returns:
        Rows of `index`, (k, 3) with k <= most, in their order.

    >>> cells = np.array([[m, s, row] for m in range(2) for s in range(5) for row in range(3)])
    >>> spread(cells, most=7)[:, :2].tolist()
    [[0, 0], [0, 2], [0, 4], [1, 0], [1, 2], [1, 4]]
    """
    modulations, snrs = np.unique(index[:, 0]), np.unique(index[:, 1])
    modulations = _spaced(modulations, most)
    snrs = _spaced(snrs, most // len(modulations))
    of_each = most // (len(modulations) * len(snrs))

    chosen = [
        index[(index[:, 0] == modulation) & (index[:, 1] == snr)][:of_each]
        for modulation in modulations
        for snr in snrs
    ]
    return np.concatenate(chosen)


def _spaced(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the values, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)
    return values[places]
