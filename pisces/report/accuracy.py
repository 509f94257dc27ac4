"""Pictures of what a model learnt and what it is worth: training, accuracies, SNR."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.core.stats import wilson
from pisces.report.captions import describe
from pisces.report.families import by_family
from pisces.report.style import (
    CAPTION,
    CHANCE_LINE,
    COLUMN,
    MARKERS,
    PAGE,
    PART_COLOURS,
    SCORE_COLOURS,
    TASK_LINES,
    TASKS,
    WILSON,
    Style,
    band,
    chances,
    handles,
    legend_below,
    percent_axis,
    sizes,
    snr_axis,
    snr_ticks,
    spread,
)

AUXILIARY_LOSSES = {
    "denoising": "Denoising",
    "identity": "Identity",
    "noise": "Logit of the noise fraction",
    "features": "Features",
    "distillation": "Distillation",
}
PHASES = ("a", "b1", "b2", "c")

DIGITS = 0.135
"""Inches that a cell needs for two digits."""


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
    figure = Figure((PAGE, 4.4 if auxiliary else 2.1))
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
    phases = _separate_phases(figure, history) if "phase" in history else ""
    what = "Losses, accuracy on the validation part and weights of the losses in training"
    describe(figure, f"{what}, over {len(history)} epochs", phases)
    return figure


def _losses(axes: Axes, history: pd.DataFrame) -> None:
    for part, line in (("train", "--"), ("validation", "-")):
        losses = history[f"{part}_loss"]
        style: Style = {"color": PART_COLOURS[part], "marker": "o", "ms": 2.5}
        axes.plot(history["epoch"], losses, line, label=part.capitalize(), **style)
    axes.set(xlabel="Epoch", ylabel="Loss, both tasks")


def _accuracies(axes: Axes, history: pd.DataFrame) -> None:
    for task, (label, colour, marker) in TASKS.items():
        percent = 100 * history[f"validation_{task}_accuracy"]
        style: Style = {"color": colour, "marker": marker, "clip_on": False} | TASK_LINES[task]
        axes.plot(history["epoch"], percent, label=label, **style)
    axes.set(xlabel="Epoch", ylabel="Validation accuracy (%)", ylim=(0, 100))


def _weights(axes: Axes, history: pd.DataFrame) -> None:
    for task in ("modulation", "snr"):
        label, colour, marker = TASKS[task]
        style: Style = {"color": colour, "marker": marker, "clip_on": False}
        axes.plot(history["epoch"], history[f"{task}_weight"], label=label, **style)
    axes.set(xlabel="Epoch", ylabel="Share of the loss weight", ylim=(0, 1))


def _auxiliary_losses(axes: Axes, epochs: pd.Series, losses: dict[str, pd.Series]) -> None:
    """The losses beside those of the tasks, on a logarithmic scale unless all of them are 0."""
    for (label, values), marker in zip(losses.items(), MARKERS, strict=False):
        axes.plot(epochs, values, marker=marker, label=label)
    axes.set(xlabel="Epoch", ylabel="Auxiliary losses, training part")

    if any((values > 0).any() for values in losses.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _separate_phases(figure: Figure, history: pd.DataFrame) -> str:
    """A dotted line in every panel where a phase begins; what the caption says of them."""
    starts = history[history["phase"].diff() > 0]
    for axes in figure.axes:
        for epoch in starts["epoch"]:
            axes.axvline(epoch - 0.5, **CHANCE_LINE)
    names = ", ".join(PHASES[int(phase)] for phase in starts["phase"])
    return f"Dotted: phases {names} begin" if names else ""


# Test


def confusion(
    true: np.ndarray, predicted: np.ndarray, labels: Sequence, what: str, rising: bool = False
) -> Figure:
    """Confusion matrix in percent of each true class.

    Args:
        true: labels (n,) of the frames.
        predicted: what the model predicted of them (n,).
        labels: all classes in the order of rows and columns.
        what: name of the class, for the axes.
        rising: the classes are numbers; above the last confused ones, all but one are left out.

    Returns:
        The figure. Cells of at least 1 % have their number.
    """
    counts = pd.crosstab(true, predicted).reindex(index=list(labels), columns=list(labels))
    table = counts.fillna(0).to_numpy()
    shown = _confused(table) if rising else len(labels)
    percent = 100 * table / np.maximum(table.sum(axis=1, keepdims=True), 1)

    width = COLUMN if DIGITS * shown < COLUMN - 0.9 else PAGE
    figure = Figure((width, min(width, 0.75 + 0.3 * shown)))
    axes = figure.subplots()
    axes.imshow(percent[:shown, :shown], cmap="viridis", vmin=0, vmax=100, aspect="auto")
    for row, column in np.argwhere(percent[:shown, :shown] >= 1):
        _write_percent(axes, row, column, percent[row, column])

    turned = max(len(str(label)) for label in labels) > 3
    axes.set_xticks(range(shown), labels[:shown], rotation=90 if turned else 0)
    axes.set_yticks(range(shown), labels[:shown])
    axes.set(xlabel=f"Predicted {what}", ylabel=f"True {what}")

    frames = sizes(pd.Series(table.sum(axis=1)))
    left_out = [str(label) for label in labels[shown:]]
    describe(
        figure,
        f"Confusion of the {what} in percent of each true class, {frames} test frames a class",
        "Shares below 1 % are blank",
        f"Left out: {', '.join(left_out)}, all right and never taken for another"
        if left_out
        else "",
    )
    return figure


def _confused(counts: np.ndarray) -> int:
    """How many classes reach to the first of those at the end that nothing is confused with."""
    wrong = counts - np.diag(np.diag(counts))
    confused = np.flatnonzero(wrong.sum(axis=0) + wrong.sum(axis=1))
    last = confused[-1] if len(confused) else 0
    return min(int(last) + 2, len(counts))


def _write_percent(axes: Axes, row: int, column: int, percent: float) -> None:
    colour = "black" if percent > 60 else "white"  # viridis is bright where values are large
    style: Style = {"ha": "center", "va": "center", "fontsize": CAPTION, "color": colour}
    axes.text(column, row, f"{percent:.0f}", **style)


def per_class(scores: pd.DataFrame) -> Figure:
    """F1 of each modulation as bars, precision and recall as markers, sorted by family.

    Args:
        scores: `label, f1, precision, recall, frames`, a row a modulation.
    """
    order = by_family(scores["label"])
    scores = scores.set_index("label").loc[order]
    figure = Figure((COLUMN, 0.8 + 0.14 * len(order)))
    axes = figure.subplots()

    places = np.arange(len(order))
    axes.barh(places, 100 * scores["f1"], 0.8, color=SCORE_COLOURS["f1"], label="F1")
    right = (scores["recall"] * scores["frames"]).round().astype(int)
    ends = [wilson(*pair) for pair in zip(right, scores["frames"], strict=True)]
    interval = pd.DataFrame(ends, index=scores.index, columns=["low", "high"])
    reach = 100 * spread(scores["recall"], interval["low"], interval["high"])
    style: Style = {"fmt": "D", "color": SCORE_COLOURS["recall"], "lw": 0.8, "clip_on": False}
    axes.errorbar(100 * scores["recall"], places + 0.15, xerr=reach, label="Recall", **style)
    style = {"color": SCORE_COLOURS["precision"], "clip_on": False, "label": "Precision"}
    axes.plot(100 * scores["precision"], places - 0.15, "o", **style)

    axes.set_yticks(places, order)
    axes.set(xlabel="Score (%)", ylim=(len(order) - 0.4, -0.6))
    percent_axis(axes, "x")
    axes.tick_params(axis="y", length=0)
    legend_below(figure, axes.get_legend_handles_labels()[0], columns=3)
    describe(
        figure,
        "Precision, recall and F1 of each modulation, by family",
        f"Bars of recall: {WILSON}, {sizes(scores['frames'])} test frames a modulation",
    )
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
    figure = Figure((COLUMN, 2.4))
    axes = figure.subplots()
    snrs_db = rows["snr_db"]

    for task, chance in chances(classes).items():
        label, colour, marker = TASKS[task]
        style: Style = {"color": colour, "marker": marker, "clip_on": False} | TASK_LINES[task]
        axes.plot(snrs_db, 100 * rows[task], label=label, **style)

        low, high = 100 * rows[f"{task}_ci_low"], 100 * rows[f"{task}_ci_high"]
        band(axes, snrs_db, low, high, color=colour, alpha=0.2)
        axes.axhline(100 * chance, color=colour, ls=":", lw=1)

    axes.set(xlabel=snr_axis(snr_label), ylabel="Accuracy (%)")
    percent_axis(axes, "y")
    snr_ticks(axes, snrs_db)
    legend_below(figure, handles(TASKS.values()), columns=3)
    describe(
        figure,
        "Accuracy on the test part over the SNR",
        f"Shaded: {WILSON}, {sizes(rows['frames'])} frames a point",
        "Dotted: chance",
    )
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
    figure = Figure((COLUMN, 3.6))
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
    error.set(xlabel=snr_axis(snr_label), ylabel="Estimate minus\ntrue SNR (dB)")
    snr_ticks(error, snrs_db)
    figure.align_ylabels()
    estimate.legend(frameon=False)
    describe(
        figure,
        "Estimated SNR and its error over the SNR of the test frames",
        f"Estimate: {source}, {sizes(rows['frames'])} frames per label",
        "Shaded: 16th to 84th percentile of the frames",
    )
    return figure
