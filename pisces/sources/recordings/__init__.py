"""Recordings of radio signals, in the formats that radios and their software write.

One reader a format, one line in `FORMATS` each.
"""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
from sigmf.sigmffile import get_sigmf_filenames

from pisces.core.texts import counted, in_one_line, printable
from pisces.sources.recordings import (
    audio,
    matlab,
    numpy_array,
    radioml,
    raw,
    sigmf_archive,
    sigmf_files,
    standard_input,
)
from pisces.sources.recordings import (
    datatype as datatypes,
)
from pisces.sources.recordings.base import HEAD, Annotation, Format, Options, Recording
from pisces.sources.recordings.samples import Read

__all__ = ["FORMATS", "Annotation", "Format", "Recording", "describe", "open_recordings"]

FORMATS = [
    Format("SigMF", sigmf_files.is_sigmf, sigmf_files.open_sigmf),
    Format("archive of SigMF", sigmf_archive.is_archive, sigmf_archive.open_archive),
    Format("WAV, FLAC, OGG", audio.is_audio, audio.open_audio),
    Format("NumPy", numpy_array.is_numpy, numpy_array.open_numpy),
    Format("MATLAB", matlab.is_matlab, matlab.open_matlab),
    Format("RML2018.01A", radioml.is_hdf5, radioml.open_rml2018),
    Format("RML2016.10a", radioml.is_pickle, radioml.open_rml2016),
    Format("data described by SigMF", sigmf_files.is_described, sigmf_files.open_sigmf),
    Format("raw samples", lambda _path, _head, _options: True, raw.open_raw),
]
"""Formats in the order in which they are tried: what says itself what it is comes first."""

STANDARD_INPUT = standard_input.NAME


def open_recordings(
    path: str | Path, *, datatype: str | None = None, sample_rate_hz: float | None = None
) -> list[Recording]:
    """The recordings in a file: several of a collection, an archive, or a file of many channels.

    Args:
        path: of a file of one of `FORMATS`, the common name of a SigMF pair, or - for the standard
            input.
        datatype: of raw samples, in SigMF's words such as cf32, ci16_be or cu8.
        sample_rate_hz: it goes before what the file says.

    Returns:
        At least one recording of at least one sample. Nothing but descriptions is in memory.

    Raises:
        ValueError: in one line, when it cannot be read: why, and what to do.
    """
    if datatype is not None:
        datatypes.parse(datatype, "--datatype")
    if sample_rate_hz is not None and not (math.isfinite(sample_rate_hz) and sample_rate_hz > 0):
        raise ValueError(
            f"--sample-rate is {sample_rate_hz:g}; it must be a number of hertz above 0"
        )
    options = Options(datatype, sample_rate_hz)
    try:
        if str(path) == STANDARD_INPUT:
            return _of_standard_input(options)
        return _opened(_found(Path(path)), options)
    except PermissionError:
        raise ValueError(
            f"{path} cannot be read: no permission; change that with chmod or chown, or copy it"
        ) from None
    except OSError as error:
        reason = in_one_line(error.strerror or error)
        raise ValueError(f"{path} cannot be read: {reason}") from None


def describe(recording: Recording) -> str:
    """A recording in one line, for people."""
    rate_hz = recording.sample_rate_hz
    parts = [f"{printable(recording.name)}: {counted(recording.count, 'sample', spec=',')}"]
    if rate_hz is None:
        parts.append("sample rate unknown")
    else:
        parts.append(f"{recording.count / rate_hz:.4g} s at {rate_hz:,.10g} samples/s")
    if recording.center_hz:
        parts.append(f"centre {recording.center_hz / 1e6:,.10g} MHz")
    if recording.frame_length:
        parts.append(f"frames of {recording.frame_length}")
    if recording.samples_per_symbol:
        parts.append(f"{recording.samples_per_symbol:g} samples a symbol")
    if recording.annotations:
        parts.append(counted(len(recording.annotations), "annotation"))
    return ", ".join(parts)


def _found(path: Path) -> Path:
    """The file that a path or the common name of SigMF's files stands for."""
    if path.is_dir():
        raise ValueError(f"{path} is a directory, not a recording: give the files in it")
    if path.exists():
        if not path.is_file():
            raise ValueError(f"{path} is no regular file: give - and let it be the standard input")
        return path

    names = get_sigmf_filenames(path)
    for kind in ("meta_fn", "archive_fn", "collection_fn"):
        if path.suffix != names[kind].suffix and names[kind].is_file():
            return names[kind]
    raise ValueError(f"{path} is not there: give the path of a recording")


def _opened(path: Path, options: Options) -> list[Recording]:
    size = path.stat().st_size
    if size == 0:
        raise ValueError(f"{path} is empty: record or copy it again")
    with path.open("rb") as file:
        head = file.read(HEAD)
    for one in FORMATS:
        if one.recognises(path, head, options):
            return one.open(path, options)
    raise AssertionError("raw samples are whatever nothing else is")


def _of_standard_input(options: Options) -> list[Recording]:
    """What comes by the standard input; its copy is gone with the last of its recordings."""
    copy = standard_input.copied()
    path = Path(copy.name)
    try:
        found = _opened(path, options)
    except ValueError as error:
        raise ValueError(str(error).replace(copy.name, STANDARD_INPUT)) from None

    return [
        replace(
            one,
            path=Path(STANDARD_INPUT),
            name=one.name.replace(path.name, "stdin"),
            read=partial(_read_of, copy, one.read),
        )
        for one in found
    ]


def _read_of(copy: IO[bytes], read: Read, start: int, count: int) -> np.ndarray:
    """What `read` gives, with the name of the copy, which is held here, not in its messages."""
    try:
        return read(start, count)
    except ValueError as error:
        raise ValueError(str(error).replace(copy.name, STANDARD_INPUT)) from None
