"""Recordings in, predictions out: a table on the screen and the files of one folder."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pisces.core.files import write_csv, write_json
from pisces.models.modelfile import TrainedModel
from pisces.prediction import sigmf_copy, tables
from pisces.prediction.recordings import Request, Shown, check_usable, joined, predict_recording
from pisces.prediction.segments import RecordingPrediction
from pisces.sources.recordings import Recording, describe, open_recordings

PREDICTIONS, TABLE = "predictions.json", "predictions.csv"

Show = Callable[[Recording, int, Shown], None]
"""Called with each prediction of a recording as it is made, and its number, from 0."""


class Source(NamedTuple):
    """What a user says of files of recordings."""

    datatype: str | None
    sample_rate_hz: float | None
    request: Request


def predict_files(
    paths: Sequence[str],
    trained: TrainedModel,
    source: Source,
    out: Path | None,
    show: Show | None = None,
) -> list[str]:
    """Predicts recordings one after the other; a bad one does not stop the others.

    Args:
        paths: of recordings, or - for the standard input.
        trained: the model, on the CPU.
        source: what is known of all of them.
        out: folder of `predictions.json`, `predictions.csv`, and a copy of each SigMF description
            with the predictions as annotations; None to write nothing.
        show: what else is done with predictions, such as drawing them.

    Returns:
        What is wrong with those that could not be predicted, a line each.

    Raises:
        ValueError: for a model that cannot predict recordings.
        OSError: where nothing can be written.
    """
    check_usable(trained)
    predictions: list[RecordingPrediction] = []
    descriptions: dict[str, dict[str, Any]] = {}
    complaints: list[str] = []

    for path in paths:
        try:
            for recording in open_recordings(
                path, datatype=source.datatype, sample_rate_hz=source.sample_rate_hz
            ):
                print(describe(recording), file=sys.stderr, flush=True)
                prediction = _predicted(recording, trained, source.request, show)
                print(*tables.lines(prediction), sep="\n", flush=True)
                predictions.append(prediction)
                _annotate(descriptions, recording, prediction)
        except ValueError as error:
            complaints.append(str(error))
            print(f"error: {error}", file=sys.stderr, flush=True)

    if out is not None and predictions:
        write_json(out / PREDICTIONS, [one.content() for one in predictions])
        write_csv(out / TABLE, tables.frame(predictions))
        for name, description in descriptions.items():
            write_json(out / f"{name}.sigmf-meta", description)
    return complaints


def _predicted(
    recording: Recording, trained: TrainedModel, request: Request, show: Show | None
) -> RecordingPrediction:
    def shown() -> Iterator:
        for number, one in enumerate(predict_recording(recording, trained, request)):
            if show is not None:
                show(recording, number, one)
            yield one.prediction

    return joined(recording, shown())


def _annotate(
    descriptions: dict[str, dict[str, Any]], recording: Recording, prediction: RecordingPrediction
) -> None:
    """Adds what is said of a recording to the SigMF description that it comes with.

    Recordings that are channels or captures of one file have their name in common up to a bracket,
    and one description.
    """
    if recording.metadata is None:
        return
    name = Path(recording.name.partition(" [")[0]).stem
    before = descriptions.get(name, recording.metadata)
    descriptions[name] = sigmf_copy.annotated(before, recording.first_sample, prediction)
