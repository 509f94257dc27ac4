"""Frames to symbols: the steps of the receiver in a row."""

from typing import NamedTuple

import torch

from pisces.inputs.receiver import carrier, long, short
from pisces.inputs.receiver.equalizer import Equalized
from pisces.inputs.receiver.spectrum import Observed, observe, power_of

LEAST_SNR = 0.05
"""Linear; a frame in which less signal is found counts as one of this SNR."""
LEAST_SHARE = 0.1
"""Of a point's power that counts as signal at least."""


class Symbols(NamedTuple):
    """What was received of n frames."""

    points: torch.Tensor
    """Symbols of unit power, noise left aside: complex64 (n, symbols)."""
    timing: torch.Tensor
    """Symbol k of the frame is at sample (k + timing) * sps, on the average: float32 (n, 1)."""
    carrier_offset: torch.Tensor
    """Cycles a sample, float32 (n, 1)."""
    beyond: torch.Tensor
    """Whether the carrier's offset is too large to be followed: bool (n,)."""


def receive(
    iq: torch.Tensor,
    response: torch.Tensor,
    *,
    sps: int,
    carrier_offset_std: float,
    blind: bool = False,
) -> Symbols:
    """Synchronised symbols, blind to modulation, timing, level, carrier and SNR.

    Noise power, timing, matched filter and equaliser, level, carrier offset, phase. Short frames,
    which are mostly edge, are equalised by least squares instead: see `short.receive_short`.

    Args:
        iq: frames, complex64 (n, samples), of any power but zero.
        response: of the pulse at `spectrum.band_rates`, float32 (1 or n, 2 * symbols).
        sps: samples a symbol; a frame holds a whole number of symbols.
        carrier_offset_std: of the prior of the carrier's offset, cycles a sample.
        blind: whether an echo is removed from long frames that show one.

    Returns:
        The symbols, without `long.EDGE` at either end of a long frame.
    """
    # Over the RMS, for powers of powers to stay within float32.
    iq = iq * power_of(iq).mean(1, keepdim=True).rsqrt()
    return receive_observed(
        observe(iq, torch.fft.fft(iq), sps),
        iq,
        response,
        sps=sps,
        carrier_offset_std=carrier_offset_std,
        blind=blind,
    )


def receive_observed(
    observed: Observed,
    iq: torch.Tensor,
    response: torch.Tensor,
    *,
    sps: int,
    carrier_offset_std: float,
    blind: bool,
) -> Symbols:
    """As `receive`, of frames over their RMS whose spectra are known.

    Args:
        observed: their spectra and noise.
        iq: the frames, complex64 (n, samples); those of long ones are not looked at.
        response: as of `receive`.
        sps: as of `receive`.
        carrier_offset_std: as of `receive`.
        blind: as of `receive`.

    Returns:
        As `receive`.
    """
    noise = observed.noise
    signal = torch.maximum(1 - noise, LEAST_SNR * noise)

    if is_short(iq.shape[1], sps):
        equalized, timing = short.receive_short(iq, response, signal=signal, noise=noise, sps=sps)
    else:
        frames = long.LongFrames(observed, response, signal, sps)
        equalized, timing = long.receive_long(frames, blind=blind)

    points = _unit_signal(equalized)
    offset, beyond = carrier.find_carrier(points, carrier_offset_std * sps)
    points = carrier.canonical_phase(carrier.turn_back(points, offset))
    return Symbols(points, timing, offset / sps, beyond)


def is_short(samples: int, sps: int) -> bool:
    """Whether frames of so many samples are equalised by least squares, no symbol left out."""
    return samples // sps <= short.MOST_SYMBOLS


def _unit_signal(equalized: Equalized) -> torch.Tensor:
    """Points in which the symbols have unit mean power, whatever disturbs them: (n, symbols)."""
    power = power_of(equalized.points).mean(1, keepdim=True)
    of_signal = torch.maximum(power - equalized.disturbance, LEAST_SHARE * power)
    return equalized.points * torch.where(of_signal > 0, of_signal, 1).rsqrt()
