"""The training loop: one epoch after another, each ending in a checkpoint.

A killed run resumes from the last checkpoint exactly. What goes wrong in a step does not end it:
see `guards`. What is learnt is said by an `Objective`; the loop knows no model family.
"""

import copy
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from tqdm import tqdm

from pisces import models
from pisces.core.seeding import generator
from pisces.core.snr_label import true_snr_db
from pisces.core.tasks import HEADS
from pisces.core.texts import counted
from pisces.data.datasets import Batch, batches
from pisces.models.classifier import Classifier
from pisces.training import checkpoints, components, guards
from pisces.training.frames import (
    TrainingData,
    frames_of_epoch,
    steps_of_epoch,
    stored_frames,
)
from pisces.training.guards import Diverged, MicroBatches, SkippedSteps
from pisces.training.history import Epoch, Tally, best_epoch, monitored
from pisces.training.objective import LossValues
from pisces.training.settings import TrainingSettings


def fit(
    data: TrainingData,
    config: TrainingSettings,
    seed: int,
    checkpoint: Path,
    fabric: Fabric,
    on_epoch: Callable[[Epoch], None],
) -> tuple[Classifier, list[Epoch]]:
    """Trains a model; on a CPU the result does not depend on how often that was interrupted.

    Args:
        data: the frames, and how they are varied.
        config: the model and how it is trained.
        seed: root of every random choice.
        checkpoint: where to start from when that file exists; written after every epoch.
        fabric: the device, the precision, and the processes that share the work.
        on_epoch: called with each new row, on the first process.

    Returns:
        The model of the best epoch by `config.stop_metric`, on the CPU and in evaluation mode, and
        one row of losses, accuracies, weights and incidents an epoch.

    Raises:
        ValueError: when the settings contradict each other or the data, or training diverges
            however low the rate.
    """
    _check_batch_size(config.batch_size, fabric.world_size)
    trainer = guards.resumed(lambda: Trainer(fabric, data, config, seed), checkpoint)
    while not trainer.finished:
        row = guards.epoch_with_rollbacks(trainer, checkpoint)
        if fabric.is_global_zero:
            checkpoints.save(checkpoint, trainer.state())
            on_epoch(row)
        fabric.barrier()
    return trainer.best_model(), trainer.history


def _check_batch_size(batch_size: int, processes: int) -> None:
    if batch_size % processes or batch_size < 2 * processes:
        raise ValueError(
            f"train.batch_size = {batch_size} cannot be shared by "
            f"{counted(processes, 'process', 'processes')}; "
            "make it a multiple of them, two frames or more for each"
        )


class Trainer:
    """Model, objective, optimiser and schedule, with the state that a checkpoint holds.

    Args:
        fabric: the device, the precision, and the processes that share the work.
        data: the frames, and how they are varied.
        config: the model and how it is trained.
        seed: root of every random choice.
    """

    def __init__(self, fabric: Fabric, data: TrainingData, config: TrainingSettings, seed: int):
        self.fabric, self.data, self.config, self.seed = fabric, data, config, seed
        frames = len(data.parts["train"])
        self.steps = steps_of_epoch(frames, config.batch_size, fabric.world_size)
        self.snrs_db = torch.tensor(data.store.snrs_db, dtype=torch.float32, device=fabric.device)
        self.stored = stored_frames(data, fabric.device)

        model = components.build_model(config, data, seed, fabric)
        self.objective = components.objective_of(config, data, model, fabric.device)
        optimizer = components.optimizer_of(config, model, self.objective)
        self.schedule = components.schedule_of(config, optimizer, self.steps)
        model = model.to(memory_format=torch.channels_last)
        self.model, self.optimizer = fabric.setup(model, optimizer)
        for name in self.objective.forward_methods:
            self.model.mark_forward_method(name)
        decay = config.ema_decay
        self.average = components.moving_average(self.model.module, decay) if decay else None

        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.micro_batches = MicroBatches(config.batch_size // fabric.world_size, fabric)

    @property
    def number(self) -> int:
        """Of the epoch under way, counted from 1."""
        return len(self.history) + 1

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    @property
    def kept(self) -> Classifier:
        """What is validated and kept: the trained model, or the moving average of its weights."""
        kept = self.model.module if self.average is None else self.average.module
        return cast(Classifier, kept)  # which both hold as any module

    @property
    def finished(self) -> bool:
        """Whether all epochs are over, or the best one is longer ago than patience allows."""
        epochs = len(self.history)
        if epochs >= self.config.epochs:
            return True
        if not epochs:
            return False
        best = best_epoch(self.history, self.config.stop_metric)
        patience = self.schedule.patience(self.config.stop_patience)
        return epochs - max(best, self.objective.unsettled_epochs) >= patience

    def calibrate(self) -> None:
        """Sets what the objective can set before the first epoch, from some training frames."""
        frames = self.objective.calibration_batches * self.config.batch_size
        if not frames:
            return
        order = generator(self.seed, "calibrate").permutation(self.data.parts["train"])[:frames]
        steps = batches(self.stored, order, self.micro_batches.size)
        self.objective.calibrate(self.model.module, steps)

    # An epoch

    def epoch(self, rollbacks: int) -> Epoch:
        """Trains and validates once, and counts it; `rollbacks`: how often it has failed before."""
        number = self.number
        row: Epoch = {"epoch": number, "lr": self.lr}
        row |= self.objective.columns(number)
        row |= self.train(*self._training_steps())
        row |= self.validate(self._validation_steps())
        row["rollbacks"] = rollbacks
        row["micro_batch"] = self.micro_batches.size * self.fabric.world_size

        learns_tasks = self.objective.learns_tasks(number)
        # A metric that nothing works on does not get better: no plateau may be found in it.
        if learns_tasks or not self.schedule.by_epoch:
            self.schedule.step_epoch(monitored(row, self.config.stop_metric))
        if learns_tasks:
            self.objective.weighting.end_epoch([row[f"train_{task}_loss"] for task in HEADS])

        self.history.append(row)
        if best_epoch(self.history, self.config.stop_metric) == number:
            self.best = copy.deepcopy(self.kept.state_dict())
        return row

    def _training_steps(self) -> tuple[Iterable[Batch], int]:
        """The batches of the epoch under way, as a progress bar, and their number of frames."""
        fabric, number, batch_size = self.fabric, self.number, self.config.batch_size
        loader, order = frames_of_epoch(self.data, self.config, self.seed, number, self.stored)
        order = order[: self.steps * batch_size]
        share = (fabric.global_rank, fabric.world_size)
        bar = tqdm(
            batches(loader, order, batch_size, share),
            f"epoch {number}/{self.config.epochs}",
            self.steps,
            leave=False,
            disable=None if fabric.is_global_zero else True,  # None: where there is no terminal
        )
        return bar, len(order)

    def _validation_steps(self) -> Iterable[Batch]:
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        own = self.data.parts["validation"][rank::processes]
        return batches(self.stored, own, self.micro_batches.size)

    # Training

    def train(self, steps: Iterable[Batch], frames: int) -> Epoch:
        """One pass over so many frames.

        Under mixup the accuracies count the label of the first frame of a pair only, however small
        its share: they stay low where the model is right about what it sees.

        Args:
            steps: batches, of this process.
            frames: their number, of all processes together.

        Returns:
            Mean losses and accuracies, the task weights at the end, and the skipped steps.

        Raises:
            Diverged: when more than `max_skipped_steps` steps in a row, or all, are skipped.
        """
        self.model.train()
        tally = Tally(self.objective.auxiliary)
        skips = SkippedSteps(min(self.config.max_skipped_steps, self.steps - 1), self.number)
        rank = self.fabric.global_rank
        with torch.random.fork_rng():
            # Dropout is seeded anew in each epoch, so that resuming needs no state of generators.
            seed = generator(self.seed, "torch", self.number, rank).integers(2**63)
            torch.manual_seed(int(seed))
            for step, batch in enumerate(steps):
                frames_left = frames - step * self.config.batch_size
                frames_of_step = min(self.config.batch_size, frames_left)
                rng = generator(self.seed, "mixup", self.number, step, rank)
                micro_batches = self.backward(batch, frames_of_step, rng)

                if self.update():
                    skips.taken()
                    for micro_batch, values in micro_batches:
                        tally.add(micro_batch, values)
                    if self.average is not None:
                        self.average.update_parameters(self.model.module)
                else:
                    skips.skipped()
                self.schedule.step_batch()

        row = tally.means("train", self.fabric)
        return row | self._task_weights() | {"skipped_steps": skips.total}

    def _task_weights(self) -> Epoch:
        shares, sigmas = self.objective.weighting.shares(), self.objective.weighting.sigmas()
        row = {f"{task}_weight": share for task, share in zip(HEADS, shares, strict=True)}
        if sigmas:
            row |= {f"{task}_sigma": sigma for task, sigma in zip(HEADS, sigmas, strict=True)}
        return row

    def backward(
        self, batch: Batch, frames_of_step: int, rng: np.random.Generator
    ) -> list[tuple[Batch, LossValues]]:
        """Leaves the gradient of the mean loss in the parameters.

        Args:
            batch: the frames of this process.
            frames_of_step: of all processes together, over which the mean goes.
            rng: draws what varies the batch.

        Returns:
            The micro-batches that memory allows, and the losses of each.
        """
        return self.micro_batches.run(lambda: self._accumulate(batch, frames_of_step, rng))

    def _accumulate(
        self, batch: Batch, frames_of_step: int, rng: np.random.Generator
    ) -> list[tuple[Batch, LossValues]]:
        self.optimizer.zero_grad()
        micro_batches = self.micro_batches.split(batch)
        done = []
        for i, micro_batch in enumerate(micro_batches, 1):
            # Processes exchange gradients once, with the last micro-batch.
            with self.fabric.no_backward_sync(self.model, enabled=i < len(micro_batches)):
                values = self.objective.training_losses(self.model, micro_batch, self.number, rng)
                # DistributedDataParallel takes the mean over processes, whatever their frames.
                share = len(micro_batch.stored) * self.fabric.world_size / frames_of_step
                loss = self.objective.total(values, self.number) * share
                # An infinite loss may have a finite gradient: as NaN it reaches all processes.
                self.fabric.backward(loss * torch.where(loss.detach().isfinite(), 1.0, math.nan))
            done.append((micro_batch, values))
        return done

    def update(self) -> bool:
        """Takes a step, or skips it when the gradient of any process is not finite.

        Returns:
            Whether the step was taken.
        """
        # Zeros instead of None would decay weights and count as steps of Adam.
        for parameter in self.objective.frozen(self.model.module, self.number):
            parameter.grad = None
        for parameter in self.objective.weighting.parameters():
            if parameter.grad is not None:
                reduced = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
                assert isinstance(reduced, torch.Tensor), "a tensor is reduced to a tensor"
                parameter.grad = reduced

        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        assert norm is not None, "clipping by the norm returns it"
        finite = bool(norm.isfinite())
        # The scaler of 16-mixed skips the step by itself, and must learn that it has to.
        if finite or self.config.precision == "16-mixed":
            self.optimizer.step()
        if finite:
            self.objective.weighting.bound()
        return finite

    # Validation

    @torch.no_grad()
    def validate(self, steps: Iterable[Batch]) -> Epoch:
        """Losses and accuracies of `kept` on the batches of all processes, and what is observed.

        Raises:
            Diverged: when the loss is not finite.
        """
        model = self.kept.eval()
        tally, observed = Tally(), []
        for batch in steps:
            inputs, label_db = self.data.input.tensors(batch.stored), self.snrs_db[batch.snr]
            snr_db = true_snr_db(label_db, self.data.store.snr_label)
            # Without DistributedDataParallel, in which processes wait for each other at every
            # batch: they may have different numbers of them.
            with self.fabric.autocast():
                predictions = models.predict(model, inputs, snr_db)
            tally.add(batch, self.objective.validation_losses(predictions, batch))
            if self.objective.observed:
                observed.append(self.objective.observe(model, inputs, label_db))

        means = tally.means("validation", self.fabric)
        if not math.isfinite(means["validation_loss"]):
            raise Diverged(
                f"the validation loss of epoch {self.number} is {means['validation_loss']}"
            )
        if self.objective.observed:
            means |= self.objective.report(self._gathered(observed))
        return means

    def _gathered(self, observed: list[torch.Tensor]) -> np.ndarray:
        """Observations (k, n) of all processes, which may have different numbers of frames."""
        rows, processes = len(self.objective.observed), self.fabric.world_size
        most = math.ceil(len(self.data.parts["validation"]) / processes)
        padding = torch.full((rows, most), math.nan, device=self.fabric.device)
        own = torch.cat([*observed, padding], 1)[:, :most]
        everyone = self.fabric.all_gather(own)
        assert isinstance(everyone, torch.Tensor), "a tensor is gathered to a tensor"
        everyone = everyone.view(processes, rows, most)
        found = everyone.transpose(0, 1).flatten(1).cpu().numpy()  # (rows, processes * most)
        return found[:, ~np.isnan(found[-1])]

    # State

    def best_model(self) -> Classifier:
        """The model of the best epoch, on the CPU and in evaluation mode."""
        model = self.kept
        model.load_state_dict(self.best)
        return model.cpu().eval()

    def state(self) -> dict[str, Any]:
        """All that training needs to go on from here, as tensors and plain values."""
        return {
            "model": self.model.module.state_dict(),
            "weighting": self.objective.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "best": self.best,
            "micro_batch": self.micro_batches.size,
            "average": self.average.state_dict() if self.average else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Back to what `state` gave.

        Raises:
            Exception: of any kind, when it is not the state of such a trainer; a part of it may
                then have been restored.
        """
        self.model.module.load_state_dict(state["model"])
        self.objective.weighting.load_state_dict(state["weighting"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        if self.average:
            self.average.load_state_dict(state["average"])
        if state["best"] and _shapes(state["best"]) != _shapes(self.kept.state_dict()):
            raise ValueError("the best model in the checkpoint is another one")
        self.history = list(state["history"])
        self.best = state["best"]
        self.micro_batches.size = state["micro_batch"]


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    """Of each tensor of a state dict."""
    return {name: tensor.shape for name, tensor in state.items()}
