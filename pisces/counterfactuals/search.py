"""How many symbols move, in a given order, until a prediction turns.

A model may turn back when more symbols move. What counts is the first prefix of the order whose
prediction is another class: all shorter ones are looked at, so nothing is taken for monotone.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch

from pisces.counterfactuals.moves import Moves

NEVER = np.inf
"""In the place of a count: not even when all symbols have moved."""
FIRST_PREFIXES = 4
"""That are predicted at once; of frames that have not turned then, twice as many more."""

Predict = Callable[[np.ndarray, torch.Tensor], np.ndarray]
"""Numbers of frames (k,), and which of their symbols have moved, bool (k, symbols) -> classes
(k,)."""


class Flips(NamedTuple):
    """When the predictions of n frames turn."""

    moves: np.ndarray
    """How many symbols have moved then, float (n,), `NEVER` where none does."""
    into: np.ndarray
    """The class that is predicted then, int (n,), -1 where none is."""


def first_flips(
    predict: Predict, frames: np.ndarray, orders: np.ndarray, held: np.ndarray
) -> Flips:
    """The shortest prefix of each order that turns the prediction of a model.

    Args:
        predict: what the model says of frames with some symbols moved.
        frames: number of the frame that each order is of, int (n,).
        orders: numbers of its symbols, the first to move first, int (n, symbols).
        held: the class that is predicted of the frame as it is, int (n,).

    Returns:
        What turns, order by order.
    """
    n, symbols = orders.shape
    ranks = torch.from_numpy(orders.argsort(1))  # when each symbol moves
    moves, into = np.full(n, NEVER), np.full(n, -1)
    open_ones, first, width = np.arange(n), 1, FIRST_PREFIXES

    while len(open_ones) and first <= symbols:
        lengths = np.arange(first, min(first + width, symbols + 1))
        rows = open_ones.repeat(len(lengths))
        moved = ranks[rows] < torch.from_numpy(np.tile(lengths, len(open_ones)))[:, None]
        predicted = predict(frames[rows], moved).reshape(len(open_ones), -1)

        turned = predicted != held[open_ones, None]
        at = turned.argmax(1)
        found = turned.any(1)
        moves[open_ones[found]] = lengths[at[found]]
        into[open_ones[found]] = predicted[found, at[found]]
        open_ones, first, width = open_ones[~found], first + width, 2 * width
    return Flips(moves, into)


def of_model(
    predict: Predict, by_order: Mapping[str, np.ndarray], held: np.ndarray
) -> dict[str, Flips]:
    """`first_flips` of n frames in several orders, all in the same batches.

    Args:
        predict: as of `first_flips`.
        by_order: name -> numbers of symbols, (n, symbols).
        held: the class that is predicted of each frame as it is, int (n,).

    Returns:
        Name of the order -> what turns.
    """
    frames = np.tile(np.arange(len(held)), len(by_order))
    orders = np.concatenate(list(by_order.values()))
    found = first_flips(predict, frames, orders, held[frames])
    parts = zip(*(np.split(one, len(by_order)) for one in found), strict=True)
    return {name: Flips(*part) for name, part in zip(by_order, parts, strict=True)}


def of_likelihood(
    moves: Moves, by_order: Mapping[str, np.ndarray], optimum: str
) -> dict[str, Flips]:
    """When the likelihood of the rival becomes the greater one, order by order.

    What is gained adds up over the symbols that move. So of each number of moves those of greatest
    gain gain most, and no other order turns the likelihood sooner: it is asserted for each frame.

    Args:
        moves: of n frames.
        by_order: name -> numbers of symbols, (n, symbols).
        optimum: the name of the order by gain.

    Returns:
        Name of the order -> what turns, 0 moves where the rival is likelier as the frame is; the
        rival is class 1.
    """
    found = {}
    for name, order in by_order.items():
        gained = np.take_along_axis(moves.gain, order, 1).cumsum(1)
        gained = np.pad(gained, ((0, 0), (1, 0)))
        turned = moves.evidence.sum(1, keepdims=True) < gained
        ever = turned.any(1)
        found[name] = Flips(np.where(ever, turned.argmax(1), NEVER), np.where(ever, 1, -1))
    fewest = found[optimum].moves
    assert all((fewest <= other.moves).all() for other in found.values()), "gain is not the optimum"
    return found
