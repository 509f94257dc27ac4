"""Pictures of attributions: `examples`, frame by frame, and `measures`, of all methods."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pisces.report.style import (
    BOOTSTRAP,
    CAPTION,
    CHANCE_LINE,
    CONTROL_LINE,
    METHOD_COLOURS,
    PAGE,
    SIGNED,
    TASKS,
    Style,
    caption,
    draw_constellation,
    draw_masked,
    fraction_axis,
    handles,
    legend_below,
    marks,
    narrow,
    sizes,
    spread,
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
    },
    METHOD_COLOURS,
)
MEASURES = {
    "deletion_area": "Deletion area\n(%, low is good)",
    "insertion_area": "Insertion area\n(%, high is good)",
    "infidelity": "Infidelity\n(low is good)",
    "sensitivity": "Sensitivity\n(low is good)",
    "agreement": "Rank correlation\nwith brightness",
    "weights": "... with random\nweights\n(low is good)",
    "labels": "... with shuffled\nlabels\n(low is good)",
}
CHECKS = ("weights", "labels")
"""The measures that are sanity checks: correlation with a control model."""

THRESHOLD = 0.5
"""`attribution.sanity.THRESHOLD`, which cannot be imported here without torch; a test compares."""

NULL_MARK: Style = {"color": "grey", "marker": "x", "ms": 3, "mew": 0.8, "ls": "", "zorder": 4}

MOST_ROWS = 9
"""Examples that a page holds."""

NEAR_ZERO = 0.03
"""Probability below which markers of several curves would pile up."""

SMALLEST_TICK = 0.1
"""Axes that end below it have few ticks of two digits, which would otherwise run together."""


# Examples


class Examples(NamedTuple):
    """Frames of one task, in one view, with what each method says about them."""

    images: np.ndarray
    """Brightness (rows, size, size)."""
    masked: Mapping[str, np.ndarray]
    """Name of a mask -> its pixels, bool (rows, size, size)."""
    maps: Mapping[str, np.ndarray]
    """Method -> scores (rows, size, size); NaN where it says nothing."""
    curves: Mapping[str, np.ndarray]
    """Method -> probability of the prediction, 0..1, (rows, levels), a mean over `frames`.

    The lit pixels are deleted in the order of the method.
    """
    levels_percent: Sequence[float]
    """Deleted lit pixels at the points of a curve, in percent, 0 first."""
    titles: Sequence[str]
    """Modulation, SNR and view of each row."""
    frames: int = 1
    """Behind each curve."""


def unpack_examples(arrays: Mapping[str, np.ndarray], task: str) -> Examples:
    """The examples of one task in data/attribution_examples.npz."""

    def by_name(kind: str, values: str) -> dict[str, np.ndarray]:
        names = arrays[f"{task}_{kind}_names"].tolist()
        return dict(zip(names, arrays[f"{task}_{values}"], strict=True))

    return Examples(
        images=arrays[f"{task}_images"],
        masked=by_name("taken", "taken"),
        maps=by_name("map", "maps"),
        curves=by_name("curve", "curves"),
        levels_percent=arrays[f"{task}_levels_percent"].tolist(),
        titles=arrays[f"{task}_titles"].tolist(),
        frames=int(arrays[f"{task}_frames"]),
    )


def examples(given: Examples) -> Figure:
    """Why the model predicted what it did, a row a frame.

    Columns: the constellation, the pixels of each mask, the map of each method, and the probability
    of the prediction while pixels are deleted. Of more than `MOST_ROWS` examples so many are shown,
    spread evenly.
    """
    images, masked, maps = given.images, given.masked, given.maps
    shown = np.linspace(0, len(images) - 1, min(len(images), MOST_ROWS)).round().astype(int)
    panels = 1 + len(masked) + len(maps)
    figure = Figure((PAGE, 1.1 + 0.95 * len(shown)))
    widths = [1] * panels + [1.8]
    shape = (len(shown), panels + 1)
    grid = figure.subplots(*shape, squeeze=False, width_ratios=widths, sharex="col")

    for i, (frame, *others) in zip(shown, grid, strict=True):
        draw_constellation(frame, images[i], images[i].max())
        frame.set_ylabel(given.titles[i], fontsize=CAPTION)
        mask_axes, map_axes = others[: len(masked)], others[len(masked) : -1]
        for axes, mask in zip(mask_axes, masked.values(), strict=True):
            draw_constellation(axes, images[i], images[i].max())
            draw_masked(axes, mask[i])
        for axes, scores in zip(map_axes, maps.values(), strict=True):
            _draw_map(axes, images[i], scores[i])
        curves = {method: curve[i] for method, curve in given.curves.items()}
        _draw_curves(others[-1], curves, np.asarray(given.levels_percent))

    methods = [METHODS[method].label for method in maps]
    heads = ["Constellation", *masked, *methods, "Probability of prediction (%)"]
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(narrow(head), fontsize=CAPTION)
    grid[-1, -1].set_xlabel("Lit pixels deleted (%)", fontsize=CAPTION)
    legend_below(figure, handles(METHODS[method] for method in given.curves))

    some = f"{len(shown)} of {len(images)} examples; " if len(shown) < len(images) else ""
    maps_are = "maps: red for the prediction, blue against it, each on its own scale"
    caption(figure, f"{some}{maps_are}; probability: mean over frames, n = {given.frames}")
    return figure


def _draw_map(axes: Axes, image: np.ndarray, scores: np.ndarray) -> None:
    """A map over the grey constellation; the stronger a score, the less of that shines through.

    A map with both signs is scaled by its largest magnitude. One without is stretched from its
    smallest value, which gets no colour: what RISE adds everywhere says nothing about a pixel.
    """
    draw_constellation(axes, image, image.max())
    axes.images[0].set_cmap("Greys")
    known = scores[~np.isnan(scores)]
    if not known.size:
        return

    one_sign = known.min() >= 0
    low = known.min() if one_sign else 0
    span = np.ptp(known) if one_sign else np.abs(known).max()
    scaled = np.nan_to_num((scores - low) / (span or 1))

    colours = SIGNED(0.5 + scaled / 2)
    colours[..., 3] = np.abs(scaled)  # opacity
    axes.imshow(colours, interpolation="nearest")


def _draw_curves(axes: Axes, curves: dict[str, np.ndarray], levels_percent: np.ndarray) -> None:
    """Probabilities over the level, with markers only where the curves are apart.

    They meet where none or all is deleted, and near 0.
    """
    between = (levels_percent > 0) & (levels_percent < 100)
    for method, curve in curves.items():
        mark = METHODS[method]
        style: Style = {"color": mark.colour, "marker": mark.marker, "ms": 2, "lw": 0.8}
        style |= {"markevery": between & (curve > NEAR_ZERO), "clip_on": False}
        axes.plot(levels_percent, 100 * curve, **style)
    fraction_axis(axes, levels_percent.max())
    axes.set_ylim(0, 100)
    axes.tick_params(labelsize=7)


# Measures


def join_checks(measures: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """Measures, and those sanity checks in which a control model lacks all knowledge.

    Args:
        measures: plots/attribution.csv.
        checks: plots/attribution_checks.csv.

    Returns:
        `task, method, measure, value, ci_low, ci_high, n, null`; a check is a measure of its name.
    """
    whole = checks[checks["share"] == 1]
    renamed = whole.rename(columns={"check": "measure", "correlation": "value"})
    columns = ["task", "method", "measure", "value", "ci_low", "ci_high", "n", "null"]
    return pd.concat([measures, renamed])[columns]


def measures(rows: pd.DataFrame) -> Figure:
    """How each method does on each measure with its interval: a row of panels a head.

    Dotted is the random ranking, the baseline of all others. The sanity checks have their
    threshold, dashed, and where the rows have a `null`, that as a cross.

    Args:
        rows: `task, method, measure, value, ci_low, ci_high, n, null`; shown are `MEASURES` and
            `METHODS`.
    """
    rows = rows[rows["method"].isin(list(METHODS))]
    tasks = rows["task"].unique()
    shown = [name for name in MEASURES if (rows["measure"] == name).any()]
    methods = [name for name in METHODS if (rows["method"] == name).any()]

    figure = Figure((PAGE + 0.9, 1 + (0.4 + 0.17 * len(methods)) * len(tasks)))
    grid = figure.subplots(len(tasks), len(shown), squeeze=False, sharex="col", sharey=True)
    for task, row in zip(tasks, grid, strict=True):
        for measure, axes in zip(shown, row, strict=True):
            part = rows[(rows["task"] == task) & (rows["measure"] == measure)]
            _draw_measure(axes, measure, part.set_index("method").reindex(methods))

    for measure, axes in zip(shown, grid[-1], strict=True):
        counted = sizes(rows.loc[rows["measure"] == measure, "n"])
        axes.set_xlabel(f"{MEASURES[measure]}\n{counted}", fontsize=7)
    labels = [METHODS[method].label for method in methods]
    for task, axes in zip(tasks, grid[:, 0], strict=True):
        axes.set_yticks(range(len(methods)), labels, fontsize=CAPTION)
        axes.set_ylabel(f"{TASKS[task].label} head")
    grid[0, 0].invert_yaxis()
    caption(figure, "; ".join(_explained(rows)))
    return figure


def _draw_measure(axes: Axes, measure: str, part: pd.DataFrame) -> None:
    """One measure of each method, from top to bottom, and where the random ranking lies."""
    in_percent = measure.endswith("_area")
    values = part[["value", "ci_low", "ci_high"]] * (100 if in_percent else 1)
    reach = spread(values["value"], values["ci_low"], values["ci_high"])
    for y, (method, value) in enumerate(values["value"].items()):
        mark = METHODS[str(method)]
        style: Style = {"fmt": mark.marker, "color": mark.colour, "ms": 4, "lw": 1, "capsize": 2}
        axes.errorbar(value, y, xerr=reach[:, [y]], **style)

    if "random" in values.index:
        axes.axvline(values["value"]["random"], **CHANCE_LINE)
    if measure in CHECKS:
        axes.axvline(THRESHOLD, **CONTROL_LINE)
        axes.plot(part["null"], range(len(part)), **NULL_MARK)
    _few_ticks(axes)


def _few_ticks(axes: Axes) -> None:
    axes.tick_params(labelsize=7)
    if np.abs(axes.get_xlim()).max() < SMALLEST_TICK:
        axes.locator_params(axis="x", nbins=2, steps=[1, 2, 5, 10], min_n_ticks=1)
        axes.xaxis.set_major_formatter("{x:.2g}")
    else:
        axes.locator_params(axis="x", nbins=3)
        axes.xaxis.set_major_formatter(ScalarFormatter())


def _explained(rows: pd.DataFrame) -> list[str]:
    """The remarks of the caption."""
    checks = rows[rows["measure"].isin(CHECKS)]
    remarks = [BOOTSTRAP, "dotted: the random ranking"]
    if len(checks):
        remarks.append(f"dashed: threshold of the sanity checks, {THRESHOLD:g}")
    if checks["null"].notna().any():
        remarks.append("grey x: mean |rank correlation| between maps of different frames")
    return remarks
