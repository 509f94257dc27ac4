"""Probabilities that mean what they say: temperatures, reliability, expected calibration error."""

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import cross_entropy

from pisces.core import stats

BINS = 15
"""Of the confidence, evenly over 0 to 1."""
LEAST, MOST = 0.5, 20.0
"""Temperatures that are searched: where no frame is wrong, the likeliest would be 0."""
HALVINGS = 60
"""Of the search: far beyond the digits of a temperature."""
TINY = 1e-30
"""Keeps probabilities of zero from having no logarithm."""


def fit_temperature(scores: torch.Tensor, classes: torch.Tensor) -> float:
    """The temperature whose probabilities are likeliest on frames that were not trained on.

    Guo et al., "On calibration of modern neural networks", ICML 2017. In 1 / temperature the mean
    log loss is convex, so that its slope has one zero at most: found by bisection.

    Args:
        scores: (n, classes), of which softmax makes probabilities.
        classes: the true ones, int64 (n,).

    Returns:
        Above 1 where the scores are too sure, `LEAST` to `MOST`.

    >>> import torch
    >>> scores = torch.tensor([[2.0, 0.0]]).repeat(4, 1)
    >>> found = fit_temperature(scores, torch.tensor([0, 0, 0, 1]))  # right three times out of four
    >>> probability = (scores[0] / found).softmax(0)[0]
    >>> round(float(probability), 4)
    0.75
    """
    scores = scores.double()
    of_true = scores.gather(1, classes[:, None])[:, 0]  # (n,)

    def slope(inverse: float) -> float:
        """Of the log loss over 1 / temperature."""
        expected = ((scores * inverse).softmax(1) * scores).sum(1)
        return float((expected - of_true).mean())

    low, high = 1 / MOST, 1 / LEAST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 2 / (low + high)


def log_loss(scores: torch.Tensor, classes: torch.Tensor, temperature: float = 1.0) -> float:
    """Mean negative log probability of the true classes, in nats.

    Args:
        scores: (n, classes).
        classes: the true ones, int64 (n,).
        temperature: by which scores are divided.

    Returns:
        0 or more.
    """
    return float(cross_entropy(scores.double() / temperature, classes))


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, classes) as another temperature of the same scores makes them."""
    powers = np.log(np.maximum(probabilities.astype(np.float64), TINY)) / temperature
    powers = np.exp(powers - powers.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def reliability(confidence: np.ndarray, right: np.ndarray) -> pd.DataFrame:
    """How often predictions of each confidence are right: a row a bin that holds a frame.

    Args:
        confidence: probability of the predicted class, 0..1, (n,).
        right: whether it is the true one, bool (n,).

    Returns:
        Columns `confidence` (mean of the bin), `accuracy` with its 95 % Wilson interval `ci_low`
        and `ci_high`, and `frames`.
    """
    bin_of = np.minimum((confidence * BINS).astype(int), BINS - 1)
    rows = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        frames, successes = int(inside.sum()), int(right[inside].sum())
        low, high = stats.wilson(successes, frames)
        row = {"confidence": float(confidence[inside].mean()), "accuracy": successes / frames}
        rows.append(row | {"ci_low": low, "ci_high": high, "frames": frames})
    return pd.DataFrame(rows)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Mean |accuracy - confidence| over bins, each weighted by its frames: 0..1.

    Of few frames it is too high, since bins of few frames are off by chance.

    Args:
        confidence: as of `reliability`.
        right: likewise.

    Returns:
        The error.
    """
    table = reliability(confidence, right)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float((gaps * table["frames"]).sum() / table["frames"].sum())
