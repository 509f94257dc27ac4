"""Predictions for people: a table on the screen, and one as CSV."""

from collections.abc import Iterator

import pandas as pd

from pisces.prediction.segments import RecordingPrediction, SegmentPrediction

HEADINGS = ("time", "centre", "band", "symbol rate", "modulation", "SNR (dB)", "known")
WIDTHS = (21, 10, 9, 11, 34, 20, 5)


def lines(prediction: RecordingPrediction) -> Iterator[str]:
    """The table of a recording, a line a segment, and its summary at the end."""
    yield prediction.recording
    if prediction.segments:
        yield _row(HEADINGS)
    for segment in prediction.segments:
        yield _row(_cells(segment, prediction.sample_rate_hz))
    yield f"  {prediction.summary}"


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
            rows.append(recording | segment | interval | {"alternatives": named})
    return pd.DataFrame(rows, columns=None if rows else ["recording"])


def _row(cells: tuple[str, ...]) -> str:
    padded = (cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
    return ("  " + " ".join(padded)).rstrip()


def _cells(segment: SegmentPrediction, sample_rate_hz: float | None) -> tuple[str, ...]:
    others = ", ".join(
        f"{one.modulation} {one.probability:.2f}" for one in segment.alternatives[:2]
    )
    return (
        _time(segment, sample_rate_hz),
        _hertz(segment.centre_hz),
        _hertz(segment.bandwidth_hz),
        _hertz(segment.symbol_rate_hz),
        f"{segment.modulation} {segment.probability:.2f} ({others})",
        _snr(segment),
        {True: "yes", False: "no", None: "?"}[segment.known],
    )


def _time(segment: SegmentPrediction, sample_rate_hz: float | None) -> str:
    end = segment.start + segment.count
    if sample_rate_hz is None:
        return f"samples {segment.start}..{end}"
    return f"{segment.start / sample_rate_hz:.4g} to {end / sample_rate_hz:.4g} s"


def _hertz(value: float | None) -> str:
    """A frequency to four digits, with the unit that makes it short."""
    if value is None:
        return "-"
    for power, prefix in ((9, "G"), (6, "M"), (3, "k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:.4g} {prefix}Hz"
    return f"{value:.4g} Hz"


def _snr(segment: SegmentPrediction) -> str:
    if segment.snr_interval_db is None:
        return f"{segment.snr_db:.1f}"
    low, high = ("" if end is None else f"{end:.0f}" for end in segment.snr_interval_db)
    return f"{segment.snr_db:.1f} ({low or 'any'} to {high or 'any'})"
