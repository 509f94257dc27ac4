"""The blind reference: the likelihood of each modulation when nobody tells the carrier.

The ceiling of `bounds` knows carrier, timing and level; no receiver does. Here SNRs are those of
the labels, as there, and the symbols those of the view `symbol`, with their errors of timing. What
its receiver leaves open, the phase and a rest of the carrier's offset and of the level, is averaged
out. That is a reference and no bound: a model that reads timing, level or offset better than the
receiver may exceed it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from pisces.core import shards
from pisces.core.dsp import to_complex
from pisces.core.modulations import Ask, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.evaluation import references
from pisces.evaluation.likelihood import log_likelihoods
from pisces.inputs import views
from pisces.inputs.settings import RenderSettings

NOT_MEASURED = ""
"""In place of a modulation."""


def predict_frames(
    root: Path,
    predictions: Mapping[str, np.ndarray],
    render: RenderSettings,
    snrs: Mapping[int, float],
    frames_per_cell: int | None,
) -> np.ndarray:
    """The likeliest modulation of the frames that a model was tested on.

    Args:
        root: IQ shards that hold the frames.
        predictions: as `inference.predict_frames` makes them; which frames, and which classes.
        render: the receiver of the symbols.
        snrs: SNR label -> linear SNR of its symbols.
        frames_per_cell: the first so many of each (modulation, SNR); None for all.

    Returns:
        Names of modulations (n,), `NOT_MEASURED` for frames beyond. Frames of modulations that are
        not `references.recognisable` have their own name: they count as right, as in the ceiling.
    """
    modulations, snrs_db = predictions["modulations"], predictions["snrs_db"]
    frame = predictions["frame"]
    candidates = references.recognisable(tuple(modulations.tolist()))
    names = np.array(candidates, modulations.dtype)
    ask = shards.ask(root)

    named = np.full(len(frame), NOT_MEASURED, modulations.dtype)
    for s in progress(np.unique(frame[:, 1]), "limits, blind"):
        label = int(snrs_db[s])
        rows, frames = [], []
        for m, modulation in enumerate(modulations.tolist()):
            of_cell = (frame[:, 0] == m) & (frame[:, 1] == s)
            at = np.flatnonzero(of_cell)[:frames_per_cell]
            if modulation not in candidates:
                named[at] = modulation
            elif len(at):
                stored = shards.array(Cell(modulation, label).path(root), "iq")
                rows.append(at)
                frames.append(to_complex(stored[frame[at, 2]]))

        if frames:
            iq = np.concatenate(frames)
            chosen = classify(iq, candidates, render, snrs[label], ask)
            named[np.concatenate(rows)] = names[chosen]
    return named


def classify(
    iq: np.ndarray,
    modulations: Sequence[str],
    render: RenderSettings,
    snr: float,
    ask: Ask = "bipolar",
) -> np.ndarray:
    """The likeliest modulation of each frame.

    Args:
        iq: complex (n, samples), of one SNR.
        modulations: names to choose from, all of them `references.recognisable`.
        render: the receiver of the symbols.
        snr: linear, a symbol, after the equaliser.
        ask: levels of ASK.

    Returns:
        Number in `modulations`, int64 (n,).
    """
    sps = render.sps
    whole = iq[:, : iq.shape[1] // sps * sps]
    frames = torch.from_numpy(whole.astype(np.complex64))
    received = views.symbols_of(frames, render)

    scores = log_likelihoods(
        _unit_amplitude(received.points, snr),
        sps * received.carrier_offset,  # cycles a sample -> cycles a symbol
        snr,
        [constellation(name, ask) for name in modulations],
        sps * render.carrier_offset_std,
    )
    return scores.argmax(1).numpy()  # (n, modulations) -> (n,)


def _unit_amplitude(points: torch.Tensor, snr: float) -> torch.Tensor:
    """Points scaled so that, at this SNR, the power of the signal in them is 1."""
    power = points.abs().square().mean(1, keepdim=True)
    return points / (power / (1 + 1 / snr)).sqrt()
