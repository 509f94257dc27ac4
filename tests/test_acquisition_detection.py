"""Where a recording has a signal: bursts, bands, louder noise, silence."""

import numpy as np
import pytest

from pisces.acquisition.band import measure_band
from pisces.acquisition.detection import BINS, SPECTRA, cell_powers, detect, level_of
from pisces.core.seeding import generator
from tests.recorded import burst, modulated, noise, shifted

CELL = SPECTRA * BINS // 2
SAMPLES = 2**17


def rng(*identity):
    return generator(3, "test detection", *identity)


def test_a_cell_of_white_noise_holds_its_power_at_every_frequency():
    powers = cell_powers(noise(SAMPLES, 3.0, rng=rng("level")), BINS)

    # Neighbouring spectra share half of their samples: count half of the averages.
    error = 3.0 / np.sqrt(len(powers) * SPECTRA / 2)
    assert np.abs(powers.mean(0) - 3.0).max() < 5 * error
    assert powers.shape[1] == BINS


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_holds_nothing(seed):
    assert detect(noise(SAMPLES, 1.0, rng=rng("noise", seed))) == []


@pytest.mark.parametrize("snr_db", [20, 6, 0])
def test_a_burst_is_found_where_it_is(snr_db):
    signal = shifted(modulated("QPSK", 5_000, 6, rng=rng("burst")), 0.2)
    iq = burst(signal, snr_db, before=40_000, after=50_000, rng=rng("around", snr_db))

    (found,) = detect(iq)

    # What is averaged reaches two cells further, what is closed two more.
    assert abs(found.start - 40_000) <= 4 * CELL
    assert abs(found.start + found.count - 40_000 - len(signal)) <= 4 * CELL
    assert found.low < 0.2 - 0.5 / 6
    assert found.high > 0.2 + 0.5 / 6
    assert found.high - found.low < 3 / 6


@pytest.mark.parametrize("level", [0.0, 1e-6])
@pytest.mark.parametrize("muted", [10_000, 30_000])
def test_a_burst_between_muted_stretches_is_found(muted, level):
    """A squelch leaves no noise there, or next to none; half a millionth in amplitude."""
    signal = shifted(modulated("QPSK", 5_000, 6, rng=rng("burst")), 0.2)
    iq = burst(signal, 12, before=40_000, after=50_000, rng=rng("muted"))
    iq[:muted] *= level
    iq[-muted:] *= level

    (found,) = detect(iq)

    assert abs(found.start - 40_000) <= 4 * CELL
    assert abs(found.start + found.count - 40_000 - len(signal)) <= 4 * CELL


def test_two_signals_beside_each_other_are_two():
    first = shifted(modulated("QPSK", 5_000, 8, rng=rng("first")), -0.25)
    second = shifted(modulated("BPSK", 3_000, 10, rng=rng("second")), 0.2)
    iq = burst(first, 10, before=20_000, after=60_000, rng=rng("two"))
    iq[40_000 : 40_000 + len(second)] += second

    one, other = detect(iq)

    assert one.low < -0.25 < one.high < other.low < 0.2 < other.high
    assert one.start < 21_000
    assert 38_000 < other.start < 41_000


def test_a_gain_that_is_turned_up_for_a_while_is_no_signal():
    iq = noise(SAMPLES, 1.0, rng=rng("gain"))
    iq[30_000:90_000] *= 3

    assert detect(iq) == []


def test_a_signal_that_is_never_off_is_found_beside_its_noise():
    signal = shifted(modulated("16QAM", 8_000, 8, rng=rng("steady")), 0.1)
    iq = signal + noise(len(signal), 0.03, rng=rng("steady noise"))

    (found,) = detect(iq)

    assert found.steady
    assert (found.start, found.count) == (0, len(iq))
    assert found.low < 0.1 < found.high
    assert found.high - found.low < 0.3


@pytest.mark.parametrize("iq", [np.zeros(SAMPLES, complex), np.ones(10, complex)])
def test_silence_and_a_few_samples_hold_nothing(iq):
    assert detect(iq) == []


@pytest.mark.parametrize("offset", [-0.3, 0.0, 0.13])
def test_the_band_of_a_signal_has_its_centre_width_and_snr(offset):
    symbol_rate, rolloff, snr_db = 0.125, 0.35, 5.0
    made = modulated("QPSK", 12_000, 1 / symbol_rate, rolloff, rng=rng("band", offset))
    power = 10 ** (-snr_db / 10)
    iq = shifted(made, offset) + noise(len(made), power, rng=rng("band noise", offset))

    low, high = offset - 0.11, offset + 0.11
    band = measure_band(iq, low, high, np.full(BINS, power))

    # The mean of the spectrum has one of 12 000 symbols' own noise, a bin is 1/512.
    assert abs(band.center - offset) < 1 / 256
    assert symbol_rate < band.occupied < (1 + rolloff) * symbol_rate + 1 / 128
    # Power over mean density, weighted by power: 1 / (1 - rolloff / 4) symbol rates.
    assert abs(band.equivalent - symbol_rate / (1 - rolloff / 4)) < 0.06 * symbol_rate
    in_band_db = snr_db - 10 * np.log10(band.occupied)
    assert abs(10 * np.log10(band.snr) - in_band_db) < 0.3


def test_a_carrier_line_does_not_narrow_the_band():
    signal = modulated("QPSK", 8_000, 8, rng=rng("line"))
    quiet = np.full(BINS, 1e-4)
    alone = measure_band(signal, -0.15, 0.15, quiet)
    with_line = measure_band(signal + 1.0, -0.15, 0.15, quiet)

    assert with_line.equivalent == pytest.approx(alone.equivalent, rel=0.05)


def test_the_level_beside_a_signal_is_that_of_its_noise():
    signal = modulated("8PSK", 8_000, 8, rng=rng("level"))
    iq = signal + noise(len(signal), 0.1, rng=rng("level noise"))

    assert level_of(iq) == pytest.approx(0.1, rel=0.1)


def test_signals_side_by_side_that_begin_at_once_are_one_each():
    """Where they begin they splash over the gaps, which are quiet from then on."""
    iq = noise(SAMPLES, 0.05, rng=rng("six noise"))
    centers = (np.arange(6) - 2.5) * 0.12
    for center in centers:
        signal = shifted(modulated("QPSK", 3_000, 25, rng=rng("six", center)), center)
        iq[20_000 : 20_000 + len(signal)] += signal

    found = sorted(detect(iq), key=lambda one: one.low)

    middles = [(one.low + one.high) / 2 for one in found]
    assert middles == pytest.approx(centers, abs=2 / BINS)
    assert all(one.high - one.low < 0.1 for one in found)
