"""How much each symbol says about the class: the truth that explanations are compared with.

Of a difference of two logits the truth is e_k = log p(r_k | class) - log p(r_k | rival), each at
its best phase: the e_k of a frame add up to the log likelihood ratio. Of log odds against all other
classes it is leave-one-out, or the Shapley values, of the exact posterior. What a symbol says
against all others together, log p(class) - log sum over others, adds up to neither.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import logsumexp

from pisces.core import stats
from pisces.truth.law import Places, SymbolLaw

NOT_WORTH_A_MENTION = math.log(3)
"""Nats: odds that change by less than threefold are "not worth more than a bare mention" (Jeffreys;
Kass and Raftery, J. Am. Stat. Assoc. 90 (1995) 773)."""
MOST_CLIMBS, PHASE_DIGITS = 200, 1e-7
"""Steps of the search for the best phase, and the last of them, in radians."""
POINTS_AT_ONCE = 2**20
"""Distances between symbols and points that are held in memory."""


class Duel(NamedTuple):
    """Which classes the evidence of each of n frames is about, numbers in `SymbolLaw.classes`."""

    chosen: np.ndarray
    """int (n,)."""
    rival: np.ndarray
    """int (n,), never the same as `chosen`."""


def symbol_evidence(x: torch.Tensor, law: SymbolLaw, places: Places, duel: Duel) -> np.ndarray:
    """What each symbol says for a class against its rival, each at its best phase.

    Args:
        x: symbols, complex64 (n, symbols), of which `places` are.
        law: of the symbols.
        places: the phases that matter.
        duel: the two classes of each frame.

    Returns:
        Nats, float64 (n, symbols), which add up to the log likelihood ratio of the frame.
    """
    symbols = x.numpy().astype(np.complex128)
    return evidence_at(symbols, law, best_phases(symbols, law, places, duel), duel)


def evidence_at(
    symbols: np.ndarray, law: SymbolLaw, phases: tuple[np.ndarray, np.ndarray], duel: Duel
) -> np.ndarray:
    """As `symbol_evidence`, at given phases.

    Args:
        symbols: complex128 (n, symbols).
        law: of the symbols.
        phases: of the class and of its rival, radians (n,) each.
        duel: the two classes of each frame.

    Returns:
        Nats, float64 (n, symbols).
    """
    evidence = np.zeros(symbols.shape)
    for sign, numbers, phase in zip((1, -1), duel, phases, strict=True):
        for number in np.unique(numbers):
            at = np.flatnonzero(numbers == number)
            turned = symbols[at] * np.exp(-1j * phase[at])[:, None]
            evidence[at] += sign * log_densities(turned, law.points[number], law.judged_snr)
    return evidence


def best_phases(
    symbols: np.ndarray, law: SymbolLaw, places: Places, duel: Duel
) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest phases of the class and of its rival, radians, float64 (n,) each.

    From the best place on, by expectation maximisation, which never makes a phase less likely: on a
    grid the two would differ by chance, and a class within its rival would seem to have evidence.

    Args:
        symbols: complex128 (n, symbols).
        law: of the symbols.
        places: of the symbols.
        duel: the two classes of each frame.
    """
    joint = places.values.double().sum(3) + places.log_prior
    starts = places.phases.gather(2, joint.argmax(2, keepdim=True))[..., 0].double().numpy()

    found = []
    for numbers in duel:
        phases = np.empty(len(numbers))
        for number in np.unique(numbers):
            at = np.flatnonzero(numbers == number)
            points = law.points[number]
            phases[at] = _climb(symbols[at], starts[at, number], points, law.judged_snr)
        found.append(phases)
    return found[0], found[1]


def log_densities(symbols: np.ndarray, points: np.ndarray, snr: float) -> np.ndarray:
    """log mean_c exp(-snr |r - c|^2) of each symbol, with all digits of float64.

    The tables of `evaluation.density` end at e^-60, where symbols that rule out a class would tie.

    Args:
        symbols: r, complex128 (n, symbols).
        points: c, complex (order,).
        snr: linear, a symbol.

    Returns:
        float64 (n, symbols).
    """
    parts = [logsumexp(exponents, axis=2) for exponents in _exponents(symbols, points, snr)]
    return np.concatenate(parts) - math.log(len(points))


def _exponents(symbols: np.ndarray, points: np.ndarray, snr: float) -> Iterator[np.ndarray]:
    """-snr |r - c|^2 of some frames after the other, (frames, symbols, order)."""
    rows = max(1, POINTS_AT_ONCE // (symbols.shape[1] * len(points)))
    for start in range(0, len(symbols), rows):
        yield -snr * np.abs(symbols[start : start + rows, :, None] - points) ** 2


def _climb(symbols: np.ndarray, start: np.ndarray, points: np.ndarray, snr: float) -> np.ndarray:
    """The phase of greatest likelihood above the phases `start`, radians (n,)."""
    phase = start.copy()
    for _ in range(MOST_CLIMBS):
        turned = symbols * np.exp(-1j * phase)[:, None]
        sent = _mean_sent(turned, points, snr)
        step = np.angle((turned * sent.conj()).sum(1))
        phase += step
        if np.abs(step).max() < PHASE_DIGITS:
            break
    return phase


def _mean_sent(symbols: np.ndarray, points: np.ndarray, snr: float) -> np.ndarray:
    """The mean of the points that each symbol may be, weighted by exp(-snr |r - c|^2).

    Of the exponent |r|^2 is the same for all points and cancels, and 2 Re(r c*) is a product of
    real matrices, which takes a small part of the time of complex distances.

    Args:
        symbols: r, complex128 (n, symbols).
        points: c, complex (order,).
        snr: linear, a symbol.

    Returns:
        complex128 (n, symbols).
    """
    axes = np.stack([points.real, points.imag])  # (2, order)
    summands = np.stack([points.real, points.imag, np.ones(len(points))], axis=1)  # (order, 3)
    rows = max(1, POINTS_AT_ONCE // (symbols.shape[1] * len(points)))

    means = []
    for start in range(0, len(symbols), rows):
        some = symbols[start : start + rows]
        exponents = np.stack([some.real, some.imag], axis=2) @ (2 * snr * axes)
        exponents -= snr * np.abs(points) ** 2  # (frames, symbols, order)
        exponents -= exponents.max(2, keepdims=True)
        real, imaginary, total = np.moveaxis(np.exp(exponents) @ summands, 2, 0)
        means.append((real + 1j * imaginary) / total)
    return np.concatenate(means)


def can_be_ranked(evidence: np.ndarray) -> np.ndarray:
    """Whether symbols differ in what they say, by enough to be ranked: bool (n,).

    What a ranking can tell is a better half of the symbols from a worse one, and the halves differ
    by sum |e_k - median|. Where that is below `NOT_WORTH_A_MENTION`, evidence is all alike: such is
    a class whose points are points of its rival as well, when all symbols say log 2 or so.

    Args:
        evidence: nats, (n, symbols).
    """
    middle = np.median(evidence, axis=1, keepdims=True)
    return np.abs(evidence - middle).sum(1) > NOT_WORTH_A_MENTION


# Log odds against all other classes


def log_odds(log_likelihoods: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Posterior log odds of one class against all others, classes equally likely.

    Args:
        log_likelihoods: (n, classes).
        chosen: int (n,).

    Returns:
        (n,).
    """
    rows = np.arange(len(chosen))
    others = log_likelihoods.copy()
    others[rows, chosen] = -np.inf
    return log_likelihoods[rows, chosen] - logsumexp(others, axis=1)


def leave_one_out(places: Places, chosen: np.ndarray) -> np.ndarray:
    """By how much the posterior log odds fall when one symbol is not known: (n, symbols).

    Args:
        places: what symbols say, at the phases that matter.
        chosen: the class of each frame, int (n,).
    """
    falls = []
    for number, one in enumerate(chosen):
        values = places.values[number].double()  # (classes, places, symbols)
        joint = values.sum(2) + places.log_prior[number]
        without = (joint[..., None] - values).logsumexp(1).T  # (symbols, classes)
        whole = joint.logsumexp(1)[None]
        odds = log_odds(torch.cat([whole, without]).numpy(), np.full(len(without) + 1, one))
        falls.append(odds[0] - odds[1:])
    return np.stack(falls)


def shapley(
    places: Places, chosen: np.ndarray, orders: int, *, rng: np.random.Generator
) -> np.ndarray:
    """Shapley values of the symbols in the posterior log odds, by random orders.

    The values of a frame add up to its log odds less those of no symbol, whatever the orders.

    Args:
        places: what symbols say, at the phases that matter. Of few symbols other phases may matter:
            take all places, see `law.places`.
        chosen: the class of each frame, int (n,).
        orders: random ones, of each frame.
        rng: draws them.

    Returns:
        Nats, float64 (n, symbols).
    """
    n, symbols = len(chosen), places.values.shape[3]
    values = np.zeros((n, symbols))
    for number in range(n):
        of_frame = places.values[number].double()  # (classes, places, symbols)
        log_prior = places.log_prior[number].double()[..., None]
        for _ in range(orders):
            order = rng.permutation(symbols)
            known = of_frame[..., order].cumsum(2)
            joint = torch.cat([torch.zeros_like(known[..., :1]), known], 2) + log_prior
            by_step = joint.logsumexp(1).T.numpy()  # (symbols + 1, classes)
            odds = log_odds(by_step, np.full(symbols + 1, chosen[number]))
            values[number, order] += np.diff(odds) / orders
    return values


# Evidence of pixels


def pixel_means(evidence: np.ndarray, pixels: np.ndarray, count: int) -> np.ndarray:
    """Mean evidence of the symbols in each pixel: (n, count), NaN where there is none.

    A sum would rank pixels by how many symbols they hold.

    Args:
        evidence: of each symbol, (n, symbols).
        pixels: the pixel of each symbol, int (n, symbols); numbers from `count` on are outside.
        count: of pixels.
    """
    n = len(evidence)
    place = np.minimum(pixels, count) + (count + 1) * np.arange(n)[:, None]
    size = n * (count + 1)
    total = np.bincount(place.ravel(), evidence.ravel(), size)
    number = np.bincount(place.ravel(), minlength=size)
    mean = np.divide(total, number, out=np.full(size, np.nan), where=number > 0)
    return mean.reshape(n, count + 1)[:, :-1]


def pixel_middles(pixels: np.ndarray, size: int, extent: float) -> np.ndarray:
    """The middle of each pixel, complex128 of the same shape, numbered as in `inputs.binning`."""
    row, column = np.divmod(pixels, size)
    step = 2 * extent / size
    i, q = (column + 0.5) * step - extent, extent - (row + 0.5) * step
    return i + 1j * q


def agreement(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of scores and truth over the lit pixels of each frame, (n,).

    Args:
        scores: (n, pixels); equal scores share their middle rank.
        truth: (n, pixels), NaN where a pixel is dark.

    Returns:
        -1..1, NaN where either is constant.
    """
    return stats.rank_correlation(scores, truth, ~np.isnan(truth))
