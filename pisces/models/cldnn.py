"""The CLDNN family: convolutions, LSTM and dense layers on raw frames.

Members may be conditioned on how noisy the frame is, and may see it denoised. The classifier is
MCLDNN (Xu et al., IEEE Wireless Commun. Lett. 9 (2020)) with four changes: dropout after every
layer, attention instead of the last state, a temporal reduction for long frames, and a head that
grows with the classes. Frames are float32 (n, 2, samples), I then Q, over their RMS.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from pisces.models.classifier import Classifier
from pisces.models.cldnn_layers import (
    EARLY,
    FEATURES,
    AttentionPooling,
    Early,
    Film,
    head,
    reduction,
)
from pisces.models.denoiser import Denoiser, NoiseFraction, eta
from pisces.models.experts import MAPS, SHORTENED, ExpertMaps, cyclostationary, scalars

GATE_ETA, GATE_WIDTH = 0.8, 0.7
"""The eta at which the gate is half open, and how fast it opens; 0.8 is -3.5 dB."""
SHORTEST = 16
"""Samples of the shortest frame that survives all layers."""

KNOWN = {
    "paths": ("raw", "denoised", "dual"),
    "expert": ("none", "v1", "v2"),
    "condition": ("blind", "known"),
}
"""The allowed values of the settings that are names."""


class Settings(NamedTuple):
    """Which member of the family a model is."""

    paths: str = "raw"  # what the classifier sees: raw, denoised or dual, which is both
    film: bool = False  # eta scales and shifts the pooled feature
    expert: str = "none"  # none, v1 or v2 of experts.local_correlations
    expert_window: int = 1  # samples of its average, odd
    cyclo: bool = False  # experts.cyclostationary beside the pooled feature
    eta_gate: bool = False  # little noise closes expert maps and scalars
    dropout: float = 0.5
    channels: int = 32  # of the denoiser
    denoiser_dropout: float = 0.0
    soft_blend: bool = False  # the denoiser leaves frames above 10 dB alone
    condition: str = "blind"  # eta is estimated (blind) or that of the true SNR (known)


class Outputs(NamedTuple):
    """What the losses of a step need; None where the model has no such part."""

    modulation: torch.Tensor  # logits (n, modulations)
    snr: torch.Tensor  # scores of the SNR head
    eta: torch.Tensor | None  # estimate (n,) for the frames
    denoised: torch.Tensor | None  # the frames, (n, 2, samples)
    denoised_degraded: torch.Tensor | None  # the degraded frames, (n, 2, samples)


class Cldnn(Classifier):
    """Frames (n, 2, samples) -> modulation logits (n, modulations) and the scores of an SNR head.

    The SNR head reads the pooled feature before FiLM. `bypass` takes the denoiser out of a trained
    model: the classifier then sees the frame itself where it would see it denoised.

    Args:
        settings: which member of the family.
        samples: of each frame.
        modulations: how many.
        snr_head: builds the SNR head from the width of its features.

    Raises:
        ValueError: for settings that do not exist or contradict each other, or frames of fewer than
            `SHORTEST` samples.
    """

    def __init__(
        self,
        settings: Settings,
        samples: int,
        modulations: int,
        snr_head: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        check(settings, samples)
        self.settings = settings
        self.samples = samples

        # The order of construction decides what a seed draws for each layer.
        dropout = settings.dropout
        self.noise = _noise_estimate(settings)
        self.denoiser = _denoiser(settings)
        self.early = Early(2 if settings.paths == "dual" else 1, dropout)
        self.experts = _experts(settings)

        channels = EARLY if self.experts is None else EARLY + MAPS
        self.reduction = reduction(channels, samples - SHORTENED, dropout)
        reduced = EARLY if len(self.reduction) else channels
        # On CUDA this is cuDNN's, which refuses backward in eval mode.
        self.lstm = nn.LSTM(reduced, FEATURES, num_layers=2, batch_first=True, dropout=dropout)
        self.pooling = AttentionPooling()

        self.snr_head = snr_head(FEATURES)
        self.film = Film() if settings.film else None
        features = FEATURES + scalars(samples) if settings.cyclo else FEATURES
        self.head = head(features, modulations, dropout)

    @property
    def has_noise_estimate(self) -> bool:
        return self.noise is not None

    @property
    def has_denoiser(self) -> bool:
        return self.denoiser is not None

    @property
    def is_conditioned(self) -> bool:
        return self.settings.condition == "known"

    def estimate(self, frames: torch.Tensor) -> torch.Tensor:
        """Estimated eta (n,) of frames; only for a model that `has_noise_estimate`."""
        return super().estimate(frames) if self.noise is None else self.noise(frames)

    def forward(
        self, frames: torch.Tensor, snr_db: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulation logits (n, modulations) and SNR scores.

        The gradient with respect to the frames is the whole one, through the estimate of eta too,
        so that attributions can trust it. Training takes `learn`.

        Args:
            frames: float32 (n, 2, samples).
            snr_db: true SNRs in dB (n,), which only the condition `known` takes.
        """
        condition = self._condition(frames, snr_db)
        denoised = self._denoise(frames, condition)
        return self._classify(frames, self.paths(frames, denoised), condition)

    def learn(
        self,
        classified: torch.Tensor,
        frames: torch.Tensor,
        degraded: torch.Tensor | None = None,
        *,
        snr_db: torch.Tensor | None = None,
        degraded_snr_db: torch.Tensor | None = None,
        gradient: float = 1.0,
        raw_gain: torch.Tensor | None = None,
    ) -> Outputs:
        """All outputs that are trained on.

        Each of the three inputs is conditioned on an eta of its own, from its SNR or estimated.
        The estimate then gets no gradient: only its own loss trains it. Mixed frames take the
        SNRs of the frames in whose place they stand.

        Args:
            classified: (n, 2, samples), what is classified: `frames`, mixed up or as they are.
            frames: (n, 2, samples), of which eta and the denoised frames are returned.
            degraded: `frames` with more noise, of which the denoised frames are returned.
            snr_db: true SNRs in dB (n,) of `frames`, for the condition `known`.
            degraded_snr_db: true SNRs in dB (n,) of `degraded`, for the condition `known`.
            gradient: scale of the classifier's gradient into the denoiser; it changes no value.
            raw_gain: (n,), factors on the raw path.

        Returns:
            See `Outputs`.
        """
        estimate = None if self.noise is None else self.noise(frames)
        condition = self._condition(frames, snr_db) if estimate is None else estimate.detach()
        denoised = self._denoise(frames, condition)
        denoised_degraded = None
        if degraded is not None:
            condition_degraded = self._detached_condition(degraded, degraded_snr_db)
            denoised_degraded = self._denoise(degraded, condition_degraded)

        denoised_classified = denoised
        if classified is not frames:
            condition = self._detached_condition(classified, snr_db)
            denoised_classified = self._denoise(classified, condition)
        if denoised_classified is not None:
            denoised_classified = _scale_gradient(denoised_classified, gradient)

        paths = self.paths(classified, denoised_classified, raw_gain)
        modulation, snr = self._classify(classified, paths, condition)
        return Outputs(modulation, snr, estimate, denoised, denoised_degraded)

    def paths(
        self,
        frames: torch.Tensor,
        denoised: torch.Tensor | None,
        raw_gain: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What `early` takes.

        Args:
            frames: (n, 2, samples).
            denoised: the same denoised; not looked at by a model of the path raw.
            raw_gain: (n,), factors on the raw path.

        Returns:
            (n, paths, 2, samples): raw, denoised, or both in this order.
        """
        raw = frames if raw_gain is None else raw_gain[:, None, None] * frames
        if self.settings.paths == "raw" or denoised is None:
            return torch.stack([raw], 1)
        if self.settings.paths == "denoised":
            return torch.stack([denoised], 1)
        return torch.stack([raw, denoised], 1)

    def _condition(self, frames: torch.Tensor, snr_db: torch.Tensor | None) -> torch.Tensor | None:
        """The eta (n,) that conditions denoiser, FiLM and gate; None when there are none."""
        if frames.shape[2] != self.samples:
            raise ValueError(
                f"this model takes frames of {self.samples} samples, not {frames.shape[2]}; "
                "train it on frames of that length"
            )
        if self.settings.condition == "blind":
            return None if self.noise is None else self.noise(frames)
        if snr_db is None:
            raise ValueError(
                "a model with condition 'known' needs the true SNRs of its frames; "
                "give snr_db or train with condition 'blind'"
            )
        return eta(snr_db)

    def _detached_condition(
        self, frames: torch.Tensor, snr_db: torch.Tensor | None
    ) -> torch.Tensor | None:
        with torch.no_grad():
            return self._condition(frames, snr_db)

    def _denoise(self, frames: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor | None:
        if self.denoiser is None:
            return None
        return frames if self.bypass else self.denoiser(frames, condition)

    def _classify(
        self, frames: torch.Tensor, paths: torch.Tensor, condition: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulation logits and SNR scores; experts and scalars see the frames as received."""
        maps = self.early(paths)
        if self.experts is not None:
            expert_maps = self._gated(self.experts(frames), condition)
            maps = torch.cat([maps, expert_maps], 1)

        states, _ = self.lstm(self.reduction(maps).mT)  # (n, channels, time) -> (n, time, FEATURES)
        features = self.pooling(states)
        snr = self.snr_head(features)

        if self.film is not None:
            features = self.film(features, condition)
        if self.settings.cyclo:
            expert_scalars = self._gated(cyclostationary(frames), condition)
            features = torch.cat([features, expert_scalars], 1)
        return self.head(features), snr

    def _gated(self, features: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        if condition is None or not self.settings.eta_gate:
            return features
        ones = [1] * (features.ndim - 1)
        return gate(condition).view(-1, *ones) * features


def _scale_gradient(values: torch.Tensor, factor: float) -> torch.Tensor:
    """The same values, through which a gradient passes multiplied by `factor`."""
    return torch.lerp(values.detach(), values, factor)


def _noise_estimate(settings: Settings) -> NoiseFraction | None:
    """Present where something is conditioned on an eta that no label gives."""
    conditioned = settings.paths != "raw" or settings.film or settings.eta_gate
    return NoiseFraction() if conditioned and settings.condition == "blind" else None


def _denoiser(settings: Settings) -> Denoiser | None:
    if settings.paths == "raw":
        return None
    return Denoiser(settings.channels, settings.denoiser_dropout, settings.soft_blend)


def _experts(settings: Settings) -> ExpertMaps | None:
    if settings.expert == "none":
        return None
    return ExpertMaps(settings.expert, settings.expert_window, settings.dropout)


def gate(eta: torch.Tensor) -> torch.Tensor:
    """Share of the expert features that is let through, of the shape of `eta`.

    All of them in much noise, 1/2 at -3.5 dB, none without noise.
    """
    return torch.sigmoid((eta - GATE_ETA) / GATE_WIDTH)


def check(settings: Settings, samples: int) -> None:
    """Raises a ValueError when there is no such model for frames of so many samples."""
    for name, known in KNOWN.items():
        value = getattr(settings, name)
        if value not in known:
            raise ValueError(f"{name} {value!r} is unknown; there are {', '.join(known)}")

    if settings.expert_window < 1 or settings.expert_window % 2 == 0:
        raise ValueError(
            f"expert_window = {settings.expert_window} has no centre; "
            "give an odd number of samples, 1 for no average"
        )
    if settings.eta_gate and settings.expert == "none" and not settings.cyclo:
        raise ValueError(
            "eta_gate = true finds nothing to gate; set expert or cyclo, or set it to false"
        )
    if samples < SHORTEST:
        raise ValueError(
            f"frames of {samples} samples are too short for this model; give it {SHORTEST} or more"
        )
