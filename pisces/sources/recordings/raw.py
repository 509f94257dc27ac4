"""Reader of raw samples, of which nothing but the user or the ending says how they are stored."""

from collections.abc import Mapping
from pathlib import Path

from pisces.core.texts import counted
from pisces.sources.recordings import contents, datatype
from pisces.sources.recordings.base import Options, Recording
from pisces.sources.recordings.samples import Stretch, interleaved

ENDINGS: Mapping[str, str] = {
    ".cfile": "cf32",
    ".fc32": "cf32",
    ".cf32": "cf32",
    ".fc64": "cf64",
    ".cf64": "cf64",
    ".cs16": "ci16",
    ".sc16": "ci16",
    ".ci16": "ci16",
    ".cu16": "cu16",
    ".cs8": "ci8",
    ".sc8": "ci8",
    ".ci8": "ci8",
    ".cu8": "cu8",
}
"""Ending -> datatype, by the habits of GNU Radio, SoapySDR and rtl_433."""


def open_raw(path: Path, options: Options) -> list[Recording]:
    """The samples of a file from its first byte to its last.

    Raises:
        ValueError: when nobody says how they are stored, or bytes are left over.
    """
    word = options.datatype or ENDINGS.get(path.suffix.lower())
    if word is None:
        raise ValueError(
            f"{path} does not say how its samples are stored: give --datatype, such as cf32, "
            "ci16, ci8 or cu8, and --sample-rate; or put a SigMF description beside it"
        )
    stored = datatype.parse(word, "--datatype")

    file = contents.of_file(path)
    count, left_over = divmod(file.size, stored.sample_bytes)
    if left_over:
        raise ValueError(
            f"{path} has {counted(file.size, 'byte')}, no whole number of samples of "
            f"{stored.sample_bytes} bytes ({word}): give the right --datatype, or cut off "
            f"{counted(left_over, 'byte')}"
        )
    return [
        Recording(
            path=path,
            name=path.name,
            count=count,
            sample_rate_hz=options.sample_rate_hz,
            center_hz=0.0,
            annotations=(),
            frame_length=None,
            samples_per_symbol=None,
            read=interleaved(file, stored, [Stretch(0, count, 0)]),
            metadata=None,
        )
    ]
