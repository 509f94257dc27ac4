"""How every picture looks: fonts, colours, markers, captions, legends and axes.

All functions of this package take arrays and tables and return a figure. Only `save` writes.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.core.files import staged
from pisces.core.modulations import FAMILIES

matplotlib.style.use("petroff10")  # C0 to C9, which people with any colour vision can tell apart
matplotlib.rcParams.update(
    {"font.size": 9, "axes.grid": False, "figure.constrained_layout.use": True, "savefig.dpi": 150}
)

PAGE = 7.1
"""Width of a page in inches, 180 mm."""

CAPTION = 8
"""Font size in points of what stands around the panels."""


class Mark(NamedTuple):
    """How a series is drawn and what the legend calls it."""

    label: str
    colour: str
    marker: str


MARKERS = "osD^vPX*<>"
"""Beside the colour, so that a series can be told in grey, too."""

TASKS = {
    "modulation": Mark("Modulation", "C0", "o"),
    "snr": Mark("SNR", "C1", "s"),
    "joint": Mark("Joint", "C2", "D"),
}
FAMILY_MARKS = {family: Mark(family, f"C{i}", MARKERS[i]) for i, family in enumerate(FAMILIES)}

Style = dict[str, Any]
"""Keyword arguments of a line."""

CHANCE_LINE: Style = {"color": "grey", "ls": ":", "lw": 1, "zorder": 1}
CONTROL_LINE: Style = {"color": "dimgrey", "ls": "--", "lw": 0.8, "zorder": 4}
ZERO_LINE: Style = {"color": "grey", "lw": 0.6, "zorder": 0}

MASKED = ListedColormap(["#ff3b30"])
"""Of masked pixels, over a constellation."""

SIGNED = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
"""Of scores around 0, white: red lowers accuracy or supports the prediction; grey: undefined."""

BOOTSTRAP = "95 % bootstrap interval"
WILSON = "95 % Wilson interval"


def save(figure: Figure, path: Path) -> None:
    """Writes the picture, whole or not at all, in the format of the ending of `path`."""
    with staged(path) as temporary:
        figure.savefig(temporary)


# Words around the panels


def caption(figure: Figure, text: str) -> None:
    """Small words above the panels, broken into lines where the figure ends."""
    figure.suptitle(text, fontsize=CAPTION, wrap=True)


def add_note(figure: Figure, note: str) -> Figure:
    """The figure with one more remark in its caption; an empty one adds nothing."""
    if note:
        parts = [figure.get_suptitle(), note]
        caption(figure, "; ".join(filter(None, parts)))
    return figure


def empty_picture(why: str) -> Figure:
    """The picture where there is nothing to draw: DVC wants every output whatever the params."""
    figure = Figure((PAGE, 0.3))
    caption(figure, why)
    return figure


def narrow(heading: str) -> str:
    """A heading broken between words for a narrow panel, but not between a number and its %."""
    return fill(heading.replace(" %", "\u00a0%"), 14)


def sizes(numbers: pd.Series) -> str:
    """The range of sample sizes: "n = 17", or "n = 2 to 4" where they differ."""
    ends = sorted({int(numbers.min()), int(numbers.max())})
    return "n = " + " to ".join(map(str, ends))


# Legends


def handles(marks: Iterable[Mark], line: str = "-") -> list[Artist]:
    """Entries of a legend with colour, marker and, unless `line` is empty, a line."""
    return [
        Line2D([], [], color=mark.colour, marker=mark.marker, ms=4, lw=1, ls=line, label=mark.label)
        for mark in marks
    ]


def legend_below(figure: Figure, entries: Sequence[Artist], columns: int | None = None) -> None:
    """A legend under all panels, in `columns` or as many as there is room for."""
    if columns is None:
        columns = min(len(entries), int(figure.get_figwidth() // 1.4))
    figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=CAPTION,
        columnspacing=1.2,
    )


# Axes


def band(axes: Axes, x: Any, low: Any, high: Any, **style: Any) -> None:
    """An interval along a curve, paler than the curve itself."""
    axes.fill_between(x, low, high, lw=0, **style)


def draw_constellation(axes: Axes, image: np.ndarray, brightest: float) -> None:
    """Draws an image (size, size) without ticks: I to the right, Q upwards, first row on top.

    Args:
        axes: where to draw.
        image: brightness of each pixel.
        brightest: the largest brightness among all images of the view. One that were scaled by its
            own maximum would hide its SNR.
    """
    axes.set_axis_on()
    axes.imshow(image, cmap="viridis", interpolation="nearest", vmin=0, vmax=brightest)
    axes.set_xticks([])
    axes.set_yticks([])


def draw_masked(axes: Axes, mask: np.ndarray) -> None:
    """Draws masked pixels, bool (size, size), in red over a constellation."""
    axes.imshow(np.ma.masked_equal(mask, 0), cmap=MASKED, interpolation="nearest")


def fraction_axis(axes: Axes, largest_percent: float) -> None:
    """Scales x for percent of the lit pixels: linear from 0 to 0.5, then logarithmic.

    So both 0, where nothing is masked, and the first few pixels have a place of their own.
    """
    end = 1.05 * largest_percent
    axes.set_xscale("symlog", linthresh=0.5, linscale=0.3)
    axes.set_xlim(0, end)
    axes.set_xticks([x for x in (0, 1, 5, 20, 100) if x <= end])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


# Classes


def by_family(modulations: Iterable[str]) -> list[str]:
    """Each modulation once, the members of a family next to each other."""
    known = set(modulations)
    ordered = [name for members in FAMILIES.values() for name in members]
    return [name for name in ordered if name in known]


def chances(classes: tuple[int, int]) -> dict[str, float]:
    """Accuracy of guessing each task, for the numbers of modulations and SNRs."""
    modulations, snrs = classes
    return {"modulation": 1 / modulations, "snr": 1 / snrs, "joint": 1 / (modulations * snrs)}
