"""How likely frames are under each constellation when phase, offset and level are unknown."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from pisces.evaluation.density import Table, corners_of, lattice_of, sums, tabulate

MOST_SNR = 500.0
"""Linear, 27 dB: errors of timing and pulse are taken to leave no better symbols than that."""
COARSE_SNR = 32.0
"""Linear, 15 dB: the most that the search for phases takes, so that its peaks are wide."""
STEP = 2.0
"""Between phases, and between offsets, in standard deviations of an estimate from all symbols."""
FINEST_TURN = 32
"""Turns of 32PSK: the grid of phases holds so many equal parts."""
WIDEST_PRIOR = 6.0
"""In the same unit, of the carrier's offset: beyond, the offset that the receiver found counts."""
REACH = 2.5
"""Of the grid of offsets, in standard deviations of their prior."""
KEPT = {1: 8, 2: 12, 3: 6, 4: 4}
"""`finer` -> how many places (offset and phase) are looked at closely, those that the search finds
best."""
FIRST_CANDIDATES, CANDIDATES = 6, 4
"""Modulations that a search over offsets, and then a close look, compare: the likeliest so far."""
LEAD = 20.0
"""Nats behind the likeliest, beyond which a modulation is compared no further."""
LEVELS = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Amplitudes about that of the receiver, in standard deviations of what it leaves."""

FRAMES_AT_ONCE = 32


@dataclass(frozen=True)
class _Candidate:
    """A constellation at one SNR."""

    turns: int
    """How often a constellation repeats itself in a turn."""
    phases: torch.Tensor
    """Of the search, float32 (phases,), evenly over the angle after which it does."""
    search: Table
    """A column for each of them."""
    by_level: Table
    """A column for each of `LEVELS`."""
    of_level: torch.Tensor
    """Their log weights, float32 (levels,)."""

    @property
    def log_phases(self) -> float:
        return math.log(len(self.phases))

    @property
    def phase_step(self) -> float:
        return 2 * math.pi / self.turns / len(self.phases)


@dataclass(frozen=True)
class _Offsets:
    """A grid of the carrier's offset, in cycles a symbol."""

    nodes: torch.Tensor
    """float32 (offsets,)."""
    log_prior: torch.Tensor
    """Of the nodes, float32 (offsets,)."""
    step: float
    about_zero: bool
    """Else about the offset that the receiver found."""


@dataclass(frozen=True)
class _Likelihood:
    """What frames of one SNR and length are compared with."""

    candidates: list[_Candidate]
    offsets: _Offsets
    finer: int
    """Phases in the place of each one that the search keeps, and offsets likewise."""


def log_likelihoods(
    x: torch.Tensor,
    offset: torch.Tensor,
    snr: float,
    constellations: Sequence[np.ndarray],
    offset_std: float,
) -> torch.Tensor:
    """Log of the likelihood averaged over phase, offset and level, up to what all share.

    A search over phases and offsets, at a lowered SNR, finds the likeliest constellations and the
    places of each. There, likelihoods are averaged over a finer grid, and over levels. The phase is
    uniform: over the angle after which a constellation repeats itself. The offset is normal about
    0, wherever the receiver saw it: its error is large where it takes a line of noise for one of
    the carrier. Only a prior too wide for a grid is laid about what the receiver found.

    Args:
        x: received symbols, complex64 (n, symbols), of unit signal power.
        offset: of the carrier, which the receiver took off, cycles a symbol, float32 (n, 1).
        snr: linear, a symbol.
        constellations: complex points (order,) of unit power each.
        offset_std: of the prior of the carrier's offset, cycles a symbol.

    Returns:
        float32 (n, constellations): -inf but for the `CANDIDATES` likeliest of a frame.
    """
    known = _likelihood(min(snr, MOST_SNR), x.shape[1], constellations, offset_std)
    pieces = zip(x.split(FRAMES_AT_ONCE), offset.split(FRAMES_AT_ONCE), strict=True)
    return torch.cat([_log_likelihoods(*piece, known) for piece in pieces])


def _likelihood(
    snr: float, symbols: int, constellations: Sequence[np.ndarray], offset_std: float
) -> _Likelihood:
    """Phases, offsets, levels and tables for frames of so many symbols at this SNR."""
    searched = min(snr, COARSE_SNR)
    phase_step = STEP / math.sqrt(2 * searched * symbols)
    candidates = []
    for points in constellations:
        phases, search = phase_search(tuple(points.tolist()), searched, phase_step)
        levels, of_level = _levels(points, snr, symbols)
        by_level = tabulate(lattice_of(snr), snr, levels[:, None] * torch.from_numpy(points))
        candidates.append(_Candidate(turns(points), phases, search, by_level, of_level))

    finer = math.ceil(math.sqrt(snr / searched))
    return _Likelihood(candidates, _offsets(searched, symbols, offset_std), finer)


@lru_cache(maxsize=32)
def phase_search(
    points: tuple[complex, ...], snr: float, phase_step: float
) -> tuple[torch.Tensor, Table]:
    """Phases of the search, and its table: the same for all SNRs that are searched at this one."""
    alphabet = np.array(points)
    phases = _phases(alphabet, phase_step)
    turned = phasors(phases)[:, None] * torch.from_numpy(alphabet)
    return phases, tabulate(lattice_of(snr), snr, turned)


def _log_likelihoods(x: torch.Tensor, offset: torch.Tensor, known: _Likelihood) -> torch.Tensor:
    """`log_likelihoods` of a few frames."""
    grid, candidates = known.offsets, known.candidates
    lattice = candidates[0].search.lattice

    as_received = corners_of(x, lattice)
    first = [sums(as_received, one.search).logsumexp(1) - one.log_phases for one in candidates]
    likely = _likeliest(torch.stack(first, 1), FIRST_CANDIDATES)

    rest = (grid.nodes - offset) if grid.about_zero else grid.nodes.expand(len(x), -1)
    corners = corners_of(x[:, None] * _waves(-rest, x.shape[1]), lattice)  # (n, offsets, ...)

    by_place = []
    totals = torch.full(likely.shape, -torch.inf)
    for number, candidate in enumerate(candidates):
        rows = torch.nonzero(likely[:, number])[:, 0]
        searched = sums(corners.of(rows), candidate.search) + grid.log_prior[:, None]
        searched = searched.flatten(1) - candidate.log_phases  # (rows, offsets * phases)
        totals[rows, number] = searched.logsumexp(1)
        by_place.append(searched)
    close = _likeliest(totals, CANDIDATES)

    scores = torch.full_like(totals, -torch.inf)
    for number, candidate in enumerate(candidates):
        rows = torch.nonzero(close[:, number])[:, 0]
        if len(rows):
            searched = by_place[number][close[likely[:, number], number]]
            scores[rows, number] = _averaged(x[rows], rest[rows], searched, candidate, known)
    return scores


def _likeliest(totals: torch.Tensor, most: int) -> torch.Tensor:
    """Whether each candidate is among so many, and within `LEAD`: (n, candidates) -> bool."""
    best = totals.topk(min(most, totals.shape[1]), 1).values
    least = torch.maximum(best[:, -1:], best[:, :1] - LEAD)
    return totals >= least


def _averaged(
    x: torch.Tensor,
    rest: torch.Tensor,
    searched: torch.Tensor,
    candidate: _Candidate,
    known: _Likelihood,
) -> torch.Tensor:
    """Log likelihood of a candidate, by a close look at the places that the search finds best.

    Args:
        x: complex64 (n, symbols).
        rest: offsets of the search that x still has, (n, offsets).
        searched: log likelihoods with their prior, (n, offsets * phases).
        candidate: the constellation.
        known: the grids.

    Returns:
        float32 (n,).
    """
    grid, finer = known.offsets, known.finer
    best = searched.topk(min(KEPT[finer], searched.shape[1]), 1)  # (n, kept)
    node, phase = best.indices // len(candidate.phases), best.indices % len(candidate.phases)
    within = (torch.arange(finer) + 0.5) / finer - 0.5

    offsets = rest.gather(1, node)[..., None] + within * grid.step  # (n, kept, finer)
    phases = candidate.phases[phase][..., None] + within * candidate.phase_step
    without_offset = x[:, None, None] * _waves(-offsets, x.shape[1])
    turned = without_offset[:, :, :, None] * phasors(-phases)[:, :, None, :, None]

    corners = corners_of(turned, candidate.by_level.lattice)
    by_level = sums(corners, candidate.by_level)  # (n, kept, finer, finer, levels)
    averaged = (by_level + candidate.of_level).logsumexp(-1)

    if finer == 1:
        # The search left nothing open but the level: no place is left out.
        gain = (averaged - by_level[..., len(LEVELS) // 2]).flatten(1)  # (n, kept)
        of_level = (best.values.log_softmax(1) + gain).logsumexp(1)
        return searched.logsumexp(1) + of_level

    log_prior = grid.log_prior[node][..., None, None]
    averaged = averaged + log_prior - candidate.log_phases
    return averaged.flatten(1).logsumexp(1) - 2 * math.log(finer)


def turns(points: np.ndarray) -> int:
    """How many turns of the circle map a constellation onto itself: 2 of BPSK, 4 of QAM."""
    return _turns(tuple(points.tolist()))


@lru_cache(maxsize=64)
def _turns(of_points: tuple[complex, ...]) -> int:
    points = np.array(of_points)
    # Points off the origin come in circles of so many: their number is a multiple of it.
    moving = np.count_nonzero(np.abs(points) > 1e-6)
    for count in range(moving, 0, -1):
        if moving % count:
            continue
        turned = points * np.exp(2j * np.pi / count)
        distance = np.abs(turned[:, None] - points).min(1)
        if distance.max() < 1e-6:
            return count
    return 1


def _phases(points: np.ndarray, step: float) -> torch.Tensor:
    """Phases, float32 (phases,), over the angle after which a constellation repeats itself.

    Those of PSK are parts of one grid: where 16PSK and 32PSK look alike, the tables are wrong alike
    about both, and what little tells them apart still counts.
    """
    around = FINEST_TURN * math.ceil(2 * math.pi / step / FINEST_TURN)
    count = math.ceil(around / turns(points))
    return torch.arange(count) * (2 * math.pi / turns(points) / count)


def phasors(phases: torch.Tensor) -> torch.Tensor:
    """Phasors of phases in radians, of the same shape."""
    return torch.polar(torch.ones_like(phases), phases)


def _offsets(snr: float, symbols: int, offset_std: float) -> _Offsets:
    """The grid of offsets that are searched at this SNR."""
    left = math.sqrt(6 / (snr * symbols**3)) / (2 * math.pi)  # of known symbols, Cramer-Rao
    std = min(offset_std, WIDEST_PRIOR * left)
    step = min(STEP * left, 1.5 * std)
    half = math.floor(REACH * std / step)
    nodes = torch.arange(-half, half + 1) * step
    log_prior = (-0.5 * (nodes / std).square()).log_softmax(0)
    return _Offsets(nodes, log_prior, step, about_zero=std == offset_std)


def _levels(points: np.ndarray, snr: float, symbols: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Amplitudes of the signal, and their log weights: float32 (levels,) each.

    The level came from the mean power of the frame, which its symbols and the noise make scatter.
    """
    power_variance = float(np.mean(np.abs(points) ** 4)) - 1  # of one symbol's power about 1
    std = math.sqrt((power_variance + 2 / snr) / symbols) / 2
    steps = torch.tensor(LEVELS)
    return 1 + std * steps, (-0.5 * steps**2).log_softmax(0)


def _waves(offsets: torch.Tensor, symbols: int) -> torch.Tensor:
    """Carriers of offsets (...) in cycles a symbol, phase 0 in the middle: (..., symbols)."""
    number = torch.arange(symbols) - (symbols - 1) / 2
    return phasors(2 * math.pi * offsets[..., None] * number)
