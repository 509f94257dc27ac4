"""What makes a model's predictions trustworthy, fitted on frames that it was not trained on.

Plain numbers that the model card holds. How they are fitted and used is in `pisces.prediction`.
"""

import base64
import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from pisces.core.texts import counted

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.01, 100.0
"""Wider than what the fit searches, so that a temperature at its ends is allowed."""
MOST_SPREADS = 1e6
"""An interval of so many standard deviations holds every SNR there is."""
MOST_AXES = 3
"""Of an array."""


@dataclass(frozen=True)
class Array:
    """Numbers of a model card in short: float32, little-endian, in base64."""

    shape: tuple[int, ...]
    float32: str

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        numbers = np.ascontiguousarray(values, dtype="<f4")
        return cls(numbers.shape, base64.b64encode(numbers.tobytes()).decode())

    @property
    def values(self) -> np.ndarray:
        """float32 of this shape.

        Raises:
            ValueError: unless it holds so many finite numbers.
        """
        if len(self.shape) > MOST_AXES or min(self.shape, default=1) < 1:
            raise ValueError(f"its shape must be up to {MOST_AXES} numbers of 1 or more")
        size = 4 * math.prod(self.shape)  # bytes
        # Before it is decoded: base64 has four characters for each three bytes begun.
        if len(self.float32) != -(-size // 3) * 4:
            raise ValueError(
                f"it holds {counted(len(self.float32), 'character')} of base64, which are not "
                f"those of {self.shape} numbers"
            )
        try:
            content = base64.b64decode(self.float32, validate=True)
        except ValueError:  # binascii's own error is one, and so is that of other letters
            raise ValueError("it is no base64") from None
        if len(content) != size:
            found = counted(len(content), "byte")
            raise ValueError(f"it holds {found}, not those of {self.shape} numbers")

        numbers = np.frombuffer(content, "<f4").reshape(self.shape)
        if not np.isfinite(numbers).all():
            raise ValueError("it holds NaN or infinity")
        return numbers


@dataclass(frozen=True)
class FeatureNovelty:
    """Where the features of known frames lie; see `prediction.novelty.feature_novelty`."""

    mean: Array
    """(features,)."""
    projection: Array
    """To numbers whose scatter within a class has unit variance: (features, dims)."""
    centroids: Array
    """(modulations, SNRs, dims)."""
    levels: Array
    """Mean and standard deviation of the distance at each SNR: (2, SNRs)."""


@dataclass(frozen=True)
class SignalNovelty:
    """What known frames look like to simple statistics; see `prediction.signals`."""

    means: Array
    """(modulations, SNRs, statistics)."""
    precisions: Array
    """Of each block of statistics, zero between blocks: (SNRs, statistics, statistics)."""
    relevant: Array
    """1 where a statistic counts for a named modulation, else 0: (modulations, statistics)."""
    levels: Array
    """Mean and standard deviation of the distance of each block: (blocks, 2, SNRs)."""
    weakest: tuple[float, float]
    """Mean and standard deviation of the signal's strength at the lowest SNR."""
    highest_snr_db: float
    """Mean measured SNR at the highest label."""


@dataclass(frozen=True)
class Novelty:
    """When a frame counts as unlike all that the model was trained on."""

    features: FeatureNovelty
    signal: SignalNovelty | None
    """None where no view shows symbols and noise."""
    threshold: float | None
    """Of the score, above which a frame is unknown; None where too few frames were left to tell."""
    feature_threshold: float | None
    """The same of `feature_novelty` alone."""


@dataclass(frozen=True)
class Calibration:
    """Temperatures, intervals and novelty of a model."""

    frames: int
    """Of the validation part, on which all of it was fitted."""
    modulation_temperature: float
    snr_temperature: float
    coverage: float
    """Share of frames whose true SNR the interval shall hold, 0..1."""
    spreads: float | None
    """Half the width of an interval in standard deviations of the SNR head; None where too few
    frames were left to tell."""
    novelty: Novelty | None
    """None for a model without features to measure in."""

    def check(self, modulations: int, snrs: int) -> None:
        """Raises ValueError, with a clause, unless it can belong to a model of so many classes."""
        for name in ("modulation_temperature", "snr_temperature"):
            value = getattr(self, name)
            if not LOWEST_TEMPERATURE <= value <= HIGHEST_TEMPERATURE:
                raise ValueError(
                    f"calibration.{name} = {value} is not "
                    f"{LOWEST_TEMPERATURE:g} to {HIGHEST_TEMPERATURE:g}"
                )
        if not 0 < self.coverage < 1:
            raise ValueError(f"calibration.coverage = {self.coverage} is not between 0 and 1")
        if self.spreads is not None and not 0 <= self.spreads <= MOST_SPREADS:
            raise ValueError(f"calibration.spreads = {self.spreads} is not 0 to {MOST_SPREADS:g}")
        if self.novelty:
            _check_novelty(self.novelty, modulations, snrs)


def _check_novelty(novelty: Novelty, modulations: int, snrs: int) -> None:
    """Raises ValueError unless thresholds can be met, and all arrays fit each other and classes."""
    for name in ("threshold", "feature_threshold"):
        value = getattr(novelty, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise ValueError(
                f"calibration.novelty.{name} = {value} is not above 0, nor null for an unknown one"
            )

    of_features = _values(novelty.features, "features")
    features, dims = (*of_features["projection"].shape, 0, 0)[:2]
    shapes = {
        "mean": (features,),
        "projection": (features, dims),
        "centroids": (modulations, snrs, dims),
        "levels": (2, snrs),
    }
    _check_shapes(of_features, shapes, "features")

    if novelty.signal:
        of_signal = _values(novelty.signal, "signal")
        statistics, blocks = of_signal["means"].shape[-1:], of_signal["levels"].shape[:1]
        shapes = {
            "means": (modulations, snrs, *statistics),
            "precisions": (snrs, *statistics, *statistics),
            "relevant": (modulations, *statistics),
            "levels": (*blocks, 2, snrs),
        }
        _check_shapes(of_signal, shapes, "signal")


def _values(part: FeatureNovelty | SignalNovelty, where: str) -> dict[str, np.ndarray]:
    """Name of each array -> its numbers."""
    found = {}
    for name, array in vars(part).items():
        if isinstance(array, Array):
            try:
                found[name] = array.values
            except ValueError as error:
                raise ValueError(f"calibration.novelty.{where}.{name}: {error}") from None
    return found


def _check_shapes(
    arrays: dict[str, np.ndarray], shapes: dict[str, tuple[int, ...]], where: str
) -> None:
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise ValueError(
                f"calibration.novelty.{where}.{name} is {arrays[name].shape}, not {shape}"
            )
