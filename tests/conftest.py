"""A tiny grid of synthesised frames, rendered and read back, which the tests of the later rooms share."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from pisces import rendering, shards
from pisces.datasets import Constellations, Signals
from pisces.params import Draw, Extent, NoiseAware, Perturb, Render
from pisces.shards import Cell
from pisces.synthesis import synthesize_cell

MODULATIONS = ("4ASK", "QPSK", "16QAM")  # the one class order, which is not the order of the alphabet
SNRS_DB = (-10, 0, 20)
FRAMES, SAMPLES, SIZE, EXTENT = 20, 256, 32, 2.5
RENDER = Render(
    views=("raw", "symbol", "noise", "differential"),
    size=SIZE,
    extent=Extent(raw=EXTENT, symbol=2.0, noise=80.0, differential=3.0),
    sps=8,
    rolloff=0.35,
    delay=4,
)
POINTS = {"raw": 256, "symbol": 24, "noise": 174, "differential": 252}
"""Of a frame of `SAMPLES`: the noise filter has 83 taps."""
PERTURB = Perturb(
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


def raw_only(size: int = SIZE, extent: float = EXTENT) -> Render:
    """`RENDER` with a single view."""
    return RENDER.model_copy(update={"views": ("raw",), "size": size, "extent": RENDER.extent.model_copy(update={"raw": extent})})


def draw(method: str) -> Draw:
    return Draw(method=method, sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))


def noise_aware(epochs: tuple[int, int, int] = (1, 1, 1), **changes) -> NoiseAware:
    """Phases a, b1 and b2 of so many epochs, then c, all with the same weights; `changes` are weights or other settings."""
    weights = {"denoising": 0.3, "identity": 0.05, "noise": 0.1, "features": 0.0, "distillation": 0.0}
    weights |= {name: changes.pop(name) for name in weights.keys() & changes.keys()}
    phases = zip(("a", "b1", "b2", "c"), (*epochs, None), (0, 0, 0.1, 1), (0, 1, 1, 1), strict=True)
    settings = {name: weights | {"epochs": e, "gradient": g, "classification": c} for name, e, g, c in phases}
    settings |= {"degrade_db": (2, 8), "degrade_to_db": None, "reference": None, "features_ramp_epochs": 0, "teacher": None}
    settings |= {"teach_band_db": (-20, 30), "temperature": 2.0, "raw_gain": {"probability": 0, "below_db": 0, "low": 0, "high": 0.5}}
    return NoiseAware.model_validate(settings | changes)


def save_bins(root: Path, cell: Cell, bins: dict[str, np.ndarray], size: int) -> None:
    """A constellation shard of pixel numbers set by hand, (n, points) of each view."""
    render = raw_only(size).model_copy(update={"views": tuple(bins)})
    datasets = {f"{view}/bins": pixels.astype(np.uint16) for view, pixels in bins.items()}
    row = {"row": np.arange(len(next(iter(bins.values()))))}
    shards.save(cell.path(root), datasets | row, cell._asdict() | {"render": render.model_dump_json()})


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Small tensors gain nothing from a second thread and lose much where it has no core of its own."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def iq_shards(tmp_path_factory) -> Path:
    """IQ shards of 3 modulations x 3 SNRs x 20 frames of 256 samples, whose rows in the source are not those in the shard."""
    root = tmp_path_factory.mktemp("shards") / "split_hdf5"
    for number, cell in enumerate(Cell(*names) for names in product(MODULATIONS, SNRS_DB)):
        iq = synthesize_cell(
            *cell, range(FRAMES), seed=1, samples=SAMPLES, sps=8, rolloff=(0.2, 0.5), carrier_offset_std=3.3e-5, gmsk_bt=0.35
        )
        arrays = {"iq": iq.view(np.float32).reshape(FRAMES, SAMPLES, 2), "row": 1000 * number + 3 * np.arange(FRAMES)}
        attributes = {"modulation": cell.modulation, "snr_db": cell.snr_db, "source": "made for the tests", "source_sha256": "0" * 64}
        shards.save(cell.path(root), arrays, attributes)
    return root


@pytest.fixture(scope="session")
def iq_data(iq_shards) -> Signals:
    return Signals(iq_shards)


@pytest.fixture(scope="session")
def constellations(iq_shards) -> Path:
    """The same frames, rendered as `RENDER` says: four views of 32 pixels."""
    root = iq_shards.with_name("constellations")
    rendering.render(iq_shards, root, RENDER)
    return root


@pytest.fixture(scope="session")
def data(constellations) -> Constellations:
    return Constellations(constellations)


@pytest.fixture(scope="session")
def index() -> np.ndarray:
    """Every frame of `data`, int64 (180, 3)."""
    return np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), range(FRAMES))))


@pytest.fixture(scope="session")
def write_constellations() -> Write:
    """A function that makes constellation shards, of the view `raw` alone, from pixel numbers set by hand."""

    def write(root: Path, cells: dict[Cell, np.ndarray], size: int) -> Path:
        for cell, bins in cells.items():
            save_bins(root, cell, {"raw": bins}, size)
        return root

    return write
