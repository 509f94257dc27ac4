"""Outputs that appear whole or not at all, and JSON that stays JSON."""

import errno
import hashlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pisces.core import work
from pisces.core.write_errors import Failure

if TYPE_CHECKING:
    import pandas


class _Together:
    """Outputs that appear together, and the folders in which they wait for that."""

    def __init__(self) -> None:
        self.outputs: list[work.Output] = []
        self.folders = ExitStack()


_together: ContextVar[_Together | None] = ContextVar("_together", default=None)
"""What `together` was entered for, if it was."""


@contextmanager
def together() -> Iterator[None]:
    """Within it nothing that is `staged` appears; at its end all of it does, or nothing.

    Nothing appears when the body raises. When one output cannot get its name, those that have got
    theirs are taken back. Only a process that is killed between two renamings leaves a part.
    """
    if _together.get() is not None:
        yield  # the outer one names all of them
        return

    batch = _Together()
    token = _together.set(batch)
    try:
        with batch.folders:
            yield
            work.name(batch.outputs)
    finally:
        _together.reset(token)


@contextmanager
def staged(target: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary path, renamed to `target` on success, when all of it has reached the disk.

    The caller makes a file or a directory of it. Whatever goes wrong, `target` is left as it was,
    and the temporary is removed; of a process that is killed, the next one removes it.

    Args:
        target: what shall appear: at once, or within `together` with all others.
        size: in bytes, where it is known before; it is refused when the disk has less.

    Yields:
        The temporary path, on the same disk; see `pisces.core.work`.

    Raises:
        OSError: with a message that names `target`: what was needed and what was free when the
            disk is full, and what to do when nothing can be written there, or it is a device.
    """
    needed, free = size, 0
    place = target.parent
    _require_no_device(target)
    try:
        place.mkdir(parents=True, exist_ok=True)
        place = work.place_of(target)
        with ExitStack() as until_named:
            folder = until_named.enter_context(work.folder(place, target.name))
            free = shutil.disk_usage(folder).free
            if size is not None and size > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            output = work.Output(folder, target)
            try:
                yield output.new
                _flush(output.new)
                if target.is_dir() and output.new.is_file():
                    raise IsADirectoryError(
                        f"{target} is a folder, where a file is to be written: name another, or "
                        "remove it"
                    )
            except Exception:
                needed = size or _size(output.new)
                raise

            batch = _together.get()
            if batch is None:
                work.name([output])
            else:
                batch.outputs.append(output)
                batch.folders.push(until_named.pop_all())
    except Exception as error:  # h5py, torch and safetensors have errors of their own for this
        failure = Failure(target, place, needed or 0, is_known=bool(size), free=free)
        in_words = failure.in_words(error)
        if in_words is None:
            raise
        raise in_words from error


def _require_no_device(target: Path) -> None:
    """Raises OSError where something lies that no file may take the place of, as in /dev."""
    if target.exists() and not (target.is_file() or target.is_dir()):
        raise OSError(f"{target} is a device or a pipe, and no file: name a file to be written")


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 when there is neither."""
    files = [path, *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def _flush(path: Path) -> None:
    """Returns when a file, or all that is in a folder, would outlive a power cut."""
    for part in (path, *path.rglob("*")):
        if part.is_dir():
            work.flush_folder(part)
            continue
        with part.open("rb") as file:
            os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file of bytes."""
    with staged(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: dict[str, Any] | list[dict[str, Any]]) -> None:
    """Writes sorted, indented JSON; NaN and infinity, which are not JSON, raise ValueError."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ValueError: naming the file, when it is not JSON, or a key stands twice in one object.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise ValueError(f"{path} is not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    return content


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError names a key that stands in it twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice)} stands twice")
    return content


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes named arrays, none of them of objects, so that reading them back needs no pickle."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    write_bytes(path, file.getvalue())


def write_csv(path: Path, rows: "pandas.DataFrame") -> None:
    """Writes a table without its index, floats to six significant digits."""
    text = rows.to_csv(index=False, float_format="%.6g")
    write_bytes(path, text.encode())


def write_tables(folder: Path, tables: "Mapping[str, pandas.DataFrame]") -> list[Path]:
    """Writes each table to `<folder>/<name>.csv`; returns the paths."""
    paths = []
    for name, rows in tables.items():
        paths.append(folder / f"{name}.csv")
        write_csv(paths[-1], rows)
    return paths


def sha256(*paths: Path) -> str:
    """Hex digest over the contents of files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
