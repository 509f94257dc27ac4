"""Bins -> what a trained model says, for whole frames and for frames with pixels taken out, through the same code."""

import numpy as np
import torch
from torch import nn

from pisces import console
from pisces.datasets import Constellations, Stored, batches
from pisces.modelfile import Trained
from pisces.rendering import Drawing

BATCH = 256


def device() -> torch.device:
    """CUDA or MPS where there is one, else the CPU."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")


def remove_pixels(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """A copy of counts (n, pixels) with the listed pixels emptied.

    `pixels[offsets[i]:offsets[i + 1]]` are the pixel numbers taken from frame i; what replaces them is black.
    """
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    flat = torch.from_numpy(frame * counts.shape[1] + pixels.astype(np.int64)).to(counts.device)
    return counts.clone().view(-1).index_fill_(0, flat, 0).view_as(counts)


@torch.inference_mode()
def predict(model: nn.Module, drawing: Drawing, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, modulations) and (n, snrs) for counts (n, pixels), on their device."""
    modulation, snr = model(drawing(counts).contiguous(memory_format=torch.channels_last))
    return modulation, snr


def predict_frames(trained: Trained, data: Constellations, index: np.ndarray) -> dict[str, np.ndarray]:
    """What the model says of the frames of `index` (n, 3).

    `modulation_true`, `modulation_pred` (names) and `snr_true_db`, `snr_pred_db` (int64), each (n,); `modulation_prob` and
    `snr_prob` float32 (n, classes), whose columns `modulations` and `snrs_db` name; `frame`, the index itself.
    """
    where = device()
    model = trained.model.to(where, memory_format=torch.channels_last)
    steps = console.progress(batches(Stored(data, where), index, BATCH), f"evaluate, {BATCH} frames each", -(-len(index) // BATCH))
    counts = (trained.drawing.count(bins) for bins, *_ in steps)
    answers = [predict(model, trained.drawing, one) for one in counts]
    modulation_prob, snr_prob = (torch.cat(head).float().softmax(1).cpu().numpy() for head in zip(*answers, strict=True))
    modulations, snrs_db = np.array(data.modulations), np.array(data.snrs_db)
    return {
        "modulation_true": modulations[index[:, 0]],
        "modulation_pred": modulations[modulation_prob.argmax(1)],
        "snr_true_db": snrs_db[index[:, 1]],
        "snr_pred_db": snrs_db[snr_prob.argmax(1)],
        "modulation_prob": modulation_prob,
        "snr_prob": snr_prob,
        "modulations": modulations,
        "snrs_db": snrs_db,
        "frame": index,
    }
