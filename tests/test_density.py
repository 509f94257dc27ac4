"""Log densities read from tables, against those of the formula in double precision."""

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.evaluation import density

SYMBOLS = 120
LINE_ERROR = 1 / np.sqrt(720)
"""Standard deviation of a straight line's error over a step, in units of step^2 times the second
derivative: of t (1 - t) / 2 for t uniform in 0..1."""


@pytest.fixture
def rng():
    return generator(1, "test density")


def received(points: np.ndarray, snr: float, frames: int, rng: np.random.Generator) -> np.ndarray:
    """Symbols in noise: complex (frames, SYMBOLS)."""
    axes = rng.normal(scale=np.sqrt(0.5 / snr), size=(frames, SYMBOLS, 2))
    return rng.choice(points, (frames, SYMBOLS)) + axes @ [1, 1j]


def read(x: np.ndarray, points: np.ndarray, snr: float) -> np.ndarray:
    """Sums over the symbols by a table: (frames,)."""
    lattice = density.lattice_of(snr)
    table = density.tabulate(lattice, snr, torch.from_numpy(points)[None])
    corners = density.corners_of(torch.from_numpy(x.astype(np.complex64)), lattice)
    return density.sums(corners, table)[:, 0].numpy()


def exact(x: np.ndarray, points: np.ndarray, snr: float) -> np.ndarray:
    distance = np.abs(x[..., None] - points) ** 2
    return np.log(np.exp(-snr * distance).mean(-1)).sum(-1)


@pytest.mark.parametrize("snr", [0.5, 8.0, 500.0])
def test_lines_are_wrong_by_the_curvature_and_right_on_the_average(rng, snr):
    """The logarithm of one point's density is a parabola, so that the error is known.

    Without the correction it would be 1 / 12 of the same unit on each axis and symbol: 3.2 nats.
    """
    point = np.array([0.3 + 0.4j])
    x = received(point, snr, 200, rng)
    error = read(x, point, snr) - exact(x, point, snr)

    step_squared = 0.5 / snr * density.CELL**2
    expected = np.sqrt(2 * SYMBOLS) * LINE_ERROR * step_squared * 2 * snr
    assert error.std() == pytest.approx(expected, rel=0.25)
    assert abs(error.mean()) < 5 * expected / np.sqrt(200) + 1e-3


@pytest.mark.parametrize("modulation", ["OOK", "8PSK", "64APSK", "128QAM", "256QAM"])
@pytest.mark.parametrize("snr_db", [0, 10, 20])
def test_sums_of_a_frame_are_those_of_the_formula(rng, modulation, snr_db):
    """Within a fifth of a natural unit: hardly two modulations are that close in a frame."""
    points, snr = constellation(modulation), 10 ** (snr_db / 10)
    x = received(points, snr, 40, rng)
    error = read(x, points, snr) - exact(x, points, snr)
    assert np.sqrt(np.mean(error**2)) < 0.2


def test_columns_are_alphabets(rng):
    """BPSK and the same turned by 90 degrees."""
    points, snr = constellation("BPSK"), 4.0
    x = received(points, snr, 3, rng)
    lattice = density.lattice_of(snr)
    both = torch.from_numpy(np.stack([points, 1j * points]))
    corners = density.corners_of(torch.from_numpy(x.astype(np.complex64)), lattice)
    found = density.sums(corners, density.tabulate(lattice, snr, both))
    expected = np.stack([exact(x, points, snr), exact(x, 1j * points, snr)], 1)
    assert found.numpy() == pytest.approx(expected, abs=0.5)
