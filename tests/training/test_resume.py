"""An interrupted training ends as an uninterrupted one, to the bit."""

import psutil
import pytest
import torch

from pisces.run import dvc_process
from pisces.training import checkpoints
from pisces.training.augmentation import Augmentation
from pisces.training.schedules import OPTIMIZERS, SCHEDULES
from pisces.training.trainer import Trainer
from pisces.training.weighting import WEIGHTINGS
from tests import conftest
from tests.training.pairwise import cover
from tests.training.tiny import CLDNN, STEPS, Interrupted, assert_same, fail, fit, interrupt


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("killed_after", [1, 2, 3])
def test_interrupted_is_the_same_as_uninterrupted(misleading, tmp_path, killed_after, capsys):
    """With a best epoch before, and a lower learning rate after, the interruption."""
    settings = {"epochs": 4, "plateau_patience": 0, "lr": 3e-2}
    whole = fit(misleading, tmp_path / "whole.pt", **settings)
    seen = interrupt(misleading, tmp_path / "cut.pt", killed_after, **settings)
    assert_same(whole, fit(misleading, tmp_path / "cut.pt", seen.append, **settings))
    assert seen == whole[1]
    assert (
        f"resuming from the last checkpoint, after epoch {killed_after}\n"
        in capsys.readouterr().out
    )
    assert len({row["lr"] for row in seen}) > 1


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("schedule", "weights", "optimizer"), cover(SCHEDULES, WEIGHTINGS, tuple(OPTIMIZERS))
)
def test_every_schedule_and_weighting_resumes_exactly(
    training_data, tmp_path, schedule, weights, optimizer
):
    settings = {
        "schedule": schedule,
        "weighting": weights,
        "optimizer": optimizer,
        "epochs": 4,
        "plateau_patience": 0,
        "temperature": 0.1,
    }
    whole = fit(training_data, tmp_path / "whole.pt", **settings)
    interrupt(training_data, tmp_path / "cut.pt", 3, **settings)
    assert_same(whole, fit(training_data, tmp_path / "cut.pt", **settings))
    assert weights == "fixed" or whole[1][-1]["snr_weight"] != whole[1][0]["snr_weight"]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("varied", "settings"),
    [
        ({"phase": True, "noise_db": 20.0}, {}),
        ({"symmetry": True}, {}),
        ({"mixup_alpha": 0.4}, {}),
        ({}, {"curriculum_epochs": 3}),
        ({}, {"branches": "attention", "snr_head": "bottleneck_64"}),
        (
            {
                "phase": True,
                "symmetry": True,
                "noise_db": 20.0,
                "time_shift": True,
                "carrier_offset_std": 1e-3,
                "mixup_alpha": 0.4,
            },
            {
                "curriculum_epochs": 3,
                "branches": "attention",
                "snr_head": "dual_layer",
                "schedule": "cyclic",
                "weighting": "dwa",
            },
        ),
    ],
    ids=["frames", "symmetry", "mixup", "curriculum", "dropout", "all"],
)
def test_everything_random_resumes_exactly(received, tmp_path, varied, settings):
    training_data = received._replace(augmentation=Augmentation(**varied))
    plain = fit(received, tmp_path / "plain.pt")
    whole = fit(training_data, tmp_path / "whole.pt", **settings)
    assert all(
        row["train_loss"] != other["train_loss"]
        for row, other in zip(whole[1][:2], plain[1][:2], strict=True)
    )
    interrupt(training_data, tmp_path / "cut.pt", 2, **settings)
    assert_same(whole, fit(training_data, tmp_path / "cut.pt", **settings))


def test_a_cldnn_resumes_exactly(raw, tmp_path):
    """With all that is random about it, through the phases of its denoiser, a moving average and a
    balance of SNRs.
    """
    gain = {"probability": 0.5, "below_db": 10, "low": 0, "high": 0.5}
    training_data = raw._replace(
        augmentation=Augmentation(phase=True, gain_db=6.0, mixup_alpha=0.4, mixup_probability=0.5)
    )
    training_data = training_data._replace(noise_aware=conftest.noise_aware(raw_gain=gain))
    settings = CLDNN | {"epochs": 4, "ema_decay": 0.9, "snr_balance": 0.5, "lr": 1e-3}
    whole = fit(training_data, tmp_path / "whole.pt", **settings)
    for killed_after in (1, 3):
        interrupt(training_data, tmp_path / "cut.pt", killed_after, **settings)
    assert_same(whole, fit(training_data, tmp_path / "cut.pt", **settings))
    assert len({row["train_identity_loss"] for row in whole[1]}) == 4
    assert [row["phase"] for row in whole[1]] == [0, 1, 2, 3]


@pytest.mark.usefixtures("tiny")
def test_killed_within_an_epoch_resumes_from_its_start(training_data, tmp_path, monkeypatch):
    settings = {"branches": "attention", "weighting": "dwa", "schedule": "one_cycle"}
    whole = fit(training_data, tmp_path / "whole.pt", **settings)
    with monkeypatch.context() as patch:
        steps, update = [], Trainer.update

        def killed(trainer):
            steps.append(1)
            if len(steps) == STEPS + 2:
                raise Interrupted
            return update(trainer)

        patch.setattr(Trainer, "update", killed)
        with pytest.raises(Interrupted):
            fit(training_data, tmp_path / "cut.pt", **settings)
    assert_same(whole, fit(training_data, tmp_path / "cut.pt", **settings))


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_holds_nothing_but_tensors_and_plain_values(training_data, tmp_path):
    for schedule, weights in zip(SCHEDULES, WEIGHTINGS, strict=True):
        fit(training_data, tmp_path / schedule, schedule=schedule, weighting=weights, epochs=2)
        state = torch.load(tmp_path / schedule, weights_only=True)
        assert [row["epoch"] for row in state["history"]] == [1, 2]


@pytest.mark.usefixtures("tiny")
def test_a_finished_training_is_not_repeated(training_data, tmp_path):
    whole = fit(training_data, tmp_path / "last.pt")
    seen = []
    assert_same(whole, fit(training_data, tmp_path / "last.pt", seen.append))
    assert seen == []


@pytest.mark.usefixtures("tiny")
def test_a_stage_whose_dvc_has_died_stops_after_its_checkpoint(
    training_data, tmp_path, monkeypatch
):
    whole = fit(training_data, tmp_path / "whole.pt")
    with monkeypatch.context() as patch:
        patch.setattr(dvc_process, "running", psutil.Process)
        patch.setattr(dvc_process, "is_gone", lambda _: (tmp_path / "cut.pt").is_file())
        check = dvc_process.stop_when_gone()
        with pytest.raises(ValueError, match=r"dvc .* is gone; the next dvc repro resumes"):
            fit(training_data, tmp_path / "cut.pt", check=check)
    assert len(checkpoints.load(tmp_path / "cut.pt")["history"]) == 1
    assert_same(whole, fit(training_data, tmp_path / "cut.pt"))


@pytest.mark.filterwarnings(
    "ignore:Detected call of `lr_scheduler.step"
)  # which holds where a first step is skipped
@pytest.mark.usefixtures("tiny")
def test_a_rate_halved_stays_so_after_an_interruption(training_data, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail(patch, {0, 1, 2})
        whole = fit(training_data, tmp_path / "whole.pt", schedule="cosine")
    with monkeypatch.context() as patch:
        fail(patch, {0, 1, 2})
        interrupt(training_data, tmp_path / "cut.pt", 1, schedule="cosine")
    assert_same(whole, fit(training_data, tmp_path / "cut.pt", schedule="cosine"))
    assert whole[1][0]["rollbacks"] == 1


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_architecture_is_not_taken(training_data, tmp_path):
    fit(training_data, tmp_path / "last.pt", epochs=1)
    with pytest.raises(RuntimeError, match="snr_head"):
        fit(training_data, tmp_path / "last.pt", epochs=1, snr_head="dual_layer")
