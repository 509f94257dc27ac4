"""Which frames an epoch takes, how often, and how they are varied."""

import numpy as np
import pytest

from pisces.data.datasets import Loader, StoredFrames, batches
from pisces.training.augmentation import Augmentation
from pisces.training.frames import TrainingData, frames_of_epoch, steps_of_epoch
from tests.training.tiny import CPU, configure


def epoch(data: TrainingData, number: int, **settings) -> tuple[Loader, np.ndarray]:
    return frames_of_epoch(data, configure(**settings), 1, number, StoredFrames(data.store, CPU))


@pytest.mark.parametrize(
    ("frames", "processes", "steps"), [(16, 1, 2), (17, 1, 2), (18, 1, 3), (19, 2, 2), (20, 2, 3)]
)
def test_a_last_batch_counts_when_each_process_gets_two_frames_of_it(frames, processes, steps):
    assert steps_of_epoch(frames, 8, processes) == steps


def test_a_curriculum_admits_noisy_frames_later_and_keeps_the_length_of_an_epoch(received):
    for number, admitted in ((1, {1, 2}), (2, {1, 2}), (3, {0, 1, 2})):
        _, order = epoch(received, number, curriculum_epochs=3)
        assert set(order[:, 1].tolist()) == admitted
        assert len(order) == 27
        counts = np.unique(order, axis=0, return_counts=True)[1]
        assert set(counts) == ({1} if number == 3 else {1, 2})


def test_an_snr_of_few_frames_comes_as_often_as_its_balance_says(raw):
    """9, 3 and 9 frames; with balance 1 each SNR has a third of the 21."""
    for balance, expected in ((0, [9, 3, 9]), (1, [7, 7, 7])):
        _, order = epoch(raw, 1, snr_balance=balance)
        assert np.bincount(order[:, 1]).tolist() == expected


def test_added_noise_moves_frames_to_lower_classes_that_the_curriculum_admits(received):
    varied = received._replace(augmentation=Augmentation(noise_db=30.0))
    for number, lowest in ((1, 1), (3, 0)):
        loader, order = epoch(varied, number, curriculum_epochs=3)
        batch = next(batches(loader, order, len(order)))
        assert (batch.snr.numpy() <= order[:, 1]).all()
        assert (batch.snr.numpy() < order[:, 1]).any()
        assert batch.snr.min() == lowest
        assert np.array_equal(batch.modulation, order[:, 0])
