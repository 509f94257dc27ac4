"""Image backbones: torchvision's models without their classifiers, their stems fitted to any number of channels."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn
from torchvision.models import resnet, swin_transformer, vision_transformer

LARGEST = 254
"""Pixels along a side, of render.size."""


class Backbone(NamedTuple):
    """One of torchvision's models and where its parts are."""

    builder: Callable[..., nn.Module]
    stem: str  # the first convolution
    classifier: str  # the last linear layer
    start: Callable[[nn.Conv2d], None]  # initialises a new stem as torchvision does
    patch: int = 1  # pixels; sides of images are multiples of it
    sized: bool = False  # built for one image size


def build(name: str, channels: int, size: int) -> tuple[nn.Module, int]:
    """Module images (n, channels, size, size) -> features (n, width), and that width.

    ResNets (He et al., CVPR 2016) take any size. Vision transformers (Dosovitskiy et al., ICLR 2021) and Swins (Liu et al.,
    ICCV 2021) cut images into whole patches; a Swin would not fail on a remainder but never see those pixels.

    Raises:
        ValueError: when `size` is no multiple of the patch.
    """
    backbone = BACKBONES[name]
    if size % backbone.patch:
        below = size // backbone.patch * backbone.patch
        near = " or ".join(
            str(other) for other in (below, below + backbone.patch) if 0 < other <= LARGEST
        )
        raise ValueError(
            f"{name} takes images of a multiple of {backbone.patch} px, not {size}; set render.size to {near}"
        )
    model = backbone.builder(image_size=size) if backbone.sized else backbone.builder()
    old = model.get_submodule(backbone.stem)
    stem = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,
        old.stride,
        old.padding,
        bias=old.bias is not None,
    )
    backbone.start(stem)
    model.set_submodule(backbone.stem, stem)
    width = model.get_submodule(backbone.classifier).in_features
    model.set_submodule(backbone.classifier, nn.Identity())
    return model, width


def _he(stem: nn.Conv2d) -> None:
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")


def _lecun(stem: nn.Conv2d) -> None:
    nn.init.trunc_normal_(stem.weight, std=math.sqrt(1 / stem.weight[0].numel()))
    nn.init.zeros_(stem.bias)


def _as_made(stem: nn.Conv2d) -> None:
    """Torchvision leaves a Swin's stem to the convolution's own initialisation."""


_resnet = partial(Backbone, stem="conv1", classifier="fc", start=_he)
_vit = partial(Backbone, stem="conv_proj", classifier="heads.head", start=_lecun, sized=True)
_swin = partial(Backbone, stem="features.0.0", classifier="head", start=_as_made, patch=4)

BACKBONES: dict[str, Backbone] = {
    "resnet18": _resnet(resnet.resnet18),
    "resnet34": _resnet(resnet.resnet34),
    "resnet50": _resnet(resnet.resnet50),
    "vit_b_16": _vit(vision_transformer.vit_b_16, patch=16),
    "vit_b_32": _vit(vision_transformer.vit_b_32, patch=32),
    "vit_h_14": _vit(vision_transformer.vit_h_14, patch=14),
    "swin_tiny": _swin(swin_transformer.swin_t),
    "swin_small": _swin(swin_transformer.swin_s),
    "swin_base": _swin(swin_transformer.swin_b),
}
