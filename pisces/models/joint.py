"""One backbone, a branch a task, two heads."""

import torch
from torch import nn


class JointModel(nn.Module):
    """Modulation and SNR from shared features: images (n, channels, size, size) -> (n, modulations), (n, SNRs)."""

    def __init__(self, backbone: nn.Module, branches: nn.Module, modulation_head: nn.Module, snr_head: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.branches = branches
        self.modulation_head = modulation_head
        self.snr_head = snr_head

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        modulation, snr = self.branches(self.backbone(images))
        return self.modulation_head(modulation), self.snr_head(snr)
