"""A band whose two sides are not alike: what a receiver's filter tilts is set upright."""

import numpy as np
from scipy.signal import fftconvolve, welch

SEEN, KEPT = 0.5, 0.75
"""Symbol rates to either side of the carrier in which a tilt is looked for, and up to which it is
taken away."""
SHARPNESS = 32
"""Bins of a spectrum in a symbol rate."""
SPECTRA = 2.0
"""Spectra that overlap by half, over those that are independent, about."""
STANDS_OUT = 25.0
"""Of the statistic that noise alone makes 2 in the mean (chi squared of two coefficients)."""
STEEPEST = 1.5
"""Of the logarithm of the power ratio of both sides, beyond which this is no tilt."""
TAPS = 257
"""Of the filter."""


def upright(iq: np.ndarray, lasting: slice, noise: float, sps: int) -> np.ndarray:
    """A signal whose spectrum is as loud above the carrier as below it.

    Symbols and their pulses have such spectra; a filter between them and us that has not turns
    into interference between symbols, and of I with Q. The logarithm of the ratio is taken as an
    odd polynomial of the third degree.

    Args:
        iq: complex64 (samples,), carrier at 0, with what surrounds the signal.
        lasting: samples in which the signal is.
        noise: its power, were the whole band as that of the signal.
        sps: samples a symbol.

    Returns:
        complex64 (samples,); as it is where nothing stands out.
    """
    length = SHARPNESS * sps
    signal = iq[lasting]
    spectra = len(signal) / length * 2 - 1
    if spectra < 2 * SPECTRA:
        return iq
    density = welch(signal, nperseg=length, return_onesided=False, detrend=False)[1]

    at = np.arange(1, int(SEEN * SHARPNESS) + 1)
    rates = at / SHARPNESS
    above, below = (np.maximum(density[one] - noise, 1e-3 * density[one]) for one in (at, -at))
    ratio = np.log(above / below)
    # Of exponentials, averaged; the noise that was subtracted adds to the relative error.
    variance = sum((density[one] / part) ** 2 for one, part in ((at, above), (-at, below)))
    variance = variance * SPECTRA / spectra

    odd = np.stack([rates, rates**3], 1)  # (bins, 2)
    weighted = odd / np.sqrt(variance)[:, None]
    found = np.linalg.lstsq(weighted, ratio / np.sqrt(variance), rcond=None)[0]
    if np.sum((weighted @ found) ** 2) < STANDS_OUT or np.abs(odd @ found).max() > STEEPEST:
        return iq
    return _filtered(iq, found, sps)


def _filtered(iq: np.ndarray, found: np.ndarray, sps: int) -> np.ndarray:
    """Each side changed by half of the ratio; an amplitude by half of that again."""
    rates = np.fft.fftfreq(TAPS) * sps
    within = np.clip(rates, -KEPT, KEPT)
    gain = np.exp(-(found[0] * within + found[1] * within**3) / 4)
    taps = np.fft.fftshift(np.fft.ifft(gain)) * np.hanning(TAPS)
    return fftconvolve(iq, taps, "same").astype(np.complex64)
