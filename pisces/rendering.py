"""Frame -> bins -> image: the only place that knows what a constellation image is.

A frame is divided by its own RMS, never by anything that another frame or a maximum decides, because its SNR lives in its
spread. Binning turns each of its samples into the 16-bit number of the pixel it falls in; drawing turns those numbers into an
image wherever the model is. So `render.*` says what is binned and `draw.*` how it looks, and drawing anew bins nothing again.

Axes: I runs along the columns, left to right, Q along the rows, bottom to top; pixel number = row * size + column.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from pisces import console, shards
from pisces.files import staged
from pisces.shards import Cell

OUTSIDE = 65535
"""Pixel number of a sample beyond the extent: such samples are dropped, never piled on the border."""

VIEW = "raw"
CHUNK = 256  # frames; 2 MiB of IQ, so that all steps on a chunk stay near the processor


class Workspace(NamedTuple):
    """Buffers of `bin_frames` for up to n frames: allocating them for every chunk can cost several times the arithmetic."""

    offset: torch.Tensor
    pixels: torch.Tensor
    outside: torch.Tensor
    bins: torch.Tensor

    @classmethod
    def for_frames(cls, frames: torch.Tensor) -> "Workspace":
        pixels = torch.empty(frames.shape[:2], device=frames.device)
        bins = torch.empty_like(pixels, dtype=torch.uint16)
        return cls(torch.empty_like(frames), pixels, torch.empty_like(pixels), bins)


def bin_frames(frames: torch.Tensor, size: int, extent: float, workspace: Workspace | None = None) -> torch.Tensor:
    """Pixel number of every sample: frames (n, samples, 2) float32, I then Q -> (n, samples) uint16.

    The image of `size` x `size` pixels spans -extent..extent in units of each frame's RMS; `size` is even, so a turn of the
    frame by 90 degrees turns the image by exactly 90 degrees. Samples outside become `OUTSIDE`. With a `workspace` of at
    least n frames the result lies in it, and lasts until its next use.

    Raises:
        ValueError: for a frame without power, which has no RMS to be divided by.
    """
    n, half = len(frames), size // 2
    offset, pixels, outside, bins = (buffer[:n] for buffer in workspace or Workspace.for_frames(frames))
    root_energy = torch.linalg.vector_norm(frames.flatten(1), dim=1)
    if not bool((root_energy > 0).all()):
        raise ValueError(f"frame {int(torch.argmin(root_energy))} of {n} has no power; leave all-zero frames out")
    scale = (half / extent) * frames.shape[1] ** 0.5 / root_energy
    # Offsets from the centre: -half..half-1 within the extent, the next number for all that lies outside.
    torch.mul(frames, scale[:, None, None], out=offset).floor_().clamp_(-half - 1, half)
    column, row_up = offset.unbind(-1)
    torch.add(column, row_up, alpha=-size, out=pixels).add_((half - 1) * size + half)
    offset.add_(0.5).abs_().gt_(half)  # symmetric in between: half - 0.5 at the outermost pixel of either side
    torch.add(column, row_up, out=outside)
    return bins.copy_(pixels.add_(outside, alpha=2 * OUTSIDE).clamp_(max=OUTSIDE))


def count_samples(bins: torch.Tensor, size: int) -> torch.Tensor:
    """Samples in each pixel: bins (n, samples) integer -> (n, size * size) float32; `OUTSIDE` is not counted."""
    index = bins.to(torch.int64).clamp_(max=size * size)
    ones = torch.ones((), device=bins.device).expand(index.shape)
    counts = torch.zeros(len(bins), size * size + 1, device=bins.device).scatter_add_(1, index, ones)
    return counts[:, :-1]


@dataclass(frozen=True)
class Drawing:
    """How sample counts become an image; the settings are those of `params.Render` and `params.Draw`.

    Methods: `histogram` (the counts), `log_histogram` (log(1 + counts)), `max_normalized` (counts over the largest of the
    image: hides the SNR, kept for comparison), `gaussian` (counts smoothed by a Gaussian) and `enhanced` (log of counts smoothed by
    three exponential decays exp(-distance / decay_px), a channel each; after Peng et al., "Modulation classification based
    on signal constellation diagrams and deep learning", IEEE TNNLS 30 (2019), section III).
    """

    size: int
    extent: float
    method: str
    sigma_px: float
    decay_px: tuple[float, float, float]

    @property
    def channels(self) -> int:
        return len(self.decay_px) if self.method == "enhanced" else 1

    def __call__(self, counts: torch.Tensor) -> torch.Tensor:
        """Images (n, channels, size, size) float32 of sample counts (n, size * size)."""
        image = counts.view(-1, 1, self.size, self.size)
        match self.method:
            case "histogram":
                return image
            case "log_histogram":
                return image.log1p()
            case "max_normalized":
                return image / image.amax((2, 3), keepdim=True).clamp_min(1)
            case "gaussian":
                distance = _distance(3 * self.sigma_px, image.device)
                kernel = torch.exp(-0.5 * (distance / self.sigma_px) ** 2)
                return _smooth(image, (kernel / kernel.sum())[None])
            case "enhanced":
                distance = _distance(4 * max(self.decay_px), image.device)
                kernels = torch.stack([torch.exp(-distance / decay) for decay in self.decay_px])
                return _smooth(image, kernels).log1p()
        raise ValueError(f"draw.method {self.method!r} is unknown")


def _distance(reach_px: float, device: torch.device) -> torch.Tensor:
    """Distance of each kernel pixel from the centre, out to `reach_px`: (side, side)."""
    axis = torch.arange(-int(reach_px), int(reach_px) + 1, device=device)
    return torch.hypot(axis[:, None].float(), axis[None, :].float())


def _smooth(image: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """(n, 1, size, size) with (channels, side, side) -> (n, channels, size, size); beyond the border lies zero."""
    return functional.conv2d(image, kernels[:, None], padding=kernels.shape[-1] // 2)


def render(source: Path, target: Path, size: int, extent: float) -> int:
    """Bins every frame of the shards in `source` into shards in `target`; returns the number of frames.

    A constellation shard holds `raw/bins` uint16 (n, samples), `row` int64 (n,) as in the source, and as attributes those of the
    source shard and the render settings.
    """
    cells = shards.cells(source)
    samples = shards.array(cells[0].path(source), "iq").shape[1]
    cores = torch.get_num_threads()
    # A core works on a cell of its own: on steps as short as these, cores that share one spend their time waiting for each other.
    try:
        with staged(target) as folder, ThreadPoolExecutor(cores, initializer=_prepare, initargs=(samples,)) as pool:
            frames = pool.map(lambda cell: _render_cell(cell.path(source), cell.path(folder), size, extent), cells)
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
    _buffers.workspace = Workspace.for_frames(_buffers.frames)


def _render_cell(source: Path, target: Path, size: int, extent: float) -> int:
    iq, row = shards.array(source, "iq"), shards.array(source, "row")
    attributes = shards.attributes(source) | {"size": size, "extent": extent, "outside": OUTSIDE}
    shard = shards.create(target, {f"{VIEW}/bins": (iq.shape[:2], np.uint16), "row": (row.shape, np.int64)}, attributes)
    shards.write(shard, 0, {"row": row})
    for start in range(0, len(iq), CHUNK):
        chunk = _buffers.frames[: len(iq) - start]
        shards.read(iq, start, chunk.numpy())
        shards.write(shard, start, {f"{VIEW}/bins": bin_frames(chunk, size, extent, _buffers.workspace).numpy()})
    return len(iq)


def read_bins(root: Path, cell: Cell) -> np.ndarray:
    """Memory map of one cell's bins, uint16 (n, samples)."""
    return shards.array(cell.path(root), f"{VIEW}/bins")


def settings(root: Path) -> tuple[int, float]:
    """`(size, extent)` that the constellations under `root` were rendered with; they are the same in every shard."""
    attributes = shards.attributes(shards.cells(root)[0].path(root))
    return attributes["size"], attributes["extent"]


def preview(root: Path) -> tuple[tuple[str, ...], tuple[int, ...], np.ndarray, float]:
    """Modulations, their lowest, middle and highest SNR in dB, log(1 + counts) of the first frame of each, and the extent.

    The images are float32 (modulations, SNRs, size, size).
    """
    modulations, snrs_db = shards.grid(root)
    shown = tuple(dict.fromkeys((snrs_db[0], snrs_db[len(snrs_db) // 2], snrs_db[-1])))
    size, extent = settings(root)
    first = np.stack([read_bins(root, Cell(m, s))[0] for m in modulations for s in shown])
    counts = count_samples(torch.from_numpy(first.astype(np.int32)), size)
    return modulations, shown, counts.log1p().view(len(modulations), len(shown), size, size).numpy(), extent


def export_png(root: Path, target: Path, drawing: Drawing, frames_per_cell: int | None) -> int:
    """Writes `<MODULATION>/SNR_<dB>/<frame>.png` under `target`, for tools that want folders; returns the number of files.

    Grey values are on one scale for all frames, so that brightness compares: 255 stands for a pixel that holds every
    sample of the frame (`histogram` clips at 255 samples). `enhanced` gives RGB.
    """
    with staged(target) as folder:
        return sum(_export_cell(root, folder, cell, drawing, frames_per_cell) for cell in console.progress(shards.cells(root), "export"))


def _export_cell(root: Path, folder: Path, cell: Cell, drawing: Drawing, limit: int | None) -> int:
    bins = read_bins(root, cell)[:limit]
    out = folder / cell.modulation / f"SNR_{cell.snr_db}"
    out.mkdir(parents=True)
    full_scale = {"histogram": 255.0, "gaussian": 255.0, "max_normalized": 1.0}.get(drawing.method, np.log1p(bins.shape[1]))
    for frame, image in enumerate(_draw_all(bins, drawing)):
        grey = (image * (255 / full_scale)).clip(0, 255).round().astype(np.uint8)  # (channels, size, size)
        Image.fromarray(grey[0] if len(grey) == 1 else grey.transpose(1, 2, 0)).save(out / f"{frame:05d}.png")
    return len(bins)


def _draw_all(bins: np.ndarray, drawing: Drawing) -> Iterator[np.ndarray]:
    for start in range(0, len(bins), CHUNK):
        chunk = torch.from_numpy(bins[start : start + CHUNK].astype(np.int32))
        yield from drawing(count_samples(chunk, drawing.size)).numpy()
