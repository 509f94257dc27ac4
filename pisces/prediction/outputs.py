"""Where what is said of recordings is written: the files of one folder."""

import re
from pathlib import Path
from typing import NamedTuple

from pisces.core.files import read_json
from pisces.prediction.sigmf_copy import NAMESPACE
from pisces.sources.recordings import Recording

PREDICTIONS, TABLE = "predictions.json", "predictions.csv"
METADATA = ".sigmf-meta"
LONGEST = 150
"""Bytes of a name; file systems allow 255, of which endings take some."""


class _File(NamedTuple):
    """The file that some recordings, its captures or channels, are of."""

    data: Path
    metadata: int
    """Which object; two files of one archive may have one name."""


class Outputs:
    """Paths in a folder, where files of recordings of the same name have folders of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.predictions = folder / PREDICTIONS
        self.table = folder / TABLE
        self._folders: dict[_File, Path] = {}
        self._metadata: list[object] = []
        """Kept, so that no other object becomes the same `_File.metadata`."""

    def picture(self, recording: Recording, number: int) -> Path:
        """Of one prediction of a recording; `number` counts from 0."""
        _, _, which = recording.name.partition("[")
        stem = f"{_stem(recording)}{'[' if which else ''}{which}_{number}"
        return self._folder_of(recording) / f"{_safe(stem)}.png"

    def description(self, recording: Recording) -> Path:
        """The copy of a recording's SigMF metadata.

        Raises:
            ValueError: where that would overwrite a file which no prediction wrote.
        """
        path = self._folder_of(recording) / (_safe(_stem(recording)) + METADATA)
        own = data_of(recording).with_suffix(METADATA)
        if path.resolve() == own.resolve():
            raise ValueError(
                f"{path} is the description of the recording itself: give another folder as --out"
            )
        if path.exists() and not _is_ours(path):
            raise ValueError(
                f"{path} is there and was not written by predict: move it away, or give another "
                "folder as --out"
            )
        return path

    def _folder_of(self, recording: Recording) -> Path:
        """The folder itself, or a numbered one below it for later files of the same name."""
        file = _File(data_of(recording).resolve(), id(recording.metadata))
        if file not in self._folders:
            others = sum(_stem_of(one.data.name) == _stem(recording) for one in self._folders)
            self._folders[file] = self.folder / str(others + 1) if others else self.folder
            self._metadata.append(recording.metadata)
        return self._folders[file]


def data_of(recording: Recording) -> Path:
    """Where the samples of a recording lie; within an archive there is no such file."""
    name, _, _ = recording.name.partition("[")
    return recording.path.parent / Path(name).name


def _stem(recording: Recording) -> str:
    return _stem_of(data_of(recording).name)


def _stem_of(name: str) -> str:
    return Path(name).stem


def _safe(name: str) -> str:
    """A file name of letters of any script, digits and few signs, short enough for any disk."""
    kept = re.sub(r"[^\w.+\-\[\] ]", "_", name)
    return kept.encode()[:LONGEST].decode(errors="ignore")


def _is_ours(path: Path) -> bool:
    """Whether a description holds what predict said, and says so."""
    try:
        of_file = read_json(path)["global"]
        return any(one["name"] == NAMESPACE for one in of_file["core:extensions"])
    except (ValueError, KeyError, TypeError):
        return False
