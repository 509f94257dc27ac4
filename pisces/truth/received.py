"""Frames as the receiver finds them, and as they are with other symbols in them.

Timing, carrier offset and level are held as they were found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from pisces.inputs import binning, views
from pisces.inputs.receiver.chain import Symbols
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import OtherViews, RenderSettings, ViewName
from pisces.truth import samples
from pisces.truth.found import Found, find
from pisces.truth.law import SymbolLaw
from pisces.truth.samples import Pulses


@dataclass(frozen=True)
class Received:
    """n frames of one SNR, and what the receiver found of them."""

    render: RenderSettings
    """How the views are made, `symbol` among them; with the pulse of the file."""
    iq: torch.Tensor
    """Of unit power, complex64 (n, samples)."""
    symbols: Symbols
    """Of the frames, points complex64 (n, symbols)."""
    found: Found
    """The same with unit signal power, and their level: the points of the view over it."""
    pulses: Pulses | None
    """None where the other views are held."""
    refused: tuple[str, ...]
    """Of each frame why its symbols cannot be replaced; empty where they can."""

    def some(self, rows: np.ndarray) -> Self:
        """The frames with these numbers."""
        x, level, refused = self.found
        numbers = rows.tolist()
        return type(self)(
            self.render,
            self.iq[rows],
            Symbols(*(one[rows] for one in self.symbols)),
            Found(x[rows], level[rows], tuple(refused[row] for row in numbers)),
            self.pulses and Pulses(*(one[rows] for one in self.pulses)),
            tuple(self.refused[row] for row in numbers),
        )

    def binned(self, view: ViewName, points: torch.Tensor) -> torch.Tensor:
        """Pixel of each point of a view, complex64 (k, points) -> uint16."""
        pixels_per_unit = self.render.size / 2 / getattr(self.render.extent, view)
        return binning.bin_points(torch.view_as_real(points), pixels_per_unit, self.render.size)

    def with_symbols(self, rows: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Samples of some frames with other symbols.

        Args:
            rows: numbers of frames, int64 (k,).
            points: theirs in the view `symbol`, complex64 (k, symbols).

        Returns:
            complex64 (k, samples).

        Raises:
            ValueError: where the other views are held, for which no pulses were found.
        """
        if self.pulses is None:
            raise ValueError("the other views are held, so that there are no new samples")
        numbers = rows.numpy()
        replaced = samples.with_symbols(
            self.iq[rows].numpy(),
            self.symbols.points[rows],
            points,
            Pulses(*(one[numbers] for one in self.pulses)),
            self.render.sps,
        )
        return torch.from_numpy(replaced)

    def other_bins(self, iq: torch.Tensor) -> dict[ViewName, torch.Tensor]:
        """View -> pixels uint16 (k, points) of samples complex64 (k, samples), but of `symbol`."""
        others = [view for view in self.render.views if view != "symbol"]
        return {view: self.binned(view, views.points_of(view, iq, self.render)) for view in others}


def receive(
    frames: torch.Tensor,
    names: Sequence[str],
    render: RenderSettings,
    law: SymbolLaw,
    other_views: OtherViews,
) -> Received:
    """The symbols of frames, and which frames are refused.

    Args:
        frames: float32 (n, samples, 2), I then Q, of any power but zero.
        names: true classes, (n,).
        render: how the views are made, `symbol` among them; with the pulse of the file.
        law: where the symbols come from.
        other_views: `held`, or `redrawn`, for which a pulse must fit the samples.

    Returns:
        All frames, those that are refused too.

    Raises:
        ValueError: as `samples.find_pulses`, where the other views are redrawn.
    """
    level = binning.rms(frames)[:, None, None]
    iq = torch.view_as_complex((frames / level).contiguous())
    symbols = views.symbols_of(iq, render)
    found = find(symbols, names, law, responses_of(iq, render))
    if other_views == "held":
        return Received(render, iq, symbols, found, None, found.refused)

    pulses = samples.find_pulses(iq.numpy(), symbols, render)
    misfit = ["" if fits else samples.NO_FIT for fits in pulses.fits.tolist()]
    refused = tuple(one or other for one, other in zip(found.refused, misfit, strict=True))
    return Received(render, iq, symbols, found, pulses, refused)
