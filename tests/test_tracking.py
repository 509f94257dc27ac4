"""Tracking: which runs a stage logs to, what they hold, and that no stage depends on it."""

import json
import math
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.config.io import load_params
from pisces.config.schema import Params
from pisces.run import execution, tracking
from pisces.run.console import RANKS
from pisces.run.mlflow_store import MODEL_STAGES

ROOT = Path(__file__).parents[1]
ONE_STAGE = """
from pisces.run import tracking
from pisces.config.io import load_params
with tracking.stage("train", load_params()) as run:
    run.metrics({"loss": 1.0})
"""


def start_python(code: str, **environment: str) -> subprocess.Popen:
    """Runs code from the root of the repository, in the DVC experiment of `environment` or none."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "PISCES_"))
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=clean | environment, **pipes
    )


@pytest.fixture(scope="session")
def creators(tmp_path_factory) -> tuple[Path, list[str], list[int]]:
    """The directory whose store two processes created at once, what they printed and returned."""
    root = tmp_path_factory.mktemp("store")
    environment = {"DVC_ROOT": str(root), "DVC_EXP_NAME": "twins", "DVC_EXP_BASELINE_REV": "abc"}
    processes = [start_python(ONE_STAGE, **environment) for _ in range(2)]
    printed = ["".join(process.communicate()) for process in processes]
    return root, printed, [process.returncode for process in processes]


@pytest.fixture(autouse=True)
def experiment(creators, monkeypatch, request) -> None:
    """Puts each test into a DVC experiment of its own, in the shared store."""
    for name in (
        "MLFLOW_TRACKING_URI",
        "PISCES_TRACKING",
        "PISCES_SWEEP",
        "PISCES_UI_PORT",
        "DVC_STAGE",
        *RANKS,
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DVC_ROOT", str(creators[0]))
    monkeypatch.setenv("DVC_EXP_BASELINE_REV", "abc")
    monkeypatch.setenv("DVC_EXP_NAME", request.node.name)


@pytest.fixture
def params() -> Params:
    return load_params(ROOT / "params.yaml")


@pytest.fixture
def client(creators):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{creators[0]}/mlflow.db")


def runs(client, execution: str) -> list:
    """All runs of an execution, the parent first."""
    experiment = client.get_experiment_by_name("pisces").experiment_id
    found = client.search_runs([experiment], f"tags.`pisces.execution` = '{execution}'")
    return sorted(found, key=lambda run: "mlflow.parentRunId" in run.data.tags)


def assert_one_warning(text: str) -> None:
    (line,) = text.splitlines()
    assert line.startswith("warning: MLflow failed with")
    assert "PISCES_TRACKING=off" in line


def changed(params: Params, section: str, **values: object) -> Params:
    return params.model_copy(update={section: getattr(params, section).model_copy(update=values)})


def test_two_processes_creating_the_store_at_once_share_one_parent_and_print_nothing(
    creators, client
):
    root, printed, codes = creators
    assert codes == [0, 0]
    assert printed == ["", ""]
    parent, child = runs(client, "abc/twins")
    assert len(client.get_metric_history(child.info.run_id, "train/loss")) == 2
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_executions_of_a_sweep_stand_under_one_run(client, params, monkeypatch):
    monkeypatch.setenv("PISCES_SWEEP", "all of them")
    for name in ("sweep-one", "sweep-two"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        with tracking.stage("train", params) as run:
            run.metrics({"loss": 1.0})
    (sweep,) = client.search_runs(
        [client.get_experiment_by_name("pisces").experiment_id],
        "tags.`pisces.key` = 'sweep all of them'",
    )
    assert (sweep.info.run_name, sweep.info.status) == ("all of them", "FINISHED")
    for name in ("sweep-one", "sweep-two"):
        parents = {
            run.info.run_id: run.data.tags["mlflow.parentRunId"]
            for run in runs(client, f"abc/{name}")
        }
        (parent,) = (one for one, above in parents.items() if above == sweep.info.run_id)
        assert sorted(parents.values()) == sorted([sweep.info.run_id, parent])


def test_stages_of_one_execution_share_a_parent_and_a_child(client, params, request):
    for name in ("synthesize", "split_hdf5", "render", "stratify"):
        with tracking.stage(name, params) as run:
            run.metrics({"frames": 10})
    assert len(runs(client, f"abc/{request.node.name}")) == 1
    for name in MODEL_STAGES:
        with tracking.stage(name, params) as run:
            run.metrics({"joint": {"accuracy": 0.5}})
            assert [r.info.status for r in runs(client, f"abc/{request.node.name}")] == [
                "RUNNING",
                "RUNNING",
            ]

    parent, child = runs(client, f"abc/{request.node.name}")
    assert [parent.info.status, child.info.status] == ["FINISHED", "FINISHED"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.run_name == request.node.name
    assert child.info.run_name == f"{request.node.name}/{params.train.model}"
    assert set(parent.data.metrics) == {
        f"{name}/frames" for name in ("synthesize", "split_hdf5", "render", "stratify")
    }
    assert set(child.data.metrics) == {f"{name}/joint.accuracy" for name in MODEL_STAGES}
    assert {name for name in child.data.tags if name.startswith("dvc.stage.")} == {
        f"dvc.stage.{name}" for name in MODEL_STAGES
    }
    assert parent.data.params == child.data.params
    assert child.data.params["train.lr"] == str(params.train.lr)
    assert json.loads(child.data.params["data.snrs_db"]) == list(params.data.snrs_db)


def test_another_key_is_another_parent(client, params, request, monkeypatch):
    for key in ("abc", "def"):
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", key)
        with tracking.stage("render", params):
            pass
    (first,), (second,) = (runs(client, f"{key}/{request.node.name}") for key in ("abc", "def"))
    assert first.info.run_id != second.info.run_id
    assert second.data.tags["mlflow.source.git.commit"] == "def"


def test_an_experiment_run_again_under_its_name_with_other_params_is_another_parent(
    client, params, request
):
    for lr in (1e-3, 3e-4):
        with tracking.stage("render", changed(params, "train", lr=lr)):
            pass
    assert {run.data.params["train.lr"] for run in runs(client, f"abc/{request.node.name}")} == {
        "0.001",
        "0.0003",
    }


def test_stages_under_one_dvc_process_have_one_key_and_others_have_their_own(tmp_path):
    code = (
        "import sys; sys.path.insert(0, '.'); from pisces.run import execution; "
        "print(execution.current('train').key)"
    )
    dvc = tmp_path / "dvc"
    dvc.write_text(
        "import subprocess, sys\n"
        f"for _ in range(2): subprocess.run([sys.executable, '-c', {code!r}], check=True)\n"
    )
    command = f"import subprocess, sys; subprocess.run([sys.executable, {str(dvc)!r}], check=True)"
    under_dvc, by_hand = start_python(command, DVC_STAGE="train"), start_python(command)
    first, second = under_dvc.communicate()[0].split()
    third, fourth = by_hand.communicate()[0].split()
    assert first == second
    assert len({first, third, fourth}) == 3


def test_metrics_come_back_by_epoch(client, params, request):
    losses = [0.9, 0.5, 0.3]
    with tracking.stage("train", params) as run:
        for epoch, loss in enumerate(losses):
            run.metrics({"validation": {"loss": loss}}, step=epoch)
    child = runs(client, f"abc/{request.node.name}")[-1]
    history = client.get_metric_history(child.info.run_id, "train/validation.loss")
    assert [(metric.step, metric.value) for metric in history] == list(enumerate(losses))


@pytest.mark.parametrize("switch", ["on", "off"])
@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", None])
def test_what_is_not_a_finite_number_is_refused_with_tracking_on_or_off(
    params, monkeypatch, switch, value
):
    monkeypatch.setenv("PISCES_TRACKING", switch)
    with (
        pytest.raises(ValueError, match=r"metric joint\.accuracy = .* of stage evaluate"),
        tracking.stage("evaluate", params) as run,
    ):
        run.metrics({"joint": {"accuracy": value}})


def test_model_plots_and_data_are_in_the_run(client, params, request, tmp_path):
    weights, description, plots = (
        tmp_path / "model.safetensors",
        tmp_path / "model.json",
        tmp_path / "plots",
    )
    weights.write_bytes(b"abc")
    description.write_text("{}")
    plots.mkdir()
    (plots / "pis.csv").write_text("mask\n")
    for name in ("train", "evaluate"):
        with tracking.stage(name, params) as run:
            run.model(weights, description)
            run.artifact(plots)
            run.dataset("splits", "0123456789" * 6, "data/splits.npz")

    child = runs(client, f"abc/{request.node.name}")[-1]
    folder = Path(child.info.artifact_uri.removeprefix("file://"))
    assert (folder / "model/model.safetensors").read_bytes() == b"abc"
    assert (folder / "model/model.json").is_file()
    assert (folder / "plots/pis.csv").is_file()
    # SHA-256 of "abc": FIPS 180-2, appendix B.1.
    assert (
        child.data.tags["model.sha256"]
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    (dataset,) = (entry.dataset for entry in child.inputs.dataset_inputs)
    assert (dataset.name, dataset.digest) == ("splits", ("0123456789" * 6)[:36])
    assert json.loads(dataset.source) == {"uri": "data/splits.npz", "digest": "0123456789" * 6}


def test_a_missing_file_is_an_error(params, tmp_path):
    with (
        pytest.raises(FileNotFoundError, match=r"training\.png does not exist"),
        tracking.stage("train", params) as run,
    ):
        run.artifact(tmp_path / "training.png")


def test_the_note_says_what_differs_from_the_committed_params(
    client, params, request, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_EXP_BASELINE_REV")
    monkeypatch.setattr(
        execution, "current", lambda _: execution.Execution(request.node.name, "scratch")
    )
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    subprocess.run([*git, "init", "-q"], check=True)
    other = changed(changed(params, "train", lr=3e-4), "data", frames_per_cell=None)
    with tracking.stage("synthesize", changed(params, "base", seed=7)):
        pass  # nothing is committed yet
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "params"], check=True)
    for values in (params, other):
        with tracking.stage("synthesize", values):
            pass

    tags = [
        run.data.tags
        for run in sorted(runs(client, request.node.name), key=lambda run: run.info.start_time)
    ]
    assert [tag["mlflow.note.content"] for tag in tags] == [
        "no committed params.yaml to compare with",
        "committed params",
        f"data.frames_per_cell {params.data.frames_per_cell} -> null, "
        f"train.lr {params.train.lr} -> 0.0003",
    ]
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert [tag["mlflow.source.git.commit"] for tag in tags] == ["none", head, head]


def test_the_note_names_keys_that_came_or_went():
    assert (
        execution.describe({"train": {"new": 1}}, {"train": {"old": None}})
        == "train.old null -> absent, train.new absent -> 1"
    )


def test_off_imports_no_mlflow(tmp_path):
    code = (
        f"{ONE_STAGE}    run.artifact(__import__('pathlib').Path('params.yaml'))\n"
        "import sys; print('mlflow' in sys.modules)"
    )
    process = start_python(code, PISCES_TRACKING="off", DVC_ROOT=str(tmp_path))
    assert process.communicate() == ("False\n", "")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_switch_is_an_error(params, monkeypatch):
    monkeypatch.setenv("PISCES_TRACKING", "no")
    with pytest.raises(ValueError, match="set it to on or off"), tracking.stage("train", params):
        pass


def test_only_the_first_process_of_a_distributed_run_is_tracked(
    client, params, request, monkeypatch
):
    monkeypatch.setenv("RANK", "1")
    with tracking.stage("train", params) as run:
        run.metrics({"loss": 1.0})
    assert runs(client, f"abc/{request.node.name}") == []


def test_a_damaged_store_costs_one_line_and_not_the_stage(params, tmp_path, monkeypatch, capfd):
    damaged = tmp_path / "mlflow.db"
    damaged.write_text("this is not a database, " * 100)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{damaged}")
    with tracking.stage("train", params) as run:
        run.metrics({"loss": 1.0})
        print("the stage went on")
    printed = capfd.readouterr()
    assert printed.out == "the stage went on\n"
    assert_one_warning(printed.err)


def test_a_store_out_of_reach_costs_one_line_and_not_the_stage(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening, so that connections are refused
        uris = [f"http://127.0.0.1:{unused.getsockname()[1]}", f"sqlite:///{tmp_path}"]
        # In processes of their own: pytest would catch the retries that MLflow reports.
        code = f"{ONE_STAGE}print('the stage went on')"
        processes = [
            start_python(code, MLFLOW_TRACKING_URI=uri, DVC_ROOT=str(tmp_path)) for uri in uris
        ]
        outputs = [process.communicate(timeout=30) for process in processes]
    for printed, warned in outputs:
        assert printed == "the stage went on\n"
        assert_one_warning(warned)


def test_a_store_that_fails_half_way_costs_one_line(client, params, request, capfd):
    with tracking.stage("train", params) as run:
        for open_run in runs(client, f"abc/{request.node.name}"):
            client.delete_run(open_run.info.run_id)
        run.metrics({"loss": 1.0})
        run.metrics({"loss": 0.5}, step=1)
    (line,) = capfd.readouterr().err.splitlines()
    assert "must be in the 'active' state" in line


def test_a_stage_that_raises_is_failed_and_its_error_goes_on(client, params, request):
    with pytest.raises(KeyError, match="mine"), tracking.stage("train", params):
        raise KeyError("mine")
    found = runs(client, f"abc/{request.node.name}")
    assert [run.info.status for run in found] == ["FAILED", "FAILED"]
    assert found[-1].data.tags["dvc.stage.train"] == "FAILED"


def test_sync_imports_the_numbers_once_into_the_runs_of_their_stages(client, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    metrics = Path("metrics")
    metrics.mkdir()
    (metrics / "stratify.json").write_text('{"test": 60, "rule": "per cell"}')
    (metrics / "evaluate.json").write_text('{"joint": {"accuracy": 0.5, "ci_low": 0.4}}')
    assert tracking.sync(metrics) == 3
    assert tracking.sync(metrics) == 3

    experiment = client.get_experiment_by_name("pisces").experiment_id
    synced = client.search_runs([experiment], "tags.`pisces.execution` LIKE 'sync/%'")
    parent, child = sorted(synced, key=lambda run: "mlflow.parentRunId" in run.data.tags)
    assert parent.data.metrics == {"stratify/test": 60}
    assert child.data.metrics == {"evaluate/joint.accuracy": 0.5, "evaluate/joint.ci_low": 0.4}


def test_sync_says_why_it_cannot(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="holds no metrics"):
        tracking.sync(tmp_path)
    (tmp_path / "train.json").write_text('{"loss": 1}')
    monkeypatch.setenv("PISCES_TRACKING", "off")
    with pytest.raises(ValueError, match="PISCES_TRACKING=off"):
        tracking.sync(tmp_path)
    monkeypatch.setenv("PISCES_TRACKING", "on")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/nowhere")
    monkeypatch.chdir(ROOT)
    with pytest.raises(OSError, match="MLflow failed with"):
        tracking.sync(tmp_path)


def test_the_interface_listens_on_this_machine_only_and_shows_this_store(creators, monkeypatch):
    monkeypatch.setenv("PISCES_UI_PORT", "5077")
    command = tracking.ui_command()
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "5077"
    assert options["--backend-store-uri"] == f"sqlite:///{creators[0]}/mlflow.db"
    assert options["--default-artifact-root"] == (creators[0] / "mlartifacts").as_uri()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PISCES_UI_PORT", "http"), ("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")],
)
def test_the_interface_refuses_what_it_cannot_show(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        tracking.ui_command()


@pytest.mark.parametrize("name", ["a%20b", "a?b", "a b", "a#b"])
def test_a_repository_of_any_name_holds_its_database(params, tmp_path, monkeypatch, name):
    root = tmp_path / name
    root.mkdir()
    monkeypatch.setenv("DVC_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with tracking.stage("stratify", params) as run:
        run.metrics({"test": 3})
    assert (root / "mlflow.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("given", "resolved"),
    [
        ("sqlite:///runs.db", "sqlite:///{root}/runs.db"),
        ("sqlite:///sub/runs.db", "sqlite:///{root}/sub/runs.db"),
        ("sqlite:////elsewhere/runs.db", "sqlite:////elsewhere/runs.db"),
        ("mlruns", "{root}/mlruns"),
        ("file:mlruns", "file://{root}/mlruns"),
        ("/elsewhere/mlruns", "/elsewhere/mlruns"),
        ("file:///elsewhere", "file:///elsewhere"),
        ("databricks", "databricks"),
    ],
)
def test_a_relative_store_is_relative_to_the_repository(tmp_path, monkeypatch, given, resolved):
    """A queued experiment runs in a folder that vanishes, and names the repository in DVC_ROOT."""
    (tmp_path / "queued").mkdir()
    monkeypatch.chdir(tmp_path / "queued")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    command = tracking.ui_command()
    uri = command[command.index("--backend-store-uri") + 1]
    assert uri == resolved.format(root=tmp_path)


def test_the_interface_starts_no_processes_for_jobs():
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

    assert tracking.UI_VARIABLES[MLFLOW_SERVER_ENABLE_JOB_EXECUTION.name] == "false"
