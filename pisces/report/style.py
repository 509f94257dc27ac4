"""How every picture looks: widths, fonts, colours, markers, legends and axes.

All functions of this package take arrays and tables and return a figure, which carries its caption
(`report.captions`). Only `save` writes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, NamedTuple

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pisces.core.files import staged
from pisces.core.modulations import FAMILIES
from pisces.core.snr_label import SnrLabel
from pisces.report.captions import caption_of, describe
from pisces.report.families import OWN_FAMILY

matplotlib.style.use("petroff10")  # C0 to C9, which people with any colour vision can tell apart
matplotlib.rcParams.update(
    {
        **{"font.size": 7.5, "axes.titlesize": 7.5, "axes.labelsize": 7.5},
        **{"xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7},
        **{"axes.linewidth": 0.6, "lines.linewidth": 1, "lines.markersize": 3.5},
        **{"xtick.major.width": 0.6, "xtick.minor.width": 0.4, "xtick.major.size": 2.5},
        **{"ytick.major.width": 0.6, "ytick.minor.width": 0.4, "ytick.major.size": 2.5},
        **{"axes.grid": False, "figure.constrained_layout.use": True},
        **{"savefig.dpi": 200, "pdf.fonttype": 42},  # 42: TrueType, which publishers ask for
    }
)

COLUMN, PAGE = 88 / 25.4, 181 / 25.4
"""Widths in inches of one and of two columns of IEEE journals. Nothing is scaled in print."""

CAPTION = 7
"""The smallest font size in points, of what stands around the panels."""

NAMES = 0.7
"""Inches beside a row of constellations for its name."""


# Colours, by what they stand for. C0 to C9 are those of petroff10; any name of matplotlib will do.

MASK_COLOURS = {"top": "C0", "bottom": "C1", "random": "C2"}
"""Of masks by brightness, over the level and over the fraction taken."""

REGION_COLOURS = {"ring": "C0", "sector": "C1", "cluster": "C2"}
"""Of masks by region. Windows are a map, in `SIGNED`."""

REMOVAL_COLOURS = {"blackout": "C1", "redraw": "C0", "likelihood": "0.35"}
"""Of ways to take symbols away, and of the likelihood beside them."""

METHOD_COLOURS = {
    "grad_cam": "C0",
    "integrated_gradients": "C1",
    "occlusion": "C2",
    "rise": "C3",
    "leave_one_out": "C7",
    "shapley": "C8",
    "gradient": "C9",
    "brightness": "C4",
    "pis": "C5",
    "random": "C6",
}
"""Of attribution methods and their references."""

TASK_COLOURS = {"modulation": "C0", "snr": "C1", "joint": "C2"}

ESTIMATOR_COLOURS = {
    "matched-filter bound": "0.6",
    "ceiling": "0.25",
    "blind": "C5",
    "model": "C0",
    "cumulants": "C1",
    "noise floor": "C2",
    "m2m4": "C4",
    "chance": "grey",
}
"""Of the model and what it is compared with."""

PULSE_COLOURS = {"This file": "C0", "RRC 0.2": "C1", "RRC 0.5": "C2", "RML2018.01A": "C4"}
"""Of the spectrum of a file and of pulses it is compared with. RRC: root-raised cosine."""

SCORE_COLOURS = {"f1": "0.8", "precision": "C0", "recall": "C1"}
"""Of each modulation; F1 is a bar behind the others."""

PART_COLOURS = {"train": "0.5", "validation": "0.15"}
"""Of the losses of both parts, which are of no single task."""

TRIAL_COLOURS = {"finished": "C0", "pruned": "C1", "failed": "C2"}
"""Of the trials of a sweep."""

ALWAYS, CONDITIONAL = "C0", "C1"
"""Of params that every trial has, and of those that some have."""

ESTIMATE = "C0"
"""Of a mean or a difference with its interval."""

MODULATION_FAMILY_COLOURS = {family: f"C{i}" for i, family in enumerate((*FAMILIES, OWN_FAMILY))}

RECEIVED, WITHOUT_REGION = "C0", "C1"
"""Of predictions of a signal as it is, and with a region of its constellation masked."""

BRIGHTNESS = "viridis"
"""Of constellations, by the points in a pixel."""

MOVED, STAYED = "C2", "0.6"
"""Of symbols that moved to another class's law, and of those that did not."""

MASKED = ListedColormap(["#ff3b30"])
"""Of masked pixels, over a constellation."""

ARRIVED = "#ff9f0a"
"""Of pixels where symbols arrive; those that they left are `MASKED`."""

SIGNED = ListedColormap(matplotlib.colormaps["RdBu_r"](np.linspace(0.1, 0.9, 256))).with_extremes(
    bad="0.8"
)
"""Of scores around 0, white: red lowers accuracy or supports the prediction; grey: undefined."""


# On a page, whose paper is dark on some screens

ON_SCREEN = {"0.25": "0.5"}
"""Greys of pictures -> those that stand out from dark paper as well."""

GONE = "grey"
"""Of masked pixels where red is what speaks for the prediction."""

SCREEN_PART_COLOURS = {"train": "C0", "validation": "C1"}
"""As `PART_COLOURS`."""


# Series


class Mark(NamedTuple):
    """How a series is drawn and what the legend calls it."""

    label: str
    colour: str
    marker: str


MARKERS = "osD^vPX*<>"
"""Beside the colour, so that a series can be told in grey, too."""


def marks(labels: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, Mark]:
    """Key -> label, colour and marker of each series, with `MARKERS` in their order."""
    series = zip(labels.items(), cycle(MARKERS), strict=False)
    return {key: Mark(label, colours[key], marker) for (key, label), marker in series}


TASKS = marks({"modulation": "Modulation", "snr": "SNR", "joint": "Joint"}, TASK_COLOURS)
FAMILY_MARKS = marks({name: name for name in MODULATION_FAMILY_COLOURS}, MODULATION_FAMILY_COLOURS)

Style = dict[str, Any]
"""Keyword arguments of a line."""

TASK_LINES: dict[str, Style] = {
    "modulation": {"lw": 2.4, "ms": 5.5, "zorder": 2},
    "snr": {"lw": 1.2, "ms": 4, "zorder": 3},
    "joint": {"lw": 1, "ms": 2.5, "zorder": 4},
}
"""Joint often lies on another, which being wider leaves visible on both sides."""

CHANCE_LINE: Style = {"color": ESTIMATOR_COLOURS["chance"], "ls": ":", "lw": 1, "zorder": 1}
CONTROL_LINE: Style = {"color": "dimgrey", "ls": "--", "lw": 0.8, "zorder": 4}
ZERO_LINE: Style = {"color": "grey", "lw": 0.6, "zorder": 0}

BOOTSTRAP = "95 % bootstrap interval"
PAIRED = "95 % paired score interval"
WILSON = "95 % Wilson interval"


def save(figure: Figure, path: Path, dots_per_inch: float | None = None) -> None:
    """Writes the picture, whole or not at all, in the format of the ending of `path`.

    The same figure makes the same bytes: neither a date nor a version is written. The caption goes
    along, as what a PNG and a PDF have for it.

    Args:
        figure: what is drawn.
        path: of the file, .png or .pdf.
        dots_per_inch: None for those of all pictures of a page.
    """
    text = caption_of(figure) or None
    of_format: dict[str, dict[str, str | None]] = {
        ".png": {"Description": text, "Software": None},
        ".pdf": {"Subject": text, "CreationDate": None, "Creator": None, "Producer": None},
    }
    with staged(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch, metadata=of_format[path.suffix])


# Words around the panels


def empty_picture(why: str) -> Figure:
    """The picture where there is nothing to draw: DVC wants every output whatever the params."""
    figure = Figure((COLUMN, 0.5))
    figure.suptitle(why, fontsize=CAPTION, wrap=True)
    describe(figure, why)
    return figure


def narrow(heading: str) -> str:
    """A heading broken between words for a narrow panel, but not between a number and its %."""
    return fill(heading.replace(" %", "\u00a0%"), 11)


def sizes(numbers: pd.Series) -> str:
    """The range of sample sizes: "n = 17", or "n = 2 to 4" where they differ."""
    ends = sorted({int(numbers.min()), int(numbers.max())})
    return "n = " + " to ".join(map(str, ends))


# Legends


def handles(marks: Iterable[Mark], line: str = "-") -> list[Artist]:
    """Entries of a legend with colour, marker and, unless `line` is empty, a line."""
    return [
        Line2D(
            [], [], color=mark.colour, marker=mark.marker, ms=3.5, lw=1, ls=line, label=mark.label
        )
        for mark in marks
    ]


def legend_below(figure: Figure, entries: Sequence[Artist], columns: int | None = None) -> None:
    """A legend under all panels.

    Args:
        figure: where to draw.
        entries: what stands in the legend.
        columns: how many beside each other; None: as many as there is room for.
    """
    if columns is None:
        columns = min(len(entries), int(figure.get_figwidth() // 1.4))
    figure.legend(
        handles=entries,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=CAPTION,
        columnspacing=1.2,
        handlelength=1.8,
    )


# Axes


def band(axes: Axes, x: Any, low: Any, high: Any, **style: Any) -> None:
    """An interval along a curve, paler than the curve itself.

    Args:
        axes: where to draw.
        x: where the interval is known, (n,).
        low: its lower ends, (n,).
        high: its upper ends, (n,).
        style: colour and opacity.
    """
    axes.fill_between(x, low, high, lw=0, **style)


def spread(values: pd.Series, low: pd.Series, high: pd.Series) -> np.ndarray:
    """How far intervals reach below and above values, as error bars want it.

    Args:
        values: (n,).
        low: lower ends of the intervals, (n,).
        high: upper ends, (n,).

    Returns:
        Lengths below and above, (2, n). A bootstrap interval may miss the value itself: a length
        is then the distance to that end.
    """
    return np.abs(np.stack([values - low, high - values]))


def draw_constellation(axes: Axes, image: np.ndarray, brightest: float) -> None:
    """Draws an image (size, size) without ticks: I to the right, Q upwards, first row on top.

    Args:
        axes: where to draw.
        image: brightness of each pixel.
        brightest: the largest brightness among all images of the view. One that were scaled by its
            own maximum would hide its SNR.
    """
    axes.set_axis_on()
    norm = PowerNorm(0.5, vmin=0, vmax=brightest)  # or single points could hardly be seen
    axes.imshow(image, cmap=BRIGHTNESS, interpolation="nearest", norm=norm)
    axes.set_xticks([])
    axes.set_yticks([])


def name_row(axes: Axes, name: str) -> None:
    """Names a row of constellations on its left, in lines, in the `NAMES` inches that it has."""
    style: Style = {"rotation": 0, "ha": "right", "va": "center", "fontsize": CAPTION}
    axes.set_ylabel(name.replace(", ", "\n"), labelpad=3, **style)


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
    ends_inside(axes)


def percent_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """Scales x or y for shares of 0 to 100 %, with room for a line at either end."""
    low, high, ticks = -2, 102, [0, 25, 50, 75, 100]
    if which == "x":
        axes.set(xlim=(low, high), xticks=ticks)
    else:
        axes.set(ylim=(low, high), yticks=ticks)


def ends_inside(axes: Axes) -> None:
    """Keeps the outermost numbers of x within the panel, or they run into those of the next."""
    numbers = axes.get_xticklabels()
    if numbers:  # none where the panel below has them
        numbers[0].set_horizontalalignment("left")
        numbers[-1].set_horizontalalignment("right")


def snr_ticks(axes: Axes, snrs_db: Iterable[float]) -> None:
    """Ticks of x at SNR labels, at most seven of them, under which stands what they mean."""
    labels = sorted(set(snrs_db))
    step = 1 + (len(labels) - 1) // 6
    axes.set_xticks(labels[::step])
    axes.xaxis.set_major_formatter("{x:g}")


# Values and names


def spaced(values: Sequence[Any], most: int) -> list[Any]:
    """At most so many of the values, evenly spaced, the first and the last among them."""
    places = np.linspace(0, len(values) - 1, min(len(values), most)).round().astype(int)
    return [values[place] for place in places]


def chances(classes: tuple[int, int]) -> dict[str, float]:
    """Accuracy of guessing each task, for the numbers of modulations and SNRs."""
    modulations, snrs = classes
    return {"modulation": 1 / modulations, "snr": 1 / snrs, "joint": 1 / (modulations * snrs)}


def snr_named(text: str, snr_label: SnrLabel) -> str:
    """A text that names an SNR label as "-4 dB", or as "label -4" where it is no SNR in dB."""
    return text if snr_label == "power" else re.sub(r"(-?\d+) dB", r"label \1", text)


def snr_axis(snr_label: SnrLabel) -> str:
    """What an axis of SNR labels says, unit or meaning included."""
    return "SNR (dB)" if snr_label == "power" else "SNR label (half the SNR in dB)"
