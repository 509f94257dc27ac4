"""Two ways to take symbols away beside each other: pixels blacked out, and symbols drawn anew.

Blackout makes pictures that no radio sends, so that a model that reacts to the hole looks as if it
reacted to what was there. Symbols drawn anew from their law, given the others, leave no hole:
`pisces.pis.redrawing`. Both are measured on the same frames, and beside them what the likelihood
loses, which knows the law and sees no hole: what the removed symbols had to say.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pisces.core.texts import counted
from pisces.inputs.drawing import BinStore
from pisces.models.modelfile import TrainedModel
from pisces.pis import redrawing, score
from pisces.pis.masks import KINDS
from pisces.pis.outcome import Outcome
from pisces.pis.redrawing import Redrawn
from pisces.pis.removal_table import COLUMNS, COMPARED, table
from pisces.pis.settings import RemovalSettings
from pisces.pis.store import PerturbationPlan


class Measured(NamedTuple):
    """What the stage `pis` finds."""

    outcome: Outcome
    """Of the tables of scores."""
    frame: np.ndarray
    """Index of its frames, (n, 3)."""
    note: str
    """What becomes of masked pixels, for captions; may be empty."""
    compared: pd.DataFrame
    """Rows of `removal_table.table`; none where nothing was redrawn."""
    redraw_note: str
    """What was redrawn and what refused, for the caption of the comparison and the log."""


def measure(
    trained: TrainedModel,
    root: Path,
    data: BinStore,
    plan: PerturbationPlan,
    settings: RemovalSettings,
    device: torch.device,
) -> Measured:
    """Scores by `settings.removal`, and both removals beside each other.

    Args:
        trained: the model.
        root: of the data set.
        data: its constellations.
        plan: frames and masks.
        settings: how symbols are taken away.
        device: where the model runs.

    Returns:
        With `blackout` and `both` the scores are those of blackout, over all frames and masks; with
        `redraw` those of the masks and frames that can be redrawn.

    Raises:
        ValueError: where everything is to be redrawn and nothing can be.
    """
    outcome, note = None, ""
    if settings.removal != "redraw":
        prober = trained.input.prober(root, settings.fill, plan.seed)
        outcome, note = score.measure(trained.model, prober, data, plan, device), prober.note
    if outcome is not None and settings.removal == "blackout":
        empty = pd.DataFrame(columns=COLUMNS)
        return Measured(outcome, plan.frame, note, empty, "pis.removal = blackout: no redraw")

    some = redrawing.bounded(plan, settings.redraw_frames_per_cell)
    kinds = KINDS if outcome is None else COMPARED
    new = redrawing.measure(
        trained, root, data, some, kinds=kinds, other_views=settings.other_views, device=device
    )
    by_label = np.array(data.snrs_db)[new.frame[:, 1]]
    said = words(new)
    if outcome is None:
        if not len(new.frame):
            of_masks = "".join(f"; {why}" for why in dict.fromkeys(new.refused_masks.values()))
            raise ValueError(
                f"pis.removal = redraw, and nothing can be redrawn: {said}{of_masks}; set it to "
                "blackout or both, or take other masks and frames"
            )
        return Measured(new.outcome, new.frame, said, table(None, new, by_label), said)

    same = _is_among(plan.frame, new.frame)
    compared = table(outcome.of(same), new, by_label)
    return Measured(outcome, plan.frame, note, compared, said)


def words(new: Redrawn) -> str:
    """What was redrawn and what refused, and whether other views are held, without full stop."""
    held = {"held": "held", "redrawn": "made from the new samples"}[new.other_views]
    parts = [
        f"{counted(len(new.outcome.masks), 'mask')} redrawn in {counted(len(new.frame), 'frame')}, "
        f"other views {held}"
    ]
    if new.refused_masks:
        parts.append(f"{counted(len(new.refused_masks), 'mask')} refused")
    parts += [f"{counted(n, 'frame')} refused: {why}" for why, n in new.refused_frames.items()]
    return "; ".join(parts)


def _is_among(index: np.ndarray, some: np.ndarray) -> np.ndarray:
    """Which rows of an index (n, 3) are among some of them: bool (n,)."""
    chosen = set(map(tuple, some.tolist()))
    return np.array([tuple(row) in chosen for row in index.tolist()], bool)
