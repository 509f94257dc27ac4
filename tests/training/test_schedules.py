"""Schedules: rates against formulas, resuming, halving, and patience that counts in cycles."""

import io
import math
import warnings

import pytest
import torch
from torch import nn

from pisces.training import schedules
from pisces.training.schedules import OPTIMIZERS, SCHEDULES, Schedule

LR, EPOCHS, STEPS, CYCLE, WARMUP, FACTOR, PATIENCE = 8e-3, 12, 5, 4, 3, 0.5, 1
MONITORED = [1.0, 0.5, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4, 0.4, 0.3, 0.4, 0.4]


def build(
    name: str,
    kind: str = "adam",
    epochs: int = EPOCHS,
    steps: int = STEPS,
    cycle: int = CYCLE,
    warmup: int = WARMUP,
) -> Schedule:
    """A schedule over two groups, as training has them; the rate that the optimiser was made with
    does not matter.
    """
    groups = [
        {"params": [nn.Parameter(torch.ones(1))], "weight_decay": decay} for decay in (0.1, 0.0)
    ]
    return schedules.build(
        name,
        schedules.build_optimizer(kind, groups, 3 * LR),
        epochs=epochs,
        steps_per_epoch=steps,
        lr=LR,
        factor=FACTOR,
        patience=PATIENCE,
        warmup_steps=warmup * steps,
        cycle_epochs=cycle,
    )


def run(schedule: Schedule, epochs: range, steps: int = STEPS) -> list[float]:
    """The rate that each step of these epochs is made with."""
    optimizer, rates = schedule.scheduler.optimizer, []
    for epoch in epochs:
        for _ in range(steps):
            first, second = (group["lr"] for group in optimizer.param_groups)
            assert first == second
            rates.append(first)
            optimizer.step()
            schedule.step_batch()
        schedule.step_epoch(MONITORED[epoch])
    return rates


def triangular2(step: int) -> float:
    """Triangles of `CYCLE` epochs above lr/10, each half as high as the one before (Smith 2017)."""
    number, position = divmod(step, CYCLE * STEPS)
    height = 1 - abs(2 * position / (CYCLE * STEPS) - 1)
    return LR / 10 + 0.9 * LR * height / 2**number


def warm_cosine(step: int) -> float:
    warmup, rest = WARMUP * STEPS, (EPOCHS - WARMUP) * STEPS
    if step < warmup:
        return LR * (0.01 + 0.99 * step / warmup)
    return LR / 2 * (1 + math.cos(math.pi * (step - warmup) / rest))


def one_cycle(step: int) -> float:
    """Half a cosine from lr/25 up to lr in the first 30 % of the steps, another down to lr/250000
    at the last.
    """
    top, last = 0.3 * EPOCHS * STEPS - 1, EPOCHS * STEPS - 1
    start, end, part = (
        (LR / 25, LR, step / top) if step <= top else (LR, LR / 25e4, (step - top) / (last - top))
    )
    return end + (start - end) / 2 * (1 + math.cos(math.pi * part))


@pytest.mark.parametrize(
    ("name", "formula"),
    [("cyclic", triangular2), ("cosine", warm_cosine), ("one_cycle", one_cycle)],
)
def test_rates_follow_the_formula_step_by_step(name, formula):
    rates = run(build(name), range(EPOCHS))
    assert rates == pytest.approx([formula(step) for step in range(EPOCHS * STEPS)], rel=1e-9)


def test_plateau_lowers_the_rate_after_more_than_patience_epochs_without_improvement():
    """`MONITORED` improves in epochs 1, 2, 5, 10: two bad ones end with epochs 4, 7, 9, 12."""
    falls = [
        1 if epoch <= 4 else FACTOR if epoch <= 7 else FACTOR**2 if epoch <= 9 else FACTOR**3
        for epoch in range(1, EPOCHS + 1)
    ]
    assert run(build("plateau"), range(EPOCHS))[::STEPS] == pytest.approx(
        [LR * fall for fall in falls]
    )


def test_plateau_takes_a_negated_accuracy_that_stands_still_for_no_improvement():
    one = build("plateau")
    for monitored in (-0.9, -0.9, -0.89999):
        one.step_epoch(monitored)
    assert one.scheduler.optimizer.param_groups[0]["lr"] == LR * FACTOR


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_given_rate_is_the_highest(name):
    rates = run(build(name, epochs=10, steps=100, cycle=2), range(10), 100)
    assert max(rates) == pytest.approx(LR, rel=1e-3)


def test_cosine_without_warm_up_starts_at_the_top():
    rates = run(build("cosine", warmup=0), range(EPOCHS))
    assert rates == pytest.approx(
        [LR / 2 * (1 + math.cos(math.pi * step / len(rates))) for step in range(len(rates))],
        rel=1e-9,
    )


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_more_batches_than_foreseen_stay_at_the_last_rate(name):
    one = build(name)
    rates = run(one, range(EPOCHS))
    assert run(one, range(2)) == [rates[-1]] * 2 * STEPS
    assert rates[-1] < LR / 100


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_momentum_is_left_alone(name, kind):
    one = build(name, kind)
    run(one, range(3))
    assert {group["betas"] for group in one.scheduler.optimizer.param_groups} == {(0.9, 0.999)}


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_resumed_schedule_has_the_same_later_rates(name):
    """Through a file as checkpoints are read, after a halving, in the middle of a warm-up or cycle;
    and twice from one state.
    """
    one = build(name)
    run(one, range(2))
    one.halve()
    file = io.BytesIO()
    torch.save(
        {"schedule": one.state_dict(), "optimizer": one.scheduler.optimizer.state_dict()}, file
    )
    file.seek(0)
    state = torch.load(file, weights_only=True)
    later = run(one, range(2, EPOCHS))
    for _ in range(2):
        other = build(name)
        other.scheduler.optimizer.load_state_dict(state["optimizer"])
        other.load_state_dict(state["schedule"])
        assert run(other, range(2, EPOCHS)) == later
        assert other.patience(10) == one.patience(10)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_diverged_training_goes_back_and_on_with_half_the_rates(name):
    one = build(name)
    run(one, range(3))
    schedule, optimizer = one.state_dict(), one.scheduler.optimizer.state_dict()
    rates = run(one, range(3, 6))
    one.load_state_dict(schedule)
    one.scheduler.optimizer.load_state_dict(optimizer)
    one.halve()
    assert run(one, range(3, 6)) == pytest.approx([rate / 2 for rate in rates], rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("when", [0, 1, WARMUP, 5])
def test_halving_halves_the_rate_at_once_and_ever_after(name, when):
    whole = run(build(name), range(EPOCHS))
    one = build(name)
    before = run(one, range(when))
    one.halve()
    one.halve()
    after = run(one, range(when, EPOCHS))
    assert before == whole[: when * STEPS]
    assert after == pytest.approx([rate / 4 for rate in whole[when * STEPS :]], rel=1e-12)


@pytest.mark.parametrize(("stop_patience", "whole"), [(1, 4), (4, 4), (5, 8), (10, 12)])
def test_patience_of_cycles_is_rounded_up_to_whole_ones(stop_patience, whole):
    assert build("cyclic").patience(stop_patience) == whole


@pytest.mark.parametrize("best", range(1, 10))
def test_early_stopping_never_ends_within_a_cycle(best):
    """Whichever the best epoch: training stops at the first end of a cycle that is a rounded-up
    patience away from it.
    """
    one, epoch = build("cyclic", steps=1), 0
    while epoch - min(epoch, best) < one.patience(5):
        epoch += 1
        one.step_epoch(0.0)
    assert epoch == CYCLE * math.ceil((best + 8) / CYCLE)


@pytest.mark.parametrize("name", ["plateau", "cosine", "one_cycle"])
def test_patience_of_the_others_is_what_was_asked_for(name):
    one = build(name)
    assert [(run(one, range(1)), one.patience(5))[1] for _ in range(4)] == [5] * 4


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 2), (2, 1), (3, 3)])
def test_the_shortest_trainings_have_rates(name, epochs, steps):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates = run(
            build(name, epochs=epochs, steps=steps, cycle=1, warmup=0), range(epochs), steps
        )
    assert all(0 < rate <= LR * (1 + 1e-9) for rate in rates)


def test_adamw_decays_weights_apart_from_the_gradient():
    """With no gradient AdamW still shrinks a weight by lr * decay, and Adam moves it by its rate,
    the decay being its gradient.
    """
    ends = {}
    for kind in OPTIMIZERS:
        weight = nn.Parameter(torch.ones(1))
        one = schedules.build_optimizer(kind, [{"params": [weight], "weight_decay": 0.5}], 0.1)
        weight.grad = torch.zeros(1)
        one.step()
        ends[kind] = weight.item()
    assert ends == pytest.approx({"adam": 1 - 0.1, "adamw": 1 - 0.1 * 0.5}, rel=1e-5)


def test_a_warm_up_must_leave_steps():
    with pytest.raises(
        ValueError,
        match=r"15 steps leaves nothing of 15; lower train.warmup_steps or raise train.epochs",
    ):
        build("cosine", epochs=3)


def test_unknown_names_list_what_there_is():
    with pytest.raises(
        ValueError, match="schedule 'step' is unknown; there are plateau, cyclic, cosine, one_cycle"
    ):
        build("step")
    with pytest.raises(ValueError, match="optimizer 'lion' is unknown; there are adam, adamw"):
        build("cosine", "lion")
