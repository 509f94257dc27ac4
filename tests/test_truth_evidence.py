"""Evidence adds up, is zero where it must be, and is what a posterior loses."""

import math

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.evaluation import bounds
from pisces.inputs.binning import bin_points
from pisces.truth import evidence
from pisces.truth.evidence import Duel
from pisces.truth.law import Places, SymbolLaw, places
from tests.test_truth_counts import EXTENT, noise

CLASSES, SYMBOLS = ("BPSK", "QPSK", "8PSK", "16QAM", "64QAM"), 48


def received(name: str, snr: float, frames: int = 3, phase: float = 0.3) -> torch.Tensor:
    rng = np.random.default_rng(5)
    sent = rng.choice(constellation(name), (frames, SYMBOLS)) * np.exp(1j * phase)
    return torch.from_numpy(sent + noise(sent.shape, 1 / snr)).to(torch.complex64)


def duel(chosen: str, rival: str, frames: int = 3) -> Duel:
    numbers = (CLASSES.index(name) for name in (chosen, rival))
    return Duel(*(np.full(frames, number) for number in numbers))


@pytest.mark.parametrize("snr", [2.0, 30.0, 300.0])
@pytest.mark.parametrize("names", [("16QAM", "64QAM"), ("QPSK", "8PSK"), ("8PSK", "BPSK")])
def test_evidence_adds_up_to_the_log_likelihood_ratio(snr, names):
    x, law, fight = received(names[0], snr), SymbolLaw(CLASSES, snr), duel(*names)
    found = evidence.symbol_evidence(x, law, places(x, law), fight)

    symbols = x.numpy().astype(complex)
    phases = evidence.best_phases(symbols, law, places(x, law), fight)
    turned = [symbols * np.exp(-1j * phase)[:, None] for phase in phases]
    both = [
        bounds.log_likelihoods(one, [constellation(name)], snr)[:, 0]
        for one, name in zip(turned, names, strict=True)
    ]
    assert np.abs(both[0] - both[1]).max() > 0.1
    assert np.abs(found.sum(1) - (both[0] - both[1])).max() < 1e-6


@pytest.mark.parametrize("name", ["QPSK", "16QAM"])
def test_the_phases_are_the_likeliest(name):
    x, law = received(name, 20.0), SymbolLaw(CLASSES, 20.0)
    symbols, points = x.numpy().astype(complex), constellation(name)
    phase, _ = evidence.best_phases(symbols, law, places(x, law), duel(name, "BPSK"))

    def likelihood(at: np.ndarray) -> np.ndarray:
        return evidence.log_densities(symbols * np.exp(-1j * at)[:, None], points, 20.0).sum(1)

    best = likelihood(phase)
    for step in (1e-3, 1e-2):
        assert (likelihood(phase + step) < best).all()
        assert (likelihood(phase - step) < best).all()
    everywhere = [likelihood(phase + at) for at in np.linspace(0, 2 * np.pi, 720)]
    assert (np.max(everywhere, 0) <= best + 1e-6).all()


def test_how_much_memory_there_is_moves_no_phase(monkeypatch):
    x, law = received("64QAM", 30.0), SymbolLaw(CLASSES, 30.0)
    asked = x.numpy().astype(complex), law, places(x, law), duel("64QAM", "16QAM")
    at_once = evidence.best_phases(*asked)
    monkeypatch.setattr(evidence, "POINTS_AT_ONCE", 1)  # which leaves a frame at a time
    for one, other in zip(at_once, evidence.best_phases(*asked), strict=True):
        assert np.abs(one - other).max() < 1e-12


def test_evidence_within_a_rival_is_log_2_for_every_symbol():
    """Of QPSK against 8PSK, with next to no noise: as many points again, and nothing else."""
    x, law = received("QPSK", 400.0), SymbolLaw(CLASSES, 400.0)
    found = evidence.symbol_evidence(x, law, places(x, law), duel("QPSK", "8PSK"))
    # The next point of 8PSK is .77 away, where the density is e^-400 * .58 of that of the nearest.
    assert np.allclose(found, math.log(2), atol=1e-3)
    assert not evidence.can_be_ranked(found).any()


def test_evidence_that_differs_can_be_ranked():
    x, law = received("64QAM", 100.0), SymbolLaw(CLASSES, 100.0)
    found = evidence.symbol_evidence(x, law, places(x, law), duel("64QAM", "16QAM"))
    assert evidence.can_be_ranked(found).all()


def test_what_a_ranking_can_tell_decides():
    halves = np.repeat([-1.0, 1.0], 10)
    scales = math.log(3) / 20 * np.array([[0.99], [1.01]])
    assert evidence.can_be_ranked(5 + scales * halves).tolist() == [False, True]


def one_place(values: np.ndarray) -> Places:
    """Places of a law without a phase: values (n, classes, symbols)."""
    known = torch.from_numpy(values)[:, :, None]
    return Places(known, torch.zeros(known.shape[:3]), torch.zeros(known.shape[:3]))


def test_against_one_rival_all_truths_are_one():
    """Two classes, one phase: log odds are a sum, so every fair share is the summand."""
    values = np.random.default_rng(6).normal(size=(2, 2, 9))
    chosen, of_each = np.array([0, 1]), values[:, 0] - values[:, 1]
    expected = of_each * np.array([[1], [-1]])
    toy = one_place(values)
    rng = np.random.default_rng(7)
    assert np.allclose(evidence.leave_one_out(toy, chosen), expected)
    assert np.allclose(evidence.shapley(toy, chosen, 2, rng=rng), expected)


def test_leave_one_out_is_what_the_posterior_loses():
    x, law = received("16QAM", 20.0, frames=2), SymbolLaw(CLASSES, 20.0)
    known, chosen = places(x, law), np.array([3, 4])
    found = evidence.leave_one_out(known, chosen)

    whole = evidence.log_odds(known.log_likelihoods().double().numpy(), chosen)
    for symbol in (0, 17, SYMBOLS - 1):
        kept = torch.ones(2, SYMBOLS, dtype=torch.bool)
        kept[:, symbol] = False
        without = evidence.log_odds(known.log_likelihoods(kept).double().numpy(), chosen)
        assert np.allclose(found[:, symbol], whole - without, atol=2e-3)  # float32 there
    assert np.ptp(found, axis=1).min() > 0.1


def test_shapley_values_add_up_to_the_log_odds():
    x, law = received("QPSK", 10.0, frames=2), SymbolLaw(CLASSES, 10.0)
    known, chosen = places(x, law, most=None), np.array([1, 2])
    found = evidence.shapley(known, chosen, 2, rng=np.random.default_rng(8))
    whole = evidence.log_odds(known.log_likelihoods().double().numpy(), chosen)
    # Places that are left out hold some of the prior: with no symbol known they would be missed.
    missed = known.log_prior.double().logsumexp(2).numpy()
    nothing = evidence.log_odds(missed, chosen)
    assert np.allclose(found.sum(1), whole - nothing, atol=2e-3)
    assert np.ptp(found, axis=1).min() > 0.1


def test_log_odds_of_equal_classes_are_those_of_chance():
    assert evidence.log_odds(np.zeros((1, 5)), np.array([2])) == pytest.approx(-math.log(4))


def test_a_pixel_has_the_mean_of_its_symbols():
    of_symbols = np.array([[1.0, 3.0, 5.0, 7.0], [2.0, 2.0, 4.0, 9.0]])
    pixels = np.array([[0, 0, 2, 65535], [1, 1, 1, 3]])
    found = evidence.pixel_means(of_symbols, pixels, 4)
    expected = [[2.0, np.nan, 5.0, np.nan], [np.nan, 8 / 3, np.nan, 9.0]]
    assert np.allclose(found, expected, equal_nan=True)


def test_middles_of_pixels_lie_in_their_pixels():
    size = 8
    middles = evidence.pixel_middles(np.arange(size**2), size, EXTENT.symbol)
    both = torch.from_numpy(np.stack([middles.real, middles.imag], -1)).float()
    hit = bin_points(both[None], size / 2 / EXTENT.symbol, size)
    assert hit[0].tolist() == list(range(size**2))


def test_ties_share_their_rank():
    truth = np.array([[1.0, 2.0, 3.0, np.nan]])
    assert np.isnan(evidence.agreement(np.array([[0.0, 0.0, 0.0, 9.0]]), truth)[0])
    tied = evidence.agreement(np.array([[0.0, 1.0, 1.0, 9.0]]), truth)
    assert tied[0] == pytest.approx(math.sqrt(3) / 2)  # ranks 1, 2.5, 2.5 with 1, 2, 3
