"""What is read off the table of scores: the headline, and the published protocol beside ours."""

from collections.abc import Sequence

import pandas as pd

from pisces.core.tasks import TASKS
from pisces.pis.families import SIGNIFICANT


def published(rows: pd.DataFrame) -> pd.DataFrame:
    """The published protocol beside ours, on the same model.

    - `published_pis`: percentile mask, drop over level / 100; `published_fraction_lit`: what that
      mask really took; `published_pis_realised`: the same drop over that.
    - `exact_pis` with its interval, `exact_control_pis` of its count control, and `p_count_holm`
      between the two.

    Returns:
        One row a (view, mask, level, task) that `table` has by both rules.

    Raises:
        ValueError: when the table lacks one of the rules.
    """
    for rule in ("percentile", "exact"):
        if not (rows["rule"] == rule).any():
            raise ValueError(
                f"the table has no mask of the rule {rule}; "
                "set perturb.rules to [exact, percentile] and run dvc repro pis to compare them"
            )
    new_names = {
        "percentile": {
            "pis_nominal": "published_pis",
            "fraction_lit": "published_fraction_lit",
            "pis": "published_pis_realised",
        },
        "exact": {
            "pis": "exact_pis",
            "pis_ci_low": "exact_pis_ci_low",
            "pis_ci_high": "exact_pis_ci_high",
            "control_count_pis": "exact_control_pis",
            "p_count_holm": "p_count_holm",
        },
    }
    keys = ["view", "mask", "level_percent", "task"]
    of_rule = {}
    for rule, names in new_names.items():
        columns = rows.loc[rows["rule"] == rule, keys + list(names)]
        of_rule[rule] = columns.rename(columns=names)
    return of_rule["percentile"].merge(of_rule["exact"], on=keys)


def headline(rows: pd.DataFrame, levels_percent: Sequence[float]) -> dict[str, dict[str, float]]:
    """Twelve numbers for the metrics file; what goes with them is in the table.

    Args:
        rows: what `table` gave.
        levels_percent: of the masks by brightness.

    Returns:
        Task -> `top`, `bottom` and `random`: PIS at the largest level, of the exact rule where it
        is in the table, mean over the views; and `excess`: the largest excess over the count
        control that is above 0 and significant within its family, or 0 without any. A view in which
        a score is undefined is left out of the mean, and a number that no view has is left out.
    """
    rule = "exact" if (rows["rule"] == "exact").any() else "percentile"
    at_level = rows[(rows["rule"] == rule) & (rows["level_percent"] == max(levels_percent))]
    significant = rows[(rows["p_count_holm"] < SIGNIFICANT) & (rows["excess"] > 0)]

    result: dict[str, dict[str, float]] = {}
    for task in TASKS:
        result[task] = {}
        for name in ("top", "bottom", "random"):
            chosen = (at_level["task"] == task) & (at_level["mask"] == name)
            scores = at_level.loc[chosen, "pis"].dropna()
            if len(scores):
                result[task][name] = float(scores.mean())
        excess = significant.loc[significant["task"] == task, "excess"]
        result[task]["excess"] = float(excess.max()) if len(excess) else 0.0
    return result
