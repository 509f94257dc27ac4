"""Spectra of frames: the band that the signal fills, and the power of the noise beside it."""

import math
from functools import cache

import numpy as np
import torch
from scipy.signal.windows import tukey

TAPERED = 0.25
"""Share of a frame over which its ends rise and fall: a Tukey window."""


def power_of(z: torch.Tensor) -> torch.Tensor:
    """|z|^2 of complex numbers of any shape: several times as fast as by `abs`."""
    squares = torch.view_as_real(z).square()
    return squares[..., 0] + squares[..., 1]


def tapered_spectrum(iq: torch.Tensor) -> torch.Tensor:
    """Spectrum of frames whose ends fall to zero, in which white noise keeps its power.

    The jump between a frame's last and first sample spreads over the whole band: it hides noise
    more than 30 dB below the signal.

    Args:
        iq: complex64 (n, samples).

    Returns:
        complex64 (n, samples), 0 cycles a sample first.
    """
    window = tukey_window(iq.shape[1], iq.device)
    return torch.fft.fft(iq * (window / window.square().sum().sqrt()))


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
