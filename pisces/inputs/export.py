"""Constellations as folders of PNG files, for tools that want those."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pisces.core import shards
from pisces.core.files import staged
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.inputs.binning import CHUNK, read_bins
from pisces.inputs.drawing import Drawing


def export_png(root: Path, target: Path, drawing: Drawing, frames_per_cell: int | None) -> int:
    """Writes `<MODULATION>/SNR_<dB>/<frame>.png` under `target`, for tools that want folders; returns the number of files.

    The drawing has a single view. Grey values are on one scale for all frames, so that brightness compares: 255 stands for a
    pixel that holds every point of the frame (`histogram` clips at 255 points). `enhanced` gives RGB.
    """
    with staged(target) as folder:
        return sum(
            _export_cell(root, folder, cell, drawing, frames_per_cell)
            for cell in progress(shards.cells(root), "export")
        )


def _export_cell(root: Path, folder: Path, cell: Cell, drawing: Drawing, limit: int | None) -> int:
    (view,) = drawing.render.views
    bins = read_bins(root, cell, view)[:limit]
    out = folder / cell.modulation / f"SNR_{cell.snr_db}"
    out.mkdir(parents=True)
    full_scale = {"histogram": 255.0, "gaussian": 255.0, "max_normalized": 1.0}.get(
        drawing.draw.method, np.log1p(bins.shape[1])
    )
    for frame, image in enumerate(_draw_all(bins, drawing)):
        grey = (
            (image * (255 / full_scale)).clip(0, 255).round().astype(np.uint8)
        )  # (channels, size, size)
        Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(
            out / f"{frame:05d}.png"
        )
    return len(bins)


def _draw_all(bins: np.ndarray, drawing: Drawing) -> Iterator[np.ndarray]:
    for start in range(0, len(bins), CHUNK):
        chunk = torch.from_numpy(bins[start : start + CHUNK].astype(np.int32))
        yield from drawing(drawing.count(chunk)).numpy()
