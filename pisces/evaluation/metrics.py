"""Accuracies, F1 and confidence intervals: NumPy arrays in, plain numbers out, for predictions from anywhere."""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

TASKS = ("modulation", "snr", "joint")

BANDS_DB = {"low": (-14, -6), "middle": (-4, 6), "high": (10, np.inf)}
"""Inclusive ranges of SNR labels."""


def accuracy(correct: np.ndarray, resamples: int, rng: np.random.Generator) -> dict[str, float]:
    """Share of right answers (n,) bool with its 95 % percentile-bootstrap interval over frames.

    Resampling n zeros and ones and taking their mean is a binomial draw, so the intervals are drawn from that.

    Raises:
        ValueError: without any frame.
    """
    if not len(correct):
        raise ValueError("accuracy of no frames")
    share = float(np.mean(correct))
    low, high = np.quantile(
        rng.binomial(len(correct), share, resamples) / len(correct), [0.025, 0.975]
    )
    return {"accuracy": share, "ci_low": float(low), "ci_high": float(high)}


def per_class(true: np.ndarray, predicted: np.ndarray, labels: tuple) -> pd.DataFrame:
    """Rows of (label, precision, recall, f1, frames), scores 0..1; a label never predicted has precision 0."""
    scores = precision_recall_fscore_support(true, predicted, labels=list(labels), zero_division=0)
    return pd.DataFrame(
        {"label": list(labels)}
        | dict(zip(("precision", "recall", "f1", "frames"), scores, strict=True))
    )


def per_class_table(
    predictions: dict[str, np.ndarray], modulations: tuple[str, ...], snrs_db: tuple[int, ...]
) -> pd.DataFrame:
    """`per_class` of both tasks, with the task in a first column."""
    modulation = per_class(
        predictions["modulation_true"], predictions["modulation_pred"], modulations
    )
    snr = per_class(predictions["snr_true_db"], predictions["snr_pred_db"], snrs_db)
    return pd.concat([modulation.assign(task="modulation"), snr.assign(task="snr")])[
        ["task", *modulation.columns]
    ]


def summary(
    predictions: dict[str, np.ndarray], resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """The headline numbers: accuracies with intervals, macro F1, mean absolute SNR error in dB, accuracies by band.

    `predictions` holds `modulation_true`, `modulation_pred`, `snr_true_db`, `snr_pred_db`, each (n,). A band without
    frames is left out.
    """
    right = correct(predictions)
    snr_true, snr_pred = predictions["snr_true_db"], predictions["snr_pred_db"]
    result: dict[str, Any] = {task: accuracy(right[task], resamples, rng) for task in right}
    result["modulation"]["macro_f1"] = _macro_f1(
        predictions["modulation_true"], predictions["modulation_pred"]
    )
    result["snr"]["macro_f1"] = _macro_f1(snr_true, snr_pred)
    result["snr"]["mae_db"] = float(np.mean(np.abs(snr_pred - snr_true)))
    result["band"] = {}
    for name, (low, high) in BANDS_DB.items():
        inside = (snr_true >= low) & (snr_true <= high)
        if inside.any():
            result["band"][name] = {
                task: float(right[task][inside].mean()) for task in ("joint", "modulation")
            }
    return result


def correct(predictions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Task -> (n,) bool. A frame is jointly right when both its answers are."""
    modulation = predictions["modulation_pred"] == predictions["modulation_true"]
    snr = predictions["snr_pred_db"] == predictions["snr_true_db"]
    return {"modulation": modulation, "snr": snr, "joint": modulation & snr}


def accuracy_by_snr(
    predictions: dict[str, np.ndarray], resamples: int, rng: np.random.Generator
) -> pd.DataFrame:
    """One row an SNR label: `snr_db`, `frames`, and for each task its accuracy `<task>`, `<task>_ci_low`, `<task>_ci_high`."""
    right = correct(predictions)
    rows = []
    for snr_db in np.unique(predictions["snr_true_db"]):
        at = predictions["snr_true_db"] == snr_db
        row = {"snr_db": int(snr_db), "frames": int(at.sum())}
        for task in TASKS:
            share = accuracy(right[task][at], resamples, rng)
            row |= {
                task: share["accuracy"],
                f"{task}_ci_low": share["ci_low"],
                f"{task}_ci_high": share["ci_high"],
            }
        rows.append(row)
    return pd.DataFrame(rows)


def snr_estimates(predictions: dict[str, np.ndarray]) -> pd.DataFrame:
    """One row an SNR label: `snr_db`, `frames`, and of the estimates `snr_estimate_db` their `mean_db`, `std_db`, `low_db` and `high_db`.

    The last two are the 16th and 84th percentiles.
    """
    rows = []
    for snr_db in np.unique(predictions["snr_true_db"]):
        estimates = predictions["snr_estimate_db"][predictions["snr_true_db"] == snr_db].astype(
            np.float64
        )
        low, high = np.percentile(estimates, [16, 84])
        spread = {
            "mean_db": estimates.mean(),
            "std_db": estimates.std(),
            "low_db": low,
            "high_db": high,
        }
        rows.append({"snr_db": int(snr_db), "frames": len(estimates)} | spread)
    return pd.DataFrame(rows)


def _macro_f1(true: np.ndarray, predicted: np.ndarray) -> float:
    return float(per_class(true, predicted, tuple(np.unique(true).tolist()))["f1"].mean())
