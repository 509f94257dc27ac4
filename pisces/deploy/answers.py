"""From the inputs of a net to what a model says: calibrated probabilities, SNR and novelty."""

import numpy as np
import torch
from torch import nn

from pisces.core.snr_label import true_snr_db
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel
from pisces.prediction.novelty import feature_novelty

OUTPUTS = ("modulation_probability", "snr_probability", "snr_db", "novelty")


class Answers(nn.Module):
    """Inputs of a net (n, ...) -> the four `OUTPUTS`.

    - probability of each modulation, float32 (n, modulations), and of each SNR, (n, SNRs)
    - SNR in dB over the whole band, float32 (n,): the mean under these probabilities
    - novelty of the features, float32 (n,), see `novelty.feature_novelty`: 0 for a model whose card
      has none
    """

    classes_db: torch.Tensor

    def __init__(self, net: Classifier, trained: TrainedModel) -> None:
        """
        Args:
            net: that of `trained`, or one that takes its place.
            trained: what its outputs mean, and their calibration.
        """
        super().__init__()
        self.net = net
        self.calibration = trained.calibration
        classes_db = [true_snr_db(label, trained.snr_label) for label in trained.snrs_db]
        self.register_buffer("classes_db", torch.tensor(classes_db).float(), persistent=False)

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if not self.net.has_features:
            logits, scores = self.net(inputs)
            return *self.probabilities(logits, scores), torch.zeros_like(logits[:, 0])
        features = self.net.features(inputs)
        logits, scores = self.net.heads(features)
        if self.calibration is None or self.calibration.novelty is None:
            return *self.probabilities(logits, scores), torch.zeros_like(logits[:, 0])
        novelty = feature_novelty(features, logits, scores, self.calibration)
        return *self.probabilities(logits, scores), novelty

    def probabilities(
        self, logits: torch.Tensor, scores: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Of modulations and SNRs, and the mean SNR in dB."""
        if self.calibration is not None:
            logits = logits / self.calibration.modulation_temperature
            scores = scores / self.calibration.snr_temperature
        snr = scores.softmax(1)
        return logits.softmax(1), snr, snr @ self.classes_db


def of_model(trained: TrainedModel, frames: np.ndarray) -> dict[str, np.ndarray]:
    """What a model says by the usual way, without a graph.

    Args:
        trained: the model, on the CPU.
        frames: float32 (n, samples, 2), I then Q, of any power.

    Returns:
        The `OUTPUTS` by name.

    Raises:
        ValueError: for frames that the model cannot take.
    """
    with torch.inference_mode():
        inputs = trained.input.tensors(trained.input.encode(torch.from_numpy(frames)))
        found = Answers(trained.model, trained)(inputs)
    return {name: one.numpy() for name, one in zip(OUTPUTS, found, strict=True)}
