"""Which pairs, frames and orders are measured, as far as model and data allow."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.methods import Method
from pisces.attribution.settings import AttributionSettings
from pisces.counterfactuals.orders import chosen_methods
from pisces.counterfactuals.settings import (
    CounterfactualSettings,
    Pair,
    has_points,
    numbers_of,
    pairs_of,
)
from pisces.data import splitting
from pisces.inputs.settings import OtherViews

NO_SYMBOLS = "the model is shown no view symbol, the one whose points can be moved"
NO_CLASSES = "fewer than two classes of the data have constellation points"


class Choice(NamedTuple):
    """What is measured."""

    pairs: tuple[Pair, ...]
    frames: np.ndarray
    """Their index, (n, 3)."""
    methods: Sequence[Method]
    evidence_frames: np.ndarray
    """Index of those on which the methods are held against the evidence, (n, 3)."""
    other_views: OtherViews
    remarks: list[str]
    """What is left out and why, for a person."""


def why_nothing_moves(explained: ExplainedModel) -> str:
    """Why no symbols can be moved, whatever the frames; empty where they can."""
    shown, _ = explained.trained.input.pictures
    if "symbol" not in shown:
        return NO_SYMBOLS
    with_points = [name for name in explained.data.modulations if has_points(name)]
    return "" if len(with_points) > 1 else NO_CLASSES


def choose(
    explained: ExplainedModel,
    test: np.ndarray,
    settings: CounterfactualSettings,
    attribution: AttributionSettings,
) -> Choice:
    """The pairs, frames and methods of the settings.

    Args:
        explained: the model.
        test: the test part, (n, 3).
        settings: of the stage.
        attribution: of the methods.

    Returns:
        What can be measured. Where no pairs are named, there may be none; where nothing can move,
        there are no methods either.

    Raises:
        ValueError: for pairs that are named and cannot be measured, and for an SNR label that the
            data lack.
    """
    data, remarks = explained.data, []
    pairs = pairs_of(settings.pairs, data.modulations)
    why = why_nothing_moves(explained)
    if why == NO_SYMBOLS and settings.pairs:
        raise ValueError(
            f"counterfactual.pairs names {len(pairs)}, but {NO_SYMBOLS}; train one of "
            "constellations with symbol among render.views, or leave counterfactual.pairs empty"
        )
    if why:
        remarks = [f"all counterfactuals, since {why}"]
        return Choice((), test[:0], [], test[:0], settings.other_views, remarks)
    if not pairs:
        remarks = ["all counterfactuals, since the data have both classes of no pair"]

    methods = chosen_methods(settings.methods, explained, attribution)
    missing = [name for name in settings.methods if name not in {one.name for one in methods}]
    if missing:
        model = explained.trained.architecture.model
        remarks.append(f"{', '.join(missing)}, which cannot explain {model}")

    test = test[np.isin(test[:, 1], numbers_of(settings.snrs_db, data.snrs_db))]
    index = splitting.first_of_each_cell(test, settings.frames_per_cell)
    evidence_frames = splitting.first_of_each_cell(test, attribution.frames_per_cell)
    return Choice(
        pairs,
        index,
        methods,
        evidence_frames=evidence_frames,
        other_views=settings.other_views,
        remarks=remarks,
    )
