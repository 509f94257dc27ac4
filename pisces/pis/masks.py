"""Masks and their controls: which pixels of a constellation are blacked out.

All masks look at the point counts of one view of a frame, the constellation itself, so they do
not depend on how it is drawn. A pixel is lit when it holds a point; its mass is the number of
points it holds. There are two families:

- by brightness: the brightest (`top`), the dimmest lit (`bottom`) or any pixels (`random`), as
  much as a level says, by one of two rules.
  `exact` takes round(level % of the lit pixels), ties broken at random; `random` draws among the
  lit.
  `percentile` is the published rule (Siddiqui, Wang and Ramachandran 2025). `top` takes every
  pixel at or above the (100 - level)-th percentile of the lit ones, `bottom` every lit pixel at
  or below the level-th, so a tie is taken whole. `random` draws level % of *all* pixels, most of
  them dark.
- by region (`pisces.pis.regions`): every lit pixel of a `ring`, a `sector`, the cluster cores or
  the transitions between them (`cluster`), or a `window`.

Masks list lit pixels only: a dark pixel is black already.

Everything random is the beginning of a random order that is named after the frame, the view and
its purpose. So masks of one kind are nested: what `random` takes at 1 % is part of what it takes
at 2 %, and `top` and `bottom` of complementary levels share no pixel even where all tie.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pisces.core.seeding import generator
from pisces.pis import regions
from pisces.pis.settings import MaskSettings

KINDS = ("mask", "control_count", "control_mass")
"""A mask, as many lit pixels at random, and lit pixels of as much mass at random."""

FRACTIONS = ("fraction_all", "fraction_lit", "fraction_mass")
"""Of what a share is taken: all pixels, lit pixels, mass."""


class Mask(NamedTuple):
    """What to take from which view; the rules and families are those of this module."""

    view: str
    rule: str
    """exact, percentile, ring, sector, cluster or window."""
    name: str
    """Of exact and percentile: top, bottom or random. Of a ring, counted from the centre, and of a
    sector, counted as the phase grows from the I axis: its number, from 1. Of a cluster: core or
    transition. Of a window: `<row>-<column>` of its top left pixel."""
    level_percent: float | None
    """How much the brightness masks take; None for a region."""

    @property
    def level(self) -> float:
        """`level_percent` of a mask by brightness."""
        assert self.level_percent is not None, f"{self.key} is a region"
        return self.level_percent

    @property
    def key(self) -> str:
        """Differs where masks differ; without spaces and slashes."""
        parts = [self.view, self.rule, self.name]
        if self.level_percent is not None:
            parts.append(repr(float(self.level_percent)).removesuffix(".0"))
        return "_".join(parts)


def build(views: Sequence[str], settings: MaskSettings, size: int) -> list[Mask]:
    """Every mask that the settings ask for.

    Args:
        views: the views that are masked.
        settings: rules, levels and regions.
        size: pixels along each side of the images.

    Returns:
        The masks, those of one view together.

    Raises:
        ValueError: when a region has no pixel.
    """
    levels = {
        "exact": sorted({*settings.levels_percent, *settings.curve_percent}),
        "percentile": settings.levels_percent,
    }
    wanted: list[tuple[str, str, float | None]] = []
    for rule in settings.rules:
        for name, level in itertools.product(settings.masks, levels[rule]):
            wanted.append((rule, name, level))
    for region in settings.regions:
        for name in regions.names(region, settings, size):
            wanted.append((region, name, None))

    return [Mask(view, *rest) for view in views for rest in wanted]


# Brightness


def exact_size(lit: int, level_percent: float) -> int:
    """Pixels that an exact mask takes of `lit` ones: rounded, halves up."""
    return int(np.floor(level_percent * lit / 100 + 0.5))


def rank_descending(values: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Rank (n,) of each value, 0 for the highest.

    Values (n,) are whole numbers; equal ones are ordered by their rank in `tie`, a permutation.
    """
    return _inverse(np.argsort(tie - len(tie) * values.astype(np.int64)))


def _inverse(permutation: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse


def percentile(ordered: np.ndarray, level: float) -> float:
    """The level-th percentile of values in rising order, interpolated linearly."""
    # Rounded: an error in the last digit would miss a level that falls on a value, and its tie.
    position = round(level * (len(ordered) - 1) / 100, 9)
    return float(np.interp(position, np.arange(len(ordered)), ordered))


# Clusters


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
    order = _inverse(rank_descending(around, tie))
    held = np.cumsum(counts[lit][order], dtype=np.int64)
    enough = np.searchsorted(100 * held, core_percent * held[-1])

    cores = np.zeros(len(lit), bool)
    cores[order[: enough + 1]] = True
    return cores


# Frames


class Taken(NamedTuple):
    """What masks and their controls take from one frame in one view."""

    masks: tuple[Mask, ...]
    lit: np.ndarray
    """Numbers of the lit pixels, (lit,), rising."""
    chosen: np.ndarray
    """Which of them are taken, bool (kinds, masks, lit), in the order of `KINDS`."""
    fraction: np.ndarray
    """Shares taken, 0..1, (kinds, masks, fractions), in the order of `FRACTIONS`."""

    def pixels(self, mask: Mask, kind: str = "mask") -> np.ndarray:
        """Numbers of the lit pixels that a mask or one of its controls takes, rising."""
        return self.lit[self.chosen[KINDS.index(kind), self.masks.index(mask)]]


def take(
    counts: np.ndarray,
    masks: Sequence[Mask],
    settings: MaskSettings,
    seed: int,
    identity: tuple[str, int, int],
) -> Taken:
    """What each mask and its controls take from one frame.

    What a mask takes does not depend on which others are asked for.

    Args:
        counts: points in each pixel of the view, (pixels,).
        masks: masks of that view.
        settings: what regions and cores are made of.
        seed: of all random choices.
        identity: of the frame: modulation, SNR in dB, row in the source file.

    Returns:
        The lit pixels taken, and their shares. Of a dark frame, without a lit pixel, nothing.

    >>> settings = MaskSettings(
    ...     views=None, rules=("exact",), masks=("top",), levels_percent=(40,), curve_percent=(),
    ...     regions=(), rings=4, sectors=8, core_percent=50, window=0.25, stride=0.25,
    ...     frames_per_cell=None,
    ... )
    >>> (top,) = build(["raw"], settings, size=3)
    >>> counts = np.array([0, 1, 3, 0, 2, 1, 0, 1, 0])
    >>> taken = take(counts, [top], settings, seed=1, identity=("QPSK", 0, 17))
    >>> taken.pixels(top).tolist()
    [2, 4]
    >>> of_all, of_lit, of_mass = taken.fraction[0, 0].tolist()
    >>> print(f"{of_all:.2f} of all, {of_lit} of the lit pixels, {of_mass} of the points")
    0.22 of all, 0.4 of the lit pixels, 0.625 of the points
    """
    lit = np.flatnonzero(counts)
    if len(lit) == 0:
        nothing = np.zeros((len(KINDS), len(masks), 0), bool)
        return Taken(tuple(masks), lit, nothing, np.zeros((*nothing.shape[:2], len(FRACTIONS))))
    (view,) = {mask.view for mask in masks}

    def rank(purpose: str, n: int) -> np.ndarray:
        return generator(seed, purpose, *identity, view).permutation(n)

    frame = _Frame(counts, lit, settings, rank)
    taken = np.stack([frame.takes(mask) for mask in masks])

    rng = generator(seed, "control", *identity, view)
    order = rng.permutation(len(lit))
    by_count, by_mass = controls(taken, frame.mass, order, rng.random())

    chosen = np.stack([taken, by_count, by_mass])
    return Taken(tuple(masks), lit, chosen, _fractions(frame, chosen, masks))


def _fractions(frame: "_Frame", chosen: np.ndarray, masks: Sequence[Mask]) -> np.ndarray:
    """Shares of all pixels, of lit pixels and of mass, (kinds, masks, fractions)."""
    pixels = np.count_nonzero(chosen, axis=2)
    mass = chosen @ frame.mass
    of_all = pixels / len(frame.counts)
    for i, mask in enumerate(masks):
        if (mask.rule, mask.name) == ("percentile", "random"):
            of_all[0, i] = np.count_nonzero(frame.takes_of_all(mask)) / len(frame.counts)

    return np.stack([of_all, pixels / len(frame.lit), mass / frame.mass.sum()], axis=2)


class _Frame:
    """What masks need to know of one frame in one view, each found once.

    Arrays run over its lit pixels, (lit,), unless they say otherwise. `rank(purpose, n)` is a
    random permutation of 0..n-1: the rank of each of n pixels in a random order.
    """

    def __init__(
        self,
        counts: np.ndarray,
        lit: np.ndarray,
        settings: MaskSettings,
        rank: Callable[[str, int], np.ndarray],
    ):
        self.counts, self.lit, self.settings, self.rank = counts, lit, settings, rank
        self.size = math.isqrt(len(counts))
        self.mass = counts[lit].astype(np.int64)

    @cached_property
    def tie(self) -> np.ndarray:
        return self.rank("tie", len(self.lit))

    @cached_property
    def top(self) -> np.ndarray:
        return rank_descending(self.mass, self.tie)

    @cached_property
    def bottom(self) -> np.ndarray:
        return len(self.lit) - 1 - self.top

    @cached_property
    def random(self) -> np.ndarray:
        return self.rank("random", len(self.lit))

    @cached_property
    def random_of_all(self) -> np.ndarray:
        """(pixels,)"""
        return self.rank("random of all", len(self.counts))

    @cached_property
    def rising(self) -> np.ndarray:
        return np.sort(self.mass)

    @cached_property
    def ring(self) -> np.ndarray:
        return regions.ring(self.lit, self.size, self.settings.rings)

    @cached_property
    def sector(self) -> np.ndarray:
        return regions.sector(self.lit, self.size, self.settings.sectors)

    @cached_property
    def core(self) -> np.ndarray:
        return core(self.counts, self.lit, self.settings.core_percent, self.tie)

    def takes(self, mask: Mask) -> np.ndarray:
        """Whether each lit pixel is in the mask, bool (lit,)."""
        match mask.rule:
            case "exact":
                rank = getattr(self, mask.name)
                return rank < exact_size(len(self.lit), mask.level)
            case "percentile" if mask.name == "top":
                return self.mass >= percentile(self.rising, 100 - mask.level)
            case "percentile" if mask.name == "bottom":
                return self.mass <= percentile(self.rising, mask.level)
            case "percentile":
                return self.takes_of_all(mask)[self.lit]
            case "ring" | "sector":
                return getattr(self, mask.rule) == int(mask.name)
            case "cluster":
                return self.core if mask.name == "core" else ~self.core
            case "window":
                row, column = map(int, mask.name.split("-"))
                side = regions.pixels_of(self.settings.window, self.size)
                return regions.in_window(self.lit, self.size, side, row, column)
        raise ValueError(f"rule {mask.rule!r} of a mask is unknown")

    def takes_of_all(self, mask: Mask) -> np.ndarray:
        """Whether each pixel, dark or lit, is in a percentile mask `random`: bool (pixels,)."""
        return self.random_of_all < exact_size(len(self.counts), mask.level)


def controls(
    taken: np.ndarray, mass: np.ndarray, rank: np.ndarray, uniform: float
) -> tuple[np.ndarray, np.ndarray]:
    """What a random baseline takes instead of each mask: as many lit pixels, and as much mass.

    Both are beginnings of one random order, so masks of equal size share their controls. Few
    beginnings have just the mask's mass. The pixel that makes the mass control reach it is taken
    with the probability (mass still wanted) / (mass of the pixel). So, whatever the order, the
    expected mass is exactly the mask's.

    Args:
        taken: which lit pixels each mask takes, bool (masks, lit).
        mass: points in each lit pixel, (lit,).
        rank: place of each lit pixel in the random order, a permutation (lit,).
        uniform: a random number from 0 up to but not 1, which decides about that last pixel.

    Returns:
        Which lit pixels the count control takes, and which the mass control, bool (masks, lit).
    """
    wanted = taken @ mass
    held = np.concatenate([[0], np.cumsum(mass[_inverse(rank)])])  # by so many pixels of the order
    enough = np.searchsorted(held, wanted)
    before = np.maximum(enough - 1, 0)

    last_is_taken = uniform * (held[enough] - held[before]) < wanted - held[before]
    end = np.where(last_is_taken, enough, before)
    count = np.count_nonzero(taken, axis=1)
    return rank < count[:, None], rank < end[:, None]
