"""The law of pictures: how likely a symbol falls in each pixel, and a point of noise in each level.

A picture says of a symbol in which pixel it lies and no more. Symbols that are independent given
the class and the phase then have counts whose log likelihood is a sum over the pixels, of count
times log of the chance of the pixel: exact, however large pixels are. The density at the middle of
a pixel would be another law, wrong where the noise is narrower than a pixel.
"""

import math
from typing import NamedTuple

import numpy as np
import torch

from pisces.core.modulations import Ask, constellation
from pisces.evaluation.likelihood import turns
from pisces.inputs.settings import RenderSettings
from pisces.inputs.views import FLOOR_DB

PHASE_STEP = 1.5
"""Between phases, in standard deviations of an estimate from all symbols.

A sum over a grid is as good as an integral over a normal peak but for a factor of
2 exp(-2 (pi / step)^2), by Poisson's formula: here .0003.
"""
LEAST_CHANCE = 1e-300
"""Of a pixel: what float64 can take the logarithm of. It is e^-690."""
PARTS = 16
"""Of a pixel of the view `noise` along each axis, for the mean over it."""


class CountTable(NamedTuple):
    """What a symbol in a pixel adds to the log likelihood of each class at each phase."""

    values: torch.Tensor
    """float64 (pixels, columns), the phases of a class beside each other."""
    phases: tuple[int, ...]
    """Number of columns of each class."""

    def log_likelihoods(self, sums: torch.Tensor) -> torch.Tensor:
        """Of each class, the phase averaged out: float64 (n, classes).

        Args:
            sums: count times value, summed over the pixels of a frame: (n, columns).
        """
        by_class = sums.split(self.phases, 1)
        averaged = [one.logsumexp(1) - math.log(one.shape[1]) for one in by_class]
        return torch.stack(averaged, 1)


def count_table(
    modulations: tuple[str, ...],
    snr: float,
    render: RenderSettings,
    *,
    symbols: int,
    ask: Ask = "bipolar",
) -> CountTable:
    """The law of the counts of the view `symbol`, given the class and the carrier's phase.

    Args:
        modulations: names, all of them `references.recognisable`.
        snr: linear, a symbol.
        render: side and extent of the view.
        symbols: of a frame, which say how fine the phases must be.
        ask: levels of ASK.

    Returns:
        Log of the chance of each pixel, phases evenly over the angle after which a class repeats
        itself.
    """
    step = PHASE_STEP / math.sqrt(2 * snr * symbols)
    columns, phases = [], []
    for modulation in modulations:
        points = constellation(modulation, ask)
        around = 2 * math.pi / turns(points)
        count = math.ceil(around / step)
        turned = np.exp(1j * around * np.arange(count) / count)[:, None] * points
        chances = pixel_chances(torch.from_numpy(turned), snr, render.size, render.extent.symbol)
        columns.append(chances.clamp_min(LEAST_CHANCE).log())
        phases.append(count)
    return CountTable(torch.cat(columns).T.contiguous(), tuple(phases))


def pixel_chances(alphabets: torch.Tensor, snr: float, size: int, extent: float) -> torch.Tensor:
    """Chance of a symbol to fall in each pixel, in white noise about equally likely points.

    Noise along both axes is independent: of each point the chance is a product of two intervals.

    Args:
        alphabets: complex128 points, (columns, order), of unit mean power.
        snr: linear, a symbol.
        size: pixels along each side.
        extent: the image spans -extent..extent on both axes.

    Returns:
        float64 (columns, size * size), numbered as in `inputs.binning`; what is missing to 1 lies
        outside of the image.
    """
    edges = torch.linspace(-extent, extent, size + 1, dtype=torch.float64)
    of_column = _interval_chances(alphabets.real, edges, snr)  # (columns, order, size)
    of_row = _interval_chances(alphabets.imag, edges, snr).flip(2)  # row 0 is the largest Q
    mean = of_row.transpose(1, 2) @ of_column / alphabets.shape[1]
    return mean.flatten(1)


def _interval_chances(centres: torch.Tensor, edges: torch.Tensor, snr: float) -> torch.Tensor:
    """Chance of a normal number about each centre (...) to lie between edges: (..., intervals)."""
    standard = (edges - centres[..., None]) * math.sqrt(2 * snr)
    low, high = standard[..., :-1], standard[..., 1:]
    # In the lower tail, where differences keep their digits.
    above = low > 0
    low, high = torch.where(above, -high, low), torch.where(above, -low, high)
    return torch.special.ndtr(high) - torch.special.ndtr(low)


def noise_level(snr_db: torch.Tensor) -> torch.Tensor:
    """Share of noise in the power of a frame, 0..1, at true SNRs in dB over the whole band."""
    return 1 / (1 + 10 ** (snr_db / 10))


def level_table(snrs_db: tuple[float, ...], size: int, extent: float) -> torch.Tensor:
    """What a point in a pixel of the view `noise` adds to the log likelihood of each SNR.

    The power |w|^2 of white noise of power V is chi-squared of two degrees of freedom: exponential,
    of density exp(-|w|^2 / V) / V. The view shows it in dB above `FLOOR_DB`, and its angle.
    Its chance of a pixel is the mean density over `PARTS` x `PARTS` places of it.

    Args:
        snrs_db: true SNRs in dB over the whole band.
        size: pixels along each side.
        extent: the image spans -extent..extent dB on both axes.

    Returns:
        float64 (pixels, SNRs), up to what all SNRs share.
    """
    places = size * PARTS
    axis = ((torch.arange(places, dtype=torch.float64) + 0.5) / places * 2 - 1) * extent
    level_db = torch.hypot(axis[:, None], axis[None, :]) + FLOOR_DB
    power = 10 ** (level_db / 10)

    columns = []
    for level in noise_level(torch.tensor(snrs_db, dtype=torch.float64)):
        # A density over dB is |w|^2 times that over |w|^2; the place in the plane is of all alike.
        density = power / level * torch.exp(-power / level) / (level_db - FLOOR_DB)
        by_pixel = density.view(size, PARTS, size, PARTS).mean((1, 3))
        columns.append(by_pixel.flatten().clamp_min(LEAST_CHANCE).log())
    return torch.stack(columns, 1)
