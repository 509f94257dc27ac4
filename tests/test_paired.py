"""Intervals of paired differences: closed forms, symmetries, and how often they hold the truth."""

import numpy as np
import pytest

from benchmarks import coverage
from pisces.core.paired import (
    bounded_mean_interval,
    difference_interval,
    ratio_interval,
)
from pisces.core.seeding import generator
from pisces.core.stats import wilson

Z = 1.959964


@pytest.fixture
def rng():
    return generator(1, "test paired intervals")


# Differences


def test_interval_where_nothing_changed_is_of_closed_form():
    """No change in n frames, if the truth is d: n d^2 = z^2 d (1 - d), so d = z^2 / (n + z^2)."""
    for n in (1, 14, 238, 10**6):
        end = Z**2 / (n + Z**2)
        assert difference_interval(0, 0, n) == pytest.approx((-end, end), rel=1e-5)


def test_a_published_example():
    """Responsiveness of 21 children before and after a transplantation, as Fagerland, Lydersen and
    Laake give it (Statistics in Medicine 33 (2014) 2850): -0.286 (-0.517 to -0.026)."""
    low, high = difference_interval(1, 7, 21)
    assert (low, high) == (pytest.approx(-0.517, abs=5e-4), pytest.approx(-0.026, abs=5e-4))


def test_ends_where_nothing_is_gained_are_wilsons():
    """The difference is then a share by itself."""
    low, high = difference_interval(30, 0, 100)
    assert (low, high) == pytest.approx(wilson(30, 100), abs=1e-9)


def test_ends_solve_tangos_equation():
    """Of 5 lost and 2 gained of 60: at an end the score, by its own maximum of the likelihood, is
    1.96 standard errors.
    """
    lost, gained, n = 5, 2, 60
    candidates = np.linspace(1e-6, 0.5, 500_001)
    for end in difference_interval(lost, gained, n):
        of_gained = candidates[candidates + end > 0]
        of_lost = of_gained + end
        same = np.maximum(1 - of_gained - of_lost, 1e-300)
        log_likelihood = (
            lost * np.log(of_lost) + gained * np.log(of_gained) + (n - lost - gained) * np.log(same)
        )
        q = of_gained[log_likelihood.argmax()]
        variance = (2 * q + end - end**2) / n
        assert abs((lost - gained) / n - end) / np.sqrt(variance) == pytest.approx(Z, rel=1e-4)


def test_who_is_first_does_not_matter_and_all_lost_is_the_end():
    lost, gained = np.array([3, 0, 20]), np.array([1, 7, 0])
    low, high = difference_interval(lost, gained, 20)
    low_swapped, high_swapped = difference_interval(gained, lost, 20)
    assert low == pytest.approx(-high_swapped)
    assert high == pytest.approx(-low_swapped)
    assert high[2] == pytest.approx(1)
    assert low[2] == pytest.approx((20 - Z**2) / (20 + Z**2), rel=1e-5)


@pytest.mark.parametrize("cell", [cell for cell in coverage.GRID if cell.n <= 238])
def test_drops_are_covered(cell):
    """Exactly, by enumeration; at the largest n by `benchmarks.coverage` alone, for its time."""
    for mended in (0, 0.005, 0.05):
        covered = coverage.exact_coverage(cell, mended)
        assert covered >= coverage.LEAST
        if cell.must_be_sharp:
            assert covered <= coverage.MOST


# Ratios


def test_ratio_over_equal_shares_is_the_difference_over_the_share(rng):
    change = rng.integers(-1, 2, (3, 50))
    low, high = ratio_interval(change, np.full(50, 0.2))
    lost, gained = (change > 0).sum(1), (change < 0).sum(1)
    expected = difference_interval(lost, gained, 50)
    assert low == pytest.approx(expected[0] / 0.2)
    assert high == pytest.approx(expected[1] / 0.2)


def test_ratio_of_many_frames_is_fiellers(rng):
    """Its width is that of the delta method: the scatter of change - ratio * share."""
    n = 100_000
    share = rng.beta(2, 6, n)
    change = (rng.random(n) < share).astype(int)  # a ratio of 1
    ((low,), (high,)) = ratio_interval(change[None], share)
    ratio = change.mean() / share.mean()
    expected = 2 * Z * (change - ratio * share).std() / np.sqrt(n) / share.mean()
    assert high - low == pytest.approx(expected, rel=1e-3)
    assert high - low < 0.95 * 2 * Z * change.std() / np.sqrt(n) / share.mean()


def test_ratio_of_rows_does_not_depend_on_other_rows_and_is_undefined_over_nothing(rng):
    change, share = rng.integers(-1, 2, (4, 3, 30)), rng.random((4, 1, 30))
    share[1] = 0
    low, high = ratio_interval(change, share)
    assert low.shape == high.shape == (4, 3)
    assert np.isnan(low[1]).all()
    assert np.isnan(high[1]).all()
    alone = ratio_interval(change[2, 1][None], share[2, 0])
    assert (low[2, 1], high[2, 1]) == pytest.approx((alone[0][0], alone[1][0]))


@pytest.mark.parametrize("name", coverage.SIMULATED)
@pytest.mark.parametrize("cell", [coverage.Cell(14, 0.05), coverage.Cell(119, 0.2)])
def test_simulated_scores_are_covered(name, cell):
    repeats = 1500
    rng = generator(1, "test coverage", name, cell.n)
    covered = coverage.simulated_coverage(coverage.SIMULATED[name], cell, repeats, rng)
    error = 4 * np.sqrt(0.95 * 0.05 / repeats)
    assert covered >= coverage.LEAST - error
    if cell.must_be_sharp:
        assert covered <= coverage.MOST + error


def test_bootstrap_would_not_have_covered(rng):
    """Of 14 frames that lose 5 %, half of the data sets show no change."""
    assert coverage.bootstrap_coverage(coverage.Cell(14, 0.05), 300, rng) < 0.7


# Means


def test_mean_of_yes_and_no_is_the_difference(rng):
    values = (rng.random((2, 40)) < 0.2).astype(float)
    low, high = bounded_mean_interval(values)
    expected = difference_interval(values.sum(1), 0, 40)
    assert low == pytest.approx(expected[0])
    assert high == pytest.approx(expected[1])
    shifted = bounded_mean_interval(values - 0.5)
    assert shifted[0] == pytest.approx(low - 0.5)
