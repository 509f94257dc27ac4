"""What a study is: the sections of `sweeps/<name>.yaml`, and the params that its trials change."""

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from pisces.config import presets
from pisces.config.fields import Epochs, FromZero, Positive, Section, Seed, Text, Unit, at_most
from pisces.core import yaml
from pisces.experiments import space
from pisces.experiments.space import Dimension

TRAINING = "training"
"""What a metric that is a column of plots/training.csv begins with."""


class Sampler(Section):
    """What chooses the values of a trial."""

    kind: Literal["tpe", "random", "grid"] = "tpe"
    """tpe: Bayesian, after Bergstra et al. (NIPS 2011), where trials before were good. random:
    independent of others. grid: every point once, in random order."""
    seed: Seed = 1
    """With the number of a trial the root of its choices."""
    startup_trials: FromZero = 10
    """Trials drawn at random before `tpe` learns from them."""


class Pruner(Section):
    """What ends a trial before its last epoch."""

    kind: Literal["none", "median", "hyperband"] = "median"
    """median: what is worse than the median of others at the same epoch. hyperband: most of each
    rung, after Li et al. (JMLR 2018). none: every trial goes to its end."""
    min_epochs: Epochs | None = None
    """Epochs that every trial gets; null: a quarter of those that a trial may have, 1 at least."""
    reduction: Annotated[int, Field(ge=2), at_most(100, "which leaves no rung")] = 3
    """Of `hyperband`: a rung has so many times the epochs of the one before, and one of so many
    trials goes on to it."""
    startup_trials: FromZero = 5
    """Of `median`: trials that must have ended before it prunes any."""


class Study(Section):
    """What a sweep searches for, in which space, and by which means: these keys, the sections
    `sampler` and `pruner`, which may be left out, and `space`, of full keys of params.yaml."""

    preset: Text
    """What `fixed` and `space` change; a file of presets/, without .yaml."""
    metric: Text
    """What is sought: `<file>.<key>` of metrics/<file>.json, such as evaluate.joint.accuracy; or
    `training.<column>` for the last value of a column of plots/training.csv. Who tunes takes one of
    validation, so that the test frames stay unseen."""
    direction: Literal["maximize", "minimize"]
    """Which metric is better."""
    epoch_metric: Text = "validation_joint_accuracy"
    """Column of plots/training.csv by which the pruner compares trials, epoch by epoch."""
    until: Text = "evaluate"
    """The last stage that a trial runs."""
    trials: Annotated[int, Field(gt=0), at_most(100_000, "which no storage of trials holds")]
    """How many there will be, those that fail or are pruned among them."""
    hours: Annotated[Positive | None, Unit("hours")] = None
    """After which a worker begins no further trial; null: no limit."""
    threads: Annotated[int | None, Field(ge=1, le=1024)] = None
    """Of a trial, on which its bytes depend; null: as many as its machine gives it."""
    retries: Annotated[int, Field(ge=0), at_most(1000, "which no machine deserves")] = 10
    """How often a trial is tried again whose worker or machine died."""
    sampler: Sampler = Sampler()
    pruner: Pruner = Pruner()
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Full keys of params.yaml and the values that they have in every trial."""
    space: dict[str, Dimension]
    """Full keys of params.yaml and the values that a trial may draw."""


def base_of(study: Study, data: str | None = None) -> dict[str, Any]:
    """The content of params.yaml that the trials of a study change, unchecked.

    Args:
        study: gives the preset, which changes the shipped defaults.
        data: path of the user's data file; None for that of the preset.

    Returns:
        Section -> key -> value.
    """
    content = yaml.read(presets.PRESETS / f"{presets.DEFAULT}.yaml")
    content = presets.merged(content, presets.overlay(study.preset))
    return content if data is None else presets.merged(content, {"data": {"path": data}})


def changed(content: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a params file with other values of some full keys, replaced as a whole."""
    result = dict(content)
    for key, value in settings.items():
        name, _, inner = key.partition(".")
        section = result.get(name)
        if inner:
            # A section that is null becomes one with this key.
            value = changed(section if isinstance(section, Mapping) else {}, {inner: value})
        result[name] = value
    return result


def most_epochs(study: Study) -> int:
    """The most epochs that a trial may have."""
    key = "train.epochs"
    found = [changed(base_of(study), study.fixed)["train"]["epochs"]]
    if key in study.space:
        is_always = study.space[key].when is None
        found = [*study.space[key].tried(), *([] if is_always else found)]
    return int(max(found))


def min_epochs(study: Study) -> int:
    """Epochs that every trial gets, whatever the pruner says."""
    given = study.pruner.min_epochs
    return max(1, most_epochs(study) // 4) if given is None else given


def grid_size(study: Study, limit: int) -> int:
    """Points of the grid, counted up to a limit."""
    return sum(1 for _ in itertools.islice(space.grid(study.space), limit))
