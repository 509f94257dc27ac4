"""How few symbols turn the predictions of a model, frame by frame, and those of the likelihood.

Only frames whose class the model predicts are asked about: of others it has left the class already.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pisces.attribution.explained_model import ExplainedModel, Frames
from pisces.core import shards
from pisces.core.modulations import Ask
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.counterfactuals import examples, orders, reasons, search, shown, tables
from pisces.counterfactuals.choice import Choice
from pisces.counterfactuals.examples import Example
from pisces.counterfactuals.moves import Moves, draw
from pisces.counterfactuals.settings import RUNNER_UP, Pair, has_points
from pisces.counterfactuals.tables import LIKELIHOOD, MODEL, Cell, Turned
from pisces.evaluation import limits
from pisces.inputs.waveform import IqStore
from pisces.truth.evidence import Duel
from pisces.truth.law import SymbolLaw

SHOWN = orders.SWAPS
"""The order of the examples."""
NO_RUNNER_UP = "the runner-up has no constellation points, one sample a symbol"
"""Why a frame is refused, beside those of `truth`."""
NOTES = {
    "held": "the other views are held as they are",
    "redrawn": "the other views show the new samples, with timing and synchronisation held",
}
"""What becomes of the other views, for a caption."""


class Measured(NamedTuple):
    """What was found."""

    table: pd.DataFrame
    """Rows of `tables.COLUMNS`."""
    arrays: dict[str, np.ndarray]
    """Of `examples.arrays`."""
    frames: int
    """Whose predictions were to turn, of all pairs together."""


class _Setup(NamedTuple):
    """What all frames have in common."""

    explained: ExplainedModel
    iq: IqStore
    chosen: Choice
    law_snr: Mapping[int, float]
    """SNR label -> linear SNR of a symbol after the equaliser."""
    ask: Ask

    @property
    def order_names(self) -> list[str]:
        of_methods = [method.name for method in self.chosen.methods]
        return [orders.GAIN, orders.EVIDENCE, orders.SWAPS, *of_methods, orders.RANDOM]


def measure(explained: ExplainedModel, iq: IqStore, chosen: Choice) -> Measured:
    """How few symbols turn the prediction of each frame, pair by pair and SNR by SNR.

    Args:
        explained: the model, shown the view `symbol`, and the constellations of its frames.
        iq: the frames themselves.
        chosen: pairs, frames and orders.

    Returns:
        A table and an example of each pair, of the highest SNR that has one.
    """
    if not chosen.pairs:
        return Measured(tables.table([], []), examples.arrays([], SHOWN, ""), frames=0)
    data, index = explained.data, chosen.frames
    labels = [data.snrs_db[number] for number in np.unique(index[:, 1])]
    # Of all labels, whichever are asked: the channel of a file is told by its clearest frames.
    received = limits.reception_of(iq.root, data.modulations, data.snrs_db, data.render)
    snrs = received.after_equalizer
    setup = _Setup(explained, iq, chosen, snrs, shards.ask(iq.root))

    cells: list[Cell] = []
    kept: dict[Pair, Example] = {}
    for label in progress(labels, "counterfactuals of an SNR"):
        frames = _frames_of(setup, label)
        for pair in chosen.pairs:
            found, example = _cell(setup, pair, frames)
            cells.append(found)
            kept |= {} if example is None else {pair: example}

    names = setup.order_names
    shown_ones = [kept[pair] for pair in chosen.pairs if pair in kept]
    count = sum(len(cell.turned) for cell in cells) // (2 * len(names))
    arrays = examples.arrays(shown_ones, SHOWN, NOTES[chosen.other_views])
    return Measured(tables.table(cells, names), arrays, count)


class _OfSnr(NamedTuple):
    """Frames of one SNR label, and of them those whose class the model predicts."""

    label: int
    law: SymbolLaw
    tested: np.ndarray
    """The index of all, (n, 3)."""
    right: np.ndarray
    """Of these, (k, 3)."""
    logits: np.ndarray
    """Of these, (k, classes)."""
    received: shown.Received | None
    """The same; None where there are none."""


def _frames_of(setup: _Setup, label: int) -> _OfSnr:
    """The frames of the classes of all pairs at one SNR label."""
    explained, data = setup.explained, setup.explained.data
    classes = [data.modulations.index(pair.name) for pair in setup.chosen.pairs]
    index = setup.chosen.frames
    number = data.snrs_db.index(label)
    index = index[np.isin(index[:, 0], classes) & (index[:, 1] == number)]
    law = SymbolLaw(data.modulations, setup.law_snr[label], setup.ask)
    if not len(index):
        nothing = np.empty((0, len(data.modulations)), np.float32)
        return _OfSnr(label, law, index, index, nothing, None)

    whole, _ = Frames.of(explained, index).predict_whole(explained.model)
    logits = whole.float().cpu().numpy()
    is_right = logits.argmax(1) == index[:, 0]
    right, received = index[is_right], None
    if len(right):
        iq = torch.from_numpy(setup.iq.gather(right))
        names = [data.modulations[m] for m in right[:, 0]]
        received = shown.receive(iq, names, data.render, law, setup.chosen.other_views)
    return _OfSnr(label, law, index, right, logits[is_right], received)


def _cell(setup: _Setup, pair: Pair, frames: _OfSnr) -> tuple[Cell, Example | None]:
    """What is found of the frames of the class of a pair at one SNR label."""
    names = setup.explained.trained.modulations
    number = names.index(pair.name)
    tested = int((frames.tested[:, 0] == number).sum())
    at = np.flatnonzero(frames.right[:, 0] == number)
    found = Cell(pair.name, pair.rival, frames.label, tested, tested - len(at), (), ())
    if not len(at) or frames.received is None:
        return found, None

    received, logits, index = frames.received.some(at), frames.logits[at], frames.right[at]
    rivals = _rivals(pair, logits, names)
    missing = [NO_RUNNER_UP if not has_points(rival) else "" for rival in rivals]
    refused = [one or other for one, other in zip(received.refused, missing, strict=True)]

    turned: list[Turned] = []
    example = None
    for rival in dict.fromkeys(rivals):
        taken = [one == rival and not reason for one, reason in zip(rivals, refused, strict=True)]
        rows = np.flatnonzero(taken)
        if len(rows):
            batch = _Batch(Pair(pair.name, rival), index[rows], logits[rows], received.some(rows))
            of_rival, example = _turn(setup, batch, frames.law)
            turned += of_rival
    reasons_of_refusal = [reason for reason in refused if reason]
    return found._replace(refused=reasons_of_refusal, turned=turned), example


def _rivals(pair: Pair, logits: np.ndarray, names: Sequence[str]) -> list[str]:
    """The rival of each frame (n,), which may be the runner-up in logits (n, classes)."""
    if pair.rival != RUNNER_UP:
        return [pair.rival] * len(logits)
    return [names[number] for number in logits.argsort(1)[:, -2]]


class _Batch(NamedTuple):
    """Frames of one class and SNR, all with the same rival."""

    pair: Pair
    frames: np.ndarray
    """Their index, (n, 3)."""
    logits: np.ndarray
    received: shown.Received


def _turn(setup: _Setup, batch: _Batch, law: SymbolLaw) -> tuple[list[Turned], Example | None]:
    """When each frame turns, in each order, and an example."""
    explained, pair, index = setup.explained, batch.pair, batch.frames
    identities = explained.data.identities(index)
    rngs = [generator(explained.seed, "counterfactual", *one, pair.rival) for one in identities]
    moves = draw(batch.received.found.x, SymbolLaw(tuple(pair), law.snr, law.ask), rngs)
    frames = shown.MovedFrames.of(explained, index, batch.received, moves.new)

    n, symbols = moves.old.shape
    duel = orders.duel_numbers([pair.name] * n, [pair.rival] * n, explained.trained.modulations)
    scores = _scores(setup, frames, duel, batch)
    at_random = orders.random_orders(explained.seed, identities, symbols)
    by_order = orders.all_orders(moves, scores, at_random)
    by_likelihood = search.of_likelihood(moves, by_order, optimum=orders.GAIN)
    by_model = search.of_model(frames.predict, by_order, duel.chosen)

    ends = _ends(frames, moves, duel, (pair.name, pair.rival, law.ask))
    found = []
    for order, flips in by_model.items():
        found += _turned(order, MODEL, flips, duel.rival, ends.model)
        found += _turned(order, LIKELIHOOD, by_likelihood[order], np.ones(n), ends.likelihood)
    titles = [f"{pair}, {label} dB" for _, label, _ in identities]
    return found, examples.typical(frames, by_model[SHOWN], by_order[SHOWN], titles)


class _End(NamedTuple):
    """What is predicted of n frames when all symbols have moved."""

    is_rival: np.ndarray
    """bool (n,)."""
    kept_why: list[str]
    """Why it is the class still; empty where it is not."""


class _Ends(NamedTuple):
    model: _End
    likelihood: _End


def _ends(frames: shown.MovedFrames, moves: Moves, duel: Duel, names: reasons.Names) -> _Ends:
    """What model and likelihood say when all symbols have moved."""
    n, symbols = moves.new.shape
    everything = torch.ones(n, symbols, dtype=torch.bool)
    predicted = frames.predict(np.arange(n), everything)
    likelier = moves.evidence_after.sum(1) < 0

    kept = np.flatnonzero(predicted == duel.chosen)
    why = [""] * n
    of_kept = reasons.why(frames, kept, duel.chosen[kept], likelier[kept], names)
    for row, reason in zip(kept.tolist(), of_kept, strict=True):
        why[row] = reason
    by_noise = ["" if one else reasons.NOISE for one in likelier.tolist()]
    return _Ends(_End(predicted == duel.rival, why), _End(likelier, by_noise))


def _turned(order: str, of: str, flips: search.Flips, rival: np.ndarray, end: _End) -> list[Turned]:
    """The frames of one order, one by one."""
    into_rival = flips.into == rival
    by_frame = zip(flips.moves, into_rival, end.is_rival, end.kept_why, strict=True)
    return [
        Turned(order, of, float(count), bool(into), bool(ends), why)
        for count, into, ends, why in by_frame
    ]


def _scores(
    setup: _Setup, frames: shown.MovedFrames, duel: Duel, batch: _Batch
) -> dict[str, np.ndarray]:
    """Order by scores -> these, (n, symbols)."""
    n, symbols = frames.new.shape
    alone = torch.eye(symbols, dtype=torch.bool).repeat(n, 1)
    logits = frames.logits(np.arange(n).repeat(symbols), alone).reshape(n, symbols, -1)
    scores = {orders.SWAPS: orders.swap_scores(logits, batch.logits, duel)}
    for method in setup.chosen.methods:
        scores[method.name] = orders.attributed(method, setup.explained, batch.frames, duel)
    return scores
