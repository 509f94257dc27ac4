"""What `data/predictions.npz` holds, for whoever reads it: the stages `limits` and `report`."""

from collections.abc import Mapping

import numpy as np

from pisces.core.modulations import in_order

PER_FRAME = (
    *("modulation_true", "modulation_pred", "snr_true_db", "snr_pred_db"),
    *("modulation_prob", "snr_prob", "snr_estimate_db", "frame"),
)
"""Arrays of a row a frame."""

CLASSES = ("modulations", "snrs_db")

HEADS = {
    "modulation": ("modulations", "modulation_true", "modulation_pred", "modulation_prob"),
    "snr": ("snrs_db", "snr_true_db", "snr_pred_db", "snr_prob"),
}
"""Head -> its classes, the true ones of the frames, the predicted ones, and the probabilities."""


def check(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError, with a clause, unless predictions are those of one model for their frames.

    Args:
        arrays: all of `PER_FRAME` and `CLASSES`, as `evaluation.inference.predict_frames` makes
            them.
    """
    _check_classes(arrays)
    _check_rows(arrays)
    _check_frames(arrays)
    for number, names in enumerate(HEADS.values()):
        _check_labels(arrays, *names, of_frames=arrays["frame"][:, number])


def _check_classes(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError unless the classes are in the one order that columns and indices mean."""
    modulations, snrs_db = (np.ravel(arrays[name]).tolist() for name in CLASSES)
    if tuple(modulations) != in_order(modulations):
        raise ValueError(f"its modulations {modulations} are not in the order of the classes")
    if snrs_db != sorted(set(snrs_db)):
        raise ValueError(f"its snrs_db {snrs_db} do not rise")


def _check_rows(arrays: Mapping[str, np.ndarray]) -> None:
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


def _check_frames(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises ValueError unless the index is one of frames, each once, of the classes."""
    frame = arrays["frame"]
    if frame.dtype != np.int64 or frame.ndim != 2 or frame.shape[1] != 3:
        raise ValueError(f"frames are {frame.dtype} {frame.shape}, not int64 (n, 3)")
    if len(np.unique(frame, axis=0)) < len(frame):
        raise ValueError("it names a frame twice")
    for column, name in enumerate(CLASSES):
        numbers = frame[:, column]
        if ((numbers < 0) | (numbers >= len(arrays[name]))).any():
            raise ValueError(f"its frames are of more {name} than it names")


def _check_labels(
    arrays: Mapping[str, np.ndarray],
    classes: str,
    true: str,
    predicted: str,
    probability: str,
    *,
    of_frames: np.ndarray,
) -> None:
    """Raises ValueError unless labels are those of the frames, and those that are likeliest.

    Args:
        arrays: the predictions.
        classes: name of the array of the classes.
        true: name of that of the true labels.
        predicted: name of that of the predicted ones.
        probability: name of that of the probabilities.
        of_frames: number of the true class of each frame, (n,).
    """
    known = arrays[classes]
    if not np.array_equal(arrays[true], known[of_frames]):
        raise ValueError(f"{true} is not what its frames are")
    if not np.isin(arrays[predicted], known).all():
        raise ValueError(f"{predicted} holds values that are not in {classes}")
    if not np.array_equal(arrays[predicted], known[arrays[probability].argmax(1)]):
        raise ValueError(f"{predicted} is not what {probability} makes likeliest")
