"""SigMF: data and their metadata together, wherever both lie, as recordings."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pisces.core.texts import counted
from pisces.sources.recordings import sigmf_metadata
from pisces.sources.recordings.base import Annotation, Options, Recording
from pisces.sources.recordings.contents import Contents, sha512
from pisces.sources.recordings.samples import Stretch, interleaved
from pisces.sources.recordings.sigmf_metadata import Description


class Tuning(NamedTuple):
    """Samples while the receiver stayed at one frequency."""

    start: int
    stop: int
    frequency_hz: float | None


def recordings(
    path: Path, name: str, description: Description, data: Contents, options: Options
) -> list[Recording]:
    """A recording for each channel, and for each frequency that the receiver was tuned to.

    Args:
        path: that the user gave.
        name: of the data.
        description: of them.
        data: all bytes of the file, with what is no sample.
        options: a sample rate goes before that of the description.

    Returns:
        At least one recording.

    Raises:
        ValueError: when the checksum differs, or the description and the data do not fit.
    """
    _require_checksum(description, data)
    stretches = _stretches(description, data)
    count = sum(stretch.samples for stretch in stretches)
    annotations = sigmf_metadata.annotations(description, count)

    sample_rate_hz = options.sample_rate_hz or description.sample_rate_hz
    tunings = list(_tunings(description, count))
    found = []
    for index, tuning in enumerate(tunings):
        inside = tuple(_within(annotations, tuning, sample_rate_hz))
        part = _part(stretches, tuning)
        for channel in range(description.channels):
            numbers = [("capture", index, len(tunings)), ("channel", channel, description.channels)]
            suffixes = [f"[{word} {number}]" for word, number, of in numbers if of > 1]
            recording = Recording(
                path=path,
                name=name + "".join(suffixes),
                count=tuning.stop - tuning.start,
                sample_rate_hz=sample_rate_hz,
                center_hz=tuning.frequency_hz or 0.0,
                annotations=inside,
                frame_length=None,
                samples_per_symbol=description.samples_per_symbol,
                read=interleaved(data, description.datatype, part, description.channels, channel),
                metadata=description.content,
                first_sample=description.offset + tuning.start,
            )
            found.append(recording)
    return found


def _require_checksum(description: Description, data: Contents) -> None:
    if description.sha512 is None:
        return
    if sha512(data) != description.sha512.lower():
        raise ValueError(
            f"{data.name} is not what {description.where} describes, its SHA-512 differs: copy "
            "both again, or take core:sha512 out if you changed the data yourself"
        )


def _stretches(description: Description, data: Contents) -> list[Stretch]:
    """Where the samples of each capture lie, its header before them."""
    turn_bytes = description.datatype.sample_bytes * description.channels
    headers = sum(capture.header_bytes for capture in description.captures)
    others = headers + description.trailing_bytes
    if others > data.size:
        raise ValueError(
            f"{description.where} names {counted(others, 'byte')} of {data.name} as no samples "
            f"(core:header_bytes, core:trailing_bytes), but it has {data.size}: correct them"
        )
    count, left_over = divmod(data.size - others, turn_bytes)
    if left_over:
        channels = counted(description.channels, "channel")
        raise ValueError(
            f"{data.name} has {counted(data.size - others, 'byte')} of samples, no whole number of "
            f"{turn_bytes} ({description.datatype.name}, {channels}): "
            f"copy it again, or count what is no sample in core:trailing_bytes"
        )
    if count == 0:
        raise ValueError(f"{data.name} holds no samples: record or copy it again")

    stretches = []
    offset = 0
    starts = [capture.start for capture in description.captures]
    if starts[-1] > count:
        raise ValueError(
            f"{description.where} names a capture from sample {starts[-1]}, but the data hold "
            f"{count}: copy {data.name} again, or mend the metadata"
        )
    for capture, stop in zip(description.captures, [*starts[1:], count], strict=True):
        offset += capture.header_bytes
        samples = stop - capture.start
        stretches.append(Stretch(capture.start, samples, offset))
        offset += samples * turn_bytes
    return stretches


def _tunings(description: Description, count: int) -> Iterator[Tuning]:
    """Captures that follow each other at the same frequency, as one."""
    start, frequency_hz = 0, description.captures[0].frequency_hz
    for capture in description.captures[1:]:
        if capture.frequency_hz == frequency_hz:
            continue
        if capture.start > start:
            yield Tuning(start, capture.start, frequency_hz)
        start, frequency_hz = capture.start, capture.frequency_hz
    if count > start:
        yield Tuning(start, count, frequency_hz)


def _part(stretches: list[Stretch], tuning: Tuning) -> list[Stretch]:
    """The stretches of a tuning, counted from its first sample."""
    return [
        stretch._replace(start=stretch.start - tuning.start)
        for stretch in stretches
        if tuning.start <= stretch.start < tuning.stop
    ]


def _within(
    annotations: list[Annotation], tuning: Tuning, sample_rate_hz: float | None
) -> Iterator[Annotation]:
    """What of the annotations lies in a tuning, in its samples and its baseband."""
    for one in annotations:
        start = max(one.start, tuning.start)
        stop = min(one.start + one.count, tuning.stop)
        if start >= stop:
            continue
        shift_hz = _shift_hz(one, tuning.frequency_hz, sample_rate_hz)
        yield one._replace(
            start=start - tuning.start,
            count=stop - start,
            low_hz=None if one.low_hz is None else one.low_hz - shift_hz,
            high_hz=None if one.high_hz is None else one.high_hz - shift_hz,
        )


def _shift_hz(one: Annotation, frequency_hz: float | None, sample_rate_hz: float | None) -> float:
    """What the edges of an annotation lie above baseband.

    They are radio frequencies where the capture has one (SigMF 1.2, Annotations). Some programs
    write them in baseband all the same: then they lie in the band only if nothing is taken off.
    """
    edges = [edge for edge in (one.low_hz, one.high_hz) if edge is not None]
    if frequency_hz is None or not edges:
        return 0.0
    if sample_rate_hz is None:
        return frequency_hz
    nearest_hz = min(abs(edge - frequency_hz) for edge in edges)
    is_baseband = nearest_hz > sample_rate_hz and all(abs(edge) <= sample_rate_hz for edge in edges)
    return 0.0 if is_baseband else frequency_hz
