"""The symbol rate, from lines of products of a signal with itself.

A linear modulation is cyclostationary: the mean of |x|^2, of x(t) x*(t - d) and, where I and Q are
staggered or there is but one of them, of x^2, repeats with the symbols (Gardner, IEEE Trans.
Commun. 35 (1987) 584). A product's spectrum then has a line at the symbol rate over a random floor.
"""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.stats import gamma

from pisces.acquisition.levels import near_one
from pisces.acquisition.resampling import nearest_ratio, resample, shift_frequency

RANGE = (0.6, 2.2)
"""Of symbol rates that are looked for, over the equivalent bandwidth of the signal."""
OVERSAMPLED = 4
"""Samples a symbol, about, that lines are looked for in."""
ABOUT = 0.02
"""Relative error of that number."""
NEIGHBOURS, FEW_NEIGHBOURS = 129, 17
"""Bins whose median is the floor about a line; where there are few, it is an eighth of them."""
FLAT = 0.8
"""Of the equivalent bandwidth, to either side of the centre, that is made flat."""
NARROW = 1.4
"""The highest symbol rate that is looked for in what was made flat, over the bandwidth."""
LEAST_FALL = 0.05
"""Of a spectrum, over its middle, that is allowed for."""
PARTS = (1, 8, 24)
"""Into which a signal is split, for clocks that jump."""
EMPTY = 1e-9
"""Of the highest power, below which a spectrum counts as empty."""
LEAST_SAMPLES, LEAST_PART = 64, 384
"""In which a line can be looked for, and of a part of them."""
STEPS = (0.5, 0.1, 0.02, 0.004)
"""Bins between the frequencies tried about a line, coarse to fine."""
ZERO_PADDING = 2
"""Bins of a spectrum over its samples."""


class SymbolRate(NamedTuple):
    """What is found of a signal's clock."""

    rate: float
    """Symbols a sample."""
    confidence: float
    """1 less the chance that noise alone has so strong a line in any of the products."""
    strength: float
    """Power of the line over the mean of its surroundings."""


def find_symbol_rate(iq: np.ndarray, center: float, bandwidth: float) -> SymbolRate:
    """The symbol rate of a signal in a band, by the least accidental line of all products.

    Lines are looked for over the whole of the signal, and in parts of it whose powers are added up:
    in a signal whose clock jumps, these show the line that the whole does not.

    Args:
        iq: complex64 (samples,), of the signal and what surrounds it; or (n, samples), which have
            the rate in common but not the phase.
        center: of its band, cycles a sample.
        bandwidth: equivalent one as `band.Band` has it, cycles a sample, up to 1.

    Returns:
        Rate and confidence; all 0 where there are too few samples.
    """
    rows = near_one(np.atleast_2d(iq))
    ratio = nearest_ratio(OVERSAMPLED * bandwidth, ABOUT)
    slow = np.stack([resample(shift_frequency(row, -center), ratio) for row in rows])
    if slow.shape[1] < LEAST_SAMPLES:
        return SymbolRate(0.0, 0.0, 0.0)
    width = bandwidth / float(ratio)  # cycles a sample of `slow`

    lines = []
    for product, limits, extent in products(slow, width):
        for parts in PARTS:
            samples = product.shape[1] // parts
            if samples >= (LEAST_SAMPLES if parts == 1 else LEAST_PART):
                split = product[:, : samples * parts].reshape(-1, samples)
                lines.append(strongest_line(split, limits, extent))
    if len(slow) == 1:
        both = (slow[0], flattened(slow, width)[0])
        lines += [staggered_lines(one, _limits(width)) for one in both]
        lines.append(beat_of_staggered(both[1], width))

    best = min(lines, key=lambda line: line.log_chance)
    chance = min(1.0, len(lines) * math.exp(min(best.log_chance, 0)))
    return SymbolRate(best.rate * float(ratio), 1 - chance, best.strength)


class Line(NamedTuple):
    """A line of a product."""

    rate: float
    """Cycles a sample."""
    strength: float
    """Its power over the mean of its surroundings."""
    log_chance: float
    """Log of the chance of one as strong among as many bins of noise."""


NO_LINE = Line(0.0, 0.0, 0.0)


def _limits(width: float, most: float = RANGE[1]) -> tuple[float, float]:
    return RANGE[0] * width, min(most * width, 0.5)


class Product(NamedTuple):
    """A product of a signal with itself."""

    values: np.ndarray
    """(n, samples), complex or real."""
    limits: tuple[float, float]
    """Cycles a sample between which it may have a line."""
    extent: float
    """Cycles a sample at which its spectrum has fallen to 0, along a straight line; or infinite."""


def products(iq: np.ndarray, width: float) -> list[Product]:
    """Products of a signal with itself whose mean repeats with the symbols.

    |x|^2 as it is, |x|^2 with the edges of the band raised, which carry the line of a pulse of
    small excess bandwidth, and the delay product, half a symbol apart, which frequency keying has.

    Args:
        iq: complex (n, samples), centred.
        width: equivalent bandwidth, cycles a sample.
    """
    delay = max(1, round(0.5 / width))
    power, of_flat = (one.real**2 + one.imag**2 for one in (iq, flattened(iq, width)))
    delayed = iq[:, delay:] * iq[:, :-delay].conj()
    limits, extent = _limits(width), 2 * FLAT * width
    return [
        Product(power, limits, np.inf),
        Product(of_flat, _limits(width, NARROW), extent),
        Product(delayed, limits, np.inf),
    ]


def flattened(iq: np.ndarray, width: float) -> np.ndarray:
    """A signal whose spectrum is flat over its band: the edges are as loud as the middle.

    Args:
        iq: complex (n, samples), centred.
        width: equivalent bandwidth, cycles a sample.

    Returns:
        complex (n, samples).
    """
    samples = iq.shape[1]
    bins = fft.next_fast_len(samples)
    spectrum = fft.fft(iq, bins)
    inside = np.abs(fft.fftfreq(bins)) < FLAT * width
    density = np.mean(np.abs(spectrum) ** 2, axis=0)
    smooth = uniform_filter1d(density, max(3, int(width * bins / 32)), mode="wrap")
    least = max(0.01 * smooth.max(), np.finfo(smooth.dtype).tiny)
    flat = np.where(inside, spectrum / np.sqrt(np.maximum(smooth, least)), 0)
    return fft.ifft(flat)[:, :samples]


def strongest_line(
    product: np.ndarray, limits: tuple[float, float], extent: float = np.inf
) -> Line:
    """The strongest line of a product between two frequencies.

    Args:
        product: (n, samples), real or complex; then lines at either sign count. The powers of the
            rows are added up.
        limits: cycles a sample, above 0.
        extent: of the product's spectrum, as of `Product`.
    """
    rows, samples = product.shape
    bins = fft.next_fast_len(ZERO_PADDING * samples)
    centred = product - product.mean(1, keepdims=True)
    power = np.mean(np.abs(fft.fft(centred, bins)) ** 2, axis=0)
    least = EMPTY * power.max()
    first = max(int(limits[0] * bins), 2 * ZERO_PADDING)
    last = min(int(limits[1] * bins) + 1, bins // 2)

    best = NO_LINE
    for sign in (1, -1) if np.iscomplexobj(product) else (1,):
        numbers = sign * np.arange(first, last)
        if not len(numbers):
            continue
        half = int(np.clip(bins // 8, FEW_NEIGHBOURS, NEIGHBOURS)) // 2
        wider = sign * np.arange(first - half, last + half)
        fall = np.maximum(1 - np.abs(wider) / bins / extent, LEAST_FALL)
        around = median_filter(power[wider] / fall, 2 * half + 1, mode="nearest") * fall
        relative = _over_surroundings(power[numbers], around[half:-half], rows, least)
        at = int(relative.argmax())
        if relative[at] > best.strength:
            rate = abs(refined(centred, float(numbers[at]) / bins))
            log_chance = _log_chance(relative[at], rows, len(numbers))
            best = Line(rate, float(relative[at]), log_chance)
    return best


def _over_surroundings(
    power: np.ndarray, median: np.ndarray, rows: int, least: float
) -> np.ndarray:
    """Power (bins,) over the mean around each bin, which the median tells of sums of `rows`."""
    least = max(least, np.finfo(power.dtype).tiny)  # of silence
    return power / np.maximum(median / (gamma.median(rows) / rows), least)


def _log_chance(strength: float, rows: int, bins: int) -> float:
    """Log of the chance of a line as strong in noise: a sum of `rows` exponentials in a bin."""
    return min(0.0, math.log(max(bins, 1)) + float(gamma.logsf(rows * strength, rows)))


def refined(product: np.ndarray, rate: float) -> float:
    """Where the periodogram of a product peaks near `rate`, cycles a sample.

    The maximum of the periodogram is the maximum likelihood estimate of the frequency of one line
    in white noise (Rife and Boorstyn, IEEE Trans. Inf. Theory 20 (1974) 591). The search goes from
    half a bin down; a parabola through the last three does the rest.

    Args:
        product: (n, samples); the powers of the rows are added up.
        rate: within a bin of the peak.
    """
    samples = product.shape[1]
    # Near the line a block of samples, turned by `rate`, adds up to about the same phase.
    block = max(1, samples // 512)
    whole = samples // block * block
    place = np.arange(whole) - (samples - 1) / 2
    turned = product[:, :whole] * np.exp(-2j * np.pi * rate * place)
    sums = turned.reshape(len(product), -1, block).sum(2)
    middles = place.reshape(-1, block).mean(1)

    def power_at(offsets: np.ndarray) -> np.ndarray:
        lines = sums @ np.exp(-2j * np.pi * np.outer(middles, offsets))  # (n, offsets)
        return np.sum(np.abs(lines) ** 2, axis=0)

    offset = 0.0
    for step in STEPS:
        tried = offset + step / samples * np.arange(-5, 6)
        offset = float(tried[power_at(tried).argmax()])
    before, at, after = power_at(offset + STEPS[-1] / samples * np.arange(-1, 2))
    curvature = before - 2 * at + after
    shift = 0.5 * (before - after) / curvature if curvature < 0 else 0.0
    return rate + offset + float(np.clip(shift, -1, 1)) * STEPS[-1] / samples


def staggered_lines(iq: np.ndarray, limits: tuple[float, float]) -> Line:
    """The symbol rate of staggered I and Q, by two lines of x^2 as far from its middle.

    Their |x|^2 does not beat; x^2 does, with lines at twice the carrier plus and minus the symbol
    rate. Minimum shift keying has them too, at half the bit rate.

    Args:
        iq: complex (samples,), centred.
        limits: of symbol rates, cycles a sample.

    Returns:
        Half the distance of the lines, and the strength of the weaker one.
    """
    square = iq * iq
    bins = fft.next_fast_len(ZERO_PADDING * len(square))
    spectrum = fft.fftshift(fft.fft(square, bins))  # -1/2 cycles a sample first
    power = np.abs(spectrum) ** 2
    around = median_filter(power, NEIGHBOURS, mode="wrap")
    relative = _over_surroundings(power, around, 1, EMPTY * power.max())
    first = int(relative.argmax())
    apart = np.abs(np.arange(bins) - first) / bins
    is_candidate = (apart > 2 * limits[0]) & (apart < 2 * limits[1])
    second = int(np.where(is_candidate, relative, 0).argmax())
    strength = float(relative[second])
    if not is_candidate.any() or strength == 0:
        return NO_LINE

    # Lines of a real signal are whole symbol rates apart, so that there is one halfway, too.
    halfway = slice((first + second) // 2 - 2, (first + second) // 2 + 3)
    if relative[halfway].max() > strength / 4:
        return NO_LINE

    rates = [refined(square[None], one / bins - 0.5) for one in (first, second)]
    distance = abs(rates[0] - rates[1])
    return Line(distance / 2, strength, _log_chance(strength, 1, int(is_candidate.sum())))


def beat_of_staggered(iq: np.ndarray, width: float) -> Line:
    """The symbol rate of staggered I and Q whose carrier drifts, by the beat of their two lines.

    The two lines of x^2 drift together, so that |x^2|^2 has a line at their distance, twice the
    symbol rate.

    Args:
        iq: complex (samples,), centred and flat over its band.
        width: equivalent bandwidth, cycles a sample.

    Returns:
        Half the frequency of the line.
    """
    twice_as_fast = resample(iq.astype(np.complex64), Fraction(2))
    power = twice_as_fast.real**2 + twice_as_fast.imag**2
    # Half the frequency at twice the rate is the number that it has at the old one.
    low, high = _limits(width, NARROW)
    return strongest_line(np.square(power)[None], (low, min(high, 0.5)))
