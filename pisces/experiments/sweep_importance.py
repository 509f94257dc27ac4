"""How much of what trials differ by is due to each param: functional ANOVA.

Hutter, Hoos and Leyton-Brown, "An efficient approach for assessing hyperparameter importance", ICML
2014, over a random forest, as Optuna computes it.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import FloatDistribution
from optuna.importance import FanovaImportanceEvaluator
from optuna.trial import FrozenTrial

FEWEST = 10
"""Finished trials below which a forest says nothing."""
FORESTS, TREES = 10, 16
"""How many forests, and trees in each."""
COLUMNS = ("param", "importance", "low", "high", "trials", "conditional")


def importances(finished: Sequence[FrozenTrial]) -> pd.DataFrame:
    """The share of the variance of the values that each param explains by itself.

    Args:
        finished: trials with a value.

    Returns:
        A row a param, the most important first: `importance` (the mean over `FORESTS` seeds; the
        shares of params that are drawn always sum to 1), `low` and `high` (the least and the
        greatest of the forests, over the same trials), `trials`, and `conditional`: whether the
        param was drawn in some of them only. Such a one is judged by these trials, beside all that
        are drawn always. Without a row for what fewer than `FEWEST` trials have, or what was always
        the same.
    """
    if len(finished) < FEWEST:
        return pd.DataFrame(columns=list(COLUMNS))
    every = dict.fromkeys(key for one in finished for key in one.params)
    always = [key for key in every if all(key in one.params for one in finished)]

    rows = _rows(finished, always, always, conditional=False)
    for key in every:
        having = [one for one in finished if key in one.params]
        if key not in always and len(having) >= FEWEST:
            rows += _rows(having, [*always, key], [key], conditional=True)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.sort_values(
        ["conditional", "importance"], ascending=[True, False], kind="stable", ignore_index=True
    )


def _rows(
    trials: Sequence[FrozenTrial], params: Sequence[str], told: Sequence[str], *, conditional: bool
) -> list[dict[str, object]]:
    """Rows of some params.

    Args:
        trials: that have all params.
        params: that the forest sees.
        told: of which there is to be a row.
        conditional: what the rows say.

    Returns:
        Mappings of `COLUMNS`.
    """
    varying = [key for key in params if len({one.params[key] for one in trials}) > 1]
    if not varying or len({one.value for one in trials}) < 2:
        return []
    study = _copy(trials, varying)
    shares: dict[str, list[float]] = {key: [] for key in varying}
    for seed in range(FORESTS):
        forest = FanovaImportanceEvaluator(n_trees=TREES, seed=seed)
        found = optuna.importance.get_param_importances(study, evaluator=forest, params=varying)
        for key, share in found.items():
            shares[key].append(share)

    rows: list[dict[str, object]] = []
    for key in told:
        if key in shares:
            ends = {"low": min(shares[key]), "high": max(shares[key])}
            of_key = {"param": key, "importance": float(np.mean(shares[key])), **ends}
            rows.append({**of_key, "trials": len(trials), "conditional": conditional})
    return rows


def _copy(trials: Sequence[FrozenTrial], params: Sequence[str]) -> optuna.Study:
    """A study of these trials and params alone, each on the scale on which it is drawn.

    fANOVA takes the mean over a range evenly, which of a learning rate would be its last decade.
    """
    study = optuna.create_study(storage=optuna.storages.InMemoryStorage())
    for one in trials:
        values, distributions = {}, {}
        for key in params:
            distribution, value = one.distributions[key], one.params[key]
            if getattr(distribution, "log", False):
                low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
                distribution = FloatDistribution(float(np.log(low)), float(np.log(high)))
                value = float(np.clip(np.log(value), distribution.low, distribution.high))
            values[key], distributions[key] = value, distribution
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study.add_trial(
                optuna.trial.create_trial(
                    value=one.value, params=values, distributions=distributions
                )
            )
    return study
