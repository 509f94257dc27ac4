"""Symbol timing of frames, and its drift, blind to modulation, carrier and level."""

import math
from typing import NamedTuple

import torch

from pisces.inputs.receiver.spectrum import power_of, tukey_window

OFFSET_LINE_WINS = 2.0
"""How much stronger the line of staggered I and Q must be before its timing is taken."""
BLOCKS = 8
"""Parts of a frame whose timings are compared."""
DRIFT_SYMBOLS = 64
"""In a frame at least for its drift to be looked for."""
DRIFT_NOISE = 2.0
"""Standard errors below which a drift is not followed, and above which it is in part.

The share 1 - (2 / drift over its error)^2 is that of James and Stein's estimator.
"""
TINY = 1e-20
"""Keeps powers of zero from dividing by zero."""
MOST_DRIFT = 0.2
"""Symbols over a frame that are followed at most."""


class Timing(NamedTuple):
    """Where the eye is open: symbol k of s is at k + timing + drift * ((k + 1/2) / s - 1/2)."""

    timing: torch.Tensor
    """In symbols, float32 (n, 1), -1/2 to 1/2. Of staggered I and Q, the instant of one of them."""
    drift: torch.Tensor
    """Symbols over the frame, float32 (n, 1): as far as it stands out of its own noise, else 0."""
    staggered: torch.Tensor
    """Whether I and Q are half a symbol apart, bool (n, 1)."""


class Beats(NamedTuple):
    """What turns with the timing, symbol by symbol: complex (n, symbols) each.

    The power of a linear modulation beats at the symbol rate, and the phase of the beat is the
    timing (Oerder and Meyr, IEEE Trans. Commun. 36 (1988), eq. 5). Where I and Q are half a symbol
    apart (OQPSK) their two beats cancel in |x|^2 = I^2 + Q^2, but add up in x^2 = I^2 - Q^2 + 2jIQ,
    which the carrier's phase turns: its two beats, at plus and minus the symbol rate, then tell
    both.
    """

    of_power: torch.Tensor
    plus: torch.Tensor
    minus: torch.Tensor


def beats_of(band: torch.Tensor, response: torch.Tensor) -> Beats:
    """Beats of frames through a filter that leaves them no noise of the symbols' own.

    The beat is the product of the two edges of the band. With the pulse's own response mirrored
    about half the symbol rate as the filter, what is left of either edge has an even spectrum about
    it, and the symbols do not disturb the timing that their beat tells (D'Andrea and Luise, IEEE
    Trans. Commun. 44 (1996) 1393). With a root-raised cosine this is the edge of the matched filter
    times a constant.

    Args:
        band: spectrum as of `spectrum.occupied_band`, complex (n, 2 * symbols).
        response: of the pulse at its frequencies, float32 (1 or n, 2 * symbols).

    Returns:
        The beats at whole symbols of the frame.
    """
    lower, upper = band.chunk(2, 1)
    # Counted from minus one symbol rate, the response from 0 on is the mirrored one.
    mirrored_upper, mirrored_lower = response.chunk(2, 1)
    above = torch.fft.ifft(upper * mirrored_upper)  # (n, symbols)
    below = torch.fft.ifft(lower * mirrored_lower)
    return Beats(above * below.conj(), above * above, below * below)


def timing_of(band: torch.Tensor, response: torch.Tensor) -> Timing:
    """Timing and drift of frames.

    Args:
        band: spectrum as of `spectrum.occupied_band`, complex (n, 2 * symbols).
        response: of the pulse at its frequencies, float32 (1 or n, 2 * symbols).

    Returns:
        Timing and drift. The ends of the frame, where the filter lacks a part of its input, count
        less.
    """
    beats = beats_of(band, response)
    weights = tukey_window(beats.of_power.shape[1], band.device)
    of_power, plus, minus = ((weights * beat).sum(1, keepdim=True) for beat in beats)

    timing = -of_power.angle() / (2 * math.pi)
    of_square = plus * minus.conj()
    in_square = -of_square.angle() / (4 * math.pi)

    staggered = of_square.abs().sqrt() > OFFSET_LINE_WINS * of_power.abs()
    drift = _drift(beats.of_power, of_power, weights)
    timing = torch.where(staggered, in_square, timing)
    return Timing(timing, drift.masked_fill(staggered, 0), staggered)


def _drift(beat: torch.Tensor, line: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Symbols by which the timing runs away over the frame, as far as that is not its noise.

    A straight line is laid through how far each of `BLOCKS` parts of the frame turns the beat; what
    is left of them tells the standard error of its slope.

    Args:
        beat: of the power, complex (n, symbols).
        line: its weighted sum, complex (n, 1).
        weights: of the symbols, float32 (symbols,).

    Returns:
        float32 (n, 1), within `MOST_DRIFT`; mostly 0 where there is none.
    """
    symbols = beat.shape[1]
    if symbols < DRIFT_SYMBOLS:
        return torch.zeros(len(beat), 1, device=beat.device)
    whole = symbols // BLOCKS * BLOCKS
    place = torch.arange(symbols, device=beat.device) - (symbols - 1) / 2

    # By how much the beat of each symbol is ahead of the line, times its strength, and its place
    # times its strength; an angle so small is its sine.
    against_line = weights * beat * line.conj() / power_of(line).clamp_min(TINY)
    ahead, moment = against_line.imag, place * against_line.real
    ahead, moment = (
        one[:, :whole].unflatten(1, (BLOCKS, -1)).sum(2) for one in (ahead, moment)
    )  # (n, symbols) -> (n, BLOCKS)

    energy = moment.square().sum(1, keepdim=True).clamp_min(TINY)
    slope = (ahead * moment).sum(1, keepdim=True) / energy  # radians a symbol
    rest = ahead - slope * moment
    error = (rest.square().sum(1, keepdim=True) / (BLOCKS - 1) / energy).sqrt()

    shrunk = slope * (1 - (DRIFT_NOISE * error / slope).square()).clamp_min(0).nan_to_num(0)
    return (-shrunk * symbols / (2 * math.pi)).clamp(-MOST_DRIFT, MOST_DRIFT)
