"""How much each point of the view `noise` says about the SNR: the truth for explanations of it.

The power p of white noise of power V is chi-squared of two degrees of freedom: exponential, of
density exp(-p / V) / V. Of a frame of unit power and true SNR g, V = 1 / (1 + g). Points as near
to each other as samples share some noise: the sum over points overstates what they say together,
by the same factor for all.
"""

from typing import NamedTuple

import numpy as np
import torch

from pisces.inputs import binning, views
from pisces.inputs.settings import RenderSettings


class Levels(NamedTuple):
    """Points of the view `noise` of n frames."""

    level_db: np.ndarray
    """Power over that of the frame, scaled as white noise, float64 (n, points)."""
    pixels: np.ndarray
    """Pixel of each, int (n, points); numbers beyond the last are outside."""


def receive(frames: torch.Tensor, render: RenderSettings) -> Levels:
    """The points of frames float32 (n, samples, 2), as the view `noise` shows them."""
    power = binning.rms(frames)[:, None, None]
    points = views.points_of("noise", torch.view_as_complex(frames / power), render)
    pixels_per_unit = render.size / 2 / render.extent.noise
    pixels = binning.bin_points(torch.view_as_real(points), pixels_per_unit, render.size)
    level_db = points.abs().double().numpy() + views.FLOOR_DB
    return Levels(level_db, pixels.numpy().astype(np.int64))


def pixel_levels(size: int, extent: float) -> np.ndarray:
    """Level of the middle of each pixel of the view `noise`, dB over the frame, (size * size,)."""
    axis = (np.arange(size) + 0.5) * 2 * extent / size - extent
    return np.hypot(axis[:, None], axis[None, :]).ravel() + views.FLOOR_DB


def level_evidence(
    level_db: np.ndarray, snr_db: float | np.ndarray, rival_db: float | np.ndarray
) -> np.ndarray:
    """What each point of the view `noise` says for one SNR against another.

    The log likelihood ratio of two exponential densities is log(V' / V) + p (1 / V' - 1 / V): a
    straight line in p. A point without any power says log(V' / V), and none says more for the lower
    floor; for the higher one there is no most.

    Args:
        level_db: of points, the power over that of the frame, scaled as white noise: the radius
            of the view and `views.FLOOR_DB`.
        snr_db: true, over the whole band; one, or numbers that broadcast.
        rival_db: the other one.

    Returns:
        Nats, float64, shaped like `level_db`.
    """
    own, rival = noise_power(snr_db), noise_power(rival_db)
    power = 10 ** (level_db / 10)
    return np.log(rival / own) + power * (1 / rival - 1 / own)


def noise_power(snr_db: float | np.ndarray) -> np.ndarray:
    """Power of the noise of a frame of unit power, 0..1, at true SNRs over the whole band."""
    return 1 / (1 + 10 ** (np.asarray(snr_db) / 10))


def expected_evidence(low_db: float, high_db: float, snr_db: float, rival_db: float) -> float:
    """What points between two levels say for the true SNR, in a point of the view.

    With x = p / V and r = V / V' it is the integral of (-log r + (r - 1) x) exp(-x), and over all
    levels the Kullback-Leibler divergence -log r + r - 1.

    Args:
        low_db: levels over the true floor V, -inf for no power.
        high_db: likewise, inf for no end.
        snr_db: the true one.
        rival_db: the other one.

    Returns:
        Nats a point of the view, of whatever level: those of all bands add up.
    """
    ratio = noise_power(snr_db) / noise_power(rival_db)

    def beyond(level_db: float) -> float:
        x = 10 ** (level_db / 10)
        if not np.isfinite(x):
            return 0.0
        return float((-np.log(ratio) + (ratio - 1) * (x + 1)) * np.exp(-x))

    return beyond(low_db) - beyond(high_db)
