"""Points of the noise floor say what two exponential densities differ by."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import stats

from pisces.inputs.binning import bin_frames
from pisces.inputs.views import FLOOR_DB
from pisces.truth import noise_floor
from tests.test_truth_counts import EXTENT, noise, render

PAIRS = [(10.0, 12.0), (10.0, 8.0), (-4.0, -6.0)]
"""True SNR and its neighbour, dB."""


def powers(snr_db: float, points: int = 200_000) -> np.ndarray:
    return noise_floor.noise_power(snr_db) * np.random.default_rng(9).exponential(size=points)


@pytest.mark.parametrize(("snr_db", "rival_db"), PAIRS)
def test_evidence_is_the_ratio_of_two_densities_and_adds_up(snr_db, rival_db):
    power = powers(snr_db, 500)
    found = noise_floor.level_evidence(10 * np.log10(power), snr_db, rival_db)
    scales = noise_floor.noise_power(snr_db), noise_floor.noise_power(rival_db)
    own, rival = (stats.expon.logpdf(power, scale=one) for one in scales)
    assert np.allclose(found, own - rival, atol=1e-9)

    # Twice the power over the floor is chi-squared of two degrees of freedom, a frame the sum.
    total, n = power.sum(), len(power)
    own, rival = (stats.chi2.logpdf(2 * total / v, 2 * n) - math.log(v) for v in scales)
    assert found.sum() == pytest.approx(own - rival, abs=1e-6)


@pytest.mark.parametrize(("snr_db", "rival_db"), PAIRS)
def test_points_of_noise_say_what_two_exponentials_differ_by(snr_db, rival_db):
    own, rival = noise_floor.noise_power(snr_db), noise_floor.noise_power(rival_db)
    power = powers(snr_db)
    found = noise_floor.level_evidence(10 * np.log10(power), snr_db, rival_db)
    divergence = math.log(rival / own) + own / rival - 1
    std = abs(own / rival - 1) / math.sqrt(len(power))
    assert divergence > 10 * std
    assert abs(found.mean() - divergence) < 4 * std
    # The louder a point the more it speaks for the louder floor, and by a straight line.
    slope = np.diff(noise_floor.level_evidence(np.array([-10.0, -3.0]), snr_db, rival_db))
    assert np.sign(slope) == np.sign(rival_db - snr_db)


def test_a_point_of_the_mean_level_of_both_says_nothing():
    """log(V' / V) = p (1 / V - 1 / V') at the logarithmic mean of the two."""
    own, rival = noise_floor.noise_power(3.0), noise_floor.noise_power(6.0)
    power = math.log(rival / own) / (1 / own - 1 / rival)
    level_db = np.array(10 * math.log10(power))
    assert noise_floor.level_evidence(level_db, 3.0, 6.0) == pytest.approx(0)


@pytest.mark.parametrize(("snr_db", "rival_db"), PAIRS)
def test_what_is_expected_of_a_band_is_the_mean_over_its_points(snr_db, rival_db):
    power, edges = powers(snr_db), (-math.inf, -5.0, 3.0, math.inf)
    level_db = 10 * np.log10(power)
    over_floor = level_db - 10 * math.log10(noise_floor.noise_power(snr_db))
    evidence = noise_floor.level_evidence(level_db, snr_db, rival_db)
    for low, high in pairwise(edges):
        inside = evidence * ((over_floor >= low) & (over_floor < high))
        expected = noise_floor.expected_evidence(low, high, snr_db, rival_db)
        assert abs(inside.mean() - expected) < 4 * inside.std() / math.sqrt(len(inside))


def test_points_are_those_of_the_view_and_their_level_is_that_of_the_noise():
    snr_db, setup = 6.0, render(64, "noise")
    power = float(noise_floor.noise_power(snr_db))
    # A carrier is a signal that leaves the rest of the band to the noise.
    iq = noise((4, 1024), power) + math.sqrt(1 - power)
    frames = torch.view_as_real(torch.from_numpy(iq.astype(np.complex64)))
    found = noise_floor.receive(frames, setup)
    assert np.array_equal(found.pixels, bin_frames(frames, setup)["noise"].numpy())

    # The mean of 3 700 powers, of which neighbours share noise, is right to 3 %.
    level = np.mean(10 ** (found.level_db / 10))
    assert level == pytest.approx(power, rel=4 * 0.03)

    # The middle of a pixel is within half a diagonal of what falls in it.
    middles = noise_floor.pixel_levels(64, EXTENT.noise)[found.pixels]
    assert np.abs(middles - found.level_db).max() < EXTENT.noise / 32 * math.sqrt(0.5) + 1e-3
    assert middles.min() > FLOOR_DB
