"""A model beside references, the ceiling and chance, on the same frames."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.evaluation import bounds, metrics, references
from pisces.inputs import rendering
from pisces.inputs.settings import RenderSettings

COLUMNS = ("snr_db", "task", "series", "accuracy", "ci_low", "ci_high", "n")


def measure(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    *,
    render: RenderSettings,
    trials: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """How far a model, and references without parameters, fall short of what is possible.

    Args:
        root: IQ shards that hold the frames.
        predictions: of a model, as `inference.predict_frames` makes them.
        render: samples a symbol, and the receiver of the references' symbols.
        trials: frames of each modulation and SNR behind the ceiling of modulation.
        seed: of the simulated frames.

    Returns:
        Tables by the name of their file: `ceiling` (see `accuracy_table`), `ceiling_summary`,
        `snr_errors`, and `snr_bounds` (see `bounds.snr_bounds`).

    Raises:
        ValueError: when the frames are too short for the references, see `references.estimate`.
    """
    modulations = tuple(predictions["modulations"].tolist())
    snrs_db = predictions["snrs_db"].tolist()
    samples = shards.array(Cell(modulations[0], snrs_db[0]).path(root), "iq").shape[1]

    sps = render.sps
    receiver = rendering.with_response(root, replace(render, views=("symbol",)))
    by_cumulants, references_db = references.predict_frames(root, predictions, receiver)
    true = {"modulation": predictions["modulation_true"], "snr": predictions["snr_true_db"]}
    predicted = _by_series(predictions, by_cumulants, references_db)

    ceilings = {
        "modulation": bounds.modulation_ceiling(
            modulations, snrs_db, samples=samples, sps=sps, trials=trials, seed=seed
        ),
        "snr": bounds.snr_ceiling(snrs_db, samples, generator(seed, "SNR ceiling")),
    }
    classes = {"modulation": len(modulations), "snr": len(snrs_db)}
    table = accuracy_table(true, predicted, ceilings, classes)

    estimates_db = {"model": predictions["snr_estimate_db"]} | references_db
    floor = bounds.snr_bounds(modulations, snrs_db, samples=samples, sps=sps)
    return {
        "ceiling": table,
        "ceiling_summary": ceiling_summary(table),
        "snr_errors": snr_errors(true["snr"], predicted["snr"], estimates_db, floor),
        "snr_bounds": floor,
    }


def accuracy_table(
    true: Mapping[str, np.ndarray],
    predicted: Mapping[str, Mapping[str, np.ndarray]],
    ceilings: Mapping[str, pd.DataFrame],
    classes: Mapping[str, int],
) -> pd.DataFrame:
    """Accuracy of every series at every SNR.

    Args:
        true: task -> (n,), of `snr` the labels in dB.
        predicted: task -> series -> (n,).
        ceilings: task -> rows as of `bounds.modulation_ceiling`.
        classes: task -> how many there are.

    Returns:
        Rows of `COLUMNS`, with 95 % Wilson intervals; chance is exact, with n = 0.
    """
    parts = []
    for task, ceiling in ceilings.items():
        chance = dict.fromkeys(("accuracy", "ci_low", "ci_high"), 1 / classes[task]) | {"n": 0}
        series = {"ceiling": ceiling}
        for name, labels in predicted[task].items():
            series[name] = _by_snr(labels == true[task], true["snr"])
        series["chance"] = ceiling[["snr_db"]].assign(**chance)
        parts += [rows.assign(task=task, series=name) for name, rows in series.items()]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def ceiling_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `accuracy_table` over the SNRs of each band.

    Returns:
        Rows of `task, series, band, accuracy, gap_points`. The gap is how far the series lies below
        the ceiling, in percentage points. Band `all` holds every SNR; one without any is left out.
    """
    bands = {"all": (-np.inf, np.inf)} | metrics.BANDS_DB
    rows = []
    for task, of_task in table.groupby("task", sort=False):
        accuracy = of_task.pivot(index="snr_db", columns="series", values="accuracy")
        for series in of_task["series"].unique():
            gap = 100 * (accuracy["ceiling"] - accuracy[series])
            for band, (low, high) in bands.items():
                inside = (accuracy.index >= low) & (accuracy.index <= high)
                if inside.any():
                    means = accuracy[series][inside].mean(), gap[inside].mean()
                    rows.append((task, series, band, *means))
    return pd.DataFrame(rows, columns=["task", "series", "band", "accuracy", "gap_points"])


def headline(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Task -> `gap_points`, how far the model lies below the ceiling, mean over the SNRs."""
    rows = tables["ceiling_summary"]
    model = rows[(rows["series"] == "model") & (rows["band"] == "all")]
    gaps = model.set_index("task")["gap_points"]
    return {str(task): {"gap_points": float(gap)} for task, gap in gaps.items()}


def snr_errors(
    true_db: np.ndarray,
    labels_db: Mapping[str, np.ndarray],
    estimates_db: Mapping[str, np.ndarray],
    floor: pd.DataFrame,
) -> pd.DataFrame:
    """Root mean square errors of SNRs in dB.

    Args:
        true_db: (n,), the labels.
        labels_db: series -> (n,), predicted labels.
        estimates_db: series -> (n,), estimates that are numbers rather than labels.
        floor: rows as of `bounds.snr_bounds`.

    Returns:
        Rows of `series, of, rmse_db`, with `label` or `estimate` as `of`. The estimate of `bound`
        is the least that an unbiased one can have when the noise-free frame is known.
    """
    predicted = {"label": labels_db, "estimate": estimates_db}
    rows = [
        (series, of, _rms(values - true_db))
        for of, by_series in predicted.items()
        for series, values in by_series.items()
    ]
    rows.append(("bound", "estimate", _rms(floor["known"])))
    return pd.DataFrame(rows, columns=["series", "of", "rmse_db"])


def _by_series(
    predictions: Mapping[str, np.ndarray],
    by_cumulants: np.ndarray,
    references_db: Mapping[str, np.ndarray],
) -> dict[str, dict[str, np.ndarray]]:
    """Task -> series -> predicted labels (n,), of the model and of the references."""
    snr = {"model": predictions["snr_pred_db"]}
    for name, estimates_db in references_db.items():
        snr[name] = _nearest(estimates_db, predictions["snrs_db"])

    modulation = {"model": predictions["modulation_pred"], "cumulants": by_cumulants}
    return {"modulation": modulation, "snr": snr}


def _by_snr(right: np.ndarray, snr_db: np.ndarray) -> pd.DataFrame:
    rows = []
    for label, at in pd.Series(right).groupby(snr_db):
        rows.append({"snr_db": label} | metrics.accuracy(at.to_numpy()) | {"n": len(at)})
    return pd.DataFrame(rows)


def _nearest(estimates_db: np.ndarray, labels_db: np.ndarray) -> np.ndarray:
    """The label nearest to each estimate (n,)."""
    distance = np.abs(estimates_db[:, None] - labels_db)
    return labels_db[distance.argmin(1)]


def _rms(values: np.ndarray | pd.Series) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
