"""What each lit pixel is worth to a model that sums over pixels: leave-one-out and Shapley values.

Both are in probability of the class. A picture without some pixels costs such a model one
subtraction and two layers, so that thousands of them are predicted where a convolution would take
one. See `models.pixel_set`.
"""

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

SUMS_AT_ONCE = 4096
"""Pictures that go through the layers behind the sum at once."""


class Shares(NamedTuple):
    """What the lit pixels of one picture add to its sum."""

    pixels: torch.Tensor
    """Numbers of the lit pixels, counted on through the channels, int64 (lit,)."""
    shares: torch.Tensor
    """float32 (lit, channels * width), all but the part of its channel zero."""


@dataclass(frozen=True)
class LeaveOneOut:
    """How much the probability of the class falls when one lit pixel goes dark; 0 where it is."""

    name: ClassVar[str] = "leave_one_out"
    needs_map: ClassVar[bool] = False

    @classmethod
    def from_settings(cls, _settings: AttributionSettings, _seed: int) -> Self:
        return cls()

    def attribute(
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, _context: Context
    ) -> torch.Tensor:
        _, backbone = summing_model(head)
        maps = torch.zeros_like(images)
        with torch.no_grad():
            for number, (pixels, shares) in enumerate(shares_of(backbone, images)):
                whole = shares.sum(0)
                sums = torch.cat([whole[None], whole - shares])
                probability = _probability(head, sums, targets[number])
                maps[number].view(-1)[pixels] = (probability[0] - probability[1:]).float()
        return maps


@dataclass(frozen=True)
class Shapley:
    """What each lit pixel adds to the probability of the class, averaged over random orders.

    In an order the pixels are lit one after the other, from a dark picture on. The values of a
    picture add up to its probability less that of a dark one, whatever the number of orders.
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
        self, head: Head, images: torch.Tensor, targets: torch.Tensor, _context: Context
    ) -> torch.Tensor:
        _, backbone = summing_model(head)
        maps = torch.zeros_like(images)
        with torch.no_grad():
            for number, (pixels, shares) in enumerate(shares_of(backbone, images)):
                values = torch.zeros(len(pixels), dtype=torch.float64, device=images.device)
                for order in self._orders(pixels):
                    added = shares[order].cumsum(0)
                    sums = torch.cat([torch.zeros_like(added[:1]), added])
                    probability = _probability(head, sums, targets[number])
                    values[order] += probability.diff() / self.permutations
                maps[number].view(-1)[pixels] = values.float()
        return maps

    def _orders(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """Random orders of the lit pixels of a picture, from a generator named by them."""
        rng = generator(self.seed, "shapley", *pixels.tolist())
        orders = [rng.permutation(len(pixels)) for _ in range(self.permutations)]
        return list(torch.from_numpy(np.stack(orders)).to(pixels.device))


def is_summing(model: nn.Module) -> bool:
    """Whether a model sums over pixels, so that the methods of this module can explain it."""
    return isinstance(model, JointModel) and isinstance(model.backbone, PixelSet)


def summing_model(head: Head) -> tuple[JointModel, PixelSet]:
    """The model behind a head, and its backbone.

    Raises:
        ValueError: when it does not sum over pixels.
    """
    model = head.model
    if not (isinstance(model, JointModel) and isinstance(model.backbone, PixelSet)):
        raise ValueError(
            f"{LeaveOneOut.name} and {Shapley.name} explain models that sum over pixels, which "
            "this one does not; leave them out of attribute.methods, or train with "
            "train.model = pixel_set"
        )
    return model, model.backbone


def shares_of(backbone: PixelSet, images: torch.Tensor) -> list[Shares]:
    """What the lit pixels of each of n images (n, channels, size, size) add to its sum."""
    table = backbone.table()  # (channels, size * size, width)
    channels, places, width = table.shape
    found = []
    for image in images.flatten(1):
        pixels = image.nonzero().squeeze(1)
        channel, place = pixels // places, pixels % places

        shares = torch.zeros(len(pixels), channels, width, device=images.device)
        each = torch.arange(len(pixels), device=images.device)
        shares[each, channel] = image[pixels, None] * table[channel, place]
        found.append(Shares(pixels, shares.flatten(1)))
    return found


def _probability(head: Head, sums: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Of one class, float64 (n,), for sums (n, channels * width); `head` counts the passes."""
    model, backbone = summing_model(head)
    task = HEADS.index(head.task)
    last: nn.Module = (model.modulation_head, model.snr_head)[task]
    parts = []
    for some in sums.split(SUMS_AT_ONCE):
        features = model.branches(backbone.features_of_sum(some))[task]
        # Near certainty a float32 would round the differences away.
        parts.append(last(features).double().softmax(1)[:, target])
    head.forward_frames += len(sums)
    return torch.cat(parts)
