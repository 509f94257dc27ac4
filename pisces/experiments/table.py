"""DVC's experiments as a table: what each changed, and how accurate its model is."""

import logging
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.config.presets import leaves
from pisces.core.tasks import TASKS
from pisces.experiments.predictions_of import is_evaluated

if TYPE_CHECKING:
    from dvc.repo.experiments.serialize import ExpState

METRICS = "metrics/evaluate.json"
PARAMS = "params.yaml"
WIDTH = 100
NAME_WIDTH = 20
CELL_WIDTH = 21
INDENT = 4 * " "
HEAD = "Test accuracy in %, with 95 % intervals; indented: params that differ from the commit's"


def table() -> str:
    """Every experiment of this commit, and the commit and the workspace, best joint accuracy first.

    The workspace is left out where it is the same as one of the others.

    Returns:
        Lines of at most 100 characters: name and accuracy in percent with its 95 % interval for
        each task, and below them the params that differ from the commit's.

    Raises:
        ValueError: when there is nothing with an accuracy, or outside a DVC repository.
    """
    states, stale = _states()
    rows = [(state, _accuracies(state)) for state in states if state.rev not in stale]
    shown = [(state, found) for state, found in rows if found and not _is_repeated(state, rows)]
    if not shown:
        raise ValueError(f"nothing here has {METRICS}; make it with dvc repro or dvc exp run")

    committed = next((_params(state) for state in states if state.rev != "workspace"), {})
    shown.sort(key=lambda row: -row[1]["joint"]["accuracy"])
    lines = [HEAD, _line("experiment", TASKS)]
    for state, found in shown:
        cells = [_cell(found.get(task)) for task in TASKS]
        changes = " ".join(_changes(committed, _params(state)))
        lines.append(_line(_name(state), cells))
        lines += [INDENT + part for part in textwrap.wrap(changes, WIDTH - len(INDENT))]
    without = [_name(state) for state in states if state.rev in stale]
    if without:
        lines.append(f"not evaluated as they are: {', '.join(without)}")
    return "\n".join(lines)


def _name(state: "ExpState") -> str:
    return state.rev if state.rev == "workspace" else state.name or state.rev[:7]


def _states() -> "tuple[list[ExpState], set[str]]":
    """The workspace, the commit and its experiments, as DVC knows them, and which are stale."""
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        with Repo() as repo:
            states = _with_experiments(repo.experiments.show())
            stale = {one.rev for one in states if not is_evaluated(repo, one.rev)}
    except NotDvcRepoError:
        raise ValueError(
            f"{Path.cwd()} is in no DVC repository; run from the root of the repository"
        ) from None
    return states, stale


def _with_experiments(found: "Sequence[ExpState]") -> "list[ExpState]":
    """Commits and the experiments on them, one after another."""
    states = list(found)
    for state in found:
        for one in state.experiments or []:
            states += one.revs[:1]
    return states


def _is_repeated(
    state: "ExpState", rows: "Sequence[tuple[ExpState, Mapping[str, Mapping[str, float]]]]"
) -> bool:
    """Whether it is the workspace and a commit or experiment has its params and accuracies.

    So it is right after a run, and after `dvc exp apply`.
    """
    if state.rev != "workspace":
        return False
    own = (_params(state), _accuracies(state))
    return any((_params(other), found) == own for other, found in rows if other.rev != "workspace")


def _accuracies(state: "ExpState") -> Mapping[str, Mapping[str, float]]:
    """Task -> `accuracy`, `ci_low` and `ci_high`; empty for what has not been evaluated."""
    content = _file(state, "metrics", METRICS)
    return content if "accuracy" in content.get("joint", {}) else {}


def _params(state: "ExpState") -> dict[str, Any]:
    """Full name -> value of every key of params.yaml."""
    return dict(leaves(_file(state, "params", PARAMS)))


def _file(state: "ExpState", kind: str, path: str) -> dict[str, Any]:
    """The content of a file of metrics or params; empty when there is none."""
    files = getattr(state.data, kind, None) or {}
    return files.get(path, {}).get("data") or {}


def _changes(committed: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
    """The params that differ, such as `train.lr=0.0003`."""
    for key, value in values.items():
        if committed.get(key, value) != value:
            yield f"{key}={value}".replace(" ", "")


def _cell(row: Mapping[str, float] | None) -> str:
    """An accuracy in percent, with its interval."""
    if row is None:
        return "-"
    accuracy, low, high = (100 * row[key] for key in ("accuracy", "ci_low", "ci_high"))
    return f"{accuracy:.1f} ({low:.1f} to {high:.1f})"


def _line(name: str, cells: Sequence[str]) -> str:
    columns = [_cut(name, NAME_WIDTH).ljust(NAME_WIDTH)]
    columns += [cell.ljust(CELL_WIDTH) for cell in cells]
    return " ".join(columns).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."
