"""Carrier offset and phase of symbols, blind to their modulation."""

import math
from functools import cache
from typing import NamedTuple

import torch
from torch.nn import functional

ORDERS = (4, 8, 12, 16, 20, 32)
"""Powers whose lines are looked for: 4 of QAM, 8 and up of PSK, 12 to 32 of the rings of APSK."""
AMPLITUDE_POWERS = (0, 8)
"""Weights |x|^w of the phases: all points alike, and the outermost almost alone.

The corners of a large square QAM share one phase (mod 90 degrees), which the many points within
hide.
"""
TAIL, TAIL_WIDTH = 0.1, 10
"""Share of the prior that is so many times as wide as the rest."""
REACH = 30
"""Search range, in standard deviations of the prior."""
BEYOND = 10.0
"""How much more evidence (nats) must lie outside the search range for a frame to be marked."""


class _Search(NamedTuple):
    """Offsets that are tried on frames of so many symbols."""

    offsets: torch.Tensor
    """Cycles a symbol, float32 (offsets,)."""
    waves: dict[int, torch.Tensor]
    """Order M -> conjugate lines at M times some offsets, complex64 (symbols, fewer offsets)."""


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
    up, and the log of a prior of small offsets to them. What has no line gets no offset.

    Args:
        points: symbols at any level and phase, complex64 (n, symbols).
        offset_std: standard deviation of the prior, in cycles a symbol; a share of `TAIL` is
            `TAIL_WIDTH` times as wide.

    Returns:
        The offsets, within `REACH` standard deviations, and which frames lie beyond.
    """
    search = _search(points.shape[1], offset_std)
    offsets = search.offsets.to(points.device)
    phases, weights = _powers(points), _weights(points)

    evidence = torch.zeros(len(points), len(offsets), device=points.device)
    for order, waves in search.waves.items():
        of_order = _line_power(phases[order], weights, waves.to(points.device))
        evidence += functional.interpolate(
            of_order[:, None], len(offsets), mode="linear", align_corners=True
        )[:, 0]

    found = _peak(evidence + _log_prior(offsets, offset_std), offsets)
    return Carrier(found, _is_beyond(phases[4], weights, float(offsets[-1])))


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
def _search(symbols: int, offset_std: float) -> _Search:
    """Offsets half a line's width of the highest order apart; lower orders have wider lines."""
    highest = max(ORDERS)
    reach = REACH * offset_std
    steps = max(1, math.ceil(2 * highest * symbols * reach))
    offsets = torch.linspace(-reach, reach, 2 * steps + 1)

    waves = {}
    for order in ORDERS:
        count = max(3, math.ceil(len(offsets) * order / highest))
        tried = torch.linspace(-reach, reach, count)
        turns = order * _centred(symbols)[:, None] * tried  # (symbols, count)
        waves[order] = torch.polar(torch.ones_like(turns), -2 * math.pi * turns)
    return _Search(offsets, waves)


def _centred(symbols: int) -> torch.Tensor:
    """Numbers of symbols, counted from the middle of the frame."""
    return torch.arange(symbols) - (symbols - 1) / 2


def _powers(points: torch.Tensor) -> dict[int, torch.Tensor]:
    """Order -> unit phasors at order times the phases of the points, complex64 (n, symbols)."""
    phase = points / points.abs().clamp_min(1e-12)
    powers = {1: phase}
    for order in (2, 4, 8, 16, 32):
        powers[order] = powers[order // 2].square()
    powers[12] = powers[8] * powers[4]
    powers[20] = powers[16] * powers[4]
    return {order: powers[order] for order in ORDERS}


def _weights(points: torch.Tensor) -> list[torch.Tensor]:
    """Weights of the points, float32 (n, symbols), which share unit energy."""
    amplitude = points.abs()
    amplitude = amplitude / amplitude.amax(1, keepdim=True).clamp_min(1e-12)

    weights = []
    for power in AMPLITUDE_POWERS:
        weight = amplitude**power
        energy = weight.square().sum(1, keepdim=True) * len(AMPLITUDE_POWERS)
        weights.append(weight / energy.clamp_min(1e-12).sqrt())
    return weights


def _line_power(
    phases: torch.Tensor, weights: list[torch.Tensor], waves: torch.Tensor
) -> torch.Tensor:
    """Power (n, offsets) of lines in weighted phases (n, symbols); its mean is 1 without a line."""
    power = torch.zeros(len(phases), waves.shape[1], device=phases.device)
    for weight in weights:
        power += ((phases * weight) @ waves).abs().square()
    return power


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


def _is_beyond(fourth: torch.Tensor, weights: list[torch.Tensor], reach: float) -> torch.Tensor:
    """Whether the fourth-order line is stronger outside the search range than within: bool (n,)."""
    bins = 2 * fourth.shape[1]
    power = torch.zeros(len(fourth), bins, device=fourth.device)
    for weight in weights:
        power += torch.fft.fft(fourth * weight, bins).abs().square()
    within = torch.fft.fftfreq(bins, device=fourth.device).abs() <= 4 * reach + 1 / bins

    strongest_within = power[:, within].amax(1)
    outside = power[:, ~within]
    if not outside.shape[1]:
        return torch.zeros(len(fourth), dtype=torch.bool, device=fourth.device)
    return outside.amax(1) > strongest_within + BEYOND
