"""What a trained model says: of whole frames, and of constellations with pixels taken out, through the same code."""

import numpy as np
import torch
from torch import nn

from pisces import models
from pisces.core.progress import progress
from pisces.data.datasets import StoredFrames, batches
from pisces.inputs.base import FrameStore
from pisces.models import denoiser
from pisces.models.modelfile import TrainedModel

BATCH = 256


def device() -> torch.device:
    """CUDA or MPS where there is one, else the CPU."""
    return (
        torch.accelerator.current_accelerator()
        if torch.accelerator.is_available()
        else torch.device("cpu")
    )


def bypass_denoiser(trained: TrainedModel) -> None:
    """From now on the model's classifier sees frames as they are where it was trained on denoised ones.

    Raises:
        ValueError: when it has no denoiser.
    """
    if not trained.model.has_denoiser:
        raise ValueError(
            f"evaluate.bypass_denoiser = true, but this {trained.architecture.model} has no denoiser; set it to false"
        )
    trained.model.bypass = True


def snr_source(trained: TrainedModel) -> str:
    """What `snr_estimate_db` of a model comes from, in words."""
    return (
        "estimated noise fraction"
        if getattr(trained.model, "has_noise_estimate", False)
        else "mean of the SNR head"
    )


@torch.inference_mode()
def predict(
    model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, modulations) and (n, snrs), without gradients; see `models.predict`."""
    return models.predict(model, inputs, snr_db)


def predict_iq(trained: TrainedModel, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, modulations) and (n, snrs) for frames from anywhere, float32 (n, samples, 2), I then Q, on the device of the model.

    Raises:
        ValueError: for frames that the model cannot take, and for a model conditioned on the true SNR, which needs labels.
    """
    stored = trained.input.encode(frames)
    with torch.inference_mode():
        return trained.model(trained.input.tensors(stored))


def predict_frames(
    trained: TrainedModel, data: FrameStore, index: np.ndarray
) -> dict[str, np.ndarray]:
    """What the model says of the frames of `index` (n, 3).

    `modulation_true`, `modulation_pred` (names) and `snr_true_db`, `snr_pred_db` (int64), each (n,); `modulation_prob` and
    `snr_prob` float32 (n, classes), whose columns `modulations` and `snrs_db` name; `snr_estimate_db` float32 (n,), from the noise
    fraction where the model estimates one, else the mean under `snr_prob`; `frame`, the index itself.
    """
    where = device()
    model = trained.model.to(where, memory_format=torch.channels_last)
    steps = progress(
        batches(StoredFrames(data, where), index, BATCH),
        f"evaluate, {BATCH} frames each",
        -(-len(index) // BATCH),
    )
    classes = torch.tensor(data.snrs_db, dtype=torch.float32, device=where)
    answers = [
        _answers(model, trained.input.tensors(batch.stored), classes[batch.snr], classes)
        for batch in steps
    ]
    modulation_prob, snr_prob, estimate_db = (
        torch.cat(part).cpu().numpy() for part in zip(*answers, strict=True)
    )
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
        "frame": index,
    }


@torch.inference_mode()
def _answers(
    model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor, classes: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Probabilities of both heads and the estimated SNR in dB (n,); `classes` (snrs,) in dB."""
    modulation, snr = (logits.float().softmax(1) for logits in predict(model, inputs, snr_db))
    if getattr(model, "has_noise_estimate", False):
        return modulation, snr, denoiser.snr_db(model.estimate(inputs))
    return modulation, snr, snr @ classes
