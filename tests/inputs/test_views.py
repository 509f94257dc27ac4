"""Each view against its own definition: floors, differences, and what no view may depend on."""

from dataclasses import fields
from typing import get_args

import numpy as np
import pytest
import torch
from scipy import signal

from pisces.core import impairments, shards
from pisces.core.shards import Cell
from pisces.inputs import rendering, views
from pisces.inputs.binning import bin_frames
from pisces.inputs.settings import Extent, ViewName
from tests.conftest import POINTS, RENDER, SAMPLES
from tests.inputs.signals import EPS, SPS, VIEWS, clean, db, send, tensor, white

# The floor


@pytest.mark.parametrize("sps", [3, 4, 8, 16])
def test_high_pass_stops_the_occupied_band_and_passes_the_rest(sps):
    taps = views._high_pass(sps).astype(float)
    assert len(taps) % 2
    assert np.array_equal(taps, taps[::-1])
    rate, response = signal.freqz(taps, worN=8192, fs=sps)  # in symbol rates
    level_db = 2 * db(np.abs(response) + 1e-12)
    assert (
        level_db[rate <= 0.75].max() < -views.STOP_BAND_DB + 2 < views.FLOOR_DB
    )  # Kaiser's formula is good to 2 dB
    assert np.abs(level_db[rate >= 1.25]).max() < 0.01
    assert (rate >= 1.25).any()


def test_noise_against_a_direct_convolution(frames):
    points = views.noise(tensor(frames), SPS).numpy().astype(complex)
    taps = views._high_pass(SPS).astype(float)
    rms = np.sqrt(np.mean(np.abs(frames.astype(complex)) ** 2, axis=1))
    outside = np.stack([np.convolve(frame, taps, "valid") for frame in frames]) / (
        rms[:, None] * np.sqrt(np.sum(taps**2))
    )
    assert points.shape == outside.shape == (60, SAMPLES - 82)
    back = 10 ** ((np.abs(points) + views.FLOOR_DB) / 20) * np.exp(1j * np.angle(points))
    lit = np.abs(points) > 0
    # The transforms round by log2(256) eps of the frame's RMS, and a radius of up to 80 dB by 80
    # eps, which is 9 eps of the level.
    assert np.abs(back - outside)[lit].max() < 30 * EPS * np.abs(outside).max()
    assert np.abs(outside[~lit]).max(initial=0) < 10 ** (views.FLOOR_DB / 20) + 16 * EPS


def level_db(iq: np.ndarray) -> float:
    """Power mean of the levels of the view, in dB below the power of the frames."""
    radius = views.noise(tensor(iq), SPS).abs().double().numpy()
    return float(db(np.mean(10 ** ((radius + views.FLOOR_DB) / 10))))


@pytest.mark.parametrize("modulation", ["BPSK", "256QAM"])
@pytest.mark.parametrize("noise_db", range(-60, 1, 10))
def test_floor_is_where_white_noise_was_put(modulation, noise_db):
    """White noise of known power is found.

    20 frames of 942 points of 3/4 of the band scatter by 4.34 / sqrt(14 000) = 0.04 dB, and
    leakage adds 0.06 dB at -60.
    """
    iq = clean(modulation, 20) + 10 ** (noise_db / 20) * white((20, 1024), "floor")
    power = 10 ** (noise_db / 10)
    assert level_db(iq) == pytest.approx(db(power / (1 + power)), abs=0.3)


@pytest.mark.parametrize("modulation", ["BPSK", "256QAM"])
def test_clean_signals_lie_at_the_centre(modulation):
    assert (views.noise(tensor(clean(modulation, 20)), SPS) == 0).all()


def test_white_noise_lies_at_0_db_at_any_angle():
    noise = white((20, 1024), "alone")
    assert level_db(noise) == pytest.approx(0, abs=0.3)
    points = views.noise(tensor(noise), SPS).numpy()
    # 14 000 independent angles.
    assert abs(np.mean(points / np.abs(points))) < 5 / np.sqrt(14_000)


@pytest.mark.parametrize("modulation", ["QPSK", "64QAM"])
@pytest.mark.parametrize("snr_db", [0, 20, 40])
def test_floor_is_that_beside_the_signal_behind_a_low_pass(modulation, snr_db):
    """Cut off at .15 cycles a sample, noise far from the signal lies 15 dB lower.

    Two dozen bins of a window that makes them worth half as many: 4.34 / sqrt(12) = 1.25 dB a
    frame, and the filter has taken some tenths of a dB beside the signal.
    """
    iq = send(modulation, 100, snr_db).iq
    reach = impairments.LOWPASS_REACH
    passed = impairments.lowpass(np.pad(iq, ((0, 0), (reach, reach)), "wrap"), 0.15)
    noise_db = level_db(iq)
    assert level_db(passed) == pytest.approx(noise_db, abs=2)

    radius = views.noise(tensor(passed), SPS).abs().double().numpy() + views.FLOOR_DB
    of_frames = db(np.mean(10 ** (radius / 10), 1))
    assert np.abs(of_frames - noise_db).max() < 7


@pytest.mark.parametrize("modulation", ["QPSK", "64QAM", "4ASK", "OQPSK"])
@pytest.mark.parametrize("snr_db", [-10, 10, 30, 60])
def test_white_noise_is_never_taken_for_low_passed(modulation, snr_db, monkeypatch):
    iq = tensor(send(modulation, 300, snr_db).iq)
    found = views.noise(iq, SPS)
    monkeypatch.setattr(views, "LOWPASSED_DB", 300.0)
    assert torch.equal(found, views.noise(iq, SPS))


# Differences


@pytest.mark.parametrize("delay", [1, 4, 255])
def test_differential_against_a_loop(frames, delay):
    points = views.differential(tensor(frames), delay).numpy()
    for frame, row in zip(frames.astype(complex), points, strict=True):
        expected = np.array([frame[n] * np.conj(frame[n - delay]) for n in range(delay, SAMPLES)])
        expected /= np.sqrt(np.mean(np.abs(expected) ** 2))
        assert np.abs(row - expected).max() < 8 * EPS * np.abs(expected).max()


@pytest.mark.parametrize("delay", [1, 4])
def test_differential_turns_with_the_carrier_offset_and_is_blind_to_its_phase(delay):
    iq, offset = clean("16QAM", 5), 0.013
    turned = iq * np.exp(2j * np.pi * (0.3 + offset * np.arange(1024)))
    before, after = (views.differential(tensor(x), delay).numpy() for x in (iq, turned))
    assert (
        np.abs(after - before * np.exp(2j * np.pi * offset * delay)).max()
        < 8 * EPS * np.abs(before).max()
    )


@pytest.mark.parametrize("modulation", ["FM", "GMSK"])
def test_constant_modulus_is_the_unit_circle(modulation):
    points = views.differential(tensor(clean(modulation, 5)), 4)
    assert (points.abs() - 1).abs().max() < 8 * EPS
    assert (views.differential(tensor(clean("QPSK", 5)), 4).abs() - 1).abs().max() > 0.5


# All


def test_every_view_has_a_name_for_settings_and_an_extent():
    assert tuple(views.VIEWS) == get_args(ViewName)
    assert [field.name for field in fields(Extent)] == list(views.VIEWS)


@pytest.mark.parametrize(("name", "turn"), [("symbol", 1j), ("noise", 1j), ("differential", 1)])
def test_a_turn_by_90_degrees_turns_all_but_the_differential(frames, name, turn):
    before, after = VIEWS[name](tensor(frames)), VIEWS[name](tensor(1j * frames))
    torch.testing.assert_close(after, before * turn, rtol=0, atol=1e-3)
    assert before.abs().max() > 1


@pytest.mark.parametrize("name", VIEWS)
def test_a_frame_is_seen_alone(frames, name):
    together = VIEWS[name](tensor(frames))
    loud = frames.copy()
    loud[1:] *= 1000
    torch.testing.assert_close(VIEWS[name](tensor(loud))[0], together[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(VIEWS[name](tensor(frames[7:8]))[0], together[7], rtol=0, atol=1e-4)


@pytest.mark.parametrize("exponent", [-40, -3, 1, 40])
def test_a_power_of_two_changes_no_bin_in_any_view(frames, exponent):
    """Far beyond where the fourth power of a sample leaves float32."""
    iq = torch.view_as_real(tensor(frames))
    before, after = bin_frames(iq, RENDER), bin_frames(iq * 2.0**exponent, RENDER)
    for view, bins in before.items():
        assert torch.equal(after[view], bins), view
        assert len(bins.unique()) > 100


def test_silence_beyond_the_signal_and_between_pulses_has_no_nan():
    impulse = torch.zeros(1, SAMPLES, dtype=torch.complex64)
    impulse[0, 100] = 1
    tone = torch.ones(1, SAMPLES, dtype=torch.complex64)
    for name, view in VIEWS.items():
        for iq in (impulse, tone):
            points = view(iq)
            assert points.shape == (1, POINTS[name])
            assert points.isfinite().all()
    assert not VIEWS["differential"](impulse).any()
    assert not VIEWS["noise"](tone).any()


@pytest.mark.parametrize(
    ("name", "samples", "message"),
    [
        (
            "symbol",
            255,
            "255 samples are not a whole number, above 8, of symbols of render.sps = 8 samples",
        ),
        ("symbol", 64, "frames of 64 samples are not a whole number, above 8, of symbols"),
        (
            "noise",
            82,
            "82 samples are shorter than the 83 taps .* render.sps = 8; leave it out of render",
        ),
        (
            "differential",
            4,
            "render.delay = 4 is no less than the 4 samples of a frame; make it smaller",
        ),
        ("differential", 3, "render.delay = 4 is no less than the 3 samples"),
    ],
)
def test_frames_that_a_view_cannot_be_made_of(name, samples, message):
    with pytest.raises(ValueError, match=message):
        VIEWS[name](torch.ones(2, samples, dtype=torch.complex64))


@pytest.mark.parametrize(("name", "samples"), [("noise", 83), ("differential", 5)])
def test_shortest_frames_give_one_point(name, samples):
    assert VIEWS[name](tensor(white((2, samples), "short"))).shape == (2, 1)


def test_noise_needs_a_band_without_signal():
    with pytest.raises(
        ValueError,
        match=r"render.sps = 2 leaves no band without signal; noise needs 3 or more: leave it out",
    ):
        views.noise(tensor(white((1, 256), "band")), 2)
    assert views.noise(tensor(white((1, 256), "band")), 3).any()


def test_rendering_frames_too_short_for_a_view_leaves_nothing(tmp_path):
    path = Cell("QPSK", 0).path(tmp_path / "in")
    shards.save(path, {"iq": np.ones((4, 80, 2), np.float32), "row": np.arange(4)}, {})
    with pytest.raises(ValueError, match=r"frames of 80 samples are shorter than the 83 taps"):
        rendering.render(tmp_path / "in", tmp_path / "out", RENDER)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
