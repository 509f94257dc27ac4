"""The picture of Perturbation Impact Scores of regions: rings, sectors, clusters and windows."""

from collections.abc import Mapping
from math import ceil
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.report.captions import describe
from pisces.report.pis import (
    FILLED,
    SCARCE,
    SIGNIFICANT,
    draw_scores,
    frame_count,
    same_scale,
    scale_end,
)
from pisces.report.style import (
    CAPTION,
    PAGE,
    PAIRED,
    REGION_COLOURS,
    SIGNED,
    TASKS,
    ZERO_LINE,
    Style,
    empty_picture,
    ends_inside,
    handles,
    legend_below,
    marks,
)

REGIONS = marks({"ring": "Ring", "sector": "Sector", "cluster": "Cluster"}, REGION_COLOURS)
HEADS = {"ring": "Ring (1: centre)", "sector": "Sector (degrees)"}
"""Over the points of regions whose label alone would not say how to read their ticks."""

HOLLOW: Style = {"color": "grey", "marker": "o", "mfc": "none", "ms": 3, "ls": ""}
"""The count control of a region."""


class Images(NamedTuple):
    """What the pixels of the masked images stand for."""

    size: int
    """Pixels along each side."""
    extents: Mapping[str, float]
    """View -> half of the side of its image, in dB for `noise` and in RMS units else."""
    window: float
    """Side of a window, as a share of that of the image."""


def regions(rows: pd.DataFrame, images: Images, task: str = "joint") -> Figure:
    """PIS of parts of the constellation for one task, a row a view.

    Rings, sectors and clusters are points with their interval and, hollow, their count control;
    beside them a map of the windows. Where the accuracy differs from the one after the control, a
    point is filled, and a window has a dot. All views share one scale. Regions with less than
    `SCARCE` of the lit pixels are not drawn, since their intervals would leave it.

    Args:
        rows: plots/pis.csv.
        images: of which the windows are parts.
        task: modulation, snr or joint.
    """
    rows = rows[(rows["task"] == task) & rows["rule"].isin([*REGIONS, "window"])]
    if rows.empty:
        return empty_picture("No regions were masked:\nperturb.regions is empty")
    views = list(rows["view"].unique())
    figure = Figure((PAGE, 0.8 + 1.3 * len(views)))
    grid = figure.subplots(len(views), 2, squeeze=False, width_ratios=(3, 1))
    points, maps = grid.T
    label = TASKS[task].label

    of_windows = rows["rule"] == "window"
    parts, windows = rows[~of_windows], rows[of_windows]
    for axes, view in zip(points, views, strict=True):
        _region_points(axes, parts[parts["view"] == view])
        axes.set_ylabel(f"{view}\n{label} PIS")
    same_scale(points, parts[parts["fraction_lit"] >= SCARCE])
    _window_maps(figure, dict(zip(views, maps, strict=True)), windows, images)

    marks = [mark for rule, mark in REGIONS.items() if (rows["rule"] == rule).any()]
    if marks:
        control = Line2D([], [], **HOLLOW, label="Count control")
        legend_below(figure, [*handles(marks, line=""), control])
    describe(
        figure,
        f"{label} perturbation impact score of regions of each view, left: rings, sectors and "
        "clusters; right: windows of the constellation",
        f"Bars: {PAIRED}, {frame_count(rows)}",
        f"{FILLED}; of windows: with a dot",
        f"Not drawn, or grey: regions with less than {100 * SCARCE:g} % of the lit pixels",
    )
    return figure


def _region_points(axes: Axes, part: pd.DataFrame) -> None:
    """The rings, sectors and clusters of one view side by side, with gaps between the kinds."""
    if part.empty:
        axes.set_axis_off()
        return
    ticks: list[tuple[int, str]] = []
    start = 0
    for rule, mark in REGIONS.items():
        group = part[part["rule"] == rule]
        if group.empty:
            continue
        step = 2 if rule == "cluster" else 1  # their names are long
        x = start + step * np.arange(len(group))
        enough = (group["fraction_lit"] >= SCARCE).to_numpy()
        draw_scores(axes, x[enough], group[enough], mark, "none")
        axes.plot(x[enough] + 0.25, group["control_count_pis"][enough], **HOLLOW)
        ticks += _region_ticks(rule, x, list(group["mask"]))
        place = axes.get_subplotspec()
        assert place is not None, "a panel is in a grid"
        if place.is_first_row():
            _head(axes, x.mean(), HEADS.get(rule, mark.label))
        start = x[-1] + 2
    axes.axhline(0, **ZERO_LINE)
    axes.set_xlim(-0.8, ticks[-1][0] + 0.8)
    places, names = zip(*ticks, strict=True)
    axes.set_xticks(places, names, fontsize=CAPTION)


def _region_ticks(rule: str, x: np.ndarray, names: list[str]) -> list[tuple[int, str]]:
    """Places and names of ticks, as many as stand apart: sectors in degrees, at most four."""
    if rule == "sector":
        degrees = [f"{360 * k / len(x):.0f}" for k in range(len(x))]
        return list(zip(x, degrees, strict=True))[:: ceil(len(x) / 4)]
    return list(zip(x, names, strict=True))[:: 1 + len(x) // 12]


def _head(axes: Axes, x: float, text: str) -> None:
    """A heading over a part of a panel, centred on x."""
    style: Style = {"ha": "center", "va": "bottom", "fontsize": CAPTION}
    axes.text(x, 1.03, text, transform=axes.get_xaxis_transform(), **style)


def _window_maps(
    figure: Figure, panels: dict[str, Axes], rows: pd.DataFrame, images: Images
) -> None:
    """PIS of the windows of each view, at their places, on one scale of colours."""
    places = rows["mask"].str.extract("(?P<row>[0-9]+)-(?P<column>[0-9]+)").astype(int)
    enough = rows["fraction_lit"] >= SCARCE
    rows = rows.assign(**places, shown=rows["pis"].where(enough))
    norm = CenteredNorm(0, scale_end(rows["shown"]))

    for view, axes in panels.items():
        windows = rows[rows["view"] == view].pivot(index="row", columns="column")
        if windows.empty:
            axes.set_axis_off()
            continue
        shown, half = windows["shown"], images.extents[view]
        left, right = _ends(shown.columns, images)
        top, bottom = _ends(shown.index, images)
        # Row 0 holds the largest Q.
        extent = (half * left, half * right, -half * bottom, -half * top)
        image = axes.imshow(np.ma.masked_invalid(shown), cmap=SIGNED, norm=norm, extent=extent)

        row, column = np.nonzero(windows["p_count_holm"] < SIGNIFICANT)
        x = half * (left + (column + 0.5) * (right - left) / shown.shape[1])
        y = -half * (top + (row + 0.5) * (bottom - top) / shown.shape[0])
        axes.plot(x, y, "o", color="black", ms=2.5, mec="white", mew=0.4)

        unit = "dB" if view == "noise" else "RMS"
        axes.set(xlabel=f"In-phase ({unit})", ylabel=f"Quadrature\n({unit})")
        axes.set_xticks([-half, 0, half])
        axes.set_yticks([-half, 0, half])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter("{x:g}")
        ends_inside(axes)
    if len(rows):
        shrink = min(1, 2 / len(panels))
        figure.colorbar(image, ax=list(panels.values()), label="PIS of a window", shrink=shrink)


def _ends(starts: pd.Index, images: Images) -> tuple[float, float]:
    """Where a map of windows begins and ends, from -1 to 1 over the side of the image.

    Each window is drawn around its centre, as wide as they are apart.
    """
    centres = (starts.to_numpy() + images.window * images.size / 2) * 2 / images.size - 1
    apart = np.ptp(centres) / (len(centres) - 1) if len(centres) > 1 else 2 * images.window
    return centres[0] - apart / 2, centres[-1] + apart / 2
