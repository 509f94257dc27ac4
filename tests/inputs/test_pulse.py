"""The pulse of a file, found blind or chosen frame by frame, against the one it was made with."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.shards import Cell
from pisces.inputs import rendering
from pisces.inputs.drawing import Drawing
from pisces.inputs.receiver import pulse
from pisces.inputs.receiver.spectrum import band_rates
from pisces.models import Architecture
from pisces.models.modelfile import TrainedModel, check_fits
from tests.conftest import RENDER, draw
from tests.inputs.signals import db, error_vector_db, receive, send, tensor, white

NAMES = ("4ASK", "BPSK", "QPSK", "8PSK", "32APSK", "16QAM", "64QAM", "256QAM")
WORLDS = {"twin": None, "rrc": (0.35, 0.35)}


@cache
def estimated(world: str) -> tuple[float, ...]:
    """From 1 024 frames of eight modulations at 0 to 30 dB."""
    frames = [
        send(name, 32, snr_db, rolloff=WORLDS[world]).iq
        for name in NAMES
        for snr_db in (0, 10, 20, 30)
    ]
    return pulse.estimate_response(np.concatenate(frames), 8)


@pytest.mark.parametrize("world", WORLDS)
def test_the_pulse_is_found_blind(world):
    """|P|^2 is known to 1 / sqrt(frames * symbols / lags): 0.7 % here, of its peak at either side.

    The error of P is half of that over P, over the whole band: -30 dB or better.
    """
    rates = pulse.RATES
    true = rml2018_response(rates) if world == "twin" else rrc_response(rates, 0.35)
    found = np.array(estimated(world))
    assert np.mean(found**2) == pytest.approx(0.5, rel=1e-3)
    true, found = true / np.linalg.norm(true), found / np.linalg.norm(found)
    assert db(np.sum((true - found) ** 2)) < -30


@pytest.mark.parametrize(("snr_db", "most_db"), [(60, -36), (30, -34), (20, -27), (10, -17.5)])
def test_the_twin_comes_out_with_the_pulse_found_blind(snr_db, most_db):
    errors = []
    for modulation in ("QPSK", "16QAM", "64QAM"):
        sent = send(modulation, 60, snr_db)
        found = receive(sent, "estimated", response=estimated("twin"))
        errors.append(np.median(error_vector_db(sent, found)))
    assert np.mean(errors) < most_db


def test_a_pulse_without_a_name_keeps_its_own_response():
    """A filter of (1, 1/2) half a symbol apart, the same for all frames: 1 to 3 over the band."""
    plain = np.concatenate([send(name, 128, 20).iq for name in NAMES])
    filtered = plain + 0.5 * np.roll(plain, 4, axis=1)
    found = np.array(pulse.estimate_response(filtered, 8))

    channel = np.abs(1 + 0.5 * np.exp(-1j * np.pi * pulse.RATES))
    true = rml2018_response(pulse.RATES) * channel
    true, found = true / np.linalg.norm(true), found / np.linalg.norm(found)
    assert db(np.sum((true - found) ** 2)) < -30


@pytest.mark.parametrize(("snr_db", "cost_db"), [(60, 1), (30, 0.5), (20, 0.2), (10, 0.2)])
def test_root_raised_cosines_lose_little_by_not_being_known(snr_db, cost_db):
    sent = send("16QAM", 60, snr_db, rolloff=WORLDS["rrc"])
    known = np.median(error_vector_db(sent, receive(sent, "rrc")))
    blind = np.median(error_vector_db(sent, receive(sent, "estimated", response=estimated("rrc"))))
    assert blind < known + cost_db


def test_frames_with_a_carrier_line_are_left_out():
    plain = send("QPSK", 50, 20).iq
    with_line = np.concatenate([plain, send("OOK", 50, 20).iq])
    assert pulse.estimate_response(with_line, 8) == pulse.estimate_response(plain, 8)


def test_frames_that_all_have_a_carrier_line_show_no_pulse():
    with pytest.raises(ValueError, match=r"20 frames: a carrier line is in all; set render.pul"):
        pulse.estimate_response(send("OOK", 20, 20).iq, 8)


def test_noise_shows_no_pulse():
    for number in range(10):
        with pytest.raises(ValueError, match=r"no signal stands out of the noise; set render.pul"):
            pulse.estimate_response(white((20, 1024), f"nothing {number}"), 8)


@pytest.mark.parametrize("snr_db", [10, 30, 60])
@pytest.mark.parametrize("world", WORLDS)
def test_the_kind_of_pulse_is_chosen_frame_by_frame(world, snr_db):
    rates = band_rates(128).double().numpy()
    twin = torch.from_numpy(rml2018_response(rates)).float()
    right = []
    for name in NAMES:
        iq = tensor(send(name, 40, snr_db, rolloff=WORLDS[world]).iq)
        chosen = pulse.choose_response(iq, 8)
        is_twin = (chosen - twin).abs().amax(1) < 1e-5
        right.append((is_twin == (world == "twin")).float().mean().item())
    assert np.mean(right) >= 0.95


def test_a_response_that_was_not_found_is_refused():
    with pytest.raises(ValueError, match=r"'estimated' has no response of its own; take the set"):
        receive(send("QPSK", 1, 20), "estimated")


# From a directory of shards


def write_shards(root, world: str, names: tuple[str, ...] = ("QPSK", "16QAM")) -> None:
    for name in names:
        iq = send(name, 64, 20, rolloff=WORLDS[world]).iq.astype(np.complex64)
        arrays = {"iq": iq.view(np.float32).reshape(64, 1024, 2), "row": np.arange(64)}
        cell = Cell(name, 20)
        shards.save(cell.path(root), arrays, cell._asdict())


SYMBOL = replace(RENDER, views=("symbol",), pulse="estimated")


def rendered(root, world: str):
    """The constellation input of a data set below `root`, and its frames."""
    write_shards(root / "split_hdf5", world)
    rendering.render(root / "split_hdf5", root / "constellations", SYMBOL)
    seen = Drawing.for_data(root, draw("histogram"))
    return seen, seen.open(root)


def test_a_model_takes_frames_of_another_pulse_and_says_so(tmp_path):
    seen, store = rendered(tmp_path / "twin", "twin")
    _, other = rendered(tmp_path / "rrc", "rrc")
    assert seen.render.response
    assert seen.remarks(store) == []
    (remark,) = seen.remarks(other)
    assert "the pulse of" in remark
    assert str(other.root) in remark
    assert "-1" in remark  # dB: -11 or so

    architecture = Architecture("mcnet", "plain", "standard")
    trained = TrainedModel(torch.nn.Identity(), architecture, seen, other.modulations, (20,))
    check_fits(trained, other)


def test_without_a_linear_modulation_no_pulse_is_looked_for(tmp_path):
    iq = np.ones((2, 1024, 2), np.float32)
    shards.save(Cell("FM", 0).path(tmp_path / "in"), {"iq": iq, "row": np.arange(2)}, {})
    with pytest.raises(ValueError, match=r"no linear modulation that a pulse could be found from"):
        rendering.render(tmp_path / "in", tmp_path / "out", SYMBOL)
    assert not (tmp_path / "out").exists()
