"""Clean SNRs first, all of them in time."""

import numpy as np
import pytest

from pisces.curriculum import admitted

GRID = tuple(range(0, 32, 2))


@pytest.mark.parametrize("epochs", [2, 5, 8, 16, 40])
def test_highest_classes_come_first_and_stay(epochs):
    by_epoch = np.array([admitted(epoch, epochs, GRID) for epoch in range(1, epochs + 5)])
    assert by_epoch.dtype == bool
    # Along the grid: no class without all higher ones. Along the epochs: none that was there is sent away.
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
