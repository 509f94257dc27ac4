"""Compares attribution methods with PIS's own ranking and a random baseline: the entry.

Every method attributes the prediction of a model, one head at a time, and so ranks the lit pixels
of all views of a frame. A ranking is measured as PIS is: its first pixels are masked, in the counts
or with the samples behind them, and the model predicts again.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.attribution import methods, sanity, tuned_models
from pisces.attribution.controls import control_models, random_subset
from pisces.attribution.examples import Examples, examples
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.mask_drops import masks_to_compare, measure_mask_drops
from pisces.attribution.method_measures import measure_methods
from pisces.attribution.methods import RANDOM, REFERENCES, Method
from pisces.attribution.settings import AttributionSettings
from pisces.attribution.tuned_models import TunedModels
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.pis.store import PerturbationPlan


class Explanation(NamedTuple):
    """Tables and examples that the stage `attribute` writes."""

    measures: pd.DataFrame  # see `MethodMeasures.measures_table`
    curves: pd.DataFrame  # see `MethodMeasures.curves_table`
    checks: pd.DataFrame  # see `sanity.check`
    tuned: dict[str, pd.DataFrame]  # see `tuned_models.tables`
    examples: dict[str, Examples]  # task -> what its picture shows

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Name of the file -> table."""
        return {
            "attribution": self.measures,
            "attribution_curves": self.curves,
            "attribution_checks": self.checks,
            **self.tuned,
        }

    def example_arrays(self, note: str) -> dict[str, np.ndarray]:
        """Name in the npz file -> array: the examples of all tasks, and a note for the caption."""
        arrays = {"note": np.array(note)}
        for task, shown in self.examples.items():
            arrays |= shown.arrays(task)
        return arrays


def choose(
    settings: AttributionSettings, spatial: bool, seed: int, is_summing: bool = False
) -> tuple[Method, ...]:
    """The methods that can explain a model, then the references (brightness and random).

    Args:
        settings: which methods, and how they are set up.
        spatial: whether layers of the model are maps of the image; Grad-CAM needs them.
        seed: `base.seed`, of methods that draw at random.
        is_summing: whether the model sums over pixels; leave-one-out and Shapley values need it.

    Returns:
        Methods in the order of `settings.methods`, without those that cannot, and the references.

    Raises:
        ValueError: when none of `settings.methods` can.
    """
    names = (*methods.applicable(settings.methods, spatial, is_summing), *REFERENCES)
    return tuple(methods.build(name, settings, seed) for name in names)


def left_out(settings: AttributionSettings, chosen: tuple[Method, ...]) -> list[str]:
    """Names of `settings.methods` that are not among those chosen."""
    names = [method.name for method in chosen]
    return [name for name in settings.methods if name not in names]


def explain(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    train: np.ndarray,
    plan: PerturbationPlan,
    level_percent: float,
    tuned: TunedModels,
) -> Explanation:
    """Measures every method, runs the sanity checks, and picks examples for the pictures.

    Args:
        explained: the model.
        chosen: the methods, as `choose` gives them.
        settings: how they are measured and checked.
        index: test frames (n, 3) whose predictions are attributed.
        train: training frames (n, 3), for a control model trained on shuffled labels.
        plan: which pixels the masks of PIS take.
        level_percent: of the lit pixels; masks of this level are in the sanity checks of PIS.
        tuned: models that were tuned on random masks, on which the curves are measured again.

    Returns:
        The tables and the examples, of both heads.
    """
    rng = generator(explained.seed, "checked frames")
    checked = random_subset(index, settings.checked_frames, rng)

    masks = masks_to_compare(plan, level_percent)
    drops = measure_mask_drops(explained, explained.model, plan, masks)
    measured = measure_methods(explained, chosen, settings, index, checked)
    controls = control_models(explained, settings, train)
    checks = sanity.check(explained, chosen, settings, checked, controls, drops, plan)

    return Explanation(
        measures=measured.measures_table(explained.seed, settings.resamples),
        curves=measured.curves_table(explained.seed, settings.resamples),
        checks=checks,
        tuned=tuned_models.tables(explained, tuned, chosen, settings, index, measured),
        examples={
            task: examples(explained, chosen, index, measured, drops, task) for task in HEADS
        },
    )


def headline(measures: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Task -> area below the deletion curve (0..1, low is good), for the metrics file.

    `deletion` is that of the best method, the references left out, and `random` that of the random
    baseline. The smaller the area, the earlier a ranking has the pixels that the prediction needs.
    """
    areas = measures[measures["measure"] == "deletion_area"]
    result = {}
    for task, rows in areas.groupby("task", sort=False):
        of_method = rows.set_index("method")["value"]
        best = of_method.drop(list(REFERENCES)).min()
        result[str(task)] = {"deletion": float(best), "random": float(of_method[RANDOM])}
    return result
