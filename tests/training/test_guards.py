"""What goes wrong in a step does not end a training: it is skipped, rolled back or split."""

import copy
import math

import numpy as np
import pytest
import torch

from pisces.data.datasets import Batch, StoredFrames, batches
from pisces.training import checkpoints, devices
from pisces.training.guards import MicroBatches
from pisces.training.history import headline
from pisces.training.trainer import Trainer
from pisces.training.weighting import WEIGHTINGS
from tests.training.tiny import (
    CPU,
    EPS,
    FAULTS,
    SIZE,
    STEPS,
    fail,
    fit,
    interrupt,
    limit_memory,
    make_trainer,
    parameters,
)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_a_step_that_is_not_finite_changes_no_parameter(training_data, monkeypatch, weights, fault):
    trainer = make_trainer(training_data, weighting=weights)
    batch = next(batches(StoredFrames(training_data.store, CPU), training_data.parts["train"], 8))
    trainer.train([batch], 8)
    before = parameters(trainer)
    fail(monkeypatch, {0}, fault)
    row = trainer.train([batch], 8)
    assert all(map(torch.equal, parameters(trainer), before))
    assert row["skipped_steps"] == 1
    assert trainer.train([batch], 8)["skipped_steps"] == 0
    assert not any(map(torch.equal, parameters(trainer), before))


@pytest.mark.usefixtures("tiny")
def test_skipped_steps_are_counted_and_reach_no_mean(training_data, tmp_path, monkeypatch):
    fail(monkeypatch, {1, STEPS, STEPS + 1}, "inf")
    _, history = fit(training_data, tmp_path / "last.pt", weighting="dwa")
    assert [row["skipped_steps"] for row in history] == [1, 2, 0]
    assert all(math.isfinite(value) for row in history for value in row.values())
    found = headline(history, "validation_loss")
    assert (found["skipped_steps"], found["rollbacks"]) == (3, 0)


@pytest.mark.usefixtures("tiny")
def test_a_skipped_step_reaches_no_average(training_data, monkeypatch):
    trainer = make_trainer(training_data, ema_decay=0.9)
    batch = next(batches(StoredFrames(training_data.store, CPU), training_data.parts["train"], 8))
    trainer.train([batch], 8)
    before = copy.deepcopy(trainer.average.state_dict())
    fail(monkeypatch, {0})
    trainer.train([batch], 8)
    assert all(
        torch.equal(value, before[name]) for name, value in trainer.average.state_dict().items()
    )


def by_hand(training_data, checkpoint: dict | None, rollbacks: int, **settings) -> Trainer:
    """A trainer that resumes from a checkpoint, or starts, with the rate halved, for one epoch."""
    trainer = make_trainer(training_data, **settings)
    if checkpoint:
        trainer.restore(checkpoint)
    for _ in range(rollbacks):
        trainer.schedule.halve()
    trainer.epoch(rollbacks)
    return trainer


@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step"
)  # which holds where a first step is skipped
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_too_many_in_a_row_roll_back_to_the_last_checkpoint_with_half_the_rate(
    training_data, tmp_path, monkeypatch, capsys, epoch
):
    """Before the first checkpoint to the start.

    Steps 1 and 2 of the epoch fail twice, so the third attempt has a quarter of the rate.
    """
    first = STEPS * (epoch - 1)
    settings = {
        "max_skipped_steps": 1,
        "schedule": "cyclic",
        "weighting": "dwa",
        "branches": "attention",
    }
    whole = fit(training_data, tmp_path / "whole.pt", **settings)[1]
    if epoch > 1:
        interrupt(training_data, tmp_path / "before.pt", epoch - 1, **settings)
    expected = by_hand(training_data, checkpoints.load(tmp_path / "before.pt"), 2, **settings)
    with monkeypatch.context() as patch:
        fail(patch, {first, first + 1, first + 2, first + 3})
        _, history = fit(training_data, tmp_path / "last.pt", **settings)
    assert history[:epoch] == expected.history
    assert [row["rollbacks"] for row in history] == [2 * (number == epoch) for number in (1, 2, 3)]
    rates = [row["lr"] / (1 if row["epoch"] < epoch else 4) for row in whole]
    assert [row["lr"] for row in history] == pytest.approx(rates, rel=1e-12)
    assert headline(history, "validation_loss")["rollbacks"] == 2
    printed = capsys.readouterr().out
    assert f"2 steps in a row of epoch {epoch} had no finite loss" in printed
    assert f"rolling back to the end of epoch {epoch - 1} with half the learning rate" in printed


@pytest.mark.usefixtures("tiny")
def test_an_epoch_without_any_step_rolls_back_however_many_may_be_skipped(
    training_data, tmp_path, monkeypatch
):
    fail(monkeypatch, set(range(STEPS, 2 * STEPS)))
    assert [
        row["rollbacks"]
        for row in fit(training_data, tmp_path / "last.pt", max_skipped_steps=10)[1]
    ] == [0, 1, 0]


@pytest.mark.usefixtures("tiny")
def test_a_validation_loss_that_is_not_finite_rolls_back(training_data, tmp_path, monkeypatch):
    expected = by_hand(training_data, None, 1)
    fail(monkeypatch, {0}, validation=True)
    _, history = fit(training_data, tmp_path / "last.pt")
    assert history[:1] == expected.history
    assert [row["rollbacks"] for row in history] == [1, 0, 0]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("batch_size", [8, 64])
def test_training_that_diverges_for_ever_ends_and_leaves_no_checkpoint(
    training_data, tmp_path, capsys, batch_size
):
    """With one step an epoch its loss is fine, what it makes of the weights is not.

    It says that it rolls back as often as it does.
    """
    said = r"even at 3.90625e\+27, .* halved 8 times \(.* of epoch 1 .*\); lower train.lr"
    with pytest.raises(ValueError, match=said):
        fit(training_data, tmp_path / "last.pt", lr=1e30, batch_size=batch_size)
    assert (
        capsys.readouterr().out.count(
            "rolling back to the end of epoch 0 with half the learning rate"
        )
        == 8
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("normless")
@pytest.mark.parametrize(
    ("frames", "most", "micro_batch"), [(8, 4, 4), (8, 3, 2), (7, 3, 2), (5, 4, 4), (24, 7, 6)]
)
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    training_data, monkeypatch, frames, most, micro_batch
):
    batch = next(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["train"][::-1], frames)
    )
    trainers = [make_trainer(training_data, batch_size=max(frames, 8)) for _ in range(2)]
    trainers[0].backward(batch, frames, np.random.default_rng(1))
    limit_memory(monkeypatch, most)
    trainers[1].backward(batch, frames, np.random.default_rng(1))
    assert trainers[1].micro_batches.size == micro_batch
    # Sums over the same pixels of the same frames in another order: of n terms they are within n
    # eps of each other.
    n = frames * SIZE**2
    for whole, parts in zip(
        *([p.grad for g in one.optimizer.param_groups for p in g["params"]] for one in trainers),
        strict=True,
    ):
        torch.testing.assert_close(parts, whole, rtol=0, atol=n * EPS * float(whole.abs().max()))
        assert whole.any()


@pytest.mark.usefixtures("normless")
@pytest.mark.parametrize(
    "said", ["CUDA out of memory. Tried to allocate 2.00 GiB", "could not create a primitive"]
)
def test_training_goes_on_with_the_micro_batches_that_memory_allows(
    training_data, tmp_path, monkeypatch, capsys, said
):
    _, whole = fit(training_data, tmp_path / "whole.pt")
    limit_memory(monkeypatch, 4, said)
    _, history = fit(training_data, tmp_path / "parts.pt")
    assert [row["micro_batch"] for row in history] == [4] * 3
    assert history[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], rel=1e-3)
    note = "split into micro-batches of 4 frames (gradient accumulation)\n"
    assert capsys.readouterr().out.count(note) == 1
    interrupt(training_data, tmp_path / "cut.pt", 1)
    assert fit(training_data, tmp_path / "cut.pt")[1] == history


@pytest.mark.parametrize("size", range(2, 9))
def test_micro_batches_make_up_the_batch_and_none_is_a_single_frame(size):
    fabric = devices.make_fabric("cpu", "auto")
    for frames in range(2, 20):
        batch = Batch(*torch.arange(3 * frames).view(3, frames))
        parts = MicroBatches(size, fabric).split(batch)
        assert torch.equal(torch.cat([torch.stack(part) for part in parts], 1), torch.stack(batch))
        lengths = [len(part.stored) for part in parts]
        assert min(lengths) >= 2
        assert max(lengths) <= (3 if size == 2 else size)


@pytest.mark.usefixtures("tiny")
def test_memory_for_less_than_two_frames_ends_the_training(training_data, tmp_path, monkeypatch):
    limit_memory(monkeypatch, 1)
    with pytest.raises(
        ValueError,
        match=r"out of memory at 2 frames a process \(.*\); lower train.batch_size or render.size",
    ):
        fit(training_data, tmp_path / "last.pt")


@pytest.mark.usefixtures("tiny")
def test_an_error_that_is_not_about_memory_is_not_swallowed(training_data, tmp_path, monkeypatch):
    limit_memory(monkeypatch, 4, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(training_data, tmp_path / "last.pt")
