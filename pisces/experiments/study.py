"""A study: the file `sweeps/<name>.yaml`, read and checked, and what Optuna needs of it.

Optuna is imported where it is used, so that commands that need none start sooner.
"""

import json
import random
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.config import nearest, presets
from pisces.config.io import parse
from pisces.core import seeding, yaml
from pisces.experiments import space, study_checks
from pisces.experiments.study_schema import (
    Study,
    min_epochs,
    most_epochs,
)

if TYPE_CHECKING:
    import optuna

SWEEPS = Path("sweeps")
LIMITS = ("trials", "hours", "retries")
"""Keys that say how long a study goes on, not what it is: who joins it may have others."""


def names() -> list[str]:
    """The shipped studies."""
    return sorted(path.stem for path in SWEEPS.glob("*.yaml"))


def read(path: Path) -> Study:
    """A study, checked with all that it can draw.

    Args:
        path: of its file, such as sweeps/smoke.yaml; from the root of a repository, whose presets,
            stages and metrics it is checked against.

    Raises:
        ValueError: naming the file and each wrong key, with what is allowed.
        FileNotFoundError: when there is no such file, naming those that there are.
    """
    if not path.is_file():
        by_name = {name: f"{SWEEPS}/{name}.yaml" for name in names()}
        close = nearest.likely(path.stem, dict.fromkeys(by_name, ""))
        meant = nearest.question([by_name[name] for name in close])
        there_are = ", ".join(by_name.values()) or "none here"
        raise FileNotFoundError(f"there is no study {path}{meant}; there are {there_are}")
    content = yaml.read(path)
    study_checks.require_form(content, str(path))
    study = parse(Study, content, str(path))
    study_checks.check(study, str(path))
    return study


def canonical(study: Study) -> str:
    """JSON that is equal for equal studies, whatever the `LIMITS` of each."""
    content = study.model_dump(mode="json", by_alias=True, exclude=set(LIMITS))
    return json.dumps(content, sort_keys=True)


def differences(one: str, other: str) -> list[str]:
    """The keys in which two studies differ, of which `canonical` was taken."""
    first, second = (dict(presets.leaves(json.loads(text))) for text in (one, other))
    absent = object()
    return [key for key in first | second if first.get(key, absent) != second.get(key, absent)]


def settings(study: Study, trial: "optuna.Trial") -> dict[str, Any]:
    """Full key -> value of what a trial changes: what is fixed, and what it draws of the space."""
    return study.fixed | space.draw(study.space, trial)


def sampler(study: Study, number: int) -> "optuna.samplers.BaseSampler":
    """What draws one trial: equal numbers of equal studies draw the same after equal trials.

    Args:
        study: gives kind and seed.
        number: of the trial.

    Returns:
        A fresh sampler.
    """
    from optuna.samplers import PartialFixedSampler, RandomSampler, TPESampler

    seed = seeding.bits(study.sampler.seed, "sweep", number) % 2**32
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # groups are experimental, and have been for years
        if study.sampler.kind == "grid":
            return PartialFixedSampler(grid_point(study, number), RandomSampler(seed))
        if study.sampler.kind == "random":
            return RandomSampler(seed)
        return TPESampler(
            n_startup_trials=study.sampler.startup_trials,
            multivariate=True,
            group=True,
            constant_liar=True,
            seed=seed,
        )


def grid_point(study: Study, number: int) -> dict[str, Any]:
    """The point of the grid that a trial is, as a storage holds it: full key -> value."""
    points = list(space.grid(study.space))
    random.Random(study.sampler.seed).shuffle(points)
    point = points[number % len(points)]
    return {key: space.stored(value) for key, value in point.items()}


def pruner(study: Study) -> "optuna.pruners.BasePruner":
    """What decides after each epoch, counted from 1, whether a trial goes on."""
    from optuna.pruners import HyperbandPruner, MedianPruner, NopPruner

    if study.pruner.kind == "none":
        return NopPruner()
    if study.pruner.kind == "median":
        return MedianPruner(study.pruner.startup_trials, n_warmup_steps=min_epochs(study))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return HyperbandPruner(
            min_resource=min_epochs(study),
            max_resource=most_epochs(study),
            reduction_factor=study.pruner.reduction,
        )
