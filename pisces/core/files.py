"""Outputs that appear whole or not at all, and JSON that stays JSON."""

import errno
import hashlib
import io
import json
import os
import resource
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pisces.core import work
from pisces.core.texts import readable_size

if TYPE_CHECKING:
    import pandas

REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than allowed here",
}
"""Error of the system -> why a file could not be written."""


@contextmanager
def staged(target: Path, size: int | None = None) -> Iterator[Path]:
    """A temporary path, renamed to `target` on success, when all of it has reached the disk.

    The caller makes a file or a directory of it. Whatever goes wrong, `target` is left as it was,
    and the temporary is removed; of a process that is killed, the next one removes it.

    Args:
        target: what shall appear.
        size: in bytes, where it is known before; it is refused when the disk has less.

    Yields:
        The temporary path, on the same disk; see `pisces.core.work`.

    Raises:
        OSError: with a message that names `target`, what was needed and what was free, when the
            disk is full or cannot be written.
    """
    needed, free = size, 0
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with work.folder(work.place_of(target), target.name) as folder:
            free = shutil.disk_usage(folder).free
            if size is not None and size > free:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            temporary = folder / target.name
            try:
                yield temporary
                _flush(temporary)
            except Exception:
                needed = size or _size(temporary)
                raise

            if target.is_dir() and temporary.exists():
                # Removing it in place could be cut short.
                os.replace(target, folder / f"{target.name}.old")
            os.replace(temporary, target)
        _flush_folder(target.parent)
    except Exception as error:  # h5py, torch and safetensors have errors of their own for this
        reason = _why_not_written(error)
        if reason is None:
            raise
        needs = f"needed: {'' if size else 'more than '}{readable_size(needed or 0)}"
        raise OSError(
            f"could not write {target}: {reason}; make room and run again, "
            f"nothing half-written was left ({needs}, {_room(reason, free)})"
        ) from error


def _why_not_written(error: Exception) -> str | None:
    """Why there was no more room, one of `REASONS`; None for an error that says something else."""
    text = str(error)
    for code, reason in REASONS.items():
        # HDF5 reports a failed write without an errno, only in its text.
        is_named = os.strerror(code) in text or f"errno = {code}," in text
        if is_named or getattr(error, "errno", None) == code:
            return reason

    # torch has written less than it wanted to, and does not say why.
    if "inline_container" in text:
        limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
        return REASONS[errno.ENOSPC if limit == resource.RLIM_INFINITY else errno.EFBIG]
    return None


def _room(reason: str, free: int) -> str:
    """What there was room for: bytes that were free on the disk, or the limit of a file."""
    if reason != REASONS[errno.EFBIG]:
        return f"free: {readable_size(free)}"
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    return f"ulimit -f: {readable_size(limit)}"


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; 0 when there is neither."""
    files = [path, *path.rglob("*")]
    return sum(file.stat().st_size for file in files if file.is_file())


def _flush(path: Path) -> None:
    """Returns when a file, or all that is in a folder, would outlive a power cut."""
    for part in (path, *path.rglob("*")):
        if part.is_dir():
            _flush_folder(part)
            continue
        with part.open("rb") as file:
            os.fsync(file.fileno())


def _flush_folder(path: Path) -> None:
    """The same for the names in a folder, where its file system can do that."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file of bytes."""
    with staged(path, len(content)) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes sorted, indented JSON; NaN and infinity, which are not JSON, raise ValueError."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds.

    Raises:
        ValueError: naming the file, when it is not JSON.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError(f"{path} is not JSON: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
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
