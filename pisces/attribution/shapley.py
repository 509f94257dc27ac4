"""What each lit pixel is worth to a model that sums over pixels: leave-one-out and Shapley values.

Both are in probability of the class. A picture without some pixels costs such a model one
subtraction and two layers, so that thousands of them are predicted where a convolution would take
one. See `models.pixel_set`, and `truth.classifier` for the other model that sums.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import numpy as np
import torch
from torch import nn

from pisces.attribution.head import Context, Head
from pisces.attribution.settings import AttributionSettings
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.models.joint import JointModel
from pisces.models.pixel_set import PixelSet
from pisces.truth.classifier import ExactClassifier

SUMS_AT_ONCE = 4096
"""Pictures that go through the layers behind the sum at once."""


class Sum(NamedTuple):
    """One picture as the sum of what its lit pixels say to one head."""

    pixels: torch.Tensor
    """Numbers of the lit pixels, counted on through the channels, int64 (lit,)."""
    shares: torch.Tensor
    """What each adds to the sum, (lit, width)."""
    logits: Callable[[torch.Tensor], torch.Tensor]
    """Sums (n, width) -> logits of the head (n, classes)."""


@dataclass(frozen=True)
class LeaveOneOut:
    """How much the score of the class falls when one lit pixel goes dark; 0 where it is.

    The score is that of the head, the probability of the class.
    """

    name: ClassVar[str] = "leave_one_out"
    needs_map: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, _settings: AttributionSettings, _seed: int) -> Self:
        return cls()

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        maps = torch.zeros_like(images)
        with torch.no_grad():
            for number, picture in enumerate(sums_of(head, images, context)):
                score = _score_of(head, picture, targets, context, number)
                whole = picture.shares.sum(0)
                scores = score(torch.cat([whole[None], whole - picture.shares]))
                maps[number].view(-1)[picture.pixels] = (scores[0] - scores[1:]).float()
        return maps


@dataclass(frozen=True)
class Shapley:
    """What each lit pixel adds to the score of the class, averaged over random orders.

    In an order the pixels are lit one after the other, from a dark picture on. The values of a
    picture add up to its score less that of a dark one, whatever the number of orders. The score is
    that of the head, the probability of the class.
    Castro, Gomez and Tejada, "Polynomial calculation of the Shapley value based on sampling",
    Comput. Oper. Res. 36 (2009).
    """

    name: ClassVar[str] = "shapley"
    needs_map: ClassVar[bool] = False

    permutations: int
    seed: int

    @classmethod
    def from_settings(cls, settings: AttributionSettings, seed: int) -> Self:
        return cls(settings.shapley_permutations, seed)

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, context: Context
    ) -> torch.Tensor:
        maps = torch.zeros_like(images)
        with torch.no_grad():
            for number, picture in enumerate(sums_of(head, images, context)):
                pixels, shares = picture.pixels, picture.shares
                score = _score_of(head, picture, targets, context, number)
                values = torch.zeros(len(pixels), dtype=torch.float64, device=images.device)
                for order in self._orders(pixels):
                    added = shares[order].cumsum(0)
                    scores = score(torch.cat([torch.zeros_like(added[:1]), added]))
                    values[order] += scores.diff() / self.permutations
                maps[number].view(-1)[pixels] = values.float()
        return maps

    def _orders(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Random orders of the lit pixels of a picture, from a generator named by them."""
        rng = generator(self.seed, "shapley", *pixels.tolist())
        orders = [rng.permutation(len(pixels)) for _ in range(self.permutations)]
        return list(torch.from_numpy(np.stack(orders)).to(pixels.device))


def is_summing(model: nn.Module) -> bool:
    """Whether a model sums over pixels, so that the methods of this module can explain it."""
    of_places = isinstance(model, JointModel) and isinstance(model.backbone, PixelSet)
    return of_places or isinstance(model, ExactClassifier)


def sums_of(head: Head, images: torch.Tensor, context: Context) -> Iterator[Sum]:
    """Each of n images (n, channels, size, size) as the sum of what its lit pixels say.

    Raises:
        ValueError: when the model behind the head does not sum over pixels.
    """
    model = head.model
    if isinstance(model, ExactClassifier):
        (snr_db,) = head.of_model(context)
        return _sums_of_counts(head, model, images, snr_db)
    if isinstance(model, JointModel) and isinstance(model.backbone, PixelSet):
        return _sums_of_places(head, model, model.backbone, images)
    raise ValueError(
        f"{LeaveOneOut.name} and {Shapley.name} explain models that sum over pixels, which "
        "this one does not; leave them out of attribute.methods, or train with "
        "train.model = pixel_set"
    )


def _sums_of_places(
    head: Head, model: JointModel, backbone: PixelSet, images: torch.Tensor
) -> Iterator[Sum]:
    """`sums_of` a `PixelSet`: of each channel a part of the sum, in which others say nothing."""
    task = HEADS.index(head.task)
    last: nn.Module = (model.modulation_head, model.snr_head)[task]

    def logits(sums: torch.Tensor) -> torch.Tensor:
        features = model.branches(backbone.features_of_sum(sums))[task]
        of_head: torch.Tensor = last(features)
        return of_head

    table = backbone.table()  # (channels, size * size, width)
    channels, places, width = table.shape
    for image in images.flatten(1):
        pixels = image.nonzero().squeeze(1)
        channel, place = pixels // places, pixels % places

        shares = torch.zeros(len(pixels), channels, width, device=images.device)
        each = torch.arange(len(pixels), device=images.device)
        shares[each, channel] = image[pixels, None] * table[channel, place]
        yield Sum(pixels, shares.flatten(1), logits)


def _sums_of_counts(
    head: Head, model: ExactClassifier, images: torch.Tensor, snr_db: torch.Tensor
) -> Iterator[Sum]:
    """`sums_of` the exact classifier: log likelihoods at every phase, or of every SNR."""
    for image, of_frame in zip(images.flatten(1), snr_db, strict=True):
        pixels = image.nonzero().squeeze(1)
        yield Sum(pixels, *model.shares(head.task, image, pixels, of_frame))


def _score_of(
    head: Head, picture: Sum, targets: torch.Tensor, context: Context, number: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """What makes of sums (n, width) of one frame the scores float64 (n,) of its class.

    Args:
        head: which counts the passes.
        picture: the frame as a sum.
        targets: classes of all frames.
        context: of all frames.
        number: of the frame.
    """
    columns = tuple(column[number : number + 1] for column in context)

    def score(sums: torch.Tensor) -> torch.Tensor:
        head.forward_frames += len(sums)
        parts = []
        for some in sums.split(SUMS_AT_ONCE):
            # Near certainty a float32 would round the differences away.
            logits = picture.logits(some).double()
            repeated = tuple(column.expand(len(some)) for column in columns)
            parts.append(head.worth(logits, repeated)[:, targets[number]])
        return torch.cat(parts)

    return score
