"""Where in a recording a signal is: energy over a noise floor that follows the recording."""

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, stats
from scipy.signal.windows import hann

BINS, FEW_BINS = 256, 64
"""Of a short-time spectrum; the next one begins half as many samples later."""
SHORT = 2**16
"""Samples below which spectra have `FEW_BINS`."""
SPECTRA = 4
"""Short-time spectra that are averaged to a cell."""
SMOOTH_CELLS, SMOOTH_BINS = 3, 5
"""Over which powers are averaged before they are compared with the floor."""
FLOOR_SHARE = 0.08
"""Of the time in which there is noise alone at least, at any frequency."""
LEVEL_SHARE = 0.1
"""Of the band that no signal fills, for one that is never off to stand out."""
STOPBAND = 1e-3
"""Of the loudest bins' floor, below which none counts: filters and silence leave no noise."""
WIDE_CELLS = 33
"""Up to which something that fills the whole band counts as a burst, else as louder noise."""
SILENCE = 1e-6
"""Of the loudest cell's power, up to which a cell is muted: it says nothing about the noise."""
TINY = 1e-30
"""Keeps levels of nothing from dividing by zero."""
HIGH, LOW = 10**0.5, 10**0.25
"""Over the floor: what a signal reaches somewhere, and what it is followed down to."""
LEAST_CELLS = 6
"""Of time and frequency together, that a signal fills at least."""
CLOSED_CELLS, CLOSED_BINS = 5, 5
"""Gaps of a signal that are closed."""
TAIL = 0.35
"""Of a signal's width, below which it is taken to have ended."""
SPLASH = 0.1
"""Of the time, below which what joins two bands is no signal: their edges, when they begin."""
LONG_CELLS = 100
"""From which on that share is told from the signal: a splash takes some cells at each end."""
LOUDER, RIVAL = 2.0, 0.04
"""Times the floor of a band, and share of the time, from which on something louder counts."""
STEADY = 10**0.35
"""Times its own floor, up to which a signal that is never off may be in the mean."""

Box = tuple[slice, slice]
"""Cells of time and bins of frequency."""


@dataclass(frozen=True)
class Detection:
    """A box in time and frequency in which there is a signal."""

    start: int
    """In samples, of what was looked at."""
    count: int
    low: float
    """Edges of the band in cycles a sample, -1/2 to 1/2."""
    high: float
    floor: np.ndarray
    """Noise in bins from -1/2 cycles a sample on: its power, were the whole band alike."""
    steady: bool
    """Whether it is never off, so that the spectrum of the noise may look the same."""


def cell_powers(iq: np.ndarray, bins: int) -> np.ndarray:
    """Mean short-time power spectra.

    Args:
        iq: complex (samples,), at least `bins` of them.
        bins: samples of a spectrum; a cell is `SPECTRA` / 2 times as long.

    Returns:
        float32 (cells, bins), frequencies from -1/2 cycles a sample on. White noise of power p has
        the mean p in every bin.
    """
    window = hann(bins, sym=False)
    window = (window / np.sqrt(np.sum(window**2))).astype(np.float32)
    pieces = np.lib.stride_tricks.sliding_window_view(iq.astype(np.complex64), bins)
    spectra = fft.fftshift(fft.fft(pieces[:: bins // 2] * window), axes=1)
    powers = spectra.real**2 + spectra.imag**2  # (spectra, bins)

    cells = max(1, len(powers) // SPECTRA)
    whole = powers[: cells * SPECTRA]
    return whole.reshape(cells, -1, bins).mean(1)  # (spectra, bins) -> (cells, bins)


def noise_floor(smooth: np.ndarray) -> np.ndarray:
    """Noise in each bin, from the quietest part of the time.

    Powers of noise alone, averaged over many spectra, spread little about their mean; the quantile
    is divided by that of a gamma distribution of the same spread.

    Args:
        smooth: powers (cells, bins), averaged over `SMOOTH_CELLS` and `SMOOTH_BINS`.

    Returns:
        (bins,), above 0 where any sample is.
    """
    lowest = np.quantile(smooth[is_audible(smooth)], FLOOR_SHARE, axis=0)
    # Neighbouring spectra share half of their samples, neighbouring bins two thirds of a window.
    averages = SPECTRA * SMOOTH_CELLS * SMOOTH_BINS / (1.1 * 1.5)
    floor = lowest / stats.gamma.ppf(FLOOR_SHARE, averages, scale=1 / averages)
    loudest = max(float(np.quantile(floor, 0.97)), float(smooth.mean()) / 1e3, TINY)
    return np.maximum(floor, STOPBAND * loudest)


def gain_of_noise(smooth: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """How loud the noise is over time, over its floor: gain controls turn it up and down.

    It is seen at those frequencies that stand out least, where a signal may fill most of the band.

    Args:
        smooth: powers (cells, bins).
        floor: of `noise_floor`, (bins,).

    Returns:
        (cells, 1), about 1 where nothing happens.
    """
    open_to_noise = floor > floor.min() * (1 + 1e-6)
    if open_to_noise.mean() < LEVEL_SHARE / 2:
        open_to_noise[:] = True
    relative = smooth[:, open_to_noise] / floor[open_to_noise]
    least = np.quantile(relative, LEVEL_SHARE, axis=1)
    least = ndimage.grey_opening(least, min(WIDE_CELLS, len(least)), mode="nearest")
    usual = max(float(np.quantile(least[is_audible(smooth)], FLOOR_SHARE)), TINY)
    return np.maximum(least / usual, 1)[:, None]


def is_audible(smooth: np.ndarray) -> np.ndarray:
    """Which cells hold more than digital silence: bool (cells,), of powers (cells, bins)."""
    power = smooth.mean(1)
    return power > SILENCE * power.max()


def detect(iq: np.ndarray) -> list[Detection]:
    """Stretches of signals, in order of time.

    What comes and goes is found over the floor of its own frequencies (hysteresis: from `HIGH` down
    to `LOW`). What is never off is found over the floor of other frequencies.

    Args:
        iq: complex (samples,).

    Returns:
        Boxes, none of which is sure to be more than noise.
    """
    bins = BINS if len(iq) >= SHORT else FEW_BINS
    if len(iq) < bins or not np.any(iq):
        return []
    powers = cell_powers(iq, bins)
    smooth = ndimage.uniform_filter(powers, (SMOOTH_CELLS, SMOOTH_BINS), mode="nearest")
    if not is_audible(smooth).any():  # so weak that their powers are 0
        return []
    floor = noise_floor(smooth)
    gain = gain_of_noise(smooth, floor)

    boxes = _boxes(smooth / (gain * floor))
    found = []
    for box in boxes:
        of_box = float(gain[box[0]].mean()) * floor
        found.append(_detection(box, of_box, len(iq), steady=False))

    level = np.full(bins, _level(floor))
    audible = np.flatnonzero(is_audible(smooth))
    whole = slice(int(audible[0]), int(audible[-1]) + 1)
    for band in _steady_bands(smooth, floor):
        # What is louder for a time in a part of the band shows that the rest is shaped noise.
        louder = [
            time
            for time, other in boxes
            if _overlap(other, band, touching=True)
            and smooth[time, other].mean() > LOUDER * floor[band].mean()
        ]
        covered = sum(time.stop - time.start for time in louder)
        if covered < RIVAL * (whole.stop - whole.start):
            found.append(_detection((whole, band), level, len(iq), steady=True))
    return sorted(found, key=lambda one: (one.start, one.low))


def _boxes(excess: np.ndarray) -> list[Box]:
    """Boxes about what stands out of the floor, merged where they overlap."""
    border = (CLOSED_CELLS, CLOSED_BINS)
    padded = np.pad(excess > LOW, [(one, one) for one in border])
    closed = ndimage.binary_closing(padded, np.ones(border))
    likely = closed[CLOSED_CELLS:-CLOSED_CELLS, CLOSED_BINS:-CLOSED_BINS]

    labels, count = ndimage.label(likely)
    sure = np.bincount(labels[excess > HIGH], minlength=count + 1)
    boxes: list[Box] = []
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        if sure[number] >= LEAST_CELLS:
            boxes += _without_tails(labels[box] == number, box)
    return _merged(boxes)


def _without_tails(inside: np.ndarray, box: Box) -> list[Box]:
    """Those times of a region at which it is nearly as wide as it ever is, band by band.

    Args:
        inside: what of the box belongs to the region, bool (cells, bins).
        box: about the region.
    """
    width = inside.sum(1)
    runs, _ = ndimage.label(width > TAIL * np.quantile(width, 0.95))
    parts = []
    for (run,) in ndimage.find_objects(runs):
        if run.stop - run.start < SMOOTH_CELLS:
            continue
        time = slice(box[0].start + run.start, box[0].start + run.stop)
        for band in _apart(inside[run].mean(0), run.stop - run.start):
            parts.append((time, slice(box[1].start + band.start, box[1].start + band.stop)))
    return parts


def _apart(share: np.ndarray, cells: int) -> list[slice]:
    """Bands of bins that a region fills, apart where it is nearly never between them.

    Signals side by side that begin or end at once are joined for a moment, and no longer.

    Args:
        share: of the time, for which the region is in each bin: (bins,).
        cells: that it lasts for.
    """
    gaps, _ = ndimage.label(share < (SPLASH if cells >= LONG_CELLS else 0))
    wide = [gap for (gap,) in ndimage.find_objects(gaps) if gap.stop - gap.start >= CLOSED_BINS]
    filled = np.ones(len(share), bool)
    for gap in wide:
        filled[gap] = False

    bands, _ = ndimage.label(filled)
    found = []
    for (band,) in ndimage.find_objects(bands):
        bins = band.start + np.flatnonzero(share[band] > TAIL)
        if len(bins):
            found.append(slice(int(bins[0]), int(bins[-1]) + 1))
    return found


def _merged(boxes: list[Box]) -> list[Box]:
    """Boxes, those that overlap become one."""
    merged: list[Box] = []
    for box in sorted(boxes, key=lambda one: one[0].start):
        while True:
            other = next((one for one in merged if all(map(_overlap, one, box))), None)
            if other is None:
                break
            merged.remove(other)
            box = (_union(box[0], other[0]), _union(box[1], other[1]))
        merged.append(box)
    return merged


def _overlap(one: slice, other: slice, *, touching: bool = False) -> bool:
    return one.start < other.stop + touching and other.start < one.stop + touching


def _union(one: slice, other: slice) -> slice:
    return slice(min(one.start, other.start), max(one.stop, other.stop))


def without_leakage(iq: np.ndarray) -> np.ndarray:
    """Samples without the line at frequency 0 that a receiver's own oscillator leaves.

    It has one phase all the time, so that it is the median over short means; a signal whose carrier
    is there has its own phase, or is not there for most of the time.

    Args:
        iq: complex64 (samples,).
    """
    cells = len(iq) // BINS
    if cells < LEAST_CELLS:
        return iq
    means = iq[: cells * BINS].reshape(cells, BINS).mean(1)
    return iq - np.complex64(np.median(means.real) + 1j * np.median(means.imag))


def level_of(iq: np.ndarray) -> np.ndarray:
    """Noise in `FEW_BINS` bins, all alike, where a signal is never off: see `Detection.floor`."""
    if len(iq) < FEW_BINS:
        return np.zeros(FEW_BINS)
    mean = ndimage.uniform_filter1d(cell_powers(iq, FEW_BINS).mean(0), SMOOTH_BINS, mode="wrap")
    return np.full(FEW_BINS, _level(mean))


def _level(floor: np.ndarray) -> float:
    """Of the noise across the band, where a signal may fill most of it."""
    return float(np.quantile(floor, LEVEL_SHARE))


def _steady_bands(smooth: np.ndarray, floor: np.ndarray) -> list[slice]:
    """Bands of bins that stand out of the rest of the floor and do not come and go."""
    steady = (smooth.mean(0) < STEADY * floor) & (floor > HIGH * _level(floor))
    labels, _ = ndimage.label(ndimage.binary_closing(steady, np.ones(CLOSED_BINS)))
    bands = [band for (band,) in ndimage.find_objects(labels)]
    return [band for band in bands if band.stop - band.start >= SMOOTH_BINS // 2]


def _detection(box: Box, floor: np.ndarray, samples: int, *, steady: bool) -> Detection:
    """A box of cells and bins in samples and frequencies."""
    time, band = box
    bins = len(floor)
    cell = SPECTRA * bins // 2
    start = min(time.start * cell, samples)
    # The last cell reaches to the end.
    stop = samples if (time.stop + 1) * cell >= samples else time.stop * cell
    edges = (band.start / bins - 0.5, band.stop / bins - 0.5)
    return Detection(start, stop - start, *edges, floor, steady)
