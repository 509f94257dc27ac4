"""What every model is: a module that predicts modulation and SNR, and what it may have besides."""

from typing import Self

import torch
from torch import nn


class Classifier(nn.Module):
    """Images or frames (n, ...) -> modulation logits (n, modulations) and SNR scores (n, SNRs).

    The properties distinguish a model with more parts from one with a backbone and two heads alone.
    """

    bypass: bool = False
    """Whether a trained denoiser is out of the way."""
    predicts_in_bf16: bool = False
    """Whether passes without gradient are in bfloat16; see `models.precision`."""

    frozen: tuple[str, ...] = ()
    """Submodules that training leaves as they are; see `models.finetuning.freeze`."""

    def train(self, mode: bool = True) -> Self:
        """As of any module, but frozen parts keep the statistics that they have."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    @property
    def has_denoiser(self) -> bool:
        """Whether the heads see denoised frames."""
        return False

    @property
    def has_noise_estimate(self) -> bool:
        """Whether `estimate` exists."""
        return False

    @property
    def is_conditioned(self) -> bool:
        """Whether predictions are conditioned on the true SNR, which `forward` then takes too."""
        return False

    @property
    def has_features(self) -> bool:
        """Whether `features` and `heads` exist, which together are the model."""
        return False

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """What both heads predict from, (n, features); only for a model that `has_features`."""
        raise NotImplementedError(f"{type(self).__name__} has no features that both heads share")

    def heads(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulation logits and SNR scores of features, as of the model itself."""
        raise NotImplementedError(f"{type(self).__name__} has no features that both heads share")

    def estimate(self, frames: torch.Tensor) -> torch.Tensor:
        """Estimated eta (n,), see `denoiser`; only for a model that `has_noise_estimate`."""
        raise NotImplementedError(f"{type(self).__name__} has no estimate of the noise")
