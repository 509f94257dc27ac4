"""The table of both removals beside each other, `plots/pis_redraw.csv`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pisces.core import paired, stats
from pisces.core.power import detectable_difference
from pisces.core.tasks import HEADS
from pisces.pis import families
from pisces.pis.masks import MASS, Mask
from pisces.pis.outcome import Outcome
from pisces.pis.redrawing import Redrawn

CONTROL = "control_mass"
"""As many points at random: by blackout those of random pixels, by redraw random symbols."""
COMPARED = ("mask", CONTROL)
REMOVALS = ("blackout", "redraw")

OF_REMOVAL = (
    *("drop", "drop_ci_low", "drop_ci_high", "control_drop"),
    *("excess", "excess_ci_low", "excess_ci_high", "p", "p_holm", "detectable", "rank"),
)
OF_HOLE = ("hole", "hole_ci_low", "hole_ci_high", "p_hole", "p_hole_holm")
OF_LIKELIHOOD = (
    *("likelihood_drop", "likelihood_ci_low", "likelihood_ci_high", "likelihood_control_drop"),
)
LABELS = ("view", "rule", "mask", "level_percent", "task")
COLUMNS = (
    *(*LABELS, "snr_db", "n", "fraction_points"),
    *(f"{removal}_{name}" for removal in REMOVALS for name in OF_REMOVAL),
    *OF_HOLE,
    *OF_LIKELIHOOD,
    *("family", "refused", "frames_refused", "frames_refused_why"),
)


def table(blackout: Outcome | None, new: Redrawn, label_of_frame: np.ndarray) -> pd.DataFrame:
    """Both removals, mask by mask, over all frames and over those of each SNR label.

    Drops are shares of the frames. Intervals are `paired.difference_interval`. With `<removal>`
    blackout or redraw:

    - `<removal>_drop`: accuracy lost; `<removal>_control_drop`: lost by `CONTROL`;
      `<removal>_excess`: the first minus the second.
    - `<removal>_p`: `stats.mcnemar` between mask and control, `_p_holm` adjusted within `family`
      and this removal, `_detectable` as of `families.with_tests`. NaN where a mask is random
      itself, or takes all or no points. `_rank` within the family, 1 for the largest drop.
    - `hole`: what blackout costs more than redraw, with `p_hole`, McNemar's between the two.
    - `likelihood_drop`: what the likelihood, which knows the SNR, loses of the modulation by the
      same removal: the likeliest class given the symbols that stay, and for a region their number.
    - `refused`: why a mask is not redrawn; `frames_refused` and `_why`: those left out, in the
      rows over all frames.

    Args:
        blackout: of all masks, over the frames of `new`; None: not measured.
        new: redrawn.
        label_of_frame: SNR label of each frame, (n,).

    Returns:
        Rows of `COLUMNS`; none without a frame.
    """
    if not len(new.frame):
        return pd.DataFrame(columns=COLUMNS)
    masks = new.outcome.masks if blackout is None else blackout.masks
    parts = [_rows(masks, blackout, new, np.full(len(new.frame), True), np.nan)]
    for label in np.unique(label_of_frame).tolist():
        of_label = label_of_frame == label
        parts.append(_rows(new.outcome.masks, blackout, new, of_label, label))

    rows = pd.concat([_adjusted(parts[0]), _adjusted(pd.concat(parts[1:]))], ignore_index=True)
    whole = rows["snr_db"].isna()
    why = "; ".join(f"{n} {reason}" for reason, n in new.refused_frames.items())
    rows.loc[whole, "frames_refused"] = sum(new.refused_frames.values())
    rows.loc[whole, "frames_refused_why"] = why
    return rows.reindex(columns=list(COLUMNS))


def _rows(
    masks: Sequence[Mask],
    blackout: Outcome | None,
    new: Redrawn,
    chosen: np.ndarray,
    label: float,
) -> pd.DataFrame:
    """Rows of masks over the frames that are chosen, bool (n,), without what `_adjusted` adds."""
    labels = [(*mask, task) for mask in masks for task in HEADS]
    rows = pd.DataFrame(labels, _keys(masks), LABELS).astype({"level_percent": float})
    rows = rows.assign(snr_db=label, n=int(chosen.sum()))
    rows["refused"] = [new.refused_masks.get(mask, "") for mask in masks for _ in HEADS]

    redraw = new.outcome.of(chosen)
    found = [_of_removal(redraw, "redraw"), _of_likelihood(new, chosen)]
    if blackout is None:
        found.append(_fraction_of_points(redraw))
    else:
        of_chosen = blackout.of(chosen)
        both = of_chosen.only(lambda mask: mask in redraw.masks)
        found += [_fraction_of_points(of_chosen), _of_removal(of_chosen, "blackout")]
        found.append(_hole(both, redraw))
    return rows.join(pd.concat(found, axis=1))


def _of_removal(outcome: Outcome, removal: str) -> pd.DataFrame:
    """What one removal costs, by mask and task."""
    before = np.stack([outcome.baseline[task] for task in HEADS])  # (tasks, n)
    masked, control = _right(outcome, "mask"), _right(outcome, CONTROL)
    n = before.shape[1]
    tested = _has_test(outcome)[:, None]
    low, high = _difference_interval(before, masked)
    excess_low, excess_high = _difference_interval(control, masked)
    values = {
        "drop": _lost(before, masked),
        "drop_ci_low": low,
        "drop_ci_high": high,
        "control_drop": _lost(before, control),
        "excess": _lost(control, masked),
        "excess_ci_low": excess_low,
        "excess_ci_high": excess_high,
        "p": np.where(tested, stats.mcnemar(masked, control), np.nan),
        "differing": np.count_nonzero(masked != control, axis=-1) / n,
    }
    named = {f"{removal}_{name}": value for name, value in values.items()}
    return _indexed(outcome.masks, named)


def _fraction_of_points(outcome: Outcome) -> pd.DataFrame:
    """What masks take in the mean, by mask and task."""
    points = outcome.fraction["mask"][:, MASS].mean(1, dtype=float)
    of_tasks = np.repeat(points[:, None], len(HEADS), 1)
    return _indexed(outcome.masks, {"fraction_points": of_tasks})


def _hole(blackout: Outcome, redraw: Outcome) -> pd.DataFrame:
    """What blackout costs more than redraw, of the same masks, by mask and task."""
    black, drawn = _right(blackout, "mask"), _right(redraw, "mask")
    low, high = _difference_interval(drawn, black)
    values = {"hole": _lost(drawn, black), "hole_ci_low": low, "hole_ci_high": high}
    return _indexed(redraw.masks, values | {"p_hole": stats.mcnemar(drawn, black)})


def _of_likelihood(new: Redrawn, chosen: np.ndarray) -> pd.DataFrame:
    """What the likelihood loses of the modulation, by mask and task; NaN of the SNR."""
    before = new.likelihood["baseline"][chosen]
    masked, control = (new.likelihood[kind][:, chosen] for kind in COMPARED)
    low, high = _difference_interval(before, masked)
    of_modulation = (_lost(before, masked), low, high, _lost(before, control))
    columns = {}
    for name, values in zip(OF_LIKELIHOOD, of_modulation, strict=True):
        of_tasks = [
            values if task == "modulation" else np.full_like(values, np.nan) for task in HEADS
        ]
        columns[name] = np.stack(of_tasks, 1)
    return _indexed(new.outcome.masks, columns)


def _adjusted(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with their family, p-values adjusted within it, what could be found, and ranks."""
    by_label = np.where(rows["snr_db"].notna(), "/by SNR label", "")
    rows = rows.assign(family=families.names(rows) + by_label)
    grouped = rows.groupby(["family", "snr_db"], sort=False, dropna=False)

    for removal in REMOVALS:
        if f"{removal}_p" not in rows:
            continue
        of_family = rows.groupby("family", sort=False)[f"{removal}_p"]
        rows[f"{removal}_p_holm"] = of_family.transform(lambda p: stats.holm(p.to_numpy()))
        tests = of_family.transform("count")
        columns = rows[f"{removal}_differing"], rows["n"], tests, rows[f"{removal}_p"]
        rows[f"{removal}_detectable"] = [
            np.nan if np.isnan(p) else _detectable(round(share * n), n, of_p)
            for share, n, of_p, p in zip(*columns, strict=True)
        ]
        rows[f"{removal}_rank"] = grouped[f"{removal}_drop"].rank(ascending=False, method="min")

    if "p_hole" in rows:
        of_family = rows.groupby("family", sort=False)["p_hole"]
        rows["p_hole_holm"] = of_family.transform(lambda p: stats.holm(p.to_numpy()))
    return rows


def _detectable(differing: int, n: int, tests: int) -> float:
    return detectable_difference(differing, n, families.SIGNIFICANT / tests)


def _right(outcome: Outcome, kind: str) -> np.ndarray:
    """bool (masks, tasks, n)."""
    return np.stack([outcome.correct[kind][task] for task in HEADS], 1)


def _lost(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Share of frames right before less the share right after, (...) of (..., n)."""
    return before.mean(-1) - after.mean(-1)


def _difference_interval(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (...) of what is lost between predictions, bool (..., n)."""
    lost = np.count_nonzero(before & ~after, axis=-1)
    gained = np.count_nonzero(after & ~before, axis=-1)
    return paired.difference_interval(lost, gained, before.shape[-1])


def _has_test(outcome: Outcome) -> np.ndarray:
    """Whether a mask can differ from its control by more than chance, bool (masks,)."""
    points = outcome.fraction["mask"][:, MASS]
    own_control = ((points == 0) | (points == 1)).all(1)
    random = np.array([mask.name == "random" for mask in outcome.masks], bool)
    return ~own_control & ~random


def _indexed(masks: Sequence[Mask], values: dict[str, np.ndarray]) -> pd.DataFrame:
    """Columns of values (masks, tasks), by mask and task."""
    columns = {name: of_masks.ravel() for name, of_masks in values.items()}
    return pd.DataFrame(columns, _keys(masks))


def _keys(masks: Sequence[Mask]) -> pd.MultiIndex:
    return pd.MultiIndex.from_product([[mask.key for mask in masks], HEADS])
