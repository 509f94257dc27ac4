"""What each mask costs a model, as a pattern over masks: the form in which PIS is checked.

The cost is the mean drop in the probability of the predicted class, which has no floor as a share
of changed predictions has.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pisces.attribution.scenes import ExplainedModel, Frames
from pisces.core.stats import rank_correlation
from pisces.core.tasks import HEADS
from pisces.pis.masks import Mask
from pisces.pis.store import PerturbationPlan

BATCH = 256  # frames
FEWEST_MASKS = 5  # of a pattern that can be compared


@dataclass(frozen=True)
class Pattern:
    """The drop that each mask costs a model, in probability, for each head."""

    masks: list[Mask]
    drops: np.ndarray  # (masks, heads)


def compared_masks(plan: PerturbationPlan, level_percent: float) -> list[Mask]:
    """The masks of a pattern: those of one level, the rings and the clusters, of each view.

    The masks of the level are exact where there are exact ones, else by percentile.
    """
    rule = "exact" if any(mask.rule == "exact" for mask in plan.masks) else "percentile"
    wanted = {(rule, level_percent), ("ring", None), ("cluster", None)}
    return [mask for mask in plan.masks if (mask.rule, mask.level_percent) in wanted]


def pattern(
    explained: ExplainedModel, model: nn.Module, plan: PerturbationPlan, masks: list[Mask]
) -> Pattern:
    """What masks cost a model.

    Args:
        explained: the explained model, whose frames are taken.
        model: the same one or a control model in its place; the predictions are its own.
        plan: which pixels each mask takes from each frame.
        masks: some of those.
    """
    drops = np.zeros((len(masks), len(HEADS)))
    for start, stop in plan.chunks(BATCH):
        frames = Frames.of(explained, plan.frame[start:stop])
        lists = plan.pixels(explained.data, start, stop, masks)
        whole = _probabilities(frames.predict_whole(model))
        predicted = [probability.argmax(1, keepdim=True) for probability in whole]
        before = _summed(whole, predicted)

        for i, mask in enumerate(masks):
            masked = _probabilities(frames.predict(model, *lists[mask]))
            drops[i] += before - _summed(masked, predicted)

    return Pattern(masks, drops / len(plan.frame))


def _probabilities(logits: tuple[torch.Tensor, torch.Tensor]) -> list[torch.Tensor]:
    return [one.float().softmax(1) for one in logits]


def _summed(probabilities: list[torch.Tensor], predicted: list[torch.Tensor]) -> np.ndarray:
    """Sum over frames of the probability of the predicted class, (heads,)."""
    pairs = zip(probabilities, predicted, strict=True)
    return np.array([float(one.gather(1, classes).sum()) for one, classes in pairs])


def correlate(
    own: np.ndarray, other: np.ndarray, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Absolute rank correlation of two patterns (masks,), and its 95 % interval.

    The interval is from resampled masks; NaN for fewer masks than `FEWEST_MASKS`.
    """
    mean = _correlation(own, other)
    if len(own) < FEWEST_MASKS:
        return mean, np.nan, np.nan

    draws = rng.integers(len(own), size=(resamples, len(own)))
    resampled = np.array([_correlation(own[drawn], other[drawn]) for drawn in draws])
    # A resample of equal masks alone ranks nothing.
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return mean, float(low), float(high)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    every = np.ones((1, len(one)), bool)
    return float(np.abs(rank_correlation(one[None], other[None], every)[0]))
