"""What the linearly modulated frames of a data set show of their signal, in one pass over cells.

Frame k of every cell goes to group k mod `GROUPS`. All groups then hold the same mixture of cells,
and frames that no other group has: what is found in each of them differs by chance alone, and the
spread between the groups gives the interval of their mean.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import fft
from scipy.signal.windows import hann
from scipy.stats import t as student

from pisces.core import shards
from pisces.core.dsp import LEAST_NOISE, noise_power, to_complex
from pisces.core.modulations import LINEAR

FRAMES_READ = 64
"""Frames a cell that are read."""
GROUPS = 16

CLEAR_FROM_LABEL, CLEAR_FROM_POWER = 5, 10
"""Cells of clear signals: label of 5 dB or more (10 dB where labels scaled the amplitude), and a
measured SNR of 10 (10 dB) or more."""
NOISY_LABELS, NOISY_UP_TO_LABEL = 3, 10
"""Cells that show the noise: those of the three lowest labels, none above 10 dB, where the side
lobes of a cut pulse are still below the noise."""

CARRIER_LINE = 0.3
"""Share of a frame's power in one bin from which on it is a carrier, which hides the pulse."""
LONGEST_LAG = 64
"""Samples."""
SPACING = 8
"""Part of a frame that is left out between its halves, so that they share no symbol."""

LINE_OF_POWER = {"OOK": 2, "4ASK": 2, "8ASK": 2, "PAM4": 2, "BPSK": 2, "QPSK": 4}
"""Modulation -> power that leaves nothing but a carrier of so many times the frequency."""
ASK = ("4ASK", "8ASK", "PAM4")


class Estimate(NamedTuple):
    """A mean over groups of frames with its interval."""

    figure: float
    ci_low: float
    ci_high: float


def interval(values: Sequence[float] | np.ndarray, tests: int = 1) -> Estimate:
    """Mean of the figures of the groups (groups,) with its 95 % Student interval.

    Args:
        values: what was found in each group; NaN where it has no frames.
        tests: among how many such intervals the largest or smallest was chosen (Bonferroni).

    Returns:
        All NaN with fewer than two groups.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if len(known) < 2:
        return Estimate(np.nan, np.nan, np.nan)
    mean = float(known.mean())
    standard_error = known.std(ddof=1) / np.sqrt(len(known))
    half_width = float(standard_error * student.ppf(1 - 0.025 / tests, len(known) - 1))
    return Estimate(mean, mean - half_width, mean + half_width)


@dataclass
class Statistics:
    """Means over the frames of each group, (groups, ...); NaN where a group has no such frame."""

    samples: int
    """Of a frame."""
    spectrum: np.ndarray
    """Power spectrum less the noise floor, over the signal's power: (groups, samples). Of clear
    frames without a carrier."""
    beat: np.ndarray
    """What |x|^2 of both halves of clear frames have in common at `beat_frequencies`; its line is
    the symbol rate: (groups, frequencies)."""
    skewness: np.ndarray
    """Product of the two halves' Im r(lag) / r(0), r their autocorrelations: (groups, lags)."""
    noise: np.ndarray
    """Power spectrum of noisy frames of unit power: (groups, samples)."""
    offsets: list[np.ndarray]
    """Carrier offset of each clear frame that tells it, cycles a sample: (n,) of each group."""
    carriers: list[np.ndarray]
    """Share of power in the carrier of each clear frame of ASK: (n,) of each group."""


def measure(root: Path) -> Statistics | None:
    """The statistics of a directory of shards; None where it holds no linear modulation."""
    cells = [cell for cell in shards.cells(root) if cell.modulation in LINEAR]
    if not cells:
        return None
    labels = sorted({cell.snr_db for cell in cells})
    noisy = {label for label in labels[:NOISY_LABELS] if label <= NOISY_UP_TO_LABEL}

    sums = _Sums()
    samples = 0
    for cell in cells:
        iq = to_complex(shards.array(cell.path(root), "iq")[:FRAMES_READ])
        samples = iq.shape[1]
        group = np.arange(len(iq)) % GROUPS
        if cell.snr_db in noisy:
            sums.add("noise", group, _unit_spectrum(iq))
        if cell.snr_db >= CLEAR_FROM_LABEL:
            _add_clear(sums, cell.modulation, iq, group)

    return Statistics(
        samples,
        spectrum=sums.mean("spectrum", samples),
        beat=sums.mean("beat", len(beat_frequencies(samples))),
        skewness=sums.mean("skewness", longest_lag(samples)),
        noise=sums.mean("noise", samples),
        offsets=sums.listed("offsets"),
        carriers=sums.listed("carriers"),
    )


class _Sums:
    """Sums of rows by group under a name, and lists of numbers by group."""

    def __init__(self) -> None:
        self._sums: dict[str, np.ndarray] = {}
        self._counts: dict[str, np.ndarray] = {}
        self._lists: dict[str, list[list[float]]] = {}

    def add(self, name: str, group: np.ndarray, rows: np.ndarray) -> None:
        """Adds rows (n, width) to the sums of their groups (n,)."""
        sums = self._sums.setdefault(name, np.zeros((GROUPS, rows.shape[1])))
        counts = self._counts.setdefault(name, np.zeros(GROUPS))
        for index, row in zip(group, rows, strict=True):
            sums[index] += row
            counts[index] += 1

    def append(self, name: str, group: np.ndarray, values: Iterable[float]) -> None:
        """Adds a number to the list of each group (n,)."""
        lists = self._lists.setdefault(name, [[] for _ in range(GROUPS)])
        for index, value in zip(group, values, strict=True):
            lists[index].append(value)

    def mean(self, name: str, width: int) -> np.ndarray:
        """(groups, width); NaN where a group has no row."""
        if name not in self._sums:
            return np.full((GROUPS, width), np.nan)
        counts = self._counts[name][:, None]
        return np.where(counts > 0, self._sums[name] / np.maximum(counts, 1), np.nan)

    def listed(self, name: str) -> list[np.ndarray]:
        empty: list[list[float]] = [[] for _ in range(GROUPS)]
        return [np.array(values) for values in self._lists.get(name, empty)]


def _add_clear(sums: _Sums, modulation: str, iq: np.ndarray, group: np.ndarray) -> None:
    """Adds frames (n, samples) of a cell, unless it is not clear."""
    power = np.mean(np.abs(iq) ** 2, axis=1)
    noise = np.maximum(noise_power(iq), LEAST_NOISE * power)
    signal = power - noise
    if np.median(signal / noise) < CLEAR_FROM_POWER:
        return
    usable = signal > 0
    group, noise, signal = group[usable], noise[usable, None], signal[usable, None]
    iq = (iq[usable] / np.sqrt(signal)).astype(np.complex64)  # a signal of unit power
    noise = noise / signal

    sums.add("beat", group, _beat(iq))
    sums.add("skewness", group, _skewness(iq))

    plain = np.abs(fft.fft(iq)).max(1) ** 2 / iq.shape[1] ** 2 < CARRIER_LINE
    if plain.any():
        sums.add("spectrum", group[plain], _periodogram(iq[plain]) - noise[plain])

    if modulation in LINE_OF_POWER:
        offsets = carrier_offsets(iq, LINE_OF_POWER[modulation])
        sums.append("offsets", group, offsets)
        if modulation in ASK:
            sums.append("carriers", group, _carrier_shares(iq, offsets))


def _periodogram(iq: np.ndarray) -> np.ndarray:
    """Power (n, samples) in each bin through a Hann window; its mean over the bins is the power."""
    window = hann(iq.shape[1], sym=False).astype(np.float32)
    return np.abs(fft.fft(iq * window)) ** 2 / np.sum(window**2)


def expected_spectrum(
    response: Callable[[np.ndarray], np.ndarray], samples: int, sps: float
) -> np.ndarray:
    """What `_periodogram` shows in the mean of frames of one pulse: (samples,), of any level.

    The window multiplies the autocorrelation of a signal by its own.

    Args:
        response: amplitude response of the pulse over frequency in symbol rates.
        samples: of a frame.
        sps: samples a symbol.
    """
    rates = np.fft.fftfreq(2 * samples) * sps
    of_pulse = np.fft.ifft(response(rates) ** 2)
    of_window = np.fft.ifft(np.abs(np.fft.fft(hann(samples, sym=False), 2 * samples)) ** 2)
    return np.fft.fft(of_pulse * of_window).real[::2]


def _unit_spectrum(iq: np.ndarray) -> np.ndarray:
    unit = iq / np.sqrt(np.mean(np.abs(iq) ** 2, axis=1, keepdims=True))
    return _periodogram(unit.astype(np.complex64))


def _halves(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both halves of frames (n, samples), without what lies between (`SPACING`)."""
    samples = frames.shape[1]
    half = samples // 2 - samples // (2 * SPACING)
    return frames[:, :half], frames[:, -half:]


def beat_frequencies(samples: int) -> np.ndarray:
    """Of `Statistics.beat`, in cycles a sample, for frames of so many samples."""
    return np.fft.rfftfreq(4 * samples)


def _beat(iq: np.ndarray) -> np.ndarray:
    """Real cross spectrum of |x|^2 of both halves, as if they began together: (n, frequencies).

    The power of independent symbols beats at the symbol rate with one phase in the whole frame, and
    differs by chance from half to half: the mean is zero but for a line at the symbol rate.
    """
    samples = iq.shape[1]
    first, second = _halves(np.abs(iq) ** 2)
    window = hann(first.shape[1], sym=False).astype(np.float32)
    one, other = (
        fft.rfft((part - part.mean(1, keepdims=True)) * window, 4 * samples)
        for part in (first, second)
    )
    apart = samples - first.shape[1]
    turns = np.exp(-2j * np.pi * beat_frequencies(samples) * apart).astype(np.complex64)
    return (one.conj() * other * turns).real / np.sum(window**2)


def longest_lag(samples: int) -> int:
    """Of `Statistics.skewness`, for frames of so many samples."""
    return min(LONGEST_LAG, samples // 4)


def _skewness(iq: np.ndarray) -> np.ndarray:
    """Product of the imaginary autocorrelations of both halves, at lags 1, 2, ...: (n, lags).

    The autocorrelation of independent symbols through a pulse of real spectrum is real: only the
    symbols at hand give it an imaginary part, independently in each half. The mean of the product
    is then zero, whatever the modulation, the roll-off and the level of white noise. An echo of
    amplitude a, a delay d later and turned by p, adds about a sin(p) at lag d to both halves.
    """
    first, second = (_imaginary_autocorrelation(half) for half in _halves(iq))
    lags = longest_lag(iq.shape[1])
    return first[:, 1 : lags + 1] * second[:, 1 : lags + 1]


def _imaginary_autocorrelation(iq: np.ndarray) -> np.ndarray:
    """Unbiased, over that of lag 0: (n, samples)."""
    samples = iq.shape[1]
    padded = np.abs(fft.fft(iq, 2 * samples)) ** 2
    sums = fft.ifft(padded)[:, :samples]
    terms = samples - np.arange(samples)
    with np.errstate(invalid="ignore"):  # NaN of a half without power
        return sums.imag / terms * samples / sums.real[:, :1]


def carrier_offsets(iq: np.ndarray, power: int) -> np.ndarray:
    """Frequency (n,) of the strongest line of x^power over that power, in cycles a sample.

    Args:
        iq: complex (n, samples).
        power: 2 for real constellations, 4 for QPSK.

    Returns:
        Within half a cycle over `power`.
    """
    padded = 4 * iq.shape[1]
    spectrum = np.abs(fft.fft(iq**power, padded))
    peak = spectrum.argmax(1)
    rows = np.arange(len(iq))
    left, middle, right = (spectrum[rows, (peak + step) % padded] for step in (-1, 0, 1))
    frequency = (peak + vertex(left, middle, right)) / padded
    return ((frequency + 0.5) % 1 - 0.5) / power


def vertex(left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Where a parabola through three neighbouring values peaks, in steps from the middle one."""
    curvature = np.maximum(2 * middle - left - right, np.finfo(float).tiny)
    return np.clip((right - left) / (2 * curvature), -0.5, 0.5)


def _carrier_shares(iq: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Share (n,) of the power of unit signals at their carrier frequency, known modulo 1/2."""
    turns = np.outer(offsets, np.arange(iq.shape[1]))
    still = iq * np.exp(-2j * np.pi * turns)
    return np.abs(still.mean(1)) ** 2
