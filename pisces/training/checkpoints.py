"""Where a killed stage left off: checkpoints of exactly one set of params, inputs and code.

They live in `$DVC_ROOT/.ckpt/<stage>/<fingerprint>/`, outside what DVC tracks: a checkpoint among
the outputs would be carried into runs with other params. They are removed when the stage has
written its outputs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from pisces.core import yaml
from pisces.core.files import sha256, staged

PIPELINE, PARAMS = Path("dvc.yaml"), Path("params.yaml")


def fingerprint(stage: str) -> str:
    """Hex digest of what dvc.yaml lists for a stage: its params and its dependencies."""
    entry, params = yaml.read(PIPELINE)["stages"][stage], yaml.read(PARAMS)
    digest = hashlib.sha256()
    for key in entry["params"]:
        section, _, name = key.partition(".")
        value = params[section][name] if name else params[section]
        digest.update(json.dumps([key, value], sort_keys=True).encode())
    for dep in map(Path, entry["deps"]):
        files = _files(dep)
        digest.update(json.dumps([str(file) for file in files]).encode())
        digest.update(sha256(*files).encode())
    return digest.hexdigest()[:16]


def _files(dep: Path) -> list[Path]:
    """What counts of a dependency: the file, or the files of the folder.

    Of a folder of Python modules those alone count: what lies beside them, such as caches or notes
    of an editor, changes no result and must not keep a training from resuming.
    """
    if not dep.is_dir():
        return [dep]
    modules = sorted(dep.rglob("*.py"))
    return modules or sorted(path for path in dep.rglob("*") if path.is_file())


@contextmanager
def folder(stage: str) -> Iterator[Path]:
    """The checkpoint folder of a stage as it is now, locked.

    It is removed when the body ends well, and kept when it does not. A killed `dvc` can leave its
    stage running: the next one then waits here until that one has ended.
    """
    path = Path(os.environ.get("DVC_ROOT", ".")) / ".ckpt" / stage / fingerprint(stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_suffix(".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(
            f"another {stage} with the same params and inputs is running; waiting for it to end",
            flush=True,
        )
        lock.acquire()
    with lock:
        path.mkdir(exist_ok=True)
        yield path
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def shared_folder(stage: str, fabric: Fabric) -> Iterator[Path]:
    """`folder` of the first of several processes, which all of them may read."""
    own: AbstractContextManager[Path | None]
    own = folder(stage) if fabric.is_global_zero else nullcontext()
    with own as path:
        shared = fabric.broadcast(path)
        assert shared is not None, "the first process has the folder"
        yield shared


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes a state of tensors and plain values, whole or not at all."""
    with staged(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> dict[str, Any] | None:
    """The state that `save` wrote, or None when there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
