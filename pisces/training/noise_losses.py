"""Auxiliary losses of a noise-aware model: of its denoiser, its noise estimate and its logits.

The denoiser learns from pairs: a frame, and the same frame degraded by more white noise. Each loss
is a scalar, the mean over the frames that are valid for it, and 0 where none is.

Frames are (n, 2, samples), I then Q, over their RMS; `snr_db` (n,) are their true SNRs in dB, as
their labels tell them. Mixup is kept away: a mixture of two frames has the SNR of neither.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from pisces.models import denoiser
from pisces.models.cldnn import Cldnn
from pisces.training.augmentation import lower_snr
from pisces.training.settings import MIN_STEP_DB, NoiseAwareSettings, RawGain

CLEAN_DB, CLEAN_WIDTH_DB = 10.0, 2.0
"""Where the denoiser should begin to leave frames alone, and how gradually."""

# Pairs of frames


class Pair(NamedTuple):
    """Frames with noise added, and the same frames without it.

    Both are divided by the RMS of the degraded frame, which a model sees at RMS 1.
    """

    degraded: torch.Tensor  # (n, 2, samples)
    original: torch.Tensor  # (n, 2, samples)
    degraded_snr_db: torch.Tensor  # (n,)
    valid: torch.Tensor  # bool (n,): whether enough noise was added to learn from


def target_snr_db(
    snr_db: np.ndarray, settings: NoiseAwareSettings, floor_db: float, rng: np.random.Generator
) -> np.ndarray:
    """To which SNR each frame is degraded, never above its own.

    Args:
        snr_db: true SNRs (n,).
        settings: the range of targets (`degrade_to_db`), or that of steps (`degrade_db`).
        floor_db: the lowest SNR that a step leads to.
        rng: draws uniformly from the range.

    Returns:
        SNRs in dB (n,).
    """
    if settings.degrade_to_db is not None:
        targets_db = rng.uniform(*settings.degrade_to_db, len(snr_db))
    else:
        steps_db = rng.uniform(*settings.degrade_db, len(snr_db))
        targets_db = np.maximum(snr_db - steps_db, floor_db)
    return np.minimum(snr_db, targets_db)


def degrade(
    frames: torch.Tensor, snr_db: torch.Tensor, target_db: torch.Tensor, seed: torch.Tensor
) -> Pair:
    """Frames with white noise added in linear power, as `lower_snr` does.

    Args:
        frames: (n, 2, samples).
        snr_db: their true SNRs (n,).
        target_db: those (n,) afterwards.
        seed: of the noise of each, int64 (n,).

    Returns:
        The frames before and after.
    """
    iq = torch.complex(*frames.float().unbind(1))  # (n, 2, samples) -> (n, samples)
    step_db = snr_db - target_db
    noisy = lower_snr(iq, snr_db, step_db, seed)

    degraded = torch.view_as_real(noisy).mT  # (n, samples) -> (n, 2, samples)
    rms = degraded.square().mean((1, 2), keepdim=True).sqrt()  # (n, 1, 1)
    return Pair(degraded / rms, frames / rms, target_db, step_db >= MIN_STEP_DB)


# The raw path


def raw_gain(settings: RawGain, label_db: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Gain of the raw path: 1, but for some frames of a low SNR one drawn at random.

    Args:
        settings: how often, below which SNR label, and from which range.
        label_db: SNR labels (n,).
        rng: draws, for each frame, whether and how much.

    Returns:
        Linear amplitude factors, float32 (n,).
    """
    n = len(label_db)
    is_chosen = rng.random(n) < settings.probability
    random_gain = rng.uniform(settings.low, settings.high, n)
    of_chosen = np.where(is_chosen, random_gain, 1).astype(np.float32)

    gain = torch.from_numpy(of_chosen).to(label_db.device)
    is_noisy = label_db < settings.below_db
    return torch.where(is_noisy, gain, 1.0)


# Losses


def denoising_loss(denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference of the denoised `pair.degraded` from `pair.original`.

    The original is no clean frame: it keeps the noise that it was received with.
    """
    distance = (denoised - pair.original).abs().mean((1, 2))  # (n,)
    return _mean(distance, pair.valid.float())


def identity_loss(
    denoised: torch.Tensor, frames: torch.Tensor, snr_db: torch.Tensor
) -> torch.Tensor:
    """Mean absolute change of frames by the denoiser, which should leave clean ones alone.

    Args:
        denoised: (n, 2, samples), what the denoiser makes of `frames`.
        frames: (n, 2, samples).
        snr_db: their true SNRs (n,); the weight of a frame is sigmoid((SNR - 10 dB) / 2 dB).

    Returns:
        A scalar.
    """
    change = (denoised - frames).abs().mean((1, 2))  # (n,)
    cleanness = torch.sigmoid((snr_db - CLEAN_DB) / CLEAN_WIDTH_DB)
    return _mean(change, cleanness)


def noise_loss(eta: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Smooth L1 (Girshick, ICCV 2015, eq. 3) of the estimated eta against that of the labels.

    Both are eta = ln(noise / signal), (n,).
    """
    return functional.smooth_l1_loss(eta, denoiser.eta(snr_db))


def features_loss(reference: Cldnn, denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference between the features of denoised frames and of their originals.

    Args:
        reference: a frozen `Cldnn`; its features are the outputs of `Cldnn.early`, averaged over
            time. One of two paths is shown the degraded frames on its raw path both times.
        denoised: (n, 2, samples), what the denoiser makes of `pair.degraded`.
        pair: the degraded frames and their originals.

    Returns:
        A scalar.
    """
    of_denoised = _features(reference, denoised, pair)
    of_original = _features(reference, pair.original, pair)
    distance = (of_denoised - of_original).abs().mean(1)  # (n, channels) -> (n,)
    return _mean(distance, pair.valid.float())


def _features(reference: Cldnn, frames: torch.Tensor, pair: Pair) -> torch.Tensor:
    """What `reference` makes of frames on its denoised path: (n, channels)."""
    is_dual = reference.settings.paths == "dual"
    raw = pair.degraded if is_dual else frames
    maps = reference.early(reference.paths(raw, frames))
    return maps.mean(2)  # (n, channels, time) -> (n, channels)


def distillation_loss(
    logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    target: torch.Tensor,
    in_band: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Divergence from the teacher's predictions (Hinton, Vinyals and Dean, 2015).

    Args:
        logits: of the student, (n, modulations).
        teacher_logits: (n, modulations). Frames that the teacher gets wrong are left out.
        target: true classes, int64 (n,).
        in_band: whether the SNR of a frame is one to be taught, bool (n,).
        temperature: T, above 0, which both logits are divided by.

    Returns:
        The mean Kullback-Leibler divergence of the softmaxes times T^2, a scalar.
    """
    log_student = torch.log_softmax(logits.float() / temperature, 1)
    log_teacher = torch.log_softmax(teacher_logits.float() / temperature, 1)
    divergence = functional.kl_div(log_student, log_teacher, reduction="none", log_target=True)

    teacher_is_right = teacher_logits.argmax(1) == target
    valid = in_band & teacher_is_right
    return _mean(divergence.sum(1) * temperature**2, valid.float())


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of (n,), 0 where all weights are."""
    smallest = torch.finfo(weights.dtype).tiny
    return (values * weights).sum() / weights.sum().clamp_min(smallest)
