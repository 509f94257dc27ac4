"""Clean SNRs first, all of them in time."""

import numpy as np
import pytest

from pisces.core.seeding import generator
from pisces.training.curriculum import admitted, balanced

GRID = tuple(range(0, 32, 2))


@pytest.mark.parametrize("epochs", [2, 5, 8, 16, 40])
def test_highest_classes_come_first_and_stay(epochs):
    by_epoch = np.array([admitted(epoch, epochs, GRID) for epoch in range(1, epochs + 5)])
    assert by_epoch.dtype == bool
    # Along the grid: no class without all higher ones. Along the epochs: none that was there is
    # sent away.
    assert (np.diff(by_epoch.astype(int), axis=1) >= 0).all()
    assert (np.diff(by_epoch.astype(int), axis=0) >= 0).all()


@pytest.mark.parametrize("epochs", [2, 5, 8, 16, 40])
def test_classes_grow_linearly_to_all_of_them_in_the_last_epoch_and_not_before(epochs):
    counts = np.array([admitted(epoch, epochs, GRID).sum() for epoch in range(1, epochs + 5)])
    line = len(GRID) * np.arange(1, epochs + 1) / epochs
    assert (np.abs(counts[:epochs] - np.maximum(line, 2)) < 1).all()
    assert counts.min() >= 2
    assert (counts[: epochs - 1] < len(GRID)).all()
    assert (counts[epochs - 1 :] == len(GRID)).all()


def test_eight_epochs_over_sixteen_classes_add_two_each():
    assert [admitted(epoch, 8, GRID).sum() for epoch in range(1, 9)] == [2, 4, 6, 8, 10, 12, 14, 16]
    assert np.array(GRID)[admitted(1, 8, GRID)].tolist() == [28, 30]


@pytest.mark.parametrize("epochs", [0, 1])
def test_without_a_curriculum_all_take_part_at_once(epochs):
    assert admitted(1, epochs, GRID).all()


def test_never_fewer_than_two_classes():
    assert admitted(1, 1000, (-20, 0, 20)).tolist() == [False, True, True]
    assert admitted(1, 1000, (0, 20)).tolist() == [True, True]


def test_order_of_the_classes_does_not_matter():
    assert admitted(1, 2, (30, -20, 10, 0)).tolist() == [True, False, True, False]


# Balance


def frames_of(*sizes: int) -> np.ndarray:
    """An index (n, 3) with so many frames of each SNR, all different."""
    rows = [
        [modulation, snr, row]
        for snr, size in enumerate(sizes)
        for row in range(size)
        for modulation in (row % 2,)
    ]
    return generator(1, "test balance").permutation(np.array(rows))


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_an_snr_of_k_frames_has_a_share_of_k_to_the_rest_of_the_power(power):
    sizes = np.array([1000, 10, 250])
    order = balanced(frames_of(*sizes), power, generator(1, "test balance"))
    counts, shares = np.bincount(order[:, 1]), sizes ** (1 - power) / np.sum(sizes ** (1 - power))
    assert np.abs(counts - shares * 1260).max() < 1 + 1e-9  # two roundings of half a frame
    assert len(order) == 1260


def test_frames_that_come_more_often_do_so_evenly():
    """10 frames of 60 wanted: each six times. 60 of them instead of 110: none twice."""
    counts = np.unique(
        balanced(frames_of(110, 10), 1.0, generator(1, "test balance")), axis=0, return_counts=True
    )
    assert counts[1][counts[0][:, 1] == 1].tolist() == [6] * 10
    assert counts[1][counts[0][:, 1] == 0].tolist() == [1] * 60


@pytest.mark.parametrize(
    ("sizes", "power"), [((100, 7, 31), 0.0), ((20, 20, 20), 0.5), ((20, 20, 20), 1.0)]
)
def test_nothing_but_the_order_changes_without_power_or_need(sizes, power):
    before = frames_of(*sizes)
    after = balanced(before, power, generator(2, "test balance"))
    assert not np.array_equal(after, before)
    assert sorted(after.tolist()) == sorted(before.tolist())
    assert np.count_nonzero(np.diff(after[:, 1])) > len(sizes)  # SNRs come mixed
    assert np.array_equal(after, balanced(before, power, generator(2, "test balance")))


def test_an_snr_without_frames_stays_without():
    before = frames_of(8, 0, 2)
    assert np.bincount(balanced(before, 1.0, generator(1, "test balance"))[:, 1]).tolist() == [
        5,
        0,
        5,
    ]
