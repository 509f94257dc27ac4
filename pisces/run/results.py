"""What DVC keeps of an execution of the pipeline, in the workspace or in a commit, as files."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from pisces.config.io import PARAMS, parse_params
from pisces.config.presets import leaves
from pisces.core import yaml
from pisces.core.texts import in_one_line
from pisces.run import stage_files
from pisces.run.provenance import LOCK, WEIGHTS, Lock
from pisces.run.stage_files import PIPELINE, StageFiles


class Results(NamedTuple):
    """The files of an execution, in a folder."""

    root: Path
    values: dict[str, Any]
    """All params, section -> key -> value."""
    lock: Lock
    stages: dict[str, StageFiles]
    """Those that ran with these params and on what the others made, with the files that are there
    as they wrote them."""
    missing: tuple[str, ...]
    """Files that these stages wrote and that are not there, or others in their place."""


def in_folder(root: Path) -> Results:
    """The results that lie in a folder with params.yaml, dvc.yaml and dvc.lock.

    A stage that ran with other params, or on other outputs, is left out: after an experiment that
    ended with `evaluate`, the scores of the commit before it still lie there.
    """
    content = yaml.read(root / PARAMS)
    lock = Lock(root)
    pipeline = stage_files.of_pipeline(root)
    current = _current(lock, content)

    stages, missing = {}, []
    for name in (stage for stage in pipeline if stage in current):
        files = pipeline[name]
        there = {path for path in files.all() if lock.intact(name, str(path))}
        stages[name] = files.only(there)
        written = [path for path in files.all() if lock.wrote(name, str(path))]
        missing += [str(path) for path in written if path not in there]
    return Results(root, _checked(content), lock, stages, tuple(missing))


@contextmanager
def of_commit(commit: str) -> Iterator[Results]:
    """The results of a commit or experiment, which git and DVC's cache hold.

    Args:
        commit: its full name.

    Raises:
        ValueError: when there are no params, or DVC cannot read the commit.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        _fetch_all(commit, root)
        yield in_folder(root)


def _fetch_all(commit: str, root: Path) -> None:
    """Copies what stages read and wrote in a commit into a folder."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        kept = DVCFileSystem(rev=commit)
        for path in (PARAMS, PIPELINE, Path(LOCK)):
            _fetch(kept, path, root)

        files = stage_files.of_pipeline(root).values()
        for path in {Path(WEIGHTS), *(path for one in files for path in one.all())}:
            _fetch(kept, path, root)
    except DvcException as error:
        raise ValueError(f"DVC cannot read commit {commit[:7]}: {in_one_line(error)}") from None
    if not (root / PARAMS).is_file():
        raise ValueError(f"commit {commit[:7]} has no {PARAMS}, so it holds no results")


def _fetch(kept: Any, path: Path, root: Path) -> None:
    """Copies a file of a commit, if git or DVC's cache holds it."""
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        kept.get_file(str(path), str(target))
    except OSError:  # not there, or not in the cache
        target.unlink(missing_ok=True)


def _checked(content: Mapping[str, Any]) -> dict[str, Any]:
    """The params as a stage sees them, or, where older code had other keys, as they stand."""
    try:
        values: dict[str, Any] = parse_params(content, str(PARAMS)).model_dump(mode="json")
    except ValueError:
        values = json.loads(json.dumps(content))
    return values


def _current(lock: Lock, content: Mapping[str, Any]) -> set[str]:
    """The stages that ran with these params, on the outputs that the lock has of other stages."""
    params = dict(leaves(content))
    makers = {out["path"]: name for name, stage in lock.stages.items() for out in stage["outs"]}

    @cache
    def is_current(name: str) -> bool:
        same_params = all(params.get(key) == value for key, value in lock.params(name).items())
        read = [one["path"] for one in lock.stages[name].get("deps", ()) if one["path"] in makers]
        return same_params and all(
            lock.read(name, path) == lock.wrote(makers[path], path) and is_current(makers[path])
            for path in read
        )

    return {name for name in lock.stages if is_current(name)}
