"""What the maps of each method are worth: faithfulness, agreement with PIS's ranking, and cost."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from pisces.attribution import faithfulness, methods, scenes
from pisces.attribution.faithfulness import CURVES
from pisces.attribution.head import Context
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.scenes import ExplainedModel, Scene, make_scene
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean, rank_correlation
from pisces.core.tasks import HEADS

BATCH = 256  # frames

Measured = dict[str, np.ndarray]
"""Measure -> a number a frame (n,); `deletion` and `insertion` -> curves (n, levels + 1)."""


@dataclass(frozen=True)
class Judged:
    """What every method's maps of the same n frames are worth."""

    found: dict[tuple[str, str], Measured]  # (task, method) -> its measures
    levels_percent: tuple[float, ...]  # of the curves, 0 first

    def measures(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, measure).

        `value` is the mean over `n` frames and `difference` that to the random baseline, each with
        its 95 % interval from so many resamples.
        """
        rows = []
        for task in HEADS:
            of_head = {key: found for key, found in self.found.items() if key[0] == task}
            of_task = {method: found for (_, method), found in of_head.items()}
            for measure in _numbers_a_frame(of_task):
                values = {method: found[measure] for method, found in of_task.items()}
                rng = generator(seed, "attribute resamples", task, measure)
                summary = faithfulness.summarise(values, resamples, rng)
                for method, numbers in summary.items():
                    names = {"task": task, "method": method, "measure": measure}
                    rows.append(names | numbers)
        return pd.DataFrame(rows).rename(columns={"mean": "value", "frames": "n"})

    def curves(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, curve, level_percent).

        `probability` is the mean of the predicted class's, with its 95 % interval.
        """
        rows = []
        for (task, method), found in self.found.items():
            for curve in CURVES:
                rng = generator(seed, "curve resamples", task, method, curve)
                names: dict[str, Any] = {"task": task, "method": method, "curve": curve}
                for level, column in zip(self.levels_percent, found[curve].T, strict=True):
                    mean = bootstrap_mean(column, resamples, rng)
                    point = {
                        "level_percent": level,
                        "probability": mean["mean"],
                        "ci_low": mean["ci_low"],
                        "ci_high": mean["ci_high"],
                    }
                    rows.append(names | point)
        return pd.DataFrame(rows)


def _numbers_a_frame(of_task: dict[str, Measured]) -> list[str]:
    """Names of the measures that are no curves."""
    found = next(iter(of_task.values()))
    return [name for name, values in found.items() if values.ndim == 1]


def judge(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    checked: np.ndarray,
) -> Judged:
    """Judges methods by the maps of both heads.

    Args:
        explained: the model.
        chosen: the methods, the random baseline among them.
        settings: levels of the curves, and samples of infidelity and sensitivity.
        index: frames (n, 3).
        checked: a few of them, (k, 3), for the sensitivity, which makes every map anew and so has
            k numbers.
    """
    parts = defaultdict(list)
    for start in progress(range(0, len(index), BATCH), f"attribute, {BATCH} frames each"):
        frames = make_scene(explained, index[start : start + BATCH])
        for task in HEADS:
            for method in chosen:
                measured = _measure(explained, method, settings, frames, task)
                parts[task, method.name].append(measured)
    found = {key: _joined(of_key) for key, of_key in parts.items()}

    frames = make_scene(explained, checked)
    pairs = [(task, method) for task in HEADS for method in chosen]
    for task, method in progress(pairs, "attribute, sensitivity"):
        steadiness = _sensitivity(explained, method, settings, frames, task)
        found[task, method.name]["sensitivity"] = steadiness
    return Judged(found, (0, *settings.levels_percent))


def _joined(parts: list[Measured]) -> Measured:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _measure(
    explained: ExplainedModel,
    method: Method,
    settings: AttributionSettings,
    scene: Scene,
    task: str,
) -> Measured:
    """All measures but the sensitivity."""
    head, targets = explained.head(explained.model, task), scene.predicted[task]
    maps = methods.attribute(method, head, scene.images, targets, scene.context)
    cost = {"forward_passes": head.forward_frames, "backward_passes": head.backward_frames}

    scores = scenes.pixel_scores(explained, method, maps, scene)
    counts = scene.counts.cpu().numpy()
    ranked = faithfulness.order(scores, counts, scene.ties)
    found = _curves(explained, settings, scene, task, ranked)

    rngs = explained.generators("infidelity", scene.identities)
    samples = settings.infidelity_samples
    found["infidelity"] = faithfulness.infidelity(
        head, scene.images, maps, targets, samples, rngs, scene.context
    )
    found["agreement"] = rank_correlation(scores, counts, scene.lit)

    n = len(targets)
    passes_a_frame = {name: np.full(n, passes / n) for name, passes in cost.items()}
    return found | passes_a_frame


def _curves(
    explained: ExplainedModel,
    settings: AttributionSettings,
    scene: Scene,
    task: str,
    order: np.ndarray,
) -> Measured:
    """Deletion and insertion, as curves and as areas below them."""

    def predict_masked(pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        return scene.frames.predict(explained.model, pixels, offsets)[HEADS.index(task)]

    levels, targets = settings.levels_percent, scene.predicted[task]
    curves = faithfulness.curves(predict_masked, scene.counts, order, levels, targets)
    areas = {f"{name}_area": faithfulness.area(curves[name], levels) for name in CURVES}
    return curves | areas


def _sensitivity(
    explained: ExplainedModel,
    method: Method,
    settings: AttributionSettings,
    scene: Scene,
    task: str,
) -> np.ndarray:
    """(n,), one a frame."""
    if method.name == RANDOM:
        # Its noise belongs to the frame, and not to what the frame looks like.
        return np.zeros(len(scene.images))

    head = explained.head(explained.model, task)

    def explain(images: torch.Tensor, targets: torch.Tensor, context: Context) -> torch.Tensor:
        return methods.attribute(method, head, images, targets, context)

    return faithfulness.sensitivity(
        explain,
        scene.images,
        scene.predicted[task],
        settings.sensitivity_radius,
        settings.sensitivity_samples,
        explained.generators("sensitivity", scene.identities),
        scene.context,
    )
