"""What the params of a world do to its frames: pulse, levels, labels, clock, impairments."""

import numpy as np
import pytest

from pisces.core.apsk import RINGS, USUAL_RATE
from pisces.core.dsp import measured_snr, noise_power
from pisces.core.impairment_settings import (
    AmplifierSettings,
    EchoSettings,
    ImbalanceSettings,
    ImpairmentSettings,
    InterferenceSettings,
    QuantiserSettings,
)
from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.sources import chain
from pisces.sources.settings import MultipathSettings
from pisces.sources.synthesis import clean_frames, synthesize_cell
from tests.physics import TEXTBOOK, physics

SPS = TEXTBOOK.sps
TWIN = physics(pulse="rml2018", ask="unipolar", snr_label="amplitude")
KINDS = {
    "amplifier": AmplifierSettings((2, 3), (0, 3)),
    "echo": EchoSettings((0.3, 0.5), (0.5, 2)),
    "clock_drift_ppm": (100, 500),
    "phase_noise": (1e-5, 1e-4),
    "adjacent": InterferenceSettings((-20, -10), (1.2, 1.5)),
    "cochannel": InterferenceSettings((-20, -10), (-0.1, 0.1)),
    "lowpass": (0.15, 0.3),
    "iq_imbalance": ImbalanceSettings((0.5, 1), (2, 5)),
    "dc_offset_db": (-30, -20),
    "quantiser": QuantiserSettings((4, 6), (9, 12)),
}


def generators(count, *identity):
    return [generator(7, "test worlds", *identity, i) for i in range(count)]


def made(modulation, world, label=10, count=3):
    return synthesize_cell(modulation, label, range(count), world, seed=3)


def impaired(**kinds):
    return physics(impairments=ImpairmentSettings(**kinds))


# Pulse, levels, code rates


def test_the_twin_has_a_tenth_of_its_power_density_at_half_the_symbol_rate():
    count = 400
    frames = clean_frames("16QAM", generators(count, "pulse"), TWIN)
    window = np.hanning(1024)
    spectrum = (np.abs(np.fft.fft(frames * window)) ** 2).mean(axis=0)
    edge = 1024 // (2 * SPS)
    sides = spectrum[[edge, -edge]].mean()
    # At 9 dB down the density falls by about a third a bin of 1/128 symbol rates, which a Hann
    # window blurs by less than 2 %. Two bins of 400 frames are known to 5 / sqrt(800).
    found = 10 * np.log10(sides / spectrum[1:20].mean())
    assert found == pytest.approx(-9.0, abs=4.34 * 5 / np.sqrt(2 * count) + 0.2)
    assert spectrum[round(0.75 * 1024 / SPS) : 400].max() < 1e-6 * spectrum[0]


@pytest.mark.parametrize(("modulation", "order"), [("4ASK", 4), ("8ASK", 8), ("PAM4", 4)])
def test_unipolar_levels_start_at_zero(modulation, order):
    points = constellation(modulation, ask="unipolar")
    assert points / points[1] == pytest.approx(np.arange(order))
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1)
    frames = clean_frames(modulation, generators(50, modulation), physics(ask="unipolar"))
    mean = np.abs(points.mean())
    # The mean is a line at the carrier: 128 symbols leave it unsure by less than 1 / sqrt(128).
    lines = np.abs(frames.mean(axis=1))
    assert lines.mean() == pytest.approx(mean, abs=5 / np.sqrt(128 * 50))


def test_other_modulations_do_not_depend_on_the_levels():
    for name in ("OOK", "BPSK", "16QAM"):
        assert np.array_equal(constellation(name, ask="unipolar"), constellation(name))


@pytest.mark.parametrize("modulation", RINGS)
def test_every_row_of_rings_has_its_source_and_its_order(modulation):
    for rate, rings in RINGS[modulation].items():
        assert rings.source.startswith(("EN 302 307-", "measured in ")), rate
        assert sum(rings.sizes) == int(modulation.removesuffix("APSK"))
        assert list(rings.radii) == sorted(set(rings.radii))
        assert rings.radii[0] == 1
        radii = np.abs(constellation(modulation, rate=rate))
        found, counts = np.unique((radii / radii.min()).round(6), return_counts=True)
        assert found == pytest.approx(rings.radii)
        assert tuple(counts) == rings.sizes
    usual = constellation(modulation, rate=USUAL_RATE[modulation])
    assert np.array_equal(usual, constellation(modulation))


def test_an_unknown_rate_is_refused():
    with pytest.raises(ValueError, match=r"64APSK has no code rate 2/3; known are 128/180.*source"):
        constellation("64APSK", rate="2/3")


def test_each_frame_draws_one_of_several_rates():
    rates = TEXTBOOK.apsk_rates | {"64APSK": ("4/5", "132/180")}
    world = physics(apsk_rates=rates, rolloff=(0.35, 0.35))
    one = physics(apsk_rates=TEXTBOOK.apsk_rates | {"64APSK": ("132/180",)}, rolloff=(0.35, 0.35))
    assert not np.any(made("64APSK", one) == made("64APSK", TEXTBOOK))
    assert np.array_equal(made("32APSK", world), made("32APSK", physics(rolloff=(0.35, 0.35))))
    # The fourth moment of the envelope tells the two apart once the pulse is fixed.
    frames = clean_frames("64APSK", generators(100, "rates"), world)
    low, high = (
        np.mean(np.abs(clean_frames("64APSK", generators(100, "rates"), pure)) ** 4)
        for pure in (one, physics(rolloff=(0.35, 0.35)))
    )
    between = np.mean(np.abs(frames) ** 4)
    assert min(low, high) < between < max(low, high)


# Labels


@pytest.mark.parametrize("label", [0, 4, 10, 20])
def test_the_true_snr_of_the_twin_is_twice_its_label(label):
    count = 100
    frames = made("QPSK", TWIN, label, count)
    # Some 435 bins beyond a quarter cycle under the taper, whose median is known as well as the
    # mean of 435 / 2; the mean over frames is known to 4.34 / sqrt(N) dB.
    found = 10 * np.log10(np.mean(measured_snr(frames)))
    tolerance = 5 * 4.34 / np.sqrt(count * 435 / 2) + 4.34 / (2 * 435 * np.log(2))
    assert found == pytest.approx(2 * label, abs=tolerance * (1 + 10 ** (-label / 5)))


def test_frames_of_60_db_have_their_floor():
    frames = made("QPSK", TWIN, 30, 50)
    floor = 10 * np.log10(np.median(noise_power(frames)))
    assert floor == pytest.approx(-60, abs=0.3)


# Clock


def test_a_fast_clock_is_a_block_read_faster():
    block = np.exp(2j * np.pi * np.outer(np.ones(400), 37 / 1280 * np.arange(1280)))
    world = physics(clock_offset_ppm=100.0)
    frames = chain.sampled(block, world, generators(400, "clock"))
    cycles = np.angle(frames[:, -1] / frames[:, 0] * np.exp(-2j * np.pi * 37 / 1280 * 1023))
    offset = cycles / (2 * np.pi * 37 / 1280 * 1023)
    assert offset.std() == pytest.approx(1e-4, rel=5 / np.sqrt(800))
    assert np.abs(frames) == pytest.approx(1, abs=1e-12)


def test_drift_changes_the_clock_by_its_ppm_over_a_frame():
    block = np.exp(2j * np.pi * np.outer(np.ones(1), 37 / 1280 * np.arange(1280)))
    frames = chain.sampled(block, impaired(clock_drift_ppm=(800, 800)), generators(1, "drift"))
    steps = np.angle(frames[0, 1:] / frames[0, :-1])
    change = (steps[-1] - steps[0]) / (2 * np.pi * 37 / 1280)
    assert change == pytest.approx(800e-6 * 1022 / 1024, rel=1e-6)


# Impairments


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("modulation", ["16QAM", "GMSK", "FM"])
def test_every_impairment_changes_frames_and_no_other_frame_changes_one(modulation, kind):
    world = impaired(**{kind: KINDS[kind]})
    frames = made(modulation, world, 30)
    assert frames.shape == (3, 1024)
    assert not np.any(np.all(frames == made(modulation, TEXTBOOK, 30), axis=1))
    assert np.array_equal(made(modulation, world, 30, 5)[:3], frames)
    power = np.mean(np.abs(frames) ** 2, axis=1)
    assert power == pytest.approx(1, abs=0.35)


def test_all_impairments_together_at_the_fewest_samples_a_symbol():
    world = physics(sps=2, samples=64, impairments=ImpairmentSettings(**KINDS))
    frames = made("16QAM", world)
    assert frames.shape == (3, 64)
    assert np.isfinite(frames).all()


def test_the_low_pass_filters_signal_and_noise():
    frames = made("QPSK", impaired(lowpass=(0.2, 0.2)), 0, 20)
    spectrum = np.mean(np.abs(np.fft.fft(frames * np.hanning(1024))) ** 2, axis=0)
    frequency = np.abs(np.fft.fftfreq(1024))
    assert spectrum[frequency > 0.26].max() < 1e-5 * spectrum[frequency < 0.15].min()


# What frames were before there were two worlds

BEFORE = {
    "OOK": (0.274141 - 0.264330j, 0.204522 - 0.239909j),
    "8ASK": (-0.796279 - 0.385077j, 0.156974 - 1.519675j),
    "QPSK": (0.075994 + 1.053359j, 0.257000 + 0.883836j),
    "OQPSK": (-0.565880 - 0.899560j, -0.371436 - 0.620717j),
    "16APSK": (-0.266424 - 0.800537j, -0.044909 + 1.250246j),
    "32APSK": (-0.334584 - 1.136377j, -0.071997 + 0.208527j),
    "64APSK": (0.869436 + 0.139425j, 1.036539 + 0.337913j),
    "128APSK": (0.312184 - 0.666261j, -0.299254 - 0.038302j),
    "128QAM": (0.852894 - 0.237576j, -0.711294 + 0.251821j),
    "AM-SSB-WC": (-1.574639 + 0.334005j, -0.491648 + 1.248002j),
    "FM": (0.994178 + 0.155283j, -0.323245 + 0.539375j),
    "GMSK": (0.848419 - 0.665801j, 0.172626 + 0.107116j),
    "CPFSK": (-0.850326 + 0.653205j, 0.117770 - 0.639137j),
}
"""Modulation -> sample 1000 of frame 2 at 10 dB, without multipath and with it."""


@pytest.mark.parametrize("modulation", BEFORE)
def test_the_textbook_world_is_as_it_was(modulation):
    rician = physics(multipath=MultipathSettings(3.0, 4, 2.0))
    found = [made(modulation, world)[2, 1000] for world in (TEXTBOOK, rician)]
    assert found == pytest.approx(BEFORE[modulation], abs=2e-6)
