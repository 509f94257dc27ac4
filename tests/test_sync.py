"""`sync`: MLflow's runs made from what DVC keeps, once, in the workspace and in experiments."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from pisces.config.io import load_params
from pisces.run import stage_files, sync, tracking
from tests.test_experiments import call

ROOT = Path(__file__).parents[1]
FILES = {
    "metrics/train.json": '{"best_epoch": 2}',
    "metrics/evaluate.json": '{"joint": {"accuracy": 0.5, "ci_low": 0.4}, "rule": "wilson"}',
    "metrics/attribution.json": '{"snr": {"deletion": 0.1}}',
    "plots/training.csv": "epoch,lr,validation_loss\n1,0.1,0.9\n2,0.1,0.3\n",
    "plots/noise_fraction.csv": "epoch,snr_db,eta_mean,eta_std\n1,-8,0.5,0.1\n2,-8,0.4,0.1\n",
    "plots/accuracy_by_snr.csv": "snr_db,modulation,snr,joint\n-8,0.1,0.9,0.1\n10,1.0,1.0,\n",
    "models/model.safetensors": "weights",
    "models/model.json": "{}",
}
PICTURE = "plots/accuracy_by_snr.png"
CHAIN = {"evaluate": "train", "attribute": "train", "report": "evaluate"}
"""Stage -> the one whose first output it reads."""


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch) -> Path:
    """A repository with results, and no MLflow yet."""
    for name in ("MLFLOW_TRACKING_URI", "PISCES_TRACKING", "DVC_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("DVC_EXP_NAME", "DVC_EXP_BASELINE_REV", "PISCES_SWEEP", "PISCES_TRIAL"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.chdir(root)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "presets", "presets")
    for folder in ("metrics", "plots", "models"):
        Path(folder).mkdir()
    for name, text in FILES.items():
        Path(name).write_text(text)
    Image.new("RGB", (4, 4)).save(PICTURE)
    lock()
    return root


def lock() -> None:
    """Writes dvc.lock, as if the stages had just written what lies there."""
    entries = {}
    for name, files in stage_files.of_pipeline(Path()).items():
        outs = [{"path": str(path), "md5": md5(path)} for path in files.all() if path.exists()]
        if name == "train":
            weights = Path("models/model.safetensors")
            outs.insert(0, {"path": str(weights), "md5": md5(weights)})
        if outs:
            entries[name] = {"cmd": "x", "deps": [], "params": {}, "outs": outs}
    for name, maker in CHAIN.items():
        read = entries[maker]["outs"][0]
        entries[name]["deps"] = [{"path": read["path"], "md5": read["md5"]}]
    entries["train"]["params"] = {"params.yaml": {"train": {"lr": load_params().train.lr}}}
    YAML().dump({"schema": "2.0", "stages": entries}, Path("dvc.lock"))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def store():
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    return client, client.get_experiment_by_name("pisces").experiment_id


def rows() -> list:
    """The parents that there are."""
    client, experiment = store()
    return client.search_runs([experiment], "tags.`pisces.execution` != ''")


def children(parent) -> dict:
    """Stage -> child."""
    client, experiment = store()
    below = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    return {run.data.tags["stage"]: run for run in client.search_runs([experiment], below)}


def content() -> dict:
    """All that MLflow holds: of each run status, params, tags, every number, every file."""
    client, experiment = store()
    found = {}
    for run in client.search_runs([experiment]):
        numbers = {
            name: [
                (one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)
            ]
            for name in run.data.metrics
        }
        folder = Path(run.info.artifact_uri.removeprefix("file://"))
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        ended = run.info.status, run.info.end_time
        found[run.info.run_id] = ended, run.data.params, run.data.tags, numbers, files
    return found


def test_all_that_dvc_keeps_comes_back_once():
    (first,) = sync.sync([])
    assert (first.name, first.missing) == ("workspace", ())
    before = content()
    assert before
    (second,) = sync.sync([])
    assert (second.run, second.numbers, second.files) == (first.run, 0, 0)
    assert content() == before

    (parent,) = rows()
    client, _ = store()
    assert parent.data.metrics == {
        "train/best_epoch": 2,
        "train/validation_loss": 0.3,
        "evaluate/joint.accuracy": 0.5,
        "evaluate/by_snr.joint": 0.1,  # there is no number at 10 dB
        "evaluate/by_snr.modulation": 1,
        "evaluate/by_snr.snr": 1,
    }
    losses = client.get_metric_history(parent.info.run_id, "train/validation_loss")
    assert [(one.step, one.value) for one in losses] == [(1, 0.9), (2, 0.3)]
    by_snr = client.get_metric_history(parent.info.run_id, "evaluate/by_snr.modulation")
    assert [(one.step, one.value) for one in by_snr] == [(-8, 0.1), (10, 1)]

    found = children(parent)
    assert found["attribute"].data.metrics == {"attribute/snr.deletion": 0.1}
    assert found["train"].data.metrics["train/eta_mean_-8dB"] == 0.4
    assert found["evaluate"].data.metrics["evaluate/joint.ci_low"] == 0.4
    assert found["train"].data.params["train.lr"] == str(load_params().train.lr)


def test_files_pictures_and_the_model_come_back():
    sync.sync([])
    (parent,) = rows()
    above = Path(parent.info.artifact_uri.removeprefix("file://"))
    assert (above / "model/model.safetensors").read_text() == "weights"
    assert parent.data.tags["model.sha256"] == hashlib.sha256(b"weights").hexdigest()
    pictures = [path.name for path in (above / "images").iterdir()]
    assert any(name.startswith("accuracy_by_snr") for name in pictures), pictures
    below = Path(children(parent)["report"].info.artifact_uri.removeprefix("file://"))
    assert (below / PICTURE).read_bytes() == Path(PICTURE).read_bytes()


def test_a_live_run_and_sync_log_the_same_and_share_a_row():
    params = load_params()
    with tracking.stage("train", params) as run:
        for epoch, loss in ((1, 0.9), (2, 0.3)):
            eta = {"eta_mean_-8dB": 0.5 - epoch / 10, "eta_std_-8dB": 0.1}
            row = {"epoch": epoch, "lr": 0.1, "validation_loss": loss}
            run.metrics(row | eta, step=epoch)
        run.model(Path("models/model.safetensors"), Path("models/model.json"))
    (live,) = rows()
    child = children(live)["train"]
    assert live.data.metrics == {"train/best_epoch": 2, "train/validation_loss": 0.3}
    before = content()[child.info.run_id]

    (synced,) = sync.sync([])
    (row,) = rows()
    assert (row.info.run_id, synced.run) == (live.info.run_id, live.info.run_name)
    assert row.data.metrics["evaluate/joint.accuracy"] == 0.5
    assert content()[child.info.run_id] == before


def test_other_results_of_the_same_params_have_a_row_of_their_own():
    sync.sync([])
    Path("metrics/evaluate.json").write_text('{"joint": {"accuracy": 0.75}}')
    lock()
    sync.sync([])
    assert {row.data.metrics["evaluate/joint.accuracy"] for row in rows()} == {0.5, 0.75}


def test_what_a_stage_did_not_write_with_these_params_on_this_model_is_left_out():
    Path("metrics/evaluate.json").write_text('{"joint": {"accuracy": 1}}')  # by hand
    entries = YAML().load(Path("dvc.lock"))
    entries["stages"]["attribute"]["deps"][0]["md5"] = "of another model"
    YAML().dump(entries, Path("dvc.lock"))
    (found,) = sync.sync([])
    assert found.missing == ("metrics/evaluate.json",)
    (parent,) = rows()
    assert "evaluate/joint.accuracy" not in parent.data.metrics
    assert "attribute" not in children(parent)

    params = Path("params.yaml")
    lr = f"lr: {load_params().train.lr}"
    params.write_text(params.read_text().replace("  lr: 5e-3", "  lr: 4e-3"))
    assert lr not in params.read_text()
    with pytest.raises(ValueError, match="workspace has no results of its params"):
        sync.sync([])


def test_sync_says_why_it_cannot(monkeypatch):
    monkeypatch.setenv("PISCES_TRACKING", "off")
    with pytest.raises(ValueError, match="PISCES_TRACKING=off"):
        sync.sync([])
    monkeypatch.setenv("PISCES_TRACKING", "on")
    with pytest.raises(ValueError, match="nobody is no experiment and no revision"):
        sync.sync(["nobody"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/nowhere")
    with pytest.raises(OSError, match="MLflow failed with"):
        sync.sync([])


def test_the_interface_is_opened_on_our_runs_and_told_what_it_lacks():
    address, hidden = sync.before_ui()
    _, experiment = store()
    assert f"/#/experiments/{experiment}/runs?" in address
    assert hidden == "the results of the workspace"
    sync.sync([])
    assert sync.before_ui() == (address, None)


@pytest.fixture
def experiments() -> str:
    """Commits the results, and makes an experiment `better` of them; returns the commit."""
    call("git", "init", "-q")
    call("git", "config", "user.name", "a")
    call("git", "config", "user.email", "a@b")
    call("dvc", "init", "-q")
    Path(".gitignore").write_text("/mlflow.db*\n/mlartifacts\n/models\n/plots/*.png\n")
    call("git", "add", ".")
    call("git", "commit", "-qm", "run")
    baseline = printed("git", "rev-parse", "HEAD")

    before = {name: Path(name).read_text() for name in ("metrics/evaluate.json", "dvc.lock")}
    Path("metrics/evaluate.json").write_text('{"joint": {"accuracy": 0.9}}')
    lock()
    call("git", "commit", "-qam", "better")
    made = printed("git", "rev-parse", "HEAD")
    call("git", "update-ref", f"refs/exps/{baseline[:2]}/{baseline[2:]}/better", made)
    call("git", "reset", "-q", "--hard", baseline)
    assert {name: Path(name).read_text() for name in before} == before
    return baseline


def printed(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_an_experiment_comes_back_under_its_name_once(experiments):
    first, second = sync.sync(["better"]), sync.sync(["better"])
    (parent,) = rows()
    assert (first[0].name, first[0].run) == ("better", "better")
    assert (second[0].numbers, second[0].files) == (0, 0)
    assert parent.data.metrics["evaluate/joint.accuracy"] == 0.9
    assert parent.data.tags["experiment"] == "better"
    assert parent.data.tags["revision"] == experiments[:10]
    # The cache holds neither the model nor the picture.
    assert {"models/model.json", PICTURE} <= set(first[0].missing)
    assert "model.sha256" not in parent.data.tags

    assert sync.before_ui()[1] == "the results of the workspace"
    sync.sync(["HEAD"])
    assert {row.data.metrics["evaluate/joint.accuracy"] for row in rows()} == {0.5, 0.9}


def test_a_row_of_an_experiment_is_that_which_its_stages_made(experiments, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "better")
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", experiments)
    with tracking.stage("stratify", load_params()):
        pass
    (live,) = rows()
    sync.sync(["better"])
    (row,) = rows()
    assert row.info.run_id == live.info.run_id
    assert row.data.metrics["evaluate/joint.accuracy"] == 0.9
    assert json.loads(row.data.params["base.seed"]) == load_params().base.seed
