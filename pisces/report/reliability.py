"""The reliability diagram: how often predictions of each confidence are right."""

import pandas as pd
from matplotlib.figure import Figure

from pisces.report.style import (
    CHANCE_LINE,
    TASKS,
    WILSON,
    Style,
    caption,
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
    figure = Figure((3.4 * len(tasks), 3.4))
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]

    for axes, task in zip(panels, tasks, strict=True):
        mark = TASKS[task]
        axes.plot([0, 100], [0, 100], **CHANCE_LINE)
        for name, of_name in rows[rows["task"] == task].groupby("probabilities", sort=True):
            style = {"color": mark.colour} | STYLES[str(name)]
            numbers = ["confidence", "accuracy", "ci_low", "ci_high"]
            shares = 100 * of_name[numbers]
            reach = spread(*(shares[column] for column in ("accuracy", "ci_low", "ci_high")))
            label = f"{str(name).capitalize()}, ECE {_error_percent(of_name):.1f} %"
            line: Style = {"ms": 4, "lw": 1, "elinewidth": 0.8, "label": label}
            axes.errorbar(shares["confidence"], shares["accuracy"], reach, **style, **line)
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="Confidence (%)", title=mark.label)
        axes.set_aspect("equal")
        axes.legend(frameon=False, loc="upper left")

    panels[0].set_ylabel("Accuracy (%)")
    frames = int(rows[rows["task"] == tasks[0]].groupby("probabilities")["frames"].sum().max())
    caption(figure, f"{WILSON}, n = {frames} test frames; dotted: as right as sure")
    return figure


def _error_percent(rows: pd.DataFrame) -> float:
    """The expected calibration error of a table of bins, in percent."""
    gaps = (rows["accuracy"] - rows["confidence"]).abs()
    return float(100 * (gaps * rows["frames"]).sum() / rows["frames"].sum())
