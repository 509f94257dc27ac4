"""One frame of each pair with the symbols that turn its prediction, for a picture."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax

from pisces.counterfactuals.moved_frames import MovedFrames
from pisces.counterfactuals.search import Flips


class Example(NamedTuple):
    """A frame before and after so many moves."""

    title: str
    """Class, rival and SNR label."""
    before: np.ndarray
    """Points of the view `symbol`, complex64 (symbols,)."""
    after: np.ndarray
    """Likewise, with some of them moved."""
    moved: np.ndarray
    """Which ones, bool (symbols,)."""
    predictions: tuple[str, str]
    """Before and after."""
    probabilities: tuple[float, float]
    """Of these."""


def typical(
    shown: MovedFrames, flips: Flips, orders: np.ndarray, titles: Sequence[str]
) -> Example | None:
    """The frame that takes the median number of moves, among those that turn.

    Args:
        shown: n frames.
        flips: of them, by one order.
        orders: that order, int (n, symbols).
        titles: of the frames, (n,).

    Returns:
        The example; None where no frame turns.
    """
    turned = np.flatnonzero(np.isfinite(flips.moves))
    if not len(turned):
        return None
    by_moves = turned[np.argsort(flips.moves[turned], kind="stable")]
    row = int(by_moves[(len(by_moves) - 1) // 2])

    symbols = orders.shape[1]
    moved = torch.zeros(2, symbols, dtype=torch.bool)
    moved[1, orders[row, : int(flips.moves[row])].tolist()] = True
    chances = softmax(shown.logits(np.array([row, row]), moved), axis=1)
    best, names = chances.argmax(1), shown.explained.trained.modulations

    before = shown.received.symbols.points[row]
    return Example(
        titles[row],
        before.numpy(),
        torch.where(moved[1], shown.new[row], before).numpy(),
        moved[1].numpy(),
        (names[best[0]], names[best[1]]),
        (float(chances[0, best[0]]), float(chances[1, best[1]])),
    )


def arrays(examples: Sequence[Example], order: str, note: str) -> dict[str, np.ndarray]:
    """The examples for an npz file, stacked; of none the arrays are empty.

    Args:
        examples: one a pair.
        order: in which the symbols moved.
        note: what a caption must say.
    """
    titles, before, after, moved, predictions, probabilities = (
        zip(*examples, strict=True) if examples else [()] * 6
    )
    return {
        "titles": np.array(titles, str),
        "before": np.array(before, np.complex64),
        "after": np.array(after, np.complex64),
        "moved": np.array(moved, bool),
        "predictions": np.array(predictions, str),
        "probabilities": np.array(probabilities, float),
        "order": np.array(order),
        "note": np.array(note),
    }
