"""What the pictures need of the files of other stages, and how these are read."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pisces.core import predictions
from pisces.core.files import read_json
from pisces.core.reading import Columns, damaged, read_csv, read_npz, require
from pisces.core.tasks import HEADS, TASKS
from pisces.report import captions


class Table(NamedTuple):
    """A table in plots/: the stage that makes it, and the columns that are drawn."""

    stage: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]


class Arrays(NamedTuple):
    """An .npz file in data/: the stage that makes it, and the arrays that are drawn."""

    stage: str
    names: tuple[str, ...]


INTERVAL = ("ci_low", "ci_high")

OF_TASKS = tuple(f"{task}{end}" for task in TASKS for end in ("", "_ci_low", "_ci_high"))
VALIDATION = ("validation_loss", *(f"validation_{task}_accuracy" for task in TASKS))
WEIGHTS = tuple(f"{head}_weight" for head in HEADS)

SCORES = (
    *("level_percent", "accuracy", "fraction_lit", "pis", "pis_ci_low", "pis_ci_high"),
    *("control_count_pis", "p_count_holm"),
)
REMOVED = (
    *("level_percent", "snr_db", "n", "fraction_points"),
    *(
        f"{removal}_{name}"
        for removal in ("blackout", "redraw")
        for name in ("drop", "drop_ci_low", "drop_ci_high", "control_drop", "p_holm")
    ),
    *("likelihood_drop", "likelihood_ci_low", "likelihood_ci_high", "likelihood_control_drop"),
)
OVER_CHANCE = ("n", "excess", "p_count_holm")

DATA_TABLES = {
    "audit": Table(
        "split_hdf5",
        texts=("modulation", "snr_label"),
        numbers=("snr_db", "measured_snr_db", "low_db", "high_db", "n"),
    ),
    "audit_spectrum": Table(
        "split_hdf5", texts=(), numbers=("rate", "power_db", "low_db", "high_db")
    ),
}
"""Tables of `report_data`."""

TABLES = {
    "training": Table("train", (), ("epoch", "train_loss", *VALIDATION, *WEIGHTS)),
    "accuracy_by_snr": Table("evaluate", (), ("snr_db", "frames", *OF_TASKS)),
    "per_class": Table("evaluate", ("task", "label"), ("precision", "recall", "f1", "frames")),
    "snr_estimate": Table("evaluate", (), ("snr_db", "mean_db", "low_db", "high_db")),
    "reliability": Table(
        "evaluate", ("task", "probabilities"), ("confidence", "accuracy", *INTERVAL, "frames")
    ),
    "ceiling": Table("limits", ("task", "series"), ("snr_db", "accuracy", *INTERVAL, "n")),
    "pis": Table("pis", ("view", "rule", "mask", "task"), (*SCORES, "n", "excess")),
    "pis_by_cell": Table(
        "pis",
        ("view", "mask", "task", "modulation"),
        ("level_percent", "snr_db", "n", "fraction_lit", "excess"),
    ),
    "pis_by_modulation": Table(
        "pis", ("view", "rule", "mask", "task", "modulation"), (*OVER_CHANCE, "level_percent")
    ),
    "pis_by_snr": Table(
        "pis", ("view", "rule", "mask", "task"), (*OVER_CHANCE, "level_percent", "snr_db")
    ),
    "pis_redraw": Table("pis", ("view", "rule", "mask", "task"), REMOVED),
    "attribution": Table("attribute", ("task", "method", "measure"), ("n", "value", *INTERVAL)),
    "attribution_curves": Table(
        "attribute", ("task", "method", "curve"), ("level_percent", "probability", *INTERVAL)
    ),
    "attribution_checks": Table(
        "attribute",
        ("task", "method", "check"),
        ("share", "correlation", *INTERVAL, "n", "null"),
    ),
}
"""Tables of `report`."""

TURNED = ("titles", "before", "after", "moved", "predictions", "probabilities", "order", "note")

EXAMPLES = ("images", "taken_names", "taken", "map_names", "maps", "titles")

ARRAYS = {
    "predictions": Arrays(
        "evaluate", (*predictions.PER_FRAME, *predictions.CLASSES, "snr_source", "note")
    ),
    "perturbations_sheet": Arrays("perturb", ("images", "names", "taken", "titles")),
    "pis": Arrays("pis", ("note", "redraw_note", *(f"{task}_baseline" for task in TASKS))),
    "attribution_examples": Arrays(
        "attribute", ("note", *(f"{head}_{name}" for head in HEADS for name in EXAMPLES))
    ),
    "counterfactual_examples": Arrays("counterfactual", TURNED),
}
"""Arrays of `report`."""


def tables(folder: Path, needed: dict[str, Table]) -> dict[str, pd.DataFrame]:
    """Reads tables by name; errors as `core.reading.read_csv`."""
    found = {}
    for name, table in needed.items():
        numbers: Columns = dict.fromkeys(table.numbers, "number")
        texts: Columns = dict.fromkeys(table.texts, "text")
        path = folder / f"{name}.csv"
        found[name] = read_csv(path, table.stage, {**numbers, **texts})
        if "task" in table.texts and not found[name]["task"].isin(TASKS).all():
            raise damaged(path, table.stage, f"its column task holds more than {', '.join(TASKS)}")
    return found


def arrays(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Reads all of `ARRAYS` by name; errors as `core.reading.read_npz`."""
    found = {}
    for name, one in ARRAYS.items():
        path = folder / f"{name}.npz"
        found[name] = read_npz(path, one.stage, one.names)
        if name == "predictions":
            try:
                predictions.check(found[name])
            except ValueError as error:
                raise damaged(path, one.stage, str(error)) from None
    return found


def card(path: Path) -> dict[str, Any]:
    """Reads what captions say of the model from models/model.json, in which the rest may lack."""
    require(path, "train")
    found = read_json(path)
    try:
        captions.of_model(found)
    except (KeyError, TypeError) as error:
        raise damaged(path, "train", f"it does not say which model it is of: {error}") from None
    return found
