"""A sheet of examples: a few frames, and what some masks take of them."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from pisces.inputs.drawing import BinStore
from pisces.pis.masks import Mask
from pisces.pis.store import PerturbationPlan, count_view

ROWS = 4
SHOWN_PERCENT = 20  # what a larger mask takes is nearly everything


class Sheet(NamedTuple):
    """Rows are frames in one view each, columns are masks."""

    images: np.ndarray
    """float32 (rows, size, size): log(1 + counts) over the largest among the rows of the same
    view; a view that is dark in all of them stays 0."""
    names: np.ndarray
    """Masks without their view, str (k,)."""
    taken: np.ndarray
    """Pixels that they take, bool (k, rows, size, size)."""
    titles: np.ndarray
    """View, modulation and SNR of each row, str (rows,)."""


def sheet(data: BinStore, plan: PerturbationPlan) -> Sheet:
    """Frames of cells spread over the plan, each in every masked view: four rows where that fits.

    A column shows what a mask takes: the brightness masks at the largest level, up to
    `SHOWN_PERCENT`, that all rules have, except for pixels drawn from all, which are mostly dark;
    the cluster cores and transitions; and the first ring and sector.
    """
    size = data.render.size
    frames = _spread(len(plan.frame), max(1, ROWS // len(plan.views)))
    rows = list(product(frames, plan.views))
    shown = _shown([mask for mask in plan.masks if mask.view == plan.views[0]])

    images = np.zeros((len(rows), size * size), np.float32)
    taken = np.zeros((len(shown), len(rows), size * size), bool)
    for row, (i, view) in enumerate(rows):
        images[row] = np.log1p(count_view(data, plan.frame[i : i + 1], view)[0])
        masks = [mask._replace(view=view) for mask in shown]
        (of_frame,) = plan.taken(data, i, i + 1, masks)
        for column, mask in enumerate(masks):
            taken[column, row, of_frame.pixels(mask)] = True

    for view in plan.views:
        same = [one == view for _, one in rows]
        images[same] /= images[same].max() or 1

    return Sheet(
        images.reshape(len(rows), size, size),
        np.array([_name(mask) for mask in shown]),
        taken.reshape(len(shown), len(rows), size, size),
        np.array([_title(data, plan.frame[i], view) for i, view in rows]),
    )


def _spread(frames: int, wanted: int) -> list[int]:
    """At most so many numbers of frames, evenly spread between the first and the last."""
    places = np.linspace(0, frames - 1, 2 + wanted).astype(int)
    return np.unique(places[1:-1]).tolist()


def _shown(masks: Sequence[Mask]) -> list[Mask]:
    """Those that the sheet shows, of the masks of one view."""
    levels = []
    for rule in ("exact", "percentile"):
        of_rule = {mask.level for mask in masks if mask.rule == rule}
        if of_rule:
            levels.append(of_rule)
    shared = set.intersection(*levels)
    level = max((one for one in shared if one <= SHOWN_PERCENT), default=min(shared))

    from_all = ("percentile", "random")
    by_level = [mask for mask in masks if mask.level_percent == level]
    by_brightness = [mask for mask in by_level if (mask.rule, mask.name) != from_all]
    first = {("ring", "1"), ("sector", "1"), ("cluster", "core"), ("cluster", "transition")}
    by_region = [mask for mask in masks if (mask.rule, mask.name) in first]
    return by_brightness + by_region


def _name(mask: Mask) -> str:
    level = "" if mask.level_percent is None else f" {mask.level_percent:g} %"
    return f"{mask.rule} {mask.name}{level}"


def _title(data: BinStore, frame: np.ndarray, view: str) -> str:
    modulation, snr_db, _ = data.identity(frame)
    return f"{view}\n{modulation}, {snr_db} dB"
