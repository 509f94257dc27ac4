"""The blind reference: the likelihood of each modulation when nobody tells the carrier.

The ceiling of `bounds` knows carrier, timing, level and noise; no receiver does. Here timing and
noise are those that the receiver of the view `symbol` finds in the frame. What it leaves open, the
phase and a rest of the carrier's offset and of the level, is averaged out. That is a reference and
no bound: a model that reads timing, level or offset better than the receiver may exceed it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pisces.core import shards
from pisces.core.dsp import measured_snr, to_complex
from pisces.core.modulations import Ask, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.evaluation import references
from pisces.evaluation.equalized import equalized_snr
from pisces.inputs import views
from pisces.inputs.receiver.chain import LEAST_SNR
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import RenderSettings

MOST_SNR = 500.0
"""Linear, 27 dB: errors of timing and pulse are taken to leave no better symbols than that."""
COARSE_SNR = 20.0
"""Linear, 13 dB: the most that the search for phases takes, so that its peaks are wide."""
STEP = 2.0
"""Between phases, in standard deviations of the phase that so many symbols leave."""
KEPT_PHASES = 8
"""Phases around which the likelihood is averaged: those that the search finds best."""
CANDIDATES = 4
"""Modulations that are compared closely: those that the search finds likeliest."""
LEAD = 20.0
"""Nats behind the likeliest, beyond which a modulation is compared no further."""
LEVELS = (-1.5, -0.75, 0.0, 0.75, 1.5)
"""Amplitudes about that of the receiver, in standard deviations of what it leaves."""
OFFSETS = (-1.5, 0.0, 1.5)
"""Rests of the carrier's offset, in standard deviations of what the receiver leaves."""
OFFSET_SPREAD = 2.0
"""That standard deviation over the one of known symbols (Cramer-Rao)."""
LEAST_EXPONENT = -60.0
"""Of a symbol's likelihood: below, floating point is slow first and has no logarithm then."""

FRAMES_AT_ONCE = 64
NUMBERS_AT_ONCE = 2**18
"""Exponentials in memory at a time, so that they stay near the processor."""


@dataclass(frozen=True)
class _Grid:
    """Where the likelihood is evaluated for frames of about one SNR."""

    coarse: float
    """Step of the search in radians."""
    finer: int
    """Phases in the place of each one kept."""


NOT_MEASURED = ""
"""In place of a modulation."""


def predict_frames(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    render: RenderSettings,
    frames_per_cell: int | None,
) -> np.ndarray:
    """The likeliest modulation of the frames that a model was tested on.

    Args:
        root: IQ shards that hold the frames.
        predictions: as `inference.predict_frames` makes them; which frames, and which classes.
        render: the receiver of the symbols.
        frames_per_cell: the first so many of each (modulation, SNR); None for all.

    Returns:
        Names of modulations (n,), `NOT_MEASURED` for frames beyond. Frames of modulations that are
        not `references.recognisable` have their own name: they count as right, as in the ceiling.
    """
    modulations, snrs_db = predictions["modulations"], predictions["snrs_db"]
    frame = predictions["frame"]
    candidates = references.recognisable(tuple(modulations.tolist()))
    names = np.array(candidates, modulations.dtype)
    ask = shards.ask(root)

    named = np.full(len(frame), NOT_MEASURED, modulations.dtype)
    cells, cell_of = np.unique(frame[:, :2], axis=0, return_inverse=True)
    for number, (m, s) in enumerate(progress(cells, "limits, blind")):
        at = np.flatnonzero(cell_of.ravel() == number)[:frames_per_cell]
        if modulations[m] not in candidates:
            named[at] = modulations[m]
            continue

        stored = shards.array(Cell(str(modulations[m]), int(snrs_db[s])).path(root), "iq")
        iq = to_complex(stored[frame[at, 2]])
        named[at] = names[classify(iq, candidates, render, ask)]
    return named


def classify(
    iq: np.ndarray, modulations: Sequence[str], render: RenderSettings, ask: Ask = "bipolar"
) -> np.ndarray:
    """The likeliest modulation of each frame.

    Args:
        iq: complex (n, samples).
        modulations: names to choose from, all of them `references.recognisable`.
        render: the receiver of the symbols.
        ask: levels of ASK.

    Returns:
        Number in `modulations`, int64 (n,).
    """
    sps = render.sps
    whole = iq[:, : iq.shape[1] // sps * sps]
    es_n0 = torch.from_numpy(sps * np.maximum(measured_snr(iq), LEAST_SNR))

    frames = torch.from_numpy(whole.astype(np.complex64))
    snr = equalized_snr(responses_of(frames, render), es_n0).float()
    x = _unit_amplitude(views.symbols_of(frames, render).points, snr)

    constellations = [constellation(m, ask) for m in modulations]
    offset_std = sps * render.carrier_offset_std
    return log_likelihoods(x, snr, constellations, offset_std).argmax(1).numpy()


def _unit_amplitude(points: torch.Tensor, snr: torch.Tensor) -> torch.Tensor:
    """Points scaled so that, at this SNR (n,), the power of the signal in them is 1."""
    power = points.abs().square().mean(1)
    return points / (power / (1 + 1 / snr)).sqrt()[:, None]


def log_likelihoods(
    x: torch.Tensor,
    snr: torch.Tensor,
    constellations: Sequence[np.ndarray],
    offset_std: float,
) -> torch.Tensor:
    """Log of the likelihood averaged over phase, offset and level, up to what all share.

    A search over phases without an offset, at a lowered SNR, finds the likeliest constellations and
    the phases of each. There, likelihoods are averaged over phases and over small grids of offsets
    and levels. The phase is uniform: over the angle after which a constellation repeats itself.

    Args:
        x: received symbols, complex64 (n, symbols), of unit signal power.
        snr: linear, a symbol, float32 (n,).
        constellations: complex points (order,) of unit power each.
        offset_std: of the prior of the carrier's offset, cycles a symbol.

    Returns:
        float32 (n, constellations): -inf but for the `CANDIDATES` likeliest of a frame.
    """
    scores = torch.full((len(x), len(constellations)), -torch.inf)
    octave = snr.clamp_max(MOST_SNR).log2().ceil()

    for one in octave.unique():
        rows = torch.nonzero(octave == one)[:, 0]
        grid = _grid(float(2**one), x.shape[1])
        for some in rows.split(FRAMES_AT_ONCE):
            known = snr[some].clamp_max(MOST_SNR)
            scores[some] = _log_likelihoods(x[some], known, constellations, offset_std, grid)
    return scores


def _grid(snr: float, symbols: int) -> _Grid:
    """Steps that sample the peaks of a likelihood at this SNR."""
    searched = min(snr, COARSE_SNR)
    std = 1 / math.sqrt(2 * searched * symbols)
    return _Grid(STEP * std, math.ceil(math.sqrt(snr / searched)))


def _log_likelihoods(
    x: torch.Tensor,
    snr: torch.Tensor,
    constellations: Sequence[np.ndarray],
    offset_std: float,
    grid: _Grid,
) -> torch.Tensor:
    """`log_likelihoods` of a few frames of about one SNR."""
    phases = [_phases(points, grid.coarse) for points in constellations]
    searched = [
        _by_phase(x, snr.clamp_max(COARSE_SNR), points, of_one)
        for points, of_one in zip(constellations, phases, strict=True)
    ]  # (n, phases) each
    totals = torch.stack([one.logsumexp(1) - math.log(one.shape[1]) for one in searched], 1)
    best = totals.topk(min(CANDIDATES, len(constellations)), 1).values
    close = totals >= torch.maximum(best[:, -1:], best[:, :1] - LEAD)  # (n, constellations)

    offsets, of_offset = _offsets(snr, x.shape[1], offset_std)
    scores = torch.full_like(totals, -torch.inf)
    for number, points in enumerate(constellations):
        rows = torch.nonzero(close[:, number])[:, 0]
        if len(rows):
            kept = _kept_phases(searched[number][rows], phases[number], grid)
            left = offsets[rows]
            levels, of_level = _levels(points, snr[rows], x.shape[1])
            at_level = [
                # exp(-snr |r - A c|^2) is exp(-snr A^2 |r / A - c|^2).
                _by_phase_and_offset(x[rows] / a, snr[rows] * a[:, 0] ** 2, points, kept, left)
                for a in levels
            ]
            by_level = torch.stack(at_level, 3) + of_level  # (rows, phases, offsets, levels)
            averaged = (by_level + of_offset[:, None]).flatten(1).logsumexp(1)
            scores[rows, number] = averaged - math.log(len(phases[number]) * grid.finer)
    return scores


def turns(points: np.ndarray) -> int:
    """How many turns of the circle map a constellation onto itself: 2 of BPSK, 4 of QAM."""
    for count in range(len(points), 0, -1):
        turned = points * np.exp(2j * np.pi / count)
        distance = np.abs(turned[:, None] - points).min(1)
        if distance.max() < 1e-6:
            return count
    return 1


def _phases(points: np.ndarray, step: float) -> torch.Tensor:
    """Phases, float32 (phases,), over the angle after which a constellation repeats itself."""
    sector = 2 * math.pi / turns(points)
    count = math.ceil(sector / step)
    return torch.arange(count) * (sector / count)


def _kept_phases(searched: torch.Tensor, phases: torch.Tensor, grid: _Grid) -> torch.Tensor:
    """The best phases of each frame, with finer ones in their place: (n, kept * finer)."""
    most = math.ceil(KEPT_PHASES / grid.finer)
    best = phases[searched.topk(min(most, len(phases)), 1).indices]  # (n, kept)
    within = (torch.arange(grid.finer) + 0.5) / grid.finer - 0.5
    step = grid.coarse if len(phases) < 2 else float(phases[1] - phases[0])
    return (best[..., None] + within * step).flatten(1)


def _offsets(
    snr: torch.Tensor, symbols: int, offset_std: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rests of the offset, cycles a symbol (n, offsets), and their log weights (offsets,)."""
    known = (6 / (snr * symbols**3)).sqrt() / (2 * math.pi)
    left = OFFSET_SPREAD * known
    std = 1 / (1 / left**2 + 1 / offset_std**2).sqrt()

    steps = torch.tensor(OFFSETS)
    return std[:, None] * steps, (-0.5 * steps**2).log_softmax(0)


def _levels(
    points: np.ndarray, snr: torch.Tensor, symbols: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Amplitudes of the signal, (levels, n, 1), and their log weights (levels,).

    The level came from the mean power of the frame, which its symbols and the noise make scatter.
    """
    power_variance = float(np.mean(np.abs(points) ** 4)) - 1  # of one symbol's power about 1
    std = ((power_variance + 2 / snr) / symbols).sqrt() / 2
    steps = torch.tensor(LEVELS)
    return 1 + std[:, None] * steps[:, None, None], (-0.5 * steps**2).log_softmax(0)


def _by_phase(
    x: torch.Tensor, snr: torch.Tensor, points: np.ndarray, phases: torch.Tensor
) -> torch.Tensor:
    """Log likelihood of frames (n, symbols) at the same phases for all: (n, phases)."""
    turned = torch.from_numpy(points).to(x.dtype) * torch.polar(
        torch.ones_like(phases[:, None]), phases[:, None]
    )  # (phases, order)
    by_symbol = _log_densities(_parts(x, snr[:, None]), turned)  # (n * symbols, phases)
    return by_symbol.view(*x.shape, len(phases)).sum(1)


def _by_phase_and_offset(
    x: torch.Tensor,
    snr: torch.Tensor,
    points: np.ndarray,
    phases: torch.Tensor,
    offsets: torch.Tensor,
) -> torch.Tensor:
    """Log likelihood of frames (n, symbols) at phases and offsets of each: (n, phases, offsets)."""
    number = torch.arange(x.shape[1]) - (x.shape[1] - 1) / 2
    angle = phases[:, :, None, None] + 2 * math.pi * offsets[:, None, :, None] * number
    turned = x[:, None, None] * torch.polar(torch.ones_like(angle), -angle)

    alphabet = torch.from_numpy(points).to(x.dtype)[None]
    by_symbol = _log_densities(_parts(turned, snr[:, None, None, None]), alphabet)
    return by_symbol.view(turned.shape).sum(3)


def _parts(x: torch.Tensor, snr: torch.Tensor) -> torch.Tensor:
    """What `_log_densities` multiplies: float32 (all symbols, 4)."""
    snr = snr.expand(x.shape)
    columns = (2 * snr * x.real, 2 * snr * x.imag, -snr, -snr * x.abs().square())
    return torch.stack(columns, -1).flatten(0, -2)


def _log_densities(parts: torch.Tensor, alphabets: torch.Tensor) -> torch.Tensor:
    """log mean_k exp(-snr |r - c_k|^2) of symbols under alphabets (alphabets, order).

    The exponent is linear in the columns of `parts`, so that one matrix product makes all of them.
    """
    count, order = alphabets.shape
    power = alphabets.abs().square()
    rows = (alphabets.real, alphabets.imag, power, torch.ones_like(power))
    matrix = torch.stack(rows).flatten(1)  # (4, alphabets * order)

    step = max(1, NUMBERS_AT_ONCE // matrix.shape[1])
    densities = []
    for some in parts.split(step):
        exponents = (some @ matrix).clamp_min_(LEAST_EXPONENT)
        densities.append(exponents.exp_().view(-1, count, order).mean(2))
    return torch.cat(densities).log_()
