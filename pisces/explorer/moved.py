"""Counterfactuals of the shown frames: the first symbols whose move turns the prediction.

Each frame is turned to the other class with constellation points that the model finds likeliest, in
every order of `pisces.counterfactuals`. Where nothing moves, the reason is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.special import softmax

from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.counterfactuals import turning
from pisces.counterfactuals.choice import why_nothing_moves
from pisces.counterfactuals.moved_frames import MovedFrames
from pisces.counterfactuals.orders import chosen_methods
from pisces.counterfactuals.search import NEVER
from pisces.counterfactuals.settings import RUNNER_UP, Pair, has_points
from pisces.counterfactuals.turning import Setup, Turns
from pisces.inputs.settings import OtherViews
from pisces.inputs.waveform import IqStore

RULE = "counterfactual"
"""Of the choices that move symbols."""
FEWEST = "fewest"
"""In place of an order: that of them in which the fewest symbols turn a frame."""
NO_POINTS = "its class has no constellation points, seen at one sample a symbol"
WRONG = "the model says another class already"
"""Why nothing moves in a frame, beside the reasons of `turning`."""


@dataclass(frozen=True)
class Moved:
    """n frames after the first moves of each of c orders that turn the prediction."""

    orders: list[str]
    """Names, (c,), `FEWEST` first."""
    left: list[np.ndarray]
    """Of each frame, which of its lit pixels at least one symbol left, bool (c, lit)."""
    arrived: list[list[np.ndarray]]
    """Of each frame and order, the pixels in which one arrived, counted on through the views."""
    modulation_prob: np.ndarray
    """What the model says then of the modulation, float32 (n, c, classes)."""
    snr_prob: np.ndarray
    """What it says of the SNR, float32 (n, c, classes)."""
    moves: np.ndarray
    """How many symbols moved, int (n, c); 0 where not even all of them turn the frame."""
    symbols: np.ndarray
    """Of each frame, int (n,); 0 where nothing can move."""
    rivals: list[str]
    """The class that they move to, (n,); empty where nothing can move."""
    why_not: list[str]
    """Why nothing can move, (n,); empty where it can."""

    @classmethod
    def nothing(
        cls, orders: list[str], lit: Sequence[np.ndarray], whole: tuple[np.ndarray, np.ndarray]
    ) -> Self:
        """The frames as they are: see `move`."""
        n, c = len(lit), len(orders)
        modulation, snr = (np.repeat(of_head[:, None], c, 1) for of_head in whole)
        return cls(
            orders,
            [np.zeros((c, len(pixels)), bool) for pixels in lit],
            [[np.empty(0, np.int64)] * c for _ in lit],
            modulation,
            snr,
            np.zeros((n, c), np.int64),
            np.zeros(n, np.int64),
            [""] * n,
            [""] * n,
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """For an npz file; pixels of all frames and orders follow each other."""
        arrived = [pixels for of_frame in self.arrived for pixels in of_frame]
        return {
            "moves": self.moves,
            "symbols": self.symbols,
            "rival": np.array(self.rivals, str),
            "why_not": np.array(self.why_not, str),
            "arrived_per_move": np.array([len(pixels) for pixels in arrived], np.int64),
            "arrived": np.concatenate([np.empty(0, np.int64), *arrived]).astype(np.int32),
        }


def set_up(
    explained: ExplainedModel,
    iq: IqStore,
    methods: Sequence[str],
    attribution: AttributionSettings,
    other_views: OtherViews,
) -> Setup | None:
    """What all frames have in common; None where no symbols can be moved.

    Args:
        explained: the model, and the constellations of its frames.
        iq: the frames themselves.
        methods: names of those by whose order symbols move, `counterfactual.methods`.
        attribution: how they are set up.
        other_views: whether the views beside `symbol` are held.
    """
    if why_nothing_moves(explained):
        return None
    chosen = chosen_methods(methods, explained, attribution)
    return turning.set_up(explained, iq, chosen, other_views)


def move(
    setup: Setup | None,
    frame: np.ndarray,
    lit: Sequence[np.ndarray],
    whole: tuple[np.ndarray, np.ndarray],
) -> Moved:
    """The counterfactuals of some frames.

    Args:
        setup: what they have in common; None: no orders.
        frame: their index, (n, 3).
        lit: of each, the numbers of its lit pixels, counted on through the views.
        whole: what the model says of them as they are, probabilities of both heads (n, classes).

    Returns:
        One of each frame and order, in which nothing moves where the frame is refused or never
        turns.
    """
    if setup is None:
        return Moved.nothing([], lit, whole)
    found = Moved.nothing([FEWEST, *setup.order_names], lit, whole)
    data = setup.explained.data
    rows = {key: row for row, key in enumerate(_keys(frame))}
    for number in np.unique(frame[:, 1]):
        of_snr = turning.frames_of(setup, frame, data.snrs_db[number])
        for key in _keys(of_snr.tested):
            # Of frames that are recognised, what is found below takes its place.
            with_points = has_points(data.modulations[key[0]])
            found.why_not[rows[key]] = WRONG if with_points else NO_POINTS

        for name in filter(has_points, data.modulations):
            of_class = turning.of_class(setup, Pair(name, RUNNER_UP), of_snr)
            for key, why in zip(_keys(of_class.frame), of_class.refused, strict=True):
                found.why_not[rows[key]] = why
            for batch in of_class.batches:
                places = np.array([rows[key] for key in _keys(batch.frame)])
                turns = turning.turn(setup, batch, of_snr.law)
                _put(found, places, lit, batch.pair.rival, turns)
    return found


def _keys(frame: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(row) for row in frame.tolist()]


def _put(
    found: Moved, places: np.ndarray, lit: Sequence[np.ndarray], rival: str, turns: Turns
) -> None:
    """Puts what moves in some frames of one class where these stand, order by order."""
    frames, symbols = turns.frames, turns.frames.new.shape[1]
    for place in places:
        found.symbols[place], found.rivals[place] = symbols, rival

    every = np.arange(len(places))
    before = _counts(frames, every, torch.zeros(len(every), symbols, dtype=torch.bool))
    moves = np.stack([turns.of_model[name].moves for name in found.orders[1:]], 1)  # (n, orders)
    orders = np.stack([turns.by_order[name] for name in found.orders[1:]], 1)
    fewest = moves.argmin(1)
    moves = np.concatenate([moves[every, fewest][:, None], moves], 1)
    orders = np.concatenate([orders[every, fewest][:, None], orders], 1)

    rank = orders.argsort(2)  # when each symbol moves
    for order in range(len(found.orders)):
        rows = np.flatnonzero(moves[:, order] != NEVER)
        if not len(rows):
            continue
        moved = torch.from_numpy(rank[rows, order] < moves[rows, order, None])
        after = _counts(frames, rows, moved)
        answers = [softmax(logits, axis=1) for logits in frames.answers(rows, moved)]
        for row, counts, *of_heads in zip(rows, after, *answers, strict=True):
            place = places[row]
            found.moves[place, order] = moves[row, order]
            found.left[place][order] = (counts < before[row])[lit[place]]
            found.arrived[place][order] = np.flatnonzero(counts > before[row])
            found.modulation_prob[place, order], found.snr_prob[place, order] = of_heads


def _counts(frames: MovedFrames, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
    """Points in each pixel of all views, int (k, pixels)."""
    render = frames.explained.data.render
    pixels = len(render.views) * render.size**2
    stored = frames.stored(torch.from_numpy(rows), moved).numpy()
    # What lies beyond the image has the number after the last pixel.
    return np.stack([np.bincount(one, minlength=pixels + 1)[:pixels] for one in stored])
