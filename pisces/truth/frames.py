"""Frames of a data set with masked symbols drawn anew, as the pixel numbers that models are given.

Where a frame is refused, its pixel numbers stay what they were and the reason is told: nothing is
blacked out in its place.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch

from pisces.inputs import binning, views
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import RenderSettings
from pisces.truth import samples
from pisces.truth.found import Found, find
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses
from pisces.truth.redraw import Way, redraw, touched
from pisces.truth.region import Region

OtherViews = Literal["held", "redrawn"]
"""Whether the other views of a frame stay as they are, or show its new samples."""


class Redrawing(NamedTuple):
    """Frames after one mask."""

    bins: dict[str, torch.Tensor]
    """View -> pixel of each point, uint16 (n, points of the view)."""
    removed: torch.Tensor
    """Which symbols were drawn anew, bool (n, symbols); none of a refused frame."""
    likeliest: torch.Tensor
    """Number in the law of the likeliest class given the symbols that stay, and for a region how
    many it holds: int64 (n,); of refused frames it says nothing."""
    iq: torch.Tensor | None
    """The new samples over the RMS of the old ones, float32 (n, samples, 2); None: views are held.
    """


class RedrawableFrames:
    """Frames of one SNR, whose symbols can be drawn anew mask by mask.

    Args:
        iq: frames, float32 (n, samples, 2), I then Q, of any power but zero.
        modulations: true names, (n,).
        render: how the views are made, `symbol` among them; with the pulse of the file.
        law: where the symbols come from.
        other_views: `held`, or `redrawn` from new samples.

    Attributes:
        bins: view -> pixel of each point as the frames are, uint16 (n, points of the view).
        refused: of each frame why it is refused; empty where it is not.

    Raises:
        ValueError: without the view `symbol`, and as `samples.find_pulses`.
    """

    def __init__(
        self,
        iq: torch.Tensor,
        modulations: Sequence[str],
        render: RenderSettings,
        law: SymbolLaw,
        other_views: OtherViews = "held",
    ) -> None:
        if "symbol" not in render.views:
            raise ValueError(
                f"render.views = {', '.join(render.views)} lacks symbol, the one view whose points "
                "can be drawn anew; add it"
            )
        self.render, self.law, self.other_views = render, law, other_views
        self.bins = binning.bin_frames(iq, render)
        level = binning.rms(iq)[:, None, None]
        self._iq = torch.view_as_complex((iq / level).contiguous())
        self._received = views.symbols_of(self._iq, render)

        response = responses_of(self._iq, render)
        self._found: Found = find(self._received, modulations, law, response)
        self.refused = self._found.refused
        if other_views == "redrawn":
            fits = self._pulses.fits.tolist()
            self.refused = tuple(
                reason or ("" if fit else samples.NO_FIT)
                for reason, fit in zip(self.refused, fits, strict=True)
            )

    @cached_property
    def _pulses(self) -> samples.Pulses:
        return samples.find_pulses(self._iq.numpy(), self._received, self.render)

    def refusals(self) -> dict[str, int]:
        """Reason -> how many frames are refused for it, the most frequent first."""
        return dict(Counter(reason for reason in self.refused if reason).most_common())

    def without(
        self, masked: torch.Tensor, way: Way, rngs: Sequence[np.random.Generator]
    ) -> Redrawing:
        """The frames with the symbols that a mask touches drawn anew.

        Args:
            masked: pixels of the view `symbol`, bool (n, pixels), or (1, pixels) for all frames; a
                region is given whole, dark pixels too, and is one for all.
            way: how they are drawn, see `redraw.way_of`.
            rngs: a generator for each frame, see `redraw.generators`.

        Returns:
            The frames; those that are refused, or of which nothing is masked, are the same.
        """
        region = None
        if way == "region":
            assert len(masked) == 1, "a region is the same of all frames"
            region = Region(masked[0].numpy(), self.render.extent.symbol)
        return self._redrawn(touched(self.bins["symbol"], masked), region, rngs)

    def without_symbols(
        self, chosen: torch.Tensor, rngs: Sequence[np.random.Generator]
    ) -> Redrawing:
        """As `without`, of symbols bool (n, symbols) that were chosen blind to their values."""
        return self._redrawn(chosen, None, rngs)

    def _redrawn(
        self, chosen: torch.Tensor, region: Region | None, rngs: Sequence[np.random.Generator]
    ) -> Redrawing:
        taken = torch.tensor([not reason for reason in self.refused])
        removed = chosen & taken[:, None]
        x, level, _ = self._found
        new = redraw(x, self.law, removed, rngs, region=region, level=level)
        points = torch.where(removed, new.x * level, self._received.points)

        bins = dict(self.bins)
        bins["symbol"] = _where(removed, self._binned("symbol", points), bins["symbol"])
        likeliest = torch.where(new.likeliest < 0, self._likeliest, new.likeliest)
        if self.other_views == "held":
            return Redrawing(bins, removed, likeliest, None)

        rows = removed.any(1).nonzero()[:, 0]
        iq = self._iq.clone()
        if len(rows):
            iq[rows] = self._samples(points, rows)
            bins |= self._other_bins(iq[rows], rows)
        return Redrawing(bins, removed, likeliest, torch.view_as_real(iq))

    def likeliest(self, removed: torch.Tensor | None = None) -> torch.Tensor:
        """The likeliest class of each frame given the symbols that stay, as a number in the law.

        Args:
            removed: bool (n, symbols), chosen blind to their values; None: nothing.

        Returns:
            int64 (n,); of refused frames it says nothing.
        """
        if removed is None:
            return self._likeliest
        return hypotheses(self._found.x, self.law, ~removed).likeliest_classes(len(removed))

    @cached_property
    def _likeliest(self) -> torch.Tensor:
        x = self._found.x
        return hypotheses(x, self.law).likeliest_classes(len(x))

    def _samples(self, points: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Samples of some frames that hold new points, complex64 (rows, samples)."""
        replaced = samples.with_symbols(
            self._iq[rows].numpy(),
            self._received.points[rows],
            points[rows],
            samples.Pulses(*(one[rows.numpy()] for one in self._pulses)),
            self.render.sps,
        )
        return torch.from_numpy(replaced)

    def _other_bins(self, iq: torch.Tensor, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """The other views, those of some frames from their new samples."""
        bins: dict[str, torch.Tensor] = {}
        for view in self.render.views:
            if view != "symbol":
                shown = views.points_of(view, iq, self.render)
                # Through int16, since torch can do little with uint16.
                of_view = self.bins[view].view(torch.int16).clone()
                of_view[rows] = self._binned(view, shown).view(torch.int16)
                bins[view] = of_view.view(torch.uint16)
        return bins

    def _binned(self, view: str, points: torch.Tensor) -> torch.Tensor:
        """Pixel of each point of a view, complex64 (n, points) -> uint16."""
        pixels_per_unit = self.render.size / 2 / getattr(self.render.extent, view)
        return binning.bin_points(torch.view_as_real(points), pixels_per_unit, self.render.size)


def _where(which: torch.Tensor, these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Pixel numbers uint16 of these where `which` says so, else of those."""
    chosen = torch.where(which, these.view(torch.int16), those.view(torch.int16))
    return chosen.view(torch.uint16)
