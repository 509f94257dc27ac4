"""Sanity checks of attributions: do they depend on what the model has learnt?

After Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018). The attributions of the
explained model are compared with those of a control model, which has not learnt the task.

- Different attributions are good: they come from what was learnt, and the method passes.
- Similar attributions are bad: the pattern "survives" in a model that never learnt it. It shows the
  input or the architecture, and says nothing of what was learnt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pisces.attribution import mask_drops
from pisces.attribution.controls import ControlModel
from pisces.attribution.explained_model import (
    ExplainedModel,
    PredictedBatch,
    attributed_scores,
    predict_batch,
)
from pisces.attribution.mask_drops import MaskDrops
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean, rank_correlation
from pisces.core.tasks import HEADS
from pisces.pis.store import PerturbationPlan

THRESHOLD = 0.5
"""Absolute rank correlation with a control model above which a check fails.

A correlation of 0.5 means that a quarter (0.5 squared) of the variance of one ranking is explained
by the other.
"""

MapScores = dict[tuple[str, str], np.ndarray]
"""(task, method) -> scores (n, pixels of all views) of the same n frames."""


@dataclass(frozen=True)
class Similarity:
    """How similar the attributions of the explained model and of a control model are.

    Low is good: see the head of this module.
    """

    correlation: float  # mean absolute rank correlation, 0..1
    ci_low: float  # its 95 % interval
    ci_high: float
    n: int  # frames, or masks, behind it

    @property
    def survives(self) -> str:
        """Whether the pattern survives in the control model, by the 95 % interval.

        - `no` is good: the whole interval is below `THRESHOLD`.
        - `yes` is bad: the whole interval is above it.
        - `unknown`: the interval holds the threshold, or there is none.
        """
        if self.ci_low > THRESHOLD:
            return "yes"
        if self.ci_high < THRESHOLD:
            return "no"
        return "unknown"


def check(
    explained: ExplainedModel,
    methods: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    controls: Iterator[ControlModel],
    drops: MaskDrops,
    plan: PerturbationPlan,
) -> pd.DataFrame:
    """Compares the attributions of the explained model with those of control models.

    Maps are compared with those of every control model. The drops by mask, in rows of the method
    `pis`, are compared with those of control models that have lost all they had learnt (share 1).

    Args:
        explained: the model.
        methods: to be checked; the random baseline is left out, as it depends on no model.
        settings: `resamples` behind the intervals, and how many controls there are.
        index: frames (n, 3).
        controls: the control models, used one after the other.
        drops: what each mask costs the explained model.
        plan: which pixels these masks take.

    Returns:
        One row a (task, method, check, share), with the columns

        - `correlation`, `ci_low`, `ci_high`, `n`, `survives`: as in `Similarity`, over frames;
          over masks for `pis`.
        - `null`: the correlation between the explained model's own maps of different frames, as
          a reference: what all maps of a method have in common. NaN for `pis`.
        - `fit`: accuracy 0..1 of the shuffled-label model on its own shuffled labels; NaN for
          `pis` and for other controls.
    """
    batch = predict_batch(explained, index)
    compared = [method for method in methods if method.name != RANDOM]
    own_scores = _scores(explained, compared, explained.model, batch)
    null = {key: _between_frames(scores, batch) for key, scores in own_scores.items()}

    rows = []
    for control in progress(controls, "attribute, sanity checks", settings.randomised_steps + 1):
        of_control = _scores(explained, compared, control.model, batch)
        for (task, method), scores in own_scores.items():
            correlations = rank_correlation(scores, of_control[task, method], batch.lit)
            rng = _rng(explained, task, method, control)
            similarity = similarity_of_maps(correlations, settings.resamples, rng)

            reference = {"null": null[task, method], "fit": control.fit.get(task, np.nan)}
            rows.append(_row(task, method, control, similarity) | reference)

        if control.share == 1:
            rows += _pis_rows(explained, control, drops, plan, settings.resamples)
    return pd.DataFrame(rows)


def similarity_of_maps(
    correlations: np.ndarray, resamples: int, rng: np.random.Generator
) -> Similarity:
    """Similarity of the maps of two models, from how they correlate in each frame.

    Args:
        correlations: rank correlation of both maps of each frame, -1..1, (n,). The sign does not
            matter: a pattern turned upside down is the same pattern. NaN, where a map ranks
            nothing, is left out.
        resamples: of the bootstrap over frames.
        rng: what resamples the frames.

    Returns:
        The mean of the absolute correlations, and in how many frames there is one. Where there is
        none, `correlation` and its interval are NaN.
    """
    mean = bootstrap_mean(np.abs(correlations), resamples, rng)
    return Similarity(
        correlation=mean["mean"],
        ci_low=mean["ci_low"],
        ci_high=mean["ci_high"],
        n=int(mean["frames"]),
    )


def similarity_of_drops(
    own: MaskDrops, control: MaskDrops, task: str, resamples: int, rng: np.random.Generator
) -> Similarity:
    """Similarity of what the same masks cost two models.

    Args:
        own: drops of the explained model.
        control: drops of the control model.
        task: the head, one of `core.tasks.HEADS`.
        resamples: of the bootstrap over masks.
        rng: what resamples the masks.

    Returns:
        The absolute rank correlation of both over masks. For fewer than `mask_drops.FEWEST_MASKS`
        its interval is NaN, so that `survives` is `unknown`.
    """
    head = HEADS.index(task)
    correlation, ci_low, ci_high = mask_drops.correlate(
        own.drops[:, head], control.drops[:, head], resamples, rng
    )
    return Similarity(correlation, ci_low, ci_high, n=len(own.masks))


def _scores(
    explained: ExplainedModel, compared: list[Method], model: nn.Module, batch: PredictedBatch
) -> MapScores:
    """Attribution scores of `model` for the classes that the explained model predicts."""
    of_method = {
        method.name: attributed_scores(explained, method, model, batch) for method in compared
    }
    return {(task, method): scores[task] for task in HEADS for method, scores in of_method.items()}


def _between_frames(scores: np.ndarray, batch: PredictedBatch) -> float:
    """Mean absolute rank correlation of each frame's scores with those of the previous frame."""
    of_previous_frame = np.roll(scores, 1, axis=0)
    correlations = np.abs(rank_correlation(scores, of_previous_frame, batch.lit))
    return np.nan if np.isnan(correlations).all() else float(np.nanmean(correlations))


def _pis_rows(
    explained: ExplainedModel,
    control: ControlModel,
    own: MaskDrops,
    plan: PerturbationPlan,
    resamples: int,
) -> list[dict[str, Any]]:
    """One row a task, on the drops by mask."""
    of_control = mask_drops.measure_mask_drops(explained, control.model, plan, own.masks)

    rows = []
    for task in HEADS:
        rng = _rng(explained, task, "pis", control)
        similarity = similarity_of_drops(own, of_control, task, resamples, rng)
        rows.append(_row(task, "pis", control, similarity))
    return rows


def _row(task: str, method: str, control: ControlModel, similarity: Similarity) -> dict[str, Any]:
    return {
        "task": task,
        "method": method,
        "check": control.check,
        "share": control.share,
        "correlation": similarity.correlation,
        "ci_low": similarity.ci_low,
        "ci_high": similarity.ci_high,
        "n": similarity.n,
        "survives": similarity.survives,
    }


def _rng(
    explained: ExplainedModel, task: str, method: str, control: ControlModel
) -> np.random.Generator:
    share = str(control.share)
    return generator(explained.seed, "survival", task, method, control.check, share)
