"""How few symbols turn a prediction: fills docs/results/explanations.md.

    python -m benchmarks.counterfactuals [--labels 2 6 10] [--frames 8]

First what the stage `counterfactual` of this workspace found, over all of its SNRs. Then how far
the likelihood's number, whose two phases are held, is from that with the phase averaged out, frame
by frame in the order of evidence gain.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.judge import PAGE
from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.config.io import load_params
from pisces.core import shards
from pisces.core.seeding import generator
from pisces.counterfactuals import orders, search
from pisces.counterfactuals.moves import draw
from pisces.counterfactuals.settings import Pair, pairs_of
from pisces.counterfactuals.tables import median_interval
from pisces.data import splitting
from pisces.evaluation import limits
from pisces.inputs.drawing import BinStore
from pisces.inputs.waveform import IqStore, frames_behind
from pisces.truth.law import SymbolLaw
from pisces.truth.posterior import hypotheses
from pisces.truth.received import receive

DATA, TABLE = Path("data"), Path("plots/counterfactuals.csv")
FOUND = ("<!-- counterfactuals -->\n", "<!-- end of counterfactuals -->\n")


def medians(found: pd.DataFrame) -> list[dict[str, str]]:
    """A row a pair: the likelihood's optimum, then the model in each order, over all SNRs."""
    of_all = found[found["snr_db"].isna()]
    rows = []
    for names, of_pair in of_all.groupby(["class", "rival"], sort=False):
        of_model = of_pair[of_pair["of"] == "model"].set_index("order")
        optimum = of_pair[of_pair["of"] == "likelihood"].set_index("order").loc[orders.GAIN]
        row = {
            "median moves": " to ".join(map(str, names)),
            "frames": str(int(optimum["frames"])),
            "likelihood": _cell(optimum["median"], optimum["ci_low"], optimum["ci_high"]),
        }
        for order, one in of_model.iterrows():
            name = str(order).replace("_", " ")
            row[name] = _cell(one["median"], one["ci_low"], one["ci_high"])
        rows.append(row)
    return rows


def averaged(labels: Sequence[int], frames: int) -> list[dict[str, str]]:
    """A row a pair: the likelihood's number with both phases held, and averaged out.

    Args:
        labels: SNR labels of the frames.
        frames: test frames of each class at each of them.
    """
    data = BinStore(DATA / "constellations")
    iq = frames_behind(data, DATA)
    test = splitting.read_splits(DATA / "splits.npz", data.sizes)["test"]
    index = splitting.first_of_each_cell(test, frames)
    snrs = limits.reception_of(iq.root, data.modulations, labels, data.render).after_equalizer

    rows = []
    for pair in pairs_of(None, data.modulations):
        parts = []
        for label in labels:
            cell = data.modulations.index(pair.name), data.snrs_db.index(label)
            of_cell = index[(index[:, :2] == cell).all(1)]
            parts.append(_both_numbers(data, iq, pair, of_cell, snrs[label]))
        held, blind = np.concatenate(parts, 1)
        row = {"median moves": str(pair), "frames": str(len(held))}
        for name, values in (("phases held", held), ("phase averaged out", blind)):
            row[name] = _cell(np.median(values), *median_interval(values))
        rows.append(row)
    return rows


def _both_numbers(
    data: BinStore, iq: IqStore, pair: Pair, index: np.ndarray, snr: float
) -> np.ndarray:
    """Of frames that are not refused and taken for their class, both numbers: (2, n)."""
    whole = SymbolLaw(data.modulations, snr, shards.ask(iq.root))
    law = SymbolLaw(tuple(pair), snr, whole.ask)
    names, stored = [pair.name] * len(index), torch.from_numpy(iq.gather(index))
    received = receive(stored, names, data.render, whole, "held")
    taken = np.flatnonzero([not why for why in received.refused])
    if not len(taken):
        return np.empty((2, 0))

    identities, seed = data.identities(index[taken]), load_params().base.seed
    rngs = [generator(seed, "counterfactual", *one, pair.rival) for one in identities]
    moves = draw(received.some(taken).found.x, law, rngs)
    at_random = orders.random_orders(seed, identities, moves.old.shape[1])
    by_gain = {orders.GAIN: orders.all_orders(moves, {}, at_random)[orders.GAIN]}
    old, new = (torch.from_numpy(one.astype(np.complex64)) for one in (moves.old, moves.new))

    def predict(rows: np.ndarray, moved: torch.Tensor) -> np.ndarray:
        x = torch.where(moved, new[rows], old[rows])
        return hypotheses(x, law).likeliest_classes(len(x)).numpy()

    held = search.of_likelihood(moves, by_gain, orders.GAIN)[orders.GAIN].moves
    blind = search.of_model(predict, by_gain, np.zeros(len(old), int))[orders.GAIN].moves
    of_class = hypotheses(old, law).likeliest_classes(len(old)).numpy() == 0
    return np.stack([held, blind])[:, of_class]


def _cell(median: float, low: float, high: float) -> str:
    return f"{median:g} ({low:g} to {high:g})".replace("inf", "never")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", nargs="+", type=int, default=[2, 6, 10])
    parser.add_argument("--frames", type=int, default=8, help="of each class at each label")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    torch.set_num_threads(1)

    found = f"Made by `python -m benchmarks.counterfactuals` on {machine_and_date()}.\n\n"
    found += table(medians(pd.read_csv(TABLE))) + "\n"
    found += table(averaged(options.labels, options.frames))
    write_between(options.page, *FOUND, found)
    print(found)


if __name__ == "__main__":
    main()
