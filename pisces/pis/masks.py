"""Masks and their controls: which pixels of a constellation are blacked out.

All masks look at the point counts of one view of a frame, the constellation itself, so they do
not depend on how it is drawn. A pixel is lit when it holds a point; its mass is the number of
points it holds. Masks list lit pixels only: a dark pixel is black already.

Masks come in families, `FAMILIES`:

- by brightness, as much as a level says (`pisces.pis.brightness`): the brightest pixels, the
  dimmest lit or random ones;
- by region: every lit pixel of a ring, a sector or a window (`pisces.pis.regions`), of the cluster
  cores or of the transitions between them (`pisces.pis.clusters`).

A further family is a `Family` of two functions and a line in `FAMILIES`.

Everything random is the beginning of a random order that is named after the frame, the view and
its purpose. So masks of one kind are nested: what `random` takes at 1 % is part of what it takes
at 2 %, and `top` and `bottom` of complementary levels share no pixel even where all tie.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from pisces.pis import brightness, clusters, regions
from pisces.pis.base import Family, Frame, Mask, below, inverse
from pisces.pis.settings import MaskSettings

FAMILIES: dict[str, Family] = {
    "exact": brightness.EXACT,
    "percentile": brightness.PERCENTILE,
    "ring": regions.RING,
    "sector": regions.SECTOR,
    "cluster": clusters.CLUSTER,
    "window": regions.WINDOW,
}
"""Rule of a mask, as in `perturb.rules` and `perturb.regions` -> its family."""

KINDS = ("mask", "control_count", "control_mass")
"""A mask, as many lit pixels at random, and lit pixels of as much mass at random."""

FRACTIONS = ("fraction_all", "fraction_lit", "fraction_mass")
"""Of what a share is taken: all pixels, lit pixels, mass."""
LIT, MASS = FRACTIONS.index("fraction_lit"), FRACTIONS.index("fraction_mass")


def family(rule: str) -> Family:
    """The family of that rule.

    Raises:
        ValueError: when there is none.
    """
    if rule not in FAMILIES:
        raise ValueError(
            f"there is no family of masks {rule!r}; "
            f"perturb.rules and perturb.regions may name {', '.join(FAMILIES)}"
        )
    return FAMILIES[rule]


def build(views: Sequence[str], settings: MaskSettings, size: int) -> list[Mask]:
    """Every mask that the settings ask for.

    Args:
        views: the views that are masked.
        settings: rules, levels and regions.
        size: pixels along each side of the images.

    Returns:
        The masks, those of one view together.

    Raises:
        ValueError: when a region has no pixel, or a family is unknown.
    """
    labels = []
    for rule in (*settings.rules, *settings.regions):
        names = family(rule).names(settings, size)
        levels = family(rule).levels(settings)
        labels += [(rule, name, level) for name, level in product(names, levels)]

    return [Mask(view, *label) for view in views for label in labels]


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

    Raises:
        ValueError: when the family of a mask is unknown.

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
    return MasksOfView(masks, settings, seed).take(counts, identity)


class MasksOfView:
    """Masks of one view, sorted by family once and then taken from many frames; see `take`."""

    def __init__(self, masks: Sequence[Mask], settings: MaskSettings, seed: int) -> None:
        self.masks, self.settings, self.seed = tuple(masks), settings, seed
        (self.view,) = {mask.view for mask in masks}

        self._of_family: list[tuple[Family, np.ndarray, list[Mask]]] = []  # with their places
        for rule in dict.fromkeys(mask.rule for mask in masks):
            places = [i for i, mask in enumerate(masks) if mask.rule == rule]
            self._of_family.append((family(rule), np.array(places), [masks[i] for i in places]))

        # Of all masks, these alone take dark pixels, too.
        drawn_from_all = ("percentile", "random")
        self._level_of_all = {
            i: mask.level
            for i, mask in enumerate(masks)
            if (mask.rule, mask.name) == drawn_from_all
        }

    def take(self, counts: np.ndarray, identity: tuple[str, int, int]) -> Taken:
        """What the masks and their controls take from the frame of these counts (pixels,)."""
        frame = Frame(counts, self.settings, self.seed, (*identity, self.view))
        if len(frame.lit) == 0:
            nothing = np.zeros((len(KINDS), len(self.masks), 0), bool)
            shares = np.zeros((len(KINDS), len(self.masks), len(FRACTIONS)))
            return Taken(self.masks, frame.lit, nothing, shares)

        taken = np.empty((len(self.masks), len(frame.lit)), bool)
        for of_rule, places, masks in self._of_family:
            taken[places] = of_rule.takes(frame, masks)
        rng = frame.generator("control")
        rank = rng.permutation(len(frame.lit))
        drawn = controls(taken, frame.mass, rank, rng.random())

        chosen = np.stack([taken, drawn.by_count, drawn.by_mass])
        return Taken(self.masks, frame.lit, chosen, self._fractions(frame, drawn))

    def _fractions(self, frame: Frame, drawn: "Controls") -> np.ndarray:
        """Shares of all pixels, of lit pixels and of mass, (kinds, masks, fractions)."""
        pixels = len(frame.counts)
        of_all = drawn.pixels / pixels
        for i, level in self._level_of_all.items():
            of_all[0, i] = brightness.exact_size(pixels, level) / pixels

        of_lit = drawn.pixels / len(frame.lit)
        of_mass = drawn.mass / frame.mass.sum()
        return np.stack([of_all, of_lit, of_mass], axis=2)


class Controls(NamedTuple):
    """What controls take, and how much masks and controls hold."""

    by_count: np.ndarray
    """Which lit pixels the count control of each mask takes, bool (masks, lit)."""
    by_mass: np.ndarray
    """Which lit pixels the mass control of each mask takes, bool (masks, lit)."""
    pixels: np.ndarray
    """Lit pixels of masks and controls, int (kinds, masks), in the order of `KINDS`."""
    mass: np.ndarray
    """Points in them, int (kinds, masks)."""


def controls(taken: np.ndarray, mass: np.ndarray, rank: np.ndarray, uniform: float) -> Controls:
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
        Which lit pixels the controls take, and what masks and controls hold. That is counted once
        for each mask: a control is a beginning of the order, and its mass is known by its length.
    """
    wanted = taken @ mass
    held = np.concatenate([[0], np.cumsum(mass[inverse(rank)])])  # by so many pixels of the order
    enough = np.searchsorted(held, wanted)
    before = np.maximum(enough - 1, 0)

    last_is_taken = uniform * (held[enough] - held[before]) < wanted - held[before]
    end = np.where(last_is_taken, enough, before)
    count = np.count_nonzero(taken, axis=1)
    return Controls(
        by_count=below(count, rank),
        by_mass=below(end, rank),
        pixels=np.stack([count, count, end]),
        mass=np.stack([wanted, held[count], held[end]]),
    )
