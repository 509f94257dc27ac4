"""Frame -> bins -> image: the only place that knows what a constellation image is.

Each view of a frame (see pisces/views.py) is a set of points in a unit that no other frame and no maximum decides, because the
SNR lives in their spread. Binning turns each point into the 16-bit number of the pixel it falls in; drawing turns those numbers
into an image, a channel a view, wherever the model is. So `render.*` says what is binned and `draw.*` how it looks, and drawing
anew bins nothing again.

Axes: I runs along the columns, left to right, Q along the rows, bottom to top; pixel number = row * size + column. The images of
several views count their pixels on: pixel of the v-th view (from 0) = v * size^2 + pixel.
"""

import math
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from pisces import console, shards, views
from pisces.files import staged
from pisces.params import Draw, Render
from pisces.shards import Cell

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


def bin_frames(frames: torch.Tensor, render: Render, workspace: Workspace | None = None) -> dict[str, torch.Tensor]:
    """View -> pixel number of each of its points: frames (n, samples, 2) float32, I then Q -> (n, points) uint16.

    With a `workspace` of at least n frames the bins of `raw` lie in it, and last until its next use.

    Raises:
        ValueError: as `rms`.
    """
    level = rms(frames)
    # Over the RMS, so that powers stay within float32.
    iq = None if set(render.views) == {"raw"} else torch.view_as_complex(frames / level[:, None, None])
    bins = {}
    for view in render.views:
        pixels_per_unit = render.size / 2 / getattr(render.extent, view)
        if view == "raw":
            bins[view] = bin_points(frames, pixels_per_unit / level, render.size, workspace)
        else:
            bins[view] = bin_points(torch.view_as_real(_points(view, iq, render)), pixels_per_unit, render.size)
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
            raise ValueError(f"frame {first} of {len(frames)} has no power; leave all-zero frames out")
        raise ValueError(f"frame {first} of {len(frames)} has samples that are NaN, infinite or too large to be squared; leave it out")
    return found


def _points(view: str, iq: torch.Tensor, render: Render) -> torch.Tensor:
    match view:
        case "symbol":
            return views.symbol(iq, render.sps, render.rolloff)
        case "noise":
            return views.noise(iq, render.sps)
        case _:
            return views.differential(iq, render.delay)


def bin_points(points: torch.Tensor, pixels_per_unit: float | torch.Tensor, size: int, workspace: Workspace | None = None) -> torch.Tensor:
    """Pixel number of every point: (n, points, 2) float32 -> (n, points) uint16; `pixels_per_unit` may be one a frame, (n,).

    `size` is even and the origin lies between four pixels, so a turn of the frame by 90 degrees turns the image by exactly 90
    degrees. Points outside become `OUTSIDE`.
    """
    half = size // 2
    offset, pixels, outside, bins = (buffer[: len(points)] for buffer in workspace or Workspace.for_points(points))
    if isinstance(pixels_per_unit, torch.Tensor):
        pixels_per_unit = pixels_per_unit[:, None, None]
    # Offsets from the centre: -half..half-1 within the extent, the next number for all that lies outside.
    torch.mul(points, pixels_per_unit, out=offset).floor_().clamp_(-half - 1, half)
    column, row_up = offset.unbind(-1)
    torch.add(column, row_up, alpha=-size, out=pixels).add_((half - 1) * size + half)
    offset.add_(0.5).abs_().gt_(half)  # symmetric in between: half - 0.5 at the outermost pixel of either side
    torch.add(column, row_up, out=outside)
    return bins.copy_(pixels.add_(outside, alpha=2 * OUTSIDE).clamp_(max=OUTSIDE))


def join_views(bins: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """Bins (n, points of the view) uint16 of every view -> pixel numbers counted on through the views, int32 (n, all points).

    `OUTSIDE` becomes the number after the last pixel.
    """
    pixels = size * size
    # Through int16, since a GPU can do little with uint16.
    numbers = [one.view(torch.int16).to(torch.int32) & 0xFFFF for one in bins]
    return torch.cat([torch.where(one == OUTSIDE, len(bins) * pixels, one + v * pixels) for v, one in enumerate(numbers)], 1)


def encode(frames: torch.Tensor, render: Render) -> torch.Tensor:
    """Pixel numbers of frames (n, samples, 2), counted on through the views, int32 (n, all points); errors as in `bin_frames`."""
    return join_views(list(bin_frames(frames, render).values()), render.size)


def count_points(bins: torch.Tensor, pixels: int) -> torch.Tensor:
    """Points in each of `pixels` pixels: bins (n, points) integer -> (n, pixels) float32; higher numbers are not counted."""
    index = bins.to(torch.int64).clamp_(max=pixels)
    ones = torch.ones((), device=bins.device).expand(index.shape)
    counts = torch.zeros(len(bins), pixels + 1, device=bins.device).scatter_add_(1, index, ones)
    return counts[:, :-1]


@dataclass(frozen=True)
class Drawing:
    """How the bins of `render` become an image.

    Methods of `draw`: `histogram` (the counts), `log_histogram` (log(1 + counts)), `max_normalized` (counts over the largest of
    the image: hides the SNR, kept for comparison), `gaussian` (counts smoothed by a Gaussian) and `enhanced` (log of counts smoothed
    by three exponential decays exp(-distance / decay_px), a channel each; after Peng et al., "Modulation classification based
    on signal constellation diagrams and deep learning", IEEE TNNLS 30 (2019), section III).
    """

    render: Render
    draw: Draw

    @property
    def pixels(self) -> int:
        """Of all views together."""
        return len(self.render.views) * self.render.size**2

    @property
    def channels(self) -> int:
        return len(self.render.views) * (len(self.draw.decay_px) if self.draw.method == "enhanced" else 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, batch left out."""
        return self.channels, self.render.size, self.render.size

    def prepare(self, bins: torch.Tensor) -> torch.Tensor:
        """Images, as models take them, of the bins (n, points) of `Constellations.bins`."""
        return self(self.count(bins)).contiguous(memory_format=torch.channels_last)

    def count(self, bins: torch.Tensor) -> torch.Tensor:
        """Points in each pixel, (n, pixels) float32, of the bins (n, points) of `Constellations.bins`."""
        return count_points(bins, self.pixels)

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        """Images (n, channels, size, size) float32 of counts (n, pixels)."""
        image = counts.view(-1, len(self.render.views), self.render.size, self.render.size)
        match self.draw.method:
            case "histogram":
                return image
            case "log_histogram":
                return image.log1p()
            case "max_normalized":
                return image / image.amax((2, 3), keepdim=True).clamp_min(1)
            case "gaussian":
                distance = _distance(3 * self.draw.sigma_px, image.device)
                kernel = torch.exp(-0.5 * (distance / self.draw.sigma_px) ** 2)
                return _smooth(image, (kernel / kernel.sum())[None])
            case "enhanced":
                distance = _distance(4 * max(self.draw.decay_px), image.device)
                kernels = torch.stack([torch.exp(-distance / decay) for decay in self.draw.decay_px])
                return _smooth(image, kernels).log1p()
        raise ValueError(f"draw.method {self.draw.method!r} is unknown")


def _distance(reach_px: float, device: torch.device) -> torch.Tensor:
    """Distance of each kernel pixel from the centre, out to `reach_px`: (side, side)."""
    axis = torch.arange(-int(reach_px), int(reach_px) + 1, device=device)
    return torch.hypot(axis[:, None].float(), axis[None, :].float())


def _smooth(image: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """(n, views, size, size) with (k, side, side) -> (n, views * k, size, size), a view's k together; beyond the border lies zero."""
    smooth = functional.conv2d(image.flatten(0, 1)[:, None], kernels[:, None], padding=kernels.shape[-1] // 2)
    return smooth.view(len(image), -1, *image.shape[2:])


def render(source: Path, target: Path, settings: Render) -> int:
    """Bins every frame of the shards in `source` into shards in `target`; returns the number of frames.

    A constellation shard holds `<view>/bins` uint16 (n, points) a view and `row` int64 (n,) as in the source, and as attributes
    those of the source shard and `render`, the settings as JSON.
    """
    cells = shards.cells(source)
    samples = shards.array(cells[0].path(source), "iq").shape[1]
    cores = torch.get_num_threads()
    # A core works on a cell of its own: on steps as short as these, cores that share one spend their time waiting for each other.
    try:
        with staged(target) as folder, ThreadPoolExecutor(cores, initializer=_prepare, initargs=(samples,)) as pool:
            frames = pool.map(lambda cell: _render_cell(cell.path(source), cell.path(folder), settings), cells)
            return sum(console.progress(frames, "render", len(cells)))
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


def _render_cell(source: Path, target: Path, settings: Render) -> int:
    iq, row = shards.array(source, "iq"), shards.array(source, "row")
    one = bin_frames(torch.ones(1, *iq.shape[1:]), settings)  # any frame tells how many points each view has
    layout = {_dataset(view): ((len(iq), bins.shape[1]), np.uint16) for view, bins in one.items()}
    attributes = shards.attributes(source) | {"render": settings.model_dump_json()}
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


def settings(root: Path) -> Render:
    """What the constellations under `root` were rendered with; it is the same in every shard."""
    return Render.model_validate_json(shards.attributes(shards.cells(root)[0].path(root))["render"])


class Sheet(NamedTuple):
    """One frame of each of some cells in every view, for `plots.constellations`."""

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
        images[view] = counts.log1p().view(len(modulations), len(shown), made.size, made.size).numpy()
    return Sheet(modulations, shown, images, made.extent.model_dump())


def export_png(root: Path, target: Path, drawing: Drawing, frames_per_cell: int | None) -> int:
    """Writes `<MODULATION>/SNR_<dB>/<frame>.png` under `target`, for tools that want folders; returns the number of files.

    The drawing has a single view. Grey values are on one scale for all frames, so that brightness compares: 255 stands for a
    pixel that holds every point of the frame (`histogram` clips at 255 points). `enhanced` gives RGB.
    """
    with staged(target) as folder:
        return sum(_export_cell(root, folder, cell, drawing, frames_per_cell) for cell in console.progress(shards.cells(root), "export"))


def _export_cell(root: Path, folder: Path, cell: Cell, drawing: Drawing, limit: int | None) -> int:
    (view,) = drawing.render.views
    bins = read_bins(root, cell, view)[:limit]
    out = folder / cell.modulation / f"SNR_{cell.snr_db}"
    out.mkdir(parents=True)
    full_scale = {"histogram": 255.0, "gaussian": 255.0, "max_normalized": 1.0}.get(drawing.draw.method, np.log1p(bins.shape[1]))
    for frame, image in enumerate(_draw_all(bins, drawing)):
        grey = (image * (255 / full_scale)).clip(0, 255).round().astype(np.uint8)  # (channels, size, size)
        Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(out / f"{frame:05d}.png")
    return len(bins)


def _draw_all(bins: np.ndarray, drawing: Drawing) -> Iterator[np.ndarray]:
    for start in range(0, len(bins), CHUNK):
        chunk = torch.from_numpy(bins[start : start + CHUNK].astype(np.int32))
        yield from drawing(drawing.count(chunk)).numpy()
