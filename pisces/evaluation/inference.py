"""What a trained model predicts: for frames of a data set, and for frames from anywhere."""

import math
from typing import Literal

import numpy as np
import torch
from torch import nn

from pisces import models
from pisces.core.hardware import gpu_complaints
from pisces.core.progress import progress
from pisces.data.datasets import StoredFrames, batches
from pisces.inputs.base import FrameStore
from pisces.models import denoiser, precision
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel
from pisces.models.precision import Resolved

BATCH = 256
LEAST_SAMPLES = 2
"""Of a frame: one alone is the same for every signal once its power is divided out."""

BYPASSED = "tested with the denoiser bypassed"
"""`note` on predictions of a model whose denoiser is out of the way."""


def device() -> torch.device:
    """CUDA or MPS where there is one, else the CPU."""
    with gpu_complaints():
        accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def bypass_denoiser(trained: TrainedModel) -> None:
    """Lets the classifier see frames as they are, where it was trained on denoised ones.

    Raises:
        ValueError: when the model has no denoiser.
    """
    if not trained.model.has_denoiser:
        raise ValueError(
            f"evaluate.bypass_denoiser = true, but this {trained.architecture.model} has no "
            "denoiser; set it to false"
        )
    trained.model.bypass = True


def choose_precision(trained: TrainedModel, asked: Literal["auto"] | Resolved) -> None:
    """Lets a model on a CPU predict in bfloat16 where it would be trained in that, too.

    Where it was trained in 16-mixed, as only a GPU can, a CPU predicts in 32-true.

    Args:
        trained: the model.
        asked: `train.precision`.
    """
    if device().type == "cpu" and asked != "16-mixed":
        resolved = precision.resolve(asked, "cpu", trained.architecture.model)
        trained.model.predicts_in_bf16 = resolved == "bf16-mixed"


def snr_source(trained: TrainedModel) -> str:
    """What `snr_estimate_db` of a model comes from, in words."""
    if trained.model.has_noise_estimate:
        return "estimated noise fraction"
    return "mean of the SNR head"


@torch.inference_mode()
def predict(
    model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Predictions of a model, without gradients.

    Args:
        model: as `models.build` makes it.
        inputs: (n, ...), images or frames, whichever the model takes.
        snr_db: (n,), true SNRs in dB, which only a model conditioned on them takes.

    Returns:
        Modulation logits (n, modulations) and SNR scores (n, SNRs).
    """
    with precision.autocast(model, inputs.device):
        return models.predict(model, inputs, snr_db)


def predict_iq(trained: TrainedModel, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Modulation logits (n, modulations) and SNR scores (n, SNRs) for frames from anywhere.

    Args:
        trained: a model, as `modelfile.load` gives it.
        frames: float32 (n, samples, 2), I then Q, of any power, on the device of the model.

    Raises:
        ValueError: for no frame, frames of fewer than two samples, or any others that the model
            cannot take, and for a model conditioned on the true SNR, which needs labels.

    >>> import torch
    >>> from pisces import models
    >>> from pisces.inputs.waveform import Waveform
    >>> from pisces.models import Architecture
    >>> architecture = Architecture("mcnet", "plain", "standard")
    >>> model = models.build(architecture, (2, 128), modulations=2, snrs_db=(0, 10, 20)).eval()
    >>> trained = TrainedModel(model, architecture, Waveform(128), ("BPSK", "QPSK"), (0, 10, 20))
    >>> modulation, snr = predict_iq(trained, torch.randn(5, 128, 2))
    >>> modulation.shape, snr.shape
    (torch.Size([5, 2]), torch.Size([5, 3]))
    >>> names = [trained.modulations[m] for m in modulation.argmax(1)]
    >>> probability = modulation.softmax(1)  # of each modulation
    """
    if frames.dim() == 3 and (len(frames) == 0 or frames.shape[1] < LEAST_SAMPLES):
        raise ValueError(
            f"frames of shape {tuple(frames.shape)} hold nothing to be recognised: give one frame "
            f"or more, (n, samples, 2), of {LEAST_SAMPLES} samples or more"
        )
    stored = trained.input.encode(frames)
    with torch.inference_mode():
        return trained.model(trained.input.tensors(stored))


def predict_frames(
    trained: TrainedModel, data: FrameStore, index: np.ndarray
) -> dict[str, np.ndarray]:
    """What the model predicts for frames of a data set, with what they really are.

    Args:
        trained: a model, which is moved to `device()`.
        data: the frames in the form that the model takes, as `trained.input.open` gives them.
        index: int64 (n, 3): modulation, SNR, row in the shard.

    Returns:
        - `modulation_true`, `modulation_pred`: names (n,).
        - `snr_true_db`, `snr_pred_db`: labels, int64 (n,).
        - `modulation_prob`, `snr_prob`: float32 (n, modulations) and (n, SNRs).
        - `modulations`, `snrs_db`: class of each column.
        - `snr_label`: what the labels mean, see `core.snr_label`.
        - `snr_estimate_db`: float32 (n,), true SNR in dB, and `snr_source`, what it comes from: the
          noise fraction where the model estimates one, else the mean under `snr_prob`.
        - `frame`: the index itself.
        - `note`: what a caption must mention, `BYPASSED` or empty.
    """
    where = device()
    model = trained.model.to(where).to(memory_format=torch.channels_last)
    classes_db = torch.tensor(data.true_snrs_db, dtype=torch.float32, device=where)

    steps = batches(StoredFrames(data, where), index, BATCH)
    total = math.ceil(len(index) / BATCH)
    parts = []
    for batch in progress(steps, f"evaluate, {BATCH} frames each", total):
        inputs = trained.input.tensors(batch.stored)
        parts.append(_probabilities(model, inputs, classes_db[batch.snr], classes_db))
    columns = [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]
    modulation_prob, snr_prob, estimate_db = columns

    modulations, snrs_db = np.array(data.modulations), np.array(data.snrs_db)
    return {
        "modulation_true": modulations[index[:, 0]],
        "modulation_pred": modulations[modulation_prob.argmax(1)],
        "snr_true_db": snrs_db[index[:, 1]],
        "snr_pred_db": snrs_db[snr_prob.argmax(1)],
        "modulation_prob": modulation_prob,
        "snr_prob": snr_prob,
        "snr_estimate_db": estimate_db,
        "modulations": modulations,
        "snrs_db": snrs_db,
        "snr_label": np.array(data.snr_label),
        "frame": index,
        "snr_source": np.array(snr_source(trained)),
        "note": np.array(BYPASSED if trained.model.bypass else ""),
    }


@torch.inference_mode()
def _probabilities(
    model: Classifier, inputs: torch.Tensor, snr_db: torch.Tensor, classes_db: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Probabilities (n, classes) of both heads and the estimated SNR in dB (n,)."""
    logits, scores = predict(model, inputs, snr_db)
    modulation, snr = logits.float().softmax(1), scores.float().softmax(1)
    if model.has_noise_estimate:
        estimate_db = denoiser.snr_db(model.estimate(inputs))
    else:
        estimate_db = snr @ classes_db  # (n, SNRs) @ (SNRs,) -> (n,)
    return modulation, snr, estimate_db
