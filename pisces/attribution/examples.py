"""A frame of each modulation with its maps and curves, for a picture."""

from dataclasses import dataclass

import numpy as np

from pisces.attribution import faithfulness
from pisces.attribution.judge import Judged
from pisces.attribution.methods import REFERENCES, Method
from pisces.attribution.patterns import Pattern
from pisces.attribution.scenes import ExplainedModel, attributed_scores, make_scene
from pisces.core.tasks import HEADS
from pisces.pis.masks import exact_size

SHOWN_PERCENT = 5  # of the lit pixels, in the mask of an example


@dataclass(frozen=True)
class Examples:
    """A row a modulation, in one view."""

    images: np.ndarray  # log(1 + points), (rows, size, size)
    taken: dict[str, np.ndarray]  # name of a mask -> its pixels, bool (rows, size, size)
    maps: dict[str, np.ndarray]  # method -> (rows, size, size), NaN where there is none
    curves: dict[str, np.ndarray]  # method -> mean deletion curve of the modulation, (rows, levels)
    levels_percent: tuple[float, ...]
    titles: list[str]
    frames: int  # behind each curve, at least

    def arrays(self, task: str) -> dict[str, np.ndarray]:
        """Named for a npz file of all tasks; the axes of `images` after those of the names."""
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
    judged: Judged,
    pattern: Pattern,
    task: str,
) -> Examples:
    """The frame of the highest SNR of each modulation, in the view that matters most.

    Args:
        explained: the model.
        chosen: the methods.
        index: frames (n, 3), those that `judged` is about.
        judged: whose deletion curves are shown.
        pattern: of the model itself; the view is the one whose masks cost this head the most.
        task: the head.
    """
    shown = _highest_snr_of_each_modulation(index)
    scene, render = make_scene(explained, index[shown]), explained.data.render
    view = _costliest_view(pattern, render.views, task)
    by_view = (len(shown), len(render.views), render.size**2)
    square = (len(shown), render.size, render.size)

    counts = scene.counts.cpu().numpy().reshape(by_view)[:, view]
    taken = _brightest(counts, scene.ties.reshape(by_view)[:, view])

    maps = {}
    for method in chosen:
        if method.name not in REFERENCES:
            scores = attributed_scores(explained, method, explained.model, scene, task)
            of_view = scores.reshape(by_view)[:, view]
            if not explained.trained.input.spatial:
                # Only a model of images sees that a pixel is dark; there is nothing to attribute.
                of_view = np.where(counts > 0, of_view, np.nan)
            maps[method.name] = of_view.reshape(square)

    alike = [index[:, 0] == modulation for modulation in index[shown, 0]]
    identities = [explained.data.identity(frame) for frame in index[shown]]
    return Examples(
        images=np.log1p(counts).reshape(square),
        taken={f"Top {SHOWN_PERCENT:g} %": taken.reshape(square)},
        maps=maps,
        curves={method.name: _mean_deletion(judged, task, method, alike) for method in chosen},
        levels_percent=judged.levels_percent,
        titles=[f"{name}, {snr} dB\n{render.views[view]}" for name, snr, _ in identities],
        frames=min(int(np.count_nonzero(rows)) for rows in alike),
    )


def _highest_snr_of_each_modulation(index: np.ndarray) -> np.ndarray:
    """Rows of an index (n, 3)."""
    by_modulation_then_snr = np.lexsort((-index[:, 1], index[:, 0]))
    modulations = index[by_modulation_then_snr, 0]
    first = np.unique(modulations, return_index=True)[1]
    return by_modulation_then_snr[first]


def _mean_deletion(
    judged: Judged, task: str, method: Method, groups: list[np.ndarray]
) -> np.ndarray:
    """The mean curve of each group of frames, (groups, levels); a group is bool (n,)."""
    of_frames = judged.found[task, method.name]["deletion"]
    return np.stack([of_frames[group].mean(0) for group in groups])


def _costliest_view(pattern: Pattern, views: tuple[str, ...], task: str) -> int:
    drops = pattern.drops[:, HEADS.index(task)]
    cost = dict.fromkeys(views, 0.0)
    for mask, drop in zip(pattern.masks, drops, strict=True):
        cost[mask.view] += drop
    return int(np.argmax(list(cost.values())))


def _brightest(counts: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The exact mask `top` of `SHOWN_PERCENT`, bool (rows, pixels)."""
    taken = np.zeros(counts.shape, bool)
    order = faithfulness.order(counts, counts, ties)
    lit = np.count_nonzero(counts, axis=1)
    for mask, pixels, n in zip(taken, order, lit, strict=True):
        mask[pixels[: exact_size(n, SHOWN_PERCENT)]] = True
    return taken
