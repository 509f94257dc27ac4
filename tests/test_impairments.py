"""Each impairment against its closed form, on arrays and on tensors."""

import numpy as np
import pytest
import torch

from pisces.core import impairments
from pisces.core.impairments import LOWPASS_REACH
from pisces.core.seeding import generator

N = 4096


def column(*values):
    return np.array(values, float)[:, None]


def white(*shape, name="white"):
    """Circular Gaussian noise of unit mean power."""
    re, im = generator(1, "test impairments", name).normal(scale=np.sqrt(0.5), size=(2, *shape))
    return re + 1j * im


def tone(cycles, samples=N):
    return np.exp(2j * np.pi * np.outer(np.ones(1), cycles * np.arange(samples)))


def power(frames):
    return np.mean(np.abs(frames) ** 2, axis=-1)


# Amplifier


def test_rapp_saturates_and_keeps_weak_signals_and_the_phase():
    # Mean power is set by the strong half.
    ramp = np.exp(0.3j) * np.geomspace(1e-4, 1e4, 1001)[None]
    saturation = np.sqrt(power(ramp)) * 10 ** (-40 / 20)
    bent = impairments.rapp(ramp, column(2.0), column(-40.0))
    assert np.angle(bent) == pytest.approx(0.3, abs=1e-12)
    assert np.abs(bent[0, -1]) == pytest.approx(saturation[0], rel=1e-3)
    assert np.abs(bent).max() <= saturation[0]
    assert bent[0, 0] / ramp[0, 0] == pytest.approx(1, abs=1e-9)
    # At the saturation level the two asymptotes meet, and the output is 2^(-1 / 2p) of it.
    at_knee = np.interp(saturation[0], np.abs(ramp[0]), np.abs(bent[0]))
    assert at_knee == pytest.approx(saturation[0] * 2**-0.25, rel=1e-3)


def test_the_less_backoff_the_more_power_beyond_the_band():
    band = np.fft.ifft(np.fft.fft(white(1, N)) * (np.abs(np.fft.fftfreq(N)) < 0.05))
    beyond = np.abs(np.fft.fftfreq(N)) > 0.06
    shares = []
    for backoff_db in (0.0, 10.0, 40.0):
        spectrum = np.abs(np.fft.fft(impairments.rapp(band, column(2.0), column(backoff_db)))) ** 2
        shares.append(spectrum[0, beyond].sum() / spectrum.sum())
    assert shares[0] > 10 * shares[1] > 100 * shares[2]


# Channel


def test_an_echo_of_whole_samples_is_the_block_once_more():
    block = white(2, 256)
    amplitude, delay, turns = column(0.5, 1.0), column(3, 16), column(0.1, 0.7)
    frequency = np.fft.fftfreq(256)
    response = impairments.echo_response(frequency, amplitude, delay, turns)
    spoilt = np.fft.ifft(np.fft.fft(block) * response)
    late = np.stack([np.roll(block[0], 3), np.roll(block[1], 16)])
    expected = block + amplitude * np.exp(2j * np.pi * turns) * late
    assert np.abs(spoilt - expected).max() < 1e-12
    assert power(response) == pytest.approx(1 + amplitude[:, 0] ** 2, abs=1e-12)


@pytest.mark.parametrize("level_db", [-30.0, 0.0])
def test_interference_has_its_level_at_its_place(level_db):
    offset = 410 / N
    frames = 3 * tone(0.0)
    found = impairments.add_interference(frames, 7 * tone(0.0), column(level_db), column(offset))
    spectrum = np.abs(np.fft.fft(found) / N) ** 2
    assert 10 * np.log10(spectrum[0, 410] / spectrum[0, 0]) == pytest.approx(level_db, abs=1e-9)
    assert power(found - frames) == pytest.approx(9 * 10 ** (level_db / 10))


# Clock


def test_instants_between_samples_are_those_of_the_harmonics():
    bins, length = np.array([-31, -7, 0, 5, 30]), 64
    gains = white(3, 5, name="harmonics")
    instants = generator(1, "instants").uniform(-100, 200, (3, 50))

    def signal(time):
        return np.einsum("nb,nbt->nt", gains, np.exp(2j * np.pi * bins[:, None] * time / length))

    samples = np.broadcast_to(np.arange(length), (3, 1, length))
    found = impairments.at_instants(signal(samples), instants)
    assert np.abs(found - signal(instants[:, None])).max() < 1e-11


# Oscillator


def test_the_variance_of_phase_noise_grows_by_2_pi_linewidth_a_sample():
    count, linewidth = 4000, 1e-4
    steps = generator(1, "steps").normal(size=(count, 256))
    turned = impairments.phase_noise(np.ones((count, 256), complex), steps, column(linewidth))
    phase = np.angle(turned)
    # A variance of count normal numbers is known to sqrt(2 / count) of itself.
    for later in (9, 99, 255):
        grown = phase[:, later].var() / (2 * np.pi * linewidth * (later + 1))
        assert grown == pytest.approx(1, abs=5 * np.sqrt(2 / count))
    assert np.abs(turned) == pytest.approx(1, abs=1e-12)
    # E cos of a normal phase of variance v is exp(-v / 2): a Lorentzian line.
    mean = turned[:, -1].real.mean()
    assert mean == pytest.approx(np.exp(-np.pi * linewidth * 256), abs=5 / np.sqrt(count))


# Receiver


@pytest.mark.parametrize("cutoff", [0.1, 0.25, 0.4])
def test_the_low_pass_has_its_band_its_edge_and_its_noise_bandwidth(cutoff):
    def gain_db(frequency):
        return 10 * np.log10(power(impairments.lowpass(tone(frequency), column(cutoff)))[0])

    assert gain_db(0.0) == pytest.approx(0, abs=1e-9)
    assert gain_db(cutoff - 0.045) == pytest.approx(0, abs=0.01)
    assert gain_db(cutoff) == pytest.approx(-6.02, abs=0.1)
    assert gain_db(cutoff + 0.045) < -60

    noise = white(64, N + 2 * LOWPASS_REACH)
    passed = power(impairments.lowpass(noise, np.full((64, 1), cutoff))).mean()
    # The window takes as much below the edge as it lets through above, but squared: a transition
    # of 5.5 / 65 cycles a sample costs some quarter of it.
    assert 0.9 * 2 * cutoff - 0.015 < passed < 2 * cutoff
    taps = impairments.lowpass(np.eye(1, 4 * LOWPASS_REACH + 1, 2 * LOWPASS_REACH), column(cutoff))
    energy = np.sum(np.abs(taps) ** 2)
    # Correlated over some 1 / (2 cutoff) samples.
    assert passed == pytest.approx(energy, rel=5 / np.sqrt(64 * N * 2 * cutoff))


def test_the_low_pass_delays_nothing_and_has_no_wrapped_ends():
    frames = white(2, 256 + 2 * LOWPASS_REACH)
    found = impairments.lowpass(frames, column(0.2, 0.5))
    assert found.shape == (2, 256)
    # A cut-off of half the sample rate lets everything through, as it was.
    assert np.abs(found[1] - frames[1, LOWPASS_REACH:-LOWPASS_REACH]).max() < 1e-12
    impulse = np.eye(1, 4 * LOWPASS_REACH + 1, 2 * LOWPASS_REACH)
    taps = impairments.lowpass(impulse, column(0.2))[0].real
    written_out = [frames[0, n : n + 2 * LOWPASS_REACH + 1] @ taps for n in range(256)]
    assert np.abs(found[0] - written_out).max() < 1e-12


@pytest.mark.parametrize(("gain_db", "phase_deg"), [(1.0, 0.0), (0.0, 5.0), (-2.0, -10.0)])
def test_image_rejection_is_that_of_the_textbook(gain_db, phase_deg):
    found = impairments.iq_imbalance(tone(500 / N), column(gain_db), column(phase_deg))
    spectrum = np.abs(np.fft.fft(found)[0]) ** 2
    gain, cosine = 10 ** (gain_db / 20), np.cos(np.deg2rad(phase_deg))
    rejection = (1 + 2 * gain * cosine + gain**2) / (1 - 2 * gain * cosine + gain**2)
    assert spectrum[500] / spectrum[-500] == pytest.approx(rejection, rel=1e-9)
    # I is left as it was, and Q has the gain.
    assert found.real == pytest.approx(tone(500 / N).real, abs=1e-12)
    assert np.mean(found.imag**2) == pytest.approx(gain**2 / 2, rel=1e-9)


def test_dc_has_its_power_and_phase():
    frames = 5 * tone(500 / N)
    found = impairments.dc_offset(frames, column(-20.0), column(0.3))
    constant = found.mean()
    assert np.abs(constant) ** 2 == pytest.approx(25 / 100, rel=1e-9)
    assert np.angle(constant) == pytest.approx(2 * np.pi * 0.3, abs=1e-9)
    assert np.abs(found - constant - frames).max() < 1e-12


def test_a_quantiser_gains_6_db_a_bit():
    rng = generator(1, "uniform")
    full = rng.uniform(-1, 1, (1, 2**16)) + 1j * rng.uniform(-1, 1, (1, 2**16))
    # A uniform variable has a third of its peak power, so the range is filled at 4.77 dB.
    loading_db = column(10 * np.log10(3))
    error_db = []
    for bits in (4, 6, 8, 10):
        found = impairments.quantise(full, column(bits), loading_db)
        levels = np.unique(found.real.round(9))
        assert len(levels) <= 2**bits
        error_db.append(10 * np.log10(power(found - full) / power(full))[0])
    # Of 2^17 errors, each known to its own square.
    assert error_db == pytest.approx([-6.0206 * bits for bits in (4, 6, 8, 10)], abs=0.1)


def test_a_quantiser_clips_and_its_levels_are_even():
    frames = np.linspace(-4, 4, 1001)[None] * (1 + 0.5j)
    clip = np.sqrt(power(frames)[0] / 2)
    found = impairments.quantise(frames, column(2), column(0.0))
    for axis in (found.real, found.imag):
        assert np.unique(axis.round(9)) == pytest.approx(
            clip * np.array([-0.75, -0.25, 0.25, 0.75])
        )


# Arrays and tensors


FRAMES = white(3, 128 + 2 * LOWPASS_REACH, name="both")
SPOILERS = {
    "rapp": (FRAMES, column(2, 3, 4), column(0, 3, 6)),
    "echo_response": (np.fft.fftfreq(64), column(0, 0.5, 1), column(1, 2, 3), column(0, 0.2, 0.5)),
    "at_instants": (FRAMES, np.arange(100) + column(0.1, -0.4, 3)),
    "phase_noise": (FRAMES, white(*FRAMES.shape, name="steps").real, column(0, 1e-4, 1e-3)),
    "add_interference": (FRAMES, FRAMES[::-1].copy(), column(-9, -3, 0), column(0, 0.1, 0.2)),
    "lowpass": (FRAMES, column(0.1, 0.3, 0.5)),
    "iq_imbalance": (FRAMES, column(-1, 0, 1), column(0, 3, 9)),
    "dc_offset": (FRAMES, column(-40, -20, -10), column(0, 0.3, 0.5)),
    "quantise": (FRAMES, column(2, 4, 8), column(3, 6, 12)),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_tensors_are_spoilt_as_arrays_are(name):
    spoil, given = getattr(impairments, name), SPOILERS[name]
    before = [one.copy() for one in given]
    expected = spoil(*given)
    found = spoil(*(torch.from_numpy(one) for one in given))
    assert isinstance(found, torch.Tensor)
    # torch numbers its frequencies and samples in single precision.
    assert found.numpy() == pytest.approx(expected, abs=1e-6)
    assert all(np.array_equal(one, old) for one, old in zip(given, before, strict=True))


@pytest.mark.parametrize("name", [name for name in SPOILERS if name != "echo_response"])
def test_a_frame_is_spoilt_as_it_is_alone_and_not_left_as_it_was(name):
    spoil, given = getattr(impairments, name), SPOILERS[name]
    together = spoil(*given)
    alone = [spoil(*(one[at : at + 1] for one in given))[0] for at in range(3)]
    assert together == pytest.approx(np.stack(alone), abs=1e-12)
    same = FRAMES[2, : together.shape[1]]
    assert np.abs(together[2] - same).max() > 1e-3
