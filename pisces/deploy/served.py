"""A model as MLflow serves it: a loader, so that nothing is pickled.

MLflow calls `_load_pyfunc` with the folder of weights and card, and `predict` with what was posted.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.prediction.frames import predict


class Served:
    """A model that answers in words."""

    def __init__(self, trained: TrainedModel) -> None:
        self.trained = trained

    def predict(
        self,
        model_input: Any,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """A row for each frame of (n, samples, 2), I then Q, of any power; see `prediction.frames`.

        Intervals and novelty are there where the card of the model has them.

        Raises:
            ValueError: for frames that the model cannot take.
        """
        frames = np.ascontiguousarray(model_input, dtype=np.float32)
        found = predict(self.trained, torch.from_numpy(frames))
        names = np.array(self.trained.modulations)
        modulation, snr = found.modulation_prob, found.snr_prob
        columns: dict[str, Any] = {
            "modulation": names[modulation.argmax(1)],
            "probability": modulation.max(1).astype(float),
            "snr_db": found.snr_db.astype(float),
            "modulation_probability": modulation.astype(float).tolist(),
            "snr_probability": snr.astype(float).tolist(),
        }
        if found.snr_interval_db is not None:
            columns["snr_interval_db"] = found.snr_interval_db.astype(float).tolist()
        if found.novelty is not None and found.known is not None:
            columns |= {"novelty": found.novelty.astype(float), "known": found.known}
        return pd.DataFrame(columns)


def load(folder: Path) -> Served:
    """The model of a folder.

    Raises:
        FileNotFoundError, ValueError: as `modelfile.load`.
    """
    return Served(modelfile.load(folder))


def _load_pyfunc(folder: str) -> Served:
    """What MLflow calls; the name is MLflow's."""
    return load(Path(folder))
