"""How every picture looks: fonts, colours, markers, captions, legends and axes.

All functions of this package take arrays and tables and return a figure. Only `save` writes.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
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
from pisces.core.modulations import FAMILIES, in_order
from pisces.core.snr_label import DB_PER_LABEL, SnrLabel

matplotlib.style.use("petroff10")  # C0 to C9, which people with any colour vision can tell apart
matplotlib.rcParams.update(
    {"font.size": 9, "axes.grid": False, "figure.constrained_layout.use": True, "savefig.dpi": 150}
)

PAGE = 7.1
"""Width of a page in inches, 180 mm."""

CAPTION = 8
"""Font size in points of what stands around the panels."""


# Colours, by what they stand for. C0 to C9 are those of petroff10; any name of matplotlib will do.

MASK_COLOURS = {"top": "C0", "bottom": "C1", "random": "C2"}
"""Of masks by brightness, over the level and over the fraction taken."""

REGION_COLOURS = {"ring": "C0", "sector": "C1", "cluster": "C2"}
"""Of masks by region. Windows are a map, in `SIGNED`."""

METHOD_COLOURS = {
    "grad_cam": "C0",
    "integrated_gradients": "C1",
    "occlusion": "C2",
    "rise": "C3",
    "leave_one_out": "C7",
    "shapley": "C8",
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

SCORE_COLOURS = {"f1": "C0", "precision": "C0", "recall": "C1"}
"""Of each modulation."""

TRIAL_COLOURS = {"finished": "C0", "pruned": "C1", "failed": "C2"}
"""Of the trials of a sweep."""

ALWAYS, CONDITIONAL = "C0", "C1"
"""Of params that every trial has, and of those that some have."""

ESTIMATE = "C0"
"""Of a mean or a difference with its interval."""

OWN_FAMILY = "Other"
"""Of classes of one's own."""
MODULATION_FAMILY_COLOURS = {family: f"C{i}" for i, family in enumerate((*FAMILIES, OWN_FAMILY))}

RECEIVED, WITHOUT_REGION = "C0", "C1"
"""Of predictions of a signal as it is, and with a region of its constellation masked."""

MASKED = ListedColormap(["#ff3b30"])
"""Of masked pixels, over a constellation."""

SIGNED = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
"""Of scores around 0, white: red lowers accuracy or supports the prediction; grey: undefined."""


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

CHANCE_LINE: Style = {"color": ESTIMATOR_COLOURS["chance"], "ls": ":", "lw": 1, "zorder": 1}
CONTROL_LINE: Style = {"color": "dimgrey", "ls": "--", "lw": 0.8, "zorder": 4}
ZERO_LINE: Style = {"color": "grey", "lw": 0.6, "zorder": 0}

BOOTSTRAP = "95 % bootstrap interval"
PAIRED = "95 % paired score interval"
WILSON = "95 % Wilson interval"


def save(figure: Figure, path: Path, dots_per_inch: float | None = None) -> None:
    """Writes the picture, whole or not at all, in the format of the ending of `path`.

    Args:
        figure: what is drawn.
        path: of the file.
        dots_per_inch: None for those of all pictures of a page.
    """
    with staged(path) as temporary:
        figure.savefig(temporary, dpi=dots_per_inch)


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


def families_of(modulations: Iterable[str]) -> dict[str, list[str]]:
    """The families that have members among the modulations, with these."""
    named = in_order(modulations)
    found = {
        family: [name for name in named if name in members] for family, members in FAMILIES.items()
    }
    known = {name for members in found.values() for name in members}
    found[OWN_FAMILY] = [name for name in named if name not in known]
    return {family: members for family, members in found.items() if members}


def by_family(modulations: Iterable[str]) -> list[str]:
    """Each modulation once, the members of a family together, classes of one's own at the end."""
    return [name for members in families_of(modulations).values() for name in members]


def chances(classes: tuple[int, int]) -> dict[str, float]:
    """Accuracy of guessing each task, for the numbers of modulations and SNRs."""
    modulations, snrs = classes
    return {"modulation": 1 / modulations, "snr": 1 / snrs, "joint": 1 / (modulations * snrs)}


def snr_axis(snr_label: SnrLabel) -> str:
    """What an axis of SNR labels says, unit or meaning included."""
    if snr_label == "power":
        return "SNR (dB)"
    return f"SNR label (true SNR in dB = {DB_PER_LABEL[snr_label]} x label)"
