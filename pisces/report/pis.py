"""Pictures of masks by brightness: examples, Perturbation Impact Scores, degradation, heat map.

Regions have a module of their own, `pis_regions`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.core.snr_label import SnrLabel
from pisces.report.style import (
    CAPTION,
    CHANCE_LINE,
    CONTROL_LINE,
    MASK_COLOURS,
    PAGE,
    PAIRED,
    SIGNED,
    TASKS,
    ZERO_LINE,
    Mark,
    Style,
    band,
    by_family,
    caption,
    chances,
    draw_constellation,
    draw_masked,
    empty_picture,
    fraction_axis,
    handles,
    legend_below,
    marks,
    narrow,
    sizes,
    snr_axis,
    spread,
)

MASKS = marks(
    {"top": "Brightest pixels", "bottom": "Dimmest lit pixels", "random": "Random pixels"},
    MASK_COLOURS,
)

SIGNIFICANT = 0.05
"""Of the p-value of a difference from the count control, Holm-adjusted within its family."""
FILLED = f"filled: differs from its count control, p < {SIGNIFICANT}, Holm-adjusted by family"

SCARCE = 0.01
"""Share of the lit pixels. A PIS divides by that share, and below it may run off any scale."""

SMALLEST_SCALE = 0.1
"""Of a PIS axis: where no accuracy falls, rounding does not set the scale."""


def perturbations(
    images: np.ndarray, masked: Mapping[str, np.ndarray], titles: Sequence[str]
) -> Figure:
    """A sheet of masks: each frame as it is and, beside it, in red what each mask takes.

    Args:
        images: constellations (rows, size, size).
        masked: name of a mask -> its pixels, bool (rows, size, size).
        titles: view, modulation and SNR of each row.

    Returns:
        A row a frame, a column a mask.
    """
    columns = 1 + len(masked)
    tile = min(1.5, 10 / columns)
    figure = Figure((tile * columns, (tile + 0.1) * len(images) + 0.2))
    grid = figure.subplots(len(images), columns, squeeze=False)

    sheet = {"Frame": np.zeros_like(images, bool), **masked}
    for column, (name, masks) in zip(grid.T, sheet.items(), strict=True):
        for axes, image, mask in zip(column, images, masks, strict=True):
            draw_constellation(axes, image, images.max())
            draw_masked(axes, mask)
        column[0].set_title(narrow(name), fontsize=CAPTION)
    for axes, title in zip(grid[:, 0], titles, strict=True):
        axes.set_ylabel(title, fontsize=CAPTION)
    return figure


# By level


class Panel(NamedTuple):
    """The axes of one view and task."""

    axes: Axes
    view: str
    task: str


def _panels(figure: Figure, views: Sequence[str], what: str, over: str) -> list[Panel]:
    """A column of panels a view, a row a task."""
    grid = figure.subplots(len(TASKS), len(views), squeeze=False, sharex=True, sharey="row")
    for axes, view in zip(grid[0], views, strict=True):
        axes.set_title(view, fontsize=9)
    for axes, mark in zip(grid[:, 0], TASKS.values(), strict=True):
        axes.set_ylabel(f"{mark.label}\n{what}")
    for axes in grid[-1]:
        axes.set_xlabel(over, fontsize=CAPTION)
    return [
        Panel(axes, view, task)
        for task, row in zip(TASKS, grid, strict=True)
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


def _level_figure(views: Sequence[str]) -> Figure:
    return Figure((max(3.5, min(PAGE, 0.7 + 1.6 * len(views))), 5.4))


def _mask_legend(figure: Figure, drawn: pd.DataFrame, *others: Line2D) -> None:
    marks = [mark for mask, mark in MASKS.items() if (drawn["mask"] == mask).any()]
    control = Line2D([], [], **CONTROL_LINE, label="Count control")
    legend_below(figure, [*handles(marks), control, *others])


def scores(rows: pd.DataFrame) -> Figure:
    """PIS over the level with its interval: a column a view, a row a task.

    Dashed: as many lit pixels at random. A marker is filled where the accuracy differs from the one
    after this control. Levels under `SCARCE` do not set the scale.

    Args:
        rows: plots/pis.csv.
    """
    drawn = _by_level(rows)
    views = list(rows["view"].unique())
    figure = _level_figure(views)
    scarce = drawn["level_percent"] < 100 * SCARCE

    for panel in _panels(figure, views, "PIS", "Level (% of lit pixels)"):
        axes = panel.axes
        # A little apart, or the intervals would hide each other.
        for shift, (mark, part) in zip((-1, 0, 1), _of_panel(drawn, panel), strict=True):
            draw_scores(axes, part["level_percent"] * 1.06**shift, part, mark, "-")
            axes.plot(part["level_percent"], part["control_count_pis"], **CONTROL_LINE)
        axes.axhline(0, **ZERO_LINE)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        same_scale([axes], drawn[~scarce & (drawn["task"] == panel.task)])

    _mask_legend(figure, drawn)
    beyond = f"; levels under {100 * SCARCE:g} % may leave the panel" if scarce.any() else ""
    caption(figure, f"{_rule(drawn)} masks; {PAIRED}, {frame_count(rows)}; {FILLED}{beyond}")
    return figure


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
    views = list(rows["view"].unique())
    figure = _level_figure(views)
    largest = 100 * drawn["fraction_lit"].max()

    for panel in _panels(figure, views, "accuracy (%)", "Lit pixels taken (%)"):
        for mark, part in _of_panel(drawn, panel):
            _draw_degradation(panel.axes, part, baseline[panel.task], mark)
        panel.axes.axhline(100 * chances(classes)[panel.task], **CHANCE_LINE)
        fraction_axis(panel.axes, largest)
        panel.axes.set_ylim(0, 100)

    _mask_legend(figure, drawn, Line2D([], [], **CHANCE_LINE, label="Chance"))
    caption(figure, f"{_rule(drawn)} masks; {PAIRED} of the drop, {frame_count(rows)}")
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
    style: Style = {"color": mark.colour, "marker": mark.marker, "ms": 3, "lw": 1, "clip_on": False}
    axes.plot(percent, 100 * accuracy, **style)
    low, high = left_by("pis_ci_high"), left_by("pis_ci_low")
    band(axes, percent, low, high, color=mark.colour, alpha=0.15)
    axes.plot(percent, left_by("control_count_pis"), **CONTROL_LINE)


def _rule(drawn: pd.DataFrame) -> str:
    return str(drawn["rule"].iloc[0]).capitalize()


# By cell


def heatmap(
    cells: pd.DataFrame,
    mask: str = "top",
    task: str = "joint",
    snr_label: SnrLabel = "power",
) -> Figure:
    """PIS minus that of the count control in every (modulation, SNR) cell: a panel a view.

    Args:
        cells: plots/pis_by_cell.csv.
        mask: top, bottom or random.
        task: modulation, snr or joint.
        snr_label: what the SNR labels mean.

    Returns:
        SNR to the right, modulations downwards, those of a family together.
    """
    views = cells["view"].unique()
    cells = cells[(cells["mask"] == mask) & (cells["task"] == task)]
    label = MASKS[mask].label
    if cells.empty:
        lacking = f"perturb.rules lacks exact, or perturb.masks {mask}"
        return empty_picture(f"{label} were not masked: {lacking}")
    order = by_family(cells["modulation"])
    snrs_db = np.sort(cells["snr_db"].unique())
    step = 1 + (len(snrs_db) - 1) // 8

    figure = Figure((min(PAGE, 1.9 + 1.5 * len(views)), max(2.2, 1.3 + 0.15 * len(order))))
    panels = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
    style: Style = {"cmap": SIGNED, "norm": CenteredNorm(0, scale_end(cells["excess"]))}
    for axes, view in zip(panels, views, strict=True):
        of_view = cells[cells["view"] == view]
        table = of_view.pivot(index="modulation", columns="snr_db", values="excess")
        values = np.ma.masked_invalid(table.reindex(order, columns=snrs_db))
        image = axes.imshow(values, aspect="auto", interpolation="nearest", **style)
        axes.set_title(view, fontsize=9)
        axes.set_xticks(range(0, len(snrs_db), step), snrs_db[::step], fontsize=7)
        axes.set_yticks(range(len(order)), order, fontsize=7)

    figure.supxlabel(snr_axis(snr_label), fontsize=9)
    figure.colorbar(image, ax=panels, label=f"{TASKS[task].label} PIS over chance")
    levels = " and ".join(f"{level:g} %" for level in np.sort(cells["level_percent"].unique()))
    what = f"{label}, {levels} of the lit pixels, minus their count control"
    caption(figure, f"{what}; only {frame_count(cells)} a cell; grey: undefined")
    return figure


# Also of `pis_regions`


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
