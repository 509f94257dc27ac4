"""Kinds of experiment: those whose params differ in the training's seed alone are one kind."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pisces.experiments import measures
from pisces.experiments.predictions_of import Experiment

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
READ_WITH: Mapping[str, tuple[str, tuple[Any, ...]]] = {
    "train.warmup_steps": ("train.schedule", ("cosine",)),
    "train.cycle_epochs": ("train.schedule", ("cyclic",)),
    "train.plateau_factor": ("train.schedule", ("plateau",)),
    "train.plateau_patience": ("train.schedule", ("plateau",)),
    "train.task_weights": ("train.weighting", ("fixed",)),
    "train.temperature": ("train.weighting", ("softmax", "dwa")),
}
"""Param -> that other one, and its values, without which it changes nothing."""


@dataclass(frozen=True)
class Kind:
    """The same experiment with one training seed or more."""

    letter: str
    label: str
    """The params in which it differs from the other kinds, such as `train.weighting=kendall`."""
    runs: tuple[Experiment, ...]
    """One a seed, seeds increasing."""

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def frames(self) -> int:
        """Test frames, which all of its runs share."""
        return len(self.runs[0].predictions["frame"])

    def table(self, measure: str) -> np.ndarray:
        """What each frame says of a measure, (seeds, frames)."""
        return np.stack([measures.per_frame(run.predictions, measure) for run in self.runs])


def group(experiments: Sequence[Experiment], first: str) -> tuple[list[Kind], list[str]]:
    """Kinds, and what is to be said of experiments that count in none.

    Args:
        experiments: with predictions.
        first: name of the experiment whose kind is the first, A.

    Returns:
        Kinds in the order of the experiments, and remarks in words.
    """
    by_key: dict[str, dict[int, Experiment]] = {}
    remarks: list[str] = []
    for one in experiments:
        runs = by_key.setdefault(_key(one), {})
        before = runs.setdefault(one.seed, one)
        if before is not one:
            remarks.append(_repeated(one, before))

    first_key = next(_key(one) for one in experiments if one.name == first)
    keys = sorted(by_key, key=lambda key: key != first_key)  # stable
    groups = [tuple(run for _, run in sorted(by_key[key].items())) for key in keys]
    labels = _labels(groups)
    kinds = [
        Kind(_letter(number), label, runs)
        for number, (label, runs) in enumerate(zip(labels, groups, strict=True))
    ]
    return kinds, remarks


def comparable(one: Kind, other: Kind) -> str:
    """Why two kinds cannot be compared frame by frame; empty where they can."""
    here, there = one.runs[0], other.runs[0]
    if here.data_md5 != there.data_md5:
        return "they are of other data (another MD5 of data/split_hdf5)"
    if here.frames_sha256 != there.frames_sha256:
        return "they have other test frames of the same data"
    return ""


def _key(one: Experiment) -> str:
    """Equal for experiments that differ in the training's seed alone."""
    return json.dumps([one.recipe, one.data_md5, one.frames_sha256, one.code], sort_keys=True)


def _repeated(one: Experiment, before: Experiment) -> str:
    same = all(
        np.array_equal(one.predictions[name], before.predictions[name])
        for name in measures.PER_FRAME
    )
    if same:
        return f"{one.name} is the same run as {before.name} and counts once"
    return (
        f"{one.name} repeats {before.name} (equal params, seed {one.seed}) with other predictions, "
        "as another device or number of threads gives; only the latter counts"
    )


def _labels(groups: Sequence[tuple[Experiment, ...]]) -> list[str]:
    """Of each kind, the values of the params in which kinds differ.

    A param that changes nothing in a kind, and the digits of a number beyond the fourth, are there
    only where nothing else tells it from another.
    """
    recipes = [runs[0].recipe for runs in groups]
    keys = [key for key in _every_key(recipes) if _differs(key, recipes)]
    codes = [runs[0].code for runs in groups]
    whole, short = [], []
    for recipe, code in zip(recipes, codes, strict=True):
        named = [key for key in keys if key in recipe]
        read = [key for key in named if _is_read(key, recipe)]
        suffix = [f"code {code[:7]}"] if len(set(codes)) > 1 else []
        whole.append(" ".join([*(f"{key}={_written(recipe[key])}" for key in named), *suffix]))
        short.append(" ".join([*(f"{key}={_rounded(recipe[key])}" for key in read), *suffix]))

    counts = Counter(short)
    return [brief if counts[brief] == 1 else full for brief, full in zip(short, whole, strict=True)]


def _is_read(key: str, recipe: Mapping[str, Any]) -> bool:
    """Whether a param changes anything beside the others of a recipe."""
    if key not in READ_WITH:
        return True
    other, values = READ_WITH[key]
    return other not in recipe or recipe[other] in values


def _every_key(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for recipe in recipes for key in recipe))


def _differs(key: str, recipes: Sequence[Mapping[str, Any]]) -> bool:
    absent = object()
    return len({repr(recipe.get(key, absent)) for recipe in recipes}) > 1


def _written(value: Any) -> str:
    """A value as `-S` takes it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":")).replace('"', "")


def _rounded(value: Any) -> str:
    """The same to four digits."""
    return f"{value:.4g}" if isinstance(value, float) else _written(value)


def _letter(number: int) -> str:
    """A to Z, then A2 to Z2 and so on."""
    turn, place = divmod(number, len(LETTERS))
    return LETTERS[place] + (str(turn + 1) if turn else "")
