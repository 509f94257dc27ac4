"""One module from raw frames to what a model says of them: what is exported.

Inside are the normalisation, the views, the binning, the drawing and the net, in real arithmetic
and without a branch that depends on data.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pisces.deploy.answers import Answers
from pisces.deploy.nets import real
from pisces.deploy.pairs import Pair
from pisces.deploy.views import Images
from pisces.models.modelfile import TrainedModel

INPUT = "frames"


class Scaled(nn.Module):
    """Frames over their RMS (n, samples) -> those of `waveform.normalise`, (n, 2, samples)."""

    def forward(self, iq: Pair) -> torch.Tensor:
        return torch.stack([iq.re, iq.im], 1) * math.sqrt(2)


class Graph(nn.Module):
    """Frames float32 (n, samples, 2), I then Q, of any power -> `answers.OUTPUTS`.

    Of a frame without power, or with samples that are not finite, all of them are NaN.
    """

    def __init__(self, trained: TrainedModel, samples: int) -> None:
        """`trained` is the model, and a frame has so many `samples`."""
        super().__init__()
        self.samples = samples
        self.front = front_of(trained, samples)
        self.answers = Answers(real(trained.model), trained)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        iq, usable = self.normalised(frames)
        found = []
        for answer in self.answers(self.front(iq)):
            rows = usable[:, None] if answer.dim() == 2 else usable
            found.append(torch.where(rows, answer, math.nan))
        return tuple(found)

    def normalised(self, frames: torch.Tensor) -> tuple[Pair, torch.Tensor]:
        """Frames over their RMS, and which of them have one, bool (n,)."""
        power = frames.square().sum(2).mean(1)
        usable = (power > 0) & (power < math.inf)
        rms = torch.where(usable, power, 1.0).sqrt()
        unit = torch.where(usable[:, None, None], frames / rms[:, None, None], 0.0)
        i, q = unit.unbind(2)
        return Pair(i, q), usable


def without_echo(trained: TrainedModel) -> TrainedModel:
    """The model with a receiver that looks for no echo, where it has one that does."""
    card = trained.input.card()
    if "render" not in card:
        return trained
    card["render"]["equalizer"] = "pulse"
    return trained._replace(input=trained.input.from_card(card))


def front_of(trained: TrainedModel, samples: int) -> nn.Module:
    """Frames over their RMS, `Pair` (n, samples) -> the inputs of the net.

    Args:
        trained: the model.
        samples: of a frame.

    Raises:
        ValueError: for frames of a length that the model cannot take, or an input without a graph.
    """
    fronts: dict[str, Callable[[Any], nn.Module]] = {
        "constellation": lambda seen: Images(samples, seen),
        "iq": lambda seen: _scaled(seen, samples),
    }
    name = trained.input.name
    if name not in fronts:
        raise ValueError(
            f"models of the input {name!r} have no graph; those of {', '.join(fronts)} have one"
        )
    return fronts[name](trained.input)


def _scaled(seen: Any, samples: int) -> Scaled:
    if seen.shape != (2, samples):
        raise ValueError(
            f"the model takes frames of {seen.shape[1]} samples, not {samples}; leave --samples out"
        )
    return Scaled()
