"""The blind reference against brute-force integration, and on frames that were generated."""

from functools import partial
from itertools import product

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.evaluation import blind, bounds
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER
from tests.physics import TEXTBOOK, physics

frames = partial(synthesize_cell, physics=TEXTBOOK, seed=3)
KNOWN_OFFSET = 1e-9
"""Cycles a symbol, of the prior: next to nothing is left to average over."""


@pytest.fixture
def rng():
    return generator(1, "test blind")


def received(
    modulation: str, snr: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Symbols of unit signal power at a random phase of each row: complex (n, symbols)."""
    noise = rng.normal(scale=np.sqrt(0.5 / snr), size=(*shape, 2)) @ [1, 1j]
    phase = np.exp(2j * np.pi * rng.random((shape[0], 1)))
    return rng.choice(constellation(modulation), shape) * phase + noise


def score(x: np.ndarray, snr: float, names: tuple[str, ...], offset_std: float) -> np.ndarray:
    found = blind.log_likelihoods(
        torch.from_numpy(x.astype(np.complex64)),
        torch.full((len(x),), snr),
        [constellation(name) for name in names],
        offset_std,
    )
    return found.numpy()


def brute_force(x: np.ndarray, snr: float, names: tuple[str, ...]) -> np.ndarray:
    """Averaged over 400 phases of the whole circle, in double precision."""
    phases = np.exp(2j * np.pi * np.arange(400) / 400)
    columns = []
    for name in names:
        by_phase = np.zeros((len(x), len(phases)))
        for symbol in x.T:
            points = constellation(name) * phases[:, None]  # (phases, order)
            distance = np.abs(symbol[:, None, None] - points) ** 2
            by_phase += np.log(np.exp(-snr * distance).mean(-1))
        columns.append(np.log(np.exp(by_phase).mean(1)))
    return np.stack(columns, 1)


@pytest.mark.parametrize("snr_db", [-3, 3, 9])
def test_average_over_the_phase_is_the_integral(rng, monkeypatch, snr_db):
    """At a known level, within an eighth of a natural unit; its accuracy is that of the integral.

    At low SNR the phases that are left out count that much. The two may differ in frames whose two
    best are closer than that, 1 in 50 or so.
    """
    monkeypatch.setattr(blind, "LEVELS", (0.0,))
    names, snr, n = ("BPSK", "QPSK", "8PSK"), 10 ** (snr_db / 10), 40
    x = np.concatenate([received(name, snr, (n, 16), rng) for name in names])
    truth = np.repeat(np.arange(3), n)

    expected, found = brute_force(x, snr, names), score(x, snr, names, KNOWN_OFFSET)
    likely = expected > expected.max(1, keepdims=True) - 5
    assert found[likely] == pytest.approx(expected[likely], abs=0.125)

    accuracies = [np.mean(one.argmax(1) == truth) for one in (expected, found)]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.025)
    assert accuracies[1] > 1 / 3 + 0.1


@pytest.mark.parametrize(
    ("modulation", "count"),
    [
        *(("OOK", 1), ("4ASK", 2), ("BPSK", 2), ("QPSK", 4), ("32PSK", 32)),
        *(("16APSK", 4), ("128APSK", 16), ("32QAM", 4), ("256QAM", 4)),
    ],
)
def test_turns_that_map_a_constellation_onto_itself(modulation, count):
    assert blind.turns(constellation(modulation)) == count


@pytest.mark.parametrize("snr_db", [9, 24])
def test_no_phase_matters(rng, snr_db):
    """The grid of phases is fine enough that a turn changes no prediction among four QAM."""
    names, snr = ("16QAM", "32QAM", "64QAM", "8PSK"), 10 ** (snr_db / 10)
    x = np.concatenate([received(name, snr, (10, 120), rng) for name in names])
    one, other = (score(x * np.exp(1j * turn), snr, names, KNOWN_OFFSET) for turn in (0, 0.4))
    assert one.max(1) == pytest.approx(other.max(1), abs=0.3)
    assert np.mean(one.argmax(1) == other.argmax(1)) > 0.95


def test_an_offset_that_is_left_is_averaged_out(rng, monkeypatch):
    """Two standard deviations of what a receiver leaves, at 15 dB: 16QAM passes for others."""
    names, snr, symbols = ("16QAM", "32QAM", "64QAM", "16APSK"), 10**1.5, 120
    left = blind.OFFSET_SPREAD * np.sqrt(6 / (snr * symbols**3)) / (2 * np.pi)
    turns = 2 * left * (np.arange(symbols) - (symbols - 1) / 2)
    x = received("16QAM", snr, (20, symbols), rng) * np.exp(2j * np.pi * turns)

    averaged = score(x, snr, names, 1.0)[:, 0]
    monkeypatch.setattr(blind, "OFFSETS", (0.0,))
    taken_as_none = score(x, snr, names, 1.0)[:, 0]
    assert np.median(averaged - taken_as_none) > 3


def test_a_level_that_is_off_is_averaged_out(rng, monkeypatch):
    """1.5 standard deviations of what the power of 120 symbols leaves, at 21 dB."""
    snr, symbols = 10**2.1, 120
    power_variance = np.mean(np.abs(constellation("64QAM")) ** 4) - 1
    off = 1 + 1.5 * np.sqrt((power_variance + 2 / snr) / symbols) / 2
    x = off * received("64QAM", snr, (20, symbols), rng)

    averaged = score(x, snr, ("64QAM",), KNOWN_OFFSET)[:, 0]
    monkeypatch.setattr(blind, "LEVELS", (0.0,))
    taken_as_right = score(x, snr, ("64QAM",), KNOWN_OFFSET)[:, 0]
    assert np.median(averaged - taken_as_right) > 3


def test_frames_nearly_as_many_as_with_all_known():
    """At 4 dB, 13 dB a symbol: no more than the ceiling, and not 15 points less.

    Three standard errors of 100 frames are 9 points at an accuracy of 0.9.
    """
    names = ("4ASK", "QPSK", "8PSK", "16QAM", "64QAM")
    right = [
        np.mean(blind.classify(frames(name, 4, range(20)).astype(complex), names, RENDER) == m)
        for m, name in enumerate(names)
    ]
    snrs = bounds.es_n0([4], 8)
    ceiling = bounds.modulation_ceiling(names, snrs, symbols=128, trials=100, seed=1)
    assert ceiling["accuracy"][0] - 0.15 < np.mean(right) < ceiling["accuracy"][0] + 0.09


@pytest.fixture
def two_cells(tmp_path):
    """QPSK and OQPSK at 20 dB, four frames each."""
    for name in ("QPSK", "OQPSK"):
        iq = frames(name, 20, range(4)).view(np.float32).reshape(4, 1024, 2)
        shards.save(Cell(name, 20).path(tmp_path), {"iq": iq}, {})
    index = np.array(list(product(range(2), [0], range(4))))
    return tmp_path, {
        "modulations": np.array(["QPSK", "OQPSK"]),
        "snrs_db": np.array([20]),
        "frame": index,
    }


def test_the_first_frames_of_each_cell_are_measured(two_cells):
    """OQPSK has no points to compare with, and counts as right."""
    root, predictions = two_cells
    found = blind.predict_frames(root, predictions, RENDER, 3)
    assert found.tolist() == ["QPSK"] * 3 + [""] + ["OQPSK"] * 3 + [""]
    assert "" not in blind.predict_frames(root, predictions, RENDER, None)


ASK_LIKE = ("OOK", "4ASK", "8ASK", "BPSK")


@pytest.fixture
def unipolar_cells(tmp_path):
    """Frames of unipolar ASK at 24 dB, and of what it may be taken for; ten each."""
    index = np.array(list(product(range(len(ASK_LIKE)), [0], range(10))))
    for name in ASK_LIKE:
        iq = synthesize_cell(name, 24, range(10), physics(ask="unipolar"), seed=3)
        arrays = {"iq": iq.view(np.float32).reshape(10, 1024, 2)}
        shards.save(Cell(name, 24).path(tmp_path), arrays, {"ask": "unipolar"})
    return tmp_path, {
        "modulations": np.array(ASK_LIKE),
        "snrs_db": np.array([24]),
        "frame": index,
    }


def test_levels_of_amplitude_shift_keying_are_those_of_the_shards(unipolar_cells):
    """Told bipolar levels instead, it takes hardly a frame of 4ASK and 8ASK for what it is."""
    root, predictions = unipolar_cells
    true = np.repeat(ASK_LIKE, 10)
    is_ask = np.isin(true, ["4ASK", "8ASK"])

    right = blind.predict_frames(root, predictions, RENDER, None) == true
    assert right.mean() > 0.95

    shards.set_attributes(root, {"ask": "bipolar"})
    misled = blind.predict_frames(root, predictions, RENDER, None) == true
    assert misled[is_ask].mean() < 0.6
