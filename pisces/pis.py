"""The Perturbation Impact Score: how much accuracy is lost for each fraction of the picture that is taken away.

PIS = (accuracy before - accuracy after) / fraction (Siddiqui, Wang and Ramachandran 2025), for modulation, SNR and joint
accuracy. The fraction is the realised one, of the lit pixels, averaged over the frames; the published rule of dividing by
the nominal level is kept beside it. A score is read against its control: the same number of lit pixels, or the same mass,
taken at random.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from pisces import console
from pisces.datasets import Constellations
from pisces.files import write_npz
from pisces.inference import predict, remove_pixels
from pisces.perturbation import KINDS, Mask, Perturbations
from pisces.rendering import Drawing

TASKS = ("modulation", "snr", "joint")
FRACTIONS = ("fraction_all", "fraction_lit", "fraction_mass")
BATCH = 256  # frames
BOOTSTRAP_CHUNK = 1 << 22  # weights held at a time


def score(accuracy_drop: float, fraction: float) -> float:
    """PIS of one drop and one fraction, both 0..1; NaN when nothing was taken."""
    return accuracy_drop / fraction if fraction > 0 else float("nan")


class Outcome:
    """What a model said of the same n frames before and after each perturbation.

    `correct[kind][task]` is bool (masks, n) with `kind` of `KINDS`, `baseline[task]` bool (n,), and `fraction[kind]`
    float (masks, 3, n): share of all pixels, of lit pixels and of mass that was taken, per frame, as in `FRACTIONS`.
    """

    def __init__(self, masks: list[Mask], n: int):
        self.masks = masks
        self.baseline = {task: np.zeros(n, bool) for task in TASKS}
        self.correct = {kind: {task: np.zeros((len(masks), n), bool) for task in TASKS} for kind in KINDS}
        self.fraction = {kind: np.zeros((len(masks), len(FRACTIONS), n)) for kind in KINDS}

    def of(self, frames: np.ndarray) -> "Outcome":
        """The outcome of a subset of frames, bool (n,)."""
        part = Outcome(self.masks, 0)
        part.baseline = {task: values[frames] for task, values in self.baseline.items()}
        part.correct = {kind: {task: values[:, frames] for task, values in by.items()} for kind, by in self.correct.items()}
        part.fraction = {kind: values[:, :, frames] for kind, values in self.fraction.items()}
        return part


def measure(model: nn.Module, drawing: Drawing, data: Constellations, perturbations: Perturbations, device: torch.device) -> Outcome:
    """Runs the model over each frame once as it is and once for every mask and control, all through the same code.

    Pixels are taken from the view of the mask, and the other views stay. Pixel lists that are equal over a whole batch (masks of
    equal size share their control; ties make percentile masks coincide) are run once.
    """
    model = model.to(device, memory_format=torch.channels_last)
    outcome, views = Outcome(perturbations.masks, len(perturbations.frame)), drawing.render.views
    jobs = list(itertools.product(perturbations.chunks(BATCH), KINDS, range(len(outcome.masks))))
    for (start, stop), kind, i in console.progress(jobs, "pis"):
        if (kind, i) == (KINDS[0], 0):
            frames = perturbations.frame[start:stop]
            counts = drawing.count(torch.from_numpy(data.bins(frames)).to(device))
            mass = counts.view(len(frames), len(views), -1).cpu().numpy()
            ask = _Judge(model, drawing, counts, frames[:, :2])
            for task, right in ask(np.empty(0, np.int64), np.zeros(len(frames) + 1, np.int64)).items():
                outcome.baseline[task][start:stop] = right
        pixels, offsets = perturbations.pixels(outcome.masks[i], kind, start, stop)
        view = views.index(outcome.masks[i].view)
        outcome.fraction[kind][i, :, start:stop] = realised_fractions(mass[:, view], pixels, offsets)
        for task, right in ask(pixels + np.int64(view * mass.shape[2]), offsets).items():
            outcome.correct[kind][task][i, start:stop] = right
    return outcome


class _Judge:
    """Which answers of a batch are right once pixels are taken out; remembers what it was asked."""

    def __init__(self, model: nn.Module, drawing: Drawing, counts: torch.Tensor, targets: np.ndarray):
        self.model, self.drawing, self.counts, self.targets = model, drawing, counts, targets
        self.known: dict[tuple[bytes, bytes], dict[str, np.ndarray]] = {}

    def __call__(self, pixels: np.ndarray, offsets: np.ndarray) -> dict[str, np.ndarray]:
        key = (pixels.tobytes(), offsets.tobytes())
        if key not in self.known:
            logits = predict(self.model, self.drawing, remove_pixels(self.counts, pixels, offsets))
            modulation, snr = (one.argmax(1).cpu().numpy() == self.targets[:, i] for i, one in enumerate(logits))
            self.known[key] = {"modulation": modulation, "snr": snr, "joint": modulation & snr}
        return self.known[key]


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
    return np.stack([np.diff(offsets) / counts.shape[1], taken_lit / np.maximum(lit, 1), taken_mass / np.maximum(mass, 1)])


def table(outcome: Outcome, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row a (mask, level, task): scores, realised fractions, controls, and 95 % paired-bootstrap intervals.

    `pis` is the accuracy drop over the realised fraction of lit pixels, `pis_nominal` over level / 100; `excess` is `pis`
    minus the count control's. Frames are resampled with all their answers, so before, after and control stay paired.
    """
    drops = {(kind, task): _drop(outcome, kind, task) for kind in KINDS for task in TASKS}  # (masks, n) each
    lit = {kind: outcome.fraction[kind][:, 1] for kind in KINDS}
    resampled = _bootstrap_means([*drops.values(), *lit.values()], resamples, rng)
    drop_means = dict(zip(drops, resampled[: len(drops)], strict=True))  # (resamples, masks) each
    lit_means = dict(zip(lit, resampled[len(drops) :], strict=True))
    rows = []
    for i, mask in enumerate(outcome.masks):
        for task in TASKS:
            drop = {kind: float(drops[kind, task][i].mean()) for kind in KINDS}
            pis = {kind: score(drop[kind], float(lit[kind][i].mean())) for kind in KINDS}
            spread = {kind: _ratio(drop_means[kind, task][:, i], lit_means[kind][:, i]) for kind in KINDS}
            row: dict[str, Any] = {
                "view": mask.view,
                "mask": mask.name,
                "rule": mask.rule,
                "level_percent": mask.level_percent,
                "task": task,
            }
            row |= {"n": len(outcome.baseline[task]), "accuracy": outcome.correct["mask"][task][i].mean(), "accuracy_drop": drop["mask"]}
            row |= dict(zip(FRACTIONS, outcome.fraction["mask"][i].mean(axis=1), strict=True))
            row |= {"pis": pis["mask"], **_interval("pis", spread["mask"])}
            row |= {"pis_nominal": score(drop["mask"], mask.level_percent / 100)}
            row |= {f"{kind}_pis": pis[kind] for kind in KINDS[1:]}
            row |= {"excess": pis["mask"] - pis["control_count"]}
            row |= _interval("excess", spread["mask"] - spread["control_count"])
            rows.append(row)
    return pd.DataFrame(rows)


def grouped_table(outcome: Outcome, groups: np.ndarray, name: str, resamples: int, rng: np.random.Generator) -> pd.DataFrame:
    """`table` for the frames of each value of `groups` (n,), with that value in a first column called `name`."""
    parts = []
    for value in dict.fromkeys(groups.tolist()):
        part = table(outcome.of(groups == value), resamples, rng)
        part.insert(0, name, value)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def groups(frame: np.ndarray, data: Constellations) -> dict[str, tuple[np.ndarray, str]]:
    """The two ways to group frames (n, 3): name -> (modulation or SNR in dB of each frame (n,), name of that column)."""
    modulation, snr_db = np.array(data.modulations)[frame[:, 0]], np.array(data.snrs_db)[frame[:, 1]]
    return {"modulation": (modulation, "modulation"), "snr": (snr_db, "snr_db")}


def baseline(outcome: Outcome) -> dict[str, float]:
    """Accuracy of each task before anything is taken."""
    return {task: float(values.mean()) for task, values in outcome.baseline.items()}


def headline(rows: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Joint PIS and excess over chance, with intervals, of each view and mask at the smallest and the largest level, for the metrics file.

    From the exact rule where it is in the table. A score is left out where it or an interval of it is undefined: a mask took nothing,
    or from so few frames that some resample has none of them.
    """
    rule = "exact" if (rows["rule"] == "exact").any() else rows["rule"].iloc[0]
    levels = (rows["level_percent"].min(), rows["level_percent"].max())
    chosen = rows[(rows["rule"] == rule) & (rows["task"] == "joint") & rows["level_percent"].isin(levels)]
    columns = {"pis": "joint_pis", "pis_ci_low": "ci_low", "pis_ci_high": "ci_high"}
    columns |= {name: name for name in ("excess", "excess_ci_low", "excess_ci_high")}
    return {
        f"{row['view']}_{row['mask']}_{row['level_percent']:g}": {new: float(row[old]) for old, new in columns.items()}
        for row in chosen.dropna(subset=list(columns)).to_dict("records")
    }


def write_outcome(path: Path, outcome: Outcome, frame: np.ndarray) -> None:
    """Writes every answer: `frame` (n, 3), `masks` (names), `<task>_baseline` bool (n,), `<task>_<kind>` bool (masks, n) and
    `fraction_<kind>` float32 (masks, 3, n)."""
    arrays = {"frame": frame, "masks": np.array([mask.key for mask in outcome.masks])}
    arrays |= {f"{task}_baseline": values for task, values in outcome.baseline.items()}
    arrays |= {f"{task}_{kind}": outcome.correct[kind][task] for kind in KINDS for task in TASKS}
    arrays |= {f"fraction_{kind}": outcome.fraction[kind].astype(np.float32) for kind in KINDS}
    write_npz(path, arrays)


def _drop(outcome: Outcome, kind: str, task: str) -> np.ndarray:
    """Per-frame change of the answer, before minus after, -1, 0 or 1: (masks, n)."""
    return outcome.baseline[task].astype(float) - outcome.correct[kind][task]


def _bootstrap_means(columns: list[np.ndarray], resamples: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Means over frames of each (k, n) array under the same resamples of frames: (resamples, k) each."""
    stacked = np.concatenate(columns)  # (all k, n)
    n = stacked.shape[1]
    means = np.empty((resamples, len(stacked)))
    step = max(1, BOOTSTRAP_CHUNK // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        drawn = rng.integers(n, size=(rows, n)) + n * np.arange(rows)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)
        means[start : start + rows] = weights @ stacked.T / n
    return np.split(means, np.cumsum([len(column) for column in columns])[:-1], axis=1)


def _ratio(drop: np.ndarray, fraction: np.ndarray) -> np.ndarray:
    return np.divide(drop, fraction, out=np.full_like(drop, np.nan), where=fraction > 0)


def _interval(name: str, values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return {f"{name}_ci_low": low, f"{name}_ci_high": high}
