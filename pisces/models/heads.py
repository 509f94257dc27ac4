"""SNR heads: modules that map features (n, features) -> scores (n, SNRs).

Each builder takes the number of features and the SNRs in dB. Whatever the head, the largest score
is the prediction and the softmax over the scores its probability.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

DROPOUT = 0.3
"""After each hidden layer."""


def standard(features: int, snrs_db: Sequence[int]) -> nn.Module:
    """One linear layer."""
    return nn.Linear(features, len(snrs_db))


def layered(hidden: Sequence[int], features: int, snrs_db: Sequence[int]) -> nn.Module:
    """Hidden layers, each with ReLU and dropout, before the linear one.

    Args:
        hidden: widths of the hidden layers.
        features: width of what comes in.
        snrs_db: the SNR classes.

    Returns:
        Module (n, features) -> (n, len(snrs_db)).
    """
    widths = (features, *hidden)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(DROPOUT)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], len(snrs_db)))


class Regression(nn.Module):
    """One number v, in class steps, as scores -(v - c_k)^2 / 2 around the classes at c_k.

    The c_k are the `positions`. The prediction is the class nearest to v; the softmax is that of a
    normal density one step wide around v.
    """

    positions: torch.Tensor  # float32 (SNRs,)

    def __init__(self, features: int, snrs_db: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.register_buffer("positions", positions(snrs_db), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # Product and sum stay float32 under autocast, where a linear layer would round v to three
        # digits.
        products = features.float() * self.linear.weight  # (n, features)
        v = products.sum(1, keepdim=True) + self.linear.bias  # (n, 1)
        return -(v - self.positions).square() / 2  # (n, SNRs)


def positions(snrs_db: Sequence[int]) -> torch.Tensor:
    """Where the classes lie, float32 (SNRs,), with mean 0 and mean spacing 1.

    The classes of an even grid are then 1 apart.

    Raises:
        ValueError: for fewer than two SNRs, which have no spacing.
    """
    if len(snrs_db) < 2:
        raise ValueError(
            f"regression needs two or more SNRs, not {list(snrs_db)}; "
            "set train.snr_head to another, such as standard"
        )
    snrs = torch.tensor(snrs_db, dtype=torch.float64)
    spacing = (snrs.max() - snrs.min()) / (len(snrs_db) - 1)
    return ((snrs - snrs.mean()) / spacing).float()


def regressed(scores: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The v (n,) behind the scores (n, SNRs) of `Regression` with these `positions` (SNRs,)."""
    # The scores of two classes differ by (last - first) (v - (first + last) / 2).
    first, last = positions[0], positions[-1]
    difference = scores[:, -1] - scores[:, 0]
    return difference / (last - first) + (first + last) / 2


SNR_HEADS: dict[str, Callable[[int, Sequence[int]], nn.Module]] = {
    "standard": standard,
    "bottleneck_64": partial(layered, (64,)),
    "bottleneck_128": partial(layered, (128,)),
    "dual_layer": partial(layered, (256, 64)),
    "regression": Regression,
}
