"""Where a killed stage left off: checkpoints of exactly one set of params, inputs and code.

They live in `$DVC_ROOT/.ckpt/<stage>/<fingerprint>/`, or, in place of `.ckpt`, in the folder that
PISCES_CHECKPOINTS names, which several machines may share. That is outside what DVC tracks: a
checkpoint among the outputs would be carried into runs with other params. They are removed when the
stage has written its outputs.
"""

import hashlib
import json
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from pisces.core import yaml
from pisces.core.files import sha256, staged
from pisces.core.locks import LockFile

PIPELINE, PARAMS = Path("dvc.yaml"), Path("params.yaml")


def fingerprint(stage: str) -> str:
    """Hex digest of what dvc.yaml lists for a stage: its params and its dependencies."""
    entry, params = yaml.read(PIPELINE)["stages"][stage], yaml.read(PARAMS)
    digest = hashlib.sha256()
    for key in entry["params"]:
        section, _, name = key.partition(".")
        value = params[section][name] if name else params[section]
        digest.update(json.dumps([key, value], sort_keys=True).encode())

    for dep in entry["deps"]:
        path = Path(_interpolated(dep, params))
        if dep.startswith("${") and not path.exists():
            raise FileNotFoundError(
                f"{dep.strip('${}')} = {path} is not there; give the path of what is, or none"
            )
        files = _files(path)
        digest.update(json.dumps([str(file) for file in files]).encode())
        digest.update(sha256(*files).encode())

    return digest.hexdigest()[:16]


def _interpolated(dep: str, params: Mapping[str, Any]) -> str:
    """A dependency with the values of the params that it names, as in `${train.pretrained}`."""

    def value(match: re.Match[str]) -> str:
        section, _, name = match[1].partition(".")
        return str(params[section][name])

    return re.sub(r"\$\{([\w.]+)\}", value, dep)


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

    It is removed when the body ends well, and kept when it does not. An experiment with the same
    params can run in another copy of the repository: the later one then waits here.
    """
    own = Path(os.environ.get("DVC_ROOT", ".")) / ".ckpt"
    place = Path(os.environ.get("PISCES_CHECKPOINTS") or own)
    path = place / stage / fingerprint(stage)
    path.parent.mkdir(parents=True, exist_ok=True)

    def say() -> None:
        print(
            f"another {stage} with the same params and inputs is running; waiting for it to end",
            flush=True,
        )

    with LockFile(path.with_suffix(".lock")).wait(say):
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
    with staged(path, _bytes_of_tensors(state)) as temporary:
        torch.save(state, temporary)


def _bytes_of_tensors(state: Any) -> int:
    """What the tensors in a state take, which is nearly all of its file."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        state = list(state.values())
    if isinstance(state, list | tuple):
        return sum(_bytes_of_tensors(part) for part in state)
    return 0


def load(path: Path) -> dict[str, Any] | None:
    """The state that `save` wrote, or None when there is none.

    Raises:
        ValueError: when the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        # torch writes checksums, but does not read them.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        if damaged:
            raise ValueError(f"the checksum of {damaged} differs")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise ValueError(f"it is damaged: {_first_line(error)}") from error
    return state


def put_aside(path: Path, error: Exception) -> None:
    """Renames a checkpoint that cannot be used, and says so: training starts from the beginning."""
    kept = path.parent.with_name(f"{path.parent.name}.{path.stem}.damaged")
    with suppress(FileNotFoundError):
        os.replace(path, kept)
    print(
        f"warning: the checkpoint {path} cannot be used ({_first_line(error)}); it is kept as "
        f"{kept}, and training starts from the beginning",
        flush=True,
    )


def _first_line(error: Exception) -> str:
    """What went wrong, on one line."""
    text = str(error).partition("\n")[0]
    return text or type(error).__name__
