"""Outputs that appear whole or not at all, and JSON that stays JSON."""

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A temporary path beside `target`, renamed to `target` on success.

    The caller makes a file or a directory of it. Whatever goes wrong, `target` is left as it was,
    and the temporary is removed.

    Raises:
        OSError: with a message that names `target`, when the disk is full or cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        temporary = Path(folder) / target.name
        try:
            yield temporary
        # h5py raises RuntimeError where closing a file fails.
        except (OSError, RuntimeError) as error:
            raise _explain(error, target) from error

        if target.is_dir() and temporary.exists():
            # Removing it in place could be cut short.
            os.replace(target, Path(folder) / f"{target.name}.old")
        os.replace(temporary, target)


def _explain(error: Exception, target: Path) -> Exception:
    """The same error, or one in words when it says that there is no more room."""
    reasons = {
        errno.ENOSPC: "the disk is full",
        errno.EDQUOT: "the disk quota is used up",
        errno.EFBIG: "the file is larger than allowed here",
    }
    text = str(error)
    for code, reason in reasons.items():
        # HDF5 reports a failed write without an errno, only in its text.
        is_named = os.strerror(code) in text or f"errno = {code}," in text
        if is_named or getattr(error, "errno", None) == code:
            return OSError(
                f"could not write {target}: {reason}; "
                "make room and run again, nothing half-written was left"
            )
    return error


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes sorted, indented JSON; NaN and infinity, which are not JSON, raise ValueError."""
    with staged(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")


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
    with staged(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def write_csv(path: Path, rows: "pandas.DataFrame") -> None:
    """Writes a table without its index, floats to six significant digits."""
    with staged(path) as temporary:
        rows.to_csv(temporary, index=False, float_format="%.6g")


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
