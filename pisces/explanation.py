"""Attribution methods, PIS's own ranking and chance judged on one scale, and whether what they show needs a model that has learnt.

Every method explains the answer that the model gave, one head at a time, and so orders the lit pixels of all views of a frame. What an
order is worth is measured by what PIS is made of: pixels are taken out of the counts, and the model is asked again.
"""

from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from pisces import attribution, console, faithfulness, models, sanity
from pisces.attribution import TASKS, Head
from pisces.datasets import Constellations
from pisces.inference import predict, remove_pixels
from pisces.masks import Mask, exact_size
from pisces.modelfile import Trained
from pisces.params import Attribute
from pisces.perturbation import Perturbations
from pisces.sanity import Survival
from pisces.seeding import generator

BRIGHTNESS = "brightness"
"""PIS's own ranking."""
CURVES = ("deletion", "insertion")
LARGEST_PERCENT = 5  # of the published levels
BATCH = 256  # frames
SHUFFLED_BATCH, SHUFFLED_LR = 64, 1e-3  # of the model trained on shuffled labels


class Scene(NamedTuple):
    """A batch of frames and what the model says of them."""

    identities: list[tuple[str, int, int]]
    counts: torch.Tensor  # (n, pixels of all views)
    images: torch.Tensor  # (n, channels, size, size)
    answers: dict[str, torch.Tensor]  # task -> class (n,)
    ties: np.ndarray  # (n, pixels), random numbers by which equal scores are ordered

    @property
    def lit(self) -> np.ndarray:
        return (self.counts > 0).cpu().numpy()


class Explainer:
    """A trained model, its data and the settings of `attribute`."""

    def __init__(self, trained: Trained, data: Constellations, settings: Attribute, seed: int, where: torch.device):
        self.model = trained.model.to(where, memory_format=torch.channels_last)
        self.trained, self.data, self.settings, self.seed, self.where = trained, data, settings, seed, where
        self.methods = (*settings.methods, BRIGHTNESS, faithfulness.CHANCE)

    def look(self, index: np.ndarray) -> Scene:
        """The frames of `index` (n, 3)."""
        drawing = self.trained.drawing
        counts = drawing.count(torch.from_numpy(self.data.bins(index)).to(self.where))
        answers = (logits.argmax(1).clone() for logits in predict(self.model, drawing, counts))
        identities = [self.data.identity(frame) for frame in index]
        ties = np.stack([rng.random(drawing.pixels) for rng in self.generators("attribute tie", identities)])
        return Scene(identities, counts, drawing(counts), dict(zip(TASKS, answers, strict=True)), ties)

    def generators(self, purpose: str, identities: list[tuple[str, int, int]]) -> list[np.random.Generator]:
        """One a frame."""
        return [generator(self.seed, purpose, *identity) for identity in identities]

    def maps(self, method: str, head: Head, images: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        """Maps (n, channels, size, size); a method that draws draws the same for every batch and model."""
        return attribution.attribute(method, head, images, answers, self.settings, generator(self.seed, "attribute", method))

    def scores(self, method: str, model: nn.Module, scene: Scene, task: str) -> np.ndarray:
        """The maps of `model` for the answers of the trained one, a number a pixel: (n, pixels of all views)."""
        return self.per_pixel(self.maps(method, Head(model, task), scene.images, scene.answers[task]))

    def per_pixel(self, maps: torch.Tensor) -> np.ndarray:
        return attribution.per_pixel(maps, len(self.trained.drawing.render.views)).cpu().numpy()

    def judge(self, method: str, scene: Scene, task: str) -> dict[str, np.ndarray]:
        """What one method's maps are worth: measure -> a number a frame (n,); `deletion` and `insertion` curves are (n, levels + 1)."""
        head, targets, settings = Head(self.model, task), scene.answers[task], self.settings
        maps = self.maps(method, head, scene.images, targets)
        passes = {"forward_passes": head.forward_frames, "backward_passes": head.backward_frames}
        scores, counts = self.per_pixel(maps), scene.counts.cpu().numpy()

        def ask(counts: torch.Tensor) -> torch.Tensor:
            return predict(self.model, self.trained.drawing, counts)[TASKS.index(task)]

        order = faithfulness.order(scores, counts, scene.ties)
        curves = faithfulness.curves(ask, scene.counts, order, settings.levels_percent, targets)
        found = {name: curves[name] for name in CURVES}
        found |= {f"{name}_area": faithfulness.area(curves[name], settings.levels_percent) for name in CURVES}
        rngs = self.generators("infidelity", scene.identities)
        found["infidelity"] = faithfulness.infidelity(head, scene.images, maps, targets, settings.infidelity_samples, rngs)
        found["agreement"] = faithfulness.rank_correlation(scores, counts, scene.lit)
        return found | {name: np.full(len(targets), value / len(targets)) for name, value in passes.items()}

    def sensitivity(self, method: str, scene: Scene, task: str) -> np.ndarray:
        explain = partial(self.maps, method, Head(self.model, task))
        rngs, settings = self.generators("sensitivity", scene.identities), self.settings
        targets = scene.answers[task]
        return faithfulness.sensitivity(explain, scene.images, targets, settings.sensitivity_radius, settings.sensitivity_samples, rngs)


class Judged(NamedTuple):
    """What every method's maps of the same n frames are worth, as numbers a frame."""

    found: dict[tuple[str, str], dict[str, np.ndarray]]
    """(task, method) -> measure -> (n,), and `deletion` and `insertion` -> (n, levels + 1)."""
    levels_percent: tuple[float, ...]
    """Of the curves, 0 first."""

    def measures(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, measure): mean `value` over `n` frames and `difference` to chance, each with its 95 % interval."""
        rows = []
        for task, measure in {(task, name): None for (task, _), values in self.found.items() for name, v in values.items() if v.ndim == 1}:
            values = {method: self.found[task, method][measure] for one, method in self.found if one == task}
            summary = faithfulness.summarise(values, resamples, generator(seed, "attribute resamples", task, measure))
            rows += [{"task": task, "method": method, "measure": measure} | row for method, row in summary.items()]
        return pd.DataFrame(rows).rename(columns={"mean": "value", "frames": "n"})

    def curves(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, curve, level_percent): mean `probability` of the answer, and its 95 % interval."""
        rows = []
        for (task, method), values in self.found.items():
            for curve in CURVES:
                rng = generator(seed, "curve resamples", task, method, curve)
                for level, column in zip(self.levels_percent, values[curve].T, strict=True):
                    point = faithfulness.mean(column, resamples, rng)
                    row = {"task": task, "method": method, "curve": curve, "level_percent": level, "probability": point["mean"]}
                    rows.append(row | {name: point[name] for name in ("ci_low", "ci_high")})
        return pd.DataFrame(rows)


def judge(explainer: Explainer, index: np.ndarray, checked: np.ndarray) -> Judged:
    """Judges all methods by the frames of `index` (n, 3), and their sensitivity, for which maps are made anew, by those of `checked`."""
    parts: dict[tuple[str, str], list[dict[str, np.ndarray]]] = defaultdict(list)
    for start in console.progress(range(0, len(index), BATCH), f"attribute, {BATCH} frames each"):
        scene = explainer.look(index[start : start + BATCH])
        for task in TASKS:
            for method in explainer.methods:
                parts[task, method].append(explainer.judge(method, scene, task))
    found = {key: {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} for key, parts in parts.items()}
    scene = explainer.look(checked)
    for task, method in console.progress(list(found), "attribute, sensitivity"):
        found[task, method]["sensitivity"] = explainer.sensitivity(method, scene, task)
    return Judged(found, (0, *explainer.settings.levels_percent))


class Stranger(NamedTuple):
    """A model that lacks what the explained one has learnt, as far as the share of its modules says."""

    check: str  # weights: made random; labels: trained on shuffled ones
    share: float
    model: nn.Module


def strangers(explainer: Explainer, train: np.ndarray) -> Iterator[Stranger]:
    """The model with ever more weights made random, and a fresh one trained on shuffled labels of frames of `train` (n, 3)."""
    trained, data, settings = explainer.trained, explainer.data, explainer.settings
    rng = generator(explainer.seed, "randomised weights")
    for share, model in sanity.randomised(explainer.model, settings.randomised_steps, rng):
        yield Stranger("weights", share, model)
    some = spread(train, settings.shuffled_frames)
    bins, targets = torch.from_numpy(data.bins(some)).to(explainer.where), torch.from_numpy(some[:, :2].copy())
    shape = trained.drawing.channels, data.render.size, len(data.modulations), data.snrs_db
    fresh = partial(models.build, trained.architecture, *shape)
    rng = generator(explainer.seed, "shuffled labels")
    model, _ = sanity.fit_shuffled(fresh, trained.drawing, bins, targets, settings.shuffled_epochs, SHUFFLED_BATCH, SHUFFLED_LR, rng)
    yield Stranger("labels", 1.0, model)


def check(explainer: Explainer, checked: np.ndarray, perturbations: Perturbations, strangers: Iterator[Stranger]) -> pd.DataFrame:
    """What outlives the loss of what the model has learnt: one row a (task, method, check, share).

    `correlation` is the mean absolute rank correlation, over the lit pixels of each frame of `checked` (n, 3), of a stranger's maps with
    the model's own, with its 95 % interval; `survives` says that the interval lies above `sanity.THRESHOLD`. The method `pis` is the
    pattern of accuracy drops over the masks of `pis_masks`, all frames of `perturbations` together; its interval is from resampled masks.
    Chance is left out: it asks no model.
    """
    scene, settings = explainer.look(checked), explainer.settings
    methods = (*settings.methods, BRIGHTNESS)
    own = {(task, method): explainer.scores(method, explainer.model, scene, task) for task in TASKS for method in methods}
    own_drops = drops(explainer, explainer.model, perturbations)
    rows = []
    for stranger in console.progress(strangers, "attribute, sanity checks", settings.randomised_steps + 1):
        label = {"check": stranger.check, "share": stranger.share}
        for (task, method), scores in own.items():
            others = explainer.scores(method, stranger.model, scene, task)
            rng = generator(explainer.seed, "survival", task, method, *map(str, stranger[:2]))
            survival = sanity.survives(faithfulness.rank_correlation(scores, others, scene.lit), rng, settings.resamples)
            rows.append({"task": task, "method": method} | label | _row(survival))
        if stranger.share == 1:
            for task, one, other in zip(TASKS, own_drops.T, drops(explainer, stranger.model, perturbations).T, strict=True):
                rng = generator(explainer.seed, "survival", task, "pis", *map(str, stranger[:2]))
                rows.append({"task": task, "method": "pis"} | label | _row(_pattern_survives(one, other, rng, settings.resamples)))
    return pd.DataFrame(rows)


def _row(survival: Survival) -> dict[str, float]:
    return {"correlation": survival.mean, "ci_low": survival.ci_low, "ci_high": survival.ci_high, "survives": int(survival.survives)}


def pis_masks(perturbations: Perturbations) -> list[Mask]:
    """What makes up the pattern of PIS: the largest published level of each exact mask, the rings and the clusters, of each view."""
    levels = [mask.level_percent for mask in perturbations.masks if mask.rule == "exact" and mask.level_percent <= LARGEST_PERCENT]
    return [m for m in perturbations.masks if m.rule in ("ring", "cluster") or (m.rule == "exact" and m.level_percent == max(levels))]


def drops(explainer: Explainer, model: nn.Module, perturbations: Perturbations) -> np.ndarray:
    """Accuracy that a model loses, of modulation and SNR, by each of `pis_masks`: (masks, tasks)."""
    drawing, views = explainer.trained.drawing, explainer.trained.drawing.render.views
    chosen, lost = pis_masks(perturbations), 0
    for start, stop in perturbations.chunks(BATCH):
        frames = perturbations.frame[start:stop]
        counts = drawing.count(torch.from_numpy(explainer.data.bins(frames)).to(explainer.where))

        def right(counts: torch.Tensor, frames: np.ndarray = frames) -> np.ndarray:
            answers = torch.stack([logits.argmax(1) for logits in predict(model, drawing, counts)], 1)
            return (answers.cpu().numpy() == frames[:, :2]).sum(0)  # (tasks,)

        before, after = right(counts), []
        for mask in chosen:
            pixels, offsets = perturbations.pixels(mask, "mask", start, stop)
            first = views.index(mask.view) * drawing.render.size**2
            after.append(right(remove_pixels(counts, pixels + np.int64(first), offsets)))
        lost = lost + (before - np.stack(after))
    return lost / len(perturbations.frame)


def _pattern_survives(one: np.ndarray, other: np.ndarray, rng: np.random.Generator, resamples: int) -> Survival:
    """Two patterns (masks,) of accuracy drops. A constant one, of a model that loses nothing whatever is taken, agrees with nothing."""
    draws = rng.integers(len(one), size=(resamples, len(one)))
    found = np.abs(np.nan_to_num([_rank_correlation(one, other), *(_rank_correlation(one[d], other[d]) for d in draws)]))
    low, high = np.quantile(found[1:], [0.025, 0.975])
    return Survival(float(found[0]), float(low), float(high), bool(low > sanity.THRESHOLD))


def _rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(faithfulness.rank_correlation(one[None], other[None], np.ones((1, len(one)), bool))[0])


def spread(index: np.ndarray, n: int) -> np.ndarray:
    """At most n frames of an index, evenly spread over it."""
    return index[np.linspace(0, len(index) - 1, min(n, len(index))).astype(int)]


def summary(measures: pd.DataFrame, checks: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Task -> method -> measure, for the metrics file; `survives_<check>` is 1 where a pattern outlives a model without knowledge."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    last = checks[checks["share"] == 1].assign(measure="survives_" + checks["check"], value=checks["survives"])
    for row in pd.concat([measures, last])[["task", "method", "measure", "value"]].to_dict("records"):
        if not np.isnan(row["value"]):
            result.setdefault(row["task"], {}).setdefault(row["method"], {})[row["measure"]] = row["value"]
    return result


def with_checks(measures: pd.DataFrame, checks: pd.DataFrame, frames: int) -> pd.DataFrame:
    """The table of measures with the correlations of maps without knowledge, of so many frames, as two more: `weights` and `labels`."""
    last = checks[(checks["share"] == 1) & (checks["method"] != "pis")].rename(columns={"check": "measure", "correlation": "value"})
    return pd.concat([measures, last.assign(n=frames)])[["task", "method", "measure", "value", "ci_low", "ci_high", "n"]]


class Examples(NamedTuple):
    """A frame of each modulation, in one view, for `plots.attributions`."""

    images: np.ndarray  # (rows, size, size)
    taken: dict[str, np.ndarray]  # name of a mask -> its pixels, bool (rows, size, size)
    maps: dict[str, np.ndarray]  # method -> (rows, size, size)
    curves: dict[str, np.ndarray]  # method -> (rows, levels), mean of the deletion curves of the modulation
    levels_percent: tuple[float, ...]
    titles: list[str]
    frames: int  # behind each curve


def examples(explainer: Explainer, index: np.ndarray, judged: Judged, task: str) -> Examples:
    """The frame of the highest SNR of each modulation among `index` (n, 3), which `judged` is about, in the view that matters most.

    That is the one to which the methods give the largest share of their absolute scores, in the mean over methods and frames.
    """
    order = np.lexsort((-index[:, 1], index[:, 0]))
    rows = order[np.unique(index[order, 0], return_index=True)[1]]
    scene, render = explainer.look(index[rows]), explainer.data.render
    by_view = (len(rows), len(render.views), render.size**2)
    scores = {m: explainer.scores(m, explainer.model, scene, task).reshape(by_view) for m in explainer.settings.methods}
    view = int(np.argmax(sum(_shares(one) for one in scores.values())))
    counts, ties = (array.reshape(by_view)[:, view] for array in (scene.counts.cpu().numpy(), scene.ties))
    brightest = faithfulness.order(counts, counts, ties)
    taken = np.zeros(counts.shape, bool)
    for mask, pixels, lit in zip(taken, brightest, np.count_nonzero(counts, axis=1), strict=True):
        mask[pixels[: exact_size(lit, LARGEST_PERCENT)]] = True
    same = [index[:, 0] == modulation for modulation in index[rows, 0]]
    square = (-1, render.size, render.size)
    return Examples(
        images=np.log1p(counts).reshape(square),
        taken={f"Top {LARGEST_PERCENT:g} %": taken.reshape(square)},
        maps={method: values[:, view].reshape(square) for method, values in scores.items()},
        curves={m: np.stack([judged.found[task, m]["deletion"][one].mean(0) for one in same]) for m in explainer.methods},
        levels_percent=judged.levels_percent,
        titles=["{}, {} dB\n{}".format(*explainer.data.identity(frame)[:2], render.views[view]) for frame in index[rows]],
        frames=int(min(map(np.count_nonzero, same))),
    )


def _shares(scores: np.ndarray) -> np.ndarray:
    """Of each view in the absolute scores (n, views, pixels), mean over frames: (views,)."""
    totals = np.abs(scores).sum(2)
    return (totals / np.maximum(totals.sum(1, keepdims=True), np.finfo(totals.dtype).tiny)).mean(0)
