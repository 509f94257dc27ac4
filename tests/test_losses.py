"""Uncertainty weighting: its closed form, its optimum, and the bound without which the easier task takes everything."""

import math

import pytest
import torch

from pisces.losses import UncertaintyWeighting


def weighting(log_variance: list[float], min_share: float = 0.05) -> UncertaintyWeighting:
    one = UncertaintyWeighting(len(log_variance), min_share)
    with torch.no_grad():
        one.log_variance.copy_(torch.tensor(log_variance))
    return one


def test_value_and_gradients_in_closed_form():
    one, losses = weighting([0.5, -0.2]), torch.tensor([2.0, 3.0], requires_grad=True)
    total = one(losses)
    total.backward()
    a, b = math.exp(-0.5), math.exp(0.2)
    assert total.item() == pytest.approx(2 * a + 3 * b + (0.5 - 0.2) / 2, rel=1e-6)
    assert losses.grad.tolist() == pytest.approx([a, b], rel=1e-6)
    assert one.log_variance.grad.tolist() == pytest.approx([0.5 - 2 * a, 0.5 - 3 * b], rel=1e-6)


def test_starts_with_equal_shares():
    one = UncertaintyWeighting(2, 0.05)
    assert one.shares() == [0.5, 0.5]
    assert one(torch.tensor([2.0, 3.0])).item() == 5


def descend(one: UncertaintyWeighting, losses: torch.Tensor, steps: int, bound: bool) -> list[float]:
    """The least share of any task that was seen after a step of Adam."""
    optimizer = torch.optim.Adam(one.parameters(), lr=0.1)
    least = []
    for _ in range(steps):
        optimizer.zero_grad()
        one(losses).backward()
        optimizer.step()
        if bound:
            one.bound()
        least.append(min(one.shares()))
    return least


def test_optimum_is_log_of_twice_the_loss():
    losses = torch.tensor([0.7, 2.4])
    one = UncertaintyWeighting(2, 0.05)
    descend(one, losses, 400, bound=True)
    assert one.log_variance.tolist() == pytest.approx((2 * losses).log().tolist(), abs=1e-3)
    assert one.shares() == pytest.approx([2.4 / 3.1, 0.7 / 3.1], abs=1e-3)


@pytest.mark.parametrize("losses", [[1e-6, 10.0], [10.0, 1e-6], [1e-6, 10.0, 10.0], [10.0, 1e-6, 1e-6]])
def test_no_share_falls_under_the_minimum_however_different_the_losses(losses):
    least = descend(UncertaintyWeighting(len(losses), 0.05), torch.tensor(losses), 400, bound=True)
    assert min(least) >= 0.05 - 1e-6


def test_bound_gives_away_no_more_than_it_must():
    assert descend(UncertaintyWeighting(2, 0.05), torch.tensor([1e-6, 10.0]), 400, bound=True)[-1] == pytest.approx(0.05, abs=1e-6)


def test_without_the_bound_one_task_ends_with_everything():
    """The optimum gives a share of 1e-7 to the harder task: the 100 / 0 that published trainings ended in."""
    assert descend(UncertaintyWeighting(2, 0.05), torch.tensor([1e-6, 10.0]), 400, bound=False)[-1] < 1e-6


def test_bound_leaves_alone_what_is_within_it():
    one = weighting([0.3, -1.0])
    one.bound()
    assert one.log_variance.tolist() == pytest.approx([0.3, -1.0])
    far = weighting([7.0, -1.0])
    far.bound()
    assert far.log_variance.tolist() == pytest.approx([-1 + math.log(0.95 / 0.05), -1.0])


@pytest.mark.parametrize("min_share", [0.0, 0.5, 0.7, -0.1])
def test_impossible_minimum(min_share):
    with pytest.raises(ValueError, match=f"min_share={min_share} must lie between 0 and 1/2"):
        UncertaintyWeighting(2, min_share)
