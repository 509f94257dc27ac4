"""How a model was made, by what DVC and git wrote down: params, fingerprints, revision."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pisces.config import presets
from pisces.core import yaml

LOCK, WEIGHTS = "dvc.lock", "models/model.safetensors"
STAGES = ("synthesize", "split_hdf5", "render", "stratify", "train", "evaluate")
"""Those whose params make a model and its figures."""
CODE = ("pisces", "stages", "dvc.yaml", "requirements.lock")
DATA = "data.path"
"""A param that says where a file lies on this machine, and nothing about it."""


class Preset(NamedTuple):
    """The preset whose values are the nearest, and the params that differ from it."""

    name: str
    changes: dict[str, Any]


class Provenance(NamedTuple):
    """What made a model."""

    params: dict[str, Any]
    """Full name -> value, of all params that the stages read."""
    preset: Preset | None
    data_md5: str
    """Of the source file, or of a folder of recordings."""
    split_md5: str
    """Of `data/splits.npz`, which says which frames were trained on."""
    revision: str | None
    """Of git, when it was asked; None outside a repository of it."""
    edited: tuple[str, ...]
    """Tracked files of code that differ from the revision."""


class Lock:
    """The `dvc.lock` of a repository: which bytes each stage read and wrote.

    Args:
        root: of the repository; one without a lock has no stages.
        text: of the lock of another revision; None for the one in `root`.
    """

    def __init__(self, root: Path, text: str | None = None) -> None:
        self.root = root
        path = root / LOCK
        content: Mapping[str, Any] = {"stages": {}}
        if text is not None:
            content = yaml.parse(text, f"{LOCK} of another revision")
        elif path.is_file():
            content = yaml.read(path)
        self.stages: Mapping[str, Any] = content["stages"]

    def read(self, stage: str, path: str) -> str | None:
        """MD5 of a dependency as the stage read it."""
        return self._md5(stage, "deps", path)

    def wrote(self, stage: str, path: str) -> str | None:
        """MD5 of an output as the stage wrote it."""
        return self._md5(stage, "outs", path)

    def intact(self, stage: str, path: str) -> Path | None:
        """The path of an output, where it is there as the stage wrote it."""
        file = self.root / path
        if not file.is_file() or self.wrote(stage, path) != md5(file):
            return None
        return file

    def dependencies(self, stage: str) -> dict[str, str]:
        """Path -> MD5 of all that the stage read."""
        entries = self.stages.get(stage, {}).get("deps", [])
        return {one["path"]: one.get("md5", "") for one in entries}

    def params(self, stage: str) -> dict[str, Any]:
        """Full name -> value."""
        read = self.stages.get(stage, {}).get("params", {}).get("params.yaml", {})
        return dict(presets.leaves(read))

    def _md5(self, stage: str, kind: str, path: str) -> str | None:
        entries = self.stages.get(stage, {}).get(kind, [])
        return next((one.get("md5") for one in entries if one["path"] == path), None)


def md5(path: Path) -> str:
    """Of a file, as DVC writes it down."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def of_model(lock: Lock, weights: Path) -> Provenance | None:
    """What made the weights; None where the lock is of others."""
    if lock.wrote("train", WEIGHTS) != md5(weights):
        return None

    params: dict[str, Any] = {}
    path = lock.params("split_hdf5").get(DATA, "")
    generated = lock.wrote("synthesize", path) is not None
    for stage in STAGES:
        if generated or stage != "synthesize":
            params |= lock.params(stage)

    revision = _git(lock.root, "rev-parse", "HEAD")
    return Provenance(
        params=params,
        preset=nearest_preset(params),
        data_md5=lock.read("split_hdf5", path) or "",
        split_md5=lock.read("train", "data/splits.npz") or "",
        revision=revision,
        edited=_edited(lock.root) if revision else (),
    )


def nearest_preset(params: Mapping[str, Any]) -> Preset | None:
    """The preset of the working directory that differs least; None where it has no presets."""
    nearest = None
    for name in sorted(presets.names(), key=lambda name: name != presets.DEFAULT):
        values = dict(presets.leaves(presets.on_defaults(presets.overlay(name))))
        changes = {
            key: value
            for key, value in params.items()
            if key != DATA and (key not in values or values[key] != value)
        }
        if nearest is None or len(changes) < len(nearest.changes):
            nearest = Preset(name, changes)
    return nearest


def _edited(root: Path) -> tuple[str, ...]:
    """Files of code that differ from the last commit, new ones included."""
    listed = _git(root, "status", "--porcelain", "--", *CODE) or ""
    return tuple(line[2:].strip() for line in listed.splitlines())


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it has nothing to say, or is not there."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.rstrip() if done.returncode == 0 else None
