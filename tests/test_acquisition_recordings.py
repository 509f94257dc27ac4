"""Real recordings with known signals, where they lie beside the repository."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.signal import hilbert

from pisces.acquisition.acquire import acquire
from pisces.acquisition.pulse import response_of
from pisces.core.dsp import measured_snr, to_db
from pisces.inputs.receiver.chain import receive
from pisces.inputs.receiver.pulse import RATES
from pisces.inputs.receiver.spectrum import band_rates
from tests.recorded import InMemory

FOLDER = Path(__file__).parents[2] / "shared/data/recordings"
SATELLITES = ["entrysat", "fmn1", "lilacsat1", "by02", "picsat_9k6", "pwsat2", "kr01", "picsat"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="no recordings beside the repository"),
]


def described(name):
    entries = json.loads((FOLDER / "recordings.json").read_text())
    return next(entry for entry in entries if entry["file"] == name)


def acquired(name):
    path = FOLDER / name
    if path.suffix == ".wav":
        audio, rate_hz = soundfile.read(path)
        recording = InMemory(hilbert(audio), float(rate_hz))
    elif path.suffix == ".npy":
        recording = InMemory(np.load(path), samples_per_symbol=1.0)
    else:
        recording = InMemory(np.fromfile(path, "<c8"), described(name)["sample_rate_hz"])
    return list(acquire(recording, samples=1_024, sps=8, max_offset=3.3e-5))


def points_of(frames):
    """Symbols of frames as the view `symbol` makes them, by their own pulse."""
    iq = torch.from_numpy(np.array(frames))
    rates = np.abs(band_rates(iq.shape[1] // 8).numpy())
    response = np.interp(rates, RATES, response_of(frames, 8))
    pulse = torch.from_numpy(response).float()[None]
    return receive(iq, pulse, sps=8, carrier_offset_std=3.3e-5, blind=True).points.numpy()


def share_on_a_line(frames):
    """|mean x^2| over mean |x|^2 of each frame: 1 of BPSK, near 0 of most others."""
    points = points_of(frames)
    return np.abs(np.mean(points**2, 1)) / np.mean(np.abs(points) ** 2, 1)


@pytest.mark.parametrize(
    "name", [*(f"{one}.wav" for one in SATELLITES), "kr01_bpsk_1200baud.sigmf-data"]
)
def test_a_satellite_is_found_and_its_symbols_lie_on_a_line(name):
    entry = described(name)
    active = np.zeros(entry["samples"], bool)
    for start, count in entry["active"]:
        active[start : start + count] = True

    found = acquired(name)

    taken = np.zeros_like(active)
    for one in found:
        taken[one.segment.start : one.segment.start + one.segment.count] = True
    # The description counts in blocks of 64 symbols.
    assert active[taken].mean() > 0.97
    assert taken[active].mean() > 0.93

    low_hz, high_hz = entry["carrier_range_hz"]
    step_hz = entry["symbol_rate_baud"] / 64 / 8
    for one in found:
        rate_hz = one.segment.symbol_rate_hz
        assert rate_hz == pytest.approx(entry["symbol_rate_measured_baud"], rel=1e-3)
        assert low_hz - step_hz < one.segment.center_hz < high_hz + step_hz
        assert np.median(share_on_a_line(one.frames)) > 0.85


def snr_of_symbols_db(frames):
    """Over the whole band, of frames of BPSK: the power along its line over that across."""
    points = points_of(frames)
    turned = points * np.exp(-0.5j * np.angle(np.mean(points**2, 1, keepdims=True)))
    along, across = np.mean(turned.real**2, 1), np.mean(turned.imag**2, 1)
    return float(np.median(to_db((along - across) / (2 * across)))) - 10 * np.log10(8)


@pytest.mark.parametrize("name", ["entrysat", "fmn1", "lilacsat1", "by02", "picsat_9k6", "picsat"])
def test_the_noise_beside_a_satellite_is_that_of_its_symbols(name):
    for one in acquired(f"{name}.wav"):
        few = one.frames[:64]
        beside = float(np.median(to_db(measured_snr(few))))

        # 1 dB, and half a dB that few frames or noise that is not white may add.
        assert beside == pytest.approx(snr_of_symbols_db(few), abs=1.5)


def test_an_oscillator_that_wavers_within_frames_is_followed():
    for one in acquired("pwsat2.wav"):
        assert snr_of_symbols_db(one.frames) > 14


@pytest.mark.parametrize(
    "name", ["gnuradio_16QAM_18dB.sigmf-data", "gnuradio_8PSK_12dB.sigmf-data"]
)
def test_frames_of_gnu_radio_are_found_with_their_rate(name):
    (found,) = acquired(name)

    # Their timing jumps with every frame, which hides the line of the whole.
    assert found.segment.symbol_rate_hz == pytest.approx(125_000, rel=4e-4)
    assert (found.segment.start, len(found.frames)) == (0, 24)
    assert np.array_equal(found.starts, 1_024 * np.arange(24))
    assert np.median(share_on_a_line(found.frames)) < 0.3


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("dot11a_6mbps_BPSK_points.npy", 0.98, 1), ("dot11a_12mbps_QPSK_points.npy", 0, 0.3)],
)
def test_equalised_points_keep_their_constellation(name, least, most):
    (found,) = acquired(name)

    assert len(found.frames) == round(described(name)["samples"] / 128)
    assert least <= np.median(share_on_a_line(found.frames)) <= most
