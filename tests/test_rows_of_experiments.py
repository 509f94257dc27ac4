"""Rows of experiments are all run, by workers that may die, in a repository of tiny stages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import experiments
from pisces.experiments import trial

ROOT = Path(__file__).parents[1]
STAGE = """
import json, pathlib, psutil, re, sys
text = pathlib.Path("params.yaml").read_text()
lr = float(re.search(r"  lr: (\\S+)", text)[1])
killed = pathlib.Path({killed!r})
if lr == 0.002 and not killed.exists():
    killed.touch()
    for parent in psutil.Process().parents():
        if "multiprocessing" in " ".join(parent.cmdline()):
            parent.kill()
            sys.exit("error: its worker is killed")
if lr == 0.009:
    sys.exit("error: train.lr = 0.009 is too much")
pathlib.Path("metrics").mkdir(exist_ok=True)
pathlib.Path("metrics/evaluate.json").write_text(json.dumps({{"lr": lr}}))
"""
PIPELINE = "stages:\n" + "".join(
    f"  {name}:\n    cmd: 'true'\n    params: [base.seed]\n" for name in trial.DATA_STAGES
)
EVALUATE = """  evaluate:
    cmd: {python} stage.py
    params: [train.lr]
    deps: [stage.py]
    metrics: [metrics/evaluate.json: {{cache: false}}]
"""


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A repository whose stage kills the worker that runs it first with `train.lr` 0.002."""
    root = tmp_path / "repository"
    shutil.copytree(ROOT / "presets", root / "presets")
    shutil.copy(root / "presets/default.yaml", root / "params.yaml")
    (root / "stage.py").write_text(STAGE.format(killed=str(tmp_path / "killed")))
    (root / "dvc.yaml").write_text(PIPELINE + EVALUATE.format(python=sys.executable))
    monkeypatch.chdir(root)
    call("git", "init", "-q")
    call("git", "config", "user.name", "a")
    call("git", "config", "user.email", "a@b")
    call("dvc", "init", "-q")
    call("git", "add", ".")
    call("git", "commit", "-qm", "start")
    return root


@pytest.mark.slow
def test_what_a_killed_worker_had_in_hand_is_taken_by_another(repository, tmp_path):
    row = {f"row-{number}": {"train.lr": number / 1000} for number in (1, 2, 3)}
    experiments.run(row, {}, "row", jobs=2)
    assert (tmp_path / "killed").exists()
    assert {name: experiments.metrics(name, "evaluate")["lr"] for name in row} == {
        "row-1": 0.001,
        "row-2": 0.002,
        "row-3": 0.003,
    }
    assert not list(repository.glob(".dvc/tmp/sweeps/*"))


@pytest.mark.slow
@pytest.mark.usefixtures("repository")
def test_a_stage_that_fails_is_named_and_the_others_have_results():
    row = {"good": {"train.lr": 0.001}, "bad": {"train.lr": 0.009}}
    with pytest.raises(ValueError, match=r"^bad without a result"):
        experiments.run(row, {}, "row")
    assert "train.lr = 0.009 is too much" in Path(".dvc/tmp/sweep_logs/bad.txt").read_text()
    assert experiments.finished(Path.cwd()) == {"good"}


@pytest.mark.usefixtures("repository")
def test_uncommitted_changes_are_refused():
    Path("params.yaml").write_text("base: {seed: 2}\n")
    with pytest.raises(ValueError, match=r"uncommitted changes of params\.yaml"):
        experiments.run({"good": {}}, {}, "row")


def test_metrics_are_those_of_the_experiment(monkeypatch):
    monkeypatch.setattr("dvc.api.read", lambda path, rev: json.dumps({"from": [path, rev]}))
    assert experiments.metrics("one", "evaluate") == {"from": ["metrics/evaluate.json", "one"]}
