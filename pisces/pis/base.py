"""What a family of masks is, and what it sees of a frame."""

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pisces.core.seeding import generator
from pisces.pis.settings import MaskSettings


class Mask(NamedTuple):
    """What to take from which view."""

    view: str
    rule: str
    """Its family, a key of `masks.FAMILIES`."""
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


class Frame:
    """One frame in one view, as a family of masks sees it.

    Attributes:
        counts: points in each pixel, dark or lit, (pixels,).
        size: pixels along each side of the image.
        lit: numbers of the lit pixels, (lit,), rising.
        mass: points in each lit pixel, int64 (lit,).
        settings: what regions and cores are made of.
    """

    def __init__(
        self, counts: np.ndarray, settings: MaskSettings, seed: int, identity: Sequence[str | int]
    ):
        """Takes the counts (pixels,), and a seed and an identity that decide all that is random."""
        self.counts, self.settings = counts, settings
        self.size = math.isqrt(len(counts))
        self.lit = np.flatnonzero(counts)
        self.mass = counts[self.lit].astype(np.int64)
        self._seed, self._identity = seed, identity

    def generator(self, purpose: str) -> np.random.Generator:
        """A generator of this frame, view and purpose alone."""
        return generator(self._seed, purpose, *self._identity)

    @cached_property
    def tie(self) -> np.ndarray:
        """The order in which families take lit pixels that are alike: a permutation (lit,)."""
        return self.generator("tie").permutation(len(self.lit))

    @cached_property
    def random(self) -> np.ndarray:
        """Rank of each lit pixel in a random order: a permutation (lit,)."""
        return self.generator("random").permutation(len(self.lit))

    @cached_property
    def random_of_all(self) -> np.ndarray:
        """Rank of each lit pixel in a random order of all pixels, dark ones too: (lit,)."""
        return self.generator("random of all").permutation(len(self.counts))[self.lit]


def one_without_level(_settings: MaskSettings) -> Sequence[float | None]:
    """The levels of a region: it is taken whole."""
    return (None,)


class Family(NamedTuple):
    """Masks of one rule: a mask for every name and level."""

    names: Callable[[MaskSettings, int], Sequence[str]]
    """Settings, and pixels along each side of the images -> what the masks are called."""
    takes: Callable[[Frame, Sequence[Mask]], Sequence[np.ndarray] | np.ndarray]
    """A frame that is not dark, and masks of the family -> which lit pixels each of them takes,
    bool (lit,) one after the other. What a mask takes must not depend on the others."""
    levels: Callable[[MaskSettings], Sequence[float | None]] = one_without_level
    """Settings -> how much the masks take, in percent."""


def rank_descending(values: np.ndarray, tie: np.ndarray) -> np.ndarray:
    """Rank (n,) of each value, 0 for the highest.

    Values (n,) are whole numbers; equal ones are ordered by their rank in `tie`, a permutation.
    """
    return inverse(np.argsort(tie - len(tie) * values.astype(np.int64)))


def inverse(permutation: np.ndarray) -> np.ndarray:
    """The permutation that takes this one back: an order (n,) -> the rank of each element."""
    ranks = np.empty_like(permutation)
    ranks[permutation] = np.arange(len(permutation))
    return ranks


def below(sizes: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """Beginnings of orders: what is ranked below each size.

    Args:
        sizes: how much each beginning holds, (masks,).
        ranks: of each element in one order for all, (n,), or in one for each, (masks, n).

    Returns:
        bool (masks, n).
    """
    # Numbers of 32 bits are compared ten times as fast as those of 64.
    return ranks.astype(np.int32) < sizes.astype(np.int32)[:, None]
