"""The model that is explained, and batches of frames with its predictions.

`ExplainedModel` bundles what every attribution and check needs. `predict_batch` gives a
`PredictedBatch`, whose predictions are attributed by `attributed_scores`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from torch import nn

from pisces.attribution import methods
from pisces.attribution.head import Context, Head, needs_true_snr
from pisces.attribution.methods import BRIGHTNESS, Method
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.evaluation import inference
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.models.precision import Resolved

Identity = tuple[str, int, int]
"""Which frame it is: modulation, SNR in dB, row in the source file."""


@dataclass(frozen=True)
class ExplainedModel:
    """A trained model on a device, the frames it is explained on, and the seed of all draws.

    A control model of the same architecture can predict in its place: see `head` and
    `Frames.predict`.
    """

    trained: TrainedModel
    prober: Prober  # masks pixels in the frames
    data: BinStore  # the constellations of the frames
    seed: int
    device: torch.device

    @classmethod
    def opened(
        cls,
        data: Path,
        model: Path,
        precision: Literal["auto"] | Resolved,
        seed: int,
        fill: str = "zero",
    ) -> Self:
        """A trained model and the frames of the workspace, on the device of this machine.

        Args:
            data: folder of the constellations, and of the IQ shards where the model reads them.
            model: folder of the model.
            precision: `train.precision`, in which it predicts.
            seed: `base.seed`.
            fill: what stands in place of the samples of masked pixels, of a model of raw frames.

        Returns:
            The model with all that explains it.

        Raises:
            FileNotFoundError, ValueError: where a file is missing or damaged, or the model is not
                one of these frames.
        """
        trained = modelfile.load(model)
        modelfile.check_fits(trained, trained.input.open(data))
        inference.choose_precision(trained, precision)
        prober = trained.input.prober(data, fill, seed)
        store = BinStore(data / "constellations")
        return cls.on_device(trained, prober, store, seed, inference.device())

    @classmethod
    def on_device(
        cls,
        trained: TrainedModel,
        prober: Prober,
        data: BinStore,
        seed: int,
        device: torch.device,
    ) -> Self:
        """Moves the model to the device, channels last, in which convolutions run faster.

        Args:
            trained: the model, moved in place.
            prober: of the frames that the model is explained on.
            data: the constellations of the same frames.
            seed: `base.seed`, of everything that is drawn at random.
            device: where predictions are made.

        Returns:
            The model with all that explains it.
        """
        trained.model.to(device).to(memory_format=torch.channels_last)
        return cls(trained, prober, data, seed, device)

    def with_model(self, trained: TrainedModel) -> Self:
        """The same frames and draws for another model with the same input, moved likewise."""
        return self.on_device(trained, self.prober, self.data, self.seed, self.device)

    @property
    def model(self) -> nn.Module:
        return self.trained.model

    def head(self, model: nn.Module, task: str) -> Head:
        """The head for `task` of `model`: this model, or another one with the same input."""
        return Head(model, task, self.trained.input.from_images)

    def snr_db(self, index: np.ndarray) -> torch.Tensor:
        """True SNR in dB, float32 (n,), of the frames of `index` (n, 3)."""
        classes = torch.tensor(self.data.true_snrs_db, dtype=torch.float32, device=self.device)
        return classes[index[:, 1]]

    def condition(self, snr_db: torch.Tensor) -> Context:
        """What the model takes beside its input: the true SNR where it is conditioned on it."""
        return (snr_db,) if needs_true_snr(self.model) else ()

    def generators(self, purpose: str, identities: list[Identity]) -> list[np.random.Generator]:
        """A random generator for each frame, so that its draws are the same in any batch."""
        return [generator(self.seed, purpose, *identity) for identity in identities]


@dataclass(frozen=True)
class Frames:
    """Frames on which any model can predict, with pixels masked or not."""

    probe: Probe
    snr_db: torch.Tensor  # true SNR in dB, (n,)

    @classmethod
    def of(cls, explained: ExplainedModel, index: np.ndarray) -> Self:
        """The frames of `index` (n, 3)."""
        return cls(explained.prober.probe(index, explained.device), explained.snr_db(index))

    def predict(
        self, model: nn.Module, pixels: np.ndarray, offsets: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Predicts the frames without the listed pixels.

        Args:
            model: the explained model or a control model.
            pixels: pixel numbers of all frames, one list after the other, as in `inputs.pixels`.
            offsets: int (n + 1,), where the list of each frame begins and ends.

        Returns:
            Logits of the modulation and the SNR head, (n, classes) each.
        """
        all_frames = list(range(len(self.snr_db)))
        inputs = self.probe.without(all_frames, pixels, offsets)
        return predict(model, inputs, self.snr_db)

    def predict_whole(self, model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of both heads for the frames as they are."""
        no_pixels = np.empty(0, np.int64)
        empty_lists = np.zeros(len(self.snr_db) + 1, np.int64)
        return self.predict(model, no_pixels, offsets=empty_lists)


@dataclass(frozen=True)
class PredictedBatch:
    """A batch of n frames with the classes that the explained model predicts."""

    identities: list[Identity]
    frames: Frames
    images: torch.Tensor  # (n, channels, size, size)
    context: Context  # what a head takes beside the images
    predicted: dict[str, torch.Tensor]  # task -> class, int64 (n,)
    ties: np.ndarray  # (n, pixels), random numbers 0..1 that order pixels of equal score

    @property
    def counts(self) -> torch.Tensor:
        """Points in each pixel of all views, (n, pixels)."""
        return self.frames.probe.counts

    @property
    def lit(self) -> np.ndarray:
        """Which pixels hold a point, bool (n, pixels)."""
        return (self.counts > 0).cpu().numpy()


def predict_batch(explained: ExplainedModel, index: np.ndarray) -> PredictedBatch:
    """The frames of `index` (n, 3) with the classes that the model predicts."""
    frames = Frames.of(explained, index)
    logits = frames.predict_whole(explained.model)
    predicted = {}
    for task, of_head in zip(HEADS, logits, strict=True):
        predicted[task] = of_head.argmax(1).clone()  # (n, classes) -> (n,)

    identities = explained.data.identities(index)
    rngs = explained.generators("attribute tie", identities)
    pixels = frames.probe.counts.shape[1]
    ties = np.stack([rng.random(pixels) for rng in rngs])

    context = (*frames.probe.context, *explained.condition(frames.snr_db))
    return PredictedBatch(identities, frames, frames.probe.images, context, predicted, ties)


def pixel_scores(
    explained: ExplainedModel, method: Method, maps: torch.Tensor, batch: PredictedBatch
) -> np.ndarray:
    """The score by which a method ranks each pixel of all views, channels added up.

    Args:
        explained: the model.
        method: whose maps they are.
        maps: float32 (n, channels, size, size).
        batch: the frames of the maps.

    Returns:
        Scores (n, pixels of all views).
    """
    if method.name == BRIGHTNESS:
        # PIS ranks pixels by how many points they hold, however these are drawn.
        return batch.counts.cpu().numpy()
    views = len(explained.data.render.views)
    return methods.pixel_scores(maps, views).cpu().numpy()


def attributed_scores(
    explained: ExplainedModel, method: Method, model: nn.Module, batch: PredictedBatch
) -> dict[str, np.ndarray]:
    """Attributes the classes that the explained model predicts to pixels, by one method.

    Args:
        explained: the model whose predicted classes are attributed.
        method: the attribution method.
        model: whose logits of these classes are attributed: the same model or a control model.
        batch: frames and predicted classes.

    Returns:
        Task, one of `core.tasks.HEADS` -> scores (n, pixels of all views).
    """
    heads = [explained.head(model, task) for task in HEADS]
    maps = attributed_maps(method, heads, batch)
    return {task: pixel_scores(explained, method, maps[task], batch) for task in HEADS}


def attributed_maps(
    method: Method, heads: Sequence[Head], batch: PredictedBatch
) -> dict[str, torch.Tensor]:
    """Task of each head -> maps float32 (n, channels, size, size) of the predicted classes.

    Args:
        method: the attribution method.
        heads: of one model.
        batch: frames and predicted classes.
    """
    targets = [batch.predicted[head.task] for head in heads]
    maps = methods.attribute_heads(method, heads, batch.images, targets, batch.context)
    return {head.task: of_head for head, of_head in zip(heads, maps, strict=True)}
