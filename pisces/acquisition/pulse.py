"""How frames of a recording are to be received: by the pulse that they show."""

from dataclasses import replace

import numpy as np
import torch

from pisces.core.pulses import rrc_response
from pisces.inputs.receiver.pulse import RATES, choose_response, estimate_response
from pisces.inputs.settings import RenderSettings

FEW, MOST = 32, 1024
"""Frames from which on a pulse can be found, and of which it is found."""
ROLLOFF = 0.35
"""Of the root-raised cosine that is taken where none can be found."""


def response_of(frames: np.ndarray, sps: int) -> tuple[float, ...]:
    """The amplitude response of the pulse of frames at `receiver.pulse.RATES`.

    Args:
        frames: complex64 (n, samples), of one signal or of signals with one pulse.
        sps: samples a symbol.

    Returns:
        What is found from all of them; of few frames, or where no signal stands out, the nearest of
        some known pulses.
    """
    if not len(frames):
        return tuple(rrc_response(RATES, ROLLOFF).tolist())
    frames = frames[:: -(-len(frames) // MOST)]
    if len(frames) >= FEW:
        try:
            return estimate_response(frames, sps)
        except ValueError:
            pass
    chosen = choose_response(torch.from_numpy(np.array(frames, np.complex64)), sps)
    pulses, votes = chosen.unique(dim=0, return_counts=True)
    response = pulses[votes.argmax()].numpy()  # at -1 to 1 symbol rates
    middle = len(response) // 2
    at = np.interp(RATES, np.arange(middle) / middle, response[middle:], right=0.0)
    return tuple(at.round(6).tolist())


def render_settings(frames: np.ndarray, render: RenderSettings) -> RenderSettings:
    """Settings by which a model's views are made of frames of another pulse than its own.

    Args:
        frames: complex64 (n, samples) at `render.sps`, as `acquire.acquire` gives them.
        render: those of the model.

    Returns:
        The same with the pulse of the frames, where the model reads by a pulse that was estimated.
    """
    if render.pulse != "estimated":
        return render
    return replace(render, response=response_of(frames, render.sps))
