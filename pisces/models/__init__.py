"""Models by name: image (n, channels, size, size) -> modulation logits and SNR scores. `nn.Module` only."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import nn

from pisces.models import backbones, pretrained
from pisces.models.backbones import BACKBONES
from pisces.models.branches import BRANCHES
from pisces.models.heads import SNR_HEADS
from pisces.models.joint import JointModel


class Architecture(NamedTuple):
    """Names that say, with the shape of the images and the classes, how a model is built."""

    model: str  # a key of BACKBONES
    branches: str  # a key of BRANCHES
    snr_head: str  # a key of SNR_HEADS


def build(architecture: Architecture, channels: int, size: int, modulations: int, snrs_db: Sequence[int]) -> nn.Module:
    """A fresh model for images (n, channels, size, size), randomly initialised from torch's current generator.

    It answers with modulation logits (n, modulations) and SNR scores (n, len(snrs_db)): of both, the largest is the answer
    and the softmax its probability.

    Raises:
        ValueError: for a name that is not in its registry, an image size that the backbone cannot take, or a head that the SNRs forbid.
    """
    for what, name, known in zip(architecture._fields, architecture, (BACKBONES, BRANCHES, SNR_HEADS), strict=True):
        if name not in known:
            raise ValueError(f"{what} {name!r} is unknown; there are {', '.join(known)}")
    backbone, features = backbones.build(architecture.model, channels, size)
    branches, width = BRANCHES[architecture.branches](features)
    return JointModel(backbone, branches, nn.Linear(width, modulations), SNR_HEADS[architecture.snr_head](width, snrs_db))


def load_pretrained(model: nn.Module, architecture: Architecture, source: str) -> None:
    """Fills `model.backbone` in place with weights of torchvision's model of that name; see `pretrained.load`."""
    pretrained.load(model.backbone, architecture.model, source)
