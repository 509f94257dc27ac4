"""One frame of each of some cells in every view, to be drawn as a sheet."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs.binning import count_points
from pisces.inputs.rendering import read_bins, read_settings


class Sheet(NamedTuple):
    """One frame of each of some cells in every view."""

    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    images: dict[str, np.ndarray]
    """View -> log(1 + counts), float32 (modulations, SNRs, size, size)."""
    extents: dict[str, float]
    """View -> half of the side of its images, in its own unit."""


def preview(root: Path) -> Sheet:
    """The first frame of every modulation at its lowest, middle and highest SNR."""
    modulations, snrs_db = shards.grid(root)
    shown = tuple(dict.fromkeys((snrs_db[0], snrs_db[len(snrs_db) // 2], snrs_db[-1])))
    cells = [Cell(modulation, snr_db) for modulation in modulations for snr_db in shown]

    render = read_settings(root)
    shape = (len(modulations), len(shown), render.size, render.size)
    images: dict[str, np.ndarray] = {}
    for view in render.views:
        first = np.stack([read_bins(root, cell, view)[0] for cell in cells])
        counts = count_points(torch.from_numpy(first.astype(np.int32)), render.size**2)
        images[view] = counts.log1p().view(shape).numpy()
    return Sheet(modulations, shown, images, asdict(render.extent))
