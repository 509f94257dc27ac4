"""Synthetic frames for the benchmarks, without torch.

The import of torch alone takes hundreds of megabytes.
"""

from pathlib import Path

import numpy as np

from pisces.core import shards
from pisces.core.apsk import USUAL_RATE
from pisces.core.shards import Cell
from pisces.inputs.settings import Extent, RenderSettings
from pisces.sources.settings import Physics
from pisces.sources.synthesis import synthesize_cell

SAMPLES = 1024
PHYSICS = Physics(
    samples=SAMPLES,
    sps=8,
    pulse="rrc",
    rolloff=(0.2, 0.5),
    ask="bipolar",
    apsk_rates={modulation: (rate,) for modulation, rate in USUAL_RATE.items()},
    snr_label="power",
    carrier_offset_std=3.3e-5,
    clock_offset_ppm=0.0,
    gmsk_bt=0.35,
    multipath=None,
    impairments=None,
)
TEXTBOOK_RENDER = RenderSettings(
    views=("symbol", "noise"),
    size=64,
    extent=Extent(raw=2.5, symbol=2.0, noise=80.0, differential=2.5),
    sps=PHYSICS.sps,
    pulse="rrc",
    rolloff=0.35,
    carrier_offset_std=PHYSICS.carrier_offset_std,
    delay=4,
)


def make_frames(cell: Cell, frames: int) -> np.ndarray:
    """float32 (frames, samples, 2), I then Q."""
    iq = synthesize_cell(cell.modulation, cell.snr_db, range(frames), PHYSICS, seed=1)
    return iq.view(np.float32).reshape(frames, SAMPLES, 2)


def make_shards(root: Path, cells: list[Cell], frames: int) -> None:
    for cell in cells:
        shards.save(
            cell.path(root),
            {"iq": make_frames(cell, frames), "row": np.arange(frames)},
            cell._asdict(),
        )
