"""What is read off all pairs together: the headline of metrics/counterfactual.json."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pisces.attribution.judged import CEILING
from pisces.attribution.methods import RandomBaseline
from pisces.counterfactuals import orders
from pisces.counterfactuals.search import NEVER
from pisces.counterfactuals.tables import LIKELIHOOD, MODEL, Cell

ORDER_OF = {MODEL: orders.SWAPS, LIKELIHOOD: orders.GAIN}
"""Whose prediction turns -> the order that is made for that."""


def headline(cells: Sequence[Cell], evidence: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Four numbers for the metrics file; what goes with them is in the tables.

    Args:
        cells: what was found of each pair and SNR.
        evidence: rows of `evidence_table.COLUMNS`.

    Returns:
        `moves`: the median number of symbols until the `model` turns in the order of its own
        swaps, and the `likelihood` in that of its gain, over the frames of all pairs and SNRs;
        left out where there are no frames or half of them never turn. `agreement` with the
        evidence, over all frames: the `highest` of the methods, and that of a `random` ranking;
        left out where it was not measured.
    """
    result: dict[str, dict[str, float]] = {"moves": {}, "agreement": {}}
    turned = [frame for cell in cells for frame in cell.turned]
    for of, order in ORDER_OF.items():
        moves = [frame.moves for frame in turned if (frame.of, frame.order) == (of, order)]
        median = float(np.median(moves)) if moves else NEVER
        if median < NEVER:
            result["moves"][of] = median

    of_all = evidence[evidence["snr_db"].isna()].set_index("method")["agreement"].dropna()
    methods = of_all.drop([CEILING, RandomBaseline.name], errors="ignore")
    if len(methods):
        result["agreement"]["highest"] = float(methods.max())
    if RandomBaseline.name in of_all:
        result["agreement"]["random"] = float(of_all[RandomBaseline.name])
    return result
