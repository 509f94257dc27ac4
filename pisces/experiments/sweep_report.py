"""What came of a sweep, as tables: its best trials, what mattered, what was pruned or failed.

A trial is one of the settings that the study drew; an attempt is one try at it, of which there are
several where workers died. An attempt is lost, and the trial waits for another one or, after too
many, has failed. Values are compared over finished trials alone.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import sqlalchemy
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import OptunaError
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from scipy import stats
from sqlalchemy.engine import URL

from pisces.config.fields import suggestion
from pisces.experiments import address, storage
from pisces.experiments.attempts import (
    ERROR,
    SURPLUS,
    decisive,
    end_of,
    losses,
    root_of,
    state_of,
    told,
)
from pisces.experiments.joining import RETRIES, STUDY
from pisces.experiments.study_schema import Study
from pisces.experiments.sweep_importance import importances

BEST = 10
"""Trials that a report names first."""
PARTS = 4
"""Of a range, whose trials are put together."""
DEFAULT_RETRIES = int(Study.model_fields["retries"].default)
"""Of studies that do not say theirs."""
SINGLE_VALUES = 6
"""Of whole numbers that stand for themselves; more are put together as a range is."""


@dataclass(frozen=True)
class Report:
    """The tables of a study.

    Attributes:
        name: of the study.
        metric: that was sought.
        epoch_metric: by which trials were pruned.
        maximize: whether a higher metric is better.
        tables: name -> rows; see `tables_of`.
    """

    name: str
    metric: str
    epoch_metric: str
    maximize: bool
    tables: Mapping[str, pd.DataFrame]


def load(url: URL, name: str) -> optuna.Study:
    """A study of a storage, which is not made where there is none.

    Args:
        url: of the storage, as `address.read` gives it.
        name: of the study.

    Returns:
        The study of Optuna.

    Raises:
        FileNotFoundError: when the file of the storage is not there.
        ValueError: when the storage does not answer, or holds no such study.
    """
    where = address.shown(url)
    if address.is_file(url) and not Path(str(url.database)).is_file():
        raise FileNotFoundError(f"there is no storage {where}; name another with --storage")

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        names, opened = _opened(url)
    except (sqlalchemy.exc.SQLAlchemyError, OptunaError, RuntimeError, OSError) as error:
        reason = address.reason(error, url)
        raise ValueError(f"the storage {where} cannot be used: {reason}") from None
    if name not in names:
        there_are = f"there are {', '.join(names)}" if names else "it holds none"
        close = suggestion(name, names)
        raise ValueError(f"there is no study {name} in {where}{close}; {there_are}")
    assert opened is not None, "it holds a study"
    return optuna.load_study(study_name=name, storage=opened)


def _opened(url: URL) -> tuple[list[str], RDBStorage | None]:
    """The names of the studies in a storage, and the storage; None where it has none to hold them.

    Optuna would make its tables in any database that it opens.
    """
    if not storage.require_own_tables(url):
        return [], None
    opened = RDBStorage(storage.as_optuna_takes(url), {"connect_args": storage.connection(url)})
    return sorted(one.study_name for one in opened.get_all_studies()), opened


def of_study(study: optuna.Study) -> Report:
    """All tables of a study.

    Raises:
        ValueError: when no attempt at any trial has begun.
    """
    trials = [one for one in study.get_trials(deepcopy=False) if not one.user_attrs.get(SURPLUS)]
    begun = [one for one in trials if one.state is not TrialState.WAITING]
    if not begun:
        raise ValueError(
            f"no trial of the study {study.study_name} has begun, so that there is nothing to "
            "report; start a worker with python -m pisces sweep run"
        )
    asked = json.loads(study.user_attrs.get(STUDY, "{}"))
    maximize = study.direction is optuna.study.StudyDirection.MAXIMIZE
    return Report(
        name=study.study_name,
        metric=asked.get("metric", "value"),
        epoch_metric=asked.get("epoch_metric", "value of an epoch"),
        maximize=maximize,
        tables=tables_of(trials, maximize, study.user_attrs.get(RETRIES, DEFAULT_RETRIES)),
    )


def tables_of(
    trials: Iterable[FrozenTrial], maximize: bool, retries: int = DEFAULT_RETRIES
) -> dict[str, pd.DataFrame]:
    """The tables of a report.

    Args:
        trials: attempts of a study, as Optuna holds them.
        maximize: whether a higher value is better.
        retries: how many lost attempts at a trial are made good.

    Returns:
        `attempts`, one row each; `trials`, the decisive attempt at each, with its settings; `best`
        of these; `epochs`, what each attempt reported; `pruned`, `failures`, `retries`;
        `importance` and `marginals` of the params over finished trials.
    """
    numbered = {one.number: one for one in trials}
    attempts = pd.DataFrame([_attempt(one) for one in numbered.values()])
    chosen = _decisive(attempts, numbered, retries)
    chosen_trials = [numbered[number] for number in chosen["attempt"]]
    settings = pd.DataFrame([one.params for one in chosen_trials], index=chosen.index)

    finished = [one for one in chosen_trials if one.state is TrialState.COMPLETE]
    is_finished = chosen["state"] == "finished"
    best = chosen[is_finished].sort_values("value", ascending=not maximize, kind="stable")
    with_settings = pd.concat([chosen, settings], axis=1)
    return {
        "attempts": attempts,
        "trials": with_settings,
        "best": with_settings.loc[best.index[:BEST]],
        "epochs": _epochs(chosen_trials),
        "pruned": chosen.loc[chosen["state"] == "pruned", ["trial", "epoch", "epoch_value"]],
        "failures": chosen.loc[chosen["state"] == "failed", ["trial", "host", "error"]],
        "retries": _retries(attempts, chosen),
        "importance": importances(finished),
        "marginals": marginals(finished),
    }


def _attempt(one: FrozenTrial) -> dict[str, Any]:
    """The row of an attempt."""
    attributes, last = one.user_attrs, one.last_step
    return {
        "trial": root_of(one),
        "attempt": one.number,
        "state": end_of(one),
        "value": one.value if one.state is TrialState.COMPLETE else np.nan,
        "epoch": last,
        "epoch_value": np.nan if last is None else one.intermediate_values[last],
        "seconds": attributes.get("seconds", np.nan),
        "from_run_cache": attributes.get("from_run_cache"),
        "experiment": attributes.get("experiment", ""),
        "host": attributes.get("host", ""),
        "error": attributes.get(ERROR, ""),
    }


def _decisive(
    attempts: pd.DataFrame, numbered: Mapping[int, FrozenTrial], retries: int
) -> pd.DataFrame:
    """Of each trial the attempt that says what came of it.

    Args:
        attempts: a row each.
        numbered: number of an attempt -> the same as Optuna holds it.
        retries: how many lost attempts at a trial are made good.

    Returns:
        A row a trial, with its state, why it failed, and how many attempts there were.
    """
    rows = attempts.set_index("attempt", drop=False)
    chosen = []
    for _, numbers in attempts.groupby("trial")["attempt"]:
        tries = [numbered[one] for one in numbers]
        state = told(state_of(tries, retries))
        row = rows.loc[decisive(tries).number].to_dict()
        if state == "failed" and not row["error"]:
            row["error"] = (
                f"{losses(tries)} attempts were lost with their worker or machine, more than "
                f"retries = {retries} makes good"
            )
        chosen.append(row | {"state": state, "attempts": len(tries)})
    return pd.DataFrame(chosen)


def _retries(attempts: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """Trials that were lost or handed back at least once: where, and what came of them."""
    rows = []
    states = chosen.set_index("trial")["state"]
    for trial, tries in attempts.groupby("trial"):
        given_up = tries["state"].isin(["lost", "handed back"])
        if given_up.any():
            rows.append(
                {
                    "trial": trial,
                    "attempts": len(tries),
                    "lost": int((tries["state"] == "lost").sum()),
                    "handed_back": int((tries["state"] == "handed back").sum()),
                    "hosts": ", ".join(dict.fromkeys(filter(None, tries["host"]))),
                    "state": states[trial],
                }
            )
    columns = ["trial", "attempts", "lost", "handed_back", "hosts", "state"]
    return pd.DataFrame(rows, columns=columns)


def _epochs(trials: Iterable[FrozenTrial]) -> pd.DataFrame:
    """What each trial reported of each epoch."""
    rows = [
        {"trial": root_of(one), "epoch": epoch, "value": value}
        for one in trials
        for epoch, value in sorted(one.intermediate_values.items())
    ]
    return pd.DataFrame(rows, columns=["trial", "epoch", "value"])


def marginals(finished: list[FrozenTrial]) -> pd.DataFrame:
    """Means over the trials of each choice, with 95 % intervals.

    Args:
        finished: trials with a value.

    Returns:
        A row a choice, or a part of a range on the scale on which it is drawn: `param`, `choice`,
        `trials`, `mean`, `low` and `high` (Student's t over trials; NaN for a single one), and
        whether the param was drawn in some trials only, `conditional`.
    """
    rows = []
    keys = dict.fromkeys(key for one in finished for key in one.params)
    for key in keys:
        having = [one for one in finished if key in one.params]
        choices = _choices(key, having)
        for choice in dict.fromkeys(choices[place] for place in _in_order(key, having)):
            values = [one.value for one, own in zip(having, choices, strict=True) if own == choice]
            rows.append(
                {
                    "param": key,
                    "choice": choice,
                    "trials": len(values),
                    **_mean(np.array(values, dtype=float)),
                    "conditional": len(having) < len(finished),
                }
            )
    columns = ["param", "choice", "trials", "mean", "low", "high", "conditional"]
    return pd.DataFrame(rows, columns=columns)


def _mean(values: np.ndarray) -> dict[str, float]:
    """Mean of values (n,) and Student's 95 % interval of it."""
    mean = float(values.mean())
    if len(values) < 2:
        return {"mean": mean, "low": np.nan, "high": np.nan}
    error = float(stats.sem(values))
    reach = error * float(stats.t.ppf(0.975, len(values) - 1))
    return {"mean": mean, "low": mean - reach, "high": mean + reach}


def _in_order(key: str, trials: list[FrozenTrial]) -> list[int]:
    """Places of trials: numbers by size, choices as the space names them."""
    distribution = trials[0].distributions[key]
    values = [distribution.to_internal_repr(one.params[key]) for one in trials]
    return sorted(range(len(trials)), key=lambda place: values[place])


def _choices(key: str, trials: list[FrozenTrial]) -> list[str]:
    """What each trial chose: a value, or a part of a range."""
    distribution, values = trials[0].distributions[key], [one.params[key] for one in trials]
    if _is_single(distribution, values):
        return [str(value) if isinstance(value, str) else json.dumps(value) for value in values]

    low, high = distribution.low, distribution.high  # type: ignore[attr-defined]
    is_log = distribution.log  # type: ignore[attr-defined]
    spaced = np.geomspace if is_log else np.linspace
    edges = spaced(low, high, PARTS + 1)
    parts = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, PARTS - 1)
    return [f"{edges[part]:.3g} to {edges[part + 1]:.3g}" for part in parts]


def _is_single(distribution: BaseDistribution, values: list[Any]) -> bool:
    """Whether each value stands for itself."""
    if isinstance(distribution, CategoricalDistribution):
        return True
    return isinstance(distribution, IntDistribution) and len(set(values)) <= SINGLE_VALUES
