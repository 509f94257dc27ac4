"""What a model says of one signal, from what it says of its frames; and the tables of that."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pisces.core.texts import counted

ALTERNATIVES = 3
"""Runners-up that are named."""


LEAST_CONFIDENCE = 0.5
"""In a symbol rate, below which the bandwidth stands in for it."""


def has_symbol_rate(confidence: float | None) -> bool:
    """Whether a symbol rate was found or told; None stands for frames cut by others."""
    return confidence is None or confidence >= LEAST_CONFIDENCE


@dataclass(frozen=True)
class Alternative:
    """A modulation that is not named first."""

    modulation: str
    probability: float


@dataclass(frozen=True)
class SegmentPrediction:
    """What a model says of one stretch of one signal."""

    start: int
    """First sample, counted in complex samples of the recording."""
    count: int
    frames: int
    """How many frames of the model's length were predicted in it."""
    modulation: str
    probability: float
    alternatives: tuple[Alternative, ...]
    """The runners-up, likeliest first."""
    snr_db: float
    """True SNR over the band of a frame, in dB; see `bandwidth_hz` for that of the signal."""
    snr_interval_db: tuple[float | None, float | None] | None
    """None where the model's card holds no calibration; an end is None where it is open."""
    symbol_rate_hz: float | None
    """None where the file holds frames of an unknown sample rate."""
    symbol_rate_confidence: float | None
    """0 to 1; 1 where the rate was told."""
    centre_hz: float | None
    """Of the signal, with the frequency of the recording added where that is known."""
    bandwidth_hz: float | None
    known: bool | None
    """Whether the signal is like what the model was trained on, and shows a symbol rate; None
    without calibration."""
    novelty: float | None
    """Over 1 where it is not known."""


@dataclass(frozen=True)
class RecordingPrediction:
    """What a model says of a recording."""

    recording: str
    """Name of the file, and in brackets which capture or channel of it."""
    path: str
    """As it was given."""
    segments: tuple[SegmentPrediction, ...]
    summary: str
    sample_rate_hz: float | None

    def content(self) -> dict[str, Any]:
        """As in `predictions.json`."""
        segments = [asdict(segment) for segment in self.segments]
        named = {"recording": self.recording, "path": self.path}
        return named | {"segments": segments, "summary": self.summary}


def likeliest(
    probability: np.ndarray, modulations: Sequence[str]
) -> tuple[str, float, tuple[Alternative, ...]]:
    """The name of the likeliest class, its probability, and the runners-up.

    Args:
        probability: of each class, (modulations,), summing to 1.
        modulations: their names.

    Returns:
        Name, probability, and at most `ALTERNATIVES` others.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = [Alternative(modulations[i], float(probability[i])) for i in order]
    first, *others = ranked[: 1 + ALTERNATIVES]
    return first.modulation, first.probability, tuple(others)


def pooled(log_probability: np.ndarray) -> np.ndarray:
    """Probabilities of a signal from those of its n frames, (classes,).

    Frames of one signal share its channel, so that they err together. They count as sqrt(n)
    independent ones: between their mean, which gains no certainty from more frames, and their
    product, which trusts each of them wholly.

    Args:
        log_probability: of each frame, (n, classes).

    >>> pooled(np.log([[0.8, 0.2]])).round(3).tolist()
    [0.8, 0.2]
    >>> pooled(np.log(4 * [[0.8, 0.2]])).round(3).tolist()
    [0.941, 0.059]
    """
    evidence = log_probability.mean(0) * len(log_probability) ** 0.5
    weights = np.exp(evidence - evidence.max())
    return weights / weights.sum()


def summary(segments: Sequence[SegmentPrediction], seconds: float | None) -> str:
    """One line about a recording.

    Args:
        segments: of the recording.
        seconds: that it lasts; None where its sample rate is unknown.
    """
    lasting = "" if seconds is None else f" in {seconds:.3g} s"
    if not segments:
        return f"no modulated signal found{lasting}"

    unknown = sum(segment.known is False for segment in segments)
    named = Counter(one.modulation for one in segments if one.known is not False)
    names = [f"{name} {times}" for name, times in named.most_common()]
    if unknown:
        names.append(f"unlike anything known {unknown}")
    signals = counted(len(segments), "signal")
    return f"{signals}{lasting}: {', '.join(names)}"
