"""The carrier of a recording over time, and what becomes of it in frames."""

from functools import partial

import numpy as np
import pytest

from pisces.acquisition.coarse_carrier import (
    follow_carrier,
    likeliest_way,
    line_powers,
    smooth_track,
    symbols_of,
    turn_back,
)
from pisces.core.pulses import rrc_response
from pisces.core.seeding import generator
from pisces.inputs.receiver.spectrum import band_rates
from tests.recorded import modulated, noise, shifted

SPS = 8
RESPONSE = partial(rrc_response, rolloff=0.35)


def rng(*identity):
    return generator(3, "test carrier", *identity)


def received(modulation, symbols, offset, snr_db, drift=0.0):
    signal = modulated(modulation, symbols, SPS, rng=rng(modulation, symbols))
    power = 10 ** (-snr_db / 10)
    noisy = shifted(signal, offset, drift) + noise(len(signal), power, rng=rng("noise", snr_db))
    return noisy.astype(np.complex64)


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "8PSK", "16PSK", "16APSK", "64QAM"])
@pytest.mark.parametrize("offset", [-1.5e-3, 0.0, 3e-3])
def test_a_carrier_is_found_without_its_modulation(modulation, offset):
    iq = received(modulation, 1_500, offset, 17)

    track = follow_carrier(iq, RESPONSE, SPS)

    # A twentieth of a turn over a frame of 128 symbols is what the view `symbol` expects.
    assert track is not None
    assert np.abs(track - offset).max() < 0.05 / 1_024


@pytest.mark.parametrize("snr_db", [5, 15])
def test_the_mean_offset_is_near_the_cramer_rao_bound_of_its_blocks(snr_db):
    """6 / ((2 pi)^2 Es/N0 N (N^2 - 1)) for N known symbols: of all, or of blocks one by one."""
    symbols, block, trials = 520, 64, 12
    errors = []
    for one in range(trials):
        signal = modulated("BPSK", symbols, SPS, rng=rng("crb", one))
        power = 10 ** (-snr_db / 10)
        iq = shifted(signal, 2e-3) + noise(len(signal), power, rng=rng("crb noise", snr_db, one))
        track = follow_carrier(iq.astype(np.complex64), RESPONSE, SPS)
        errors.append(SPS * (track.mean() - 2e-3))

    symbol_snr = SPS * 10 ** (snr_db / 10)
    bound = 6 / ((2 * np.pi) ** 2 * symbol_snr)
    of_all = bound / symbols**3
    of_blocks = bound / block**3 / (symbols / block)
    error = np.mean(np.square(errors))
    # Twelve trials tell a mean square to 40 %; the powers of noisy points lose a factor of two.
    assert 0.4 * of_all < error < 3 * of_blocks


def test_a_carrier_that_drifts_is_followed_within_a_frame():
    """By .3 of a turn within 128 symbols, as some satellites do: drift N^2 / 2."""
    drift = 2 * 0.3 / (128 * SPS) ** 2
    symbols = 2_000
    offset = -drift * symbols * SPS / 2
    iq = received("QPSK", symbols, offset, 12, drift)

    track = follow_carrier(iq, RESPONSE, SPS)

    expected = offset + drift * np.arange(len(iq))
    inner = slice(1_024, -1_024)
    assert np.abs(track[inner] - expected[inner]).max() < 0.05 / 1_024


def test_turning_back_takes_the_carrier_away():
    time = np.arange(4_000)
    track = 1e-3 + 1e-7 * time
    tone = np.exp(2j * np.pi * np.cumsum(track)).astype(np.complex64)

    assert np.allclose(turn_back(tone, track), 1, atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_carrier(seed):
    iq = noise(1_500 * SPS, 1.0, rng=rng("alone", seed)).astype(np.complex64)

    assert follow_carrier(iq, RESPONSE, SPS) is None


def test_less_than_a_block_has_no_carrier():
    assert follow_carrier(np.ones(100, np.complex64), RESPONSE, SPS) is None


def test_lines_of_noise_have_mean_one_and_those_of_psk_its_symbols():
    random = rng("lines")
    offsets = np.array([0.0, 0.05])
    phases = np.exp(2j * np.pi * random.random((400, 64)))
    of_noise = line_powers(phases, offsets)
    quarter = np.exp(2j * np.pi * random.integers(4, size=(400, 64)) / 4)
    of_psk = line_powers(quarter, offsets)

    # 400 exponentials of mean 1 in each of the 32 lines.
    assert np.abs(of_noise.mean(1) - 1).max() < 5 / np.sqrt(400)
    orders_of_four = of_psk[4:, :, 0]
    assert orders_of_four.min() > 63.9


def test_the_way_through_the_blocks_passes_one_that_is_deaf():
    score = np.zeros((9, 41), np.float32)
    score[np.arange(9), 10 + 2 * np.arange(9)] = 20
    score[4] = 0
    score[4, 40] = 15

    way = likeliest_way(score, slowness=1.0)

    assert np.array_equal(np.delete(way, 4), np.delete(10 + 2 * np.arange(9), 4))
    assert 16 <= way[4] <= 20


def test_a_track_of_a_parabola_is_the_parabola():
    middles = 256 * np.arange(1, 40)
    curve = 1e-3 * (np.arange(10_240) / 10_240 - 0.5) ** 2

    track = smooth_track(middles, curve[middles], 10_240)

    # A hundredth of a turn over a frame.
    assert np.abs(track - curve)[256:-256].max() < 1e-5


def test_symbols_keep_their_carrier():
    frame = received("BPSK", 80, 0.0, 40)[: 64 * SPS][None]
    response = RESPONSE(np.abs(band_rates(64).numpy()))

    still = symbols_of(frame, response, SPS)[0]
    moved = symbols_of(shifted(frame[0], 1e-3)[None], response, SPS)[0]

    turned = np.unwrap(2 * np.angle(moved * still.conj())) / 2
    slope = np.polyfit(np.arange(len(turned)), turned, 1)[0] / (2 * np.pi)
    assert slope == pytest.approx(1e-3 * SPS, rel=0.02)
