"""Whether a graph says what its model says: on generated frames, before it is handed out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from pisces.core.apsk import USUAL_RATE
from pisces.core.modulations import MODULATIONS
from pisces.deploy.answers import of_model
from pisces.deploy.graph import Graph
from pisces.models.modelfile import TrainedModel
from pisces.sources.settings import MultipathSettings, Physics
from pisces.sources.synthesis import synthesize_cell

FRAMES = 400
"""That a graph is compared on, or a few less."""
LEAST_SAME = 0.99
"""Share of the frames whose modulation and SNR must be predicted alike.

A point on the edge of a pixel may fall on its other side, and of two carrier lines or echoes of
the same strength the other may be taken: about 1 frame in 1 000 is predicted otherwise.
"""
USUAL_SPS = 8
"""Samples a symbol of frames for a model that does not say."""
CLOSE = 1e-4
"""Difference of probabilities that the median frame may have."""

Run = Callable[[np.ndarray], Mapping[str, np.ndarray]]
"""Frames float32 (n, samples, 2) -> outputs by the names of `answers.OUTPUTS`."""


@dataclass(frozen=True)
class Agreement:
    """How far two ways to ask a model agree."""

    frames: int
    same: float
    """Share of frames with the same modulation and SNR."""
    median_difference: float
    """Of the largest difference of a frame's probabilities."""

    @property
    def text(self) -> str:
        return (
            f"{self.same:.2%} of {self.frames} generated frames have the same modulation and SNR, "
            f"and the median difference of their probabilities is {self.median_difference:.1g}"
        )


def generated_frames(
    trained: TrainedModel, samples: int, frames: int, *, multipath: MultipathSettings | None = None
) -> np.ndarray:
    """Frames of the model's modulations and SNRs, as many of each.

    Those of classes that no generator knows are left out; where all are such, the frames are of
    the modulations that there are.

    Args:
        trained: the model.
        samples: of a frame.
        frames: about so many; at least one of each modulation and SNR.
        multipath: that the frames have passed.

    Returns:
        float32 (n, samples, 2), I then Q.
    """
    sps = trained.input.symbol_samples or USUAL_SPS
    physics = Physics(
        samples=samples,
        sps=sps,
        pulse="rml2018",
        rolloff=(0.2, 0.5),
        ask="unipolar",
        apsk_rates={modulation: (rate,) for modulation, rate in USUAL_RATE.items()},
        snr_label=trained.snr_label,
        carrier_offset_std=3.3e-5,
        clock_offset_ppm=0.0,
        gmsk_bt=0.35,
        multipath=multipath,
        impairments=None,
    )
    known = [name for name in trained.modulations if name in MODULATIONS] or list(MODULATIONS)
    cells = [(name, snr_db) for name in known for snr_db in trained.snrs_db]
    of_each = max(1, frames // len(cells))
    made = [synthesize_cell(*cell, range(of_each), physics, seed=1) for cell in cells]
    return np.concatenate(made).view(np.float32).reshape(-1, samples, 2)


def agreement(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> Agreement:
    """How far two answers to the same frames agree."""
    names = ("modulation_probability", "snr_probability")
    same = np.logical_and.reduce([one[name].argmax(1) == other[name].argmax(1) for name in names])
    largest = np.maximum(*(np.abs(one[name] - other[name]).max(1) for name in names))
    return Agreement(len(same), float(same.mean()), float(np.median(largest)))


def check(trained: TrainedModel, graph: Graph, run: Run) -> Agreement:
    """How far what was exported agrees with its model.

    Args:
        trained: the model.
        graph: of the model.
        run: what was exported.

    Returns:
        The agreement on about `FRAMES` generated frames.

    Raises:
        ValueError: when they do not agree.
    """
    frames = generated_frames(trained, graph.samples, FRAMES)
    found = agreement(of_model(trained, frames), run(frames))
    if found.same < LEAST_SAME or not found.median_difference <= CLOSE:
        raise ValueError(
            f"the exported model is not the model: only {found.text}; nothing was written; "
            "the versions of torch, onnx and onnxruntime may not fit together, see "
            "requirements.lock"
        )
    return found
