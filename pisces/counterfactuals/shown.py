"""Frames with some symbols moved, as a model of pictures takes them.

The view `symbol` shows a moved symbol where it went. The other views are held as they are, or
redrawn from samples with the old pulses off and the new ones on, timing, carrier offset and level
held as the receiver found them: `counterfactual.other_views`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from pisces.attribution.explained_model import ExplainedModel
from pisces.evaluation.inference import predict
from pisces.inputs import binning, views
from pisces.inputs.receiver.chain import Symbols
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import RenderSettings
from pisces.truth import samples
from pisces.truth.found import Found, find
from pisces.truth.frames import OtherViews
from pisces.truth.law import SymbolLaw
from pisces.truth.samples import Pulses

BATCH = 512
"""Frames that a model is shown at once."""


@dataclass(frozen=True)
class Received:
    """Frames of one SNR, and what the receiver found of them."""

    iq: np.ndarray
    """Of unit power, complex64 (n, samples)."""
    symbols: Symbols
    found: Found
    pulses: Pulses | None
    """None where the other views are held."""
    refused: np.ndarray
    """Why a frame is refused, empty where it is not: texts (n,)."""

    def some(self, rows: np.ndarray) -> Self:
        """The frames with these numbers."""
        x, level, refused = self.found
        pulses = self.pulses and Pulses(*(one[rows] for one in self.pulses))
        return type(self)(
            self.iq[rows],
            Symbols(*(one[rows] for one in self.symbols)),
            Found(x[rows], level[rows], tuple(refused[row] for row in rows.tolist())),
            pulses,
            self.refused[rows],
        )


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
        return Received(iq.numpy(), symbols, found, None, np.array(found.refused, object))

    pulses = samples.find_pulses(iq.numpy(), symbols, render)
    misfit = ["" if fits else samples.NO_FIT for fits in pulses.fits.tolist()]
    refused = [one or other for one, other in zip(found.refused, misfit, strict=True)]
    return Received(iq.numpy(), symbols, found, pulses, np.array(refused, object))


@dataclass(frozen=True)
class MovedFrames:
    """A model, and n frames that it is shown with some symbols moved."""

    explained: ExplainedModel
    received: Received
    bins: list[torch.Tensor]
    """Pixel of each point as the frames are, uint16 (n, points), a view each."""
    new: torch.Tensor
    """Where each symbol would move to, points of the view `symbol`, complex64 (n, symbols)."""
    snr_db: torch.Tensor
    """True, (n,)."""

    @classmethod
    def of(
        cls, explained: ExplainedModel, index: np.ndarray, received: Received, new: np.ndarray
    ) -> Self:
        """Frames of the data set.

        Args:
            explained: the model, shown the view `symbol`.
            index: of the frames, (n, 3).
            received: the same frames.
            new: where symbols would move to, of unit signal power, complex128 (n, symbols).
        """
        bins = [torch.from_numpy(one) for one in explained.data.gather(index)]
        points = torch.from_numpy(new.astype(np.complex64)) * received.found.level
        return cls(explained, received, bins, points, explained.snr_db(index))

    def turned(self, angle: np.ndarray) -> Self:
        """The same frames, whose symbols would move to places turned by angles (n,) in radians."""
        phasor = torch.from_numpy(np.exp(1j * angle).astype(np.complex64))[:, None]
        return type(self)(self.explained, self.received, self.bins, self.new * phasor, self.snr_db)

    def logits(self, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        """What the model says of the modulation.

        Args:
            rows: numbers of frames, int (k,).
            moved: which of their symbols have moved, bool (k, symbols).

        Returns:
            float32 (k, classes).
        """
        found = []
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            stored = self.stored(torch.from_numpy(rows[part]), moved[part])
            inputs = self.explained.trained.input.tensors(stored.to(self.explained.device))
            snr_db = self.snr_db[torch.from_numpy(rows[part]).to(self.snr_db.device)]
            logits, _ = predict(self.explained.model, inputs, snr_db)
            found.append(logits.float().cpu())
        return torch.cat(found).numpy()

    def predict(self, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        """As `logits`, the likeliest class: int (k,)."""
        return self.logits(rows, moved).argmax(1)

    def stored(self, rows: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Pixel numbers int32 (k, points of all views)."""
        render = self.explained.data.render
        channel = render.views.index("symbol")
        # Through int16, since torch can do little with uint16.
        shown = [one.view(torch.int16)[rows] for one in self.bins]
        new = self._binned("symbol", self.new).view(torch.int16)[rows]
        shown[channel] = torch.where(moved, new, shown[channel])
        bins = [one.view(torch.uint16) for one in shown]

        if self.received.pulses is not None:
            iq = self._samples(rows, moved)
            for number, view in enumerate(render.views):
                if view != "symbol":
                    bins[number] = self._binned(view, views.points_of(view, iq, render))
        return binning.join_views(bins, render.size)

    def _samples(self, rows: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Frames with old pulses off and new ones on, complex64 (k, samples)."""
        assert self.received.pulses is not None
        old = self.received.symbols.points[rows]
        numbers, render = rows.numpy(), self.explained.data.render
        replaced = samples.with_symbols(
            self.received.iq[numbers],
            old,
            torch.where(moved, self.new[rows], old),
            Pulses(*(one[numbers] for one in self.received.pulses)),
            render.sps,
        )
        return torch.from_numpy(replaced)

    def _binned(self, view: str, points: torch.Tensor) -> torch.Tensor:
        """Pixel of each point of a view, complex64 (n, points) -> uint16."""
        render = self.explained.data.render
        pixels_per_unit = render.size / 2 / getattr(render.extent, view)
        return binning.bin_points(torch.view_as_real(points), pixels_per_unit, render.size)
