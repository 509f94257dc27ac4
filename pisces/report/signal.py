"""The picture of one signal of a recording: what the model saw, and what its answer hangs on.

It has a heading, since it lies by itself beside a recording and not beside a file of captions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.report.captions import describe
from pisces.report.style import (
    MASKED,
    RECEIVED,
    WITHOUT_REGION,
    draw_constellation,
    draw_masked,
)

TILE = 1.15
"""Side of a constellation in inches: two of them and the bars make a column of 88 mm."""
NAMES = 0.5
"""Room for the names of modulations, in inches."""
BARS = 5
"""Modulations whose probabilities are drawn."""
SMALL = 7
"""Font size in points, which can be read at the width of a column."""
DOTS_PER_INCH = 300
"""Of a picture so small."""


class Signal(NamedTuple):
    """What is drawn of a signal."""

    title: str
    views: Sequence[str]
    images: np.ndarray
    """Points in each pixel, (views, size, size)."""
    view: str
    """Whose pixels are masked..."""
    region: str
    """...and what these are called."""
    pixels: np.ndarray
    """Numbers of the masked pixels in that view."""
    share: float
    """Of the points of the view, that are masked, 0..1."""
    modulations: Sequence[str]
    whole: np.ndarray
    """Probability of each modulation."""
    without: np.ndarray
    """The same with these pixels masked."""


def signal(shown: Signal) -> Figure:
    """The views with the masked points in red, and the probabilities with and without them."""
    views = len(shown.views)
    width = TILE * (views + 1)
    figure = Figure((width, TILE + 0.75))
    tiles = {"width_ratios": [TILE] * views + [TILE - NAMES]}
    *pictures, bars = figure.subplots(1, views + 1, gridspec_kw=tiles)

    for axes, view, counts in zip(pictures, shown.views, shown.images, strict=True):
        image = np.log1p(counts)
        draw_constellation(axes, image, image.max())
        axes.set_title(view, fontsize=SMALL, pad=2)
        if view == shown.view:
            _draw_region(axes, counts, shown.pixels)

    _probabilities(bars, shown)
    masked = f"Red: {shown.region} of {shown.view}, with {100 * shown.share:.0f} % of its points"
    figure.suptitle(f"{shown.title}\n{masked}", fontsize=SMALL, wrap=True)
    describe(figure, shown.title, masked)
    return figure


def _draw_region(axes: Axes, counts: np.ndarray, pixels: np.ndarray) -> None:
    """The lit pixels of a region in red, and its outline."""
    region = np.isin(np.arange(counts.size), pixels).reshape(counts.shape)
    draw_masked(axes, region & (counts > 0))
    padded = np.pad(region, 1)  # so that an outline closes at the border of the image
    pixel = np.arange(-1, len(counts) + 1)
    axes.contour(pixel, pixel, padded, [0.5], colors=MASKED.colors, linewidths=0.6)
    axes.set(xlim=(-0.5, len(counts) - 0.5), ylim=(len(counts) - 0.5, -0.5))


def _probabilities(axes: Axes, shown: Signal) -> None:
    """Bars of the likeliest modulations, with and without the region."""
    likeliest = np.argsort(-np.maximum(shown.whole, shown.without), kind="stable")[:BARS]
    y = np.arange(len(likeliest))
    axes.barh(y - 0.2, shown.whole[likeliest], 0.38, color=RECEIVED, label="As received")
    axes.barh(
        y + 0.2, shown.without[likeliest], 0.38, color=WITHOUT_REGION, label="Without the red"
    )
    axes.set_yticks(y, [shown.modulations[i] for i in likeliest])
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set(xlim=(0, 1), box_aspect=TILE / (TILE - NAMES))
    axes.set_title("Probability", fontsize=SMALL, pad=2)
    axes.tick_params(labelsize=SMALL, length=2, pad=1.5)
    axes.invert_yaxis()
    axes.figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower right",
        ncols=2,
        frameon=False,
        fontsize=SMALL,
        handlelength=1,
        columnspacing=1,
    )
