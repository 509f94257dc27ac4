"""Chances of pixels are those of the law, and points of noise say what chi-squared says."""

import math

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.inputs.binning import bin_points, count_points
from pisces.inputs.settings import Extent, RenderSettings
from pisces.inputs.views import FLOOR_DB
from pisces.truth import counts

EXTENT = Extent(raw=2.5, symbol=2.0, noise=80.0, differential=2.5)


def render(size: int = 16, *names: str) -> RenderSettings:
    shown = names or ("symbol",)
    return RenderSettings(shown, size, EXTENT, 8, "rrc", 0.35, 3.3e-5, 4)


def noise(shape: tuple[int, ...], power: float, seed: int = 1) -> np.ndarray:
    axes = np.random.default_rng(seed).normal(scale=math.sqrt(power / 2), size=(*shape, 2))
    return axes[..., 0] + 1j * axes[..., 1]


def pixels_of(points: np.ndarray, extent: float, size: int) -> torch.Tensor:
    both = torch.from_numpy(np.stack([points.real, points.imag], -1)).float()
    return bin_points(both, size / 2 / extent, size)


def test_pixels_are_hit_as_often_as_their_chances_say():
    points, snr, n, size = np.exp([0.3j, 1.9j]), 4.0, 40_000, 8
    sent = np.random.default_rng(2).choice(points, (1, n))
    hit = pixels_of(sent + noise((1, n), 1 / snr), EXTENT.symbol, size)
    found = count_points(hit.int(), size**2)[0].double()

    chances = counts.pixel_chances(torch.from_numpy(points)[None], snr, size, EXTENT.symbol)[0]
    expected = n * chances
    often = expected > 10
    z = (found - expected)[often] / expected[often].sqrt()
    assert often.sum() > 20
    assert z.abs().max() < 4.5
    assert chances.sum() == pytest.approx(found.sum().item() / n, abs=4 * math.sqrt(0.01 / n))


def test_all_pixels_together_are_certain():
    alphabets = torch.from_numpy(constellation("16QAM"))[None]
    assert counts.pixel_chances(alphabets, 100.0, 64, 3.0).sum() == pytest.approx(1, abs=1e-12)


def test_far_pixels_keep_their_digits():
    """In the tail, twenty standard deviations out, the chance is the density times the area."""
    snr, size, extent = 200.0, 4096, 4.0
    (chances,) = counts._interval_chances(  # along one axis, as both are alike
        torch.zeros(1, dtype=torch.float64),
        torch.linspace(-extent, extent, size + 1, dtype=torch.float64),
        snr,
    )
    step, number = 2 * extent / size, size // 2 + 512
    middle = (number - size // 2 + 0.5) * step
    density = math.sqrt(snr / math.pi) * math.exp(-snr * middle**2)
    # Of a density exp(-snr x^2) the mean over a step h exceeds the middle by (2 snr x h)^2 / 24.
    curved = 1 + (2 * snr * middle * step) ** 2 / 24
    assert float(chances[number]) == pytest.approx(density * step * curved, rel=2e-3)
    assert torch.allclose(chances, chances.flip(0), rtol=1e-9)


def test_phases_are_fine_enough():
    """The mean over phases is that over ten times as many, but for the stated factor."""
    setup = render(32)
    modulations, snr, symbols = ("BPSK", "8PSK", "16QAM"), 30.0, 40
    sent = np.random.default_rng(3).choice(constellation("16QAM"), (4, symbols))
    hit = pixels_of(sent * np.exp(0.1j) + noise((4, symbols), 1 / snr), EXTENT.symbol, 32)
    seen = count_points(hit.int(), 32**2).double()

    coarse = counts.count_table(modulations, snr, setup, symbols=symbols)
    fine = counts.count_table(modulations, snr, setup, symbols=100 * symbols)
    assert fine.values.shape[1] > 9 * coarse.values.shape[1]
    one, other = (table.log_likelihoods(seen @ table.values) for table in (coarse, fine))
    # BPSK, which is out of the question here by hundreds of nats, has narrower peaks.
    assert torch.allclose(one[:, 1:], other[:, 1:], atol=0.001)
    assert torch.allclose(one, other, rtol=0.01)
    assert (one[:, 2] - one[:, 1]).min() > 1


def test_points_of_noise_say_which_snr_it_is():
    snrs_db, size = (0.0, 5.0, 10.0), 64
    table = counts.level_table(snrs_db, size, EXTENT.noise)
    for number, snr_db in enumerate(snrs_db):
        w = noise((1, 2000), 1 / (1 + 10 ** (snr_db / 10)), seed=number)
        radius = 20 * np.log10(np.abs(w)) - FLOOR_DB
        hit = pixels_of(w / np.abs(w) * radius.clip(0), EXTENT.noise, size)
        scores = count_points(hit.int(), size**2).double() @ table
        assert scores.argmax() == number
        others = scores[0, number] - scores[0]
        # A point tells V from V' by log(V'/V) + V/V' - 1, the divergence of two exponentials.
        levels = 1 / (1 + 10 ** (np.array(snrs_db) / 10))
        ratio = levels[number] / levels
        expected = 2000 * (ratio - 1 - np.log(ratio))
        assert np.allclose(others.numpy(), expected, rtol=0.2, atol=1)
