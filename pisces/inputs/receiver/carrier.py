"""Carrier offset and phase of symbols, blind to their modulation."""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch.nn import functional

from pisces.inputs.receiver.spectrum import power_of

ORDERS = (4, 8, 12, 16, 20, 32)
"""Powers whose lines are looked for: 4 of QAM, 8 and up of PSK, 12 to 32 of the rings of APSK."""
TAIL, TAIL_WIDTH = 0.1, 10
"""Share of the prior that is so many times as wide as the rest."""
INDEPENDENT = 0.7
"""Share of the evidence of all orders that counts, since powers of the same noise agree in part."""
REACH = 30
"""Search range, in standard deviations of the prior."""
WITNESSES = (4, 8)
"""Orders that show whether a frame lies beyond the search range."""
TINY = 1e-12
"""Keeps amplitudes of zero from dividing by zero."""
BEYOND = 10.0
"""How much more evidence (nats) must lie outside the search range for a frame to be marked."""


class _Lines(NamedTuple):
    """Lines at M times some offsets from 0 up; those of negative offsets are their mirror image."""

    cosines: torch.Tensor
    """At the second half of the symbols, float32 (half, offsets of M)."""
    sines: torch.Tensor
    """As the cosines."""
    refine: torch.Tensor
    """To `_Search.offsets`, by straight lines: float32 (offsets of M, offsets)."""


class _Search(NamedTuple):
    """Offsets that are tried on frames of so many symbols."""

    offsets: torch.Tensor
    """Cycles a symbol, float32 (offsets,)."""
    lines: dict[int, _Lines]
    """Of each order."""
    log_prior: torch.Tensor
    """Of `offsets`, up to a constant: float32 (offsets,)."""


class Carrier(NamedTuple):
    """Carrier offset of n frames."""

    offset: torch.Tensor
    """Cycles a symbol, float32 (n, 1)."""
    beyond: torch.Tensor
    """Whether the line lies outside the search range, bool (n,)."""


def find_carrier(points: torch.Tensor, offset_std: float) -> Carrier:
    """The carrier offset, by the lines of powers of the symbols.

    The M-th power of symbols from a constellation of M-fold symmetry has a line at M times the
    offset (Viterbi and Viterbi, IEEE Trans. Inf. Theory 29 (1983) 543). Its periodogram, over that
    of noise alone, is about the log likelihood ratio of the line: those of all `ORDERS` are added
    up, times `INDEPENDENT`, and the log of a prior of small offsets to them. What has no line gets
    no offset.

    Args:
        points: symbols at any level and phase, complex64 (n, symbols).
        offset_std: standard deviation of the prior, in cycles a symbol; a share of `TAIL` is
            `TAIL_WIDTH` times as wide.

    Returns:
        The offsets, within `REACH` standard deviations, and which frames lie beyond.
    """
    search = _search(points.shape[1], offset_std, points.device)
    power = power_of(points)
    phasors = _phasor_powers(points, power)
    weights = _weights(power)

    evidence = torch.zeros_like(search.log_prior).expand(len(points), -1)  # (n, offsets)
    for order, lines in search.lines.items():
        above, below = _line_power(phasors[order], weights, lines)
        evidence = evidence + above @ lines.refine + (below @ lines.refine).flip(1)
    found = _peak(INDEPENDENT * evidence + search.log_prior, search.offsets)
    return Carrier(found, _is_beyond(phasors, weights, REACH * offset_std))


def turn_back(points: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Symbols without their carrier offset; the phase in the middle of the frame stays.

    Args:
        points: complex64 (n, symbols).
        offset: cycles a symbol, float32 (n, 1).

    Returns:
        complex64 (n, symbols).
    """
    turns = -offset * _centred(points.shape[1]).to(points.device)
    return points * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)


def canonical_phase(points: torch.Tensor) -> torch.Tensor:
    """Symbols turned so that the sum of their fourth powers points to -1.

    That puts the sides of a square QAM along the axes. A quarter turn stays open, and so does the
    phase of what has no fourth-order line (8PSK and up).

    Args:
        points: complex64 (n, symbols) without carrier offset.

    Returns:
        complex64 (n, symbols).
    """
    square = points * points
    fourth = (square * square).sum(1, keepdim=True)
    phase = (-fourth).angle() / 4  # odd: a conjugated frame gets the conjugated symbols
    return points * torch.polar(torch.ones_like(phase), -phase)


@cache
def _search(symbols: int, offset_std: float, device: torch.device) -> _Search:
    """Offsets half a line's width of the highest order apart; lower orders have wider lines."""
    highest = max(ORDERS)
    reach = REACH * offset_std
    steps = max(1, math.ceil(2 * highest * symbols * reach))
    offsets = torch.linspace(-reach, reach, 2 * steps + 1)

    half = slice(symbols // 2, None)
    middle = 1 - 0.5 * (_centred(symbols)[half, None] == 0)  # a symbol that is its own image
    lines = {}
    for order in ORDERS:
        count = max(3, math.ceil(len(offsets) * order / highest))
        from_zero = slice(count // 2, None)
        tried = torch.linspace(-reach, reach, count)[from_zero]
        angles = 2 * math.pi * order * _centred(symbols)[half, None] * tried

        refine = _straight_lines(count, len(offsets))[from_zero]
        if count % 2:
            refine[0] /= 2  # offset 0 is above and below
        of_order = _Lines(middle * angles.cos(), angles.sin(), refine)
        lines[order] = _Lines(*(one.to(device) for one in of_order))

    log_prior = _log_prior(offsets, offset_std)
    return _Search(offsets.to(device), lines, log_prior.to(device))


def _straight_lines(coarse: int, fine: int) -> torch.Tensor:
    """Matrix (coarse, fine) of linear interpolation between grids over the same range."""
    itself = torch.eye(coarse)[None]
    return functional.interpolate(itself, fine, mode="linear", align_corners=True)[0]


def _centred(symbols: int) -> torch.Tensor:
    """Numbers of symbols, counted from the middle of the frame."""
    return torch.arange(symbols) - (symbols - 1) / 2


def _phasor_powers(points: torch.Tensor, power: torch.Tensor) -> dict[int, torch.Tensor]:
    """Order -> unit phasors at order times the phases of the points, complex64 (n, symbols)."""
    powers = {1: points * power.clamp_min(TINY**2).rsqrt()}
    for order in (2, 4, 8, 16, 32):
        powers[order] = powers[order // 2] * powers[order // 2]
    powers[12] = powers[8] * powers[4]
    powers[20] = powers[16] * powers[4]
    return powers


def _weights(power: torch.Tensor) -> torch.Tensor:
    """Two weights of points of some power: all alike, and the outermost almost alone.

    The corners of a large square QAM share one phase (mod 90 degrees), which the many points within
    hide.

    Returns:
        float32 (2, n, symbols); the squares of both add up to 1 over a frame.
    """
    relative = power / power.amax(1, keepdim=True).clamp_min(TINY)
    weights = torch.stack([torch.ones_like(power), relative.square().square()])
    energy = weights.square().sum(2, keepdim=True)
    return weights / (2 * energy).clamp_min(TINY).sqrt()


def _line_power(
    phasors: torch.Tensor, weights: torch.Tensor, lines: _Lines
) -> tuple[torch.Tensor, torch.Tensor]:
    """Power of lines in phasors (n, symbols), both weights together.

    Its mean is 1 where there is no line. About the middle of the frame, where the symbols are
    counted from, a line has an even real and an odd imaginary part: half of the products do.

    Returns:
        (n, offsets of M) each, of the offsets that are tried, and of these with a minus.
    """
    parts = torch.stack(
        [phasors.real * weights, phasors.imag * weights]
    )  # (2, weights, n, symbols)
    half = len(lines.cosines)
    later, earlier = parts[..., -half:], parts[..., :half].flip(3)
    even_re, even_im = (later + earlier) @ lines.cosines
    odd_re, odd_im = (later - earlier) @ lines.sines

    above = (even_re + odd_im).square() + (even_im - odd_re).square()
    below = (even_re - odd_im).square() + (even_im + odd_re).square()
    return above.sum(0), below.sum(0)


def _log_prior(offsets: torch.Tensor, offset_std: float) -> torch.Tensor:
    """Of a normal distribution with a wide tail, up to a constant: float32 (offsets,)."""
    wide_std = TAIL_WIDTH * offset_std
    core = (1 - TAIL) * torch.exp(-0.5 * (offsets / offset_std) ** 2)
    tail = TAIL / TAIL_WIDTH * torch.exp(-0.5 * (offsets / wide_std) ** 2)
    return torch.log(core + tail)


def _peak(score: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Where each row of `score` (n, offsets) peaks, by a parabola through three: (n, 1)."""
    best = score.argmax(1, keepdim=True).clamp(1, len(offsets) - 2)
    before, at, after = (score.gather(1, best + shift) for shift in (-1, 0, 1))
    curvature = before - 2 * at + after
    shift = torch.where(curvature < 0, 0.5 * (before - after) / curvature, 0).clamp(-0.5, 0.5)
    return offsets[best] + shift * (offsets[1] - offsets[0])


def _is_beyond(
    phasors: dict[int, torch.Tensor], weights: torch.Tensor, reach: float
) -> torch.Tensor:
    """Whether a line is stronger outside the search range than any within: bool (n,).

    Those of `WITNESSES` are looked at, over all offsets that they can tell apart: the M-th power
    takes one of 1 / M of the symbol rate for none. `reach` is in cycles a symbol.
    """
    beyond = torch.zeros(weights.shape[1], dtype=torch.bool, device=weights.device)
    for order in WITNESSES:
        bins = 2 * weights.shape[2]
        power = power_of(torch.fft.fft(phasors[order] * weights, bins)).sum(0)
        last = math.floor(order * reach * bins + 1)  # bin within the range
        if 2 * last + 1 >= bins:
            continue

        outside = power[:, last + 1 : bins - last]
        within = torch.cat([power[:, : last + 1], power[:, bins - last :]], 1)
        beyond |= outside.amax(1) > within.amax(1) + BEYOND
    return beyond
