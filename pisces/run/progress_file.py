"""How far a training has come, for whoever started the pipeline: a file of JSON lines.

PISCES_PROGRESS names the file. Without it nothing is written.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pisces.run import console

VARIABLE = "PISCES_PROGRESS"


def append(values: Mapping[str, Any]) -> None:
    """Adds one line. Of several processes the first does."""
    path = os.environ.get(VARIABLE)
    if path and console.is_first_process():
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(values) + "\n")


class Reader:
    """Reads what is added to such a file, line by line."""

    def __init__(self, path: Path):
        self._path = path
        self._read = 0

    def new(self) -> list[dict[str, Any]]:
        """The lines since the last call, whole ones alone."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._read)
            added = file.read()
        whole, end, _ = added.rpartition(b"\n")
        self._read += len(whole) + len(end)
        return [json.loads(line) for line in whole.splitlines()]
