"""The model that is explained, and frames with what it predicts of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import nn

from pisces.attribution import methods
from pisces.attribution.head import Context, Head, needs_true_snr
from pisces.attribution.methods import BRIGHTNESS, Method
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober
from pisces.inputs.drawing import BinStore
from pisces.models.modelfile import TrainedModel

Identity = tuple[str, int, int]
"""Of a frame: modulation, SNR in dB, row in the source file."""


@dataclass(frozen=True)
class ExplainedModel:
    """A trained model on a device, the frames it is explained on, and the seed of all draws.

    Another model of the same architecture can take its place: see `head` and `Frames.predict`.
    """

    trained: TrainedModel
    prober: Prober
    data: BinStore  # the constellations of the frames
    seed: int
    device: torch.device

    @classmethod
    def on_device(
        cls,
        trained: TrainedModel,
        prober: Prober,
        data: BinStore,
        seed: int,
        device: torch.device,
    ) -> Self:
        """Moves the model to the device, where convolutions want the channels last."""
        trained.model.to(device).to(memory_format=torch.channels_last)
        return cls(trained, prober, data, seed, device)

    @property
    def model(self) -> nn.Module:
        return self.trained.model

    def head(self, model: nn.Module, task: str) -> Head:
        """A head of this model, or of another one with the same input."""
        return Head(model, task, self.trained.input.from_images)

    def snr_db(self, index: np.ndarray) -> torch.Tensor:
        """Labels (n,) of the frames of `index` (n, 3)."""
        classes = torch.tensor(self.data.snrs_db, dtype=torch.float32, device=self.device)
        return classes[index[:, 1]]

    def condition(self, snr_db: torch.Tensor) -> Context:
        """What the model takes beside its input: labels if it is conditioned on the true SNR."""
        return (snr_db,) if needs_true_snr(self.model) else ()

    def generators(self, purpose: str, identities: list[Identity]) -> list[np.random.Generator]:
        """One a frame."""
        return [generator(self.seed, purpose, *identity) for identity in identities]


@dataclass(frozen=True)
class Frames:
    """Frames of which any model can predict the classes, with pixels masked or not."""

    probe: Probe
    snr_db: torch.Tensor  # labels (n,)

    @classmethod
    def of(cls, explained: ExplainedModel, index: np.ndarray) -> Self:
        """The frames of `index` (n, 3)."""
        return cls(explained.prober.probe(index, explained.device), explained.snr_db(index))

    def predict(
        self, model: nn.Module, pixels: np.ndarray, offsets: np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of both heads without the listed pixels; lists as in `inputs.pixels`."""
        every = list(range(len(self.snr_db)))
        inputs = self.probe.without(every, pixels, offsets)
        return predict(model, inputs, self.snr_db)

    def predict_whole(self, model: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of both heads for the frames as they are."""
        no_pixels = np.empty(0, np.int64)
        return self.predict(model, no_pixels, np.zeros(len(self.snr_db) + 1, np.int64))


@dataclass(frozen=True)
class Scene:
    """A batch of frames, and what the explained model predicts of them."""

    identities: list[Identity]
    frames: Frames
    images: torch.Tensor  # (n, channels, size, size)
    context: Context
    predicted: dict[str, torch.Tensor]  # task -> class (n,)
    ties: np.ndarray  # (n, pixels), random numbers by which equal scores are ordered

    @property
    def counts(self) -> torch.Tensor:
        """Points in each pixel of all views, (n, pixels)."""
        return self.frames.probe.counts

    @property
    def lit(self) -> np.ndarray:
        """Which pixels hold a point, bool (n, pixels)."""
        return (self.counts > 0).cpu().numpy()


def make_scene(explained: ExplainedModel, index: np.ndarray) -> Scene:
    """The frames of `index` (n, 3) and what the model predicts of them."""
    frames = Frames.of(explained, index)
    logits = frames.predict_whole(explained.model)
    predicted = {task: one.argmax(1).clone() for task, one in zip(HEADS, logits, strict=True)}

    identities = [explained.data.identity(frame) for frame in index]
    rngs = explained.generators("attribute tie", identities)
    ties = np.stack([rng.random(frames.probe.counts.shape[1]) for rng in rngs])

    context = (*frames.probe.context, *explained.condition(frames.snr_db))
    return Scene(identities, frames, frames.probe.images, context, predicted, ties)


def pixel_scores(
    explained: ExplainedModel, method: Method, maps: torch.Tensor, scene: Scene
) -> np.ndarray:
    """A number for each pixel of all views, (n, pixels), from a method's maps of a scene."""
    if method.name == BRIGHTNESS:
        # PIS ranks pixels by their points, however these are drawn.
        return scene.counts.cpu().numpy()
    views = len(explained.data.render.views)
    return methods.pixel_scores(maps, views).cpu().numpy()


def attributed_scores(
    explained: ExplainedModel, method: Method, model: nn.Module, scene: Scene, task: str
) -> np.ndarray:
    """Scores (n, pixels of all views) of what the explained model predicts.

    Args:
        explained: the model whose predictions are attributed.
        method: how.
        model: the same one, or a control model in its place.
        scene: frames and predictions.
        task: the head, one of `core.tasks.HEADS`.
    """
    head, targets = explained.head(model, task), scene.predicted[task]
    maps = methods.attribute(method, head, scene.images, targets, scene.context)
    return pixel_scores(explained, method, maps, scene)
