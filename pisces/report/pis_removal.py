"""The picture of what masks cost by blackout, by redraw, and the likelihood."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.report.captions import describe
from pisces.report.pis import SIGNIFICANT, frame_count
from pisces.report.style import (
    CAPTION,
    COLUMN,
    PAIRED,
    REMOVAL_COLOURS,
    ZERO_LINE,
    Mark,
    Style,
    empty_picture,
    handles,
    legend_below,
    marks,
    spread,
)

REMOVALS = marks(
    {"blackout": "Blackout", "redraw": "Redraw", "likelihood": "Likelihood"}, REMOVAL_COLOURS
)
RULES = {
    "exact": "Random (% of lit pixels)",
    "ring": "Ring (1: centre)",
    "sector": "Sector (1: about the I axis)",
    "window": "Window (first row-column)",
}
"""Masks that can be redrawn, and what stands over their panel."""

RANDOM_LEVELS = (1, 5, 10, 25, 50)
"""Of random masks those that are drawn, where there are some: others would hide each other."""

SCARCE = 0.02
"""Share of the points; regions with less are not drawn."""


def removals(rows: pd.DataFrame) -> Figure:
    """Accuracy of the modulation that masks of `symbol` cost, a panel a kind of mask.

    Each mask has its drop by blackout, by redraw and that of the likelihood, with intervals; short
    lines are the controls. A marker is filled where mask and control differ.

    Args:
        rows: plots/pis_redraw.csv.

    Returns:
        Points of accuracy lost; a picture that says why where nothing was redrawn.
    """
    drawn = _drawn(rows)
    if drawn.empty:
        return empty_picture("No masks were redrawn:\nsee pis.removal and data/pis.npz")
    rules = [rule for rule in RULES if (drawn["rule"] == rule).any()]
    figure = Figure((COLUMN, 0.7 + 1.25 * len(rules)))
    grid = figure.subplots(len(rules), 1, squeeze=False, sharey=True)[:, 0]
    for axes, rule in zip(grid, rules, strict=True):
        _draw_rule(axes, drawn[drawn["rule"] == rule], rule)
        axes.set_ylabel("Points lost")

    shown = [mark for name, mark in REMOVALS.items() if f"{name}_drop" in drawn.dropna(axis=1)]
    control = Line2D([], [], color="dimgrey", marker="_", ls="", ms=6, label="Control")
    legend_below(figure, [*handles(shown, line=""), control], columns=4)
    describe(
        figure,
        "Accuracy of the modulation lost without masked symbols of the view symbol: by blackout of "
        "their pixels, by redraw from the law given all others, and by the likelihood, which is "
        "given the others alone",
        f"Bars: {PAIRED}, the same {frame_count(drawn)}",
        f"Filled: differs from the control, as many symbols at random, p < {SIGNIFICANT}, "
        "Holm-adjusted; of random masks and of the likelihood nothing is tested",
        f"Not drawn: regions with less than {100 * SCARCE:g} % of the points",
    )
    return figure


def _drawn(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows over all frames of masks that were redrawn."""
    random = (rows["rule"] == "exact") & rows["level_percent"].isin(RANDOM_LEVELS)
    if not random.any():
        random = rows["rule"] == "exact"
    regions = (rows["rule"] != "exact") & (rows["fraction_points"] >= SCARCE)
    chosen = rows["rule"].isin(list(RULES)) & (random | regions)
    redrawn = rows["redraw_drop"].notna() & rows["snr_db"].isna()
    return rows[chosen & redrawn & (rows["task"] == "modulation")]


def _draw_rule(axes: Axes, part: pd.DataFrame, rule: str) -> None:
    """One kind of mask, its masks side by side."""
    x = np.arange(len(part))
    for shift, (name, mark) in zip((-0.25, 0, 0.25), REMOVALS.items(), strict=True):
        _draw_removal(axes, x + shift, part, name, mark)
    axes.axhline(0, **ZERO_LINE)
    axes.set_xlim(-0.6, len(part) - 0.4)
    axes.set_title(RULES[rule], fontsize=CAPTION, pad=3)

    names = [f"{level:g}" for level in part["level_percent"]] if rule == "exact" else part["mask"]
    step = 1 + len(part) // 9
    axes.set_xticks(x[::step], list(names)[::step], fontsize=CAPTION)


def _draw_removal(axes: Axes, x: np.ndarray, part: pd.DataFrame, name: str, mark: Mark) -> None:
    """The drops of one removal with intervals and, short lines, those of its control."""
    interval = "likelihood" if name == "likelihood" else f"{name}_drop"
    drop, control = 100 * part[f"{name}_drop"], 100 * part[f"{name}_control_drop"]
    low, high = 100 * part[f"{interval}_ci_low"], 100 * part[f"{interval}_ci_high"]
    bars = spread(drop, low, high)
    axes.errorbar(x, drop, bars, fmt="none", color=mark.colour, lw=0.9, capsize=1.2)

    of_family = f"{name}_p_holm"
    p = part[of_family] if of_family in part else pd.Series(np.nan, part.index)
    faces = [mark.colour if one < SIGNIFICANT else "white" for one in p]
    style: Style = {"edgecolors": mark.colour, "marker": mark.marker, "linewidths": 0.8}
    axes.scatter(x, drop, 10, c=faces, zorder=3, **style)
    axes.plot(x, control, ls="", marker="_", ms=6, mew=1, color=mark.colour, alpha=0.6)
