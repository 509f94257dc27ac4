"""From a recording to frames: what a receiver makes of them, and what is not acquired."""

import numpy as np
import pytest
import torch

from pisces.acquisition.acquire import acquire
from pisces.acquisition.frames import cut, with_white_noise, without_ends
from pisces.acquisition.pulse import render_settings, response_of
from pisces.acquisition.unsampled import are_symbols
from pisces.core.dsp import noise_power
from pisces.core.modulations import constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.seeding import generator
from pisces.inputs.receiver.chain import receive
from pisces.inputs.receiver.pulse import RATES, responses_of
from pisces.inputs.settings import Extent, RenderSettings
from tests.recorded import InMemory, Note, burst, modulated, noise, shifted

GOAL = {"samples": 1_024, "sps": 8, "max_offset": 3.3e-5}
RENDER = RenderSettings(
    views=("symbol", "noise"),
    size=64,
    extent=Extent(raw=2.5, symbol=2.0, noise=80.0, differential=2.5),
    sps=8,
    pulse="estimated",
    rolloff=0.35,
    carrier_offset_std=3.3e-5,
    delay=4,
)


def rng(*identity):
    return generator(3, "test acquisition", *identity)


def symbols_of(frames):
    """Symbols (n, 120) as the view `symbol` makes them, by the pulse of the frames."""
    iq = torch.from_numpy(np.array(frames, np.complex64))
    render = render_settings(frames, RENDER)
    received = receive(iq, responses_of(iq, render), sps=8, carrier_offset_std=3.3e-5)
    return received.points.numpy()


def error_db(points, modulation):
    """Error vector over the constellation, best of all turns of a frame's phase."""
    ideal = constellation(modulation)
    errors = []
    for turn in np.exp(2j * np.pi * np.arange(32) / 32):
        distance = np.abs(points[..., None] * turn - ideal).min(-1)
        errors.append(np.mean(distance**2, 1))
    return 10 * np.log10(np.mean(np.min(errors, 0)))


@pytest.mark.parametrize(
    ("modulation", "samples_per_symbol", "offset", "clock"),
    [("BPSK", 5.0, 0.21, 1.0031), ("QPSK", 40.0, -0.03, 0.985), ("16QAM", 3.1, 0.05, 1.0)],
)
def test_a_burst_becomes_frames_whose_symbols_are_clean(
    modulation, samples_per_symbol, offset, clock
):
    per_symbol = samples_per_symbol * clock
    signal = shifted(modulated(modulation, 1_200, per_symbol, rng=rng(modulation)), offset)
    # 20 dB in the band of eight symbol rates, which frames have.
    snr_db = 20 + 10 * np.log10(8 / per_symbol)
    iq = burst(signal, snr_db, before=30_000, after=40_000, rng=rng("burst", modulation))
    recording = InMemory(iq, sample_rate_hz=48_000.0)

    (found,) = acquire(recording, **GOAL)

    segment = found.segment
    assert segment.symbol_rate_hz * per_symbol / 48_000 == pytest.approx(1, abs=4e-4)
    assert segment.center_hz / 48_000 == pytest.approx(offset, abs=1e-2 / per_symbol)
    assert abs(segment.start - 30_000) < 32 * per_symbol
    assert abs(segment.count - len(signal)) < 64 * per_symbol
    assert found.frames.shape[1] == 1_024
    assert len(found.frames) >= (1_200 - 64) // 128
    # 29 dB a symbol; what else disturbs it may be as much.
    assert error_db(symbols_of(found.frames[1:-1]), modulation) < -26


def test_frames_begin_where_they_say():
    per_symbol = 6.03
    signal = shifted(modulated("QPSK", 900, per_symbol, rng=rng("starts")), 0.1)
    iq = burst(signal, 15, before=20_000, after=20_000, rng=rng("starts noise"))

    (found,) = acquire(InMemory(iq, 1.0), **GOAL)

    assert np.all(np.diff(found.starts) >= 0.5 * 128 * per_symbol)
    for frame, start in zip(found.frames, found.starts, strict=True):
        own = shifted(iq[start : start + int(128 * per_symbol)], -found.segment.center_hz)
        at = np.round(np.arange(len(own)) * 8 / per_symbol).astype(int)
        same = np.abs(np.vdot(frame[at.clip(0, 1_023)], own))
        assert same > 0.8 * np.linalg.norm(frame[at.clip(0, 1_023)]) * np.linalg.norm(own)


def test_noise_beside_the_band_is_as_loud_as_in_it():
    """A recording at 3 samples a symbol has no noise beyond 1.5 symbol rates; frames do."""
    signal = modulated("QPSK", 2_000, 3.0, rng=rng("beside"))
    snr_db = 10 + 10 * np.log10(8 / 3)
    iq = burst(signal, snr_db, before=40_000, after=40_000, rng=rng("beside noise"))

    (found,) = acquire(InMemory(iq, 1.0), **GOAL)

    power = np.mean(np.abs(found.frames) ** 2, 1)
    snr = power / noise_power(found.frames) - 1
    assert 10 * np.log10(np.median(snr)) == pytest.approx(10, abs=0.5)


@pytest.mark.parametrize(
    "iq",
    [
        np.zeros(60_000),
        np.full(60_000, 1 + 0j),
        noise(60_000, 1.0, rng=rng("alone")),
        shifted(np.ones(60_000), 0.1) + noise(60_000, 1e-3, rng=rng("tone")),
        noise(700, 1.0, rng=rng("few")),
        np.empty(0, complex),
    ],
    ids=["silence", "constant", "noise", "tone", "shorter than a frame", "nothing"],
)
def test_what_is_no_signal_gives_no_frames(iq):
    found = list(acquire(InMemory(iq, 1e6), **GOAL))

    assert sum(len(one.frames) for one in found) == 0


def test_frequency_modulation_is_acquired_without_being_sure():
    knots = rng("fm").normal(size=2_000)
    message = np.interp(np.arange(80_000), np.arange(0, 80_000, 40), knots)
    signal = np.exp(2j * np.pi * np.cumsum(0.02 * message))
    iq = burst(signal, 15, before=40_000, after=40_000, rng=rng("fm noise"))

    found = list(acquire(InMemory(iq, 1e6), **GOAL))

    assert all(np.isfinite(one.frames.view(np.float32)).all() for one in found)


def test_a_signal_shorter_than_a_frame_has_no_frames():
    signal = modulated("BPSK", 110, 12.0, rng=rng("short"))
    iq = burst(signal, 20, before=30_000, after=30_000, rng=rng("short noise"))

    found = list(acquire(InMemory(iq, 1e6), **GOAL))

    assert [len(one.frames) for one in found] in ([], [0])


def test_a_told_symbol_rate_is_taken():
    signal = modulated("QPSK", 1_000, 6.0, rng=rng("told"))
    iq = burst(signal, 15, before=30_000, after=30_000, rng=rng("told noise"))

    (found,) = acquire(InMemory(iq, 6e6), symbol_rate_hz=0.98e6, **GOAL)

    assert found.segment.symbol_rate_hz == pytest.approx(0.98e6)
    assert found.segment.symbol_rate_confidence == 1


def test_annotations_say_where_when_asked():
    signal = shifted(modulated("8PSK", 2_000, 6.0, rng=rng("notes")), 0.2)
    iq = burst(signal, 15, before=10_000, after=10_000, rng=rng("notes noise"))
    note = Note(12_000, 6_000, "8PSK", 0.05e6, 0.35e6, 1e6 / 6)
    recording = InMemory(iq, 1e6, annotations=(note,))

    (found,) = acquire(recording, annotated=True, **GOAL)

    assert abs(found.segment.start - 12_000) < 250
    assert found.segment.symbol_rate_hz == pytest.approx(1e6 / 6)
    assert error_db(symbols_of(found.frames), "8PSK") < -19


def test_a_list_of_frames_stays_as_it_is_where_it_fits():
    rows = [modulated("QPSK", 144, 8.0, rng=rng("rows", one)) for one in range(6)]
    rows = np.stack(rows) + noise(6 * 1_024, 0.05, rng=rng("row noise")).reshape(6, -1)
    recording = InMemory(rows.ravel(), frame_length=1_024, samples_per_symbol=8.0)

    found = list(acquire(recording, **GOAL))

    assert [one.segment.start for one in found] == [1_024 * one for one in range(6)]
    assert all(one.frames.shape == (1, 1_024) for one in found)
    assert np.array_equal(
        np.concatenate([one.frames[0] for one in found]), recording.read(0, 6_144)
    )


def test_frames_of_another_rate_or_carrier_are_made_to_fit():
    rows = [modulated("QPSK", 416, 5.0, rng=rng("five", one)) for one in range(6)]
    rows = shifted(np.stack(rows).ravel(), 0.02) + noise(12_000, 0.02, rng=rng("five noise"))
    recording = InMemory(rows, frame_length=2_000)

    found = list(acquire(recording, **GOAL))

    assert [len(one.frames) for one in found] == [3] * 6
    assert found[0].segment.symbol_rate_hz * 5 == pytest.approx(1, abs=2e-3)
    assert error_db(symbols_of(np.concatenate([one.frames for one in found])), "QPSK") < -16


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "64QAM"])
@pytest.mark.parametrize("told", [1.0, None])
def test_symbols_get_a_pulse_and_are_received_as_they_were(modulation, told):
    points = rng("points", modulation).choice(constellation(modulation), 4_000)
    noisy = points + noise(4_000, 1e-3, rng=rng("point noise"))

    (found,) = acquire(InMemory(noisy, samples_per_symbol=told), **GOAL)

    assert found.segment.symbol_rate_hz == 1
    assert np.array_equal(found.starts[:3], [0, 128, 256])
    assert np.isnan(found.segment.snr_db)
    # 30 dB of their own, 30 dB of what is put beside them.
    assert error_db(symbols_of(found.frames), modulation) < -25


def test_what_is_white_is_symbols_only_where_it_is_not_gaussian():
    points = rng("white").choice(constellation("256QAM"), 8_000)

    assert are_symbols(points)
    assert not are_symbols(noise(8_000, 1.0, rng=rng("gauss")))
    assert not are_symbols(modulated("BPSK", 2_000, 4.0, rng=rng("shaped")))
    assert not are_symbols(np.zeros(8_000))


@pytest.mark.parametrize("many", [400, 8])
def test_the_pulse_of_frames_is_found_from_many_and_chosen_for_few(many):
    world = np.stack(
        [modulated("QPSK", 144, 8.0, 0.3, rng=rng("pulse", one)) for one in range(many)]
    )
    noisy = world + noise(world.size, 0.01, rng=rng("pulse noise")).reshape(world.shape)

    response = np.array(response_of(noisy.astype(np.complex64), 8))

    right = rrc_response(RATES, 0.3)
    wrong = rml2018_response(RATES)
    unit = [one / np.linalg.norm(one) for one in (response, right, wrong)]
    assert np.sum((unit[0] - unit[1]) ** 2) < 0.01 < 0.1 * np.sum((unit[0] - unit[2]) ** 2) * 10


def test_settings_of_another_pulse_are_left_alone():
    told = RenderSettings(**{**RENDER.__dict__, "pulse": "rrc"})

    assert render_settings(np.ones((2, 1_024), np.complex64), told) is told


def test_the_white_noise_beside_a_band_spares_the_band():
    signal = modulated("QPSK", 2_000, 8.0, rng=rng("spare")).astype(np.complex64)

    noisy = with_white_noise(signal, 1.35, 0.1, 8, rng=rng("fill"))

    added = noisy - signal
    density = np.mean(np.abs(np.fft.fft(added[: 15 * 1_024].reshape(15, -1))) ** 2, 0) / 1_024
    rates = np.abs(np.fft.fftfreq(1_024))
    assert density[rates < 0.07].mean() < 1e-4
    assert density[rates > 0.12].mean() == pytest.approx(0.1, rel=0.03)


def test_the_ends_without_signal_are_cut_off():
    iq = burst(
        modulated("QPSK", 600, 8.0, rng=rng("ends")), 10, before=700, after=900, rng=rng("e")
    )

    lasting = without_ends(iq, 0.1, 8)

    assert abs(lasting.start - 700) < 64
    assert abs(lasting.stop - len(iq) + 900) < 64


@pytest.mark.parametrize(
    ("length", "starts"), [(100, []), (1_024, [0]), (1_500, [0]), (1_600, [0, 576])]
)
def test_frames_follow_each_other_and_the_last_ends_with_the_signal(length, starts):
    iq = np.arange(length).astype(np.complex64)

    frames, found = cut(iq, 1_024)

    assert found.tolist() == starts
    assert [int(frame[0].real) for frame in frames] == starts


@pytest.mark.parametrize("chunk", [2**16, 2**17])
def test_a_long_recording_is_read_in_pieces_and_a_burst_across_two_is_one(monkeypatch, chunk):
    monkeypatch.setattr("pisces.acquisition.acquire.CHUNK", chunk)
    signal = modulated("QPSK", 4_000, 8.0, rng=rng("pieces"))
    before = 2**17 - 16_000
    iq = burst(signal, 15, before=before, after=2**17, rng=rng("pieces noise"))
    recording = InMemory(iq, 1.0)
    asked = []

    class Watched(InMemory):
        @property
        def read(self):
            return lambda start, count: asked.append(count) or recording.read(start, count)

    (found,) = acquire(Watched(iq, 1.0), **GOAL)

    assert max(asked) <= chunk
    assert abs(found.segment.start - before) < 256
    assert abs(found.segment.count - len(signal)) < 512


def test_the_line_of_a_receivers_oscillator_does_not_hide_a_signal():
    signal = shifted(modulated("QPSK", 1_000, 10.0, rng=rng("leak")), 0.02)
    iq = burst(signal, 10, before=30_000, after=30_000, rng=rng("leak noise")) + (0.7 - 0.4j)

    (found,) = acquire(InMemory(iq, 1.0), **GOAL)

    assert abs(found.segment.start - 30_000) < 320
    assert found.segment.symbol_rate_hz * 10 == pytest.approx(1, abs=4e-4)
    assert error_db(symbols_of(found.frames[1:-1]), "QPSK") < -15


@pytest.mark.parametrize(
    "note",
    [
        Note(0, 20_000, None, 5e9, 6e9),
        Note(0, 20_000, None, 4e5, 3e5),
        Note(0, 20_000, None, 30_000.0, 30_000.0001),
        Note(0, 20_000, symbol_rate_hz=1e30),
        Note(0, 20_000, symbol_rate_hz=1e-12),
    ],
)
def test_an_annotation_that_cannot_be_is_refused_before_work(note):
    def read(start, count):
        raise AssertionError((start, count))

    recording = InMemory(np.ones(20_000), 1e6, annotations=(Note(0, 9_000), note))
    unread = type("Unread", (InMemory,), {"read": read})(**vars(recording))
    with pytest.raises(ValueError, match=r"^in memory: .* of samples 0 to 20000 [^\n]*$"):
        next(acquire(unread, annotated=True, **GOAL))


@pytest.mark.parametrize("told", [1e300, 1e-300, 5_001.0])
def test_symbols_longer_than_the_recording_are_refused(told):
    recording = InMemory(np.ones(5_000), samples_per_symbol=told)
    with pytest.raises(ValueError, match=r"per_symbol is .* must be 1 to 5000, the samples"):
        next(acquire(recording, **GOAL))


def impulse(samples):
    iq = np.zeros(samples, complex)
    iq[samples // 4] = 1
    return iq


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [0, 1e-30, 1e-22, 1e-10, 1])
@pytest.mark.parametrize("frame_length", [None, 1_000])
@pytest.mark.parametrize("annotated", [False, True])
def test_silence_and_impulses_pass_without_a_warning(scale, frame_length, annotated):
    notes = (Note(0, 8_000), Note(1_990, 40, symbol_rate_hz=3e4), Note(0, 8_000, None, 0.0, 150.0))
    recording = InMemory(scale * impulse(8_000), 1e6, frame_length, annotations=notes)

    found = list(acquire(recording, annotated=annotated, **GOAL))

    assert all(np.isfinite(one.frames.view(np.float32)).all() for one in found)


HOW = {
    "blindly": ({}, {}),
    "annotated": ({"annotations": (Note(20_000, 5_000),)}, {"annotated": True}),
    "frames": ({"frame_length": 1_000}, {}),
    "symbols": ({"samples_per_symbol": 1}, {}),
}
"""Ways of a recording through `acquire`: what describes it, and what is asked."""


@pytest.mark.parametrize("how", HOW)
def test_levels_whose_powers_leave_float32_are_refused_with_their_place(how):
    described, asked = HOW[how]
    iq = burst(modulated("QPSK", 800, 6.0, rng=rng("loud")), 15, before=20_000, after=0, rng=rng())
    iq[22_345] = -2e15j
    with pytest.raises(
        ValueError, match=r"^in memory: sample 22345 has a level of 2e\+15, .*1e\+15"
    ):
        list(acquire(InMemory(iq, 1.0, **described), **GOAL, **asked))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [2.0**-40, 2.0**46])  # 1e-12, 7e13
@pytest.mark.parametrize("how", HOW)
def test_the_level_of_a_recording_changes_nothing(how, scale):
    described, asked = HOW[how]
    signal = shifted(modulated("QPSK", 800, 6.0, rng=rng("scaled")), 0.1)
    if how == "symbols":
        signal = shifted(rng("points").choice(constellation("QPSK"), 3_000), 0.01)
    iq = burst(signal, 15, before=20_000, after=20_000, rng=rng("scaled noise"))
    if how == "symbols":
        iq = iq[20_000:-20_000]

    usual, scaled = (
        list(acquire(InMemory(one, 1.0, **described), **GOAL, **asked)) for one in (iq, iq * scale)
    )

    assert len(usual) == len(scaled) > 0
    for one, other in zip(usual, scaled, strict=True):
        assert (one.segment.start, one.segment.count) == (other.segment.start, other.segment.count)
        assert one.segment.symbol_rate_hz == other.segment.symbol_rate_hz
        np.testing.assert_allclose(other.frames / scale, one.frames, rtol=1e-3, atol=1e-3)
