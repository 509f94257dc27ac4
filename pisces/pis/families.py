"""Tests in families: those that one question needs are adjusted together, and apart from others.

A question is asked of a view, a task and a kind of mask: do the brightest pixels of `symbol` matter
for the modulation, does one of its rings, one of its windows? In a table by group it is asked of
all groups at once, since who looks for a modulation or an SNR where a ring matters looks through
all of them. Whether a mask differs from as many pixels, and whether from as much mass, are two
questions.

Within a family even one mistake has a chance of 5 % at most. Over F families that is no longer so:
of F questions whose answer is no, a twentieth gets a mistaken yes.
"""

import numpy as np
import pandas as pd

from pisces.core import stats
from pisces.core.power import detectable_difference

SIGNIFICANT = 0.05  # an adjusted p-value below this
CONTROLS = ("count", "mass")


def names(rows: pd.DataFrame) -> pd.Series:
    """The family of each row, `<view>/<kind>/<task>`, of the columns view, rule, mask and task.

    A kind is a rule; of the masks by brightness, which are no parts of a picture, also which
    brightness.

    >>> rows = {"view": "symbol", "rule": ["exact", "ring"], "mask": ["top", "1"], "task": "snr"}
    >>> names(pd.DataFrame(rows)).tolist()
    ['symbol/exact top/snr', 'symbol/ring/snr']
    """
    by_brightness = rows["rule"].isin(["exact", "percentile"])
    kind = rows["rule"].where(~by_brightness, rows["rule"] + " " + rows["mask"])
    return rows["view"] + "/" + kind + "/" + rows["task"]


def with_tests(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their families, p-values adjusted within them, and what could have been found.

    Args:
        rows: view, rule, mask, task, `n`; for each of `CONTROLS` `p_<control>`, NaN without a test,
            and `differing_<control>`, how many frames are right after only one of both.

    Returns:
        The rows without `differing_<control>`, and with
        - `family`: see `names`; empty where there is no test.
        - `p_<control>_holm`: adjusted for the tests of the family against the same control.
        - `detectable_<control>`: the smallest true difference of accuracies, 0..1, that a test as
          strict as Holm's first in that family finds with a probability of 80 %, see
          `detectable_difference`. NaN where none would be.
    """
    tested = rows["p_count"].notna()
    rows = rows.assign(family=names(rows).where(tested, ""))
    for control in CONTROLS:
        of_family = rows[f"p_{control}"].groupby(rows["family"], sort=False)
        rows[f"p_{control}_holm"] = of_family.transform(lambda p: stats.holm(p.to_numpy()))

        tests = of_family.transform("count").to_numpy()
        significance = SIGNIFICANT / np.maximum(tests, 1)
        columns = rows[f"differing_{control}"], rows["n"], significance, tested
        rows[f"detectable_{control}"] = [
            detectable_difference(differing, n, level) if is_test else np.nan
            for differing, n, level, is_test in zip(*columns, strict=True)
        ]
    return rows.drop(columns=[f"differing_{control}" for control in CONTROLS])
