"""The loop: it learns, repeats itself to the bit, goes on where it was killed, and survives what goes wrong in a step.

The tests of the loop itself put a network of a few hundred weights in the place of ResNet-18.
"""

import copy
import hashlib
import math
import re
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn

import stages.train
from pisces import models
from pisces.config.schema import lay_over
from pisces.core import files
from pisces.core.shards import Cell
from pisces.data.datasets import Batch, StoredFrames, batches
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import Waveform
from pisces.models.backbones import Backbone
from pisces.models.cldnn import Settings
from pisces.run import dvc_process
from pisces.training import checkpoints, devices, losses, trainer, weighting
from pisces.training.augmentation import Augmentation
from pisces.training.schedules import SCHEDULES
from pisces.training.settings import TrainingSettings
from pisces.training.trainer import TrainingData
from pisces.training.weighting import WEIGHTINGS
from tests import conftest
from tests.conftest import draw, raw_only

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
EPS = torch.finfo(torch.float32).eps
SIZE, SAMPLES, FRAMES = 16, 64, 8
MODULATIONS, SNRS_DB = ("BPSK", "QPSK"), (0, 20)
CHANCE_LOSS = math.log(len(MODULATIONS)) + math.log(len(SNRS_DB))
UNCHANGED = Augmentation()
CONFIG = TrainingSettings(
    launcher="python",
    input="constellation",
    model="resnet18",
    pretrained="none",
    branches="plain",
    snr_head="standard",
    snr_loss="cross_entropy",
    label_smoothing=0.0,
    weighting="kendall",
    min_task_weight=0.05,
    task_weights=(0.5, 0.5),
    temperature=2.0,
    epochs=3,
    batch_size=8,
    optimizer="adam",
    lr=1e-2,
    weight_decay=1e-5,
    clip_norm=1.0,
    schedule="plateau",
    plateau_factor=0.5,
    plateau_patience=10,
    warmup_steps=1,
    cycle_epochs=2,
    stop_metric="validation_loss",
    stop_patience=100,
    curriculum_epochs=0,
    snr_balance=0,
    ema_decay=0,
    max_skipped_steps=10,
    accelerator="cpu",
    precision="auto",
    compile=False,
)
STEPS = 3  # an epoch, of the 24 training frames of `easy`


class Interrupted(Exception):
    pass


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


def small(norm: Callable[[int], nn.Module]) -> Backbone:
    """A network with the stem and the classifier of a ResNet, and little between them."""

    def build() -> nn.Module:
        layers = {
            "conv1": nn.Conv2d(3, 8, 3, padding=1),
            "relu": nn.ReLU(),
            "pool": nn.AdaptiveAvgPool2d(4),
            "flat": nn.Flatten(),
        }
        return nn.Sequential(
            OrderedDict(layers | {"norm": norm(128), "relu2": nn.ReLU(), "fc": nn.Linear(128, 10)})
        )

    return models.BACKBONES["resnet18"]._replace(builder=build)


NORMED, NORMLESS = small(nn.BatchNorm1d), small(lambda _: nn.Identity())


@pytest.fixture
def tiny(monkeypatch) -> None:
    """The batch normalisation of this network, like that of ResNet-18, needs two frames."""
    monkeypatch.setitem(models.BACKBONES, "resnet18", NORMED)


@pytest.fixture
def normless(monkeypatch) -> None:
    """Every frame of a batch is answered on its own, so a gradient is a sum over frames."""
    monkeypatch.setitem(models.BACKBONES, "resnet18", NORMLESS)


@pytest.fixture(scope="session")
def easy(tmp_path_factory, write_constellations) -> BinStore:
    """Frames that a glance tells apart: BPSK lies left and right, QPSK in the corners, 0 dB is spread wider than 20 dB."""
    rng = np.random.default_rng(1)
    cells = {}
    for modulation, snr_db in product(MODULATIONS, SNRS_DB):
        shape = (FRAMES, SAMPLES)
        spread = 3 if snr_db == 0 else 1
        column = np.where(rng.random(shape) < 0.5, 4, 11) + rng.integers(-spread, spread + 1, shape)
        centre = 8 if modulation == "BPSK" else np.where(rng.random(shape) < 0.5, 4, 11)
        row = centre + rng.integers(-spread, spread + 1, shape)
        cells[Cell(modulation, snr_db)] = (row * SIZE + column).astype(np.uint16)
    return BinStore(write_constellations(tmp_path_factory.mktemp("easy"), cells, SIZE))


def frames(rows: range) -> np.ndarray:
    return np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), rows)))


@pytest.fixture
def work(easy) -> TrainingData:
    """Six frames of each cell to train on and two to validate."""
    parts = {"train": frames(range(6)), "validation": frames(range(6, 8))}
    return TrainingData(
        easy, None, parts, Drawing(raw_only(SIZE), draw("log_histogram")), UNCHANGED
    )


@pytest.fixture
def misleading(work) -> TrainingData:
    """Training frames of one modulation at one SNR only, so that the longer they are learnt the worse the validation becomes."""
    return work._replace(parts={"train": frames(range(8))[:8], "validation": frames(range(8))[8:]})


@pytest.fixture
def received(data, iq_data, index) -> TrainingData:
    """Frames with their IQ: three of each of nine cells to train on, one to validate, in four views."""
    parts = {"train": index[index[:, 2] < 3], "validation": index[index[:, 2] == 3]}
    return TrainingData(
        data, iq_data, parts, Drawing(data.render, draw("log_histogram")), UNCHANGED
    )


CLDNN = {"input": "iq", "model": "cldnn"}


@pytest.fixture
def raw(iq_data, index) -> TrainingData:
    """The frames themselves, three of each cell to train on but one of each at 0 dB, for a cldnn that denoises."""
    few = index[index[:, 2] < np.where(index[:, 1] == 1, 1, 3)]
    parts = {"train": few, "validation": index[index[:, 2] == 3]}
    settings = Settings(paths="dual", film=True, channels=8, dropout=0.1)
    return TrainingData(
        iq_data,
        iq_data,
        parts,
        Waveform(conftest.SAMPLES),
        UNCHANGED,
        settings,
        conftest.noise_aware(),
    )


def configure(**settings) -> TrainingSettings:
    return replace(CONFIG, **settings)


def fit(work, checkpoint, on_epoch=lambda _: None, seed=1, check=lambda: None, **settings):
    fabric = devices.make_fabric("cpu", "auto")
    return trainer.fit(work, configure(**settings), seed, checkpoint, fabric, on_epoch, check)


def make_learner(work, seed=1, **settings) -> trainer.Learner:
    return trainer.Learner(devices.make_fabric("cpu", "auto"), work, configure(**settings), seed)


def assert_same(one, other) -> None:
    """Two results of `fit` agree to the bit."""
    (model, history), (other_model, other_history) = one, other
    assert history == other_history
    state, other_state = model.state_dict(), other_model.state_dict()
    assert state.keys() == other_state.keys()
    assert [name for name in state if not torch.equal(state[name], other_state[name])] == []


def parameters(learner: trainer.Learner) -> list[torch.Tensor]:
    return [p.detach().clone() for group in learner.optimizer.param_groups for p in group["params"]]


def test_resnet18_learns_a_handful_of_easy_frames_by_heart(work, tmp_path):
    """Four epochs are too few for the running averages of its batch normalisation, so it is judged by the training loss."""
    _, history = fit(work, tmp_path / "last.pt", epochs=4, lr=3e-4)
    assert history[0]["train_loss"] > CHANCE_LOSS
    assert history[-1]["train_loss"] < 0.1 * CHANCE_LOSS


@pytest.mark.usefixtures("tiny")
def test_half_precision_learns_too_with_its_gradients_scaled_and_clipped(work, tmp_path):
    # A scaler refuses to clip for an optimiser that takes the scale out by itself, as a fused one does.
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))
    _, history = trainer.fit(
        work,
        configure(precision="16-mixed", epochs=8),
        1,
        tmp_path / "last.pt",
        fabric,
        lambda _: None,
    )
    assert history[-1]["train_loss"] < 0.5 * CHANCE_LOSS
    assert sum(row["skipped_steps"] for row in history) == 0


@pytest.mark.usefixtures("tiny")
def test_what_was_learnt_holds_for_frames_never_seen(work, tmp_path):
    model, history = fit(work, tmp_path / "last.pt", epochs=20)
    assert history[-1]["validation_loss"] < 0.1 * CHANCE_LOSS
    bins, *targets = next(batches(StoredFrames(work.data, CPU), work.parts["validation"], 100))
    answers = [scores.argmax(1) for scores in model(work.input.tensors(bins))]
    assert all(torch.equal(answer, target) for answer, target in zip(answers, targets, strict=True))
    assert not model.training


@pytest.mark.usefixtures("tiny")
def test_same_seed_same_bytes_whatever_the_callers_random_state(work, tmp_path):
    settings = {"branches": "attention", "snr_head": "dual_layer"}  # both with dropout
    torch.manual_seed(1)
    first = fit(work, tmp_path / "first.pt", **settings)
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    second = fit(work, tmp_path / "second.pt", **settings)
    assert_same(first, second)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("tiny")
def test_another_seed_gives_another_start_and_every_epoch_another_order(
    work, tmp_path, monkeypatch
):
    orders, first_losses = [], []

    def record(loader, index, *rest):
        orders.append(index.tolist())
        return batches(loader, index, *rest)

    monkeypatch.setattr(trainer, "batches", record)
    for seed in (1, 2):
        first_losses.append(
            fit(work, tmp_path / f"{seed}.pt", seed=seed, epochs=2)[1][0]["train_loss"]
        )
    assert first_losses[0] != first_losses[1]
    train, validation = orders[::2], orders[1::2]
    assert all(sorted(order) == work.parts["train"].tolist() for order in train)
    assert len({str(order) for order in train}) == 4
    assert all(order == work.parts["validation"].tolist() for order in validation)


# Going on where it was killed


def interrupt(work, checkpoint, killed_after, **settings) -> list[trainer.Epoch]:
    """Trains until it is killed after the checkpoint of an epoch; the rows up to there."""
    seen = []

    def stop(row):
        seen.append(row)
        if row["epoch"] == killed_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(work, checkpoint, stop, **settings)
    return seen


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_interrupted_is_the_same_as_uninterrupted(misleading, tmp_path, killed_after, capsys):
    """With a best epoch before, and a lower learning rate after, the interruption."""
    settings = {"epochs": 4, "plateau_patience": 0, "lr": 3e-2}
    whole = fit(misleading, tmp_path / "whole.pt", **settings)
    seen = interrupt(misleading, tmp_path / "cut.pt", killed_after, **settings)
    assert_same(whole, fit(misleading, tmp_path / "cut.pt", seen.append, **settings))
    assert seen == whole[1]
    assert f"going on after epoch {killed_after}\n" in capsys.readouterr().out
    assert len({row["lr"] for row in seen}) > 1


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_every_schedule_and_weighting_goes_on_exactly(work, tmp_path, schedule, weights, optimizer):
    settings = {
        "schedule": schedule,
        "weighting": weights,
        "optimizer": optimizer,
        "epochs": 4,
        "plateau_patience": 0,
        "temperature": 0.1,
    }
    whole = fit(work, tmp_path / "whole.pt", **settings)
    interrupt(work, tmp_path / "cut.pt", 3, **settings)
    assert_same(whole, fit(work, tmp_path / "cut.pt", **settings))
    assert weights == "fixed" or whole[1][-1]["snr_weight"] != whole[1][0]["snr_weight"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("varied", "settings"),
    [
        ({"phase": True, "noise_db": 20.0}, {}),
        ({"mixup_alpha": 0.4}, {}),
        ({}, {"curriculum_epochs": 3}),
        ({}, {"branches": "attention", "snr_head": "bottleneck_64"}),
        (
            {
                "phase": True,
                "noise_db": 20.0,
                "time_shift": True,
                "carrier_offset_std": 1e-3,
                "mixup_alpha": 0.4,
            },
            {
                "curriculum_epochs": 3,
                "branches": "attention",
                "snr_head": "dual_layer",
                "schedule": "cyclic",
                "weighting": "dwa",
            },
        ),
    ],
    ids=["frames", "mixup", "curriculum", "dropout", "all"],
)
def test_everything_random_goes_on_exactly(received, tmp_path, varied, settings):
    work = received._replace(augmentation=Augmentation(**varied))
    plain = fit(received, tmp_path / "plain.pt")
    whole = fit(work, tmp_path / "whole.pt", **settings)
    assert all(
        row["train_loss"] != other["train_loss"]
        for row, other in zip(whole[1][:2], plain[1][:2], strict=True)
    )
    interrupt(work, tmp_path / "cut.pt", 2, **settings)
    assert_same(whole, fit(work, tmp_path / "cut.pt", **settings))


def test_a_cldnn_goes_on_exactly(raw, tmp_path):
    """With all that is random about it, through the phases of its denoiser, a moving average and a balance of SNRs."""
    gain = {"probability": 0.5, "below_db": 10, "low": 0, "high": 0.5}
    work = raw._replace(
        augmentation=Augmentation(phase=True, gain_db=6.0, mixup_alpha=0.4, mixup_probability=0.5)
    )
    work = work._replace(noise_aware=conftest.noise_aware(raw_gain=gain))
    settings = CLDNN | {"epochs": 4, "ema_decay": 0.9, "snr_balance": 0.5, "lr": 1e-3}
    whole = fit(work, tmp_path / "whole.pt", **settings)
    for killed_after in (1, 3):
        interrupt(work, tmp_path / "cut.pt", killed_after, **settings)
    assert_same(whole, fit(work, tmp_path / "cut.pt", **settings))
    assert len({row["train_identity_loss"] for row in whole[1]}) == 4
    assert [row["phase"] for row in whole[1]] == [0, 1, 2, 3]


@pytest.mark.usefixtures("tiny")
def test_killed_within_an_epoch_goes_back_to_its_start(work, tmp_path, monkeypatch):
    settings = {"branches": "attention", "weighting": "dwa", "schedule": "one_cycle"}
    whole = fit(work, tmp_path / "whole.pt", **settings)
    with monkeypatch.context() as patch:
        steps, update = [], trainer.Learner._update

        def killed(learner):
            steps.append(1)
            if len(steps) == STEPS + 2:
                raise Interrupted
            return update(learner)

        patch.setattr(trainer.Learner, "_update", killed)
        with pytest.raises(Interrupted):
            fit(work, tmp_path / "cut.pt", **settings)
    assert_same(whole, fit(work, tmp_path / "cut.pt", **settings))


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_holds_nothing_but_tensors_and_plain_values(work, tmp_path):
    for schedule, weights in zip(SCHEDULES, WEIGHTINGS, strict=True):
        fit(work, tmp_path / schedule, schedule=schedule, weighting=weights, epochs=2)
        state = torch.load(tmp_path / schedule, weights_only=True)
        assert [row["epoch"] for row in state["history"]] == [1, 2]


@pytest.mark.usefixtures("tiny")
def test_a_finished_training_is_not_repeated(work, tmp_path):
    whole = fit(work, tmp_path / "last.pt")
    seen = []
    assert_same(whole, fit(work, tmp_path / "last.pt", seen.append))
    assert seen == []


@pytest.mark.usefixtures("tiny")
def test_a_stage_whose_dvc_has_died_stops_after_its_checkpoint(work, tmp_path, monkeypatch):
    whole = fit(work, tmp_path / "whole.pt")
    with monkeypatch.context() as patch:
        patch.setattr(dvc_process, "running", psutil.Process)
        patch.setattr(dvc_process, "is_gone", lambda _: (tmp_path / "cut.pt").is_file())
        check = dvc_process.stop_when_gone()
        with pytest.raises(ValueError, match=r"dvc .* is gone; the next dvc repro resumes"):
            fit(work, tmp_path / "cut.pt", check=check)
    assert len(checkpoints.load(tmp_path / "cut.pt")["history"]) == 1
    assert_same(whole, fit(work, tmp_path / "cut.pt"))


# Which epoch is the best, and when training ends


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("stop_metric", ["validation_loss", "validation_modulation_accuracy"])
def test_the_best_epoch_is_returned_and_not_the_last(misleading, tmp_path, stop_metric):
    model, history = fit(
        misleading, tmp_path / "last.pt", epochs=6, lr=3e-2, stop_metric=stop_metric
    )
    values = [row[stop_metric] for row in history]
    best = values.index((min if stop_metric == "validation_loss" else max)(values))
    assert best < len(values) - 1
    learner = make_learner(misleading)
    learner.model.module.load_state_dict(model.state_dict())
    row = learner.validate(
        batches(StoredFrames(misleading.data, CPU), misleading.parts["validation"], 8)
    )
    assert row[stop_metric] == values[best]
    assert trainer.summary(history, stop_metric) == {
        "epochs": 6,
        "best_epoch": 1 + best,
        **{name: value for name, value in history[best].items() if name.startswith("validation")},
        "skipped_steps": 0,
        "rollbacks": 0,
        "micro_batch": 8,
    }


@pytest.mark.usefixtures("tiny")
def test_training_stops_early(misleading, tmp_path):
    _, history = fit(misleading, tmp_path / "last.pt", epochs=50, stop_patience=2, lr=3e-2)
    values = [row["validation_loss"] for row in history]
    assert len(values) == 1 + np.argmin(values) + 2 < 50


def after(learner: trainer.Learner, values: list[float]) -> list[bool]:
    """Whether training is finished after each of so many epochs with these monitored values."""
    finished = []
    for number, value in enumerate(values, 1):
        learner.history.append({"epoch": number, learner.config.stop_metric: value})
        learner.schedule.step_epoch(
            trainer.monitored(learner.history[-1], learner.config.stop_metric)
        )
        finished.append(learner.finished)
    return finished


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("stop_metric", "sign"), [("validation_loss", 1), ("validation_joint_accuracy", -1)]
)
def test_patience_starts_anew_with_every_better_epoch(work, stop_metric, sign):
    learner = make_learner(work, stop_patience=3, epochs=100, stop_metric=stop_metric)
    assert after(learner, [sign * value for value in (5, 6, 6, 4, 4.5, 4.5, 4.5)]) == [
        False
    ] * 6 + [True]
    assert trainer.best_epoch(learner.history, stop_metric) == 4


@pytest.mark.usefixtures("tiny")
def test_with_cycles_patience_lasts_to_the_end_of_one(work):
    settings = {"stop_patience": 3, "epochs": 100, "schedule": "cyclic", "cycle_epochs": 4}
    assert after(make_learner(work, **settings), [5, 4] + 8 * [6]).index(True) == 7


@pytest.mark.parametrize(
    ("epochs", "paths", "stops"),
    [((2, 1, 2), "dual", 8), ((0, 0, 0), "dual", 5), ((2, 1, 2), "raw", 5)],
)
def test_patience_begins_when_a_denoiser_and_its_classifier_meet(raw, epochs, paths, stops):
    """After phase b2; a model without a denoiser has no phases to wait for."""
    work = raw._replace(
        cldnn=raw.cldnn._replace(paths=paths), noise_aware=conftest.noise_aware(epochs)
    )
    learner = make_learner(work, **CLDNN, stop_patience=3, epochs=100)
    assert after(learner, [5, 4] + 8 * [6]).index(True) + 1 == stops


@pytest.mark.usefixtures("tiny")
def test_epochs_is_an_upper_bound(work):
    assert after(make_learner(work, epochs=2), [5, 4]) == [False, True]


@pytest.mark.usefixtures("tiny")
def test_learning_rate_falls_after_more_than_patience_epochs_without_a_better_loss(work):
    learner = make_learner(work, lr=1e-2, plateau_factor=0.5, plateau_patience=2)
    rates = []
    for value in [5, 4, 6, 6, 6, 3, 6, 6, 6]:
        after(learner, [value])
        rates.append(learner.lr)
    assert rates == pytest.approx([1e-2] * 4 + [5e-3] * 4 + [2.5e-3])


# The moving average of the weights


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("decay", [0.9, 0.15])
def test_moving_average_by_hand(work, monkeypatch, decay):
    """The first step is taken whole; the k-th leaves k / (9 + k) of what was there, and never more than the decay."""
    learner, states, update = make_learner(work, ema_decay=decay), [], trainer.Learner._update

    def noting(learner):
        finite = update(learner)
        states.append(
            {name: value.clone() for name, value in learner.model.module.state_dict().items()}
        )
        return finite

    monkeypatch.setattr(trainer.Learner, "_update", noting)
    learner.train(batches(StoredFrames(work.data, CPU), work.parts["train"], 8), 1, 24)
    expected = dict(states[0])
    for k, state in enumerate(states[1:], 2):
        keep = min(decay, k / (9 + k))
        expected = {name: keep * expected[name] + (1 - keep) * state[name] for name in expected}
    averaged = learner.average.module.state_dict()
    for name, value in averaged.items():
        if value.is_floating_point():
            torch.testing.assert_close(
                value,
                expected[name],
                rtol=0,
                atol=4 * EPS * float(states[-1][name].abs().max() + 1),
            )
            assert not torch.equal(value, states[-1][name])
        else:
            assert value == len(states) == STEPS  # batches that a normalisation has seen


@pytest.mark.usefixtures("tiny")
def test_the_average_is_what_is_validated_and_kept(work):
    learner = make_learner(work, ema_decay=0.9)
    row = learner.epoch(0)
    kept = learner.best_model().state_dict()
    assert all(
        torch.equal(value, kept[name])
        for name, value in learner.average.module.state_dict().items()
    )
    assert not torch.equal(
        kept["modulation_head.weight"], learner.model.module.state_dict()["modulation_head.weight"]
    )
    other = make_learner(work)
    other.model.module.load_state_dict(kept)
    again = other.validate(batches(StoredFrames(work.data, CPU), work.parts["validation"], 8))
    assert {name: row[name] for name in again} == again


@pytest.mark.usefixtures("tiny")
def test_a_step_left_out_reaches_no_average(work, monkeypatch):
    learner = make_learner(work, ema_decay=0.9)
    batch = next(batches(StoredFrames(work.data, CPU), work.parts["train"], 8))
    learner.train([batch], 1, 8)
    before = copy.deepcopy(learner.average.state_dict())
    fail(monkeypatch, {0})
    learner.train([batch], 2, 8)
    assert all(
        torch.equal(value, before[name]) for name, value in learner.average.state_dict().items()
    )


def test_a_noise_estimate_is_calibrated_once(raw, tmp_path, monkeypatch):
    calibrated, calibrate = [], trainer.Learner.calibrate

    def noting(learner):
        calibrate(learner)
        calibrated.append(learner.model.module.noise.b.item())

    monkeypatch.setattr(trainer.Learner, "calibrate", noting)
    settings = CLDNN | {"epochs": 2}
    work = raw._replace(noise_aware=conftest.noise_aware((1, 0, 0)))
    interrupt(work, tmp_path / "last.pt", 1, **settings)
    fit(work, tmp_path / "last.pt", **settings)
    assert len(calibrated) == 1
    assert calibrated[0] != 0


# Batches


def sizes_of_steps(work, tmp_path, **settings) -> list[int]:
    seen = []
    add = trainer.Tally.add

    def count(self, batch, *rest):
        seen.append(len(batch.stored))
        add(self, batch, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Tally, "add", count)
        fit(work, tmp_path / "last.pt", **settings)
    return seen


def test_an_auxiliary_loss_is_the_mean_over_the_frames_of_batches_that_had_it():
    tally = trainer.Tally(("identity", "features", "distillation"))
    for n, found in ((2, {"identity": 1.0, "distillation": 5.0}), (6, {"identity": 3.0})):
        labels = torch.zeros(n, dtype=torch.long)
        answers = (torch.zeros(n, 3), torch.zeros(n, 3))
        tally.add(
            Batch(torch.zeros(n, 2, 8), labels, labels),
            answers,
            torch.ones(2),
            {name: torch.tensor(loss) for name, loss in found.items()},
        )
    row = tally.means("train", devices.make_fabric("cpu", "auto"))
    assert row["train_identity_loss"] == 2.5
    assert row["train_distillation_loss"] == 5
    assert row["train_loss"] == 2
    assert "train_features_loss" not in row


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_one_frame_is_left_out(work, tmp_path):
    work.parts["train"] = work.parts["train"][:17]
    assert (
        sizes_of_steps(work, tmp_path, epochs=2) == [8, 8, 8] * 2
    )  # two batches of training and one of validation


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_two_frames_counts(work, tmp_path):
    """Means are over frames, not over batches: accuracies are whole numbers of all 18 frames."""
    work.parts["train"] = work.parts["train"][:18]
    _, history = fit(work, tmp_path / "last.pt", epochs=1)
    right = 18 * history[0]["train_modulation_accuracy"]
    assert right == pytest.approx(round(right), abs=1e-9)
    assert history[0]["train_loss"] == pytest.approx(
        history[0]["train_modulation_loss"] + history[0]["train_snr_loss"]
    )


@pytest.mark.usefixtures("tiny")
def test_a_curriculum_takes_in_the_noisy_frames_later_and_keeps_the_length_of_an_epoch(received):
    learner = make_learner(received, curriculum_epochs=3)
    for number, admitted in ((1, {1, 2}), (2, {1, 2}), (3, {0, 1, 2})):
        _, order = learner._training_frames(number)
        assert set(order[:, 1].tolist()) == admitted
        assert len(order) == 27
        counts = np.unique(order, axis=0, return_counts=True)[1]
        assert set(counts) == ({1} if number == 3 else {1, 2})


def test_an_snr_of_few_frames_comes_as_often_as_its_balance_says(raw):
    """9, 3 and 9 frames; with balance 1 each SNR has a third of the 21."""
    for balance, expected in ((0, [9, 3, 9]), (1, [7, 7, 7])):
        _, order = make_learner(raw, **CLDNN, snr_balance=balance, batch_size=7)._training_frames(1)
        assert np.bincount(order[:, 1]).tolist() == expected


@pytest.mark.usefixtures("tiny")
def test_added_noise_moves_frames_to_lower_classes_that_the_curriculum_admits(received):
    work = received._replace(augmentation=Augmentation(noise_db=30.0))
    learner = make_learner(work, curriculum_epochs=3)
    for number, lowest in ((1, 1), (3, 0)):
        loader, order = learner._training_frames(number)
        batch = next(batches(loader, order, len(order)))
        assert (batch.snr.numpy() <= order[:, 1]).all()
        assert (batch.snr.numpy() < order[:, 1]).any()
        assert batch.snr.min() == lowest
        assert np.array_equal(batch.modulation, order[:, 0])


@pytest.mark.usefixtures("normless")
def test_mixup_trains_on_mixed_images_and_validates_on_whole_ones(work):
    mixed = make_learner(work._replace(augmentation=Augmentation(mixup_alpha=1.0)))
    plain = make_learner(work)
    batch = next(batches(StoredFrames(work.data, CPU), work.parts["train"], 8))
    assert torch.equal(plain._losses(batch, None)[1], mixed._losses(batch, None)[1])
    share, permutation = (lambda rng: (rng.beta(1, 1), rng.permutation(8)))(
        np.random.default_rng(5)
    )
    answers, task_losses, auxiliary = mixed._losses(batch, np.random.default_rng(5))
    images = work.input.tensors(batch.stored)
    expected = mixed.model(share * images + (1 - share) * images[permutation])
    torch.testing.assert_close(answers, expected)
    assert auxiliary == {}
    for task, (scores, target) in enumerate(zip(expected, batch[1:], strict=True)):
        both = [nn.functional.cross_entropy(scores, one) for one in (target, target[permutation])]
        torch.testing.assert_close(task_losses[task], share * both[0] + (1 - share) * both[1])


# No task loses its share


def make_trivial(monkeypatch) -> None:
    """Modulation labels that the frames do not hold any more: all the same, the easiest task there is; SNR labels by lot."""
    rng = np.random.default_rng(3)

    def relabel(*arguments):
        for batch in batches(*arguments):
            lot = torch.from_numpy(rng.integers(0, len(SNRS_DB), len(batch.snr)))
            yield batch._replace(modulation=torch.zeros_like(batch.modulation), snr=lot)

    monkeypatch.setattr(trainer, "batches", relabel)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_task_that_becomes_trivial_leaves_the_other_its_share(work, tmp_path, monkeypatch, name):
    """The published failure: weights of 100 and 0 by the fourth epoch, which is what comes without a floor."""
    make_trivial(monkeypatch)
    settings = {"weighting": name, "epochs": 6, "lr": 0.5, "batch_size": 4, "temperature": 0.05}
    shares = {}
    for floor in (0.05, 1e-9):
        monkeypatch.setattr(weighting, "LIMIT", 5.0 if floor == 0.05 else 50.0)
        _, history = fit(work, tmp_path / str(floor), min_task_weight=floor, **settings)
        shares[floor] = np.array([[row["modulation_weight"], row["snr_weight"]] for row in history])
        assert shares[floor].sum(1) == pytest.approx(1)
    assert shares[0.05].min() >= 0.05 - EPS
    if name == "fixed":
        assert (shares[0.05] == 0.5).all()
    else:
        assert shares[0.05].min() < 0.06
        assert shares[1e-9][:4].min() < 1e-3


@pytest.mark.usefixtures("tiny")
def test_rows_hold_the_weights_and_sigmas_of_the_end_of_their_epoch(work, tmp_path):
    _, history = fit(work, tmp_path / "last.pt", lr=1e-1)
    log_variance = checkpoints.load(tmp_path / "last.pt")["weighting"]["log_variance"]
    row = history[-1]
    assert [row["modulation_sigma"], row["snr_sigma"]] == pytest.approx(
        (log_variance / 2).exp().tolist()
    )
    assert [row["modulation_weight"], row["snr_weight"]] == pytest.approx(
        (-log_variance).softmax(0).tolist()
    )
    assert row["modulation_sigma"] != 1
    assert "snr_sigma" not in fit(work, tmp_path / "fixed.pt", weighting="fixed")[1][0]


# What goes wrong in a step


class _FiniteLossWithoutGradient(torch.autograd.Function):
    @staticmethod
    def forward(_ctx, loss):
        return loss.clone()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient * math.nan


FAULTS = {
    "nan": lambda loss: loss * math.nan,
    "inf": lambda loss: loss + math.inf,  # whose gradient is finite
    "gradient": _FiniteLossWithoutGradient.apply,
}


def fail(monkeypatch, steps: set[int], fault: str = "nan", validation: bool = False) -> None:
    """Lets the modulation loss of these steps of training (or of validation), counted from 0, fail."""
    loss, counted = losses.modulation_loss, iter(range(10**6))

    def failing(*arguments):
        if torch.is_grad_enabled() == validation or next(counted) not in steps:
            return loss(*arguments)
        return FAULTS[fault](loss(*arguments))

    monkeypatch.setattr(losses, "modulation_loss", failing)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("weights", WEIGHTINGS)
def test_a_step_that_is_not_finite_changes_no_parameter(work, monkeypatch, weights, fault):
    learner = make_learner(work, weighting=weights)
    batch = next(batches(StoredFrames(work.data, CPU), work.parts["train"], 8))
    learner.train([batch], 1, 8)
    before = parameters(learner)
    fail(monkeypatch, {0}, fault)
    row = learner.train([batch], 2, 8)
    assert all(map(torch.equal, parameters(learner), before))
    assert row["skipped_steps"] == 1
    assert learner.train([batch], 2, 8)["skipped_steps"] == 0
    assert not any(map(torch.equal, parameters(learner), before))


@pytest.mark.usefixtures("tiny")
def test_left_out_steps_are_counted_and_reach_no_mean(work, tmp_path, monkeypatch):
    fail(monkeypatch, {1, STEPS, STEPS + 1}, "inf")
    _, history = fit(work, tmp_path / "last.pt", weighting="dwa")
    assert [row["skipped_steps"] for row in history] == [1, 2, 0]
    assert all(math.isfinite(value) for row in history for value in row.values())
    summary = trainer.summary(history, "validation_loss")
    assert (summary["skipped_steps"], summary["rollbacks"]) == (3, 0)


def by_hand(work, checkpoint: dict | None, rollbacks: int, **settings) -> trainer.Learner:
    """A learner that goes on from a checkpoint, or starts, with the rate halved, for one epoch."""
    learner = make_learner(work, **settings)
    if checkpoint:
        learner.restore(checkpoint)
    for _ in range(rollbacks):
        learner.schedule.halve()
    learner.epoch(rollbacks)
    return learner


@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step"
)  # which holds where a first step is left out
@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_too_many_in_a_row_go_back_to_the_last_checkpoint_with_half_the_rate(
    work, tmp_path, monkeypatch, capsys, epoch
):
    """Before the first checkpoint to the start. Steps 1 and 2 of the epoch fail twice, so the third attempt has a quarter of the rate."""
    first = STEPS * (epoch - 1)
    settings = {
        "max_skipped_steps": 1,
        "schedule": "cyclic",
        "weighting": "dwa",
        "branches": "attention",
    }
    whole = fit(work, tmp_path / "whole.pt", **settings)[1]
    if epoch > 1:
        interrupt(work, tmp_path / "before.pt", epoch - 1, **settings)
    expected = by_hand(work, checkpoints.load(tmp_path / "before.pt"), 2, **settings)
    with monkeypatch.context() as patch:
        fail(patch, {first, first + 1, first + 2, first + 3})
        _, history = fit(work, tmp_path / "last.pt", **settings)
    assert history[:epoch] == expected.history
    assert [row["rollbacks"] for row in history] == [2 * (number == epoch) for number in (1, 2, 3)]
    rates = [row["lr"] / (1 if row["epoch"] < epoch else 4) for row in whole]
    assert [row["lr"] for row in history] == pytest.approx(rates, rel=1e-12)
    assert trainer.summary(history, "validation_loss")["rollbacks"] == 2
    assert (
        f"2 steps in a row of epoch {epoch} had no finite loss and gradient; going back to the end of epoch {epoch - 1} with half"
        in (capsys.readouterr().out)
    )


@pytest.mark.usefixtures("tiny")
def test_an_epoch_without_any_step_goes_back_however_many_may_be_left_out(
    work, tmp_path, monkeypatch
):
    fail(monkeypatch, set(range(STEPS, 2 * STEPS)))
    assert [
        row["rollbacks"] for row in fit(work, tmp_path / "last.pt", max_skipped_steps=10)[1]
    ] == [0, 1, 0]


@pytest.mark.usefixtures("tiny")
def test_a_validation_loss_that_is_not_finite_goes_back(work, tmp_path, monkeypatch):
    expected = by_hand(work, None, 1)
    fail(monkeypatch, {0}, validation=True)
    _, history = fit(work, tmp_path / "last.pt")
    assert history[:1] == expected.history
    assert [row["rollbacks"] for row in history] == [1, 0, 0]


@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step"
)  # which holds where a first step is left out
@pytest.mark.usefixtures("tiny")
def test_a_rate_halved_stays_so_after_an_interruption(work, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail(patch, {0, 1, 2})
        whole = fit(work, tmp_path / "whole.pt", schedule="cosine")
    with monkeypatch.context() as patch:
        fail(patch, {0, 1, 2})
        interrupt(work, tmp_path / "cut.pt", 1, schedule="cosine")
    assert_same(whole, fit(work, tmp_path / "cut.pt", schedule="cosine"))
    assert whole[1][0]["rollbacks"] == 1


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("batch_size", [8, 64])
def test_training_that_diverges_for_ever_ends_and_leaves_no_checkpoint(
    work, tmp_path, capsys, batch_size
):
    """With one step an epoch its loss is fine, what it makes of the weights is not. It says that it goes back as often as it does."""
    said = r"training diverges even at 3.90625e\+27, with train.lr halved 8 times \(.* of epoch 1 .*\); lower train.lr"
    with pytest.raises(ValueError, match=said):
        fit(work, tmp_path / "last.pt", lr=1e30, batch_size=batch_size)
    assert (
        capsys.readouterr().out.count(
            "going back to the end of epoch 0 with half the learning rate"
        )
        == 8
    )
    assert not list(tmp_path.iterdir())


# Memory


def limit_memory(
    monkeypatch, most: int, message: str = "CUDA out of memory. Tried to allocate 2.00 GiB"
) -> None:
    """A model that takes no more than so many images."""
    forward = models.JointModel.forward

    def limited(model, images):
        if len(images) > most:
            raise torch.OutOfMemoryError(message)
        return forward(model, images)

    monkeypatch.setattr(models.JointModel, "forward", limited)


@pytest.mark.usefixtures("normless")
@pytest.mark.parametrize(
    ("frames", "most", "micro_batch"), [(8, 4, 4), (8, 3, 2), (7, 3, 2), (5, 4, 4), (24, 7, 6)]
)
def test_a_batch_in_pieces_has_the_gradient_of_the_whole(
    work, monkeypatch, frames, most, micro_batch
):
    batch = next(batches(StoredFrames(work.data, CPU), work.parts["train"][::-1], frames))
    learners = [make_learner(work, batch_size=max(frames, 8)) for _ in range(2)]
    learners[0]._backward_in_pieces(batch, frames, np.random.default_rng(1))
    limit_memory(monkeypatch, most)
    learners[1]._backward_in_pieces(batch, frames, np.random.default_rng(1))
    assert learners[1].micro_batch == micro_batch
    # Sums over the same pixels of the same frames in another order: of n terms they are within n eps of each other.
    n = frames * SIZE**2
    for whole, pieces in zip(
        *([p.grad for g in one.optimizer.param_groups for p in g["params"]] for one in learners),
        strict=True,
    ):
        torch.testing.assert_close(pieces, whole, rtol=0, atol=n * EPS * float(whole.abs().max()))
        assert whole.any()


@pytest.mark.usefixtures("normless")
@pytest.mark.parametrize(
    "said", ["CUDA out of memory. Tried to allocate 2.00 GiB", "could not create a primitive"]
)
def test_training_goes_on_with_the_pieces_that_memory_allows(
    work, tmp_path, monkeypatch, capsys, said
):
    _, whole = fit(work, tmp_path / "whole.pt")
    limit_memory(monkeypatch, 4, said)
    _, history = fit(work, tmp_path / "pieces.pt")
    assert [row["micro_batch"] for row in history] == [4] * 3
    assert trainer.summary(history, "validation_loss")["micro_batch"] == 4
    assert history[-1]["validation_loss"] == pytest.approx(whole[-1]["validation_loss"], rel=1e-3)
    assert capsys.readouterr().out.count("out of memory: from now on 4 frames at a time\n") == 1
    interrupt(work, tmp_path / "cut.pt", 1)
    assert fit(work, tmp_path / "cut.pt")[1] == history


@pytest.mark.parametrize("size", range(2, 9))
def test_pieces_are_the_batch_and_none_is_a_single_frame(size):
    for frames in range(2, 20):
        batch = Batch(*torch.arange(3 * frames).view(3, frames))
        pieces = list(trainer._pieces(batch, size))
        assert torch.equal(
            torch.cat([torch.stack(piece) for piece in pieces], 1), torch.stack(batch)
        )
        lengths = [len(piece.stored) for piece in pieces]
        assert min(lengths) >= 2
        assert max(lengths) <= (3 if size == 2 else size)


@pytest.mark.usefixtures("tiny")
def test_memory_for_less_than_two_frames_ends_the_training(work, tmp_path, monkeypatch):
    limit_memory(monkeypatch, 1)
    with pytest.raises(
        ValueError,
        match=r"out of memory at 2 frames a process \(.*\); lower train.batch_size or render.size",
    ):
        fit(work, tmp_path / "last.pt")


@pytest.mark.usefixtures("tiny")
def test_an_error_that_is_not_about_memory_is_not_swallowed(work, tmp_path, monkeypatch):
    limit_memory(monkeypatch, 4, "mat1 and mat2 shapes cannot be multiplied")
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        fit(work, tmp_path / "last.pt")


# Several processes

LAUNCHED = """
import os
import sys
sys.path.insert(0, {root!r})
import torch
import stages.train
from tests.test_training import NORMLESS, models, say_digests
torch.set_num_threads(1)
models.BACKBONES["resnet18"] = NORMLESS
say_digests()
for folder in {folders!r}:
    os.chdir(folder)
    stages.train.main()
"""


def say_digests() -> None:
    """From now on `fit` prints what the parameters of its model are."""
    fit = trainer.fit

    def saying(*arguments):
        model, history = fit(*arguments)
        digest = hashlib.sha256(
            b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
        )
        print(f"parameters {digest.hexdigest()}", flush=True)
        return model, history

    trainer.fit = saying


@pytest.fixture
def scratch(tmp_path, easy, raw, monkeypatch) -> Callable[..., Path]:
    """A function that makes a copy of the project with `easy` as its constellations and `raw` as its frames, and enters it."""
    monkeypatch.setenv("PISCES_TRACKING", "off")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    # Last batches that the processes share unequally: of 21 frames 5, and of 9 one, which leaves the second process without.
    parts = {
        "train": frames(range(6))[::-1][:21],
        "validation": frames(range(6, 8))[[0, 1, 2, 3, 4, 5, 6, 7, 0]],
    }

    def make(
        name: str, parts: dict[str, np.ndarray] = parts, train: dict | None = None, **overlay: dict
    ) -> Path:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        for part in ("pisces", "stages", "dvc.yaml"):
            (folder / part).symlink_to(ROOT / part)
        (folder / "data/constellations").symlink_to(easy.root)
        (folder / "data/split_hdf5").symlink_to(raw.data.root)
        files.write_npz(folder / "data/splits.npz", parts | {"test": parts["validation"]})
        (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        settings = asdict(CONFIG) | {"task_weights": [0.5, 0.5], "epochs": 4}
        lay_over(folder / "params.yaml", {"train": settings | (train or {})} | overlay)
        monkeypatch.chdir(folder)
        return folder

    return make


def results(folder: Path) -> tuple[dict[str, float], pd.DataFrame]:
    return files.read_json(folder / "metrics/train.json"), pd.read_csv(
        folder / "plots/training.csv"
    )


@pytest.mark.usefixtures("normless")
def test_two_processes_train_as_one(scratch, raw):
    """The stage itself, with gloo on the CPU; frames are summed in another order, and nothing else differs.

    A cldnn differs in more, as each process draws what it adds to its own frames; but both must hold the same one in the end.
    """
    one = scratch("one")
    stages.train.main()
    settings = {"ema_decay": 0.9, "snr_balance": 0.5}
    denoising = scratch(
        "cldnn", raw.parts, CLDNN | settings, cldnn={"channels": 8}, augment={"mixup_alpha": 0.4}
    )
    two = scratch("two")
    (two / "launch.py").write_text(
        LAUNCHED.format(root=str(ROOT), folders=[str(two), str(denoising)])
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "launch.py",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=two)
    assert ran.returncode == 0, ran.stderr
    assert (
        ran.stdout.count("trained resnet18 for 4 epochs")
        == ran.stdout.count("trained cldnn for 4 epochs")
        == 1
    )
    assert ran.stdout.count("epoch 1/4:") == 2
    digests = re.findall(r"parameters ([0-9a-f]{64})", ran.stdout)
    assert [digests.count(digest) for digest in digests] == [2] * 4
    (metrics, history), (metrics2, history2) = results(one), results(two)
    # Rounding errors of a sum of n terms wander as sqrt(n) eps; each of 12 steps adds its own to what it found.
    tolerance = 12 * math.sqrt(8 * SIZE**2) * EPS
    assert metrics2.keys() == metrics.keys()
    assert metrics2 == pytest.approx(metrics, rel=tolerance)
    pd.testing.assert_frame_equal(
        history2, history, rtol=max(tolerance, 1e-5)
    )  # six digits are written
    assert not list(two.glob(".ckpt/train/*/"))
    metrics, history = results(denoising)
    assert metrics["skipped_steps"] == 0
    assert (
        history[["train_denoising_loss", "train_identity_loss", "train_noise_loss", "eta_pearson"]]
        .notna()
        .all(axis=None)
    )
    assert pd.read_csv(denoising / "plots/noise_fraction.csv").shape == (4 * 3, 4)


@pytest.mark.parametrize(("batch_size", "processes"), [(8, 3), (2, 2)])
def test_a_batch_that_processes_cannot_share(work, tmp_path, batch_size, processes):
    message = f"train.batch_size = {batch_size} frames cannot be shared by {processes} processes; make it a multiple of them, two frames"
    with pytest.raises(ValueError, match=message):
        trainer.fit(
            work,
            configure(batch_size=batch_size),
            1,
            tmp_path / "last.pt",
            SimpleNamespace(world_size=processes),
            print,
        )


# Bad input


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_b_32", "multiple of 32 px, not 16; set"),
        ("vit_h_14", "multiple of 14 px, not 16; set"),
    ],
)
def test_an_image_size_that_the_backbone_cannot_take(work, tmp_path, model, message):
    with pytest.raises(ValueError, match=f"{model} takes images of a {message} render.size"):
        fit(work, tmp_path / "last.pt", model=model)


def test_pretrained_weights_of_another_shape(work, tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "weights.pth")
    with pytest.raises(
        ValueError,
        match=r"train.pretrained = .*weights.pth does not fit torchvision's resnet18: size mismatch for conv1",
    ):
        fit(work, tmp_path / "last.pt", pretrained=str(tmp_path / "weights.pth"))


@pytest.mark.usefixtures("tiny")
def test_pretrained_weights_are_what_training_starts_from(work, tmp_path):
    weights = NORMED.builder().state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    state = make_learner(
        work, pretrained=str(tmp_path / "weights.pth")
    ).model.module.backbone.state_dict()
    torch.testing.assert_close(state["conv1.weight"], weights["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(state["norm.weight"], weights["norm.weight"])


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_architecture_is_not_taken(work, tmp_path):
    fit(work, tmp_path / "last.pt", epochs=1)
    with pytest.raises(RuntimeError, match="snr_head"):
        fit(work, tmp_path / "last.pt", epochs=1, snr_head="dual_layer")


def test_one_line_an_epoch():
    row = {"epoch": 3, "train_loss": 1.25, "validation_loss": 2.5}
    row |= {
        f"validation_{task}_accuracy": value
        for task, value in (("modulation", 0.5), ("snr", 0.25), ("joint", 0.125))
    }
    assert (
        trainer.describe(row, 8)
        == "epoch 3/8: loss 1.250, validation 2.500; modulation 50.0 %, snr 25.0 %, joint 12.5 %"
    )
