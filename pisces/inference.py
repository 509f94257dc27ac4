"""What a trained model says: of whole frames, and of constellations with pixels taken out, through the same code."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from pisces import console, modelfile, models, rendering, signals
from pisces.datasets import Constellations, Recordings, Signals, Stored, batches
from pisces.modelfile import Trained
from pisces.models import denoiser
from pisces.params import Render
from pisces.rendering import Drawing
from pisces.seeding import generator
from pisces.signals import Waveform

BATCH = 256
FILLS = {"zero": "silenced", "resample": "replaced by others of their frame"}


def device() -> torch.device:
    """CUDA or MPS where there is one, else the CPU."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def remove_pixels(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """A copy of counts (n, pixels) with the listed pixels emptied.

    `pixels[offsets[i]:offsets[i + 1]]` are the pixel numbers taken from frame i; what replaces them is black.
    """
    return counts.clone().masked_fill_(listed(pixels, offsets, counts.shape[1]).to(counts.device), 0)


def listed(pixels: np.ndarray, offsets: np.ndarray, size: int) -> torch.Tensor:
    """Whether each of `size` pixels is in the list of each frame, bool (n, size); lists as in `remove_pixels`."""
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    table = torch.zeros(len(offsets) - 1, size, dtype=torch.bool)
    table.view(-1).index_fill_(0, torch.from_numpy(frame * size + pixels.astype(np.int64)), True)
    return table


class Pictures:
    """Frames as a model of constellations sees them, with pixels taken out of their counts."""

    def __init__(self, drawing: Drawing, bins: torch.Tensor):
        self.drawing, self.counts = drawing, drawing.count(bins)

    def without(self, frames: list[int], pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        """Input of a model (len(frames), ...) for the frames of these numbers; lists as in `remove_pixels`."""
        return self.drawing(remove_pixels(self.counts[frames], pixels, offsets)).contiguous(memory_format=torch.channels_last)


class Waves:
    """Frames as a model of raw IQ sees them, with the samples gone that are behind the pixels taken (`signals.samples_behind`).

    A sample that is gone is silence or, with `order` (n, samples), random permutations, another one of its frame: see `signals.resample`.
    """

    def __init__(self, frames: torch.Tensor, bins: torch.Tensor, render: Render, order: torch.Tensor | None):
        points, self.samples = signals.samples_behind(frames, render)
        self.frames, self.order = signals.normalise(frames), order
        self.pixels, self.size = bins.long().gather(1, points), len(render.views) * render.size**2
        self.counts = rendering.count_points(bins, self.size)

    def without(self, frames: list[int], pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        """As of `Pictures`."""
        taken = listed(pixels, offsets, self.size + 1).to(self.frames.device).gather(1, self.pixels[frames])  # (n, pairs)
        kept = signals.gains((~taken).float(), self.samples[frames], self.frames.shape[2]) > 0  # (n, samples)
        if self.order is None:
            return self.frames[frames] * kept[:, None]
        return signals.resample(self.frames[frames], kept, self.order[frames])


def bypass_denoiser(trained: Trained) -> None:
    """From now on the model's classifier sees frames as they are where it was trained on denoised ones.

    Raises:
        ValueError: when it has no denoiser.
    """
    if not trained.model.has_denoiser:
        raise ValueError(f"evaluate.bypass_denoiser = true, but this {trained.architecture.model} has no denoiser; set it to false")
    trained.model.bypass = True


def snr_source(trained: Trained) -> str:
    """What `snr_estimate_db` of a model comes from, in words."""
    return "estimated noise fraction" if getattr(trained.model, "has_noise_estimate", False) else "mean of the SNR head"


class Look(NamedTuple):
    """How a trained model is asked about the frames of constellations, with pixels taken out."""

    input: Drawing | Waveform
    frames: Signals | None = None
    """Behind the constellations, for a `Waveform`."""
    fill: str = "zero"
    """What takes the place of samples: zero or resample..."""
    seed: int = 0
    """...in an order that hangs on this and the frame."""

    @property
    def note(self) -> str:
        """What happens where a pixel is taken, in words for a picture; empty where it is simply gone."""
        if isinstance(self.input, Drawing):
            return ""
        return f"model of raw IQ: samples behind the pixels taken are {FILLS[self.fill]}"

    def at(self, data: Constellations, index: np.ndarray, device: torch.device) -> Pictures | Waves:
        """The frames of an index (n, 3)."""
        bins = torch.from_numpy(data.bins(index)).to(device)
        if isinstance(self.input, Drawing):
            return Pictures(self.input, bins)
        order = None
        if self.fill == "resample":
            rngs = [generator(self.seed, "resample", *data.identity(frame)) for frame in index]
            order = torch.from_numpy(np.stack([rng.permutation(self.input.samples) for rng in rngs])).to(device)
        return Waves(torch.from_numpy(self.frames.gather(index)).to(device), bins, data.render, order)


def look(trained: Trained, data: Constellations, shards: Path, fill: str, seed: int) -> Look:
    """How `trained` is asked about the frames of `data`; a model of raw IQ through the frames in `shards`.

    Raises:
        ValueError: when model, constellations and frames do not belong together.
    """
    if isinstance(trained.input, Drawing):
        modelfile.check_fits(trained, data)
        return Look(trained.input)
    frames = Signals(shards)
    modelfile.check_fits(trained, frames)
    frames.check_rendered_as(data)
    return Look(trained.input, frames, fill, seed)


@torch.inference_mode()
def answer(model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, modulations) and (n, snrs) for inputs as the model takes them; the labels `snr_db` (n,) are told to oracles alone."""
    return models.answer(model, inputs, snr_db)


def ask(trained: Trained, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, modulations) and (n, snrs) for frames from anywhere, float32 (n, samples, 2), I then Q, on the device of the model.

    Raises:
        ValueError: for frames that the model cannot take, and for an oracle, which needs labels.
    """
    if isinstance(trained.input, Waveform):
        if frames.shape[1:] != (trained.input.samples, 2):
            raise ValueError(
                f"the model takes frames of shape (n, {trained.input.samples}, 2), I then Q, not {tuple(frames.shape)}; "
                "cut them to that length, and move the axis of I and Q to the end"
            )
        stored = signals.normalise(frames)
    else:
        stored = rendering.encode(frames, trained.input.render)
    with torch.inference_mode():
        return trained.model(trained.input.prepare(stored))


def predict_frames(trained: Trained, data: Recordings, index: np.ndarray) -> dict[str, np.ndarray]:
    """What the model says of the frames of `index` (n, 3).

    `modulation_true`, `modulation_pred` (names) and `snr_true_db`, `snr_pred_db` (int64), each (n,); `modulation_prob` and
    `snr_prob` float32 (n, classes), whose columns `modulations` and `snrs_db` name; `snr_estimate_db` float32 (n,), from the noise
    fraction where the model estimates one, else the mean under `snr_prob`; `frame`, the index itself.
    """
    where = device()
    model = trained.model.to(where, memory_format=torch.channels_last)
    steps = console.progress(batches(Stored(data, where), index, BATCH), f"evaluate, {BATCH} frames each", -(-len(index) // BATCH))
    classes = torch.tensor(data.snrs_db, dtype=torch.float32, device=where)
    answers = [_answers(model, trained.input.prepare(batch.stored), classes[batch.snr], classes) for batch in steps]
    modulation_prob, snr_prob, estimate_db = (torch.cat(part).cpu().numpy() for part in zip(*answers, strict=True))
    modulations, snrs_db = np.array(data.modulations), np.array(data.snrs_db)
    return {
        "modulation_true": modulations[index[:, 0]],
        "modulation_pred": modulations[modulation_prob.argmax(1)],
        "snr_true_db": snrs_db[index[:, 1]],
        "snr_pred_db": snrs_db[snr_prob.argmax(1)],
        "modulation_prob": modulation_prob,
        "snr_prob": snr_prob,
        "snr_estimate_db": estimate_db,
        "modulations": modulations,
        "snrs_db": snrs_db,
        "frame": index,
    }


@torch.inference_mode()
def _answers(model: nn.Module, inputs: torch.Tensor, snr_db: torch.Tensor, classes: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Probabilities of both heads and the estimated SNR in dB (n,); `classes` (snrs,) in dB."""
    modulation, snr = (logits.float().softmax(1) for logits in answer(model, inputs, snr_db))
    if getattr(model, "has_noise_estimate", False):
        return modulation, snr, denoiser.snr_db(model.estimate(inputs))
    return modulation, snr, snr @ classes
