"""Calibrated predictions: probabilities, an interval of the SNR, known or not."""

from typing import NamedTuple

import numpy as np
import torch

from pisces.core.snr_label import true_snr_db
from pisces.models.modelfile import TrainedModel
from pisces.prediction import conformal, novelty
from pisces.prediction.evidence import Evidence, of_frames


class Prediction(NamedTuple):
    """Of n frames. Where the card of the model has no calibration, probabilities are those of the
    heads as trained, and the rest is None."""

    modulation_prob: np.ndarray
    """(n, modulations)."""
    snr_prob: np.ndarray
    """(n, SNRs)."""
    snr_db: np.ndarray
    """Mean true SNR under `snr_prob`, (n,)."""
    snr_interval_db: np.ndarray | None
    """Lower and upper end, true SNR, (n, 2)."""
    novelty: np.ndarray | None
    """(n,)."""
    known: np.ndarray | None
    """Whether a frame is like those that the model was trained on, bool (n,)."""


def predict(trained: TrainedModel, frames: torch.Tensor) -> Prediction:
    """Calibrated predictions for frames from anywhere.

    Args:
        trained: a model, as `modelfile.load` gives it, not conditioned on the true SNR.
        frames: float32 (n, samples, 2), I then Q, of any power but zero, n > 0.

    Returns:
        One row a frame.

    Raises:
        ValueError: for frames that the model cannot take.

    >>> import torch
    >>> from pisces import models
    >>> from pisces.inputs.waveform import Waveform
    >>> from pisces.models import Architecture
    >>> architecture = Architecture("mcnet", "plain", "standard")
    >>> model = models.build(architecture, (2, 128), modulations=2, snrs_db=(0, 10, 20)).eval()
    >>> trained = TrainedModel(model, architecture, Waveform(128), ("BPSK", "QPSK"), (0, 10, 20))
    >>> prediction = predict(trained, torch.randn(5, 128, 2))
    >>> prediction.modulation_prob.shape, prediction.snr_db.shape
    ((5, 2), (5,))
    >>> print(prediction.known)  # its card has no calibration
    None
    """
    return of_evidence(trained, of_frames(trained, frames), between=True)


def of_evidence(trained: TrainedModel, evidence: Evidence, *, between: bool = False) -> Prediction:
    """Calibrated predictions of what `evidence` holds.

    Args:
        trained: the model that it is of.
        evidence: of n frames.
        between: whether their SNRs may lie between those that were trained on, as those of any
            recording do; see `conformal.interval`.

    Returns:
        One row a frame.
    """
    calibration = trained.calibration
    snrs_db = np.array([true_snr_db(label, trained.snr_label) for label in trained.snrs_db], float)
    if calibration is None:
        modulation, snr = (_softmax(logits) for logits in evidence[:2])
        return Prediction(modulation, snr, snr @ snrs_db, None, None, None)

    modulation = _softmax(evidence.modulation_logits / calibration.modulation_temperature)
    snr = _softmax(evidence.snr_logits / calibration.snr_temperature)
    interval = None
    if calibration.spreads is not None:
        interval = np.stack(
            conformal.interval(snr, snrs_db, calibration.spreads, between=between), 1
        )
    scores, known = _novelty(trained, evidence)
    return Prediction(modulation, snr, snr @ snrs_db, interval, scores, known)


def _novelty(
    trained: TrainedModel, evidence: Evidence
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Scores (n,), and whether they are below the threshold, where there is one."""
    calibration = trained.calibration
    if calibration is None or calibration.novelty is None or evidence.features is None:
        return None, None

    logits = evidence.modulation_logits, evidence.snr_logits
    scores = novelty.score(evidence.features, *logits, evidence.signals, calibration).numpy()
    threshold = calibration.novelty.threshold
    return scores, None if threshold is None else scores <= threshold


def _softmax(logits: torch.Tensor) -> np.ndarray:
    return logits.double().softmax(1).numpy()
