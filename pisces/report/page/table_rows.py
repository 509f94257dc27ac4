"""The rows of each table of the page, in words, for tables.js."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pisces.core.tasks import TASKS
from pisces.report import style
from pisces.report.page import words
from pisces.report.page.charts import records
from pisces.report.page.shown_tables import ALL, IN_WHAT, SHOWN, Shown
from pisces.report.page.sources import Sources
from pisces.report.pis_regions import Images

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
    """The rows with methods, measures, orders and guards by the names that people know them by."""
    named = {
        "method": words.method,
        "measure": words.measure,
        "order": words.order,
        "guard": words.guard,
    }
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
