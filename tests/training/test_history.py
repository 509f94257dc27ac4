"""Rows of epochs, and what is made of them."""

import torch

from pisces.data.datasets import Batch
from pisces.training import devices
from pisces.training.history import Tally, describe, headline, record
from pisces.training.objective import LossValues


def test_an_auxiliary_loss_is_the_mean_over_the_frames_of_batches_that_had_it():
    tally = Tally(("identity", "features", "distillation"))
    for n, found in ((2, {"identity": 1.0, "distillation": 5.0}), (6, {"identity": 3.0})):
        labels = torch.zeros(n, dtype=torch.long)
        predictions = (torch.zeros(n, 3), torch.zeros(n, 3))
        auxiliary = {name: torch.tensor(loss) for name, loss in found.items()}
        batch = Batch(torch.zeros(n, 2, 8), labels, labels)
        tally.add(batch, LossValues(predictions, torch.ones(2), auxiliary))
    row = tally.means("train", devices.make_fabric("cpu", "auto"))
    assert row["train_identity_loss"] == 2.5
    assert row["train_distillation_loss"] == 5
    assert row["train_loss"] == 2
    assert "train_features_loss" not in row


def test_one_line_an_epoch():
    row = {"epoch": 3, "train_loss": 1.25, "validation_loss": 2.5}
    row |= {
        f"validation_{task}_accuracy": value
        for task, value in (("modulation", 0.5), ("snr", 0.25), ("joint", 0.125))
    }
    assert (
        describe(row, 8)
        == "epoch 3/8: loss 1.250, validation 2.500; modulation 50.0 %, snr 25.0 %, joint 12.5 %"
    )


def row(epoch: int, loss: float, skipped: int = 0, rollbacks: int = 0, micro_batch: int = 8):
    return {
        "epoch": epoch,
        "train_loss": 9.0,
        "validation_loss": loss,
        "validation_snr_accuracy": 1 - loss / 10,
        "skipped_steps": skipped,
        "rollbacks": rollbacks,
        "micro_batch": micro_batch,
    }


def test_headline_and_record_of_the_best_epoch():
    """The first of equals; incidents are those of all epochs, the micro-batch is the last one."""
    history = [row(1, 3.0, skipped=2), row(2, 1.0), row(3, 1.0, 1, 2, micro_batch=4)]
    found = headline(history, "validation_loss")
    assert found == {"best_epoch": 2, "skipped_steps": 3, "rollbacks": 2}
    assert {type(value) for value in found.values()} == {int}
    assert headline(history[:1], "validation_snr_accuracy")["best_epoch"] == 1
    assert record(history, "validation_loss") == {
        "epochs": 3,
        "micro_batch": 4,
        "validation_loss": 1.0,
        "validation_snr_accuracy": 0.9,
    }
