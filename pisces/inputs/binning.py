"""Frames -> the pixel that each point of each view falls in, on any device.

Each view of a frame (see `inputs.views`) is a set of points of the complex plane. Their unit
depends on no other frame and on no maximum, because the SNR lives in their spread. Binning turns a
point into the 16-bit number of its pixel. `inputs.drawing` turns those numbers into an image, so
another drawing bins nothing again.

Axes: I runs along the columns, left to right; Q along the rows, bottom to top.
Pixel number = row * size + column. Several views count on: the v-th, from 0, begins at v * size^2.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch

from pisces.inputs import views
from pisces.inputs.settings import RenderSettings

OUTSIDE = 65535
"""Pixel number of a point beyond the extent: such points are dropped, never piled on the border."""


class Workspace(NamedTuple):
    """Buffers of `bin_points` for up to n frames.

    Allocating them for every chunk of frames can cost several times the arithmetic.
    """

    offset: torch.Tensor
    pixels: torch.Tensor
    outside: torch.Tensor
    bins: torch.Tensor

    @classmethod
    def for_points(cls, points: torch.Tensor) -> Self:
        """For points (n, points, 2) float32."""
        pixels = torch.empty(points.shape[:2], device=points.device)
        bins = torch.empty_like(pixels, dtype=torch.uint16)
        return cls(torch.empty_like(points), pixels, torch.empty_like(pixels), bins)


class Binned(NamedTuple):
    """What is kept of n frames."""

    bins: dict[str, torch.Tensor]
    """View -> pixel numbers uint16 (n, points of the view), `OUTSIDE` beyond the extent."""
    carrier_offset: torch.Tensor | None
    """Cycles a sample that `symbol` turned each frame back by, float32 (n,), NaN where the offset
    is beyond its reach; None where that view is not made."""


def bin_frames(
    frames: torch.Tensor, render: RenderSettings, workspace: Workspace | None = None
) -> dict[str, torch.Tensor]:
    """The pixel of every point of every view.

    Args:
        frames: float32 (n, samples, 2), I then Q, of any power.
        render: which views, and their pixels.
        workspace: for at least n frames; the bins of `raw` then lie in it, until its next use.

    Returns:
        View -> pixel numbers uint16 (n, points of the view), `OUTSIDE` where a point is beyond the
        extent.

    Raises:
        ValueError: as `rms`, and where a view cannot be made of frames of this length.
    """
    return bin_and_measure(frames, render, workspace).bins


def bin_and_measure(
    frames: torch.Tensor, render: RenderSettings, workspace: Workspace | None = None
) -> Binned:
    """As `bin_frames`, with the carrier offset that was found on the way."""
    level = rms(frames)
    # Over the RMS, so that powers stay within float32; `raw` by itself is spared the copy.
    only_raw = set(render.views) == {"raw"}
    unit = frames if only_raw else frames / level[:, None, None]

    bins: dict[str, torch.Tensor] = {}
    carrier_offset = None
    for view in render.views:
        pixels_per_unit = render.size / 2 / getattr(render.extent, view)
        if view == "raw":
            # The scale and the level in one multiplication.
            bins[view] = bin_points(frames, pixels_per_unit / level, render.size, workspace)
            continue
        if view == "symbol":
            received = views.symbols_of(torch.view_as_complex(unit), render)
            points = received.points
            carrier_offset = received.carrier_offset[:, 0].masked_fill(received.beyond, math.nan)
        else:
            points = views.points_of(view, torch.view_as_complex(unit), render)
        bins[view] = bin_points(torch.view_as_real(points), pixels_per_unit, render.size)
    return Binned(bins, carrier_offset)


def rms(frames: torch.Tensor) -> torch.Tensor:
    """Root mean square of the complex samples of each frame, (n,), positive and finite.

    `frames` are float32 (n, samples, 2), I then Q.

    Raises:
        ValueError: for frames of another shape or type, and for one whose power is zero or not
        finite.
    """
    if frames.ndim != 3 or frames.shape[2] != 2 or frames.dtype != torch.float32:
        kind = str(frames.dtype).removeprefix("torch.")
        raise ValueError(
            f"frames are float32 (n, samples, 2), I then Q, not {kind} {tuple(frames.shape)}; "
            "torch.view_as_real makes them of complex64 (n, samples)"
        )
    found = torch.linalg.vector_norm(frames.flatten(1), dim=1) / frames.shape[1] ** 0.5
    # A sample that is not finite makes the RMS so, and the logarithm of zero is not finite either:
    # one sum, one wait for the device, finds both.
    if not math.isfinite(found.log().sum()):
        first = int(found.log().isfinite().int().argmin())
        if found[first] == 0:
            what = "has no power; leave all-zero frames out"
        else:
            what = "has samples that are NaN, infinite or too large to be squared; leave it out"
        raise ValueError(f"frame {first} of {len(frames)} {what}")
    return found


def bin_points(
    points: torch.Tensor,
    pixels_per_unit: float | torch.Tensor,
    size: int,
    workspace: Workspace | None = None,
) -> torch.Tensor:
    """The pixel of every point, on an image whose centre is the origin.

    Args:
        points: float32 (n, points, 2), I then Q.
        pixels_per_unit: one for all frames, or one a frame, (n,).
        size: pixels along each side, even: the origin lies between four pixels, so a turn of the
            frame by 90 degrees turns the image by exactly 90 degrees.
        workspace: for at least n frames; the result then lies in it.

    Returns:
        Pixel numbers uint16 (n, points), `OUTSIDE` for points outside.
    """
    half = size // 2
    buffers = workspace or Workspace.for_points(points)
    offset, pixels, outside, bins = (buffer[: len(points)] for buffer in buffers)
    if isinstance(pixels_per_unit, torch.Tensor):
        pixels_per_unit = pixels_per_unit[:, None, None]

    # From the centre: -half..half-1 within the extent, the next number for all that is outside.
    torch.mul(points, pixels_per_unit, out=offset).floor_().clamp_(-half - 1, half)
    column, row_up = offset.unbind(-1)
    torch.add(column, row_up, alpha=-size, out=pixels).add_((half - 1) * size + half)

    # Symmetric between pixels: half - 0.5 at the outermost one of either side.
    offset.add_(0.5).abs_().gt_(half)
    torch.add(column, row_up, out=outside)
    return bins.copy_(pixels.add_(outside, alpha=2 * OUTSIDE).clamp_(max=OUTSIDE))


def join_views(bins: Sequence[torch.Tensor], size: int) -> torch.Tensor:
    """Pixel numbers counted on through the views, int32 (n, points of all views).

    `bins` are uint16 (n, points of the view), a view each; `OUTSIDE` becomes the number after the
    last pixel.
    """
    pixels = size * size
    joined = []
    for number, one in enumerate(bins):
        # Through int16, since a GPU can do little with uint16.
        of_view = one.view(torch.int16).to(torch.int32) & 0xFFFF
        joined.append(
            torch.where(of_view == OUTSIDE, len(bins) * pixels, of_view + number * pixels)
        )
    return torch.cat(joined, 1)


def encode(frames: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """Pixel numbers int32 (n, points of all views) of frames float32 (n, samples, 2).

    They are counted on through the views.

    Raises:
        ValueError: as `bin_frames`.
    """
    return join_views(list(bin_frames(frames, render).values()), render.size)


def count_points(bins: torch.Tensor, pixels: int) -> torch.Tensor:
    """Points in each of `pixels` pixels, float32 (n, pixels), of integer pixel numbers (n, points).

    Higher numbers are not counted.
    """
    index = bins.to(torch.int64).clamp_(max=pixels)
    ones = torch.ones((), device=bins.device).expand(index.shape)
    counts = torch.zeros(len(bins), pixels + 1, device=bins.device).scatter_add_(1, index, ones)
    return counts[:, :-1]
