"""Pictures of experiments beside each other: accuracy over SNR, and differences."""

from collections.abc import Sequence
from itertools import cycle
from textwrap import fill, shorten

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.core.snr_label import SnrLabel
from pisces.core.tasks import TASKS
from pisces.report.captions import describe
from pisces.report.style import (
    CAPTION,
    ESTIMATE,
    MARKERS,
    PAGE,
    ZERO_LINE,
    Mark,
    Style,
    band,
    handles,
    legend_below,
    percent_axis,
    snr_axis,
    snr_ticks,
    spread,
)
from pisces.report.style import TASKS as TASK_MARKS

LINES, MARKER_SIZES = (2.4, 1.0), (5.5, 2.5)
"""Points of the first kind and of the last."""
COLOURS = 10
"""That can be told apart."""
LONGEST = 90
"""Characters of what a kind differs in."""
MEASURES = {
    "joint": ("Joint accuracy", "points"),
    "modulation": ("Modulation accuracy", "points"),
    "snr": ("SNR accuracy", "points"),
    "macro_f1": ("Macro F1, modulation", "points"),
    "mae_db": ("MAE of the SNR", "dB"),
}
ROW, LINE = 0.24, 0.14
"""Inches of a kind in a forest plot, and of its line in a legend."""


def accuracy_over_snr(rows: pd.DataFrame, snr_label: SnrLabel) -> Figure:
    """Accuracy of each kind over the SNR, one panel a task, with its 95 % interval as a band.

    Args:
        rows: `kind, label, seeds, snr_db, task, frames, accuracy, accuracy_low, accuracy_high`, in
            percent.
        snr_label: what the labels mean.
    """
    marks = _marks(rows)
    figure = Figure((PAGE, 2.4 + LINE * len(marks)))
    panels = figure.subplots(1, len(TASKS), sharey=True)
    for axes, task in zip(panels, TASKS, strict=True):
        _curves(axes, rows[rows["task"] == task], marks)
        axes.set_title(TASK_MARKS[task].label)
        axes.set_xlabel(fill(snr_axis(snr_label), 24))
    panels[0].set_ylabel("Test accuracy (%)")
    percent_axis(panels[0], "y")

    seeds = sorted(set(rows["seeds"]))
    over = "the test frames" if seeds == [1] else "seeds and test frames; of one seed over frames"
    describe(
        figure,
        "Accuracy of each kind of experiment on the test part over the SNR",
        f"Bands: 95 % intervals over {over}",
    )
    legend_below(figure, handles(marks.values()), columns=1)
    return figure


def differences(rows: pd.DataFrame) -> Figure:
    """A forest plot: each kind less the first one, one panel a measure, with 95 % intervals.

    Args:
        rows: `kind, label, less, measure, difference, difference_low, difference_high, p_holm`, in
            points of percent or dB. A filled marker says that the adjusted p is below 0.05.
    """
    kinds = list(dict.fromkeys(rows["kind"]))
    figure = Figure((PAGE, 1.2 + ROW * len(kinds)))
    panels = figure.subplots(1, len(MEASURES), sharey=True)
    for axes, (measure, (heading, unit)) in zip(panels, MEASURES.items(), strict=True):
        _forest(axes, rows[rows["measure"] == measure], kinds)
        axes.set_title(fill(heading, 12), fontsize=CAPTION)
        axes.set_xlabel(f"Difference ({unit})", fontsize=CAPTION)
    panels[0].set_yticks(range(len(kinds)), kinds)
    panels[0].set_ylim(len(kinds) - 0.5, -0.5)
    panels[0].set_ylabel("Kind", fontsize=CAPTION)

    less = rows["less"].iloc[0]
    describe(
        figure,
        f"Each kind of experiment less kind {less}, with 95 % intervals",
        "Filled: p below 0.05 after Holm",
        f"Kinds: {'; '.join(_labels(rows).values())}",
    )
    return figure


def _labels(rows: pd.DataFrame) -> dict[str, str]:
    """Kind -> its letter and what it differs in."""
    labels = dict(zip(rows["kind"].astype(str), rows["label"].astype(str), strict=True))
    return {kind: f"{kind} {shorten(label, LONGEST)}".strip() for kind, label in labels.items()}


def _marks(rows: pd.DataFrame) -> dict[str, Mark]:
    """Kind -> how it is drawn."""
    seeds = dict(zip(rows["kind"].astype(str), rows["seeds"], strict=True))
    marks = {}
    series = zip(_labels(rows).items(), cycle(MARKERS), strict=False)
    for number, ((kind, label), marker) in enumerate(series):
        count = "1 seed" if seeds[kind] == 1 else f"{seeds[kind]} seeds"
        marks[kind] = Mark(f"{label} ({count})", f"C{number % COLOURS}", marker)
    return marks


def _curves(axes: Axes, rows: pd.DataFrame, marks: dict[str, Mark]) -> None:
    # Each narrower than those below it, which are so seen on both of its sides.
    widths, sizes = (np.linspace(*ends, len(marks)) for ends in (LINES, MARKER_SIZES))
    for (kind, mark), width, size in zip(marks.items(), widths, sizes, strict=True):
        of_kind = rows[rows["kind"] == kind].sort_values("snr_db")
        x = of_kind["snr_db"]
        low, high = of_kind["accuracy_low"], of_kind["accuracy_high"]
        band(axes, x, low, high, color=mark.colour, alpha=0.18)
        style: Style = {"color": mark.colour, "marker": mark.marker, "lw": width, "ms": size}
        axes.plot(x, of_kind["accuracy"], clip_on=False, **style)
    axes.grid(axis="y", color="0.9", lw=0.6)
    snr_ticks(axes, rows["snr_db"])


def _forest(axes: Axes, rows: pd.DataFrame, kinds: Sequence[str]) -> None:
    axes.axvline(0, **ZERO_LINE)
    lengths = spread(rows["difference"], rows["difference_low"], rows["difference_high"])
    places = [kinds.index(kind) for kind in rows["kind"]]
    axes.errorbar(rows["difference"], places, xerr=lengths, fmt="none", color=ESTIMATE, capsize=2)
    for is_found in (True, False):
        chosen = (rows["p_holm"] < 0.05) == is_found
        where = [place for place, one in zip(places, chosen, strict=True) if one]
        face = ESTIMATE if is_found else "white"
        axes.plot(rows["difference"][chosen], where, "o", ms=5, color=ESTIMATE, mfc=face)
    widest = np.nanmax(np.abs(rows[["difference_low", "difference_high"]].to_numpy()), initial=0)
    if widest > 0:
        axes.set_xlim(-1.15 * widest, 1.15 * widest)
