"""The band of one signal: its centre, its width, and its power over the floor."""

from typing import NamedTuple

import numpy as np
from scipy.ndimage import binary_dilation, median_filter
from scipy.signal import welch

SHARPNESS = 64
"""Bins of a spectrum across the band that was detected, about."""
MOST_BINS = 2**14
"""Of a spectrum."""
LEAST_RESOLVED = 12
"""Bins that a band fills, or else it is looked at once more with more bins."""
MARGIN = 0.25
"""Of the band that was detected, by which it is looked at beyond its edges."""
LINE_BINS, LINE = 13, 5.0
"""Bins whose median a line exceeds, and by how much at least."""
LEAKING_BINS = 5
"""Over which it spreads."""
TRIMMED = 0.01
"""Of the power, at either edge of the occupied band, that counts as beyond it."""


class Band(NamedTuple):
    """Frequencies in cycles a sample."""

    center: float
    """In the middle of the occupied band's edges."""
    occupied: float
    """Width of the band that holds all but a share of `TRIMMED` at either end."""
    equivalent: float
    """Width of a rectangle with the same power and the same mean density, weighted by power. Of a
    root-raised cosine it is 1 to 1.3 symbol rates."""
    snr: float
    """Power of the signal over that of the noise in the occupied band, linear; 0 of noise alone."""
    noise: float
    """Power of noise in the whole band, were it all as in the occupied one."""


def spectrum_of(iq: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies from -1/2 cycles a sample on, and the mean power spectrum there.

    Args:
        iq: complex (samples,).
        width: of what the spectrum must tell apart from its surroundings, cycles a sample.
    """
    bins = 2 ** int(np.clip(np.log2(SHARPNESS / width), 5, np.log2(MOST_BINS)))
    bins = min(bins, 2 ** int(np.log2(len(iq))))
    density = welch(iq, nperseg=bins, return_onesided=False, detrend=False)[1]
    return np.fft.fftshift(np.fft.fftfreq(bins)), np.fft.fftshift(density)


def measure_band(iq: np.ndarray, low: float, high: float, floor: np.ndarray) -> Band:
    """The band of a signal between two edges, over a floor.

    Args:
        iq: complex (samples,).
        low: edges within which the signal was detected, cycles a sample, -1/2 to 1/2.
        high: the other.
        floor: noise at equally spaced frequencies from -1/2 on: its power, were the whole band
            alike.

    Returns:
        What is found; a signal that does not stand out has the band as it was detected, and SNR 0.
    """
    band, bins = _measured(iq, low, high, floor)
    most = min(MOST_BINS, len(iq) // 2)
    if band.occupied * bins < LEAST_RESOLVED and 2 * bins <= most:
        half = band.occupied
        return measure_band(iq, band.center - half, band.center + half, floor)
    return band


def _measured(iq: np.ndarray, low: float, high: float, floor: np.ndarray) -> tuple[Band, int]:
    """As `measure_band`, at one resolution, and the bins of the whole band at which it was."""
    margin = MARGIN * (high - low)
    rates, density = spectrum_of(iq, high - low)
    bins = len(rates)
    floor_rates = np.arange(len(floor)) / len(floor) - 0.5
    noise = np.interp(rates, floor_rates, floor)
    inside = (rates >= low - margin) & (rates <= high + margin)
    if not inside.any():  # a band between two bins
        inside[np.argmin(np.abs(rates - (low + high) / 2))] = True
    rates, density, noise = rates[inside], density[inside], noise[inside]

    excess = np.maximum(density - noise, 0)
    step = rates[1] - rates[0] if len(rates) > 1 else high - low
    if not excess.any():
        return Band((low + high) / 2, high - low, high - low, 0.0, float(noise.mean())), bins

    # A carrier's line says nothing about the band of what it carries.
    around = median_filter(excess, LINE_BINS, mode="nearest")
    is_line = binary_dilation((excess > LINE * around) & (around > 0), np.ones(LEAKING_BINS))
    excess = np.where(is_line, around, excess)

    # Ripples of the noise add up over a wide margin; what is under a hundredth of the peak is cut.
    excess = np.where(excess > 0.02 * np.quantile(excess, 0.98), excess, 0)
    if not np.square(excess).sum() > 0:
        return Band((low + high) / 2, high - low, high - low, 0.0, float(noise.mean())), bins

    share = np.cumsum(excess) / excess.sum()
    first, last = np.searchsorted(share, (TRIMMED, 1 - TRIMMED))
    within = slice(first, last + 1)
    occupied = float((last - first + 1) * step)
    equivalent = float(step * excess.sum() ** 2 / np.square(excess).sum())
    power, of_noise = float(excess[within].sum()), float(noise[within].sum())
    snr = power / of_noise if of_noise > 0 else np.inf
    center = float((rates[first] + rates[last]) / 2)
    return Band(center, occupied, equivalent, snr, float(noise[within].mean())), bins
