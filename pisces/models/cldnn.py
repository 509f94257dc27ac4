"""The CLDNN family: convolutions, LSTM and dense layers on the raw frame, which may be told how noisy it is and see it denoised.

The classifier is MCLDNN (Xu et al., IEEE Wireless Commun. Lett. 9 (2020)) with dropout after every layer, attention instead of the last
state, a temporal reduction for long frames and a head that grows with the classes. Frames are float32 (n, 2, samples), I then Q,
over their RMS.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from pisces.models.denoiser import ETA_MAX, ETA_MIN, Denoiser, NoiseFraction, eta
from pisces.models.experts import MAPS, SHORTENED, ExpertMaps, cyclostationary, scalars

EARLY = 100
"""Channels of the maps before the LSTM."""
LONGEST = 192
"""Steps the LSTM takes; longer maps are halved until they fit."""
FEATURES = 128
GATE_ETA, GATE_WIDTH = 0.8, 0.7


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
    condition: str = "blind"  # eta is estimated (blind) or that of the SNR label (known)


class Outputs(NamedTuple):
    """What the losses of a step need; None where the model has no such part."""

    modulation: torch.Tensor  # logits (n, modulations)
    snr: torch.Tensor  # scores of the SNR head
    eta: torch.Tensor | None  # estimate (n,) for the frames
    denoised: torch.Tensor | None  # the frames, (n, 2, samples)
    denoised_low: torch.Tensor | None  # the degraded frames


class Cldnn(nn.Module):
    """Frames (n, 2, samples) -> modulation logits (n, modulations) and what `snr_head(FEATURES)` makes of the feature before FiLM.

    `bypass` takes the denoiser out of a trained model: what it was to denoise is then seen as it is.

    Raises:
        ValueError: for settings that do not exist or contradict each other, or frames of fewer than 16 samples.
    """

    def __init__(
        self,
        settings: Settings,
        samples: int,
        modulations: int,
        snr_head: Callable[[int], nn.Module],
    ):
        super().__init__()
        check(settings, samples)
        self.settings, self.samples, self.bypass = settings, samples, False
        denoises = settings.paths != "raw"
        estimates = settings.condition == "blind" and (
            denoises or settings.film or settings.eta_gate
        )
        expert, dropout = settings.expert != "none", settings.dropout
        channels, time = EARLY + (MAPS if expert else 0), samples - SHORTENED

        self.noise = NoiseFraction() if estimates else None
        self.denoiser = (
            Denoiser(settings.channels, settings.denoiser_dropout, settings.soft_blend)
            if denoises
            else None
        )
        self.early = Early(2 if settings.paths == "dual" else 1, dropout)
        self.experts = (
            ExpertMaps(settings.expert, settings.expert_window, dropout) if expert else None
        )
        self.reduction = reduction(channels, time, dropout)
        # On CUDA this is cuDNN's, which refuses backward in eval mode.
        self.lstm = nn.LSTM(
            EARLY if len(self.reduction) else channels,
            FEATURES,
            num_layers=2,
            batch_first=True,
            dropout=dropout,
        )
        self.pooling = AttentionPooling()
        self.snr_head = snr_head(FEATURES)
        self.film = Film() if settings.film else None
        self.head = head(
            FEATURES + (scalars(samples) if settings.cyclo else 0), modulations, dropout
        )

    @property
    def has_noise_estimate(self) -> bool:
        return self.noise is not None

    @property
    def has_denoiser(self) -> bool:
        return self.denoiser is not None

    @property
    def is_oracle(self) -> bool:
        """Whether it has to be told the SNR."""
        return self.settings.condition == "known"

    def estimate(self, frames: torch.Tensor) -> torch.Tensor:
        """Estimated eta (n,) of frames; only for a model that `has_noise_estimate`."""
        return self.noise(frames)

    def forward(
        self, frames: torch.Tensor, snr_db: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Modulation logits and SNR scores. Labels `snr_db` (n,) are only for the condition `known`.

        The gradient with respect to the frames is the whole one, through the estimate of eta too, so that attributions can
        trust it. Training takes `learn`.
        """
        told = self._condition(frames, snr_db)
        return self._classify(frames, self.paths(frames, self._denoise(frames, told)), told)

    def learn(
        self,
        classified: torch.Tensor,
        frames: torch.Tensor,
        low: torch.Tensor | None = None,
        *,
        snr_db: torch.Tensor | None = None,
        low_snr_db: torch.Tensor | None = None,
        gradient: float = 1.0,
        raw_gain: torch.Tensor | None = None,
    ) -> Outputs:
        """All outputs that are trained on: answers for `classified`, eta and denoised frames for `frames` and `low`.

        `classified` is `frames`, mixed up or as they are, and `low` is `frames` with more noise. Each is conditioned on an eta of its own,
        estimated (and then without gradient: only its own loss trains the estimate) or from its labels; mixed frames count as
        those in whose place they stand. `gradient` scales the classifier's gradient into the denoiser and changes no value;
        `raw_gain` (n,) attenuates the raw path.
        """
        estimate = self.noise(frames) if self.has_noise_estimate else None
        told = self._condition(frames, snr_db) if estimate is None else estimate.detach()
        seen = denoised = self._denoise(frames, told)
        denoised_low = None if low is None else self._denoise(low, self._detached(low, low_snr_db))
        if classified is not frames:
            told = self._detached(classified, snr_db)
            seen = self._denoise(classified, told)
        if seen is not None:
            seen = torch.lerp(
                seen.detach(), seen, gradient
            )  # the value of `seen`, whatever the weight
        modulation, snr = self._classify(classified, self.paths(classified, seen, raw_gain), told)
        return Outputs(modulation, snr, estimate, denoised, denoised_low)

    def paths(
        self,
        frames: torch.Tensor,
        denoised: torch.Tensor | None,
        raw_gain: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """What `early` takes, (n, paths, 2, samples), of frames (n, 2, samples) and the same denoised."""
        raw = frames if raw_gain is None else raw_gain[:, None, None] * frames
        seen = {"raw": (raw,), "denoised": (denoised,), "dual": (raw, denoised)}[
            self.settings.paths
        ]
        return torch.stack(seen, 1)

    def _condition(self, frames: torch.Tensor, snr_db: torch.Tensor | None) -> torch.Tensor | None:
        """The eta (n,) that denoiser, FiLM and gate are told; None when the model has none of them."""
        if frames.shape[2] != self.samples:
            raise ValueError(
                f"this model takes frames of {self.samples} samples, not {frames.shape[2]}; train it on frames of that length"
            )
        if self.settings.condition == "blind":
            return self.noise(frames) if self.has_noise_estimate else None
        if snr_db is None:
            raise ValueError(
                "a model with condition 'known' needs the SNR labels of its frames; give snr_db or train with condition 'blind'"
            )
        return eta(snr_db)

    def _detached(self, frames: torch.Tensor, snr_db: torch.Tensor | None) -> torch.Tensor | None:
        with torch.no_grad():
            return self._condition(frames, snr_db)

    def _denoise(self, frames: torch.Tensor, told: torch.Tensor | None) -> torch.Tensor | None:
        if not self.has_denoiser:
            return None
        return frames if self.bypass else self.denoiser(frames, told)

    def _classify(
        self, frames: torch.Tensor, paths: torch.Tensor, told: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        maps = self.early(paths)
        if self.experts is not None:
            maps = torch.cat([maps, self._gated(self.experts(frames), told)], 1)
        states, _ = self.lstm(self.reduction(maps).mT)  # (n, channels, time) -> (n, time, FEATURES)
        features = self.pooling(states)
        snr = self.snr_head(features)
        if self.film is not None:
            features = self.film(features, told)
        if self.settings.cyclo:
            features = torch.cat([features, self._gated(cyclostationary(frames), told)], 1)
        return self.head(features), snr

    def _gated(self, features: torch.Tensor, told: torch.Tensor | None) -> torch.Tensor:
        if not self.settings.eta_gate:
            return features
        return gate(told).view(-1, *[1] * (features.ndim - 1)) * features


def gate(eta: torch.Tensor) -> torch.Tensor:
    """How much of the expert features is let through: all in much noise, 1/2 at -3.5 dB, nothing without noise."""
    return torch.sigmoid((eta - GATE_ETA) / GATE_WIDTH)


def check(settings: Settings, samples: int) -> None:
    """Raises a ValueError when there is no such model."""
    for name, known in {
        "paths": ("raw", "denoised", "dual"),
        "expert": ("none", "v1", "v2"),
        "condition": ("blind", "known"),
    }.items():
        if getattr(settings, name) not in known:
            raise ValueError(
                f"{name} {getattr(settings, name)!r} is unknown; there are {', '.join(known)}"
            )
    if settings.expert_window < 1 or settings.expert_window % 2 == 0:
        raise ValueError(
            f"expert_window = {settings.expert_window} has no centre; give an odd number of samples, 1 for no average"
        )
    if settings.eta_gate and settings.expert == "none" and not settings.cyclo:
        raise ValueError(
            "eta_gate = true finds nothing to gate; set expert or cyclo, or set it to false"
        )
    if samples < 16:
        raise ValueError(
            f"frames of {samples} samples are too short for this model; give it 16 or more"
        )


class Early(nn.Module):
    """Layers before the temporal reduction: (n, paths, 2, samples) -> (n, `EARLY`, samples - `SHORTENED`).

    I and Q together, and each alone through causal convolutions which then meet. Convolutions of even width are padded as
    TensorFlow does, for which the network was published: the odd zero at the end.
    """

    def __init__(self, paths: int, dropout: float):
        super().__init__()
        half = EARLY // 2
        self.both = _layer(nn.ZeroPad2d((3, 4, 0, 1)), nn.Conv2d(paths, half, (2, 8)), dropout)
        self.i, self.q = (
            _layer(nn.ConstantPad1d((7, 0), 0.0), nn.Conv1d(paths, half, 8), dropout) for _ in "iq"
        )
        self.fuse = _layer(nn.ZeroPad2d((3, 4, 0, 0)), nn.Conv2d(half, half, (1, 8)), dropout)
        self.merge = _layer(nn.Identity(), nn.Conv2d(EARLY, EARLY, (2, SHORTENED + 1)), dropout)

    def forward(self, paths: torch.Tensor) -> torch.Tensor:
        apart = torch.stack(
            [self.i(paths[:, :, 0]), self.q(paths[:, :, 1])], 2
        )  # (n, paths, samples) each -> (n, 50, 2, samples)
        return self.merge(torch.cat([self.both(paths), self.fuse(apart)], 1)).squeeze(2)


def _layer(padding: nn.Module, convolution: nn.Module, dropout: float) -> nn.Sequential:
    return nn.Sequential(padding, convolution, nn.ReLU(), nn.Dropout(dropout))


def reduction(channels: int, time: int, dropout: float) -> nn.Sequential:
    """Maps (n, channels, time) -> (n, `EARLY`, at most `LONGEST`), halved as often as it takes; nothing for maps that are short enough."""
    layers = []
    while time > LONGEST:
        kernel = 5 if time > 256 else 3
        layers += [
            nn.Conv1d(channels, EARLY, kernel, stride=2, padding=kernel // 2),
            nn.BatchNorm1d(EARLY),
            nn.ReLU(),
            nn.Dropout(dropout),
        ]
        channels, time = EARLY, (time + 1) // 2
    return nn.Sequential(*layers)


class AttentionPooling(nn.Module):
    """States (n, time, `FEATURES`) -> their mean (n, `FEATURES`) with weights that depend on the states."""

    def __init__(self):
        super().__init__()
        self.score = nn.Sequential(nn.Linear(FEATURES, 64), nn.Tanh(), nn.Linear(64, 1, bias=False))

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return (self.weights(states) * states).sum(1)

    def weights(self, states: torch.Tensor) -> torch.Tensor:
        """(n, time, 1), of sum 1 over time."""
        return self.score(states).softmax(1)


class Film(nn.Module):
    """Features (n, `FEATURES`) scaled and shifted by what eta (n,) tells (Perez et al., AAAI 2018); at first not at all."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(1, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU())
        self.gamma, self.beta = nn.Linear(64, FEATURES), nn.Linear(64, FEATURES)
        for parameter in (self.gamma.weight, self.beta.weight, self.beta.bias):
            nn.init.zeros_(parameter)
        nn.init.ones_(self.gamma.bias)

    def forward(self, features: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
        centre, half_range = (ETA_MAX + ETA_MIN) / 2, (ETA_MAX - ETA_MIN) / 2
        embedding = self.embed((eta[:, None] - centre) / half_range)  # -1..1 (n, 1) -> (n, 64)
        return self.gamma(embedding) * features + self.beta(embedding)


def head(features: int, modulations: int, dropout: float) -> nn.Sequential:
    """Two hidden layers, wider for more than 16 classes, before the linear one."""
    width = max(128, 8 * modulations)
    hidden = [
        layer
        for inputs in (features, width)
        for layer in (nn.Linear(inputs, width), nn.SELU(), nn.Dropout(dropout))
    ]
    return nn.Sequential(*hidden, nn.Linear(width, modulations))
