"""Pictures of what attribution methods are worth: `measures`, and `curves` behind two of them."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pisces.report.attribution import METHODS
from pisces.report.captions import describe
from pisces.report.style import (
    BOOTSTRAP,
    CAPTION,
    CHANCE_LINE,
    CONTROL_LINE,
    PAGE,
    TASKS,
    Style,
    band,
    fraction_axis,
    handles,
    legend_below,
    percent_axis,
    sizes,
    spread,
)

MEASURES = {
    "deletion_area": "Deletion\narea (%)\nlow is good",
    "insertion_area": "Insertion\narea (%)\nhigh is good",
    "infidelity": "Infidelity\n\nlow is good",
    "sensitivity": "Sensitivity\n\nlow is good",
    "agreement": "Rank correlation\nwith brightness",
    "weights": "... with random\nweights\nlow is good",
    "labels": "... with shuffled\nlabels\nlow is good",
}
CHECKS = ("weights", "labels")
"""The measures that are sanity checks: correlation with a control model."""

THRESHOLD = 0.5
"""`attribution.sanity.THRESHOLD`, which cannot be imported here without torch; a test compares."""

NULL_MARK: Style = {"color": "grey", "marker": "x", "ms": 3, "mew": 0.8, "ls": "", "zorder": 4}

SMALLEST_TICK = 0.1
"""Axes that end below it have few ticks of two digits, which would otherwise run together."""

CURVES = {"deletion": "Lit pixels deleted (%)", "insertion": "Lit pixels inserted (%)"}


# Curves


def curves(rows: pd.DataFrame, measured: pd.DataFrame) -> Figure:
    """Probability of the prediction while pixels go or come in the order of each method.

    Args:
        rows: plots/attribution_curves.csv, `task, method, curve, level_percent, probability,
            ci_low, ci_high`.
        measured: plots/attribution.csv, of which the numbers of frames are told.

    Returns:
        A row a head, a column a curve.
    """
    rows = rows[rows["method"].isin(list(METHODS))]
    tasks = rows["task"].unique()
    kinds = [kind for kind in CURVES if (rows["curve"] == kind).any()]
    figure = Figure((PAGE, 0.9 + 1.6 * len(tasks)))
    grid = figure.subplots(len(tasks), len(kinds), squeeze=False, sharex=True, sharey=True)

    for task, panels in zip(tasks, grid, strict=True):
        for kind, axes in zip(kinds, panels, strict=True):
            here = rows[(rows["task"] == task) & (rows["curve"] == kind)]
            for method, part in here.groupby("method"):
                _draw_curve(axes, str(method), part)
        panels[0].set_ylabel(f"{TASKS[task].label} head\nprobability (%)")
    for kind, axes in zip(kinds, grid[-1], strict=True):
        axes.set_xlabel(CURVES[kind])
        fraction_axis(axes, rows["level_percent"].max())
    percent_axis(grid[0, 0], "y")

    there = set(rows["method"])
    legend_below(figure, handles(mark for name, mark in METHODS.items() if name in there))
    areas = measured[measured["measure"].isin([f"{kind}_area" for kind in kinds])]
    describe(
        figure,
        "Probability of the prediction while lit pixels are deleted or inserted, those that a "
        "method scores highest first",
        f"Shaded: {BOOTSTRAP}, {sizes(areas['n'])} frames",
    )
    return figure


def _draw_curve(axes: Axes, method: str, part: pd.DataFrame) -> None:
    mark = METHODS[method]
    levels, percent = part["level_percent"], 100 * part[["probability", "ci_low", "ci_high"]]
    style: Style = {"color": mark.colour, "marker": mark.marker, "clip_on": False}
    axes.plot(levels, percent["probability"], label=mark.label, **style)
    band(axes, levels, percent["ci_low"], percent["ci_high"], color=mark.colour, alpha=0.12)


# Measures


def join_checks(measures: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """Measures, and those sanity checks in which a control model lacks all knowledge.

    Args:
        measures: plots/attribution.csv.
        checks: plots/attribution_checks.csv.

    Returns:
        `task, method, measure, value, ci_low, ci_high, n, null`; a check is a measure of its name.
    """
    whole = checks[checks["share"] == 1]
    renamed = whole.rename(columns={"check": "measure", "correlation": "value"})
    columns = ["task", "method", "measure", "value", "ci_low", "ci_high", "n", "null"]
    return pd.concat([measures, renamed])[columns]


def measures(rows: pd.DataFrame) -> Figure:
    """How each method does on each measure with its interval: a row of panels a head.

    Dotted is the random ranking, the baseline of all others. The sanity checks have their
    threshold, dashed, and where the rows have a `null`, that as a cross.

    Args:
        rows: `task, method, measure, value, ci_low, ci_high, n, null`; shown are `MEASURES` and
            `METHODS`.
    """
    rows = rows[rows["method"].isin(list(METHODS))]
    tasks = rows["task"].unique()
    shown = [name for name in MEASURES if (rows["measure"] == name).any()]
    methods = [name for name in METHODS if (rows["method"] == name).any()]

    figure = Figure((PAGE, 0.8 + (0.2 + 0.16 * len(methods)) * len(tasks)))
    grid = figure.subplots(len(tasks), len(shown), squeeze=False, sharex="col", sharey=True)
    for task, row in zip(tasks, grid, strict=True):
        for measure, axes in zip(shown, row, strict=True):
            part = rows[(rows["task"] == task) & (rows["measure"] == measure)]
            _draw_measure(axes, measure, part.set_index("method").reindex(methods))

    for measure, axes in zip(shown, grid[-1], strict=True):
        axes.set_xlabel(MEASURES[measure], fontsize=CAPTION)
    labels = [METHODS[method].label for method in methods]
    for task, axes in zip(tasks, grid[:, 0], strict=True):
        axes.set_yticks(range(len(methods)), labels)
        axes.set_ylabel(f"{TASKS[task].label} head")
    grid[0, 0].invert_yaxis()
    describe(figure, *_explained(rows, shown))
    return figure


def _draw_measure(axes: Axes, measure: str, part: pd.DataFrame) -> None:
    """One measure of each method, from top to bottom, and where the random ranking lies."""
    in_percent = measure.endswith("_area")
    values = part[["value", "ci_low", "ci_high"]] * (100 if in_percent else 1)
    reach = spread(values["value"], values["ci_low"], values["ci_high"])
    for y, (method, value) in enumerate(values["value"].items()):
        mark = METHODS[str(method)]
        style: Style = {"fmt": mark.marker, "color": mark.colour, "lw": 1, "capsize": 2}
        axes.errorbar(value, y, xerr=reach[:, [y]], **style)

    if "random" in values.index:
        axes.axvline(values["value"]["random"], **CHANCE_LINE)
    if measure in CHECKS:
        axes.axvline(THRESHOLD, **CONTROL_LINE)
        axes.plot(part["null"], range(len(part)), **NULL_MARK)
    _few_ticks(axes)


def _few_ticks(axes: Axes) -> None:
    if np.abs(axes.get_xlim()).max() < SMALLEST_TICK:
        axes.locator_params(axis="x", nbins=2, steps=[1, 2, 5, 10], min_n_ticks=1)
        axes.xaxis.set_major_formatter("{x:.2g}")
    else:
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter(ScalarFormatter())


def _explained(rows: pd.DataFrame, shown: list[str]) -> list[str]:
    """The sentences of the caption."""
    checks = rows[rows["measure"].isin(CHECKS)]
    counts: dict[str, list[str]] = {}
    for measure in shown:
        n = sizes(rows.loc[rows["measure"] == measure, "n"])
        counts.setdefault(n, []).append(measure.replace("_", " "))
    frames = [f"{n} ({', '.join(of_n)})" for n, of_n in counts.items()]
    sentences = [
        "Every attribution method on every measure",
        f"Bars: {BOOTSTRAP} over frames, {', '.join(frames)}",
        "Dotted: the random ranking",
    ]
    if len(checks):
        sentences.append(f"Dashed: threshold of the sanity checks, {THRESHOLD:g}")
    if checks["null"].notna().any():
        sentences.append("Grey x: mean |rank correlation| between maps of different frames")
    return sentences
