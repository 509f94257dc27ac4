"""What the files of a stage hold, logged to its runs: by a stage that has ended, and by `sync`."""

import math
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pisces.config.presets import leaves
from pisces.core.files import read_json
from pisces.core.tasks import TASKS
from pisces.run import mlflow_store, provenance
from pisces.run.mlflow_runs import Session
from pisces.run.stage_files import StageFiles

if TYPE_CHECKING:
    import pandas

TRAINING, NOISE = "training.csv", "noise_fraction.csv"
BY_SNR = "accuracy_by_snr.csv"
WEIGHTS = Path(provenance.WEIGHTS)

Curves = dict[str, dict[int, float]]
"""Name -> step -> number."""


class Logged(NamedTuple):
    """What was not there before."""

    numbers: int = 0
    files: int = 0


def record(session: Session, files: StageFiles, root: Path) -> Logged:
    """Logs all that a stage wrote for people.

    Args:
        session: the runs of the stage.
        files: of the stage.
        root: the folder where they lie; those that do not are left out.

    Returns:
        How much of it the runs did not have.
    """
    there = [path for path in (*files.metrics, *files.shown) if (root / path).is_file()]
    new_numbers = 0
    for path in there:
        if path in files.metrics:
            values = numbers(read_json(root / path))
            single = {name: {0: value} for name, value in values.items()}
            new_numbers += mlflow_store.add_curves(session, single)
        elif path.suffix == ".csv":
            new_numbers += mlflow_store.add_curves(session, curves(root / path))

    new_files = mlflow_store.log_files(session, root, there)
    card = WEIGHTS.with_suffix(".json")
    made_model = card in files.shown and (root / WEIGHTS).is_file() and (root / card).is_file()
    if made_model:
        new_files += mlflow_store.log_model(session, root / WEIGHTS, root / card)
    return Logged(new_numbers, new_files)


def numbers(content: Mapping[str, Any]) -> dict[str, float]:
    """The finite numbers of a metrics file; nested names are joined with dots."""
    return {name: value for name, value in leaves(content) if is_finite(value)}


def is_finite(value: Any) -> bool:
    """Whether it is a number, and finite."""
    return isinstance(value, Real) and math.isfinite(value)


def curves(path: Path) -> Curves:
    """What a table holds over epochs, or over the SNR labels; empty for one that holds neither.

    An epoch's numbers have the names that `train` logs them by while it runs.
    """
    if path.name not in (TRAINING, NOISE, BY_SNR):
        return {}
    import pandas

    table = pandas.read_csv(path)
    if path.name == TRAINING:
        columns = [name for name in table if name != "epoch"]
        return {str(name): _curve(table, "epoch", str(name)) for name in columns}
    if path.name == BY_SNR:
        return {f"by_snr.{task}": _curve(table, "snr_db", task) for task in TASKS}

    of_noise = {}
    for snr_db, rows in table.groupby("snr_db"):
        for name in ("eta_mean", "eta_std"):
            of_noise[f"{name}_{snr_db}dB"] = _curve(rows, "epoch", name)
    return of_noise


def _curve(table: "pandas.DataFrame", steps: str, column: str) -> dict[int, float]:
    values = zip(table[steps], table[column], strict=True)
    return {int(step): float(value) for step, value in values if is_finite(value)}
