"""What an experiment, a revision or the workspace predicts, found again through DVC's cache.

`dvc.lock` of a revision says which bytes its stages read and wrote. Git holds its params, metrics
and tables, and DVC's cache its predictions and its model.
"""

import hashlib
import json
import logging
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from yaml import YAMLError

from pisces.config.io import PARAMS
from pisces.config.presets import leaves
from pisces.core import predictions as checks
from pisces.core import way_back, yaml
from pisces.core.reading import read_npz
from pisces.experiments import measures
from pisces.run.provenance import DATA, LOCK, STAGES, WEIGHTS, Lock
from pisces.run.restore import commit_of

if TYPE_CHECKING:
    from dvc.repo import Repo

WORKSPACE = "workspace"
NO_STAGES = "stages: {}"
"""The lock of a revision in which nothing has run."""
PREDICTIONS, SHARDS, SPLITS = "data/predictions.npz", "data/split_hdf5", "data/splits.npz"
SEED = "train.seed"
SEED_BEFORE = "base.seed"
"""Of trainings before they had a seed of their own."""


class Missing(NamedTuple):
    """An experiment that cannot be compared, and why, with what to do."""

    name: str
    reason: str


class Files:
    """Files of one revision.

    Args:
        repo: of DVC.
        name: as it was asked for.
    """

    def __init__(self, repo: "Repo", name: str) -> None:
        self.name = name
        self.commit = None if name == WORKSPACE else commit_of(name)
        self.root = Path(repo.root_dir)
        self._cache = repo.cache.local
        self.lock = Lock(self.root, self._lock_text())

    def read(self, path: str) -> bytes | None:
        """A file that git holds, or that lies in the workspace; None where there is none."""
        if self.commit is None:
            file = self.root / path
            return file.read_bytes() if file.is_file() else None
        command = ["git", "-C", str(self.root), "show", f"{self.commit}:./{path}"]
        done = subprocess.run(command, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    def written(self, stage: str, path: str) -> bytes | None:
        """A metrics file or a table, where it is as the stage wrote it."""
        content = self.read(path)
        if content is None or _md5(content) != self.lock.wrote(stage, path):
            return None
        return content

    def cached(self, stage: str, path: str) -> Path | None:
        """The file in DVC's cache that an output is; None where the cache lacks it."""
        md5 = self.lock.wrote(stage, path)
        if md5 is None or not self._cache.exists(md5):
            return None
        return Path(self._cache.oid_to_path(md5))

    def _lock_text(self) -> str:
        content = self.read(LOCK)
        return NO_STAGES if content is None else content.decode()


@dataclass(frozen=True)
class Experiment:
    """An experiment that has predictions."""

    files: Files
    params: Mapping[str, Any]
    """Full name -> value, of all params that its predictions hang on."""
    predictions: Mapping[str, np.ndarray]
    """What `measures` needs of them, in the order of the frame index."""

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def lock(self) -> Lock:
        return self.files.lock

    @property
    def seed(self) -> int:
        """Of the training."""
        return int(self.params.get(SEED, self.params.get(SEED_BEFORE, 0)))

    @property
    def data_md5(self) -> str:
        """Of the IQ shards, as DVC names a folder."""
        return self.lock.read("evaluate", SHARDS) or ""

    @cached_property
    def frames_sha256(self) -> str:
        """Of the test frames: of the classes and the sorted index, so not of the data in them."""
        digest = hashlib.sha256()
        for name in (*checks.CLASSES, "frame"):
            digest.update(json.dumps(self.predictions[name].tolist()).encode())
        return digest.hexdigest()

    @cached_property
    def code(self) -> str:
        """A fingerprint of all that trained and evaluated it, beside data and params."""
        read = [self.lock.dependencies(stage) for stage in ("train", "evaluate")]
        made = ("data/", "models/")
        kept = [
            [one for one in sorted(deps.items()) if not one[0].startswith(made)] for deps in read
        ]
        return hashlib.sha256(json.dumps(kept).encode()).hexdigest()

    @property
    def recipe(self) -> dict[str, Any]:
        """Its params without those that say where data lie, and without the training's seed."""
        return {key: value for key, value in self.params.items() if key not in (DATA, SEED)}

    def metrics(self, stage: str) -> dict[str, Any] | None:
        """The headlines of a stage after evaluate, where they are of this very model."""
        belongs = {
            "limits": ("evaluate", PREDICTIONS),
            "pis": ("train", WEIGHTS),
        }
        maker, path = belongs[stage]
        if self.lock.read(stage, path) != self.lock.wrote(maker, path):
            return None
        content = self.files.written(stage, f"metrics/{stage}.json")
        return None if content is None else json.loads(content)


def find(names: Sequence[str]) -> tuple[list[Experiment], list[Missing]]:
    """Those with predictions, and those without, in the order of the names.

    Args:
        names: experiments of DVC, revisions of git, or `workspace`; a repeated one counts once.

    Raises:
        ValueError: where there is no such experiment, or outside a repository of DVC.
    """
    found: list[Experiment] = []
    missing: list[Missing] = []
    with _repository() as repo:
        for name in dict.fromkeys(names):
            one = _experiment(repo, name)
            if isinstance(one, Missing):
                missing.append(one)
            else:
                found.append(one)
    return found, missing


@contextmanager
def _repository() -> "Iterator[Repo]":
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo
    from dvc.scm import SCMError

    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        repo = Repo()
    except (NotDvcRepoError, SCMError):
        raise ValueError(
            f"{Path.cwd()} is in no repository of git and DVC; run from the root of the repository"
        ) from None
    with repo:
        yield repo


def _experiment(repo: "Repo", name: str) -> Experiment | Missing:
    try:
        files = Files(repo, name)
        params = _params(files.lock)
        reason = _not_evaluated(files, params)
    except (YAMLError, AttributeError, KeyError, TypeError):
        return Missing(name, f"its {LOCK} or {PARAMS} is damaged; {_undamaged(repo, name)}")

    if reason:
        return Missing(files.name, f"{reason}; make them with {_again(files)}{_named(files)}")

    path = files.cached("evaluate", PREDICTIONS)
    if path is None:
        fetch = "dvc pull evaluate" if files.commit is None else _fetch(files)
        reason = f"its {PREDICTIONS} is not in DVC's cache"
        return Missing(files.name, f"{reason}; fetch it with {fetch}, or make it: {_again(files)}")

    try:
        _require_whole(path, files.lock.wrote("evaluate", PREDICTIONS))
        arrays = read_npz(path, "evaluate", (*checks.PER_FRAME, *checks.CLASSES))
        checks.check(arrays)
    except ValueError as error:
        remedy = f"remove {path} and make it again with {_again(files)}"
        reason = f"its {PREDICTIONS} in DVC's cache is damaged ({str(error).partition(';')[0]})"
        return Missing(files.name, f"{reason}; {remedy}")
    return Experiment(files, params, measures.sorted_by_frame(arrays))


def _undamaged(repo: "Repo", name: str) -> str:
    """What to do about a damaged lock or params."""
    if name != WORKSPACE:
        return "name another revision"
    files = [Path(repo.root_dir) / one for one in (LOCK, PARAMS)]
    edited = [path.name for path in files if way_back.is_there(path)]
    if edited:
        return f"see git diff, and bring back the one with git checkout -- {' '.join(edited)}"
    return "correct it, or name a revision"


def _require_whole(path: Path, md5: str | None) -> None:
    """Raises ValueError unless a file of the cache is what its name says."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "md5").hexdigest() != md5:
            raise ValueError("its content is not that of its name")


def _params(lock: Lock) -> dict[str, Any]:
    """All params that predictions hang on; those of generated frames only where they are read."""
    generated = lock.wrote("synthesize", lock.params("split_hdf5").get(DATA, "")) is not None
    params: dict[str, Any] = {}
    for stage in STAGES:
        if generated or stage != "synthesize":
            params |= lock.params(stage)
    return params


def _not_evaluated(files: Files, params: Mapping[str, Any]) -> str:
    """Why there are no predictions of this revision as it is; empty where there are."""
    if files.lock.wrote("evaluate", PREDICTIONS) is None:
        return "it has no predictions, since the stage evaluate has not run in it"
    return _stale(files, params)


def _stale(files: Files, params: Mapping[str, Any]) -> str:
    """Why what evaluate has left is of another model, other frames or params; empty if not."""
    lock = files.lock
    for maker, path in (("train", WEIGHTS), ("stratify", SPLITS), ("split_hdf5", SHARDS)):
        if lock.read("evaluate", path) == lock.wrote(maker, path):
            continue
        if files.commit is not None and maker == "train":
            return "it was trained and not evaluated, and has predictions of another model alone"
        return f"its predictions are stale: evaluate has not run since {maker} made its {path}"

    return _changed_since(files, params)


def is_evaluated(repo: "Repo", name: str) -> bool:
    """Whether the accuracies of a revision are those of its own model, frames and params.

    Of an experiment that ended before `evaluate`, they are those of the commit before.

    Args:
        repo: of DVC.
        name: of an experiment, a revision, or `workspace`.
    """
    files = Files(repo, name)
    return not _stale(files, _params(files.lock))


def _changed_since(files: Files, params: Mapping[str, Any]) -> str:
    """Which of the params that predictions were made with has another value now; or empty."""
    content = files.read(str(PARAMS))
    now = {} if content is None else dict(leaves(yaml.parse(content.decode())))
    for key, value in params.items():
        if key in now and now[key] != value:
            return (
                f"its predictions are stale: they were made with {key} = {value}, and its "
                f"{PARAMS} has {now[key]}"
            )
    return ""


def _fetch(files: Files) -> str:
    return f"dvc exp pull REMOTE {files.name} (of an experiment) or dvc fetch --all-commits"


def _again(files: Files) -> str:
    """How to make predictions of a revision."""
    if files.commit is None:
        return "dvc repro evaluate"
    return f"python -m pisces restore {files.name} and dvc repro evaluate"


def _named(files: Files) -> str:
    """What is to be named once the predictions are there, which the revision itself never gets."""
    if files.commit is None:
        return ""
    return f", and then name {WORKSPACE} instead of {files.name}"


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
