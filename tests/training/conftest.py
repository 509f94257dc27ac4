"""Trainings of a fraction of a second: tiny networks, few and easy frames."""

from itertools import product

import numpy as np
import pytest

from pisces import models
from pisces.core.shards import Cell
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import Waveform
from pisces.models.cldnn import Settings
from pisces.training.frames import TrainingData
from tests import conftest
from tests.conftest import draw, raw_only
from tests.training.tiny import (
    FRAMES,
    MODULATIONS,
    NORMED,
    NORMLESS,
    SAMPLES,
    SIZE,
    SNRS_DB,
    UNCHANGED,
    frames,
)


@pytest.fixture
def tiny(monkeypatch) -> None:
    """The batch normalisation of this network, like that of ResNet-18, needs two frames."""
    monkeypatch.setitem(models.BACKBONES, "resnet18", NORMED)


@pytest.fixture
def normless(monkeypatch) -> None:
    """Predictions depend on no other frame of a batch: a gradient is a sum over frames."""
    monkeypatch.setitem(models.BACKBONES, "resnet18", NORMLESS)


@pytest.fixture(scope="session")
def easy(tmp_path_factory, write_constellations) -> BinStore:
    """Frames that a glance tells apart: BPSK lies left and right, QPSK in the corners, 0 dB is
    spread wider than 20 dB.
    """
    rng = np.random.default_rng(1)
    cells = {}
    for modulation, snr_db in product(MODULATIONS, SNRS_DB):
        shape = (FRAMES, SAMPLES)
        spread = 3 if snr_db == 0 else 1
        column = np.where(rng.random(shape) < 0.5, 4, 11) + rng.integers(-spread, spread + 1, shape)
        centre = 8 if modulation == "BPSK" else np.where(rng.random(shape) < 0.5, 4, 11)
        row = centre + rng.integers(-spread, spread + 1, shape)
        cells[Cell(modulation, snr_db)] = (row * SIZE + column).astype(np.uint16)
    return BinStore(write_constellations(tmp_path_factory.mktemp("easy"), cells, SIZE))


@pytest.fixture
def training_data(easy) -> TrainingData:
    """Six frames of each cell to train on and two to validate."""
    parts = {"train": frames(range(6)), "validation": frames(range(6, 8))}
    return TrainingData(
        easy, None, parts, Drawing(raw_only(SIZE), draw("log_histogram")), UNCHANGED
    )


@pytest.fixture
def misleading(training_data) -> TrainingData:
    """Training frames of one modulation at one SNR only, so that the longer they are learnt the
    worse the validation becomes.
    """
    return training_data._replace(
        parts={"train": frames(range(8))[:8], "validation": frames(range(8))[8:]}
    )


@pytest.fixture
def received(data, iq_data, index) -> TrainingData:
    """Frames with their IQ: three of each of nine cells to train on, one to validate, in four
    views.
    """
    parts = {"train": index[index[:, 2] < 3], "validation": index[index[:, 2] == 3]}
    return TrainingData(
        data, iq_data, parts, Drawing(data.render, draw("log_histogram")), UNCHANGED
    )


@pytest.fixture
def raw(iq_data, index) -> TrainingData:
    """The frames themselves, three of each cell to train on but one of each at 0 dB, for a cldnn
    that denoises.
    """
    few = index[index[:, 2] < np.where(index[:, 1] == 1, 1, 3)]
    parts = {"train": few, "validation": index[index[:, 2] == 3]}
    settings = Settings(paths="dual", film=True, channels=8, dropout=0.1)
    return TrainingData(
        iq_data,
        iq_data,
        parts,
        Waveform(conftest.SAMPLES),
        UNCHANGED,
        settings,
        conftest.noise_aware(),
    )
