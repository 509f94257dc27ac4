"""Sweeps of tiny trials under DVC itself, in copies of the repository."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from benchmarks import postgres, tiny_sweep
from pisces.config import presets
from pisces.core import yaml
from pisces.experiments import address, attempts, storage, workplace
from tests.pipeline import Shell, commit, copy_code, smoke_params

pytestmark = pytest.mark.slow

TIMEOUT = 600


@pytest.fixture(scope="module")
def repository(tmp_path_factory, shell) -> Path:
    """A copy with a tiny preset, which has generated and drawn nothing yet."""
    root = copy_code(tmp_path_factory.mktemp("sweeps") / "pisces", smoke_params())
    (root / "presets/tiny.yaml").write_text(tiny_sweep.PRESET)
    write_study(root, "two")
    write_study(root, "same", space={"train.lr": {"choices": [0.003]}})
    write_study(root, "long", trials=1, fixed={"train.epochs": 400, "train.stop_patience": 400})
    too_many = {"stratify.train": 500, "stratify.validation": 10, "stratify.test": 10}
    write_study(root, "bad", trials=1, fixed=too_many)
    commit(shell, root)
    return root


def write_study(root: Path, name: str, **changes) -> None:
    content = tiny_sweep.STUDY | changes
    (root / f"sweeps/{name}.yaml").write_text(json.dumps(content))


def start(root: Path, shell: Shell, name: str, *options: str, **variables: str):
    """A worker that runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "pisces", "sweep", "run", f"sweeps/{name}.yaml", *options],
        cwd=root,
        env=shell.variables | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def trials_of(root: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    store = storage.open_storage(address.read(f"sqlite:///{root}/sweeps.db"), 1, 60)
    return optuna.load_study(study_name=name, storage=store).trials


def params_of(root: Path, name: str) -> dict:
    """params.yaml, as an experiment has it."""
    reference = workplace.reference(workplace.git(root, "rev-parse", "HEAD"), name)
    return yaml.parse(workplace.git(root, "show", f"{reference}:params.yaml"))


def clones(root: Path) -> list[Path]:
    return list((root / workplace.PLACE).glob("*/repository"))


def until(condition, worker) -> None:
    limit = time.monotonic() + TIMEOUT
    while not condition():
        assert worker.poll() is None, worker.stdout.read()
        assert time.monotonic() < limit
        time.sleep(0.1)


def test_two_workers_make_the_data_once_and_leave_two_experiments(repository, shell):
    workers = [start(repository, shell, "two") for _ in range(2)]
    printed = [worker.communicate(timeout=TIMEOUT)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], printed

    first, second = trials_of(repository, "two")
    assert first.state is second.state is TrialState.COMPLETE
    assert sorted(first.intermediate_values) == [1, 2, 3]
    assert {line.split()[0] for text in printed for line in text.splitlines()} >= {"two-0", "two-1"}
    rendered = repository / ".dvc/cache/runs"
    commands = [yaml.read(path)["cmd"] for path in rendered.glob("*/*/*")]
    assert commands.count("python -m stages.render") == 1
    assert commands.count("python -m stages.train") == 2

    # What stands in the storage is what ran.
    for number, one in enumerate((first, second)):
        params = params_of(repository, f"two-{number}")
        assert params["train"]["lr"] == one.params["train.lr"]
        expected = presets.merged(yaml_default(repository), yaml.parse(tiny_sweep.PRESET))
        expected["train"]["lr"] = one.params["train.lr"]
        assert params == expected
    assert clones(repository) == []
    assert shell.must(repository, "git", "status", "--porcelain", "--untracked-files=no") == ""


def yaml_default(root: Path) -> dict:
    return yaml.read(root / "presets/default.yaml")


def test_equal_params_train_once_and_still_report(repository, shell):
    """The space has one point."""
    worker = start(repository, shell, "same")
    printed = worker.communicate(timeout=TIMEOUT)[0]
    assert worker.returncode == 0, printed
    first, second = trials_of(repository, "same")
    assert [one.user_attrs["from_run_cache"] for one in (first, second)] == [False, True]
    assert second.intermediate_values == first.intermediate_values
    assert second.value == first.value


def test_a_killed_worker_leaves_a_trial_that_resumes(repository, shell):
    worker = start(repository, shell, "long")
    until(lambda: list((repository / ".ckpt/train").glob("*/last.pt")), worker)
    time.sleep(1)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    (left,) = clones(repository)

    again = start(repository, shell, "long", "--lost-after", "5")
    printed = again.communicate(timeout=TIMEOUT)[0]
    assert again.returncode == 0, printed
    assert "long-0 begins, attempt 2" in printed
    assert "long-0 resumes after epoch" in printed
    lost, resumed = trials_of(repository, "long")
    assert lost.state is TrialState.FAIL
    assert resumed.state is TrialState.COMPLETE
    assert resumed.params == lost.params
    assert max(resumed.intermediate_values) == 400
    assert not left.exists()
    assert clones(repository) == []


def test_a_worker_that_is_stopped_hands_its_trial_back(repository, shell):
    worker = start(repository, shell, "long", "--name", "stopped")
    until(lambda: clones(repository), worker)
    until(lambda: (clones(repository)[0].parent / "log.txt").exists(), worker)
    worker.send_signal(signal.SIGTERM)
    printed = worker.communicate(timeout=TIMEOUT)[0]
    assert worker.returncode == 143, printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith("stopped by SIGTERM")
    states = [one.state for one in trials_of(repository, "stopped")]
    assert states == [TrialState.FAIL, TrialState.WAITING]
    assert clones(repository) == []


def test_a_stage_that_fails_leaves_its_line_and_its_log(repository, shell):
    worker = start(repository, shell, "bad")
    printed = worker.communicate(timeout=TIMEOUT)[0]
    assert worker.returncode == 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("bad-0: failed: ")]
    log = repository / line.partition("; see ")[2].split()[0]
    assert "stages.stratify" in log.read_text()
    (failed,) = trials_of(repository, "bad")
    assert failed.state is TrialState.FAIL
    assert "40" in failed.user_attrs["error"]


@pytest.mark.skipif(
    postgres.programs() is None, reason="PostgreSQL is not installed: apt-get install postgresql"
)
def test_workers_outlive_an_outage_of_postgresql(repository, shell, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    secret = {"PGPASSWORD": postgres.PASSWORD}
    with postgres.server() as server:
        options = ("--storage", server.url, "--name", "outage")
        workers = [start(repository, shell, "two", *options, **secret) for _ in range(2)]
        store = storage.open_storage(address.read(server.url), 60, 60)

        def finished() -> list[TrialState]:
            trials = optuna.load_study(study_name="outage", storage=store).trials
            return [one.state for one in trials if one.state is not TrialState.WAITING]

        until(lambda: "outage" in {one.study_name for one in store.get_all_studies()}, workers[0])
        until(lambda: len(finished()) == 2, workers[0])
        server.stop()
        time.sleep(30)
        server.start()
        printed = [worker.communicate(timeout=TIMEOUT)[0] for worker in workers]
        assert [worker.returncode for worker in workers] == [0, 0], printed
        assert all("the storage answers again after" in text for text in printed)
        assert postgres.PASSWORD not in "".join(printed)
        roots = attempts.by_root(optuna.load_study(study_name="outage", storage=store).trials, 2)
        assert [[one.state for one in tried] for tried in roots.values()] == 2 * [
            [TrialState.COMPLETE]
        ]
