"""A recording -> what a model says of each signal in it."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from pisces.acquisition.acquire import OFFSETS, acquire
from pisces.acquisition.pulse import response_of
from pisces.acquisition.segment import Acquired, Segment
from pisces.core.dsp import to_frames
from pisces.core.progress import progress
from pisces.models.modelfile import TrainedModel
from pisces.prediction import segments
from pisces.prediction.frames import Prediction, predict
from pisces.prediction.segments import RecordingPrediction, SegmentPrediction
from pisces.sources.recordings import Recording

AT_ONCE = 1024
"""Frames of a list that are read together; the pulse is found from the first so many."""
MOST_FRAMES = 100_000
"""Of a list of unrelated frames, each of which is a line of the table."""
TINY = 1e-12
"""Keeps probabilities of zero from having no logarithm."""


class Shown(NamedTuple):
    """A prediction, with the frames that it was made from."""

    prediction: SegmentPrediction
    frames: torch.Tensor
    """float32 (n, samples, 2), I then Q."""
    model: TrainedModel
    """Which reads frames by the pulse of this signal."""


class Request(NamedTuple):
    """What a user says of recordings."""

    symbol_rate_hz: float | None = None
    """None: as annotated, or found."""
    annotated: bool = False
    """Whether signals are where the annotations say, and nowhere else."""


@dataclass(frozen=True)
class _Place:
    """Where a signal is; the fields are those of `SegmentPrediction`."""

    start: int
    count: int
    symbol_rate_hz: float | None = None
    symbol_rate_confidence: float | None = None
    centre_hz: float | None = None
    bandwidth_hz: float | None = None


class _Said(NamedTuple):
    """What is said of a signal; the fields are those of `SegmentPrediction`."""

    modulation: str
    probability: float
    alternatives: tuple[segments.Alternative, ...]
    snr_db: float
    snr_interval_db: tuple[float | None, float | None] | None
    known: bool | None
    novelty: float | None


def check_usable(trained: TrainedModel) -> tuple[int, int]:
    """Samples of a frame and of a symbol that a model takes.

    Raises:
        ValueError: for a model that cannot predict recordings.
    """
    if trained.model.is_conditioned:
        raise ValueError(
            "the model is conditioned on the true SNR, which no recording tells; "
            "train one with cldnn.condition = blind"
        )
    samples, sps = trained.input.frame_samples, trained.input.symbol_samples
    if samples is None or sps is None:
        raise ValueError(
            "the model card does not say of how many samples frames and symbols are, "
            "as those written by older versions; train again with dvc repro --force train"
        )
    return samples, sps


def predict_recording(
    recording: Recording, trained: TrainedModel, request: Request
) -> Iterator[Shown]:
    """What a model says of each signal of a recording, in about the order of time.

    Args:
        recording: of any length; at most some MB of it are in memory.
        trained: the model, on the CPU.
        request: what is known of the recording.

    Yields:
        Predictions. Signals shorter than a frame have none.

    Raises:
        ValueError: for a model or a recording that cannot be predicted.
    """
    samples, sps = check_usable(trained)
    if recording.frame_length == samples and not request.symbol_rate_hz:
        yield from _frame_by_frame(recording, trained)
        return

    found = acquire(
        recording,
        samples=samples,
        sps=sps,
        symbol_rate_hz=request.symbol_rate_hz,
        max_offset=OFFSETS * _offset_std(trained),
        annotated=request.annotated,
    )
    for acquired in progress(found, f"signals of {recording.name}"):
        if len(acquired.frames):
            yield _of_signal(recording, acquired, trained)


def joined(recording: Recording, shown: Iterable[SegmentPrediction]) -> RecordingPrediction:
    """The predictions of a recording with its summary."""
    predictions = tuple(shown)
    rate_hz = recording.sample_rate_hz
    seconds = recording.count / rate_hz if rate_hz else None
    summary = segments.summary(predictions, seconds)
    return RecordingPrediction(recording.name, predictions, summary, rate_hz)


def _offset_std(trained: TrainedModel) -> float:
    """Cycles a sample, that the receiver of the model expects."""
    receiver = trained.input.receiver
    return receiver.carrier_offset_std if receiver else 0.0


def _of_signal(recording: Recording, acquired: Acquired, trained: TrainedModel) -> Shown:
    """The prediction of one signal, read by its own pulse."""
    _, sps = check_usable(trained)
    own = trained._replace(input=trained.input.received_by(response_of(acquired.frames, sps)))
    frames = torch.from_numpy(to_frames(acquired.frames))
    said = _pooled(predict(own, frames), trained)
    place = _place_of(acquired.segment, recording)
    return Shown(_joined(place, len(frames), said), frames, own)


def _frame_by_frame(recording: Recording, trained: TrainedModel) -> Iterator[Shown]:
    """Unrelated frames of the model's length, read by the pulse that they have in common."""
    samples, sps = check_usable(trained)
    count = recording.count // samples
    if count > MOST_FRAMES:
        raise ValueError(
            f"{recording.name} is a list of {count} frames, more than {MOST_FRAMES}: "
            "give a part of it, or let the pipeline evaluate it as data.path"
        )
    if recording.samples_per_symbol not in (None, sps):
        raise ValueError(
            f"{recording.name} has {recording.samples_per_symbol:g} samples a symbol and the model "
            f"was trained on {sps}: resample it, or give --symbol-rate in sample rates"
        )

    own = None
    for first in progress(range(0, count, AT_ONCE), f"frames of {recording.name}"):
        few = min(AT_ONCE, count - first)
        iq = recording.read(first * samples, few * samples).reshape(few, samples)
        own = own or trained._replace(input=trained.input.received_by(response_of(iq, sps)))
        frames = torch.from_numpy(to_frames(iq))
        said = predict(own, frames)
        for row in range(few):
            only = slice(row, row + 1)
            place = _Place((first + row) * samples, samples)
            yield Shown(_joined(place, 1, _pooled(_rows(said, only), trained)), frames[only], own)


def _joined(place: _Place, frames: int, said: _Said) -> SegmentPrediction:
    return SegmentPrediction(frames=frames, **vars(place), **said._asdict())


def _rows(said: Prediction, rows: slice) -> Prediction:
    def some(of_all: np.ndarray | None) -> np.ndarray | None:
        return None if of_all is None else of_all[rows]

    return Prediction(
        modulation_prob=said.modulation_prob[rows],
        snr_prob=said.snr_prob[rows],
        snr_db=said.snr_db[rows],
        snr_interval_db=some(said.snr_interval_db),
        novelty=some(said.novelty),
        known=some(said.known),
    )


def _place_of(segment: Segment, recording: Recording) -> _Place:
    """Where a segment is, in hertz where the sample rate is known."""
    if recording.sample_rate_hz is None:
        return _Place(segment.start, segment.count)
    return _Place(
        segment.start,
        segment.count,
        segment.symbol_rate_hz,
        segment.symbol_rate_confidence,
        recording.center_hz + segment.center_hz,
        segment.bandwidth_hz,
    )


def _pooled(said: Prediction, trained: TrainedModel) -> _Said:
    """What the frames of a signal say together: medians, and for the modulation `segments.pooled`.

    Novelty counts in thresholds, so that a signal is known up to 1.
    """
    probability = segments.pooled(np.log(np.maximum(said.modulation_prob, TINY)))
    named = segments.likeliest(probability, trained.modulations)

    interval_db = None
    if said.snr_interval_db is not None:
        low, high = (_finite(end) for end in np.median(said.snr_interval_db, 0))
        interval_db = low, high
    snr_db = float(np.median(said.snr_db))
    threshold = _threshold(trained)
    if said.novelty is None or threshold is None:
        return _Said(*named, snr_db, interval_db, None, None)
    novelty = float(np.median(said.novelty)) / threshold
    return _Said(*named, snr_db, interval_db, novelty <= 1, novelty)


def _finite(end: np.floating) -> float | None:
    return float(end) if math.isfinite(end) else None


def _threshold(trained: TrainedModel) -> float | None:
    """Of the novelty of a frame; None where the card has none."""
    calibration = trained.calibration
    return calibration.novelty.threshold if calibration and calibration.novelty else None
