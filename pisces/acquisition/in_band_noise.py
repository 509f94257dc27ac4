"""The noise in the band of a linear modulation, from what its two edges have in common.

Symbols repeat their spectrum with every symbol rate: what the signal has half a symbol rate above
the carrier it has, times a factor, half of one below (Gardner, IEEE Trans. Commun. 35 (1987) 584).
The covariance of the two edges is then of rank one, plus the noise in both. Its lesser eigenvalue
is the noise, whatever the pulse, the constellation, or the time for which the signal is off.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal.windows import hann

EDGE = 0.125
"""Symbol rates to either side of an edge that are looked at."""
LEAST_SYMBOLS = 512
"""From which on noise can be told, to about a tenth."""
FIRST, SHORTEST, LONGEST = 64, 32, 256
"""Symbols of a spectrum: at first, and at least and at most."""
LEAST_SPECTRA = 8
"""Of how many lengths of a spectrum a signal lasts at least."""
SHARPNESS = 16.0
"""Symbols of a spectrum over the root of the signal's power over the noise.

A window of T symbols blurs edges by 0.58 / T symbol rates. A root-raised cosine of roll-off 0.2
falls so steeply that 10 / T^2 of its power is blurred; that stays below a twentieth of the noise.
"""
CLOCK, FINENESS = 3e-4, 16
"""Relative error of the symbol rate, and steps over a turn from end to end, in which it is sought.
"""
TINY = 1e-30
"""Keeps powers of zero from dividing by zero."""
OVERLAP = 0.95
"""Independent spectra, of Hann windows that lie half over each other, over their number."""


class Edges(NamedTuple):
    """Eigenvalues of the covariance of both edges, in the mean over the bins."""

    noise: float
    signal: float
    """Power density of the signal in the middle of its band, about."""


def noise_in_band(iq: np.ndarray, rate: float) -> float | None:
    """The power of the noise in the band of a signal, were the whole band alike.

    A signal whose edges have nothing in common, as analogue modulations and frequency keying, looks
    like noise: the result is an upper bound.

    Args:
        iq: complex (samples,), carrier near 0, of the signal alone: without what surrounds it.
        rate: symbols a sample, right to about `CLOCK`.

    Returns:
        The power, or None where there are too few symbols.
    """
    symbols = int(len(iq) * rate)
    if symbols < LEAST_SYMBOLS:
        return None
    turns = rate * np.arange(len(iq)) / 2
    to_edge = np.exp(-2j * np.pi * (turns % 1))
    upper, lower = iq * to_edge, iq * to_edge.conj()

    in_common = _sharp(upper, lower, rate, symbols)

    # Staggered symbols have in common what is mirrored about an edge.
    mirrored = [_sharp(edge, edge.conj(), rate, symbols) for edge in (upper, lower)]
    return max(min(in_common, sum(mirrored) / 2), 0.0)  # rounding may leave less than nothing


def _sharp(one: np.ndarray, other: np.ndarray, rate: float, symbols: int) -> float:
    """The noise by spectra that are as fine as its power asks for."""
    most = min(LONGEST, symbols // LEAST_SPECTRA)
    first = eigenvalues(one, other, rate, min(FIRST, most))
    sharp = SHARPNESS * np.sqrt(first.signal / max(first.noise, TINY))
    fine = int(np.clip(sharp, min(SHORTEST, most), most))

    # The power that is blurred falls with the square of the length: none is left of infinite ones.
    noise = eigenvalues(one, other, rate, fine).noise
    blurred = eigenvalues(one, other, rate, fine // 2).noise
    return noise - float(np.clip(blurred - noise, 0, noise)) / 3


def eigenvalues(upper: np.ndarray, lower: np.ndarray, rate: float, symbols: int) -> Edges:
    """Of the covariance of two edges, by spectra of so many symbols."""
    length = round(symbols / rate)
    window = hann(length, sym=False)
    window /= np.sqrt(np.sum(window**2))
    bins = int(EDGE * rate * length)
    at = np.arange(-bins, bins + 1)
    hop = length // 2

    def spectra(iq: np.ndarray) -> np.ndarray:
        pieces = np.lib.stride_tricks.sliding_window_view(iq, length)[::hop]
        return np.fft.fft(pieces * window, axis=1)[:, at]

    x, y = spectra(upper), spectra(lower)
    y = y * _turns(np.sum(x * y.conj(), 1), CLOCK * rate * hop)[:, None]
    count = OVERLAP * len(x)
    xx, yy = np.mean(np.abs(x) ** 2, 0), np.mean(np.abs(y) ** 2, 0)
    xy = np.abs(np.mean(x * y.conj(), 0))

    middle, apart = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    low, high = middle - apart, middle + apart
    # Of so few spectra the lesser eigenvalue is too low (Lawley, Biometrika 43 (1956) 128).
    low = low + low * high / np.maximum(high - low, TINY) / count
    low = np.minimum(low, middle)
    noise = float(low.mean())
    return Edges(noise, max(float(high.mean()) - noise, 0.0))


def _turns(products: np.ndarray, most: float) -> np.ndarray:
    """Phasors that turn as products of edges do, where the rate is slightly wrong.

    Args:
        products: of each spectrum, (spectra,).
        most: turns from one to the next at most.
    """
    bins = FINENESS * len(products)
    power = np.abs(np.fft.fft(products, bins)) ** 2
    at = np.fft.fftfreq(bins)
    near = np.abs(at) <= max(most, 1 / len(products))
    turn = at[np.where(near, power, -1).argmax()]
    return np.exp(2j * np.pi * turn * np.arange(len(products)))
