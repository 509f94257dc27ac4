"""The picture of how well anyone could do: a model beside references, ceilings and chance."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.core.snr_label import SnrLabel
from pisces.report.captions import describe
from pisces.report.style import (
    CHANCE_LINE,
    ESTIMATOR_COLOURS,
    PAGE,
    TASKS,
    WILSON,
    Style,
    band,
    legend_below,
    percent_axis,
    sizes,
    snr_axis,
    snr_ticks,
    spread,
)

CEILING_LABELS = {
    "matched-filter bound": "Matched-filter bound",
    "ceiling": "Ceiling, all known",
    "blind": "Blind reference",
    "model": "Model",
    "cumulants": "Cumulants",
    "noise floor": "Noise floor",
    "m2m4": "M2M4",
    "chance": "Chance",
}
CEILING_LINES: dict[str, Style] = {
    "matched-filter bound": {"lw": 1.2, "ls": "--", "zorder": 2.5},
    "ceiling": {"lw": 2.2, "zorder": 2},
    "blind": {"marker": "v", "ms": 3.5, "lw": 1.5},
    "model": {"marker": "o", "ms": 5, "lw": 1.2, "zorder": 3},
    "cumulants": {"marker": "s", "ms": 3.5, "lw": 1, "ls": "--"},
    "noise floor": {"marker": "D", "ms": 3, "lw": 1, "ls": "--"},
    "m2m4": {"marker": "^", "ms": 3.5, "lw": 1, "ls": "--"},
    "chance": CHANCE_LINE,
}
"""Several often lie on each other: widths and markers differ for that."""

MEANINGS = {
    "matched-filter bound": "no receiver exceeds it, each symbol received without the others",
    "ceiling": "likelihood test with carrier, timing, SNR and scale known",
    "blind": "likelihood test with no more known than a receiver finds",
    "cumulants": "nearest fourth-order cumulants",
    "noise floor": "SNR from the power outside the band",
    "m2m4": "SNR from the second and fourth moment",
}
"""Of the series whose name says too little."""
NEVER_CONFUSED = (
    "OQPSK and classes without constellation points count as always right in ceilings and blind "
    "reference, and as always wrong in the cumulants"
)

REFERENCE_ORDER = 4
"""Above the ceiling and the model."""


def ceiling(rows: pd.DataFrame, snr_label: SnrLabel = "power") -> Figure:
    """Accuracy over the SNR label of a model, references, chance and ceilings, a panel a task.

    Args:
        rows: `snr_db, task, series, accuracy, ci_low, ci_high, n`, accuracies as shares of 1;
            `series` are keys of `CEILING_LABELS`.
        snr_label: what the labels mean.
    """
    figure = Figure((PAGE, 2.5))
    tasks = [task for task in TASKS if (rows["task"] == task).any()]
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        of_task = rows[rows["task"] == task]
        for series, part in of_task.groupby("series"):
            _ceiling_curve(axes, str(series), part)
        _whiskers(axes, of_task[of_task["series"] == "blind"])
        axes.set(xlabel=snr_axis(snr_label), title=TASKS[task].label)
        snr_ticks(axes, rows["snr_db"])
    panels[0].set_ylabel("Accuracy (%)")
    percent_axis(panels[0], "y")

    there = set(rows["series"])
    entries = [
        Line2D([], [], **_ceiling_style(series), label=label)
        for series, label in CEILING_LABELS.items()
        if series in there
    ]
    legend_below(figure, entries, columns=4)
    explained = [f"{CEILING_LABELS[one]}: {text}" for one, text in MEANINGS.items() if one in there]
    describe(
        figure,
        "Accuracy over the SNR of a model, of references without trained numbers and of ceilings",
        *explained,
        NEVER_CONFUSED if "modulation" in tasks else "",
        f"Shaded: {WILSON}s; {_ceiling_sizes(rows)}",
        "Bars: that of the blind reference" if "blind" in there else "",
        _above_bound(rows),
    )
    return figure


def _whiskers(axes: Axes, blind: pd.DataFrame) -> None:
    """Intervals as bars, of the reference that has fewer frames than the model beside it."""
    style: Style = {"fmt": "none", "ecolor": ESTIMATOR_COLOURS["blind"], "elinewidth": 0.8}
    reach = 100 * spread(blind["accuracy"], blind["ci_low"], blind["ci_high"])
    axes.errorbar(blind["snr_db"], 100 * blind["accuracy"], reach, capsize=2, **style)


def _above_bound(rows: pd.DataFrame) -> str:
    """What to make of a blind reference above what no receiver exceeds; empty where there is none.

    Both are shares of few frames, and of different ones.
    """
    modulation = rows[rows["task"] == "modulation"].set_index(["series", "snr_db"])
    if not {"blind", "matched-filter bound"} <= set(modulation.index.get_level_values("series")):
        return ""
    blind, bound = modulation.loc["blind"], modulation.loc["matched-filter bound"]
    bound = bound.reindex(blind.index)
    above = blind["accuracy"] > bound["accuracy"]
    by_chance = blind["ci_low"] <= bound["ci_high"]
    if not above.any():
        return ""
    labels = ", ".join(f"{snr_db:g}" for snr_db in blind.index[above])
    if not by_chance[above].all():
        return f"The blind reference exceeds the bound at label {labels}, which chance hardly does"
    return (
        f"The blind reference stands above the bound at label {labels} by chance: their intervals "
        "overlap, and each has frames of its own"
    )


def _ceiling_sizes(rows: pd.DataFrame) -> str:
    """How many frames stand behind a point of each kind of series, in words."""
    counts = {series: sizes(of_one) for series, of_one in rows.groupby("series")["n"]}
    words = [f"model and references: {counts['model']} frames a point"]
    if "blind" in counts:
        words.append(f"blind reference: {counts['blind']}")
    words.append(f"ceiling: {counts['ceiling']} simulated frames")
    return "; ".join(words)


def _ceiling_curve(axes: Axes, series: str, part: pd.DataFrame) -> None:
    own = _ceiling_style(series)
    style: Style = {"zorder": REFERENCE_ORDER, "clip_on": False} | own
    axes.plot(part["snr_db"], 100 * part["accuracy"], **style, label=CEILING_LABELS[series])
    low, high = 100 * part["ci_low"], 100 * part["ci_high"]
    band(axes, part["snr_db"], low, high, color=own["color"], alpha=0.15)


def _ceiling_style(series: str) -> Style:
    """The line of a series in its colour."""
    return {"color": ESTIMATOR_COLOURS[series], **CEILING_LINES[series]}
