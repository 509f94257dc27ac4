"""What calibrated predictions are worth on frames that nothing was fitted to."""

from typing import Any

import numpy as np
import pandas as pd

from pisces.core.snr_label import true_snr_db
from pisces.core.tasks import HEADS
from pisces.models.modelfile import TrainedModel
from pisces.prediction.calibration import expected_calibration_error
from pisces.prediction.calibration import reliability as table_of
from pisces.prediction.evidence import Evidence
from pisces.prediction.frames import Prediction, of_evidence

AS_TRAINED, CALIBRATED = "as trained", "calibrated"
"""Probabilities of the heads, and those at the temperatures of the card."""


def summary(trained: TrainedModel, evidence: Evidence, index: np.ndarray) -> dict[str, Any]:
    """The headline numbers, under `calibration`.

    Args:
        trained: a model, whose card may have no calibration.
        evidence: of n frames that nothing was fitted to.
        index: of the same frames, int64 (n, 3).

    Returns:
        - `<head>_ece`: expected calibration error, 0..1, of the probabilities of the card.
        - `snr_coverage`: share of frames whose interval holds the true SNR, and `snr_interval_db`,
          the mean width of the interval.
        - `false_alarms`: share of frames that count as unknown.

        What the card knows nothing of is left out.
    """
    prediction = of_evidence(trained, evidence)
    found: dict[str, Any] = {}
    for head, (confidence, right) in _confidence(prediction, index).items():
        found[f"{head}_ece"] = expected_calibration_error(confidence, right)

    if prediction.snr_interval_db is not None:
        low, high = prediction.snr_interval_db.T
        labels = np.array(trained.snrs_db)[index[:, 1]]
        true_db = true_snr_db(labels, trained.snr_label)
        found["snr_coverage"] = float(np.mean((low <= true_db) & (true_db <= high)))
        found["snr_interval_db"] = float(np.mean(high - low))
    if prediction.known is not None:
        found["false_alarms"] = float(np.mean(~prediction.known))
    return {"calibration": found}


def reliability(trained: TrainedModel, evidence: Evidence, index: np.ndarray) -> pd.DataFrame:
    """How often predictions of each confidence are right.

    Args:
        trained: as of `summary`.
        evidence: likewise.
        index: likewise.

    Returns:
        The columns of `calibration.reliability` after `task`, a head, and `probabilities`:
        `AS_TRAINED` or `CALIBRATED`, the latter where the card has a calibration.
    """
    tables = []
    for name, prediction in _by_probabilities(trained, evidence).items():
        for head, (confidence, right) in _confidence(prediction, index).items():
            rows = table_of(confidence, right)
            rows.insert(0, "task", head)
            rows.insert(1, "probabilities", name)
            tables.append(rows)
    return pd.concat(tables, ignore_index=True)


def _by_probabilities(trained: TrainedModel, evidence: Evidence) -> dict[str, Prediction]:
    found = {AS_TRAINED: of_evidence(trained._replace(calibration=None), evidence)}
    if trained.calibration is not None:
        found[CALIBRATED] = of_evidence(trained, evidence)
    return found


def _confidence(
    prediction: Prediction, index: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Head -> probability of the predicted class, and whether it is the true one, (n,) each."""
    probabilities = (prediction.modulation_prob, prediction.snr_prob)
    return {
        head: (of_head.max(1), of_head.argmax(1) == index[:, column])
        for column, (head, of_head) in enumerate(zip(HEADS, probabilities, strict=True))
    }
