"""Modulated signals before carrier, channel and noise, each one period of a periodic block."""

from collections.abc import Callable
from functools import partial

import numpy as np

from pisces.core.pulses import rrc_response

Response = Callable[[np.ndarray], np.ndarray]
"""Amplitude response of a pulse, of frequencies in symbol rates."""

AUDIO_BAND = (0.0015, 0.017)
"""Cycles a sample: 300 Hz to 3.4 kHz at 200 kHz."""
FM_DEVIATION = 0.025
"""RMS, in cycles a sample: 99 % of the power then lies within 0.09 cycles a sample, as in
RML2018.01A.
"""
AM_INDEX = 1 / 3
"""RMS of the audio over the carrier: the envelope reaches zero at three standard deviations."""


def shape_symbols(
    symbols: np.ndarray, *, sps: int, rolloff: float | np.ndarray, timing: float | np.ndarray
) -> np.ndarray:
    """Root-raised-cosine pulses on symbols; see `shape_pulses`.

    Filtering once more by `core.pulses.rrc_response` returns the symbols.

    Args:
        symbols: (batch, n).
        sps: samples a symbol.
        rolloff: above 0 to 1, a number or a column (batch, 1).
        timing: symbols, a number or a column (batch, 1).

    Returns:
        complex128 (batch, n * sps), of the power of the symbols.
    """
    response = partial(rrc_response, rolloff=rolloff)
    return shape_pulses(symbols, sps=sps, response=response, timing=timing)


def shape_pulses(
    symbols: np.ndarray, *, sps: int, response: Response, timing: float | np.ndarray
) -> np.ndarray:
    """Pulses on symbols, as one period of a periodic block.

    Symbol k peaks at sample (k + timing) * sps, between samples if need be.

    Args:
        symbols: (batch, n).
        sps: samples a symbol.
        response: the amplitude response of the pulse, see `core.pulses`; of frequencies in symbol
            rates (n * sps,), and shaped like them or (batch, n * sps).
        timing: symbols, a number or a column (batch, 1).

    Returns:
        complex128 (batch, n * sps), of the power of the symbols times the energy of `response`
        over frequency: of a root-raised cosine, 1.
    """
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    impulses = sps * _impulses(symbols, sps, timing * sps)
    return np.fft.ifft(impulses * response(frequency * sps))


def gmsk(
    symbols: np.ndarray, *, sps: int, bt: float | None, timing: float | np.ndarray
) -> np.ndarray:
    """GMSK of modulation index 1/2, as one period of a periodic block.

    The frequency pulse is a rectangle of one symbol, centred at sample (k + timing) * sps, through
    a Gaussian filter. The last symbol is flipped where it takes that for the phase to return to its
    start, as a periodic block needs. Murota & Hirade, IEEE Trans. Commun. 29 (1981) 1044.

    Args:
        symbols: -1 and +1, (batch, n), n even.
        sps: samples a symbol.
        bt: half-power bandwidth of the filter over the symbol rate. None leaves the filter out,
            which gives CPFSK of the same index.
        timing: symbols, a number or a column (batch, 1).

    Returns:
        complex128 (batch, n * sps), of unit envelope.
    """
    closed = symbols.copy()
    closed[:, -1] *= np.where(symbols.sum(axis=-1) % 4, -1, 1)

    if bt is None:
        quarter_turns = _rectangles(closed, sps, timing)
    else:
        quarter_turns = _gaussians(closed, sps, bt, timing)
    return np.exp(0.5j * np.pi * np.cumsum(quarter_turns, axis=-1))


def _gaussians(symbols: np.ndarray, sps: int, bt: float, timing: float | np.ndarray) -> np.ndarray:
    """Quarter turns from the previous sample to each one: (batch, n * sps)."""
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    gaussian = np.exp(-np.log(2) / 2 * (frequency * sps / bt) ** 2)
    # sinc(f) and half a sample of delay integrate the frequency from the previous sample to this
    # one: the sum is then exact.
    pulse = np.sinc(frequency * sps) * gaussian * np.sinc(frequency)
    return np.fft.ifft(_impulses(symbols, sps, timing * sps + 0.5) * pulse).real


def _rectangles(symbols: np.ndarray, sps: int, timing: float | np.ndarray) -> np.ndarray:
    """As `_gaussians` without the filter.

    No spectrum of so few samples holds the edges, hence in time, where two symbols share a sample.
    """
    turns = np.repeat(symbols, sps, axis=-1) / sps
    delay = np.broadcast_to((timing - 0.5) * sps + 1, (len(symbols), 1))
    whole = np.floor(delay).astype(int)
    at = (np.arange(turns.shape[-1]) - whole) % turns.shape[-1]  # (batch, time)
    here = np.take_along_axis(turns, at, axis=-1)
    earlier = np.take_along_axis(turns, at - 1, axis=-1)
    return here + (delay - whole) * (earlier - here)


def _impulses(symbols: np.ndarray, sps: int, delay: float | np.ndarray) -> np.ndarray:
    """Spectrum of one impulse for each symbol, every `sps` samples: (batch, n * sps).

    The first is at sample `delay`, which need not be whole.
    """
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    undelayed = np.tile(np.fft.fft(symbols), sps)
    return undelayed * np.exp(-2j * np.pi * frequency * delay)


def audio(length: int, *, rng: np.random.Generator) -> np.ndarray:
    """Noise in the band of speech, as a periodic analytic signal: complex128 (length,).

    The real part has unit power, which falls as 1/f over `AUDIO_BAND`.
    """
    low, high = (round(edge * length) for edge in AUDIO_BAND)
    bins = np.arange(max(low, 1), high + 1)

    spectrum = np.zeros(length, complex)
    spectrum[bins] = complex_normal(bins.size, rng=rng) / np.sqrt(bins)
    # Parseval; without negative frequencies the real part holds half of the power.
    gain = np.sqrt(2 / np.sum(np.abs(spectrum) ** 2))
    return np.fft.ifft(spectrum) * length * gain


def analog(modulation: str, audio: np.ndarray) -> np.ndarray:
    """An analog modulation of analytic audio: complex128 (batch, time).

    AM-DSB sends the real part and AM-SSB (upper sideband) the analytic signal, with a carrier (WC)
    or without (SC). FM sends a constant envelope whose frequency is `FM_DEVIATION` times the real
    part. `audio` (batch, time) has a real part of unit power.
    """
    if modulation == "FM":
        return np.exp(2j * np.pi * FM_DEVIATION * np.cumsum(audio.real, axis=-1))
    _, sidebands, carrier = modulation.split("-")
    message = audio if sidebands == "SSB" else audio.real + 0j
    return 1 + AM_INDEX * message if carrier == "WC" else message


def complex_normal(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Circular Gaussian numbers of unit mean power: complex128 (size,)."""
    return rng.normal(scale=np.sqrt(0.5), size=2 * size).view(complex)
