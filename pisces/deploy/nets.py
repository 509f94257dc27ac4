"""The nets of `models` as a graph can hold them: fixed tables, and no complex numbers."""

import copy
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from pisces.models.classifier import Classifier
from pisces.models.layers import Polar
from pisces.models.pixel_set import PixelSet


class FixedTables(nn.Module):
    """`PixelSet` with what its pixels say worked out once."""

    tables: torch.Tensor

    def __init__(self, backbone: PixelSet) -> None:
        super().__init__()
        self.after_sum = backbone.after_sum
        with torch.no_grad():
            self.register_buffer("tables", backbone.table(), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        brightness = images.flatten(2).transpose(0, 1)  # (channels, n, pixels)
        sums = (brightness @ self.tables).transpose(0, 1)
        return self.after_sum(sums.flatten(1))


class RealPolar(nn.Module):
    """As `layers.Polar`."""

    def __init__(self, _polar: Polar) -> None:
        super().__init__()

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        i, q = frames.unbind(1)
        amplitude = functional.normalize((i.square() + q.square()).sqrt(), dim=1)
        return torch.stack([amplitude, torch.atan2(q, i) / math.pi], dim=1)


REPLACED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    PixelSet: FixedTables,
    Polar: RealPolar,
}
"""Module of a net -> what takes its place in a graph."""


def real(model: Classifier) -> Classifier:
    """A copy of a model in evaluation mode whose forward pass has no complex number.

    Raises:
        ValueError: for a model that has one all the same, or is conditioned on the true SNR.
    """
    if model.is_conditioned:
        raise ValueError(
            "the model is conditioned on the true SNR, which no radio knows; "
            "train with cldnn.condition = blind"
        )
    fresh = copy.deepcopy(model).cpu().eval()
    for name, module in list(fresh.named_modules()):
        if type(module) in REPLACED:
            fresh.set_submodule(name, REPLACED[type(module)](module))
    return fresh
