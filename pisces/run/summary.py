"""The headline numbers of the last run, in words for a terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pisces.core.files import read_json
from pisces.core.reading import Columns, damaged, read_csv, require
from pisces.core.tasks import TASKS

if TYPE_CHECKING:
    import pandas

EVALUATION = Path("metrics/evaluate.json")
PIS = Path("plots/pis.csv")
CELLS = Path("plots/pis_by_cell.csv")
"""Scores at the largest of perturb.levels_percent."""

PICTURES, PAGE = Path("plots"), Path("plots/report.html")
VIEWER = "In a browser: make ui. Stages that DVC took from its run cache are there after make sync."
SIGN = (
    "PIS: accuracy lost, over the share of pixels masked. Above 0 the model needs these pixels,",
    "below 0 it does better without them. Excess: beyond as many random pixels.",
)


def read_scores(path: Path = PIS) -> "pandas.DataFrame":
    """A table of the stage `pis`.

    Raises:
        FileNotFoundError: before that stage has run.
        ValueError: when the file is damaged.
    """
    # Some masks are named by numbers.
    texts: Columns = dict.fromkeys(("view", "rule", "mask", "task"), "text")
    return read_csv(path, "pis", {**texts, "level_percent": "number", "pis": "number"})


def summary() -> str:
    """Accuracies, joint scores at the largest level, and where the pictures lie.

    Raises:
        FileNotFoundError: before the stages `evaluate` and `pis` have run.
        ValueError: when one of their files is damaged.
    """
    require(EVALUATION, "evaluate")
    scores = headline(read_scores(), read_scores(CELLS))
    pictures = sorted(PICTURES.glob("*.png"))
    lines = [
        "",
        "Test accuracy, with 95 % intervals",
        *_accuracies(),
        "",
        "Perturbation Impact Score (joint), with 95 % intervals",
        *[f"  {line}" for line in SIGN],
        *_scores(scores),
        "",
        "Tables: metrics/*.json, plots/*.csv. Pictures:",
        *[f"  {picture}" for picture in pictures],
        "",
        VIEWER,
        *([f"All of it on one page, which opens in any browser: {PAGE}"] if PAGE.exists() else []),
    ]
    return "\n".join(lines)


def headline(scores: "pandas.DataFrame", cells: "pandas.DataFrame") -> "pandas.DataFrame":
    """The joint scores of top, bottom and random pixels at the largest of perturb.levels_percent.

    Args:
        scores: all of them, those at further levels for the curves among them.
        cells: scores at that largest level alone, of the same rule.

    Returns:
        Some rows of `scores`, of the rule `exact` if there is one.
    """
    joint = scores[scores["task"] == "joint"]
    rule = "exact" if (joint["rule"] == "exact").any() else "percentile"
    at_level = joint["level_percent"] == cells["level_percent"].max()
    return joint[(joint["rule"] == rule) & at_level]


def published_table(rows: "pandas.DataFrame") -> str:
    """The published protocol beside ours, for a terminal.

    Args:
        rows: some of `pis.summary.published`, of one task.

    Returns:
        Two head lines and a line a row, of at most 100 characters.
    """
    lines = [
        f"{'':30}published protocol, percentile   exact mask",
        f"{'view':<13}{'mask':<7}{'level':>6}"
        f"{'nominal':>11}{'of lit':>8}{'realised':>10}"
        f"{'PIS':>9} {'(95 % interval)':<17}{'control':>9}{'p Holm':>9}",
    ]
    for row in rows.to_dict("records"):
        level, lit = f"{row['level_percent']:.3g} %", f"{100 * row['published_fraction_lit']:.3g} %"
        interval = f"({row['exact_pis_ci_low']:.2f} to {row['exact_pis_ci_high']:.2f})"
        name = f"{row['view']:<13}{row['mask']:<7}{level:>6}"
        published = f"{row['published_pis']:>11.2f}{lit:>8}{row['published_pis_realised']:>10.2f}"
        exact = f"{row['exact_pis']:>9.2f} {interval:<17}{row['exact_control_pis']:>9.2f}"
        lines.append(f"{name}{published}{exact}{row['p_count_holm']:>9.2g}")
    return "\n".join(lines)


def _accuracies() -> Iterator[str]:
    keys = ("accuracy", "ci_low", "ci_high")
    try:
        evaluation = read_json(EVALUATION)
        rows = {task: [100 * evaluation[task][key] for key in keys] for task in TASKS}
    except (ValueError, KeyError, TypeError):
        reason = "it lacks the accuracies of the tasks"
        raise damaged(EVALUATION, "evaluate", reason) from None

    for task, (accuracy, low, high) in rows.items():
        yield f"  {task:<11}{accuracy:5.1f} %  ({low:.1f} to {high:.1f})"


def _scores(scores: "pandas.DataFrame") -> Iterator[str]:
    for row in scores.to_dict("records"):
        name = f"{row['view']:<13}{row['mask']:<7}{row['level_percent']:>3g} %"
        interval = f"({row['pis_ci_low']:.2f} to {row['pis_ci_high']:.2f})"
        beyond = f"({row['excess_ci_low']:+.2f} to {row['excess_ci_high']:+.2f})"
        score = f"{row['pis']:6.2f}  {interval:<18}"
        yield f"  {name}  {score} excess {row['excess']:+.2f} {beyond}"
