"""Data, networks and settings with which a training takes a fraction of a second."""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from pisces import models
from pisces.models.backbones import Backbone
from pisces.training import devices, losses
from pisces.training import trainer as loop
from pisces.training.augmentation import Augmentation
from pisces.training.history import Epoch
from pisces.training.settings import TrainingSettings
from pisces.training.trainer import Trainer

SIZE, SAMPLES, FRAMES = 16, 64, 8
MODULATIONS, SNRS_DB = ("BPSK", "QPSK"), (0, 20)
CPU = torch.device("cpu")
EPS = torch.finfo(torch.float32).eps
CHANCE_LOSS = math.log(len(MODULATIONS)) + math.log(len(SNRS_DB))
UNCHANGED = Augmentation()


CONFIG = TrainingSettings(
    seed=1,
    launcher="python",
    input="constellation",
    model="resnet18",
    pretrained="none",
    freeze=(),
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
    precision="32-true",
    compile=False,
)


STEPS = 3  # an epoch, of the 24 training frames of `easy`


CLDNN = {"input": "iq", "model": "cldnn"}


class Interrupted(Exception):
    pass


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


def frames(rows: range) -> np.ndarray:
    return np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), rows)))


def configure(**settings) -> TrainingSettings:
    return replace(CONFIG, **settings)


def fit(training_data, checkpoint, on_epoch=lambda _: None, seed=1, **settings):
    fabric = devices.make_fabric("cpu", "auto")
    return loop.fit(training_data, configure(**settings), seed, checkpoint, fabric, on_epoch)


def make_trainer(training_data, seed=1, **settings) -> Trainer:
    return Trainer(devices.make_fabric("cpu", "auto"), training_data, configure(**settings), seed)


def assert_same(one, other) -> None:
    """Two results of `fit` agree to the bit."""
    (model, history), (other_model, other_history) = one, other
    assert history == other_history
    state, other_state = model.state_dict(), other_model.state_dict()
    assert state.keys() == other_state.keys()
    assert [name for name in state if not torch.equal(state[name], other_state[name])] == []


def parameters(trainer: Trainer) -> list[torch.Tensor]:
    return [p.detach().clone() for group in trainer.optimizer.param_groups for p in group["params"]]


def interrupt(training_data, checkpoint, killed_after, **settings) -> list[Epoch]:
    """Trains until it is killed after the checkpoint of an epoch; the rows up to there."""
    seen = []

    def stop(row):
        seen.append(row)
        if row["epoch"] == killed_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(training_data, checkpoint, stop, **settings)
    return seen


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
    """Lets the modulation loss of these steps, counted from 0, of training or validation fail."""
    loss, counted = losses.modulation_loss, iter(range(10**6))

    def failing(*arguments):
        if torch.is_grad_enabled() == validation or next(counted) not in steps:
            return loss(*arguments)
        return FAULTS[fault](loss(*arguments))

    monkeypatch.setattr(losses, "modulation_loss", failing)


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
