"""The reliability diagram: how often predictions of each confidence are right."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.report.captions import describe
from pisces.report.style import (
    CHANCE_LINE,
    COLUMN,
    TASKS,
    WILSON,
    Style,
    ends_inside,
    legend_below,
    percent_axis,
    spread,
)

STYLES: dict[str, Style] = {
    "as trained": {"color": "0.55", "marker": "s", "ls": "--"},
    "calibrated": {"marker": "o", "ls": "-"},
}
"""Of the probabilities, by their name in the table; the latter in the colour of the task."""


def diagram(rows: pd.DataFrame) -> Figure:
    """Accuracy over confidence of each head, as trained and calibrated, from plots/reliability.csv.

    The further a point is below the diagonal, the surer the model is than it may be.
    """
    tasks = list(rows["task"].unique())
    figure = Figure((COLUMN, COLUMN / 2 + 0.5))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]

    errors = []
    for axes, task in zip(panels, tasks, strict=True):
        mark = TASKS[task]
        axes.plot([0, 100], [0, 100], **CHANCE_LINE)
        for name, of_name in rows[rows["task"] == task].groupby("probabilities", sort=True):
            style = {"color": mark.colour} | STYLES[str(name)]
            numbers = ["confidence", "accuracy", "ci_low", "ci_high"]
            shares = 100 * of_name[numbers]
            reach = spread(*(shares[column] for column in ("accuracy", "ci_low", "ci_high")))
            line: Style = {"ms": 3, "lw": 1, "elinewidth": 0.8, "label": str(name).capitalize()}
            axes.errorbar(shares["confidence"], shares["accuracy"], reach, **style, **line)
            errors.append(f"{mark.label} {name} {_error_percent(of_name):.1f} %")
        axes.set(xlabel="Confidence (%)", title=mark.label)
        percent_axis(axes, "x")
        ends_inside(axes)
        axes.set_aspect("equal")

    panels[0].set_ylabel("Accuracy (%)")
    percent_axis(panels[0], "y")
    names = rows["probabilities"].unique()
    grey: Style = {"color": "0.15", "ms": 3}
    entries = [
        Line2D([], [], label=name.capitalize(), **(grey | style))
        for name, style in STYLES.items()
        if name in names
    ]
    legend_below(figure, entries)

    frames = int(rows[rows["task"] == tasks[0]].groupby("probabilities")["frames"].sum().max())
    describe(
        figure,
        "Share of predictions that are right, over the confidence in them",
        f"Expected calibration error: {', '.join(errors)}",
        f"Bars: {WILSON}, n = {frames} test frames; dotted: as right as sure",
    )
    return figure


def _error_percent(rows: pd.DataFrame) -> float:
    """The expected calibration error of a table of bins, in percent."""
    gaps = (rows["accuracy"] - rows["confidence"]).abs()
    return float(100 * (gaps * rows["frames"]).sum() / rows["frames"].sum())
