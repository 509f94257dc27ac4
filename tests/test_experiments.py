"""Experiments as a table, and the way back, in a repository of one tiny stage that DVC runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.core import yaml
from pisces.experiments import table
from pisces.run import restore

ROOT = Path(__file__).parents[1]
STAGE = """
import json, pathlib, re
text = pathlib.Path("params.yaml").read_text()
lr = float(re.search(r"  lr: (\\S+)", text)[1])
share = {"accuracy": 100 * lr, "ci_low": 90 * lr, "ci_high": 110 * lr}
for folder in ("metrics", "data"):
    pathlib.Path(folder).mkdir(exist_ok=True)
tasks = dict.fromkeys(("modulation", "snr", "joint"), share)
pathlib.Path("metrics/evaluate.json").write_text(json.dumps(tasks))
pathlib.Path("data/out.txt").write_text(text)
"""
PIPELINE = """
stages:
  evaluate:
    cmd: {python} stage.py
    params: [train.lr]
    deps: [stage.py]
    outs: [data/out.txt]
    metrics: [metrics/evaluate.json: {{cache: false}}]
"""


def call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> Path:
    """A committed run of `train.lr` 0.002, and an experiment of 0.004 beside it."""
    root = tmp_path_factory.mktemp("repository")
    params = (ROOT / "presets/default.yaml").read_text()
    (root / "params.yaml").write_text(params.replace("lr: 5e-3", "lr: 2e-3"))
    shutil.copytree(ROOT / "presets", root / "presets")
    (root / "stage.py").write_text(STAGE)
    (root / "dvc.yaml").write_text(PIPELINE.format(python=sys.executable))
    (root / ".gitignore").write_text("/data\n")
    before = Path.cwd()
    os.chdir(root)
    try:
        call("git", "init", "-q")
        call("git", "config", "user.name", "a")
        call("git", "config", "user.email", "a@b")
        call("dvc", "init", "-q")
        call("dvc", "repro")
        call("git", "add", ".")
        call("git", "commit", "-qm", "run")
        call("dvc", "exp", "run", "--name", "faster", "-S", "train.lr=0.004")
    finally:
        os.chdir(before)
    return root


@pytest.fixture
def clone(repository, tmp_path, monkeypatch) -> Path:
    """A clone without a cache: what someone has who has only fetched the repository."""
    call("git", "clone", "-q", str(repository), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture
def run_here(repository, tmp_path, monkeypatch) -> Path:
    """A copy of the repository with its cache."""
    shutil.copytree(repository, tmp_path / "copy", symlinks=True)
    monkeypatch.chdir(tmp_path / "copy")
    call("git", "checkout", "-q", "--", ".")
    call("dvc", "checkout", "-q")
    return tmp_path / "copy"


def test_experiments_are_sorted_with_what_they_changed(repository, monkeypatch):
    monkeypatch.chdir(repository)
    title, head, faster, changed, committed = table.table().splitlines()
    assert "in %, with 95 % intervals" in title
    assert max(map(len, [title, head, faster, changed])) <= 100
    assert head.split() == ["experiment", "modulation", "snr", "joint"]
    assert faster.startswith("faster ")
    assert faster.count("40.0 (36.0 to 44.0)") == 3
    assert changed.strip() == "train.lr=0.004"
    assert committed.split()[1] == "20.0"


@pytest.mark.usefixtures("run_here")
def test_a_workspace_that_is_the_same_is_not_shown_beside_it():
    names = [line.split()[0] for line in table.table().splitlines()[2:]]
    assert "faster" in names
    assert "workspace" not in names

    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("lr: 2e-3", "lr: 5e-3"))
    call("dvc", "repro")
    first, changed = table.table().splitlines()[2:4]
    assert first.split()[:2] == ["workspace", "50.0"]
    assert changed.strip() == "train.lr=0.005"


def test_accuracies_of_other_params_are_not_shown(run_here):
    """As after `dvc exp run train`, which leaves the metrics of the commit beside new params."""
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("lr: 2e-3", "lr: 9e-3"))
    lines = table.table().splitlines()
    assert lines[-1] == "not evaluated as they are: workspace"
    assert not any("9" in line.split()[0] or line.startswith("workspace") for line in lines)
    assert run_here.exists()


def test_accuracies_of_another_model_are_not_shown(run_here):
    """As after `dvc exp run train`, of params that evaluate does not read."""
    lock = yaml.read(run_here / "dvc.lock")
    weights = {"path": "models/model.safetensors", "md5": 32 * "a", "size": 1}
    lock["stages"]["train"] = {"cmd": "train", "outs": [weights]}
    (run_here / "dvc.lock").write_text(json.dumps(lock))
    lines = table.table().splitlines()
    assert lines[-1] == "not evaluated as they are: workspace"
    assert not any(line.startswith("workspace") for line in lines)


def test_without_any_accuracy_it_says_what_to_run(clone):
    (clone / "metrics/evaluate.json").unlink()
    call("git", "commit", "-qam", "none")
    with pytest.raises(ValueError, match=r"metrics/evaluate\.json; make it with dvc repro"):
        table.table()


def test_the_way_back_on_a_clone_that_has_only_run_a_preset(clone):
    """Nothing is in the cache, and nothing that lies there is deleted."""
    params = (clone / "params.yaml").read_bytes()
    shutil.copy("presets/smoke.yaml", "params.yaml")
    own = clone / "data/out.txt"
    own.parent.mkdir()
    own.write_text("hours of work")
    restored = restore.restore()
    assert (clone / "params.yaml").read_bytes() == params
    assert own.read_text() == "hours of work"
    assert (restored.outputs, restored.missing) == ([], ["data/out.txt"])


def test_the_way_back_from_a_run_with_other_params(run_here):
    out = run_here / "data/out.txt"
    before = out.read_bytes()
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("lr: 2e-3", "lr: 5e-3"))
    call("dvc", "repro")
    assert out.read_bytes() != before
    restored = restore.restore()
    assert out.read_bytes() == before
    assert restored.missing == []
    assert json.loads(Path("metrics/evaluate.json").read_text())["joint"]["accuracy"] == 0.2
    assert yaml.read(Path("params.yaml"))["train"]["lr"] == 2e-3


def test_the_way_back_never_deletes_what_no_cache_has(run_here):
    out = run_here / "data/out.txt"
    out.unlink()
    out.write_text("hours of work")
    with pytest.raises(ValueError, match=r"(?s)out\.txt.*move that file away"):
        restore.restore()
    assert out.read_text() == "hours of work"


@pytest.mark.usefixtures("run_here")
@pytest.mark.parametrize("edited", ["base: [", "", "train: {lr: 0.0777}"])
def test_the_way_back_keeps_edits_in_gits_stash(edited):
    """Whatever stands in params.yaml, and in metrics that only the last run knew."""
    params = Path("params.yaml").read_bytes()
    Path("params.yaml").write_text(edited)
    Path("metrics/evaluate.json").write_text("{}")
    assert restore.restore().stashed
    assert Path("params.yaml").read_bytes() == params

    call("git", "checkout", "-q", "stash@{0}", "--", "params.yaml", "metrics")
    assert Path("params.yaml").read_text() == edited
    assert Path("metrics/evaluate.json").read_text() == "{}"


def test_a_way_back_that_is_refused_loses_no_edit(run_here):
    Path("params.yaml").write_text("base: [")
    out = run_here / "data/out.txt"
    out.unlink()
    out.write_text("hours of work")
    with pytest.raises(ValueError, match="git stash"):
        restore.restore()
    call("git", "checkout", "-q", "stash@{0}", "--", "params.yaml")
    assert Path("params.yaml").read_text() == "base: ["


def test_the_way_back_when_nothing_has_changed(run_here):
    before = (run_here / "data/out.txt").read_bytes()
    assert not restore.restore().stashed
    assert (run_here / "data/out.txt").read_bytes() == before


def test_the_way_back_from_a_lost_output(run_here):
    before = (run_here / "data/out.txt").read_bytes()
    shutil.rmtree(run_here / "data")
    restore.restore()
    assert (run_here / "data/out.txt").read_bytes() == before


def test_the_way_to_an_experiment_on_a_fresh_clone(clone):
    """What it changed and reached is there; its outputs, which no cache holds, are named."""
    call("git", "fetch", "-q", "origin", "refs/exps/*:refs/exps/*")
    restored = restore.restore("faster")
    assert yaml.read(Path("params.yaml"))["train"]["lr"] == 0.004
    assert json.loads(Path("metrics/evaluate.json").read_text())["joint"]["accuracy"] == 0.4
    assert restored.missing == ["data/out.txt"]

    call("dvc", "repro")
    assert "lr: 0.004" in (clone / "data/out.txt").read_text()


def test_the_way_to_an_experiment_and_back(run_here):
    before = (run_here / "data/out.txt").read_bytes()
    assert restore.restore("faster").outputs == ["data/out.txt"]
    assert "lr: 0.004" in (run_here / "data/out.txt").read_text()
    restore.restore()
    assert (run_here / "data/out.txt").read_bytes() == before


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize("name", ["faster", "^HEAD", "-x", "a b"])
def test_a_way_to_what_is_not_there(name):
    before = Path("params.yaml").read_bytes()
    match = rf"no experiment and no revision {re.escape(name)};.*git fetch"
    with pytest.raises(ValueError, match=match):
        restore.restore(name)
    assert Path("params.yaml").read_bytes() == before


def test_experiments_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="in no DVC repository; run from the root"):
        table.table()


def test_the_way_back_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="git for-each-ref failed"):
        restore.restore()
