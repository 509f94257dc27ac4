"""Arrays -> axes. Every function draws from data and returns the axes or figure; `save` is the only one that writes."""

from collections.abc import Iterable, Sequence
from itertools import product
from math import ceil
from pathlib import Path
from textwrap import fill

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from pisces.core.files import staged
from pisces.core.modulations import FAMILIES

matplotlib.style.use("petroff10")
matplotlib.rcParams.update(
    {"font.size": 9, "axes.grid": False, "figure.constrained_layout.use": True, "savefig.dpi": 150}
)

MARKERS = "osD^vPX*<>"
TASK_LABELS = {"modulation": "Modulation", "snr": "SNR", "joint": "Joint"}
AUXILIARY_LABELS = {
    **{"denoising": "Denoising", "identity": "Identity", "noise": "Logit of the noise fraction"},
    **{"features": "Features", "distillation": "Distillation"},
}
PHASES = ("a", "b1", "b2", "c")
MASK_LABELS = {"top": "Brightest pixels", "bottom": "Dimmest lit pixels", "random": "Random pixels"}
REGION_LABELS = {"ring": "Ring (1: centre)", "sector": "Sector (degrees)", "cluster": "Cluster"}
METHOD_LABELS = {
    **{
        "grad_cam": "Grad-CAM",
        "integrated_gradients": "Integrated gradients",
        "occlusion": "Occlusion",
        "rise": "RISE",
    },
    **{"brightness": "Brightness (ranks PIS)", "pis": "PIS pattern", "random": "Random"},
}
MEASURE_LABELS = {
    "deletion_area": "Deletion area\n(%, low is good)",
    "insertion_area": "Insertion area\n(%, high is good)",
    "infidelity": "Infidelity\n(low is good)",
    "sensitivity": "Sensitivity\n(low is good)",
    "agreement": "Rank correlation\nwith brightness",
    "weights": "... with random\nweights\n(low is good)",
    "labels": "... with shuffled\nlabels\n(low is good)",
}
CHECKS = ("weights", "labels")
SHOWN = {"measure": MEASURE_LABELS, "method": METHOD_LABELS}
INTERVAL = "95 % bootstrap interval"
FILLED = "filled: differs from its count control, Holm-adjusted p < 0.05"
CONTROL_LINE = {"color": "dimgrey", "ls": "--", "lw": 0.8, "zorder": 4}
NULL_MARK = {"color": "grey", "marker": "x", "ms": 3, "mew": 0.8, "ls": "", "zorder": 4}
HOLLOW = {"color": "grey", "marker": "o", "mfc": "none", "ms": 3, "ls": ""}
CHANCE_LINE = {"color": "grey", "ls": ":", "lw": 1, "zorder": 1}
RED = ListedColormap(["#ff3b30"])
SIGNED = matplotlib.colormaps["RdBu_r"].with_extremes(bad="0.75")
"""For scores around 0, white: red lowers the accuracy or speaks for the answer; grey: undefined."""
PAGE = 7.1
"""Inches: 180 mm, the width of a page."""
ROWS = 9
"""The examples of attributions that a page holds."""
SURVIVES = 0.5
"""`sanity.THRESHOLD`, which lies behind torch: drawing needs none."""
SCARCE = 0.01
"""Share of the lit pixels: the PIS of a region with fewer is a small drop over next to nothing, and may run off the scale."""
SMALLEST_TICK = 0.1
"""Axes that end below it have few ticks of two digits, which would otherwise run into each other."""
LEAST_SCALE = 0.1
"""Of PIS: where nothing falls, rounding does not set the scale."""
SERIES = {
    "ceiling": ("Ceiling", {"color": "0.25", "lw": 2.5, "zorder": 2}),
    "model": ("Model", {"color": "C0", "marker": MARKERS[0], "ms": 6, "lw": 1.2, "zorder": 3}),
    "cumulants": (
        "Cumulants",
        {"color": "C1", "marker": MARKERS[1], "ms": 4, "lw": 1, "ls": "--", "zorder": 4},
    ),
    "noise floor": (
        "Noise floor",
        {"color": "C2", "marker": MARKERS[2], "ms": 3, "lw": 1, "ls": "--", "zorder": 4},
    ),
    "m2m4": (
        "M2M4",
        {"color": "C4", "marker": MARKERS[3], "ms": 4, "lw": 1, "ls": "--", "zorder": 4},
    ),
    "chance": ("Chance", CHANCE_LINE),
}
"""Of `ceiling`. In the panel of the SNR three of them often lie on each other: they differ in width and size of the marker."""


def save(drawn: Figure | Axes, path: Path) -> None:
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    with staged(path) as temporary:
        figure.savefig(temporary)


def noted(drawn: Figure | Axes, note: str) -> Figure:
    """The picture with one more remark in its caption; an empty one adds nothing."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    if note:
        _caption(figure, "; ".join(filter(None, (figure.get_suptitle(), note))))
    return figure


def _axes(width: float, height: float) -> Axes:
    return Figure((width, height)).subplots()


def _caption(figure: Figure, text: str) -> None:
    """Small words above the panels, broken into lines where the figure ends."""
    figure.suptitle(text, fontsize=8, wrap=True)


def _nothing(why: str) -> Figure:
    """What is drawn where there is nothing to draw, since a stage has its pictures whatever its params."""
    figure = Figure((PAGE, 0.3))
    _caption(figure, why)
    return figure


def _lines(name: str) -> str:
    """A heading of a narrow panel, broken between words but not between a number and its %."""
    return fill(name.replace(" %", "\u00a0%"), 14)


def _range(numbers: pd.Series) -> str:
    """ "n = 17", or "n = 2 to 4" where they differ."""
    return f"n = {' to '.join(str(n) for n in sorted({int(numbers.min()), int(numbers.max())}))}"


def _frames(numbers: pd.Series) -> str:
    return f"{_range(numbers)} frames"


def audit(table: pd.DataFrame) -> Figure:
    """Measured SNR over its label, and how far it is off, a line a family, from `audit.snr_table`; that may be empty."""
    figure = Figure((5.5, 6))
    measured, error = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    ends = (table["snr_db"].min(), table["snr_db"].max()) if len(table) else (-20, 30)
    measured.plot(ends, ends, ":", color="black", zorder=3, label="Measured = label")
    error.plot(ends, (0, 0), ":", color="black", zorder=3)
    for i, (family, members) in enumerate(FAMILIES.items()):
        rows = table[table["modulation"].isin(members)].groupby("snr_db")
        if not rows.ngroups:
            continue
        median, low, high = (
            rows["measured_snr_db"].median(),
            rows["low_db"].min(),
            rows["high_db"].max(),
        )
        style = {"color": f"C{i}", "marker": MARKERS[i], "ms": 4, "lw": 1}
        measured.plot(median.index, median, label=family, **style)
        measured.fill_between(median.index, low, high, color=f"C{i}", alpha=0.15, lw=0)
        error.plot(median.index, median - median.index, **style)
    measured.set(ylabel="SNR from the out-of-band floor (dB)")
    error.set(xlabel="SNR label (dB)", ylabel="Measured - label (dB)")
    sizes = (
        " to ".join(str(n) for n in sorted({table["n"].min(), table["n"].max()}))
        if len(table)
        else "no"
    )
    measured.set_title(
        f"{sizes} frames a cell; bands: 16th to 84th percentile of the widest class", fontsize=8
    )
    measured.legend(frameon=False)
    return figure


def constellations(
    modulations: Sequence[str],
    snrs_db: Sequence[int],
    images: dict[str, np.ndarray],
    extents: dict[str, float],
) -> Figure:
    """A sheet of images: view -> (modulations, snrs, size, size), modulations in columns, SNRs in rows, views under each other."""
    rows = [(view, s) for view in images for s in range(len(snrs_db))]
    figure = Figure((0.8 * max(len(modulations), 4) + 0.6, 0.82 * len(rows) + 0.7))
    grid = figure.subplots(len(rows), len(modulations), squeeze=False)
    for axes_row, (view, s) in zip(grid, rows, strict=True):
        for axes, image in zip(axes_row, images[view][:, s], strict=True):
            _image(axes, image, images[view].max())
        axes_row[0].set_ylabel(f"{view}\n{snrs_db[s]} dB", fontsize=8)
    for axes, modulation in zip(grid[0], modulations, strict=True):
        axes.set_title(modulation, fontsize=8)
    widths = ", ".join(
        f"{view} {extents[view]:g} {'dB' if view == 'noise' else 'RMS'}" for view in images
    )
    _caption(
        figure,
        f"In-phase to the right, quadrature upwards, half width: {widths}; brightness: log(1 + points)",
    )
    return figure


def _image(axes: Axes, image: np.ndarray, brightest: float) -> None:
    """A constellation image (size, size), first row on top, without ticks: its axes are I to the right, Q upwards.

    `brightest` is the same for all images of a view: one scaled by its own maximum would hide its SNR.
    """
    axes.set_axis_on()
    axes.imshow(image, cmap="viridis", interpolation="nearest", vmin=0, vmax=brightest)
    axes.set_xticks([])
    axes.set_yticks([])


def training(history: pd.DataFrame) -> Figure:
    """Losses, validation accuracies and task weights by epoch, from the rows that `training.fit` returns.

    Where there are losses beside those of the tasks, they have a panel of their own; lines part the phases of a training that has some.
    """
    auxiliary = {
        label: history[f"train_{name}_loss"]
        for name, label in AUXILIARY_LABELS.items()
        if f"train_{name}_loss" in history
    }
    figure = Figure((PAGE, 5.4) if auxiliary else (10, 3))
    loss, accuracy, weight, *others = figure.subplots(*((2, 2) if auxiliary else (1, 3))).flat
    for part, style in (("train", "--"), ("validation", "-")):
        loss.plot(
            history["epoch"],
            history[f"{part}_loss"],
            style,
            marker="o",
            ms=3,
            label=part.capitalize(),
        )
    loss.set(xlabel="Epoch", ylabel="Loss, both tasks")
    for task, marker in zip(TASK_LABELS, MARKERS, strict=False):
        accuracy.plot(
            history["epoch"],
            100 * history[f"validation_{task}_accuracy"],
            marker=marker,
            ms=4,
            clip_on=False,
            label=TASK_LABELS[task],
        )
    accuracy.set(xlabel="Epoch", ylabel="Validation accuracy (%)", ylim=(0, 100))
    for task, marker in zip(("modulation", "snr"), MARKERS, strict=False):
        weight.plot(
            history["epoch"],
            history[f"{task}_weight"],
            marker=marker,
            ms=4,
            clip_on=False,
            label=TASK_LABELS[task],
        )
    weight.set(xlabel="Epoch", ylabel="Share of the loss weight", ylim=(0, 1))
    for axes in others:
        for (label, values), marker in zip(auxiliary.items(), MARKERS, strict=False):
            axes.plot(history["epoch"], values, marker=marker, ms=4, label=label)
        there = any((values > 0).any() for values in auxiliary.values())
        axes.set(
            xlabel="Epoch",
            ylabel="Auxiliary losses, training part",
            yscale="log" if there else "linear",
        )
        if there:
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
    starts = history.loc[history["phase"].diff() > 0] if "phase" in history else history[:0]
    for axes in (loss, accuracy, weight, *others):
        for epoch in starts["epoch"]:
            axes.axvline(epoch - 0.5, **CHANCE_LINE)
        axes.legend(frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    if len(starts):
        _caption(
            figure,
            f"Dotted: phases {', '.join(PHASES[int(phase)] for phase in starts['phase'])} begin",
        )
    return figure


def confusion(
    true: np.ndarray, predicted: np.ndarray, labels: Sequence, what: str, ax: Axes | None = None
) -> Axes:
    """Confusion matrix in % of each true class, from answers (n,) that are among `labels`."""
    position = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    np.add.at(
        matrix, ([position[v] for v in true.tolist()], [position[v] for v in predicted.tolist()]), 1
    )
    percent = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = 2 + 0.33 * len(labels)
    axes = ax or _axes(side + 0.8, side)
    image = axes.imshow(percent, cmap="viridis", vmin=0, vmax=100)
    for row, column in zip(*np.nonzero(percent >= 1), strict=True):
        value = percent[row, column]
        axes.text(
            column,
            row,
            f"{value:.0f}",
            ha="center",
            va="center",
            fontsize=6,
            color="black" if value > 60 else "white",
        )
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel=f"Predicted {what}", ylabel=f"True {what}")
    axes.figure.colorbar(image, ax=axes, label="Share of the true class (%)", shrink=0.8)
    axes.set_title(f"n = {len(true)}", fontsize=8)
    return axes


def per_class(scores: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """F1 of each modulation, the rows of `metrics.per_class`, as bars with precision and recall marked, by family."""
    scores = scores.set_index("label")
    order = _by_family(scores.index)
    scores = scores.loc[order]
    axes = ax or _axes(8, 3)
    axes.bar(range(len(order)), 100 * scores["f1"], color="C0", alpha=0.6, label="F1")
    for column, marker in (("precision", "o"), ("recall", "D")):
        axes.plot(
            range(len(order)),
            100 * scores[column],
            marker,
            ms=4,
            clip_on=False,
            label=column.capitalize(),
        )
    axes.set_xticks(range(len(order)), order, rotation=60, ha="right")
    axes.set(
        xlabel=f"Modulation, n = {scores['frames'].sum()} frames",
        ylabel="Score (%)",
        xlim=(-0.8, len(order) - 0.2),
        ylim=(0, 100),
    )
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return axes


def accuracy_by_snr(rows: pd.DataFrame, classes: tuple[int, int], ax: Axes | None = None) -> Axes:
    """Accuracy of each task over the SNR label with its interval and chance; `classes` are the numbers of modulations and SNRs."""
    axes = ax or _axes(6, 3.6)
    for i, (task, chance) in enumerate(_chances(classes).items()):
        # Joint, drawn last, often lies on another: dashes and smaller markers leave that to be seen.
        style = {
            "color": f"C{i}",
            "ls": "--" if task == "joint" else "-",
            "marker": MARKERS[i],
            "ms": 6 - i,
        }
        axes.plot(rows["snr_db"], 100 * rows[task], **style, clip_on=False, label=TASK_LABELS[task])
        axes.fill_between(
            rows["snr_db"],
            100 * rows[f"{task}_ci_low"],
            100 * rows[f"{task}_ci_high"],
            color=f"C{i}",
            alpha=0.2,
            lw=0,
        )
        axes.axhline(100 * chance, color=f"C{i}", ls=":", lw=1)
    axes.set(xlabel="SNR (dB)", ylabel="Accuracy (%)", ylim=(0, 100))
    axes.set_title(
        f"{INTERVAL}, n = {rows['frames'].min()} or more a point; dotted: chance", fontsize=8
    )
    axes.legend(frameon=False)
    return axes


def snr_estimate(rows: pd.DataFrame, source: str) -> Figure:
    """Reliability of the SNR that `source` estimates, over its label, and how far it is off, from `metrics.snr_estimates`."""
    figure = Figure((5.5, 6))
    estimate, error = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for axes, truth in ((estimate, 0), (error, rows["snr_db"])):
        axes.plot(rows["snr_db"], rows["mean_db"] - truth, MARKERS[0] + "-", label="Mean")
        axes.fill_between(
            rows["snr_db"],
            rows["low_db"] - truth,
            rows["high_db"] - truth,
            alpha=0.25,
            lw=0,
            label="16th to 84th percentile",
        )
    estimate.plot(rows["snr_db"], rows["snr_db"], label="Perfect", **CHANCE_LINE)
    error.axhline(0, **CHANCE_LINE)
    estimate.set(ylabel="Estimated SNR (dB)")
    error.set(xlabel="SNR label (dB)", ylabel="Estimate minus label (dB)")
    estimate.legend(frameon=False)
    _caption(figure, f"Estimate: {source}; {_frames(rows['frames'])} per label")
    return figure


def ceiling(rows: pd.DataFrame) -> Figure:
    """Accuracy over the SNR label of a model, references, chance and the ceiling, a panel a task, from `limits.accuracy_table`."""
    figure = Figure((PAGE, 3.3))
    tasks = [task for task in TASK_LABELS if (rows["task"] == task).any()]
    for axes, task in zip(
        figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0], tasks, strict=True
    ):
        for series, part in rows[rows["task"] == task].groupby("series"):
            label, style = SERIES[series]
            axes.plot(part["snr_db"], 100 * part["accuracy"], **style, clip_on=False, label=label)
            axes.fill_between(
                part["snr_db"],
                100 * part["ci_low"],
                100 * part["ci_high"],
                color=style["color"],
                alpha=0.15,
                lw=0,
            )
        axes.set(xlabel="SNR (dB)", ylim=(0, 102))
        axes.set_title(TASK_LABELS[task], fontsize=9)
    figure.axes[0].set_ylabel("Accuracy (%)")
    shown = [
        Line2D([], [], **style, label=label)
        for series, (label, style) in SERIES.items()
        if (rows["series"] == series).any()
    ]
    figure.legend(
        handles=shown,
        loc="outside lower center",
        ncols=len(shown),
        frameon=False,
        fontsize=8,
        columnspacing=1.2,
    )
    counts = {name: _range(rows.loc[rows["series"] == name, "n"]) for name in ("model", "ceiling")}
    said = f"95 % Wilson intervals; model and references: {counts['model']} frames a point; ceiling: {counts['ceiling']} trials"
    _caption(
        figure,
        said
        + "\nclasses without constellation points and OQPSK: always right to the ceiling, always wrong to the cumulants",
    )
    return figure


def perturbations(
    images: np.ndarray, taken: dict[str, np.ndarray], titles: Sequence[str]
) -> Figure:
    """Frames (n, size, size) in the first column, and with each named mask's pixels, bool (n, size, size), in red beside it."""
    tile = min(1.5, 10 / (1 + len(taken)))
    figure = Figure((tile * (1 + len(taken)), (tile + 0.1) * len(images) + 0.2))
    grid = figure.subplots(len(images), 1 + len(taken), squeeze=False)
    for i, row in enumerate(grid):
        for axes, (name, mask) in zip(
            row, {"": np.zeros_like(images, bool), **taken}.items(), strict=True
        ):
            _image(axes, images[i], images.max())
            axes.imshow(np.ma.masked_equal(mask[i], 0), cmap=RED, interpolation="nearest")
            if i == 0:
                axes.set_title(_lines(name or "Frame"), fontsize=8)
        row[0].set_ylabel(titles[i], fontsize=8)
    return figure


def degradation(rows: pd.DataFrame, baseline: dict[str, float], classes: tuple[int, int]) -> Figure:
    """Accuracy over the realised fraction of lit pixels taken, exact masks, with `baseline` accuracies at 0: a column a view, a row a task.

    The bands are the intervals of the drop; thin: the count controls, which take as many; dotted: chance, for `classes`, the numbers of
    modulations and SNRs. The axis is logarithmic from 0.5 % on, so that the first few pixels can be told apart.
    """
    chances = _chances(classes)
    figure, panels = _panels(rows, "accuracy (%)", "Lit pixels taken (%)")
    for axes, view, task in panels:
        for i, mask in enumerate(MASK_LABELS):
            part = _of(rows, view, mask, task)
            taken = np.concatenate([[0], part["fraction_lit"]])
            drops = {
                name: np.concatenate([[0], part[name]]) * taken
                for name in ("pis_ci_low", "pis_ci_high", "control_count_pis")
            }
            low, high, control = (
                100 * (baseline[task] - drops[name])
                for name in ("pis_ci_high", "pis_ci_low", "control_count_pis")
            )
            accuracy = 100 * np.concatenate([[baseline[task]], part["accuracy"]])
            axes.plot(
                100 * taken, accuracy, color=f"C{i}", marker=MARKERS[i], ms=3, lw=1, clip_on=False
            )
            axes.fill_between(100 * taken, low, high, color=f"C{i}", alpha=0.15, lw=0)
            axes.plot(100 * taken, control, **CONTROL_LINE)
        axes.axhline(100 * chances[task], **CHANCE_LINE)
        _fraction_axis(axes, 100 * rows.loc[rows["rule"] == _rule(rows), "fraction_lit"].max())
        axes.set_ylim(0, 100)
    _legend_below(figure, [*_mask_handles(rows), Line2D([], [], **CHANCE_LINE, label="Chance")])
    _caption(
        figure, f"{_rule(rows).capitalize()} masks; {INTERVAL} of the drop, {_frames(rows['n'])}"
    )
    return figure


def pis(rows: pd.DataFrame) -> Figure:
    """PIS over the level with its interval, exact masks, a column a view, a row a task; thin: as many lit pixels at random.

    A marker is filled where the accuracy differs from the one after the count control. Levels under `SCARCE` do not set the scale.
    """
    figure, panels = _panels(rows, "PIS", "Level (% of lit pixels)")
    drawn = rows[(rows["rule"] == _rule(rows)) & rows["mask"].isin(list(MASK_LABELS))]
    scarce = drawn["level_percent"] < 100 * SCARCE
    for axes, view, task in panels:
        for i, mask in enumerate(MASK_LABELS):
            part = _of(rows, view, mask, task)
            # A little apart, or the intervals would hide each other.
            _scores(axes, part["level_percent"] * 1.06 ** (i - 1), part, i, "-")
            axes.plot(part["level_percent"], part["control_count_pis"], **CONTROL_LINE)
        axes.axhline(0, color="grey", lw=0.6, zorder=0)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        _same_scale([axes], drawn[~scarce & (drawn["task"] == task)])
    _legend_below(figure, _mask_handles(rows))
    beyond = f"; levels under {100 * SCARCE:g} % may leave the panel" if scarce.any() else ""
    _caption(
        figure,
        f"{_rule(rows).capitalize()} masks; {INTERVAL}, {_frames(rows['n'])}; {FILLED}{beyond}",
    )
    return figure


def _scores(
    axes: Axes, x: pd.Series | np.ndarray, part: pd.DataFrame, style: int, line: str
) -> None:
    """PIS with its interval at each x, in the colour and marker number `style`, filled where it differs from its count control."""
    spread = np.abs(np.stack([part["pis"] - part["pis_ci_low"], part["pis_ci_high"] - part["pis"]]))
    axes.errorbar(x, part["pis"], spread, fmt=line, color=f"C{style}", lw=1, capsize=1.5)
    faces = [f"C{style}" if p < 0.05 else "white" for p in part["p_count_holm"]]
    axes.scatter(
        x,
        part["pis"],
        14,
        c=faces,
        edgecolors=f"C{style}",
        marker=MARKERS[style],
        linewidths=0.9,
        zorder=3,
    )


def regions(rows: pd.DataFrame, task: str = "joint") -> Figure:
    """PIS of parts of the picture for one task, a row a view: rings, sectors and clusters as points beside a map of the windows.

    A point carries its interval and, small and hollow, its count control. Where the accuracy differs from the one after the control, the
    point is filled, and the window has a dot. All views share one scale, for the regions that take `SCARCE` of the lit pixels or more.
    """
    rows = rows[(rows["task"] == task) & rows["rule"].isin([*REGION_LABELS, "window"])]
    if rows.empty:
        return _nothing("No regions were taken: perturb.regions is empty")
    views = rows["view"].unique()
    figure = Figure((PAGE, 1.1 + 1.3 * len(views)))
    grid = figure.subplots(len(views), 2, squeeze=False, width_ratios=(3.4, 1), sharex="col")
    for (points, _), view in zip(grid, views, strict=True):
        _region_points(points, rows[(rows["view"] == view) & (rows["rule"] != "window")])
        points.set_ylabel(f"{view}\n{TASK_LABELS[task]} PIS")
    _same_scale(grid[:, 0], rows[(rows["rule"] != "window") & (rows["fraction_lit"] >= SCARCE)])
    _window_maps(
        grid[:, 1], rows[rows["rule"] == "window"], views, f"{TASK_LABELS[task]} PIS of a window"
    )
    kinds = {
        rule.capitalize(): i for i, rule in enumerate(REGION_LABELS) if (rows["rule"] == rule).any()
    }
    if kinds:
        _legend_below(
            figure, [*_handles(kinds, ""), Line2D([], [], **HOLLOW, label="Count control")]
        )
    windows = f"windows: in-phase to the right, quadrature upwards, grey: less than {100 * SCARCE:g} % of the lit pixels, dots as filled"
    _caption(figure, f"{INTERVAL}, {_frames(rows['n'])}; {FILLED}; {windows}")
    return figure


def _region_points(axes: Axes, part: pd.DataFrame) -> None:
    """The rings, sectors and clusters of one view, next to each other in the table's order, a gap between the kinds."""
    if part.empty:
        axes.set_axis_off()
        return
    ticks: list[tuple[int, str]] = []
    start = 0
    for i, (rule, label) in enumerate(REGION_LABELS.items()):
        group = part[part["rule"] == rule]
        if group.empty:
            continue
        x = start + (2 if rule == "cluster" else 1) * np.arange(len(group))
        _scores(axes, x, group, i, "none")
        axes.plot(x + 0.25, group["control_count_pis"], **HOLLOW)
        names = (
            [f"{360 * k / len(x):.0f}" for k in range(len(x))]
            if rule == "sector"
            else list(group["mask"])
        )
        # Degrees are wider than a step between points: four of them at most.
        ticks += list(zip(x, names, strict=True))[
            :: ceil(len(x) / 4) if rule == "sector" else 1 + len(x) // 12
        ]
        if axes.get_subplotspec().is_first_row():
            axes.text(
                x.mean(),
                1.03,
                label,
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                fontsize=8,
            )
        start = x[-1] + 2
    axes.axhline(0, color="grey", lw=0.6, zorder=0)
    axes.set_xticks([x for x, _ in ticks], [name for _, name in ticks], fontsize=8)


def _same_scale(panels: Sequence[Axes], rows: pd.DataFrame) -> None:
    """The same limits for all, from 0 and from the intervals and controls of the rows."""
    ends = rows[["pis_ci_low", "pis_ci_high", "control_count_pis"]]
    low, high = min(0, ends.min().min()), max(LEAST_SCALE, ends.max().max())
    for axes in panels:
        if high > low:
            axes.set_ylim(low - 0.06 * (high - low), high + 0.06 * (high - low))


def _window_maps(
    panels: Sequence[Axes], rows: pd.DataFrame, views: Sequence[str], label: str
) -> None:
    """PIS of the windows of each view, at their places, one colour scale; a dot where a window differs from its count control."""
    places = rows["mask"].str.extract("(?P<row>[0-9]+)-(?P<column>[0-9]+)").astype(int)
    rows = rows.assign(**places, shown=rows["pis"].where(rows["fraction_lit"] >= SCARCE))
    norm = CenteredNorm(0, _largest(rows["shown"]))
    for axes, view in zip(panels, views, strict=True):
        windows = rows[rows["view"] == view].pivot(index="row", columns="column")
        if windows.empty:
            axes.set_axis_off()
            continue
        image = axes.imshow(np.ma.masked_invalid(windows["shown"]), cmap=SIGNED, norm=norm)
        y, x = np.nonzero(windows["p_count_holm"] < 0.05)
        axes.plot(x, y, "o", color="black", ms=2.5, mec="white", mew=0.4)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_ylabel(view, fontsize=8)
    if len(rows):
        panels[0].figure.colorbar(
            image, ax=list(panels), label=label, shrink=min(1, 2 / len(views))
        )


def _largest(scores: pd.Series) -> float:
    """Where a scale around 0 ends: the largest magnitude, or 1 where all is 0 or undefined."""
    largest = scores.abs().max()
    return largest if largest > 0 else 1


def pis_heatmap(
    cells: pd.DataFrame, views: Sequence[str], mask: str = "top", task: str = "joint"
) -> Figure:
    """PIS minus that of the count control, of one mask and task in every (modulation, SNR) cell, from `pis.by_cell`.

    A panel a view, the modulations by family.
    """
    cells = cells[(cells["mask"] == mask) & (cells["task"] == task)]
    if cells.empty:
        return _nothing(
            f"{MASK_LABELS[mask]} were not taken: perturb.rules lacks exact, or perturb.masks {mask}"
        )
    order = _by_family(cells["modulation"])
    snrs_db = np.sort(cells["snr_db"].unique())
    norm = CenteredNorm(0, _largest(cells["excess"]))
    figure = Figure((min(PAGE, 1.9 + 1.5 * len(views)), max(2.2, 1.3 + 0.15 * len(order))))
    panels = figure.subplots(1, len(views), squeeze=False, sharey=True)[0]
    for axes, view in zip(panels, views, strict=True):
        table = (
            cells[cells["view"] == view]
            .pivot(index="modulation", columns="snr_db", values="excess")
            .reindex(order, columns=snrs_db)
        )
        image = axes.imshow(
            np.ma.masked_invalid(table),
            cmap=SIGNED,
            norm=norm,
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(view, fontsize=9)
        step = 1 + (len(snrs_db) - 1) // 8
        axes.set_xticks(range(0, len(snrs_db), step), snrs_db[::step], fontsize=7)
        axes.set_yticks(range(len(order)), order, fontsize=7)
    figure.supxlabel("SNR (dB)", fontsize=9)
    figure.colorbar(image, ax=panels, label=f"{TASK_LABELS[task]} PIS over chance")
    levels = " and ".join(f"{level:g} %" for level in np.sort(cells["level_percent"].unique()))
    few = f"only {_frames(cells['n'])} a cell"
    _caption(
        figure,
        f"{MASK_LABELS[mask]}, {levels} of the lit pixels, minus their count control; {few}; grey: undefined",
    )
    return figure


def attributions(
    images: np.ndarray,
    taken: dict[str, np.ndarray],
    maps: dict[str, np.ndarray],
    curves: dict[str, np.ndarray],
    levels_percent: Sequence[float],
    titles: Sequence[str],
    frames: int = 1,
) -> Figure:
    """Why the model said so, a row an example: constellation, what PIS takes from it, a panel a method, and what deleting pixels does.

    Of more than `ROWS` examples so many are shown, spread evenly over those given.

    - `images` (rows, size, size): of one view.
    - `taken`: the name of a mask -> its pixels, bool (rows, size, size).
    - `maps`: method -> (rows, size, size), of that view; they lie over the constellation, see `_overlay`; NaN is left bare.
    - `curves`: method -> (rows, levels), probability of the answer, 0..1, when `levels_percent` of the lit pixels are out in the
      method's order, 0 % first; the mean over `frames`.
    """
    panels = 1 + len(taken) + len(maps)
    shown = np.linspace(0, len(images) - 1, min(len(images), ROWS)).round().astype(int)
    figure = Figure((PAGE, 1.1 + 0.95 * len(shown)))
    grid = figure.subplots(
        len(shown), panels + 1, squeeze=False, width_ratios=[1] * panels + [1.8], sharex="col"
    )
    for i, (frame, *marked, last) in zip(shown, grid, strict=True):
        for axes in (frame, *marked[: len(taken)]):
            _image(axes, images[i], images[i].max())
        for axes, mask in zip(marked, taken.values(), strict=False):
            axes.imshow(np.ma.masked_equal(mask[i], 0), cmap=RED, interpolation="nearest")
        for axes, scores in zip(marked[len(taken) :], maps.values(), strict=False):
            _overlay(axes, images[i], scores[i])
        _curves(last, {method: curve[i] for method, curve in curves.items()}, levels_percent)
        frame.set_ylabel(titles[i], fontsize=8)
    heads = [
        "Constellation",
        *taken,
        *(METHOD_LABELS[method] for method in maps),
        "Probability of the answer (%)",
    ]
    for axes, head in zip(grid[0], heads, strict=True):
        axes.set_title(_lines(head), fontsize=8)
    grid[-1, -1].set_xlabel("Lit pixels taken (%)", fontsize=8)
    _legend_below(
        figure,
        _handles(
            {METHOD_LABELS[method]: list(METHOD_LABELS).index(method) for method in curves}, "-"
        ),
    )
    some = f"{len(shown)} of {len(images)} examples; " if len(shown) < len(images) else ""
    maps_are = "maps: red for the answer, blue against it, each on its own scale"
    _caption(figure, f"{some}{maps_are}; probability: mean over frames, n = {frames}")
    return figure


def _overlay(axes: Axes, image: np.ndarray, scores: np.ndarray) -> None:
    """A map over the grey constellation, the stronger the less of it shines through.

    A map with both signs is scaled by its largest magnitude; one without is stretched from its smallest value (no colour) to its largest,
    since what RISE adds everywhere says nothing about a pixel. Where it is NaN the constellation is bare.
    """
    _image(axes, image, image.max())
    axes.images[0].set_cmap("Greys")
    known = scores[~np.isnan(scores)]
    if not known.size:
        return
    low, span = (known.min(), np.ptp(known)) if known.min() >= 0 else (0, np.abs(known).max())
    scaled = np.nan_to_num((scores - low) / (span or 1))
    colours = SIGNED(0.5 + scaled / 2)
    colours[..., 3] = np.abs(scaled)
    axes.imshow(colours, interpolation="nearest")


def _curves(axes: Axes, curves: dict[str, np.ndarray], levels_percent: Sequence[float]) -> None:
    """Probabilities, 0..1, over the level; markers only where the curves are apart: not where none or all is taken, nor near 0."""
    levels = np.asarray(levels_percent)
    for method, curve in curves.items():
        style = list(METHOD_LABELS).index(method)
        apart = (levels > 0) & (levels < 100) & (curve > 0.03)
        axes.plot(
            levels,
            100 * curve,
            color=f"C{style}",
            marker=MARKERS[style],
            ms=2,
            lw=0.8,
            markevery=apart,
            clip_on=False,
        )
    _fraction_axis(axes, max(levels_percent))
    axes.set_ylim(0, 100)
    axes.tick_params(labelsize=7)


def attribution_table(rows: pd.DataFrame) -> Figure:
    """How each method does on each measure with its interval, a row a head: rows of `task, method, measure, value, ci_low, ci_high, n`.

    Only the measures of `MEASURE_LABELS` and the methods of `METHOD_LABELS` are shown. Dotted is the random ranking, against which the
    others are to be held. The sanity checks have their threshold, dashed, and where the rows have a `null`, that as a cross.
    """
    rows = rows[rows["method"].isin(list(METHOD_LABELS))].reindex(
        columns=list(dict.fromkeys([*rows, "null"]))
    )
    tasks = rows["task"].unique()
    measures, methods = (
        [name for name in known if (rows[what] == name).any()] for what, known in SHOWN.items()
    )
    figure = Figure((PAGE + 0.9, 1 + (0.4 + 0.17 * len(methods)) * len(tasks)))
    grid = figure.subplots(len(tasks), len(measures), squeeze=False, sharex="col", sharey=True)
    for (t, task), (m, measure) in product(enumerate(tasks), enumerate(measures)):
        part = (
            rows[(rows["task"] == task) & (rows["measure"] == measure)]
            .set_index("method")
            .reindex(methods)
        )
        _measured(
            grid[t, m],
            part[["value", "ci_low", "ci_high"]] * (100 if measure.endswith("_area") else 1),
        )
        if measure in CHECKS:
            grid[t, m].axvline(SURVIVES, **CONTROL_LINE)
            grid[t, m].plot(part["null"], range(len(methods)), **NULL_MARK)
    for axes, measure in zip(grid[-1], measures, strict=True):
        axes.set_xlabel(
            f"{MEASURE_LABELS[measure]}\n{_range(rows.loc[rows['measure'] == measure, 'n'])}",
            fontsize=7,
        )
    for axes, task in zip(grid[:, 0], tasks, strict=True):
        axes.set_yticks(
            range(len(methods)), [METHOD_LABELS[method] for method in methods], fontsize=8
        )
        axes.set_ylabel(f"{TASK_LABELS[task]} head")
    grid[0, 0].invert_yaxis()
    checks = rows[rows["measure"].isin(CHECKS)]
    threshold = f"; dashed: threshold of the sanity checks, {SURVIVES:g}" if len(checks) else ""
    null = (
        "; grey x: mean |rank correlation| between maps of different frames"
        if checks["null"].notna().any()
        else ""
    )
    _caption(figure, f"{INTERVAL}; dotted: the random ranking{threshold}{null}")
    return figure


def _measured(axes: Axes, values: pd.DataFrame) -> None:
    """One measure: `value, ci_low, ci_high` of each method, from top to bottom, and where the random ranking lies."""
    for y, (method, row) in enumerate(values.iterrows()):
        style = list(METHOD_LABELS).index(method)
        spread = np.abs([[row["value"] - row["ci_low"]], [row["ci_high"] - row["value"]]])
        axes.errorbar(
            row["value"],
            y,
            xerr=spread,
            fmt=MARKERS[style],
            color=f"C{style}",
            ms=4,
            lw=1,
            capsize=2,
        )
    if "random" in values.index:
        axes.axvline(values.loc["random", "value"], **CHANCE_LINE)
    axes.tick_params(labelsize=7)
    tiny = np.abs(axes.get_xlim()).max() < SMALLEST_TICK
    axes.locator_params(
        axis="x",
        **({"nbins": 2, "steps": [1, 2, 5, 10], "min_n_ticks": 1} if tiny else {"nbins": 3}),
    )
    axes.xaxis.set_major_formatter("{x:.2g}" if tiny else ScalarFormatter())


def _panels(rows: pd.DataFrame, what: str, over: str) -> tuple[Figure, list[tuple[Axes, str, str]]]:
    """A column of panels a view of a PIS table, a row a task, not wider than a page: (axes, view, task)."""
    views = rows["view"].unique()
    figure = Figure((max(3.5, min(PAGE, 0.7 + 1.6 * len(views))), 5.4))
    grid = figure.subplots(len(TASK_LABELS), len(views), squeeze=False, sharex=True, sharey="row")
    for axes, view in zip(grid[0], views, strict=True):
        axes.set_title(view, fontsize=9)
    for axes, label in zip(grid[:, 0], TASK_LABELS.values(), strict=True):
        axes.set_ylabel(f"{label}\n{what}")
    for axes in grid[-1]:
        axes.set_xlabel(over, fontsize=8)
    return figure, [
        (grid[t, v], view, task)
        for t, task in enumerate(TASK_LABELS)
        for v, view in enumerate(views)
    ]


def _fraction_axis(axes: Axes, largest: float) -> None:
    """Percent of the lit pixels up to `largest`: 0, where nothing is taken, then logarithmic from 0.5 %."""
    axes.set_xscale("symlog", linthresh=0.5, linscale=0.3)
    axes.set_xlim(0, 1.05 * largest)
    axes.set_xticks([x for x in (0, 1, 5, 20, 100) if x <= 1.05 * largest])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()


def _handles(styles: dict[str, int], line: str) -> list[Artist]:
    """Of a legend: label -> number of colour and marker."""
    return [
        Line2D([], [], color=f"C{i}", marker=MARKERS[i], ms=4, lw=1, ls=line, label=label)
        for label, i in styles.items()
    ]


def _mask_handles(rows: pd.DataFrame) -> list[Artist]:
    masks = _handles(
        {
            name: i
            for i, (mask, name) in enumerate(MASK_LABELS.items())
            if (rows["mask"] == mask).any()
        },
        "-",
    )
    return [*masks, Line2D([], [], **CONTROL_LINE, label="Count control")]


def _legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Under all panels, in as many columns as there is room for."""
    columns = min(len(handles), int(figure.get_figwidth() // 1.4))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8,
        columnspacing=1.2,
    )


def _by_family(modulations: Iterable[str]) -> list[str]:
    """Each modulation once, families next to each other."""
    known = set(modulations)
    return [m for family in FAMILIES.values() for m in family if m in known]


def _chances(classes: tuple[int, int]) -> dict[str, float]:
    """Accuracy of guessing, for the numbers of modulations and SNRs."""
    return {
        "modulation": 1 / classes[0],
        "snr": 1 / classes[1],
        "joint": 1 / (classes[0] * classes[1]),
    }


def _rule(rows: pd.DataFrame) -> str:
    """The rule whose masks are drawn: exact, where it is there."""
    return "exact" if (rows["rule"] == "exact").any() else "percentile"


def _of(rows: pd.DataFrame, view: str, mask: str, task: str) -> pd.DataFrame:
    """Rows of one view, mask and task by level, of `_rule`."""
    chosen = (
        (rows["rule"] == _rule(rows))
        & (rows["view"] == view)
        & (rows["mask"] == mask)
        & (rows["task"] == task)
    )
    return rows[chosen].sort_values("level_percent")
