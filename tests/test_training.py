"""The loop: it learns, repeats itself to the bit, goes on where it was killed, and says what is wrong.

The tests of the loop itself put a network of a few hundred weights in the place of ResNet-18.
"""

import math
import os
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from pisces import checkpoints, models, training
from pisces.datasets import Constellations, batches
from pisces.models.joint import JointModel
from pisces.params import Train
from pisces.rendering import Drawing
from pisces.shards import Cell

SIZE, SAMPLES, FRAMES = 16, 64, 8
MODULATIONS, SNRS_DB = ("BPSK", "QPSK"), (0, 20)
CHANCE_LOSS = math.log(len(MODULATIONS)) + math.log(len(SNRS_DB))
DRAWING = Drawing(SIZE, 2.5, "log_histogram", 1.0, (0.5, 1.0, 2.0))
CONFIG = Train(
    model="resnet18",
    epochs=3,
    batch_size=8,
    lr=1e-2,
    weight_decay=1e-5,
    clip_norm=1.0,
    min_task_weight=0.05,
    plateau_factor=0.5,
    plateau_patience=10,
    stop_patience=100,
    accelerator="cpu",
    precision="auto",
)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small tensors gain nothing from a second thread and lose much where it has no core of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch):
    monkeypatch.delenv("DVC_STAGE", raising=False)


@pytest.fixture
def tiny(monkeypatch) -> None:
    """A small network in the registry's place; its batch normalisation, like that of ResNet-18, needs two frames."""

    def build(_name, channels, modulations, snrs):
        backbone = nn.Sequential(
            nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.BatchNorm1d(128), nn.ReLU()
        )
        return JointModel(backbone, 128, modulations, snrs)

    monkeypatch.setattr(models, "build", build)


@pytest.fixture(scope="session")
def easy(tmp_path_factory, write_constellations) -> Constellations:
    """Frames that a glance tells apart: BPSK lies left and right, QPSK in the corners, 0 dB is spread wider than 20 dB."""
    rng = np.random.default_rng(1)
    cells = {}
    for modulation, snr_db in product(MODULATIONS, SNRS_DB):
        shape = (FRAMES, SAMPLES)
        spread = 3 if snr_db == 0 else 1
        column = np.where(rng.random(shape) < 0.5, 4, 11) + rng.integers(-spread, spread + 1, shape)
        centre = 8 if modulation == "BPSK" else np.where(rng.random(shape) < 0.5, 4, 11)
        row = centre + rng.integers(-spread, spread + 1, shape)
        cells[Cell(modulation, snr_db)] = (row * SIZE + column).astype(np.uint16)
    return Constellations(write_constellations(tmp_path_factory.mktemp("easy"), cells, SIZE))


def frames(rows: range) -> np.ndarray:
    return np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), rows)))


@pytest.fixture
def parts() -> dict[str, np.ndarray]:
    """Six frames of each cell to train on and two to validate."""
    return {"train": frames(range(6)), "validation": frames(range(6, 8))}


@pytest.fixture
def misleading(parts) -> dict[str, np.ndarray]:
    """Training frames of one modulation at one SNR only, so that the longer they are learnt the worse the validation becomes."""
    return parts | {"train": frames(range(8))[:8], "validation": frames(range(8))[8:]}


def fit(data, parts, checkpoint, on_epoch=lambda _: None, seed=1, **settings):
    config = Train.model_validate(CONFIG.model_dump() | settings)
    return training.fit(data, parts, DRAWING, config, seed, checkpoint, on_epoch)


def assert_same(one, other) -> None:
    """Two results of `fit` agree to the bit."""
    (model, history), (other_model, other_history) = one, other
    assert history == other_history
    state, other_state = model.state_dict(), other_model.state_dict()
    assert state.keys() == other_state.keys()
    assert [name for name in state if not torch.equal(state[name], other_state[name])] == []


def make_learner(**settings) -> training.Learner:
    config = Train.model_validate(CONFIG.model_dump() | settings)
    return training.Learner(training.make_fabric("cpu", "auto"), config, DRAWING, len(MODULATIONS), len(SNRS_DB), seed=1)


def test_resnet18_learns_a_handful_of_easy_frames_by_heart(easy, parts, tmp_path):
    """Four epochs are too few for the running averages of its batch normalisation, so it is judged by the training loss."""
    _, history = fit(easy, parts, tmp_path / "last.pt", epochs=4, lr=3e-4)
    assert history[0]["train_loss"] > CHANCE_LOSS
    assert history[-1]["train_loss"] < 0.1 * CHANCE_LOSS


@pytest.mark.usefixtures("tiny")
def test_what_was_learnt_holds_for_frames_never_seen(easy, parts, tmp_path):
    model, history = fit(easy, parts, tmp_path / "last.pt", epochs=20, lr=1e-2)
    assert history[-1]["validation_loss"] < 0.1 * CHANCE_LOSS
    bins, *targets = next(batches(easy, parts["validation"], 100, torch.device("cpu")))
    answers = [logits.argmax(1) for logits in model(DRAWING(training.count_samples(bins, SIZE)))]
    assert all(torch.equal(answer, target) for answer, target in zip(answers, targets, strict=True))
    assert not model.training


@pytest.mark.usefixtures("tiny")
def test_same_seed_same_bytes_whatever_the_callers_random_state(easy, parts, tmp_path):
    torch.manual_seed(1)
    first = fit(easy, parts, tmp_path / "first.pt")
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    second = fit(easy, parts, tmp_path / "second.pt")
    assert_same(first, second)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("tiny")
def test_another_seed_gives_another_start_and_every_epoch_another_order(easy, parts, tmp_path, monkeypatch):
    orders, losses = [], []

    def record(data, index, *rest):
        orders.append(index.tolist())
        return batches(data, index, *rest)

    monkeypatch.setattr(training, "batches", record)
    for seed in (1, 2):
        losses.append(fit(easy, parts, tmp_path / f"{seed}.pt", seed=seed, epochs=2)[1][0]["train_loss"])
    assert losses[0] != losses[1]
    train, validation = orders[::2], orders[1::2]
    assert all(sorted(order) == parts["train"].tolist() for order in train)
    assert len({str(order) for order in train}) == 4
    assert all(order == parts["validation"].tolist() for order in validation)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_interrupted_is_the_same_as_uninterrupted(easy, misleading, tmp_path, killed_after, capsys):
    """With a best epoch before, and a lower learning rate after, the interruption."""
    settings = {"epochs": 4, "plateau_patience": 0, "lr": 3e-2}
    whole = fit(easy, misleading, tmp_path / "whole.pt", **settings)
    seen = []

    def stop(row):
        seen.append(row)
        if row["epoch"] == killed_after:
            raise Interrupted

    with pytest.raises(Interrupted):
        fit(easy, misleading, tmp_path / "cut.pt", stop, **settings)
    again = fit(easy, misleading, tmp_path / "cut.pt", seen.append, **settings)
    assert_same(whole, again)
    assert seen == whole[1]
    assert f"going on after epoch {killed_after}\n" in capsys.readouterr().out
    assert len({row["lr"] for row in seen}) > 1


@pytest.mark.usefixtures("tiny")
def test_a_finished_training_is_not_repeated(easy, parts, tmp_path):
    whole = fit(easy, parts, tmp_path / "last.pt")
    seen = []
    assert_same(whole, fit(easy, parts, tmp_path / "last.pt", seen.append))
    assert seen == []


@pytest.mark.usefixtures("tiny")
def test_the_best_epoch_is_returned_and_not_the_last(easy, misleading, tmp_path):
    model, history = fit(easy, misleading, tmp_path / "last.pt", epochs=6, lr=3e-2)
    losses = [row["validation_loss"] for row in history]
    assert np.argmin(losses) < len(losses) - 1
    learner = make_learner()
    learner.model.module.load_state_dict(model.state_dict())
    row = learner.validate(batches(easy, misleading["validation"], 32, torch.device("cpu")))
    assert row["validation_loss"] == min(losses)
    assert training.summary(history) == {
        "epochs": 6,
        "best_epoch": 1 + int(np.argmin(losses)),
        **{name: value for name, value in history[int(np.argmin(losses))].items() if name.startswith("validation")},
    }


@pytest.mark.usefixtures("tiny")
def test_training_stops_early(easy, misleading, tmp_path):
    _, history = fit(easy, misleading, tmp_path / "last.pt", epochs=50, stop_patience=2, lr=3e-2)
    losses = [row["validation_loss"] for row in history]
    assert len(losses) == 1 + np.argmin(losses) + 2 < 50


@pytest.mark.usefixtures("tiny")
def test_patience_starts_anew_with_every_better_epoch():
    learner = make_learner(stop_patience=3, epochs=100)
    finished = []
    for loss in [5, 6, 6, 4, 4.5, 4.5, 4.5]:
        learner.end_epoch({"validation_loss": loss})
        finished.append(learner.finished)
    assert finished == [False] * 6 + [True]
    assert learner.best_epoch == 4


@pytest.mark.usefixtures("tiny")
def test_epochs_is_an_upper_bound():
    learner = make_learner(epochs=2)
    for loss in (5, 4):
        assert not learner.finished
        learner.end_epoch({"validation_loss": loss})
    assert learner.finished


@pytest.mark.usefixtures("tiny")
def test_learning_rate_falls_after_more_than_patience_epochs_without_a_better_loss():
    learner = make_learner(lr=1e-2, plateau_factor=0.5, plateau_patience=2)
    rates = []
    for loss in [5, 4, 6, 6, 6, 3, 6, 6, 6]:
        learner.end_epoch({"validation_loss": loss})
        rates.append(learner.lr)
    assert rates == pytest.approx([1e-2] * 4 + [5e-3] * 4 + [2.5e-3])


@pytest.mark.usefixtures("tiny")
def test_a_loss_that_is_not_finite_ends_the_training_and_leaves_no_checkpoint(easy, parts, tmp_path):
    with pytest.raises(ValueError, match=r"the training loss became (nan|inf) in epoch 1; lower train.lr = 1e\+30"):
        fit(easy, parts, tmp_path / "last.pt", lr=1e30)
    # One step an epoch: its loss was fine, what it made of the weights is not.
    with pytest.raises(ValueError, match=r"the validation loss became (nan|inf) in epoch 1; lower train.lr = 1e\+30"):
        fit(easy, parts, tmp_path / "last.pt", lr=1e30, batch_size=64)
    assert not list(tmp_path.iterdir())


def test_an_accelerator_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "mps"):
        with pytest.raises(ValueError, match=f"train.accelerator = {name} but this machine has none; use auto or cpu"):
            training.make_fabric(name, "auto")
    assert training.make_fabric("auto", "auto").device == torch.device("cpu")


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_one_frame_is_left_out(easy, parts, tmp_path):
    parts["train"] = parts["train"][:17]
    seen = []
    add = training.Tally.add

    def count(self, logits, losses, targets):
        seen.append(len(targets[0]))
        add(self, logits, losses, targets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Tally, "add", count)
        _, history = fit(easy, parts, tmp_path / "last.pt", epochs=2)
    assert seen == [8, 8, 8] * 2  # two batches of training and one of validation
    assert len(history) == 2


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_two_frames_counts(easy, parts, tmp_path):
    """Means are over frames, not over batches: accuracies are whole numbers of all 18 frames."""
    parts["train"] = parts["train"][:18]
    _, history = fit(easy, parts, tmp_path / "last.pt", epochs=1)
    right = 18 * history[0]["train_modulation_accuracy"]
    assert right == pytest.approx(round(right), abs=1e-9)
    assert history[0]["train_loss"] == pytest.approx(history[0]["train_modulation_loss"] + history[0]["train_snr_loss"])


@pytest.mark.usefixtures("tiny")
def test_no_task_loses_its_share(easy, parts, tmp_path, monkeypatch):
    """With modulation labels drawn by lot only the SNR can be learnt, which unbounded would take all of the weight."""
    rng = np.random.default_rng(3)

    def draw_labels(*arguments):
        for bins, modulation, snr in batches(*arguments):
            yield bins, torch.from_numpy(rng.integers(0, 2, len(modulation))), snr

    monkeypatch.setattr(training, "batches", draw_labels)
    _, history = fit(easy, parts, tmp_path / "last.pt", epochs=15, lr=1e-1, min_task_weight=0.3)
    shares = np.array([[row["modulation_weight"], row["snr_weight"]] for row in history])
    assert shares.sum(1) == pytest.approx(1)
    assert shares.min() == pytest.approx(0.3)
    assert shares[-1, 0] < shares[-1, 1]


@pytest.mark.usefixtures("tiny")
def test_a_stage_whose_dvc_has_died_stops_after_its_checkpoint(easy, parts, tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    whole = fit(easy, parts, tmp_path / "whole.pt")
    parent = os.getppid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getppid", lambda: 1 if (tmp_path / "cut.pt").is_file() else parent)
        with pytest.raises(ValueError, match="the dvc that started this training is gone; the next dvc repro goes on"):
            fit(easy, parts, tmp_path / "cut.pt")
    assert len(checkpoints.load(tmp_path / "cut.pt")["history"]) == 1
    assert_same(whole, fit(easy, parts, tmp_path / "cut.pt"))


def test_one_line_an_epoch():
    row = {"epoch": 3, "train_loss": 1.25, "validation_loss": 2.5}
    row |= {f"validation_{task}_accuracy": value for task, value in (("modulation", 0.5), ("snr", 0.25), ("joint", 0.125))}
    assert training.describe(row, 8) == "epoch 3/8: loss 1.250, validation 2.500; modulation 50.0 %, snr 25.0 %, joint 12.5 %"
