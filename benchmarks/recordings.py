"""What is said of labelled recordings, blindly: modulation, symbol rate, known or not.

    python -m benchmarks.recordings MANIFEST.json [--model FOLDER]

The manifest is a list of recordings in its own folder: `file`, `modulation`, `kind` (audio, iq or
symbols), `active` (stretches [start, count] that hold the signal), and where they are known
`symbol_rate_measured_baud` and `carrier_hz`. Annotations of the files are not looked at. A segment
counts as on the signal where half of it lies in `active`, or it covers one of those stretches.
"""

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.core import stats
from pisces.models import modelfile, shipped
from pisces.models.modelfile import TrainedModel
from pisces.prediction.recordings import Request, predict_recording
from pisces.prediction.segments import SegmentPrediction
from pisces.sources.recordings import Recording, open_recordings


class Scored(NamedTuple):
    """Segments on the signal of one recording."""

    entry: dict[str, Any]
    segments: list[SegmentPrediction]
    elsewhere: int
    """Segments beside the signal."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()

    folder = options.model or shipped.folder()
    trained = modelfile.load(folder)
    print(machine_and_date(), f"model {folder}", sep="\n", flush=True)

    scored = []
    for entry in json.loads(options.manifest.read_text(encoding="utf-8")):
        path = options.manifest.parent / entry["file"]
        for recording in open_recordings(path):
            scored.append(score(recording, entry, trained))
    rows = [row(one, trained.modulations) for one in scored]
    print(table(rows))
    print(*totals(scored, trained.modulations), sep="\n")


def score(recording: Recording, entry: dict[str, Any], trained: TrainedModel) -> Scored:
    """What is said of a recording, sorted by whether it is said of the signal."""
    shown = predict_recording(recording, trained, Request())
    segments = [one.prediction for one in shown]
    on_signal = [one for one in segments if is_on_signal(one, entry["active"])]
    return Scored(entry, on_signal, len(segments) - len(on_signal))


def is_on_signal(segment: SegmentPrediction, active: Sequence[Sequence[int]]) -> bool:
    """Whether half of a segment lies in the active stretches, or it covers one of them whole."""
    start, end = segment.start, segment.start + segment.count
    inside = sum(max(0, min(end, first + n) - max(start, first)) for first, n in active)
    covers = any(start <= first and first + n <= end for first, n in active)
    return 2 * inside >= segment.count or covers


def row(scored: Scored, known: Sequence[str]) -> dict[str, str]:
    """Column -> cell, of one recording."""
    entry, segments = scored.entry, scored.segments
    label, n = entry["modulation"], len(segments)
    is_known = label in known
    named = Counter(one.modulation for one in segments)
    right = named[label] if is_known else None
    flagged = sum(one.known is False for one in segments)
    return {
        "recording": entry["file"],
        "is": label if is_known else f"{label}, no class",
        "segments": f"{n}" + (f" + {scored.elsewhere} elsewhere" if scored.elsewhere else ""),
        "named right": "-" if right is None else f"{right} of {n}",
        "called unknown": f"{flagged} of {n}",
        "named": ", ".join(f"{name} {times}" for name, times in named.most_common(3)),
        "novelty": spread([one.novelty for one in segments if one.novelty is not None]),
        "symbol rate (Hz)": compared(
            [one.symbol_rate_hz for one in segments], entry.get("symbol_rate_measured_baud")
        ),
        "centre (Hz)": compared([one.centre_hz for one in segments], entry.get("carrier_hz")),
    }


def spread(values: Sequence[float]) -> str:
    """Least and largest."""
    if not values:
        return "-"
    ends = sorted({f"{min(values):.2f}", f"{max(values):.2f}"}, key=float)
    return " to ".join(ends)


def compared(found: Sequence[float | None], true: float | None) -> str:
    """The median of what was found, and what is true where it is known."""
    values = [value for value in found if value is not None]
    if not values:
        return "-"
    median = f"{np.median(values):.6g}"
    return median if true is None else f"{median} ({true:.6g})"


def totals(scored: Sequence[Scored], known: Sequence[str]) -> list[str]:
    """Shares over all segments and over recordings, by kind and by whether there is a class."""
    lines = []
    for kind in ("audio", "iq", "symbols"):
        for is_known in (True, False):
            group = [
                one
                for one in scored
                if one.entry["kind"] == kind and (one.entry["modulation"] in known) == is_known
            ]
            if group:
                lines.append(f"{kind}, {'a class' if is_known else 'no class'}: {shares(group)}")
    return lines


def shares(group: Sequence[Scored]) -> str:
    """Shares of the segments with 95 % Wilson intervals."""
    segments = [(one.entry["modulation"], segment) for one in group for segment in one.segments]
    right = sum(segment.modulation == label for label, segment in segments)
    flagged = sum(segment.known is False for _, segment in segments)
    n = len(segments)
    parts = [f"{len(group)} recordings", f"{n} segments", f"named right {share(right, n)}"]
    return ", ".join([*parts, f"called unknown {share(flagged, n)}"])


def share(part: int, whole: int) -> str:
    """A share in percent with its interval."""
    low, high = stats.wilson(part, whole)
    return f"{part} ({100 * part / max(whole, 1):.1f} %, {100 * low:.1f} to {100 * high:.1f})"


if __name__ == "__main__":
    main()
