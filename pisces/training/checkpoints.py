"""Where a killed stage left off: checkpoints that belong to exactly one set of params, inputs and code.

They live in `$DVC_ROOT/.ckpt/<stage>/<fingerprint>/`, outside what DVC tracks: a checkpoint among the outputs would be
carried into runs with other params. They are removed when the stage has written its outputs.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from lightning_fabric import Fabric

from pisces.core import yaml
from pisces.core.files import sha256, staged

PIPELINE, PARAMS = Path("dvc.yaml"), Path("params.yaml")


def fingerprint(stage: str) -> str:
    """Hex digest of all that dvc.yaml lists for a stage: values of its params, contents of its dependencies."""
    entry = yaml.read(PIPELINE)["stages"][stage]
    params = yaml.read(PARAMS)
    digest = hashlib.sha256()
    for key in entry["params"]:
        section, _, name = key.partition(".")
        digest.update(
            json.dumps(
                [key, params[section][name] if name else params[section]], sort_keys=True
            ).encode()
        )
    for dep in map(Path, entry["deps"]):
        files = (
            sorted(path for path in dep.rglob("*") if path.is_file() and path.suffix != ".pyc")
            if dep.is_dir()
            else [dep]
        )
        digest.update(json.dumps([str(file) for file in files]).encode())
        digest.update(sha256(*files).encode())
    return digest.hexdigest()[:16]


@contextmanager
def folder(stage: str) -> Iterator[Path]:
    """The checkpoint folder of a stage as it is now, locked; removed when the body ends well, kept when it does not.

    A killed `dvc` can leave its stage running: the next one then waits here until that one has ended.
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
    with folder(stage) if fabric.is_global_zero else nullcontext() as path:
        yield fabric.broadcast(path)


def save(path: Path, state: dict[str, Any]) -> None:
    with staged(path) as temporary:
        torch.save(state, temporary)


def load(path: Path) -> dict[str, Any] | None:
    """The state that `save` wrote, or None when there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None
