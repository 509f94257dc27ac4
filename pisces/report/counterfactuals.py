"""Pictures of counterfactuals: which symbols of a frame moved until another class was predicted."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.core.snr_label import SnrLabel
from pisces.core.texts import counted
from pisces.report.captions import describe
from pisces.report.style import (
    CAPTION,
    COLUMN,
    MOVED,
    STAYED,
    empty_picture,
    snr_named,
    spaced,
)

ORDERS = {
    "fewest": "the fewest of all orders",
    "evidence_gain": "first what turns the likelihood most",
    "evidence": "first what speaks most for the class",
    "own_swaps": "first what turns the model most",
    "random": "in random order",
}
"""In which symbols move; others are attribution methods."""
MOST_PANELS = 4
"""Examples that a column holds, two beside each other."""
TILE = COLUMN / 2
TEXT = 0.4
"""Inches above a panel for its words."""
EDGE = 1.08
"""By which a panel reaches beyond its outermost point."""


def counterfactuals(arrays: Mapping[str, np.ndarray], snr_label: SnrLabel = "power") -> Figure:
    """The examples of data/counterfactual_examples.npz, a panel each.

    Args:
        arrays: of that file.
        snr_label: what the SNR labels in the titles mean.

    Returns:
        A figure one column wide.
    """
    titles = arrays["titles"].tolist()
    if not titles:
        return empty_picture("No prediction was to turn: see plots/counterfactuals.csv")
    rows = spaced(range(len(titles)), MOST_PANELS)

    columns = min(2, len(rows))
    lines = -(-len(rows) // columns)
    figure = Figure((COLUMN, lines * (TILE + TEXT)))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for axes, row in zip(panels, rows, strict=False):
        _draw(axes, arrays["before"][row], arrays["after"][row], arrays["moved"][row])
        axes.set_title(_words(arrays, row, snr_label), fontsize=CAPTION, pad=3)
    for axes in panels[len(rows) :]:
        axes.set_axis_off()

    order = ORDERS[str(arrays["order"])]
    describe(
        figure,
        f"The first symbols that turn a prediction, of {len(rows)} of {len(titles)} frames, one a "
        "pair of classes",
        "Grey: symbols that stay. Circles move along the arrows to the dots, one draw each from "
        "the law of the rival in its place",
        f"Order of the moves: {order}; a frame of the median number is shown",
        "Above: class and rival, then the prediction before and after, with its probability",
    )
    return figure


def _words(arrays: Mapping[str, np.ndarray], row: int, snr_label: SnrLabel) -> str:
    """What stands above a panel."""
    moved = int(arrays["moved"][row].sum())
    moves = counted(moved, "move")
    (before, after), (sure, then) = arrays["predictions"][row], arrays["probabilities"][row]
    title = snr_named(arrays["titles"][row], snr_label)
    return (
        f"{title}\n{before} {sure:.2f} → {after} {then:.2f}\n{moves} of {arrays['moved'].shape[1]}"
    )


def _draw(axes: Axes, before: np.ndarray, after: np.ndarray, moved: np.ndarray) -> None:
    """Points (symbols,) of one frame, of which some moved."""
    stayed = before[~moved]
    axes.plot(stayed.real, stayed.imag, "o", color=STAYED, ms=1.6, mew=0)
    for old, new in zip(before[moved], after[moved], strict=True):
        axes.annotate(
            "",
            xy=(new.real, new.imag),
            xytext=(old.real, old.imag),
            arrowprops={
                **{"arrowstyle": "-|>", "mutation_scale": 5, "lw": 0.6, "color": MOVED},
                **{"shrinkA": 1.5, "shrinkB": 1},
            },
        )
    axes.plot(before[moved].real, before[moved].imag, "o", mfc="none", mec=MOVED, ms=3, mew=0.6)
    axes.plot(after[moved].real, after[moved].imag, "o", color=MOVED, ms=2.2, mew=0)

    every = np.concatenate([before, after])
    edge = EDGE * float(np.abs(np.concatenate([every.real, every.imag])).max())
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge), xticks=[], yticks=[])
    axes.set_aspect("equal")
