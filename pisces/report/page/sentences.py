"""The question of a run, and its answer in three sentences made from the numbers."""

import numpy as np
import pandas as pd

from pisces.core.tasks import TASKS
from pisces.core.texts import counted
from pisces.report.page import words
from pisces.report.page.sources import Sources
from pisces.report.pis import SIGNIFICANT
from pisces.report.pis_regions import Images
from pisces.report.style import TASKS as TASK_MARKS
from pisces.report.style import chances

QUESTION = (
    "Which modulation is received, at which SNR, and which part of the constellation made the "
    "model say so?"
)


def answer(sources: Sources, images: Images) -> list[str]:
    """Three sentences: how often the model is right, how far that is from what is possible, and
    which mask costs most beyond its control. One whose numbers are missing says so.

    Args:
        sources: of which they are made.
        images: what the pixels of the masked images stand for.
    """
    return [_accuracy(sources), _ceiling(sources), _mask(sources, images)]


def _percent(share: float) -> str:
    return f"{100 * share:.1f}\u00a0%"  # which no line breaks


def _accuracy(sources: Sources) -> str:
    found, predicted = sources.metrics.get("evaluate"), sources.arrays.get("predictions")
    if found is None or predicted is None:
        return "How often the model is right is not known: metrics/evaluate.json is missing."
    n = len(predicted["frame"])
    chance = chances((len(predicted["modulations"]), len(predicted["snrs_db"])))
    parts = []
    for task in TASKS:
        one = found[task]
        interval = f"{100 * one['ci_low']:.1f} to {100 * one['ci_high']:.1f}"
        name = {"joint": "both"}.get(task, f"the {_lower(TASK_MARKS[task].label)}")
        parts.append(
            f"{name} in {_percent(one['accuracy'])} (95 % interval {interval}, chance "
            f"{_percent(chance[task])})"
        )
    return f"Of {counted(n, 'test frame', spec=',')} the model recognises {_listed(parts)}."


def _lower(name: str) -> str:
    return name if name.isupper() else name.lower()


def _listed(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + f" and {parts[-1]}"


def _ceiling(sources: Sources) -> str:
    rows, limits = sources.tables.get("ceiling"), sources.metrics.get("limits")
    if rows is None or limits is None:
        return "How much is possible is not known: plots/ceiling.csv is missing."
    means = rows[rows["task"] == "modulation"].groupby("series")["accuracy"].mean()
    if not {"ceiling", "model"} <= set(means.index):
        return "No ceiling is known for these modulations: none has constellation points."
    gap = limits["modulation"]["gap_points"]
    text = (
        f"With carrier, timing, SNR and scale known, {_percent(means['ceiling'])} of the "
        f"modulations could be told on average over the SNRs, and the model is {gap:.1f} "
        "percentage points below"
    )
    blind = limits["modulation"].get("blind_gap")
    if blind is not None:
        side = "below" if blind >= 0 else "above"
        text += (
            f"; from a test that knows no more than a receiver finds it is {abs(blind):.1f} "
            f"points {side}"
        )
    return f"{text}."


def costliest(rows: pd.DataFrame, task: str = "joint") -> pd.Series | None:
    """The mask that costs most beyond its control, of those that differ from it; None without one.

    Args:
        rows: plots/pis.csv.
        task: modulation, snr or joint.
    """
    differing = rows[(rows["task"] == task) & (rows["p_count_holm"] < SIGNIFICANT)]
    differing = differing[differing["excess"] > 0]
    if differing.empty:
        return None
    return differing.sort_values("excess").iloc[-1]


def _mask(sources: Sources, images: Images) -> str:
    rows = sources.tables.get("pis")
    if rows is None:
        return "What masks cost is not known: plots/pis.csv is missing."
    row = costliest(rows)
    if row is None:
        return "No mask costs the model more than as many random pixels do, beyond chance."
    of_family = rows[(rows["rule"] == row["rule"]) & (rows["view"] == row["view"])]
    masks = list(dict.fromkeys(of_family["mask"]))
    keys = str(row["view"]), str(row["rule"]), str(row["mask"])
    mask = words.Named(*keys, float(row["level_percent"]))
    interval = _interval(row["excess_ci_low"], row["excess_ci_high"])
    return (
        f"Beyond its control, as many random pixels, most is lost without "
        f"{words.in_sentence(mask, masks, images)}: {_percent(row['fraction_lit'])} of the lit "
        f"pixels, without which both are right in {_percent(row['accuracy'])} instead of "
        f"{_percent(row['accuracy'] + row['accuracy_drop'])} of {row['n']:.0f} frames; an excess "
        f"of {row['excess']:.2f} points for each point of pixels{interval}."
    )


def _interval(low: float, high: float) -> str:
    if not np.isfinite([low, high]).all():
        return ""
    return f" (95 % interval {low:.2f} to {high:.2f})"
