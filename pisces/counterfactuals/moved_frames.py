"""Frames with some symbols moved, as a model of pictures takes them.

The view `symbol` shows a moved symbol where it went. The other views are held as they are, or
redrawn from samples with the old pulses off and the new ones on, timing, carrier offset and level
held as the receiver found them: `counterfactual.other_views`.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from pisces.attribution.explained_model import ExplainedModel
from pisces.evaluation.inference import predict
from pisces.inputs import binning
from pisces.truth.received import Received

BATCH = 512
"""Frames that a model is shown at once."""


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

    def answers(self, rows: np.ndarray, moved: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """What the model says of modulation and SNR.

        Args:
            rows: numbers of frames, int (k,).
            moved: which of their symbols have moved, bool (k, symbols).

        Returns:
            Logits of both heads, float32 (k, classes).
        """
        parts = []
        for start in range(0, len(rows), BATCH):
            part = slice(start, start + BATCH)
            stored = self.stored(torch.from_numpy(rows[part]), moved[part])
            inputs = self.explained.trained.input.tensors(stored.to(self.explained.device))
            snr_db = self.snr_db[torch.from_numpy(rows[part]).to(self.snr_db.device)]
            logits = predict(self.explained.model, inputs, snr_db)
            parts.append([of_head.float().cpu() for of_head in logits])
        modulation, snr = (torch.cat(of_head).numpy() for of_head in zip(*parts, strict=True))
        return modulation, snr

    def logits(self, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        """As `answers`, of the modulation alone."""
        return self.answers(rows, moved)[0]

    def predict(self, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        """As `logits`, the likeliest class: int (k,)."""
        return self.logits(rows, moved).argmax(1)

    def stored(self, rows: torch.Tensor, moved: torch.Tensor) -> torch.Tensor:
        """Pixel numbers int32 (k, points of all views)."""
        render = self.explained.data.render
        received, channel = self.received, render.views.index("symbol")
        # Through int16, since torch can do little with uint16.
        shown = [one.view(torch.int16)[rows] for one in self.bins]
        new = received.binned("symbol", self.new).view(torch.int16)[rows]
        shown[channel] = torch.where(moved, new, shown[channel])
        bins = [one.view(torch.uint16) for one in shown]

        if received.pulses is not None:
            points = torch.where(moved, self.new[rows], received.symbols.points[rows])
            redrawn = received.other_bins(received.with_symbols(rows, points))
            for view, of_view in redrawn.items():
                bins[render.views.index(view)] = of_view
        return binning.join_views(bins, render.size)
