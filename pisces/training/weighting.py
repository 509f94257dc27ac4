"""How much each task's loss counts in the one that is minimised.

Whatever the weighting, no task's share falls below `min_share`.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

WEIGHTINGS = ("kendall", "softmax", "fixed", "dwa")

# Largest |log-variance|. The optimum for a loss L is log(2 L): losses from 0.0034 to 74 are free to
# reach theirs. Without a limit, weights would grow as 1 / (2 L) for as long as all losses fall
# together, which no share prevents.
LIMIT = 5.0


def build(
    name: str, tasks: int, *, min_share: float, temperature: float, fixed: Sequence[float]
) -> "Weighting":
    """A fresh weighting of that name.

    Args:
        name: one of `WEIGHTINGS`.
        tasks: their number.
        min_share: the least share of a task, below 1 / tasks.
        temperature: of softmax and dwa, above 0.
        fixed: weights for `fixed`, one a task.

    Returns:
        The weighting, with equal shares, except `fixed`.

    Raises:
        ValueError: for a name that does not exist, a floor or temperature out of range, or fixed
            weights below the floor.
    """
    match name:
        case "kendall":
            return UncertaintyWeighting(tasks, min_share)
        case "softmax":
            return SoftmaxWeighting(tasks, min_share, temperature)
        case "fixed":
            return FixedWeighting(tasks, min_share, fixed)
        case "dwa":
            return DynamicWeightAverage(tasks, min_share, temperature)
    raise ValueError(f"weighting {name!r} is unknown; there are {', '.join(WEIGHTINGS)}")


class Weighting(nn.Module):
    """Weights (tasks,), which subclasses give by `weights`, and the total of the losses."""

    def __init__(self, tasks: int, min_share: float):
        super().__init__()
        if not 0 < min_share < 1 / tasks:
            raise ValueError(
                f"min_share={min_share} must lie between 0 and 1/{tasks}, "
                f"the share of each of {tasks} equal tasks; change train.min_task_weight"
            )
        self.tasks, self.min_share = tasks, min_share

    def weights(self) -> torch.Tensor:
        raise NotImplementedError

    def forward(self, losses: torch.Tensor) -> torch.Tensor:
        """Scalar to minimise, from the unweighted losses (tasks,)."""
        return (self.weights() * losses).sum()

    def bound(self) -> None:
        """To be called after each optimiser step."""

    def end_epoch(self, losses: Sequence[float]) -> None:
        """To be called after each epoch, with the mean training loss of each task in it."""

    @torch.no_grad()
    def shares(self) -> list[float]:
        """Weight share of each task; they sum to 1."""
        weights = self.weights()
        return (weights / weights.sum()).tolist()

    def sigmas(self) -> list[float]:
        """Standard deviation of each task, where the weighting has such a thing."""
        return []


class UncertaintyWeighting(Weighting):
    """Homoscedastic uncertainty weighting (Kendall, Gal and Cipolla, CVPR 2018, eq. 10).

    total = sum_i exp(-s_i) L_i + s_i / 2, with a learned log-variance s_i a task. `bound` keeps the
    s_i within +-`LIMIT` and the weight shares, exp(-s_i) / sum_j exp(-s_j), at `min_share` or more:
    otherwise the easier task ends with all of it.
    """

    def __init__(self, tasks: int, min_share: float):
        super().__init__(tasks, min_share)
        self.log_variance = nn.Parameter(torch.zeros(tasks))
        # Bound on s_i - min(s): task i keeps `min_share` even when all others have the largest
        # weight.
        self.spread = math.log((1 - min_share) / ((tasks - 1) * min_share))

    def weights(self) -> torch.Tensor:
        return torch.exp(-self.log_variance)

    def forward(self, losses: torch.Tensor) -> torch.Tensor:
        return super().forward(losses) + self.log_variance.sum() / 2

    @torch.no_grad()
    def bound(self) -> None:
        self.log_variance.clamp_(-LIMIT, LIMIT)
        self.log_variance.clamp_(max=self.log_variance.min() + self.spread)

    @torch.no_grad()
    def sigmas(self) -> list[float]:
        return torch.exp(self.log_variance / 2).tolist()


class SoftmaxWeighting(Weighting):
    """Learned shares p = softmax(theta / temperature) above a floor.

    The weights sum to the number of tasks. The gradient on theta_i is proportional to
    p_i (L_i - sum_j p_j L_j): descent gives weight to whatever loss is least. No term opposes it as
    log-variances do in `UncertaintyWeighting`. So the easier task always ends with all that the
    floor leaves it. The floor alone holds the others; the temperature only says how soon.
    """

    def __init__(self, tasks: int, min_share: float, temperature: float):
        super().__init__(tasks, min_share)
        self.temperature = _positive(temperature)
        self.theta = nn.Parameter(torch.zeros(tasks))

    def weights(self) -> torch.Tensor:
        return self.tasks * floored(torch.softmax(self.theta / self.temperature, 0), self.min_share)


class FixedWeighting(Weighting):
    """Given weights, scaled to sum to the number of tasks."""

    given: torch.Tensor

    def __init__(self, tasks: int, min_share: float, weights: Sequence[float]):
        super().__init__(tasks, min_share)
        if len(weights) != tasks or min(weights) <= 0:
            raise ValueError(
                f"fixed weights {tuple(weights)} must be {tasks} positive numbers, one a task"
            )
        shares = [weight / sum(weights) for weight in weights]
        if min(shares) < min_share - 1e-9:
            raise ValueError(
                f"fixed weights {tuple(weights)} give a task the share {min(shares):.4g}, "
                f"below min_share={min_share}; "
                "bring train.task_weights closer together or lower train.min_task_weight"
            )
        self.register_buffer("given", tasks * torch.tensor(shares))

    def weights(self) -> torch.Tensor:
        return self.given


class DynamicWeightAverage(Weighting):
    """Shares softmax(r / temperature) above a floor, r the ratio of the last two epochs' losses.

    Liu, Johns and Davison, CVPR 2019, eq. 7. A task whose loss falls fast loses weight. The first
    two epochs have equal shares; the weights sum to the number of tasks.
    """

    last: torch.Tensor
    ratios: torch.Tensor

    def __init__(self, tasks: int, min_share: float, temperature: float):
        super().__init__(tasks, min_share)
        self.temperature = _positive(temperature)
        self.register_buffer("last", torch.full((tasks,), math.nan))
        self.register_buffer("ratios", torch.ones(tasks))

    def weights(self) -> torch.Tensor:
        return self.tasks * floored(
            torch.softmax(self.ratios / self.temperature, 0), self.min_share
        )

    def end_epoch(self, losses: Sequence[float]) -> None:
        now = self.last.new_tensor(losses)
        # Ratio 1 in the first epoch (no last loss) and for 0/0; a loss that comes back from 0 is a
        # large ratio but no infinite one.
        self.ratios.copy_((now / self.last).nan_to_num(1.0).clamp(max=1e3))
        self.last.copy_(now)


def floored(shares: torch.Tensor, min_share: float) -> torch.Tensor:
    """Shares (tasks,) that sum to 1, mixed with equal ones so that none is below `min_share`."""
    return min_share + (1 - len(shares) * min_share) * shares


def _positive(temperature: float) -> float:
    if not temperature > 0:
        raise ValueError(
            f"temperature={temperature} must be above 0; large ones keep the shares equal"
        )
    return temperature
