"""The input `iq`: the frame itself over its RMS, and what is left of it when points of its constellation are masked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch.nn import functional

from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.base import (
    CONSTELLATIONS,
    IQ_SHARDS,
    FrameStore,
    check_same_frames,
    rows_of,
    to_device,
)
from pisces.inputs.binning import count_points, rms
from pisces.inputs.drawing import BinStore
from pisces.inputs.pixels import listed
from pisces.inputs.settings import DrawSettings, RenderSettings

FILLS = {"zero": "silenced", "resample": "replaced by others of their frame"}
"""What becomes of the samples behind masked pixels -> in words."""


class IqStore(FrameStore):
    """A directory of IQ shards. The stored form: frames over their RMS, float32 (n, 2, samples)."""

    def __init__(self, root: Path):
        super().__init__(root)
        self._iq = self._every_cell("iq")
        self.samples = self._iq[0][0].shape[1]

    @property
    def properties(self) -> dict[str, Any]:
        return {"frames of so many samples:": self.samples}

    def gather(self, index: np.ndarray) -> np.ndarray:
        """float32 (n, samples, 2), I then Q, as they are in the shards."""
        return rows_of(self._iq, index)

    def prepare(self, gathered: np.ndarray, device: torch.device) -> torch.Tensor:
        return self.encode(to_device(gathered, device))

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        return normalise(frames)


@dataclass(frozen=True)
class Waveform:
    """The input of a model that takes frames of so many samples; see `base.Input`."""

    name: ClassVar[str] = "iq"
    sees_images: ClassVar[bool] = False

    samples: int

    @classmethod
    def for_data(cls, data: Path, draw: DrawSettings) -> Self:  # noqa: ARG003, nothing is drawn
        return cls(IqStore(data / IQ_SHARDS).samples)

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Self:
        return cls(card["samples"])

    def card(self) -> dict[str, Any]:
        return {"samples": self.samples}

    @property
    def shape(self) -> tuple[int, int]:
        """I and Q, samples."""
        return 2, self.samples

    @property
    def requirements(self) -> dict[str, Any]:
        return {"frames of so many samples:": self.samples}

    def open(self, data: Path) -> IqStore:
        return IqStore(data / IQ_SHARDS)

    def prober(self, data: Path, fill: str, seed: int) -> "WaveformProber":
        return WaveformProber(self.open(data), BinStore(data / CONSTELLATIONS), fill, seed)

    def encode(self, frames: torch.Tensor) -> torch.Tensor:
        """`normalise` of frames float32 (n, samples, 2); ValueError for another number of samples."""
        if frames.shape[1:] != (self.samples, 2):
            raise ValueError(
                f"the model takes frames of shape (n, {self.samples}, 2), I then Q, not {tuple(frames.shape)}; "
                "cut them to that length, and move the axis of I and Q to the end"
            )
        return normalise(frames)

    def tensors(self, stored: torch.Tensor) -> torch.Tensor:
        """Frames (n, 2, samples) as `normalise` gave them, which are the input already."""
        return stored

    def from_images(self, images: torch.Tensor, *context: torch.Tensor) -> torch.Tensor:
        """Frames each sample of which is multiplied by the share that is left of every pixel it lies in.

        Args:
            images: points that are left in the pixels of each view, (n, views, size, size).
            context: frames (n, 2, samples); the pixel and the sample, int64 (n, pairs), that belong to each other; and the
                points (n, pixels) that there were.

        Returns:
            Frames (n, 2, samples): a sample in a dark pixel is 0, as in `WaveformProbe`.
        """
        frames, pixels, samples, points = context
        left = images.flatten(1) / points.clamp_min(1)
        left = functional.pad(
            left, (0, 1), value=1.0
        )  # of a point beyond the extent, which no pixel can hide
        return frames * gains(left.gather(1, pixels), samples, frames.shape[2])[:, None]


class WaveformProbe:
    """Frames as a model of raw IQ sees them, with the samples behind masked pixels gone; see `base.Probe`.

    A sample that is gone is silence or, with `order` (n, samples), random permutations, another one of its frame: see `resample`.
    """

    def __init__(
        self,
        frames: torch.Tensor,
        bins: torch.Tensor,
        render: RenderSettings,
        order: torch.Tensor | None,
    ):
        points, self.samples = samples_behind(frames, render)
        self.frames, self.order, self.render = normalise(frames), order, render
        self.pixels = bins.long().gather(1, points)
        self.size = len(render.views) * render.size**2
        self.counts = count_points(bins, self.size)

    def without(
        self, frames: Sequence[int], pixels: np.ndarray, offsets: np.ndarray
    ) -> torch.Tensor:
        masked = listed(pixels, offsets, self.size + 1).to(self.frames.device)
        masked = masked.gather(1, self.pixels[frames])  # (n, pixels + 1) -> (n, pairs)
        kept = (
            gains((~masked).float(), self.samples[frames], self.frames.shape[2]) > 0
        )  # (n, samples)
        if self.order is None:
            return self.frames[frames] * kept[:, None]
        return resample(self.frames[frames], kept, self.order[frames])

    @property
    def images(self) -> torch.Tensor:
        """The points in the pixels of each view: (n, views, size, size)."""
        return self.counts.view(-1, len(self.render.views), self.render.size, self.render.size)

    @property
    def context(self) -> tuple[torch.Tensor, ...]:
        return self.frames, self.pixels, self.samples, self.counts


class WaveformProber:
    """Probes of a data set for a model of raw IQ; see `base.Prober`.

    Raises:
        ValueError: when the constellations were not rendered from the frames.
    """

    def __init__(self, store: IqStore, constellations: BinStore, fill: str, seed: int):
        check_same_frames(constellations, store)
        self.store, self.constellations, self.fill, self.seed = store, constellations, fill, seed
        self.note = f"model of raw IQ: samples behind the pixels taken are {FILLS[fill]}"

    def probe(self, index: np.ndarray, device: torch.device) -> WaveformProbe:
        bins = torch.from_numpy(self.constellations.bins(index)).to(device)
        frames = torch.from_numpy(self.store.gather(index)).to(device)
        return WaveformProbe(frames, bins, self.constellations.render, self._order(index, device))

    def _order(self, index: np.ndarray, device: torch.device) -> torch.Tensor | None:
        """In which order samples of each frame fill the gaps, (n, samples); None where gaps are silence."""
        if self.fill != "resample":
            return None
        identities = [self.constellations.identity(frame) for frame in index]
        rngs = [generator(self.seed, "resample", *identity) for identity in identities]
        orders = np.stack([rng.permutation(self.store.samples) for rng in rngs])
        return torch.from_numpy(orders).to(device)


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Frames over their RMS, channels first: (n, samples, 2) float32 -> (n, 2, samples), whose 2 * samples numbers have a mean square of 1.

    Raises:
        ValueError: as `rendering.rms`.
    """
    return (frames * (2**0.5 / rms(frames))[:, None, None]).mT.contiguous()


def samples_behind(
    frames: torch.Tensor, render: RenderSettings
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which samples each point of a constellation stands for: frames (n, samples, 2) -> two int64 (n, pairs), a point and a sample each.

    Points are counted on through `render.views`, as in `BinStore.bins`. Views differ in what a point is made of: see
    `views.samples_of`.
    """
    iq, first, points, samples = torch.view_as_complex(frames), 0, [], []
    for view in render.views:
        behind = views.samples_of(
            view, iq, render.sps, render.rolloff, render.delay
        )  # (n, points, samples a point)
        number = first + torch.arange(behind.shape[1], device=iq.device)
        points.append(number[None, :, None].expand_as(behind).flatten(1))
        samples.append(behind.flatten(1))
        first += behind.shape[1]
    return torch.cat(points, 1), torch.cat(samples, 1)


def gains(visible: torch.Tensor, samples: torch.Tensor, length: int) -> torch.Tensor:
    """What is left of each sample, (n, length): the product of the `visible` shares (n, pairs) of the points that it is behind.

    `samples` (n, pairs), as `samples_behind` gives.
    """
    whole = torch.ones(len(visible), length, dtype=visible.dtype, device=visible.device)
    return whole.scatter_reduce(1, samples, visible, "prod")


def resample(frames: torch.Tensor, kept: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Frames (n, 2, samples) whose samples that are not `kept`, bool (n, samples), are replaced by kept ones of the same frame.

    `order` (n, samples) are random permutations: the k-th sample to fill gets the k-th kept sample in that order, and so on again from
    the first. Amplitudes then stay those of the frame, and only their place is wrong. Where nothing is kept there is silence.
    """
    count = kept.sum(1, keepdim=True)
    last = (~kept).gather(1, order).int()
    kept_first = order.gather(
        1, torch.argsort(last, dim=1, stable=True)
    )  # (n, samples): the kept ones in that order, then the others
    turn = ((~kept).cumsum(1) - 1).clamp_min(0) % count.clamp_min(1)
    source = torch.where(
        kept, torch.arange(kept.shape[1], device=kept.device), kept_first.gather(1, turn)
    )
    return frames.gather(2, source[:, None].expand_as(frames)) * (count > 0)[:, None]
