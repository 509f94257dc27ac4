"""A worker takes trials until all are done, whatever comes of them. What runs is a stand-in."""

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from pisces.experiments import (
    address,
    joining,
    storage,
    study,
    study_schema,
    trial,
    worker,
)
from pisces.experiments import workplace as workplaces
from pisces.experiments.attempts import ERROR, HANDED_BACK, ROOT
from pisces.experiments.space import Dimension
from pisces.run import signals
from tests.pipeline import environment

ROOT_FOLDER = Path(__file__).parents[1]
STUDY = """
preset: smoke
metric: evaluate.joint.accuracy
direction: maximize
trials: 3
sampler: {kind: random, seed: 1}
pruner: {kind: none}
space:
  train.lr: {from: 1e-4, to: 1e-2, log: true}
"""
EPOCHS = ({"epoch": 1.0, "validation_joint_accuracy": 0.5},)
OUTCOME = trial.Outcome([dict(row) for row in EPOCHS], trained=True)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository with all that a study is checked against, committed, as working folder."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT_FOLDER / name, tmp_path)
    for name in ("presets", "metrics"):
        shutil.copytree(ROOT_FOLDER / name, tmp_path / name)
    (tmp_path / "sweeps").mkdir()
    (tmp_path / "sweeps/own.yaml").write_text(STUDY)
    (tmp_path / ".gitignore").write_text("*.db*\n")
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def runs(repository, monkeypatch) -> list[trial.Experiment]:
    """The experiments that were run, in a stand-in that takes no time."""
    done: list[trial.Experiment] = []
    place = SimpleNamespace(
        repository=repository, require=lambda: None, keep_log=lambda name: f"{name}.txt"
    )

    @contextmanager
    def opened(root, revision):
        del root, revision
        yield place

    def run(place, experiment, go_on):
        del place
        done.append(experiment)
        for row in EPOCHS:
            go_on(row)
        return OUTCOME

    monkeypatch.setattr(workplaces, "opened", opened)
    monkeypatch.setattr(trial, "run", run)
    monkeypatch.setattr(trial, "value_of", lambda *_: 0.1 * len(done))
    monkeypatch.setattr(worker, "SECONDS_BETWEEN_LOOKS", 0.01)
    return done


def work(**changes) -> optuna.Study:
    """Lets one worker work on the study `own`, and returns the study."""
    url = address.read("sqlite:///own.db")
    spec = study.read(Path("sweeps/own.yaml")).model_copy(update=changes)
    worker.work(spec, "own", url, patience=1)
    return joined()


def joined() -> optuna.Study:
    store = storage.open_storage(address.read("sqlite:///own.db"), 1, 60)
    return optuna.load_study(study_name="own", storage=store)


def instead(monkeypatch, act: Callable[[trial.Experiment], None]) -> None:
    """Lets every experiment end as `act` does."""

    def run(place, experiment, go_on):
        del place, go_on
        act(experiment)
        return OUTCOME

    monkeypatch.setattr(trial, "run", run)


def test_every_trial_runs_once_and_is_told_with_all_that_a_report_needs(runs, capsys):
    done = work()
    assert [one.name for one in runs] == ["own-0", "own-1", "own-2"]
    assert [one.state for one in done.trials] == 3 * [TrialState.COMPLETE]
    first = done.trials[0]
    assert first.value == pytest.approx(0.1)
    assert first.intermediate_values == {1: 0.5}
    assert first.user_attrs["experiment"] == "own-0"
    assert first.user_attrs["settings"] == {"train.lr": runs[0].params["train"]["lr"]}
    assert first.user_attrs["from_run_cache"] is False
    assert first.user_attrs["pid"] == os.getpid()

    said = capsys.readouterr().out
    assert "own-1 begins: train.lr=" in said
    assert "own: 3 trials, 3 finished\nbest: own-2 with evaluate.joint.accuracy = 0.3" in said


def test_a_stage_learns_the_number_and_the_threads_of_its_trial(runs):
    work(trials=1, threads=2)
    assert runs[0].environment["PISCES_TRIAL"] == "own/0"
    assert runs[0].environment["OMP_NUM_THREADS"] == "2"


def test_a_study_that_is_done_runs_nothing_more(runs):
    work()
    work()
    assert len(runs) == 3


def test_more_trials_can_be_asked_for_later(runs):
    work()
    work(trials=5)
    assert [one.name for one in runs] == [f"own-{number}" for number in range(5)]


def test_who_goes_on_draws_what_one_worker_would_have_drawn(runs):
    work()
    whole = [one.params["train"]["lr"] for one in runs]
    runs.clear()
    Path("own.db").unlink()
    work(trials=1)
    work(trials=3)
    assert [one.params["train"]["lr"] for one in runs] == whole
    assert len(set(whole)) == 3


def test_params_that_the_file_may_not_have_fail_the_trial_and_not_the_worker(runs):
    done = work(fixed={"train.batch_size": -5}, trials=2)
    assert runs == []
    assert all("train.batch_size = -5" in one.user_attrs[ERROR] for one in done.trials)


def test_a_trial_whose_stage_fails_keeps_its_line_and_the_study_goes_on(monkeypatch, capsys):
    def fail_the_second(experiment):
        if experiment.name == "own-1":
            raise trial.Failed("data.path = x is not there")

    instead(monkeypatch, fail_the_second)
    done = work()
    states = [one.state for one in done.trials]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE]
    assert done.trials[1].user_attrs[ERROR] == "data.path = x is not there"
    said = capsys.readouterr().out
    assert "own-1: failed: data.path = x is not there; see own-1.txt" in said
    assert "own: 3 trials, 1 failed, 2 finished" in said


def test_a_worker_stops_when_trial_after_trial_fails(monkeypatch):
    tried: list[str] = []

    def fail(experiment):
        tried.append(experiment.name)
        raise trial.Failed("the disk is full")

    instead(monkeypatch, fail)
    with pytest.raises(ValueError, match=r"10 trials in a row failed.*the disk is full"):
        work(trials=100)
    assert len(tried) == 10


def test_a_trial_whose_dvc_was_ended_is_tried_again_under_the_same_name(monkeypatch):
    tried: list[trial.Experiment] = []

    def lose_the_first(experiment):
        tried.append(experiment)
        if len(tried) == 1:
            raise trial.Lost("dvc was ended with status -9")

    instead(monkeypatch, lose_the_first)
    done = work(trials=1)
    assert [one.name for one in tried] == ["own-0", "own-0"]
    assert tried[0].params == tried[1].params
    assert [one.state for one in done.trials] == [TrialState.FAIL, TrialState.COMPLETE]


def test_what_others_are_better_than_is_pruned(monkeypatch, capsys):
    def run(place, experiment, go_on):
        del place
        for epoch in range(1, 9):
            better = 0.9 if experiment.name == "own-0" else 0.1
            if not go_on({"epoch": epoch, "validation_joint_accuracy": better}):
                raise trial.Pruned
        return OUTCOME

    monkeypatch.setattr(trial, "run", run)
    pruner = study_schema.Pruner(kind="median", min_epochs=2, startup_trials=1)
    done = work(pruner=pruner, trials=2)
    assert [one.state for one in done.trials] == [TrialState.COMPLETE, TrialState.PRUNED]
    assert max(done.trials[1].intermediate_values) == 2
    assert "own-1: pruned after epoch 2" in capsys.readouterr().out


def test_what_is_taken_from_the_run_cache_still_reports_its_epochs(monkeypatch):
    rows = [{"epoch": float(n), "validation_joint_accuracy": n / 10} for n in (1, 2, 3)]
    monkeypatch.setattr(trial, "run", lambda *_: trial.Outcome(rows, trained=False))
    done = work(trials=1)
    assert done.trials[0].intermediate_values == {1: 0.1, 2: 0.2, 3: 0.3}
    assert done.trials[0].user_attrs["from_run_cache"] is True


def test_a_signal_hands_the_trial_back_at_once(monkeypatch):
    def stop(_):
        raise signals.Stopped(signal.SIGTERM, "stopped by SIGTERM")

    instead(monkeypatch, stop)
    with pytest.raises(signals.Stopped):
        work(trials=1)
    first, again = joined().trials
    assert first.state is TrialState.FAIL
    assert first.user_attrs[HANDED_BACK]
    assert again.state is TrialState.WAITING
    assert again.params == first.params


def test_no_trial_begins_after_the_hours(runs, capsys):
    done = work(hours=1e-9)
    assert len(runs) == 1
    assert [one.state for one in done.trials].count(TrialState.WAITING) == 2
    assert "hours of this worker are over" in capsys.readouterr().out


def test_a_trial_that_another_worker_runs_is_waited_for_and_then_tried_again(
    runs, monkeypatch, capsys
):
    work(trials=1)
    other = joined()
    taken = {ROOT: 1, "host": "there", "pid": 7}
    other.add_trial(create_trial(state=TrialState.RUNNING, user_attrs=taken))
    lost = other.trials[-1]
    looks: list[int] = []

    def fail_later(_):
        looks.append(1)
        if len(looks) == 3:
            other._storage.set_trial_state_values(lost._trial_id, TrialState.FAIL)

    monkeypatch.setattr(worker.time, "sleep", fail_later)
    work(trials=2)
    assert runs[-1].name == "own-1"
    said = capsys.readouterr().out
    assert said.count("no trial is left to begin; waiting for own-1 on there, process 7;") == 1
    assert "no sign of life for 120 s" in said


def test_an_attempt_that_was_taken_for_lost_ends_without_a_value(monkeypatch, capsys):
    def take_away(_):
        (running,) = joined().get_trials(states=(TrialState.RUNNING,))
        joined()._storage.set_trial_state_values(running._trial_id, TrialState.FAIL)
        monkeypatch.setattr(trial, "run", lambda *_: OUTCOME)

    instead(monkeypatch, take_away)
    done = work(trials=1)
    assert [one.state for one in done.trials] == [TrialState.FAIL, TrialState.COMPLETE]
    assert "is tried again" in capsys.readouterr().out


def test_a_storage_that_fails_is_named_without_its_password(monkeypatch):
    def fill_the_disk(_):
        secret = sqlalchemy.exc.OperationalError("INSERT", {}, OSError("disk is full, hidden one"))
        raise optuna.exceptions.StorageInternalError from secret

    monkeypatch.setenv("PGPASSWORD", "hidden one")
    monkeypatch.setattr(worker, "_run_next", fill_the_disk)
    with pytest.raises(ValueError, match=r"own\.db failed: disk is full, \*\*\*;"):
        work()


def test_a_disk_that_stays_full_ends_the_worker_with_one_line(monkeypatch):
    """Also where Optuna itself stumbles over it: when it is told how a trial ended."""

    def fill_the_disk(_):
        monkeypatch.setattr(RDBStorage, "set_trial_state_values", refuse)

    def refuse(*_):
        complaint = sqlite3.OperationalError("database or disk is full")
        raise sqlalchemy.exc.OperationalError("UPDATE", {}, complaint)

    instead(monkeypatch, fill_the_disk)
    with pytest.raises(ValueError, match=r"has not answered for 1 s: .* is full; make room"):
        work()


def test_a_storage_that_breaks_as_a_trial_ends_is_named(monkeypatch):
    def damage(_):
        monkeypatch.setattr(RDBStorage, "set_trial_state_values", refuse)

    def refuse(*_):
        complaint = sqlite3.DatabaseError("database disk image is malformed")
        raise sqlalchemy.exc.DatabaseError("UPDATE", {}, complaint)

    instead(monkeypatch, damage)
    with pytest.raises(ValueError, match=r"own\.db failed: .* malformed; put a copy of it back"):
        work()


def test_a_worker_whose_folder_is_removed_says_so_and_hands_its_trial_back(monkeypatch, tmp_path):
    folder = tmp_path / "removed"
    gone = workplaces.Workplace(tmp_path, folder, "0" * 40)

    @contextmanager
    def opened(root, revision):
        del root, revision
        yield SimpleNamespace(repository=tmp_path, require=gone.require, keep_log=gone.keep_log)

    def read_the_log(_):
        gone.log.read_text()

    monkeypatch.setattr(workplaces, "opened", opened)
    instead(monkeypatch, read_the_log)
    with pytest.raises(ValueError, match=r"removed, the folder of this worker, .* run the same"):
        work(trials=1)
    first, again = joined().trials
    assert first.user_attrs[HANDED_BACK]
    assert again.state is TrialState.WAITING


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "params.yaml"), "No space left"),
        (PermissionError(errno.EACCES, "Permission denied", ".ckpt"), "Permission denied"),
        (MemoryError(), "no memory left"),
        (workplaces.GitFailed("git fetch failed in x: no refs"), "git fetch failed"),
        (trial.OfMachine("unable to open database file"), "unable to open .* see own-0.txt"),
    ],
)
def test_what_the_machine_lacks_costs_no_trial_and_ends_the_worker_in_one_line(
    monkeypatch, error, what
):
    tried: list[str] = []

    def fail(experiment):
        tried.append(experiment.name)
        raise error

    instead(monkeypatch, fail)
    with pytest.raises(ValueError, match=f"cannot run own-0, which waits again: .*{what}") as said:
        work()
    assert "\n" not in str(said.value)
    assert tried == ["own-0"]
    first, *others = joined().trials
    assert first.user_attrs[HANDED_BACK]
    assert ERROR not in first.user_attrs
    assert [one.state for one in others] == 3 * [TrialState.WAITING]
    assert others[-1].params == first.params


# Joining


def test_uncommitted_changes_are_named_before_a_study_begins(runs, repository):
    with (repository / "params.yaml").open("a") as file:
        file.write("# x\n")
    with pytest.raises(ValueError, match=r"uncommitted changes of params\.yaml.*git stash"):
        work()
    assert runs == []


def test_edits_do_not_keep_anybody_from_joining_and_play_no_part(runs, repository):
    work(trials=1)
    with (repository / "params.yaml").open("a") as file:
        file.write("# x\n")
    work(trials=2)
    assert len(runs) == 2


def test_a_study_of_another_space_is_refused():
    work(trials=1)
    other = STUDY.replace("from: 1e-4", "from: 1e-5")
    Path("sweeps/own.yaml").write_text(other)
    with pytest.raises(ValueError, match=r"is another: it differs in space\.train\.lr\.from;"):
        work()


def test_a_study_of_another_origin_is_refused():
    store = storage.open_storage(address.read("sqlite:///own.db"), 1, 60)
    optuna.create_study(storage=store, study_name="own")
    with pytest.raises(ValueError, match=r"was not made by pisces sweep; give another --name"):
        work()


def test_a_preset_that_changed_since_the_study_began_is_refused():
    work(trials=1)
    with Path("presets/smoke.yaml").open("a") as file:
        file.write("limits: {trials: 3}\n")
    with pytest.raises(ValueError, match=r"preset smoke .* is not what it was"):
        work()


def test_experiments_of_an_earlier_study_are_not_overwritten(repository):
    head = workplaces.git(repository, "rev-parse", "HEAD")
    workplaces.git(repository, "update-ref", workplaces.reference(head, "own-0"), head)
    workplaces.git(repository, "update-ref", workplaces.reference(head, "own-other"), head)
    with pytest.raises(
        ValueError, match="an earlier study own has left 1 experiment, such as own-0;"
    ):
        work()


def test_a_commit_that_is_not_here_is_named():
    work(trials=1)
    joined().set_user_attr(joining.REVISION, "0" * 40)
    with pytest.raises(ValueError, match="the commit 0000000000, which this repository lacks"):
        work()


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a.lock", 70 * "a"])
def test_a_name_that_git_could_not_have_is_refused(name):
    with pytest.raises(ValueError, match="letters, digits, - and _"):
        worker.work(None, name, address.read("sqlite:///own.db"))


def test_the_best_trial_of_a_study_that_minimizes_has_the_least_value(capsys):
    work(direction="minimize")
    assert "best: own-0 with" in capsys.readouterr().out


@pytest.mark.usefixtures("runs")
def test_no_seed_is_called_the_best(capsys):
    space = study.read(Path("sweeps/own.yaml")).space
    seeds = Dimension(choices=(1, 2, 3))
    work(space=space | {"train.seed": seeds})
    said = capsys.readouterr().out
    assert "3 finished" in said
    assert "best" not in said
