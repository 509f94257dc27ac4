"""Ceilings and Cramer-Rao bounds against closed forms and published tables."""

from functools import partial

import numpy as np
import pytest
from scipy.stats import chi2, norm

from pisces.core.modulations import DIGITAL, LINEAR, Ask, constellation
from pisces.core.seeding import generator
from pisces.evaluation import bounds

SEVENTEEN = ("OOK", *DIGITAL[:-1])


@pytest.fixture
def rng():
    return generator(1, "test bounds")


def ceiling(
    modulations: tuple[str, ...],
    es_n0_db: list[int],
    symbols: int,
    trials: int,
    ask: Ask = "bipolar",
) -> np.ndarray:
    snrs = bounds.es_n0(es_n0_db, sps=1)
    table = bounds.modulation_ceiling(
        modulations, snrs, symbols=symbols, trials=trials, seed=1, ask=ask
    )
    assert table["snr_db"].tolist() == es_n0_db
    assert (
        table["n"] == trials * len([m for m in modulations if m in LINEAR and m != "OQPSK"])
    ).all()
    return table["accuracy"].to_numpy()


# Likelihoods


def test_log_likelihoods_are_those_of_the_formula(rng):
    """Against the densities of the mixtures themselves, up to what the constellations share."""
    received, snr, names = rng.normal(size=(3, 4, 2)) @ [1, 1j], 2.5, ("BPSK", "8PSK", "16QAM")
    found = bounds.log_likelihoods(received, [constellation(name) for name in names], snr)
    density = [
        np.exp(-snr * np.abs(received[..., None] - constellation(name)) ** 2).mean(-1)
        for name in names
    ]  # (3, 4) each
    expected = np.log(np.stack(density)).sum(-1).T
    assert found - found[:, :1] == pytest.approx(expected - expected[:, :1], abs=1e-9)


@pytest.mark.parametrize("es_n0_db", [0, 12])
def test_one_symbol_of_two_classes_errs_as_in_theory(es_n0_db):
    """BPSK against OOK from one symbol: half the integral of the larger density.

    It is on the real axis, where all points lie.
    """
    x, snr, trials = np.arange(-8, 8, 1e-3), 10 ** (es_n0_db / 10), 4000
    density = [
        np.mean([norm.pdf(x, c.real, np.sqrt(0.5 / snr)) for c in constellation(name)], 0)
        for name in ("OOK", "BPSK")
    ]
    accuracy = np.sum(np.maximum(*density)) * 1e-3 / 2
    found = ceiling(("OOK", "BPSK"), [es_n0_db], 1, trials)[0]
    assert found == pytest.approx(
        accuracy, abs=5 * np.sqrt(accuracy * (1 - accuracy) / (2 * trials))
    )


def test_two_classes_at_both_ends():
    """At 20 dB sure, at -40 dB chance, within five standard errors of 1000 trials.

    32PSK against 16PSK needs more than BPSK against QPSK.
    """
    assert ceiling(("BPSK", "QPSK"), [-40, 20], 32, 500) == pytest.approx(
        [0.5, 1], abs=5 * 0.5 / np.sqrt(1000)
    )
    assert ceiling(("BPSK", "QPSK"), [20], 32, 500)[0] == 1
    easy, hard = (ceiling(pair, [8], 32, 300)[0] for pair in (("BPSK", "QPSK"), ("16PSK", "32PSK")))
    assert easy > 0.99
    assert hard < 0.7


def test_ceiling_of_seventeen_constellations():
    """Against a Monte Carlo of others' code, 16 trials of each modulation, by chi-squared.

    The mean of binomials scatters no more than one. An error of 3 dB in snr makes it 50 and more.
    The ASK of that table seems to have no negative points (see docs/results/limits.md).
    """
    table, trials = {-8: 0.168, -4: 0.213, 0: 0.271, 4: 0.431, 8: 0.610, 12: 0.799}, 16
    found = ceiling(SEVENTEEN, list(table), 128, trials, ask="unipolar")
    published = np.array(list(table.values()))
    p = (found + published) / 2
    deviation = (found - published) ** 2 / (p * (1 - p) / len(SEVENTEEN) * 2 / trials)
    assert deviation.sum() < chi2.isf(1e-3, len(table)), (found, published, deviation)


def test_ceiling_of_the_seventeen_digital_classes():
    """As published for 128 symbols of 8 samples, OQPSK right: five standard errors of 400 trials.

    The published numbers have an error of their own, taken as no larger.
    """
    published, trials = {-10: 0.247, 0: 0.686, 4: 0.870, 8: 0.992}, 25
    snrs = bounds.es_n0(list(published), sps=8)
    table = bounds.modulation_ceiling(DIGITAL, snrs, symbols=128, trials=trials, seed=2)
    for found, p in zip(table["accuracy"], published.values(), strict=True):
        error = np.sqrt(2 * p * (1 - p) / (trials * 16))
        assert found == pytest.approx(p, abs=5 * error)


def test_what_has_no_points_is_always_right():
    """With BPSK and QPSK at chance (0.5): 1/4 + 1/4 + 2 * 1/4 * 0.5.

    The interval shrinks with the share it is about.
    """
    snrs = bounds.es_n0([-60], sps=1)
    only, more = (
        bounds.modulation_ceiling(names, snrs, symbols=16, trials=200, seed=1).iloc[0]
        for names in (("BPSK", "QPSK"), ("BPSK", "QPSK", "OQPSK", "FM"))
    )
    assert more[["accuracy", "ci_low", "ci_high"]].tolist() == pytest.approx(
        (0.5 + only[["accuracy", "ci_low", "ci_high"]] / 2).tolist()
    )
    assert only["accuracy"] == pytest.approx(0.5, abs=5 * 0.5 / 20)
    none = bounds.modulation_ceiling(("FM", "GMSK"), {0: 1.0}, symbols=16, trials=2, seed=1)
    assert none["accuracy"].tolist() == [1]


def test_a_matched_filter_gathers_the_samples_of_a_symbol():
    """128 symbols at Es/N0 = 3 dB are 1024 samples at 3 dB - 10 log10(8).

    The accuracy is the very same, but for the noise drawn.
    """
    names, trials = ("QPSK", "8PSK", "16QAM", "64QAM"), 200
    measure = partial(bounds.modulation_ceiling, names, symbols=128, trials=trials, seed=1)
    spaced, sampled = measure(bounds.es_n0([3], sps=1)), measure(bounds.es_n0([-6], sps=8))
    p = spaced["accuracy"][0]
    assert sampled["accuracy"][0] == pytest.approx(
        p, abs=5 * np.sqrt(2 * p * (1 - p) / (4 * trials))
    )
    unfiltered = measure(bounds.es_n0([-6], sps=1))
    assert unfiltered["accuracy"][0] < p - 0.2


def test_more_trials_leave_the_former_as_they_are():
    few, many = (
        bounds.recognised(("16QAM", "64QAM"), 5, 10**0.5, symbols=512, trials=trials, seed=1)
        for trials in (7, 30)
    )
    assert np.array_equal(few, many[:, :7])
    assert not np.array_equal(
        many, bounds.recognised(("16QAM", "64QAM"), 5, 10**0.5, symbols=512, trials=30, seed=2)
    )
    assert len(np.unique(many[:, ::4], axis=1).T) > 1, "every block drew the same"


def test_labels_of_amplitudes_stand_for_twice_the_decibels():
    """In Es/N0, in the ceiling of the SNR, and in its bounds."""
    assert bounds.es_n0([-5, 0, 10], 8, "amplitude") == pytest.approx({-5: 0.8, 0: 8, 10: 800})

    ceilings = [
        bounds.snr_ceiling(labels, 64, generator(1, "test labels"), convention)
        for labels, convention in (([-4, -2], "amplitude"), ([-8, -4], "power"))
    ]
    assert ceilings[0]["accuracy"].tolist() == ceilings[1]["accuracy"].tolist()
    assert ceilings[0]["snr_db"].tolist() == [-4, -2]

    measure = partial(bounds.snr_bounds, ("QPSK",), samples=1024, sps=8)
    columns = ["blind", "known"]
    amplitude, power = measure([5], snr_label="amplitude"), measure([10])
    assert amplitude[columns].equals(power[columns])


# The SNR


def test_snr_ceiling_is_the_bound_where_labels_are_close(rng):
    """Two labels 0.2 dB apart at 0 dB, 1024 samples.

    An efficient estimate is on the right side with Phi(half the distance over its std). With the
    scale known too, S + V = 1, r = sqrt(S) s + noise has Fisher information N / V^2 about V, and
    2 N / V about sqrt(S), whose slope by V is -1 / (2 sqrt(S)). Without it there is less: the
    data-aided bound, in dB.
    """
    samples = 1024
    low, high = (1 / (1 + 10 ** (db / 10)) for db in (0, 0.2))
    v = (low + high) / 2
    information = samples * (1 / v**2 + 2 / v / (4 * (1 - v)))
    found, error = (
        bounds.snr_ceiling([0, 0.2], samples, rng)["accuracy"].mean(),
        5 * 0.5 / np.sqrt(2 * bounds.SNR_TRIALS),
    )
    assert found == pytest.approx(norm.cdf((low - high) / 2 * np.sqrt(information)), abs=error)
    assert (
        found
        > norm.cdf(0.1 / (bounds.DB_PER_NATURAL * np.sqrt(bounds.data_aided_bound(1) / samples)))
        - error
    )


def test_snr_ceiling_at_both_ends(rng):
    """Six decibels apart all is right; with next to no signal two labels are a guess."""
    assert bounds.snr_ceiling([0, 6, 12], 1024, rng)["accuracy"].tolist() == [1, 1, 1]
    assert bounds.snr_ceiling([-60, -58], 64, rng)["accuracy"].mean() == pytest.approx(
        0.5, abs=5 * 0.5 / np.sqrt(2e4)
    )


def test_data_aided_bound():
    assert [bounds.data_aided_bound(10 ** (db / 10)) for db in (0, 5, 10, 20)] == pytest.approx(
        [3.0, 1.632, 1.2, 1.02], abs=5e-4
    )


BLIND = {  # Es/N0 in dB -> BPSK, QPSK, 8PSK, 16QAM, 64QAM, 256QAM
    0: (4.21, 13.55, 21.40, 45.97, 59.04, 62.77),
    10: (1.20, 1.21, 1.69, 3.80, 18.24, 22.62),
    20: (1.020, 1.020, 1.020, 1.020, 1.300, 19.84),
    30: (1.002, 1.002, 1.002, 1.002, 1.002, 1.008),
}


@pytest.mark.parametrize("snr_db", BLIND)
def test_blind_bound_is_that_of_the_exact_fisher_information(snr_db):
    names = ("BPSK", "QPSK", "8PSK", "16QAM", "64QAM", "256QAM")[: 6 if snr_db == 10 else 5]
    found = [bounds.blind_bound(constellation(name), 10 ** (snr_db / 10)) for name in names]
    assert found == pytest.approx(BLIND[snr_db][: len(names)], rel=0.03)


def test_blind_bound_of_known_symbols_and_turned_points():
    """One point leaves nothing to guess; no phase matters, but for the grid of the quadrature."""
    assert bounds.blind_bound(np.ones(1, complex), 3.0) == pytest.approx(
        bounds.data_aided_bound(3.0)
    )
    points = constellation("8PSK")
    assert bounds.blind_bound(points * np.exp(0.3j), 3.0) == pytest.approx(
        bounds.blind_bound(points, 3.0), rel=0.01
    )


def test_snr_bounds_in_db():
    """4.343 sqrt((1 + 2 / snr) / N), and less from all samples.

    At high SNR that is 1.09, 0.384 and 0.136 dB for 16, 128 and 1024 symbols.
    """
    for symbols, floor_db in ((16, 1.086), (128, 0.384), (1024, 0.136)):
        found = bounds.snr_bounds(("BPSK", "OQPSK", "FM"), [40], samples=symbols * 8, sps=8)
        assert found["blind"][0] == pytest.approx(floor_db, abs=5e-4)
        assert found["known"][0] == pytest.approx(floor_db / np.sqrt(8), abs=5e-4)
    low = bounds.snr_bounds(("QPSK",), [-9], samples=1024, sps=8).iloc[0]
    assert low["blind"] == pytest.approx(
        4.343 * np.sqrt(13.55 / 128), rel=0.05
    )  # -9 dB are -0.03 dB a symbol short of 0
    assert low["known"] == pytest.approx(4.343 * np.sqrt((1 + 2 * 10**0.9) / 1024), rel=1e-3)
    assert bounds.snr_bounds(("FM",), [0], samples=1024, sps=8)["blind"].isna().all()


def test_bound_of_amplitude_shift_keying_is_that_of_its_levels():
    """Levels 0 to 7 lie closer than -7 to 7 at the same power, and hide more of the SNR."""
    bipolar, unipolar = (
        bounds.snr_bounds(("8ASK",), [6], samples=1024, sps=8, ask=ask).iloc[0]
        for ask in ("bipolar", "unipolar")
    )
    levels = constellation("8ASK", "unipolar")
    snr = 8 * 10**0.6
    expected = bounds.DB_PER_NATURAL * np.sqrt(bounds.blind_bound(levels, snr) * 8 / 1024)
    assert unipolar["blind"] == pytest.approx(expected)
    assert unipolar["blind"] > 1.05 * bipolar["blind"]
    assert unipolar["known"] == bipolar["known"]
