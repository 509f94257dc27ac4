"""The tables of the page: which columns of which file, under which heads, sorted by what."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pisces.core.tasks import TASKS
from pisces.report import style
from pisces.report.page import words
from pisces.report.page.charts import records
from pisces.report.page.sources import Sources
from pisces.report.pis import SIGNIFICANT
from pisces.report.pis_regions import Images

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
            "likelihood_drop": "Lost by the likelihood",
            "n": "Frames",
            "refused": "Why not redrawn",
        },
        filters=("snr_db", *OF_MASK),
        sort="blackout_drop",
        chosen={"snr_db": ALL, "task": "modulation"},
        caption="On the same frames. Blackout leaves a hole, redraw puts symbols there that the "
        "frame could have had. Intervals: 95 % paired score intervals.",
    ),
    "evidence": Shown(
        {
            "method": "Method",
            "snr_db": "SNR label",
            "agreement": "Agreement with the evidence",
            "interval": "95 % interval",
            "frames": "Frames",
            "left_out": "Left out",
        },
        filters=("method", "snr_db"),
        sort="agreement",
        chosen={"snr_db": ALL},
        caption="Rank correlation over the pixels of a frame, 1 at best: how much of the evidence "
        "the model goes by, not which method is right. Pixel middle: what pixels allow to know. "
        "Left out: frames in which nothing can be ranked. Bootstrap intervals over frames.",
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
            "refused_why": "Why refused",
        },
        filters=("class", "rival", "snr_db", "order", "of"),
        chosen={"snr_db": ALL},
        caption="Symbols move one after the other to a draw from the rival's law, until the class "
        "is no longer predicted. A median that is not there: more frames never turn.",
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
"""Tables with heads of their own. Others that the page has a place for show all their columns."""

WHOLE = ("mask_tuning", "mask_guards")
LONG = {"what", "expected", "value", "verdict", "refused", "refused_why"}
"""Columns of texts that are broken into lines."""


def all_of(sources: Sources, images: Images, params: Mapping[str, Any]) -> dict[str, Any]:
    """Name of a table -> its columns and rows; without those whose file is missing.

    Args:
        sources: of which they are made.
        images: what the pixels of the masked images stand for.
        params: full name -> value.
    """
    found = {}
    for name, shown in SHOWN.items():
        if name in sources.tables:
            rows = sources.tables[name]
            named = _named_masks(rows, images) if "rule" in rows else rows
            if ALL in shown.chosen.values():
                named = named.assign(snr_db=_labels(named["snr_db"]))
            found[name] = table(_in_words(named), shown)
    for name in WHOLE:
        if name in sources.tables:
            rows = _in_words(sources.tables[name])
            names = list(map(str, rows.columns))
            heads = {column: column.replace("_", " ") for column in names}
            texts = tuple(column for column in names if rows[column].dtype.kind not in "fiu")
            found[name] = table(rows, Shown(heads, filters=texts))
    if "evaluate" in sources.metrics:
        found["accuracy"] = _accuracies(sources.metrics["evaluate"])
    found["params"] = _params(params)
    return found


def table(rows: pd.DataFrame, shown: Shown) -> dict[str, Any]:
    """What tables.js makes a table of.

    Args:
        rows: of the file.
        shown: how; columns that the file lacks are left out.

    Returns:
        As `Table` of tables.js says.
    """
    rows = with_intervals(rows)
    heads = {name: head for name, head in shown.heads.items() if name in rows}
    columns = [
        {
            "name": name,
            "label": head,
            "kind": _kind(rows[name], name),
            "filter": name in shown.filters,
            "hidden": name in IN_WHAT and "what" in heads,
        }
        for name, head in heads.items()
    ]
    values = [list(row.values()) for row in records(rows[list(heads)])]
    only = shown.only if shown.only and shown.only["column"] in heads else None
    return {
        "columns": columns,
        "rows": values,
        "sort": shown.sort if shown.sort in heads else None,
        "only": only,
        "chosen": {name: value for name, value in shown.chosen.items() if name in heads},
        "caption": shown.caption,
    }


def with_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with a text `interval` for each two columns `ci_low` and `ci_high`.

    >>> rows = pd.DataFrame({"pis_ci_low": [0.1234], "pis_ci_high": [2.0]})
    >>> with_intervals(rows)["pis_interval"].tolist()
    ['0.123 to 2']
    """
    found: dict[str, Any] = {}
    for low in rows:
        name = str(low)
        if name.endswith("ci_low"):
            start = name.removesuffix("ci_low")
            ends = zip(rows[name], rows[f"{start}ci_high"], strict=True)
            texts = [None if pd.isna(a + b) else f"{a:.3g} to {b:.3g}" for a, b in ends]
            found[f"{start}interval"] = pd.Series(texts, rows.index, dtype=object)
    return rows.assign(**found)


def _labels(snrs_db: pd.Series) -> pd.Series:
    """SNR labels as text; where there is none a row is over all of them."""
    return snrs_db.map(lambda snr_db: ALL if pd.isna(snr_db) else f"{snr_db:g}").astype(object)


def _in_words(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with methods, measures and orders by the names that people know them by."""
    named = {"method": words.method, "measure": words.measure, "order": words.order}
    changed = {column: map(name, rows[column]) for column, name in named.items() if column in rows}
    return rows.assign(**{column: list(values) for column, values in changed.items()})


def _kind(values: pd.Series, name: str) -> str:
    if values.dtype.kind in "fiu":
        return "number"
    return "long" if name in LONG else "text"


def _named_masks(rows: pd.DataFrame, images: Images) -> pd.DataFrame:
    """The rows with `what` each mask is, and families by the names that people know them by."""
    masks: dict[tuple[str, str], Sequence[str]] = {}
    for (view, rule), part in rows.groupby(["view", "rule"], sort=False):
        masks[str(view), str(rule)] = list(dict.fromkeys(part["mask"]))

    columns = (rows[name] for name in ("view", "rule", "mask", "level_percent"))
    what = [
        words.in_table(words.Named(view, rule, mask, level), masks[view, rule], images)
        for view, rule, mask, level in zip(*columns, strict=True)
    ]
    return rows.assign(what=what, rule=[words.FAMILIES.get(rule, rule) for rule in rows["rule"]])


def _accuracies(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    heads = {
        "task": "Of",
        "accuracy": "Accuracy",
        "interval": "95 % interval",
        "macro_f1": "Macro F1",
    }
    rows = [{"task": style.TASKS[task].label} | dict(evaluation[task]) for task in TASKS]
    return table(pd.DataFrame(rows), Shown(heads, caption=f"{style.WILSON}s."))


def _params(params: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        {"section": name.partition(".")[0], "param": name, "value": _text(value)}
        for name, value in params.items()
    ]
    heads = {"section": "Section", "param": "Param", "value": "Value"}
    return table(pd.DataFrame(rows, columns=list(heads)), Shown(heads, filters=("section",)))


def _text(value: Any) -> str:
    """A value as params.yaml has it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "[]"
    return str(value)
