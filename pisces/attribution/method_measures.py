"""Measures every attribution method: faithfulness, agreement with PIS's ranking, and cost."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from pisces.attribution import faithfulness, methods
from pisces.attribution.explained_model import (
    ExplainedModel,
    PredictedBatch,
    attributed_maps,
    pixel_scores,
    predict_batch,
)
from pisces.attribution.faithfulness import CURVES
from pisces.attribution.head import Context, Head
from pisces.attribution.integrated_gradients import IntegratedGradients, completeness_error
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.rankings import Measures, Ranking, joined_measures
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean, rank_correlation
from pisces.core.tasks import HEADS

BATCH = 256  # frames
COMPLETENESS = "completeness_error"


@dataclass(frozen=True)
class MethodMeasures:
    """The measures of every method on the same n frames."""

    measures: dict[tuple[str, str], Measures]  # (task, method) -> its measures
    levels_percent: tuple[float, ...]  # of the curves, 0 first
    guards: dict[tuple[str, str], Measures]  # (task, method) -> see `rankings.guard_measures`

    def measures_table(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, measure), of the measures with one number a frame.

        `value` is the mean over `n` frames and `difference` that to the random baseline, each with
        its 95 % bootstrap interval from so many resamples. Of the completeness error there is also
        the worst frame's, `completeness_error_worst`; it has no difference and that no interval.
        """
        rows = []
        for task in HEADS:
            by_method = self._of_task(task)
            for measure in _names_of_numbers(by_method):
                values = {method: found[measure] for method, found in by_method.items()}
                rng = generator(seed, "attribute resamples", task, measure)
                summary = faithfulness.summarise(values, resamples, rng)
                for method, numbers in summary.items():
                    names = {"task": task, "method": method, "measure": measure}
                    rows.append(names | numbers)
            rows += _completeness_rows(by_method, task, resamples, seed)
        return pd.DataFrame(rows).rename(columns={"mean": "value", "frames": "n"})

    def curves_table(self, seed: int, resamples: int) -> pd.DataFrame:
        """One row a (task, method, curve, level_percent).

        `probability` is the mean of the predicted class's over frames, with its 95 % bootstrap
        interval.
        """
        rows = []
        for (task, method), found in self.measures.items():
            for curve in CURVES:
                rng = generator(seed, "curve resamples", task, method, curve)
                names: dict[str, Any] = {"task": task, "method": method, "curve": curve}
                at_levels = found[curve].T  # (n, levels + 1) -> (levels + 1, n)
                for level, probabilities in zip(self.levels_percent, at_levels, strict=True):
                    mean = bootstrap_mean(probabilities, resamples, rng)
                    point = {
                        "level_percent": level,
                        "probability": mean["mean"],
                        "ci_low": mean["ci_low"],
                        "ci_high": mean["ci_high"],
                    }
                    rows.append(names | point)
        return pd.DataFrame(rows)

    def _of_task(self, task: str) -> dict[str, Measures]:
        """Method -> its measures for one head."""
        return {
            method: found for (of_task, method), found in self.measures.items() if of_task == task
        }


def _names_of_numbers(by_method: dict[str, Measures]) -> list[str]:
    """Names of the measures that are no curves and that every method has."""
    of_random = by_method[RANDOM]
    return [name for name, values in of_random.items() if values.ndim == 1]


def _completeness_rows(
    by_method: dict[str, Measures], task: str, resamples: int, seed: int
) -> list[dict[str, Any]]:
    """Rows of `measures_table` for the mean and the largest completeness error of one head."""
    if COMPLETENESS not in by_method.get(IntegratedGradients.name, {}):
        return []
    errors = by_method[IntegratedGradients.name][COMPLETENESS]
    rng = generator(seed, "attribute resamples", task, COMPLETENESS)
    worst = {"frames": len(errors), "mean": float(errors.max())}

    names = {"task": task, "method": IntegratedGradients.name}
    return [
        names | {"measure": COMPLETENESS} | bootstrap_mean(errors, resamples, rng),
        names | {"measure": f"{COMPLETENESS}_worst"} | worst,
    ]


def measure_methods(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    checked: np.ndarray,
) -> MethodMeasures:
    """Measures methods by their maps for both heads.

    Args:
        explained: the model.
        chosen: the methods, the random baseline among them.
        settings: levels of the curves, and samples of infidelity and sensitivity.
        index: frames (n, 3).
        checked: a few of them, (k, 3), for the sensitivity alone, as it makes every map anew.

    Returns:
        Measures of n numbers or curves each, but k numbers of the sensitivity.
    """
    parts: dict[tuple[str, str], list[Measures]] = {
        (task, method.name): [] for task in HEADS for method in chosen
    }
    guards: dict[tuple[str, str], list[Measures]] = {key: [] for key in parts}
    for start in progress(range(0, len(index), BATCH), f"attribute, {BATCH} frames each"):
        batch = predict_batch(explained, index[start : start + BATCH])
        for method in chosen:
            heads = [explained.head(explained.model, task) for task in HEADS]
            maps = attributed_maps(method, heads, batch)
            for head in heads:
                of_head, key = maps[head.task], (head.task, method.name)
                scores = pixel_scores(explained, method, of_head, batch)
                ranking = Ranking(explained, batch, head.task, scores, settings.levels_percent)
                measures = _all_but_sensitivity(method, settings, ranking, head, of_head)
                parts[key].append(measures)
                guards[key].append(ranking.guards())
    joined = {key: joined_measures(of_key) for key, of_key in parts.items()}
    joined_guards = {key: joined_measures(of_key) for key, of_key in guards.items()}

    batch = predict_batch(explained, checked)
    pairs = [(task, method) for task in HEADS for method in chosen]
    for task, method in progress(pairs, "attribute, sensitivity"):
        sensitivity = _sensitivity(explained, method, settings, batch, task)
        joined[task, method.name]["sensitivity"] = sensitivity
    return MethodMeasures(joined, (0, *settings.levels_percent), joined_guards)


def _all_but_sensitivity(
    method: Method,
    settings: AttributionSettings,
    ranking: Ranking,
    head: Head,
    maps: torch.Tensor,
) -> Measures:
    """The measures that are made from one map of each frame, which `head` has just made."""
    explained, batch = ranking.explained, ranking.batch
    targets = batch.predicted[head.task]

    # Read before the infidelity, whose predictions the same head counts too.
    n = len(targets)
    cost = {
        "forward_passes": np.full(n, head.forward_frames / n),
        "backward_passes": np.full(n, head.backward_frames / n),
    }

    curves = ranking.curves_and_areas()
    infidelity = faithfulness.infidelity(
        head,
        batch.images,
        maps,
        targets,
        settings.infidelity_samples,
        explained.generators("infidelity", batch.identities),
        batch.context,
    )
    agreement = rank_correlation(ranking.scores, ranking.counts, batch.lit)
    measures = curves | {"infidelity": infidelity, "agreement": agreement} | cost
    if method.name == IntegratedGradients.name:
        error = completeness_error(head, maps, batch.images, targets, batch.context)
        measures[COMPLETENESS] = error.cpu().numpy()
    return measures


def _sensitivity(
    explained: ExplainedModel,
    method: Method,
    settings: AttributionSettings,
    batch: PredictedBatch,
    task: str,
) -> np.ndarray:
    """(n,), one a frame."""
    if method.name == RANDOM:
        # Its noise belongs to the frame, and not to what the frame looks like.
        return np.zeros(len(batch.images))

    head = explained.head(explained.model, task)

    def explain(images: torch.Tensor, targets: torch.Tensor, context: Context) -> torch.Tensor:
        return methods.attribute(method, head, images, targets, context)

    return faithfulness.sensitivity(
        explain,
        batch.images,
        batch.predicted[task],
        settings.sensitivity_radius,
        settings.sensitivity_samples,
        explained.generators("sensitivity", batch.identities),
        batch.context,
    )
