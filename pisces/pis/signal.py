"""Which region of a constellation made a model name a signal so: what it says without it.

A signal has no second part of a data set to be averaged over, but many frames. So a region is
masked in all of them, and counts by what the name of the signal loses on their mean.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from pisces.inputs.base import Probe
from pisces.models.modelfile import TrainedModel
from pisces.pis import regions
from pisces.prediction.segments import pooled

MOST_FRAMES = 32
"""Of a signal, evenly spread, that take part."""
RINGS, SECTORS, WINDOW = 4, 8, 0.25
"""Regions that are tried; windows are as wide as this share of the image, side by side."""
TINY = 1e-12


class Region(NamedTuple):
    """Pixels of one view."""

    view: str
    name: str
    pixels: np.ndarray
    """Numbers within the view, int64 (n,)."""


class Explanation(NamedTuple):
    """The region whose loss moves the prediction most, and what is said without it."""

    region: Region
    share: float
    """Of the points of the view, that lie in the region, 0..1."""
    whole: np.ndarray
    """Probability of each modulation, pooled over the frames, (modulations,)."""
    without: np.ndarray
    """The same with the region masked."""
    images: np.ndarray
    """Points in each pixel of each view, summed over the frames: float32 (views, size, size)."""
    frames: int


def explain(trained: TrainedModel, frames: torch.Tensor, modulation: str) -> Explanation:
    """The region that a signal's name needs most, of rings, sectors and windows of all views.

    Args:
        trained: a model of constellations, which reads frames by their pulse.
        frames: of one signal, float32 (n, samples, 2), n > 0.
        modulation: what the model named it.

    Returns:
        The region with the largest drop of the mean log probability of that name.

    Raises:
        ValueError: for a model that sees no constellation.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, MOST_FRAMES).round().astype(int))
    stored = trained.input.encode(frames[torch.from_numpy(chosen)])
    probe = trained.input.probe_of(stored)
    views, size = trained.input.pictures

    column = trained.modulations.index(modulation)
    whole = _probabilities(trained, probe, np.empty(0, int), len(stored))
    places = list(enumerate(views))
    tried = [(v, region) for v, view in places for region in _regions(view, size)]
    masked = [
        _probabilities(trained, probe, region.pixels + v * size**2, len(stored))
        for v, region in tried
    ]
    drops = [_mean_log(whole[:, column]) - _mean_log(one[:, column]) for one in masked]

    most = int(np.argmax(drops))
    v, region = tried[most]
    images = probe.counts.sum(0).reshape(len(views), size, size).numpy()
    of_view = images[v].ravel()
    share = float(of_view[region.pixels].sum() / max(of_view.sum(), 1))
    without = _pooled(masked[most])
    return Explanation(region, share, _pooled(whole), without, images, len(stored))


def _regions(view: str, size: int) -> Iterator[Region]:
    everywhere = np.arange(size**2)
    numbered = {
        "ring": regions.ring_numbers(everywhere, size, RINGS),
        "sector": regions.sector_numbers(everywhere, size, SECTORS),
    }
    for kind, numbers in numbered.items():
        for number in np.unique(numbers):
            yield Region(view, f"{kind} {number}", np.flatnonzero(numbers == number))

    side = regions.length_in_pixels(WINDOW, size)
    starts = regions.window_starts(size, side, side)
    rows, columns = np.divmod(everywhere, size)
    for row in starts:
        for column in starts:
            in_rows = (row <= rows) & (rows < row + side)
            inside = in_rows & (column <= columns) & (columns < column + side)
            yield Region(view, f"window {row}-{column}", np.flatnonzero(inside))


@torch.inference_mode()
def _probabilities(
    trained: TrainedModel, probe: Probe, pixels: np.ndarray, frames: int
) -> np.ndarray:
    """Of each modulation for each frame without some pixels, (frames, modulations)."""
    offsets = np.arange(frames + 1) * len(pixels)
    inputs = probe.without(list(range(frames)), np.tile(pixels, frames), offsets)
    modulation, _ = trained.model(inputs)
    return modulation.double().softmax(1).numpy()


def _pooled(probability: np.ndarray) -> np.ndarray:
    """Of the signal, from (frames, modulations), as in the table."""
    return pooled(np.log(np.maximum(probability, TINY)))


def _mean_log(probability: np.ndarray) -> float:
    return float(np.log(np.maximum(probability, TINY)).mean())
