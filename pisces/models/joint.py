"""One backbone, a branch a task, two heads."""

import torch
from torch import nn


class JointModel(nn.Module):
    """Modulation and SNR from shared features of images or frames (n, ...) -> (n, modulations), (n, SNRs)."""

    has_noise_estimate = has_denoiser = is_oracle = False  # as a `Cldnn` may have

    def __init__(
        self,
        backbone: nn.Module,
        branches: nn.Module,
        modulation_head: nn.Module,
        snr_head: nn.Module,
    ):
        super().__init__()
        self.backbone = backbone
        self.branches = branches
        self.modulation_head = modulation_head
        self.snr_head = snr_head

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        modulation, snr = self.branches(self.backbone(images))
        return self.modulation_head(modulation), self.snr_head(snr)
