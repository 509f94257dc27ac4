"""What the later stages found of an experiment's model: how far below the ceiling, and its PIS."""

import io
import math

import numpy as np
import pandas as pd

from pisces.experiments.measures import Interval
from pisces.experiments.predictions_of import Experiment

TASK = "modulation"
CEILING = "plots/ceiling.csv"


def points_below_ceiling(one: Experiment) -> Interval | None:
    """Percentage points of the modulation below the ceiling, mean over the SNRs.

    The interval is the normal one of independent frames behind the model and the ceiling, at each
    SNR. None where the stage limits has not run on these predictions.
    """
    headline = one.metrics("limits")
    table = one.files.written("limits", CEILING)
    if headline is None or table is None:
        return None

    rows = pd.read_csv(io.BytesIO(table))
    rows = rows[(rows["task"] == TASK) & rows["series"].isin(["ceiling", "model"])]
    variance = rows["accuracy"] * (1 - rows["accuracy"]) / rows["n"]
    of_mean = variance.sum() / rows["snr_db"].nunique() ** 2
    half = 100 * 1.96 * math.sqrt(of_mean)
    gap = headline[TASK]["gap_points"]
    return Interval(gap, gap - half, gap + half)


def pis_of_the_brightest(one: Experiment) -> float:
    """Joint PIS of the brightest pixels, the headline of the stage pis, which has no interval.

    NaN where that stage has not run on this model.
    """
    headline = one.metrics("pis")
    if headline is None:
        return np.nan
    return float(headline.get("joint", {}).get("top", np.nan))
