"""Attribution methods, PIS's own ranking and a random baseline on one scale: the entry.

Every method attributes the prediction of a model, one head at a time, and so ranks the lit pixels
of all views of a frame. A ranking is measured by what PIS is made of: pixels are masked, in the
counts or with the samples behind them, and the model predicts again.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.attribution import methods, sanity
from pisces.attribution.controls import control_models, some_of
from pisces.attribution.examples import Examples, examples
from pisces.attribution.judge import judge
from pisces.attribution.methods import RANDOM, REFERENCES, Method
from pisces.attribution.patterns import compared_masks, pattern
from pisces.attribution.scenes import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.pis.store import PerturbationPlan


class Explanation(NamedTuple):
    """What the stage `attribute` writes."""

    measures: pd.DataFrame
    curves: pd.DataFrame
    checks: pd.DataFrame
    examples: dict[str, Examples]  # of each task

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """By the names of their files."""
        return {
            "attribution": self.measures,
            "attribution_curves": self.curves,
            "attribution_checks": self.checks,
        }

    def example_arrays(self, note: str) -> dict[str, np.ndarray]:
        """The examples of all tasks and a note for their captions, by the names in the file."""
        arrays = {"note": np.array(note)}
        for task, shown in self.examples.items():
            arrays |= shown.arrays(task)
        return arrays


def choose(settings: AttributionSettings, spatial: bool, seed: int) -> tuple[Method, ...]:
    """The methods of `settings` that can explain a model, and the references, in this order.

    Args:
        settings: which methods, and how they are set up.
        spatial: whether layers of the model are maps of the image.
        seed: `base.seed`.

    Raises:
        ValueError: when no method can.
    """
    names = (*methods.applicable(settings.methods, spatial), *REFERENCES)
    return tuple(methods.build(name, settings, seed) for name in names)


def explain(
    explained: ExplainedModel,
    chosen: tuple[Method, ...],
    settings: AttributionSettings,
    index: np.ndarray,
    train: np.ndarray,
    plan: PerturbationPlan,
    level_percent: float,
) -> Explanation:
    """Judges every method, checks what does not hang on learning, and picks examples.

    Args:
        explained: the model.
        chosen: the methods, as `choose` gives them.
        settings: how they are measured and checked.
        index: test frames (n, 3) whose predictions are attributed.
        train: training frames (n, 3), for a control model trained on shuffled labels.
        plan: what the masks of PIS take.
        level_percent: of the masks in the pattern of PIS.
    """
    rng = generator(explained.seed, "checked frames")
    checked = some_of(index, settings.checked_frames, rng)

    masks = compared_masks(plan, level_percent)
    own_pattern = pattern(explained, explained.model, plan, masks)
    judged = judge(explained, chosen, settings, index, checked)
    controls = control_models(explained, settings, train)
    checks = sanity.check(explained, chosen, settings, checked, controls, own_pattern, plan)

    shown = {task: examples(explained, chosen, index, judged, own_pattern, task) for task in HEADS}
    measures = judged.measures(explained.seed, settings.resamples)
    curves = judged.curves(explained.seed, settings.resamples)
    return Explanation(measures, curves, checks, shown)


def headline(measures: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Task -> area below the deletion curve, for the metrics file.

    `deletion` is that of the best method, the references left out, and `random` that of the random
    baseline. The smaller, the earlier the pixels come on which the prediction depends.
    """
    areas = measures[measures["measure"] == "deletion_area"]
    result = {}
    for task, rows in areas.groupby("task", sort=False):
        of_method = rows.set_index("method")["value"]
        best = of_method.drop(list(REFERENCES)).min()
        result[str(task)] = {"deletion": float(best), "random": float(of_method[RANDOM])}
    return result
