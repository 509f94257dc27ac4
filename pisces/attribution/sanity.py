"""Whether attributions depend on what the model has learnt.

A map that only shows its input passes neither test of Adebayo et al., "Sanity checks for saliency
maps" (NeurIPS 2018): a pattern that is the same in a control model was never learnt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from torch import nn

from pisces.attribution import patterns
from pisces.attribution.controls import ControlModel
from pisces.attribution.methods import RANDOM, Method
from pisces.attribution.patterns import Pattern
from pisces.attribution.scenes import ExplainedModel, Scene, attributed_scores, make_scene
from pisces.attribution.settings import AttributionSettings
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.stats import bootstrap_mean, rank_correlation
from pisces.core.tasks import HEADS
from pisces.pis.store import PerturbationPlan

THRESHOLD = 0.5
"""Of the mean absolute rank correlation: then one ranking explains a quarter of the variance of
the other, the square of it."""


@dataclass(frozen=True)
class Survival:
    """How much of a pattern is left in a control model."""

    correlation: float  # mean absolute rank correlation, 0..1
    ci_low: float  # its 95 % interval
    ci_high: float
    n: int  # frames, or masks, behind it

    @property
    def verdict(self) -> str:
        """`yes`: the whole interval is above `THRESHOLD`; `no`: below it; else `unknown`."""
        if self.ci_low > THRESHOLD:
            return "yes"
        return "no" if self.ci_high < THRESHOLD else "unknown"


def survives(correlations: np.ndarray, rng: np.random.Generator, resamples: int) -> Survival:
    """Whether the pattern of maps outlives the learning that it should come from.

    Args:
        correlations: (n,), of each frame, between the maps of a trained model and of a control
            model. Their signs do not matter: a pattern turned upside down is the same pattern. A
            NaN, from a map that ranks nothing, is left out.
        rng: what resamples the frames.
        resamples: of the bootstrap.

    Returns:
        NaN but for `n` where all are NaN.
    """
    mean = bootstrap_mean(np.abs(correlations), resamples, rng)
    return Survival(mean["mean"], mean["ci_low"], mean["ci_high"], int(mean["frames"]))


def check(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    checked: np.ndarray,
    controls: Iterator[ControlModel],
    own_pattern: Pattern,
    plan: PerturbationPlan,
) -> pd.DataFrame:
    """Compares the maps of the model with those of control models.

    Args:
        explained: the model.
        chosen: the methods; the random baseline is left out, as it depends on no model.
        settings: `resamples` behind the intervals, and how many controls there are.
        checked: frames (n, 3).
        controls: the control models, used one after the other.
        own_pattern: that of the model itself.
        plan: what the masks of the pattern take.

    Returns:
        One row a (task, method, check, share). `correlation` is the mean absolute rank correlation
        over the lit pixels of each frame, with its 95 % interval and the number `n` of frames in
        which both maps rank anything; `survives` is the verdict of `Survival`. `null` is the same
        correlation between the model's own maps of different frames: what is alike in all maps of
        a method. `fit` is the accuracy of a model trained on shuffled labels on these. The method
        `pis` compares patterns: its interval is from resampled masks, which its `n` counts.
    """
    scene = make_scene(explained, checked)
    compared = [method for method in chosen if method.name != RANDOM]
    own = _scores(explained, compared, explained.model, scene)
    null = {key: _between_frames(scores, scene) for key, scores in own.items()}

    rows = []
    for control in progress(controls, "attribute, sanity checks", settings.randomised_steps + 1):
        other = _scores(explained, compared, control.model, scene)
        for (task, method), scores in own.items():
            correlations = rank_correlation(scores, other[task, method], scene.lit)
            rng = _rng(explained, task, method, control)
            survival = survives(correlations, rng, settings.resamples)
            beside = {"null": null[task, method], "fit": control.fit.get(task, np.nan)}
            rows.append(_row(task, method, control, survival) | beside)

        if control.share == 1:
            masks = own_pattern.masks
            other_pattern = patterns.pattern(explained, control.model, plan, masks)
            for task in HEADS:
                rng = _rng(explained, task, "pis", control)
                resamples = settings.resamples
                survival = pattern_survives(own_pattern, other_pattern, task, rng, resamples)
                rows.append(_row(task, "pis", control, survival))
    return pd.DataFrame(rows)


def pattern_survives(
    own: Pattern, other: Pattern, task: str, rng: np.random.Generator, resamples: int
) -> Survival:
    """As `survives`, for the costs of masks; unknown for few masks, see `patterns.correlate`."""
    head = HEADS.index(task)
    found = patterns.correlate(own.drops[:, head], other.drops[:, head], resamples, rng)
    return Survival(*found, len(own.masks))


def _scores(
    explained: ExplainedModel, compared: list[Method], model: nn.Module, scene: Scene
) -> dict[tuple[str, str], np.ndarray]:
    """(task, method) -> scores (n, pixels) by a model of what the explained one predicts."""
    return {
        (task, method.name): attributed_scores(explained, method, model, scene, task)
        for task in HEADS
        for method in compared
    }


def _row(task: str, method: str, control: ControlModel, survival: Survival) -> dict[str, Any]:
    return {
        "task": task,
        "method": method,
        "check": control.check,
        "share": control.share,
        "correlation": survival.correlation,
        "ci_low": survival.ci_low,
        "ci_high": survival.ci_high,
        "n": survival.n,
        "survives": survival.verdict,
    }


def _rng(
    explained: ExplainedModel, task: str, method: str, control: ControlModel
) -> np.random.Generator:
    share = str(control.share)
    return generator(explained.seed, "survival", task, method, control.check, share)


def _between_frames(scores: np.ndarray, scene: Scene) -> float:
    """Mean absolute rank correlation of each frame's scores with those of the next frame."""
    found = np.abs(rank_correlation(scores, np.roll(scores, 1, axis=0), scene.lit))
    return np.nan if np.isnan(found).all() else float(np.nanmean(found))
