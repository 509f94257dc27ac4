"""The models that were tuned on random masks, as files; tuned by `training.mask_tuning`."""

from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pisces.core.files import read_json
from pisces.core.reading import damaged, require
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.training.settings import MaskTuning

TUNED, CONTROL = "tuned", "control"
"""The model that was shown masks, and the one that was not."""

RECORD = "mask_tuning.json"
"""File beside the models' folders: which there are, and how they were tuned."""
STAGE = "tune_masks"


def record(tuning: MaskTuning, models: Collection[str]) -> dict[str, Any]:
    """What `RECORD` says: how the models were tuned, and their names."""
    return {"models": list(models), **asdict(tuning)}


def load(folder: Path) -> dict[str, TrainedModel]:
    """The models that the stage `tune_masks` wrote, by name; none where tuning is off.

    Args:
        folder: of `RECORD`, and of a folder for each model.

    Returns:
        `TUNED` and `CONTROL` -> the model, on the CPU.

    Raises:
        FileNotFoundError: when a file is missing.
        ValueError: when one is damaged.
    """
    path = folder / RECORD
    require(path, STAGE)
    written = read_json(path)
    names = written.get("models") if isinstance(written, dict) else None
    if names not in ([], [TUNED, CONTROL]):
        raise damaged(path, STAGE, f"its models are not {TUNED} and {CONTROL}, nor none")
    return {name: _load(folder / name) for name in names}


def _load(folder: Path) -> TrainedModel:
    try:
        return modelfile.load(folder)
    except (FileNotFoundError, ValueError) as error:
        # Its own message names the stage that makes the model in models/.
        reason = str(error).partition(";")[0]
        raise type(error)(f"{reason}; make it again with dvc repro --force {STAGE}") from None
