"""What the page is made of: tables, arrays and cards, or why one of them is not there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from pisces.core import predictions
from pisces.core.files import read_json
from pisces.core.reading import Columns, damaged, read_csv, read_npz, require
from pisces.core.tasks import TASKS
from pisces.report import needed
from pisces.report.needed import INTERVAL, Arrays, Table
from pisces.report.page import explorer_file

T = TypeVar("T")

NOT_SHOWN = {"snr_estimate"}
"""Of the tables of pictures."""

PIS = needed.TABLES["pis"]
TABLES = {
    **needed.DATA_TABLES,
    **{name: table for name, table in needed.TABLES.items() if name not in NOT_SHOWN},
    "pis": PIS._replace(numbers=(*PIS.numbers, "accuracy_drop", "excess_ci_low", "excess_ci_high")),
    "audit_findings": Table(
        "split_hdf5", ("name", "unit", "expected", "param", "verdict"), ("figure", *INTERVAL)
    ),
    "ceiling_summary": Table("limits", ("task", "series", "band"), ("accuracy",)),
    "mask_tuning": Table(
        "attribute", ("model", "task", "method", "measure"), ("snr_db", "n", "value", *INTERVAL)
    ),
    "mask_guards": Table(
        "attribute", ("model", "task", "method", "guard"), ("n", "value", "reference")
    ),
    "evidence": Table(
        "counterfactual", ("method",), ("snr_db", "frames", "left_out", "agreement", *INTERVAL)
    ),
    "counterfactuals": Table(
        "counterfactual",
        ("class", "rival", "order", "of"),
        ("snr_db", "frames", "median", *INTERVAL, "into_rival", "never"),
    ),
}
"""Tables on the page, by their names in plots/."""

NAMES = {"view", "rule", "mask", "task", "modulation", "label", "series", "probabilities"}
"""Columns of texts without which a row is of nothing."""
NEVER_EMPTY = {"accuracy_by_snr", "per_class", "pis"}
"""Tables that every run fills."""

EXPLORER = (
    *("frame", "row", "lit_per_frame", "lit", "counts", "taken", "modulation_prob", "snr_prob"),
    *("choice_view", "choice_rule", "choice_name", "choice_level_percent"),
    *("map_method", "map_head", "maps", "modulations", "snrs_db", "snr_label", "views", "extents"),
    *("size", "weights_sha256", "note"),
    *("moves", "symbols", "rival", "why_not", "arrived_per_move", "arrived"),
)
"""Arrays of data/explorer.npz."""

ARRAYS = {
    "predictions": needed.ARRAYS["predictions"],
    "pis": Arrays("pis", ("frame", *needed.ARRAYS["pis"].names)),
    "explorer": Arrays("explore", EXPLORER),
}
"""Arrays on the page, by their names in data/."""

CHECKS = {"evaluate": predictions.check, "explore": explorer_file.check}
"""Stage -> what its arrays are checked by."""

METRICS = {"evaluate": "evaluate", "limits": "limits"}
"""Name in metrics/ -> the stage that makes it."""


@dataclass(frozen=True)
class Sources:
    """What was found, and what not."""

    tables: Mapping[str, pd.DataFrame]
    arrays: Mapping[str, Mapping[str, np.ndarray]]
    metrics: Mapping[str, Mapping[str, Any]]
    card: Mapping[str, Any]
    """models/model.json; empty where there is none."""
    run: Mapping[str, Any]
    """models/run.json; empty where there is none."""
    missing: Mapping[str, str]
    """Path of a file that is not there or damaged -> why, in a line."""


def read(data: Path, plots: Path, metrics: Path, models: Path) -> Sources:
    """Reads all that is there. Nothing is raised for one file: the page says what it lacks.

    Args:
        data: folder of the arrays.
        plots: folder of the tables.
        metrics: folder of the headline numbers.
        models: folder of the model's card.
    """
    missing: dict[str, str] = {}

    def found(path: Path, reader: Callable[[Path], T]) -> T | None:
        try:
            return reader(path)
        except (ValueError, OSError) as error:
            missing[path.as_posix()] = str(error)
            return None

    tables = {name: found(plots / f"{name}.csv", _table(one)) for name, one in TABLES.items()}
    arrays = {name: found(data / f"{name}.npz", _arrays(one)) for name, one in ARRAYS.items()}
    numbers = {
        name: found(metrics / f"{name}.json", _json(stage)) for name, stage in METRICS.items()
    }
    card = found(models / "model.json", needed.card)
    run = found(models / "run.json", _json("train"))
    return Sources(
        tables={name: one for name, one in tables.items() if one is not None},
        arrays={name: one for name, one in arrays.items() if one is not None},
        metrics={name: one for name, one in numbers.items() if one is not None},
        card=card or {},
        run=run or {},
        missing=missing,
    )


def _table(table: Table) -> Callable[[Path], pd.DataFrame]:
    numbers: Columns = dict.fromkeys(table.numbers, "number")
    texts: Columns = dict.fromkeys(table.texts, "text")

    def read_one(path: Path) -> pd.DataFrame:
        rows = read_csv(path, table.stage, {**numbers, **texts})
        for name in NAMES & {*table.texts}:
            if rows[name].isna().any():
                raise damaged(path, table.stage, f"its column {name} has an empty cell")
        if path.stem in NEVER_EMPTY and rows.empty:
            raise damaged(path, table.stage, "it has a header alone")
        if "task" in table.texts and not rows["task"].isin(TASKS).all():
            raise damaged(path, table.stage, f"its column task holds more than {', '.join(TASKS)}")
        return rows

    return read_one


def _arrays(arrays: Arrays) -> Callable[[Path], dict[str, np.ndarray]]:
    def read_one(path: Path) -> dict[str, np.ndarray]:
        content = read_npz(path, arrays.stage, arrays.names)
        check = CHECKS.get(arrays.stage)
        if check is not None:
            try:
                check(content)
            except ValueError as error:
                raise damaged(path, arrays.stage, str(error)) from None
        return content

    return read_one


def _json(stage: str) -> Callable[[Path], dict[str, Any]]:
    def read_one(path: Path) -> dict[str, Any]:
        require(path, stage)
        return read_json(path)

    return read_one
