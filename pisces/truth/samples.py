"""Symbols drawn anew in the samples of frames: old pulses off, new ones on.

Timing, carrier offset and level are held as the receiver found them: to run it again would find
others, and every symbol would move a little. Views that are made from the new samples show what the
frame would have been.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from pisces.core.dsp import noise_power
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.inputs.receiver.chain import Symbols, is_short
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.receiver.pulse import RATES
from pisces.inputs.settings import FEWEST_REDRAWN_SPS, RenderSettings

GUARD = 16
"""Symbols beyond either end of a frame to which its pulses reach."""
ROLLOFFS = np.arange(5, 101, 5) / 100
"""Of the root-raised cosines that each frame is first compared with."""
FINER = np.arange(-4, 5) / 100
"""About the best of them."""
LEFT_OUT = 8
"""Symbols behind either end of those known in which unknown ones still show: not compared."""
DEVIATIONS = 5.0
"""Standard deviations beyond which noise is not taken to reach."""
NOISE_ERROR = 0.07
"""Relative standard deviation of the noise power of a frame: 0.3 dB, see `dsp.noise_power`."""
LEAST_NOISE = 1e-4
"""Over the power of a frame, -40 dB: what pulses are known to."""
FRAMES_AT_ONCE = 16

NO_FIT = "no pulse fits the samples"
"""Why a frame is refused, beside `found.REASONS`."""


class Pulses(NamedTuple):
    """What symbols make of n frames."""

    response: np.ndarray
    """Of each frame's pulse, at the frequencies of `_rates`: float64 (n, bins)."""
    gain: np.ndarray
    """Of the samples over pulses of the points of the view, complex (n, 1)."""
    timing: np.ndarray
    """Symbol k of a frame is at sample (k + timing) * sps: (n, 1)."""
    carrier_offset: np.ndarray
    """Cycles a sample, (n, 1)."""
    fits: np.ndarray
    """Whether no more is left of the samples, without these pulses, than noise makes: bool (n,)."""


def find_pulses(iq: np.ndarray, received: Symbols, render: RenderSettings) -> Pulses:
    """The pulse of each frame, and the complex gain of its symbols, by least squares.

    The pulses tried are that of `render` and root-raised cosines. What is left of the samples,
    without the pulses of all symbols, is noise; a frame in which more is left than
    `DEVIATIONS` standard deviations of noise has another pulse, an echo or a drift.

    Args:
        iq: frames, complex (n, samples), of any power but zero.
        received: their symbols, see `views.symbols_of`.
        render: samples a symbol, and the pulse.

    Returns:
        What their symbols make of them.

    Raises:
        ValueError: for less than `FEWEST_REDRAWN_SPS` samples a symbol.
    """
    if render.sps < FEWEST_REDRAWN_SPS:
        raise ValueError(
            f"render.sps = {render.sps} leaves no band without signal to tell the noise by; "
            f"symbols are redrawn in samples of {FEWEST_REDRAWN_SPS} a symbol or more"
        )
    found = []
    for first in range(0, len(iq), FRAMES_AT_ONCE):
        some = slice(first, first + FRAMES_AT_ONCE)
        of_some = Symbols(*(one[some] for one in received))
        found.append(_find(np.asarray(iq[some], complex), of_some, render))
    return Pulses(*(np.concatenate(one) for one in zip(*found, strict=True)))


def with_symbols(
    iq: np.ndarray, old: torch.Tensor, new: torch.Tensor, pulses: Pulses, sps: int
) -> np.ndarray:
    """Frames with some symbols replaced; the rest of the samples, noise too, stays.

    Args:
        iq: complex64 (n, samples).
        old: points of the view `symbol`, complex64 (n, symbols).
        new: points in their place; where both are equal nothing changes.
        pulses: of the frames.
        sps: samples a symbol.

    Returns:
        complex64 (n, samples); a frame without a change is the very same bits.
    """
    changed = (old != new).any(1).numpy()
    replaced = np.array(iq)
    if changed.any():
        some = Pulses(*(one[changed] for one in pulses))
        step = (new - old)[changed].numpy().astype(complex)
        trains = _trains(step, some, some.response[:, None], iq.shape[1], sps)[:, 0]
        replaced[changed] = (iq[changed] + some.gain * trains).astype(iq.dtype)
    return replaced


def _find(iq: np.ndarray, received: Symbols, render: RenderSettings) -> Pulses:
    """`find_pulses` of a few frames."""
    samples, sps = iq.shape[1], render.sps
    points = received.points.numpy().astype(complex)
    rates = _rates(samples, sps)
    timing, offset = (one.double().numpy() for one in (received.timing, received.carrier_offset))
    held = Pulses(np.empty((len(iq), 0)), np.empty((len(iq), 0)), timing, offset, np.empty(0))
    margin = (_left_out(samples, sps) + LEFT_OUT) * sps
    inner = slice(margin, samples - margin)

    compare = partial(_compare, iq, points, held, inner=inner, sps=sps)
    rolloffs = np.tile(ROLLOFFS, (len(iq), 1))
    first = compare(rrc_response(rates, rolloffs[..., None]))
    nearest = np.take_along_axis(rolloffs, first.best[:, None], 1)
    finer = np.clip(nearest + FINER, 0.01, 1)
    tried = rrc_response(rates, finer[..., None])  # (n, pulses, bins)
    if render.pulse in ("rml2018", "estimated"):
        own = np.broadcast_to(_own_response(rates, render), (len(iq), 1, len(rates)))
        tried = np.concatenate([own, tried], 1)
    close = compare(tried)

    rows = np.arange(len(iq))
    power = np.mean(np.abs(iq) ** 2, 1)
    noise = np.maximum(noise_power(iq), LEAST_NOISE * power)
    spread = np.hypot(NOISE_ERROR, 1 / np.sqrt(samples - 2 * margin))
    fits = close.left[rows, close.best] <= noise * (1 + DEVIATIONS * spread)
    gain = close.gain[rows, close.best][:, None]
    return held._replace(response=tried[rows, close.best], gain=gain, fits=fits)


class _Compared(NamedTuple):
    """Pulses against the samples of n frames."""

    gain: np.ndarray
    """Complex (n, pulses)."""
    left: np.ndarray
    """Power that is left a sample, (n, pulses)."""
    best: np.ndarray
    """Number of the pulse that leaves least, (n,)."""


def _compare(
    iq: np.ndarray,
    points: np.ndarray,
    held: Pulses,
    responses: np.ndarray,
    *,
    inner: slice,
    sps: int,
) -> _Compared:
    """Pulses of these responses (n, pulses, bins), by least squares over the inner samples."""
    trains = _trains(points, held, responses, iq.shape[1], sps)[..., inner]
    inside = iq[:, None, inner]
    energy = np.sum(np.abs(trains) ** 2, 2)
    along = np.sum(inside * trains.conj(), 2)
    gain = along / energy
    left = np.mean(np.abs(inside - gain[..., None] * trains) ** 2, 2)
    return _Compared(gain, left, left.argmin(1))


def _trains(
    symbols: np.ndarray, held: Pulses, responses: np.ndarray, samples: int, sps: int
) -> np.ndarray:
    """Pulses on symbols at the timing and the carrier offset that are held.

    Args:
        symbols: points of the view, complex (n, symbols).
        held: timing and carrier offset.
        responses: of some pulses each, (n, pulses, bins).
        samples: of a frame.
        sps: samples a symbol.

    Returns:
        complex (n, pulses, samples).
    """
    first = GUARD + _left_out(samples, sps)  # symbols before the first point
    block = np.zeros((len(symbols), samples // sps + 2 * GUARD), complex)
    block[:, first : first + symbols.shape[1]] = symbols

    # One impulse for each symbol, late by the timing; the block is periodic, its ends are empty.
    frequency = np.fft.fftfreq(block.shape[1] * sps)
    delay = np.exp(-2j * np.pi * frequency * (held.timing * sps))
    spectrum = sps * np.tile(np.fft.fft(block), sps) * delay  # (n, bins)
    baseband = np.fft.ifft(spectrum[:, None] * responses)[..., GUARD * sps :][..., :samples]

    # The receiver took the offset off about the middle of its points.
    middle = (_left_out(samples, sps) + (symbols.shape[1] - 1) / 2 + held.timing) * sps
    turns = held.carrier_offset * (np.arange(samples) - middle)
    return baseband * np.exp(2j * np.pi * turns)[:, None]


def _rates(samples: int, sps: int) -> np.ndarray:
    """Frequencies of the blocks of `_trains`, in symbol rates: (bins,)."""
    return np.fft.fftfreq((samples // sps + 2 * GUARD) * sps) * sps


def _left_out(samples: int, sps: int) -> int:
    """Symbols at either end of a frame that the view `symbol` does not show."""
    return 0 if is_short(samples, sps) else EDGE


def _own_response(rates: np.ndarray, render: RenderSettings) -> np.ndarray:
    """Of the pulse that the file has: (bins,)."""
    if render.pulse == "rml2018":
        return rml2018_response(rates)
    return np.interp(np.abs(rates), RATES, render.response, right=0.0)
