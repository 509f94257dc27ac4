"""A small trained model, and recordings on the disk, for tests of `python -m pisces predict`."""

import json
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from pisces import models
from pisces.__main__ import command_line
from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs import rendering
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import IqStore
from pisces.models import Architecture, modelfile
from pisces.models.modelfile import TrainedModel
from pisces.prediction import fit
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER, draw
from tests.physics import physics
from tests.recorded import burst, modulated, shifted

CLASSES, SNRS_DB = ("BPSK", "QPSK", "16QAM"), (0, 10, 20)
FRAMES, SAMPLES, STEPS, BATCH = 60, 1024, 60, 48
SPS = RENDER.sps

RATE_HZ, CENTRE_HZ = 1e6, 433e6
SAMPLES_A_SYMBOL, OFFSET = 6.7, 0.07
"""Of the burst: neither is one that the model knows."""
SYMBOLS, BEFORE, AFTER = 1500, 6000, 5000
SNR_DB = 15.0
"""Of the burst over the whole band."""


class Answer(NamedTuple):
    """What a command did."""

    status: int
    printed: str
    complained: str


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> TrainedModel:
    """Three modulations at three SNRs: learned within two seconds, and calibrated."""
    root = tmp_path_factory.mktemp("predict")
    cells = [Cell(*names) for names in product(CLASSES, SNRS_DB)]
    for cell in cells:
        iq = synthesize_cell(*cell, range(FRAMES), physics(samples=SAMPLES), seed=1)
        frames = iq.view(np.float32).reshape(FRAMES, SAMPLES, 2)
        about = cell._asdict() | {"source": "made for the tests", "source_sha256": "0" * 64}
        shards.save(cell.path(root / "split_hdf5"), {"iq": frames, "row": np.arange(FRAMES)}, about)
    render = replace(RENDER, views=("symbol", "noise"), samples=SAMPLES)
    rendering.render(root / "split_hdf5", root / "constellations", render)

    store = BinStore(root / "constellations")
    drawing = Drawing(store.render, draw("log_histogram"))
    architecture = Architecture("pixel_set", "plain", "standard")
    index = store.every_frame()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(architecture, drawing.shape, len(CLASSES), SNRS_DB)
        stored = store.prepare(store.gather(index), torch.device("cpu"))
        _learn(model, drawing.tensors(stored), torch.from_numpy(index))
    of_model = TrainedModel(model.eval(), architecture, drawing, CLASSES, SNRS_DB)
    row = index[:, 2]
    parts = {"train": index[row < 30], "validation": index[row >= 30], "test": index[:0]}
    return fit.calibrated(of_model, store, IqStore(root / "split_hdf5"), parts)


def _learn(model: torch.nn.Module, images: torch.Tensor, index: torch.Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(STEPS):
        batch = torch.randint(len(images), (BATCH,))
        modulation, snr = model(images[batch])
        loss = cross_entropy(modulation, index[batch, 0]) + cross_entropy(snr, index[batch, 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="session")
def model(trained, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("predict_model")
    modelfile.save(folder, trained)
    return folder


@pytest.fixture(scope="session")
def signal() -> np.ndarray:
    """A burst of QPSK beside the middle of the band, at an odd symbol rate, in white noise."""
    rng = np.random.default_rng(1)
    clean = modulated("QPSK", SYMBOLS, SAMPLES_A_SYMBOL, rng=rng)
    iq = burst(shifted(clean, OFFSET), SNR_DB, before=BEFORE, after=AFTER, rng=rng)
    return iq.astype(np.complex64)


def write_sigmf(path: Path, iq: np.ndarray, *annotations: dict[str, Any], **of_all: Any) -> Path:
    """A SigMF pair with the common name `path`; gives its metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    iq.astype("<c8").tofile(path.with_suffix(".sigmf-data"))
    about = {"core:datatype": "cf32_le", "core:sample_rate": RATE_HZ, "core:version": "1.2.0"}
    first = of_all.get("core:offset", 0)
    content = {
        "global": about | of_all,
        "captures": [{"core:sample_start": first, "core:frequency": CENTRE_HZ}],
        "annotations": list(annotations),
    }
    metadata = path.with_suffix(".sigmf-meta")
    metadata.write_text(json.dumps(content))
    return metadata


@pytest.fixture
def predict(model, tmp_path, monkeypatch, capsys):
    """Runs `predict` into `out` below the temporary folder, where it is run."""

    def run(*arguments: object, model: Path = model) -> Answer:
        words = ["pisces", "predict", "--model", str(model), "--out", "out", *map(str, arguments)]
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.delenv("PISCES_DEBUG", raising=False)
        capsys.readouterr()
        try:
            command_line()
            status = 0
        except SystemExit as end:
            status = end.code
        return Answer(status, *capsys.readouterr())

    return run
