"""One frame of each of some cells in every view, to be drawn as a sheet."""

from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs.binning import count_points, read_bins, settings


class Sheet(NamedTuple):
    """One frame of each of some cells in every view, for a picture."""

    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    images: dict[str, np.ndarray]
    """View -> log(1 + counts), float32 (modulations, SNRs, size, size)."""
    extents: dict[str, float]


def preview(root: Path) -> Sheet:
    """The first frame of every modulation at its lowest, middle and highest SNR."""
    modulations, snrs_db = shards.grid(root)
    shown = tuple(dict.fromkeys((snrs_db[0], snrs_db[len(snrs_db) // 2], snrs_db[-1])))
    made, images = settings(root), {}
    for view in made.views:
        first = np.stack([read_bins(root, Cell(m, s), view)[0] for m in modulations for s in shown])
        counts = count_points(torch.from_numpy(first.astype(np.int32)), made.size**2)
        images[view] = (
            counts.log1p().view(len(modulations), len(shown), made.size, made.size).numpy()
        )
    return Sheet(modulations, shown, images, asdict(made.extent))
