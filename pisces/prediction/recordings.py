"""A recording -> what a model says of each signal in it."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from pisces.acquisition import levels
from pisces.acquisition.acquire import OFFSETS, acquire
from pisces.acquisition.pulse import response_of
from pisces.acquisition.segment import Segment
from pisces.core.dsp import to_frames
from pisces.core.progress import meter
from pisces.core.texts import counted
from pisces.models.modelfile import TrainedModel
from pisces.prediction import segments
from pisces.prediction.frames import Prediction, predict
from pisces.prediction.segments import RecordingPrediction, SegmentPrediction
from pisces.sources.recordings import Annotation, Recording

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


class _Place(NamedTuple):
    """Where a signal is; the fields are those of `SegmentPrediction`."""

    start: int
    count: int  # type: ignore[assignment]  # it hides a method of tuples
    symbol_rate_hz: float | None = None
    symbol_rate_confidence: float | None = None
    centre_hz: float | None = None
    bandwidth_hz: float | None = None


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
        recording: of any length; at most some hundred MB of it are in memory.
        trained: the model, on the CPU.
        request: what is known of the recording.

    Yields:
        Predictions. Signals shorter than a frame have none.

    Raises:
        ValueError: for a model or a recording that cannot be predicted.
    """
    samples, sps = check_usable(trained)
    symbols = samples // sps
    _check_request(recording, request, symbols)
    are_frames = recording.frame_length == samples and request.symbol_rate_hz is None

    found = False
    with meter(f"samples of {recording.name}", recording.count) as tell:
        watch = _Watch(recording, tell)
        watched = replace(recording, read=watch.read, annotations=_long_enough(recording, symbols))
        some = _frame_by_frame if are_frames else partial(_signal_by_signal, request=request)
        for shown in some(watched, trained):
            found = True
            yield shown
    if not found:
        _check_emptiness(recording, watch, samples, sps)


def joined(recording: Recording, shown: Iterable[SegmentPrediction]) -> RecordingPrediction:
    """The predictions of a recording with its summary."""
    predictions = tuple(shown)
    rate_hz = recording.sample_rate_hz
    seconds = recording.count / rate_hz if rate_hz else None
    summary = segments.summary(predictions, seconds)
    path = str(recording.path)
    return RecordingPrediction(recording.name, path, predictions, summary, rate_hz)


def _check_request(recording: Recording, request: Request, symbols: int) -> None:
    """Raises ValueError where a recording cannot hold a frame, or what is asked for.

    Args:
        recording: to be predicted.
        request: what a user says of it.
        symbols: of a frame.
    """
    count, rate_hz = recording.count, recording.sample_rate_hz or 1.0
    symbols_a_sample = (request.symbol_rate_hz or rate_hz) / rate_hz
    if symbols_a_sample > 1:
        of = f"its sample rate of {rate_hz:g} Hz" if recording.sample_rate_hz else "a sample rate"
        raise ValueError(
            f"--symbol-rate {request.symbol_rate_hz:g} is above {of} in {recording.name}: give the "
            "symbols a second, or the right --sample-rate"
        )
    if count * symbols_a_sample < symbols:
        at = f" of {1 / symbols_a_sample:g} samples" if request.symbol_rate_hz else ""
        raise ValueError(
            f"{recording.name} holds {counted(count, 'sample')}, too few for the {symbols} "
            f"symbols{at} that a frame of the model has: give a longer recording"
        )
    if request.annotated and not _long_enough(recording, symbols):
        raise ValueError(
            f"{recording.name} has no annotations of {symbols} samples or more, where --annotated "
            "would look for signals: leave --annotated out, and they are found"
        )


def _long_enough(recording: Recording, symbols: int) -> tuple[Annotation, ...]:
    """The annotations that can hold the symbols of a frame, at one sample each at least."""
    return tuple(one for one in recording.annotations if one.count >= symbols)


class _Watch:
    """Reads a recording, and keeps an eye on what is read."""

    def __init__(self, recording: Recording, tell: Callable[[int], None]) -> None:
        self._recording = recording
        self._tell = tell
        self._first: complex | None = None
        self._differs = False

    @property
    def is_constant(self) -> bool:
        """Whether samples were read, and all of them are the same."""
        return self._first is not None and not self._differs

    def read(self, start: int, count: int) -> np.ndarray:
        self._tell(start)  # what came before has been dealt with
        iq = levels.read(self._recording, start, count)
        if self._first is None and len(iq):
            self._first = iq[0]
        self._differs = self._differs or bool((iq != self._first).any())
        return iq


def _check_emptiness(recording: Recording, watch: _Watch, samples: int, sps: int) -> None:
    """Raises ValueError where there is a reason why nothing was found.

    Args:
        recording: in which there is no signal.
        watch: through which it was read.
        samples: of a frame of the model.
        sps: samples a symbol of it.
    """
    if watch.is_constant:
        raise ValueError(
            f"{recording.name} is silent, all of its samples are the same: look at what recorded "
            "it, and at --datatype where it holds raw samples"
        )
    length = recording.frame_length or recording.count
    if length < samples:
        what = "frames" if recording.frame_length else "a length"
        raise ValueError(
            f"{recording.name} has {what} of {counted(length, 'sample')}, in which there is no "
            f"signal of {samples // sps} symbols, as the model needs them: record for longer"
        )


def _signal_by_signal(
    recording: Recording, trained: TrainedModel, request: Request
) -> Iterator[Shown]:
    """The signals that are found in a recording, each read by its own pulse."""
    samples, sps = check_usable(trained)
    found = acquire(
        recording,
        samples=samples,
        sps=sps,
        symbol_rate_hz=request.symbol_rate_hz,
        max_offset=OFFSETS * _offset_std(trained),
        annotated=request.annotated,
    )
    for acquired in found:
        if not len(acquired.frames):
            continue
        own = _reading(trained, acquired.frames)
        frames = torch.from_numpy(to_frames(acquired.frames))
        place = _place_of(acquired.segment, recording)
        yield Shown(_segment(place, predict(own, frames), trained), frames, own)


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
    for first in range(0, count, AT_ONCE):
        few = min(AT_ONCE, count - first)
        iq = recording.read(first * samples, few * samples).reshape(few, samples)
        own = own or _reading(trained, iq)
        frames = torch.from_numpy(to_frames(iq))
        predictions = predict(own, frames)
        for row in range(few):
            place = _Place((first + row) * samples, samples)
            one = _segment(place, _row(predictions, row), trained)
            yield Shown(one, frames[row : row + 1], own)


def _reading(trained: TrainedModel, iq: np.ndarray) -> TrainedModel:
    """The model as it reads frames complex64 (n, samples): by the pulse that they show."""
    _, sps = check_usable(trained)
    return trained._replace(input=trained.input.received_by(response_of(iq, sps)))


def _offset_std(trained: TrainedModel) -> float:
    """Cycles a sample, that the receiver of the model expects."""
    receiver = trained.input.receiver
    return receiver.carrier_offset_std if receiver else 0.0


def _place_of(segment: Segment, recording: Recording) -> _Place:
    """Where a segment is, in hertz where the sample rate is known."""
    if recording.sample_rate_hz is None:
        return _Place(segment.start, segment.count)
    return _Place(
        start=segment.start,
        count=segment.count,
        symbol_rate_hz=segment.symbol_rate_hz,
        symbol_rate_confidence=segment.symbol_rate_confidence,
        centre_hz=recording.center_hz + segment.center_hz,
        bandwidth_hz=segment.bandwidth_hz,
    )


def _row(predictions: Prediction, row: int) -> Prediction:
    """The prediction of one frame of several."""
    return Prediction._make(None if of is None else of[row : row + 1] for of in predictions)


def _segment(place: _Place, frames: Prediction, trained: TrainedModel) -> SegmentPrediction:
    """What the frames of a signal say together: medians, and for the modulation `segments.pooled`.

    Novelty counts in thresholds, so that a signal is known up to 1.
    """
    probability = segments.pooled(np.log(np.maximum(frames.modulation_prob, TINY)))
    modulation, likeliest, alternatives = segments.likeliest(probability, trained.modulations)
    novelty = _novelty(frames, trained)
    has_rate = segments.has_symbol_rate(place.symbol_rate_confidence)
    return SegmentPrediction(
        start=place.start,
        count=place.count,
        frames=len(frames.modulation_prob),
        modulation=modulation,
        probability=likeliest,
        alternatives=alternatives,
        snr_db=float(np.median(frames.snr_db)),
        snr_interval_db=_interval_db(frames),
        symbol_rate_hz=place.symbol_rate_hz,
        symbol_rate_confidence=place.symbol_rate_confidence,
        centre_hz=place.centre_hz,
        bandwidth_hz=place.bandwidth_hz,
        known=None if novelty is None else novelty <= 1 and has_rate,
        novelty=novelty,
    )


def _interval_db(frames: Prediction) -> tuple[float | None, float | None] | None:
    """The median of both ends, None where an end is open."""
    if frames.snr_interval_db is None:
        return None
    low, high = np.median(frames.snr_interval_db, 0).tolist()
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None


def _novelty(frames: Prediction, trained: TrainedModel) -> float | None:
    """The median in thresholds; None where the card has none."""
    calibration = trained.calibration
    threshold = calibration.novelty.threshold if calibration and calibration.novelty else None
    if frames.novelty is None or threshold is None:
        return None
    return float(np.median(frames.novelty)) / threshold
