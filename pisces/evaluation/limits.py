"""A model beside references, the ceilings and chance, on the same frames.

Series of modulation: `matched-filter bound` (all known, symbols that do not interfere), `ceiling`
(all known, after the equaliser; the same where the pulse is Nyquist), `blind` (the likelihood with
no more known than a receiver finds), the model, `cumulants` and chance.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.modulations import Ask
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.evaluation import blind, bounds, metrics, references
from pisces.evaluation.equalized import equalized_snr
from pisces.inputs import rendering
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import RenderSettings

PULSE_FRAMES = 8
"""Of each modulation, behind the SNR after the equaliser where pulses differ."""
BANDS_DB = {"all": (-np.inf, np.inf)} | metrics.BANDS_DB
"""Inclusive ranges of SNR labels that are summed up."""
COLUMNS = ("snr_db", "task", "series", "accuracy", "ci_low", "ci_high", "n")


class Reception(NamedTuple):
    """How symbols are received, and how clear they are."""

    receiver: RenderSettings
    es_n0: dict[int, float]
    """SNR label -> linear Es/N0, which only the matched-filter bound has."""
    after_equalizer: dict[int, float]
    """SNR label -> linear SNR of a symbol after the equaliser."""


class _Frames(NamedTuple):
    """What the ceilings need to know of frames."""

    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    """Labels."""
    samples: int
    sps: int
    snr_label: SnrLabel
    ask: Ask


class _Series(NamedTuple):
    """What the frames are, and what a model and the references take them for."""

    true: dict[str, np.ndarray]
    """Task -> (n,), of `snr` the labels in dB."""
    predicted: dict[str, dict[str, np.ndarray]]
    """Task -> series -> (n,)."""
    estimates: dict[str, np.ndarray]
    """Series -> SNR (n,), on the scale of the labels but numbers rather than labels."""
    measured: dict[str, np.ndarray]
    """Series -> which frames it is measured on, bool (n,), where not on all."""

    def is_right(self, task: str) -> dict[str, np.ndarray]:
        """Series -> whether it is right about each frame, bool (n,)."""
        return {name: found == self.true[task] for name, found in self.predicted[task].items()}


def measure(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    *,
    render: RenderSettings,
    trials: int,
    blind_frames: int | None,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """How far a model, and references without parameters, fall short of what is possible.

    Args:
        root: IQ shards that hold the frames.
        predictions: of a model, as `inference.predict_frames` makes them.
        render: samples a symbol, and the receiver of the references' symbols.
        trials: frames of each modulation and SNR behind the ceilings of modulation.
        blind_frames: test frames of each that the blind reference is measured on; None for all.
        seed: of the simulated frames.

    Returns:
        Tables by the name of their file: `ceiling` (see `accuracy_table`), `ceiling_summary`,
        `snr_errors`, and `snr_bounds` (see `bounds.snr_bounds`).

    Raises:
        ValueError: when the frames are too short for the references, see `references.estimate`.
    """
    frames = _frames_of(root, predictions, render.sps)
    reception = reception_of(root, frames.modulations, frames.snrs_db, render)
    series = _series_of(root, predictions, reception, blind_frames)

    ceilings = _ceilings(frames, reception, trials, seed)
    classes = {"modulation": len(frames.modulations), "snr": len(frames.snrs_db)}
    table = accuracy_table(series.true, series.predicted, ceilings, classes, series.measured)

    right, at = series.is_right("modulation"), series.measured["blind"]
    below = points_below_blind(right, at, series.true["snr"])
    summary = ceiling_summary(table).merge(below, how="left", on=["task", "series", "band"])

    floor = bounds.snr_bounds(**frames._asdict())
    labels = series.predicted["snr"]
    errors = snr_errors(series.true["snr"], labels, series.estimates, floor, frames.snr_label)
    return {
        "ceiling": table,
        "ceiling_summary": summary,
        "snr_errors": errors,
        "snr_bounds": floor,
    }


def reception_of(
    root: Path, modulations: Sequence[str], snrs_db: Sequence[int], render: RenderSettings
) -> Reception:
    """How a receiver without parameters gets at the symbols of a file.

    Args:
        root: IQ shards of the file.
        modulations: of the shards.
        snrs_db: SNR labels of the shards.
        render: samples a symbol, and the receiver of the view `symbol`.

    Returns:
        The receiver with the pulse of the file, and the SNRs of its symbols.
    """
    receiver = rendering.with_response(root, replace(render, views=("symbol",)))
    es_n0 = bounds.es_n0(snrs_db, render.sps, shards.snr_label(root))
    return Reception(receiver, es_n0, snrs_after_equalizer(root, modulations, receiver, es_n0))


def snrs_after_equalizer(
    root: Path, modulations: Sequence[str], render: RenderSettings, es_n0: Mapping[int, float]
) -> dict[int, float]:
    """SNR of a symbol after the equaliser for the pulse of the receiver.

    A pulse that is chosen frame by frame is that of the first frames at the highest SNR.

    Args:
        root: IQ shards.
        modulations: of the shards; those without points are left out.
        render: the receiver of the symbols.
        es_n0: SNR label of the shards -> linear Es/N0.

    Returns:
        SNR label -> linear SNR.
    """
    linear = references.recognisable(tuple(modulations))
    if not linear:
        return dict(es_n0)
    highest = max(es_n0)
    first = [shards.array(Cell(m, highest).path(root), "iq")[:PULSE_FRAMES] for m in linear]

    iq = to_complex(np.concatenate(first)).astype(np.complex64)
    whole = iq[:, : iq.shape[1] // render.sps * render.sps]
    responses = responses_of(torch.from_numpy(whole), render)
    return {
        label: float(equalized_snr(responses, torch.tensor([snr], dtype=torch.float64)).mean())
        for label, snr in es_n0.items()
    }


def accuracy_table(
    true: Mapping[str, np.ndarray],
    predicted: Mapping[str, Mapping[str, np.ndarray]],
    ceilings: Mapping[str, Mapping[str, pd.DataFrame]],
    classes: Mapping[str, int],
    measured: Mapping[str, np.ndarray] | None = None,
) -> pd.DataFrame:
    """Accuracy of every series at every SNR.

    Args:
        true: task -> (n,), of `snr` the labels in dB.
        predicted: task -> series -> (n,).
        ceilings: task -> series -> rows as of `bounds.modulation_ceiling`; the first is the
            `ceiling`.
        classes: task -> how many there are.
        measured: series -> which frames it is measured on, bool (n,), where not on all.

    Returns:
        Rows of `COLUMNS`, with 95 % Wilson intervals; chance is exact, with n = 0.
    """
    parts = []
    everywhere = np.full(len(true["snr"]), True)
    for task, of_task in ceilings.items():
        chance = dict.fromkeys(("accuracy", "ci_low", "ci_high"), 1 / classes[task]) | {"n": 0}
        series = dict(of_task)
        for name, labels in predicted[task].items():
            at = (measured or {}).get(name, everywhere)
            series[name] = _by_snr((labels == true[task])[at], true["snr"][at])
        series["chance"] = of_task["ceiling"][["snr_db"]].assign(**chance)
        parts += [rows.assign(task=task, series=name) for name, rows in series.items()]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def ceiling_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `accuracy_table` over the SNRs of each band.

    Returns:
        Rows of `task, series, band, accuracy, gap_points`. The gap is how far the series lies below
        the ceiling, in percentage points. Band `all` holds every SNR; one without any is left out.
    """
    rows = []
    for task, of_task in table.groupby("task", sort=False):
        accuracy = of_task.pivot(index="snr_db", columns="series", values="accuracy")
        for series in of_task["series"].unique():
            gap = 100 * (accuracy["ceiling"] - accuracy[series])
            for band, (low, high) in BANDS_DB.items():
                inside = (accuracy.index >= low) & (accuracy.index <= high)
                if inside.any():
                    means = accuracy[series][inside].mean(), gap[inside].mean()
                    rows.append((task, series, band, *means))
    return pd.DataFrame(rows, columns=["task", "series", "band", "accuracy", "gap_points"])


def points_below_blind(
    right: Mapping[str, np.ndarray], measured: np.ndarray, snr_db: np.ndarray
) -> pd.DataFrame:
    """How far series of modulation lie below the blind reference, on the very same frames.

    Args:
        right: series, `blind` among them -> whether each frame is right, bool (n,).
        measured: frames of the blind reference, bool (n,).
        snr_db: labels (n,).

    Returns:
        Rows of `task, series, band, blind_gap, blind_gap_low, blind_gap_high`, in percentage
        points: means over the SNRs of each band with their 95 % normal interval. Negative where a
        series is right more often.
    """
    rows = []
    for series in right.keys() - {"blind"}:
        lead = pd.Series(100.0 * right["blind"] - 100.0 * right[series])[measured]
        by_snr = lead.groupby(snr_db[measured]).agg(["mean", "var", "count"])
        for band, (low, high) in BANDS_DB.items():
            inside = by_snr[(by_snr.index >= low) & (by_snr.index <= high)]
            if len(inside):
                gap = inside["mean"].mean()
                half = 1.96 * np.sqrt((inside["var"] / inside["count"]).sum()) / len(inside)
                rows.append(("modulation", series, band, gap, gap - half, gap + half))
    columns = ["task", "series", "band", "blind_gap", "blind_gap_low", "blind_gap_high"]
    return pd.DataFrame(rows, columns=columns)


def headline(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """How far the model lies below what is possible, in points, mean over the SNRs.

    Returns:
        Task -> `gap_points` to the ceiling, and of modulation `blind_gap` to the blind reference.
    """
    rows = tables["ceiling_summary"]
    model = rows[(rows["series"] == "model") & (rows["band"] == "all")].set_index("task")
    found = {str(task): {"gap_points": float(gap)} for task, gap in model["gap_points"].items()}
    found["modulation"]["blind_gap"] = float(model["blind_gap"]["modulation"])
    return found


def snr_errors(
    true: np.ndarray,
    labels: Mapping[str, np.ndarray],
    estimates: Mapping[str, np.ndarray],
    floor: pd.DataFrame,
    snr_label: SnrLabel = "power",
) -> pd.DataFrame:
    """Root mean square errors of SNRs in dB.

    Args:
        true: (n,), the labels.
        labels: series -> (n,), predicted labels.
        estimates: series -> (n,), on the scale of the labels but numbers rather than labels.
        floor: rows as of `bounds.snr_bounds`.
        snr_label: what the labels mean; errors are of the SNR that they stand for.

    Returns:
        Rows of `series, of, rmse_db`, with `label` or `estimate` as `of`. The estimate of `bound`
        is the least that an unbiased one can have when the noise-free frame is known.
    """
    predicted = {"label": labels, "estimate": estimates}
    rows = [
        (series, of, _rms(true_snr_db(values - true, snr_label)))
        for of, by_series in predicted.items()
        for series, values in by_series.items()
    ]
    rows.append(("bound", "estimate", _rms(floor["known"])))
    return pd.DataFrame(rows, columns=["series", "of", "rmse_db"])


def _frames_of(root: Path, predictions: Mapping[str, np.ndarray], sps: int) -> _Frames:
    """The frames that predictions are of, by the shards below `root`."""
    modulations = tuple(predictions["modulations"].tolist())
    snrs_db = tuple(predictions["snrs_db"].tolist())
    first = shards.array(Cell(modulations[0], snrs_db[0]).path(root), "iq")
    samples = first.shape[1]
    return _Frames(modulations, snrs_db, samples, sps, shards.snr_label(root), shards.ask(root))


def _series_of(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    reception: Reception,
    blind_frames: int | None,
) -> _Series:
    """The model beside the references, which predict the same frames.

    Args:
        root: IQ shards that hold the frames.
        predictions: of the model.
        reception: how the references receive symbols.
        blind_frames: as of `measure`.

    Returns:
        What each takes the frames for.
    """
    by_cumulants, estimates = references.predict_frames(root, predictions, reception.receiver)
    by_likelihood = blind.predict_frames(
        root, predictions, reception.receiver, reception.after_equalizer, blind_frames
    )

    labels = {"model": predictions["snr_pred_db"]}
    for name, estimate in estimates.items():
        labels[name] = _nearest(estimate, predictions["snrs_db"])
    of_modulation = {
        "blind": by_likelihood,
        "model": predictions["modulation_pred"],
        "cumulants": by_cumulants,
    }
    return _Series(
        true={"modulation": predictions["modulation_true"], "snr": predictions["snr_true_db"]},
        predicted={"modulation": of_modulation, "snr": labels},
        estimates={"model": predictions["snr_estimate_db"]} | estimates,
        measured={"blind": by_likelihood != blind.NOT_MEASURED},
    )


def _ceilings(
    frames: _Frames, reception: Reception, trials: int, seed: int
) -> dict[str, dict[str, pd.DataFrame]]:
    """Task -> series -> rows: the ceilings of `accuracy_table`."""
    of_modulation = partial(
        bounds.modulation_ceiling,
        frames.modulations,
        symbols=math.ceil(frames.samples / frames.sps),
        trials=trials,
        seed=seed,
        ask=frames.ask,
    )
    rng = generator(seed, "SNR ceiling")
    of_snr = bounds.snr_ceiling(frames.snrs_db, frames.samples, rng, frames.snr_label)
    return {
        "modulation": {
            "ceiling": of_modulation(reception.after_equalizer),
            "matched-filter bound": of_modulation(reception.es_n0),
        },
        "snr": {"ceiling": of_snr},
    }


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
