"""Tables of Perturbation Impact Scores, with controls, intervals and tests, from an `Outcome`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from pisces.core import stats
from pisces.core.seeding import generator
from pisces.core.tasks import TASKS
from pisces.inputs.drawing import BinStore
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
)
AREA_COLUMNS = (
    *("view", "mask", "task", "n", "fraction_lit_end", "area", "area_ci_low", "area_ci_high"),
    *("control_area", "excess_area", "excess_area_ci_low", "excess_area_ci_high"),
)

PerFrame = dict[tuple[str, str], np.ndarray]
"""(kind, task or fraction) -> a value of each frame, (masks, n); ("baseline", task) -> (1, n)."""
Means = dict[tuple[str, str], np.ndarray]
"""The same keys -> means over frames, (masks, 1), or (masks, resamples) from a bootstrap."""


def every_table(
    outcome: Outcome,
    frame: np.ndarray,
    data: BinStore,
    levels_percent: Sequence[float],
    resamples: int,
    seed: int,
) -> dict[str, pd.DataFrame]:
    """All tables of the stage `pis`.

    Args:
        outcome: predictions before and after.
        frame: index of its frames, (n, 3).
        data: where they are from.
        levels_percent: of the masks by brightness in the tables by group.
        resamples: how often frames are resampled for each interval.
        seed: of the resampling.

    Returns:
        Name of a CSV file -> its rows.
    """
    tables = {
        "pis": table(outcome, resamples, generator(seed, "pis")),
        "pis_areas": area_table(outcome, resamples, generator(seed, "pis areas")),
    }
    # Neither curves nor windows nor the published rule: they would be thousands of rows.
    few = outcome.only(
        lambda mask: (
            mask.rule not in ("percentile", "window")
            and mask.level_percent in (None, *levels_percent)
        )
    )
    by_name = groups(frame, data)
    for name, (values, column) in by_name.items():
        rng = generator(seed, "pis by", name)
        tables[f"pis_by_{name}"] = grouped_table(few, values, column, resamples, rng)

    modulation, snr_db = by_name["modulation"][0], by_name["snr"][0]
    tables["pis_by_cell"] = by_cell(outcome, modulation, snr_db, max(levels_percent))
    return tables


def table(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """Scores, realised fractions, controls, 95 % paired-bootstrap intervals, and tests.

    - `pis` is the accuracy drop over the realised fraction of lit pixels, `pis_nominal` over
      level / 100; a region has no level.
    - `excess` is `pis` minus the count control's. `excess_mass` is the drop over the realised
      fraction of mass, minus the mass control's.
    - `control_mass_fraction_mass` is what the mass control really took, which on average is the
      mask's `fraction_mass`.
    - `p_count` and `p_mass` are `stats.mcnemar` of the predictions after the mask and after that
      control; `..._holm` are adjusted by `stats.holm` for all tests of the table. Where nothing
      could be found there is no test, and all four are NaN. A `random` mask is compared with
      another random one, and a mask that takes all or none of the lit pixels of every frame is
      its own control.

    Args:
        outcome: predictions before and after.
        resamples: how often frames are resampled with all their predictions, so that before,
            after and control stay paired.
        rng: what draws them.

    Returns:
        One row a (mask, task), of `COLUMNS`.

    >>> outcome = Outcome([Mask("raw", "exact", "top", 50.0)], n=4)
    >>> outcome.baseline = {task: np.ones(4, bool) for task in TASKS}
    >>> for kind in KINDS:
    ...     outcome.fraction[kind][:] = 0.5
    ...     outcome.correct[kind] = dict.fromkeys(TASKS, np.array([[True, False, True, True]]))
    >>> rows = table(outcome, resamples=100, rng=np.random.default_rng(1))
    >>> rows[["task", "accuracy", "accuracy_drop", "fraction_lit", "pis", "excess"]]
             task  accuracy  accuracy_drop  fraction_lit  pis  excess
    0  modulation      0.75           0.25           0.5  0.5     0.0
    1         snr      0.75           0.25           0.5  0.5     0.0
    2       joint      0.75           0.25           0.5  0.5     0.0
    """
    return _with_holm(_rows(outcome, resamples, rng))


def grouped_table(
    outcome: Outcome,
    group_of_frame: np.ndarray,
    name: str,
    resamples: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """`table` for the frames of each group; tests are adjusted for all of them, in all groups.

    Args:
        outcome: predictions before and after.
        group_of_frame: a label each, (n,).
        name: of the first column, which holds the group.
        resamples: as in `table`.
        rng: as in `table`.

    Returns:
        One row a (group, mask, task).
    """
    parts = []
    for value in dict.fromkeys(group_of_frame.tolist()):
        rows = _rows(outcome.of(group_of_frame == value), resamples, rng)
        parts.append(rows.assign(**{name: value}))
    return _with_holm(pd.concat(parts, ignore_index=True))


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
        means = _means(_columns(here, kinds=("mask", "control_count")))

        drop = _drop(means, "mask")[..., 0]  # (masks, tasks)
        lit = means["mask", "fraction_lit"]  # (masks, 1)
        pis = impact(drop, lit)
        control_drop = _drop(means, "control_count")[..., 0]
        control = impact(control_drop, means["control_count", "fraction_lit"])

        names = {"modulation": cell[0], "snr_db": cell[1], "n": len(here.baseline["joint"])}
        values = {"accuracy_drop": drop, "fraction_lit": _each_task(lit)}
        values |= {"pis": pis, "control_count_pis": control, "excess": pis - control}
        parts.append(labels.assign(**names, **_flat(values)))
    return pd.concat(parts, ignore_index=True)


def area_table(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """The area under accuracy over the realised fraction of lit pixels, of the exact masks.

    The curve leads from the baseline, at 0, through all levels to `fraction_lit_end`. Its area,
    by the trapezoid rule, is divided by that range: it is the mean accuracy along the curve.
    `control_area` is the same of the count control, and `excess_area` is `area` minus that: below
    0 where the mask costs more than chance. Intervals are 95 %, from a bootstrap paired as in
    `table`.

    Args:
        outcome: predictions before and after.
        resamples: as in `table`.
        rng: as in `table`.

    Returns:
        One row a (view, exact mask, task), of `AREA_COLUMNS`.
    """
    exact = [i for i, mask in enumerate(outcome.masks) if mask.rule == "exact"]
    if not exact:
        return pd.DataFrame(columns=AREA_COLUMNS)
    exact.sort(key=lambda i: outcome.masks[i].level)

    columns = _columns(outcome, exact, ("mask", "control_count"))
    means = _means(columns)
    resampled = stats.paired_bootstrap(columns, resamples, rng)

    # Places among `exact`, in rising order of the levels.
    curves: dict[tuple[str, str], list[int]] = {}
    for place, i in enumerate(exact):
        mask = outcome.masks[i]
        curves.setdefault((mask.view, mask.name), []).append(place)

    parts = []
    for (view, name), curve in curves.items():
        area = _curve_areas(means, curve)  # (tasks, 1) each
        spread = _curve_areas(resampled, curve)  # (tasks, resamples) each
        values: dict[str, Any] = {what: one[:, 0] for what, one in area.items()}
        for what in ("area", "excess_area"):
            values |= _interval(what, spread[what])
        values["n"] = len(outcome.baseline["joint"])
        values["fraction_lit_end"] = means["mask", "fraction_lit"][curve[-1], 0]
        rows = pd.DataFrame({"view": view, "mask": name, "task": TASKS} | values)
        parts.append(rows[list(AREA_COLUMNS)])
    return pd.concat(parts, ignore_index=True)


# Rows


def _rows(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """`table` without the columns that `_with_holm` adds."""
    columns = _columns(outcome)
    scores = _scores(_means(columns))
    resampled = _scores(stats.paired_bootstrap(columns, resamples, rng))

    values = {name: one[..., 0] for name, one in scores.items()}  # (masks, tasks), as all below
    fractions = outcome.fraction["mask"].mean(axis=2, dtype=float)
    for i, name in enumerate(FRACTIONS):
        values[name] = _each_task(fractions[:, [i]])
    mass_taken = outcome.fraction["control_mass"][:, FRACTIONS.index("fraction_mass")]
    control_mass = mass_taken.mean(axis=1, dtype=float)
    values["control_mass_fraction_mass"] = _each_task(control_mass[:, None])

    for name in ("pis", "excess", "excess_mass"):
        values |= _interval(name, resampled[name])
    for what in ("count", "mass"):
        values[f"p_{what}"] = _p_values(outcome, f"control_{what}")

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


def _has_test(outcome: Outcome) -> np.ndarray:
    """Whether a mask can differ from its controls by more than chance, bool (masks,).

    See `table`.
    """
    lit = outcome.fraction["mask"][:, FRACTIONS.index("fraction_lit")]
    own_control = ((lit == 0) | (lit == 1)).all(axis=1)
    random = np.array([mask.name == "random" for mask in outcome.masks], bool)
    return ~own_control & ~random


def _with_holm(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with both kinds of tests adjusted together, `COLUMNS` last and in their order."""
    p = rows[["p_count", "p_mass"]].to_numpy()
    adjusted = stats.holm(p.ravel()).reshape(p.shape)
    rows = rows.assign(p_count_holm=adjusted[:, 0], p_mass_holm=adjusted[:, 1])
    others = [name for name in rows if name not in COLUMNS]
    return rows[[*others, *COLUMNS]]


# Means over frames


def _columns(
    outcome: Outcome, masks: Sequence[int] | slice = slice(None), kinds: Sequence[str] = KINDS
) -> PerFrame:
    """Every value of each frame that scores are made of: right or wrong, and fractions taken."""
    columns = {("baseline", task): outcome.baseline[task][None] for task in TASKS}
    for kind in kinds:
        for task in TASKS:
            columns[kind, task] = outcome.correct[kind][task][masks]
        for name in ("fraction_lit", "fraction_mass"):
            columns[kind, name] = outcome.fraction[kind][masks, FRACTIONS.index(name)]
    return columns


def _means(columns: PerFrame) -> Means:
    """Means over frames, (masks, 1) each."""
    return {name: values.mean(axis=1, dtype=float)[:, None] for name, values in columns.items()}


def _drop(means: Means, kind: str) -> np.ndarray:
    """Accuracy lost, (masks, tasks, resamples)."""
    return np.stack([means["baseline", task] - means[kind, task] for task in TASKS], axis=1)


def _scores(means: Means) -> dict[str, np.ndarray]:
    """The scores of `table` that need no level, (masks, tasks, resamples) each."""
    drop = {kind: _drop(means, kind) for kind in KINDS}
    pis, pis_by_mass = {}, {}
    for kind in KINDS:
        pis[kind] = impact(drop[kind], means[kind, "fraction_lit"][:, None])
        pis_by_mass[kind] = impact(drop[kind], means[kind, "fraction_mass"][:, None])
    return {
        "accuracy": np.stack([means["mask", task] for task in TASKS], axis=1),
        "accuracy_drop": drop["mask"],
        "pis": pis["mask"],
        "control_count_pis": pis["control_count"],
        "control_mass_pis": pis["control_mass"],
        "excess": pis["mask"] - pis["control_count"],
        "excess_mass": pis_by_mass["mask"] - pis_by_mass["control_mass"],
    }


def _curve_areas(means: Means, curve: list[int]) -> dict[str, np.ndarray]:
    """Areas (tasks, resamples) of a curve: places of its masks, which rise in their levels."""
    area = {}
    for kind in ("mask", "control_count"):
        area[kind] = np.stack([_area(means, curve, kind, task) for task in TASKS])
    excess = area["mask"] - area["control_count"]
    return {"area": area["mask"], "control_area": area["control_count"], "excess_area": excess}


def _area(means: Means, curve: list[int], kind: str, task: str) -> np.ndarray:
    taken = means[kind, "fraction_lit"][curve]  # (levels, resamples)
    fraction = np.pad(taken, ((1, 0), (0, 0)))  # from 0, where nothing is taken
    accuracy = np.concatenate([means["baseline", task], means[kind, task][curve]])
    return divide_or_nan(np.trapezoid(accuracy, fraction, axis=0), fraction[-1])


def _interval(name: str, resampled: np.ndarray) -> dict[str, np.ndarray]:
    low, high = stats.percentile_interval(resampled)
    return {f"{name}_ci_low": low, f"{name}_ci_high": high}
