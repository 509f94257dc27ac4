"""Image backbones: torchvision's models without their classifiers, for any number of channels."""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from torch import nn

LARGEST = 254
"""Pixels along a side, of render.size."""


class Backbone(NamedTuple):
    """One of torchvision's models and where its parts are."""

    builder: Callable[..., nn.Module]
    weights: str  # name of the model whose weights torchvision has
    stem: str  # the first convolution
    classifier: str  # the last linear layer
    start: Callable[[nn.Conv2d], None]  # initialises a new stem as torchvision does
    patch: int = 1  # pixels; sides of images are multiples of it
    sized: bool = False  # built for one image size


def build(name: str, channels: int, size: int) -> tuple[nn.Module, int]:
    """A backbone with a new stem, random from torch's current generator.

    ResNets (He et al., CVPR 2016) take any size. Vision transformers (Dosovitskiy et al., ICLR
    2021) and Swins (Liu et al., ICCV 2021) cut images into whole patches.

    Args:
        name: a key of `BACKBONES`.
        channels: of the images.
        size: their side in pixels.

    Returns:
        Module images (n, channels, size, size) -> features (n, width), and that width.

    Raises:
        ValueError: when `size` is no multiple of the patch.
    """
    backbone = BACKBONES[name]
    _check_patches(name, backbone.patch, size)
    model = backbone.builder(image_size=size) if backbone.sized else backbone.builder()

    stem = _stem_for(channels, model.get_submodule(backbone.stem))
    backbone.start(stem)
    model.set_submodule(backbone.stem, stem)

    classifier = model.get_submodule(backbone.classifier)
    assert isinstance(classifier, nn.Linear)
    model.set_submodule(backbone.classifier, nn.Identity())
    return model, classifier.in_features


def _check_patches(name: str, patch: int, size: int) -> None:
    # A Swin would not fail on a remainder but never see those pixels.
    if size % patch == 0:
        return
    below = size // patch * patch
    allowed = [str(near) for near in (below, below + patch) if 0 < near <= LARGEST]
    raise ValueError(
        f"{name} takes images of a multiple of {patch} px, not {size}; "
        f"set render.size to {' or '.join(allowed)}"
    )


def _stem_for(channels: int, old: nn.Module) -> nn.Conv2d:
    """A first convolution of the same shape for another number of channels."""
    assert isinstance(old, nn.Conv2d)
    assert not isinstance(old.padding, str)
    return nn.Conv2d(
        channels,
        old.out_channels,
        _pair(old.kernel_size),
        _pair(old.stride),
        _pair(old.padding),
        bias=old.bias is not None,
    )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    rows, columns = values
    return rows, columns


def _he(stem: nn.Conv2d) -> None:
    """As torchvision starts a ResNet's (He et al., ICCV 2015)."""
    nn.init.kaiming_normal_(stem.weight, mode="fan_out", nonlinearity="relu")


def _lecun(stem: nn.Conv2d) -> None:
    """As torchvision starts a vision transformer's: variance 1 over the fan-in."""
    fan_in = stem.weight[0].numel()
    nn.init.trunc_normal_(stem.weight, std=math.sqrt(1 / fan_in))
    if stem.bias is not None:
        nn.init.zeros_(stem.bias)


def _as_made(stem: nn.Conv2d) -> None:
    """Torchvision leaves a Swin's stem to the convolution's own initialisation."""


def _torchvision_model(name: str, **settings: int) -> nn.Module:
    # Imported here, since it takes seconds that a stage without such a model need not spend.
    from torchvision.models import get_model

    return get_model(name, **settings)


def _resnet(name: str) -> Backbone:
    builder = partial(_torchvision_model, name)
    return Backbone(builder, name, stem="conv1", classifier="fc", start=_he)


def _vit(name: str, patch: int) -> Backbone:
    return Backbone(
        partial(_torchvision_model, name),
        name,
        stem="conv_proj",
        classifier="heads.head",
        start=_lecun,
        patch=patch,
        sized=True,
    )


def _swin(name: str) -> Backbone:
    builder = partial(_torchvision_model, name)
    return Backbone(builder, name, stem="features.0.0", classifier="head", start=_as_made, patch=4)


BACKBONES: dict[str, Backbone] = {
    "resnet18": _resnet("resnet18"),
    "resnet34": _resnet("resnet34"),
    "resnet50": _resnet("resnet50"),
    "vit_b_16": _vit("vit_b_16", patch=16),
    "vit_b_32": _vit("vit_b_32", patch=32),
    "vit_h_14": _vit("vit_h_14", patch=14),
    "swin_tiny": _swin("swin_t"),
    "swin_small": _swin("swin_s"),
    "swin_base": _swin("swin_b"),
}
