"""What masks, views and SNRs are called on the page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.core.texts import counted
from pisces.report.attribution import METHODS
from pisces.report.counterfactuals import ORDERS
from pisces.report.pis_regions import Images

FAMILIES = {
    "exact": "Brightness",
    "percentile": "Percentile",
    "ring": "Ring",
    "sector": "Sector",
    "cluster": "Cluster",
    "window": "Window",
    "counterfactual": "Counterfactual",
}
"""Rule of a mask -> what a person chooses; other rules are themselves."""

NAMES = {
    "top": "brightest",
    "bottom": "dimmest lit",
    "random": "random",
    "core": "cores",
    "transition": "transitions between cores",
    "modulation": "for the modulation",
    "snr": "for the SNR",
}

CEILING = {"pixel middle": "Ceiling: the middles of pixels"}
"""In the place of a method."""

GUARDS = {
    "blurred_deletion_area": "blurred maps, deletion area",
    "blurred_insertion_area": "blurred maps, insertion area",
    "mask_only": "the masks alone tell the class",
}

MEASURES = {
    "deletion_area": "deletion area, low is good",
    "insertion_area": "insertion area, high is good",
    "infidelity": "infidelity, low is good",
    "sensitivity": "sensitivity, low is good",
    "agreement": "rank correlation with brightness",
    "completeness_error": "completeness error",
    "completeness_error_worst": "completeness error, the largest",
    "accuracy": "accuracy",
    "random_drop": "accuracy lost without random pixels",
    "forward_passes": "passes forwards a frame",
    "backward_passes": "passes backwards a frame",
}


def measure(name: str) -> str:
    """What a measure of attributions is called."""
    return MEASURES.get(name, name)


def method(name: str) -> str:
    """What an attribution method is called."""
    return METHODS[name].label if name in METHODS else CEILING.get(name, name)


def guard(name: str) -> str:
    """What is held against the curves of a method."""
    return GUARDS.get(name, name)


def order(name: str) -> str:
    """In which order symbols move."""
    return ORDERS.get(name) or f"by {method(name)}"


def moved(moves: int, symbols: int, rival: str, name: str) -> str:
    """How many symbols of a frame moved, before what the model says then.

    Args:
        moves: how many; 0 where not even all of them turn the prediction.
        symbols: of the frame.
        rival: the class that they move to.
        name: of the order.
    """
    if moves == 0:
        return f"As it is (not even all {symbols} symbols moved to {rival} turn it)"
    return f"With {counted(moves, 'symbol')} of {symbols} moved to {rival}, {order(name)}"


def not_moved(why: str) -> str:
    """Why no symbols of a frame can move."""
    return f"As it is (nothing moves: {why})"


def snr(label: int, snr_label: SnrLabel) -> str:
    """An SNR label with what it means: "6 dB", or "12 dB (label 6)" where it is half of the SNR."""
    if snr_label == "power":
        return f"{label} dB"
    return f"{true_snr_db(label, snr_label)} dB (label {label})"


def family(rule: str) -> str:
    """What a rule of masks or an attribution method is called."""
    if rule in METHODS:
        return f"First pixels of {method(rule)}"
    return FAMILIES.get(rule, rule)


def mask(rule: str, name: str, view: str, masks: Sequence[str], images: Images) -> str:
    """What one mask is called.

    Args:
        rule: its family.
        name: its name among them.
        view: in which it lies.
        masks: names of all masks of the family.
        images: what the pixels of the view stand for.

    Returns:
        Such as "1 (innermost)" of a ring.
    """
    if rule == "ring":
        ends = {1: " (innermost)", len(masks): " (outermost)"}
        return f"{name}{ends.get(int(name), '')}"
    if rule == "sector":
        return f"{name} (at {360 * (int(name) - 1) / len(masks):g}°)"
    if rule == "window":
        return _window(name, view, images)
    if rule == "counterfactual":
        return order(name)
    return NAMES.get(name, name)


def can_name(rule: str, name: str) -> bool:
    """Whether a mask has a name that `mask` can read: numbers of rings, sectors and windows."""
    if rule in ("ring", "sector"):
        return name.isdecimal()
    if rule == "window":
        row, dash, column = name.partition("-")
        return row.isdecimal() and dash == "-" and column.isdecimal()
    return True


def _window(name: str, view: str, images: Images) -> str:
    """Where a window lies, from the row and column of its top left pixel."""
    row, column = map(int, name.split("-"))
    half, unit = images.extents[view], "dB" if view == "noise" else "RMS"
    pixel = 2 * half / images.size
    side = images.window * 2 * half
    left, top = column * pixel - half, half - row * pixel
    return f"I {left:+.3g} to {left + side:+.3g}, Q {top - side:+.3g} to {top:+.3g} {unit}"


def level(percent: float) -> str:
    """How much a mask takes; empty for a region, which is taken whole."""
    return "" if math.isnan(percent) else f"{percent:g} %"


class Named(NamedTuple):
    """A mask as tables name it."""

    view: str
    rule: str
    mask: str
    level_percent: float


def in_table(one: Named, masks: Sequence[str], images: Images) -> str:
    """A mask by itself: "Ring 1 (innermost), symbol"."""
    text = _without_view(one, masks, images)
    return f"{text[0].upper()}{text[1:]}, {one.view}"


def in_sentence(one: Named, masks: Sequence[str], images: Images) -> str:
    """A mask in the middle of a sentence: "ring 1 (innermost) of the view symbol"."""
    return f"{_without_view(one, masks, images)} of the view {one.view}"


def _without_view(one: Named, masks: Sequence[str], images: Images) -> str:
    name, share = mask(one.rule, one.mask, one.view, masks, images), level(one.level_percent)
    if one.rule == "percentile":
        return f"the {name} pixels by percentile {share}"
    if share:
        return f"the {share} {name} pixels"
    return f"{family(one.rule).lower()} {name}"
