"""The picture of one signal of a recording: what the model saw, and what its answer hangs on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.report.style import CAPTION, caption, draw_constellation, draw_masked

TILE = 2.3
"""Side of a constellation, in inches."""
BARS = 5
"""Modulations whose probabilities are drawn."""
WITH, WITHOUT = "C0", "C1"


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
    """The views with the masked region in red, and the probabilities with and without it."""
    views = len(shown.views)
    figure = Figure((TILE * (views + 1), TILE + 0.8))
    *pictures, bars = figure.subplots(1, views + 1)

    for axes, view, counts in zip(pictures, shown.views, shown.images, strict=True):
        image = np.log1p(counts)
        draw_constellation(axes, image, image.max())
        axes.set_title(view, fontsize=CAPTION)
        if view == shown.view:
            mask = np.zeros(counts.size, bool)
            mask[shown.pixels] = True
            draw_masked(axes, mask.reshape(counts.shape))

    _probabilities(bars, shown)
    masked = f"in red, {shown.region} of {shown.view}: {100 * shown.share:.0f} % of its points"
    caption(figure, f"{shown.title}\n{masked}, the region that the name needs most")
    return figure


def _probabilities(axes: Axes, shown: Signal) -> None:
    """Bars of the likeliest modulations, with and without the region."""
    likeliest = np.argsort(-np.maximum(shown.whole, shown.without), kind="stable")[:BARS]
    y = np.arange(len(likeliest))
    axes.barh(y - 0.2, shown.whole[likeliest], 0.38, color=WITH, label="as received")
    axes.barh(y + 0.2, shown.without[likeliest], 0.38, color=WITHOUT, label="without the region")
    axes.set_yticks(y, [shown.modulations[i] for i in likeliest], fontsize=CAPTION)
    axes.set(xlim=(0, 1), xlabel="Probability")
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=CAPTION, loc="lower right")
