"""Task branches: features (n, features) -> two tensors (n, width), one for each head.

The first is for the modulation head, the second for the SNR head. Each builder takes the number of
features and returns the module and the width.
"""

from collections.abc import Callable

import torch
from torch import nn

DROPOUT = 0.3
OWN, SHARED = 0.7, 0.3
"""Weights of what a task picks for itself and of what both share."""


class PlainBranches(nn.Module):
    """Both heads get the features as they are."""

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return features, features


class AttentionBranches(nn.Module):
    """What each task picks from the features by its own attention, plus a residual of both tasks.

    After the task-specific extractor of github.com/shamoons/modulation-explainability:

        output    0.7 branch(features * gate(features)) + 0.3 residual(features)
        gate      Linear to features / 8, ReLU (modulation) or Tanh (SNR), Linear back to features,
                  sigmoid
        branch    Linear to features / 4, batch norm, GELU (modulation) or ReLU (SNR), dropout 0.3
        residual  Linear to features / 4

    There the batch norm follows the activation and each task has a residual of its own. Here the
    norm comes first, so that the activations see centred values, and the residual is one for both,
    which is what ties the tasks together.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.residual = nn.Linear(features, width)
        self.modulation = GatedBranch(features, width, nn.ReLU(), nn.GELU())
        self.snr = GatedBranch(features, width, nn.Tanh(), nn.ReLU())

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shared = SHARED * self.residual(features)
        modulation = OWN * self.modulation(features) + shared
        snr = OWN * self.snr(features) + shared
        return modulation, snr


class GatedBranch(nn.Module):
    """The task-specific part of `AttentionBranches`: features (n, features) -> (n, width)."""

    def __init__(
        self, features: int, width: int, gate_activation: nn.Module, activation: nn.Module
    ) -> None:
        super().__init__()
        hidden = features // 8
        self.gate = nn.Sequential(
            nn.Linear(features, hidden), gate_activation, nn.Linear(hidden, features), nn.Sigmoid()
        )
        self.branch = nn.Sequential(
            nn.Linear(features, width), nn.BatchNorm1d(width), activation, nn.Dropout(DROPOUT)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.branch(features * self.gate(features))


def plain(features: int) -> tuple[nn.Module, int]:
    """`PlainBranches` and the width of what each head gets."""
    return PlainBranches(), features


def attention(features: int) -> tuple[nn.Module, int]:
    """`AttentionBranches` and the width of what each head gets, a quarter of the features."""
    width = features // 4
    return AttentionBranches(features, width), width


BRANCHES: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "plain": plain,
    "attention": attention,
}
