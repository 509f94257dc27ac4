"""The Perturbation Impact Score: how much accuracy is lost for each fraction of the picture that is taken away.

PIS = (accuracy before - accuracy after) / fraction (Siddiqui, Wang and Ramachandran 2025), for modulation, SNR and joint
accuracy. The fraction is the realised one, of the lit pixels, averaged over the frames; the published rule of dividing by
the nominal level is kept beside it. A score is read against its control: the same number of lit pixels, or the same mass,
taken at random.
"""

import hashlib
import itertools
from collections.abc import Callable, Hashable, Sequence
from operator import itemgetter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom
from torch import nn

from pisces.core.files import write_npz
from pisces.core.progress import progress
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober
from pisces.inputs.drawing import BinStore
from pisces.pis.masks import KINDS, Mask
from pisces.pis.store import Perturbations

TASKS = ("modulation", "snr", "joint")
FRACTIONS = ("fraction_all", "fraction_lit", "fraction_mass")
BATCH = 256  # frames
BOOTSTRAP_CHUNK = 1 << 23  # numbers held at a time, twice
LABELS = ("view", "rule", "mask", "level_percent", "task")
COLUMNS = (
    *LABELS,
    *("n", "accuracy", "accuracy_drop", *FRACTIONS),
    *(
        "pis",
        "pis_ci_low",
        "pis_ci_high",
        "pis_nominal",
        "control_count_pis",
        "control_mass_pis",
        "control_mass_fraction_mass",
    ),
    *(
        "excess",
        "excess_ci_low",
        "excess_ci_high",
        "excess_mass",
        "excess_mass_ci_low",
        "excess_mass_ci_high",
    ),
    *("p_count", "p_mass", "p_count_holm", "p_mass_holm"),
)
AREA_COLUMNS = (
    *("view", "mask", "task", "n", "fraction_lit_end", "area", "area_ci_low", "area_ci_high"),
    *("control_area", "excess_area", "excess_area_ci_low", "excess_area_ci_high"),
)
Means = dict[Hashable, np.ndarray]


def impact(accuracy_drop: float | np.ndarray, fraction: float | np.ndarray) -> float | np.ndarray:
    """PIS of drops and fractions, both 0..1; NaN where nothing was taken."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.greater(fraction, 0), np.divide(accuracy_drop, fraction), np.nan)[()]


class Outcome:
    """What a model said of the same n frames before and after each perturbation.

    `correct[kind][task]` is bool (masks, n) with `kind` of `KINDS`, `baseline[task]` bool (n,), and `fraction[kind]`
    float32 (masks, 3, n): share of all pixels, of lit pixels and of mass that was taken, per frame, as in `FRACTIONS`.
    """

    def __init__(self, masks: list[Mask], n: int):
        self.masks = masks
        self.baseline = {task: np.zeros(n, bool) for task in TASKS}
        self.correct = {
            kind: {task: np.zeros((len(masks), n), bool) for task in TASKS} for kind in KINDS
        }
        self.fraction = {
            kind: np.zeros((len(masks), len(FRACTIONS), n), np.float32) for kind in KINDS
        }

    def of(self, frames: np.ndarray) -> "Outcome":
        """The outcome of a subset of frames, bool (n,), as a copy."""
        part = Outcome(self.masks, 0)
        part.baseline = {task: values[frames] for task, values in self.baseline.items()}
        part.correct = {
            kind: {task: values[:, frames] for task, values in by.items()}
            for kind, by in self.correct.items()
        }
        part.fraction = {kind: values[:, :, frames] for kind, values in self.fraction.items()}
        return part

    def only(self, chosen: Callable[[Mask], bool]) -> "Outcome":
        """The outcome of some of the masks, as a copy of theirs."""
        places = [i for i, mask in enumerate(self.masks) if chosen(mask)]
        part = Outcome([self.masks[i] for i in places], 0)
        part.baseline = self.baseline
        part.correct = {
            kind: {task: values[places] for task, values in by.items()}
            for kind, by in self.correct.items()
        }
        part.fraction = {kind: values[places] for kind, values in self.fraction.items()}
        return part


def measure(
    model: nn.Module,
    prober: Prober,
    data: BinStore,
    perturbations: Perturbations,
    device: torch.device,
) -> Outcome:
    """Asks the model about each frame as it is and after every mask and control, all through the same code.

    Pixels are taken from the view of the mask, and the other views stay; from a model of raw IQ, the samples behind them. What takes no
    lit pixel of a frame changes nothing, so its answer is that of the frame as it is; and what takes the same pixels of a frame as
    another (ties make percentile masks coincide, masks of equal size share their control) is asked once. The outcome takes 45 bytes a
    mask and frame (three kinds of three answers of a byte and three fractions of four); all else is bounded by the masks and lists of
    `BATCH` frames.
    """
    model = model.to(device, memory_format=torch.channels_last)
    outcome, views = Outcome(perturbations.masks, len(perturbations.frame)), data.render.views
    chunks = list(perturbations.chunks(BATCH))
    lists = itertools.product(chunks, KINDS, range(len(outcome.masks)))
    total = len(chunks) * len(KINDS) * len(outcome.masks)
    for (start, stop), part in itertools.groupby(progress(lists, "pis", total), itemgetter(0)):
        frames = perturbations.frame[start:stop]
        probe = prober.probe(frames, device)
        judge = _Judge(
            model,
            probe,
            frames[:, :2],
            torch.tensor(data.snrs_db, dtype=torch.float32, device=device)[frames[:, 1]],
        )
        by_view = probe.counts.view(len(frames), len(views), -1).cpu().numpy()
        whole = judge.ask(np.empty(0, np.int32), np.zeros(len(frames) + 1, np.int64))
        asked = {}
        for _, kind, i in part:
            view = views.index(outcome.masks[i].view)
            pixels, offsets = perturbations.pixels(outcome.masks[i], kind, start, stop)
            outcome.fraction[kind][i, :, start:stop] = realised_fractions(
                by_view[:, view], pixels, offsets
            )
            pixels, offsets = _lit(by_view[:, view], pixels, offsets)
            asked[kind, i] = judge.ask(pixels + np.int32(view * by_view.shape[2]), offsets)
        for task, right in judge.answers().items():
            outcome.baseline[task][start:stop] = right[whole]
            for (kind, i), questions in asked.items():
                outcome.correct[kind][task][i, start:stop] = right[questions]
    return outcome


class _Judge:
    """Whether a model is right about n frames of classes `targets` (n, 2) once pixels are taken out; asks each question once."""

    def __init__(self, model: nn.Module, probe: Probe, targets: np.ndarray, snr_db: torch.Tensor):
        self.model, self.probe, self.targets, self.snr_db = model, probe, targets, snr_db
        self.known: list[dict[bytes, int]] = [
            {} for _ in targets
        ]  # of each frame: digest of a pixel list -> number of the question
        self.waiting: list[
            tuple[int, np.ndarray]
        ] = []  # frames and lists that the model has not seen yet
        self.right: list[np.ndarray] = []  # bool (questions of a batch, 2)

    def ask(self, pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Number of the question about each frame, int (n,): its place in `answers`."""
        questions = np.empty(len(self.known), np.int32)
        for frame, (start, stop) in enumerate(itertools.pairwise(offsets.tolist())):
            taken = pixels[start:stop]
            key = hashlib.blake2b(
                taken.tobytes(), digest_size=16
            ).digest()  # lists themselves would fill the memory
            if key not in self.known[frame]:
                self.known[frame][key] = BATCH * len(self.right) + len(self.waiting)
                self.waiting.append((frame, taken))
            questions[frame] = self.known[frame][key]
            if len(self.waiting) == BATCH:
                self._run()
        return questions

    def answers(self) -> dict[str, np.ndarray]:
        """Task -> whether the answer to each question is right, bool (questions,)."""
        if self.waiting:
            self._run()
        modulation, snr = np.concatenate(self.right).T
        return {"modulation": modulation, "snr": snr, "joint": modulation & snr}

    def _run(self) -> None:
        frames, lists = zip(*self.waiting, strict=True)
        offsets = np.cumsum([0, *map(len, lists)])
        inputs = self.probe.without(list(frames), np.concatenate(lists), offsets)
        chosen = torch.stack(
            [logits.argmax(1) for logits in predict(self.model, inputs, self.snr_db[list(frames)])],
            1,
        )
        self.right.append(chosen.cpu().numpy() == self.targets[list(frames)])
        self.waiting = []


def realised_fractions(counts: np.ndarray, pixels: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Shares of all pixels, lit pixels and mass that pixel lists take from counts (n, pixels): (3, n).

    A frame without a lit pixel gives up nothing of them: 0.
    """
    frame = np.repeat(np.arange(len(counts)), np.diff(offsets))
    taken = counts[frame, pixels]
    n = len(counts)
    lit, mass = np.count_nonzero(counts, axis=1), counts.sum(axis=1)
    taken_lit = np.bincount(frame, taken > 0, minlength=n)
    taken_mass = np.bincount(frame, taken, minlength=n)
    return np.stack(
        [
            np.diff(offsets) / counts.shape[1],
            taken_lit / np.maximum(lit, 1),
            taken_mass / np.maximum(mass, 1),
        ]
    )


def _lit(
    counts: np.ndarray, pixels: np.ndarray, offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The same lists without the pixels that are dark in counts (n, pixels)."""
    frame = np.repeat(np.arange(len(counts)), np.diff(offsets))
    lit = counts[frame, pixels] > 0
    return pixels[lit], np.concatenate(
        [[0], np.cumsum(np.bincount(frame[lit], minlength=len(counts)))]
    )


# Tables


def table(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a (mask, task), of `COLUMNS`: scores, realised fractions, controls, 95 % paired-bootstrap intervals, and tests.

    - `pis` is the accuracy drop over the realised fraction of lit pixels, `pis_nominal` over level / 100; a region has no level.
    - `excess` is `pis` minus the count control's; `excess_mass` the drop over the realised fraction of mass, minus the mass control's.
    - `control_mass_fraction_mass` is what the mass control really took, which on average is the mask's `fraction_mass`.
    - `p_count` and `p_mass` are `mcnemar` of the answers after the mask and after that control; `..._holm` are adjusted by `holm` for all
      tests of the table. Where nothing could be found there is no test, and all four are NaN: a `random` mask is chance against
      chance, and one that takes all or none of the lit pixels of every frame is its own control.

    Frames are resampled with all their answers, so before, after and control stay paired.
    """
    return _with_holm(_rows(outcome, resamples, rng))


def _rows(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """`table` without the columns that `_with_holm` adds."""
    columns = _columns(outcome)
    scores, resampled = _scores(_means(columns)), _scores(_bootstrap_means(columns, resamples, rng))
    values = {
        name: one[..., 0] for name, one in scores.items()
    }  # (masks, tasks), as all that follow
    fractions = outcome.fraction["mask"].mean(axis=2, dtype=float)
    values |= {
        name: np.repeat(fractions[:, [i]], len(TASKS), axis=1) for i, name in enumerate(FRACTIONS)
    }
    control_mass = outcome.fraction["control_mass"][:, FRACTIONS.index("fraction_mass")].mean(
        axis=1, dtype=float
    )
    values["control_mass_fraction_mass"] = np.repeat(control_mass[:, None], len(TASKS), axis=1)
    for name in ("pis", "excess", "excess_mass"):
        values |= _interval(name, resampled[name])
    for what in ("count", "mass"):
        right = [
            (outcome.correct["mask"][task], outcome.correct[f"control_{what}"][task])
            for task in TASKS
        ]
        values[f"p_{what}"] = np.where(
            _has_test(outcome)[:, None],
            np.stack([mcnemar(*pair) for pair in right], axis=1),
            np.nan,
        )
    rows = _labels(outcome.masks).assign(
        n=len(outcome.baseline["joint"]), **{name: one.ravel() for name, one in values.items()}
    )
    rows["pis_nominal"] = impact(rows["accuracy_drop"], rows["level_percent"] / 100)
    return rows


def _has_test(outcome: Outcome) -> np.ndarray:
    """Whether a mask can differ from its controls by more than chance, bool (masks,): see `table`."""
    lit = outcome.fraction["mask"][:, FRACTIONS.index("fraction_lit")]
    own_control = ((lit == 0) | (lit == 1)).all(axis=1)
    return ~own_control & np.array([mask.name != "random" for mask in outcome.masks], bool)


def grouped_table(
    outcome: Outcome, groups: np.ndarray, name: str, resamples: int, rng: np.random.Generator
) -> pd.DataFrame:
    """`table` for the frames of each value of `groups` (n,), with that value in a first column called `name`.

    Tests are adjusted for all of them, in all groups.
    """
    parts = []
    for value in dict.fromkeys(groups.tolist()):
        parts.append(_rows(outcome.of(groups == value), resamples, rng).assign(**{name: value}))
    return _with_holm(pd.concat(parts, ignore_index=True))


def groups(frame: np.ndarray, data: BinStore) -> dict[str, tuple[np.ndarray, str]]:
    """The two ways to group frames (n, 3): name -> (modulation or SNR in dB of each frame (n,), name of that column)."""
    modulation, snr_db = (
        np.array(data.modulations)[frame[:, 0]],
        np.array(data.snrs_db)[frame[:, 1]],
    )
    return {"modulation": (modulation, "modulation"), "snr": (snr_db, "snr_db")}


def by_cell(
    outcome: Outcome, modulation: np.ndarray, snr_db: np.ndarray, level_percent: float
) -> pd.DataFrame:
    """PIS of the exact masks of one level in each (modulation, SNR), given of every frame (n,), with the count control's and the excess
    over it as in `table`. A cell has few frames: no intervals."""
    part = outcome.only(lambda mask: mask.rule == "exact" and mask.level_percent == level_percent)
    labels, parts = _labels(part.masks), []
    for cell in dict.fromkeys(zip(modulation.tolist(), snr_db.tolist(), strict=True)):
        here = part.of((modulation == cell[0]) & (snr_db == cell[1]))
        means = _means(_columns(here, kinds=("mask", "control_count")))
        drop, lit = (
            _drop(means, "mask")[..., 0],
            means["mask", "fraction_lit"],
        )  # (masks, tasks), (masks, 1)
        pis, control = (
            impact(drop, lit),
            impact(_drop(means, "control_count")[..., 0], means["control_count", "fraction_lit"]),
        )
        values = {"accuracy_drop": drop, "fraction_lit": np.repeat(lit, len(TASKS), axis=1)}
        values |= {"pis": pis, "control_count_pis": control, "excess": pis - control}
        cells = {"modulation": cell[0], "snr_db": cell[1], "n": len(here.baseline["joint"])}
        parts.append(labels.assign(**cells, **{name: one.ravel() for name, one in values.items()}))
    return pd.concat(parts, ignore_index=True)


def areas(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a view, exact mask and task, of `AREA_COLUMNS`: the area under accuracy over the realised fraction of lit pixels.

    The curve leads from the baseline, at 0, through all levels to `fraction_lit_end`. Its area, by the trapezoid rule, is divided by
    that range, which makes it the mean accuracy along the curve. `control_area` is the same of the count control, and `excess_area` is
    `area` minus that: below 0 where the mask costs more than chance. Intervals are 95 %, from a bootstrap paired as in `table`.
    """
    exact = sorted(
        (mask.level_percent, i) for i, mask in enumerate(outcome.masks) if mask.rule == "exact"
    )
    if not exact:
        return pd.DataFrame(columns=AREA_COLUMNS)
    columns = _columns(outcome, [i for _, i in exact], ("mask", "control_count"))
    means, resampled = _means(columns), _bootstrap_means(columns, resamples, rng)
    curves: dict[
        tuple[str, str], list[int]
    ] = {}  # places among `exact`, in rising order of the levels
    for place, (_, i) in enumerate(exact):
        curves.setdefault((outcome.masks[i].view, outcome.masks[i].name), []).append(place)
    parts = []
    for (view, name), of in curves.items():
        area, spread = (
            _areas(means, of),
            _areas(resampled, of),
        )  # (tasks, 1), (tasks, resamples) each
        values = {what: one[:, 0] for what, one in area.items()}
        values |= _interval("area", spread["area"]) | _interval(
            "excess_area", spread["excess_area"]
        )
        values |= {
            "n": len(outcome.baseline["joint"]),
            "fraction_lit_end": means["mask", "fraction_lit"][of[-1], 0],
        }
        parts.append(
            pd.DataFrame({"view": view, "mask": name, "task": TASKS} | values)[list(AREA_COLUMNS)]
        )
    return pd.concat(parts, ignore_index=True)


def published(rows: pd.DataFrame) -> pd.DataFrame:
    """The published protocol beside ours, on the same model: a row a (view, mask, level, task) that `table` has by both rules.

    - `published_pis`: percentile mask, drop over level / 100; `published_fraction_lit`: what that mask really took;
      `published_pis_realised`: the same drop over that.
    - `exact_pis` with its interval, `exact_control_pis` of its count control, and `p_count_holm` between the two.

    Raises:
        ValueError: when the table lacks one of the rules.
    """
    for rule in ("percentile", "exact"):
        if not (rows["rule"] == rule).any():
            raise ValueError(
                f"the table has no mask of the rule {rule}; set perturb.rules to [exact, percentile] and run dvc repro pis to compare them"
            )
    keys = ["view", "mask", "level_percent", "task"]
    theirs = {
        "pis_nominal": "published_pis",
        "fraction_lit": "published_fraction_lit",
        "pis": "published_pis_realised",
    }
    ours = {
        "pis": "exact_pis",
        "pis_ci_low": "exact_pis_ci_low",
        "pis_ci_high": "exact_pis_ci_high",
    }
    ours |= {"control_count_pis": "exact_control_pis", "p_count_holm": "p_count_holm"}
    percentile, exact = (
        rows.loc[rows["rule"] == rule, keys + list(new)].rename(columns=new)
        for rule, new in (("percentile", theirs), ("exact", ours))
    )
    return percentile.merge(exact, on=keys)


def baseline(outcome: Outcome) -> dict[str, float]:
    """Accuracy of each task before anything is taken."""
    return {task: float(values.mean()) for task, values in outcome.baseline.items()}


def headline(
    rows: pd.DataFrame, areas: pd.DataFrame, levels_percent: Sequence[float]
) -> dict[str, dict[str, float]]:
    """A few joint scores for the metrics file; intervals and all else are in the tables.

    PIS and excess of each view and mask at the smallest and the largest of the levels, from the exact rule where it is in the table;
    and the area of each view and mask. A score is left out where it or an interval of it is undefined: a mask took nothing, or from so
    few frames that some resample has none of them.
    """
    rule = "exact" if (rows["rule"] == "exact").any() else "percentile"
    ends = rows["level_percent"].isin([min(levels_percent), max(levels_percent)])
    scores = _defined(
        rows[(rows["rule"] == rule) & (rows["task"] == "joint") & ends], ("pis", "excess")
    )
    result = {
        f"{row['view']}_{row['mask']}_{row['level_percent']:g}": {
            "joint_pis": row["pis"],
            "excess": row["excess"],
        }
        for row in scores
    }
    return result | {
        f"{row['view']}_{row['mask']}": {"area": row["area"]}
        for row in _defined(areas[areas["task"] == "joint"], ("area",))
    }


def _defined(rows: pd.DataFrame, scores: tuple[str, ...]) -> list[dict]:
    return rows.dropna(
        subset=[f"{score}{part}" for score in scores for part in ("", "_ci_low", "_ci_high")]
    ).to_dict("records")


def write_outcome(path: Path, outcome: Outcome, frame: np.ndarray) -> None:
    """Writes every answer: `frame` (n, 3), `masks` (names), `<task>_baseline` bool (n,), `<task>_<kind>` bool (masks, n) and
    `fraction_<kind>` float32 (masks, 3, n)."""
    arrays = {"frame": frame, "masks": np.array([mask.key for mask in outcome.masks])}
    arrays |= {f"{task}_baseline": values for task, values in outcome.baseline.items()}
    arrays |= {f"{task}_{kind}": outcome.correct[kind][task] for kind in KINDS for task in TASKS}
    arrays |= {f"fraction_{kind}": outcome.fraction[kind] for kind in KINDS}
    write_npz(path, arrays)


def _labels(masks: Sequence[Mask]) -> pd.DataFrame:
    """The columns `LABELS`, a row a mask and task."""
    return pd.DataFrame([(*mask, task) for mask in masks for task in TASKS], columns=LABELS).astype(
        {"level_percent": float}
    )


# Tests


def mcnemar(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Two-sided p-value of paired answers, bool (..., n) each, if both were right equally often: the exact test of McNemar.

    Where one is right and the other wrong, each is as likely to be the right one: the smaller number of the two is binomial (McNemar,
    "Note on the sampling error of the difference between correlated proportions or percentages", Psychometrika, 1947). 1 without any.
    """
    only_one, only_other = (
        np.count_nonzero(one & ~other, axis=-1),
        np.count_nonzero(other & ~one, axis=-1),
    )
    return np.minimum(
        1.0, 2 * binom.cdf(np.minimum(only_one, only_other), only_one + only_other, 0.5)
    )


def holm(p: np.ndarray) -> np.ndarray:
    """p-values (n,) adjusted for all tests: calling those up to a significant makes even one mistake with probability a at most.

    NaN is no test: it stays, and the others are adjusted as without it.

    That holds however the tests depend on each other (Holm, "A simple sequentially rejective multiple test procedure", Scandinavian
    Journal of Statistics, 1979).
    """
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    adjusted = np.full_like(p, np.nan)
    adjusted[order] = np.minimum(
        1.0, np.maximum.accumulate(np.arange(len(order), 0, -1) * p[order])
    )
    return adjusted


def _with_holm(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows with both kinds of tests adjusted together, `COLUMNS` last and in their order."""
    p = rows[["p_count", "p_mass"]].to_numpy()
    adjusted = holm(p.ravel()).reshape(p.shape)
    rows = rows.assign(p_count_holm=adjusted[:, 0], p_mass_holm=adjusted[:, 1])
    return rows[[name for name in rows if name not in COLUMNS] + list(COLUMNS)]


# Bootstrap


def _columns(
    outcome: Outcome, masks: Sequence[int] | slice = slice(None), kinds: Sequence[str] = KINDS
) -> Means:
    """Every number per frame that scores are made of, (masks, n) each: the answers, `(kind, task)`, and `(kind, fraction)`.

    `("baseline", task)` is (1, n).
    """
    columns: Means = {("baseline", task): outcome.baseline[task][None] for task in TASKS}
    columns |= {
        (kind, task): outcome.correct[kind][task][masks] for kind in kinds for task in TASKS
    }
    used = [(i, name) for i, name in enumerate(FRACTIONS) if name != "fraction_all"]
    return columns | {
        (kind, name): outcome.fraction[kind][masks, i] for kind in kinds for i, name in used
    }


def _means(columns: Means) -> Means:
    """Means over frames, (masks, 1) each."""
    return {name: values.mean(axis=1, dtype=float)[:, None] for name, values in columns.items()}


def _bootstrap_means(columns: Means, resamples: int, rng: np.random.Generator) -> Means:
    """Means over frames under the same resamples of frames, (masks, resamples) each; memory does not grow with the frames."""
    n = len(next(iter(columns.values()))[0])
    means = {name: np.empty((len(values), resamples)) for name, values in columns.items()}
    step = max(1, BOOTSTRAP_CHUNK // n)
    for start in range(0, resamples, step):
        weights = np.empty((min(step, resamples - start), n))
        for row in weights:
            row[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        for name, values in columns.items():
            for first in range(0, len(values), step):
                part = values[first : first + step].astype(float) @ weights.T / n
                means[name][first : first + step, start : start + step] = part
    return means


def _drop(means: Means, kind: str) -> np.ndarray:
    """Accuracy lost, (masks, tasks, resamples)."""
    return np.stack([means["baseline", task] - means[kind, task] for task in TASKS], axis=1)


def _scores(means: Means) -> dict[str, np.ndarray]:
    """The scores of `table` that need no level, (masks, tasks, resamples) each."""
    drop = {kind: _drop(means, kind) for kind in KINDS}
    pis = {kind: impact(drop[kind], means[kind, "fraction_lit"][:, None]) for kind in KINDS}
    by_mass = {
        kind: impact(drop[kind], means[kind, "fraction_mass"][:, None])
        for kind in ("mask", "control_mass")
    }
    return {
        "accuracy": np.stack([means["mask", task] for task in TASKS], axis=1),
        "accuracy_drop": drop["mask"],
        "pis": pis["mask"],
        "control_count_pis": pis["control_count"],
        "control_mass_pis": pis["control_mass"],
        "excess": pis["mask"] - pis["control_count"],
        "excess_mass": by_mass["mask"] - by_mass["control_mass"],
    }


def _areas(means: Means, of: list[int]) -> dict[str, np.ndarray]:
    """The areas of `areas`, (tasks, resamples) each, over the masks `of`, which rise in their levels."""
    area = {
        kind: np.stack([_area(means, of, kind, task) for task in TASKS])
        for kind in ("mask", "control_count")
    }
    return {
        "area": area["mask"],
        "control_area": area["control_count"],
        "excess_area": area["mask"] - area["control_count"],
    }


def _area(means: Means, of: list[int], kind: str, task: str) -> np.ndarray:
    fraction = np.pad(
        means[kind, "fraction_lit"][of], ((1, 0), (0, 0))
    )  # (levels, resamples) -> (levels + 1, resamples)
    accuracy = np.concatenate([means["baseline", task], means[kind, task][of]])
    return impact(np.trapezoid(accuracy, fraction, axis=0), fraction[-1])


def _interval(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """95 % of the resamples, the last axis, lie between."""
    low, high = np.quantile(values, [0.025, 0.975], axis=-1)
    return {f"{name}_ci_low": low, f"{name}_ci_high": high}
