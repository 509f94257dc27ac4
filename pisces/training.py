"""The training loop: one epoch after another, each ending in a checkpoint from which a killed run goes on exactly."""

import copy
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from pisces import checkpoints, models
from pisces.datasets import Constellations, batches
from pisces.losses import UncertaintyWeighting
from pisces.params import Train
from pisces.rendering import Drawing, count_samples
from pisces.seeding import generator

Epoch = dict[str, float]
TASKS = ("modulation", "snr")


def fit(
    data: Constellations,
    parts: dict[str, np.ndarray],
    drawing: Drawing,
    config: Train,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[Epoch], None],
) -> tuple[nn.Module, list[Epoch]]:
    """The model of the epoch with the least validation loss, and one row of losses, accuracies and weights an epoch.

    Starts from `checkpoint` when that file exists and writes it after every epoch; on a CPU the result does not
    depend on how often the training was interrupted. `on_epoch` is called with each new row.

    Raises:
        ValueError: when a loss is not finite, or the accelerator asked for is not there.
    """
    fabric = make_fabric(config.accelerator, config.precision)
    learner = Learner(fabric, config, drawing, len(data.modulations), len(data.snrs_db), seed)
    learner.restore(checkpoints.load(checkpoint))
    parent = os.getppid()
    while not learner.finished:
        epoch = len(learner.history) + 1
        order = generator(seed, "shuffle", epoch).permutation(parts["train"])
        steps = batches(data, order, config.batch_size, fabric.device)
        # A last batch of one frame has no variance for batch normalisation to divide by.
        full = len(order) // config.batch_size + (len(order) % config.batch_size > 1)
        steps = (step for _, step in zip(range(full), steps, strict=False))
        row = {"epoch": epoch, "lr": learner.lr}
        row |= learner.train(tqdm(steps, f"epoch {epoch}/{config.epochs}", full, leave=False, disable=None))
        row |= learner.validate(batches(data, parts["validation"], 4 * config.batch_size, fabric.device))
        learner.end_epoch(row)
        checkpoints.save(checkpoint, learner.state())
        on_epoch(row)
        if checkpoints.abandoned(parent):
            raise ValueError("the dvc that started this training is gone; the next dvc repro goes on from the checkpoint")
    return learner.best_model(), learner.history


def summary(history: list[Epoch]) -> dict[str, float]:
    """Number of epochs, the best one and its validation loss and accuracies, for the metrics file."""
    best = min(history, key=lambda row: row["validation_loss"])
    validation = {name: value for name, value in best.items() if name.startswith("validation")}
    return {"epochs": len(history), "best_epoch": int(best["epoch"])} | validation


def describe(row: Epoch, epochs: int) -> str:
    """One line about one epoch, for the console."""
    accuracies = ", ".join(f"{task} {100 * row[f'validation_{task}_accuracy']:.1f} %" for task in (*TASKS, "joint"))
    losses = f"loss {row['train_loss']:.3f}, validation {row['validation_loss']:.3f}"
    return f"epoch {int(row['epoch'])}/{epochs}: {losses}; {accuracies}"


def make_fabric(accelerator: str, precision: str) -> Fabric:
    """One device; `auto` precision is bf16-mixed on CUDA and 32-true elsewhere."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not available.get(accelerator, True):
        raise ValueError(f"train.accelerator = {accelerator} but this machine has none; use auto or cpu")
    if accelerator == "auto":
        accelerator = next((name for name, there in available.items() if there), "cpu")
    if precision == "auto":
        precision = "bf16-mixed" if accelerator == "cuda" else "32-true"
    return Fabric(accelerator=accelerator, devices=1, precision=precision)


class Learner:
    """Model, loss weighting, optimiser and schedule, with the state that a checkpoint holds."""

    def __init__(self, fabric: Fabric, config: Train, drawing: Drawing, modulations: int, snrs: int, seed: int):
        self.fabric, self.config, self.drawing = fabric, config, drawing
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = models.build(config.model, drawing.channels, modulations, snrs)
        self.weighting = UncertaintyWeighting(len(TASKS), config.min_task_weight).to(fabric.device)
        parameters = [
            {"params": model.parameters(), "weight_decay": config.weight_decay},
            {"params": self.weighting.parameters(), "weight_decay": 0.0},
        ]
        optimizer = torch.optim.Adam(parameters, lr=config.lr)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.plateau_factor, patience=config.plateau_patience
        )
        self.model, self.optimizer = fabric.setup(model.to(memory_format=torch.channels_last), optimizer)
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    @property
    def best_epoch(self) -> int:
        return 1 + int(np.argmin([row["validation_loss"] for row in self.history])) if self.history else 0

    @property
    def finished(self) -> bool:
        epochs = len(self.history)
        return epochs >= self.config.epochs or epochs - self.best_epoch >= self.config.stop_patience

    def train(self, steps) -> Epoch:
        """One pass; mean loss and accuracies over it, and the task shares at its end."""
        self.model.train()
        tally = Tally()
        for bins, *targets in steps:
            logits, losses = self._forward(bins, targets)
            loss = self.weighting(losses)
            self._check_finite(loss.item(), "training")
            self.optimizer.zero_grad()
            self.fabric.backward(loss)
            self.fabric.clip_gradients(self.model, self.optimizer, max_norm=self.config.clip_norm)
            self.optimizer.step()
            self.weighting.bound()
            tally.add(logits, losses, targets)
        shares = dict(zip((f"{task}_weight" for task in TASKS), self.weighting.shares(), strict=True))
        return tally.means("train") | shares

    @torch.no_grad()
    def validate(self, steps) -> Epoch:
        self.model.eval()
        tally = Tally()
        for bins, *targets in steps:
            tally.add(*self._forward(bins, targets), targets)
        means = tally.means("validation")
        self._check_finite(means["validation_loss"], "validation")
        return means

    def _check_finite(self, loss: float, what: str) -> None:
        if not math.isfinite(loss):
            raise ValueError(f"the {what} loss became {loss} in epoch {len(self.history) + 1}; lower train.lr = {self.lr:g}")

    def _forward(self, bins: torch.Tensor, targets: list[torch.Tensor]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Logits of both heads and the unweighted cross-entropies (tasks,)."""
        images = self.drawing(count_samples(bins, self.drawing.size)).contiguous(memory_format=torch.channels_last)
        logits = self.model(images)
        losses = [functional.cross_entropy(one.float(), target) for one, target in zip(logits, targets, strict=True)]
        return logits, torch.stack(losses)

    def end_epoch(self, row: Epoch) -> None:
        self.history.append(row)
        self.schedule.step(row["validation_loss"])
        if self.best_epoch == len(self.history):
            self.best = copy.deepcopy(self.model.state_dict())

    def best_model(self) -> nn.Module:
        model = self.model.module
        model.load_state_dict(self.best)
        return model.cpu().eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "best": self.best,
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        if state is None:
            return
        for name in ("model", "weighting", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        self.history, self.best = state["history"], state["best"]
        print(f"going on after epoch {len(self.history)}", flush=True)


class Tally:
    """Sums of losses and of right answers over batches, kept on the device until asked for."""

    def __init__(self) -> None:
        self.frames = 0
        self.sums: torch.Tensor | float = 0.0

    def add(self, logits: tuple[torch.Tensor, ...], losses: torch.Tensor, targets: list[torch.Tensor]) -> None:
        right = [one.argmax(1) == target for one, target in zip(logits, targets, strict=True)]
        n = len(targets[0])
        counts = torch.stack([right[0].sum(), right[1].sum(), (right[0] & right[1]).sum()])
        self.sums = self.sums + torch.cat([losses.detach() * n, counts.float()])
        self.frames += n

    def means(self, part: str) -> Epoch:
        modulation_loss, snr_loss, modulation, snr, joint = (self.sums.cpu().double() / self.frames).tolist()
        return {
            f"{part}_loss": modulation_loss + snr_loss,
            f"{part}_modulation_loss": modulation_loss,
            f"{part}_snr_loss": snr_loss,
            f"{part}_modulation_accuracy": modulation,
            f"{part}_snr_accuracy": snr,
            f"{part}_joint_accuracy": joint,
        }
