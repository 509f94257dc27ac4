"""Recordings in, predictions out: a table on the screen and the files of one folder."""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pisces.core.files import staged, together, write_csv, write_json
from pisces.core.texts import printable
from pisces.models.modelfile import TrainedModel
from pisces.prediction import sigmf_copy, tables
from pisces.prediction.outputs import Outputs, data_of
from pisces.prediction.recordings import Request, Shown, check_usable, joined, predict_recording
from pisces.prediction.segments import RecordingPrediction, SegmentPrediction
from pisces.sources.recordings import Recording, describe, open_recordings

Show = Callable[[Recording, int, Shown], None]
"""Called with each prediction of a recording as it is made, and its number, from 0."""


class Source(NamedTuple):
    """What a user says of files of recordings."""

    datatype: str | None
    sample_rate_hz: float | None
    request: Request


class Outcome(NamedTuple):
    """How many recordings were predicted, and what is wrong with the others, a line each."""

    predicted: int
    complaints: list[str]


def predict_files(
    paths: Sequence[str],
    trained: TrainedModel,
    source: Source,
    outputs: Outputs,
    show: Show | None = None,
) -> Outcome:
    """Predicts recordings one after the other; a bad one does not stop the others.

    What is written appears at the end, whole or not at all: `predictions.json`, `predictions.csv`,
    and a copy of each SigMF description with the predictions as annotations, beside a link to its
    data.

    Args:
        paths: of recordings, or - for the standard input; a recording that comes twice, as by its
            metadata and by its data, is predicted once.
        trained: the model, on the CPU.
        source: what is known of all of them.
        outputs: where it is written.
        show: what else is done with predictions, such as drawing them.

    Returns:
        What became of the recordings.

    Raises:
        ValueError: for a model that cannot predict recordings.
        OSError: where nothing can be written.
    """
    check_usable(trained)
    predictions: list[RecordingPrediction] = []
    descriptions: dict[Path, _Described] = {}
    complaints: list[str] = []

    for recording in _opened(paths, source, complaints):
        try:
            prediction = _predicted(recording, trained, source.request, outputs, show)
        except ValueError as error:
            of = "" if recording.name in str(error) else f"{recording.name}: "
            _complain(complaints, f"{of}{error}")
            continue
        print(*tables.lines(prediction), sep="\n", flush=True)
        predictions.append(prediction)
        _describe(descriptions, recording, prediction, outputs)

    if predictions:
        with together():
            _write(predictions, descriptions, outputs)
    return Outcome(len(predictions), complaints)


class _Described(NamedTuple):
    """A SigMF description with predictions, and the data that it describes."""

    content: dict[str, Any]
    data: Path


def _opened(paths: Sequence[str], source: Source, complaints: list[str]) -> Iterator[Recording]:
    """The recordings of all files that can be opened, each once."""
    seen = set()
    for path in paths:
        try:
            found = open_recordings(
                path, datatype=source.datatype, sample_rate_hz=source.sample_rate_hz
            )
        except ValueError as error:
            _complain(complaints, str(error))
            continue
        for recording in found:
            data = data_of(recording)
            key = data.resolve(), recording.name
            if data.is_file() and key in seen:
                print(f"{path}: {recording.name} was predicted above", file=sys.stderr)
                continue
            seen.add(key)
            yield recording


def _complain(complaints: list[str], error: str) -> None:
    complaints.append(error)
    print(f"error: {printable(error)}", file=sys.stderr, flush=True)


def _predicted(
    recording: Recording,
    trained: TrainedModel,
    request: Request,
    outputs: Outputs,
    show: Show | None,
) -> RecordingPrediction:
    """The predictions of a recording; its pictures appear when all of it is predicted."""
    print(describe(recording), file=sys.stderr, flush=True)
    if recording.metadata is not None:
        outputs.description(recording)  # refused before the work

    def shown() -> Iterator[SegmentPrediction]:
        for number, one in enumerate(predict_recording(recording, trained, request)):
            if show is not None:
                show(recording, number, one)
            yield one.prediction

    with together():
        return joined(recording, shown())


def _describe(
    descriptions: dict[Path, _Described],
    recording: Recording,
    prediction: RecordingPrediction,
    outputs: Outputs,
) -> None:
    """Adds what is said of a recording to the SigMF description that it comes with.

    Captures and channels of one file have one description.
    """
    if recording.metadata is None:
        return
    path = outputs.description(recording)
    if path in descriptions:
        before = descriptions[path].content
    else:
        before = sigmf_copy.without_ours(recording.metadata)
    content = sigmf_copy.annotated(before, recording.first_sample, prediction)
    descriptions[path] = _Described(content, data_of(recording))


def _write(
    predictions: list[RecordingPrediction],
    descriptions: dict[Path, _Described],
    outputs: Outputs,
) -> None:
    write_json(outputs.predictions, [one.content() for one in predictions])
    write_csv(outputs.table, tables.frame(predictions))
    for path, described in descriptions.items():
        write_json(path, described.content)
        link = path.with_name(described.data.name)
        if described.data.is_file() and (link.is_symlink() or not link.exists()):
            with staged(link) as temporary:
                temporary.symlink_to(described.data.resolve())
