"""Pictures of attributions, frame by frame. `attribution_measures` draws those of all frames."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import maximum_filter

from pisces.core.snr_label import SnrLabel
from pisces.report.captions import describe
from pisces.report.families import by_family
from pisces.report.style import (
    CAPTION,
    COLUMN,
    METHOD_COLOURS,
    NAMES,
    PAGE,
    SIGNED,
    Style,
    draw_constellation,
    draw_masked,
    marks,
    name_row,
    narrow,
    snr_named,
    spaced,
)

METHODS = marks(
    {
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "rise": "RISE",
        "leave_one_out": "Leaving one out",
        "shapley": "Shapley values",
        "brightness": "Brightness (ranks PIS)",
        "pis": "PIS pattern",
        "random": "Random",
        "gradient": "Gradient times input",
    },
    METHOD_COLOURS,
)
NO_MAP = "no map"
"""Over the frame where all scores of a method are the same."""

FINE = 48
"""Pixels along a side of an image, from which on a single one cannot be seen in print."""

MOST_ROWS = 6
"""Examples that a page holds."""


# Examples


class Examples(NamedTuple):
    """Frames of one task, in one view, with what each method says about them."""

    images: np.ndarray
    """Brightness (rows, size, size)."""
    masked: Mapping[str, np.ndarray]
    """Name of a mask -> its pixels, bool (rows, size, size)."""
    maps: Mapping[str, np.ndarray]
    """Method -> scores (rows, size, size); NaN where it says nothing."""
    titles: Sequence[str]
    """Modulation, SNR and view of each row."""


def unpack_examples(arrays: Mapping[str, np.ndarray], task: str) -> Examples:
    """The examples of one task in data/attribution_examples.npz."""

    def by_name(kind: str, values: str) -> dict[str, np.ndarray]:
        names = arrays[f"{task}_{kind}_names"].tolist()
        return dict(zip(names, arrays[f"{task}_{values}"], strict=True))

    return Examples(
        images=arrays[f"{task}_images"],
        masked=by_name("taken", "taken"),
        maps=by_name("map", "maps"),
        titles=arrays[f"{task}_titles"].tolist(),
    )


def examples(given: Examples, snr_label: SnrLabel = "power") -> Figure:
    """Why the model predicted what it did, a row a frame, modulations by family.

    Columns: the constellation, the pixels of each mask, and the map of each method. Of more than
    `MOST_ROWS` examples so many are shown, spread evenly.
    """
    images, masked, maps = given.images, given.masked, given.maps
    of_modulation = [title.split(",")[0] for title in given.titles]
    order = by_family(of_modulation)
    rows = sorted(range(len(images)), key=lambda i: order.index(of_modulation[i]))
    shown = spaced(rows, MOST_ROWS)

    panels = 1 + len(masked) + len(maps)
    tile = min(1, (PAGE - NAMES) / panels)
    figure = Figure((max(COLUMN, NAMES + tile * panels), 0.35 + tile * len(shown)))
    grid = figure.subplots(len(shown), panels, squeeze=False)
    for i, (frame, *others) in zip(shown, grid, strict=True):
        draw_constellation(frame, images[i], images[i].max())
        name_row(frame, snr_named(given.titles[i], snr_label))
        for axes, mask in zip(others, masked.values(), strict=False):
            draw_constellation(axes, images[i], images[i].max())
            draw_masked(axes, mask[i])
        for axes, scores in zip(others[len(masked) :], maps.values(), strict=True):
            _draw_map(axes, images[i], scores[i])

    methods = [METHODS[method].label for method in maps]
    for axes, head in zip(grid[0], ["Frame", *masked, *methods], strict=True):
        axes.set_title(narrow(head), fontsize=CAPTION, pad=3)
    describe(
        figure,
        f"What each method says of {len(shown)} of {len(images)} frames, one a modulation",
        "Maps: red for the prediction, blue against it, each on its own scale",
        f"{NO_MAP.capitalize()}: every pixel has the same score, as in Grad-CAM where no feature "
        "speaks for the prediction",
    )
    return figure


def _draw_map(axes: Axes, image: np.ndarray, scores: np.ndarray) -> None:
    """A map over the grey constellation; the stronger a score, the less of that shines through.

    A map with both signs is scaled by its largest magnitude. One without is stretched from its
    smallest value, which gets no colour: what RISE adds everywhere says nothing about a pixel.
    """
    draw_constellation(axes, image, image.max())
    axes.images[0].set_cmap("Greys")
    known = scores[~np.isnan(scores)]
    if not known.size or not np.ptp(known):
        middle: Style = {"ha": "center", "va": "center", "transform": axes.transAxes}
        axes.text(0.5, 0.5, NO_MAP, fontsize=CAPTION, **middle)
        return

    one_sign = known.min() >= 0
    low = known.min() if one_sign else 0
    span = np.ptp(known) if one_sign else np.abs(known).max()
    scaled = np.nan_to_num((scores - low) / span)

    scaled = _visible(scaled)
    colours = SIGNED(0.5 + scaled / 2)
    colours[..., 3] = np.abs(scaled)  # opacity
    axes.imshow(colours, interpolation="nearest")


def _visible(scores: np.ndarray) -> np.ndarray:
    """Scores of a fine image, each spread over the pixels around it unless these have larger ones.

    Methods that score single pixels would look empty otherwise.
    """
    if len(scores) < FINE:
        return scores
    above, below = maximum_filter(scores, 3), maximum_filter(-scores, 3)
    return np.where(above >= below, above, -below)
