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


class _Search(NamedTuple):
    """Offsets that are tried on frames of so many symbols."""

    offsets: torch.Tensor
    """Cycles a symbol, float32 (offsets,)."""
    waves: dict[int, torch.Tensor]
    """Order M -> conjugate lines at M times some offsets, complex64 (symbols, offsets of M)."""
    refine: torch.Tensor
    """From the offsets of all orders, one after the other, to `offsets`, by straight lines:
    float32 (offsets of all M, offsets)."""
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
    phasors = _phasor_powers(points)
    weights = _weights(points)

    lines = [_line_power(phasors[order], weights, waves) for order, waves in search.waves.items()]
    evidence = INDEPENDENT * torch.cat(lines, 1) @ search.refine  # (n, offsets)
    found = _peak(evidence + search.log_prior, search.offsets)
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

    waves, refine = {}, []
    for order in ORDERS:
        count = max(3, math.ceil(len(offsets) * order / highest))
        tried = torch.linspace(-reach, reach, count)
        turns = order * _centred(symbols)[:, None] * tried  # (symbols, count)
        waves[order] = torch.polar(torch.ones_like(turns), -2 * math.pi * turns).to(device)
        refine.append(_straight_lines(count, len(offsets)))

    log_prior = _log_prior(offsets, offset_std)
    return _Search(offsets.to(device), waves, torch.cat(refine).to(device), log_prior.to(device))


def _straight_lines(coarse: int, fine: int) -> torch.Tensor:
    """Matrix (coarse, fine) of linear interpolation between grids over the same range."""
    itself = torch.eye(coarse)[None]
    return functional.interpolate(itself, fine, mode="linear", align_corners=True)[0]


def _centred(symbols: int) -> torch.Tensor:
    """Numbers of symbols, counted from the middle of the frame."""
    return torch.arange(symbols) - (symbols - 1) / 2


def _phasor_powers(points: torch.Tensor) -> dict[int, torch.Tensor]:
    """Order -> unit phasors at order times the phases of the points, complex64 (n, symbols)."""
    powers = {1: points / power_of(points).sqrt().clamp_min(TINY)}
    for order in (2, 4, 8, 16, 32):
        powers[order] = powers[order // 2].square()
    powers[12] = powers[8] * powers[4]
    powers[20] = powers[16] * powers[4]
    return powers


def _weights(points: torch.Tensor) -> torch.Tensor:
    """Two weights of each point: all alike, and the outermost almost alone.

    The corners of a large square QAM share one phase (mod 90 degrees), which the many points within
    hide.

    Returns:
        float32 (2, n, symbols); the squares of both add up to 1 over a frame.
    """
    power = power_of(points)
    relative = power / power.amax(1, keepdim=True).clamp_min(TINY)
    weights = torch.stack([torch.ones_like(power), relative.square().square()])
    energy = weights.square().sum(2, keepdim=True)
    return weights / (2 * energy).clamp_min(TINY).sqrt()


def _line_power(phasors: torch.Tensor, weights: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
    """Power (n, offsets) of lines in phasors (n, symbols), both weights together.

    Its mean is 1 where there is no line.
    """
    amplitudes = (phasors * weights).flatten(0, 1) @ waves  # (weights * n, offsets)
    return power_of(amplitudes).unflatten(0, weights.shape[:2]).sum(0)


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
        within = torch.fft.fftfreq(bins, device=power.device).abs() <= order * reach + 1 / bins

        strongest_within = power.where(within, 0).amax(1)
        strongest_outside = power.where(~within, 0).amax(1)
        beyond |= strongest_outside > strongest_within + BEYOND
    return beyond
