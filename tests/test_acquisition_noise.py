"""The noise that frames show beside the band of a signal is that within it."""

import numpy as np
import pytest

from pisces.acquisition.acquire import acquire
from pisces.acquisition.fine_phase import left_of_phase
from pisces.acquisition.in_band_noise import noise_in_band
from pisces.acquisition.tilt import upright
from pisces.core.dsp import measured_snr, to_db
from pisces.core.pulses import rrc_response
from pisces.core.seeding import generator
from tests.recorded import InMemory, burst, modulated, noise, shifted

GOAL = {"samples": 1_024, "sps": 8, "max_offset": 3.3e-5}


def rng(*identity):
    return generator(5, "test noise of acquisition", *identity)


def snr_of_frames_db(iq):
    """Of all frames of the only signal of a recording."""
    (found,) = acquire(InMemory(iq, 1.0), **GOAL)
    return float(np.median(to_db(measured_snr(found.frames))))


@pytest.mark.parametrize("modulation", ["BPSK", "OQPSK", "8PSK", "64QAM"])
@pytest.mark.parametrize("rolloff", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("snr_db", [0, 12, 24])
def test_noise_is_found_in_the_band_whatever_fills_it(modulation, rolloff, snr_db):
    identity = (modulation, str(rolloff), snr_db)
    signal = modulated(modulation, 3_016, 8.0, rolloff, rng=rng("edges", *identity))
    power = 8 / 10 ** (snr_db / 10)
    noisy = signal + noise(len(signal), power, rng=rng("in band", *identity))

    # The rate may be slightly wrong: over 3 000 symbols this adds up to half a symbol.
    found = noise_in_band(noisy, (1 + 1.7e-4) / 8)

    # A quarter of the band of 3 000 symbols: 750 values, of which a third is lost where it counts
    # what a finer spectrum would leave. Four standard errors are 4.34 * 4 / sqrt(500) dB.
    assert 10 * np.log10(found / power) == pytest.approx(0, abs=0.8)


def test_signals_without_edges_in_common_do_not_hide_noise():
    values = rng("gauss").normal(size=24_000)
    signal = np.exp(2j * np.pi * np.cumsum(0.02 * np.repeat(np.sign(values[::16]), 16)))
    noisy = signal + noise(24_000, 0.1, rng=rng("bound"))

    assert noise_in_band(noisy, 1 / 16) > 0.09


def test_few_symbols_do_not_tell_the_noise():
    assert noise_in_band(noise(4_000, 1.0, rng=rng("few")), 1 / 8) is None


@pytest.mark.parametrize(
    ("modulation", "rolloff", "off"),
    [("BPSK", 0.9, 2_000), ("QPSK", 0.2, 2_000), ("16QAM", 0.5, 0), ("8PSK", 0.35, 60_000)],
)
@pytest.mark.parametrize("snr_db", [3, 15])
def test_noise_beside_a_signal_that_is_hardly_ever_off(modulation, rolloff, off, snr_db):
    identity = (modulation, off, snr_db)
    signal = modulated(modulation, 8_000, 5.0, rolloff, rng=rng("on", *identity))
    signal = shifted(signal, 0.1)
    in_band_db = snr_db + 10 * np.log10(8 / 5)
    iq = burst(signal, in_band_db, before=off, after=off, rng=rng("off", *identity))

    assert snr_of_frames_db(iq) == pytest.approx(snr_db, abs=0.5)


@pytest.mark.parametrize("step_db", [-5.0, -3.0, 6.0])
def test_noise_beside_a_burst_at_which_a_gain_control_steps(step_db):
    signal = modulated("QPSK", 4_000, 5.0, rng=rng("step"))
    iq = burst(signal, 10, before=30_000, after=30_000, rng=rng("step noise"))
    gain = np.full(len(iq), 10 ** (-step_db / 20))
    gain[30_000:-30_000] = 1

    found = snr_of_frames_db(gain * iq)

    assert found == pytest.approx(10 - 10 * np.log10(8 / 5), abs=0.5)


def response(rates):
    return rrc_response(rates, 0.35)


def with_phase(modulation, wavers):
    signal = modulated(modulation, 2_016, 8.0, rng=rng("phase", modulation))
    phase = wavers * np.sin(2 * np.pi * np.arange(len(signal)) / (170 * 8))
    noisy = signal * np.exp(1j * phase) + noise(len(signal), 0.05, rng=rng("phase noise"))
    return phase, noisy.astype(np.complex64)


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "8PSK"])
def test_a_phase_that_wavers_is_followed(modulation):
    phase, iq = with_phase(modulation, 0.4)

    found = left_of_phase(iq, response, 8)

    inside = slice(512, -512)
    left = (found - phase)[inside]
    # But for a turn by which the constellation is alike.
    assert np.std(left) < 0.2 * np.std(phase)


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "8PSK", "16QAM", "64QAM"])
def test_a_steady_phase_is_left_alone(modulation):
    _, iq = with_phase(modulation, 0.0)

    assert left_of_phase(iq, response, 8) is None


def tilted(iq, slope):
    """Samples through a filter whose log power grows by `slope` over a symbol rate."""
    rates = np.fft.fftfreq(len(iq)) * 8
    return np.fft.ifft(np.fft.fft(iq) * np.exp(slope * np.clip(rates, -1, 1) / 2))


@pytest.mark.parametrize("modulation", ["BPSK", "16QAM"])
def test_a_band_that_a_filter_tilts_is_set_upright(modulation):
    signal = modulated(modulation, 6_016, 8.0, rng=rng("tilt", modulation))
    noisy = signal + noise(len(signal), 0.02, rng=rng("tilt noise", modulation))
    bent = tilted(noisy, 0.6).astype(np.complex64)

    found = upright(bent, slice(0, len(bent)), 0.02, 8)

    def error(iq):
        inside = slice(512, -512)
        scale = np.vdot(iq[inside], noisy[inside]) / np.vdot(iq[inside], iq[inside])
        return np.mean(np.abs(scale * iq[inside] - noisy[inside]) ** 2)

    # Two coefficients from 3 000 pairs of bins, whose log ratio has the variance 2: an amplitude is
    # off by 0.01, that of the tilt by 0.1 in the mean; a seventh is ten times that in power.
    assert error(found) < error(bent) / 7


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "OQPSK", "64QAM"])
@pytest.mark.parametrize("symbols", [200, 2_000, 20_000])
def test_a_band_that_stands_upright_is_left_alone(modulation, symbols):
    signal = modulated(modulation, symbols, 8.0, rng=rng("upright", modulation, symbols))
    noisy = signal + noise(len(signal), 0.1, rng=rng("upright noise", modulation, symbols))
    iq = noisy.astype(np.complex64)

    assert upright(iq, slice(0, len(iq)), 0.1, 8) is iq
