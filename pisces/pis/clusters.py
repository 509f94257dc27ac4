"""Masks by cluster: the cores of the clouds of points, and the transitions between them."""

import math
from collections.abc import Sequence

import numpy as np

from pisces.pis.base import Family, Frame, Mask, inverse, rank_descending
from pisces.pis.settings import MaskSettings


def density(counts: np.ndarray, size: int) -> np.ndarray:
    """Points in the 3 x 3 pixels around each pixel, none beyond the border: (size^2,) -> same."""
    image = np.zeros((size + 2, size + 2))
    image[1:-1, 1:-1] = counts.reshape(size, size)
    rows = image[:-2] + image[1:-1] + image[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).ravel()


def core(counts: np.ndarray, lit: np.ndarray, core_percent: float, tie: np.ndarray) -> np.ndarray:
    """Which lit pixels are cluster cores; the others are transitions.

    Blind, without the symbols sent: the cores are the lit pixels of the highest `density`, as few
    as hold `core_percent` of the points.

    Args:
        counts: points in each pixel, (pixels,).
        lit: numbers of the lit pixels, (lit,).
        core_percent: share of the points that the cores hold, 0..100.
        tie: a permutation (lit,) that orders pixels of equal density.

    Returns:
        bool (lit,).
    """
    around = density(counts, math.isqrt(len(counts)))[lit]
    order = inverse(rank_descending(around, tie))  # lit pixels, densest first
    held = np.cumsum(counts[lit][order], dtype=np.int64)
    enough = np.searchsorted(100 * held, core_percent * held[-1])

    cores = np.zeros(len(lit), bool)
    cores[order[: enough + 1]] = True
    return cores


def _names(_settings: MaskSettings, _size: int) -> Sequence[str]:
    return ("core", "transition")


def _clusters(frame: Frame, masks: Sequence[Mask]) -> list[np.ndarray]:
    cores = core(frame.counts, frame.lit, frame.settings.core_percent, frame.tie)
    return [cores if mask.name == "core" else ~cores for mask in masks]


CLUSTER = Family(_names, _clusters)
