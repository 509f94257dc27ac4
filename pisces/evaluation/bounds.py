"""How well any classifier could do, and how far a model and references without parameters fall short of it.

Frames are taken as `synthesis` makes them: linear modulation, root-raised-cosine pulses, white noise, labels that are the SNR over the
whole band. A matched filter then leaves one number a symbol, at Es/N0 = SNR + 10 log10(sps), and no more is in the frame.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.modulations import LINEAR, constellation
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.evaluation import metrics
from pisces.evaluation import references as classical

DB_PER_NATURAL = 10 / np.log(10)
"""Decibels a natural unit of power, 4.34: what a small relative error of a power is in dB."""
SYMBOLS_AT_ONCE = 2**11
SNR_TRIALS = 10_000
"""Of each SNR: they are cheap."""
NODES = 20
"""Of Gauss-Hermite quadrature along each axis: the bound is within 3 % for up to 64 points, and within 5 % for 256."""


def log_likelihoods(
    received: np.ndarray, constellations: Sequence[np.ndarray], snr: float
) -> np.ndarray:
    """Of frames (n, symbols) of unit signal power at linear SNR `snr` a symbol, under each constellation: float64 (n, constellations).

    Symbols are independent and equally likely, all else is known: sum over n of log mean over k of exp(-snr |r_n - c_k|^2), without
    what all constellations share. The largest wins the average likelihood ratio test (Wei and Mendel, IEEE Trans. Commun. 48 (2000)
    189), which no classifier beats.
    """
    parts = torch.from_numpy(
        np.stack([received.real.ravel(), received.imag.ravel()], 1)
    )  # (n * symbols, 2)
    scores = []
    for points in constellations:
        towards = torch.from_numpy(2 * snr * np.stack([points.real, points.imag]))
        # |r|^2 is common to all; the rest of the exponent is linear in r.
        exponents = torch.addmm(
            torch.from_numpy(-snr * np.abs(points) ** 2), parts, towards
        )  # (n * symbols, points)
        scores.append(
            torch.logsumexp(exponents, 1).view(received.shape).sum(1)
            - received.shape[1] * np.log(len(points))
        )
    return torch.stack(scores, 1).numpy()


def recognised(
    modulations: tuple[str, ...], snr_db: int, *, symbols: int, sps: int, trials: int, seed: int
) -> np.ndarray:
    """Whether the likelihood ratio test names the modulation of `trials` frames of each: bool (modulations, trials).

    All `modulations` need a constellation. Frames come in blocks with a generator each: more trials leave the former ones as they are.
    """
    snr = sps * 10 ** (snr_db / 10)
    constellations = [constellation(m) for m in modulations]
    block = max(1, SYMBOLS_AT_ONCE // symbols)
    right = np.empty((len(modulations), trials), bool)
    for m, modulation in enumerate(modulations):
        for first in range(0, trials, block):
            rng = generator(seed, "ceiling", modulation, snr_db, first)
            noise = rng.normal(scale=np.sqrt(0.5 / snr), size=(block, 2 * symbols)).view(complex)
            received = rng.choice(constellations[m], (block, symbols)) + noise
            named = log_likelihoods(received, constellations, snr).argmax(1) == m
            right[m, first : first + block] = named[: trials - first]
    return right


def modulation_ceiling(
    modulations: tuple[str, ...],
    snrs_db: Sequence[int],
    *,
    samples: int,
    sps: int,
    trials: int,
    seed: int,
) -> pd.DataFrame:
    """The best accuracy over equally likely modulations, everything but the symbols known: `snr_db, accuracy, ci_low, ci_high, n`.

    A frame holds samples / sps symbols, rounded up. Modulations that are not `classical.named` are counted as always right: this
    bounds any classifier from above, but for chance in `trials` frames a modulation, whose 95 % Wilson interval is given.
    """
    tested = classical.named(modulations)
    rows = []
    for snr_db in snrs_db:
        right = recognised(
            tested, snr_db, symbols=-(-samples // sps), sps=sps, trials=trials, seed=seed
        )
        shares = (
            _share(int(right.sum()), right.size)
            if tested
            else dict.fromkeys(("accuracy", "ci_low", "ci_high"), 1.0)
        )
        free = 1 - len(tested) / len(modulations)
        rows.append(
            {"snr_db": snr_db}
            | {name: free + (1 - free) * share for name, share in shares.items()}
            | {"n": right.size}
        )
    return pd.DataFrame(rows)


def snr_ceiling(snrs_db: Sequence[int], samples: int, rng: np.random.Generator) -> pd.DataFrame:
    """The best accuracy over equally likely SNRs when the whole noise-free frame is known: columns as in `modulation_ceiling`.

    Frames are r = sqrt(S) s + noise of power V = 1 - S, with |s|^2 = `samples`: what counts of r is its part along s and its energy.
    """
    noise = 1 / (1 + 10 ** (np.asarray(snrs_db) / 10))
    amplitude = np.sqrt(1 - noise)
    rows = []
    for label, (snr_db, a, v) in enumerate(zip(snrs_db, amplitude, noise, strict=True)):
        along = a * np.sqrt(samples) + rng.normal(scale=np.sqrt(v / 2), size=(SNR_TRIALS, 1))
        energy = along**2 + v / 2 * rng.chisquare(2 * samples - 1, (SNR_TRIALS, 1))
        distance = (
            energy - 2 * amplitude * np.sqrt(samples) * along + samples * amplitude**2
        )  # |r - sqrt(S) s|^2, (trials, snrs)
        right = (-samples * np.log(noise) - distance / noise).argmax(1) == label
        rows.append({"snr_db": snr_db} | _share(int(right.sum()), SNR_TRIALS) | {"n": SNR_TRIALS})
    return pd.DataFrame(rows)


def _share(right: int, n: int) -> dict[str, float]:
    """With its 95 % Wilson interval."""
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return {"accuracy": right / n, "ci_low": float(interval.low), "ci_high": float(interval.high)}


def data_aided_bound(snr: float) -> float:
    """Cramer-Rao bound on N var(snr) / snr^2 from N known symbols at linear SNR `snr`: 1 + 2 / snr.

    From N samples instead, at the SNR over the whole band, it is the bound of a known waveform.
    """
    return 1 + 2 / snr


def blind_bound(points: np.ndarray, snr: float) -> float:
    """The same for equally likely `points` (order,) of unit power that the estimator knows but not which were sent.

    Fisher information of amplitude A and noise power V about r = A c + noise, at V = 1, by Gauss-Hermite quadrature around each point. The
    score of a mixture is the mean of its components' scores over the posterior of c.
    """
    amplitude = np.sqrt(snr)
    axis, weight = np.polynomial.hermite.hermgauss(
        NODES
    )  # of exp(-x^2): noise of power 1/2 along each axis
    noise = (axis[:, None] + 1j * axis).ravel()
    weight = np.outer(weight, weight).ravel() / np.pi / len(points)
    information = np.zeros((2, 2))
    for point in points:
        error = amplitude * (point - points) + noise[:, None]  # r - A c_k, (nodes, order)
        square = np.abs(error) ** 2
        posterior = np.exp(square.min(1, keepdims=True) - square)
        posterior /= posterior.sum(1, keepdims=True)
        score = np.stack(
            [(posterior * 2 * (error * points.conj()).real).sum(1), (posterior * square).sum(1) - 1]
        )  # by A, by V
        information += weight * score @ score.T
    slope = np.array([2 / amplitude, -1])  # of log(A^2 / V)
    return float(slope @ np.linalg.solve(information, slope))


def snr_bounds(
    modulations: tuple[str, ...], snrs_db: Sequence[int], *, samples: int, sps: int
) -> pd.DataFrame:
    """Least standard deviation in dB of an unbiased SNR estimate: `snr_db`, `blind` and `known`.

    `blind`: from one sample a symbol, known constellation; mean over the modulations that have one (OQPSK counts as QPSK). `known`: from
    all samples, the frame without noise being known. NaN where no modulation has a constellation.
    """
    shaped = [constellation(m) for m in modulations if m in LINEAR]
    rows = []
    for snr_db in snrs_db:
        snr = 10 ** (snr_db / 10)
        blind = [np.sqrt(blind_bound(points, sps * snr) * sps / samples) for points in shaped]
        known = np.sqrt(data_aided_bound(snr) / samples)
        rows.append(
            {
                "snr_db": snr_db,
                "blind": DB_PER_NATURAL * np.mean(blind) if blind else np.nan,
                "known": DB_PER_NATURAL * known,
            }
        )
    return pd.DataFrame(rows)


def measure(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    *,
    trials: int,
    sps: int,
    rolloff: float,
    seed: int,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A model's answers, those of the references to the same frames, chance and the ceiling: `accuracy_table` and its headline.

    `predictions` as `inference.predict_frames` makes them, of frames in the IQ shards of `root`; `trials` frames of each modulation and SNR
    behind the ceiling of modulation; `sps` samples a symbol of the data; `rolloff` of the references' matched filter.

    Raises:
        ValueError: when the frames are too short for the references, see `classical.answers`.
    """
    modulations, snrs_db = (
        tuple(predictions["modulations"].tolist()),
        predictions["snrs_db"].tolist(),
    )
    true = {"modulation": predictions["modulation_true"], "snr": predictions["snr_true_db"]}
    named, references_db = references(root, predictions, sps=sps, rolloff=rolloff)
    nearest = {name: _nearest(one, predictions["snrs_db"]) for name, one in references_db.items()}
    estimates_db = {"model": predictions["snr_estimate_db"]} | references_db
    answers = {
        "modulation": {"model": predictions["modulation_pred"], "cumulants": named},
        "snr": {"model": predictions["snr_pred_db"]} | nearest,
    }
    samples = shards.array(Cell(modulations[0], snrs_db[0]).path(root), "iq").shape[1]
    ceilings = {
        "modulation": modulation_ceiling(
            modulations, snrs_db, samples=samples, sps=sps, trials=trials, seed=seed
        ),
        "snr": snr_ceiling(snrs_db, samples, generator(seed, "SNR ceiling")),
    }
    table = accuracy_table(
        true, answers, ceilings, {"modulation": len(modulations), "snr": len(snrs_db)}
    )
    bounds = (
        snr_bounds(modulations, snrs_db, samples=samples, sps=sps)
        .dropna(axis=1)
        .set_index("snr_db")
    )
    errors_db = {
        "label": {name: _rms(one - true["snr"]) for name, one in answers["snr"].items()},
        "estimate": {name: _rms(one - true["snr"]) for name, one in estimates_db.items()}
        | {"bound": _rms(bounds["known"])},
    }
    return table, summary(table) | {
        "snr_rmse_db": errors_db,
        "snr_bound_db": {str(s): row.to_dict() for s, row in bounds.iterrows()},
    }


def references(
    root: Path, predictions: Mapping[str, np.ndarray], *, sps: int, rolloff: float
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """What `classical.answers` says of the frames of `predictions`: names of modulations (n,), and SNR in dB (n,) of each estimator.

    An empty name stands for no answer. Estimates are drawn into the range of the labels, which an estimator may know.
    """
    modulations, snrs_db, frame = (
        predictions["modulations"],
        predictions["snrs_db"],
        predictions["frame"],
    )
    known = classical.named(tuple(modulations.tolist()))
    cells, cell = np.unique(frame[:, :2], axis=0, return_inverse=True)
    name = np.full(len(frame), "", modulations.dtype)
    estimates_db = {series: np.empty(len(frame)) for series in ("noise floor", "m2m4")}
    for c, (m, s) in enumerate(progress(cells, "limits, references")):
        at = np.flatnonzero(cell.ravel() == c)
        stored = shards.array(Cell(str(modulations[m]), int(snrs_db[s])).path(root), "iq")
        chosen, *snr_db = classical.answers(to_complex(stored[frame[at, 2]]), known, sps, rolloff)
        name[at] = np.array([*known, ""])[chosen]
        for estimate, one in zip(estimates_db.values(), snr_db, strict=True):
            estimate[at] = np.clip(one, snrs_db.min(), snrs_db.max())
    return name, estimates_db


def accuracy_table(
    true: Mapping[str, np.ndarray],
    answers: Mapping[str, Mapping[str, np.ndarray]],
    ceilings: Mapping[str, pd.DataFrame],
    classes: Mapping[str, int],
) -> pd.DataFrame:
    """Rows of `snr_db, task, series, accuracy, ci_low, ci_high, n`, the intervals 95 % Wilson; chance is exact, with n = 0.

    `true`: task -> (n,), `snr` with the labels in dB; `answers`: task -> series -> (n,); `ceilings`: as `modulation_ceiling`.
    """
    parts = []
    for task, ceiling in ceilings.items():
        chance = dict.fromkeys(("accuracy", "ci_low", "ci_high"), 1 / classes[task]) | {"n": 0}
        series = {"ceiling": ceiling}
        series |= {
            name: _by_snr(answer == true[task], true["snr"])
            for name, answer in answers[task].items()
        }
        series["chance"] = ceiling[["snr_db"]].assign(**chance)
        parts += [rows.assign(task=task, series=name) for name, rows in series.items()]
    return pd.concat(parts, ignore_index=True)[
        ["snr_db", "task", "series", "accuracy", "ci_low", "ci_high", "n"]
    ]


def _by_snr(right: np.ndarray, snr_db: np.ndarray) -> pd.DataFrame:
    at = pd.Series(right).groupby(snr_db)
    return pd.DataFrame(
        [
            {"snr_db": label} | _share(int(one.sum()), len(one)) | {"n": len(one)}
            for label, one in at
        ]
    )


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Of each task: accuracy of each series, mean over the SNRs, and how many points the model lacks to the ceiling, also by band."""
    result = {}
    for task, rows in table.groupby("task"):
        accuracy = rows.pivot(index="snr_db", columns="series", values="accuracy")
        gap = 100 * (accuracy["ceiling"] - accuracy["model"])
        bands = {
            band: gap[gap.index.to_series().between(*ends)]
            for band, ends in metrics.BANDS_DB.items()
        }
        gaps = {"all": gap} | {band: part for band, part in bands.items() if len(part)}
        result[task] = {
            "accuracy": accuracy.mean().to_dict(),
            "gap_points": {name: float(one.mean()) for name, one in gaps.items()},
        }
    return result


def _nearest(estimates_db: np.ndarray, labels_db: np.ndarray) -> np.ndarray:
    return labels_db[np.abs(estimates_db[:, None] - labels_db).argmin(1)]


def _rms(values: np.ndarray | pd.Series) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
