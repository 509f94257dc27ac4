"""One backbone, two heads."""

import torch
from torch import nn


class JointModel(nn.Module):
    """Modulation and SNR from shared features: images (n, channels, size, size) -> logits (n, modulations), (n, snrs)."""

    def __init__(self, backbone: nn.Module, features: int, modulations: int, snrs: int):
        super().__init__()
        self.backbone = backbone
        self.modulation_head = nn.Linear(features, modulations)
        self.snr_head = nn.Linear(features, snrs)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.backbone(images)
        return self.modulation_head(features), self.snr_head(features)
