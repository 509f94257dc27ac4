"""What is labelled in a folder of recordings: by a table, or by annotations of SigMF."""

import csv
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sigmf.keys import SIGMF_ARCHIVE_EXTS, SIGMF_METADATA_EXT

from pisces.acquisition import levels
from pisces.acquisition.possible import require_possible, require_possible_clock
from pisces.core.modulations import NAMES, OWN_NAME
from pisces.core.texts import counted, in_one_line
from pisces.sources.file_format import format_of
from pisces.sources.recordings import Annotation, Recording, open_recordings

TABLE = "labels.csv"
"""In the folder, for recordings whose format holds no labels; it goes before annotations."""
COLUMNS = ("file", "start", "count", "label")
NUMBERS = ("low_hz", "high_hz", "symbol_rate_hz")
"""Columns that may be there, too."""
LONGEST_NAME = 1000
"""Characters of a file with its folders."""
MOST_DIGITS = 18
"""Of a number of samples."""
MOST_NAMED = 20
"""Labels that a message names."""


class Labelled(NamedTuple):
    """A stretch of a recording, and what it is."""

    recording: Recording
    """As it was opened."""
    annotation: Annotation
    """Where in it."""
    label: str
    source: str
    """What says so, for messages."""

    @property
    def alone(self) -> Recording:
        """The recording with nothing but this annotation.

        A list of unrelated frames, or of symbols at one sample each, is acquired as a whole: of it,
        the part that is meant.
        """
        recording, annotation = self.recording, self.annotation
        if not recording.frame_length and recording.samples_per_symbol != 1:
            return replace(recording, annotations=(annotation,))

        def read(start: int, count: int) -> np.ndarray:
            return levels.read(recording, annotation.start + start, count)

        return replace(recording, count=annotation.count, read=read)


def labelled(folder: Path) -> list[Labelled]:
    """All that is labelled in a folder and in those below it, in a fixed order.

    Raises:
        ValueError: in one line, when nothing says what is where, or that cannot be read or be so.
    """
    table = folder / TABLE
    if table.is_file():
        return _of_table(folder, table)

    endings = (SIGMF_METADATA_EXT, *SIGMF_ARCHIVE_EXTS)
    descriptions = sorted(path for path in folder.rglob("*") if path.name.endswith(endings))
    if not descriptions:
        raise ValueError(_nothing_in(folder))

    found = []
    for path in descriptions:
        for recording in open_recordings(path):
            for annotation in recording.annotations:
                if annotation.label:
                    found.append(Labelled(recording, annotation, annotation.label, str(path)))
    if not found:
        raise ValueError(
            f"{folder} has {len(descriptions)} SigMF descriptions, and none has an annotation with "
            f"core:label; add some, or write {TABLE} with the columns {','.join(COLUMNS)}"
        )
    return found


def choose(found: Sequence[Labelled], folder: Path, names: Collection[str]) -> list[Labelled]:
    """Those whose labels are among the names.

    Args:
        found: what is labelled in a folder.
        folder: that folder.
        names: `data.modulations`.

    Raises:
        ValueError: when a name is the label of none, a recording cannot hold what is said of a
            stretch, or samples are labelled twice.
    """
    there = {one.label for one in found}
    missing = [name for name in names if name not in there]
    if missing:
        raise ValueError(
            f"data.modulations asks for {_listed(missing)}, which nothing in {folder} is labelled; "
            f"{advice(found)}"
        )
    chosen = [one for one in found if one.label in names]
    for one in chosen:
        require_possible_clock(one.recording)
        require_possible(one.recording, one.annotation, one.source)
    _require_once(chosen)
    return chosen


def advice(found: Sequence[Labelled]) -> str:
    """Which params fit the labels."""
    names = sorted({one.label for one in found})
    own = [name for name in names if name not in NAMES]
    text = f"its labels are {_listed(names)}: set data.modulations to those that you want"
    if own:
        text += f", and data.own_classes to those of {_listed(own)} among them"

    odd = [repr(name) for name in own if not OWN_NAME.fullmatch(name)]
    if odd:
        text += (
            f"; {_listed(odd)} can be no class: a name has 1 to 32 letters, digits and . _ + - and "
            "begins with a letter or digit, so change these labels if you want them"
        )
    return text


def _listed(names: Sequence[str]) -> str:
    shown = [in_one_line(name, 60) for name in names[:MOST_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _nothing_in(folder: Path) -> str:
    """Why a folder without labels cannot be used, and what to do."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    data_file = next((path for path in files if _is_radioml(path)), None)
    if data_file is not None:
        return (
            f"{folder} is a folder with a data file in it; "
            f"set data.path (or preset --data) to the file {data_file}"
        )
    return (
        f"{folder} holds {'nothing' if not files else 'no labels'}: put recordings there, and "
        f"beside them SigMF descriptions (*{SIGMF_METADATA_EXT}) whose annotations have "
        f"core:label, or {TABLE} with the columns {','.join(COLUMNS)}"
    )


def _is_radioml(path: Path) -> bool:
    """Whether a file seems to be RML2018.01A or RML2016."""
    try:
        return format_of(path) in ("hdf5", "pickle")
    except (ValueError, OSError):
        return False


# The table


def _of_table(folder: Path, table: Path) -> list[Labelled]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{table} is not text in UTF-8; save it as CSV in UTF-8") from None

    lines = _lines(text, table)
    columns = next(lines, (1, []))[1]
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise ValueError(
            f"{table} has no column {', '.join(missing)}; its first line must name the columns, as "
            f"{','.join(COLUMNS)}, and may add {', '.join(NUMBERS)}"
        )
    twice = [name for name in (*COLUMNS, *NUMBERS) if columns.count(name) > 1]
    if twice:
        raise ValueError(f"{table} names the column {', '.join(twice)} twice; take one of them out")

    opened: dict[str, Recording] = {}
    found = []
    for number, cells in lines:
        where = f"{table}, line {number}"
        if len(cells) > len(columns):
            raise ValueError(
                f"{where} has {len(cells)} cells, and the table "
                f"{counted(len(columns), 'column')}; take the "
                "rest out, or put quotation marks around a cell with a comma in it"
            )
        row = dict(zip_longest(columns, cells, fillvalue=""))
        name = row["file"].strip()
        if name not in opened:
            opened[name] = _recording(folder, name, where)
        annotation = _annotation(row, opened[name], where)
        found.append(Labelled(opened[name], annotation, str(annotation.label), where))
    if not found:
        raise ValueError(f"{table} labels nothing; add a line for each stretch: file,start,...")
    return found


def _lines(text: str, table: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a table that are not empty, with the numbers of each, as cells."""
    rows = csv.reader(text.splitlines())
    try:
        for cells in rows:
            if cells:
                yield rows.line_num, cells
    except csv.Error as error:
        raise ValueError(
            f"{table}, line {rows.line_num} cannot be read as CSV ({in_one_line(error, 80)}); a "
            f"cell may have {csv.field_size_limit()} characters: correct the line, or a quotation "
            "mark before it that is not closed"
        ) from None


def _recording(folder: Path, name: str, where: str) -> Recording:
    """The one recording in a file that a line names."""
    # No file's name has a character that does not print, and none is so long.
    possible = name.isprintable() and 0 < len(name) <= LONGEST_NAME
    if not possible or not (folder / name).resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{where}: file is {name[:60]!r}; it must be a file in {folder}, where DVC "
            "notices that it has changed: move it there"
        )
    try:
        recordings = open_recordings(folder / name)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if len(recordings) > 1:
        raise ValueError(
            f"{where}: {name} holds {len(recordings)} recordings "
            f"({_listed([one.name for one in recordings])}), and a line labels one; save them as a "
            "file each, or use annotations of SigMF"
        )
    return recordings[0]


def _annotation(row: Mapping[str, str], recording: Recording, where: str) -> Annotation:
    start = _whole(row, "start", 0, where)
    count = _whole(row, "count", 1, where)
    if start + count > recording.count:
        raise ValueError(
            f"{where}: start {start} and count {count} end at sample {start + count}, and "
            f"{recording.name} has {counted(recording.count, 'sample')}; correct them"
        )
    length = recording.frame_length
    if length and (start % length or count % length):
        raise ValueError(
            f"{where}: start {start} and count {count} cut a frame of {recording.name}; they must "
            f"be multiples of its {length} samples a frame"
        )
    label = row["label"].strip()
    if not label:
        raise ValueError(f"{where}: label is empty; write the name of the class")
    low, high, rate = (_number(row, name, where) for name in NUMBERS)
    if low is not None and high is not None and low >= high:
        raise ValueError(f"{where}: low_hz {low:g} is not below high_hz {high:g}; correct them")
    if rate is not None and rate <= 0:
        raise ValueError(f"{where}: symbol_rate_hz is {rate:g}; it must be above 0, or empty")
    return Annotation(start, count, label, low, high, rate)


def _whole(row: Mapping[str, str], name: str, least: int, where: str) -> int:
    text = row[name].strip()
    is_whole = text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS
    if not is_whole or int(text) < least:
        raise ValueError(
            f"{where}: {name} is {in_one_line(text, 60)!r}; it must be a whole number of samples, "
            f"{least} or more, of at most {MOST_DIGITS} digits"
        )
    return int(text)


def _number(row: Mapping[str, str], name: str, where: str) -> float | None:
    text = row.get(name, "").strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(
            f"{where}: {name} is {in_one_line(text, 60)!r}; it must be a number of hertz, or empty"
        )
    return number


# Nothing twice


def _require_once(chosen: Sequence[Labelled]) -> None:
    """Raises ValueError where a part of a band is labelled twice at the same time.

    Two frames would share samples, and one of them might be trained on and the other tested.
    """
    of_recordings: dict[tuple[Path, str], list[Labelled]] = defaultdict(list)
    for one in chosen:
        of_recordings[one.recording.path, one.recording.name].append(one)

    for of_one in of_recordings.values():
        for first, second in _at_the_same_time(of_one):
            if not _share_band(first.annotation, second.annotation):
                continue
            a, b = first.annotation, second.annotation
            raise ValueError(
                f"{second.source}: samples {b.start} to {b.start + b.count} labelled "
                f"{second.label} overlap with samples {a.start} to {a.start + a.count} labelled "
                f"{first.label}; shorten one of them, or give both their edges in frequency"
            )


def _at_the_same_time(stretches: Sequence[Labelled]) -> Iterator[tuple[Labelled, Labelled]]:
    """Pairs that overlap in time."""
    by_start = sorted(stretches, key=lambda one: one.annotation.start)
    for index, first in enumerate(by_start):
        end = first.annotation.start + first.annotation.count
        for second in by_start[index + 1 :]:
            if second.annotation.start >= end:
                break
            yield first, second


def _share_band(first: Annotation, second: Annotation) -> bool:
    low = max(-math.inf if one.low_hz is None else one.low_hz for one in (first, second))
    high = min(math.inf if one.high_hz is None else one.high_hz for one in (first, second))
    return low < high
