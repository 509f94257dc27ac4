"""A tiny grid of synthesised frames, rendered and read back, which many tests share."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.settings import from_json, to_json
from pisces.core.shards import Cell
from pisces.inputs import rendering
from pisces.inputs.drawing import BinStore
from pisces.inputs.settings import DrawSettings, Extent, RenderSettings
from pisces.inputs.waveform import IqStore
from pisces.pis.settings import MaskSettings
from pisces.sources.synthesis import synthesize_cell
from pisces.training.settings import NoiseAwareSettings
from tests.physics import physics

pytest_plugins = ("tests.pipeline", "tests.page_files")

MODULATIONS = ("4ASK", "QPSK", "16QAM")  # the one class order, not that of the alphabet
SNRS_DB = (-10, 0, 20)
FRAMES, SAMPLES, SIZE, EXTENT = 20, 256, 32, 2.5

RENDER = RenderSettings(
    views=("raw", "symbol", "noise", "differential"),
    size=SIZE,
    extent=Extent(raw=EXTENT, symbol=2.0, noise=80.0, differential=3.0),
    sps=8,
    pulse="rrc",
    rolloff=0.35,
    carrier_offset_std=3.3e-5,
    delay=4,
    samples=SAMPLES,
)
POINTS = {"raw": 256, "symbol": 24, "noise": 174, "differential": 252}
"""Of a frame of `SAMPLES`: the noise filter has 83 taps."""

PERTURB = MaskSettings(
    views=None,
    rules=("exact", "percentile"),
    masks=("top", "bottom", "random"),
    levels_percent=(20,),
    curve_percent=(60,),
    regions=("ring", "sector", "cluster", "window"),
    rings=3,
    sectors=4,
    core_percent=50,
    window=0.5,
    stride=0.5,
    frames_per_cell=None,
)
"""Every kind of mask, and few of each."""

Write = Callable[[Path, dict[Cell, np.ndarray], int], Path]


def raw_only(size: int = SIZE, extent: float = EXTENT) -> RenderSettings:
    """`RENDER` with a single view."""
    return replace(RENDER, views=("raw",), size=size, extent=replace(RENDER.extent, raw=extent))


def draw(method: str) -> DrawSettings:
    return DrawSettings(method=method, sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))


def noise_aware(epochs: tuple[int, int, int] = (1, 1, 1), **changes: Any) -> NoiseAwareSettings:
    """Phases a, b1 and b2 of so many epochs, then c, all with the same weights of the losses.

    `changes` are other weights or other settings.
    """
    weights = {
        "denoising": 0.3,
        "identity": 0.05,
        "noise": 0.1,
        "features": 0.0,
        "distillation": 0.0,
    }
    weights |= {name: changes.pop(name) for name in weights.keys() & changes.keys()}

    settings: dict[str, Any] = {
        "a": weights | {"epochs": epochs[0], "gradient": 0, "classification": 0},
        "b1": weights | {"epochs": epochs[1], "gradient": 0, "classification": 1},
        "b2": weights | {"epochs": epochs[2], "gradient": 0.1, "classification": 1},
        "c": weights | {"epochs": None, "gradient": 1, "classification": 1},
        "degrade_db": (2, 8),
        "degrade_to_db": None,
        "reference": None,
        "features_ramp_epochs": 0,
        "teacher": None,
        "teach_band_db": (-20, 30),
        "temperature": 2.0,
        "raw_gain": {"probability": 0, "below_db": 0, "low": 0, "high": 0.5},
    }
    return from_json(NoiseAwareSettings, json.dumps(settings | changes))


def save_bins(root: Path, cell: Cell, bins: dict[str, np.ndarray], size: int) -> None:
    """A constellation shard of pixel numbers set by hand, (n, points) of each view."""
    render = replace(raw_only(size), views=tuple(bins))
    frames = len(next(iter(bins.values())))
    datasets = {f"{view}/bins": pixels.astype(np.uint16) for view, pixels in bins.items()}
    datasets["row"] = np.arange(frames)
    shards.save(cell.path(root), datasets, cell._asdict() | {"render": to_json(render)})


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors gain nothing from a second thread and lose much where it has no own core."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def iq_shards(tmp_path_factory) -> Path:
    """IQ shards of 3 modulations x 3 SNRs x 20 frames of 256 samples.

    Their rows in the source are not those in the shard.
    """
    root = tmp_path_factory.mktemp("shards") / "split_hdf5"
    cells = [Cell(*names) for names in product(MODULATIONS, SNRS_DB)]
    for number, cell in enumerate(cells):
        iq = synthesize_cell(*cell, range(FRAMES), physics(samples=SAMPLES), seed=1)
        arrays = {
            "iq": iq.view(np.float32).reshape(FRAMES, SAMPLES, 2),
            "row": 1000 * number + 3 * np.arange(FRAMES),
        }
        source = {"source": "made for the tests", "source_sha256": "0" * 64}
        shards.save(cell.path(root), arrays, cell._asdict() | source)
    return root


@pytest.fixture(scope="session")
def amplitude_shards(iq_shards, tmp_path_factory) -> Path:
    """The frames of `iq_shards` under labels of the convention `amplitude`: half of their SNRs."""
    root = tmp_path_factory.mktemp("amplitude") / "split_hdf5"
    for cell in shards.cells(iq_shards):
        source = cell.path(iq_shards)
        halved = Cell(cell.modulation, cell.snr_db // 2)
        arrays = {name: np.array(shards.array(source, name)) for name in ("iq", "row")}
        meaning = halved._asdict() | {"snr_label": "amplitude"}
        shards.save(halved.path(root), arrays, shards.attributes(source) | meaning)
    return root


@pytest.fixture(scope="session")
def iq_data(iq_shards) -> IqStore:
    return IqStore(iq_shards)


@pytest.fixture(scope="session")
def constellations(iq_shards) -> Path:
    """The same frames, rendered as `RENDER` says: four views of 32 pixels."""
    root = iq_shards.with_name("constellations")
    rendering.render(iq_shards, root, RENDER)
    return root


@pytest.fixture(scope="session")
def data(constellations) -> BinStore:
    return BinStore(constellations)


@pytest.fixture(scope="session")
def index() -> np.ndarray:
    """Every frame of `data`, int64 (180, 3)."""
    return np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), range(FRAMES))))


@pytest.fixture(scope="session")
def write_constellations() -> Write:
    """A function that makes constellation shards from pixel numbers set by hand, of one view."""

    def write(root: Path, cells: dict[Cell, np.ndarray], size: int) -> Path:
        for cell, bins in cells.items():
            save_bins(root, cell, {"raw": bins}, size)
        return root

    return write
