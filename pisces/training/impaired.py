"""Training frames with the impairments that generated frames may have, drawn anew in each epoch.

1. Before noise is added: amplifier, echo, drift of the clock, phase noise.
2. After it: co-channel and adjacent interference, then the receiver's low-pass, IQ imbalance, DC
   offset and quantiser.

What follows the noise in a real receiver is exact, since a frame has its noise already. What
precedes it there is not: amplifier, echo, drift and phase noise act on that noise as well, an
approximation at low SNR. Likewise the power that interference is told by includes the noise.
A frame is taken for one period, so an echo and the low-pass bring its end into its first samples.

The order is that of `sources.chain`; `core.impairments` has the arithmetic.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
import torch

from pisces.core import impairments, seeding
from pisces.core.impairment_settings import (
    AmplifierSettings,
    EchoSettings,
    ImbalanceSettings,
    ImpairmentSettings,
    InterferenceSettings,
    QuantiserSettings,
    Range,
)
from pisces.core.pulses import rrc_response
from pisces.training.noise import splitmix64, white_noise

KINDS = tuple(field.name for field in fields(ImpairmentSettings))
NUMBERS = 3
"""Uniform numbers that an impairment may need of a frame."""
INTERFERER_ROLLOFF = 0.35


class Draws(NamedTuple):
    """What is random about a batch, for every kind of `KINDS`, whether or not it is asked for."""

    there: np.ndarray
    """Whether a frame has the impairment, bool (n, kinds)."""
    uniform: np.ndarray
    """float32 (n, kinds, NUMBERS), 0 to 1: its parameters."""
    seed: np.ndarray
    """int64 (n, kinds): of its phase noise or of its interferer."""


def draw(
    probability: float, seed: int, epoch: int, identities: Sequence[tuple[str, int, int]]
) -> Draws:
    """What is random about some frames, of each from a generator of its own.

    Every frame draws for all kinds, so that asking for one more leaves the others as they were.

    Args:
        probability: of each impairment to be there.
        seed: root of every random choice.
        epoch: counted from 1.
        identities: (modulation, SNR in dB, row in the source file) of each of n frames.

    Returns:
        The draws of n frames.
    """
    n = len(identities)
    chance = np.zeros((n, len(KINDS)))
    uniform = np.zeros((n, len(KINDS), NUMBERS), np.float32)
    seeds = np.zeros((n, len(KINDS)), np.int64)
    for i, identity in enumerate(identities):
        rng = seeding.generator(seed, "impair", epoch, *identity)
        chance[i] = rng.random(len(KINDS))
        uniform[i] = rng.random((len(KINDS), NUMBERS))
        seeds[i] = rng.integers(2**63, size=len(KINDS))
    return Draws(chance < probability, uniform, seeds)


class Parameters(NamedTuple):
    """What one impairment takes of the k frames that have it, on their device."""

    uniform: torch.Tensor
    """float32 (k, NUMBERS), 0 to 1."""
    seed: torch.Tensor
    """int64 (k,)."""
    sps: int
    """Samples a symbol."""

    def within(self, number: int, limits: Range) -> torch.Tensor:
        """A column (k, 1), uniform within the limits, of one of the uniform numbers."""
        low, high = limits
        return low + (high - low) * self.uniform[:, number : number + 1]


@dataclass(frozen=True)
class BatchImpairments:
    """What spoils the frames of a batch."""

    settings: ImpairmentSettings
    sps: int
    """Samples a symbol."""
    draws: Draws

    def before_noise(self, iq: torch.Tensor) -> torch.Tensor:
        """Complex frames (n, samples), spoilt on their way to the receiver."""
        return self._spoilt(iq, BEFORE_NOISE)

    def after_noise(self, iq: torch.Tensor) -> torch.Tensor:
        """Complex frames (n, samples), spoilt by other transmitters and in the receiver."""
        return self._spoilt(iq, AFTER_NOISE)

    def _spoilt(self, iq: torch.Tensor, steps: "Mapping[str, Step]") -> torch.Tensor:
        for kind, step in steps.items():
            limits = getattr(self.settings, kind)
            number = KINDS.index(kind)
            rows = np.flatnonzero(self.draws.there[:, number])
            if limits is None or len(rows) == 0:
                continue

            of_kind = self.draws.uniform[rows, number], self.draws.seed[rows, number]
            uniform, seed = (torch.from_numpy(values).to(iq.device) for values in of_kind)
            at = torch.from_numpy(rows).to(iq.device)
            spoilt = step(iq[at], limits, Parameters(uniform, seed, self.sps))
            iq = iq.index_copy(0, at, spoilt)
        return iq


Step = Callable[[torch.Tensor, Any, Parameters], torch.Tensor]
"""Complex frames (k, samples), the limits of the impairment, its parameters -> spoilt frames."""


def _amplifier(iq: torch.Tensor, limits: AmplifierSettings, drawn: Parameters) -> torch.Tensor:
    smoothness = drawn.within(0, limits.smoothness)
    return impairments.rapp(iq, smoothness, drawn.within(1, limits.backoff_db))


def _echo(iq: torch.Tensor, limits: EchoSettings, drawn: Parameters) -> torch.Tensor:
    frequency = torch.fft.fftfreq(iq.shape[1], device=iq.device)
    amplitude = drawn.within(0, limits.amplitude)
    delay = drawn.within(1, limits.delay) * drawn.sps
    turns = drawn.within(2, (0, 1))
    response = impairments.echo_response(frequency, amplitude, delay, turns)  # (k, samples)
    return torch.fft.ifft(torch.fft.fft(iq) * response)


def _clock_drift(iq: torch.Tensor, limits: Range, drawn: Parameters) -> torch.Tensor:
    samples = iq.shape[1]
    place = torch.arange(samples, device=iq.device)
    time = place - (samples - 1) / 2
    drift = 1e-6 * drawn.within(0, limits)
    # The offset changes by `drift` over a frame, and its integral is the time that it gains.
    gained = drift * time**2 / (2 * samples)
    return impairments.at_instants(iq, place + gained)


def _phase_noise(iq: torch.Tensor, limits: Range, drawn: Parameters) -> torch.Tensor:
    # Each of I and Q of noise of unit power has the variance 1/2.
    steps = math.sqrt(2) * white_noise(drawn.seed, iq.shape[1]).real
    return impairments.phase_noise(iq, steps, drawn.within(0, limits))


def _interference(
    iq: torch.Tensor, limits: InterferenceSettings, drawn: Parameters
) -> torch.Tensor:
    level_db = drawn.within(0, limits.level_db)
    offset = drawn.within(1, limits.offset) / drawn.sps
    timing = drawn.within(2, (0, 1))
    interferer = qpsk(drawn.seed, timing, iq.shape[1], drawn.sps)
    return impairments.add_interference(iq, interferer, level_db, offset)


def qpsk(seed: torch.Tensor, timing: torch.Tensor, samples: int, sps: int) -> torch.Tensor:
    """Baseband of QPSK with root-raised cosines.

    Args:
        seed: of the symbols of each, int64 (k,).
        timing: at which the symbols peak, in symbols, (k, 1).
        samples: how many.
        sps: samples a symbol.

    Returns:
        complex64 (k, samples), of any power.
    """
    n_symbols = -(-samples // sps)
    quarter = (splitmix64(seed, n_symbols) & 3).float()
    symbols = torch.polar(torch.ones_like(quarter), math.pi / 2 * (quarter + 0.5))

    rate = sps * np.fft.fftfreq(n_symbols * sps)  # in symbol rates
    response = rrc_response(rate, INTERFERER_ROLLOFF)
    on_device = torch.from_numpy(np.stack([rate, response])).float().to(seed.device)
    rates, amplitude = on_device

    # Impulses `sps` samples apart have the spectrum of the symbols over and over.
    spectrum = torch.fft.fft(symbols).repeat(1, sps)  # (k, n_symbols) -> (k, n_symbols * sps)
    late = torch.exp(-2j * math.pi * rates * timing)
    return torch.fft.ifft(spectrum * amplitude * late)[:, :samples]


def _lowpass(iq: torch.Tensor, limits: Range, drawn: Parameters) -> torch.Tensor:
    reach = impairments.LOWPASS_REACH
    period = torch.cat([iq[:, -reach:], iq, iq[:, :reach]], 1)
    return impairments.lowpass(period, drawn.within(0, limits))


def _iq_imbalance(iq: torch.Tensor, limits: ImbalanceSettings, drawn: Parameters) -> torch.Tensor:
    gain_db = drawn.within(0, limits.gain_db)
    return impairments.iq_imbalance(iq, gain_db, drawn.within(1, limits.phase_deg))


def _dc_offset(iq: torch.Tensor, limits: Range, drawn: Parameters) -> torch.Tensor:
    return impairments.dc_offset(iq, drawn.within(0, limits), drawn.within(1, (0, 1)))


def _quantiser(iq: torch.Tensor, limits: QuantiserSettings, drawn: Parameters) -> torch.Tensor:
    low, high = limits.bits
    # A float32 just below 1 may round up to the number beyond the highest.
    bits = drawn.within(0, (low, high + 1)).floor().clamp(max=high)
    return impairments.quantise(iq, bits, drawn.within(1, limits.loading_db))


BEFORE_NOISE: Mapping[str, Step] = {
    "amplifier": _amplifier,
    "echo": _echo,
    "clock_drift_ppm": _clock_drift,
    "phase_noise": _phase_noise,
}
AFTER_NOISE: Mapping[str, Step] = {
    "cochannel": _interference,
    "adjacent": _interference,
    "lowpass": _lowpass,
    "iq_imbalance": _iq_imbalance,
    "dc_offset_db": _dc_offset,
    "quantiser": _quantiser,
}
