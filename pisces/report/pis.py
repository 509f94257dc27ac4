"""Pictures of masks by brightness: examples, Perturbation Impact Scores, degradation.

Regions and cells have modules of their own, `pis_regions` and `pis_cells`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.core.snr_label import SnrLabel
from pisces.report.captions import describe
from pisces.report.style import (
    CAPTION,
    CHANCE_LINE,
    COLUMN,
    CONTROL_LINE,
    MASK_COLOURS,
    NAMES,
    PAGE,
    PAIRED,
    TASKS,
    ZERO_LINE,
    Mark,
    Style,
    band,
    chances,
    draw_constellation,
    draw_masked,
    fraction_axis,
    handles,
    legend_below,
    marks,
    name_row,
    narrow,
    percent_axis,
    sizes,
    snr_named,
    spread,
)

MASKS = marks(
    {"top": "Brightest pixels", "bottom": "Dimmest lit pixels", "random": "Random pixels"},
    MASK_COLOURS,
)

SIGNIFICANT = 0.05
"""Of the p-value of a difference from the count control, Holm-adjusted within its family."""
FILLED = (
    f"Filled: differs from its count control, as many lit pixels at random, p < {SIGNIFICANT}, "
    "Holm-adjusted"
)

SCARCE = 0.01
"""Share of the lit pixels. A PIS divides by that share, and below it may run off any scale."""

ALL_RIGHT = 0.995
"""Accuracy from which a task is not drawn when no mask brings it lower."""

APART = 1.6
"""Factor between levels, below which their intervals would lie on each other."""

SMALLEST_SCALE = 0.1
"""Of a PIS axis: where no accuracy falls, rounding does not set the scale."""


def perturbations(
    images: np.ndarray,
    masked: Mapping[str, np.ndarray],
    titles: Sequence[str],
    snr_label: SnrLabel = "power",
) -> Figure:
    """A sheet of masks: each frame as it is and, beside it, in red what each mask takes.

    Args:
        images: constellations (rows, size, size).
        masked: name of a mask -> its pixels, bool (rows, size, size).
        titles: view, modulation and SNR of each row.
        snr_label: what the SNR labels mean.

    Returns:
        A row a frame, a column a mask.
    """
    columns = 1 + len(masked)
    tile = min(1, (PAGE - NAMES) / columns)
    size = (max(COLUMN, NAMES + tile * columns), 0.5 + tile * len(images))
    figure = Figure(size)
    grid = figure.subplots(len(images), columns, squeeze=False)

    sheet = {"Frame": np.zeros_like(images, bool), **masked}
    for column, (name, masks) in zip(grid.T, sheet.items(), strict=True):
        for axes, image, mask in zip(column, images, masks, strict=True):
            draw_constellation(axes, image, images.max())
            draw_masked(axes, mask)
        column[0].set_title(narrow(name), fontsize=CAPTION, pad=3)
    for axes, title in zip(grid[:, 0], titles, strict=True):
        name_row(axes, snr_named(title, snr_label))
    describe(
        figure,
        "What masks take of a few test frames, in red; dark pixels hold no point",
        "Levels in percent of the lit pixels",
    )
    return figure


# By level


class Panel(NamedTuple):
    """The axes of one view and task."""

    axes: Axes
    view: str
    task: str


def _panels(drawn: pd.DataFrame, what: str, over: str) -> tuple[Figure, list[Panel]]:
    """A figure with a column of panels a view, a row a task that tells something."""
    views, tasks = list(drawn["view"].unique()), _telling(drawn)
    width = COLUMN if len(views) <= 2 else PAGE
    figure = Figure((width, 0.8 + 1.1 * len(tasks)))
    grid = figure.subplots(len(tasks), len(views), squeeze=False, sharex=True, sharey="row")
    for axes, view in zip(grid[0], views, strict=True):
        axes.set_title(view)
    for axes, task in zip(grid[:, 0], tasks, strict=True):
        axes.set_ylabel(f"{TASKS[task].label}\n{what}")
    for axes in grid[-1]:
        axes.set_xlabel(over)
    figure.align_ylabels()
    return figure, [
        Panel(axes, view, task)
        for task, row in zip(tasks, grid, strict=True)
        for view, axes in zip(views, row, strict=True)
    ]


def _by_level(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of masks by brightness of one rule: exact, where the table has it."""
    rule = "exact" if (rows["rule"] == "exact").any() else "percentile"
    drawn = rows[(rows["rule"] == rule) & rows["mask"].isin(list(MASKS))]
    return drawn.sort_values("level_percent", kind="stable")


def _of_panel(drawn: pd.DataFrame, panel: Panel) -> Iterator[tuple[Mark, pd.DataFrame]]:
    """The rows of one view and task, mask by mask."""
    here = drawn[(drawn["view"] == panel.view) & (drawn["task"] == panel.task)]
    for mask, mark in MASKS.items():
        yield mark, here[here["mask"] == mask]


def _telling(drawn: pd.DataFrame) -> list[str]:
    """The tasks, less SNR and joint where no mask costs the SNR anything.

    The joint task is then the modulation once more.
    """
    of_snr = drawn.loc[drawn["task"] == "snr", "accuracy"]
    all_right = len(of_snr) > 0 and (of_snr >= ALL_RIGHT).all()
    return ["modulation"] if all_right else list(TASKS)


def _left_out(drawn: pd.DataFrame) -> str:
    """What a caption says of the tasks that `_telling` leaves out."""
    if len(_telling(drawn)) == len(TASKS):
        return ""
    whatever = f"right in {100 * ALL_RIGHT:g} % of the frames and more, whatever is masked"
    return f"Not drawn: the SNR, {whatever}, and the joint task, which is then the modulation"


def _mask_legend(figure: Figure, drawn: pd.DataFrame, *others: Line2D) -> None:
    marks = [mark for mask, mark in MASKS.items() if (drawn["mask"] == mask).any()]
    control = Line2D([], [], **CONTROL_LINE, label="Count control")
    legend_below(figure, [*handles(marks), control, *others])


def scores(rows: pd.DataFrame) -> Figure:
    """PIS over the level with its interval: a column a view, a row a task.

    Dashed: as many lit pixels at random. A marker is filled where the accuracy differs from the one
    after this control. Shown are levels that stand apart, from `SCARCE` on: intervals at less would
    leave nothing of the scale to the others.

    Args:
        rows: plots/pis.csv.
    """
    every = _by_level(rows)
    drawn = every[every["level_percent"].isin(_shown_levels(every["level_percent"]))]
    figure, panels = _panels(drawn, "PIS", "Level (% of lit pixels)")

    for panel in panels:
        axes = panel.axes
        # A little apart, or the intervals would hide each other.
        for shift, (mark, part) in zip((-1, 0, 1), _of_panel(drawn, panel), strict=True):
            draw_scores(axes, part["level_percent"] * 1.12**shift, part, mark, "-")
            axes.plot(part["level_percent"], part["control_count_pis"], **CONTROL_LINE)
        axes.axhline(0, **ZERO_LINE)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        same_scale([axes], drawn[drawn["task"] == panel.task])

    _mask_legend(figure, drawn)
    levels = ", ".join(f"{level:g}" for level in sorted(drawn["level_percent"].unique()))
    describe(
        figure,
        f"Perturbation impact score over the level, {_rule(drawn).lower()} masks at {levels} %",
        f"Bars: {PAIRED}, {frame_count(drawn)}",
        FILLED,
        _left_out(drawn),
    )
    return figure


def _shown_levels(levels: pd.Series) -> list[float]:
    """Of levels in percent, from the largest down, those that are `APART` and not `SCARCE`."""
    shown: list[float] = []
    for level in sorted(levels.unique(), reverse=True):
        if not shown or (level >= 100 * SCARCE and shown[-1] / level >= APART):
            shown.append(level)
    return shown


def degradation(
    rows: pd.DataFrame, baseline: Mapping[str, float], classes: tuple[int, int]
) -> Figure:
    """Accuracy over the realised fraction of masked lit pixels: a column a view, a row a task.

    The bands are the intervals of the drop. Dashed: count controls, which take as many pixels.

    Args:
        rows: plots/pis.csv.
        baseline: task -> accuracy, 0..1, where nothing is masked.
        classes: numbers of modulations and of SNRs, for the lines of chance.

    Returns:
        Accuracy in percent over percent of the lit pixels.
    """
    drawn = _by_level(rows)
    figure, panels = _panels(drawn, "accuracy (%)", "Lit pixels taken (%)")
    largest = 100 * drawn["fraction_lit"].max()

    for panel in panels:
        for mark, part in _of_panel(drawn, panel):
            _draw_degradation(panel.axes, part, baseline[panel.task], mark)
        panel.axes.axhline(100 * chances(classes)[panel.task], **CHANCE_LINE)
        fraction_axis(panel.axes, largest)
        percent_axis(panel.axes, "y")

    _mask_legend(figure, drawn, Line2D([], [], **CHANCE_LINE, label="Chance"))
    describe(
        figure,
        f"Accuracy over the fraction of lit pixels taken, {_rule(drawn).lower()} masks",
        f"Shaded: {PAIRED} of the drop, {frame_count(drawn)}",
        "Dashed: as many lit pixels at random",
        _left_out(drawn),
    )
    return figure


def _draw_degradation(axes: Axes, part: pd.DataFrame, baseline: float, mark: Mark) -> None:
    """One mask: accuracy from the baseline on, the interval of its drop, and its count control."""
    fraction = np.concatenate([[0], part["fraction_lit"]])
    accuracy = np.concatenate([[baseline], part["accuracy"]])

    def left_by(score: str) -> np.ndarray:
        """Accuracy in percent after the drop that a PIS stands for."""
        drop = np.concatenate([[0], part[score]]) * fraction
        return 100 * (baseline - drop)

    percent = 100 * fraction
    style: Style = {"color": mark.colour, "marker": mark.marker, "ms": 3, "clip_on": False}
    axes.plot(percent, 100 * accuracy, **style)
    low, high = left_by("pis_ci_high"), left_by("pis_ci_low")
    band(axes, percent, low, high, color=mark.colour, alpha=0.15)
    axes.plot(percent, left_by("control_count_pis"), **CONTROL_LINE)


def _rule(drawn: pd.DataFrame) -> str:
    return str(drawn["rule"].iloc[0]).capitalize()


# Also of regions and cells


def draw_scores(
    axes: Axes, x: pd.Series | np.ndarray, part: pd.DataFrame, mark: Mark, line: str
) -> None:
    """Draws PIS with its interval, filled where it differs from its count control.

    Args:
        axes: where to draw.
        x: place of each score, (n,).
        part: n rows of plots/pis.csv.
        mark: colour and marker.
        line: how scores are joined, as matplotlib writes it; "none": not at all.
    """
    reach = spread(part["pis"], part["pis_ci_low"], part["pis_ci_high"])
    axes.errorbar(x, part["pis"], reach, fmt=line, color=mark.colour, lw=1, capsize=1.5)

    faces = [mark.colour if p < SIGNIFICANT else "white" for p in part["p_count_holm"]]
    style: Style = {"edgecolors": mark.colour, "marker": mark.marker, "linewidths": 0.9}
    axes.scatter(x, part["pis"], 14, c=faces, zorder=3, **style)


def same_scale(panels: Sequence[Axes], rows: pd.DataFrame) -> None:
    """The same limits for all, from 0 and from the intervals and controls of the rows."""
    ends = rows[["pis_ci_low", "pis_ci_high", "control_count_pis"]]
    low = min(0, ends.min().min())
    high = max(SMALLEST_SCALE, ends.max().max())
    margin = 0.06 * (high - low)
    for axes in panels:
        axes.set_ylim(low - margin, high + margin)


def scale_end(values: pd.Series) -> float:
    """Where a scale around 0 ends: the largest magnitude, or 1 where all is 0 or undefined."""
    magnitude = values.abs().max()
    return float(magnitude) if magnitude > 0 else 1


def frame_count(rows: pd.DataFrame) -> str:
    """How many frames are behind the rows, for a caption: "n = 90 frames"."""
    return f"{sizes(rows['n'])} frames"
