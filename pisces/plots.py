"""Arrays -> axes. Every function draws from data and returns the axes or figure; `save` is the only one that writes."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.files import staged
from pisces.modulations import FAMILIES

matplotlib.style.use("petroff10")
matplotlib.rcParams.update({"font.size": 9, "axes.grid": False, "figure.constrained_layout.use": True, "savefig.dpi": 150})

MARKERS = "osD^vPX*<>"
TASK_LABELS = {"modulation": "Modulation", "snr": "SNR", "joint": "Joint"}
MASK_LABELS = {"top": "Brightest pixels", "bottom": "Dimmest lit pixels", "random": "Random pixels"}
INTERVAL = "95 % bootstrap interval"


def save(drawn: Figure | Axes, path: Path) -> None:
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    with staged(path) as temporary:
        figure.savefig(temporary)


def _axes(width: float, height: float) -> Axes:
    return Figure((width, height)).subplots()


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
        median, low, high = rows["measured_snr_db"].median(), rows["low_db"].min(), rows["high_db"].max()
        style = {"color": f"C{i}", "marker": MARKERS[i], "ms": 4, "lw": 1}
        measured.plot(median.index, median, label=family, **style)
        measured.fill_between(median.index, low, high, color=f"C{i}", alpha=0.15, lw=0)
        error.plot(median.index, median - median.index, **style)
    measured.set(ylabel="SNR from the out-of-band floor (dB)")
    error.set(xlabel="SNR label (dB)", ylabel="Measured - label (dB)")
    sizes = " to ".join(str(n) for n in sorted({table["n"].min(), table["n"].max()})) if len(table) else "no"
    measured.set_title(f"{sizes} frames a cell; bands: 16th to 84th percentile of the widest class", fontsize=8)
    measured.legend(frameon=False)
    return figure


def constellations(modulations: Sequence[str], snrs_db: Sequence[int], images: dict[str, np.ndarray], extents: dict[str, float]) -> Figure:
    """A sheet of images: view -> (modulations, snrs, size, size), modulations in columns, SNRs in rows, views under each other."""
    rows = [(view, s) for view in images for s in range(len(snrs_db))]
    figure = Figure((0.8 * max(len(modulations), 6) + 0.6, 0.82 * len(rows) + 0.5))
    grid = figure.subplots(len(rows), len(modulations), squeeze=False)
    for axes_row, (view, s) in zip(grid, rows, strict=True):
        for axes, image in zip(axes_row, images[view][:, s], strict=True):
            _image(axes, image, images[view].max())
        axes_row[0].set_ylabel(f"{view}\n{snrs_db[s]} dB", fontsize=8)
    for axes, modulation in zip(grid[0], modulations, strict=True):
        axes.set_title(modulation, fontsize=8)
    widths = ", ".join(f"{view} {extents[view]:g} {'dB' if view == 'noise' else 'RMS'}" for view in images)
    figure.supxlabel(f"In-phase to the right, quadrature upwards, half width: {widths}; brightness: log(1 + points)", fontsize=8)
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
    """Losses, validation accuracies and task weights by epoch, from the rows that `training.fit` returns."""
    figure = Figure((10, 3))
    loss, accuracy, weight = figure.subplots(1, 3)
    for part, style in (("train", "--"), ("validation", "-")):
        loss.plot(history["epoch"], history[f"{part}_loss"], style, marker="o", ms=3, label=part.capitalize())
    loss.set(xlabel="Epoch", ylabel="Loss, both tasks")
    for task, marker in zip(TASK_LABELS, MARKERS, strict=False):
        accuracy.plot(history["epoch"], 100 * history[f"validation_{task}_accuracy"], marker=marker, ms=4, label=TASK_LABELS[task])
    accuracy.set(xlabel="Epoch", ylabel="Validation accuracy (%)", ylim=(0, 103))
    for task, marker in zip(("modulation", "snr"), MARKERS, strict=False):
        weight.plot(history["epoch"], history[f"{task}_weight"], marker=marker, ms=4, label=TASK_LABELS[task])
    weight.set(xlabel="Epoch", ylabel="Share of the loss weight", ylim=(0, 1))
    for axes in (loss, accuracy, weight):
        axes.legend(frameon=False)
        axes.xaxis.get_major_locator().set_params(integer=True)
    return figure


def confusion(true: np.ndarray, predicted: np.ndarray, labels: Sequence, what: str, ax: Axes | None = None) -> Axes:
    """Confusion matrix in % of each true class, from answers (n,) that are among `labels`."""
    position = {label: i for i, label in enumerate(labels)}
    matrix = np.zeros((len(labels), len(labels)))
    np.add.at(matrix, ([position[v] for v in true.tolist()], [position[v] for v in predicted.tolist()]), 1)
    percent = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = 2 + 0.33 * len(labels)
    axes = ax or _axes(side + 0.8, side)
    image = axes.imshow(percent, cmap="viridis", vmin=0, vmax=100)
    for row, column in zip(*np.nonzero(percent >= 1), strict=True):
        value = percent[row, column]
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color="black" if value > 60 else "white")
    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel=f"Predicted {what}", ylabel=f"True {what}")
    axes.figure.colorbar(image, ax=axes, label="Share of the true class (%)", shrink=0.8)
    axes.set_title(f"n = {len(true)}", fontsize=8)
    return axes


def per_class(scores: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """F1 of each modulation, the rows of `metrics.per_class`, as bars with precision and recall marked, by family."""
    scores = scores.set_index("label")
    order = [m for family in FAMILIES.values() for m in family if m in scores.index]
    scores = scores.loc[order]
    axes = ax or _axes(8, 3)
    axes.bar(range(len(order)), 100 * scores["f1"], color="C0", alpha=0.6, label="F1")
    for column, marker in (("precision", "o"), ("recall", "D")):
        axes.plot(range(len(order)), 100 * scores[column], marker, ms=4, label=column.capitalize())
    axes.set_xticks(range(len(order)), order, rotation=60, ha="right")
    axes.set(xlabel=f"Modulation, n = {scores['frames'].sum()} frames", ylabel="Score (%)", ylim=(0, 100))
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return axes


def accuracy_by_snr(rows: pd.DataFrame, classes: tuple[int, int], ax: Axes | None = None) -> Axes:
    """Accuracy of each task over the SNR label with its interval and chance; `classes` are the numbers of modulations and SNRs."""
    axes = ax or _axes(6, 3.6)
    for i, (task, chance) in enumerate(_chances(classes).items()):
        axes.plot(rows["snr_db"], 100 * rows[task], color=f"C{i}", marker=MARKERS[i], ms=4, label=TASK_LABELS[task])
        axes.fill_between(rows["snr_db"], 100 * rows[f"{task}_ci_low"], 100 * rows[f"{task}_ci_high"], color=f"C{i}", alpha=0.2, lw=0)
        axes.axhline(100 * chance, color=f"C{i}", ls=":", lw=1)
    axes.set(xlabel="SNR (dB)", ylabel="Accuracy (%)", ylim=(0, 100))
    axes.set_title(f"{INTERVAL}, n = {rows['frames'].min()} or more a point; dotted: chance", fontsize=8)
    axes.legend(frameon=False)
    return axes


def perturbations(images: np.ndarray, taken: dict[str, np.ndarray], titles: Sequence[str]) -> Figure:
    """Frames (n, size, size) in the first column, and with each named mask's pixels, bool (n, size, size), in red beside it."""
    figure = Figure((1.5 * (1 + len(taken)), 1.6 * len(images)))
    grid = figure.subplots(len(images), 1 + len(taken), squeeze=False)
    for i, row in enumerate(grid):
        for axes, (name, mask) in zip(row, {"": np.zeros_like(images, bool), **taken}.items(), strict=True):
            _image(axes, images[i], images.max())
            axes.imshow(np.ma.masked_equal(mask[i], 0), cmap=matplotlib.colors.ListedColormap(["#ff3b30"]), interpolation="nearest")
            if i == 0:
                axes.set_title(name or "Frame", fontsize=8)
        row[0].set_ylabel(titles[i], fontsize=8)
    return figure


def degradation(rows: pd.DataFrame, baseline: dict[str, float], classes: tuple[int, int]) -> Figure:
    """Accuracy over the realised fraction of lit pixels taken, exact masks, with `baseline` accuracies at 0: a row a view, a column a task.

    The bands are the intervals of the drop; dotted is chance, for `classes`, the numbers of modulations and SNRs.
    """
    chances = _chances(classes)
    figure, panels = _panels(rows)
    for axes, view, task, label in panels:
        for i, (mask, name) in enumerate(MASK_LABELS.items()):
            part = _of(rows, view, mask, task)
            x = np.concatenate([[0], 100 * part["fraction_lit"]])
            drops = [np.concatenate([[0], part["fraction_lit"] * part[column]]) for column in ("pis_ci_low", "pis_ci_high")]
            high, low = (100 * (baseline[task] - drop) for drop in drops)
            accuracy = 100 * np.concatenate([[baseline[task]], part["accuracy"]])
            axes.plot(x, accuracy, color=f"C{i}", marker=MARKERS[i], ms=4, label=name)
            axes.fill_between(x, low, high, color=f"C{i}", alpha=0.15, lw=0)
        axes.axhline(100 * chances[task], color="grey", ls=":", lw=1)
        axes.set(xlabel=f"Lit pixels of {view} taken (%)", ylabel=f"{label} accuracy (%)")
        axes.set_ylim(bottom=0)
    _legend_below(figure, axes)
    figure.suptitle(f"{INTERVAL} of the drop, n = {rows['n'].iloc[0]} frames; dotted: chance", fontsize=8)
    return figure


def pis(rows: pd.DataFrame) -> Figure:
    """PIS over the level with its interval, exact masks, a row a view, a column a task; hollow: the same number of lit pixels at random."""
    figure, panels = _panels(rows)
    for axes, view, task, label in panels:
        for i, (mask, name) in enumerate(MASK_LABELS.items()):
            part = _of(rows, view, mask, task)
            x = part["level_percent"] + 0.08 * (i - 1)
            spread = np.abs(np.stack([part["pis"] - part["pis_ci_low"], part["pis_ci_high"] - part["pis"]]))
            axes.errorbar(x, part["pis"], spread, color=f"C{i}", marker=MARKERS[i], ms=4, lw=1, capsize=2, label=name)
            axes.plot(x, part["control_count_pis"], MARKERS[i], color=f"C{i}", mfc="none", ms=5)
        axes.axhline(0, color="grey", lw=0.8)
        axes.set(xlabel=f"Level (% of the lit pixels of {view})", ylabel=f"{label} PIS")
    _legend_below(figure, axes)
    figure.suptitle(f"{INTERVAL}, n = {rows['n'].iloc[0]} frames; hollow: count control", fontsize=8)
    return figure


def _panels(rows: pd.DataFrame) -> tuple[Figure, list[tuple[Axes, str, str, str]]]:
    """A row of panels a view of a PIS table, a column a task: (axes, view, task, label of the task)."""
    views = rows["view"].unique()
    figure = Figure((10, 0.4 + 2.8 * len(views)))
    grid = figure.subplots(len(views), len(TASK_LABELS), squeeze=False)
    return figure, [
        (axes, view, *task) for row, view in zip(grid, views, strict=True) for axes, task in zip(row, TASK_LABELS.items(), strict=True)
    ]


def _legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of one panel, under all of them."""
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _chances(classes: tuple[int, int]) -> dict[str, float]:
    """Accuracy of guessing, for the numbers of modulations and SNRs."""
    return {"modulation": 1 / classes[0], "snr": 1 / classes[1], "joint": 1 / (classes[0] * classes[1])}


def _of(rows: pd.DataFrame, view: str, mask: str, task: str) -> pd.DataFrame:
    """Rows of one view, mask and task by level, of the exact rule where it is there."""
    rule = "exact" if (rows["rule"] == "exact").any() else rows["rule"].iloc[0]
    chosen = (rows["rule"] == rule) & (rows["view"] == view) & (rows["mask"] == mask) & (rows["task"] == task)
    return rows[chosen].sort_values("level_percent")
