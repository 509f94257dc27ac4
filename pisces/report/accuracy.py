"""Pictures of what a model learnt and what it is worth: training, accuracies, SNR, ceiling."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.report.style import (
    CAPTION,
    CHANCE_LINE,
    ESTIMATOR_COLOURS,
    MARKERS,
    PAGE,
    SCORE_COLOURS,
    TASKS,
    WILSON,
    Style,
    band,
    by_family,
    caption,
    chances,
    legend_below,
    sizes,
    snr_axis,
)

AUXILIARY_LOSSES = {
    "denoising": "Denoising",
    "identity": "Identity",
    "noise": "Logit of the noise fraction",
    "features": "Features",
    "distillation": "Distillation",
}
PHASES = ("a", "b1", "b2", "c")

CEILING_LABELS = {
    "matched-filter bound": "Matched-filter bound",
    "ceiling": "Ceiling, all known",
    "blind": "Blind reference",
    "model": "Model",
    "cumulants": "Cumulants",
    "noise floor": "Noise floor",
    "m2m4": "M2M4",
    "chance": "Chance",
}
CEILING_LINES: dict[str, Style] = {
    "matched-filter bound": {"lw": 1.2, "ls": "--", "zorder": 2.5},
    "ceiling": {"lw": 2.5, "zorder": 2},
    "blind": {"marker": "v", "ms": 4, "lw": 1.5},
    "model": {"marker": "o", "ms": 6, "lw": 1.2, "zorder": 3},
    "cumulants": {"marker": "s", "ms": 4, "lw": 1, "ls": "--"},
    "noise floor": {"marker": "D", "ms": 3, "lw": 1, "ls": "--"},
    "m2m4": {"marker": "^", "ms": 4, "lw": 1, "ls": "--"},
    "chance": CHANCE_LINE,
}
"""Several often lie on each other: widths and markers differ for that."""

REFERENCE_ORDER = 4
"""Above the ceiling and the model."""


# Training


def training(history: pd.DataFrame) -> Figure:
    """Losses, validation accuracies and task weights over the epoch, from plots/training.csv.

    Losses beside those of the two tasks have a panel of their own, where there are any. Dotted
    lines separate the phases of a training that has some.
    """
    columns = {name: f"train_{name}_loss" for name in AUXILIARY_LOSSES}
    auxiliary = {
        AUXILIARY_LOSSES[name]: history[column]
        for name, column in columns.items()
        if column in history
    }
    figure = Figure((PAGE, 5.4) if auxiliary else (10, 3))
    rows, panels = (2, 2) if auxiliary else (1, 3)
    loss, accuracy, weight, *others = figure.subplots(rows, panels).flat

    _losses(loss, history)
    _accuracies(accuracy, history)
    _weights(weight, history)
    for axes in others:
        _auxiliary_losses(axes, history["epoch"], auxiliary)

    for axes in figure.axes:
        axes.legend(frameon=False)
        locator = axes.xaxis.get_major_locator()
        assert isinstance(locator, MaxNLocator), "that of linear axes"
        locator.set_params(integer=True)
    if "phase" in history:
        _separate_phases(figure, history)
    return figure


def _losses(axes: Axes, history: pd.DataFrame) -> None:
    for part, line in (("train", "--"), ("validation", "-")):
        losses = history[f"{part}_loss"]
        axes.plot(history["epoch"], losses, line, marker="o", ms=3, label=part.capitalize())
    axes.set(xlabel="Epoch", ylabel="Loss, both tasks")


def _accuracies(axes: Axes, history: pd.DataFrame) -> None:
    for task, (label, colour, marker) in TASKS.items():
        percent = 100 * history[f"validation_{task}_accuracy"]
        style: Style = {"color": colour, "marker": marker, "ms": 4, "clip_on": False}
        axes.plot(history["epoch"], percent, label=label, **style)
    axes.set(xlabel="Epoch", ylabel="Validation accuracy (%)", ylim=(0, 100))


def _weights(axes: Axes, history: pd.DataFrame) -> None:
    for task in ("modulation", "snr"):
        label, colour, marker = TASKS[task]
        style: Style = {"color": colour, "marker": marker, "ms": 4, "clip_on": False}
        axes.plot(history["epoch"], history[f"{task}_weight"], label=label, **style)
    axes.set(xlabel="Epoch", ylabel="Share of the loss weight", ylim=(0, 1))


def _auxiliary_losses(axes: Axes, epochs: pd.Series, losses: dict[str, pd.Series]) -> None:
    """The losses beside those of the tasks, on a logarithmic scale unless all of them are 0."""
    for (label, values), marker in zip(losses.items(), MARKERS, strict=False):
        axes.plot(epochs, values, marker=marker, ms=4, label=label)
    axes.set(xlabel="Epoch", ylabel="Auxiliary losses, training part")

    if any((values > 0).any() for values in losses.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _separate_phases(figure: Figure, history: pd.DataFrame) -> None:
    """A dotted line in every panel where a phase begins."""
    starts = history[history["phase"].diff() > 0]
    for axes in figure.axes:
        for epoch in starts["epoch"]:
            axes.axvline(epoch - 0.5, **CHANCE_LINE)
    if len(starts):
        names = ", ".join(PHASES[int(phase)] for phase in starts["phase"])
        caption(figure, f"Dotted: phases {names} begin")


# Test


def confusion(true: np.ndarray, predicted: np.ndarray, labels: Sequence, what: str) -> Figure:
    """Confusion matrix in percent of each true class.

    Args:
        true: labels (n,) of the frames.
        predicted: what the model predicted of them (n,).
        labels: all classes in the order of rows and columns.
        what: name and unit of the class, for the axes.

    Returns:
        The figure. Cells of at least 1 % have their number.
    """
    position = {label: i for i, label in enumerate(labels)}
    rows = [position[label] for label in true.tolist()]
    columns = [position[label] for label in predicted.tolist()]
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, (rows, columns), 1)
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    side = 2 + 0.33 * len(labels)
    figure = Figure((side + 0.8, side))
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="viridis", vmin=0, vmax=100)
    for row, column in np.argwhere(percent >= 1):
        _write_percent(axes, row, column, percent[row, column])

    axes.set_xticks(range(len(labels)), labels, rotation=90)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel=f"Predicted {what}", ylabel=f"True {what}")
    axes.set_title(f"n = {len(true)}", fontsize=CAPTION)
    figure.colorbar(image, ax=axes, label="Share of the true class (%)", shrink=0.8)
    return figure


def _write_percent(axes: Axes, row: int, column: int, percent: float) -> None:
    colour = "black" if percent > 60 else "white"  # viridis is bright where values are large
    style: Style = {"ha": "center", "va": "center", "fontsize": 6, "color": colour}
    axes.text(column, row, f"{percent:.0f}", **style)


def per_class(scores: pd.DataFrame) -> Figure:
    """F1 of each modulation as bars, precision and recall as markers, sorted by family.

    Args:
        scores: `label, f1, precision, recall, frames`, a row a modulation.
    """
    order = by_family(scores["label"])
    scores = scores.set_index("label").loc[order]
    figure = Figure((8, 3))
    axes = figure.subplots()

    places = range(len(order))
    axes.bar(places, 100 * scores["f1"], color=SCORE_COLOURS["f1"], alpha=0.6, label="F1")
    for column, marker in (("precision", "o"), ("recall", "D")):
        style: Style = {"color": SCORE_COLOURS[column], "ms": 4, "clip_on": False}
        axes.plot(places, 100 * scores[column], marker, label=column.capitalize(), **style)

    axes.set_xticks(places, order, rotation=60, ha="right")
    axes.set(xlabel=f"Modulation, n = {scores['frames'].sum()} frames", ylabel="Score (%)")
    axes.set(xlim=(-0.8, len(order) - 0.2), ylim=(0, 100))
    axes.legend(frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def accuracy_by_snr(
    rows: pd.DataFrame, classes: tuple[int, int], snr_label: SnrLabel = "power"
) -> Figure:
    """Accuracy of each task over the SNR label, with its interval and chance.

    Args:
        rows: `snr_db, frames`, and `<task>, <task>_ci_low, <task>_ci_high` as shares of 1.
        classes: numbers of modulations and of SNRs.
        snr_label: what the labels mean.

    Returns:
        The figure.
    """
    figure = Figure((6, 3.6))
    axes = figure.subplots()
    snrs_db = rows["snr_db"]

    for size, (task, chance) in zip((6, 5, 4), chances(classes).items(), strict=True):
        label, colour, marker = TASKS[task]
        # Joint, drawn last, often lies on another, which dashes and smaller markers leave visible.
        style: Style = {"color": colour, "ls": "--" if task == "joint" else "-"}
        style |= {"marker": marker, "ms": size, "clip_on": False, "label": label}
        axes.plot(snrs_db, 100 * rows[task], **style)

        low, high = 100 * rows[f"{task}_ci_low"], 100 * rows[f"{task}_ci_high"]
        band(axes, snrs_db, low, high, color=colour, alpha=0.2)
        axes.axhline(100 * chance, color=colour, ls=":", lw=1)

    axes.set(xlabel=snr_axis(snr_label), ylabel="Accuracy (%)", ylim=(0, 100))
    fewest = rows["frames"].min()
    title = f"{WILSON}, n = {fewest} or more a point; dotted: chance"
    axes.set_title(title, fontsize=CAPTION)
    axes.legend(frameon=False)
    return figure


def snr_estimate(rows: pd.DataFrame, source: str, snr_label: SnrLabel = "power") -> Figure:
    """Estimated SNR over the label and, below, how far it is from the true one.

    Args:
        rows: `snr_db, frames, mean_db, low_db, high_db`, a row an SNR label.
        source: what the model estimates the SNR from, in words.
        snr_label: what the labels mean.

    Returns:
        The figure.
    """
    figure = Figure((5.5, 6))
    estimate, error = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    snrs_db = rows["snr_db"]
    true_db = true_snr_db(snrs_db.to_numpy(), snr_label)

    percentiles = "16th to 84th percentile"
    for axes, truth in ((estimate, 0), (error, true_db)):
        axes.plot(snrs_db, rows["mean_db"] - truth, "o-", label="Mean")
        low, high = rows["low_db"] - truth, rows["high_db"] - truth
        band(axes, snrs_db, low, high, alpha=0.25, label=percentiles)
    estimate.plot(snrs_db, true_db, label="Perfect", **CHANCE_LINE)
    error.axhline(0, **CHANCE_LINE)

    estimate.set(ylabel="Estimated SNR (dB)")
    error.set(xlabel=snr_axis(snr_label), ylabel="Estimate minus true SNR (dB)")
    estimate.legend(frameon=False)
    caption(figure, f"Estimate: {source}; {sizes(rows['frames'])} frames per label")
    return figure


# Limits


def ceiling(rows: pd.DataFrame, snr_label: SnrLabel = "power") -> Figure:
    """Accuracy over the SNR label of a model, references, chance and ceilings, a panel a task.

    Args:
        rows: `snr_db, task, series, accuracy, ci_low, ci_high, n`, accuracies as shares of 1;
            `series` are keys of `CEILING_LABELS`.
        snr_label: what the labels mean.
    """
    figure = Figure((PAGE, 3.3))
    tasks = [task for task in TASKS if (rows["task"] == task).any()]
    panels = figure.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    for axes, task in zip(panels, tasks, strict=True):
        of_task = rows[rows["task"] == task]
        for series, part in of_task.groupby("series"):
            _ceiling_curve(axes, str(series), part)
        axes.set(xlabel=snr_axis(snr_label), ylim=(0, 102))  # room for a line at 100 %
        axes.set_title(TASKS[task].label, fontsize=9)
    panels[0].set_ylabel("Accuracy (%)")

    there = set(rows["series"])
    entries = [
        Line2D([], [], **_ceiling_style(series), label=label)
        for series, label in CEILING_LABELS.items()
        if series in there
    ]
    legend_below(figure, entries, columns=4)

    caption(
        figure,
        f"{WILSON}s; {_ceiling_sizes(rows)}\nclasses without constellation points and OQPSK: "
        "always right to ceilings and blind reference, always wrong to the cumulants",
    )
    return figure


def _ceiling_sizes(rows: pd.DataFrame) -> str:
    """How many frames stand behind a point of each kind of series, in words."""
    counts = {series: sizes(of_one) for series, of_one in rows.groupby("series")["n"]}
    words = [f"model and references: {counts['model']} frames a point"]
    if "blind" in counts:
        words.append(f"blind: {counts['blind']}")
    words.append(f"ceiling: {counts['ceiling']} trials")
    return "; ".join(words)


def _ceiling_curve(axes: Axes, series: str, part: pd.DataFrame) -> None:
    own = _ceiling_style(series)
    style: Style = {"zorder": REFERENCE_ORDER, "clip_on": False} | own
    axes.plot(part["snr_db"], 100 * part["accuracy"], **style, label=CEILING_LABELS[series])
    low, high = 100 * part["ci_low"], 100 * part["ci_high"]
    band(axes, part["snr_db"], low, high, color=own["color"], alpha=0.15)


def _ceiling_style(series: str) -> Style:
    """The line of a series in its colour."""
    return {"color": ESTIMATOR_COLOURS[series], **CEILING_LINES[series]}
