"""Spectra of frames: the band that the signal fills, and the power of the noise beside it."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.signal.windows import tukey

TAPERED = 0.25
"""Share of a frame over which its ends rise and fall: a Tukey window."""


class Observed(NamedTuple):
    """What the receiver goes by, of n frames over their RMS."""

    band: torch.Tensor
    """Spectrum as of `occupied_band`, complex64 (n, 2 * symbols)."""
    tapered: torch.Tensor
    """The same of frames whose ends fall to zero, complex64 (n, 2 * symbols)."""
    noise: torch.Tensor
    """Power of white noise over the whole band, float32 (n, 1)."""


def observe(iq: torch.Tensor, spectrum: torch.Tensor, sps: int) -> Observed:
    """The bands of frames, and their noise.

    Args:
        iq: frames over their RMS, complex64 (n, samples).
        spectrum: of these, complex64 (n, samples), 0 cycles a sample first.
        sps: samples a symbol; a frame holds a whole number of symbols.

    Returns:
        What the receiver goes by.
    """
    symbols = iq.shape[1] // sps
    tapered = tapered_spectrum(iq)
    noise = noise_power(tapered, symbols)
    return Observed(occupied_band(spectrum, symbols), occupied_band(tapered, symbols), noise)


def power_of(z: torch.Tensor) -> torch.Tensor:
    """|z|^2 of complex numbers of any shape: several times as fast as by `abs`."""
    squares = torch.view_as_real(z).square()
    return squares[..., 0] + squares[..., 1]


def phasor(turns: torch.Tensor) -> torch.Tensor:
    """exp(2 pi j turns), of real numbers of any shape: several times as fast as `torch.polar`."""
    angle = 2 * math.pi * turns
    return torch.complex(angle.cos(), angle.sin())


def tapered_spectrum(iq: torch.Tensor) -> torch.Tensor:
    """Spectrum of frames whose ends fall to zero, in which white noise keeps its power.

    The jump between a frame's last and first sample spreads over the whole band: it hides noise
    more than 30 dB below the signal.

    Args:
        iq: complex64 (n, samples).

    Returns:
        complex64 (n, samples), 0 cycles a sample first.
    """
    return torch.fft.fft(scaled(iq, _unit_window(iq.shape[1], iq.device)))


def scaled(z: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Complex numbers (n, bins) times real factors, one of each bin.

    Args:
        z: complex64 (n, bins).
        factors: each of them twice, float32 (2 * bins,): as real numbers this is several times as
            fast.

    Returns:
        complex64 (n, bins).
    """
    parts = torch.view_as_real(z).flatten(1) * factors
    return torch.view_as_complex(parts.unflatten(1, (-1, 2)))


@cache
def _unit_window(length: int, device: torch.device) -> torch.Tensor:
    """The Tukey window that keeps the power of white noise, for `scaled`."""
    window = tukey_window(length, device)
    return (window / window.square().sum().sqrt()).repeat_interleave(2)


@cache
def tukey_window(length: int, device: torch.device) -> torch.Tensor:
    """Tukey window with a peak of 1, float32 (length,), whose ends rise and fall over `TAPERED`."""
    return torch.from_numpy(tukey(length, TAPERED)).float().to(device)


def occupied_band(spectrum: torch.Tensor, symbols: int) -> torch.Tensor:
    """From minus to plus one symbol rate, beyond which there is no signal.

    Args:
        spectrum: (n, samples), 0 cycles a sample first.
        symbols: in a frame; samples a whole number of times as many, two or more.

    Returns:
        (n, 2 * symbols), at the frequencies of `band_rates`.
    """
    return torch.cat([spectrum[:, -symbols:], spectrum[:, :symbols]], 1)


def band_rates(symbols: int) -> torch.Tensor:
    """Frequencies of `occupied_band` in symbol rates, -1 to 1: float32 (2 * symbols,)."""
    return torch.arange(-symbols, symbols) / symbols


def noise_power(tapered: torch.Tensor, symbols: int) -> torch.Tensor:
    """Power of white noise over the whole band, from what lies beyond the signal's.

    The median of the periodogram beyond one symbol rate, over ln 2 (the median of an exponential).
    `core.dsp.noise_power` is the same estimate for those who do not know the symbol rate: it looks
    beyond a quarter of the sample rate, in NumPy. Here all free bins count, on any device.

    Args:
        tapered: as of `tapered_spectrum`, complex64 (n, samples).
        symbols: in a frame. With less than three samples each no band is free of signal: the noise
            then counts as none.

    Returns:
        float32 (n, 1).
    """
    samples = tapered.shape[1]
    if samples < 3 * symbols:
        return torch.zeros(len(tapered), 1, device=tapered.device)
    beyond = power_of(tapered[:, symbols + 1 : samples - symbols])  # (n, samples) -> (n, bins)
    return _row_median(beyond) / math.log(2)


def _row_median(values: torch.Tensor) -> torch.Tensor:
    """The lower median of each row, (n, 1), as of `torch.median`."""
    if values.device.type != "cpu":
        return values.median(1, keepdim=True).values
    # Eight times as fast on a processor.
    middle = (values.shape[1] - 1) // 2
    ordered = np.partition(values.numpy(), middle, axis=1)
    return torch.from_numpy(ordered[:, middle : middle + 1])
