"""Counterfactuals of the shown frames: the first symbols whose move turns the prediction.

Each frame is turned to the class that the model finds second likeliest, in every order of
`pisces.counterfactuals`. Where nothing moves, the reason is told.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy.special import softmax

from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.core.texts import counted
from pisces.counterfactuals import turning
from pisces.counterfactuals.orders import chosen_methods
from pisces.counterfactuals.search import NEVER
from pisces.counterfactuals.settings import RUNNER_UP, CounterfactualSettings, Pair, has_points
from pisces.counterfactuals.shown import MovedFrames
from pisces.counterfactuals.turning import Setup, Turns
from pisces.inputs.waveform import IqStore

RULE = "counterfactual"
"""Of the choices that move symbols."""
NO_POINTS = "its class has no constellation points, one sample a symbol"
WRONG = "the model says another class already"
"""Why nothing moves in a frame, beside the reasons of `turning`."""


class Moved(NamedTuple):
    """n frames after the first moves of each of c orders that turn the prediction."""

    orders: list[str]
    """Names, (c,)."""
    left: list[np.ndarray]
    """Of each frame, which of its lit pixels a symbol left, bool (c, lit)."""
    arrived: list[list[np.ndarray]]
    """Of each frame and order, the pixels in which one arrived, counted on through the views."""
    modulation_prob: np.ndarray
    """What the model says then, float32 (n, c, classes)."""
    snr_prob: np.ndarray
    """Likewise."""
    told: list[list[str]]
    """Of each frame and order, what moved, or why nothing did."""

    def arrays(self) -> dict[str, np.ndarray]:
        """For an npz file; pixels of all frames and orders follow each other."""
        arrived = [pixels for of_frame in self.arrived for pixels in of_frame]
        return {
            "told": np.array(self.told, str).reshape(len(self.told), len(self.orders)),
            "arrived_per_move": np.array([len(pixels) for pixels in arrived], np.int64),
            "arrived": np.concatenate([np.empty(0, np.int64), *arrived]).astype(np.int32),
        }

    def tell(self, frame: int, why: str) -> None:
        """Says why nothing moves in a frame; nothing where the reason is empty."""
        self.told[frame][:] = [f"As it is, since {why}" if why else ""] * len(self.orders)


def set_up(
    explained: ExplainedModel,
    iq: IqStore,
    settings: CounterfactualSettings,
    attribution: AttributionSettings,
) -> Setup | None:
    """What all frames have in common; None for a model that is shown no view `symbol`.

    Args:
        explained: the model, and the constellations of its frames.
        iq: the frames themselves.
        settings: of the stage `counterfactual`.
        attribution: of the methods.
    """
    shown, _ = explained.trained.input.pictures
    if "symbol" not in shown:
        return None
    methods = chosen_methods(settings.methods, explained, attribution)
    return turning.set_up(explained, iq, methods, settings.other_views)


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
    found = _nothing_moved([] if setup is None else setup.order_names, lit, whole)
    if setup is None:
        return found
    data = setup.explained.data
    rows = {key: row for row, key in enumerate(_keys(frame))}
    for number in np.unique(frame[:, 1]):
        of_snr = turning.frames_of(setup, frame, data.snrs_db[number])
        for key in _keys(of_snr.tested):
            found.tell(rows[key], WRONG if has_points(data.modulations[key[0]]) else NO_POINTS)

        for name in filter(has_points, data.modulations):
            of_class = turning.of_class(setup, Pair(name, RUNNER_UP), of_snr)
            for key, why in zip(_keys(of_class.frame), of_class.refused, strict=True):
                found.tell(rows[key], why)
            for batch in of_class.batches:
                places = np.array([rows[key] for key in _keys(batch.frame)])
                _put(found, places, lit, batch.pair, turning.turn(setup, batch, of_snr.law))
    return found


def _keys(frame: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(row) for row in frame.tolist()]


def _nothing_moved(
    orders: list[str], lit: Sequence[np.ndarray], whole: tuple[np.ndarray, np.ndarray]
) -> Moved:
    c = len(orders)
    modulation, snr = (np.repeat(of_head[:, None], c, 1) for of_head in whole)
    left = [np.zeros((c, len(pixels)), bool) for pixels in lit]
    nowhere = [[np.empty(0, np.int64)] * c for _ in lit]
    return Moved(orders, left, nowhere, modulation, snr, [[""] * c for _ in lit])


def _put(
    found: Moved, places: np.ndarray, lit: Sequence[np.ndarray], pair: Pair, turns: Turns
) -> None:
    """Puts what moves in some frames where these stand, all of one class and rival."""
    frames, symbols = turns.frames, turns.frames.new.shape[1]
    every = np.arange(len(places))
    before = _counts(frames, every, torch.zeros(len(every), symbols, dtype=torch.bool))
    for order, name in enumerate(found.orders):
        moves = turns.of_model[name].moves
        for row in np.flatnonzero(moves == NEVER):
            found.told[places[row]][order] = (
                f"As it is, since not even all {symbols} symbols moved to {pair.rival} turn it"
            )

        turned = np.flatnonzero(moves != NEVER)
        if not len(turned):
            continue
        rank = turns.by_order[name].argsort(1)  # when each symbol moves
        moved = torch.from_numpy(rank[turned] < moves[turned, None])
        after = _counts(frames, turned, moved)
        answers = [softmax(logits, axis=1) for logits in frames.answers(turned, moved)]
        for row, counts, *of_heads in zip(turned, after, *answers, strict=True):
            place = places[row]
            found.left[place][order] = (counts < before[row])[lit[place]]
            found.arrived[place][order] = np.flatnonzero(counts > before[row])
            found.modulation_prob[place, order], found.snr_prob[place, order] = of_heads
            found.told[place][order] = (
                f"With {counted(int(moves[row]), 'symbol')} of {symbols} moved to {pair.rival}"
            )


def _counts(frames: MovedFrames, rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
    """Points in each pixel of all views, int (k, pixels)."""
    render = frames.explained.data.render
    pixels = len(render.views) * render.size**2
    stored = frames.stored(torch.from_numpy(rows), moved).numpy()
    # What lies beyond the image has the number after the last pixel.
    return np.stack([np.bincount(one, minlength=pixels + 1)[:pixels] for one in stored])
