"""The Perturbation Impact Score: accuracy lost for each fraction of the picture that is taken away.

PIS = (accuracy before - accuracy after) / fraction (Siddiqui, Wang and Ramachandran 2025), for
modulation, SNR and joint accuracy. The fraction is the realised one, of the lit pixels, averaged
over the frames; the published rule of dividing by the nominal level is kept beside it. A score is
read against its control: the same number of lit pixels, or the same mass, taken at random.

Here predictions are made and compared with the truth; `pisces.pis.tables` makes tables of them.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from pisces.core.files import write_npz
from pisces.core.progress import progress
from pisces.core.tasks import TASKS
from pisces.evaluation.inference import predict
from pisces.inputs.base import Probe, Prober
from pisces.inputs.drawing import BinStore
from pisces.pis.masks import FRACTIONS, KINDS, Mask, Taken
from pisces.pis.store import PerturbationPlan, first_pixel

BATCH = 256  # frames


def impact(accuracy_drop: float | np.ndarray, fraction: float | np.ndarray) -> np.ndarray:
    """PIS of accuracy drops, -1..1, and fractions, 0..1; NaN where nothing was taken.

    >>> print(f"{impact(0.5125660 - 0.3950382, 0.01):.2f}")  # as published: top 1 %, joint
    11.75
    """
    return divide_or_nan(accuracy_drop, fraction)


def divide_or_nan(numerator: float | np.ndarray, denominator: float | np.ndarray) -> np.ndarray:
    """The quotient, NaN where the denominator is not above 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.divide(numerator, denominator)
    return np.where(np.greater(denominator, 0), quotient, np.nan)[()]


class Outcome:
    """Whether a model was right about the same n frames before and after each perturbation.

    Attributes:
        masks: what was taken.
        baseline: task -> bool (n,), before anything is taken.
        correct: kind of `KINDS` -> task -> bool (masks, n).
        fraction: kind -> float32 (masks, 3, n), shares taken of each frame as in `FRACTIONS`.

    It takes 45 bytes a mask and frame: three kinds of three predictions of a byte and three
    fractions of four.
    """

    def __init__(self, masks: list[Mask], n: int):
        self.masks = masks
        self.baseline = {task: np.zeros(n, bool) for task in TASKS}
        self.correct = {kind: self._wrong(n) for kind in KINDS}
        self.fraction = {
            kind: np.zeros((len(masks), len(FRACTIONS), n), np.float32) for kind in KINDS
        }

    def _wrong(self, n: int) -> dict[str, np.ndarray]:
        return {task: np.zeros((len(self.masks), n), bool) for task in TASKS}

    def of(self, frames: np.ndarray) -> "Outcome":
        """The outcome of a subset of frames, bool (n,), as a copy."""
        part = Outcome(self.masks, 0)
        part.baseline = {task: right[frames] for task, right in self.baseline.items()}
        for kind in KINDS:
            of_kind = self.correct[kind]
            part.correct[kind] = {task: right[:, frames] for task, right in of_kind.items()}
            part.fraction[kind] = self.fraction[kind][:, :, frames]
        return part

    def only(self, chosen: Callable[[Mask], bool]) -> "Outcome":
        """The outcome of some of the masks, as a copy of theirs."""
        places = [i for i, mask in enumerate(self.masks) if chosen(mask)]
        part = Outcome([self.masks[i] for i in places], 0)
        part.baseline = self.baseline
        for kind in KINDS:
            of_kind = self.correct[kind]
            part.correct[kind] = {task: right[places] for task, right in of_kind.items()}
            part.fraction[kind] = self.fraction[kind][places]
        return part

    def accuracy(self) -> dict[str, float]:
        """Of each task before anything is taken."""
        return {task: float(right.mean()) for task, right in self.baseline.items()}

    def write(self, path: Path, frame: np.ndarray, note: str) -> None:
        """Writes whether each prediction was right, for one's own analysis.

        Args:
            path: an npz file with `frame` (n, 3), `masks` (names), `<task>_baseline` bool (n,),
                `<task>_<kind>` bool (masks, n), `fraction_<kind>` float32 (masks, 3, n) and
                `note` (str).
            frame: index of the frames, (n, 3).
            note: what happens to the samples behind masked pixels, for captions; may be empty.
        """
        arrays = {"frame": frame, "masks": np.array([mask.key for mask in self.masks])}
        for task in TASKS:
            arrays[f"{task}_baseline"] = self.baseline[task]
        for kind in KINDS:
            for task in TASKS:
                arrays[f"{task}_{kind}"] = self.correct[kind][task]
        for kind in KINDS:
            arrays[f"fraction_{kind}"] = self.fraction[kind]
        write_npz(path, arrays | {"note": np.array(note)})


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
    snrs_db = torch.tensor(data.true_snrs_db, dtype=torch.float32, device=device)
    outcome = Outcome(list(plan.masks), len(plan.frame))

    chunks = list(plan.chunks(BATCH))
    for start, stop in progress(chunks, f"pis, {BATCH} frames each"):
        index = plan.frame[start:stop]
        probe = prober.probe(index, device)
        predictions = MaskedPredictions(model, probe, index[:, :2], snrs_db[index[:, 1]])

        whole = [predictions.add(i, np.empty(0, np.int64)) for i in range(len(index))]
        masked, fraction = _add_masks(predictions, whole, data, plan, start)
        _fill(outcome, start, stop, predictions.right(), whole, masked, fraction)
    return outcome


def _add_masks(
    predictions: "MaskedPredictions",
    whole: list[int],
    data: BinStore,
    plan: PerturbationPlan,
    start: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Adds the predictions of n frames, from `start` on, for all masks and controls.

    Args:
        predictions: of these frames.
        whole: numbers of their predictions with no pixel masked, (n,).
        data: their constellations.
        plan: frames and masks.
        start: number of the first frame in the plan.

    Returns:
        Numbers of the predictions, int (n, kinds, masks), and the shares that are taken, float32
        (n, kinds, masks, fractions).
    """
    n = len(whole)
    masked = np.empty((n, len(KINDS), len(plan.masks)), int)
    fraction = np.empty((*masked.shape, len(FRACTIONS)), np.float32)
    for view in plan.views:
        places = [i for i, mask in enumerate(plan.masks) if mask.view == view]
        masks = [plan.masks[i] for i in places]
        first = first_pixel(data.render, view)
        for i, taken in enumerate(plan.taken(data, start, start + n, masks)):
            masked[i][:, places] = _add_frame(predictions, i, whole[i], taken, first)
            fraction[i][:, places] = taken.fraction
    return masked, fraction


def _add_frame(
    predictions: "MaskedPredictions", frame: int, whole: int, taken: Taken, first: int
) -> np.ndarray:
    """Adds the predictions of one frame for all masks of one view and their controls.

    The same pixels are predicted once: ties make percentile masks coincide, and masks of equal
    size share their control. What takes none has the prediction `whole`, of the whole frame.

    Returns:
        Numbers of the predictions, int (kinds, masks).
    """
    number_of: dict[bytes, int] = {bytes(len(taken.lit)): whole}
    numbers = []
    for chosen in np.concatenate(list(taken.chosen)):  # (kinds * masks, lit)
        key = chosen.tobytes()
        if key not in number_of:
            number_of[key] = predictions.add(frame, first + taken.lit[chosen])
        numbers.append(number_of[key])
    return np.reshape(numbers, taken.chosen.shape[:2])


def _fill(
    outcome: Outcome,
    start: int,
    stop: int,
    right: dict[str, np.ndarray],
    whole: list[int],
    masked: np.ndarray,
    fraction: np.ndarray,
) -> None:
    """Writes into the outcome what was found out about the frames `start` to `stop`.

    Args:
        outcome: of all frames of the plan.
        start: number of the first frame.
        stop: number after the last.
        right: task -> whether each prediction is right, bool (predictions,).
        whole: number of each frame's prediction with no pixel masked.
        masked: numbers of the others, int (stop - start, kinds, masks).
        fraction: shares taken, (stop - start, kinds, masks, fractions).
    """
    for task in TASKS:
        outcome.baseline[task][start:stop] = right[task][whole]
    for k, kind in enumerate(KINDS):
        numbers = masked[:, k].T  # (masks, frames)
        shares = fraction[:, k].transpose(1, 2, 0)  # (masks, fractions, frames)
        outcome.fraction[kind][:, :, start:stop] = shares
        for task in TASKS:
            outcome.correct[kind][task][:, start:stop] = right[task][numbers]


class MaskedPredictions:
    """Whether a model is right about frames with pixels masked, predicted in full batches."""

    def __init__(self, model: nn.Module, probe: Probe, targets: np.ndarray, snr_db: torch.Tensor):
        """Takes a probe of n frames, their classes `targets` (n, 2) and their SNRs (n,)."""
        self.model, self.probe, self.targets, self.snr_db = model, probe, targets, snr_db
        self._waiting: list[tuple[int, np.ndarray]] = []
        self._right: list[np.ndarray] = []  # of each batch, bool (predictions, 2)

    def add(self, frame: int, pixels: np.ndarray) -> int:
        """Asks for a prediction of one of the frames; returns its number, a place in `right`."""
        number = BATCH * len(self._right) + len(self._waiting)
        self._waiting.append((frame, pixels))
        if len(self._waiting) == BATCH:
            self._predict()
        return number

    def right(self) -> dict[str, np.ndarray]:
        """Task -> whether each prediction is right, bool (predictions,)."""
        if self._waiting:
            self._predict()
        modulation, snr = np.concatenate(self._right).T
        return {"modulation": modulation, "snr": snr, "joint": modulation & snr}

    def _predict(self) -> None:
        frames = [frame for frame, _ in self._waiting]
        lists = [pixels for _, pixels in self._waiting]
        offsets = np.cumsum([0, *map(len, lists)])
        inputs = self.probe.without(frames, np.concatenate(lists), offsets)

        logits = predict(self.model, inputs, self.snr_db[frames])
        predicted = torch.stack([of_head.argmax(1) for of_head in logits], 1)
        self._right.append(predicted.cpu().numpy() == self.targets[frames])
        self._waiting = []
