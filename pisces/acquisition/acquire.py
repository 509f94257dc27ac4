"""A recording -> the signals in it, as frames of so many samples a symbol: see `acquire`."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pisces.acquisition import baseband, detection, levels
from pisces.acquisition.band import Band, measure_band
from pisces.acquisition.detection import Detection
from pisces.acquisition.possible import require_possible, require_possible_clock
from pisces.acquisition.segment import Acquired, Annotated, Goal, Readable, Segment
from pisces.acquisition.symbol_rate import SymbolRate, find_symbol_rate
from pisces.acquisition.unsampled import acquire_symbols, are_symbols
from pisces.core.dsp import to_db

OFFSETS = 3.0
"""Standard deviations of the carrier offset that a receiver expects, which it follows by itself."""
CHUNK = 2**20
"""Samples that are looked at together: bounds the memory, and the length of a segment."""
FRAMES_AT_ONCE = 1024
"""Of a list of frames, that are looked at together."""
SURE = 0.99
"""Confidence in the symbol rate from which on a band that may be noise counts as a signal."""
LIKELY = 0.5
"""Confidence below which a symbol rate is not taken; the bandwidth then stands in for it."""
LEAST_SNR = 2.0
"""Linear, of a signal that may do without a symbol rate."""


class Found(NamedTuple):
    """A signal in a part of a recording."""

    start: int
    """In samples of the recording."""
    iq: np.ndarray
    band: Band
    rate: SymbolRate


def acquire(
    recording: Readable,
    *,
    samples: int,
    sps: int,
    symbol_rate_hz: float | None = None,
    max_offset: float,
    annotated: bool = False,
) -> Iterator[Acquired]:
    """The signals of a recording, blindly: stretch after stretch, as frames.

    1. Where: energy over a floor that follows the recording, or what annotations say.
    2. Its band, and its symbol rate by lines of products of the signal with itself.
    3. Resampled, with the carrier in the middle, which is followed over the segment.
    4. White noise in place of what lies beside the band, and cut.

    Files of unrelated frames, and of symbols at one sample each, skip what does not apply. At most
    `CHUNK` samples are in memory, some times over.

    Args:
        recording: what is read.
        samples: of a frame.
        sps: samples a symbol of the frames, 3 or more.
        symbol_rate_hz: where it is known; in sample rates where the sample rate is unknown.
        max_offset: cycles a sample of the frames, up to which a carrier that is not in the middle
            is left as it is.
        annotated: whether segments and their symbol rates come from the annotations alone.

    Yields:
        Segments in about the order of time, with their frames.

    Raises:
        ValueError: before work, where the recording cannot hold what its file tells of; and for
            levels beyond `levels.STRONGEST`.
    """
    require_possible_clock(recording)
    if annotated:
        for annotation in recording.annotations:
            require_possible(recording, annotation, recording.name)

    told = None
    if symbol_rate_hz is not None:
        told = symbol_rate_hz / (recording.sample_rate_hz or 1.0)
    elif recording.samples_per_symbol:
        told = 1 / recording.samples_per_symbol
    goal = Goal(samples, sps, told, max_offset)

    if told == 1:
        yield from acquire_symbols(recording, goal)
    elif recording.frame_length:
        yield from _frame_by_frame(recording, recording.frame_length, goal)
    elif annotated:
        for annotation in recording.annotations:
            yield from _annotated(recording, annotation, goal)
    else:
        yield from _blindly(recording, goal)


def _blindly(recording: Readable, goal: Goal) -> Iterator[Acquired]:
    """Signals that are detected, chunk by chunk; one that goes on begins the next chunk."""
    start = 0
    while start < recording.count:
        iq = levels.read(recording, start, min(CHUNK, recording.count - start))
        end = start + len(iq)
        if start == 0 and goal.symbol_rate is None and are_symbols(iq):
            yield from acquire_symbols(recording, goal)
            return

        iq = detection.without_leakage(iq)
        detections = detection.detect(iq)
        ends_here = end == recording.count
        going_on = [
            one.start
            for one in detections
            if one.start + one.count >= len(iq) and one.start > len(iq) // 2
        ]
        following = end if ends_here or not going_on else start + min(going_on)
        finished = [one for one in detections if start + one.start < following]
        for found in _signals(iq, start, finished, goal):
            yield _frames_of(found, recording, goal)
        start = following


def _signals(iq: np.ndarray, start: int, detections: list[Detection], goal: Goal) -> list[Found]:
    """What is a signal among the detections in samples `iq`, the first of which is at `start`.

    A weak one, and one that is never off, may be noise: it must show a symbol rate. Where there is
    nothing else, what is never off is taken without.
    """
    signals, perhaps = [], []
    for one in detections:
        found = _found(iq[one.start : one.start + one.count], start + one.start, one, goal)
        is_strong = found.band.snr >= LEAST_SNR
        symbols = len(found.iq) * found.rate.rate
        is_sure = found.rate.confidence >= SURE
        if symbols < goal.samples / goal.sps and not (is_strong and is_sure):
            continue
        if is_sure or (is_strong and not one.steady):
            signals.append(found)
        elif is_strong:
            perhaps.append(found)
    return signals or perhaps


def _found(iq: np.ndarray, start: int, box: Detection, goal: Goal) -> Found:
    """The band and the symbol rate of a signal in a box."""
    band = measure_band(iq, box.low, box.high, box.floor)
    if goal.symbol_rate is not None:
        return Found(start, iq, band, SymbolRate(goal.symbol_rate, 1.0, np.inf))

    rate = find_symbol_rate(iq, band.center, band.equivalent)
    if rate.confidence < LIKELY:
        rate = rate._replace(rate=band.equivalent)
    return Found(start, iq, band, rate)


def _annotated(recording: Readable, annotation: Annotated, goal: Goal) -> Iterator[Acquired]:
    """The signal that an annotation tells of, in pieces of up to a chunk."""
    rate_hz = recording.sample_rate_hz or 1.0
    if annotation.symbol_rate_hz:
        goal = goal._replace(symbol_rate=annotation.symbol_rate_hz / rate_hz)
    low = -0.5 if annotation.low_hz is None else annotation.low_hz / rate_hz
    high = 0.5 if annotation.high_hz is None else annotation.high_hz / rate_hz

    end = min(annotation.start + annotation.count, recording.count)
    for start in range(annotation.start, end, CHUNK):
        iq = levels.read(recording, start, min(CHUNK, end - start))
        floor = detection.level_of(iq)
        edges = max(low, -0.5), min(high, 0.5)
        if edges == (-0.5, 0.5):
            # Looked at closely, as a signal that is detected: else its symbol rate may be another.
            rough = measure_band(iq, *edges, floor)
            edges = rough.center - rough.occupied / 2, rough.center + rough.occupied / 2
        box = Detection(0, len(iq), *edges, floor, steady=False)
        found = _found(iq, start, box, goal)
        if found.band.snr > 0:
            yield _frames_of(found, recording, goal, whole=True)


def _frame_by_frame(recording: Readable, length: int, goal: Goal) -> Iterator[Acquired]:
    """Unrelated frames, whose band and symbol rate are those of all of them."""
    at_once = max(1, min(FRAMES_AT_ONCE, CHUNK // length))
    for start in range(0, recording.count - length + 1, at_once * length):
        count = min(at_once, (recording.count - start) // length)
        rows = levels.read(recording, start, count * length).reshape(count, length)
        whole = rows.ravel()
        band = measure_band(whole, -0.5, 0.5, detection.level_of(whole))
        rate = SymbolRate(goal.symbol_rate or band.equivalent, 1.0, np.inf)
        if goal.symbol_rate is None:
            rate = find_symbol_rate(rows, band.center, band.equivalent)
            rate = rate if rate.confidence >= LIKELY else rate._replace(rate=band.equivalent)

        for number, row in enumerate(rows):
            own = measure_band(row, -0.5, 0.5, detection.level_of(row))
            shared = band._replace(snr=own.snr, noise=own.noise)
            found = Found(start + number * length, row, shared, rate)
            yield _frames_of(found, recording, goal, whole=True)


def _frames_of(found: Found, recording: Readable, goal: Goal, *, whole: bool = False) -> Acquired:
    """A signal as frames."""
    rate_hz = recording.sample_rate_hz or 1.0
    made = baseband.frames_of(found.iq, found.start, found.band, found.rate.rate, goal, whole=whole)
    segment = Segment(
        start=found.start + made.start,
        count=made.count,
        center_hz=made.center * rate_hz,
        bandwidth_hz=found.band.occupied * rate_hz,
        symbol_rate_hz=found.rate.rate * rate_hz,
        symbol_rate_confidence=found.rate.confidence,
        snr_db=float(to_db(np.array(found.band.snr))),
    )
    return Acquired(segment, made.frames, found.start + made.starts)
