"""What the plain objective minimises."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from pisces.data.datasets import StoredFrames, batches
from pisces.training.augmentation import Augmentation
from tests.training.tiny import CPU, make_trainer


@pytest.mark.usefixtures("normless")
def test_mixup_trains_on_mixed_images_and_validates_on_whole_ones(training_data):
    mixed_data = training_data._replace(augmentation=Augmentation(mixup_alpha=1.0))
    mixed, plain = make_trainer(mixed_data), make_trainer(training_data)
    frames = StoredFrames(training_data.store, CPU)
    batch = next(batches(frames, training_data.parts["train"], 8))
    whole = plain.validate([batch])
    assert mixed.validate([batch]) == whole
    assert whole["validation_loss"] > 0

    values = mixed.objective.training_losses(mixed.model, batch, 1, np.random.default_rng(5))
    rng = np.random.default_rng(5)
    share, other = rng.beta(1, 1), rng.permutation(8)
    images = training_data.input.tensors(batch.stored)
    expected = mixed.model(share * images + (1 - share) * images[other])
    torch.testing.assert_close(values.predictions, expected)
    assert values.auxiliary == {}
    for task, (scores, target) in enumerate(zip(expected, batch[1:], strict=True)):
        loss, loss_of_other = (cross_entropy(scores, one) for one in (target, target[other]))
        mean = share * loss + (1 - share) * loss_of_other
        torch.testing.assert_close(values.tasks[task], mean)
