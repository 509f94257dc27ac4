"""Measures the Perturbation Impact Score: predictions of frames with pixels taken away.

Here predictions are made and compared with the truth, see `pisces.pis.outcome`; `pisces.pis.tables`
makes tables of them.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pisces.core.progress import progress
from pisces.core.tasks import TASKS
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober, to_device
from pisces.inputs.drawing import BinStore
from pisces.pis.masks import FRACTIONS, KINDS, Taken
from pisces.pis.outcome import Outcome
from pisces.pis.store import PerturbationPlan, first_pixel

BATCH = 256  # frames


def measure(
    model: nn.Module,
    prober: Prober,
    data: BinStore,
    plan: PerturbationPlan,
    device: torch.device,
) -> Outcome:
    """Whether a model is right about each frame as it is and after every mask and control.

    Pixels are taken from the view of the mask, and the other views stay; from a model of raw IQ,
    the samples behind them. No more than `BATCH` frames are held at once.

    Args:
        model: what predicts.
        prober: the frames as the model takes them.
        data: their constellations.
        plan: frames and masks.
        device: where the model runs.

    Returns:
        What was right, and which shares were taken.

    Two frames of three points on 2 x 2 pixels, and a model that recognises the only modulation
    by a pixel of two points or more:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from pisces.core import shards
    >>> from pisces.core.settings import to_json
    >>> from pisces.inputs.drawing import Drawing, DrawingProber
    >>> from pisces.inputs.settings import DrawSettings, Extent, RenderSettings
    >>> from pisces.pis.masks import build
    >>> from pisces.pis.settings import MaskSettings
    >>> extent = Extent(raw=2.5, symbol=2.0, noise=80.0, differential=3.0)
    >>> render = RenderSettings(
    ...     ("raw",), size=2, extent=extent, sps=8, pulse="rrc", rolloff=0.35,
    ...     carrier_offset_std=3.3e-5, delay=4,
    ... )
    >>> folder = tempfile.TemporaryDirectory()
    >>> shard = shards.Cell("BPSK", 10).path(Path(folder.name))
    >>> bins = np.array([[0, 0, 3], [1, 1, 2]], np.uint16)
    >>> attributes = {"modulation": "BPSK", "snr_db": 10, "render": to_json(render)}
    >>> shards.save(shard, {"raw/bins": bins, "row": np.arange(2)}, attributes)
    >>> data = BinStore(Path(folder.name))

    >>> class Brightest(nn.Module):
    ...     def forward(self, images):
    ...         recognised = images.amax((1, 2, 3)) >= 2
    ...         logits = torch.stack([recognised, ~recognised], 1).float()
    ...         return logits, logits
    >>> drawing = Drawing(render, DrawSettings("histogram", sigma_px=1.0, decay_px=(1.0, 2.0, 4.0)))
    >>> settings = MaskSettings(
    ...     views=None, rules=("exact",), masks=("top", "bottom"), levels_percent=(50,),
    ...     curve_percent=(), regions=(), rings=1, sectors=2, core_percent=50, window=0.5,
    ...     stride=0.5, frames_per_cell=None,
    ... )
    >>> masks = tuple(build(["raw"], settings, size=2))
    >>> plan = PerturbationPlan(data.every_frame(), masks, settings, seed=1, render=render)
    >>> prober = DrawingProber(drawing, data)
    >>> outcome = measure(Brightest(), prober, data, plan, torch.device("cpu"))
    >>> outcome.baseline["joint"].tolist()
    [True, True]
    >>> outcome.correct["mask"]["joint"].tolist()  # the brightest of two lit pixels, or the other
    [[False, False], [True, True]]
    >>> folder.cleanup()
    """
    model = model.to(device).to(memory_format=torch.channels_last)
    snrs_db = np.array(data.true_snrs_db, np.float32)
    outcome = Outcome(list(plan.masks), len(plan.frame))

    chunks = list(plan.chunks(BATCH))
    for start, stop in progress(chunks, f"pis, {BATCH} frames each"):
        index = plan.frame[start:stop]
        probe = prober.probe(index, device)
        predictions = MaskedPredictions(model, probe, index[:, :2], snrs_db[index[:, 1]])

        # First the frames as they are: prediction i is that of frame i.
        nothing = np.empty(0, np.int32)
        predictions.add(np.arange(len(index)), np.zeros(len(index), np.int32), nothing)
        masked, fraction = _add_masks(predictions, data, plan, start, stop)
        _fill(outcome, start, predictions.right(), masked, fraction)
    return outcome


def _add_masks(
    predictions: "MaskedPredictions", data: BinStore, plan: PerturbationPlan, start: int, stop: int
) -> tuple[np.ndarray, np.ndarray]:
    """Adds the predictions of some frames for all masks and controls.

    Args:
        predictions: of these frames, of which those of the whole frames come first.
        data: their constellations.
        plan: frames and masks.
        start: number of the first frame in the plan.
        stop: number after the last.

    Returns:
        Numbers of the predictions, int (n, kinds, masks), and the shares that are taken, float32
        (n, kinds, masks, fractions).
    """
    masked = np.empty((stop - start, len(KINDS), len(plan.masks)), int)
    fraction = np.empty((*masked.shape, len(FRACTIONS)), np.float32)
    for view in plan.views:
        places = [i for i, mask in enumerate(plan.masks) if mask.view == view]
        masks = [plan.masks[i] for i in places]
        first = first_pixel(data.render, view)
        for frame, taken in enumerate(plan.taken(data, start, stop, masks)):
            masked[frame][:, places] = _add_frame(predictions, frame, taken, first)
            fraction[frame][:, places] = taken.fraction
    return masked, fraction


def _add_frame(
    predictions: "MaskedPredictions", frame: int, taken: Taken, first_pixel: int
) -> np.ndarray:
    """Adds the predictions of one frame for all masks of one view and their controls.

    The same pixels are predicted once: ties make percentile masks coincide, and masks of equal
    size share their control. What takes none has the prediction of the whole frame.

    Returns:
        Numbers of the predictions, int (kinds, masks).
    """
    kinds_and_masks = taken.chosen.shape[:2]
    lit = len(taken.lit)
    if lit == 0:
        return np.full(kinds_and_masks, frame)

    lists = taken.chosen.reshape(-1, lit)  # bool (kinds * masks, lit)
    nothing = _keys(np.zeros((1, lit), bool))[0]
    number_of = {nothing: frame}
    numbers: list[int] = []
    new: list[int] = []
    for i, key in enumerate(_keys(lists)):
        if key not in number_of:
            number_of[key] = predictions.asked + len(new)
            new.append(i)
        numbers.append(number_of[key])

    lengths, pixels = _listed(lists[new], first_pixel + taken.lit)
    predictions.add(np.full(len(new), frame), lengths, pixels)
    return np.reshape(numbers, kinds_and_masks)


def _keys(lists: np.ndarray) -> list[bytes]:
    """Of each list, bool (lists, lit), bytes that are equal where lists are."""
    packed = np.packbits(lists, axis=1)
    of_lists = packed.view(f"V{packed.shape[1]}")[:, 0]
    return of_lists.tolist()


def _listed(lists: np.ndarray, lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels that lists hold, one list after the other.

    Args:
        lists: which lit pixels each of them holds, bool (lists, lit).
        lit: numbers of the lit pixels, (lit,).

    Returns:
        Pixels of each list, (lists,), and their numbers, int32 (total,).
    """
    # Several times as fast as a boolean index, which guesses at each pixel.
    places = np.flatnonzero(lists)
    pixels = np.tile(lit.astype(np.int32), len(lists))[places]

    ends = np.arange(len(lists) + 1) * len(lit)
    lengths = np.diff(np.searchsorted(places, ends))
    return lengths, pixels


def _fill(
    outcome: Outcome,
    start: int,
    right: dict[str, np.ndarray],
    masked: np.ndarray,
    fraction: np.ndarray,
) -> None:
    """Writes into the outcome what was found out about n frames.

    Args:
        outcome: of all frames of the plan.
        start: number of the first frame.
        right: task -> whether each prediction is right, bool (predictions,); the first n are those
            of the frames as they are.
        masked: numbers of the others, int (n, kinds, masks).
        fraction: shares taken, (n, kinds, masks, fractions).
    """
    stop = start + len(masked)
    for task in TASKS:
        outcome.baseline[task][start:stop] = right[task][: len(masked)]
    for k, kind in enumerate(KINDS):
        numbers = masked[:, k].T  # (masks, frames)
        shares = fraction[:, k].transpose(1, 2, 0)  # (masks, fractions, frames)
        outcome.fraction[kind][:, :, start:stop] = shares
        for task in TASKS:
            outcome.correct[kind][task][:, start:stop] = right[task][numbers]


class Lists(NamedTuple):
    """Pixels to be masked: one list after the other, each of one frame."""

    frames: np.ndarray
    """The frame of each list, int (lists,)."""
    lengths: np.ndarray
    """Pixels of each list, int (lists,)."""
    pixels: np.ndarray
    """Their numbers, int32 (sum of the lengths,)."""


class MaskedPredictions:
    """Whether a model is right about frames with pixels masked, predicted in full batches.

    What it predicts stays on the device until `right` fetches all of it at once.

    Args:
        model: what predicts.
        probe: of n frames.
        targets: their classes, int (n, 2).
        snrs_db: their true SNRs in dB, float32 (n,).
    """

    def __init__(
        self, model: nn.Module, probe: Probe, targets: np.ndarray, snrs_db: np.ndarray
    ) -> None:
        self.model, self.probe, self.targets, self.snrs_db = model, probe, targets, snrs_db
        self.asked = 0
        """Predictions so far: the number of the next one."""
        self._waiting: list[Lists] = []
        self._predicted: list[torch.Tensor] = []  # of each batch, classes int64 (lists, 2)
        self._frames: list[np.ndarray] = []  # of each batch, int (lists,)

    def add(self, frames: np.ndarray, lengths: np.ndarray, pixels: np.ndarray) -> None:
        """Asks for a prediction for each list; see `Lists`. They are numbered from `asked` on."""
        self._waiting.append(Lists(frames, lengths, pixels))
        self.asked += len(frames)
        if sum(len(lists.frames) for lists in self._waiting) >= BATCH:
            self._predict(fewest=BATCH)

    def right(self) -> dict[str, np.ndarray]:
        """Task -> whether each prediction is right, bool (predictions,)."""
        self._predict(fewest=1)
        predicted = torch.cat(self._predicted).cpu().numpy()  # which waits for the device
        truth = self.targets[np.concatenate(self._frames)]
        modulation, snr = (predicted == truth).T
        return {"modulation": modulation, "snr": snr, "joint": modulation & snr}

    def _predict(self, fewest: int) -> None:
        """Predicts what waits, a batch at a time, as long as `fewest` lists wait."""
        frames, lengths, pixels = (
            np.concatenate(column) for column in zip(*self._waiting, strict=True)
        )
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        start = 0
        while len(frames) - start >= fewest:
            stop = min(start + BATCH, len(frames))
            first, last = offsets[start], offsets[stop]
            of_batch = offsets[start : stop + 1] - first
            self._predict_batch(frames[start:stop], pixels[first:last], of_batch)
            start = stop
        self._waiting = [Lists(frames[start:], lengths[start:], pixels[offsets[start] :])]

    def _predict_batch(self, frames: np.ndarray, pixels: np.ndarray, offsets: np.ndarray) -> None:
        """Predicts one batch; the arguments are those of `Probe.without`."""
        inputs = self.probe.without(frames, pixels, offsets)
        logits = predict(self.model, inputs, to_device(self.snrs_db[frames], inputs.device))
        self._predicted.append(torch.stack([of_head.argmax(1) for of_head in logits], 1))
        self._frames.append(frames)
