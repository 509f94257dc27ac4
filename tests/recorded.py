"""Recordings in memory: bursts of known signals in noise, as a reader would give them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from pisces.core.impairments import at_instants
from pisces.core.modulations import constellation
from pisces.core.pulses import rrc_response
from pisces.sources.modulators import complex_normal, shape_pulses


class Note(NamedTuple):
    """An annotation."""

    start: int
    count: int  # type: ignore[assignment]
    label: str | None = None
    low_hz: float | None = None
    high_hz: float | None = None
    symbol_rate_hz: float | None = None


@dataclass(frozen=True)
class InMemory:
    """A recording whose samples are all there."""

    iq: np.ndarray
    sample_rate_hz: float | None = None
    frame_length: int | None = None
    samples_per_symbol: float | None = None
    annotations: tuple[Note, ...] = ()
    name: str = "in memory"

    @property
    def count(self) -> int:
        return len(self.iq)

    @property
    def read(self) -> Callable[[int, int], np.ndarray]:
        return lambda start, count: self.iq[start : start + count].astype(np.complex64)


def modulated(
    modulation: str, symbols: int, samples_per_symbol: float, rolloff: float = 0.35, *, rng
) -> np.ndarray:
    """A signal of unit power at any rate, root-raised cosine pulses: complex128 (samples,)."""
    sps = 8
    shape = partial(shape_pulses, sps=sps, response=partial(rrc_response, rolloff=rolloff))
    if modulation == "OQPSK":
        points = rng.choice(constellation("QPSK"), (1, symbols))
        iq = shape(points.real, timing=0.0) + 1j * shape(points.imag, timing=0.5)
    else:
        iq = shape(rng.choice(constellation(modulation), (1, symbols)), timing=0.0)
    samples = int((symbols - 16) * samples_per_symbol)
    at = 8 * sps + np.arange(samples) * sps / samples_per_symbol
    signal = at_instants(iq, at[None])[0]
    return signal / np.sqrt(np.mean(np.abs(signal) ** 2))


def shifted(iq: np.ndarray, offset: float, drift: float = 0.0) -> np.ndarray:
    """Samples at another carrier: `offset` cycles a sample, which grows by `drift` a sample."""
    time = np.arange(len(iq))
    return iq * np.exp(2j * np.pi * (offset * time + drift * time**2 / 2))


def noise(samples: int, power: float, *, rng) -> np.ndarray:
    """White complex Gaussian noise."""
    return np.sqrt(power) * complex_normal(samples, rng=rng)


def burst(signal: np.ndarray, snr_db: float, *, before: int, after: int, rng) -> np.ndarray:
    """A signal of unit power in noise over the whole band that goes on before and after it."""
    iq = noise(before + len(signal) + after, 10 ** (-snr_db / 10), rng=rng)
    iq[before : before + len(signal)] += signal
    return iq
