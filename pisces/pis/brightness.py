"""Masks by brightness: the brightest pixels (`top`), the dimmest lit (`bottom`), or `random` ones.

How much they take is their level, by one of two rules:

- `exact` takes round(level % of the lit pixels), ties broken at random; `random` draws among the
  lit.
- `percentile` is the published rule (Siddiqui, Wang and Ramachandran 2025). `top` takes every
  pixel at or above the (100 - level)-th percentile of the lit ones, `bottom` every lit pixel at
  or below the level-th, so a tie is taken whole. `random` draws level % of *all* pixels, most of
  them dark.
"""

from collections.abc import Sequence

import numpy as np

from pisces.pis.base import Family, Frame, Mask, below, rank_descending
from pisces.pis.settings import MaskSettings


def _names(settings: MaskSettings, _size: int) -> Sequence[str]:
    return settings.masks


# Exact


def _exact_levels(settings: MaskSettings) -> Sequence[float]:
    return sorted({*settings.levels_percent, *settings.curve_percent})


def exact_size(lit: int, level_percent: float) -> int:
    """Pixels that an exact mask takes of `lit` ones: rounded, halves up."""
    return int(np.floor(level_percent * lit / 100 + 0.5))


def _exact(frame: Frame, masks: Sequence[Mask]) -> np.ndarray:
    brightest_first = rank_descending(frame.mass, frame.tie)
    ranks = {
        "top": brightest_first,
        "bottom": len(frame.lit) - 1 - brightest_first,
        "random": frame.random,
    }
    size_of = {level: exact_size(len(frame.lit), level) for level in {mask.level for mask in masks}}

    # Counted at each level, not for each mask: most masks share one.
    sizes = np.array([size_of[mask.level] for mask in masks])
    return below(sizes, np.stack([ranks[mask.name] for mask in masks]))


EXACT = Family(_names, _exact, _exact_levels)


# Percentile


def _percentile_levels(settings: MaskSettings) -> Sequence[float]:
    return settings.levels_percent


def percentiles(ordered: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Percentiles (levels,) of values in rising order, interpolated linearly."""
    # Rounded: an error in the last digit would miss a level that falls on a value, and its tie.
    positions = [round(level * (len(ordered) - 1) / 100, 9) for level in levels]
    return np.interp(positions, np.arange(len(ordered)), ordered)


def _percentile(frame: Frame, masks: Sequence[Mask]) -> list[np.ndarray]:
    levels = [100 - mask.level if mask.name == "top" else mask.level for mask in masks]
    thresholds = percentiles(np.sort(frame.mass), levels)

    def taken_by(mask: Mask, threshold: float) -> np.ndarray:
        match mask.name:
            case "top":
                return frame.mass >= threshold
            case "bottom":
                return frame.mass <= threshold
            case _:
                return frame.random_of_all < exact_size(len(frame.counts), mask.level)

    return [taken_by(*one) for one in zip(masks, thresholds, strict=True)]


PERCENTILE = Family(_names, _percentile, _percentile_levels)
