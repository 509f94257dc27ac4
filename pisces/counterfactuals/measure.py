"""How few symbols turn the predictions of a model, pair by pair, and those of the likelihood."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pisces.attribution import evidence_table
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.methods import RandomBaseline
from pisces.core.progress import progress
from pisces.counterfactuals import examples, orders, reasons, search, summary, tables
from pisces.counterfactuals.choice import Choice
from pisces.counterfactuals.examples import Example
from pisces.counterfactuals.settings import Pair
from pisces.counterfactuals.tables import LIKELIHOOD, MODEL, Cell, Turned
from pisces.counterfactuals.turning import (
    Batch,
    OfSnr,
    Setup,
    Turns,
    frames_of,
    of_class,
    set_up,
    turn,
)
from pisces.inputs.waveform import IqStore
from pisces.truth.law import SymbolLaw

SHOWN = orders.SWAPS
"""The order of the examples."""
NOTES = {
    "held": "the other views are held as they are",
    "redrawn": "the other views show the new samples, with timing and synchronisation held",
}
"""What becomes of the other views, for a caption."""


class Measured(NamedTuple):
    """What was found."""

    table: pd.DataFrame
    """Rows of `tables.COLUMNS`."""
    evidence: pd.DataFrame
    """Rows of `evidence_table.COLUMNS`."""
    headline: dict[str, dict[str, float]]
    """As `summary.headline` gives it."""
    arrays: dict[str, np.ndarray]
    """Of `examples.arrays`."""
    frames: int
    """Whose predictions were to turn, of all pairs together."""
    wrong: int
    """Frames of which another class is predicted as they are."""
    refused: int
    """Frames of which no symbols could be moved."""


def measure(explained: ExplainedModel, iq: IqStore, chosen: Choice) -> Measured:
    """How few symbols turn the prediction of each frame, pair by pair and SNR by SNR.

    Args:
        explained: the model, shown the view `symbol`, and the constellations of its frames.
        iq: the frames themselves.
        chosen: pairs, frames and orders.

    Returns:
        A table and an example of each pair, of the highest SNR that has one, and how far the
        orders by attributions agree with the evidence.
    """
    if not chosen.pairs and not chosen.methods:
        nothing = pd.DataFrame(columns=list(evidence_table.COLUMNS))
        no_examples = examples.arrays([], SHOWN, "")
        headline = summary.headline([], nothing)
        return Measured(tables.table([], []), nothing, headline, no_examples, 0, 0, 0)
    setup = set_up(explained, iq, chosen.methods, chosen.other_views)
    data = explained.data
    classes = [data.modulations.index(pair.name) for pair in chosen.pairs]
    index = chosen.frames[np.isin(chosen.frames[:, 0], classes)]
    labels = [data.snrs_db[number] for number in np.unique(index[:, 1])]

    cells: list[Cell] = []
    kept: dict[Pair, Example] = {}
    for label in progress(labels, "counterfactuals of an SNR"):
        frames = frames_of(setup, index, label)
        for pair in chosen.pairs:
            found, example = _cell(setup, pair, frames)
            cells.append(found)
            if example is not None:
                kept[pair] = example

    shown_ones = [kept[pair] for pair in chosen.pairs if pair in kept]
    wrong = sum(cell.wrong for cell in cells)
    refused = sum(len(cell.refused) for cell in cells)
    evidence = _evidence(setup, chosen)
    return Measured(
        table=tables.table(cells, setup.order_names),
        evidence=evidence,
        headline=summary.headline(cells, evidence),
        arrays=examples.arrays(shown_ones, SHOWN, NOTES[chosen.other_views]),
        frames=sum(cell.tested for cell in cells) - wrong - refused,
        wrong=wrong,
        refused=refused,
    )


def _evidence(setup: Setup, chosen: Choice) -> pd.DataFrame:
    """How far the methods agree with the evidence, and a random order beside them."""
    explained, source = setup.explained, setup.iq.root
    methods = (*chosen.methods, RandomBaseline(explained.seed))
    return evidence_table.table(explained, methods, chosen.evidence_frames, source, setup.law_snr)


def _cell(setup: Setup, pair: Pair, frames: OfSnr) -> tuple[Cell, Example | None]:
    """What is found of a class at one SNR label, and an example with its most frequent rival."""
    number = setup.explained.trained.modulations.index(pair.name)
    tested = int((frames.tested[:, 0] == number).sum())
    right, refused, batches = of_class(setup, pair, frames)

    turned: list[Turned] = []
    example = None
    for batch in sorted(batches, key=lambda one: -len(one.frame)):
        turns = turn(setup, batch, frames.law)
        turned += _turned(batch.pair, turns, frames.law)
        example = example or _example(setup, batch, turns)
    reasons_of_refusal = [reason for reason in refused if reason]
    wrong = tested - len(right)
    return Cell(*pair, frames.label, tested, wrong, reasons_of_refusal, turned), example


def _example(setup: Setup, batch: Batch, turns: Turns) -> Example | None:
    identities = setup.explained.data.identities(batch.frame)
    titles = [f"{batch.pair}, {label} dB" for _, label, _ in identities]
    return examples.typical(turns.frames, turns.of_model[SHOWN], turns.by_order[SHOWN], titles)


class _End(NamedTuple):
    """What is predicted of n frames when all symbols have moved."""

    is_rival: np.ndarray
    """bool (n,)."""
    kept_why: list[str]
    """Why it is the class still; empty where it is not."""


def _turned(pair: Pair, turns: Turns, law: SymbolLaw) -> list[Turned]:
    """The frames of a batch, order by order, of the model and of the likelihood."""
    of_model, of_likelihood = _ends(turns, (pair.name, pair.rival, law.ask))
    of_two = np.ones_like(turns.duel.rival)  # the rival is class 1 of the two
    found = []
    for order in turns.by_order:
        found += _of_order(order, MODEL, turns.of_model[order], turns.duel.rival, of_model)
        found += _of_order(order, LIKELIHOOD, turns.of_likelihood[order], of_two, of_likelihood)
    return found


def _ends(turns: Turns, names: reasons.Names) -> tuple[_End, _End]:
    """What model and likelihood say when all symbols have moved."""
    frames, moves, duel = turns.frames, turns.moves, turns.duel
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
    return _End(predicted == duel.rival, why), _End(likelier, by_noise)


def _of_order(
    order: str, of: str, flips: search.Flips, rival: np.ndarray, end: _End
) -> list[Turned]:
    """The frames of one order, one by one."""
    into_rival = flips.into == rival
    by_frame = zip(flips.moves, into_rival, end.is_rival, end.kept_why, strict=True)
    return [
        Turned(order, of, float(count), bool(into), bool(ends), why)
        for count, into, ends, why in by_frame
    ]
