"""The calibration of a trained model: temperatures, intervals of the SNR, known or not."""

import numpy as np
import torch

from pisces.inputs.base import FrameStore
from pisces.inputs.waveform import IqStore
from pisces.models.calibration import (
    Array,
    Calibration,
    FeatureNovelty,
    Novelty,
    SignalNovelty,
)
from pisces.models.modelfile import TrainedModel
from pisces.prediction import conformal, novelty, signals
from pisces.prediction.calibration import fit_temperature
from pisces.prediction.evidence import Evidence, collect
from pisces.prediction.signals import BLOCKS, TOLERANCES

MOST_OF_CELL = 64
"""Frames of each (modulation, SNR) of a part that count; more would change little."""
DIMS = 24
"""Directions of the features in which distances are measured."""
FEATURE_SHRINKAGE, SIGNAL_SHRINKAGE = 0.01, 0.1
"""What is added to the variances of features, as a share of their mean, and of statistics, of their
own."""
LEAST_FRAMES = 8
"""Of an SNR, below which the levels of all SNRs together count."""
LEAST_STD = 1e-6
LEAST_SCATTER = 0.5
"""Standard deviation of the distance of a block at least: one over the square root of 2 is that of
many numbers of unit variance. Below, what radios are granted would be taken back."""
UNFITTED = (0.0, 1.0)
"""Mean and standard deviation that leave a distance as it is."""


def calibrate(
    trained: TrainedModel, store: FrameStore, iq: IqStore | None, parts: dict[str, np.ndarray]
) -> Calibration:
    """What the card of a model says about how far it can be trusted.

    Where classes lie is learnt from training frames. What is a probability, an interval and an
    alarm, from validation frames, which no weight has seen. They chose the best epoch, though.

    Args:
        trained: the model.
        store: the frames in the form that it takes.
        iq: the frames behind them; without, novelty is that of features alone.
        parts: `train` and `validation`, each an index (n, 3).

    Returns:
        The calibration; the same for the same model and frames.
    """
    index = first_of_each_cell(parts["validation"], MOST_OF_CELL)
    held_out = collect(trained, store, iq, index)
    modulation, snr = torch.from_numpy(index[:, 0]), torch.from_numpy(index[:, 1])
    snr_temperature = fit_temperature(held_out.snr_logits, snr)

    snrs_db = np.array(store.true_snrs_db, float)
    probabilities = (held_out.snr_logits.double() / snr_temperature).softmax(1).numpy()
    calibration = Calibration(
        frames=len(index),
        modulation_temperature=fit_temperature(held_out.modulation_logits, modulation),
        snr_temperature=snr_temperature,
        coverage=conformal.COVERAGE,
        spreads=conformal.spreads_needed(probabilities, snrs_db[index[:, 1]], snrs_db),
        novelty=None,
    )
    if held_out.features is None:
        return calibration

    learnt = first_of_each_cell(parts["train"], MOST_OF_CELL)
    evidence = collect(trained, store, iq, learnt)
    return _with_novelty(calibration, trained.modulations, (evidence, learnt), (held_out, index))


def calibrated(
    trained: TrainedModel, store: FrameStore, iq: IqStore | None, parts: dict[str, np.ndarray]
) -> TrainedModel:
    """The model with its calibration; see `calibrate`, whose arguments these are."""
    return trained._replace(calibration=calibrate(trained, store, iq, parts))


def first_of_each_cell(index: np.ndarray, most: int) -> np.ndarray:
    """The first so many frames of each (modulation, SNR) of an index (n, 3), in its order."""
    _, cell = np.unique(index[:, :2], axis=0, return_inverse=True)
    by_cell = np.argsort(cell, kind="stable")
    first = np.searchsorted(cell[by_cell], cell[by_cell])
    rank = np.empty(len(index), int)
    rank[by_cell] = np.arange(len(index)) - first
    return index[rank < most]


def _with_novelty(
    calibration: Calibration,
    modulations: tuple[str, ...],
    learnt: tuple[Evidence, np.ndarray],
    held_out: tuple[Evidence, np.ndarray],
) -> Calibration:
    """The calibration with novelty, whose thresholds are those of the frames held out.

    Args:
        calibration: without.
        modulations: that the model knows.
        learnt: evidence and index of training frames, which have features.
        held_out: of validation frames.

    Returns:
        The same with `novelty`.
    """
    found = _features(learnt)
    evidence, _ = held_out
    assert evidence.features is not None
    logits = evidence.modulation_logits, evidence.snr_logits

    def with_thresholds(
        features: FeatureNovelty,
        signal: SignalNovelty | None = None,
        threshold: float | None = None,
        feature_threshold: float | None = None,
    ) -> Calibration:
        whole = Novelty(features, signal, threshold, feature_threshold)
        return Calibration(**{**vars(calibration), "novelty": whole})

    distance = novelty.feature_novelty(evidence.features, *logits, with_thresholds(found))
    levels = _levels(distance[:, None].numpy(), evidence.snr_logits, LEAST_STD)[0]
    features = FeatureNovelty(found.mean, found.projection, found.centroids, Array.of(levels))
    signal = _signal(modulations, learnt, held_out) if evidence.signals else None

    known = with_thresholds(features, signal)
    share = 1 - novelty.FALSE_ALARMS
    alone = novelty.feature_novelty(evidence.features, *logits, known)
    joined = novelty.score(evidence.features, *logits, evidence.signals, known)
    return with_thresholds(
        features,
        signal,
        conformal.quantile(joined.double().numpy(), share),
        conformal.quantile(alone.double().numpy(), share),
    )


def _features(learnt: tuple[Evidence, np.ndarray]) -> FeatureNovelty:
    """Centroids of the classes, where the scatter within a class is white; levels not yet fitted.

    Of the directions of the centroids, those along which they differ most are kept.
    """
    evidence, index = learnt
    assert evidence.features is not None
    features = evidence.features.double().numpy()
    shape = evidence.modulation_logits.shape[1], evidence.snr_logits.shape[1]
    centroids = cell_means(features, index, shape)  # (modulations, SNRs, features)
    mean = features.mean(0)

    within = features - centroids[index[:, 0], index[:, 1]]
    covariance = within.T @ within / len(within)
    shrinkage = FEATURE_SHRINKAGE * np.trace(covariance) / len(covariance) + LEAST_STD
    covariance += shrinkage * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T

    about_mean = (centroids - mean).reshape(-1, features.shape[1]) @ whitening
    directions = np.linalg.svd(about_mean, full_matrices=False)[2][:DIMS].T
    places = (about_mean @ directions).reshape(*shape, -1)

    unfitted = np.tile(np.array(UNFITTED)[:, None], (1, shape[1]))
    return FeatureNovelty(
        Array.of(mean), Array.of(whitening @ directions), Array.of(places), Array.of(unfitted)
    )


def _signal(
    modulations: tuple[str, ...],
    learnt: tuple[Evidence, np.ndarray],
    held_out: tuple[Evidence, np.ndarray],
) -> SignalNovelty:
    """What known frames of modulations look like; see `_with_novelty`."""
    evidence, index = learnt
    assert evidence.signals is not None
    statistics = evidence.signals.statistics.double().numpy()
    shape = evidence.modulation_logits.shape[1], evidence.snr_logits.shape[1]
    means = cell_means(statistics, index, shape)
    relevant = signals.relevant(modulations)
    counts = relevant[index[:, 0]]  # (n, statistics)
    within = counts * (statistics - means[index[:, 0], index[:, 1]])
    precisions = np.tile(_precision(within, counts), (shape[1], 1, 1))
    for s in range(shape[1]):
        at = index[:, 1] == s
        if at.sum() >= LEAST_FRAMES:
            precisions[s] = _precision(within[at], counts[at])

    evidence, index = held_out
    assert evidence.signals is not None
    logits = evidence.modulation_logits, evidence.snr_logits
    tensors = [torch.from_numpy(one).float() for one in (means, precisions, relevant)]
    distances = novelty.block_distances(evidence.signals.statistics, *logits, *tensors)

    strength, snr_db = (one.double().numpy() for one in evidence.signals[1:])
    weakest = strength[index[:, 1] == index[:, 1].min()]
    highest = snr_db[index[:, 1] == index[:, 1].max()]
    return SignalNovelty(
        Array.of(means),
        Array.of(precisions),
        Array.of(relevant),
        Array.of(_levels(distances.numpy(), evidence.snr_logits, LEAST_SCATTER)),
        (float(weakest.mean()), float(max(weakest.std(), LEAST_STD))),
        float(highest.mean()),
    )


def _precision(within: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Inverse covariance of each block of statistics, with what radios are granted.

    Args:
        within: statistics less the mean of their class, 0 where they do not count, of the frames of
            an SNR, (n, statistics).
        counts: 1 where they do, else 0, of the same shape.

    Returns:
        (statistics, statistics), zero between blocks.
    """
    precision = np.zeros((within.shape[1], within.shape[1]))
    first = 0
    for name, statistics in BLOCKS.items():
        block = slice(first, first + len(statistics))
        own, frames = within[:, block], counts[:, block]
        covariance = own.T @ own / np.maximum(frames.T @ frames, 1)
        granted = SIGNAL_SHRINKAGE * np.diag(covariance) + np.array(TOLERANCES[name])
        precision[block, block] = np.linalg.inv(covariance + np.diag(granted))
        first = block.stop
    return precision


def cell_means(values: np.ndarray, index: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Means over the frames of each (modulation, SNR); over those of an SNR where a cell has none.

    Args:
        values: (n, numbers).
        index: int64 (n, 3) of the same frames.
        shape: how many modulations and SNRs there are.

    Returns:
        (modulations, SNRs, numbers).
    """
    means = np.empty((*shape, values.shape[1]))
    overall = values.mean(0)
    for s in range(shape[1]):
        of_snr = index[:, 1] == s
        fallback = values[of_snr].mean(0) if of_snr.any() else overall
        for m in range(shape[0]):
            of_cell = of_snr & (index[:, 0] == m)
            means[m, s] = values[of_cell].mean(0) if of_cell.any() else fallback
    return means


def _levels(distances: np.ndarray, snr_logits: torch.Tensor, least_std: float) -> np.ndarray:
    """Mean and standard deviation of distances at each named SNR.

    Args:
        distances: (n, kinds).
        snr_logits: the largest names the SNR, (n, SNRs).
        least_std: at least.

    Returns:
        (kinds, 2, SNRs).
    """
    named = snr_logits.argmax(1).numpy()
    levels = np.empty((distances.shape[1], 2, snr_logits.shape[1]))
    for s in range(levels.shape[2]):
        of_snr = distances[named == s]
        if len(of_snr) < LEAST_FRAMES:
            of_snr = distances
        levels[:, 0, s] = of_snr.mean(0)
        levels[:, 1, s] = np.maximum(of_snr.std(0), least_std)
    return levels
