"""Constellations as folders of PNG files, for tools that take those."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pisces.core import shards
from pisces.core.files import staged
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.inputs.drawing import Drawing
from pisces.inputs.rendering import read_bins

BATCH = 256  # frames drawn at a time


def export_png(root: Path, target: Path, drawing: Drawing, frames_per_cell: int | None) -> int:
    """Writes `<MODULATION>/SNR_<dB>/<frame>.png`, on one grey scale for all frames.

    255 stands for a pixel that holds every point of the frame; `histogram` and `gaussian` clip at
    255 points. `enhanced` gives RGB.

    Args:
        root: directory of constellation shards.
        target: directory to make.
        drawing: of a single view.
        frames_per_cell: the first ones of each cell; None for all.

    Returns:
        The number of files.
    """
    cells = progress(shards.cells(root), "export")
    with staged(target) as folder:
        return sum(_export_cell(root, folder, cell, drawing, frames_per_cell) for cell in cells)


def _export_cell(root: Path, folder: Path, cell: Cell, drawing: Drawing, limit: int | None) -> int:
    (view,) = drawing.render.views
    bins = read_bins(root, cell, view)[:limit]
    out = folder / cell.modulation / f"SNR_{cell.snr_db}"
    out.mkdir(parents=True)

    scale = 255 / _full_scale(drawing.draw.method, bins.shape[1])
    for frame, image in enumerate(_draw_all(bins, drawing)):
        grey = (image * scale).clip(0, 255).round().astype(np.uint8)  # (channels, size, size)
        pixels = grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)
        Image.fromarray(pixels).save(out / f"{frame:05d}.png")
    return len(bins)


def _full_scale(method: str, points: int) -> float:
    """The value that is white, for frames of so many points."""
    match method:
        case "histogram" | "gaussian":
            return 255.0
        case "max_normalized":
            return 1.0
        case _:
            return float(np.log1p(points))


def _draw_all(bins: np.ndarray, drawing: Drawing) -> Iterator[np.ndarray]:
    """Images (channels, size, size) of pixel numbers (n, points)."""
    for start in range(0, len(bins), BATCH):
        chunk = torch.from_numpy(bins[start : start + BATCH].astype(np.int32))
        yield from drawing(drawing.count(chunk)).numpy()
