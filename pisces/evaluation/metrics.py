"""Accuracies, F1 and intervals of predictions from anywhere: NumPy arrays in, plain numbers out.

`predictions` holds `modulation_true`, `modulation_pred` (names), `snr_true_db` and `snr_pred_db`
(labels), each (n,), and what the labels mean as `snr_label`, as `inference.predict_frames` makes
them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pisces.core import stats
from pisces.core.snr_label import convention_in, true_snr_db
from pisces.core.tasks import TASKS

BANDS_DB = {"low": (-14, -6), "middle": (-4, 6), "high": (10, np.inf)}
"""Inclusive ranges of the true SNR; those outside all three, such as 8 dB, are in no band."""

Predictions = Mapping[str, np.ndarray]


def accuracy(right: np.ndarray) -> dict[str, float]:
    """Share of right predictions as `accuracy`, 0..1, with its 95 % Wilson interval.

    `right` is bool, of any shape. The keys of the interval are `ci_low` and `ci_high`.

    Raises:
        ValueError: without any frame.
    """
    if right.size == 0:
        raise ValueError("accuracy of no frames; give predictions of one or more")

    successes = int(np.count_nonzero(right))
    low, high = stats.wilson(successes, right.size)
    return {"accuracy": successes / right.size, "ci_low": low, "ci_high": high}


def correct(predictions: Predictions) -> dict[str, np.ndarray]:
    """Task -> whether each frame is right, bool (n,); joint: both classes right."""
    modulation = predictions["modulation_pred"] == predictions["modulation_true"]
    snr = predictions["snr_pred_db"] == predictions["snr_true_db"]
    return {"modulation": modulation, "snr": snr, "joint": modulation & snr}


def summary(predictions: Predictions) -> dict[str, Any]:
    """The headline numbers.

    Returns:
        Task -> `accuracy`. Both classes have `macro_f1`, and `snr` has `mae_db`, the mean absolute
        error of the predicted true SNR in dB. `band` -> joint accuracy in each of `BANDS_DB` that
        holds a frame.
    """
    right = correct(predictions)
    snr_true, snr_pred = predictions["snr_true_db"], predictions["snr_pred_db"]
    modulations = predictions["modulation_true"], predictions["modulation_pred"]

    result: dict[str, Any] = {task: accuracy(right[task]) for task in TASKS}
    result["modulation"]["macro_f1"] = _macro_f1(*modulations)
    result["snr"]["macro_f1"] = _macro_f1(snr_true, snr_pred)
    snr_label = convention_in(predictions)
    error_db = true_snr_db(np.abs(snr_pred - snr_true), snr_label)
    result["snr"]["mae_db"] = float(np.mean(error_db))

    result["band"] = {}
    true_db = true_snr_db(snr_true, snr_label)
    for band, (low, high) in BANDS_DB.items():
        inside = (true_db >= low) & (true_db <= high)
        if inside.any():
            result["band"][band] = float(right["joint"][inside].mean())
    return result


def accuracy_by_snr(predictions: Predictions) -> pd.DataFrame:
    """A row an SNR label: `snr_db`, `frames`, and of each task its accuracy and interval.

    Those columns are `<task>`, `<task>_ci_low` and `<task>_ci_high`.
    """
    right = correct(predictions)
    rows = []
    for snr_db in np.unique(predictions["snr_true_db"]):
        at = predictions["snr_true_db"] == snr_db
        row: dict[str, float] = {"snr_db": int(snr_db), "frames": int(at.sum())}
        for task in TASKS:
            found = accuracy(right[task][at])
            row[task] = found["accuracy"]
            row[f"{task}_ci_low"] = found["ci_low"]
            row[f"{task}_ci_high"] = found["ci_high"]
        rows.append(row)
    return pd.DataFrame(rows)


def per_class(true: np.ndarray, predicted: np.ndarray, labels: Sequence[Any]) -> pd.DataFrame:
    """Precision, recall and F1 of each class.

    Args:
        true: (n,) labels.
        predicted: (n,) labels.
        labels: the classes, in the order of the rows.

    Returns:
        Rows of `label, precision, recall, f1, frames`, scores 0..1. The precision of a label that
        is never predicted is 0.
    """
    # Imported here, since other stages use this module for its accuracies alone.
    from sklearn.metrics import precision_recall_fscore_support

    scores = precision_recall_fscore_support(true, predicted, labels=list(labels), zero_division=0)
    columns = dict(zip(("precision", "recall", "f1", "frames"), scores, strict=True))
    return pd.DataFrame({"label": list(labels)} | columns)


def per_class_table(
    predictions: Predictions, modulations: Sequence[str], snrs_db: Sequence[int]
) -> pd.DataFrame:
    """`per_class` of modulations, then of SNRs, with `task` in a first column.

    Args:
        predictions: see the module.
        modulations: names of the classes, in the order of the rows.
        snrs_db: labels of the classes, in the order of the rows.

    Returns:
        A row a modulation, then a row an SNR.
    """
    modulation = per_class(
        predictions["modulation_true"], predictions["modulation_pred"], modulations
    )
    snr = per_class(predictions["snr_true_db"], predictions["snr_pred_db"], snrs_db)
    both = pd.concat([modulation.assign(task="modulation"), snr.assign(task="snr")])
    return both[["task", *modulation.columns]]


def confusion_pairs(predictions: Predictions) -> dict[str, pd.DataFrame]:
    """Task -> a row a frame of `actual, predicted`, of modulations and of SNRs in dB."""
    pairs = {
        "modulation": ("modulation_true", "modulation_pred"),
        "snr": ("snr_true_db", "snr_pred_db"),
    }
    return {
        task: pd.DataFrame({"actual": predictions[true], "predicted": predictions[predicted]})
        for task, (true, predicted) in pairs.items()
    }


def snr_estimates(predictions: Predictions) -> pd.DataFrame:
    """A row an SNR label: how the estimates `snr_estimate_db` (n,) of its frames spread.

    Columns: `snr_db` (the label), `frames`, and of the estimates, which are true SNRs, `mean_db`,
    `std_db`, and `low_db` and `high_db`, the 16th and 84th percentiles.
    """
    true_db, estimates_db = predictions["snr_true_db"], predictions["snr_estimate_db"]
    rows = []
    for snr_db in np.unique(true_db):
        estimates = estimates_db[true_db == snr_db].astype(np.float64)
        low, high = np.percentile(estimates, [16, 84])
        row = {"snr_db": int(snr_db), "frames": len(estimates)}
        row |= {"mean_db": estimates.mean(), "std_db": estimates.std()}
        rows.append(row | {"low_db": low, "high_db": high})
    return pd.DataFrame(rows)


def tables(
    predictions: Predictions, modulations: Sequence[str], snrs_db: Sequence[int]
) -> dict[str, pd.DataFrame]:
    """Every table of predictions, by the name of its file.

    Args:
        predictions: see the module, with `snr_estimate_db`.
        modulations: names of the classes.
        snrs_db: labels of the classes.

    Returns:
        Name of the file, without `.csv` -> its table.
    """
    confused = confusion_pairs(predictions)
    return {
        "accuracy_by_snr": accuracy_by_snr(predictions),
        "per_class": per_class_table(predictions, modulations, snrs_db),
        "snr_estimate": snr_estimates(predictions),
        "confusion_modulation": confused["modulation"],
        "confusion_snr": confused["snr"],
    }


def _macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    """Mean F1 over the classes that occur among the true labels."""
    scores = per_class(true, predicted, np.unique(true).tolist())
    return float(scores["f1"].mean())
