"""Predictions that the stage `evaluate` wrote, read back with what they must agree with."""

from pathlib import Path

import numpy as np

from pisces.core import shards
from pisces.core.reading import check_index, damaged, read_npz

PER_FRAME = (
    *("modulation_true", "modulation_pred", "snr_true_db", "snr_pred_db"),
    *("modulation_prob", "snr_prob", "snr_estimate_db", "frame"),
)
"""Arrays of a row a frame."""

CLASSES = ("modulations", "snrs_db")


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
    arrays = read_npz(path, "evaluate", (*PER_FRAME, *CLASSES))
    try:
        _check_classes(arrays, root)
        _check_rows(arrays)
        check_index(arrays["frame"], shards.sizes(root))
        _check_labels(arrays)
    except ValueError as error:
        raise damaged(path, "evaluate", str(error)) from None
    return arrays


def _check_classes(arrays: dict[str, np.ndarray], root: Path) -> None:
    for name, there in zip(CLASSES, shards.grid(root), strict=True):
        found = tuple(np.ravel(arrays[name]).tolist())
        if found != there:
            raise ValueError(f"its {name} are {found}, but those of {root} are {there}")


def _check_rows(arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError unless every array has a row a frame, of the right width."""
    n = len(np.atleast_1d(arrays["frame"]))
    widths = {"modulation_prob": len(arrays["modulations"]), "snr_prob": len(arrays["snrs_db"])}
    for name in PER_FRAME:
        if name == "frame":
            continue
        expected = (n, widths[name]) if name in widths else (n,)
        if arrays[name].shape != expected:
            raise ValueError(f"{name} is {arrays[name].shape}, not {expected}")

    for name in ("modulation_prob", "snr_prob", "snr_estimate_db"):
        numbers = arrays[name]
        if not np.issubdtype(numbers.dtype, np.floating) or not np.isfinite(numbers).all():
            raise ValueError(f"{name} holds NaN, infinity or no numbers")


def _check_labels(arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError unless the true classes are those of the frames, and all are known."""
    m, s, _ = arrays["frame"].T
    expected = {
        "modulation_true": arrays["modulations"][m],
        "snr_true_db": arrays["snrs_db"][s],
    }
    for name, labels in expected.items():
        if not np.array_equal(arrays[name], labels):
            raise ValueError(f"{name} is not what its frames are")

    for name, classes in (("modulation_pred", "modulations"), ("snr_pred_db", "snrs_db")):
        if not np.isin(arrays[name], arrays[classes]).all():
            raise ValueError(f"{name} holds values that are not in {classes}")
