"""What a model and simple statistics say of stored frames, side by side."""

from typing import NamedTuple

import numpy as np
import torch

from pisces import models
from pisces.core.progress import progress
from pisces.data.datasets import StoredFrames, batches
from pisces.inputs.base import FrameStore
from pisces.inputs.settings import RenderSettings
from pisces.inputs.waveform import IqStore
from pisces.models import precision
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel
from pisces.prediction import signals
from pisces.prediction.signals import Signals

BATCH = 256

Outputs = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]
"""Of some frames: modulation logits, SNR scores, and features where there are any."""


class Evidence(NamedTuple):
    """Of n frames, on the CPU."""

    modulation_logits: torch.Tensor
    """float32 (n, modulations)."""
    snr_logits: torch.Tensor
    """Scores of the SNR head, float32 (n, SNRs)."""
    features: torch.Tensor | None
    """float32 (n, features), of a model that has some."""
    signals: Signals | None
    """Of frames whose views show symbols and noise."""


def collect(
    trained: TrainedModel, store: FrameStore, iq: IqStore | None, index: np.ndarray
) -> Evidence:
    """Evidence of frames of a data set.

    Args:
        trained: a model, on any device.
        store: the frames in the form that the model takes.
        iq: the frames behind them; without, there are no `signals`.
        index: int64 (n, 3), n > 0.

    Returns:
        Of each frame, in the order of the index.
    """
    model = trained.model.eval()
    where = next(model.parameters()).device
    true_db = torch.tensor(store.true_snrs_db, dtype=torch.float32, device=where)

    parts = []
    steps = batches(StoredFrames(store, where), index, BATCH)
    for batch in progress(steps, f"calibrate, {BATCH} frames each", -(-len(index) // BATCH)):
        parts.append(predict(model, trained.input.tensors(batch.stored), true_db[batch.snr]))
    measured = None
    if iq is not None and store.receiver is not None:
        measured = _measure(iq, store.receiver, index)
    return _evidence(parts, measured)


def of_frames(trained: TrainedModel, frames: torch.Tensor) -> Evidence:
    """Evidence of frames from anywhere.

    Args:
        trained: a model, not conditioned on the true SNR, on the CPU.
        frames: float32 (n, samples, 2), I then Q, of any power but zero, n > 0.

    Returns:
        Of each frame; they are read by the pulse of `trained.input`.

    Raises:
        ValueError: for frames that the model cannot take.
    """
    model, receiver = trained.model.eval(), trained.input.receiver
    parts = []
    for some in frames.split(BATCH):
        inputs = trained.input.tensors(trained.input.encode(some))
        parts.append(predict(model, inputs, torch.zeros(0)))
    measured = None
    if receiver is not None:
        measured = _joined([signals.measure(some, receiver) for some in frames.split(BATCH)])
    return _evidence(parts, measured)


@torch.inference_mode()
def predict(model: Classifier, inputs: torch.Tensor, snr_db: torch.Tensor) -> Outputs:
    """Logits of both heads, and features where the model has some, float32 on the CPU.

    Args:
        model: in evaluation mode.
        inputs: (n, ...), images or frames.
        snr_db: true SNRs (n,), which only a model conditioned on them takes.

    Returns:
        (n, modulations), (n, SNRs), and (n, features) or None.
    """
    with precision.autocast(model, inputs.device):
        if not model.has_features:
            modulation, snr = models.predict(model, inputs, snr_db)
            return modulation.float().cpu(), snr.float().cpu(), None
        features = model.features(inputs)
        modulation, snr = model.heads(features)
    return modulation.float().cpu(), snr.float().cpu(), features.float().cpu()


@torch.inference_mode()
def _measure(iq: IqStore, receiver: RenderSettings, index: np.ndarray) -> Signals:
    parts = []
    for start in range(0, len(index), BATCH):
        frames = torch.from_numpy(iq.gather(index[start : start + BATCH]))
        parts.append(signals.measure(frames, receiver))
    return _joined(parts)


def _evidence(parts: list[Outputs], measured: Signals | None) -> Evidence:
    modulation, snr, features = zip(*parts, strict=True)
    if features[0] is None:
        return Evidence(torch.cat(modulation), torch.cat(snr), None, measured)
    return Evidence(torch.cat(modulation), torch.cat(snr), torch.cat(features), measured)


def _joined(parts: list[Signals]) -> Signals:
    return Signals(*(torch.cat(column) for column in zip(*parts, strict=True)))
