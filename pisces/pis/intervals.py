"""95 % intervals of scores, and of what they exceed their controls by.

They are of `core.paired`, and so have a width where no frame of few changed its prediction.

A score is (share right before - share right after) / mean fraction taken: a ratio of a paired
difference. An excess looks like a difference of two such differences over three predictions a
frame: before, after the mask and after its control. But before is in both and cancels:

    (before - masked) - (before - control) = control - masked

so it is one paired difference again, between the frames right after the control and those right
after the mask. Its interval is as sharp where the model is often right as where it seldom is.

Where both take the same fraction of each frame, as the count control does, that is all. A control
that takes other fractions, as the mass control does, leaves a rest. With the drops d = before -
masked and c = before - control, the fractions f and g that the two take, r = mean f / mean g and
the control's score q = mean c / mean g:

    mean d / mean f - mean c / mean g = mean(control - masked + rest) / mean f
    rest = (1 - r) c - q (f - r g)

of which the second term has a mean of 0 and stands for the scatter of the fractions.
"""

import numpy as np

from pisces.core import paired
from pisces.core.tasks import TASKS
from pisces.pis.masks import LIT, MASS
from pisces.pis.outcome import Outcome

VALUES_AT_ONCE = 1 << 22
"""Predictions of which intervals are made at a time; some ten arrays of them are in memory."""


def score_intervals(outcome: Outcome) -> dict[str, np.ndarray]:
    """Both ends of `pis`, `excess` and `excess_mass`.

    Returns:
        `<score>_ci_low` and `<score>_ci_high` -> (masks, tasks); NaN where nothing was taken.
    """
    masks, n = len(outcome.masks), len(outcome.baseline["joint"])
    step = max(1, VALUES_AT_ONCE // (len(TASKS) * n))

    parts = [_ends_of(outcome, slice(start, start + step)) for start in range(0, masks, step)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def excess_interval(
    before: np.ndarray,
    masked: np.ndarray,
    control: np.ndarray,
    fraction: np.ndarray,
    control_fraction: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of what masks score above their controls, by the top of this module.

    Args:
        before: whether each of n frames was right, 0 or 1 (..., n), in a signed type.
        masked: likewise after a mask; all arguments are broadcast.
        control: likewise after its control.
        fraction: what the mask takes of each frame, 0..1.
        control_fraction: what the control takes.

    Returns:
        Both ends (...); NaN where one of them takes nothing.

    Of 100 frames 80 were right. The mask breaks 8 of these, and the control 2 of those 8:

    >>> before, broken = np.arange(100) < 80, np.arange(100) < 8
    >>> masked, control = before & ~broken, before & (np.arange(100) >= 2)
    >>> three = [right.astype(int) for right in (before, masked, control)]
    >>> low, high = excess_interval(*three, np.full(100, 0.1), np.full(100, 0.1))
    >>> print(f"{low:.2f} to {high:.2f}")  # around 6 frames of 100, over .1
    0.21 to 1.25
    """
    control_drop = before - control
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _mean(fraction) / _mean(control_fraction)
        control_score = _mean(control_drop) / _mean(control_fraction)
        scatter = control_score * (fraction - ratio * control_fraction)
        rest = (1 - ratio) * control_drop - scatter
    return paired.ratio_interval(control - masked, fraction, rest)


def _ends_of(outcome: Outcome, masks: slice) -> dict[str, np.ndarray]:
    """`score_intervals` of few enough masks for memory."""
    before = _of_tasks(outcome.baseline)  # (tasks, n)
    right = {
        kind: _of_tasks({task: rows[masks] for task, rows in of_tasks.items()})
        for kind, of_tasks in outcome.correct.items()
    }
    fraction = {kind: shares[masks].astype(float) for kind, shares in outcome.fraction.items()}

    drop = before - right["mask"]
    found = {"pis": paired.ratio_interval(drop, fraction["mask"][:, [LIT]])}
    for name, control, share in (
        ("excess", "control_count", LIT),
        ("excess_mass", "control_mass", MASS),
    ):
        taken, of_control = fraction["mask"][:, [share]], fraction[control][:, [share]]
        found[name] = excess_interval(before, right["mask"], right[control], taken, of_control)

    ends: dict[str, np.ndarray] = {}
    for name, (low, high) in found.items():
        ends |= {f"{name}_ci_low": low, f"{name}_ci_high": high}
    return ends


def _mean(values: np.ndarray) -> np.ndarray:
    """Over frames, which stay an axis of length 1."""
    return values.mean(axis=-1, keepdims=True, dtype=float)


def _of_tasks(right: dict[str, np.ndarray]) -> np.ndarray:
    """1 where a prediction is right, 0 elsewhere: (..., n) of each task -> int8 (..., tasks, n)."""
    return np.stack([right[task] for task in TASKS], axis=-2).astype(np.int8)
