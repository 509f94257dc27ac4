"""How noisy a frame is, and the frame with less noise.

All noise levels are eta, the logit of the share of noise in the power: eta = ln(noise / signal), so the SNR in natural units with its
sign changed. Frames are float32 (n, 2, samples), I then Q, over their RMS.
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
"""Width of what the blocks of the denoiser are told of eta."""
BLEND_ETA, BLEND_WIDTH = -math.log(10), 0.46
"""Above 10 dB the soft blend takes the denoiser back, within 2 dB."""


def eta(snr_db: torch.Tensor) -> torch.Tensor:
    """ln(noise / signal), the logit of the noise's share 1 / (1 + SNR) in the power, clamped to `ETA_MIN`..`ETA_MAX`."""
    return (-NATURAL_PER_DB * snr_db).clamp(ETA_MIN, ETA_MAX)


def snr_db(eta: torch.Tensor) -> torch.Tensor:
    """The SNR in dB that has this eta."""
    return -eta / NATURAL_PER_DB


def difference_energy(frames: torch.Tensor) -> torch.Tensor:
    """Mean |x[n] - x[n-1]|^2 over mean |x[n]|^2, (n,): 2 for white noise, near 0 for an oversampled signal, 0 for silence."""
    power = frames.square().sum(1).mean(1)
    steps = frames.diff().square().sum(1).mean(1)
    return steps / power.clamp_min(torch.finfo(frames.dtype).tiny)


class NoiseFraction(nn.Module):
    """Frames -> eta (n,): a straight line in the difference energy, which `calibrate` fits, and a learned correction.

    The slope is softplus(a), so more energy between samples never means less noise.
    """

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(_inverse_softplus(1.0)))
        self.b = nn.Parameter(torch.tensor(0.0))
        self.features = nn.Sequential(
            nn.Conv1d(2, 32, 5, padding=2), nn.GELU(), nn.Conv1d(32, 32, 5, padding=2), nn.GELU()
        )
        self.correction = nn.Sequential(nn.Linear(33, 32), nn.GELU(), nn.Linear(32, 1))

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        energy = difference_energy(frames)
        features = torch.cat([self.features(frames).mean(2), energy[:, None]], 1)  # (n, 33)
        line = functional.softplus(self.a) * energy + self.b
        return (line + self.correction(features).squeeze(1)).clamp(ETA_MIN, ETA_MAX)

    @torch.no_grad()
    def calibrate(self, energy: torch.Tensor, eta: torch.Tensor) -> None:
        """Sets the line to the least squares fit of the labels `eta` (n,) on the difference energies (n,); its slope stays positive."""
        energy, eta = energy.double().cpu().numpy(), eta.double().cpu().numpy()
        slope = max(np.polyfit(energy, eta, 1)[0], 1e-6)
        self.a.fill_(_inverse_softplus(slope))
        self.b.fill_(eta.mean() - slope * energy.mean())


def _inverse_softplus(slope: float) -> float:
    return slope + math.log(-math.expm1(-slope))


class Denoiser(nn.Module):
    """Frames and what is known of their eta (n,) -> frames with less noise, of the same shape; at first the frames themselves.

    A U-Net (Ronneberger et al., MICCAI 2015) of three levels that estimates what to add. Each of its blocks is told eta by FiLM
    (Perez et al., AAAI 2018). With `soft_blend` little is added from 10 dB upwards.
    """

    def __init__(self, channels: int, dropout: float, soft_blend: bool):
        super().__init__()
        c = channels
        self.soft_blend = soft_blend
        self.embed = nn.Sequential(
            nn.Linear(1, CONDITION), nn.GELU(), nn.Linear(CONDITION, CONDITION), nn.GELU()
        )
        self.stem = nn.Conv1d(2, c, 3, padding=1)
        self.encode1, self.encode2, self.bottom = (
            FilmBlock(width, dropout) for width in (c, 2 * c, 4 * c)
        )
        self.down1, self.down2 = (
            nn.Conv1d(width, 2 * width, 4, stride=2, padding=1) for width in (c, 2 * c)
        )
        self.up2, self.up1 = (nn.Conv1d(4 * c, width, 3, padding=1) for width in (2 * c, c))
        self.decode2, self.decode1 = (FilmBlock(width, dropout) for width in (4 * c, 2 * c))
        self.out = nn.Conv1d(2 * c, 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, frames: torch.Tensor, eta: torch.Tensor) -> torch.Tensor:
        condition = self.embed(eta[:, None])
        fine = self.encode1(self.stem(frames), condition)  # (n, c, samples)
        coarse = self.encode2(self.down1(fine), condition)  # (n, 2c, samples / 2)
        maps = self.bottom(self.down2(coarse), condition)  # (n, 4c, samples / 4)
        maps = self.decode2(
            torch.cat([self.up2(_stretched(maps, coarse)), coarse], 1), condition
        )  # (n, 4c, samples / 2)
        maps = self.decode1(
            torch.cat([self.up1(_stretched(maps, fine)), fine], 1), condition
        )  # (n, 2c, samples)
        change = self.out(maps)
        return frames + (blend(eta)[:, None, None] * change if self.soft_blend else change)


def blend(eta: torch.Tensor) -> torch.Tensor:
    """How much of the denoiser's change is taken: 1 in much noise, 1/2 at 10 dB, 0 without noise."""
    return torch.sigmoid((eta - BLEND_ETA) / BLEND_WIDTH)


def _stretched(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(maps, size=like.shape[2], mode="linear", align_corners=False)


class FilmBlock(nn.Module):
    """Residual block: maps (n, channels, time) and condition (n, `CONDITION`) -> maps, the first norm scaled and shifted by the latter."""

    def __init__(self, channels: int, dropout: float):
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
        return maps + self.change((1 + gamma) * self.norm(maps) + beta)
