"""Regions of the view `symbol`, and how likely symbols lie in them."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import ndtr

from pisces.truth.law import SymbolLaw

LEVEL_STEP = 0.01
"""Relative, between levels that share a table of how likely points lie in a region."""
CELL = 0.4
"""Between the places of that table, in standard deviations of the noise along an axis."""
MARGIN = 1.05
"""By which it reaches beyond the outermost point."""
LEAST = 1e-12
"""Probability of a symbol in the place of less: 28 nats rule a class out all the same."""


class Region(NamedTuple):
    """Pixels of the view `symbol`, and where they lie."""

    masked: np.ndarray
    """bool (pixels,)."""
    extent: float
    """The image spans -extent..extent."""

    @property
    def size(self) -> int:
        return math.isqrt(len(self.masked))

    @property
    def image(self) -> np.ndarray:
        """bool (size, size): Q grows with the rows and I with the columns."""
        return self.masked.reshape(self.size, self.size)[::-1]

    @property
    def edges(self) -> np.ndarray:
        """Between pixels along an axis, (size + 1,)."""
        return np.linspace(-self.extent, self.extent, self.size + 1)

    def seen_at(self, level: float) -> "Region":
        """The region on the scale of symbols that the view shows at this level."""
        return self._replace(extent=self.extent / level)


def bands(places: np.ndarray, edges: np.ndarray, noise_std: float) -> np.ndarray:
    """Probability that places (n,) and noise fall between edges (size + 1,): (n, size)."""
    return np.diff(ndtr((edges - places[:, None]) / noise_std), axis=1)


class Counts:
    """What it tells of class and phase that so many symbols of each frame lie in a region.

    n_in log P(R | class, phase): the symbols outside tell theirs by where they lie.

    Args:
        law: of the symbols.
        region: in units of the view.
        inside: symbols in it, int64 (n,).
        level: of the view over the symbols of the law, float32 (n,).
    """

    def __init__(
        self, law: SymbolLaw, region: Region, inside: torch.Tensor, level: torch.Tensor
    ) -> None:
        self.law, self.region = law, region
        self.inside, self.level = inside, level.double().numpy()
        self._steps = np.round(np.log(self.level) / LEVEL_STEP).astype(int)

    def roughly(self, phases: Sequence[torch.Tensor]) -> torch.Tensor:
        """At phases (phases,) of each class, with levels rounded: float32 (n, phases of all)."""
        rows = {
            step: torch.from_numpy(self._of_step(step, phases)).float()
            for step in np.unique(self._steps).tolist()
        }
        table = torch.stack([rows[step] for step in self._steps.tolist()])
        return self.inside[:, None] * table

    def at(self, frame: torch.Tensor, classes: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        """Of hypotheses: frame, class and phase in radians, (h,) each -> float32 (h,)."""
        log_chance = np.empty(len(frame))
        steps, levels = self._steps[frame.numpy()], self.level[frame.numpy()]
        turned = np.exp(1j * phase.double().numpy()) * levels
        for step in np.unique(steps).tolist():
            for c, points in enumerate(self.law.points):
                at = np.flatnonzero((steps == step) & (classes.numpy() == c))
                if len(at):
                    places = turned[at, None] * points  # (hypotheses, order)
                    log_chance[at] = _log(self._table(step).at(places).mean(1))
        return self.inside[frame] * torch.from_numpy(log_chance).float()

    def _of_step(self, step: int, phases: Sequence[torch.Tensor]) -> np.ndarray:
        """log P(R | class, phase) at a rounded level: (phases of all classes,)."""
        by_class = tuple(tuple(one.tolist()) for one in phases)
        masked, extent = self.region.masked.tobytes(), self.region.extent
        return _log_chances(self.law, masked, extent, step, by_class)

    def _table(self, step: int) -> "_Table":
        masked, extent = self.region.masked.tobytes(), self.region.extent
        return _table_of(self.law, masked, extent, step)


class _Table(NamedTuple):
    """How likely a symbol at a place, and noise, lies in a region."""

    first: float
    """The least place along either axis."""
    step: float
    """Between places."""
    chance: np.ndarray
    """(side, side): Q grows with the rows and I with the columns."""

    def at(self, places: np.ndarray) -> np.ndarray:
        """Chances at complex places of any shape, by straight lines along both axes."""
        x, y = (places.real - self.first) / self.step, (places.imag - self.first) / self.step
        column, row = x.astype(int), y.astype(int)
        x, y = x - column, y - row
        side = self.chance.shape[1]
        corner, flat = row * side + column, self.chance.ravel()
        lower = flat[corner] * (1 - x) + flat[corner + 1] * x
        upper = flat[corner + side] * (1 - x) + flat[corner + side + 1] * x
        return lower * (1 - y) + upper * y


@lru_cache(maxsize=128)
def _table_of(law: SymbolLaw, masked: bytes, extent: float, step: int) -> _Table:
    """The table of a region at a rounded level, in units of the view."""
    level = math.exp(step * LEVEL_STEP)
    noise_std = level * math.sqrt(0.5 / law.snr)
    furthest = MARGIN * level * max(float(np.abs(points).max()) for points in law.points)

    region = Region(np.frombuffer(masked, bool), extent)
    half = math.ceil(furthest / (CELL * noise_std)) + 1
    axis = np.arange(-half, half + 1) * (CELL * noise_std)
    along = bands(axis, region.edges, noise_std)  # (side, size)
    return _Table(float(axis[0]), CELL * noise_std, along @ region.image @ along.T)


@lru_cache(maxsize=1024)
def _log_chances(
    law: SymbolLaw,
    masked: bytes,
    extent: float,
    step: int,
    phases: tuple[tuple[float, ...], ...],
) -> np.ndarray:
    """log P(R | class, phase) at a rounded level and phases of each class: (phases of all,)."""
    table, level = _table_of(law, masked, extent, step), math.exp(step * LEVEL_STEP)
    found = []
    for points, of_class in zip(law.points, phases, strict=True):
        turned = level * np.exp(1j * np.array(of_class))[:, None] * points  # (phases, order)
        found.append(_log(table.at(turned).mean(1)))
    return np.concatenate(found)


def _log(chance: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(chance, LEAST))
