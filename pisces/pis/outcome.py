"""What a measurement of the Perturbation Impact Score finds: which predictions were right.

PIS = (accuracy before - accuracy after) / fraction (Siddiqui, Wang and Ramachandran 2025), for
modulation, SNR and joint accuracy. The fraction is the realised one, of the lit pixels, averaged
over the frames; the published rule of dividing by the nominal level is kept beside it. A score is
read against its control: the same number of lit pixels, or the same mass, taken at random.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from pisces.core.files import write_npz
from pisces.core.tasks import TASKS
from pisces.pis.masks import FRACTIONS, KINDS, Mask


def impact(accuracy_drop: float | np.ndarray, fraction: float | np.ndarray) -> np.ndarray:
    """PIS of accuracy drops, -1..1, and fractions, 0..1; NaN where nothing was taken.

    >>> print(f"{impact(0.5125660 - 0.3950382, 0.01):.2f}")  # as published: top 1 %, joint
    11.75
    """
    return divide_or_nan(accuracy_drop, fraction)


def divide_or_nan(numerator: float | np.ndarray, denominator: float | np.ndarray) -> np.ndarray:
    """The quotient, NaN where the denominator is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.divide(numerator, denominator)
    return np.where(np.greater(denominator, 0), quotient, np.nan)[()]


class Outcome:
    """Whether a model was right about the same n frames before and after each perturbation.

    Attributes:
        masks: what was taken.
        baseline: task -> bool (n,), before anything is taken.
        correct: kind of `KINDS` -> task -> bool (masks, n).
        fraction: kind -> float32 (masks, 3, n), shares taken of each frame as in `FRACTIONS`.

    It takes 45 bytes a mask and frame: three kinds of three predictions of a byte and three
    fractions of four.
    """

    def __init__(self, masks: list[Mask], n: int):
        self.masks = masks
        self.baseline = {task: np.zeros(n, bool) for task in TASKS}
        self.correct = {kind: self._wrong(n) for kind in KINDS}
        self.fraction = {
            kind: np.zeros((len(masks), len(FRACTIONS), n), np.float32) for kind in KINDS
        }

    def _wrong(self, n: int) -> dict[str, np.ndarray]:
        return {task: np.zeros((len(self.masks), n), bool) for task in TASKS}

    def of(self, frames: np.ndarray) -> "Outcome":
        """The outcome of a subset of frames, bool (n,), as a copy."""
        part = Outcome(self.masks, 0)
        part.baseline = {task: right[frames] for task, right in self.baseline.items()}
        for kind in KINDS:
            of_kind = self.correct[kind]
            part.correct[kind] = {task: right[:, frames] for task, right in of_kind.items()}
            part.fraction[kind] = self.fraction[kind][:, :, frames]
        return part

    def only(self, chosen: Callable[[Mask], bool]) -> "Outcome":
        """The outcome of some of the masks, as a copy of theirs."""
        places = [i for i, mask in enumerate(self.masks) if chosen(mask)]
        part = Outcome([self.masks[i] for i in places], 0)
        part.baseline = self.baseline
        for kind in KINDS:
            of_kind = self.correct[kind]
            part.correct[kind] = {task: right[places] for task, right in of_kind.items()}
            part.fraction[kind] = self.fraction[kind][places]
        return part

    def accuracy(self) -> dict[str, float]:
        """Of each task before anything is taken."""
        return {task: float(right.mean()) for task, right in self.baseline.items()}

    def write(self, path: Path, frame: np.ndarray, note: str, redraw_note: str = "") -> None:
        """Writes whether each prediction was right, for one's own analysis.

        Args:
            path: an npz file with `frame` (n, 3), `masks` (names), `<task>_baseline` bool (n,),
                `<task>_<kind>` bool (masks, n), `fraction_<kind>` float32 (masks, 3, n),
                `note` and `redraw_note` (str).
            frame: index of the frames, (n, 3).
            note: what happens to the samples behind masked pixels, for captions; may be empty.
            redraw_note: what was redrawn and what refused, likewise.
        """
        arrays = {"frame": frame, "masks": np.array([mask.key for mask in self.masks])}
        for task in TASKS:
            arrays[f"{task}_baseline"] = self.baseline[task]
        for kind in KINDS:
            for task in TASKS:
                arrays[f"{task}_{kind}"] = self.correct[kind][task]
        for kind in KINDS:
            arrays[f"fraction_{kind}"] = self.fraction[kind]
        notes = {"note": np.array(note), "redraw_note": np.array(redraw_note)}
        write_npz(path, arrays | notes)
