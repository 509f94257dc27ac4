"""What McNemar's test finds, by simulation."""

import numpy as np
import pytest

from pisces.core import stats
from pisces.core.power import detectable_difference
from pisces.core.seeding import generator


@pytest.mark.parametrize(
    ("differing", "n", "significance"),
    [(0, 119, 0.05), (0, 340, 0.05 / 26), (17, 340, 0.05 / 4), (100, 2000, 0.05 / 1000)],
)
def test_what_is_detectable_is_found_in_four_of_five_experiments(differing, n, significance):
    repeats, rng = 2000, generator(1, "test power", differing, n)
    difference = detectable_difference(differing, n, significance)
    noise = differing / n / 2
    drawn = rng.random((repeats, n))
    one, other = drawn >= noise + difference, drawn <= 1 - noise  # only one of both may be wrong
    found = np.mean(stats.mcnemar(other, one) <= significance)
    assert found == pytest.approx(0.8, abs=4 * np.sqrt(0.8 * 0.2 / repeats))


def test_more_frames_find_less_and_a_stricter_level_only_more():
    assert detectable_difference(10, 1000, 0.05) < detectable_difference(10, 500, 0.05)
    assert detectable_difference(10, 500, 0.001) > detectable_difference(10, 500, 0.05)
    assert detectable_difference(0, 10**5, 0.05) < 1e-4


def test_too_few_frames_find_nothing():
    """9 frames that all change the same way have p = 2 / 2^9 = .004, and 10 have .002."""
    assert np.isnan(detectable_difference(0, 9, 0.002))
    # All ten must change: the tenth root of .8.
    assert detectable_difference(0, 10, 0.002) == pytest.approx(0.8**0.1, abs=1e-4)
