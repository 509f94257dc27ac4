"""How noisy a frame is, and the frame with less noise.

All noise levels are eta = ln(noise / signal), the logit of the share of noise in the power. It is
the SNR in natural units with its sign changed. Frames are float32 (n, 2, samples), I then Q, over
their RMS.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

NATURAL_PER_DB = math.log(10) / 10
"""Natural units of power a decibel, 0.23."""
ETA_MIN, ETA_MAX = -8.0, 5.5
"""34.7 dB and -23.9 dB."""
CONDITION = 32
"""Width of the embedding of eta that conditions the denoiser's blocks."""
SMALLEST_SLOPE = 1e-6
"""Of the line of `NoiseFraction`, which must stay positive."""
BLEND_ETA, BLEND_WIDTH = -math.log(10), 0.46
"""Above 10 dB the soft blend takes the denoiser back, within 2 dB."""


def eta(snr_db: torch.Tensor) -> torch.Tensor:
    """ln(noise / signal) of an SNR in dB, of the same shape, clamped to `ETA_MIN`..`ETA_MAX`.

    This is the logit of the noise's share 1 / (1 + SNR) in the power.
    """
    return (-NATURAL_PER_DB * snr_db).clamp(ETA_MIN, ETA_MAX)


def snr_db(eta: torch.Tensor) -> torch.Tensor:
    """The SNR in dB that has this eta."""
    return -eta / NATURAL_PER_DB


def difference_energy(frames: torch.Tensor) -> torch.Tensor:
    """Mean |x[k] - x[k-1]|^2 over mean |x[k]|^2 of frames (n, 2, samples): (n,).

    It is 2 for white noise, near 0 for an oversampled signal and 0 for silence.
    """
    power = frames.square().sum(1).mean(1)
    steps = frames.diff().square().sum(1).mean(1)
    return steps / power.clamp_min(torch.finfo(frames.dtype).tiny)


class NoiseFraction(nn.Module):
    """Frames (n, 2, samples) -> eta (n,): a straight line in the difference energy, corrected.

    `calibrate` fits the line; the correction is learned. The slope is softplus(a), so that more
    energy between samples never means less noise.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(_inverse_softplus(1.0)))
        self.b = nn.Parameter(torch.tensor(0.0))
        self.features = nn.Sequential(
            nn.Conv1d(2, 32, 5, padding=2), nn.GELU(), nn.Conv1d(32, 32, 5, padding=2), nn.GELU()
        )
        # The means of these 32 maps, and the difference energy
        self.correction = nn.Sequential(nn.Linear(33, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        energy = difference_energy(frames)
        line = functional.softplus(self.a) * energy + self.b  # (n,)

        means = self.features(frames).mean(2)  # (n, 32, samples) -> (n, 32)
        features = torch.cat([means, energy[:, None]], 1)  # (n, 33)
        return (line + self.correction(features).squeeze(1)).clamp(ETA_MIN, ETA_MAX)

    @torch.no_grad()
    def calibrate(self, energy: torch.Tensor, eta: torch.Tensor) -> None:
        """Sets the line to the least squares fit of true `eta` (n,) on `energy` (n,).

        `energy` is that of `difference_energy`. The slope stays positive.
        """
        x = energy.double().cpu().numpy()
        y = eta.double().cpu().numpy()
        slope = max(np.polyfit(x, y, 1)[0], SMALLEST_SLOPE)

        self.a.fill_(_inverse_softplus(slope))
        self.b.fill_(y.mean() - slope * x.mean())


def _inverse_softplus(slope: float) -> float:
    """The a of softplus(a) = slope, in a form that does not overflow."""
    return slope + math.log(-math.expm1(-slope))


class Denoiser(nn.Module):
    """Frames (n, 2, samples) and their eta (n,) -> frames with less noise, of the same shape.

    A U-Net (Ronneberger et al., MICCAI 2015) of three levels that estimates what to add: at first
    nothing. Each block is conditioned on eta by FiLM (Perez et al., AAAI 2018).

    Args:
        channels: of the finest of the three levels.
        dropout: in each block, 0..1.
        soft_blend: whether next to nothing is added from 10 dB upwards.
    """

    def __init__(self, channels: int, dropout: float, soft_blend: bool) -> None:
        super().__init__()
        c = channels
        self.soft_blend = soft_blend
        self.embed = nn.Sequential(
            nn.Linear(1, CONDITION), nn.GELU(), nn.Linear(CONDITION, CONDITION), nn.GELU()
        )
        self.stem = nn.Conv1d(2, c, 3, padding=1)
        self.encode1 = FilmBlock(c, dropout)
        self.encode2 = FilmBlock(2 * c, dropout)
        self.bottom = FilmBlock(4 * c, dropout)

        self.down1 = nn.Conv1d(c, 2 * c, 4, stride=2, padding=1)
        self.down2 = nn.Conv1d(2 * c, 4 * c, 4, stride=2, padding=1)
        self.up2 = nn.Conv1d(4 * c, 2 * c, 3, padding=1)
        self.up1 = nn.Conv1d(4 * c, c, 3, padding=1)

        self.decode2 = FilmBlock(4 * c, dropout)
        self.decode1 = FilmBlock(2 * c, dropout)
        self.out = nn.Conv1d(2 * c, 2, 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, frames: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
        condition = self.embed(eta[:, None])
        fine = self.encode1(self.stem(frames), condition)  # (n, c, samples)
        coarse = self.encode2(self.down1(fine), condition)  # (n, 2c, samples / 2)
        maps = self.bottom(self.down2(coarse), condition)  # (n, 4c, samples / 4)

        up = self.up2(doubled(maps, coarse.shape[2]))  # (n, 2c, samples / 2)
        maps = self.decode2(torch.cat([up, coarse], 1), condition)  # (n, 4c, samples / 2)
        up = self.up1(doubled(maps, fine.shape[2]))  # (n, c, samples)
        maps = self.decode1(torch.cat([up, fine], 1), condition)  # (n, 2c, samples)

        change = self.out(maps)
        if self.soft_blend:
            change = blend(eta)[:, None, None] * change
        return frames + change


def blend(eta: torch.Tensor) -> torch.Tensor:
    """Share of the denoiser's change that is added, of the shape of `eta`.

    It is near 1 in much noise, 1/2 at 10 dB, and near 0 above.
    """
    return torch.sigmoid((eta - BLEND_ETA) / BLEND_WIDTH)


def doubled(maps: torch.Tensor, time: int) -> torch.Tensor:
    """Maps (n, channels, t) at twice the time: (n, channels, time), `time` being 2 t or 2 t + 1.

    Linear interpolation between the middles of samples, as `torch.nn.functional.interpolate` does
    it, whose gradient on a GPU has other last digits each time.
    """
    first, last = maps[..., :1], maps[..., -1:]
    before = torch.cat([first, maps[..., :-1]], -1)
    after = torch.cat([maps[..., 1:], last], -1)
    halves = torch.stack([0.75 * maps + 0.25 * before, 0.75 * maps + 0.25 * after], -1)
    twice = halves.flatten(-2)
    return torch.cat([twice, last], -1) if time % 2 else twice


class FilmBlock(nn.Module):
    """Residual block: maps (n, channels, time) and condition (n, `CONDITION`) -> such maps.

    The condition scales and shifts the output of the first norm.
    """

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        groups = math.gcd(8, channels)
        self.norm = nn.GroupNorm(groups, channels)
        self.film = nn.Linear(CONDITION, 2 * channels)
        self.change = nn.Sequential(
            nn.GELU(),
            nn.Conv1d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Conv1d(channels, channels, 3, padding=1),
        )

    def forward(self, maps: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        gamma, beta = self.film(condition)[:, :, None].chunk(2, 1)  # (n, channels, 1) each
        modulated = (1 + gamma) * self.norm(maps) + beta
        return maps + self.change(modulated)
