"""What dvc.yaml says of the stages: which come before which, what they read, what they measure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pisces.config.presets import leaves
from pisces.core import yaml
from pisces.core.tasks import HEADS, TASKS

DVC = Path("dvc.yaml")
TRAIN = "train"
"""The stage that reports each epoch."""
GENERATED = {"${data.path}": "data/raw/synthetic.${synthesize.format}"}
"""The data file as one stage reads it -> as another generates it, by default."""

PARTS = ("train", "validation")
TRAINING_COLUMNS = (
    *(f"{part}_loss" for part in PARTS),
    *(f"{part}_{head}_loss" for part in PARTS for head in HEADS),
    *(f"{part}_{task}_accuracy" for part in PARTS for task in TASKS),
)
"""Columns of plots/training.csv that every training has, and that say how good it is."""


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml."""

    params: tuple[str, ...]  # full keys, or whole sections
    inputs: tuple[str, ...]  # paths
    outputs: tuple[str, ...]  # paths
    metrics: tuple[Path, ...]  # files of numbers


def read() -> dict[str, Stage]:
    """The stages by name, in the order of dvc.yaml.

    Raises:
        FileNotFoundError: outside of a repository.
    """
    stages = yaml.read(DVC)["stages"]
    return {name: _stage(content) for name, content in stages.items()}


def _stage(content: Mapping[str, Any]) -> Stage:
    def paths(kind: str) -> tuple[str, ...]:
        # A path with settings of its own is a mapping of one key.
        listed = content.get(kind, ())
        return tuple(next(iter(one)) if isinstance(one, Mapping) else one for one in listed)

    metrics = paths("metrics")
    return Stage(
        params=tuple(content.get("params", ())),
        inputs=tuple(GENERATED.get(path, path) for path in paths("deps")),
        outputs=(*paths("outs"), *paths("plots"), *metrics),
        metrics=tuple(Path(path) for path in metrics),
    )


def up_to(stages: Mapping[str, Stage], last: str) -> list[str]:
    """A stage and all that must run before it, in the order of dvc.yaml."""
    needed = {last}
    while True:
        inputs = {path for name in needed for path in stages[name].inputs}
        makers = {name for name, stage in stages.items() if inputs & set(stage.outputs)}
        if makers <= needed:
            return [name for name in stages if name in needed]
        needed |= makers


def reads(stage: Stage, key: str) -> bool:
    """Whether a stage reads a param, or a section that it lies in."""
    return any(key == one or key.startswith(f"{one}.") for one in stage.params)


def metrics_of(stage: Stage) -> list[str]:
    """What a stage measures, by the numbers of its last run: `<file>.<key>`."""
    found = []
    for path in stage.metrics:
        content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for key, value in leaves(content):
            if isinstance(value, int | float):
                found.append(f"{path.stem}.{key}")
    return found
