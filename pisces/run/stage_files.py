"""What each stage reads of params.yaml and writes for people, as dvc.yaml lists it.

Names in MLflow begin with these stages, whichever file a number lies in and whoever logs it.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pisces.core import yaml

PIPELINE = Path("dvc.yaml")
SHOWN = (".csv", ".json", ".png")
"""Endings of files that MLflow's interface can show."""


class StageFiles(NamedTuple):
    """Of one stage; paths are relative to the repository."""

    params: tuple[str, ...]
    """Sections and single keys of params.yaml that it reads."""
    metrics: tuple[Path, ...]
    shown: tuple[Path, ...]
    """Tables, pictures and descriptions."""

    def all(self) -> tuple[Path, ...]:
        """Metrics and what is shown."""
        return self.metrics + self.shown

    def only(self, paths: Collection[Path]) -> "StageFiles":
        """The same without the files that are not among the paths."""
        metrics = tuple(path for path in self.metrics if path in paths)
        shown = tuple(path for path in self.shown if path in paths)
        return StageFiles(self.params, metrics, shown)

    def reads(self, key: str) -> bool:
        """Whether the full name of a param is among those that the stage reads."""
        return any(key == listed or key.startswith(f"{listed}.") for listed in self.params)


def of_pipeline(root: Path) -> dict[str, StageFiles]:
    """Stage -> its files, in the order of dvc.yaml; empty where there is none.

    Raises:
        ValueError: when dvc.yaml is not valid YAML.
    """
    path = root / PIPELINE
    if not path.is_file():
        return {}
    stages = yaml.read(path).get("stages", {})
    return {name: _of_stage(content) for name, content in stages.items()}


def _of_stage(stage: Mapping[str, Any]) -> StageFiles:
    metrics = _paths(stage.get("metrics", ()))
    outputs = _paths([*stage.get("plots", ()), *stage.get("outs", ())])
    shown = tuple(path for path in outputs if path.suffix in SHOWN)
    return StageFiles(tuple(stage.get("params", ())), metrics, shown)


def _paths(entries: Iterable[Any]) -> tuple[Path, ...]:
    """Of entries that are a path, or a mapping from one to its options."""
    names = [next(iter(one)) if isinstance(one, Mapping) else one for one in entries]
    return tuple(Path(name) for name in names)
