"""Real samples made analytic: the positive half of the band kept, the negative one removed."""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import fft
from scipy.signal.windows import kaiser

REACH = 511
"""Samples on either side that an output depends on."""
KAISER_BETA = 6.0
"""With this window the image stays 60 dB down within `BAND`; it is 68 dB in the middle."""
BAND = (0.002, 0.498)
"""Cycles a sample between which the image at -f is suppressed. Nearer the ends it fades in: at 0
and at half the sample rate, signal and image are equally strong."""

FFT_SIZE = 16_384
BLOCK = FFT_SIZE - 2 * REACH
"""Outputs of one FFT."""


def reader(read: Callable[[int, int], np.ndarray], count: int) -> Callable[[int, int], np.ndarray]:
    """Reads the analytic signal of real samples, whose real part are these samples themselves.

    The imaginary part is a Hilbert transform by a finite filter of `2 * REACH + 1` taps, its delay
    taken off: the ideal response 2 / (pi n) for odd n (Oppenheim and Schafer, Discrete-Time Signal
    Processing, 3rd ed., eq. 12.62) times a Kaiser window. Before the first and after the last
    sample there are zeros. Blocks begin at fixed samples, so that a sample has the same bytes
    wherever a piece is cut.

    Args:
        read: `read(start, count)` -> float32 (count,).
        count: samples that there are.

    Returns:
        `read(start, count)` -> complex64 (count,).
    """

    def read_analytic(start: int, wanted: int) -> np.ndarray:
        analytic = np.empty(wanted, np.complex64)
        stop = start + wanted
        for block in range(start // BLOCK * BLOCK, stop, BLOCK):
            samples = _with_zeros(read, block - REACH, FFT_SIZE, count)
            first, last = max(start, block), min(stop, block + BLOCK)
            inside = slice(first - block, last - block)
            part = analytic[first - start : last - start]
            part.real = samples[REACH:-REACH][inside]
            part.imag = _hilbert(samples)[inside]
        return analytic

    return read_analytic


def _with_zeros(
    read: Callable[[int, int], np.ndarray], start: int, wanted: int, count: int
) -> np.ndarray:
    """Samples float64 (wanted,) from `start`, zeros where there are none."""
    samples = np.zeros(wanted)
    first, last = max(0, start), min(count, start + wanted)
    samples[first - start : last - start] = read(first, last - first)
    return samples


def _hilbert(samples: np.ndarray) -> np.ndarray:
    """The Hilbert transform of all but `REACH` samples at either end: float64 (BLOCK,)."""
    filtered = fft.irfft(fft.rfft(samples) * _response(), FFT_SIZE)
    return filtered[2 * REACH :]


@cache
def _response() -> np.ndarray:
    """Of the filter, delayed by `REACH`: complex128 (FFT_SIZE / 2 + 1,)."""
    n = np.arange(-REACH, REACH + 1)
    is_odd = n % 2 == 1
    taps = np.zeros(len(n))
    taps[is_odd] = 2 / (np.pi * n[is_odd])
    return fft.rfft(taps * kaiser(len(n), KAISER_BETA), FFT_SIZE)
