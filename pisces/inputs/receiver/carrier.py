"""Carrier offset and phase of symbols, blind to their modulation."""

import math
from functools import cache
from typing import NamedTuple

import torch

from pisces.inputs.receiver.spectrum import phasor, power_of

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


BLOCK = 128
"""Frames that a processor searches at a time, so that their spectra stay near it."""


class _Grid(NamedTuple):
    """How the bins of one order's spectrum tell the offsets that are tried."""

    bins: torch.Tensor
    """Those within the search range, from the lowest frequency up: int64 (bins,)."""
    refine: torch.Tensor
    """From these bins to `_Search.offsets`, by cubic convolution: float32 (bins, offsets)."""


class _Search(NamedTuple):
    """Offsets that are tried on frames of so many symbols."""

    offsets: torch.Tensor
    """Cycles a symbol, float32 (offsets,)."""
    grids: dict[int, _Grid]
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
    rows = BLOCK if points.device.type == "cpu" else max(1, len(points))
    found = [_find(block, offset_std) for block in points.split(rows)]
    return Carrier(*(torch.cat(field) for field in zip(*found, strict=True)))


def _find(points: torch.Tensor, offset_std: float) -> Carrier:
    """As `find_carrier`."""
    symbols = points.shape[1]
    search = _search(symbols, offset_std, points.device)
    power = power_of(points)
    phasors = _phasor_powers(points, power)
    outermost = _outermost(power)

    evidence = search.log_prior.expand(len(points), -1)  # (n, offsets)
    beyond = torch.zeros(len(points), dtype=torch.bool, device=points.device)
    # Symbols and as many zeros, so that no line falls between two bins.
    weighted = points.new_zeros(len(points), 2, 2 * symbols)
    for order, grid in search.grids.items():
        weighted[:, 0, :symbols] = phasors[order]
        torch.mul(phasors[order], outermost, out=weighted[:, 1, :symbols])
        spectrum = torch.fft.fft(weighted, norm="ortho")

        near = _line_power(spectrum.index_select(2, grid.bins))
        evidence = torch.addmm(evidence, near, grid.refine, alpha=INDEPENDENT)
        if order in WITNESSES:
            beyond |= _is_beyond(_line_power(spectrum), order * REACH * offset_std)
    return Carrier(_peak(evidence, search.offsets), beyond)


def turn_back(points: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """Symbols without their carrier offset; the phase in the middle of the frame stays.

    Args:
        points: complex64 (n, symbols).
        offset: cycles a symbol, float32 (n, 1).

    Returns:
        complex64 (n, symbols).
    """
    symbols = points.shape[1]
    from_middle = torch.arange(symbols, device=points.device) - (symbols - 1) / 2
    return points * phasor(-offset * from_middle)


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
    return points * phasor(-phase / (2 * math.pi))


@cache
def _search(symbols: int, offset_std: float, device: torch.device) -> _Search:
    """Offsets half a line's width of the highest order apart; lower orders have wider lines."""
    bins = 2 * symbols
    finest = max(ORDERS) * bins
    steps = max(1, math.floor(finest * REACH * offset_std))
    offsets = torch.arange(-steps, steps + 1) / finest

    grids = {}
    for order in ORDERS:
        last = math.ceil(steps * order * bins / finest) + 1  # one more than the outermost offset's
        numbers = torch.arange(-last, last + 1)
        refine = _cubic(order * bins * offsets - numbers[:, None])
        grids[order] = _Grid((numbers % bins).to(device), refine.to(device))

    log_prior = _log_prior(offsets, offset_std)
    return _Search(offsets.to(device), grids, log_prior.to(device))


def _cubic(away: torch.Tensor) -> torch.Tensor:
    """Weights of values so many steps away in their cubic convolution (Keys, IEEE Trans. ASSP 29
    (1981) 1153): straight lines would lower a line between two bins."""
    x = away.abs()
    nearer, farther = (1.5 * x - 2.5) * x * x + 1, ((2.5 - 0.5 * x) * x - 4) * x + 2
    return torch.where(x < 1, nearer, torch.where(x < 2, farther, 0))


def _phasor_powers(points: torch.Tensor, power: torch.Tensor) -> dict[int, torch.Tensor]:
    """Order -> unit phasors at order times the phases of the points, complex64 (n, symbols)."""
    powers = {1: points * power.clamp_min(TINY**2).rsqrt()}
    for order in (2, 4, 8, 16, 32):
        powers[order] = powers[order // 2] * powers[order // 2]
    powers[12] = powers[8] * powers[4]
    powers[20] = powers[16] * powers[4]
    return powers


def _outermost(power: torch.Tensor) -> torch.Tensor:
    """Weights that leave the outermost points of some power almost alone: complex64 (n, symbols).

    The corners of a large square QAM share one phase (mod 90 degrees), which the many points within
    hide. The squares of the weights have a mean of 1, as if all points weighed alike.
    """
    relative = power / power.amax(1, keepdim=True).clamp_min(TINY)
    weights = relative.square().square()
    energy = weights.square().mean(1, keepdim=True)
    return torch.complex(weights * energy.clamp_min(TINY).rsqrt(), torch.zeros_like(weights))


def _line_power(spectrum: torch.Tensor) -> torch.Tensor:
    """Power of lines, with all points alike and with the outermost together.

    Args:
        spectrum: of both, orthonormal, complex64 (n, 2, bins).

    Returns:
        float32 (n, bins), with a mean of 1 where there is no line.
    """
    power = power_of(spectrum)
    return power[:, 0] + power[:, 1]


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


def _is_beyond(power: torch.Tensor, reach: float) -> torch.Tensor:
    """Whether a line is stronger outside the search range than any within: bool (n,).

    Args:
        power: of the lines of an order over all frequencies that it can tell apart, from 0 up,
            float32 (n, bins). The M-th power takes an offset of 1 / M of the symbol rate for none.
        reach: of the search, in cycles a symbol times the order.
    """
    bins = power.shape[1]
    last = math.floor(reach * bins + 1)  # bin within the range
    if 2 * last + 1 >= bins:
        return torch.zeros(len(power), dtype=torch.bool, device=power.device)

    outside = power[:, last + 1 : bins - last].amax(1)
    above, below = power[:, : last + 1].amax(1), power[:, bins - last :].amax(1)
    return outside > torch.maximum(above, below) + BEYOND
