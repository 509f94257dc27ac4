"""Task losses and their weighting."""

import math

import torch
from torch import nn


class UncertaintyWeighting(nn.Module):
    """Homoscedastic uncertainty weighting of task losses (Kendall, Gal and Cipolla, CVPR 2018, eq. 10).

    total = sum_i exp(-s_i) L_i + s_i / 2, with a learned log-variance s_i a task. The weight share of a task,
    exp(-s_i) / sum_j exp(-s_j), never falls below `min_share`: without that bound the easier task ends with all of it.
    Call `bound` after each optimiser step.
    """

    def __init__(self, tasks: int, min_share: float):
        super().__init__()
        if not 0 < min_share < 1 / tasks:
            raise ValueError(f"min_share={min_share} must lie between 0 and 1/{tasks}, the share of each of {tasks} equal tasks")
        self.log_variance = nn.Parameter(torch.zeros(tasks))
        # Largest s_i - min(s) at which task i still has its share when all others have the largest weight.
        self.spread = math.log((1 - min_share) / ((tasks - 1) * min_share))

    def forward(self, losses: torch.Tensor) -> torch.Tensor:
        """Scalar to minimise, from the unweighted losses (tasks,)."""
        return (torch.exp(-self.log_variance) * losses + self.log_variance / 2).sum()

    @torch.no_grad()
    def bound(self) -> None:
        """Moves log-variances back to where every task has its minimum share."""
        self.log_variance.clamp_(max=self.log_variance.min() + self.spread)

    @torch.no_grad()
    def shares(self) -> list[float]:
        """Weight share of each task; they sum to 1."""
        return torch.softmax(-self.log_variance, 0).tolist()
