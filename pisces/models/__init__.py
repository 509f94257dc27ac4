"""Models by name: images (n, channels, size, size) or frames (n, 2, samples) -> modulation logits and SNR scores. `nn.Module` only."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from pisces.models import backbones, pretrained
from pisces.models.backbones import BACKBONES
from pisces.models.baselines import BASELINES
from pisces.models.branches import BRANCHES
from pisces.models.cldnn import Cldnn, Settings
from pisces.models.heads import SNR_HEADS
from pisces.models.joint import JointModel

CLDNN = "cldnn"
MODELS = {2: (CLDNN, *BASELINES), 3: tuple(BACKBONES)}
"""By the number of dimensions of what they look at, batch left out: frames and images."""


class Architecture(NamedTuple):
    """What says, with the shape of the input and the classes, how a model is built."""

    model: str  # a key of BACKBONES or BASELINES, or CLDNN
    branches: str  # a key of BRANCHES
    snr_head: str  # a key of SNR_HEADS
    cldnn: Settings | None = None  # of CLDNN


def build(
    architecture: Architecture, shape: Sequence[int], modulations: int, snrs_db: Sequence[int]
) -> nn.Module:
    """A fresh model for inputs (n, *shape), images (channels, size, size) or frames (2, samples), random from torch's current generator.

    It answers with modulation logits (n, modulations) and SNR scores (n, len(snrs_db)): of both, the largest is the answer
    and the softmax its probability.

    Raises:
        ValueError: for a name that is not in its registry, an input that the model cannot take, or a head that the SNRs forbid.
    """
    for what, name, known in zip(
        architecture._fields,
        architecture[:3],
        (MODELS[len(shape)], BRANCHES, SNR_HEADS),
        strict=False,
    ):
        if name not in known:
            raise ValueError(f"{what} {name!r} is unknown; there are {', '.join(known)}")
    snr_head = partial(SNR_HEADS[architecture.snr_head], snrs_db=snrs_db)
    if architecture.model == CLDNN:
        return Cldnn(architecture.cldnn, shape[-1], modulations, snr_head)
    if len(shape) == 2:
        backbone, features = BASELINES[architecture.model](shape[-1])
    else:
        backbone, features = backbones.build(architecture.model, shape[0], shape[-1])
    branches, width = BRANCHES[architecture.branches](features)
    return JointModel(backbone, branches, nn.Linear(width, modulations), snr_head(width))


def predict(
    model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of a built model for inputs (n, ...); only one conditioned on the true SNR takes the labels `snr_db` (n,)."""
    return model(inputs, snr_db) if getattr(model, "is_oracle", False) else model(inputs)


def load_pretrained(model: nn.Module, architecture: Architecture, source: str) -> None:
    """Fills `model.backbone` in place with weights of torchvision's model of that name; see `pretrained.load`."""
    pretrained.load(model.backbone, architecture.model, source)
