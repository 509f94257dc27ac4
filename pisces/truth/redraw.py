"""Symbols taken out of frames and drawn anew, from the law of the frame given all other symbols.

Which symbols a mask touches: a symbol of the view `symbol` is touched when the pixel that its point
falls in is masked. Points beyond the image are touched by none. Points of the other views stand for
no symbol of their own: those of `noise` are what lies outside the band of the symbols, and those of
`raw` and `differential` mix neighbours.

What "the law given the rest" means depends on how a mask chose:

- Blind to values (random pixels, controls): new symbols are free. Symbols that share a pixel go
  together, which this leaves out: it matters where pixels hold many.
- A region that is fixed in the picture (ring, sector, window): the symbols removed are exactly
  those inside it. So new ones are drawn inside, and each of them tells the class and phase by how
  likely a symbol is to lie there.
- By brightness of the pixels: refused, see `way_of`.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy.special import ndtr, ndtri

from pisces.core import seeding
from pisces.inputs.binning import OUTSIDE
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import Hypotheses, hypotheses
from pisces.truth.region import Counts, Region, bands

Way = Literal["free", "region"]
"""How new symbols are drawn: from the whole law, or from the law inside the masked pixels."""

REGIONS = ("ring", "sector", "window")
"""Rules of masks that are fixed in the picture."""


class Refused(ValueError):
    """A mask that cannot be redrawn; one line says why."""


def way_of(view: str, rule: str, name: str) -> Way:
    """How symbols that a mask removes are drawn anew.

    Args:
        view: that it masks.
        rule: its family.
        name: of the mask within the family.

    Returns:
        `free` or `region`.

    Raises:
        Refused: where there is no law to draw from.

    >>> way_of("symbol", "ring", "2")
    'region'
    """
    if view == "noise":
        raise Refused("points of the view noise are no symbols: they lie outside their band")
    if view != "symbol":
        raise Refused(f"points of the view {view} mix neighbouring symbols; only symbol is redrawn")
    if rule in REGIONS:
        return "region"
    if rule in ("exact", "percentile") and name == "random":
        return "free"
    raise Refused(
        f"{rule} {name} chooses by how many points a pixel holds, which depends on all symbols at "
        "once: their law, given that, has no closed form"
    )


def touched(bins: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    """Which symbols a mask of pixels touches.

    Args:
        bins: pixel of each point of the view `symbol`, uint16 (n, symbols), `OUTSIDE` beyond.
        masked: of each frame, bool (1 or n, pixels).

    Returns:
        bool (n, symbols).
    """
    pixel = bins.to(torch.int64)
    inside = pixel != OUTSIDE
    at = masked.expand(len(bins), -1).gather(1, pixel.where(inside, 0))
    return at & inside


class Redrawn(NamedTuple):
    """What n frames could have been."""

    x: torch.Tensor
    """Symbols, complex64 (n, symbols); those that were not removed are the very same bits."""
    classes: torch.Tensor
    """Number of the class in the law that was drawn, int64 (n,); -1 where nothing was removed."""
    likeliest: torch.Tensor
    """Number of the likeliest class given all that is known of the rest, likewise."""


def redraw(
    x: torch.Tensor,
    law: SymbolLaw,
    removed: torch.Tensor,
    rngs: Sequence[np.random.Generator],
    *,
    region: Region | None = None,
    level: torch.Tensor | None = None,
) -> Redrawn:
    """New symbols in place of some, from their law given all others.

    The class and the phase are drawn from their posterior given the symbols that stay, classes
    equally likely; then the new symbols are points of that class at that phase, and noise. For a
    region R the n_in symbols removed are those inside. The others are known to lie outside, so that
    p(rest, n_in | class, phase) is the product of their densities and P(R | class, phase)^n_in, up
    to a factor; and new points lie in R.

    Args:
        x: symbols of unit signal power, complex64 (n, symbols), see `found.find`.
        law: where they come from.
        removed: bool (n, symbols); for a region exactly those inside.
        rngs: a generator for each frame, see `generators`.
        region: new symbols are drawn inside; None: anywhere.
        level: of the view over `x`, float32 (n, 1), where a region is given.

    Returns:
        As many frames.
    """
    drawn = x.clone()
    classes, likeliest = torch.full((len(x),), -1), torch.full((len(x),), -1)
    rows = torch.nonzero(removed.any(1))[:, 0]
    if not len(rows):
        return Redrawn(drawn, classes, likeliest)

    gone, counts = removed[rows], None
    levels = level[rows, 0] if level is not None else torch.ones(len(rows))
    if region is not None:
        counts = Counts(law, region, gone.sum(1), levels)
    known = hypotheses(x[rows], law, ~gone, counts)
    likeliest[rows] = known.likeliest_classes(len(rows))
    ends = torch.bincount(known.frame, minlength=len(rows)).cumsum(0).tolist()

    for place, row in enumerate(rows.tolist()):
        rng = rngs[row]
        some = slice(ends[place - 1] if place else 0, ends[place])
        c, phase = _choose(known, some, rng)
        points = law.points[c] * np.exp(1j * phase)
        noise_std, count = math.sqrt(0.5 / law.snr), int(gone[place].sum())
        if region is None:
            new = _free(points, noise_std, count, rng)
        else:
            new = _inside(points, noise_std, count, rng, region.seen_at(float(levels[place])))
        drawn[row, gone[place]] = torch.from_numpy(new.astype(np.complex64))
        classes[row] = c
    return Redrawn(drawn, classes, likeliest)


def generators(
    seed: int, identities: Sequence[tuple[str, int, int]], mask: str
) -> list[np.random.Generator]:
    """A generator for each frame.

    Args:
        seed: root of every random choice.
        identities: modulation, SNR in dB and row in the source file of each.
        mask: what is removed, a name that differs where masks differ.

    Returns:
        Generators that depend on nothing else.
    """
    return [seeding.generator(seed, "redraw", *identity, mask) for identity in identities]


def _choose(known: Hypotheses, some: slice, rng: np.random.Generator) -> tuple[int, float]:
    """A class and a phase of some hypotheses, which are those of one frame."""
    share = known.log_chance[some].double().softmax(0).numpy()
    at = some.start + int(_draw(share, 1, rng)[0])
    within = rng.uniform(-1, 1) * float(known.half_step[at])
    return int(known.classes[at]), float(known.phase[at]) + within


def _free(points: np.ndarray, noise_std: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Points (count,) and noise of so much a standard deviation along each axis."""
    noise = rng.normal(scale=noise_std, size=2 * count).view(complex)
    return rng.choice(points, count) + noise


def _inside(
    points: np.ndarray,
    noise_std: float,
    count: int,
    rng: np.random.Generator,
    region: Region,
) -> np.ndarray:
    """As `_free`, given that all lie in a region, which is on their scale.

    First the pixel of each, then which point it comes from, then where in the pixel: each from its
    own exact distribution.
    """
    edges = region.edges
    of_columns = bands(points.real, edges, noise_std)  # (order, size)
    of_rows = bands(points.imag, edges, noise_std)
    chance = (of_rows.T @ of_columns) * region.image
    if not chance.sum() > 0:  # far out in the tails: anywhere in it is as good
        chance = region.image.astype(float)

    pixels = _draw(chance.ravel(), count, rng)
    rows, columns = np.divmod(pixels, region.size)
    of_points = of_rows[:, rows] * of_columns[:, columns]  # (order, count)
    which = _draw_each(of_points, rng)
    return _within(points.real[which], edges, columns, noise_std, rng) + 1j * _within(
        points.imag[which], edges, rows, noise_std, rng
    )


def _draw(chance: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many numbers of chances (n,) of any sum: int (count,)."""
    total = np.cumsum(chance)
    drawn = np.searchsorted(total, rng.random(count) * total[-1], side="right")
    return np.minimum(drawn, np.flatnonzero(chance)[-1])


def _draw_each(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A number of chances (n, count) for each of count columns: int (count,)."""
    total = np.cumsum(chances, 0)
    at = rng.random(chances.shape[1]) * total[-1]
    return np.minimum((total <= at).sum(0), len(chances) - 1)


def _within(
    places: np.ndarray,
    edges: np.ndarray,
    band: np.ndarray,
    noise_std: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Places (n,) and noise, given between which edges, by their number (n,), each falls."""
    low, high = edges[band], edges[band + 1]
    a, b = (low - places) / noise_std, (high - places) / noise_std
    # In the lower tail, where probabilities keep their digits.
    flip = a > 0
    a, b = np.where(flip, -b, a), np.where(flip, -a, b)
    below, above = ndtr(a), ndtr(b)
    noise = ndtri(below + rng.random(len(places)) * (above - below))
    noise = np.where(np.isfinite(noise), noise, (a + b) / 2) * np.where(flip, -1, 1)
    return np.clip(places + noise_std * noise, low, np.nextafter(high, low))
