"""The pulse of a frame in a graph: one constant, or chosen frame by frame."""

import torch
from torch import nn

from pisces.deploy.pairs import Pair
from pisces.inputs.receiver import pulse
from pisces.inputs.receiver.pulse import responses_of
from pisces.inputs.settings import RenderSettings


class Pulse(nn.Module):
    """The tapered band (n, 2 * symbols) -> response of the pulse, as `pulse.responses_of`."""

    responses: torch.Tensor
    density: torch.Tensor

    def __init__(self, samples: int, render: RenderSettings) -> None:
        super().__init__()
        self.symbols = samples // render.sps
        self.is_chosen = render.pulse == "chosen"
        if self.is_chosen:
            responses = pulse._bank(self.symbols)
        else:
            responses = responses_of(torch.zeros(1, samples, dtype=torch.complex64), render)
        squares = responses.square()
        density = render.sps / 2 * squares / squares.mean(1, keepdim=True)
        self.register_buffer("responses", responses, persistent=False)
        self.register_buffer("density", density, persistent=False)

    def forward(self, tapered_band: Pair, noise: torch.Tensor) -> torch.Tensor:
        """float32 (n, 2 * symbols), or (1, 2 * symbols) where all frames have one pulse."""
        if not self.is_chosen:
            return self.responses
        return self.responses[self.number(tapered_band, noise)]

    def number(self, tapered_band: Pair, noise: torch.Tensor) -> torch.Tensor:
        """Which of `responses` it is, int64 (n,); as `pulse.choose_response`.

        Args:
            tapered_band: of frames of unit power, (n, 2 * symbols).
            noise: power of the noise, float32 (n, 1).
        """
        if not self.is_chosen:
            return torch.zeros_like(noise[:, 0], dtype=torch.int64)
        signal = (1 - noise).clamp_min(pulse.LEAST_SHARE)
        floor = torch.maximum(noise, pulse.LEAKAGE * signal)
        expected = signal[..., None] * self.density + floor[..., None]  # (n, pulses, bins)
        misfit = expected.log() + tapered_band.power()[:, None] / expected

        # What lies about a carrier is left out.
        below = misfit[..., : self.symbols - pulse.LEFT_OUT].sum(2)
        above = misfit[..., self.symbols + pulse.LEFT_OUT + 1 :].sum(2)
        return (below + above).argmin(1)
