"""Tracking: which runs a stage logs to, what they hold, and that no stage depends on it."""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.config import presets
from pisces.config.io import load_params, parse_params
from pisces.config.schema import Params
from pisces.run import execution, mlflow_place, tracking
from pisces.run.console import RANKS

ROOT = Path(__file__).parents[1]
ONE_STAGE = """
from pisces.run import tracking
from pisces.config.io import load_params
with tracking.stage("train", load_params()) as run:
    run.metrics({"loss": 1.0})
"""


def start_python(code: str, **environment: str) -> subprocess.Popen:
    """Runs code in the working directory, in the DVC experiment of `environment` or none."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "MLFLOW_", "PISCES_"))
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    clean |= {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code], env=clean | environment, **pipes)


@pytest.fixture(scope="session")
def home(tmp_path_factory) -> Path:
    """A repository that has not run yet."""
    root = tmp_path_factory.mktemp("home")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "presets", root / "presets")
    return root


@pytest.fixture(scope="session")
def creators(tmp_path_factory, home) -> tuple[Path, list[str], list[int]]:
    """The directory whose store two processes created at once, what they printed and returned."""
    root = tmp_path_factory.mktemp("store")
    environment = {"DVC_ROOT": str(root), "DVC_EXP_NAME": "twins", "DVC_EXP_BASELINE_REV": "abc"}
    before = Path.cwd()
    os.chdir(home)
    try:
        processes = [start_python(ONE_STAGE, **environment) for _ in range(2)]
    finally:
        os.chdir(before)
    printed = ["".join(process.communicate()) for process in processes]
    return root, printed, [process.returncode for process in processes]


@pytest.fixture(autouse=True)
def experiment(creators, home, monkeypatch, request) -> None:
    """Puts each test into a DVC experiment of its own, in the shared store."""
    monkeypatch.chdir(home)
    for name in (
        "MLFLOW_TRACKING_URI",
        "PISCES_TRACKING",
        "PISCES_SWEEP",
        "PISCES_TRIAL",
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


def of_execution(client, execution: str) -> list:
    """The parents of an execution."""
    experiment = client.get_experiment_by_name("pisces").experiment_id
    return client.search_runs([experiment], f"tags.`pisces.execution` = '{execution}'")


def family(client, execution: str) -> tuple:
    """The parent of an execution, and stage -> child."""
    (parent,) = of_execution(client, execution)
    below = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    children = client.search_runs([parent.info.experiment_id], below)
    return parent, {run.data.tags["stage"]: run for run in children}


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
    _, children = family(client, "abc/twins")
    (child,) = children.values()
    assert len(client.get_metric_history(child.info.run_id, "train/loss")) == 2
    assert child.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_the_experiment_says_that_it_holds_training_runs_also_if_it_is_older(client, params):
    experiment = client.get_experiment_by_name("pisces").experiment_id
    client.set_experiment_tag(experiment, "mlflow.experimentKind", "genai_development")
    with tracking.stage("render", params):
        pass
    tags = client.get_experiment(experiment).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    shown = json.loads(tags["mlflow.sharedViewState.pisces"])
    assert "metrics.`evaluate/joint.accuracy`" in shown["selectedColumns"]


@pytest.mark.parametrize(
    ("name", "value", "tags"),
    [
        ("PISCES_SWEEP", "all of 'them'", {"study": "all of 'them'"}),
        ("PISCES_TRIAL", "published/17", {"study": "published", "trial": "17"}),
    ],
)
def test_the_experiment_and_the_study_are_tags(client, params, monkeypatch, name, value, tags):
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("DVC_EXP_NAME", f"of-{name}")
    with tracking.stage("train", params):
        pass
    (parent,) = of_execution(client, f"abc/of-{name}")
    expected = tags | {"experiment": f"of-{name}"}
    assert {tag: parent.data.tags.get(tag) for tag in expected} == expected
    assert "mlflow.parentRunId" not in parent.data.tags


def test_each_stage_of_an_execution_is_a_child_of_one_parent(client, params, request):
    stages = ("split_hdf5", "train", "attribute", "report")
    for name in stages:
        with tracking.stage(name, params) as run:
            run.metrics({"joint": {"accuracy": 0.5}})
            parent, children = family(client, f"abc/{request.node.name}")
            assert {parent.info.status, children[name].info.status} == {"RUNNING"}

    parent, children = family(client, f"abc/{request.node.name}")
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    assert parent.info.run_name == request.node.name
    assert set(children) == set(stages)
    for name, child in children.items():
        assert child.data.metrics == {f"{name}/joint.accuracy": 0.5}
        assert child.data.tags["stage"] == name


def test_the_parent_has_the_headlines_and_a_child_all_numbers(client, params, request):
    with tracking.stage("evaluate", params) as run:
        run.metrics({"joint": {"accuracy": 0.5, "ci_low": 0.4}})
    with tracking.stage("attribute", params) as run:
        run.metrics({"snr": {"deletion": 0.1}})
    parent, children = family(client, f"abc/{request.node.name}")
    assert parent.data.metrics == {"evaluate/joint.accuracy": 0.5}
    assert children["evaluate"].data.metrics == {
        "evaluate/joint.accuracy": 0.5,
        "evaluate/joint.ci_low": 0.4,
    }
    assert children["attribute"].data.metrics == {"attribute/snr.deletion": 0.1}


def test_the_parent_has_the_params_that_differ_and_a_child_those_that_its_stage_reads(
    client, request
):
    other = changed(load_params(Path("presets/default.yaml")), "train", lr=3e-4, epochs=2)
    with tracking.stage("stratify", other):
        pass
    parent, children = family(client, f"abc/{request.node.name}")
    differing = {"train.lr": "0.0003", "train.epochs": "2"}
    important = {"train.model", "train.input", "train.seed", "render.views", "base.seed"}
    assert set(parent.data.params) == {*differing, *important}
    assert {name: parent.data.params[name] for name in differing} == differing
    assert json.loads(parent.data.params["render.views"]) == list(other.render.views)
    read = children["stratify"].data.params
    assert {name.partition(".")[0] for name in read} == {"base", "stratify"}
    assert parent.data.tags["preset"] == "default + 2"


@pytest.mark.parametrize("preset", ["default", "smoke", "twin"])
def test_the_preset_is_a_tag(client, request, preset):
    content = presets.on_defaults(presets.overlay(preset))
    with tracking.stage("stratify", parse_params(content, preset)):
        pass
    (parent,) = of_execution(client, f"abc/{request.node.name}")
    assert parent.data.tags["preset"] == preset


def test_another_key_is_another_parent(client, params, request, monkeypatch):
    for key in ("abc", "def"):
        monkeypatch.setenv("DVC_EXP_BASELINE_REV", key)
        with tracking.stage("render", params):
            pass
    keys = [f"{key}/{request.node.name}" for key in ("abc", "def")]
    (first,), (second,) = (of_execution(client, key) for key in keys)
    assert first.info.run_id != second.info.run_id
    assert second.data.tags["mlflow.source.git.commit"] == "def"
    assert second.data.tags["revision"] == "def"


def test_an_experiment_run_again_under_its_name_with_other_params_is_another_parent(
    client, params, request
):
    for lr in (1e-3, 3e-4):
        with tracking.stage("render", changed(params, "train", lr=lr)):
            pass
    found = of_execution(client, f"abc/{request.node.name}")
    assert {run.data.params["train.lr"] for run in found} == {"0.001", "0.0003"}


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


def test_metrics_come_back_by_epoch_from_the_parent_too(client, params, request):
    losses = [0.9, 0.5, 0.3]
    with tracking.stage("train", params) as run:
        for epoch, loss in enumerate(losses, start=1):
            run.metrics({"epoch": epoch, "validation_loss": loss, "lr": 1.0}, step=epoch)
    parent, children = family(client, f"abc/{request.node.name}")
    for one in (parent, children["train"]):
        history = client.get_metric_history(one.info.run_id, "train/validation_loss")
        assert [(metric.step, metric.value) for metric in history] == [*enumerate(losses, start=1)]
    assert set(parent.data.metrics) == {"train/validation_loss"}
    assert set(children["train"].data.metrics) == {"train/validation_loss", "train/lr"}


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


def test_model_files_and_data_are_in_the_runs(client, params, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    weights, card, table = (
        Path("models/model.safetensors"),
        Path("models/model.json"),
        Path("plots/pis.csv"),
    )
    for folder in ("models", "plots"):
        Path(folder).mkdir()
    weights.write_bytes(b"abc")
    card.write_text("{}")
    table.write_text("mask\n")
    for name in ("train", "evaluate"):
        with tracking.stage(name, params) as run:
            run.model(weights, card)
            run.artifact(table)
            run.dataset("splits", "0123456789" * 6, "data/splits.npz")

    parent, children = family(client, f"abc/{request.node.name}")
    above, below = (
        Path(run.info.artifact_uri.removeprefix("file://")) for run in (parent, children["train"])
    )
    assert (above / "model/model.safetensors").read_bytes() == b"abc"
    assert (above / "model/model.json").is_file()
    assert (below / "plots/pis.csv").read_text() == "mask\n"
    # SHA-256 of "abc": FIPS 180-2, appendix B.1.
    assert (
        parent.data.tags["model.sha256"]
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
    (dataset,) = (entry.dataset for entry in parent.inputs.dataset_inputs)
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

    def scratch(_: str) -> execution.Execution:
        return execution.Execution(request.node.name, "scratch", execution.revision())

    monkeypatch.setattr(execution, "current", scratch)
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
        for run in sorted(
            of_execution(client, request.node.name), key=lambda run: run.info.start_time
        )
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
    assert of_execution(client, f"abc/{request.node.name}") == []


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


def test_a_store_whose_making_is_cut_short_is_made_by_the_next_stage(tmp_path):
    """MLflow makes its tables by dozens of migrations, and Ctrl-C may come between two of them."""
    cut_short = """
import alembic.runtime.migration as migration
apply, steps = migration.HeadMaintainer.update_to_step, []
def update(self, step):
    steps.append(step)
    if len(steps) == 5:
        raise KeyboardInterrupt
    apply(self, step)
migration.HeadMaintainer.update_to_step = update
"""
    environment = {"DVC_ROOT": str(tmp_path), "MLFLOW_TRACKING_URI": "sqlite:///store/mlflow.db"}
    first = start_python(cut_short + ONE_STAGE, **environment)
    assert "KeyboardInterrupt" in first.communicate(timeout=120)[1]
    assert not (tmp_path / "store/mlflow.db").exists()

    second = start_python(ONE_STAGE, **environment)
    assert second.communicate(timeout=120) == ("", "")
    left = sorted(path.name for path in (tmp_path / "store").iterdir())
    assert left == ["mlflow.db", "mlflow.db.lock"]


def test_a_store_out_of_reach_costs_one_line_and_not_the_stage(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening, so that connections are refused
        uris = [f"http://127.0.0.1:{unused.getsockname()[1]}", f"sqlite:///{tmp_path}"]
        # In processes of their own: pytest would catch the retries that MLflow reports.
        code = f"{ONE_STAGE}print('the stage went on')"
        processes = [
            start_python(code, MLFLOW_TRACKING_URI=uri, DVC_ROOT=str(tmp_path)) for uri in uris
        ]
        outputs = [process.communicate(timeout=120) for process in processes]
    for printed, warned in outputs:
        assert printed == "the stage went on\n"
        assert_one_warning(warned)


def test_a_store_that_fails_half_way_costs_one_line(client, params, request, capfd):
    with tracking.stage("train", params) as run:
        parent, children = family(client, f"abc/{request.node.name}")
        for open_run in (parent, *children.values()):
            client.delete_run(open_run.info.run_id)
        run.metrics({"loss": 1.0})
        run.metrics({"loss": 0.5}, step=1)
    (line,) = capfd.readouterr().err.splitlines()
    assert "must be in the 'active' state" in line


def test_a_stage_that_raises_is_failed_and_its_error_goes_on(client, params, request):
    with pytest.raises(KeyError, match="mine"), tracking.stage("train", params):
        raise KeyError("mine")
    parent, children = family(client, f"abc/{request.node.name}")
    assert [parent.info.status, children["train"].info.status] == ["FAILED", "FAILED"]


def test_the_interface_listens_on_this_machine_only_and_shows_this_store(creators, monkeypatch):
    monkeypatch.setenv("PISCES_UI_PORT", "5077")
    command, variables = mlflow_place.ui_command()
    options = dict(zip(command[4::2], command[5::2], strict=True))
    assert command[1:4] == ["-m", "mlflow", "ui"]
    assert options["--host"] == "127.0.0.1"
    assert options["--port"] == "5077"
    assert variables["MLFLOW_BACKEND_STORE_URI"] == f"sqlite:///{creators[0]}/mlflow.db"
    assert options["--default-artifact-root"] == (creators[0] / "mlartifacts").as_uri()


@pytest.mark.parametrize(
    ("name", "value"),
    [("PISCES_UI_PORT", "http"), ("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")],
)
def test_the_interface_refuses_what_it_cannot_show(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=name):
        mlflow_place.ui_command()


def test_a_password_is_in_no_command_line_and_in_no_warning(params, monkeypatch, capfd):
    # An unquoted slash makes parsers take a part of the password for a port.
    for secret in ("s3cret", "qfirst%2Fqlast", "q5w6/e7r8#t9y0", "z1x2:c3v4@b5n6"):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgres+nope://me:{secret}@127.0.0.1:1/x")
        assert not any(secret in word for word in mlflow_place.ui_command()[0])
        with tracking.stage("train", params) as run:
            run.metrics({"loss": 1.0})
        warned = capfd.readouterr().err
        assert_one_warning(warned)
        for part in re.split("[/:@#]|%2F", secret):
            assert part not in warned


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
    assert mlflow_place.uri() == resolved.format(root=tmp_path)


def test_the_interface_starts_no_processes_for_jobs():
    from mlflow.environment_variables import MLFLOW_SERVER_ENABLE_JOB_EXECUTION

    assert mlflow_place.UI_VARIABLES[MLFLOW_SERVER_ENABLE_JOB_EXECUTION.name] == "false"
