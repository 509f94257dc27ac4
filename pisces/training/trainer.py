"""The training loop: one epoch after another, each ending in a checkpoint from which a killed run goes on exactly.

What goes wrong in a step does not end a run: one whose loss or gradient is not finite is left out, too many of them send training
back to its last checkpoint with half the learning rate, and a batch that does not fit into memory is taken in smaller pieces.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from pisces import models
from pisces.core.seeding import generator
from pisces.data.datasets import Batch, Loader, StoredFrames, batches
from pisces.inputs.base import IQ_SHARDS, FrameStore, Input, check_same_frames
from pisces.inputs.waveform import IqStore
from pisces.models import Architecture, denoiser
from pisces.models.cldnn import Settings
from pisces.models.heads import positions
from pisces.training import (
    augmentation,
    checkpoints,
    curriculum,
    losses,
    noise_aware,
    schedules,
    weighting,
)
from pisces.training.augmentation import Mix
from pisces.training.settings import NoiseAwareSettings, TrainingSettings

Epoch = dict[str, float]
TASKS = ("modulation", "snr")
MAX_ROLLBACKS = 8
CALIBRATION_BATCHES = 256
PER_SNR = ("eta_mean_", "eta_std_")


class Diverged(Exception):
    """Too many steps in a row whose loss or gradient is not finite, or a validation loss that is not."""


class TrainingData(NamedTuple):
    """What is trained on."""

    data: FrameStore
    frames: IqStore | None
    """The IQ behind `data`; needed only for augmentation that changes frames."""
    parts: dict[str, np.ndarray]
    """`train` and `validation`, each an index (n, 3)."""
    input: Input
    augmentation: augmentation.Augmentation
    cldnn: Settings | None = None
    """What a `cldnn` is made of..."""
    noise_aware: NoiseAwareSettings | None = None
    """...and how it learns what is noise."""


def frames_behind(store: FrameStore, data: Path) -> IqStore:
    """The IQ frames behind `store`, which may be those themselves, of the data set below `data`.

    Raises:
        ValueError: when they are not those that the constellations were rendered from.
    """
    frames = IqStore(data / IQ_SHARDS)
    check_same_frames(store, frames)
    return frames


def fit(
    work: TrainingData,
    config: TrainingSettings,
    seed: int,
    checkpoint: Path,
    fabric: Fabric,
    on_epoch: Callable[[Epoch], None],
    check: Callable[[], None] = lambda: None,
) -> tuple[nn.Module, list[Epoch]]:
    """The model of the best epoch by `config.stop_metric`, and one row of losses, accuracies, weights and incidents an epoch.

    Starts from `checkpoint` when that file exists and writes it after every epoch; on a CPU the result does not
    depend on how often the training was interrupted. `on_epoch` is called with each new row,
    and `check`, on every process after each epoch, may raise what ends the training.

    Raises:
        ValueError: when the settings contradict each other or the data, or training diverges however low the rate.
    """
    if config.batch_size % fabric.world_size or config.batch_size < 2 * fabric.world_size:
        raise ValueError(
            f"train.batch_size = {config.batch_size} frames cannot be shared by {fabric.world_size} processes; "
            "make it a multiple of them, two frames or more for each"
        )
    learner = Learner(fabric, work, config, seed)
    state = checkpoints.load(checkpoint)
    if state is None:
        learner.calibrate()
    else:
        learner.restore(state)
        if fabric.is_global_zero:
            print(f"going on after epoch {len(learner.history)}", flush=True)
    while not learner.finished:
        row = _epoch(learner, checkpoint)
        if fabric.is_global_zero:
            checkpoints.save(checkpoint, learner.state())
            on_epoch(row)
        fabric.barrier()
        check()
    return learner.best_model(), learner.history


def _epoch(learner: "Learner", checkpoint: Path) -> Epoch:
    """The row of one epoch, tried again from the last checkpoint at half the rate for as long as it diverges."""
    before = (
        copy.deepcopy(learner.state()) if not learner.history else None
    )  # there is no checkpoint yet
    for rollbacks in itertools.count():
        if rollbacks:
            learner.restore(before or checkpoints.load(checkpoint))
            for _ in range(rollbacks):
                learner.schedule.halve()
        try:
            return learner.epoch(rollbacks)
        except Diverged as reason:
            if rollbacks == MAX_ROLLBACKS:
                raise ValueError(
                    f"training diverges even at {learner.lr:g}, with train.lr halved {MAX_ROLLBACKS} times ({reason}); lower train.lr"
                ) from None
            if learner.fabric.is_global_zero:
                print(
                    f"{reason}; going back to the end of epoch {len(learner.history)} with half the learning rate",
                    flush=True,
                )


def summary(history: list[Epoch], stop_metric: str) -> dict[str, float]:
    """Number of epochs, the best one and its validation loss and accuracies, and what went wrong, for the metrics file."""
    best = history[best_epoch(history, stop_metric) - 1]
    validation = {name: value for name, value in best.items() if name.startswith("validation")}
    incidents = {
        name: int(sum(row[name] for row in history)) for name in ("skipped_steps", "rollbacks")
    }
    return (
        {"epochs": len(history), "best_epoch": int(best["epoch"])}
        | validation
        | incidents
        | {"micro_batch": int(history[-1]["micro_batch"])}
    )


def best_epoch(history: list[Epoch], stop_metric: str) -> int:
    """The first epoch, from 1, with the least loss or the highest accuracy."""
    return 1 + int(np.argmin([monitored(row, stop_metric) for row in history]))


def monitored(row: Epoch, stop_metric: str) -> float:
    """The number of a row that should get lower."""
    return row[stop_metric] if stop_metric.endswith("loss") else -row[stop_metric]


def noise_table(history: list[Epoch]) -> pd.DataFrame:
    """One row an (epoch, SNR): `eta_mean` and `eta_std`, of the noise fractions estimated for the validation frames; empty without any."""
    rows = [
        {"epoch": row["epoch"], "snr_db": int(name.removeprefix(PER_SNR[0]).removesuffix("dB"))}
        | {"eta_mean": value, "eta_std": row[name.replace(*PER_SNR)]}
        for row in history
        for name, value in row.items()
        if name.startswith(PER_SNR[0])
    ]
    return pd.DataFrame(rows, columns=["epoch", "snr_db", "eta_mean", "eta_std"])


def training_table(history: list[Epoch]) -> pd.DataFrame:
    """One row an epoch, of all that `noise_table` does not show."""
    return pd.DataFrame(
        [
            {name: value for name, value in row.items() if not name.startswith(PER_SNR)}
            for row in history
        ]
    )


def describe(row: Epoch, epochs: int) -> str:
    """One line about one epoch, for the console."""
    accuracies = ", ".join(
        f"{task} {100 * row[f'validation_{task}_accuracy']:.1f} %" for task in (*TASKS, "joint")
    )
    losses = f"loss {row['train_loss']:.3f}, validation {row['validation_loss']:.3f}"
    return f"epoch {int(row['epoch'])}/{epochs}: {losses}; {accuracies}"


class Learner:
    """Model, loss weighting, optimiser and schedule, with the state that a checkpoint holds."""

    def __init__(self, fabric: Fabric, work: TrainingData, config: TrainingSettings, seed: int):
        self.fabric, self.work, self.config, self.seed = fabric, work, config, seed
        data = work.data
        architecture = architecture_of(config, work)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = models.build(
                architecture, work.input.shape, len(data.modulations), data.snrs_db
            )
        if config.pretrained != "none":
            models.load_pretrained(model, architecture, config.pretrained)
        if (
            fabric.world_size > 1 and fabric.device.type == "cuda"
        ):  # elsewhere torch has none, and each process its own statistics
            model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if config.compile:
            model.compile()
        self.weighting = weighting.build(
            config.weighting,
            len(TASKS),
            min_share=config.min_task_weight,
            temperature=config.temperature,
            fixed=config.task_weights,
        ).to(fabric.device)
        groups = [
            {"params": list(model.parameters()), "weight_decay": config.weight_decay},
            {"params": list(self.weighting.parameters()), "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        optimizer = schedules.optimizer(
            config.optimizer, groups, config.lr, fused=config.precision != "16-mixed"
        )
        self.schedule = schedules.build(
            config.schedule,
            optimizer,
            epochs=config.epochs,
            steps_per_epoch=self._steps(),
            lr=config.lr,
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            warmup_steps=config.warmup_steps,
            cycle_epochs=config.cycle_epochs,
        )
        self.model, self.optimizer = fabric.setup(
            model.to(memory_format=torch.channels_last), optimizer
        )
        self.average = (
            _moving_average(self.model.module, config.ema_decay) if config.ema_decay else None
        )
        self.auxiliary = None
        if architecture.cldnn is not None:
            self.model.mark_forward_method("learn")
            self.auxiliary = noise_aware.Auxiliary(
                work.noise_aware, model, data.modulations, data.snrs_db, fabric.device
            )
        self.snrs_db = torch.tensor(data.snrs_db, dtype=torch.float32, device=fabric.device)
        self.positions = positions(data.snrs_db).to(fabric.device)
        self.history: list[Epoch] = []
        self.best: dict[str, torch.Tensor] = {}
        self.micro_batch = config.batch_size // fabric.world_size

    @property
    def lr(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    @property
    def finished(self) -> bool:
        epochs = len(self.history)
        if epochs >= self.config.epochs:
            return True
        if not epochs:
            return False
        # What a denoiser learns in the phases before the last shows in no metric of the classifier.
        settled = noise_aware.epochs_apart(self.work.noise_aware) if self._has_denoiser else 0
        best = max(settled, best_epoch(self.history, self.config.stop_metric))
        return epochs - best >= self.schedule.patience(self.config.stop_patience)

    @property
    def kept(self) -> nn.Module:
        """The model that is validated and kept: the trained one, or the moving average of its weights."""
        return self.model.module if self.average is None else self.average.module

    @property
    def _has_denoiser(self) -> bool:
        return self.auxiliary is not None and self.auxiliary.has_denoiser

    @property
    def _estimates_noise(self) -> bool:
        return self.kept.has_noise_estimate

    def calibrate(self) -> None:
        """Fits the analytic part of a noise estimate to the labels of some training frames, in closed form."""
        if not self._estimates_noise:
            return
        order = generator(self.seed, "calibrate").permutation(self.work.parts["train"])[
            : CALIBRATION_BATCHES * self.config.batch_size
        ]
        found = [
            (
                denoiser.difference_energy(self.work.input.tensors(batch.stored)),
                denoiser.eta(self.snrs_db[batch.snr]),
            )
            for batch in batches(
                StoredFrames(self.work.data, self.fabric.device), order, self.micro_batch
            )
        ]
        self.model.module.noise.calibrate(*(torch.cat(part) for part in zip(*found, strict=True)))

    def epoch(self, rollbacks: int) -> Epoch:
        """Trains and validates once, and counts it; `rollbacks`: how often this epoch has failed before."""
        number, config, fabric = len(self.history) + 1, self.config, self.fabric
        share = (fabric.global_rank, fabric.world_size)
        loader, order = self._training_frames(number)
        steps = batches(loader, order, config.batch_size, share)
        bar = tqdm(
            steps,
            f"epoch {number}/{config.epochs}",
            self._steps(),
            leave=False,
            disable=None if fabric.is_global_zero else True,
        )
        row = {"epoch": number, "lr": self.lr}
        if self._has_denoiser:
            row |= {"phase": noise_aware.phase_number(self.work.noise_aware, number)}
        row |= self.train(bar, number, len(order))
        own = self.work.parts["validation"][fabric.global_rank :: fabric.world_size]
        row |= self.validate(
            batches(StoredFrames(self.work.data, fabric.device), own, self.micro_batch)
        )
        row |= {"rollbacks": rollbacks, "micro_batch": self.micro_batch * fabric.world_size}
        if (
            self._learns_tasks or not self.schedule.by_epoch
        ):  # a metric that nothing works on does not get better
            self.schedule.step_epoch(monitored(row, config.stop_metric))
        if self._learns_tasks:
            self.weighting.end_epoch([row[f"train_{task}_loss"] for task in TASKS])
        self.history.append(row)
        if best_epoch(self.history, config.stop_metric) == number:
            self.best = copy.deepcopy(self.kept.state_dict())
        return row

    def _steps(self) -> int:
        """Steps of an epoch. A last batch that gives some process a single frame has no variance for batch normalisation to divide by."""
        full, rest = divmod(len(self.work.parts["train"]), self.config.batch_size)
        return full + (rest >= 2 * self.fabric.world_size)

    def _training_frames(self, number: int) -> tuple[Loader, np.ndarray]:
        """The frames of one epoch in their order; where the curriculum admits fewer classes, each comes more often."""
        data, index = self.work.data, self.work.parts["train"]
        admitted = curriculum.admitted(number, self.config.curriculum_epochs, data.snrs_db)
        order = generator(self.seed, "shuffle", number).permutation(index[admitted[index[:, 1]]])
        if self.config.snr_balance:
            order = curriculum.balanced(
                order, self.config.snr_balance, generator(self.seed, "balance", number)
            )
        order = np.resize(order, index.shape)[: self._steps() * self.config.batch_size]
        if not self.work.augmentation.changes_frames:
            return StoredFrames(data, self.fabric.device), order
        snrs_db = [snr_db for snr_db, there in zip(data.snrs_db, admitted, strict=True) if there]
        varied = augmentation.Augmented(
            data,
            self.work.frames,
            self.work.augmentation,
            self.seed,
            number,
            snrs_db,
            self.fabric.device,
        )
        return varied, order

    def train(self, steps: Iterable[Batch], number: int, frames: int) -> Epoch:
        """One pass over so many frames; mean losses and accuracies, the task weights at its end, and the steps left out.

        Under mixup the accuracies count the label of the first image of a pair only, however small its share: they stay low
        where the model is right about what it sees.

        Raises:
            Diverged: when more than `max_skipped_steps` steps in a row, or all, are not finite.
        """
        self.model.train()
        names = noise_aware.LOSSES if self.auxiliary else ()
        tally, skipped, in_a_row = Tally(names), 0, 0
        limit = min(self.config.max_skipped_steps, self._steps() - 1)
        with torch.random.fork_rng():
            # For dropout and the like: anew in each epoch, so that going on from a checkpoint needs no state of generators.
            torch.manual_seed(
                int(generator(self.seed, "torch", number, self.fabric.global_rank).integers(2**63))
            )
            for step, batch in enumerate(steps):
                together = min(self.config.batch_size, frames - step * self.config.batch_size)
                parts = self._backward_in_pieces(
                    batch,
                    together,
                    generator(self.seed, "mixup", number, step, self.fabric.global_rank),
                )
                if self._update():
                    in_a_row = 0
                    for part in parts:
                        tally.add(*part)
                    if self.average is not None:
                        self.average.update_parameters(self.model.module)
                else:
                    skipped, in_a_row = skipped + 1, in_a_row + 1
                    if in_a_row > limit:
                        raise Diverged(
                            f"{in_a_row} steps in a row of epoch {number} had no finite loss and gradient"
                        )
                self.schedule.step_batch()
        row = tally.means("train", self.fabric)
        row |= dict(zip((f"{task}_weight" for task in TASKS), self.weighting.shares(), strict=True))
        sigmas = self.weighting.sigmas()
        row |= {f"{task}_sigma": sigma for task, sigma in zip(TASKS, sigmas, strict=bool(sigmas))}
        return row | {"skipped_steps": skipped}

    def _backward_in_pieces(
        self, batch: Batch, together: int, rng: np.random.Generator
    ) -> list[tuple]:
        """Leaves the gradient of the mean loss over the frames of all processes `together`, in as many pieces as memory demands."""
        while True:
            try:
                return self._backward(batch, together, rng)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.fabric.world_size > 1 or self.micro_batch < 4:
                    raise ValueError(
                        f"out of memory at {self.micro_batch} frames a process ({error}); lower train.batch_size or render.size"
                    ) from error
                self.micro_batch = -(-self.micro_batch // 2)
            if self.fabric.device.type == "cuda":
                torch.cuda.empty_cache()
            print(f"out of memory: from now on {self.micro_batch} frames at a time", flush=True)

    def _backward(self, batch: Batch, together: int, rng: np.random.Generator) -> list[tuple]:
        self.optimizer.zero_grad()
        pieces = list(_pieces(batch, self.micro_batch))
        done = []
        for i, piece in enumerate(pieces):
            with self.fabric.no_backward_sync(self.model, enabled=i < len(pieces) - 1):
                answers, task_losses, auxiliary = self._losses(piece, rng)
                share = (
                    len(piece.stored) * self.fabric.world_size / together
                )  # of the mean that DistributedDataParallel takes
                loss = self._total(task_losses, auxiliary) * share
                # A loss that is not finite may have a gradient that is: NaN reaches all processes.
                self.fabric.backward(loss * torch.where(loss.detach().isfinite(), 1.0, math.nan))
            done.append((piece, answers, task_losses, auxiliary))
        return done

    def _total(self, task_losses: torch.Tensor, auxiliary: noise_aware.Losses) -> torch.Tensor:
        if self.auxiliary is None:
            return self.weighting(task_losses)
        weights = self.auxiliary.weights(len(self.history) + 1)
        return weights["classification"] * self.weighting(task_losses) + sum(
            weights[name] * loss for name, loss in auxiliary.items()
        )

    def _losses(
        self, batch: Batch, rng: np.random.Generator | None
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor, noise_aware.Losses]:
        """Answers of both heads, the unweighted mean losses (tasks,) and the auxiliary ones; with a generator, of inputs mixed by it."""
        inputs, snr_db = self.work.input.tensors(batch.stored), self.snrs_db[batch.snr]
        if rng is None:
            return (
                (answers := self._answer(inputs, snr_db)),
                self._task_losses(answers, batch, None),
                {},
            )
        mix = augmentation.draw_mix(self.work.augmentation, snr_db, rng)
        if self.auxiliary is None:
            answers, auxiliary = self.model(mix(inputs) if mix else inputs), {}
        else:
            answers, auxiliary = self._noise_aware(inputs, mix, snr_db, batch, rng)
        return answers, self._task_losses(answers, batch, mix), auxiliary

    def _noise_aware(
        self,
        frames: torch.Tensor,
        mix: Mix | None,
        snr_db: torch.Tensor,
        batch: Batch,
        rng: np.random.Generator,
    ) -> tuple[tuple[torch.Tensor, ...], noise_aware.Losses]:
        taught = mix is None  # a teacher of unmixed frames has nothing to say about a mixed batch
        if mix and self.work.augmentation.mixup_losses == "all_losses":
            frames, snr_db, mix = mix(frames), mix(snr_db), None
        return self.auxiliary(
            self.model, frames, mix, snr_db, batch.modulation, len(self.history) + 1, rng, taught
        )

    def _answer(self, inputs: torch.Tensor, snr_db: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Without DistributedDataParallel, whose processes wait for each other at every batch, and may have different numbers of them."""
        with self.fabric.autocast():
            return models.predict(self.kept, inputs, snr_db)

    def _task_losses(
        self, answers: tuple[torch.Tensor, ...], batch: Batch, mix: Mix | None
    ) -> torch.Tensor:
        def modulation(target: torch.Tensor) -> torch.Tensor:
            return losses.modulation_loss(answers[0], target, self.config.label_smoothing)

        def snr(target: torch.Tensor) -> torch.Tensor:
            return losses.snr_loss(self.config.snr_loss, answers[1], target, self.positions)

        pairs = ((modulation, batch.modulation), (snr, batch.snr))
        return torch.stack(
            [mix.loss(loss, target) if mix else loss(target).mean() for loss, target in pairs]
        )

    def _update(self) -> bool:
        """Takes the step and says so, unless the gradient of some process is not finite."""
        self._spare_the_classifier()
        for parameter in self.weighting.parameters():
            if parameter.grad is not None:
                parameter.grad = self.fabric.all_reduce(parameter.grad, reduce_op="mean")
        norm = self.fabric.clip_gradients(
            self.model, self.optimizer, max_norm=self.config.clip_norm, error_if_nonfinite=False
        )
        finite = bool(norm.isfinite())
        if (
            finite or self.config.precision == "16-mixed"
        ):  # whose scaler skips the step by itself, and must learn of it
            self.optimizer.step()
        if finite:
            self.weighting.bound()
        return finite

    def _spare_the_classifier(self) -> None:
        """Leaves no gradients but the denoiser's while the tasks have no weight: zeros would decay weights and count as steps of Adam."""
        if self._learns_tasks:
            return
        strangers = [
            p
            for name, p in self.model.module.named_parameters()
            if not name.startswith(noise_aware.PARTS)
        ]
        for parameter in [*strangers, *self.weighting.parameters()]:
            parameter.grad = None

    @property
    def _learns_tasks(self) -> bool:
        """Whether the tasks have a weight in the epoch under way."""
        return (
            self.auxiliary is None
            or self.auxiliary.weights(len(self.history) + 1)["classification"] > 0
        )

    @torch.no_grad()
    def validate(self, steps: Iterable[Batch]) -> Epoch:
        self.kept.eval()
        tally, estimates = Tally(), []
        for batch in steps:
            tally.add(batch, *self._losses(batch, None))
            if self._estimates_noise:
                eta = self.kept.estimate(self.work.input.tensors(batch.stored))
                estimates.append(torch.stack([eta.float(), self.snrs_db[batch.snr]]))
        means = tally.means("validation", self.fabric)
        if not math.isfinite(means["validation_loss"]):
            raise Diverged(
                f"the validation loss of epoch {len(self.history) + 1} is {means['validation_loss']}"
            )
        return means | self._report(estimates)

    def _report(self, estimates: list[torch.Tensor]) -> Epoch:
        """`noise_aware.report` of estimates (2, n), of all processes."""
        if not self._estimates_noise:
            return {}
        most = -(-len(self.work.parts["validation"]) // self.fabric.world_size)
        own = torch.cat(
            [*estimates, torch.full((2, most), math.nan, device=self.fabric.device)], 1
        )[:, :most]
        eta, snr_db = (
            self.fabric.all_gather(own).view(-1, 2, most).transpose(0, 1).flatten(1).cpu().numpy()
        )
        there = ~np.isnan(snr_db)
        return noise_aware.report(eta[there], snr_db[there])

    def best_model(self) -> nn.Module:
        model = self.kept
        model.load_state_dict(self.best)
        return model.cpu().eval()

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.module.state_dict(),
            "weighting": self.weighting.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "history": self.history,
            "best": self.best,
            "micro_batch": self.micro_batch,
            "average": self.average.state_dict() if self.average else {},
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.module.load_state_dict(state["model"])
        for name in ("weighting", "optimizer", "schedule"):
            getattr(self, name).load_state_dict(state[name])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.history, self.best, self.micro_batch = (
            list(state["history"]),
            state["best"],
            state["micro_batch"],
        )


def architecture_of(config: TrainingSettings, work: TrainingData) -> Architecture:
    return Architecture(
        config.model,
        config.branches,
        config.snr_head,
        work.cldnn if config.model == models.CLDNN else None,
    )


def _moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """Exponential, with a smaller decay at first, so that it soon forgets where training began; statistics of batches included."""

    @torch.no_grad()
    def average(averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        if not averaged.is_floating_point():  # a count of batches
            return current
        return torch.lerp(
            current, averaged, torch.clamp((1 + steps) / (10 + steps), max=decay).to(averaged.dtype)
        )

    return AveragedModel(model, avg_fn=average, use_buffers=True)


def _is_out_of_memory(error: RuntimeError) -> bool:
    """On a CPU no class of errors says so, and oneDNN only that it "could not create a primitive"."""
    said = str(error).lower()
    return ("memory" in said and "allocate" in said) or "could not create" in said


def _pieces(batch: Batch, size: int) -> Iterator[Batch]:
    """Of at most `size` frames, as equal as can be; of 3 rather than 1 and 2, as batch normalisation needs two."""
    count = min(-(-len(batch.stored) // size), len(batch.stored) // 2)
    return (
        Batch(*part) for part in zip(*(column.tensor_split(count) for column in batch), strict=True)
    )


class Tally:
    """Sums of losses and of right answers over batches, kept on the device until asked for."""

    def __init__(self, auxiliary: Sequence[str] = ()):
        self.auxiliary = auxiliary
        self.sums: torch.Tensor | float = 0.0

    def add(
        self,
        batch: Batch,
        answers: tuple[torch.Tensor, ...],
        task_losses: torch.Tensor,
        auxiliary: noise_aware.Losses,
    ) -> None:
        modulation, snr = (
            answers[0].argmax(1) == batch.modulation,
            answers[1].argmax(1) == batch.snr,
        )
        n = len(batch.stored)
        counts = torch.stack(
            [
                modulation.sum(),
                snr.sum(),
                (modulation & snr).sum(),
                torch.tensor(n, device=snr.device),
            ]
        )
        zero = torch.zeros((), device=snr.device)
        others = [auxiliary.get(name, zero).detach()[None] * n for name in self.auxiliary]
        there = counts.new_tensor([n * (name in auxiliary) for name in self.auxiliary])
        self.sums = self.sums + torch.cat(
            [counts.float(), task_losses.detach() * n, *others, there.float()]
        )

    def means(self, part: str, fabric: Fabric) -> Epoch:
        """Over the batches of all processes, NaN where there was none; an auxiliary loss over those that had it, or left out."""
        sums = (
            torch.as_tensor(self.sums, device=fabric.device)
            .expand(6 + 2 * len(self.auxiliary))
            .clone()
        )
        modulation, snr, joint, frames, *totals = (
            fabric.all_reduce(sums, reduce_op="sum").cpu().double().tolist()
        )
        modulation, snr, joint, *losses = (
            total / frames if frames else math.nan
            for total in (modulation, snr, joint, *totals[:2])
        )
        others, there = totals[2 : 2 + len(self.auxiliary)], totals[2 + len(self.auxiliary) :]
        row = {
            f"{part}_loss": losses[0] + losses[1],
            f"{part}_modulation_loss": losses[0],
            f"{part}_snr_loss": losses[1],
            f"{part}_modulation_accuracy": modulation,
            f"{part}_snr_accuracy": snr,
            f"{part}_joint_accuracy": joint,
        }
        return row | {
            f"{part}_{name}_loss": total / n
            for name, total, n in zip(self.auxiliary, others, there, strict=True)
            if n
        }
