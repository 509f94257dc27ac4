"""The metadata of SigMF: what of it says where samples are and what they mean."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from sigmf import keys

from pisces.sources.recordings import datatype
from pisces.sources.recordings.base import Annotation
from pisces.sources.recordings.datatype import Datatype
from pisces.sources.recordings.fields import Fields, parsed

MOST_BYTES = 256 * 2**20
"""Of a metadata file."""
MOST_ANNOTATIONS = 1_000_000
MOST_CAPTURES = 100_000
MOST_CHANNELS = 1_024

SYMBOL_RATE_KEYS = ("symbol_rate", "symbol_rate_hz", "symbol_rate_baud", "baud_rate", "baud")
"""How extensions call a symbol rate; SigMF itself has no word for it."""
DETAIL_KEY = "signal:detail"
SAMPLES_PER_SYMBOL_KEY = "samples_per_symbol"


class Capture(NamedTuple):
    """Samples from `start` on, up to the next capture."""

    start: int  # counted in the samples of the data
    frequency_hz: float | None
    header_bytes: int


@dataclass(frozen=True)
class Description:
    """What the metadata of a recording say."""

    where: str
    content: dict[str, Any]
    datatype: Datatype
    sample_rate_hz: float | None
    channels: int
    dataset: str | None
    """The name of the data, where they have another than SigMF gives them."""
    is_metadata_only: bool
    sha512: str | None
    trailing_bytes: int
    samples_per_symbol: float | None
    captures: tuple[Capture, ...]
    offset: int
    """The number that SigMF gives the first sample of the data."""


def describe(text: bytes, where: str) -> Description:
    """What the metadata of a recording say.

    Raises:
        ValueError: naming `where` and the field, when it cannot be so.
    """
    content = parsed(text, where)
    about = _object(content, "global")
    word = about.text(keys.DATATYPE_KEY)
    if word is None:
        raise ValueError(f"{about.where}: {keys.DATATYPE_KEY} is missing; it is such as cf32_le")
    channels = about.integer(keys.NUM_CHANNELS_KEY, 1, least=1)
    if channels > MOST_CHANNELS:
        raise ValueError(
            f"{about.where}: {keys.NUM_CHANNELS_KEY} is {channels}; at most {MOST_CHANNELS} are "
            "read: split the recording"
        )
    offset = about.integer(keys.OFFSET_KEY, 0)
    return Description(
        where=where,
        content=content.content,
        datatype=datatype.parse(word, f"{about.where}: {keys.DATATYPE_KEY}"),
        sample_rate_hz=about.positive(keys.SAMPLE_RATE_KEY),
        channels=channels,
        dataset=about.text(keys.DATASET_KEY),
        is_metadata_only=about.content.get(keys.METADATA_ONLY_KEY) is True,
        sha512=about.text(keys.SHA512_KEY),
        trailing_bytes=about.integer(keys.TRAILING_BYTES_KEY, 0),
        samples_per_symbol=_extension(about, (SAMPLES_PER_SYMBOL_KEY,)),
        captures=_captures(content, offset),
        offset=offset,
    )


def _object(content: Fields, key: str) -> Fields:
    found = content.content.get(key)
    if not isinstance(found, dict):
        raise ValueError(f"{content.where} has no object {key!r}: it is no metadata of SigMF")
    return Fields(found, f"{content.where}: {key}")


def _captures(content: Fields, offset: int) -> tuple[Capture, ...]:
    captures = []
    for one in content.items("captures", MOST_CAPTURES):
        start = one.integer(keys.SAMPLE_START_KEY, offset, least=offset) - offset
        frequency_hz = one.number(keys.FREQUENCY_KEY)
        header_bytes = one.integer(keys.HEADER_BYTES_KEY, 0)
        captures.append(Capture(start, frequency_hz, header_bytes))

    if not captures:
        return (Capture(0, None, 0),)
    if any(later.start < earlier.start for earlier, later in pairwise(captures)):
        raise ValueError(f"{content.where}: captures are not in order of {keys.SAMPLE_START_KEY}")
    captures[0] = captures[0]._replace(start=0)
    return tuple(captures)


def annotations(description: Description, count: int) -> list[Annotation]:
    """The annotations, with edges as they stand in the file.

    Args:
        description: of the recording.
        count: samples that the data hold.

    Returns:
        All of them; one without a length lasts to the end.

    Raises:
        ValueError: when one cannot be so, or lies beyond the data.
    """
    content = Fields(description.content, description.where)
    return [
        _annotation(one, description.offset, count)
        for one in content.items("annotations", MOST_ANNOTATIONS)
    ]


def _annotation(one: Fields, offset: int, count: int) -> Annotation:
    start = one.integer(keys.SAMPLE_START_KEY, offset, least=offset) - offset
    length = one.integer(keys.SAMPLE_COUNT_KEY, max(0, count - start))
    if start + length > count:
        raise ValueError(
            f"{one.where} names samples {start} to {start + length - 1}, but the data hold "
            f"{count}: copy the data again, or mend the annotation"
        )
    low_hz, high_hz = one.number(keys.FREQ_LOWER_EDGE_KEY), one.number(keys.FREQ_UPPER_EDGE_KEY)
    if low_hz is not None and high_hz is not None and low_hz > high_hz:
        raise ValueError(
            f"{one.where}: {keys.FREQ_LOWER_EDGE_KEY} {low_hz:g} is above "
            f"{keys.FREQ_UPPER_EDGE_KEY} {high_hz:g}: swap them"
        )
    label = one.text(keys.LABEL_KEY)
    return Annotation(start, length, label, low_hz, high_hz, _symbol_rate_hz(one))


def _symbol_rate_hz(one: Fields) -> float | None:
    detail = one.content.get(DETAIL_KEY)
    if isinstance(detail, dict):
        found = _extension(Fields(detail, f"{one.where}: {DETAIL_KEY}"), SYMBOL_RATE_KEYS)
        if found is not None:
            return found
    return _extension(one, SYMBOL_RATE_KEYS)


def _extension(fields: Fields, names: tuple[str, ...]) -> float | None:
    """The first field of such a name in whatever namespace; None where there is none."""
    for key in fields.content:
        if key.rpartition(":")[2] in names:
            return fields.positive(key)
    return None
