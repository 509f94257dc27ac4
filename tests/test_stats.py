"""Intervals, tests and rank correlation against closed forms, SciPy and simulation."""

import numpy as np
import pytest
from scipy.stats import binom, binomtest, spearmanr

from pisces.core import stats
from pisces.core.seeding import generator

QUANTILE_DENSITY = 0.0584
"""Of the standard normal at its 2.5 % quantile, whose estimate scatters by sqrt(p q / R) / it."""


@pytest.fixture
def rng():
    return generator(1, "test stats")


def quantile_error(sigma: float, resamples: int) -> float:
    """Five standard errors of the 2.5 % quantile of `resamples` normal draws of spread `sigma`."""
    return 5 * sigma * np.sqrt(0.025 * 0.975 / resamples) / QUANTILE_DENSITY


def coverage_error(repeats: int) -> float:
    """Five standard errors of the share of `repeats` simulations that a 95 % interval covers."""
    return 5 * np.sqrt(0.95 * 0.05 / repeats)


# Means


@pytest.mark.parametrize("n", [2, 3, 14])
def test_the_interval_of_a_mean_covers_even_of_two_frames(rng, n):
    repeats = 4000
    found = [stats.student_mean(values) for values in rng.normal(3, 2, (repeats, n))]
    covered = np.mean([one["ci_low"] <= 3 <= one["ci_high"] for one in found])
    assert covered == pytest.approx(0.95, abs=coverage_error(repeats))


def test_a_mean_of_one_frame_has_no_interval_and_of_none_is_unknown():
    one, none = stats.student_mean(np.ones(1)), stats.student_mean(np.ones(0))
    assert (one["frames"], one["mean"]) == (1, 1)
    assert none["frames"] == 0
    assert np.isnan([one["ci_low"], one["ci_high"], none["mean"], none["ci_low"]]).all()


# Wilson


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 20), (13, 20), (952, 952), (633, 952)])
def test_wilson_ends_solve_their_equation(successes, n):
    """If the truth were either end, the share would lie 1.96 standard errors away."""
    share = successes / n
    for end in stats.wilson(successes, n):
        if 0 < end < 1:
            z = (share - end) / np.sqrt(end * (1 - end) / n)
            assert abs(z) == pytest.approx(1.959964, rel=1e-6)


def test_wilson_of_all_and_of_none():
    """All right: low end n / (n + z^2). None right is its mirror image."""
    low, high = stats.wilson(952, 952)
    assert (low, high) == (pytest.approx(952 / (952 + 1.959964**2), rel=1e-9), 1)
    assert stats.wilson(0, 952) == pytest.approx((0, 1 - low), abs=1e-12)


@pytest.mark.parametrize("true", [0.5, 0.8, 0.98])
def test_wilson_covers_the_truth(true):
    """Summed over all outcomes; by 2 % the coverage of a discrete share swings at n = 200."""
    n = 200
    outcomes = np.arange(n + 1)
    ends = np.array([stats.wilson(k, n) for k in outcomes])
    covers = (ends[:, 0] <= true) & (true <= ends[:, 1])
    assert binom.pmf(outcomes, n, true) @ covers == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_of_no_share_is_refused(successes, n):
    with pytest.raises(ValueError, match=f"{successes} of {n}"):
        stats.wilson(successes, n)


# Tango


# Bootstrap


def test_percentile_interval_by_hand():
    values = np.stack([np.arange(1001), np.arange(1001) - 500])
    low, high = stats.percentile_interval(values)
    assert (low.tolist(), high.tolist()) == ([25, -475], [975, 475])


def test_paired_bootstrap_keeps_columns_paired(rng):
    """Two columns that differ by 0.25 in every frame differ by exactly that in every resample."""
    frames = rng.normal(size=(1, 300))
    means = stats.paired_bootstrap({"one": frames, ("other", 2): frames + 0.25}, 200, rng)
    assert means["one"].shape == (1, 200)
    assert means["other", 2] - means["one"] == pytest.approx(np.full((1, 200), 0.25))
    assert means["one"].std() == pytest.approx(frames.std() / np.sqrt(300), rel=5 / np.sqrt(400))


def test_paired_bootstrap_in_chunks_is_the_same(rng, monkeypatch):
    columns = {"a": rng.random((70, 40)) < 0.5, "b": rng.normal(size=(3, 40))}
    whole = stats.paired_bootstrap(columns, 100, generator(2, "test"))
    monkeypatch.setattr(stats, "WEIGHTS_AT_ONCE", 33 * 40)  # 33 of 100 resamples
    parts = stats.paired_bootstrap(columns, 100, generator(2, "test"))
    for name in columns:
        assert parts[name] == pytest.approx(whole[name], rel=1e-12)


def test_bootstrap_mean_is_the_normal_approximation(rng):
    n, resamples = 400, 20_000
    values = rng.normal(size=n)
    interval = stats.bootstrap_mean(values, resamples, rng)
    sigma = values.std() / np.sqrt(n)
    # 0.05 sigma of skewness, which is of order 1 / sqrt(n).
    tolerance = quantile_error(sigma, resamples) + 0.05 * sigma
    assert interval["mean"] == pytest.approx(values.mean())
    assert interval["ci_low"] == pytest.approx(values.mean() - 1.96 * sigma, abs=tolerance)
    assert interval["ci_high"] == pytest.approx(values.mean() + 1.96 * sigma, abs=tolerance)


def test_bootstrap_mean_covers_the_truth(rng):
    n, repeats, resamples = 200, 400, 300
    intervals = [stats.bootstrap_mean(rng.normal(size=n), resamples, rng) for _ in range(repeats)]
    covered = np.mean([one["ci_low"] <= 0 <= one["ci_high"] for one in intervals])
    # 0.015: a percentile interval of n frames is too narrow by about 1 / n, 300 resamples by 0.01.
    assert covered == pytest.approx(0.95, abs=coverage_error(repeats) + 0.015)


def test_bootstrap_mean_in_chunks_is_the_same(rng, monkeypatch):
    values = rng.normal(size=40)
    whole = stats.bootstrap_mean(values, 100, generator(2, "test"))
    monkeypatch.setattr(stats, "DRAWS_AT_ONCE", 33 * 40)
    assert stats.bootstrap_mean(values, 100, generator(2, "test")) == whole


def test_frames_without_a_value_are_left_out(rng):
    some = stats.bootstrap_mean(np.array([1.0, np.nan, 3]), 50, rng)
    assert (some["frames"], some["mean"]) == (2, 2)

    none = stats.bootstrap_mean(np.array([np.nan]), 50, rng)
    assert none["frames"] == 0
    assert np.isnan([none["mean"], none["ci_low"], none["ci_high"]]).all()


# Tests


@pytest.mark.parametrize(
    ("only_one", "only_other", "same"),
    [(0, 0, 5), (3, 3, 1), (1, 0, 4), (12, 3, 100), (3, 12, 0), (40, 60, 7)],
)
def test_mcnemar_is_a_sign_test_of_the_frames_that_differ(only_one, only_other, same):
    one = np.repeat([True, False, True], [only_one, only_other, same])
    other = np.repeat([False, True, True], [only_one, only_other, same])
    differ = only_one + only_other
    expected = binomtest(only_one, differ).pvalue if differ else 1
    assert stats.mcnemar(one, other) == pytest.approx(expected)


def test_mcnemar_of_rows():
    one = np.array([[1, 1, 1, 1], [0, 1, 1, 0]], bool)
    other = np.array([[0, 0, 0, 1], [0, 1, 1, 1]], bool)
    assert stats.mcnemar(one, other).tolist() == [2 / 2**3, 1]


def test_mcnemar_rarely_finds_what_is_not_there():
    """Both are right at random in a fifth of the frames: an exact test errs in at most 5 %."""
    one, other = (generator(1, "test null", side).random((2000, 100)) < 0.2 for side in (0, 1))
    p = stats.mcnemar(one, other)
    assert 0.01 < np.mean(p <= 0.05) <= 0.05 + 5 * np.sqrt(0.05 * 0.95 / 2000)


def test_holm_by_hand():
    """The smallest of four is multiplied by 4, the next by 3, but none falls below the former."""
    assert stats.holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx(
        [0.03, 0.06, 0.06, 0.02]
    )
    assert stats.holm(np.array([0.6, 0.9, 0.001])) == pytest.approx([1, 1, 0.003])
    assert stats.holm(np.array([0.2])).tolist() == [0.2]


def test_holm_ignores_what_was_not_tested():
    adjusted = stats.holm(np.array([np.nan, 0.01, np.nan, 0.6, 0.3]))
    assert np.isnan(adjusted).tolist() == [True, False, True, False, False]
    assert adjusted[[1, 3, 4]] == pytest.approx([0.03, 0.6, 0.6])
    assert np.isnan(stats.holm(np.full(3, np.nan))).all()


# Rank correlation


def test_rank_correlation_is_spearmans_over_the_chosen_entries(rng):
    one = rng.integers(0, 6, (4, 50)).astype(float)
    other = rng.integers(0, 6, (4, 50)).astype(float)
    other[1] = -(one[1] ** 3)
    chosen = rng.random((4, 50)) < 0.6
    one[~chosen] = other[~chosen] = 1e6  # would agree, and outweigh the rest

    found = stats.rank_correlation(one, other, chosen)
    rows = zip(one, other, chosen, strict=True)
    expected = [spearmanr(a[at], b[at]).statistic for a, b, at in rows]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found[1] == pytest.approx(-1)


@pytest.mark.filterwarnings("error")
def test_constant_ranking_has_no_correlation():
    one = np.array([[1.0, 1, 1, 9], [1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]])
    other = np.array([[1.0, 2, 3, 4]] * 3 + [[5, 5, 5, 9]])
    chosen = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]], bool)
    assert np.isnan(stats.rank_correlation(one, other, chosen)).all()
