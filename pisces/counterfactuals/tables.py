"""How many symbols move, over the frames of a pair and an SNR."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import binom

from pisces.counterfactuals.search import NEVER

MODEL, LIKELIHOOD = "model", "likelihood"
"""Whose prediction turns."""

COLUMNS = (
    *("class", "rival", "snr_db", "order", "of", "tested", "wrong", "refused", "refused_why"),
    *("frames", "median", "ci_low", "ci_high", "flipped", "share", "into_rival", "never"),
    *("ends_as_rival", "kept", "kept_why"),
)


class Turned(NamedTuple):
    """One frame in one order."""

    order: str
    of: str
    """`MODEL` or `LIKELIHOOD`."""
    moves: float
    """Until it turns first; `NEVER` where all symbols have moved and it has not."""
    into_rival: bool
    ends_as_rival: bool
    """When all symbols have moved."""
    kept_why: str
    """Why the class is predicted then; empty where it is not."""


class Cell(NamedTuple):
    """What was found of one pair at one SNR."""

    name: str
    rival: str
    snr_db: int
    """Label."""
    tested: int
    wrong: int
    """Frames of which another class is predicted as they are."""
    refused: Sequence[str]
    """Of each refused frame why."""
    turned: Sequence[Turned]


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """95 % interval of a median, by order statistics, exact for any law.

    The r-th smallest of n values and the r-th largest hold the median between them unless fewer
    than r lie on one side of it: binomial of n and 1 / 2, each side at most 2.5 %. Of fewer than 6
    values no r is left: 0 to `NEVER` says that nothing is known. A value of `NEVER` is above all
    others. David and Nagaraja, "Order statistics" (2003), section 7.1.

    >>> median_interval(np.arange(1.0, 11.0))
    (2.0, 9.0)
    """
    n = len(values)
    rank = int(binom.ppf(0.025, n, 0.5)) if n else 0
    if rank < 1:
        return 0.0, NEVER
    ordered = np.sort(values)
    return float(ordered[rank - 1]), float(ordered[n - rank])


def table(cells: Sequence[Cell], orders: Sequence[str]) -> pd.DataFrame:
    """Rows of `COLUMNS`: of each pair, each SNR and then all of them, each order.

    Args:
        cells: what was found.
        orders: names of the orders, in which rows stand.

    Returns:
        `snr_db` is missing in the rows of all SNRs, and `median` where there is no frame.
    """
    rows = []
    for pair in dict.fromkeys((cell.name, cell.rival) for cell in cells):
        of_pair = [cell for cell in cells if (cell.name, cell.rival) == pair]
        for cell in of_pair:
            rows += _rows([cell], cell.snr_db, orders)
        rows += _rows(of_pair, None, orders)
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"snr_db": "Int64"})


def _rows(
    cells: Sequence[Cell], snr_db: int | None, orders: Sequence[str]
) -> list[dict[str, object]]:
    """The rows of one pair at one SNR, or, with None, at all of them together."""
    refused = [reason for cell in cells for reason in cell.refused]
    frames: dict[str, object] = {
        "class": cells[0].name,
        "rival": cells[0].rival,
        "snr_db": snr_db,
        "tested": sum(cell.tested for cell in cells),
        "wrong": sum(cell.wrong for cell in cells),
        "refused": len(refused),
        "refused_why": in_words(refused),
    }
    rows = []
    for order in orders:
        for of in (MODEL, LIKELIHOOD):
            every = [one for cell in cells for one in cell.turned]
            some = [one for one in every if (one.order, one.of) == (order, of)]
            rows.append({**frames, "order": order, "of": of, **_summary(some)})
    return rows


def _summary(turned: Sequence[Turned]) -> dict[str, object]:
    """What frames of one order have in common."""
    n = len(turned)
    moves = np.array([one.moves for one in turned])
    low, high = median_interval(moves)
    never = int((moves == NEVER).sum())
    kept = [one.kept_why for one in turned if one.kept_why]
    return {
        "frames": n,
        "median": float(np.median(moves)) if n else None,
        "ci_low": low if n else None,
        "ci_high": high if n else None,
        "flipped": n - never,
        "share": (n - never) / n if n else None,
        "into_rival": sum(one.into_rival for one in turned),
        "never": never,
        "ends_as_rival": sum(one.ends_as_rival for one in turned),
        "kept": len(kept),
        "kept_why": in_words(kept),
    }


def in_words(reasons: Iterable[str]) -> str:
    """Reasons with how often each is given, the most frequent first.

    >>> in_words(["b", "a", "b"])
    '2 b; 1 a'
    """
    return "; ".join(f"{count} {reason}" for reason, count in Counter(reasons).most_common())
