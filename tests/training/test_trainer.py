"""The loop learns, repeats itself to the bit, and keeps the best epoch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from pisces.data import datasets
from pisces.data.datasets import StoredFrames, batches
from pisces.models import modelfile
from pisces.training import checkpoints, components, weighting
from pisces.training import trainer as loop
from pisces.training.history import Tally, best_epoch, headline, monitored, record
from pisces.training.trainer import Trainer
from pisces.training.weighting import WEIGHTINGS
from tests import conftest
from tests.training.tiny import (
    CHANCE_LOSS,
    CLDNN,
    CPU,
    EPS,
    NORMED,
    SNRS_DB,
    STEPS,
    assert_same,
    configure,
    fit,
    interrupt,
    make_trainer,
)


@pytest.mark.usefixtures("tiny")
def test_frames_on_the_device_train_the_same_model(training_data, tmp_path, monkeypatch):
    from_shards = fit(training_data, tmp_path / "shards.pt")
    monkeypatch.setattr(datasets, "free_memory", lambda _: 2**30)
    opened = []
    resident = datasets.ResidentFrames
    monkeypatch.setattr(
        datasets, "ResidentFrames", lambda *given: opened.append(given) or resident(*given)
    )
    on_device = fit(training_data, tmp_path / "device.pt")
    assert len(opened) == 1
    assert_same(from_shards, on_device)


def test_resnet18_memorises_a_handful_of_easy_frames(training_data, tmp_path):
    """Four epochs are too few for the running averages of its batch normalisation, so it is judged
    by the training loss.
    """
    _, history = fit(training_data, tmp_path / "last.pt", epochs=4, lr=3e-4)
    assert history[0]["train_loss"] > CHANCE_LOSS
    assert history[-1]["train_loss"] < 0.1 * CHANCE_LOSS


@pytest.mark.usefixtures("tiny")
def test_half_precision_learns_too_with_its_gradients_scaled_and_clipped(training_data, tmp_path):
    # A scaler refuses to clip for an optimiser that takes the scale out by itself, as a fused one
    # does.
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    fabric = Fabric(accelerator="cpu", devices=1, plugins=MixedPrecision("16-mixed", "cpu", scaler))
    _, history = loop.fit(
        training_data,
        configure(precision="16-mixed", epochs=8),
        1,
        tmp_path / "last.pt",
        fabric,
        lambda _: None,
    )
    assert history[-1]["train_loss"] < 0.5 * CHANCE_LOSS
    assert sum(row["skipped_steps"] for row in history) == 0


@pytest.mark.usefixtures("tiny")
def test_what_was_learnt_holds_for_frames_never_seen(training_data, tmp_path):
    model, history = fit(training_data, tmp_path / "last.pt", epochs=20)
    assert history[-1]["validation_loss"] < 0.1 * CHANCE_LOSS
    bins, *targets = next(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["validation"], 100)
    )
    predictions = [scores.argmax(1) for scores in model(training_data.input.tensors(bins))]
    assert all(map(torch.equal, predictions, targets))
    assert not model.training


@pytest.mark.usefixtures("tiny")
def test_same_seed_same_bytes_whatever_the_callers_random_state(training_data, tmp_path):
    settings = {"branches": "attention", "snr_head": "dual_layer"}  # both with dropout
    torch.manual_seed(1)
    first = fit(training_data, tmp_path / "first.pt", **settings)
    torch.manual_seed(2)
    expected = torch.rand(3)
    torch.manual_seed(2)
    second = fit(training_data, tmp_path / "second.pt", **settings)
    assert_same(first, second)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.usefixtures("tiny")
def test_another_seed_gives_another_start_and_every_epoch_another_order(
    training_data, tmp_path, monkeypatch
):
    orders, first_losses = [], []

    def record(loader, index, *rest):
        orders.append(index.tolist())
        return batches(loader, index, *rest)

    monkeypatch.setattr(loop, "batches", record)
    for seed in (1, 2):
        first_losses.append(
            fit(training_data, tmp_path / f"{seed}.pt", seed=seed, epochs=2)[1][0]["train_loss"]
        )
    assert first_losses[0] != first_losses[1]
    train, validation = orders[::2], orders[1::2]
    assert all(sorted(order) == training_data.parts["train"].tolist() for order in train)
    assert len({str(order) for order in train}) == 4
    assert all(order == training_data.parts["validation"].tolist() for order in validation)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("stop_metric", ["validation_loss", "validation_modulation_accuracy"])
def test_the_best_epoch_is_returned_and_not_the_last(misleading, tmp_path, stop_metric):
    model, history = fit(
        misleading, tmp_path / "last.pt", epochs=6, lr=3e-2, stop_metric=stop_metric
    )
    values = [row[stop_metric] for row in history]
    best = values.index((min if stop_metric == "validation_loss" else max)(values))
    assert best < len(values) - 1
    trainer = make_trainer(misleading)
    trainer.model.module.load_state_dict(model.state_dict())
    row = trainer.validate(
        batches(StoredFrames(misleading.store, CPU), misleading.parts["validation"], 8)
    )
    assert row[stop_metric] == values[best]
    assert headline(history, stop_metric)["best_epoch"] == 1 + best
    assert record(history, stop_metric)[stop_metric] == values[best]


@pytest.mark.usefixtures("tiny")
def test_training_stops_early(misleading, tmp_path):
    _, history = fit(misleading, tmp_path / "last.pt", epochs=50, stop_patience=2, lr=3e-2)
    values = [row["validation_loss"] for row in history]
    assert len(values) == 1 + np.argmin(values) + 2 < 50


def after(trainer: Trainer, values: list[float]) -> list[bool]:
    """Whether training is finished after each of so many epochs with these monitored values."""
    finished = []
    for number, value in enumerate(values, 1):
        trainer.history.append({"epoch": number, trainer.config.stop_metric: value})
        trainer.schedule.step_epoch(monitored(trainer.history[-1], trainer.config.stop_metric))
        finished.append(trainer.finished)
    return finished


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("stop_metric", "sign"), [("validation_loss", 1), ("validation_joint_accuracy", -1)]
)
def test_patience_starts_anew_with_every_better_epoch(training_data, stop_metric, sign):
    trainer = make_trainer(training_data, stop_patience=3, epochs=100, stop_metric=stop_metric)
    assert after(trainer, [sign * value for value in (5, 6, 6, 4, 4.5, 4.5, 4.5)]) == [
        False
    ] * 6 + [True]
    assert best_epoch(trainer.history, stop_metric) == 4


@pytest.mark.usefixtures("tiny")
def test_with_cycles_patience_lasts_to_the_end_of_one(training_data):
    settings = {"stop_patience": 3, "epochs": 100, "schedule": "cyclic", "cycle_epochs": 4}
    assert after(make_trainer(training_data, **settings), [5, 4] + 8 * [6]).index(True) == 7


@pytest.mark.parametrize(
    ("epochs", "paths", "stops"),
    [((2, 1, 2), "dual", 8), ((0, 0, 0), "dual", 5), ((2, 1, 2), "raw", 5)],
)
def test_patience_begins_when_a_denoiser_and_its_classifier_meet(raw, epochs, paths, stops):
    """After phase b2; a model without a denoiser has no phases to wait for."""
    training_data = raw._replace(
        cldnn=raw.cldnn._replace(paths=paths), noise_aware=conftest.noise_aware(epochs)
    )
    trainer = make_trainer(training_data, **CLDNN, stop_patience=3, epochs=100)
    assert after(trainer, [5, 4] + 8 * [6]).index(True) + 1 == stops


@pytest.mark.usefixtures("tiny")
def test_epochs_is_an_upper_bound(training_data):
    assert after(make_trainer(training_data, epochs=2), [5, 4]) == [False, True]


@pytest.mark.usefixtures("tiny")
def test_learning_rate_falls_after_more_than_patience_epochs_without_a_better_loss(training_data):
    trainer = make_trainer(training_data, lr=1e-2, plateau_factor=0.5, plateau_patience=2)
    rates = []
    for value in [5, 4, 6, 6, 6, 3, 6, 6, 6]:
        after(trainer, [value])
        rates.append(trainer.lr)
    assert rates == pytest.approx([1e-2] * 4 + [5e-3] * 4 + [2.5e-3])


@pytest.mark.usefixtures("tiny")
def test_the_average_is_what_is_validated_and_kept(training_data):
    trainer = make_trainer(training_data, ema_decay=0.9)
    row = trainer.epoch(0)
    kept = trainer.best_model().state_dict()
    assert all(
        torch.equal(value, kept[name])
        for name, value in trainer.average.module.state_dict().items()
    )
    assert not torch.equal(
        kept["modulation_head.weight"], trainer.model.module.state_dict()["modulation_head.weight"]
    )
    other = make_trainer(training_data)
    other.model.module.load_state_dict(kept)
    again = other.validate(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["validation"], 8)
    )
    assert {name: row[name] for name in again} == again


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("decay", [0.9, 0.15])
def test_moving_average_by_hand(training_data, monkeypatch, decay):
    """The first step is taken whole; the k-th leaves k / (9 + k) of what was there, and never more
    than the decay.
    """
    trainer, states, update = make_trainer(training_data, ema_decay=decay), [], Trainer.update

    def noting(trainer):
        finite = update(trainer)
        states.append(
            {name: value.clone() for name, value in trainer.model.module.state_dict().items()}
        )
        return finite

    monkeypatch.setattr(Trainer, "update", noting)
    trainer.train(
        batches(StoredFrames(training_data.store, CPU), training_data.parts["train"], 8), 24
    )
    expected = dict(states[0])
    for k, state in enumerate(states[1:], 2):
        keep = min(decay, k / (9 + k))
        expected = {name: keep * expected[name] + (1 - keep) * state[name] for name in expected}
    averaged = trainer.average.module.state_dict()
    for name, value in averaged.items():
        if value.is_floating_point():
            torch.testing.assert_close(
                value,
                expected[name],
                rtol=0,
                atol=4 * EPS * float(states[-1][name].abs().max() + 1),
            )
            assert not torch.equal(value, states[-1][name])
        else:
            assert value == len(states) == STEPS  # batches that a normalisation has seen


def test_a_noise_estimate_is_calibrated_once(raw, tmp_path, monkeypatch):
    calibrated, calibrate = [], Trainer.calibrate

    def noting(trainer):
        calibrate(trainer)
        calibrated.append(trainer.model.module.noise.b.item())

    monkeypatch.setattr(Trainer, "calibrate", noting)
    settings = CLDNN | {"epochs": 2}
    training_data = raw._replace(noise_aware=conftest.noise_aware((1, 0, 0)))
    interrupt(training_data, tmp_path / "last.pt", 1, **settings)
    fit(training_data, tmp_path / "last.pt", **settings)
    assert len(calibrated) == 1
    assert calibrated[0] != 0


def sizes_of_steps(training_data, tmp_path, **settings) -> list[int]:
    seen = []
    add = Tally.add

    def count(self, batch, *rest):
        seen.append(len(batch.stored))
        add(self, batch, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Tally, "add", count)
        fit(training_data, tmp_path / "last.pt", **settings)
    return seen


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_one_frame_is_dropped(training_data, tmp_path):
    training_data.parts["train"] = training_data.parts["train"][:17]
    assert (
        sizes_of_steps(training_data, tmp_path, epochs=2) == [8, 8, 8] * 2
    )  # two batches of training and one of validation


@pytest.mark.usefixtures("tiny")
def test_a_last_batch_of_two_frames_counts(training_data, tmp_path):
    """Means are over frames, not over batches: accuracies are whole numbers of all 18 frames."""
    training_data.parts["train"] = training_data.parts["train"][:18]
    _, history = fit(training_data, tmp_path / "last.pt", epochs=1)
    right = 18 * history[0]["train_modulation_accuracy"]
    assert right == pytest.approx(round(right), abs=1e-9)
    assert history[0]["train_loss"] == pytest.approx(
        history[0]["train_modulation_loss"] + history[0]["train_snr_loss"]
    )


@pytest.mark.usefixtures("tiny")
def test_rows_hold_the_weights_and_sigmas_of_the_end_of_their_epoch(training_data, tmp_path):
    _, history = fit(training_data, tmp_path / "last.pt", lr=1e-1)
    log_variance = checkpoints.load(tmp_path / "last.pt")["weighting"]["log_variance"]
    row = history[-1]
    assert [row["modulation_sigma"], row["snr_sigma"]] == pytest.approx(
        (log_variance / 2).exp().tolist()
    )
    assert [row["modulation_weight"], row["snr_weight"]] == pytest.approx(
        (-log_variance).softmax(0).tolist()
    )
    assert row["modulation_sigma"] != 1
    assert "snr_sigma" not in fit(training_data, tmp_path / "fixed.pt", weighting="fixed")[1][0]


def make_trivial(monkeypatch) -> None:
    """Modulation labels that the frames do not hold any more: all the same, the easiest task there
    is; SNR labels by lot.
    """
    rng = np.random.default_rng(3)

    def relabel(*arguments):
        for batch in batches(*arguments):
            lot = torch.from_numpy(rng.integers(0, len(SNRS_DB), len(batch.snr)))
            yield batch._replace(modulation=torch.zeros_like(batch.modulation), snr=lot)

    monkeypatch.setattr(loop, "batches", relabel)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_a_task_that_becomes_trivial_leaves_the_other_its_share(
    training_data, tmp_path, monkeypatch, name
):
    """The published failure: weights of 100 and 0 by the fourth epoch, which is what comes without
    a floor.
    """
    make_trivial(monkeypatch)
    settings = {"weighting": name, "epochs": 6, "lr": 0.5, "batch_size": 4, "temperature": 0.05}
    shares = {}
    for floor in (0.05, 1e-9):
        monkeypatch.setattr(weighting, "LIMIT", 5.0 if floor == 0.05 else 50.0)
        _, history = fit(training_data, tmp_path / str(floor), min_task_weight=floor, **settings)
        shares[floor] = np.array([[row["modulation_weight"], row["snr_weight"]] for row in history])
        assert shares[floor].sum(1) == pytest.approx(1)
    assert shares[0.05].min() >= 0.05 - EPS
    if name == "fixed":
        assert (shares[0.05] == 0.5).all()
    else:
        assert shares[0.05].min() < 0.06
        assert shares[1e-9][:4].min() < 1e-3


@pytest.mark.parametrize(("batch_size", "processes"), [(8, 3), (2, 2)])
def test_a_batch_that_processes_cannot_share(training_data, tmp_path, batch_size, processes):
    message = rf"train.batch_size = {batch_size} .* by {processes} processes; make it a multiple"
    with pytest.raises(ValueError, match=message):
        loop.fit(
            training_data,
            configure(batch_size=batch_size),
            1,
            tmp_path / "last.pt",
            SimpleNamespace(world_size=processes),
            print,
        )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit_b_32", "multiple of 32 px, not 16; set"),
        ("vit_h_14", "multiple of 14 px, not 16; set"),
    ],
)
def test_an_image_size_that_the_backbone_cannot_take(training_data, tmp_path, model, message):
    with pytest.raises(ValueError, match=f"{model} takes images of a {message} render.size"):
        fit(training_data, tmp_path / "last.pt", model=model)


def test_pretrained_weights_of_another_shape(training_data, tmp_path):
    torch.save({"conv1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "weights.pth")
    with pytest.raises(
        ValueError,
        match=r"train.pretrained = .*weights.pth does not fit .* resnet18: size mismatch for conv1",
    ):
        fit(training_data, tmp_path / "last.pt", pretrained=str(tmp_path / "weights.pth"))


@pytest.mark.usefixtures("tiny")
def test_pretrained_weights_are_what_training_starts_from(training_data, tmp_path):
    weights = NORMED.builder().state_dict()
    torch.save(weights, tmp_path / "weights.pth")
    state = make_trainer(
        training_data, pretrained=str(tmp_path / "weights.pth")
    ).model.module.backbone.state_dict()
    torch.testing.assert_close(state["conv1.weight"], weights["conv1.weight"].sum(1, keepdim=True))
    assert torch.equal(state["norm.weight"], weights["norm.weight"])


@pytest.mark.usefixtures("tiny")
def test_training_on_from_a_model_of_ours(training_data, tmp_path, capsys):
    config = configure()
    model, _ = fit(training_data, tmp_path / "first.pt")
    finished = tmp_path / "finished"
    modelfile.save(finished, components.trained_model(model, config, training_data))

    settings = {"pretrained": str(finished), "freeze": ("backbone",), "epochs": 1}
    tuned, _ = fit(training_data, tmp_path / "second.pt", **settings)
    assert "starting from" in capsys.readouterr().out

    before, after = model.state_dict(), tuned.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all("head" in name for name in changed)
