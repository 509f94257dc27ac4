"""Which class and phase frames may have, given some of their symbols: as few of them as matter.

`law.places` holds what each symbol says, for all that is asked of it afterwards. Here one question
is answered, in a tenth of the time: all classes are searched together.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch

from pisces.evaluation.density import Corners, Table, corners_of, sums
from pisces.evaluation.likelihood import phasors
from pisces.truth.law import SymbolLaw
from pisces.truth.region import Counts

LEAD = 20.0
"""Nats behind the likeliest, beyond which a class at a phase is looked at no further."""
LOOKUPS_AT_ONCE = 2**16
"""Of symbols in tables, so that they stay near the processor."""


class Hypotheses(NamedTuple):
    """Classes at phases that n frames may have, those of a frame one after the other."""

    frame: torch.Tensor
    """Number of the frame, rising, int64 (h,)."""
    classes: torch.Tensor
    """Number of the class in the law, int64 (h,)."""
    phase: torch.Tensor
    """Radians, in the middle of a step, float32 (h,)."""
    half_step: torch.Tensor
    """Radians, float32 (h,)."""
    log_chance: torch.Tensor
    """Log posterior of class and phase, classes equally likely, up to a constant of each frame:
    float32 (h,)."""

    def best(self, frames: int) -> "Hypotheses":
        """The likeliest of each of so many frames, one each: the last among equals."""
        largest = self._largest(frames)
        candidates = (self.log_chance == largest[self.frame]).nonzero()[:, 0]
        last = torch.searchsorted(self.frame[candidates], torch.arange(frames), right=True) - 1
        at = candidates[last]
        return Hypotheses(*(one[at] for one in self))

    def _largest(self, frames: int) -> torch.Tensor:
        """The largest log posterior of each of so many frames, float32 (n,)."""
        lowest = torch.full((frames,), -math.inf)
        return lowest.scatter_reduce(0, self.frame, self.log_chance, "amax")

    def likeliest_classes(self, frames: int) -> torch.Tensor:
        """The likeliest class of each of so many frames, its phase averaged out.

        Returns:
            Numbers in the law, int64 (n,); the first among equals.
        """
        largest = self._largest(frames)[self.frame]
        share = (self.log_chance - largest).double().exp()
        totals = torch.zeros(frames, int(self.classes.max()) + 1, dtype=torch.float64)
        totals.index_put_((self.frame, self.classes), share, accumulate=True)
        return totals.argmax(1)


def hypotheses(
    x: torch.Tensor,
    law: SymbolLaw,
    kept: torch.Tensor | None = None,
    counts: Counts | None = None,
) -> Hypotheses:
    """Classes and phases, and how likely they are given the symbols that are kept.

    A search at `likelihood.COARSE_SNR` at most finds those within `LEAD` of the likeliest of their
    frame; where symbols are clearer, `law.finer` phases come in the place of each.

    Args:
        x: symbols of unit signal power, complex64 (n, symbols).
        law: where they come from.
        kept: which symbols count, bool (n, symbols); None: all.
        counts: how many symbols lie in a region, where that is known.

    Returns:
        At least one of each frame.
    """
    found = _searched(x, law, kept, counts)
    if law.finer == 1:
        return found

    within = (torch.arange(law.finer) + 0.5) / law.finer - 0.5
    phase = found.phase[:, None] + within * 2 * found.half_step[:, None]
    frame, classes, half_step = (
        one.repeat_interleave(law.finer) for one in (found.frame, found.classes, found.half_step)
    )
    phase = phase.flatten()
    log_prior = _log_prior(law, x.shape[1])[classes]
    chance = _sums(x, law, kept, frame, classes, phase) + log_prior
    if counts is not None:
        chance = chance + counts.at(frame, classes, phase)
    return Hypotheses(frame, classes, phase, half_step / law.finer, chance)


def _searched(
    x: torch.Tensor, law: SymbolLaw, kept: torch.Tensor | None, counts: Counts | None
) -> Hypotheses:
    """Those of the search."""
    grids = law.grids(x.shape[1])
    corners = corners_of(x, grids[0].table.lattice).kept(kept)
    by_class = [sums(corners, grid.table) - math.log(len(grid.phases)) for grid in grids]
    of_symbols = torch.cat(by_class, 1)  # (n, phases of all classes)
    sizes = torch.tensor([len(grid.phases) for grid in grids])
    classes = torch.arange(len(grids)).repeat_interleave(sizes)
    phase = torch.cat([grid.phases for grid in grids])
    half_step = torch.tensor([grid.step / 2 for grid in grids])[classes]

    chance = of_symbols
    if counts is not None:
        chance = chance + counts.roughly([grid.phases for grid in grids])
    likely = chance >= chance.amax(1, keepdim=True) - LEAD
    frame, column = likely.nonzero(as_tuple=True)
    classes, phase = classes[column], phase[column]
    chance = of_symbols[likely]
    if counts is not None:
        chance = chance + counts.at(frame, classes, phase)
    return Hypotheses(frame, classes, phase, half_step[column], chance)


def _log_prior(law: SymbolLaw, symbols: int) -> torch.Tensor:
    """Of a phase of each class, up to what all share: float32 (classes,)."""
    return -torch.tensor([float(len(grid.phases)) for grid in law.grids(symbols)]).log()


def _sums(
    x: torch.Tensor,
    law: SymbolLaw,
    kept: torch.Tensor | None,
    frame: torch.Tensor,
    classes: torch.Tensor,
    phase: torch.Tensor,
) -> torch.Tensor:
    """Log densities of the kept symbols under hypotheses (h,), summed: (h,)."""
    stacked = _stacked(law)
    lattice = stacked.lattice
    at_once = max(1, LOOKUPS_AT_ONCE // x.shape[1])
    found = []
    pieces = zip(frame.split(at_once), classes.split(at_once), phase.split(at_once), strict=True)
    for some, of_class, at in pieces:
        turned = x[some] * phasors(-at)[:, None]  # (h, symbols)
        corners = corners_of(turned, lattice).kept(None if kept is None else kept[some])
        number = corners.number + of_class[:, None].int() * lattice.side**2
        found.append(sums(Corners(number, corners.share), stacked)[:, 0])
    return torch.cat(found)


@lru_cache(maxsize=4)
def _stacked(law: SymbolLaw) -> Table:
    """The tables of all classes, one after the other: values float32 (classes * side^2, 1)."""
    values = torch.cat([table.values[:, :1] for table in law.tables])
    return Table(law.tables[0].lattice, values)
