"""Frame -> bins -> image: the only place that knows what a constellation image is.

Each view of a frame (see pisces/inputs/views.py) is a set of points in a unit that no other frame and no maximum decides, because the
SNR lives in their spread. Binning turns each point into the 16-bit number of the pixel it falls in; drawing turns those numbers
into an image, a channel a view, wherever the model is. So `render.*` says what is binned and `draw.*` how it looks, and drawing
anew bins nothing again.

Axes: I runs along the columns, left to right, Q along the rows, bottom to top; pixel number = row * size + column. The images of
several views count their pixels on: pixel of the v-th view (from 0) = v * size^2 + pixel.
"""

import math
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.core import shards
from pisces.core.files import staged
from pisces.core.progress import progress
from pisces.core.settings import from_json, to_json
from pisces.core.shards import Cell
from pisces.inputs import views
from pisces.inputs.settings import RenderSettings

OUTSIDE = 65535
"""Pixel number of a point beyond the extent: such points are dropped, never piled on the border."""

CHUNK = 256  # frames; 2 MiB of IQ, so that all steps on a chunk stay near the processor


class Workspace(NamedTuple):
    """Buffers of `bin_points` for up to n frames: allocating them for every chunk can cost several times the arithmetic."""

    offset: torch.Tensor
    pixels: torch.Tensor
    outside: torch.Tensor
    bins: torch.Tensor

    @classmethod
    def for_points(cls, points: torch.Tensor) -> "Workspace":
        pixels = torch.empty(points.shape[:2], device=points.device)
        bins = torch.empty_like(pixels, dtype=torch.uint16)
        return cls(torch.empty_like(points), pixels, torch.empty_like(pixels), bins)


def bin_frames(
    frames: torch.Tensor, render: RenderSettings, workspace: Workspace | None = None
) -> dict[str, torch.Tensor]:
    """View -> pixel number of each of its points: frames (n, samples, 2) float32, I then Q -> (n, points) uint16.

    With a `workspace` of at least n frames the bins of `raw` lie in it, and last until its next use.

    Raises:
        ValueError: as `rms`.
    """
    level = rms(frames)
    # Over the RMS, so that powers stay within float32.
    iq = (
        None
        if set(render.views) == {"raw"}
        else torch.view_as_complex(frames / level[:, None, None])
    )
    bins = {}
    for view in render.views:
        pixels_per_unit = render.size / 2 / getattr(render.extent, view)
        if view == "raw":
            bins[view] = bin_points(frames, pixels_per_unit / level, render.size, workspace)
        else:
            bins[view] = bin_points(
                torch.view_as_real(_points(view, iq, render)), pixels_per_unit, render.size
            )
    return bins


def rms(frames: torch.Tensor) -> torch.Tensor:
    """Root mean square of the complex samples of each frame, (n,), positive and finite: frames (n, samples, 2) float32, I then Q.

    Raises:
        ValueError: for frames of another shape or type, and for one without a finite power, which has no RMS to be divided by.
    """
    if frames.ndim != 3 or frames.shape[2] != 2 or frames.dtype != torch.float32:
        raise ValueError(
            f"frames are float32 (n, samples, 2), I then Q, not {str(frames.dtype).removeprefix('torch.')} {tuple(frames.shape)}; "
            "torch.view_as_real makes them of complex64 (n, samples)"
        )
    found = torch.linalg.vector_norm(frames.flatten(1), dim=1) / frames.shape[1] ** 0.5
    # A sample that is not finite makes the RMS so, and the logarithm of zero is not finite either: one sum tells of all.
    if not math.isfinite(found.log().sum()):
        first = int(found.log().isfinite().int().argmin())
        if found[first] == 0:
            raise ValueError(
                f"frame {first} of {len(frames)} has no power; leave all-zero frames out"
            )
        raise ValueError(
            f"frame {first} of {len(frames)} has samples that are NaN, infinite or too large to be squared; leave it out"
        )
    return found


def _points(view: str, iq: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    match view:
        case "symbol":
            return views.symbol(iq, render.sps, render.rolloff)
        case "noise":
            return views.noise(iq, render.sps)
        case _:
            return views.differential(iq, render.delay)


def bin_points(
    points: torch.Tensor,
    pixels_per_unit: float | torch.Tensor,
    size: int,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """Pixel number of every point: (n, points, 2) float32 -> (n, points) uint16; `pixels_per_unit` may be one a frame, (n,).

    `size` is even and the origin lies between four pixels, so a turn of the frame by 90 degrees turns the image by exactly 90
    degrees. Points outside become `OUTSIDE`.
    """
    half = size // 2
    offset, pixels, outside, bins = (
        buffer[: len(points)] for buffer in workspace or Workspace.for_points(points)
    )
    if isinstance(pixels_per_unit, torch.Tensor):
        pixels_per_unit = pixels_per_unit[:, None, None]
    # Offsets from the centre: -half..half-1 within the extent, the next number for all that lies outside.
    torch.mul(points, pixels_per_unit, out=offset).floor_().clamp_(-half - 1, half)
    column, row_up = offset.unbind(-1)
    torch.add(column, row_up, alpha=-size, out=pixels).add_((half - 1) * size + half)
    offset.add_(0.5).abs_().gt_(
        half
    )  # symmetric in between: half - 0.5 at the outermost pixel of either side
    torch.add(column, row_up, out=outside)
    return bins.copy_(pixels.add_(outside, alpha=2 * OUTSIDE).clamp_(max=OUTSIDE))


def join_views(bins: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """Bins (n, points of the view) uint16 of every view -> pixel numbers counted on through the views, int32 (n, all points).

    `OUTSIDE` becomes the number after the last pixel.
    """
    pixels = size * size
    # Through int16, since a GPU can do little with uint16.
    numbers = [one.view(torch.int16).to(torch.int32) & 0xFFFF for one in bins]
    return torch.cat(
        [
            torch.where(one == OUTSIDE, len(bins) * pixels, one + v * pixels)
            for v, one in enumerate(numbers)
        ],
        1,
    )


def encode(frames: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """Pixel numbers of frames (n, samples, 2), counted on through the views, int32 (n, all points); errors as in `bin_frames`."""
    return join_views(list(bin_frames(frames, render).values()), render.size)


def count_points(bins: torch.Tensor, pixels: int) -> torch.Tensor:
    """Points in each of `pixels` pixels: bins (n, points) integer -> (n, pixels) float32; higher numbers are not counted."""
    index = bins.to(torch.int64).clamp_(max=pixels)
    ones = torch.ones((), device=bins.device).expand(index.shape)
    counts = torch.zeros(len(bins), pixels + 1, device=bins.device).scatter_add_(1, index, ones)
    return counts[:, :-1]


def render(source: Path, target: Path, settings: RenderSettings) -> int:
    """Bins every frame of the shards in `source` into shards in `target`; returns the number of frames.

    A constellation shard holds `<view>/bins` uint16 (n, points) a view and `row` int64 (n,) as in the source, and as attributes
    those of the source shard and `render`, the settings as JSON.
    """
    cells = shards.cells(source)
    samples = shards.array(cells[0].path(source), "iq").shape[1]
    cores = torch.get_num_threads()
    # A core works on a cell of its own: on steps as short as these, cores that share one spend their time waiting for each other.
    try:
        with (
            staged(target) as folder,
            ThreadPoolExecutor(cores, initializer=_prepare, initargs=(samples,)) as pool,
        ):
            frames = pool.map(
                lambda cell: _render_cell(cell.path(source), cell.path(folder), settings), cells
            )
            return sum(progress(frames, "render", len(cells)))
    finally:
        torch.set_num_threads(cores)


class _Buffers(threading.local):
    """What a thread renders in; memory that is new to the process costs more than the arithmetic done in it."""

    frames: torch.Tensor
    workspace: Workspace


_buffers = _Buffers()


def _prepare(samples: int) -> None:
    torch.set_num_threads(1)
    _buffers.frames = torch.empty(CHUNK, samples, 2)
    _buffers.workspace = Workspace.for_points(_buffers.frames)


def _render_cell(source: Path, target: Path, settings: RenderSettings) -> int:
    iq, row = shards.array(source, "iq"), shards.array(source, "row")
    one = bin_frames(
        torch.ones(1, *iq.shape[1:]), settings
    )  # any frame tells how many points each view has
    layout = {_dataset(view): ((len(iq), bins.shape[1]), np.uint16) for view, bins in one.items()}
    attributes = shards.attributes(source) | {"render": to_json(settings)}
    shard = shards.create(target, layout | {"row": (row.shape, np.int64)}, attributes)
    shards.write(shard, 0, {"row": row})
    for start in range(0, len(iq), CHUNK):
        chunk = _buffers.frames[: len(iq) - start]
        shards.read(iq, start, chunk.numpy())
        bins = bin_frames(chunk, settings, _buffers.workspace)
        shards.write(shard, start, {_dataset(view): one.numpy() for view, one in bins.items()})
    return len(iq)


def _dataset(view: str) -> str:
    return f"{view}/bins"


def read_bins(root: Path, cell: Cell, view: str) -> np.ndarray:
    """Memory map of one cell's bins in one view, uint16 (n, points)."""
    return shards.array(cell.path(root), _dataset(view))


def settings(root: Path) -> RenderSettings:
    """What the constellations under `root` were rendered with; it is the same in every shard."""
    first = shards.cells(root)[0]
    return from_json(RenderSettings, shards.attributes(first.path(root))["render"])
