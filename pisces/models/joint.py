"""One backbone, a branch for each task, two heads."""

import torch
from torch import nn

from pisces.models.classifier import Classifier


class JointModel(Classifier):
    """Modulation and SNR from features that both tasks share.

    Args:
        backbone: images or frames (n, ...) -> features (n, features).
        branches: features -> two tensors (n, width), for the modulation head and the SNR head.
        modulation_head: (n, width) -> logits (n, modulations).
        snr_head: (n, width) -> scores (n, SNRs).
    """

    def __init__(
        self,
        backbone: nn.Module,
        branches: nn.Module,
        modulation_head: nn.Module,
        snr_head: nn.Module,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.branches = branches
        self.modulation_head = modulation_head
        self.snr_head = snr_head

    @property
    def has_features(self) -> bool:
        return True

    def features(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the backbone makes of inputs: (n, features)."""
        features: torch.Tensor = self.backbone(inputs)
        return features

    def heads(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        modulation, snr = self.branches(features)
        return self.modulation_head(modulation), self.snr_head(snr)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulation logits (n, modulations) and SNR scores (n, SNRs)."""
        return self.heads(self.features(inputs))
