"""Weightings: closed forms, optima, and the floor without which one task ends with all of the
weight.
"""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from pisces.training import weighting
from pisces.training.weighting import LIMIT, WEIGHTINGS, UncertaintyWeighting, Weighting

FLOOR = 0.05
LEARNED = ("kendall", "softmax")


def build(
    name: str,
    tasks: int = 2,
    min_share: float = FLOOR,
    temperature: float = 2.0,
    fixed: tuple[float, ...] = (3, 1),
) -> Weighting:
    return weighting.build(name, tasks, min_share=min_share, temperature=temperature, fixed=fixed)


def kendall(log_variance: list[float]) -> UncertaintyWeighting:
    one = UncertaintyWeighting(len(log_variance), FLOOR)
    with torch.no_grad():
        one.log_variance.copy_(torch.tensor(log_variance))
    return one


def descend(one: Weighting, losses: torch.Tensor, steps: int = 400) -> list[float]:
    """The least share of any task after each step of Adam on the weighting alone."""
    optimizer = torch.optim.Adam(one.parameters(), lr=0.1)
    least = []
    for _ in range(steps):
        optimizer.zero_grad()
        one(losses).backward()
        optimizer.step()
        one.bound()
        least.append(min(one.shares()))
    return least


def train(
    one: Weighting, epochs: int = 4, steps: int = 50
) -> tuple[list[float], list[list[float]]]:
    """The least share after each step of a real training, and the shares after each of its epochs.

    Task 1 is separable with a wide margin, so that its loss falls to nearly 0; the labels of task 2
    are coin tosses. Both start at log 2.
    """
    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(4, 4)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    optimizer = torch.optim.Adam([*model.parameters(), *one.parameters()], lr=0.1)
    least, shares = [], []
    for _ in range(epochs):
        sums = torch.zeros(2)
        for _ in range(steps):
            targets = torch.randint(2, (2, 32), generator=generator)
            inputs = torch.randn(32, 4, generator=generator)
            inputs[:, 0] = 6.0 * targets[0] - 3
            losses = torch.stack(
                [
                    functional.cross_entropy(*pair)
                    for pair in zip(model(inputs).split(2, 1), targets, strict=True)
                ]
            )
            optimizer.zero_grad()
            one(losses).backward()
            optimizer.step()
            one.bound()
            least.append(min(one.shares()))
            sums += losses.detach()
        one.end_epoch((sums / steps).tolist())
        shares.append(one.shares())
    assert sums[0] / steps < 1e-2 < 0.6 < sums[1] / steps
    return least, shares


def take_the_floor_away(monkeypatch) -> None:
    monkeypatch.setattr(UncertaintyWeighting, "bound", lambda _: None)
    monkeypatch.setattr(weighting, "floored", lambda shares, _: shares)


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_no_task_collapses_when_the_loss_of_the_other_falls_to_nothing(name):
    least, _ = train(build(name, temperature=0.1, fixed=(0.95, 0.05)))
    assert min(least) >= FLOOR - 1e-6


@pytest.mark.parametrize("name", ["kendall", "softmax", "dwa"])
def test_without_the_floor_the_weights_are_100_to_0_by_epoch_4(name, monkeypatch):
    take_the_floor_away(monkeypatch)
    _, shares = train(build(name, temperature=0.1))
    assert min(map(min, shares)) < 0.005


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize(
    "losses", [[1e-6, 10.0], [10.0, 1e-6], [1e-6, 10.0, 10.0], [10.0, 1e-6, 1e-6]]
)
def test_learned_weights_stop_at_the_floor_however_different_the_losses(name, losses):
    least = descend(build(name, len(losses), temperature=0.5), torch.tensor(losses), 200)
    assert min(least) >= FLOOR - 1e-6
    if len(losses) == 2:
        assert least[-1] == pytest.approx(FLOOR, abs=1e-3)


@pytest.mark.parametrize("name", LEARNED)
def test_learned_weights_come_back_when_the_other_task_becomes_the_easier_one(name):
    one = build(name)
    descend(one, torch.tensor([1e-3, 10.0]), 100)
    assert one.shares()[0] > 0.9
    descend(one, torch.tensor([10.0, 1e-3]), 300)
    assert one.shares()[1] > 0.9


@pytest.mark.parametrize("name", ["kendall", "softmax", "dwa"])
def test_starts_with_equal_shares(name):
    one = build(name, 3)
    assert one.shares() == pytest.approx([1 / 3] * 3)
    assert one(torch.tensor([2.0, 3.0, 4.0])).item() == pytest.approx(9)


@pytest.mark.parametrize("name", ["softmax", "fixed", "dwa"])
def test_weights_sum_to_the_number_of_tasks(name):
    one = build(name, 3, temperature=0.5, fixed=(5, 1, 4))
    one.end_epoch([1.0, 1.0, 1.0])
    one.end_epoch([0.2, 1.0, 0.6])
    if name == "softmax":
        descend(one, torch.tensor([0.2, 1.0, 0.6]), steps=10)
    assert max(one.shares()) > 0.34
    assert sum(one.shares()) == pytest.approx(1)
    assert one(torch.ones(3)).item() == pytest.approx(3)
    assert one(torch.tensor([1.0, 0.0, 0.0])).item() == pytest.approx(3 * one.shares()[0])


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_state_goes_on_where_it_left_off(name):
    """A fresh weighting with the saved state has the same weights, now and after one more epoch."""
    one = build(name)
    train(one, epochs=2)
    other = build(name, fixed=(1, 1))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    assert other.shares() == one.shares() != [0.5, 0.5]
    for each in (one, other):
        each.end_epoch([0.4, 0.1])
    assert other.shares() == one.shares()


def test_kendall_value_and_gradients_in_closed_form():
    one, losses = kendall([0.5, -0.2]), torch.tensor([2.0, 3.0], requires_grad=True)
    total = one(losses)
    total.backward()
    a, b = math.exp(-0.5), math.exp(0.2)
    assert total.item() == pytest.approx(2 * a + 3 * b + (0.5 - 0.2) / 2, rel=1e-6)
    assert losses.grad.tolist() == pytest.approx([a, b], rel=1e-6)
    assert one.log_variance.grad.tolist() == pytest.approx([0.5 - 2 * a, 0.5 - 3 * b], rel=1e-6)
    assert one.shares() == pytest.approx([a / (a + b), b / (a + b)])
    assert one.sigmas() == pytest.approx([math.exp(0.25), math.exp(-0.1)])


def test_kendall_optimum_is_log_of_twice_the_loss():
    one = build("kendall")
    descend(one, torch.tensor([0.7, 2.4]))
    assert one.log_variance.tolist() == pytest.approx([math.log(1.4), math.log(4.8)], abs=1e-3)
    assert one.shares() == pytest.approx([2.4 / 3.1, 0.7 / 3.1], abs=1e-3)


def test_kendall_bound_leaves_alone_what_is_within_it_and_moves_the_rest_no_further_than_it_must():
    near, far = kendall([0.3, -1.0]), kendall([4.0, -1.0])
    near.bound()
    assert near.log_variance.tolist() == pytest.approx([0.3, -1.0])
    far.bound()
    assert far.log_variance.tolist() == pytest.approx([-1 + math.log((1 - FLOOR) / FLOOR), -1.0])


@pytest.mark.parametrize(("loss", "end"), [(1e-6, -LIMIT), (1e6, LIMIT)])
def test_kendall_weights_stay_within_a_range_when_all_losses_shrink_or_grow_together(loss, end):
    one = build("kendall")
    descend(one, torch.tensor([loss, loss]))
    assert one.log_variance.tolist() == pytest.approx([end, end])


def test_softmax_gradient_runs_to_the_task_with_the_smaller_loss():
    """d total / d theta_i = tasks (1 - tasks floor) / temperature p_i (L_i - sum_j p_j L_j), here
    with p = 1/2.
    """
    one = build("softmax", temperature=4.0)
    one(torch.tensor([1.0, 3.0])).backward()
    slope = 2 * (1 - 2 * FLOOR) / 4.0 * 0.5
    assert one.theta.grad.tolist() == pytest.approx([-slope, slope])


def test_softmax_shares_follow_theta_over_temperature():
    one = build("softmax", temperature=2.0)
    with torch.no_grad():
        one.theta.copy_(torch.tensor([2 * math.log(3), 0.0]))
    assert one.shares() == pytest.approx([FLOOR + 0.9 * 0.75, FLOOR + 0.9 * 0.25])


def test_fixed_weights_are_scaled_and_stay():
    one = build("fixed", fixed=(3, 1))
    one.end_epoch([1.0, 2.0])
    assert one.shares() == [0.75, 0.25]
    assert one(torch.tensor([1.0, 10.0])).item() == pytest.approx(1.5 + 5)
    assert not list(one.parameters())


def test_dwa_has_equal_shares_for_two_epochs_and_then_follows_the_ratio_of_losses():
    one = build("dwa", temperature=2.0)
    one.end_epoch([4.0, 4.0])
    assert one.shares() == [0.5, 0.5]
    one.end_epoch([1.0, 3.0])
    a, b = math.exp(0.25 / 2), math.exp(0.75 / 2)
    assert one.shares() == pytest.approx([FLOOR + 0.9 * a / (a + b), FLOOR + 0.9 * b / (a + b)])
    one.end_epoch([1.0, 1.5])
    a, b = math.exp(1 / 2), math.exp(0.5 / 2)
    assert one.shares() == pytest.approx([FLOOR + 0.9 * a / (a + b), FLOOR + 0.9 * b / (a + b)])


def test_dwa_outlives_losses_of_zero():
    one = build("dwa", temperature=1e-3)
    for losses in ([1.0, 1.0], [0.0, 1.0], [0.0, 1.0]):
        one.end_epoch(losses)
    assert one.shares() == pytest.approx([0.5, 0.5])
    one.end_epoch([1.0, 1.0])
    assert one.shares() == pytest.approx([1 - FLOOR, FLOOR])


@pytest.mark.parametrize("name", ["softmax", "fixed", "dwa"])
def test_only_kendall_has_sigmas(name):
    assert build(name).sigmas() == []


@pytest.mark.parametrize("name", WEIGHTINGS)
@pytest.mark.parametrize("min_share", [0.0, 0.5, 0.7, -0.1])
def test_an_impossible_floor_is_refused(name, min_share):
    with pytest.raises(ValueError, match=f"min_share={min_share} must lie between 0 and 1/2"):
        build(name, min_share=min_share, fixed=(1, 1))


@pytest.mark.parametrize("name", ["softmax", "dwa"])
def test_a_temperature_of_zero_is_refused(name):
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        build(name, temperature=0)


def test_fixed_weights_may_reach_the_floor_but_not_go_below_it():
    assert min(build("fixed", fixed=(0.3, 5.7)).shares()) == pytest.approx(FLOOR)
    with pytest.raises(
        ValueError,
        match=r"fixed weights \(99, 1\) give a task the share 0.01, below min_share=0.05",
    ):
        build("fixed", fixed=(99, 1))


@pytest.mark.parametrize("fixed", [(1,), (1, 1, 1), (1, 0), (-1, 2), ()])
def test_fixed_weights_must_be_one_positive_number_a_task(fixed):
    with pytest.raises(ValueError, match="must be 2 positive numbers, one a task"):
        build("fixed", fixed=fixed)


def test_an_unknown_weighting_lists_what_there_is():
    with pytest.raises(
        ValueError, match="weighting 'gradnorm' is unknown; there are kendall, softmax, fixed, dwa"
    ):
        build("gradnorm")
