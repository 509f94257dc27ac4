"""Tables of Perturbation Impact Scores, with controls, intervals and tests, from an `Outcome`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pisces.core import paired, stats
from pisces.core.tasks import TASKS
from pisces.inputs.drawing import BinStore
from pisces.pis.families import CONTROLS, with_tests
from pisces.pis.intervals import score_intervals
from pisces.pis.masks import FRACTIONS, KINDS, Mask
from pisces.pis.outcome import Outcome, divide_or_nan, impact

LABELS = ("view", "rule", "mask", "level_percent", "task")
COLUMNS = (
    *LABELS,
    *("n", "accuracy", "accuracy_drop", *FRACTIONS),
    *("pis", "pis_ci_low", "pis_ci_high", "pis_nominal"),
    *("control_count_pis", "control_mass_pis", "control_mass_fraction_mass"),
    *("excess", "excess_ci_low", "excess_ci_high"),
    *("excess_mass", "excess_mass_ci_low", "excess_mass_ci_high"),
    *("p_count", "p_mass", "p_count_holm", "p_mass_holm"),
    *("family", "detectable_count", "detectable_mass"),
)
AREA_COLUMNS = (
    *("view", "mask", "task", "n", "fraction_lit_end", "area", "area_ci_low", "area_ci_high"),
    *("control_area", "excess_area", "excess_area_ci_low", "excess_area_ci_high"),
)


def every_table(
    outcome: Outcome,
    frame: np.ndarray,
    data: BinStore,
    levels_percent: Sequence[float],
) -> dict[str, pd.DataFrame]:
    """All tables of the stage `pis`.

    Args:
        outcome: predictions before and after.
        frame: index of its frames, (n, 3).
        data: where they are from.
        levels_percent: of the masks by brightness in the tables by group.

    Returns:
        Name of a CSV file -> its rows.
    """
    tables = {"pis": table(outcome), "pis_areas": area_table(outcome)}
    # Neither curves nor windows nor the published rule: they would be thousands of rows.
    few = outcome.only(
        lambda mask: (
            mask.rule not in ("percentile", "window")
            and mask.level_percent in (None, *levels_percent)
        )
    )
    by_name = groups(frame, data)
    for name, (values, column) in by_name.items():
        tables[f"pis_by_{name}"] = grouped_table(few, values, column)

    modulation, snr_db = by_name["modulation"][0], by_name["snr"][0]
    tables["pis_by_cell"] = by_cell(outcome, modulation, snr_db, max(levels_percent))
    return tables


def table(outcome: Outcome) -> pd.DataFrame:
    """Scores, realised fractions, controls, 95 % intervals, and tests.

    - `pis` is the accuracy drop over the realised fraction of lit pixels, `pis_nominal` over
      level / 100; a region has no level.
    - `excess` is `pis` minus the count control's. `excess_mass` is the drop over the realised
      fraction of mass, minus the mass control's.
    - `control_mass_fraction_mass` is what the mass control really took, which on average is the
      mask's `fraction_mass`.
    - `..._ci_low` and `..._ci_high` are those of `intervals.score_intervals`.
    - `p_count` and `p_mass` are `stats.mcnemar` of the predictions after the mask and after that
      control. Where nothing could be found there is no test, and both are NaN. A `random` mask is
      compared with another random one, and a mask that takes all or none of the lit pixels of
      every frame is its own control.
    - `family`, `..._holm` and `detectable_...` are those of `families.with_tests`.

    Args:
        outcome: predictions before and after.

    Returns:
        One row a (mask, task), of `COLUMNS`.

    >>> outcome = Outcome([Mask("raw", "exact", "top", 50.0)], n=4)
    >>> outcome.baseline = {task: np.ones(4, bool) for task in TASKS}
    >>> for kind in KINDS:
    ...     outcome.fraction[kind][:] = 0.5
    ...     outcome.correct[kind] = dict.fromkeys(TASKS, np.array([[True, False, True, True]]))
    >>> rows = table(outcome)
    >>> rows[["task", "accuracy", "accuracy_drop", "fraction_lit", "pis", "excess"]]
             task  accuracy  accuracy_drop  fraction_lit  pis  excess
    0  modulation      0.75           0.25           0.5  0.5     0.0
    1         snr      0.75           0.25           0.5  0.5     0.0
    2       joint      0.75           0.25           0.5  0.5     0.0
    """
    return _in_order(with_tests(_rows(outcome)))


def grouped_table(outcome: Outcome, group_of_frame: np.ndarray, name: str) -> pd.DataFrame:
    """`table` for the frames of each group; a family of tests holds those of all groups.

    Args:
        outcome: predictions before and after.
        group_of_frame: a label each, (n,).
        name: of the first column, which holds the group.

    Returns:
        One row a (group, mask, task).
    """
    parts = []
    for value in dict.fromkeys(group_of_frame.tolist()):
        rows = _rows(outcome.of(group_of_frame == value))
        parts.append(rows.assign(**{name: value}))
    return _in_order(with_tests(pd.concat(parts, ignore_index=True)))


def groups(frame: np.ndarray, data: BinStore) -> dict[str, tuple[np.ndarray, str]]:
    """The two ways to group frames (n, 3), by `modulation` and by `snr`.

    Returns:
        The modulation, or the SNR in dB, of each frame (n,), and the name of its column.
    """
    modulation = np.array(data.modulations)[frame[:, 0]]
    snr_db = np.array(data.snrs_db)[frame[:, 1]]
    return {"modulation": (modulation, "modulation"), "snr": (snr_db, "snr_db")}


def by_cell(
    outcome: Outcome, modulation: np.ndarray, snr_db: np.ndarray, level_percent: float
) -> pd.DataFrame:
    """PIS of the exact masks of one level in each cell. A cell has few frames: no intervals.

    Args:
        outcome: predictions before and after.
        modulation: of each frame, (n,).
        snr_db: of each frame, (n,).
        level_percent: of the masks.

    Returns:
        One row a (cell, mask, task): `pis`, the count control's and the excess over it as in
        `table`.
    """
    part = outcome.only(lambda mask: mask.rule == "exact" and mask.level_percent == level_percent)
    labels = _labels(part.masks)
    parts = []
    for cell in dict.fromkeys(zip(modulation.tolist(), snr_db.tolist(), strict=True)):
        here = part.of((modulation == cell[0]) & (snr_db == cell[1]))
        drop, lit = _drop(here, "mask"), _mean_fraction(here, "mask", "fraction_lit")
        pis = impact(drop, lit)
        control_lit = _mean_fraction(here, "control_count", "fraction_lit")
        control = impact(_drop(here, "control_count"), control_lit)

        names = {"modulation": cell[0], "snr_db": cell[1], "n": len(here.baseline["joint"])}
        values = {"accuracy_drop": drop, "fraction_lit": _each_task(lit)}
        values |= {"pis": pis, "control_count_pis": control, "excess": pis - control}
        parts.append(labels.assign(**names, **_flat(values)))
    return pd.concat(parts, ignore_index=True)


def area_table(outcome: Outcome) -> pd.DataFrame:
    """The area under accuracy over the realised fraction of lit pixels, of the exact masks.

    The curve leads from the baseline, at 0, through all levels to `fraction_lit_end`. Its area,
    by the trapezoid rule, is divided by that range: it is the mean accuracy along the curve.
    `control_area` is the same of the count control, and `excess_area` is `area` minus that: below
    0 where the mask costs more than chance.

    Each frame has an area of its own, at the mean fractions, and an area is the mean over frames.
    Its 95 % interval is `paired.bounded_mean_interval`, which leaves out how the fractions scatter:
    those of exact masks are as they were asked for, but for rounding.

    Args:
        outcome: predictions before and after.

    Returns:
        One row a (view, exact mask, task), of `AREA_COLUMNS`.
    """
    exact = [i for i, mask in enumerate(outcome.masks) if mask.rule == "exact"]
    if not exact:
        return pd.DataFrame(columns=AREA_COLUMNS)
    exact.sort(key=lambda i: outcome.masks[i].level)

    curves: dict[tuple[str, str], list[int]] = {}
    for i in exact:
        mask = outcome.masks[i]
        curves.setdefault((mask.view, mask.name), []).append(i)

    parts = []
    for (view, name), curve in curves.items():
        area = _areas(outcome, curve, "mask")  # (tasks, n)
        control = _areas(outcome, curve, "control_count")
        values: dict[str, Any] = {"n": area.shape[1]}
        values["fraction_lit_end"] = _mean_fraction(outcome, "mask", "fraction_lit")[curve[-1], 0]
        values |= {"area": area.mean(axis=1), "control_area": control.mean(axis=1)}
        values["excess_area"] = values["area"] - values["control_area"]
        low, high = paired.bounded_mean_interval(area)
        values |= {"area_ci_low": low.clip(min=0), "area_ci_high": high.clip(max=1)}
        low, high = paired.bounded_mean_interval(area - control)
        values |= {"excess_area_ci_low": low, "excess_area_ci_high": high}

        rows = pd.DataFrame({"view": view, "mask": name, "task": TASKS} | values)
        parts.append(rows[list(AREA_COLUMNS)])
    return pd.concat(parts, ignore_index=True)


# Rows


def _rows(outcome: Outcome) -> pd.DataFrame:
    """`table` without what `with_tests` adds, and with what that needs."""
    values = _scores(outcome)  # (masks, tasks) each, as all below
    values |= score_intervals(outcome)
    for name in FRACTIONS:
        values[name] = _each_task(_mean_fraction(outcome, "mask", name))
    control_mass = _mean_fraction(outcome, "control_mass", "fraction_mass")
    values["control_mass_fraction_mass"] = _each_task(control_mass)

    for what in CONTROLS:
        values[f"p_{what}"] = _p_values(outcome, f"control_{what}")
        values[f"differing_{what}"] = _differing(outcome, f"control_{what}")

    rows = _labels(outcome.masks).assign(n=len(outcome.baseline["joint"]), **_flat(values))
    nominal = rows["level_percent"].to_numpy() / 100
    rows["pis_nominal"] = impact(rows["accuracy_drop"].to_numpy(), nominal)
    return rows


def _labels(masks: Sequence[Mask]) -> pd.DataFrame:
    """The columns `LABELS`, a row a mask and task."""
    rows = [(*mask, task) for mask in masks for task in TASKS]
    return pd.DataFrame(rows, columns=LABELS).astype({"level_percent": float})


def _flat(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """(masks, tasks) -> (masks * tasks,), as the rows of `_labels`."""
    return {name: one.ravel() for name, one in values.items()}


def _each_task(values: np.ndarray) -> np.ndarray:
    """The same for each task: (masks, 1) -> (masks, tasks)."""
    return np.repeat(values, len(TASKS), axis=1)


def _p_values(outcome: Outcome, control: str) -> np.ndarray:
    """Of McNemar's test between masks and one control, (masks, tasks); NaN without a test."""
    mask, other = outcome.correct["mask"], outcome.correct[control]
    p = np.stack([stats.mcnemar(mask[task], other[task]) for task in TASKS], axis=1)
    return np.where(_has_test(outcome)[:, None], p, np.nan)


def _differing(outcome: Outcome, control: str) -> np.ndarray:
    """How many frames are right after only one of mask and control, (masks, tasks)."""
    mask, other = outcome.correct["mask"], outcome.correct[control]
    return np.stack([np.count_nonzero(mask[task] != other[task], axis=1) for task in TASKS], axis=1)


def _has_test(outcome: Outcome) -> np.ndarray:
    """Whether a mask can differ from its controls by more than chance, bool (masks,).

    See `table`.
    """
    lit = outcome.fraction["mask"][:, FRACTIONS.index("fraction_lit")]
    own_control = ((lit == 0) | (lit == 1)).all(axis=1)
    random = np.array([mask.name == "random" for mask in outcome.masks], bool)
    return ~own_control & ~random


def _in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with `COLUMNS` last and in their order."""
    others = [name for name in rows if name not in COLUMNS]
    return rows[[*others, *COLUMNS]]


# Means over frames


def _mean_fraction(outcome: Outcome, kind: str, name: str) -> np.ndarray:
    """What masks or controls take in the mean, (masks, 1); `name` is one of `FRACTIONS`."""
    fraction = outcome.fraction[kind][:, FRACTIONS.index(name)]
    return fraction.mean(axis=1, dtype=float)[:, None]


def _accuracy(outcome: Outcome, kind: str) -> np.ndarray:
    """After masks or controls, (masks, tasks)."""
    return np.stack([outcome.correct[kind][task].mean(axis=1) for task in TASKS], axis=1)


def _drop(outcome: Outcome, kind: str) -> np.ndarray:
    """Accuracy lost, (masks, tasks)."""
    before = [outcome.baseline[task].mean() for task in TASKS]
    return np.array(before) - _accuracy(outcome, kind)


def _scores(outcome: Outcome) -> dict[str, np.ndarray]:
    """The scores of `table` that need no level, (masks, tasks) each."""
    drop = {kind: _drop(outcome, kind) for kind in KINDS}
    pis, pis_by_mass = {}, {}
    for kind in KINDS:
        pis[kind] = impact(drop[kind], _mean_fraction(outcome, kind, "fraction_lit"))
        pis_by_mass[kind] = impact(drop[kind], _mean_fraction(outcome, kind, "fraction_mass"))
    return {
        "accuracy": _accuracy(outcome, "mask"),
        "accuracy_drop": drop["mask"],
        "pis": pis["mask"],
        "control_count_pis": pis["control_count"],
        "control_mass_pis": pis["control_mass"],
        "excess": pis["mask"] - pis["control_count"],
        "excess_mass": pis_by_mass["mask"] - pis_by_mass["control_mass"],
    }


def _areas(outcome: Outcome, curve: list[int], kind: str) -> np.ndarray:
    """The area of each frame, (tasks, n), under a curve: numbers of masks that rise in level."""
    taken = _mean_fraction(outcome, kind, "fraction_lit")[curve, 0]
    fraction = np.concatenate([[0], taken])  # from 0, where nothing is taken

    areas = []
    for task in TASKS:
        right = np.vstack([outcome.baseline[task], outcome.correct[kind][task][curve]])
        area = np.trapezoid(right.astype(float), fraction, axis=0)  # (levels + 1, n) -> (n,)
        areas.append(divide_or_nan(area, fraction[-1]))
    return np.stack(areas)
