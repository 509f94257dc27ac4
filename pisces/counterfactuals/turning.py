"""When frames turn to a rival, as their symbols move one after the other in several orders.

Only frames whose class the model predicts are asked about: of others it has left the class already.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.attribution.methods import Method
from pisces.core import shards
from pisces.core.modulations import Ask
from pisces.core.seeding import generator
from pisces.counterfactuals import orders, search
from pisces.counterfactuals.moved_frames import MovedFrames
from pisces.counterfactuals.moves import Moves, draw
from pisces.counterfactuals.search import Flips
from pisces.counterfactuals.settings import RUNNER_UP, Pair, has_points
from pisces.evaluation import limits
from pisces.inputs.settings import OtherViews
from pisces.inputs.waveform import IqStore
from pisces.truth.evidence import Duel
from pisces.truth.law import SymbolLaw
from pisces.truth.received import Received, receive

NO_RIVAL = "no other class has constellation points, one sample a symbol"
"""Why a frame is refused, beside those of `truth`."""


class Setup(NamedTuple):
    """What all frames have in common."""

    explained: ExplainedModel
    """The model, shown the view `symbol`, and the constellations of its frames."""
    iq: IqStore
    """The frames themselves."""
    methods: Sequence[Method]
    """Attributions by whose order symbols move."""
    other_views: OtherViews
    law_snr: Mapping[int, float]
    """SNR label -> linear SNR of a symbol after the equaliser."""
    ask: Ask

    @property
    def order_names(self) -> list[str]:
        """Names of all orders that are tried."""
        of_methods = [method.name for method in self.methods]
        return [orders.GAIN, orders.EVIDENCE, orders.SWAPS, *of_methods, orders.RANDOM]


def set_up(
    explained: ExplainedModel, iq: IqStore, methods: Sequence[Method], other_views: OtherViews
) -> Setup:
    """Looks up what the file of the frames says of its channel.

    Args:
        explained: the model, shown the view `symbol`, and the constellations of its frames.
        iq: the frames themselves.
        methods: attributions by whose order symbols move.
        other_views: whether the views beside `symbol` are held.

    Returns:
        What all frames have in common.
    """
    data = explained.data
    # Of all labels, whichever are asked: the channel of a file is told by its clearest frames.
    received = limits.reception_of(iq.root, data.modulations, data.snrs_db, data.render)
    law_snr = received.after_equalizer
    return Setup(explained, iq, methods, other_views, law_snr, shards.ask(iq.root))


class OfSnr(NamedTuple):
    """Frames of one SNR label, and of them those whose class the model predicts."""

    label: int
    law: SymbolLaw
    tested: np.ndarray
    """The index of all, (n, 3)."""
    right: np.ndarray
    """Of these, (k, 3)."""
    logits: np.ndarray
    """Of these, (k, classes)."""
    received: Received | None
    """The same; None where there are none."""


def frames_of(setup: Setup, index: np.ndarray, label: int) -> OfSnr:
    """The frames of an index (n, 3) that have an SNR label."""
    explained, data = setup.explained, setup.explained.data
    index = index[index[:, 1] == data.snrs_db.index(label)]
    law = SymbolLaw(data.modulations, setup.law_snr[label], setup.ask)
    if not len(index):
        nothing = np.empty((0, len(data.modulations)), np.float32)
        return OfSnr(label, law, index, index, nothing, None)

    whole, _ = Frames.of(explained, index).predict_whole(explained.model)
    logits = whole.float().cpu().numpy()
    is_right = logits.argmax(1) == index[:, 0]
    right, received = index[is_right], None
    if len(right):
        iq = torch.from_numpy(setup.iq.gather(right))
        names = [data.modulations[m] for m in right[:, 0]]
        received = receive(iq, names, data.render, law, setup.other_views)
    return OfSnr(label, law, index, right, logits[is_right], received)


class Batch(NamedTuple):
    """Frames of one class and SNR, all with the same rival."""

    pair: Pair
    frame: np.ndarray
    """Their index, (n, 3)."""
    logits: np.ndarray
    """(n, classes)."""
    received: Received


class OfClass(NamedTuple):
    """Frames of one class and SNR whose class the model predicts."""

    frame: np.ndarray
    """Their index, (n, 3)."""
    refused: list[str]
    """Of each frame why its symbols are not moved; empty where they are."""
    batches: list[Batch]
    """Those that are not refused, a batch a rival."""


def of_class(setup: Setup, pair: Pair, frames: OfSnr) -> OfClass:
    """The frames of the class of a pair, each with its rival."""
    names = setup.explained.trained.modulations
    at = np.flatnonzero(frames.right[:, 0] == names.index(pair.name))
    index, logits = frames.right[at], frames.logits[at]
    if not len(at) or frames.received is None:
        return OfClass(index, [], [])

    rivals = rivals_of(pair, logits, names)
    if not rivals:
        return OfClass(index, [NO_RIVAL] * len(index), [])

    received = frames.received.some(at)
    batches = []
    for rival in dict.fromkeys(rivals):
        both = zip(rivals, received.refused, strict=True)
        taken = [one == rival and not reason for one, reason in both]
        rows = np.flatnonzero(taken)
        if len(rows):
            of_rival = Pair(pair.name, rival)
            batches.append(Batch(of_rival, index[rows], logits[rows], received.some(rows)))
    return OfClass(index, list(received.refused), batches)


def rivals_of(pair: Pair, logits: np.ndarray, names: Sequence[str]) -> list[str]:
    """The rival of each frame (n,), which may be found in logits (n, classes); empty: none is."""
    if pair.rival != RUNNER_UP:
        return [pair.rival] * len(logits)
    others = [name for name in names if has_points(name) and name != pair.name]
    if not others:
        return []
    of_others = logits[:, [names.index(name) for name in others]]
    return [others[place] for place in of_others.argmax(1)]


class Turns(NamedTuple):
    """When each frame of a batch turns, in each order."""

    frames: MovedFrames
    moves: Moves
    duel: Duel
    """Numbers of class and rival in the model."""
    by_order: dict[str, np.ndarray]
    """Name -> numbers of symbols, the first to move first, int (n, symbols)."""
    of_model: dict[str, Flips]
    of_likelihood: dict[str, Flips]


def turn(setup: Setup, batch: Batch, law: SymbolLaw) -> Turns:
    """Moves the symbols of frames to their rival until the model and the likelihood turn.

    Args:
        setup: what all frames have in common.
        batch: the frames.
        law: of all classes at their SNR.

    Returns:
        When they turn.
    """
    explained, pair = setup.explained, batch.pair
    identities = explained.data.identities(batch.frame)
    rngs = [generator(explained.seed, "counterfactual", *one, pair.rival) for one in identities]
    moves = draw(batch.received.found.x, SymbolLaw(tuple(pair), law.snr, law.ask), rngs)
    frames = MovedFrames.of(explained, batch.frame, batch.received, moves.new)

    n, symbols = moves.old.shape
    duel = orders.duel_numbers([pair.name] * n, [pair.rival] * n, explained.trained.modulations)
    scores = _scores(setup, frames, duel, batch)
    at_random = orders.random_orders(explained.seed, identities, symbols)
    by_order = orders.all_orders(moves, scores, at_random)
    of_likelihood = search.of_likelihood(moves, by_order, optimum=orders.GAIN)
    of_model = search.of_model(frames.predict, by_order, duel.chosen)
    return Turns(frames, moves, duel, by_order, of_model, of_likelihood)


def _scores(setup: Setup, frames: MovedFrames, duel: Duel, batch: Batch) -> dict[str, np.ndarray]:
    """Order by scores -> these, (n, symbols)."""
    n, symbols = frames.new.shape
    alone = torch.eye(symbols, dtype=torch.bool).repeat(n, 1)
    logits = frames.logits(np.arange(n).repeat(symbols), alone).reshape(n, symbols, -1)
    scores = {orders.SWAPS: orders.swap_scores(logits, batch.logits, duel)}
    for method in setup.methods:
        scores[method.name] = orders.attributed(method, setup.explained, batch.frame, duel)
    return scores
