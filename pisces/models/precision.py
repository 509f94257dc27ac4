"""Which passes are made in bfloat16: by the processor, the model and `train.precision`."""

from typing import Literal

import torch
from torch import nn

from pisces.models.backbones import BACKBONES

Resolved = Literal["32-true", "bf16-mixed", "16-mixed"]
"""As Fabric names it."""

FASTER_IN_BF16 = (*BACKBONES, "small_cnn")
"""Models whose time goes into convolutions or attention.

Measured of resnet18 and small_cnn, see docs/results/benchmarks.md, and taken for granted of others.

A `pixel_set` is not among them: it sums in float32 whatever the precision, and trains slower.
"""


def cpu_has_bf16() -> bool:
    """Whether the processor multiplies in bfloat16, by AVX512-BF16 or AMX."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("avx512_bf16") or has.get("amx_bf16"))


def resolve(precision: Literal["auto"] | Resolved, accelerator: str, model: str) -> Resolved:
    """A precision as Fabric names it, in place of `auto`.

    Args:
        precision: `train.precision`.
        accelerator: cpu, cuda or mps.
        model: its name, as `train.model`.

    Returns:
        Of `auto`, bf16-mixed on CUDA and where processor and model gain by it, else 32-true. Any
        other as it is.

    Raises:
        ValueError: for 16-mixed on a CPU, which has no arithmetic of it.
    """
    if precision == "16-mixed" and accelerator == "cpu":
        raise ValueError(
            "train.precision = 16-mixed needs a GPU, and this is a CPU, where bf16 would silently "
            "take its place; set it to auto, 32-true or bf16-mixed"
        )
    if precision != "auto":
        return precision
    gains_on_cpu = accelerator == "cpu" and model in FASTER_IN_BF16 and cpu_has_bf16()
    return "bf16-mixed" if accelerator == "cuda" or gains_on_cpu else "32-true"


def autocast(model: nn.Module, device: torch.device) -> torch.autocast:
    """A context in which a model predicts in bfloat16, if it is one that does."""
    is_lower = getattr(model, "predicts_in_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=is_lower)
