"""Symbol rates and clocks: bounds of the estimate, modulations, noise, and resampling."""

import numpy as np
import pytest

from pisces.acquisition.resampling import nearest_ratio, resample
from pisces.acquisition.symbol_rate import find_symbol_rate, refined, strongest_line
from pisces.core.seeding import generator
from tests.recorded import modulated, noise, shifted

CLOCK = 4e-4
"""Relative error of a rate by which 128 symbols drift .05 of one."""


def rng(*identity):
    return generator(3, "test rate", *identity)


@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_a_line_is_found_at_the_cramer_rao_bound(snr_db):
    """6 / ((2 pi)^2 snr N (N^2 - 1)), of Rife and Boorstyn, eq. 17 with N samples."""
    samples, trials, rate = 256, 200, 0.123
    power = 10 ** (-snr_db / 10)
    tone = shifted(np.ones(samples), rate)
    found = [
        refined((tone + noise(samples, power, rng=rng("tone", snr_db, one)))[None], rate + 1e-3)
        for one in range(trials)
    ]

    bound = 6 * power / ((2 * np.pi) ** 2 * samples * (samples**2 - 1))
    spread = np.mean((np.array(found) - rate) ** 2) / bound
    assert abs(spread - 1) < 5 * np.sqrt(2 / trials)


@pytest.mark.parametrize(
    "modulation", ["BPSK", "QPSK", "8PSK", "16APSK", "64QAM", "256QAM", "OQPSK"]
)
@pytest.mark.parametrize(("rolloff", "snr_db"), [(0.35, 5), (0.2, 15)])
def test_the_rate_of_a_modulation_is_found(modulation, rolloff, snr_db):
    samples_per_symbol = 7.35
    signal = modulated(modulation, 2_000, samples_per_symbol, rolloff, rng=rng(modulation))
    iq = shifted(signal, 0.11) + noise(len(signal), 10 ** (-snr_db / 10), rng=rng("n", modulation))

    found = find_symbol_rate(iq, 0.113, 1.1 / samples_per_symbol)

    assert found.rate * samples_per_symbol == pytest.approx(1, abs=CLOCK)
    assert found.confidence > 0.999


def test_the_error_of_a_rate_falls_with_the_length_to_the_power_three_halves():
    """As that of a line in white noise, here that of the products of signal and noise."""
    errors = []
    for symbols in (400, 1_600):
        found = []
        for one in range(24):
            signal = modulated("QPSK", symbols, 4, rng=rng("length", one))
            noisy = signal + noise(len(signal), 0.5, rng=rng("length noise", symbols, one))
            found.append(find_symbol_rate(noisy, 0.0, 0.28).rate)
        errors.append(np.median(np.abs(4 * np.array(found) - 1)))

    # Four times the symbols: an eighth of the error. Medians of 24 are known to a quarter each.
    assert 4 < errors[0] / errors[1] < 16


def test_noise_is_seldom_sure_of_a_rate():
    sure = [
        find_symbol_rate(noise(2_048, 1.0, rng=rng("alone", one)), 0.0, 0.2).confidence > 0.99
        for one in range(40)
    ]

    # The strongest of some bins is a little stronger than their median says: four in a hundred.
    # More than seven of forty then has a chance of 1 in 3 000.
    assert np.sum(sure) <= 7


def test_a_clock_that_jumps_is_found_by_its_parts():
    pieces = [modulated("16QAM", 144, 8, rng=rng("jump", one)) for one in range(30)]

    found = find_symbol_rate(np.concatenate(pieces), 0.0, 0.14)

    assert found.rate * 8 == pytest.approx(1, abs=3 * CLOCK)


def test_frames_tell_their_rate_together():
    frames = np.stack([modulated("QPSK", 144, 5, rng=rng("frame", one)) for one in range(40)])
    frames = frames + noise(frames.size, 0.3, rng=rng("frames")).reshape(frames.shape)

    found = find_symbol_rate(frames, 0.0, 0.22)

    assert found.rate * 5 == pytest.approx(1, abs=3 * CLOCK)
    assert found.confidence > 0.99


def test_too_few_samples_have_no_rate():
    assert find_symbol_rate(np.ones(20, np.complex64), 0.0, 0.2).confidence == 0


def test_a_line_is_measured_over_what_surrounds_it():
    """Of a line of amplitude a in noise of power p in n samples, n a^2 / p + 1."""
    samples, amplitude = 4_096, 0.1
    iq = shifted(np.full(samples, amplitude), 0.2002) + noise(samples, 1.0, rng=rng("over"))

    line = strongest_line(iq[None], (0.1, 0.3))

    assert line.rate == pytest.approx(0.2002, abs=1 / samples)
    assert line.strength == pytest.approx(samples * amplitude**2, rel=0.6)


@pytest.mark.parametrize("ratio", [0.0131, 0.19937, 0.99994, 1.59477, 7.999, 31.7])
def test_a_fraction_is_near_enough_for_the_clock(ratio):
    near = nearest_ratio(ratio)

    assert min(near.numerator, near.denominator) <= 10_000
    assert float(near) == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize("ratio", [0.19937, 0.7, 1.59477, 5.0])
def test_a_tone_is_the_same_tone_at_another_rate(ratio):
    near = nearest_ratio(ratio)
    rate = 0.4 * min(1.0, float(near))
    samples = 20_000

    slow = resample(shifted(np.ones(samples), rate).astype(np.complex64), near)

    expected = shifted(np.ones(len(slow)), rate / float(near))
    inner = slice(len(slow) // 4, -len(slow) // 4)
    error = np.mean(np.abs(slow[inner] - expected[inner]) ** 2)
    assert 10 * np.log10(error) < -70


def test_what_would_fold_is_stopped():
    near = nearest_ratio(0.25)
    slow = resample(shifted(np.ones(20_000), 0.15).astype(np.complex64), near)

    inner = slow[len(slow) // 4 : -len(slow) // 4]
    assert 10 * np.log10(np.mean(np.abs(inner) ** 2)) < -75


def test_an_equal_rate_changes_nothing():
    iq = noise(1_000, 1.0, rng=rng("equal")).astype(np.complex64)

    assert np.array_equal(resample(iq, nearest_ratio(1.0)), iq)
