"""What predictions are worth, frame by frame, so that two models can be compared on each of them.

Of every measure here, the figure is the mean over the frames of `per_frame`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pisces.core import stats
from pisces.core.predictions import CLASSES
from pisces.core.seeding import generator
from pisces.core.snr_label import convention_in, true_snr_db
from pisces.evaluation import metrics

PER_FRAME = ("frame", "modulation_true", "modulation_pred", "snr_true_db", "snr_pred_db")
RESAMPLES = 2000
SEED = 1
"""Of the bootstrap: the same resamples of frames for all that is ever compared."""


class Measure(NamedTuple):
    """A figure of an experiment, and how it is shown."""

    name: str
    label: str
    unit: str
    factor: float
    """From the figure to its unit."""
    largest: float
    """That the figure can be."""
    is_share: bool
    """Whether it is a share of right frames, which has exact tests."""


MEASURES = (
    Measure("joint", "joint accuracy", "%", 100, largest=1, is_share=True),
    Measure("modulation", "modulation accuracy", "%", 100, largest=1, is_share=True),
    Measure("snr", "SNR accuracy", "%", 100, largest=1, is_share=True),
    Measure("macro_f1", "macro F1 of the modulation", "%", 100, largest=1, is_share=False),
    Measure("mae_db", "mean absolute error of the SNR", "dB", 1, largest=math.inf, is_share=False),
)
BY_NAME = {measure.name: measure for measure in MEASURES}


class Interval(NamedTuple):
    """A figure and its 95 % interval, in whichever unit."""

    value: float
    low: float
    high: float


def right(predictions: metrics.Predictions, task: str) -> np.ndarray:
    """Whether each frame is right, bool (n,)."""
    return metrics.correct(predictions)[task]


def per_frame(predictions: metrics.Predictions, measure: str) -> np.ndarray:
    """What each frame says of a measure, (n,), such that their mean is the figure.

    Of an accuracy that is right or wrong, and of the error its size. Macro F1 is no mean over
    frames: of it these are pseudo-values of the infinitesimal jackknife, the figure plus the
    influence of each frame, whose variance over n is that of the figure to first order (Efron, The
    Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6).
    """
    if BY_NAME[measure].is_share:
        return right(predictions, measure).astype(float)
    if measure == "mae_db":
        return _errors_db(predictions)

    true, predicted, both = _by_class(predictions)
    sizes = true.sum(1) + predicted.sum(1)  # (classes,)
    f1 = 2 * both.sum(1) / sizes
    influence = 2 * both - f1[:, None] * (true + predicted.astype(float))  # (classes, n)
    return f1.mean() + (influence / sizes[:, None]).mean(axis=0) * true.shape[1]


def bootstrap(every: Sequence[metrics.Predictions]) -> list[dict[str, np.ndarray]]:
    """Measures that are no shares under resamples of frames, the same for all predictions.

    Args:
        every: predictions of the same frames in the same order.

    Returns:
        Of each, measure -> (resamples,).
    """
    columns: dict[tuple[int, str], np.ndarray] = {}
    for number, predictions in enumerate(every):
        true, predicted, both = _by_class(predictions)
        columns[number, "sizes"] = true + predicted.astype(np.int8)
        columns[number, "both"] = both
        columns[number, "mae_db"] = _errors_db(predictions)[None]

    rng = generator(SEED, "comparison of experiments")
    means = stats.paired_bootstrap(columns, RESAMPLES, rng)
    found = []
    for number in range(len(every)):
        sizes, both_right = means[number, "sizes"], means[number, "both"]
        absent = np.full_like(sizes, np.nan)  # a class of which no frame was drawn
        f1 = np.divide(2 * both_right, sizes, out=absent, where=sizes > 0)  # (classes, resamples)
        mae_db = means[number, "mae_db"][0]
        found.append({"macro_f1": np.nanmean(f1, axis=0), "mae_db": mae_db})
    return found


def figures(
    predictions: metrics.Predictions, resampled: Mapping[str, np.ndarray]
) -> dict[str, Interval]:
    """Measure -> figure with its interval over frames: Wilson's of a share, or the bootstrap's.

    Args:
        predictions: of one experiment.
        resampled: what `bootstrap` gave for it.
    """
    found = {}
    for measure in MEASURES:
        values = per_frame(predictions, measure.name)
        if measure.is_share:
            low, high = stats.wilson(int(values.sum()), len(values))
        else:
            low, high = map(float, stats.percentile_interval(resampled[measure.name]))
        found[measure.name] = Interval(float(values.mean()), low, high)
    return found


def sorted_by_frame(predictions: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the measures need of predictions, rows in the order of the frame index."""
    order = np.lexsort(predictions["frame"].T[::-1])
    of_frames = {name: predictions[name][order] for name in PER_FRAME}
    shared = {name: predictions[name] for name in (*CLASSES, "snr_label") if name in predictions}
    return of_frames | shared


def _errors_db(predictions: metrics.Predictions) -> np.ndarray:
    """Of the predicted class, in dB of the true SNR, (n,)."""
    errors = np.abs(predictions["snr_pred_db"] - predictions["snr_true_db"])
    return true_snr_db(errors, convention_in(predictions)).astype(float)


def _by_class(predictions: metrics.Predictions) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whether each frame is of a class, predicted to be, and both: bool (classes, n) each.

    Classes are those that occur among the true labels.
    """
    classes = np.unique(predictions["modulation_true"])[:, None]
    true = predictions["modulation_true"] == classes
    predicted = predictions["modulation_pred"] == classes
    return true, predicted, true & predicted
