"""How a `cldnn` learns what is noise: auxiliary losses beside those of the two tasks, phase by phase.

Frames are (n, 2, samples) over their RMS, and `snr_db` (n,) are their labels. The auxiliary losses need frames whose label is true, so
mixup never touches them, unless `mixup_losses` asks for that: a mixed frame is no frame of either label.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import rankdata
from torch import nn
from torch.nn import functional

from pisces import models
from pisces.models import denoiser, modelfile
from pisces.training.augmentation import Mix, lower_snr
from pisces.training.settings import MIN_STEP_DB, NoiseAwareSettings, Phase

LOSSES = ("denoising", "identity", "noise", "features", "distillation")
PARTS = ("denoiser.", "noise.")
"""What of a `Cldnn` learns while the tasks have no weight, as its parameters are named."""
CLEAN_DB, CLEAN_WIDTH_DB = 10.0, 2.0
"""Where the denoiser should begin to leave frames alone, and how gradually."""
Answers = tuple[torch.Tensor, torch.Tensor]
Losses = dict[str, torch.Tensor]


def phase_number(settings: NoiseAwareSettings, epoch: int) -> int:
    """Place in `settings.phases` of the one that an epoch, counted from 1, is in."""
    for i, phase in enumerate(settings.phases[:-1]):
        if epoch <= phase.epochs:
            return i
        epoch -= phase.epochs
    return len(settings.phases) - 1


def phase_of(settings: NoiseAwareSettings, epoch: int) -> Phase:
    """The phase that an epoch, counted from 1, is in."""
    return settings.phases[phase_number(settings, epoch)]


def epochs_apart(settings: NoiseAwareSettings) -> int:
    """Epochs before phase c."""
    return sum(phase.epochs for phase in settings.phases[:-1])


def features_weight(settings: NoiseAwareSettings, phase: Phase, epoch: int) -> float:
    """Weight of the loss `features`: 0 in phase a, then growing in a straight line to that of the phase."""
    since = epoch - settings.a.epochs
    return phase.features * min(1.0, max(0, since) / max(1, settings.features_ramp_epochs))


# Pairs


def target_snr_db(
    snr_db: np.ndarray, settings: NoiseAwareSettings, floor_db: float, rng: np.random.Generator
) -> np.ndarray:
    """To which SNR, in dB (n,), frames are degraded; never above theirs, nor below `floor_db` where the step is drawn."""
    if settings.degrade_to_db is not None:
        return np.minimum(snr_db, rng.uniform(*settings.degrade_to_db, len(snr_db)))
    return np.minimum(
        snr_db, np.maximum(snr_db - rng.uniform(*settings.degrade_db, len(snr_db)), floor_db)
    )


class Pair(NamedTuple):
    """Frames with noise added, over their own RMS as a model sees frames; and what they were, at the same level."""

    low: torch.Tensor  # (n, 2, samples)
    original: torch.Tensor  # (n, 2, samples)
    low_snr_db: torch.Tensor  # (n,)
    counts: torch.Tensor  # bool (n,): whether the step is large enough to learn from


def degrade(
    frames: torch.Tensor, snr_db: torch.Tensor, target_db: torch.Tensor, seed: torch.Tensor
) -> Pair:
    """Frames (n, 2, samples) of `snr_db` with white noise of `seed` int64 (n,) up to `target_db`, in linear power: see `lower_snr`."""
    iq = torch.complex(*frames.float().unbind(1))
    low = torch.view_as_real(lower_snr(iq, snr_db, snr_db - target_db, seed)).mT  # (n, 2, samples)
    level = low.square().mean((1, 2), keepdim=True).sqrt()
    return Pair(low / level, frames / level, target_db, snr_db - target_db >= MIN_STEP_DB)


# Losses: means over the frames that count, 0 where none does


def denoising(denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference of the denoised frames from what they were before noise was added, which has noise of its own."""
    return _mean((denoised - pair.original).abs().mean((1, 2)), pair.counts.float())


def identity(denoised: torch.Tensor, frames: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Mean absolute change of frames by the denoiser, each counting the more the cleaner it is: sigmoid((SNR - 10 dB) / 2 dB)."""
    return _mean(
        (denoised - frames).abs().mean((1, 2)), torch.sigmoid((snr_db - CLEAN_DB) / CLEAN_WIDTH_DB)
    )


def noise(eta: torch.Tensor, snr_db: torch.Tensor) -> torch.Tensor:
    """Smooth L1 (Girshick, ICCV 2015, eq. 3) of the estimated eta (n,)."""
    return functional.smooth_l1_loss(eta, denoiser.eta(snr_db))


def features(reference: nn.Module, denoised: torch.Tensor, pair: Pair) -> torch.Tensor:
    """Mean absolute difference that the denoised frames and the true ones make to the first layers of a frozen model, over time averaged.

    A model of two paths sees the noisy frames beside both.
    """

    dual = reference.settings.paths == "dual"

    def early(frames: torch.Tensor) -> torch.Tensor:
        return reference.early(reference.paths(pair.low if dual else frames, frames)).mean(
            2
        )  # (n, 100)

    return _mean((early(denoised) - early(pair.original)).abs().mean(1), pair.counts.float())


def distillation(
    logits: torch.Tensor,
    teacher: torch.Tensor,
    target: torch.Tensor,
    in_band: torch.Tensor,
    temperature: float,
) -> torch.Tensor:
    """Kullback-Leibler divergence from the teacher's softmax at a `temperature` T, times T^2 (Hinton, Vinyals and Dean, 2015).

    Over the frames `in_band`, bool (n,), that the teacher gets right; logits are (n, modulations) and `target` int64 (n,).
    """
    right = in_band & (teacher.argmax(1) == target)
    student, wise = (torch.log_softmax(one.float() / temperature, 1) for one in (logits, teacher))
    divergence = functional.kl_div(student, wise, reduction="none", log_target=True).sum(1)
    return _mean(divergence * temperature**2, right.float())


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(weights.dtype).tiny)


class Auxiliary:
    """Asks a `Cldnn` in training for its answers and auxiliary losses."""

    def __init__(
        self,
        settings: NoiseAwareSettings,
        model: nn.Module,
        modulations: Sequence[str],
        snrs_db: Sequence[int],
        device: torch.device,
    ):
        self.settings, self.floor_db = settings, float(min(snrs_db))
        self.has_denoiser, self.is_dual = model.has_denoiser, model.settings.paths == "dual"
        self.reference = _frozen(settings.reference, "reference", model, modulations, device)
        self.teacher = _frozen(settings.teacher, "teacher", model, modulations, device)

    def weights(self, epoch: int) -> dict[str, float]:
        """Of the tasks (`classification`) and of each loss, in an epoch counted from 1."""
        if not self.has_denoiser:
            last = self.settings.c
            without_denoiser = {
                name: getattr(last, name) for name in ("classification", "noise", "distillation")
            }
            return dict.fromkeys(LOSSES, 0.0) | without_denoiser
        phase = phase_of(self.settings, epoch)
        weights = {name: getattr(phase, name) for name in ("classification", *LOSSES)}
        return weights | {"features": features_weight(self.settings, phase, epoch)}

    def __call__(
        self,
        model: nn.Module,
        frames: torch.Tensor,
        mix: Mix | None,
        snr_db: torch.Tensor,
        target: torch.Tensor,
        epoch: int,
        rng: np.random.Generator,
        taught: bool = True,
    ) -> tuple[Answers, Losses]:
        """Answers about the frames, mixed by `mix`, and the losses there are, of the frames as given; `taught`: by the teacher."""
        weights = self.weights(epoch)
        pair = (
            self._pair(frames, snr_db, rng) if weights["denoising"] or weights["features"] else None
        )
        out = model.learn(
            mix(frames) if mix else frames,
            frames,
            pair and pair.low,
            snr_db=snr_db,
            low_snr_db=pair and pair.low_snr_db,
            gradient=phase_of(self.settings, epoch).gradient,
            raw_gain=self._raw_gain(snr_db, rng),
        )
        found: Losses = {}
        if pair is not None:
            found["denoising"] = denoising(out.denoised_low, pair)
        if out.denoised is not None:
            found["identity"] = identity(out.denoised, frames, snr_db)
        if out.eta is not None:
            found["noise"] = noise(out.eta, snr_db)
        if weights["features"]:
            found["features"] = features(self.reference, out.denoised_low, pair)
        if weights["distillation"] and taught:
            found["distillation"] = self._distillation(out.modulation, frames, snr_db, target)
        return (out.modulation, out.snr), found

    def _pair(self, frames: torch.Tensor, snr_db: torch.Tensor, rng: np.random.Generator) -> Pair:
        target_db = target_snr_db(snr_db.cpu().numpy(), self.settings, self.floor_db, rng)
        seeds = rng.integers(2**63, size=len(frames))
        here = (
            torch.from_numpy(one).to(frames.device) for one in (target_db.astype(np.float32), seeds)
        )
        return degrade(frames, snr_db, *here)

    def _raw_gain(self, snr_db: torch.Tensor, rng: np.random.Generator) -> torch.Tensor | None:
        raw = self.settings.raw_gain
        if not raw.probability or not self.is_dual:
            return None
        fainter, gain = (
            rng.random(len(snr_db)) < raw.probability,
            rng.uniform(raw.low, raw.high, len(snr_db)),
        )
        drawn = torch.from_numpy(np.where(fainter, gain, 1).astype(np.float32)).to(snr_db.device)
        return torch.where(snr_db < raw.below_db, drawn, 1.0)

    def _distillation(
        self, logits: torch.Tensor, frames: torch.Tensor, snr_db: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        with torch.no_grad():
            teacher, _ = models.predict(self.teacher, frames, snr_db)
        low, high = self.settings.teach_band_db
        return distillation(
            logits, teacher, target, (snr_db >= low) & (snr_db <= high), self.settings.temperature
        )


def _frozen(
    folder: str | None, key: str, model: nn.Module, modulations: Sequence[str], device: torch.device
) -> nn.Module | None:
    """The trained cldnn of a folder, for frames as long as those of `model`, and, of a teacher, the same classes."""
    if folder is None:
        return None
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"noise_aware.{key} = {folder} is no folder; name that of a trained cldnn, by an absolute path"
        )
    trained = modelfile.load(Path(folder))
    if trained.architecture.cldnn is None or trained.input.samples != model.samples:
        raise ValueError(
            f"noise_aware.{key} = {folder} holds {trained.architecture.model}, not a cldnn of frames of {model.samples} samples; name one"
        )
    if key == "teacher" and trained.modulations != tuple(modulations):
        raise ValueError(
            f"noise_aware.teacher = {folder} knows {trained.modulations}, not {tuple(modulations)}; name one trained on these"
        )
    return trained.model.requires_grad_(False).to(device).eval()


# What is reported


def report(eta: np.ndarray, snr_db: np.ndarray) -> dict[str, float]:
    """How well the estimates eta (n,) tell the SNR of labels (n,) in dB.

    `eta_pearson` and `eta_spearman` correlations with the eta of the labels, `eta_monotonicity`, the share of neighbouring SNRs whose
    mean estimates fall in the right order, and `eta_mean_<dB>dB` and `eta_std_<dB>dB` of each label.
    """
    truth = denoiser.eta(torch.from_numpy(snr_db.astype(np.float64))).numpy()
    labels = np.unique(snr_db)
    groups = [eta[snr_db == label] for label in labels]
    means, spreads = (
        np.array([group.mean() for group in groups]),
        np.array([group.std() for group in groups]),
    )
    found = {
        "eta_pearson": _correlation(eta, truth),
        "eta_spearman": _correlation(rankdata(eta), rankdata(truth)),
    }
    found["eta_monotonicity"] = float(np.mean(np.diff(means) < 0)) if len(labels) > 1 else np.nan
    for label, mean, spread in zip(labels, means, spreads, strict=True):
        found |= {f"eta_mean_{label:g}dB": float(mean), f"eta_std_{label:g}dB": float(spread)}
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's; NaN where one of the two is constant."""
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) and np.ptp(other) else float("nan")
