"""What the page shows of a frame: its views, what can be taken of it, and the answers then.

Everything is predicted here, so that a page without a model can show it. A `Choice` is a set of
pixels that is taken from every frame: by a mask of PIS, because an attribution puts them first, or
because symbols leave them for elsewhere (`pisces.explorer.moved`). Those that move come last. The
page shows a choice under its `rule`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pisces.attribution.explained_model import (
    ExplainedModel,
    PredictedBatch,
    attributed_scores,
    predict_batch,
)
from pisces.attribution.faithfulness import order
from pisces.attribution.methods import Method
from pisces.core.files import sha256
from pisces.core.progress import progress
from pisces.core.tasks import HEADS
from pisces.counterfactuals.turning import Setup
from pisces.evaluation.inference import predict
from pisces.explorer.frames import spread
from pisces.explorer.moved import RULE, Moved, move
from pisces.explorer.settings import ExploreSettings
from pisces.inputs.base import to_device
from pisces.pis.brightness import exact_size
from pisces.pis.masks import Mask
from pisces.pis.store import PerturbationPlan, first_pixel

BATCH = 256  # predictions
ALL_VIEWS = "all"
"""View of a choice that takes pixels of every view."""


class Choice(NamedTuple):
    """A set of pixels that can be taken from a frame."""

    view: str
    """In which the pixels lie, or `ALL_VIEWS`."""
    rule: str
    """Family of the mask, name of the attribution method, or `moved.RULE`."""
    name: str
    """Of the mask, of the head that is explained, or of the order in which symbols move."""
    level_percent: float
    """Of the lit pixels; NaN of a region, which is taken whole."""


class Kind(NamedTuple):
    """Choices of one kind, and what they take."""

    choices: list[Choice]
    taken: list[np.ndarray]
    """Of each frame, which of its lit pixels, bool (choices, lit)."""


@dataclass(frozen=True)
class Prepared:
    """n frames with c choices and m attribution maps, whose lit pixels are l in all."""

    frame: np.ndarray  # index, int64 (n, 3)
    row: np.ndarray  # of each frame in the source file, int64 (n,)
    lit: list[np.ndarray]  # of each frame, numbers of its lit pixels, counted on through the views
    counts: list[np.ndarray]  # points in them
    choices: list[Choice]
    taken: list[np.ndarray]  # of each frame, what each choice takes, bool (c, lit)
    modulation_prob: np.ndarray  # as it is, then after each choice, float32 (n, 1 + c, classes)
    snr_prob: np.ndarray  # float32 (n, 1 + c, classes)
    map_names: list[tuple[str, str]]  # method and head of each map
    maps: list[np.ndarray]  # of each frame, scores of its lit pixels, float32 (m, lit)
    moved: Moved  # of the last choices, where symbols arrive and what is told of it

    def arrays(self) -> dict[str, np.ndarray]:
        """For an npz file; lists of the frames follow each other, `lit_per_frame` of each."""
        columns = zip(*self.choices, strict=True)
        named = dict(zip(Choice._fields, map(np.array, columns), strict=True))
        return {
            "frame": self.frame,
            "row": self.row,
            "lit_per_frame": np.array([len(lit) for lit in self.lit]),
            "lit": np.concatenate(self.lit).astype(np.int32),
            "counts": np.concatenate(self.counts).astype(np.uint16),
            **{f"choice_{name}": values for name, values in named.items()},
            "taken": np.concatenate([np.packbits(one, axis=1).ravel() for one in self.taken]),
            "modulation_prob": self.modulation_prob,
            "snr_prob": self.snr_prob,
            "map_method": np.array([method for method, _ in self.map_names]),
            "map_head": np.array([head for _, head in self.map_names]),
            "maps": np.concatenate([one.ravel() for one in self.maps]),
            **self.moved.arrays(),
        }


def about(explained: ExplainedModel, weights: Path) -> dict[str, np.ndarray]:
    """What a page must know to show the frames: classes, views, and whose answers they are.

    Args:
        explained: the model.
        weights: its file.

    Returns:
        Name in the npz file -> array.
    """
    trained, render = explained.trained, explained.data.render
    return {
        "modulations": np.array(trained.modulations),
        "snrs_db": np.array(trained.snrs_db),
        "snr_label": np.array(trained.snr_label),
        "views": np.array(render.views),
        "extents": np.array([getattr(render.extent, view) for view in render.views]),
        "size": np.array(render.size),
        "weights_sha256": np.array(sha256(weights)),
        "note": np.array(explained.prober.note),
    }


def prepare(
    explained: ExplainedModel,
    plan: PerturbationPlan,
    methods: Sequence[Method],
    settings: ExploreSettings,
    moves: Setup | None,
) -> Prepared:
    """Predictions of some frames of the plan: as they are, without pixels, with symbols moved.

    Args:
        explained: the model, and what masks pixels of its frames.
        plan: the masks, and the frames to choose from.
        methods: of attribution.
        settings: how many frames, and which shares of the pixels that a method puts first.
        moves: of counterfactuals; None for a model that is not shown symbols.

    Returns:
        The frames, in the order of the plan.
    """
    shown = replace(plan, frame=spread(plan.frame, settings.frames))
    batch = predict_batch(explained, shown.frame)
    counts = batch.counts.cpu().numpy()
    lit = [np.flatnonzero(of_frame) for of_frame in counts]

    scores = _maps(explained, methods, batch)
    kinds = (
        _by_masks(explained, shown, lit),
        _by_maps(scores, counts, batch.ties, lit, settings.levels_percent),
    )
    choices = [choice for kind in kinds for choice in kind.choices]
    taken = [np.concatenate(parts) for parts in zip(*(kind.taken for kind in kinds), strict=True)]

    modulation_prob, snr_prob = _predict_without(explained, batch, lit, taken)

    moved = move(moves, shown.frame, lit, (modulation_prob[:, 0], snr_prob[:, 0]))
    choices += [Choice("symbol", RULE, order, np.nan) for order in moved.orders]
    taken = [np.concatenate(both) for both in zip(taken, moved.left, strict=True)]
    return Prepared(
        frame=shown.frame,
        row=np.array([row for _, _, row in batch.identities]),
        lit=lit,
        counts=[of_frame[pixels] for of_frame, pixels in zip(counts, lit, strict=True)],
        choices=choices,
        taken=taken,
        modulation_prob=np.concatenate([modulation_prob, moved.modulation_prob], 1),
        snr_prob=np.concatenate([snr_prob, moved.snr_prob], 1),
        map_names=list(scores),
        maps=[_of_pixels(scores, k, pixels) for k, pixels in enumerate(lit)],
        moved=moved,
    )


def _choice_of(mask: Mask) -> Choice:
    level = np.nan if mask.level_percent is None else mask.level_percent
    return Choice(mask.view, mask.rule, mask.name, level)


def _by_masks(explained: ExplainedModel, plan: PerturbationPlan, lit: Sequence[np.ndarray]) -> Kind:
    """What the masks of the plan take of its frames, with the lit pixels of each."""
    taken = [np.zeros((len(plan.masks), len(pixels)), bool) for pixels in lit]
    for view in plan.views:
        places = [i for i, mask in enumerate(plan.masks) if mask.view == view]
        masks = [plan.masks[i] for i in places]
        first = first_pixel(plan.render, view)
        of_view = plan.taken(explained.data, 0, len(plan.frame), masks)
        for of_frame, pixels, one in zip(taken, lit, of_view, strict=True):
            columns = np.searchsorted(pixels, first + one.lit)
            of_frame[np.array(places)[:, None], columns] = one.chosen[0]
    return Kind([_choice_of(mask) for mask in plan.masks], taken)


def _maps(
    explained: ExplainedModel, methods: Sequence[Method], batch: PredictedBatch
) -> dict[tuple[str, str], np.ndarray]:
    """(method, head) -> scores (n, pixels of all views)."""
    found: dict[tuple[str, str], np.ndarray] = {}
    for method in methods:
        of_heads = attributed_scores(explained, method, explained.model, batch)
        found |= {(method.name, head): of_heads[head] for head in HEADS}
    return found


def _by_maps(
    scores: dict[tuple[str, str], np.ndarray],
    counts: np.ndarray,
    ties: np.ndarray,
    lit: Sequence[np.ndarray],
    levels_percent: Sequence[float],
) -> Kind:
    """What the first pixels of each map are.

    Args:
        scores: (method, head) -> scores (n, pixels).
        counts: points in each pixel, (n, pixels).
        ties: what orders pixels of equal score, (n, pixels).
        lit: of each frame, its lit pixels.
        levels_percent: shares of the lit pixels.
    """
    choices = []
    taken: list[list[np.ndarray]] = [[] for _ in lit]
    for (method, head), of_method in scores.items():
        ordered = order(of_method, counts, ties)
        for level in levels_percent:
            choices.append(Choice(ALL_VIEWS, method, head, level))
            for of_frame, pixels, first in zip(taken, lit, ordered, strict=True):
                of_frame.append(np.isin(pixels, first[: exact_size(len(pixels), level)]))
    stacked = [
        np.array(one, bool).reshape(-1, len(pixels)) for one, pixels in zip(taken, lit, strict=True)
    ]
    return Kind(choices, stacked)


def _of_pixels(
    scores: dict[tuple[str, str], np.ndarray], frame: int, pixels: np.ndarray
) -> np.ndarray:
    """Scores of the lit pixels of one frame, float32 (maps, lit)."""
    of_frame = [of_method[frame, pixels] for of_method in scores.values()]
    return np.array(of_frame, np.float32).reshape(-1, len(pixels))


def _predict_without(
    explained: ExplainedModel,
    batch: PredictedBatch,
    lit: Sequence[np.ndarray],
    taken: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of each frame as it is and without each choice.

    Args:
        explained: the model.
        batch: the frames.
        lit: of each frame, its lit pixels.
        taken: of each frame, what each choice takes of them, bool (choices, lit).

    Returns:
        Of both heads, float32 (n, 1 + choices, classes).
    """
    parts = []
    both = list(zip(lit, taken, strict=True))
    for frame, (pixels, choices) in enumerate(progress(both, "explore, frames")):
        nothing = np.zeros((1, len(pixels)), bool)
        lists = [pixels[one] for one in np.concatenate([nothing, choices])]
        parts.append(probabilities(explained, batch, frame, lists))
    modulation, snr = (np.stack(of_head) for of_head in zip(*parts, strict=True))
    return modulation, snr


def probabilities(
    explained: ExplainedModel, batch: PredictedBatch, frame: int, lists: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """What the model says of one frame without each of some lists of its pixels.

    Args:
        explained: the model.
        batch: of which it is a frame.
        frame: its number in the batch.
        lists: pixel numbers, counted on through the views.

    Returns:
        Probabilities of both heads, float32 (lists, classes).
    """
    parts = []
    for start in range(0, len(lists), BATCH):
        some = lists[start : start + BATCH]
        offsets = np.cumsum([0, *map(len, some)])
        pixels = np.concatenate(some).astype(np.int32)

        rows = np.full(len(some), frame)
        inputs = batch.frames.probe.without(rows, pixels, offsets)
        snr_db = batch.frames.snr_db[to_device(rows, inputs.device)]
        logits = predict(explained.model, inputs, snr_db)
        parts.append([of_head.float().softmax(1).cpu() for of_head in logits])
    modulation, snr = (torch.cat(of_head).numpy() for of_head in zip(*parts, strict=True))
    return modulation, snr
