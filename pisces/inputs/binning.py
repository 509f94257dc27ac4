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
from typing import NamedTuple

import torch

from pisces.inputs import views
from pisces.inputs.receiver.spectrum import Observed
from pisces.inputs.settings import RenderSettings

OUTSIDE = 65535
"""Pixel number of a point beyond the extent: such points are dropped, never piled on the border."""
BLOCK = 128
"""Frames whose samples a processor is done with before it takes the next ones.

Of 1 024 samples they are a megabyte, and stay near it.
"""


class Binned(NamedTuple):
    """What is kept of n frames."""

    bins: dict[str, torch.Tensor]
    """View -> pixel numbers uint16 (n, points of the view), `OUTSIDE` beyond the extent."""
    carrier_offset: torch.Tensor | None
    """Cycles a sample that `symbol` turned each frame back by, float32 (n,), NaN where the offset
    is beyond its reach; None where that view is not made."""


def bin_frames(frames: torch.Tensor, render: RenderSettings) -> dict[str, torch.Tensor]:
    """The pixel of every point of every view.

    Args:
        frames: float32 (n, samples, 2), I then Q, of any power.
        render: which views, and their pixels.

    Returns:
        View -> pixel numbers uint16 (n, points of the view), `OUTSIDE` where a point is beyond the
        extent.

    Raises:
        ValueError: as `rms`, and where a view cannot be made of frames of this length.
    """
    return bin_and_measure(frames, render).bins


def bin_and_measure(frames: torch.Tensor, render: RenderSettings) -> Binned:
    """As `bin_frames`, with the carrier offset that was found on the way."""
    level = rms(frames)
    rows = BLOCK if frames.device.type == "cpu" else len(frames)
    if set(render.views) == {"raw"}:
        # The level goes into the scale, which spares a copy of the frames.
        scales = (_pixels_per_unit("raw", render) / level).split(rows)
        blocks = zip(frames.split(rows), scales, strict=True)
        return Binned({"raw": torch.cat([bin_points(*one, render.size) for one in blocks])}, None)

    # Over the RMS, so that powers stay within float32.
    iq = torch.view_as_complex(frames / level[:, None, None])
    seen = [_see(views.Frames(block), render) for block in iq.split(rows)]
    bins = {view: torch.cat([block.bins[view] for block in seen]) for view in seen[0].bins}
    if "symbol" not in render.views:
        return Binned(bins, None)

    by_field = zip(*(block.observed for block in seen), strict=True)
    observed = Observed(*(torch.cat(field) for field in by_field))
    received = views.symbols_from(observed, iq, render)
    bins["symbol"] = _bin("symbol", received.points, render)
    carrier_offset = received.carrier_offset[:, 0].masked_fill(received.beyond, math.nan)
    return Binned({view: bins[view] for view in render.views}, carrier_offset)


class _Seen(NamedTuple):
    """What is made of the samples of some frames."""

    bins: dict[str, torch.Tensor]
    """Of every view but `symbol`, as in `Binned`."""
    observed: Observed | tuple[()]
    """What `symbol` is made from; nothing where it is not made."""


def _see(frames: views.Frames, render: RenderSettings) -> _Seen:
    """All that is done with the samples of frames over their RMS."""
    others: list[str] = [view for view in render.views if view != "symbol"]
    bins = {}
    for view in others:
        if view == "noise":  # of the spectrum that `symbol` needs too
            points = views.noise_of(frames, render.sps)
        else:
            points = views.points_of(view, frames.iq, render)
        bins[view] = _bin(view, points, render)
    if "symbol" not in render.views:
        return _Seen(bins, ())
    return _Seen(bins, views.observed_of(frames, render))


def _bin(view: str, points: torch.Tensor, render: RenderSettings) -> torch.Tensor:
    """The bins of the points of a view, complex64 (n, points)."""
    return bin_points(torch.view_as_real(points), _pixels_per_unit(view, render), render.size)


def _pixels_per_unit(view: str, render: RenderSettings) -> float:
    return render.size / 2 / getattr(render.extent, view)


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
) -> torch.Tensor:
    """The pixel of every point, on an image whose centre is the origin.

    Args:
        points: float32 (n, points, 2), I then Q.
        pixels_per_unit: one for all frames, or one a frame, (n,).
        size: pixels along each side, even: the origin lies between four pixels, so a turn of the
            frame by 90 degrees turns the image by exactly 90 degrees.

    Returns:
        Pixel numbers uint16 (n, points), `OUTSIDE` for points outside.
    """
    half = size // 2
    if isinstance(pixels_per_unit, torch.Tensor):
        pixels_per_unit = pixels_per_unit[:, None, None]

    # From the centre: -half..half-1 within the extent, the next number for all that is outside.
    offset = (points * pixels_per_unit).floor_().clamp_(-half - 1, half)
    column, row_up = offset.unbind(-1)
    pixels = torch.add(column, row_up, alpha=-size).add_((half - 1) * size + half)

    # Symmetric between pixels: half - 0.5 at the outermost one of either side.
    offset.add_(0.5).abs_().gt_(half)
    outside = column + row_up
    return pixels.add_(outside, alpha=2 * OUTSIDE).clamp_(max=OUTSIDE).to(torch.uint16)


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
