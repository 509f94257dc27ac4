"""What cannot be beaten: likelihood ceilings of accuracy, Cramer-Rao bounds of the SNR.

Frames are linear modulation in white noise. Where the pulse is Nyquist after its matched filter, as
root-raised cosines are, one number a symbol is left, at Es/N0 = SNR + 10 log10(sps), and no more is
in the frame. Of another pulse the same Es/N0 is the matched-filter bound: what symbols would be
worth that did not interfere.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from pisces.core.modulations import LINEAR, Ask, constellation
from pisces.core.seeding import generator
from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.evaluation import metrics, references

DB_PER_NATURAL = 10 / np.log(10)
"""4.34: what a small relative error of a power is in dB."""

SYMBOLS_AT_ONCE = 2**11
SNR_TRIALS = 10_000
"""Frames of each SNR behind `snr_ceiling`: they are cheap."""

NODES = 20
"""Of Gauss-Hermite quadrature along each axis.

The bound is then within 3 % for up to 64 points, and within 5 % for 256.
"""


# Ceiling of modulation accuracy


def es_n0(snrs_db: Sequence[int], sps: int, snr_label: SnrLabel = "power") -> dict[int, float]:
    """Energy of a symbol over the noise density at each SNR label.

    Args:
        snrs_db: labels.
        sps: samples a symbol.
        snr_label: what the labels mean.

    Returns:
        Label -> linear Es/N0.
    """
    return {label: sps * 10 ** (true_snr_db(label, snr_label) / 10) for label in snrs_db}


def log_likelihoods(
    received: np.ndarray, constellations: Sequence[np.ndarray], snr: float
) -> np.ndarray:
    """Log likelihood of each frame under each constellation, up to what all constellations share.

    Symbols are independent and equally likely, all else is known: the sum over n of the log of the
    mean over k of exp(-snr |r_n - c_k|^2). The largest wins the average likelihood ratio test,
    which no classifier beats (Wei and Mendel, IEEE Trans. Commun. 48 (2000) 189).

    Args:
        received: complex (n, symbols) of unit signal power.
        constellations: complex points (order,) of unit power each.
        snr: linear, a symbol.

    Returns:
        float64 (n, constellations).
    """
    axes = np.stack([received.real.ravel(), received.imag.ravel()], 1)
    parts = torch.from_numpy(axes)  # (n * symbols, 2)

    scores = []
    for points in constellations:
        # |r|^2 is common to all; the rest of the exponent is linear in r.
        slope = torch.from_numpy(2 * snr * np.stack([points.real, points.imag]))
        offset = torch.from_numpy(-snr * np.abs(points) ** 2)
        exponents = torch.addmm(offset, parts, slope)  # (n * symbols, points)

        # As torch.logsumexp to the bit, in a third of its time.
        largest = exponents.amax(1, keepdim=True)
        sums = exponents.sub_(largest).exp_().sum(1).log_() + largest[:, 0]
        by_symbol = sums.view(received.shape)
        scores.append(by_symbol.sum(1) - received.shape[1] * np.log(len(points)))
    return torch.stack(scores, 1).numpy()


def recognised(
    modulations: tuple[str, ...],
    snr_db: int,
    snr: float,
    *,
    symbols: int,
    trials: int,
    seed: int,
    ask: Ask = "bipolar",
) -> np.ndarray:
    """Whether the likelihood ratio test names the modulation of simulated frames.

    Frames come in blocks with a generator each: more trials leave the former ones as they are.

    Args:
        modulations: names, each with a constellation.
        snr_db: the label, which names the generators.
        snr: linear, a symbol.
        symbols: in a frame.
        trials: frames of each modulation.
        seed: of the generators.
        ask: levels of ASK.

    Returns:
        bool (modulations, trials).
    """
    constellations = [constellation(m, ask) for m in modulations]
    block = max(1, SYMBOLS_AT_ONCE // symbols)
    right = np.empty((len(modulations), trials), bool)

    for m, modulation in enumerate(modulations):
        for first in range(0, trials, block):
            rng = generator(seed, "ceiling", modulation, snr_db, first)
            axes = rng.normal(scale=np.sqrt(0.5 / snr), size=(block, 2 * symbols))
            received = rng.choice(constellations[m], (block, symbols)) + axes.view(complex)

            chosen = log_likelihoods(received, constellations, snr).argmax(1)
            right[m, first : first + block] = (chosen == m)[: trials - first]
    return right


def modulation_ceiling(
    modulations: tuple[str, ...],
    snrs: Mapping[int, float],
    *,
    symbols: int,
    trials: int,
    seed: int,
    ask: Ask = "bipolar",
) -> pd.DataFrame:
    """The best accuracy over equally likely modulations when everything but the symbols is known.

    It bounds any classifier from above, but for chance in the trials. Modulations that are not
    `references.recognisable` count as always right.

    Args:
        modulations: names, with or without a constellation.
        snrs: SNR label -> linear SNR a symbol, as of `es_n0` or after an equaliser.
        symbols: in a frame.
        trials: frames of each modulation and SNR.
        seed: of the generators.
        ask: levels of ASK.

    Returns:
        Rows of `snr_db, accuracy, ci_low, ci_high, n`, with 95 % Wilson intervals of `n` frames.
    """
    tested = references.recognisable(modulations)
    always_right = 1 - len(tested) / len(modulations)

    rows = []
    for snr_db, snr in snrs.items():
        right = recognised(tested, snr_db, snr, symbols=symbols, trials=trials, seed=seed, ask=ask)
        if tested:
            of_tested = metrics.accuracy(right)
        else:
            of_tested = dict.fromkeys(("accuracy", "ci_low", "ci_high"), 1.0)
        of_all = {
            name: always_right + (1 - always_right) * value for name, value in of_tested.items()
        }
        rows.append({"snr_db": snr_db} | of_all | {"n": right.size})
    return pd.DataFrame(rows)


# Ceiling of SNR accuracy


def snr_ceiling(
    snrs_db: Sequence[int],
    samples: int,
    rng: np.random.Generator,
    snr_label: SnrLabel = "power",
) -> pd.DataFrame:
    """The best accuracy over equally likely SNRs when the whole noise-free frame s is known.

    Frames are r = sqrt(S) s + noise of power V = 1 - S, with |s|^2 = `samples`. What counts of r is
    its part along s and its energy.

    Args:
        snrs_db: labels.
        samples: in a frame.
        rng: what draws the frames.
        snr_label: what the labels mean; SNRs are over the whole band.

    Returns:
        Rows as of `modulation_ceiling`.
    """
    noise = 1 / (1 + 10 ** (true_snr_db(np.asarray(snrs_db), snr_label) / 10))
    amplitude = np.sqrt(1 - noise)
    rows = []
    for label, snr_db in enumerate(snrs_db):
        a, v = amplitude[label], noise[label]
        along = a * np.sqrt(samples) + rng.normal(scale=np.sqrt(v / 2), size=(SNR_TRIALS, 1))
        across = v / 2 * rng.chisquare(2 * samples - 1, (SNR_TRIALS, 1))
        energy = along**2 + across

        # |r - sqrt(S) s|^2 for each label: (trials, snrs)
        distance = energy - 2 * amplitude * np.sqrt(samples) * along + samples * amplitude**2
        log_likelihood = -samples * np.log(noise) - distance / noise
        right = log_likelihood.argmax(1) == label
        rows.append({"snr_db": snr_db} | metrics.accuracy(right) | {"n": SNR_TRIALS})
    return pd.DataFrame(rows)


# Bounds of SNR estimates


def data_aided_bound(snr: float) -> float:
    """Cramer-Rao bound on N var(snr) / snr^2 from N known symbols at linear SNR `snr`: 1 + 2 / snr.

    From N samples instead, at the SNR over the whole band, it is the bound of a known waveform.
    """
    return 1 + 2 / snr


def blind_bound(points: np.ndarray, snr: float) -> float:
    """The same for a known constellation of which it is unknown which points were sent.

    Fisher information of amplitude A and noise power V about r = A c + noise, at V = 1, by
    Gauss-Hermite quadrature around each point. The score of a mixture is the mean of its
    components' scores over the posterior of c.

    Args:
        points: complex (order,) of unit power, equally likely.
        snr: linear, a symbol.

    Returns:
        The bound, that of `data_aided_bound` or more.
    """
    amplitude = np.sqrt(snr)
    # Of exp(-x^2), which is noise of power 1/2 along each axis.
    axis, weight = np.polynomial.hermite.hermgauss(NODES)
    noise = (axis[:, None] + 1j * axis).ravel()
    weight = np.outer(weight, weight).ravel() / np.pi / len(points)

    information = np.zeros((2, 2))
    for point in points:
        error = amplitude * (point - points) + noise[:, None]  # r - A c_k, (nodes, order)
        square = np.abs(error) ** 2
        posterior = np.exp(square.min(1, keepdims=True) - square)
        posterior /= posterior.sum(1, keepdims=True)

        by_amplitude = (posterior * 2 * (error * points.conj()).real).sum(1)
        by_noise = (posterior * square).sum(1) - 1
        score = np.stack([by_amplitude, by_noise])
        information += weight * score @ score.T

    slope = np.array([2 / amplitude, -1])  # of log(A^2 / V)
    return float(slope @ np.linalg.solve(information, slope))


def snr_bounds(
    modulations: tuple[str, ...],
    snrs_db: Sequence[int],
    *,
    samples: int,
    sps: int,
    snr_label: SnrLabel = "power",
    ask: Ask = "bipolar",
) -> pd.DataFrame:
    """Least standard deviation of an unbiased SNR estimate, in dB.

    Args:
        modulations: names, with or without a constellation; OQPSK counts as QPSK.
        snrs_db: labels.
        samples: in a frame.
        sps: samples a symbol.
        snr_label: what the labels mean; SNRs are over the whole band.
        ask: levels of ASK.

    Returns:
        Rows of `snr_db`, `blind` and `known`. `blind`: from one sample a symbol, the constellation
        known; mean over the modulations that have one, NaN without any. `known`: from all samples,
        the noise-free frame known.
    """
    constellations = [constellation(m, ask) for m in modulations if m in LINEAR]
    rows: list[dict[str, Any]] = []
    for snr_db in snrs_db:
        snr = 10 ** (true_snr_db(snr_db, snr_label) / 10)
        blind = [
            np.sqrt(blind_bound(points, sps * snr) * sps / samples) for points in constellations
        ]
        known = np.sqrt(data_aided_bound(snr) / samples)

        blind_db = DB_PER_NATURAL * np.mean(blind) if blind else np.nan
        rows.append({"snr_db": snr_db, "blind": blind_db, "known": DB_PER_NATURAL * known})
    return pd.DataFrame(rows)
