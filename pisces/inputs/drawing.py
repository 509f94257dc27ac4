"""The input `constellation`: pixel numbers of points -> images, drawn on the model's device.

`render` says what is binned and `draw` how bins become an image, so that another drawing needs no
new binning.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from pisces.core.settings import from_json
from pisces.inputs import binning, views
from pisces.inputs.base import (
    CONSTELLATIONS,
    FrameStore,
    Input,
    Probe,
    Prober,
    check_samples,
    rows_of,
    to_device,
)
from pisces.inputs.pixels import PixelLists, mask_pixels, symmetries
from pisces.inputs.receiver.pulse import RATES, difference_of_pulses_db
from pisces.inputs.rendering import bins_of, read_settings
from pisces.inputs.settings import DrawSettings, RenderSettings, check_sps

PIXEL_BY_PIXEL = ("histogram", "log_histogram")
"""Methods of `draw` by which a pixel shows its own count alone, and is 0 where that is."""
OF_THE_DATA = ("pulse", "rolloff", "carrier_offset_std", "response")
"""Settings of `render` that belong to the frames: a model reads other frames by their own pulse."""
PULSES_DIFFER_DB = -20
"""Difference of two pulses from which on it is worth a remark: that of roll-offs .35 and .20."""
MOST_PIXELS_A_SIDE = 4096
"""Of a view; more than a model was ever given, and still small enough to be drawn."""
LONGEST_FRAME = 65536
"""Samples, where settings do not say how long a frame is."""


class BinStore(FrameStore):
    """A directory of constellation shards.

    The stored form: pixel numbers, numbered through all views, int32 (n, points of all views).
    """

    def __init__(self, root: Path):
        super().__init__(root)
        self.render = read_settings(root)
        self._bins = [self._every_cell(bins_of(view)) for view in self.render.views]

    @property
    def receiver(self) -> RenderSettings | None:
        return _receiver(self.render)

    @property
    def properties(self) -> dict[str, Any]:
        return _named(self.render)

    def gather(self, index: np.ndarray) -> list[np.ndarray]:
        """For each view, the bins of the frames of an index (n, 3): uint16 (n, points)."""
        return [rows_of(cells, index) for cells in self._bins]

    def prepare(self, gathered: list[np.ndarray], device: torch.device) -> torch.Tensor:
        on_device = [to_device(one, device) for one in gathered]
        return binning.join_views(on_device, self.render.size)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return binning.encode(frames, self.render)

    def bins(self, index: np.ndarray) -> np.ndarray:
        """The stored form of the frames of an index (n, 3), int32 (n, points)."""
        return self.prepare(self.gather(index), torch.device("cpu")).numpy()


def _receiver(render: RenderSettings) -> RenderSettings | None:
    """The settings, where views show symbols and noise."""
    return render if {"symbol", "noise"} <= set(render.views) else None


def _check(render: RenderSettings) -> None:
    """Raises ValueError, which names the key, for settings that no constellation is made with."""
    check_sps(render.sps, "render.sps")
    if not 2 <= render.size <= MOST_PIXELS_A_SIDE:
        raise ValueError(f"render.size = {render.size} must be 2 to {MOST_PIXELS_A_SIDE} pixels")
    if render.samples < 0:
        raise ValueError(f"render.samples = {render.samples} must be 1 or more, or 0 if unknown")
    if "symbol" in render.views and render.samples % render.sps:
        raise ValueError(
            f"render.samples = {render.samples} must be a multiple of render.sps = {render.sps}, "
            "as the view symbol needs it"
        )

    # Of a view that is not made, the delay may be any.
    frame = render.samples if "differential" in render.views else 0
    longest = (frame or LONGEST_FRAME + 1) - 1
    if not 1 <= render.delay <= longest:
        raise ValueError(
            f"render.delay = {render.delay} must be 1 to {longest} samples, within a frame"
        )
    numbers = len(render.response)
    if render.pulse == "estimated" and numbers not in (0, len(RATES)):
        raise ValueError(f"render.response holds {numbers} numbers and must hold {len(RATES)}")


def _named(render: RenderSettings) -> dict[str, Any]:
    """What model and data must have in common, under the names of params.yaml."""
    names = [field.name for field in fields(render) if field.name not in OF_THE_DATA]
    return {f"render.{name}": getattr(render, name) for name in names}


@dataclass(frozen=True)
class Drawing(Input):
    """Constellation images: the bins of `render`, drawn as `draw` says; see `base.Input`.

    Methods of `draw`: `histogram` (the counts), `log_histogram` (log(1 + counts)), `max_normalized`
    (counts over the largest of the image: hides the SNR, kept for comparison), `gaussian` (counts
    smoothed by a Gaussian) and `enhanced` (log of counts smoothed by three exponential decays
    exp(-distance / decay_px), a channel each). The last is after Peng et al., "Modulation
    classification based on signal constellation diagrams and deep learning", IEEE TNNLS 30 (2019),
    section III.

    >>> import torch
    >>> from pisces.inputs.settings import DrawSettings, Extent, RenderSettings
    >>> extent = Extent(raw=2.5, symbol=2.0, noise=80.0, differential=3.0)
    >>> render = RenderSettings(
    ...     ("raw", "differential"), 32, extent, sps=8, pulse="rrc", rolloff=0.35,
    ...     carrier_offset_std=3.3e-5, delay=4,
    ... )
    >>> drawing = Drawing(render, DrawSettings("histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0)))
    >>> frames = torch.tensor([1.0, 0.0]).repeat(3, 1024, 1)  # (frames, samples, I and Q)
    >>> images = drawing.tensors(drawing.encode(frames))
    >>> images.shape  # (frames, views, rows, columns)
    torch.Size([3, 2, 32, 32])
    >>> images.amax((2, 3))[0].tolist()  # one point, over and over; `delay` fewer
    [1024.0, 1020.0]
    """

    name: ClassVar[str] = "constellation"
    spatial: ClassVar[bool] = True

    render: RenderSettings
    draw: DrawSettings

    @property
    def pixels(self) -> int:
        """Number of pixels of all views together."""
        return len(self.render.views) * self.render.size**2

    @property
    def channels(self) -> int:
        """Number of channels of all views together."""
        per_view = len(self.draw.decay_px) if self.draw.method == "enhanced" else 1
        return len(self.render.views) * per_view

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows, columns."""
        return self.channels, self.render.size, self.render.size

    @property
    def frame_samples(self) -> int | None:
        return self.render.samples or None

    @property
    def symbol_samples(self) -> int | None:
        return self.render.sps

    @property
    def receiver(self) -> RenderSettings | None:
        return _receiver(self.render)

    @property
    def requirements(self) -> dict[str, Any]:
        return _named(self.render)

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:
        return cls(read_settings(data / CONSTELLATIONS), draw)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        settings = {key: value for key, value in card.items() if key != "kind"}
        drawing = from_json(cls, json.dumps(settings))
        _check(drawing.render)
        return drawing

    def card(self) -> dict[str, Any]:
        return {"kind": self.name, "render": asdict(self.render), "draw": asdict(self.draw)}

    def received_by(self, response: tuple[float, ...]) -> Self:
        if self.render.pulse != "estimated":
            return self
        return replace(self, render=replace(self.render, response=response))

    def remarks(self, store: FrameStore) -> list[str]:
        assert isinstance(store, BinStore), "constellations are stored as bins"
        difference_db = difference_of_pulses_db(self.render, store.render)
        if difference_db < PULSES_DIFFER_DB:
            return []
        return [
            f"the pulse of {store.root} differs from the one that the model was trained with by "
            f"{difference_db:.0f} dB of its power; its frames are read by their own"
        ]

    def open(self, data: Path) -> BinStore:
        return BinStore(data / CONSTELLATIONS)

    def prober(self, data: Path, fill: str, seed: int) -> "DrawingProber":  # noqa: ARG002
        """Masked pixels go dark, so `fill` and `seed` are not used."""
        return DrawingProber(self, self.open(data))

    @property
    def pictures(self) -> tuple[tuple[str, ...], int]:
        return self.render.views, self.render.size

    def probe_of(self, stored: torch.Tensor) -> "DrawingProbe":
        return DrawingProbe(self, stored)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """Pixel numbers int32 (n, points) of frames float32 (n, samples, 2).

        Raises:
            ValueError: for another number of samples, and as `binning.bin_frames`.
        """
        check_samples(frames, self.frame_samples)
        return binning.encode(frames, self.render)

    def turned(
        self, stored: torch.Tensor, quarter_turns: torch.Tensor, mirrored: torch.Tensor
    ) -> torch.Tensor:
        """Pixel numbers (n, points) of the frames turned; a view may be blind to it."""
        turns = tuple(views.VIEWS[view].turns for view in self.render.views)
        moved = _symmetries(turns, self.render.size, stored.device)
        element = mirrored.long() * 4 + quarter_turns  # (n,)
        return moved[element[:, None], stored.long()].to(stored.dtype)

    @property
    def maskable(self) -> tuple[int, int]:
        """Views, and pixels of each."""
        return len(self.render.views), self.render.size**2

    def emptied(self, stored: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """Pixel numbers (n, points); those of points in pixels of `taken` are no pixel's."""
        # A point beyond the extent is in no pixel already: (n, pixels) -> (n, pixels + 1).
        taken = functional.pad(taken, (0, 1))
        is_taken = taken.gather(1, stored.long())  # (n, points)
        return stored.masked_fill(is_taken, self.pixels)

    def changed(
        self,
        bins: Mapping[str, torch.Tensor],
        iq: torch.Tensor | None,  # noqa: ARG002
    ) -> torch.Tensor:
        """Pixel numbers (n, points) of the views, which are all that is shown."""
        return binning.join_views([bins[view] for view in self.render.views], self.render.size)

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        """Images (n, channels, size, size) of pixel numbers (n, points)."""
        return self(self.count(stored)).contiguous(memory_format=torch.channels_last)

    def from_images(
        self,
        images: torch.Tensor,
        *context: torch.Tensor,  # noqa: ARG002
    ) -> torch.Tensor:
        """The images themselves, which are the input; there is no context."""
        return images

    def count(self, bins: torch.Tensor) -> torch.Tensor:
        """Points in each pixel, float32 (n, pixels), of pixel numbers (n, points)."""
        return binning.count_points(bins, self.pixels)

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
                decays = [torch.exp(-distance / decay_px) for decay_px in self.draw.decay_px]
                return _smooth(image, torch.stack(decays)).log1p()
        raise ValueError(f"draw.method {self.draw.method!r} is unknown")


class DrawingProbe(Probe):
    """Frames as a model of constellations takes them, with pixels emptied; see `base.Probe`."""

    def __init__(self, drawing: Drawing, bins: torch.Tensor):
        self.drawing = drawing
        self.counts = drawing.count(bins)
        is_pixel_by_pixel = drawing.draw.method in PIXEL_BY_PIXEL
        self._images = self.images.contiguous() if is_pixel_by_pixel else None

    def without(
        self, frames: Sequence[int] | np.ndarray, pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        lists = PixelLists.on_device(frames, pixels, offsets, self.counts.device)
        if self._images is not None:
            # Drawn once; what is emptied afterwards is the same image.
            images = mask_pixels(self._images, lists)
        else:
            images = self.drawing(mask_pixels(self.counts, lists))
        return images.contiguous(memory_format=torch.channels_last)

    @property
    def images(self) -> torch.Tensor:
        return self.drawing(self.counts)

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        return ()


class DrawingProber(Prober):
    """Probes of a data set for a model of constellations; see `base.Prober`."""

    note = ""

    def __init__(self, drawing: Drawing, store: BinStore):
        self.drawing = drawing
        self.store: BinStore = store

    def probe(self, index: np.ndarray, device: torch.device) -> DrawingProbe:
        bins = self.store.prepare(self.store.gather(index), device)
        return DrawingProbe(self.drawing, bins)


@cache
def _symmetries(turns: tuple[bool, ...], size: int, device: torch.device) -> torch.Tensor:
    """Where each pixel of all views goes under the eight symmetries of a frame.

    Args:
        turns: of each view, whether it turns with the frame.
        size: pixels along an edge.
        device: where the table is kept for the next batch.

    Returns:
        New numbers of the pixels, and of the one after the last, int64 (8, pixels + 1).
    """
    of_square = symmetries(size)  # (2, 4, size * size)
    blocks = []
    for number, view_turns in enumerate(turns):
        unturned = of_square[:, :1].expand_as(of_square)
        moved = of_square if view_turns else unturned
        blocks.append(moved.flatten(0, 1) + number * size**2)

    outside = torch.full((8, 1), len(turns) * size**2)
    return torch.cat([*blocks, outside], 1).to(device)


def _distance(reach_px: float, device: torch.device) -> torch.Tensor:
    """Distance of each kernel pixel from the centre, out to `reach_px`, in pixels: (side, side)."""
    axis = torch.arange(-int(reach_px), int(reach_px) + 1, device=device)
    return torch.hypot(axis[:, None].float(), axis[None, :].float())


def _smooth(image: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Every view smoothed by each of k kernels; beyond the border lies zero.

    Args:
        image: (n, views, size, size).
        kernels: (k, side, side).

    Returns:
        (n, views * k, size, size), the k channels of a view one after the other.
    """
    one_view_each = image.flatten(0, 1)[:, None]  # (n * views, 1, size, size)
    padding = kernels.shape[-1] // 2
    smooth = functional.conv2d(one_view_each, kernels[:, None], padding=padding)
    return smooth.view(len(image), -1, *image.shape[2:])
