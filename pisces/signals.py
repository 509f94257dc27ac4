"""Frame -> what a model of raw IQ looks at, and what is left of it when points of its constellation are taken away."""

from dataclasses import dataclass

import torch

from pisces import views
from pisces.params import Render
from pisces.rendering import rms


@dataclass(frozen=True)
class Waveform:
    """The input of a model that takes frames of so many samples."""

    samples: int

    @property
    def shape(self) -> tuple[int, int]:
        """Of the input, batch left out: I and Q, samples."""
        return 2, self.samples

    def prepare(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (n, 2, samples) as `normalise` gave them, which are the input already."""
        return frames


def normalise(frames: torch.Tensor) -> torch.Tensor:
    """Frames over their RMS, channels first: (n, samples, 2) float32 -> (n, 2, samples), whose 2 * samples numbers have a mean square of 1.

    Raises:
        ValueError: as `rendering.rms`.
    """
    return (frames * (2**0.5 / rms(frames))[:, None, None]).mT.contiguous()


def samples_behind(frames: torch.Tensor, render: Render) -> tuple[torch.Tensor, torch.Tensor]:
    """Which samples each point of a constellation stands for: frames (n, samples, 2) -> two int64 (n, pairs), a point and a sample each.

    Points are counted on through `render.views`, as in `Constellations.bins`. Views differ in what a point is made of: see
    `views.samples_of`.
    """
    iq, first, points, samples = torch.view_as_complex(frames), 0, [], []
    for view in render.views:
        behind = views.samples_of(view, iq, render.sps, render.rolloff, render.delay)  # (n, points, samples a point)
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
    kept_first = order.gather(1, torch.argsort(last, dim=1, stable=True))  # (n, samples): the kept ones in that order, then the others
    turn = ((~kept).cumsum(1) - 1).clamp_min(0) % count.clamp_min(1)
    source = torch.where(kept, torch.arange(kept.shape[1], device=kept.device), kept_first.gather(1, turn))
    return frames.gather(2, source[:, None].expand_as(frames)) * (count > 0)[:, None]
