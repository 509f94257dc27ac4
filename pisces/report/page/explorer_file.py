"""Whether data/explorer.npz is what the page can read: kinds, shapes and ranges of its arrays."""

from collections.abc import Mapping

import numpy as np

from pisces.report.attribution import METHODS
from pisces.report.page import words

NUMBERS, WHOLE, TEXT = "fiu", "iu", "U"
"""Kinds of NumPy."""

SHAPES: dict[str, tuple[str, tuple[str, ...]]] = {
    "frame": (WHOLE, ("frames", "3")),
    "row": (WHOLE, ("frames",)),
    "lit_per_frame": (WHOLE, ("frames",)),
    "lit": (WHOLE, ("lit",)),
    "counts": (WHOLE, ("lit",)),
    "choice_view": (TEXT, ("choices",)),
    "choice_rule": (TEXT, ("choices",)),
    "choice_name": (TEXT, ("choices",)),
    "choice_level_percent": (NUMBERS, ("choices",)),
    "taken": (WHOLE, ("bytes",)),
    "modulation_prob": (NUMBERS, ("frames", "answers", "modulations")),
    "snr_prob": (NUMBERS, ("frames", "answers", "snrs")),
    "map_method": (TEXT, ("maps",)),
    "map_head": (TEXT, ("maps",)),
    "maps": (NUMBERS, ("scores",)),
    "moves": (WHOLE, ("frames", "orders")),
    "symbols": (WHOLE, ("frames",)),
    "rival": (TEXT, ("frames",)),
    "why_not": (TEXT, ("frames",)),
    "arrived_per_move": (WHOLE, ("moves",)),
    "arrived": (WHOLE, ("arrived",)),
    "modulations": (TEXT, ("modulations",)),
    "snrs_db": (WHOLE, ("snrs",)),
    "snr_label": (TEXT, ()),
    "views": (TEXT, ("views",)),
    "extents": (NUMBERS, ("views",)),
    "size": (WHOLE, ()),
    "weights_sha256": (TEXT, ()),
    "note": (TEXT, ()),
}
"""Array -> kinds of its values, and what each of its axes counts."""


def check(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError, which says what is wrong, unless the arrays belong together.

    Args:
        arrays: those of `sources.EXPLORER`.
    """
    counts = _axes(arrays)
    lit, orders = arrays["lit_per_frame"], counts["orders"]
    _demand((lit >= 0).all() and lit.sum() == counts["lit"], "lit has other pixels than are told")
    a_frame = -(-lit // 8)
    _demand(counts["choices"] * a_frame.sum() == counts["bytes"], "taken has another length")
    _demand(counts["maps"] * counts["lit"] == counts["scores"], "maps has another length")
    _demand(counts["answers"] == 1 + counts["choices"], "not every choice has an answer")

    is_move = arrays["choice_rule"] == "counterfactual"
    at_the_end = is_move[len(is_move) - orders :]
    _demand(is_move.sum() == orders and at_the_end.all(), "moves is not of the choices")
    of_each = arrays["arrived_per_move"]
    _demand(len(of_each) == counts["frames"] * orders, "arrived_per_move has another length")
    _demand((of_each >= 0).all() and of_each.sum() == counts["arrived"], "arrived is cut")
    _demand((arrays["moves"] >= 0).all(), "moves has a negative number")
    _values(arrays, counts)


def _axes(arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """What each axis counts -> its length."""
    counts = {"3": 3}
    named = {"3": "an index"}
    for name, (kinds, axes) in SHAPES.items():
        array = arrays[name]
        _demand(not array.size or array.dtype.kind in kinds, f"{name} holds {array.dtype}")
        _demand(array.ndim == len(axes), f"{name} has {array.ndim} axes and not {len(axes)}")
        for axis, length in zip(axes, array.shape, strict=True):
            known = counts.setdefault(axis, length)
            source = named.setdefault(axis, name)
            _demand(known == length, f"{name} has {length} {axis} where {source} has {known}")
    return counts


def _values(arrays: Mapping[str, np.ndarray], counts: Mapping[str, int]) -> None:
    """Demands values that there can be."""
    size, views = int(arrays["size"]), arrays["views"].tolist()
    pixels = max(size, 0) ** 2 * len(views)
    for name in ("lit", "arrived"):
        inside = (arrays[name] >= 0) & (arrays[name] < pixels)
        _demand(inside.all(), f"{name} has a pixel that is none of {size} x {size}")
    for column, axis in enumerate(("modulations", "snrs")):
        number = arrays["frame"][:, column]
        known = (number >= 0) & (number < counts[axis])
        _demand(known.all(), f"frame has a number that is none of the {axis}")
    for name in ("modulation_prob", "snr_prob"):
        within = (arrays[name] >= 0) & (arrays[name] <= 1 + 1e-6)
        _demand(within.all(), f"{name} has a number that is no probability")
    _demand(np.isfinite(arrays["maps"]).all(), "maps has a number that is not finite")
    _demand((arrays["extents"] > 0).all(), "extents has a number that is not above 0")
    _demand(not np.isinf(arrays["choice_level_percent"]).any(), "a level is infinite")

    known_views = set(arrays["choice_view"].tolist()) <= {*views, "all"}
    _demand(known_views, "choice_view has a view that is none of views")
    _demand(set(arrays["map_method"].tolist()) <= set(METHODS), "map_method has an unknown method")
    heads = set(arrays["map_head"].tolist())
    _demand(heads <= {"modulation", "snr"}, "map_head has an unknown head")
    for rule, name in zip(arrays["choice_rule"], arrays["choice_name"], strict=True):
        _demand(words.can_name(str(rule), str(name)), f"choice_name has {name}, which is no {rule}")


def _demand(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
