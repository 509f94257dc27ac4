"""Predictions that the stage `evaluate` wrote, read back with what they must agree with."""

from pathlib import Path

import numpy as np

from pisces.core import predictions, shards
from pisces.core.reading import check_index, damaged, read_npz


def read_predictions(path: Path, root: Path) -> dict[str, np.ndarray]:
    """What `inference.predict_frames` gave.

    Args:
        path: of the file.
        root: directory of the shards that hold the frames.

    Returns:
        Arrays by name; see there.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it is damaged, or of other frames.
    """
    arrays = read_npz(path, "evaluate", (*predictions.PER_FRAME, *predictions.CLASSES))
    try:
        _check_classes(arrays, root)
        predictions.check(arrays)
        check_index(arrays["frame"], shards.sizes(root))
    except ValueError as error:
        raise damaged(path, "evaluate", str(error)) from None
    return arrays


def _check_classes(arrays: dict[str, np.ndarray], root: Path) -> None:
    for name, there in zip(predictions.CLASSES, shards.grid(root), strict=True):
        found = tuple(np.ravel(arrays[name]).tolist())
        if found != there:
            raise ValueError(f"its {name} are {found}, but those of {root} are {there}")
