"""Frames of a data set with masked symbols drawn anew, as the pixel numbers that models are given.

Where a frame is refused, its pixel numbers stay what they were and the reason is told: nothing is
blacked out in its place.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from pisces.inputs import binning
from pisces.inputs.settings import OtherViews, RenderSettings
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses
from pisces.truth.received import receive
from pisces.truth.redraw import Way, redraw, touched
from pisces.truth.region import Region


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
        self.render, self.law = render, law
        self.bins = binning.bin_frames(iq, render)
        self._received = receive(iq, modulations, render, law, other_views)
        self.refused = self._received.refused

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
        received = self._received
        x, level, _ = received.found
        new = redraw(x, self.law, removed, rngs, region=region, level=level)
        points = torch.where(removed, new.x * level, received.symbols.points)

        bins = dict(self.bins)
        bins["symbol"] = _where(removed, received.binned("symbol", points), bins["symbol"])
        likeliest = torch.where(new.likeliest < 0, self._likeliest, new.likeliest)
        if received.pulses is None:
            return Redrawing(bins, removed, likeliest, None)

        rows = removed.any(1).nonzero()[:, 0]
        iq = received.iq.clone()
        if len(rows):
            iq[rows] = received.with_symbols(rows, points[rows])
            for view, of_rows in received.other_bins(iq[rows]).items():
                bins[view] = _replaced(bins[view], rows, of_rows)
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
        x = self._received.found.x
        return hypotheses(x, self.law, ~removed).likeliest_classes(len(x))

    @cached_property
    def _likeliest(self) -> torch.Tensor:
        x = self._received.found.x
        return hypotheses(x, self.law).likeliest_classes(len(x))


def _where(which: torch.Tensor, these: torch.Tensor, those: torch.Tensor) -> torch.Tensor:
    """Pixel numbers uint16 of these where `which` says so, else of those."""
    chosen = torch.where(which, these.view(torch.int16), those.view(torch.int16))
    return chosen.view(torch.uint16)


def _replaced(bins: torch.Tensor, rows: torch.Tensor, of_rows: torch.Tensor) -> torch.Tensor:
    """Pixel numbers uint16 (n, points) with others in some rows."""
    # Through int16, since torch can do little with uint16.
    found = bins.view(torch.int16).clone()
    found[rows] = of_rows.view(torch.int16)
    return found.view(torch.uint16)
