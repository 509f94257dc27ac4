"""What one ranking of the lit pixels of some frames is worth: its curves, and guards of these."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from pisces.attribution import faithfulness, mask_guards
from pisces.attribution.explained_model import ExplainedModel, PredictedBatch
from pisces.attribution.faithfulness import CURVES
from pisces.core.tasks import HEADS
from pisces.pis.brightness import exact_size

Measures = dict[str, np.ndarray]
"""Name of a measure -> one number a frame (n,), or one curve a frame (n, levels + 1).

- `deletion`, `insertion`: curves, see `faithfulness.curves`.
- `deletion_area` (low is good), `insertion_area` (high is good): mean heights of the curves, 0..1.
- `infidelity`: in squared logits, low is good.
- `sensitivity`: relative change of a map, low is good.
- `agreement`: rank correlation with the brightness, by which PIS ranks, -1..1.
- `forward_passes`, `backward_passes`: cost, in passes a frame.
- `completeness_error`, of Integrated Gradients alone: see `completeness_error`.
- `blurred_deletion_area`, `blurred_insertion_area`: those areas of blurred maps.
- `masks`: what a mask-only classifier is shown, (n, numbers), see `mask_guards.look`.
"""

AREAS = tuple(f"{curve}_area" for curve in CURVES)


def joined_measures(parts: list[Measures]) -> Measures:
    """The measures of several batches, one after the other."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True)
class Ranking:
    """The pixels of n frames by one method, for the classes that one head predicts."""

    explained: ExplainedModel
    batch: PredictedBatch
    task: str  # the head, one of `core.tasks.HEADS`
    scores: np.ndarray  # (n, pixels of all views)
    levels_percent: tuple[float, ...]  # of the curves

    @cached_property
    def counts(self) -> np.ndarray:
        """Points in each pixel, (n, pixels of all views)."""
        return self.batch.counts.cpu().numpy()

    @cached_property
    def order(self) -> np.ndarray:
        """Lit pixels by falling score, as `faithfulness.order` gives them."""
        return faithfulness.order(self.scores, self.counts, self.batch.ties)

    def curves_and_areas(self) -> Measures:
        """Deletion and insertion, as curves and as areas below them."""
        curves = self._curves(self.order)
        return curves | self._areas(curves)

    def areas(self) -> Measures:
        """The areas alone."""
        return self._areas(self._curves(self.order))

    def guards(self) -> Measures:
        """The areas of blurred maps, and a look at the masks."""
        size = self.explained.data.render.size
        blurred = mask_guards.blurred(self.scores, self.batch.lit, size)
        order = faithfulness.order(blurred, self.counts, self.batch.ties)
        areas = self._areas(self._curves(order))
        guards = {f"blurred_{area}": values for area, values in areas.items()}
        return guards | {"masks": mask_guards.look(self._masks(), size)}

    def _curves(self, order: np.ndarray) -> Measures:
        """Deletion and insertion in some order, (n, levels + 1) each."""

        def predict_masked(pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
            of_both_heads = self.batch.frames.predict(self.explained.model, pixels, offsets)
            return of_both_heads[HEADS.index(self.task)]

        targets = self.batch.predicted[self.task]
        return faithfulness.curves(
            predict_masked, self.batch.counts, order, self.levels_percent, targets
        )

    def _areas(self, curves: Measures) -> Measures:
        levels = self.levels_percent
        return {f"{name}_area": faithfulness.area(curves[name], levels) for name in CURVES}

    def _masks(self) -> np.ndarray:
        """Which pixels the first `MASK_PERCENT` of the order take, bool (n, pixels)."""
        taken = np.zeros(self.counts.shape, bool)
        lit = np.count_nonzero(self.batch.lit, axis=1)
        for row, pixels, n in zip(taken, self.order, lit, strict=True):
            row[pixels[: exact_size(n, mask_guards.MASK_PERCENT)]] = True
        return taken
