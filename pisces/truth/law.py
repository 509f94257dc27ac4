"""The law of the symbols of the view `symbol`, given the modulation.

r_k = exp(j phi) c_k + w_k: timing, carrier offset and level are held as the receiver found them;
the phase phi is unknown, one for a frame and uniform over the turn. The points c_k are independent
and equally likely, the noise w_k is white.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import torch

from pisces.core.modulations import Ask, constellation
from pisces.evaluation import references
from pisces.evaluation.density import Table, corners_of, lattice_of, sums, tabulate
from pisces.evaluation.likelihood import COARSE_SNR, MOST_SNR, STEP, phase_search, phasors, turns

MISSED = 1e-4
"""Share of the probability of a modulation's phases that may be left out, by the search."""
MOST_PLACES = 64
"""Phases of the search that are looked at closely, where nobody asks for more."""


@dataclass(frozen=True)
class SymbolLaw:
    """What symbols of one SNR may be.

    >>> law = SymbolLaw(("QPSK", "16QAM", "FM"), snr=10.0)
    >>> law.classes  # FM has no points
    ('QPSK', '16QAM')
    """

    modulations: tuple[str, ...]
    """Names to choose from; those that are not `references.recognisable` are left out."""
    snr: float
    """Linear, a symbol, after the equaliser."""
    ask: Ask = "bipolar"
    """Levels of ASK."""

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError(
                f"none of {', '.join(self.modulations)} has constellation points, one sample a "
                "symbol; take a data set with linear modulations beside OQPSK"
            )
        if not (math.isfinite(self.snr) and self.snr > 0):
            raise ValueError(f"snr = {self.snr} of a symbol must be above 0, linear and finite")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Those of the modulations that have a law."""
        return references.recognisable(self.modulations)

    @cached_property
    def points(self) -> tuple[np.ndarray, ...]:
        """Complex points (order,) of unit power, of each class."""
        return tuple(constellation(name, self.ask) for name in self.classes)

    @cached_property
    def judged_snr(self) -> float:
        """Linear; errors of timing and pulse are taken to leave no better symbols than that."""
        return min(self.snr, MOST_SNR)

    @cached_property
    def finer(self) -> int:
        """Phases in the place of each one of the search."""
        return math.ceil(math.sqrt(self.judged_snr / COARSE_SNR))

    @cached_property
    def tables(self) -> tuple[Table, ...]:
        """Log density of a symbol at phase 0, one column, of each class."""
        lattice = lattice_of(self.judged_snr)
        alphabets = [torch.from_numpy(points)[None] for points in self.points]
        return tuple(tabulate(lattice, self.judged_snr, alphabet) for alphabet in alphabets)

    def grids(self, symbols: int) -> list["Grid"]:
        """The search of each class, for frames of so many symbols.

        Its phases lie `STEP` standard deviations of an estimate from all symbols apart, at an SNR
        of at most `COARSE_SNR`.
        """
        return _grids(self, symbols)


class Grid(NamedTuple):
    """Where a search looks for the phase of one class."""

    phases: torch.Tensor
    """Radians, float32 (phases,), over the angle after which the constellation repeats itself."""
    step: float
    """Between them, radians."""
    table: Table
    """Log density of a symbol, a column for each phase."""


class Places(NamedTuple):
    """What n frames of as many symbols say about each class, at the phases that matter.

    log p(x | class) = logsumexp over places of (sum over symbols of values + log prior).
    """

    values: torch.Tensor
    """log p(r_k | class, phase of the place), up to what all classes and phases share: float32
    (n, classes, places, symbols)."""
    log_prior: torch.Tensor
    """Of a place, given the class: float32 (n, classes, places); -inf where there is none."""
    phases: torch.Tensor
    """Radians, float32 (n, classes, places)."""

    def log_likelihoods(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """log p(symbols | class), up to what all classes share: float32 (n, classes).

        `kept`, bool (n, symbols), says which symbols count; None: all.
        """
        return self._joint(kept).logsumexp(2)

    def log_posterior(self, kept: torch.Tensor | None = None) -> torch.Tensor:
        """log p(class, place | symbols), classes equally likely: (n, classes, places)."""
        joint = self._joint(kept)
        return joint.flatten(1).log_softmax(1).view_as(joint)

    def _joint(self, kept: torch.Tensor | None) -> torch.Tensor:
        """log p(symbols, place | class): (n, classes, places)."""
        if kept is None:
            return self.values.sum(3) + self.log_prior
        weights = kept.to(self.values.dtype)[:, None, :, None]  # (n, 1, symbols, 1)
        return (self.values @ weights)[..., 0] + self.log_prior


@lru_cache(maxsize=16)
def _grids(law: SymbolLaw, symbols: int) -> list[Grid]:
    """`SymbolLaw.grids`; after how much of a turn points repeat themselves takes long to find."""
    snr = min(law.judged_snr, COARSE_SNR)
    step = STEP / math.sqrt(2 * snr * symbols)
    found = []
    for points in law.points:
        phases, table = phase_search(tuple(points.tolist()), snr, step)
        found.append(Grid(phases, 2 * math.pi / turns(points) / len(phases), table))
    return found


def unit_level(points: torch.Tensor, snr: float) -> torch.Tensor:
    """Points (n, symbols) scaled so that, at this linear SNR, the power of the signal is 1."""
    power = points.abs().square().mean(1, keepdim=True)
    return points * ((1 + 1 / snr) / power).sqrt()


def places(
    x: torch.Tensor,
    law: SymbolLaw,
    *,
    kept: torch.Tensor | None = None,
    most: int | None = MOST_PLACES,
) -> Places:
    """What each symbol says about each class, at the phases that matter.

    A search over a coarse grid of phases finds those that hold all but `MISSED` of the probability
    of each class. In the place of each come `law.finer` phases.

    Args:
        x: received symbols, complex64 (n, symbols), of unit signal power: see `unit_level`.
        law: where they come from.
        kept: the symbols that the search goes by, bool (n, symbols); None: all. Where few are kept,
            more phases matter.
        most: places of the search that are kept at most, the best ones; None: no limit.

    Returns:
        The values of all symbols, whether kept or not.
    """
    grids = law.grids(x.shape[1])
    densities = _densities(x, grids, kept)
    found = [_matter(log_density, most) for log_density in densities]
    most_found = max(numbers.shape[1] for numbers in found)

    shape = len(x), len(law.classes), most_found * law.finer
    values = torch.zeros(*shape, x.shape[1])
    log_prior, all_phases = torch.full(shape, -torch.inf), torch.zeros(shape)
    for c, (numbers, grid) in enumerate(zip(found, grids, strict=True)):
        phases = _finer(grid, numbers, law.finer)  # (n, places)
        here = slice(phases.shape[1])
        values[:, c, here] = values_at(x, phases, law.tables[c])
        log_prior[:, c, here] = -math.log(len(grid.phases) * law.finer)
        all_phases[:, c, here] = phases
    return Places(values, log_prior, all_phases)


def values_at(x: torch.Tensor, phases: torch.Tensor, table: Table) -> torch.Tensor:
    """Log density of each symbol at phases of its frame.

    Args:
        x: complex64 (n, symbols).
        phases: radians, (n, places).
        table: one column, at phase 0.

    Returns:
        float32 (n, places, symbols).
    """
    turned = x[:, None] * phasors(-phases)[..., None]
    corners = corners_of(turned, table.lattice)
    at_corners = table.values[:, 0][corners.number.long()] * corners.share
    return at_corners.view(*turned.shape, 4).sum(-1)


def _densities(x: torch.Tensor, grids: list[Grid], kept: torch.Tensor | None) -> list[torch.Tensor]:
    """Log density of the kept symbols at each phase of each class, (n, phases)."""
    corners = corners_of(x, grids[0].table.lattice).kept(kept)
    return [sums(corners, grid.table) for grid in grids]


def _matter(log_density: torch.Tensor, most: int | None) -> torch.Tensor:
    """Numbers of the phases that hold all but `MISSED` of the probability, best first.

    Args:
        log_density: at each phase of one class, (n, phases).
        most: of them, that are kept; None: no limit.

    Returns:
        int64 (n, places), as many for each frame as any of them needs.
    """
    best = log_density.softmax(1).sort(1, descending=True)
    held = best.values.cumsum(1)
    needed = int((held < 1 - MISSED).sum(1).max()) + 1
    count = min(needed, log_density.shape[1], most or needed)
    return best.indices[:, :count]


def _finer(grid: Grid, numbers: torch.Tensor, finer: int) -> torch.Tensor:
    """So many phases in the place of each of the grid's with these numbers (n, places).

    Returns:
        Radians, (n, places * finer).
    """
    within = ((torch.arange(finer) + 0.5) / finer - 0.5) * grid.step
    return (grid.phases[numbers][..., None] + within).flatten(1)
