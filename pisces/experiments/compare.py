"""Which experiment is better, by how much, and how sure that is: tables from predictions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pisces.core import paired, stats
from pisces.core.snr_label import SnrLabel, convention_in
from pisces.core.tasks import TASKS
from pisces.experiments import costs, crossed, kinds, predictions_of, standing
from pisces.experiments.kinds import Kind
from pisces.experiments.measures import (
    BY_NAME,
    MEASURES,
    Interval,
    Measure,
    bootstrap,
    figures,
    right,
)
from pisces.experiments.predictions_of import Experiment


@dataclass(frozen=True)
class Comparison:
    """What there is to say of experiments; figures are in the units of `MEASURES`."""

    experiments: pd.DataFrame
    """A row an experiment: `<measure>`, `<measure>_low`, `<measure>_high`, and what it costs."""
    kinds: pd.DataFrame
    """A row a kind: the same over its seeds and test frames."""
    differences: pd.DataFrame
    """A row a kind and measure: the kind less the first one, its interval, and tests."""
    by_snr: pd.DataFrame
    """A row a kind, SNR label and task: accuracy in percent with its interval.

    Of one frame of several seeds there is none, and its ends are NaN.
    """
    snr_label: SnrLabel
    refused: tuple[str, ...]
    """What cannot be compared and why, one line each."""
    remarks: tuple[str, ...]
    """What else is to be known of what is compared, one line each."""

    @property
    def is_without_result(self) -> bool:
        """Whether something was refused, and no difference is left."""
        return bool(self.refused) and self.differences.empty


class Difference(NamedTuple):
    """One kind less another, in one measure, as a figure: a share, or dB."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, that there is none; NaN where only an interval is known."""
    over: str
    """What the interval holds for, in words."""


def compare(
    names: Sequence[str], against: str | None = None, with_speed: bool = False
) -> Comparison:
    """Compares experiments over the same test frames.

    Args:
        names: experiments of DVC, revisions of git, or `workspace`.
        against: the one whose kind all others are compared with; None: the first that has
            predictions.
        with_speed: whether to measure frames a second, all models in turns.

    Raises:
        ValueError: where there is no such experiment, or none has predictions.
    """
    asked = list(dict.fromkeys([*names, *([against] if against else [])]))
    found, missing = predictions_of.find(asked)
    reasons = {one.name: f"{one.name}: {one.reason}" for one in missing}
    if not found:
        raise ValueError("there is nothing to compare: " + "; ".join(reasons.values()))
    if against in reasons:
        raise ValueError(f"nothing can be compared with {reasons[against]}")

    groups, repeated = kinds.group(found, against or found[0].name)
    resampled = _resampled(found)
    every = {one.name: figures(one.predictions, resampled[one.name]) for one in found}
    models = costs.models_of(found)
    speeds = costs.frames_per_second(models) if with_speed else {}

    rows = []
    for one in found:
        row = _experiment_row(one, groups, every[one.name])
        row |= costs.size_and_epochs(one, models)
        rows.append(row | _columns("frames_per_second", speeds.get(one.name)))
    differences, refused = _differences(groups, resampled)
    by_snr = [row for kind in groups for row in _by_snr(kind)]
    return Comparison(
        pd.DataFrame(rows),
        pd.DataFrame([_kind_row(kind, every) for kind in groups]),
        differences,
        pd.DataFrame(by_snr),
        convention_in(groups[0].runs[0].predictions),
        refused=(*reasons.values(), *refused),
        remarks=(*repeated, *costs.ran_otherwise(found), *_of_one_run(groups)),
    )


def _resampled(found: Sequence[Experiment]) -> dict[str, dict[str, np.ndarray]]:
    """Name -> what `bootstrap` gives; those of the same test frames see the same resamples."""
    by_frames: dict[str, list[Experiment]] = {}
    for one in found:
        by_frames.setdefault(one.data_md5 + one.frames_sha256, []).append(one)

    resampled: dict[str, dict[str, np.ndarray]] = {}
    for together in by_frames.values():
        drawn = bootstrap([one.predictions for one in together])
        resampled |= {one.name: values for one, values in zip(together, drawn, strict=True)}
    return resampled


def _experiment_row(
    one: Experiment, groups: Sequence[Kind], found: dict[str, Interval]
) -> dict[str, Any]:
    letters = {run.name: kind.letter for kind in groups for run in kind.runs}
    row: dict[str, Any] = {
        "experiment": one.name,
        "kind": letters.get(one.name, ""),
        "seed": one.seed,
        "revision": one.files.commit or "",
        "frames": len(one.predictions["frame"]),
    }
    for measure in MEASURES:
        row |= _columns(measure.name, found[measure.name], measure.factor)
    row |= _columns("gap_points", standing.points_below_ceiling(one))
    row["pis"] = standing.pis_of_the_brightest(one)
    return row


def _kind_row(kind: Kind, every: dict[str, dict[str, Interval]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "kind": kind.letter,
        "label": kind.label,
        "experiments": " ".join(run.name for run in kind.runs),
        "seeds": len(kind.runs),
        "frames": kind.frames,
    }
    for measure in MEASURES:
        if len(kind.runs) == 1:
            found = every[kind.runs[0].name][measure.name]
        else:
            found = _over_seeds(kind.table(measure.name), measure)
        row |= _columns(measure.name, found, measure.factor)
    return row


def _over_seeds(table: np.ndarray, measure: Measure) -> Interval:
    """The mean of figures (seeds, frames) and its interval over both, as far as figures go.

    Of one frame there is no interval: its ends are NaN.
    """
    if table.shape[1] == 1:
        # Nobody knows from one frame how much frames differ.
        return Interval(float(table.mean()), np.nan, np.nan)

    estimate = crossed.mean_of(table)
    if measure.is_share:
        return Interval(estimate.mean, *estimate.share_interval())
    return Interval(estimate.mean, max(0.0, estimate.low), min(measure.largest, estimate.high))


def _by_snr(kind: Kind) -> list[dict[str, Any]]:
    snr_db = kind.runs[0].predictions["snr_true_db"]
    rows = []
    for task in TASKS:
        table = np.stack([right(run.predictions, task) for run in kind.runs])  # (seeds, frames)
        for label in np.unique(snr_db):
            at = table[:, snr_db == label]
            found = _accuracy(at, task)
            row = {"kind": kind.letter, "label": kind.label, "seeds": len(kind.runs)}
            row |= {"snr_db": int(label), "task": task, "frames": at.shape[1]}
            rows.append(row | _columns("accuracy", found, 100))
    return rows


def _accuracy(table: np.ndarray, task: str) -> Interval:
    """The share of right predictions, bool (seeds, frames), with its interval."""
    seeds, frames = table.shape
    if seeds > 1:
        return _over_seeds(table.astype(float), BY_NAME[task])
    successes = int(table[0].sum())
    return Interval(float(table.mean()), *stats.wilson(successes, frames))


def _differences(
    groups: Sequence[Kind], resampled: dict[str, dict[str, np.ndarray]]
) -> tuple[pd.DataFrame, list[str]]:
    """Every kind less the first, and why there is none of those with other frames than it."""
    reference, *others = groups
    rows: list[dict[str, Any]] = []
    refused = []
    for kind in others:
        reason = kinds.comparable(kind, reference)
        if reason:
            refused.append(f"no difference between {kind.letter} and {reference.letter}: {reason}")
            continue
        for measure in MEASURES:
            found = _difference(kind, reference, measure, resampled)
            row: dict[str, Any] = {"kind": kind.letter, "label": kind.label}
            row |= {"less": reference.letter, "measure": measure.name}
            row |= _columns("difference", Interval(*found[:3]), measure.factor)
            half_width = (found.high - found.low) / 2 * measure.factor
            rows.append(row | {"half_width": half_width, "p": found.p, "over": found.over})

    columns = ["kind", "label", "less", "measure", "difference", "difference_low"]
    columns += ["difference_high", "half_width", "p", "p_holm", "over"]
    table = pd.DataFrame(rows)
    if rows:
        table["p_holm"] = stats.holm(table["p"].to_numpy(float))
    return table.reindex(columns=columns), refused


def _difference(
    one: Kind, other: Kind, measure: Measure, resampled: dict[str, dict[str, np.ndarray]]
) -> Difference:
    """One kind less another over the same test frames.

    Args:
        one: a kind.
        other: what it is compared with.
        measure: in which they are.
        resampled: experiment -> measure -> figures under the same resamples of frames.
    """
    if min(len(one.runs), len(other.runs)) > 1:
        return _over_seeds_and_frames(one, other, measure)

    here, there = _pair(one, other)
    over = f"frames, seeds {here.seed} and {there.seed}"
    if here.seed == there.seed:
        over = f"frames, seed {here.seed}"
    if measure.is_share:
        return _of_shares(here, there, measure.name, over)
    difference = resampled[here.name][measure.name] - resampled[there.name][measure.name]
    low, high = map(float, stats.percentile_interval(difference))
    figure_here, figure_there = (
        figures(run.predictions, resampled[run.name])[measure.name].value for run in (here, there)
    )
    return Difference(figure_here - figure_there, low, high, np.nan, over)


def _of_shares(here: Experiment, there: Experiment, task: str, over: str) -> Difference:
    """Of two models on the same frames: Tango's interval and McNemar's test."""
    is_right, is_right_there = right(here.predictions, task), right(there.predictions, task)
    only_here = int(np.count_nonzero(is_right & ~is_right_there))
    only_there = int(np.count_nonzero(is_right_there & ~is_right))
    frames = len(is_right)

    low, high = paired.difference_interval(only_here, only_there, frames)
    value = (only_here - only_there) / frames
    p = stats.mcnemar(is_right, is_right_there)
    return Difference(value, float(low), float(high), float(p), over)


def _over_seeds_and_frames(one: Kind, other: Kind, measure: Measure) -> Difference:
    is_paired = one.seeds == other.seeds
    estimate = crossed.difference(
        one.table(measure.name), other.table(measure.name), is_paired=is_paired
    )
    seeds = f"{len(one.runs)} paired seeds"
    if not is_paired:
        seeds = f"{len(one.runs)} and {len(other.runs)} seeds"
    over = f"{seeds}, frames"
    if estimate.variance == 0 and measure.is_share:
        # No seed tells the two apart in any frame, which may still be for want of frames.
        return _of_shares(one.runs[0], other.runs[0], measure.name, over)
    return Difference(estimate.mean, estimate.low, estimate.high, estimate.p, over)


def _pair(one: Kind, other: Kind) -> tuple[Experiment, Experiment]:
    """A run of each, of the same seed where they have one in common."""
    common = sorted(set(one.seeds) & set(other.seeds))
    if not common:
        return one.runs[0], other.runs[0]
    return one.runs[one.seeds.index(common[0])], other.runs[other.seeds.index(common[0])]


def _of_one_run(groups: Sequence[Kind]) -> list[str]:
    """Which differences hold for one run of each kind, although one of the two has several."""
    reference, *others = groups
    remarks = []
    for kind in others:
        fewer, more = sorted((kind, reference), key=lambda one: len(one.runs))
        if len(fewer.runs) > 1 or len(more.runs) == 1 or kinds.comparable(kind, reference):
            continue
        here, there = _pair(kind, reference)
        remarks.append(
            f"{kind.letter} less {reference.letter} is {here.name} less {there.name} alone, not a "
            f"difference over seeds: {fewer.letter} has one run and {more.letter} "
            f"{len(more.runs)}; run {fewer.letter} with more seeds"
        )
    return remarks


def _columns(name: str, found: Interval | None, factor: float = 1) -> dict[str, float]:
    """A figure and its interval as three columns; NaN where there is none."""
    value, low, high = found or (np.nan, np.nan, np.nan)
    return {name: factor * value, f"{name}_low": factor * low, f"{name}_high": factor * high}
