"""Models by name: images (n, channels, size, size) or frames (n, 2, samples) -> modulation logits
and SNR scores.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import nn

from pisces.models import backbones, pixel_set, pretrained, small_cnn
from pisces.models.backbones import BACKBONES
from pisces.models.baselines import BASELINES
from pisces.models.branches import BRANCHES
from pisces.models.classifier import Classifier
from pisces.models.cldnn import Cldnn, Settings
from pisces.models.heads import SNR_HEADS
from pisces.models.joint import JointModel

CLDNN = "cldnn"

OWN_BACKBONES: dict[str, Callable[[int, int], tuple[nn.Module, int]]] = {
    "small_cnn": small_cnn.build,
    "pixel_set": pixel_set.build,
}
"""Image models that are none of torchvision's -> builder, from channels and side of the images to a
backbone and the width of its features."""


class Architecture(NamedTuple):
    """How a model is built for the shape of an input and the classes."""

    model: str  # a key of BACKBONES, OWN_BACKBONES or BASELINES, or CLDNN
    branches: str  # a key of BRANCHES
    snr_head: str  # a key of SNR_HEADS
    cldnn: Settings | None = None  # of CLDNN


def models_for(shape: Sequence[int]) -> tuple[str, ...]:
    """Models of inputs of a shape: of frames (2, samples) or images (channels, size, size)."""
    if len(shape) == 2:
        return (CLDNN, *BASELINES)
    return (*BACKBONES, *OWN_BACKBONES)


def build(
    architecture: Architecture, shape: Sequence[int], modulations: int, snrs_db: Sequence[int]
) -> Classifier:
    """A fresh model, random from torch's current generator.

    Args:
        architecture: names of its parts.
        shape: of one input: (channels, size, size) for images, (2, samples) for frames.
        modulations: how many.
        snrs_db: the SNR classes.

    Returns:
        Inputs (n, *shape) -> modulation logits (n, modulations) and SNR scores (n, len(snrs_db)).
        Of both, the largest is the prediction and the softmax its probability.

    Raises:
        ValueError: for a name that is not in its registry, an input that the model cannot take, or
            a head that the SNRs forbid.
    """
    _check_names(architecture, models_for(shape))

    def snr_head(features: int) -> nn.Module:
        return SNR_HEADS[architecture.snr_head](features, snrs_db)

    if architecture.model == CLDNN:
        if architecture.cldnn is None:
            raise ValueError(f"a {CLDNN} needs settings; give Architecture.cldnn")
        return Cldnn(architecture.cldnn, shape[-1], modulations, snr_head)

    backbone, features = _backbone(architecture.model, shape)
    branches, width = BRANCHES[architecture.branches](features)
    return JointModel(backbone, branches, nn.Linear(width, modulations), snr_head(width))


def _check_names(architecture: Architecture, of_input: Sequence[str]) -> None:
    """Raises ValueError for a name without a builder; `of_input` are the models for the input."""
    known = {"model": of_input, "branches": BRANCHES, "snr_head": SNR_HEADS}
    for part, names in known.items():
        name = getattr(architecture, part)
        if name not in names:
            raise ValueError(f"{part} {name!r} is unknown; there are {', '.join(names)}")


def _backbone(model: str, shape: Sequence[int]) -> tuple[nn.Module, int]:
    """Module inputs (n, *shape) -> features (n, width), and that width."""
    if len(shape) == 2:
        return BASELINES[model](shape[-1])
    if model in OWN_BACKBONES:
        return OWN_BACKBONES[model](shape[0], shape[-1])
    return backbones.build(model, shape[0], shape[-1])


def predict(
    model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of a model, whether or not it is conditioned on the true SNR.

    Args:
        model: as `build` makes it, or any module that maps inputs to the same pair.
        inputs: (n, ...), images or frames.
        snr_db: true SNRs in dB (n,), which only a model conditioned on them is given.

    Returns:
        Modulation logits (n, modulations) and SNR scores (n, SNRs).
    """
    return model(inputs, snr_db) if getattr(model, "is_conditioned", False) else model(inputs)


def load_pretrained(model: nn.Module, architecture: Architecture, source: str) -> None:
    """Fills the backbone of `model` in place with weights of torchvision's model of that name.

    Args:
        model: as `build` makes it, with a backbone of `BACKBONES`.
        architecture: what it was built from.
        source: `imagenet` or the path of a file; see `pretrained.load`.

    Raises:
        ValueError: when the weights are not there, cannot be read or do not fit, or torchvision
            has no such model.
    """
    if architecture.model not in BACKBONES:
        raise ValueError(
            f"train.pretrained = {source} is no folder of a model, and files of weights are for "
            f"torchvision's models, not for train.model = {architecture.model}; "
            "name the folder of a finished one, or set it to none"
        )
    pretrained.load(model.get_submodule("backbone"), architecture.model, source)
