"""Samples that lie one after the other in a file, whatever stands around them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pisces.core.texts import counted
from pisces.sources.recordings import analytic
from pisces.sources.recordings.contents import Contents
from pisces.sources.recordings.datatype import Datatype

Read = Callable[[int, int], np.ndarray]


class Stretch(NamedTuple):
    """Samples without a header between them."""

    start: int  # first sample
    samples: int
    offset: int  # of its first byte


def interleaved(
    contents: Contents,
    datatype: Datatype,
    stretches: Sequence[Stretch],
    channels: int = 1,
    channel: int = 0,
) -> Read:
    """Reads one channel of samples that take turns: the first of each channel, then the second.

    Args:
        contents: that hold them.
        datatype: of a sample.
        stretches: of samples, in ascending order, one beginning where the one before ends.
        channels: that take turns.
        channel: that is read, from 0.

    Returns:
        `read(start, count)` -> complex64 (count,), real samples made analytic.
    """
    turn_bytes = datatype.sample_bytes * channels

    def read(start: int, count: int) -> np.ndarray:
        stop = start + count
        parts = []
        for stretch in stretches:
            first = max(start, stretch.start)
            last = min(stop, stretch.start + stretch.samples)
            if first >= last:
                continue
            offset = stretch.offset + (first - stretch.start) * turn_bytes
            turns = datatype.decode(contents.read(offset, (last - first) * turn_bytes))
            parts.append(turns.reshape(-1, channels)[:, channel])
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    count = sum(stretch.samples for stretch in stretches)
    return checked(read, count, contents.name, is_complex=datatype.is_complex)


def checked(read: Read, count: int, name: str, *, is_complex: bool) -> Read:
    """Reads with what every format owes: the range checked, no NaN, real samples made analytic.

    Args:
        read: `read(start, count)` -> complex or real floating (count,), of samples that there are.
        count: samples that there are.
        name: of the file, for messages.
        is_complex: whether `read` gives complex samples.

    Returns:
        `read(start, count)` -> complex64 (count,).
    """

    def read_finite(start: int, wanted: int) -> np.ndarray:
        if wanted == 0:
            return np.empty(0, np.complex64 if is_complex else np.float32)
        try:
            samples = read(start, wanted)
        except OSError as error:
            reason = error.strerror or error
            raise ValueError(f"{name} cannot be read at sample {start}: {reason}") from None
        require_finite(samples, start, name)
        return samples

    finish = read_finite if is_complex else analytic.reader(read_finite, count)

    def read_checked(start: int, wanted: int) -> np.ndarray:
        if start < 0 or wanted < 0 or start + wanted > count:
            raise ValueError(
                f"{name} holds samples 0 to {count - 1}; asked for {wanted} from {start}"
            )
        return finish(start, wanted).astype(np.complex64, copy=False)

    return read_checked


def require_finite(samples: np.ndarray, start: int, name: str) -> None:
    """Raises ValueError, saying how many and where, when samples are NaN or infinite."""
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        raise ValueError(
            f"{name} holds {counted(len(bad), 'sample')} of NaN, infinity or beyond float32 among "
            f"the {len(samples)} from {start}, the first at {start + bad[0]}: cut out what is "
            "such, or set it to 0"
        )
