"""The likelihood averaged over phase, offset and level, against brute-force integration."""

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.evaluation import likelihood
from tests.physics import received_symbols

KNOWN_OFFSET = 1e-9
"""Cycles a symbol, of the prior: next to nothing is left to average over."""
OFFSET_STD = 8 * 3.3e-5


@pytest.fixture
def rng():
    return generator(1, "test blind")


def with_offset(x: np.ndarray, offset: float | np.ndarray) -> np.ndarray:
    """Symbols with a carrier of so many cycles a symbol more."""
    number = np.arange(x.shape[1]) - (x.shape[1] - 1) / 2
    return x * np.exp(2j * np.pi * offset * number)


def score(
    x: np.ndarray,
    snr: float,
    names: tuple[str, ...],
    offset_std: float,
    taken_off: float | np.ndarray = 0.0,
) -> np.ndarray:
    found = likelihood.log_likelihoods(
        torch.from_numpy(x.astype(np.complex64)),
        torch.from_numpy(np.broadcast_to(taken_off, (len(x), 1)).astype(np.float32)),
        snr,
        [constellation(name) for name in names],
        offset_std,
    )
    return found.numpy()


def brute_force(
    x: np.ndarray, snr: float, names: tuple[str, ...], offset_std: float = 0.0
) -> np.ndarray:
    """Averaged over 400 phases of the whole circle and 31 offsets, in double precision."""
    phases = np.exp(2j * np.pi * np.arange(400) / 400)
    steps = np.linspace(-3.5, 3.5, 31) if offset_std else np.zeros(1)
    weights = np.exp(-0.5 * steps**2) / np.exp(-0.5 * steps**2).sum()

    columns = []
    for name in names:
        average = np.zeros(len(x))
        for step, weight in zip(steps, weights, strict=True):
            by_phase = np.zeros((len(x), len(phases)))
            for symbol in with_offset(x, -step * offset_std).T:
                points = constellation(name) * phases[:, None]  # (phases, order)
                distance = np.abs(symbol[:, None, None] - points) ** 2
                by_phase += np.log(np.exp(-snr * distance).mean(-1))
            average += weight * np.exp(by_phase).mean(1)
        columns.append(np.log(average))
    return np.stack(columns, 1)


def test_one_phase_stands_for_all_where_noise_hides_the_rest(rng, monkeypatch):
    """At -7 dB a symbol 32PSK repeats itself within a step of the search."""
    monkeypatch.setattr(likelihood, "LEVELS", (0.0,))
    names, snr = ("BPSK", "32PSK"), 10**-0.7
    x = received_symbols("BPSK", snr, (40, 60), rng)

    expected = brute_force(x, snr, names)
    found = score(x, snr, names, KNOWN_OFFSET)
    assert found == pytest.approx(expected, abs=0.25)
    assert expected[:, 0].mean() > expected[:, 1].mean()


@pytest.mark.parametrize("snr_db", [-3, 3, 9])
def test_average_over_the_phase_is_the_integral(rng, monkeypatch, snr_db):
    """At a known level: nothing is left out, and of 16 symbols tables know 0.03 nats or so."""
    monkeypatch.setattr(likelihood, "LEVELS", (0.0,))
    names, snr, n = ("BPSK", "QPSK", "8PSK"), 10 ** (snr_db / 10), 40
    x = np.concatenate([received_symbols(name, snr, (n, 16), rng) for name in names])
    truth = np.repeat(np.arange(3), n)

    expected, found = brute_force(x, snr, names), score(x, snr, names, KNOWN_OFFSET)
    likely = expected > expected.max(1, keepdims=True) - 5
    assert found[likely] == pytest.approx(expected[likely], abs=0.125)

    accuracies = [np.mean(one.argmax(1) == truth) for one in (expected, found)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.025)
    assert accuracies[1] > 1 / 3 + 0.1


@pytest.mark.parametrize("snr_db", [0, 9])
def test_average_over_the_offset_is_the_integral(rng, monkeypatch, snr_db):
    """Offsets as wide as the phase that they turn 16 symbols by: the prior's own width counts."""
    monkeypatch.setattr(likelihood, "LEVELS", (0.0,))
    names, snr, n, std = ("QPSK", "8PSK"), 10 ** (snr_db / 10), 10, 0.004
    x = np.concatenate([received_symbols(name, snr, (n, 16), rng) for name in names])
    x = with_offset(x, rng.normal(scale=std, size=(len(x), 1)))

    expected = brute_force(x, snr, names, std)
    likely = expected > expected.max(1, keepdims=True) - 2
    found = score(x, snr, names, std)
    assert found[likely] == pytest.approx(expected[likely], abs=0.2)


@pytest.mark.parametrize("snr_db", [15, 20])
def test_what_the_receiver_took_off_does_not_matter(rng, snr_db):
    """Its error is up to two standard deviations of the prior; not told of it, all scores fall."""
    names, snr = ("16QAM", "8PSK"), 10 ** (snr_db / 10)
    x = np.concatenate([received_symbols(name, snr, (20, 120), rng) for name in names])
    error = OFFSET_STD * rng.uniform(1, 2, (len(x), 1))

    right = score(x, snr, names, OFFSET_STD).max(1)
    told = score(with_offset(x, -error), snr, names, OFFSET_STD, error).max(1)
    untold = score(with_offset(x, -error), snr, names, KNOWN_OFFSET, 0).max(1)
    assert np.median(np.abs(told - right)) < 0.25
    assert np.median(right - untold) > 3


def test_a_prior_too_wide_for_a_grid_lies_about_what_the_receiver_found(rng):
    """A tenth of a cycle a symbol was taken off rightly."""
    x = received_symbols("QPSK", 30.0, (5, 120), rng)
    nothing, much = (score(x, 30.0, ("QPSK", "8PSK"), 1.0, offset) for offset in (0.0, 0.1))
    assert (nothing == much).all()


@pytest.mark.parametrize(
    ("modulation", "count"),
    [
        *(("OOK", 1), ("4ASK", 2), ("BPSK", 2), ("QPSK", 4), ("32PSK", 32)),
        *(("16APSK", 4), ("128APSK", 16), ("32QAM", 4), ("256QAM", 4)),
    ],
)
def test_turns_that_map_a_constellation_onto_itself(modulation, count):
    assert likelihood.turns(constellation(modulation)) == count


@pytest.mark.parametrize("snr_db", [9, 24])
def test_no_phase_matters(rng, snr_db):
    """The grid of phases is fine enough that a turn changes no prediction among four."""
    names, snr = ("16QAM", "32QAM", "64QAM", "8PSK"), 10 ** (snr_db / 10)
    x = np.concatenate([received_symbols(name, snr, (10, 120), rng) for name in names])
    one, other = (score(x * np.exp(1j * turn), snr, names, KNOWN_OFFSET) for turn in (0, 0.4))
    assert one.max(1) == pytest.approx(other.max(1), abs=0.5)
    assert np.mean(one.argmax(1) == other.argmax(1)) > 0.95


def test_a_level_that_is_off_is_averaged_out(rng, monkeypatch):
    """1.5 standard deviations of what the power of 120 symbols leaves, at 21 dB."""
    snr, symbols = 10**2.1, 120
    power_variance = np.mean(np.abs(constellation("64QAM")) ** 4) - 1
    off = 1 + 1.5 * np.sqrt((power_variance + 2 / snr) / symbols) / 2
    x = off * received_symbols("64QAM", snr, (20, symbols), rng)

    averaged = score(x, snr, ("64QAM",), KNOWN_OFFSET)[:, 0]
    monkeypatch.setattr(likelihood, "LEVELS", (0.0,))
    taken_as_right = score(x, snr, ("64QAM",), KNOWN_OFFSET)[:, 0]
    assert np.median(averaged - taken_as_right) > 3


FINE = {
    "COARSE_SNR": likelihood.MOST_SNR,
    "STEP": 1.0,
    "REACH": 3.0,
    "FIRST_CANDIDATES": 16,
    "CANDIDATES": 16,
    "LEAD": 100.0,
    "KEPT": {1: 64},
}
"""A search at the very SNR over a grid of twice as many phases and offsets, nothing left out."""


@pytest.mark.parametrize("snr_db", [9, 15])
def test_nothing_that_is_skipped_matters(rng, monkeypatch, snr_db):
    """Predictions are those of the fine grid, up to one frame in 200, but for ties.

    Likelihoods within 5 of the largest are so to 0.3 nats: the lines of the tables leave 0.1 or so,
    places left out the rest.
    """
    names = ("8PSK", "16PSK", "16APSK", "16QAM", "32QAM", "64QAM")
    snr, frames = 10 ** (snr_db / 10), 34
    x = np.concatenate([received_symbols(name, snr, (frames, 120), rng) for name in names])
    offset = rng.normal(scale=OFFSET_STD, size=(len(x), 1))

    found = score(with_offset(x, offset), snr, names, OFFSET_STD)
    for name, value in FINE.items():
        monkeypatch.setattr(likelihood, name, value)
    expected = score(with_offset(x, offset), snr, names, OFFSET_STD)

    best = np.sort(expected, 1)
    decided = best[:, -1] - best[:, -2] > 0.1
    same = found.argmax(1) == expected.argmax(1)
    assert decided.mean() > 0.9
    assert same[decided].mean() >= 0.995
    near = np.isfinite(found) & (expected > expected.max(1, keepdims=True) - 5)
    assert np.sqrt(np.mean((found[near] - expected[near]) ** 2)) < 0.3
