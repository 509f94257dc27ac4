"""Views, drawings and frames of the shared grid of `tests.conftest`."""

from dataclasses import replace

import numpy as np
import torch

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs.binning import bin_frames
from pisces.inputs.drawing import Drawing
from pisces.inputs.settings import RenderSettings
from tests.conftest import (
    EXTENT,
    RENDER,
    SIZE,
    draw,
    raw_only,
)


def drawing(method: str, render: RenderSettings | None = None) -> Drawing:
    return Drawing(render or raw_only(), draw(method))


def seen(*names: str, **changes) -> RenderSettings:
    """`RENDER` with these views and other changes, for frames of any length."""
    return replace(RENDER, views=names, samples=0, **changes)


def raw_bins(frames: torch.Tensor, size: int = SIZE, extent: float = EXTENT) -> torch.Tensor:
    (bins,) = bin_frames(frames, raw_only(size, extent)).values()
    return bins


def frames_of(iq_shards, modulation: str, snr_db: int) -> np.ndarray:
    return np.array(shards.array(Cell(modulation, snr_db).path(iq_shards), "iq"))
