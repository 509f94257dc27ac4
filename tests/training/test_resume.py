"""An interrupted training ends as an uninterrupted one, to the bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

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


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def change_bytes(path: Path) -> None:
    """Of a weight, in the middle of the file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def change_state(key: str, value: object) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        torch.save(torch.load(path, weights_only=True) | {key: value}, path)

    return change


DAMAGES = {
    "truncated": cut_off,
    "empty": lambda path: path.write_bytes(b""),
    "garbage": lambda path: path.write_bytes(bytes(range(256)) * 64),
    "bytes changed": change_bytes,
    "text": lambda path: path.write_text("epoch 3"),
    "a number": lambda path: torch.save(3, path),
    "no keys": lambda path: torch.save({}, path),
    "other weights": change_state("model", {"a": torch.zeros(3)}),
    "other best weights": change_state("best", {"a": torch.zeros(3)}),
    "other optimizer": change_state("optimizer", {"state": {}, "param_groups": []}),
    "no history": change_state("history", None),
}


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_put_aside_and_training_starts_anew(
    training_data, tmp_path, damage, capsys
):
    whole = fit(training_data, tmp_path / "whole.pt")
    folder = tmp_path / "train" / "fingerprint"
    folder.mkdir(parents=True)
    interrupt(training_data, folder / "last.pt", 2)
    DAMAGES[damage](folder / "last.pt")
    damaged = (folder / "last.pt").read_bytes()
    capsys.readouterr()

    assert_same(whole, fit(training_data, folder / "last.pt"))
    (line,) = capsys.readouterr().out.splitlines()
    kept = folder.with_name("fingerprint.last.damaged")
    assert str(kept) in line
    assert "starts from the beginning" in line
    assert kept.read_bytes() == damaged


@pytest.mark.usefixtures("tiny")
def test_a_checkpoint_of_another_architecture_is_not_taken(training_data, tmp_path, capsys):
    whole = fit(training_data, tmp_path / "whole.pt", epochs=1, snr_head="dual_layer")
    fit(training_data, tmp_path / "last.pt", epochs=1)
    other = fit(training_data, tmp_path / "last.pt", epochs=1, snr_head="dual_layer")
    assert_same(whole, other)
    assert "starts from the beginning" in capsys.readouterr().out
