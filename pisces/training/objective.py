"""What a training minimises.

The loop knows neither losses nor model families: it asks an `Objective`. `JointObjective` is the
one of most models, with a loss for each of the two tasks and no other.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import nn

from pisces.core.tasks import HEADS
from pisces.data.datasets import Batch
from pisces.models.heads import positions
from pisces.training import losses, weighting
from pisces.training.augmentation import Mix, draw_mix
from pisces.training.frames import TrainingData
from pisces.training.settings import TrainingSettings
from pisces.training.weighting import Weighting

HeadOutputs = tuple[torch.Tensor, torch.Tensor]
"""Modulation logits (n, modulations) and SNR scores (n, SNRs)."""


class LossValues(NamedTuple):
    """What a model predicts of a batch, and what that costs: means over the frames, unweighted."""

    predictions: HeadOutputs
    tasks: torch.Tensor
    """Mean loss of modulation and SNR, (2,)."""
    auxiliary: dict[str, torch.Tensor]
    """Name -> auxiliary loss, scalar."""


class Objective(Protocol):
    """What the training loop asks for; epochs are counted from 1."""

    weighting: Weighting
    """How much each task counts; its parameters are trained with those of the model."""
    auxiliary: Sequence[str]
    """Names of the losses beside those of the tasks."""
    forward_methods: Sequence[str]
    """Methods of the model that `training_losses` calls beside `forward`."""
    observed: Sequence[str]
    """What `observe` notes of each validation frame; nothing where there are no names."""
    calibration_batches: int
    """Batches of training frames that `calibrate` takes before the first epoch; 0 for none."""
    unsettled_epochs: int
    """Number of first epochs that early stopping ignores."""

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> None:
        """Fits parameters with a closed-form solution on some training frames, before epoch 1."""

    def training_losses(
        self, model: nn.Module, batch: Batch, epoch: int, rng: np.random.Generator
    ) -> LossValues:
        """Predictions and losses of a batch in training.

        Args:
            model: in training mode.
            batch: frames, n of them, and their classes.
            epoch: that the batch belongs to.
            rng: draws what varies the batch, such as mixup.

        Returns:
            Predictions about the frames as they were varied, and what these cost.
        """
        ...

    def validation_losses(self, predictions: HeadOutputs, batch: Batch) -> LossValues:
        """The losses of the tasks alone, of predictions about the batch as it is."""
        ...

    def total(self, values: LossValues, epoch: int) -> torch.Tensor:
        """The scalar that is minimised."""
        ...

    def learns_tasks(self, epoch: int) -> bool:
        """Whether the losses of the tasks count in an epoch."""
        ...

    def frozen(self, model: nn.Module, epoch: int) -> list[nn.Parameter]:
        """Parameters, of the model and of `weighting`, that take no step in an epoch."""
        ...

    def columns(self, epoch: int) -> dict[str, float]:
        """Further columns of the epoch's row in training.csv."""
        ...

    def observe(
        self, model: nn.Module, inputs: torch.Tensor, label_db: torch.Tensor
    ) -> torch.Tensor:
        """What is noted of validation frames.

        Args:
            model: in evaluation mode.
            inputs: (n, ...), as the model takes them.
            label_db: SNR labels (n,).

        Returns:
            A row for each name in `observed`: (len(observed), n).
        """
        ...

    def report(self, observed: np.ndarray) -> dict[str, float]:
        """Columns that sum up the observations (len(observed), n) of all validation frames."""
        ...


class JointObjective:
    """Modulation and SNR together, each by its loss, weighted against each other.

    Args:
        data: says what the classes are, and how inputs are mixed.
        config: names the losses and the weighting.
        device: where the model is.
    """

    auxiliary: Sequence[str] = ()
    forward_methods: Sequence[str] = ()
    observed: Sequence[str] = ()
    calibration_batches = 0
    unsettled_epochs = 0

    def __init__(self, data: TrainingData, config: TrainingSettings, device: torch.device):
        self.input, self.augmentation, self.config = data.input, data.augmentation, config
        snrs_db, self.snr_label = data.store.snrs_db, data.store.snr_label
        self.snrs_db = torch.tensor(snrs_db, dtype=torch.float32, device=device)
        self.positions = positions(snrs_db).to(device)
        self.weighting = weighting.build(
            config.weighting,
            len(HEADS),
            min_share=config.min_task_weight,
            temperature=config.temperature,
            fixed=config.task_weights,
        ).to(device)

    def calibrate(self, model: nn.Module, batches: Iterable[Batch]) -> None:
        pass

    def training_losses(
        self, model: nn.Module, batch: Batch, epoch: int, rng: np.random.Generator
    ) -> LossValues:
        inputs = self.input.tensors(batch.stored)
        mix = draw_mix(self.augmentation, self.snrs_db[batch.snr], rng)
        predictions, auxiliary = self._forward(model, inputs, mix, batch, epoch, rng)
        return LossValues(predictions, self._task_losses(predictions, batch, mix), auxiliary)

    def validation_losses(self, predictions: HeadOutputs, batch: Batch) -> LossValues:
        return LossValues(predictions, self._task_losses(predictions, batch, None), {})

    def total(self, values: LossValues, epoch: int) -> torch.Tensor:  # noqa: ARG002
        return self.weighting(values.tasks)

    def learns_tasks(self, epoch: int) -> bool:  # noqa: ARG002
        return True

    def frozen(self, model: nn.Module, epoch: int) -> list[nn.Parameter]:  # noqa: ARG002
        return []

    def columns(self, epoch: int) -> dict[str, float]:  # noqa: ARG002
        return {}

    def observe(
        self, model: nn.Module, inputs: torch.Tensor, label_db: torch.Tensor
    ) -> torch.Tensor:
        raise NotImplementedError("nothing is observed")

    def report(self, observed: np.ndarray) -> dict[str, float]:  # noqa: ARG002
        return {}

    def _forward(
        self,
        model: nn.Module,
        inputs: torch.Tensor,
        mix: Mix | None,
        batch: Batch,  # noqa: ARG002
        epoch: int,  # noqa: ARG002
        rng: np.random.Generator,  # noqa: ARG002
    ) -> tuple[HeadOutputs, dict[str, torch.Tensor]]:
        """Predictions about the inputs, mixed by `mix`, and auxiliary losses."""
        return model(mix(inputs) if mix else inputs), {}

    def _task_losses(self, predictions: HeadOutputs, batch: Batch, mix: Mix | None) -> torch.Tensor:
        """Mean losses (2,) of the predictions, for labels mixed as the inputs are."""
        logits, scores = predictions

        def modulation_loss(target: torch.Tensor) -> torch.Tensor:
            return losses.modulation_loss(logits, target, self.config.label_smoothing)

        def snr_loss(target: torch.Tensor) -> torch.Tensor:
            return losses.snr_loss(self.config.snr_loss, scores, target, self.positions)

        if mix is None:
            means = [modulation_loss(batch.modulation).mean(), snr_loss(batch.snr).mean()]
        else:
            means = [mix.loss(modulation_loss, batch.modulation), mix.loss(snr_loss, batch.snr)]
        return torch.stack(means)
