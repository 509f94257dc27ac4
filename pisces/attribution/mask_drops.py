"""How far each mask of PIS lowers the probability of a model's prediction, for the sanity checks.

PIS counts changed predictions, of which a control model that predicts one class for every frame
has none. The drop in probability can be compared for any model.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.core.stats import rank_correlation
from pisces.core.tasks import HEADS
from pisces.pis.masks import Mask
from pisces.pis.store import PerturbationPlan

BATCH = 256  # frames
FEWEST_MASKS = 5  # that a correlation over masks needs for its interval


@dataclass(frozen=True)
class MaskDrops:
    """Mean drop over frames of the probability of the predicted class, by mask and head."""

    masks: list[Mask]
    drops: np.ndarray  # probability without the mask less that with it, -1..1, (masks, heads)


def masks_to_compare(plan: PerturbationPlan, level_percent: float) -> list[Mask]:
    """The masks of a plan whose drops are compared: one level, the rings and the clusters.

    They are of every view. The masks of the level are exact where there are exact ones, else by
    percentile.
    """
    rule = "exact" if any(mask.rule == "exact" for mask in plan.masks) else "percentile"
    wanted = {(rule, level_percent), ("ring", None), ("cluster", None)}
    return [mask for mask in plan.masks if (mask.rule, mask.level_percent) in wanted]


def measure_mask_drops(
    explained: ExplainedModel, model: nn.Module, plan: PerturbationPlan, masks: list[Mask]
) -> MaskDrops:
    """Predicts all frames of a plan whole and with each mask.

    Args:
        explained: the explained model, whose frames are taken.
        model: the same one or a control model in its place. The class whose probability drops is
            the one that this model predicts for the whole frame.
        plan: which pixels each mask takes from each frame.
        masks: masks of the plan.

    Returns:
        Drops (masks, heads), in the order of `masks` and of `core.tasks.HEADS`.
    """
    drops = np.zeros((len(masks), len(HEADS)))
    for start, stop in plan.chunks(BATCH):
        frames = Frames.of(explained, plan.frame[start:stop])
        lists = plan.pixels(explained.data, start, stop, masks)

        whole = _probabilities(frames.predict_whole(model))
        predicted = [of_head.argmax(1, keepdim=True) for of_head in whole]
        before = _sum_of_predicted(whole, predicted)

        for i, mask in enumerate(masks):
            pixels, offsets = lists[mask]
            masked = _probabilities(frames.predict(model, pixels, offsets))
            drops[i] += before - _sum_of_predicted(masked, predicted)

    return MaskDrops(masks, drops / len(plan.frame))


def _probabilities(logits: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
    """(n, classes) of each head."""
    return [of_head.float().softmax(1) for of_head in logits]


def _sum_of_predicted(
    probabilities: list[torch.Tensor], predicted: list[torch.Tensor]
) -> np.ndarray:
    """Sum over frames of the probability of the predicted class, (heads,)."""
    sums = []
    for of_head, classes in zip(probabilities, predicted, strict=True):
        of_predicted = of_head.gather(1, classes)  # (n, classes) -> (n, 1)
        sums.append(float(of_predicted.sum()))
    return np.array(sums)


def correlate(
    own: np.ndarray, control: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Absolute rank correlation over masks of the drops of two models, and its 95 % interval.

    Args:
        own: drops of the explained model for one head, (masks,).
        control: drops of the control model for the same masks, (masks,).
        resamples: of the bootstrap over masks.
        rng: what resamples the masks.

    Returns:
        The correlation and the ends of its interval, 0..1. The ends are NaN for fewer masks than
        `FEWEST_MASKS`. The correlation is NaN where one of the models has equal drops everywhere.
    """
    correlation = _correlation(own, control)
    if len(own) < FEWEST_MASKS:
        return correlation, np.nan, np.nan

    draws = rng.integers(len(own), size=(resamples, len(own)))
    resampled = np.array([_correlation(own[drawn], control[drawn]) for drawn in draws])
    # A resample of equal masks alone ranks nothing, and is NaN.
    ci_low, ci_high = np.nanquantile(resampled, [0.025, 0.975])
    return correlation, float(ci_low), float(ci_high)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    all_masks = np.ones((1, len(one)), bool)
    (correlation,) = rank_correlation(one[None], other[None], all_masks)
    return abs(float(correlation))
