"""The blind reference on frames that were generated."""

from functools import partial
from itertools import product

import numpy as np
import pytest

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.evaluation import blind, bounds
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER
from tests.physics import TEXTBOOK, physics

frames = partial(synthesize_cell, physics=TEXTBOOK, seed=3)
SNRS = {20: 800.0, 24: 8 * 10**2.4}
"""Of a symbol of 8 samples, by label."""


def test_frames_nearly_as_many_as_with_all_known():
    """At 4 dB, 13 dB a symbol: no more than the ceiling, and not 15 points less.

    Three standard errors of 100 frames are 9 points at an accuracy of 0.9.
    """
    names = ("4ASK", "QPSK", "8PSK", "16QAM", "64QAM")
    snrs = bounds.es_n0([4], 8)
    right = [
        np.mean(blind.classify(frames(name, 4, range(20)), names, RENDER, snrs[4]) == m)
        for m, name in enumerate(names)
    ]
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
    found = blind.predict_frames(root, predictions, RENDER, SNRS, 3)
    assert found.tolist() == ["QPSK"] * 3 + [""] + ["OQPSK"] * 3 + [""]
    assert "" not in blind.predict_frames(root, predictions, RENDER, SNRS, None)


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

    right = blind.predict_frames(root, predictions, RENDER, SNRS, None) == true
    assert right.mean() > 0.95

    shards.set_attributes(root, {"ask": "bipolar"})
    misled = blind.predict_frames(root, predictions, RENDER, SNRS, None) == true
    assert misled[is_ask].mean() < 0.6
