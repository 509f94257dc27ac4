"""SNR heads: each builder takes the number of features and the SNRs in dB; the module maps (n, features) -> scores (n, SNRs).

Whatever the head, the largest score is the answer and the softmax over the scores a probability.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import nn

DROPOUT = 0.3


def standard(features: int, snrs_db: Sequence[int]) -> nn.Module:
    return nn.Linear(features, len(snrs_db))


def layered(hidden: Sequence[int], features: int, snrs_db: Sequence[int]) -> nn.Module:
    """Hidden layers of the given widths, each with ReLU and dropout, before the linear one."""
    widths = (features, *hidden)
    blocks = [
        layer
        for pair in pairwise(widths)
        for layer in (nn.Linear(*pair), nn.ReLU(), nn.Dropout(DROPOUT))
    ]
    return nn.Sequential(*blocks, nn.Linear(widths[-1], len(snrs_db)))


class Regression(nn.Module):
    """One number v, in class steps, as scores -(v - c_k)^2 / 2 around the `positions` c_k of the classes.

    The answer is then the class nearest to v; the softmax is that of a normal density one step wide around v. The
    scores are float32 under autocast too, where a linear layer would round v to three digits: hence product and sum.
    """

    def __init__(self, features: int, snrs_db: Sequence[int]):
        super().__init__()
        self.linear = nn.Linear(features, 1)
        self.register_buffer("positions", positions(snrs_db), persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        v = (features.float() * self.linear.weight).sum(
            1, keepdim=True
        ) + self.linear.bias  # (n, features) -> (n, 1)
        return -(v - self.positions).square() / 2  # (n, SNRs)


def positions(snrs_db: Sequence[int]) -> torch.Tensor:
    """Where the classes lie, float32 (SNRs,): mean 0 and mean spacing 1, so that those of an even grid are 1 apart.

    Raises:
        ValueError: for fewer than two SNRs, which have no spacing.
    """
    if len(snrs_db) < 2:
        raise ValueError(
            f"regression needs two or more SNRs, not {list(snrs_db)}; set train.snr_head to another, such as standard"
        )
    snrs = torch.tensor(snrs_db, dtype=torch.float64)
    spacing = (snrs.max() - snrs.min()) / (len(snrs_db) - 1)
    return ((snrs - snrs.mean()) / spacing).float()


def regressed(scores: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """The v (n,) behind the scores (n, SNRs) of `Regression`: their difference between two classes is linear in it."""
    first, last = positions[0], positions[-1]
    return (scores[:, -1] - scores[:, 0]) / (last - first) + (first + last) / 2


SNR_HEADS: dict[str, Callable[[int, Sequence[int]], nn.Module]] = {
    "standard": standard,
    "bottleneck_64": partial(layered, (64,)),
    "bottleneck_128": partial(layered, (128,)),
    "dual_layer": partial(layered, (256, 64)),
    "regression": Regression,
}
