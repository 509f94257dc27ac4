"""Why a prediction stays, though all symbols of its frame have moved to the rival."""

import numpy as np
import torch

from pisces.core.modulations import Ask, constellation
from pisces.counterfactuals.moved_frames import MovedFrames
from pisces.evaluation.likelihood import turns

NOISE = "noise hides the rival from the likelihood as well"
ORIENTATION = "the model tells the rival in another orientation only"
WITHIN = "the points of the rival are points of the class"
TAKEN = "the model takes the rival for the class"

REASONS = (NOISE, ORIENTATION, WITHIN, TAKEN)
"""In the order in which they are looked for."""

Names = tuple[str, str, Ask]
"""Class, rival, and the levels of ASK."""

STEPS = 8
"""Orientations that are tried, over the angle after which the rival repeats itself."""


def is_within(rival: np.ndarray, points: np.ndarray) -> bool:
    """Whether all points of a rival are points of a class, in some orientation.

    >>> is_within(constellation("QPSK"), constellation("8PSK"))
    True
    >>> is_within(constellation("8PSK"), constellation("QPSK"))
    False
    """
    outermost = rival[np.abs(rival).argmax()]
    phasors = points / outermost
    for phasor in phasors[np.abs(np.abs(phasors) - 1) < 1e-6]:
        turned = rival * phasor
        if np.abs(turned[:, None] - points).min(1).max() < 1e-6:
            return True
    return False


def why(
    shown: MovedFrames, rows: np.ndarray, held: np.ndarray, likelihood: np.ndarray, names: Names
) -> list[str]:
    """A reason for each frame that is still predicted as the class.

    Args:
        shown: frames, and where their symbols would move to.
        rows: numbers of the frames that are asked about, (k,).
        held: what the model predicts of them, (k,).
        likelihood: whether the likelihood turns when all symbols have moved, bool (k,).
        names: class, rival and levels of ASK.

    Returns:
        One of `REASONS` each.
    """
    if not len(rows):
        return []
    name, rival, ask = names
    points, of_rival = constellation(name, ask), constellation(rival, ask)
    within = is_within(of_rival, points)
    otherwise = _turn_otherwise(shown, rows, held, 2 * np.pi / turns(of_rival))

    found = []
    for flips, turned in zip(likelihood, otherwise, strict=True):
        signs = {NOISE: not flips, ORIENTATION: turned, WITHIN: within, TAKEN: True}
        found.append(next(reason for reason in REASONS if signs[reason]))
    return found


def _turn_otherwise(
    shown: MovedFrames, rows: np.ndarray, held: np.ndarray, around: float
) -> np.ndarray:
    """Whether the rival is told from the class in any other orientation: bool (k,)."""
    everything = torch.ones(len(rows), shown.new.shape[1], dtype=torch.bool)
    turned = np.zeros(len(rows), bool)
    for step in range(1, STEPS):
        angles = np.full(len(shown.new), around * step / STEPS)
        turned |= shown.turned(angles).predict(rows, everything) != held
    return turned
