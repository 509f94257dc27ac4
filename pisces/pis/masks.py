"""Masks and their controls: which pixels of a constellation to put out.

All masks look at the point counts of one view of a frame, the constellation itself, so they do not depend on how it is drawn. A
pixel is lit when it holds a point; its mass is the number of points it holds. There are two families:

- by brightness: the brightest (`top`), the dimmest lit (`bottom`) or any pixels (`random`), as much as a level says, by one of two rules.
  `exact` takes round(level % of the lit pixels), ties broken at random; `random` draws among the lit. `percentile` is the
  published rule (Siddiqui, Wang and Ramachandran 2025): `top` takes every pixel at or above the (100 - level)-th percentile of the lit
  ones, `bottom` every lit pixel at or below the level-th, so a tie is taken whole; `random` draws level % of *all* pixels,
  most of them dark.
- by region: every lit pixel of a `ring`, a `sector`, the cluster cores or the transitions between them (`cluster`), or a `window`.
  Dark pixels of a region are left out: they have nothing to give up.

Everything random is the beginning of a random order that is named after the frame, the view and its purpose. So masks of one kind are
nested: what `random` takes at 1 % is part of what it takes at 2 %, and `top` and `bottom` of complementary levels share no
pixel even where all tie.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pisces.core.seeding import generator
from pisces.pis.settings import MaskSettings

KINDS = ("mask", "control_count", "control_mass")


class Mask(NamedTuple):
    """What to take from which view; the rules and families are those of this module."""

    view: str
    rule: str
    """exact, percentile, ring, sector, cluster or window."""
    name: str
    """Of exact and percentile: top, bottom or random. Of a ring, counted from the centre, and of a sector, counted as the phase grows
    from the I axis: its number, from 1. Of a cluster: core or transition. Of a window: `<row>-<column>` of its top left pixel."""
    level_percent: float | None
    """How much the brightness masks take; None for a region."""

    @property
    def key(self) -> str:
        """Differs where masks differ, and names an HDF5 group."""
        parts = [self.view, self.rule, self.name]
        return "_".join(
            parts
            if self.level_percent is None
            else [*parts, f"{float(self.level_percent)!r}".removesuffix(".0")]
        )


def build(views: Sequence[str], settings: MaskSettings, size: int) -> list[Mask]:
    """Every mask that the settings ask for, of images of `size` pixels along each side.

    Raises:
        ValueError: when a region has no pixel.
    """
    levels = {
        "exact": sorted({*settings.levels_percent, *settings.curve_percent}),
        "percentile": settings.levels_percent,
    }
    wanted = [
        (rule, *rest)
        for rule in settings.rules
        for rest in itertools.product(settings.masks, levels[rule])
    ]
    wanted += [
        (region, name, None)
        for region in settings.regions
        for name in _region_names(region, settings, size)
    ]
    return [Mask(view, *rest) for view in views for rest in wanted]


def _region_names(region: str, settings: MaskSettings, size: int) -> list[str]:
    if region == "cluster":
        return ["core", "transition"]
    if region == "window":
        side, stride = pixels_of(settings.window, size), pixels_of(settings.stride, size)
        return [
            f"{row}-{column}"
            for row, column in itertools.product(window_starts(size, side, stride), repeat=2)
        ]
    number_of, key = {"ring": (ring, "rings"), "sector": (sector, "sectors")}[region]
    regions = getattr(settings, key)
    filled = np.bincount(number_of(np.arange(size * size), size, regions), minlength=regions + 1)[
        1:
    ]
    if not filled.all():
        raise ValueError(
            f"perturb.{key} = {regions} leaves {region} {np.argmin(filled) + 1} without a pixel on images of {size} x {size}; "
            f"lower perturb.{key} or raise render.size"
        )
    return [str(number) for number in range(1, regions + 1)]


def pixels_of(fraction: float, size: int) -> int:
    """A fraction of the side in pixels: rounded, halves up, and at least 1."""
    return max(1, int(fraction * size + 0.5))


def window_starts(size: int, side: int, stride: int) -> list[int]:
    """First row, or column, of windows of `side` pixels every `stride`; the last one is moved in, so that it ends at the border."""
    last = size - side
    return [*range(0, last, stride), last]


# Regions: pixel numbers -> where they are, with the axes of pisces/inputs/binning.py


def _iq_of(pixels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """I and Q of the centres of pixels, in pixels from the origin."""
    row, column = np.divmod(pixels, size)
    return column + 0.5 - size / 2, size / 2 - 0.5 - row


def ring(pixels: np.ndarray, size: int, rings: int) -> np.ndarray:
    """Number, from 1, of the ring around the origin that each pixel's centre lies in: (n,) -> (n,).

    All rings are equally wide, and the last ends at the border; the corners beyond it belong to the last.
    """
    radius = np.hypot(*_iq_of(pixels, size))
    return np.minimum((radius * (2 * rings / size)).astype(int), rings - 1) + 1


def sector(pixels: np.ndarray, size: int, sectors: int) -> np.ndarray:
    """Number, from 1, of the sector that each pixel's centre lies in: (n,) -> (n,).

    All sectors have the same angle, the first is centred on the positive I axis, and numbers grow with the phase. A pixel on the
    edge of two belongs to the next.
    """
    i, q = _iq_of(pixels, size)
    # Rounded, so that pixels on an edge, such as the diagonals where there are four sectors, are treated alike in all quadrants.
    turns = np.round(np.arctan2(q, i) * (sectors / (2 * np.pi)), 9)
    return np.floor(turns + 0.5).astype(int) % sectors + 1


def in_window(pixels: np.ndarray, size: int, side: int, row: int, column: int) -> np.ndarray:
    """Whether each pixel lies in the square of `side` pixels whose top left one is at (row, column): (n,) -> bool (n,)."""
    rows, columns = np.divmod(pixels, size)
    return (rows >= row) & (rows < row + side) & (columns >= column) & (columns < column + side)


def density(counts: np.ndarray, size: int) -> np.ndarray:
    """Points in the 3 x 3 pixels around each pixel, beyond the border none: (size^2,) -> (size^2,)."""
    image = np.zeros((size + 2, size + 2))
    image[1:-1, 1:-1] = counts.reshape(size, size)
    rows = image[:-2] + image[1:-1] + image[2:]
    return (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]).ravel()


def core(counts: np.ndarray, lit: np.ndarray, core_percent: float, tie: np.ndarray) -> np.ndarray:
    """Which of the `lit` pixels are cluster cores: bool (lit,). The others are transitions.

    Blind, without the symbols sent: the cores are the lit pixels of the highest `density`, equal ones by `tie`, as few as hold
    `core_percent` of the points.
    """
    order = _inverse(rank_descending(density(counts, math.isqrt(len(counts)))[lit], tie))
    held = np.cumsum(counts[lit][order], dtype=np.int64)
    cores = np.zeros(len(lit), bool)
    cores[order[: np.searchsorted(100 * held, core_percent * held[-1]) + 1]] = True
    return cores


# Brightness


def exact_size(lit: int, level_percent: float) -> int:
    """Pixels that an exact mask takes of `lit` ones: rounded, halves up."""
    return int(np.floor(level_percent * lit / 100 + 0.5))


def rank_descending(values: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Rank of each value, 0 for the highest; equal ones by their rank in `tie`. Values are whole numbers, tie a permutation: (n,)."""
    return _inverse(np.argsort(tie - len(tie) * values.astype(np.int64)))


def _inverse(permutation: np.ndarray) -> np.ndarray:
    inverse = np.empty_like(permutation)
    inverse[permutation] = np.arange(len(permutation))
    return inverse


def percentile(ordered: np.ndarray, level: float) -> float:
    """The level-th percentile of values in rising order, between two of them by a straight line."""
    # Rounded, or a level that falls on a value could miss it by an error in the last digit, and with it a whole tie.
    position = round(level * (len(ordered) - 1) / 100, 9)
    return float(np.interp(position, np.arange(len(ordered)), ordered))


# Frames


class _Frame:
    """What masks ask of one frame in one view, each found once. All arrays run over its lit pixels, (lit,), unless they say otherwise.

    `rank(purpose, n)` is a random permutation of 0..n-1: the rank of each of n pixels in a random order.
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

    tie = cached_property(lambda self: self.rank("tie", len(self.lit)))
    top = cached_property(lambda self: rank_descending(self.mass, self.tie))
    bottom = cached_property(lambda self: len(self.lit) - 1 - self.top)
    random = cached_property(lambda self: self.rank("random", len(self.lit)))
    random_of_all = cached_property(
        lambda self: self.rank("random of all", len(self.counts))
    )  # (pixels,)
    rising = cached_property(lambda self: np.sort(self.mass))
    ring = cached_property(lambda self: ring(self.lit, self.size, self.settings.rings))
    sector = cached_property(lambda self: sector(self.lit, self.size, self.settings.sectors))
    core = cached_property(
        lambda self: core(self.counts, self.lit, self.settings.core_percent, self.tie)
    )

    def takes(self, mask: Mask) -> np.ndarray:
        """Whether each lit pixel is in the mask, bool (lit,)."""
        match mask.rule:
            case "exact":
                return getattr(self, mask.name) < exact_size(len(self.lit), mask.level_percent)
            case "percentile" if mask.name == "top":
                return self.mass >= percentile(self.rising, 100 - mask.level_percent)
            case "percentile" if mask.name == "bottom":
                return self.mass <= percentile(self.rising, mask.level_percent)
            case "percentile":
                return self.of_all(mask)[self.lit]
            case "ring" | "sector":
                return getattr(self, mask.rule) == int(mask.name)
            case "cluster":
                return self.core if mask.name == "core" else ~self.core
            case "window":
                row, column = map(int, mask.name.split("-"))
                return in_window(
                    self.lit, self.size, pixels_of(self.settings.window, self.size), row, column
                )
        raise ValueError(f"rule {mask.rule!r} of a mask is unknown")

    def of_all(self, mask: Mask) -> np.ndarray:
        """Whether each pixel, dark or lit, is in a percentile mask `random`: bool (pixels,)."""
        return self.random_of_all < exact_size(len(self.counts), mask.level_percent)


def controls(
    taken: np.ndarray, mass: np.ndarray, rank: np.ndarray, uniform: float
) -> tuple[np.ndarray, np.ndarray]:
    """What chance takes instead of each mask, bool (masks, lit) like `taken`: as many lit pixels, and lit pixels of as much mass (lit,).

    Both are beginnings of the random order in which a pixel has the `rank` (lit,), so that masks of equal size share their controls.
    Few beginnings have just the mask's mass. The pixel that makes the mass control reach it is taken with the probability
    (mass still wanted) / (mass of the pixel), where `uniform`, from 0 up to but not 1, is below it: whatever the order, the expected
    mass is exactly the mask's.
    """
    wanted = np.where(taken, mass, 0).sum(axis=1)
    held = np.concatenate([[0], np.cumsum(mass[_inverse(rank)])])  # by so many pixels of the order
    enough = np.searchsorted(held, wanted)
    before = np.maximum(enough - 1, 0)
    end = np.where(uniform * (held[enough] - held[before]) < wanted - held[before], enough, before)
    return rank < np.count_nonzero(taken, axis=1)[:, None], rank < end[:, None]


def take(
    counts: np.ndarray,
    masks: Sequence[Mask],
    settings: MaskSettings,
    seed: int,
    identity: tuple[str, int, int],
) -> dict[Mask, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """What each mask of one view and its controls take from one frame: pixel numbers, uint16 and rising, a list for each of `KINDS`.

    `counts` (pixels,) are the points in each pixel of that view, and `identity` names the frame. What a mask takes does not depend on
    which others are asked for. A dark frame, without a lit pixel, gives up nothing.
    """
    lit = np.flatnonzero(counts)
    if not len(lit):
        return dict.fromkeys(masks, (np.empty(0, np.uint16),) * len(KINDS))
    (view,) = {mask.view for mask in masks}
    frame = _Frame(
        counts,
        lit,
        settings,
        lambda purpose, n: generator(seed, purpose, *identity, view).permutation(n),
    )
    taken, chance = (
        np.stack([frame.takes(mask) for mask in masks]),
        generator(seed, "control", *identity, view),
    )
    lists = [
        _rows(lit, one)
        for one in (
            taken,
            *controls(taken, frame.mass, chance.permutation(len(lit)), chance.random()),
        )
    ]
    for i, mask in enumerate(masks):
        if (mask.rule, mask.name) == ("percentile", "random"):
            lists[0][i] = np.flatnonzero(frame.of_all(mask)).astype(np.uint16)
    return dict(zip(masks, zip(*lists, strict=True), strict=True))


def _rows(lit: np.ndarray, chosen: np.ndarray) -> list[np.ndarray]:
    """The pixels chosen in each row of bool (masks, lit), uint16."""
    pixels = np.broadcast_to(lit.astype(np.uint16), chosen.shape)[chosen]
    ends = np.cumsum(np.count_nonzero(chosen, axis=1)).tolist()
    return [pixels[start:end] for start, end in itertools.pairwise([0, *ends])]
