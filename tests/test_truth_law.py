"""The law of symbols, against brute-force integration over the phase in double precision."""

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.truth.law import MOST_PLACES, Places, SymbolLaw, places, unit_level
from pisces.truth.posterior import Hypotheses
from tests.physics import received_symbols

NAMES = ("OOK", "BPSK", "QPSK", "8PSK", "16PSK", "16APSK", "16QAM", "64QAM")
DENSE = 512
"""Phases of the brute force: below 1.4 standard deviations of any phase here."""


@pytest.fixture
def rng():
    return generator(1, "test law")


def judged(x: np.ndarray, snr: float, names: tuple[str, ...] = NAMES, **options) -> Places:
    return places(torch.from_numpy(x.astype(np.complex64)), SymbolLaw(names, snr), **options)


def brute_force(x: np.ndarray, snr: float, name: str) -> np.ndarray:
    """log p(x | class) of each row, the mean over `DENSE` phases of the whole turn: (n,)."""
    turned = x[:, None] * np.exp(-2j * np.pi * np.arange(DENSE) / DENSE)[:, None]
    density = np.zeros(turned.shape)
    for point in constellation(name):
        density += np.exp(-snr * np.abs(turned - point) ** 2)
    by_phase = np.log(np.maximum(density, 1e-300) / len(constellation(name))).sum(2)  # (n, phases)
    largest = by_phase.max(1)
    return largest + np.log(np.exp(by_phase - largest[:, None]).mean(1))


@pytest.mark.parametrize("snr_db", [-1, 6, 12, 18, 24])
def test_values_summed_and_averaged_are_the_likelihood(rng, snr_db):
    """Of 24 symbols, at the places that are kept.

    Tables know 0.03 nats of 16 symbols, so 0.04 of 24. A sum over steps of two standard deviations
    of a Gaussian adds 2 exp(-pi^2 / 2) = 0.014, places left out 1e-4.
    """
    snr = 10 ** (snr_db / 10)
    x = np.concatenate([received_symbols(name, snr, (2, 24), rng) for name in NAMES])
    found = judged(x, snr).log_likelihoods().numpy()
    expected = np.stack([brute_force(x, snr, name) for name in NAMES], 1)

    near = expected > expected.max(1, keepdims=True) - 5
    assert found[near] == pytest.approx(expected[near], abs=4 * 0.042)
    assert np.sqrt(np.mean((found - expected)[near] ** 2)) < 0.042


@pytest.mark.parametrize("snr_db", [6, 18])
def test_what_some_symbols_say_is_the_likelihood_of_those_alone(rng, snr_db):
    """A fifth of the symbols, for which many more phases matter than for all."""
    snr = 10 ** (snr_db / 10)
    x = np.concatenate([received_symbols(name, snr, (2, 40), rng) for name in NAMES])
    kept = torch.zeros(x.shape, dtype=torch.bool)
    kept[:, ::5] = True

    by_rest = judged(x, snr, kept=kept, most=None)
    found = by_rest.log_likelihoods(kept).numpy()
    expected = np.stack([brute_force(x[:, ::5], snr, name) for name in NAMES], 1)
    near = expected > expected.max(1, keepdims=True) - 5
    assert found[near] == pytest.approx(expected[near], abs=0.15)
    assert by_rest.values.shape[2] > judged(x, snr).values.shape[2]


@pytest.mark.parametrize("snr_db", [15, 22])
def test_the_right_class_is_the_likeliest(rng, snr_db):
    snr = 10 ** (snr_db / 10)
    names = ("BPSK", "QPSK", "8PSK", "16APSK", "16QAM")
    x = np.concatenate([received_symbols(name, snr, (20, 120), rng) for name in names])
    chosen = judged(x, snr, names).log_likelihoods().argmax(1).numpy()
    assert np.array_equal(chosen, np.repeat(np.arange(len(names)), 20))


def test_posteriors_sum_to_one(rng):
    x = received_symbols("QPSK", 4.0, (6, 40), rng)
    kept = torch.from_numpy(rng.random(x.shape) < 0.5)
    found = judged(x, 4.0)
    for some in (None, kept, torch.zeros_like(kept)):
        total = found.log_posterior(some).exp().sum((1, 2))
        assert total.numpy() == pytest.approx(1, abs=1e-5)


def test_of_no_symbols_every_class_is_as_likely(rng):
    x = received_symbols("QPSK", 4.0, (3, 40), rng)
    nothing = torch.zeros(x.shape, dtype=torch.bool)
    found = judged(x, 4.0, kept=nothing, most=None).log_likelihoods(nothing)
    assert found.numpy() == pytest.approx(0, abs=2e-4)


@pytest.mark.parametrize("snr_db", [6, 22])
@pytest.mark.parametrize(("turn", "tolerance"), [(1 / 4, 1e-3), (1 / 32, 0.1)])
def test_a_turn_by_the_grid_changes_nothing(rng, snr_db, turn, tolerance):
    """All phases of the search are parts of one grid, of whose step 1 / 32 is a multiple.

    The square lattice of the tables turns with a quarter turn, and else errs otherwise.
    """
    snr = 10 ** (snr_db / 10)
    x = np.concatenate([received_symbols(name, snr, (2, 60), rng) for name in NAMES])
    before = judged(x, snr).log_likelihoods().numpy()
    after = judged(x * np.exp(2j * np.pi * turn), snr).log_likelihoods().numpy()
    near = before > before.max(1, keepdims=True) - 20
    assert after[near] == pytest.approx(before[near], abs=tolerance)


def test_places_that_there_are_not_count_for_nothing(rng):
    found = judged(received_symbols("QPSK", 2.0, (4, 40), rng), 2.0)
    absent = found.log_prior == -torch.inf
    assert absent.any()
    assert (found.log_posterior().exp()[absent] == 0).all()
    assert found.values.shape[2] <= MOST_PLACES


def test_the_level_is_that_of_the_signal(rng):
    x = torch.from_numpy(3 * received_symbols("QPSK", 10.0, (4, 4000), rng))
    power = unit_level(x, 10.0).abs().square().mean(1)
    assert power.numpy() == pytest.approx(1.1, rel=1e-6)


def test_a_law_needs_points_and_an_snr():
    assert SymbolLaw(("FM", "QPSK", "OQPSK"), 1.0).classes == ("QPSK",)
    with pytest.raises(ValueError, match="none of FM, OQPSK has constellation points"):
        SymbolLaw(("FM", "OQPSK"), 1.0)
    with pytest.raises(ValueError, match="snr = 0 of a symbol must be above 0"):
        SymbolLaw(("QPSK",), 0)


def test_the_likeliest_is_found_among_many_whatever_the_threads(rng):
    """In torch, writing several values to one place leaves any of them."""
    frames, hypotheses = 300, 400_000
    frame = torch.arange(hypotheses) * frames // hypotheses
    chance = torch.from_numpy(rng.normal(size=hypotheses).astype(np.float32))
    number = torch.arange(hypotheses)

    best = Hypotheses(frame, number, chance, chance, chance).best(frames)
    of_each = [chance[frame == one].argmax() + (frame < one).sum() for one in range(frames)]
    assert torch.equal(best.classes, torch.stack(of_each))
    assert torch.equal(best.frame, torch.arange(frames))
