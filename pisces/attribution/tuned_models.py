"""The same curves again on models that were tuned on random masks, and what the guards say.

Each model's own predictions are attributed, by every method, on the same frames.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from pisces.attribution import mask_guards, random_masks
from pisces.attribution.explained_model import (
    ExplainedModel,
    attributed_maps,
    pixel_scores,
    predict_batch,
)
from pisces.attribution.method_measures import MethodMeasures
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.rankings import AREAS, Measures, Ranking, joined_measures
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean
from pisces.core.tasks import HEADS
from pisces.evaluation import inference
from pisces.models.modelfile import TrainedModel
from pisces.models.precision import Resolved
from pisces.training import mask_tuned

BATCH = 256  # frames
TRAINED = "trained"
"""The model as it was before any tuning."""
UNGUARDED = (mask_tuned.CONTROL,)
"""Models whose areas alone are measured."""

DIFFERENCE = ("difference", "difference_ci_low", "difference_ci_high")
COLUMNS = (
    *("model", "task", "measure", "method", "view", "level_percent", "snr_db", "n"),
    *("value", "ci_low", "ci_high", *DIFFERENCE),
)
"""Of the table `mask_tuning`."""


class TunedModels(NamedTuple):
    """Models to be compared with the explained one, and frames that show what masks cost them."""

    models: dict[str, TrainedModel]  # as `training.mask_tuning` tunes them; none where that is off
    tested: np.ndarray  # index (k, 3)


def load(folder: Path, precision: Literal["auto"] | Resolved, tested: np.ndarray) -> TunedModels:
    """What the stage `tune_masks` made.

    Args:
        folder: where it lies.
        precision: `train.precision`.
        tested: frames (k, 3) that are shown without random pixels.

    Returns:
        The models, and these frames.

    Raises:
        FileNotFoundError, ValueError: as `mask_tuned.load`.
    """
    models = mask_tuned.load(folder)
    for model in models.values():
        inference.choose_precision(model, precision)
    return TunedModels(models, tested)


@dataclass(frozen=True)
class RankedFrames:
    """What the rankings of every model, head and method are worth on the same n frames."""

    measures: dict[tuple[str, str, str], Measures]  # (model, task, method) -> areas and guards
    classes: dict[str, np.ndarray]  # task -> true class of each frame, (n,)

    def areas_table(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (model, task, method, measure), with the `difference` to `TRAINED`."""
        rows = []
        for (model, task, method), measures in self.measures.items():
            for area in AREAS:
                own, of_trained = measures[area], self.measures[TRAINED, task, method][area]
                rng = generator(seed, "tuned resamples", task, method, area)
                names = {"model": model, "task": task, "method": method, "measure": area}
                rows.append(names | _paired(own, of_trained, resamples, rng))
        return pd.DataFrame(rows)

    def guards_table(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (model, task, method, guard); see `mask_guards`."""
        rows: list[dict[str, Any]] = []
        guarded = {key: found for key, found in self.measures.items() if "masks" in found}
        right = {key: self._tells_class(key, seed) for key in guarded}
        for (model, task, method), measures in guarded.items():
            names = {"model": model, "task": task, "method": method}
            for area in AREAS:
                rng = generator(seed, "guard resamples", task, method, area)
                paired = _paired(measures[f"blurred_{area}"], measures[area], resamples, rng)
                rows.append(names | mask_guards.blur_row(area, paired))

            row = mask_guards.mask_only_row(
                right[model, task, method], right[model, task, RANDOM], self.classes[task]
            )
            rows.append(names | row)
        return pd.DataFrame(rows)

    def _tells_class(self, key: tuple[str, str, str], seed: int) -> np.ndarray:
        """Whether the masks of a method alone tell the class; the folds are those of its task."""
        _, task, _ = key
        rng = generator(seed, "mask-only folds", task)
        return mask_guards.tells_class(self.measures[key]["masks"], self.classes[task], rng)


def _paired(
    own: np.ndarray, reference: np.ndarray, resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The mean (n,) of a measure, that of a reference, and their paired difference."""
    draws = int(rng.integers(2**63))  # the same for both intervals
    mean = bootstrap_mean(own, resamples, generator(draws, "resamples"))
    difference = bootstrap_mean(own - reference, resamples, generator(draws, "resamples"))
    return {
        "n": mean["frames"],
        "value": mean["mean"],
        "ci_low": mean["ci_low"],
        "ci_high": mean["ci_high"],
        "reference": float(reference.mean()),
        "difference": difference["mean"],
        "difference_ci_low": difference["ci_low"],
        "difference_ci_high": difference["ci_high"],
    }


def tables(
    explained: ExplainedModel,
    tuned: TunedModels,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    measured: MethodMeasures,
) -> dict[str, pd.DataFrame]:
    """What tuning on random masks changes, and what the curves reward beside a faithful ranking.

    Args:
        explained: the model as it was trained.
        tuned: models with the same input.
        chosen: the methods, the random baseline among them.
        settings: levels of the curves, and resamples of the intervals.
        index: frames (n, 3) whose predictions are attributed.
        measured: what was measured of these frames on `explained`.

    Returns:
        `mask_tuning` and `mask_guards`: name of the file -> table.
    """
    others = {name: explained.with_model(model) for name, model in tuned.models.items()}
    ranked = RankedFrames(
        measures=_of_trained(measured) | rank(others, chosen, settings, index),
        classes={task: index[:, i] for i, task in enumerate(HEADS)},
    )
    accuracy = random_masks.measure({TRAINED: explained} | others, tuned.tested).table(TRAINED)
    areas = ranked.areas_table(explained.seed, settings.resamples)
    tuning = pd.concat([accuracy, areas], ignore_index=True)[list(COLUMNS)]
    tuning.loc[tuning["model"] == TRAINED, list(DIFFERENCE)] = np.nan  # to itself
    return {
        "mask_tuning": tuning,
        "mask_guards": ranked.guards_table(explained.seed, settings.resamples),
    }


def _of_trained(measured: MethodMeasures) -> dict[tuple[str, str, str], Measures]:
    """(model, task, method) -> areas and guards of the model before any tuning."""
    return {
        (TRAINED, *key): {area: measured.measures[key][area] for area in AREAS} | guards
        for key, guards in measured.guards.items()
    }


def rank(
    models: Mapping[str, ExplainedModel],
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
) -> dict[tuple[str, str, str], Measures]:
    """Attributes what each model predicts of some frames, and measures the rankings.

    Args:
        models: name -> the model.
        chosen: the methods.
        settings: levels of the curves.
        index: frames (n, 3).

    Returns:
        (model, task, method) -> areas, and guards unless the model is one of `UNGUARDED`.
    """
    parts: dict[tuple[str, str, str], list[Measures]] = defaultdict(list)
    batches = [(name, start) for name in models for start in range(0, len(index), BATCH)]
    for name, start in progress(batches, f"mask tuning, {BATCH} frames each"):
        part = index[start : start + BATCH]
        for task, method, ranking in _rankings(models[name], chosen, settings, part):
            guards = {} if name in UNGUARDED else ranking.guards()
            parts[name, task, method].append(ranking.areas() | guards)
    return {key: joined_measures(of_key) for key, of_key in parts.items()}


def _rankings(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
) -> Iterator[tuple[str, str, Ranking]]:
    """Task, method, and how it ranks the pixels of frames, of every method for both heads."""
    batch = predict_batch(explained, index)
    for method in chosen:
        heads = [explained.head(explained.model, task) for task in HEADS]
        maps = attributed_maps(method, heads, batch)
        for task in HEADS:
            scores = pixel_scores(explained, method, maps[task], batch)
            yield (
                task,
                method.name,
                Ranking(explained, batch, task, scores, settings.levels_percent),
            )
