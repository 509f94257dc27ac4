"""A tiny grid of synthesised frames, rendered and read back, which the tests of the later rooms share."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pisces import rendering, shards
from pisces.datasets import Constellations
from pisces.shards import Cell
from pisces.synthesis import synthesize_cell

MODULATIONS = ("4ASK", "QPSK", "16QAM")  # the one class order, which is not the order of the alphabet
SNRS_DB = (-10, 0, 20)
FRAMES, SAMPLES, SIZE, EXTENT = 20, 256, 32, 2.5
Write = Callable[[Path, dict[Cell, np.ndarray], int], Path]


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
def constellations(iq_shards) -> Path:
    """The same frames, rendered at 32 pixels over +-2.5 RMS."""
    root = iq_shards.with_name("constellations")
    rendering.render(iq_shards, root, SIZE, EXTENT)
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
    """A function that makes constellation shards from pixel numbers set by hand."""

    def write(root: Path, cells: dict[Cell, np.ndarray], size: int) -> Path:
        for cell, bins in cells.items():
            attributes = {"modulation": cell.modulation, "snr_db": cell.snr_db, "size": size, "extent": EXTENT}
            shards.save(cell.path(root), {"raw/bins": bins.astype(np.uint16), "row": np.arange(len(bins))}, attributes)
        return root

    return write
