"""Frames of a signal as models take them: its own band, white noise beside it, cut to length."""

import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import fftconvolve, firwin

TAPS = 257
"""Of the filter between the band that is kept and the noise that is put beside it."""
MARGIN = 0.05
"""Of a symbol rate, that is kept on either side of the occupied band."""
SMOOTHED = 32
"""Symbols over which power is averaged to see where a signal begins and ends."""
LEAST_KEPT, MOST_KEPT = 0.6, 1.0
"""Symbol rates on either side of the carrier that are kept."""


def with_white_noise(
    iq: np.ndarray, occupied: float, noise: float, sps: int, *, rng: np.random.Generator
) -> np.ndarray:
    """A signal in white noise that fills the whole band, as its own noise would without filters.

    What a receiver's filter or a resampler left of the band beside the signal holds no noise, or
    other signals. A model that measures the noise there would be misled.

    Args:
        iq: complex64 (samples,), carrier near 0.
        occupied: width of the signal's band in symbol rates.
        noise: its power in the signal's band, were the whole band alike.
        sps: samples a symbol.
        rng: draws the noise.

    Returns:
        complex64 (samples,).
    """
    kept = float(np.clip(occupied / 2 + MARGIN, LEAST_KEPT, MOST_KEPT))
    taps = firwin(TAPS, 2 * kept / sps)
    beside = -taps
    beside[TAPS // 2] += 1

    parts = rng.standard_normal((2, len(iq)))
    white = np.sqrt(noise / 2) * (parts[0] + 1j * parts[1])
    both = fftconvolve(iq, taps, "same") + fftconvolve(white, beside, "same")
    return both.astype(np.complex64)


def without_ends(iq: np.ndarray, noise: float, sps: int) -> slice:
    """From where to where a signal lasts, which a detection finds only roughly.

    Args:
        iq: complex64 (samples,), with what surrounds it.
        noise: its power.
        sps: samples a symbol.

    Returns:
        What lies between the first and the last time at which `SMOOTHED` symbols in a row have half
        of the power that the signal usually has; all where it never has.
    """
    power = uniform_filter1d(np.abs(iq) ** 2, min(SMOOTHED * sps, max(len(iq), 1)), mode="nearest")
    usual = np.median(power[power > noise]) if (power > noise).any() else 0.0
    loud = np.flatnonzero(power - noise > (usual - noise) / 2)
    return slice(int(loud[0]), int(loud[-1]) + 1) if len(loud) else slice(0, len(iq))


def cut(iq: np.ndarray, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """A signal's frames, one after the other; the last one ends where the signal does.

    Args:
        iq: complex64 (samples of the signal,).
        samples: of a frame.

    Returns:
        Frames complex64 (n, samples), none where the signal is shorter, and where each begins.
    """
    if len(iq) < samples:
        return np.empty((0, samples), np.complex64), np.empty(0, np.int64)
    starts = np.arange(0, len(iq) - samples + 1, samples)
    if len(iq) - starts[-1] - samples > samples // 2:
        starts = np.append(starts, len(iq) - samples)
    windows = np.lib.stride_tricks.sliding_window_view(iq, samples)
    return windows[starts], starts.astype(np.int64)
