"""Losses that teach a model what is noise, of pairs of frames with less and more of it.

Frames are (n, 2, samples), I then Q, over their RMS; `snr_db` (n,) are their labels in dB. Losses
are means over the frames that count, 0 where none does. They need frames whose label is true: a
mixed frame is no frame of either label.
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


class Pair(NamedTuple):
    """Frames with noise added, over their own RMS as a model sees frames; and what they were.

    Both are at the same level: that of the noisier frame.
    """

    low: torch.Tensor  # (n, 2, samples)
    original: torch.Tensor  # (n, 2, samples)
    low_snr_db: torch.Tensor  # (n,)
    counts: torch.Tensor  # bool (n,): whether the step is large enough to learn from


def target_snr_db(
    snr_db: np.ndarray, settings: NoiseAwareSettings, floor_db: float, rng: np.random.Generator
) -> np.ndarray:
    """To which SNR each frame is degraded, never above its own.

    Args:
        snr_db: labels (n,).
        settings: the range of targets (`degrade_to_db`), or that of steps (`degrade_db`).
        floor_db: where steps end.
        rng: draws uniformly from the range.

    Returns:
        SNRs in dB (n,).
    """
    if settings.degrade_to_db is not None:
        return np.minimum(snr_db, rng.uniform(*settings.degrade_to_db, len(snr_db)))
    steps_db = rng.uniform(*settings.degrade_db, len(snr_db))
    return np.minimum(snr_db, np.maximum(snr_db - steps_db, floor_db))


def degrade(
    frames: torch.Tensor, snr_db: torch.Tensor, target_db: torch.Tensor, seed: torch.Tensor
) -> Pair:
    """Frames with white noise added in linear power, as `lower_snr` does.

    Args:
        frames: (n, 2, samples).
        snr_db: their labels (n,).
        target_db: their SNRs (n,) afterwards.
        seed: of the noise of each, int64 (n,).

    Returns:
        The frames before and after.
    """
    iq = torch.complex(*frames.float().unbind(1))  # (n, 2, samples) -> (n, samples)
    noisy = lower_snr(iq, snr_db, snr_db - target_db, seed)
    low = torch.view_as_real(noisy).mT  # (n, samples) -> (n, 2, samples)
    level = low.square().mean((1, 2), keepdim=True).sqrt()
    counts = snr_db - target_db >= MIN_STEP_DB
    return Pair(low / level, frames / level, target_db, counts)


def raw_gain(settings: RawGain, snr_db: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Gain (n,) of the raw path: 1, but at times less for frames of a low SNR.

    Args:
        settings: how often, below which SNR, and how much.
        snr_db: labels (n,).
        rng: draws, for each frame, whether and how much.

    Returns:
        Linear amplitude factors, float32 (n,).
    """
    fainter = rng.random(len(snr_db)) < settings.probability
    gain = rng.uniform(settings.low, settings.high, len(snr_db))
    drawn = torch.from_numpy(np.where(fainter, gain, 1).astype(np.float32)).to(snr_db.device)
    return torch.where(snr_db < settings.below_db, drawn, 1.0)


def denoising(denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference of the denoised `pair.low` from `pair.original`.

    The latter has noise of its own.
    """
    distance = (denoised - pair.original).abs().mean((1, 2))
    return _mean(distance, pair.counts.float())


def identity(denoised: torch.Tensor, frames: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Mean absolute change of frames by the denoiser, which should leave clean ones alone.

    Args:
        denoised: (n, 2, samples), what the denoiser makes of `frames`.
        frames: (n, 2, samples).
        snr_db: their labels (n,); a frame counts by sigmoid((SNR - 10 dB) / 2 dB).

    Returns:
        A scalar.
    """
    cleanness = torch.sigmoid((snr_db - CLEAN_DB) / CLEAN_WIDTH_DB)
    return _mean((denoised - frames).abs().mean((1, 2)), cleanness)


def noise(eta: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Smooth L1 (Girshick, ICCV 2015, eq. 3) of the estimated eta (n,)."""
    return functional.smooth_l1_loss(eta, denoiser.eta(snr_db))


def features(reference: Cldnn, denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference between the features of denoised frames and those of true ones.

    Args:
        reference: a frozen `Cldnn`, of whose first layers the mean over time is compared. One with
            two paths sees the noisy frames beside both.
        denoised: (n, 2, samples), of `pair.low`.
        pair: what they were.

    Returns:
        A scalar.
    """
    dual = reference.settings.paths == "dual"

    def early(frames: torch.Tensor) -> torch.Tensor:
        raw = pair.low if dual else frames
        maps = reference.early(reference.paths(raw, frames))
        return maps.mean(2)  # (n, 100, time) -> (n, 100)

    distance = (early(denoised) - early(pair.original)).abs().mean(1)
    return _mean(distance, pair.counts.float())


def distillation(
    logits: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    in_band: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Divergence from the teacher's predictions (Hinton, Vinyals and Dean, 2015).

    Args:
        logits: of the student, (n, modulations).
        teacher: its logits, (n, modulations). Frames that it gets wrong do not count.
        target: true classes, int64 (n,).
        in_band: which frames may count, bool (n,).
        temperature: T, which both logits are divided by.

    Returns:
        The mean Kullback-Leibler divergence of the softmaxes times T^2, a scalar.
    """
    right = in_band & (teacher.argmax(1) == target)
    log_student = torch.log_softmax(logits.float() / temperature, 1)
    log_teacher = torch.log_softmax(teacher.float() / temperature, 1)
    divergence = functional.kl_div(log_student, log_teacher, reduction="none", log_target=True)
    return _mean(divergence.sum(1) * temperature**2, right.float())


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of (n,), 0 where all weights are."""
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)
