"""The input `iq`: the frame over its RMS, whole or without the samples behind some pixels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from pisces.core.seeding import generator
from pisces.core.settings import from_json
from pisces.inputs import views
from pisces.inputs.base import (
    CONSTELLATIONS,
    IQ_SHARDS,
    FrameStore,
    Input,
    Probe,
    Prober,
    check_same_frames,
    check_samples,
    rows_of,
    to_device,
)
from pisces.inputs.binning import count_points, rms
from pisces.inputs.drawing import BinStore
from pisces.inputs.pixels import PixelLists
from pisces.inputs.rendering import read_settings
from pisces.inputs.settings import DrawSettings, RenderSettings, check_sps

FILLS = {"zero": "silenced", "resample": "replaced by others of their frame"}
"""What becomes of the samples behind masked pixels: value of a parameter -> in words."""


class IqStore(FrameStore):
    """A directory of IQ shards. The stored form: frames over their RMS, float32 (n, 2, samples)."""

    def __init__(self, root: Path):
        super().__init__(root)
        self._iq = self._every_cell("iq")
        self.samples = self._iq[0][0].shape[1]

    @property
    def properties(self) -> dict[str, Any]:
        return _named(self.samples)

    def gather(self, index: np.ndarray) -> np.ndarray:
        """Frames float32 (n, samples, 2), I then Q, as they are in the shards."""
        return rows_of(self._iq, index)

    def prepare(self, gathered: np.ndarray, device: torch.device) -> torch.Tensor:
        return self.encode(to_device(gathered, device))

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return normalise(frames)


def frames_behind(store: FrameStore, data: Path) -> IqStore:
    """The IQ frames behind `store`, which may be those themselves, of the data set below `data`.

    Raises:
        ValueError: when they are not those that the constellations were rendered from.
    """
    frames = IqStore(data / IQ_SHARDS)
    check_same_frames(store, frames)
    return frames


def _named(samples: int) -> dict[str, Any]:
    """What model and data must have in common: words for a message -> value."""
    return {"frames of so many samples:": samples}


@dataclass(frozen=True)
class Waveform(Input):
    """The frame itself, of so many samples, over its RMS; see `base.Input`."""

    name: ClassVar[str] = "iq"
    spatial: ClassVar[bool] = False

    samples: int
    sps: int | None = None  # of a symbol; in cards written before it was kept it is not

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:  # noqa: ARG003
        """Length and rate of the frames below `data`; nothing is drawn, so `draw` is not used."""
        rendered = data / CONSTELLATIONS
        sps = read_settings(rendered).sps if rendered.is_dir() else None
        return cls(IqStore(data / IQ_SHARDS).samples, sps)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        settings = {key: value for key, value in card.items() if key != "kind"}
        waveform = from_json(cls, json.dumps(settings))
        if waveform.sps is not None:
            check_sps(waveform.sps, "sps")
        return waveform

    def card(self) -> dict[str, Any]:
        return {"kind": self.name, "samples": self.samples, "sps": self.sps}

    @property
    def frame_samples(self) -> int:
        return self.samples

    @property
    def symbol_samples(self) -> int | None:
        return self.sps

    @property
    def shape(self) -> tuple[int, int]:
        """I and Q, samples."""
        return 2, self.samples

    @property
    def requirements(self) -> dict[str, Any]:
        return _named(self.samples)

    def open(self, data: Path) -> IqStore:
        return IqStore(data / IQ_SHARDS)

    def prober(self, data: Path, fill: str, seed: int) -> "WaveformProber":
        return WaveformProber(self.open(data), BinStore(data / CONSTELLATIONS), fill, seed)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """`normalise` of frames float32 (n, samples, 2).

        Raises:
            ValueError: for another number of samples, and as `normalise`.
        """
        check_samples(frames, self.samples)
        return normalise(frames)

    def turned(
        self, stored: torch.Tensor, quarter_turns: torch.Tensor, mirrored: torch.Tensor
    ) -> torch.Tensor:
        """Frames (n, 2, samples), conjugated where `mirrored`, times j^quarter_turns."""
        i, q = stored.unbind(1)
        q = torch.where(mirrored[:, None], -q, q)

        # j^k from a table: a cosine of pi / 2 would not be 0.
        powers = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]], device=stored.device)
        real, imaginary = powers.to(stored.dtype)[quarter_turns, :, None].unbind(1)  # (n, 1)
        return torch.stack([i * real - q * imaginary, i * imaginary + q * real], 1)

    @property
    def maskable(self) -> tuple[int, int]:
        """One group, of all samples: behind random pixels there are random samples."""
        return 1, self.samples

    def emptied(self, stored: torch.Tensor, taken: torch.Tensor) -> torch.Tensor:
        """Frames (n, 2, samples), silent where `taken` (n, samples)."""
        return stored.masked_fill(taken[:, None], 0)

    @property
    def reads_samples(self) -> bool:
        return True

    def changed(
        self,
        bins: Mapping[str, torch.Tensor],  # noqa: ARG002
        iq: torch.Tensor | None,
    ) -> torch.Tensor:
        """Frames (n, 2, samples) of the samples alone."""
        assert iq is not None, "it reads samples"
        return self.encode(iq)

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        """Frames (n, 2, samples) as `normalise` gave them, which are the input already."""
        return stored

    def from_images(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Frames whose samples are lowered as the pixels that they lie in are darkened.

        A sample is multiplied by the part that is left of each pixel it lies in, 0..1.

        Args:
            images: points that are left in the pixels of each view, (n, views, size, size).
            context: four tensors, as `WaveformProbe.context`: frames (n, 2, samples); pixels and
                samples, int64 (n, pairs), where the i-th pixel and the i-th sample belong together;
                and the points (n, pixels) that were in each pixel.

        Returns:
            Frames (n, 2, samples): a sample in a dark pixel is 0, as in `WaveformProbe`.
        """
        frames, pixels, samples, points = context
        left = images.flatten(1) / points.clamp_min(1)  # part of each pixel, (n, pixels)
        # A point beyond the extent is in no pixel, so it is always left.
        left = functional.pad(left, (0, 1), value=1.0)  # (n, pixels + 1)

        of_pairs = left.gather(1, pixels)  # (n, pairs)
        factors = gains(of_pairs, samples, frames.shape[2])  # (n, samples)
        return frames * factors[:, None]


class WaveformProbe(Probe):
    """Frames as a model of raw IQ is given them, without the samples behind masked pixels.

    Such samples are silenced or, with `order` (n, samples), replaced by others of their frame: see
    `resample`. See also `base.Probe`.
    """

    def __init__(
        self,
        frames: torch.Tensor,
        bins: torch.Tensor,
        render: RenderSettings,
        order: torch.Tensor | None,
    ):
        """
        Args:
            frames: float32 (n, samples, 2), I then Q.
            bins: their pixel numbers, counted on through the views, (n, points).
            render: what the bins were made with.
            order: random permutations of the samples, int64 (n, samples); None for silence.
        """
        points, self.samples = samples_behind(frames, render)
        self.frames, self.order, self.render = normalise(frames), order, render
        self.pixels = bins.long().gather(1, points)
        self.size = len(render.views) * render.size**2
        self.counts = count_points(bins, self.size)

    def without(
        self, frames: Sequence[int] | np.ndarray, pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        lists = PixelLists.on_device(frames, pixels, offsets, self.frames.device)
        # One number more than pixels: that of points beyond the extent, which is in no list.
        masked = lists.table(self.size + 1)
        of_pairs = self.pixels.index_select(0, lists.frames)  # (n, pairs)
        visible = ~masked.gather(1, of_pairs)  # (n, pixels + 1) -> (n, pairs)

        # A sample is kept where all the points that it is behind are visible: the product is 1.
        samples = self.samples.index_select(0, lists.frames)
        whole = self.frames.index_select(0, lists.frames)
        kept = gains(visible.float(), samples, whole.shape[2]) > 0
        if self.order is None:
            return whole * kept[:, None]
        return resample(whole, kept, self.order.index_select(0, lists.frames))

    @property
    def images(self) -> torch.Tensor:
        """The points in the pixels of each view: (n, views, size, size)."""
        return self.counts.view(-1, len(self.render.views), self.render.size, self.render.size)

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        return self.frames, self.pixels, self.samples, self.counts


class WaveformProber(Prober):
    """Probes of a data set for a model of raw IQ; see `base.Prober`.

    Raises:
        ValueError: when the constellations were not rendered from the frames.
    """

    def __init__(self, store: IqStore, constellations: BinStore, fill: str, seed: int):
        check_same_frames(constellations, store)
        self.store: IqStore = store
        self.constellations, self.fill, self.seed = constellations, fill, seed
        self.note = f"model of raw IQ: samples behind the pixels taken are {FILLS[fill]}"

    def probe(self, index: np.ndarray, device: torch.device) -> WaveformProbe:
        bins = self.constellations.prepare(self.constellations.gather(index), device)
        frames = to_device(self.store.gather(index), device)
        return WaveformProbe(frames, bins, self.constellations.render, self._order(index, device))

    def _order(self, index: np.ndarray, device: torch.device) -> torch.Tensor | None:
        """In which order samples fill the gaps of each frame, (n, samples); None for silence."""
        if self.fill != "resample":
            return None
        orders = []
        for frame in index:
            rng = generator(self.seed, "resample", *self.constellations.identity(frame))
            orders.append(rng.permutation(self.store.samples))
        return to_device(np.stack(orders), device)


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Frames over their RMS, channels first: float32 (n, samples, 2) -> (n, 2, samples).

    The 2 * samples numbers of a frame then have a mean square of 1.

    Raises:
        ValueError: as `binning.rms`.
    """
    return (frames * (2**0.5 / rms(frames))[:, None, None]).mT.contiguous()


def samples_behind(
    frames: torch.Tensor, render: RenderSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which samples each point of a constellation stands for, as pairs of a point and a sample.

    Points are numbered through all of `render.views`, in the order of `BinStore.bins`. Views differ
    in what a point is made of: see `views.samples_of`.

    Args:
        frames: float32 (n, samples, 2), I then Q.
        render: which views, and how they are made.

    Returns:
        The numbers of the points and of the samples, int64 (n, pairs) each: the i-th of both are
        the i-th pair.
    """
    iq = torch.view_as_complex(frames)
    points, samples = [], []
    first = 0  # number of the first point of the view
    for view in render.views:
        # (n, points of the view, samples a point)
        behind = views.samples_of(view, iq, render)
        numbers = first + torch.arange(behind.shape[1], device=iq.device)  # of the points
        points.append(numbers[None, :, None].expand_as(behind).flatten(1))
        samples.append(behind.flatten(1))
        first += behind.shape[1]
    return torch.cat(points, 1), torch.cat(samples, 1)


def gains(visible: torch.Tensor, samples: torch.Tensor, length: int) -> torch.Tensor:
    """Factor by which each sample is multiplied: the product over the points that it is behind.

    Args:
        visible: what is left of the point of each pair, 0 to 1, float (n, pairs).
        samples: the sample of each pair, as `samples_behind` gives, int64 (n, pairs).
        length: samples of a frame.

    Returns:
        Factors from 0 to 1, (n, length); 1 for a sample that is behind no point.
    """
    whole = torch.ones(len(visible), length, dtype=visible.dtype, device=visible.device)
    return whole.scatter_reduce(1, samples, visible, "prod")


def resample(frames: torch.Tensor, kept: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Frames whose samples that are not kept are replaced by kept ones of the same frame.

    The amplitudes are then still those of the frame, but in wrong places. Where nothing is kept
    there is silence.

    Args:
        frames: (n, 2, samples).
        kept: which samples stay, bool (n, samples).
        order: random permutations, int64 (n, samples). The k-th gap gets the k-th kept sample in
            this order; when these are used up, they come again from the first.

    Returns:
        Frames (n, 2, samples).
    """
    n_kept = kept.sum(1, keepdim=True)  # (n, 1)

    # A stable sort moves the kept ones to the front and leaves them in their random order.
    is_gap = (~kept).gather(1, order).int()
    kept_first = order.gather(1, torch.argsort(is_gap, dim=1, stable=True))

    # The k-th gap takes the k-th of the kept ones, modulo their number.
    gap_number = ((~kept).cumsum(1) - 1).clamp_min(0)
    substitute = kept_first.gather(1, gap_number % n_kept.clamp_min(1))

    itself = torch.arange(kept.shape[1], device=kept.device)
    source = torch.where(kept, itself, substitute)  # (n, samples)
    filled = frames.gather(2, source[:, None].expand_as(frames))
    return filled * (n_kept > 0)[:, None]
