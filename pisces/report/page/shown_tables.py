"""The tables of the page: which columns of which file, under which heads, sorted by what."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pisces.report.page import words
from pisces.report.pis import SIGNIFICANT

DIFFERS = {
    "column": "p_count_holm",
    "below": SIGNIFICANT,
    "label": "only masks that differ from their control",
}
"""A filter that is on at first, or tiny masks with huge intervals would come before all others."""

MASKED = {
    "what": "Mask",
    "view": "View",
    "rule": "Family",
    "level_percent": "Level (%)",
    "task": "Accuracy of",
    "excess": "Excess",
    "excess_interval": "interval",
    "p_count_holm": "p (Holm)",
    "pis": "PIS",
    "pis_interval": "interval",
    "control_count_pis": "PIS of control",
    "accuracy": "Accuracy",
    "fraction_lit": "Lit pixels",
    "n": "Frames",
}
OF_MASK = ("view", "rule", "level_percent", "task")
ALL = "all SNRs"
"""In the filter of SNR labels, of rows that are over all of them."""
IN_WHAT = {"view", "rule", "level_percent"}
"""Columns that filter, and stand in the name of a mask already."""


@dataclass(frozen=True)
class Shown:
    """How a table is shown."""

    heads: Mapping[str, str]
    """Column of the file -> head; in this order, and no other columns."""
    filters: tuple[str, ...] = ()
    sort: str | None = None
    """The column whose largest value comes first; None: as in the file."""
    only: Mapping[str, Any] | None = None
    chosen: Mapping[str, str] = field(default_factory=dict)
    """Column -> what its filter shows at first."""
    caption: str = ""


SHOWN = {
    "per_class": Shown(
        {
            "task": "Of the",
            "label": "Class",
            "precision": "Precision",
            "recall": "Recall",
            "f1": "F1",
            "frames": "Frames",
        },
        filters=("task",),
        chosen={"task": "modulation"},
    ),
    "pis": Shown(
        MASKED,
        filters=OF_MASK,
        sort="excess",
        only=DIFFERS,
        chosen={"task": "joint"},
        caption="Intervals: 95 % paired score intervals. Sorted by what a mask costs beyond its "
        "control; a click on a head sorts by it.",
    ),
    "pis_by_modulation": Shown(
        {"modulation": "Modulation"} | MASKED,
        filters=("modulation", *OF_MASK),
        sort="excess",
        only=DIFFERS,
        chosen={"task": "joint"},
    ),
    "pis_by_snr": Shown(
        {"snr_db": "SNR label"} | MASKED,
        filters=("snr_db", *OF_MASK),
        sort="excess",
        only=DIFFERS,
        chosen={"task": "joint"},
    ),
    "pis_by_cell": Shown(
        {
            "modulation": "Modulation",
            "snr_db": "SNR label",
            "what": "Mask",
            "view": "View",
            "rule": "Family",
            "task": "Accuracy of",
            "excess": "Excess",
            "pis": "PIS",
            "control_count_pis": "PIS of control",
            "accuracy_drop": "Accuracy lost",
            "fraction_lit": "Lit pixels",
            "n": "Frames",
        },
        filters=("modulation", "snr_db", "view", "rule", "task"),
        sort="excess",
        chosen={"task": "joint"},
        caption="Of few frames each: where to look, not what to conclude.",
    ),
    "pis_redraw": Shown(
        {
            "snr_db": "SNR label",
            "what": "Mask",
            "view": "View",
            "rule": "Family",
            "level_percent": "Level (%)",
            "task": "Accuracy of",
            "blackout_drop": "Lost by blackout",
            "blackout_drop_interval": "interval",
            "blackout_control_drop": "by its control",
            "redraw_drop": "Lost by redraw",
            "redraw_drop_interval": "interval",
            "redraw_control_drop": "by its control",
            "hole": "Hole: blackout less redraw",
            "likelihood_drop": "Lost by the likelihood",
            "n": "Frames",
            "refused": "Why not redrawn",
        },
        filters=("snr_db", *OF_MASK),
        sort="hole",
        chosen={"snr_db": ALL, "task": "modulation"},
        caption="On the same frames. Blackout leaves a hole, redraw puts symbols there that the "
        "frame could have had. Intervals: 95 % paired score intervals.",
    ),
    "evidence": Shown(
        {
            "method": "Method",
            "snr_db": "SNR label",
            "agreement": "Rank correlation",
            "interval": "95 % interval",
            "frames": "Frames",
            "left_out": "Left out",
        },
        filters=("method", "snr_db"),
        sort="agreement",
        chosen={"snr_db": ALL},
        caption="Over the pixels of the view symbol, frame by frame: 1 where a map ranks them as "
        "the evidence does, 0 where it does not care, below 0 the other way round. Compare a row "
        "with the ceiling, which is what the middles of pixels allow, and with random. It says how "
        "far the model goes by the evidence, not which method is right. Left out: frames in which "
        "nothing can be ranked, most of all at low labels. Intervals by Student's t over frames.",
    ),
    "mask_tuning": Shown(
        {
            "model": "Model",
            "task": "Of the",
            "measure": "Measure",
            "method": "Method",
            "view": "View",
            "level_percent": "Level (%)",
            "snr_db": "SNR label",
            "n": "Frames",
            "value": "Value",
            "interval": "95 % interval",
            "difference": "Less the trained model",
            "difference_interval": "95 % interval",
        },
        filters=("model", "task", "measure", "method", "view", "snr_db"),
        chosen={"task": "modulation", "measure": words.MEASURES["deletion_area"], "snr_db": ALL},
        caption="Trained: the model of this page. Tuned: trained on with random masks. Control: "
        "trained on as long without.",
    ),
    "mask_guards": Shown(
        {
            "model": "Model",
            "task": "Of the",
            "method": "Method",
            "guard": "Guard",
            "value": "Value",
            "interval": "95 % interval",
            "reference": "Reference",
            "fails": "Fails",
            "n": "Frames",
        },
        filters=("model", "task", "method", "guard", "fails"),
        chosen={"model": "trained", "task": "modulation"},
        caption="A guard fails where curves reward something else than a faithful map: blurred "
        "maps that do better than the maps themselves, or masks that alone tell the class.",
    ),
    "counterfactuals": Shown(
        {
            "class": "Class",
            "rival": "Rival",
            "snr_db": "SNR label",
            "order": "Order of the moves",
            "of": "Turned is",
            "frames": "Frames",
            "median": "Median moves",
            "interval": "95 % interval",
            "into_rival": "Into the rival",
            "never": "Never",
            "tested": "Tested",
            "wrong": "Wrong",
            "refused_why": "Why refused",
        },
        filters=("class", "rival", "snr_db", "order", "of"),
        chosen={"snr_db": ALL},
        caption="Symbols move one after the other to a draw from the rival's law, until the class "
        "is no longer predicted. Asked about are frames that are predicted right. A median that is "
        "not there: there is no such frame, or half of them never turn.",
    ),
    "ceiling_summary": Shown(
        {
            "task": "Of the",
            "series": "Who",
            "band": "SNR",
            "accuracy": "Accuracy",
            "gap_points": "Points below the ceiling",
        },
        filters=("task", "band"),
        chosen={"task": "modulation", "band": "all"},
        caption="Means over the SNRs of a band.",
    ),
    "attribution": Shown(
        {
            "task": "Of the",
            "method": "Method",
            "measure": "Measure",
            "n": "Frames",
            "value": "Value",
            "interval": "95 % interval",
            "difference": "Less the random baseline",
            "difference_interval": "95 % interval",
        },
        filters=("task", "method", "measure"),
        chosen={"task": "modulation", "measure": words.MEASURES["deletion_area"]},
    ),
    "attribution_checks": Shown(
        {
            "task": "Of the",
            "method": "Method",
            "check": "Control model",
            "share": "Share of weights",
            "correlation": "Correlation",
            "interval": "95 % interval",
            "n": "Frames",
            "survives": "Survives",
            "null": "Threshold",
        },
        filters=("task", "method", "check", "survives"),
        chosen={"task": "modulation"},
    ),
    "audit_findings": Shown(
        {
            "name": "Found in the frames",
            "figure": "Figure",
            "unit": "Unit",
            "interval": "95 % interval",
            "expected": "Expected",
            "param": "Param",
            "verdict": "Verdict",
        },
        caption="What the frames themselves say of the data, and the param that assumes it.",
    ),
}
"""How each table is shown."""
