"""Predictions for people: a table on the screen, and one as CSV."""

from collections.abc import Iterator

import pandas as pd

from pisces.core.texts import printable
from pisces.prediction import segments
from pisces.prediction.segments import RecordingPrediction, SegmentPrediction

HEADINGS = (
    *("start s", "length", "centre Hz", "band Hz", "baud"),
    *("modulation", "or", "SNR dB", "known"),
)
MOST_LINES = 200
"""Segments of a recording on the screen; the CSV has all of them."""
LONGEST_SECONDS = 1e6
"""Up to which a start is written to a tenth of a millisecond."""
LEAST_PROBABILITY = 0.005
"""Of a runner-up on the screen, from which it is not .00."""


def lines(prediction: RecordingPrediction) -> Iterator[str]:
    """The table of a recording, a line a segment, and its summary at the end."""
    yield printable(prediction.recording)
    shown = prediction.segments[:MOST_LINES]
    if shown:
        cells = [_cells(segment, prediction.sample_rate_hz) for segment in shown]
        yield from _aligned([HEADINGS, *cells])
    left_out = len(prediction.segments) - len(shown)
    if left_out:
        yield f"  ... and {left_out} more"
    yield f"  {prediction.summary}"


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Rows as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + " ".join(padded)).rstrip()


def frame(predictions: list[RecordingPrediction]) -> pd.DataFrame:
    """One row a segment, with the keys of `predictions.json` as columns."""
    rows = []
    for prediction in predictions:
        for segment in prediction.content()["segments"]:
            low, high = segment.pop("snr_interval_db") or (None, None)
            others = segment.pop("alternatives")
            named = "; ".join(f"{one['modulation']} {one['probability']:.3f}" for one in others)
            interval = {"snr_low_db": low, "snr_high_db": high}
            recording = {"recording": prediction.recording}
            in_full = {key: _in_full(segment[key]) for key in segment if key.endswith("_hz")}
            rows.append(recording | segment | in_full | interval | {"alternatives": named})
    return pd.DataFrame(rows, columns=None if rows else ["recording"])


def _in_full(frequency_hz: float | None) -> str | None:
    """A frequency to a tenth of a hertz at 10 GHz: more digits than those of other columns."""
    return None if frequency_hz is None else f"{frequency_hz:.11g}"


def _cells(segment: SegmentPrediction, sample_rate_hz: float | None) -> tuple[str, ...]:
    others = [
        f"{one.modulation} {_share(one.probability)}"
        for one in segment.alternatives[:2]
        if one.probability >= LEAST_PROBABILITY
    ]
    return (
        *_time(segment, sample_rate_hz),
        _hertz(segment.centre_hz, digits=7),
        _hertz(segment.bandwidth_hz, digits=4),
        _rate(segment),
        f"{segment.modulation} {_share(segment.probability)}",
        ", ".join(others),
        _snr(segment),
        {True: "yes", False: "no", None: "?"}[segment.known],
    )


def _share(probability: float) -> str:
    """A probability to two digits, as short as can be: .83, 1.0."""
    return f"{probability:.2f}".removeprefix("0")[:3]


def _time(segment: SegmentPrediction, sample_rate_hz: float | None) -> tuple[str, str]:
    """Start and length, in seconds or, where the sample rate is unknown, in samples."""
    if sample_rate_hz is None:
        return f"#{segment.start}", f"{segment.count}"
    start = segment.start / sample_rate_hz
    first = f"{start:.4f}" if start < LONGEST_SECONDS else f"{start:.6g}"
    return first, _seconds(segment.count / sample_rate_hz)


def _seconds(value: float) -> str:
    """A time to three digits, with the unit that makes it short."""
    for power, unit in ((0, "s"), (-3, "ms"), (-6, "us")):
        if value >= 10**power:
            return f"{value / 10**power:.3g} {unit}"
    return f"{value * 1e9:.3g} ns"


def _hertz(value: float | None, digits: int) -> str:
    """A frequency with the prefix that makes it short."""
    if value is None:
        return "-"
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.{digits}g}{prefix}"
    return f"{value:.{digits}g}"


def _rate(segment: SegmentPrediction) -> str:
    """The symbol rate; with ~ where only the bandwidth stands for it."""
    rate = _hertz(segment.symbol_rate_hz, digits=4)
    return rate if segments.has_symbol_rate(segment.symbol_rate_confidence) else f"~{rate}"


def _snr(segment: SegmentPrediction) -> str:
    """The SNR with its interval, of which an end may be open, in whole decibels."""
    value = round(segment.snr_db)
    if segment.snr_interval_db is None:
        return f"{value}"
    low, high = (None if end is None else round(end) for end in segment.snr_interval_db)
    if low is None and high is None:
        return f"{value} (any)"
    if low is None:
        return f"{value} (<{high})"
    if high is None:
        return f"{value} (>{low})"
    return f"{value} ({low}..{high})"
