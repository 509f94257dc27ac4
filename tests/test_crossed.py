"""Means over seeds and frames against closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats as reference

from pisces.core import stats
from pisces.core.seeding import generator
from pisces.experiments import crossed

REPEATS = 1500
SEEDS, FRAMES = 5, 60


@pytest.fixture
def rng():
    return generator(1, "test crossed")


def tables(rng, spread_of_seeds: float, seeds: int = SEEDS, frames: int = FRAMES) -> np.ndarray:
    """`REPEATS` tables (seeds, frames) of the model, with a mean of 0."""
    of_seed = spread_of_seeds * rng.normal(size=(REPEATS, seeds, 1))
    of_frame = 0.3 * rng.normal(size=(REPEATS, 1, frames))
    return of_seed + of_frame + 0.4 * rng.normal(size=(REPEATS, seeds, frames))


def coverage(estimates: list[crossed.Estimate]) -> float:
    return float(np.mean([one.low <= 0 <= one.high for one in estimates]))


def coverage_error(approximation: float) -> float:
    """Five standard errors of a simulated coverage, and what Satterthwaite's t leaves.

    Where seeds and frames weigh alike, as at a spread of 0.1, an estimated variance of few degrees
    of freedom is often too small: the coverage is then short by up to 0.02 with five seeds.
    """
    return 5 * np.sqrt(0.95 * 0.05 / REPEATS) + approximation


def test_the_variance_is_that_of_the_mean_squares(rng):
    table = rng.normal(size=(4, 7)) + 3 * rng.normal(size=(4, 1)) + 3 * rng.normal(size=7)
    of_seed, of_frame = table.mean(1), table.mean(0)
    left = table - of_seed[:, None] - of_frame + table.mean()
    ms_seed, ms_frame = 7 * of_seed.var(ddof=1), 4 * of_frame.var(ddof=1)
    ms_rest = (left**2).sum() / (3 * 6)
    found = crossed.mean_of(table)
    assert found.mean == pytest.approx(table.mean())
    total = ms_seed + ms_frame - ms_rest
    assert found.variance == pytest.approx(total / 28)
    degrees = total**2 / (ms_seed**2 / 3 + ms_frame**2 / 6 + ms_rest**2 / 18)
    assert found.degrees == pytest.approx(degrees)
    assert (found.seeds, found.frames) == ((4,), 7)


def test_seeds_alone_give_students_test(rng):
    """Where every frame says the same, the seeds are a sample of their own."""
    of_seed = rng.normal(size=6) + 1
    found = crossed.mean_of(np.repeat(of_seed[:, None], 9, axis=1))
    expected = reference.ttest_1samp(of_seed, 0)
    low, high = expected.confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.half_width == pytest.approx((high - low) / 2)


def test_frames_alone_give_students_test(rng):
    of_frame = rng.normal(size=40) + 0.3
    found = crossed.mean_of(np.repeat(of_frame[None], 3, axis=0))
    assert found.p == pytest.approx(reference.ttest_1samp(of_frame, 0).pvalue)


@pytest.mark.parametrize("spread", [0.0, 0.1, 1.0])
def test_the_interval_covers_the_mean(spread, rng):
    found = [crossed.mean_of(table) for table in tables(rng, spread)]
    assert coverage(found) == pytest.approx(0.95, abs=coverage_error(0.02))


def test_frames_alone_would_not_cover_the_mean(rng):
    """What an interval is worth that takes one seed for all: the reason for the analysis."""
    one_seed = tables(rng, 0.3)[:, 0]  # (repeats, frames)
    p = reference.ttest_1samp(one_seed, 0, axis=1).pvalue
    assert np.mean(p > 0.05) < 0.6


def test_no_difference_is_found_as_rarely_as_it_says(rng):
    """p below 0.05 in 5 % of differences between kinds that are the same, seeds paired or not."""
    one, other = tables(rng, 0.1), tables(rng, 0.1)
    for is_paired in (True, False):
        found = [crossed.difference(*pair, is_paired) for pair in zip(one, other, strict=True)]
        share = np.mean([each.p < 0.05 for each in found])
        assert share == pytest.approx(0.05, abs=coverage_error(0.02))


def test_seeds_that_are_not_paired_may_differ_in_number(rng):
    one, other = tables(rng, 0.2, seeds=3), tables(rng, 0.2, seeds=6)
    found = [crossed.difference(*pair, is_paired=False) for pair in zip(one, other, strict=True)]
    assert coverage(found) == pytest.approx(0.95, abs=coverage_error(0.03))
    assert found[0].seeds == (3, 6)


def test_pairing_takes_off_what_seeds_do_to_both(rng):
    """A seed that makes both kinds better by the same makes no difference."""
    of_seed = 5 * rng.normal(size=(SEEDS, 1))
    one = of_seed + rng.normal(size=(SEEDS, FRAMES))
    other = of_seed + rng.normal(size=(SEEDS, FRAMES))
    paired = crossed.difference(one, other, is_paired=True)
    apart = crossed.difference(one, other, is_paired=False)
    assert paired.mean == pytest.approx(apart.mean)
    assert paired.half_width < apart.half_width / 5


def test_equal_predictions_make_no_difference(rng):
    table = rng.random((3, 20))
    found = crossed.difference(table, table, is_paired=True)
    assert (found.mean, found.half_width, found.p) == (0, 0, 1)


def test_the_share_of_independent_frames_is_wilsons():
    """Frames that all seeds see alike count once, with t for the normal quantile."""
    right = np.arange(400) < 300
    found = crossed.mean_of(np.repeat(right[None].astype(float), 3, axis=0))
    low, high = found.share_interval()
    expected = stats.wilson(300, 400)
    assert (low, high) == (
        pytest.approx(expected[0], abs=5e-4),
        pytest.approx(expected[1], abs=5e-4),
    )


def test_a_share_of_all_has_a_width():
    low, high = crossed.mean_of(np.ones((3, 200))).share_interval()
    t = reference.t.ppf(0.975, 199)
    assert high == 1
    assert low == pytest.approx(200 / (200 + t**2))


def test_the_interval_of_a_share_covers_it(rng):
    """Frames of different difficulty, seeds of different luck."""
    repeats, truth = 600, 0.9
    covered = 0
    for _ in range(repeats):
        hard = rng.beta(9, 1, size=150)  # mean 0.9
        luck = 1 + 0.02 * rng.normal(size=(SEEDS, 1))
        right = rng.random((SEEDS, 150)) < np.clip(hard * luck, 0, 1)
        low, high = crossed.mean_of(right.astype(float)).share_interval()
        covered += low <= truth <= high
    # 0.01: clipping at 1 moves the mean by less than a tenth of the standard error of 0.02.
    error = 5 * np.sqrt(0.95 * 0.05 / repeats) + 0.01
    assert covered / repeats == pytest.approx(0.95, abs=error)
