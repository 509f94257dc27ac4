"""Models by name: image (n, channels, size, size) -> modulation and SNR logits. `nn.Module` only."""

from torch import nn

from pisces.models.backbones import BACKBONES
from pisces.models.joint import JointModel


def build(name: str, channels: int, modulations: int, snrs: int) -> nn.Module:
    """A fresh model, randomly initialised from torch's current generator.

    Raises:
        ValueError: for a name that is not in the registry.
    """
    if name not in BACKBONES:
        raise ValueError(f"model {name!r} is unknown; there are {', '.join(BACKBONES)}")
    backbone, features = BACKBONES[name](channels)
    return JointModel(backbone, features, modulations, snrs)
