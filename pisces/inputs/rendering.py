"""Shards of IQ frames -> shards of binned constellations, and how to read these."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.files import staged
from pisces.core.modulations import LINEAR
from pisces.core.progress import progress
from pisces.core.settings import from_json, to_json
from pisces.core.shards import Cell
from pisces.inputs.binning import bin_and_measure, bin_frames
from pisces.inputs.receiver.pulse import estimate_response
from pisces.inputs.settings import RenderSettings

CHUNK = 512  # frames; more of them hardly save time, and take memory that is new to the process
KEPT = 30 << 20
"""Bytes of a block that a thread asks for and frees before its first chunk.

Of memory that is freed later, glibc then keeps twice as much (its limit is 32 MiB) instead of
handing it back to the system, which would clear it anew for every chunk.
"""
CARRIER_OFFSET = "carrier_offset"
"""Dataset of a constellation shard; see `render`."""
PULSE_FRAMES = 1024
"""Frames that the pulse of a file is estimated from, about as many of each cell."""


class Rendered(NamedTuple):
    """How many frames were rendered."""

    frames: int
    linear: int
    """Of a linear modulation, as `symbol` is made for."""
    beyond: int
    """Of these, with a carrier offset beyond the reach of `symbol`."""


def render(source: Path, target: Path, settings: RenderSettings) -> Rendered:
    """Bins every frame of the shards in `source`, into shards in `target`.

    A constellation shard holds `<view>/bins` uint16 (n, points) for each view, and `row` int64 (n,)
    as in the source. Where `symbol` is a view, `carrier_offset` float32 (n,) is what each frame was
    turned back by, in cycles a sample: NaN beyond its reach. The attributes are those of the source
    shard and `render`, the settings as JSON, the response of an estimated pulse and the length of a
    frame among them.

    Args:
        source: directory of IQ shards.
        target: directory to make; it appears whole or not at all.
        settings: what is binned.

    Returns:
        How many frames there were, and how many of them `symbol` could not follow.

    Raises:
        FileNotFoundError: when a shard is missing.
        ValueError: as `binning.bin_frames`, and where a pulse is to be found and cannot be.
    """
    shards.grid(source)  # which raises where a shard is missing
    cells = shards.cells(source)
    samples = shards.array(cells[0].path(source), "iq").shape[1]
    settings = replace(with_response(source, settings), samples=samples)
    cores = torch.get_num_threads()
    try:
        # A cell a core: on steps this short, cores that share one cell wait for each other.
        pool = ThreadPoolExecutor(cores, initializer=_prepare, initargs=(samples,))
        with staged(target) as folder, pool:
            rendered = pool.map(lambda cell: _render_cell(cell, source, folder, settings), cells)
            counts = list(progress(rendered, "render", len(cells)))
            return Rendered(*(sum(column) for column in zip(*counts, strict=True)))
    finally:
        torch.set_num_threads(cores)


def with_response(source: Path, settings: RenderSettings) -> RenderSettings:
    """The settings with the response of the pulse that is found in the frames, where one is asked.

    Raises:
        ValueError: where it cannot be found; see `receiver.pulse.estimate_response`.
    """
    if settings.pulse != "estimated" or "symbol" not in settings.views:
        return settings
    linear = [cell for cell in shards.cells(source) if cell.modulation in LINEAR]
    if not linear:
        raise ValueError(
            f"{source} holds no linear modulation that a pulse could be found from; "
            "set render.pulse to rrc or rml2018, or leave symbol out of render.views"
        )
    of_each = math.ceil(PULSE_FRAMES / len(linear))
    frames = [shards.array(cell.path(source), "iq")[:of_each] for cell in linear]
    response = estimate_response(to_complex(np.concatenate(frames)), settings.sps)
    return replace(settings, response=response)


class _Buffers(threading.local):
    """Memory that a thread reads all its chunks into.

    Memory that is new to the process costs more time than the reading.
    """

    frames: torch.Tensor


_buffers = _Buffers()


def _prepare(samples: int) -> None:
    """Sets up a thread of the pool, for frames of so many samples."""
    torch.set_num_threads(1)
    torch.empty(KEPT, dtype=torch.uint8)  # never written, so it costs nothing
    _buffers.frames = torch.empty(CHUNK, samples, 2)


def _render_cell(cell: Cell, source: Path, target: Path, settings: RenderSettings) -> Rendered:
    """Bins the frames of one shard below `source` into a new shard below `target`."""
    path = cell.path(source)
    iq, row = shards.array(path, "iq"), shards.array(path, "row")

    layout: dict[str, tuple[tuple[int, ...], Any]] = {"row": (row.shape, np.int64)}
    for view, points in _points_of_views(iq.shape[1], settings).items():
        layout[bins_of(view)] = ((len(iq), points), np.uint16)
    if "symbol" in settings.views:
        layout[CARRIER_OFFSET] = ((len(iq),), np.float32)
    attributes = shards.attributes(path) | {"render": to_json(settings)}
    shard = shards.create(cell.path(target), layout, attributes)
    shards.write(shard, 0, {"row": row})

    beyond = 0
    for start in range(0, len(iq), CHUNK):
        chunk = _buffers.frames[: len(iq) - start]
        shards.read(iq, start, chunk.numpy())
        binned = bin_and_measure(chunk, settings)

        by_dataset = {bins_of(view): of_view.numpy() for view, of_view in binned.bins.items()}
        if binned.carrier_offset is not None:
            by_dataset[CARRIER_OFFSET] = binned.carrier_offset.numpy()
            beyond += int(binned.carrier_offset.isnan().sum())
        shards.write(shard, start, by_dataset)

    linear = cell.modulation in LINEAR
    return Rendered(len(iq), len(iq) if linear else 0, beyond if linear else 0)


@cache
def _points_of_views(samples: int, settings: RenderSettings) -> dict[str, int]:
    """How many points each view has of frames of so many samples, as any frame shows."""
    example = bin_frames(torch.ones(1, samples, 2), settings)
    return {view: bins.shape[1] for view, bins in example.items()}


def bins_of(view: str) -> str:
    """Name of the dataset of a constellation shard that holds the bins of a view."""
    return f"{view}/bins"


def read_bins(root: Path, cell: Cell, view: str) -> np.ndarray:
    """The bins of one cell in one view, as a memory map.

    Args:
        root: directory of constellation shards.
        cell: modulation and SNR.
        view: a view that was rendered, as in `render.views`.

    Returns:
        Pixel numbers of the points, uint16 (n, points), counted within the view.

    Raises:
        FileNotFoundError, ValueError: as `shards.array`.
    """
    return shards.array(cell.path(root), bins_of(view))


def read_settings(root: Path) -> RenderSettings:
    """The settings that the constellations under `root` were rendered with, from any shard."""
    path = shards.cells(root)[0].path(root)
    try:
        return from_json(RenderSettings, str(shards.attributes(path).get("render", "")))
    except ValueError as error:
        raise ValueError(
            f"{path} does not say how it was rendered, in its attribute render: {error}; "
            "make it again with dvc repro --force render"
        ) from None
