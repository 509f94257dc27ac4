"""One frame of each modulation with its attribution maps, for a picture."""

from dataclasses import dataclass

import numpy as np

from pisces.attribution import faithfulness
from pisces.attribution.explained_model import (
    ExplainedModel,
    PredictedBatch,
    attributed_maps,
    pixel_scores,
    predict_batch,
)
from pisces.attribution.mask_drops import MaskDrops
from pisces.attribution.method_measures import MethodMeasures
from pisces.attribution.methods import REFERENCES, Method
from pisces.core.tasks import HEADS
from pisces.pis.brightness import exact_size

SHOWN_PERCENT = 5  # of the lit pixels of the view, in the mask that is shown


@dataclass(frozen=True)
class Examples:
    """What the picture of one head shows: a row for each modulation, in one view."""

    images: np.ndarray  # log(1 + points in the pixel), (rows, size, size)
    taken: dict[str, np.ndarray]  # name of a mask -> its pixels, bool (rows, size, size)
    maps: dict[str, np.ndarray]  # method -> (rows, size, size), NaN where there is none
    curves: dict[str, np.ndarray]  # method -> mean deletion curve of the modulation, (rows, levels)
    levels_percent: tuple[float, ...]
    titles: list[str]  # of the rows: modulation, SNR and view
    frames: int  # behind the curve that has the fewest

    def arrays(self, task: str) -> dict[str, np.ndarray]:
        """The fields as arrays, named `<task>_<field>` for a npz file of all tasks.

        A dictionary becomes two arrays: the names, and the values stacked along a new first axis.
        """
        named = {
            "images": self.images,
            "taken_names": np.array(list(self.taken)),
            "taken": np.stack(list(self.taken.values())),
            "map_names": np.array(list(self.maps)),
            "maps": np.stack(list(self.maps.values())),
            "curve_names": np.array(list(self.curves)),
            "curves": np.stack(list(self.curves.values())),
            "levels_percent": np.array(self.levels_percent),
            "titles": np.array(self.titles),
            "frames": np.array(self.frames),
        }
        return {f"{task}_{name}": values for name, values in named.items()}


def examples(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    index: np.ndarray,
    measured: MethodMeasures,
    drops: MaskDrops,
    task: str,
) -> Examples:
    """Picks a frame of the highest SNR of each modulation, in the view that matters most.

    Args:
        explained: the model.
        chosen: the methods.
        index: frames (n, 3), those that `measured` is about.
        measured: of which the deletion curves are shown.
        drops: of the model itself; the view is the one whose masks cost this head the most.
        task: the head, one of `core.tasks.HEADS`.

    Returns:
        Rows in the order of the modulations' numbers.
    """
    shown = _highest_snr_of_each_modulation(index)
    batch, render = predict_batch(explained, index[shown]), explained.data.render
    view = _costliest_view(drops, render.views, task)
    place = _ViewPlace(view, len(render.views), render.size)

    counts = place.cut(batch.counts.cpu().numpy())
    brightest = _brightest(counts, place.cut(batch.ties))

    same_modulation = [index[:, 0] == modulation for modulation in index[shown, 0]]
    curves = {}
    for method in chosen:
        of_frames = measured.measures[task, method.name]["deletion"]  # (n, levels + 1)
        curves[method.name] = np.stack([of_frames[rows].mean(0) for rows in same_modulation])

    identities = explained.data.identities(index[shown])
    return Examples(
        images=place.as_images(np.log1p(counts)),
        taken={f"Top {SHOWN_PERCENT:g} %": place.as_images(brightest)},
        maps=_maps(explained, chosen, batch, place, task),
        curves=curves,
        levels_percent=measured.levels_percent,
        titles=[f"{name}, {snr} dB\n{render.views[view]}" for name, snr, _ in identities],
        frames=min(int(np.count_nonzero(rows)) for rows in same_modulation),
    )


@dataclass(frozen=True)
class _ViewPlace:
    """Where one view lies among the pixels of all views."""

    view: int
    views: int
    size: int  # side of the image in pixels

    def cut(self, pixels: np.ndarray) -> np.ndarray:
        """Values of all views (rows, views * size * size) -> of this one, (rows, size * size)."""
        return pixels.reshape(len(pixels), self.views, -1)[:, self.view]

    def as_images(self, pixels: np.ndarray) -> np.ndarray:
        """Values of this view (rows, size * size) -> (rows, size, size)."""
        return pixels.reshape(len(pixels), self.size, self.size)


def _maps(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    batch: PredictedBatch,
    place: _ViewPlace,
    task: str,
) -> dict[str, np.ndarray]:
    """Method -> its maps in one view, (rows, size, size); without the references."""
    lit = place.cut(batch.lit)
    maps = {}
    for method in chosen:
        if method.name in REFERENCES:
            continue
        head = explained.head(explained.model, task)
        of_pixels = attributed_maps(method, [head], batch)[task]
        scores = place.cut(pixel_scores(explained, method, of_pixels, batch))
        if not explained.trained.input.spatial:
            # Only a model of images sees that a pixel is dark; there is nothing to attribute.
            scores = np.where(lit, scores, np.nan)
        maps[method.name] = place.as_images(scores)
    return maps


def _highest_snr_of_each_modulation(index: np.ndarray) -> np.ndarray:
    """Row numbers of an index (n, 3), one a modulation, by rising modulation number."""
    by_modulation_then_snr = np.lexsort((-index[:, 1], index[:, 0]))
    modulations = index[by_modulation_then_snr, 0]
    _, first = np.unique(modulations, return_index=True)
    return by_modulation_then_snr[first]


def _costliest_view(drops: MaskDrops, views: tuple[str, ...], task: str) -> int:
    """Place in `views` of the view whose masks cost a head the most probability together."""
    of_head = drops.drops[:, HEADS.index(task)]
    cost = dict.fromkeys(views, 0.0)
    for mask, drop in zip(drops.masks, of_head, strict=True):
        cost[mask.view] += drop
    return int(np.argmax(list(cost.values())))


def _brightest(counts: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The exact mask `top` of `SHOWN_PERCENT`, bool (rows, pixels)."""
    taken = np.zeros(counts.shape, bool)
    order = faithfulness.order(counts, counts, ties)
    lit = np.count_nonzero(counts, axis=1)
    for row, pixels, n in zip(taken, order, lit, strict=True):
        row[pixels[: exact_size(n, SHOWN_PERCENT)]] = True
    return taken
