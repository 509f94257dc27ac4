"""The report of a sweep as one page of Markdown."""

from collections.abc import Iterator

import pandas as pd

from pisces.core.texts import counted
from pisces.experiments.sweep_importance import FEWEST, FORESTS
from pisces.experiments.sweep_report import Report

HIDDEN = ("attempt", "state", "epoch_value", "from_run_cache", "error", "attempts", "host")
"""Columns of `best` that its table does without."""


def page(report: Report, pictures: list[str]) -> str:
    """The page.

    Args:
        report: of a study.
        pictures: names of those beside the page, without their ending.

    Returns:
        Markdown, whose links lead to tables and pictures in its own folder.
    """
    parts = [
        f"# Sweep {report.name}",
        f"{_counts(report)} The tables lie beside this page as CSV.",
        *_best(report),
        *_importance(report),
        *_marginals(report),
        *_rest(report),
    ]
    names = {
        "history": "Values by trial",
        "epochs": "Epochs by trial, and where trials were pruned",
        "importance": "Importance of the params",
        "marginals": "Means of the choices",
        "parallel": "Settings of the finished trials",
    }
    shown = [f"![{names[one]}]({one}.png)" for one in names if one in pictures]
    return "\n\n".join([*parts, "## Pictures", *shown]) + "\n"


def _counts(report: Report) -> str:
    """What came of how many trials, in words."""
    trials = report.tables["trials"]
    counts = trials["state"].value_counts()
    told = ", ".join(f"{count} {state}" for state, count in counts.items())
    better = "higher" if report.maximize else "lower"
    count = counted(len(trials), "trial")
    return f"{count}: {told}. Sought: {report.metric}, the {better} the better."


def _best(report: Report) -> Iterator[str]:
    yield "## Best trials"
    best = report.tables["best"]
    if best.empty:
        yield "No trial has finished yet."
        return
    yield table(best.drop(columns=[one for one in HIDDEN if one in best]))
    name = best["experiment"].iloc[0]
    if name:
        yield "The first becomes params, model and results of the workspace by"
        yield f"    {apply(name)}"
        yield (
            "The best of many is better than it will be again, since it was chosen for its value: "
            "compare it over fresh seeds before you believe it."
        )


def apply(experiment: str) -> str:
    """The command that brings an experiment into the workspace."""
    return f"python -m pisces restore {experiment}"


def _importance(report: Report) -> Iterator[str]:
    yield "## Importance of the params"
    rows = report.tables["importance"]
    finished = int((report.tables["trials"]["state"] == "finished").sum())
    if rows.empty:
        yield (
            f"Not known, with {counted(finished, 'finished trial')}; {FEWEST} with differing "
            "values are the fewest that say anything."
        )
        return
    yield (
        "The share of the variance of the values that a param explains by itself (fANOVA), the "
        f"mean and range of {FORESTS} forests over the same finished trials."
    )
    yield from _by_condition(rows)


def _marginals(report: Report) -> Iterator[str]:
    yield "## Means of the choices"
    rows = report.tables["marginals"]
    if rows.empty:
        yield "No trial has finished yet."
        return
    yield (
        f"Mean of {report.metric} over the finished trials of each choice, with its 95 % interval "
        "(Student's t over trials). The sampler tries what looked good with more of what looked "
        "good, so that these are no effects of the choice alone."
    )
    yield from _by_condition(rows)


def _by_condition(rows: pd.DataFrame) -> Iterator[str]:
    """The rows of params that every trial has, and apart from them those that some have."""
    yield table(rows[~rows["conditional"]].drop(columns="conditional"))
    conditional = rows[rows["conditional"]]
    if not conditional.empty:
        yield "Params that only some trials have, each among those trials:"
        yield table(conditional.drop(columns="conditional"))


def _rest(report: Report) -> Iterator[str]:
    """What did not go to its end."""
    sections = {
        "pruned": ("Pruned", f"`epoch_value` is {report.epoch_metric} of the last epoch."),
        "failures": (
            "Failed",
            "A trial whose stages fail is not tried again, nor is one with too many lost attempts.",
        ),
        "retries": (
            "Attempts that were lost or handed back",
            "An attempt is lost when its worker or machine dies; its trial waits for the next one.",
        ),
    }
    for name, (head, remark) in sections.items():
        yield f"## {head}"
        rows = report.tables[name]
        yield "None." if rows.empty else remark
        if not rows.empty:
            yield table(rows)


def table(rows: pd.DataFrame) -> str:
    """Rows as a table of Markdown, numbers to four digits."""
    lines = [list(rows.columns), ["---"] * len(rows.columns)]
    lines += [[_cell(value) for value in row] for row in rows.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def summary(report: Report) -> str:
    """The counts and the best trial, for a terminal."""
    best = report.tables["best"]
    if best.empty:
        return _counts(report)
    first = best.iloc[0]
    line = f"best: trial {first['trial']}, {report.metric} = {first['value']:.6g}"
    name = first["experiment"]
    return "\n".join([_counts(report), f"{line}; {apply(name)}" if name else line])
