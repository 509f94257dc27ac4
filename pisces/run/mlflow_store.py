"""The only module that calls MLflow: where its store is, and what is written to it."""

import hashlib
import json
import logging
import os
import shutil
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from pisces.config.presets import leaves
from pisces.config.schema import Params
from pisces.run import execution
from pisces.run.execution import Execution

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

EXPERIMENT, REGISTERED = "pisces", "pisces-model"
SQLITE, SQLITE_DRIVER = "sqlite:///", "sqlite+pysqlite:///"
MODEL_STAGES = ("train", "evaluate", "limits", "perturb", "pis", "attribute", "report")
LOCK_SECONDS = 60
DIGEST_CHARACTERS = 36
"""The most that MLflow's data set digest holds."""

UI_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
}
"""For MLflow's user interface: without its eight processes for jobs, which nothing here submits."""

OPENING_ATTEMPTS = 2
"""At a database; MLflow's ten take 100 s."""


class Session(NamedTuple):
    """The runs that a stage holds open: the parent, and from `train` on its child."""

    client: "MlflowClient"
    runs: "tuple[MlflowRun, ...]"

    @property
    def run_id(self) -> str:
        """Of the run that is logged to: the child, if there is one."""
        return self.runs[-1].info.run_id


def open_session(stage: str, params: Params, which: Execution) -> Session:
    """Finds or creates the runs that a stage logs to, and marks them as running.

    Args:
        stage: its name in dvc.yaml.
        params: all of them; they are logged with each run.
        which: the execution of the pipeline, whose run is the parent.

    Returns:
        The parent run, and for a stage of `MODEL_STAGES` its child.
    """
    values = params.model_dump(mode="json")
    client_class = _quiet_client()
    with _lock():
        client = client_class(_uri())
        runs = _open_runs(client, stage, which, values, params.train.model)
        for run in runs:
            _log_params(client, run, values)
    session = Session(client, tuple(runs))
    client.set_tag(session.run_id, f"dvc.stage.{stage}", "RUNNING")
    return session


def end(session: Session, stage: str, status: str) -> None:
    """Marks the stage and its runs as ended.

    Args:
        session: the runs.
        stage: its name in dvc.yaml.
        status: FINISHED or FAILED.
    """
    session.client.set_tag(session.run_id, f"dvc.stage.{stage}", status)
    for run in session.runs:
        session.client.set_terminated(run.info.run_id, status)


def log_metrics(session: Session, stage: str, numbers: Mapping[str, float], step: int) -> None:
    """Logs numbers as `<stage>/<name>`.

    Args:
        session: whose last run they go to.
        stage: its name in dvc.yaml.
        numbers: name -> finite number.
        step: the epoch, from 1 on; 0 for what belongs to none.
    """
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    metrics = []
    for name, value in numbers.items():
        metrics.append(Metric(f"{stage}/{name}", float(value), now_ms, step))
    session.client.log_batch(session.run_id, metrics)


def log_artifact(session: Session, path: Path) -> None:
    """Logs a file, or a directory under its name."""
    session.client.log_artifact(session.run_id, str(path))


def log_model(session: Session, weights: Path, description: Path) -> None:
    """Logs both files and the SHA-256 of the weights, unless the run has them.

    Args:
        session: whose last run they go to.
        weights: the file of the weights.
        description: the card beside it.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # as sha256sum prints it
    if session.runs[-1].data.tags.get("model.sha256") == digest:
        return
    for path in (weights, description):
        session.client.log_artifact(session.run_id, str(path), "model")
    session.client.set_tag(session.run_id, "model.sha256", digest)


def log_dataset(session: Session, name: str, digest: str, source: str) -> None:
    """Logs an input of the run, its whole digest in the source.

    Args:
        session: whose last run it goes to.
        name: of the data set.
        digest: of its content, in hex; MLflow keeps the first `DIGEST_CHARACTERS`.
        source: where it lies.
    """
    from mlflow.entities import Dataset, DatasetInput

    origin = json.dumps({"uri": source, "digest": digest})
    dataset = Dataset(name, digest[:DIGEST_CHARACTERS], "local", origin)
    session.client.log_inputs(session.run_id, [DatasetInput(dataset)])


def register(
    files: Sequence[Path],
    loader: str,
    digest: str,
    example: "np.ndarray",
    answer: "pandas.DataFrame",
) -> tuple[str, str]:
    """Logs a model as MLflow's flavour `pyfunc` and registers it as `REGISTERED`.

    It goes to the run that trained it, if there is one, and else to a run of its own. The alias
    `latest`, which MLflow reserves, is that of the last one registered.

    Args:
        files: weights and card.
        loader: module whose `_load_pyfunc` takes their folder; the package of it goes along.
        digest: SHA-256 of the weights in hex, by which a run is found.
        example: what may be posted, float32 (n, samples, 2).
        answer: what the model says to that.

    Returns:
        Address in the registry, and version.
    """
    client_class = _quiet_client()
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.models.signature import infer_signature
    from mlflow.types import Schema, TensorSpec

    frames = TensorSpec(example.dtype, (-1, -1, 2), name=None)
    signature = ModelSignature(Schema([frames]), infer_signature(example, answer).outputs)
    with _lock():
        client = client_class(_uri())
        run = _run_of_model(client, digest)
    mlflow.set_tracking_uri(_uri())
    with TemporaryDirectory() as folder, mlflow.start_run(run_id=run):
        for file in files:
            shutil.copy(file, folder)
        logged = mlflow.pyfunc.log_model(
            name="served",
            loader_module=loader,
            data_path=folder,
            code_paths=[str(Path(__file__).parents[1])],
            signature=signature,
            input_example=example,
            # The server takes the environment that it is started in; see docs/guide/deploy.md.
            pip_requirements=[],
            registered_model_name=REGISTERED,
        )
    return f"models:/{REGISTERED}/latest", str(logged.registered_model_version)


def _run_of_model(client: "MlflowClient", digest: str) -> str:
    """Id of the last run that logged these weights, or of a new one."""
    experiment_id = _experiment_id(client)
    query = f"tags.`model.sha256` = '{digest}'"
    found = client.search_runs([experiment_id], query, max_results=1)
    if found:
        return str(found[0].info.run_id)
    run = client.create_run(experiment_id, tags={"model.sha256": digest}, run_name="registered")
    return str(run.info.run_id)


def ui_command() -> list[str]:
    """Command line of the MLflow user interface over this store, for this machine alone.

    Raises:
        ValueError: when the store is a server, which has an interface of its own, or the port is
            not a number.
    """
    if _is_server():
        raise ValueError(
            "MLFLOW_TRACKING_URI is a server with an interface of its own; "
            "open that address in a browser"
        )
    port = os.environ.get("PISCES_UI_PORT", "5000")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"PISCES_UI_PORT={port} is not a port; choose one of 1024..65535")
    options = {
        "--host": "127.0.0.1",
        "--port": port,
        "--workers": "1",
        "--backend-store-uri": _uri(),
        "--default-artifact-root": _artifacts(),
        "--artifacts-destination": _artifacts(),
    }
    command = [sys.executable, "-m", "mlflow", "ui"]  # with `UI_VARIABLES`
    for name, value in options.items():
        command += [name, value]
    return command


def digest_of(content: Any) -> str:
    """A short name for a content that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _root() -> Path:
    """The repository; in a queued experiment the original one, as the experiment's own vanishes."""
    return Path(os.environ.get("DVC_ROOT", ".")).absolute()


def _uri() -> str:
    """Of the store; one that is relative is relative to the repository, not to this process.

    The processes of a queued experiment run in a folder that vanishes with it.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI")
    if not given:
        return _of_database(_root() / "mlflow.db")

    if given.startswith(SQLITE):
        path = given.removeprefix(SQLITE)
        is_relative = not path.startswith(("/", ":memory:"))
        return _of_database(_root() / urllib.parse.unquote(path)) if is_relative else given
    if given.startswith("file:") and not given.startswith("file:/"):
        return f"{_root().as_uri()}/{given.removeprefix('file:')}"
    is_path = ":" not in given and not given.startswith("databricks")
    return str(_root() / given) if is_path else given


def _of_database(path: Path) -> str:
    """The address of a database, in which a % and a ? of its path have to be quoted."""
    if not set("%?") & set(str(path)):
        return f"{SQLITE}{path}"
    # With the driver named, or MLflow would make a folder of the quoted name.
    return f"{SQLITE_DRIVER}{urllib.parse.quote(str(path))}"


def _artifacts() -> str:
    return (_root() / "mlartifacts").as_uri()


def _is_server() -> bool:
    return _uri().startswith(("http://", "https://"))


def _lock() -> FileLock:
    """Held while runs are found or created.

    MLflow also fails when two processes create the tables of one database.
    """
    uri = _uri()
    path = uri.removeprefix(SQLITE).removeprefix(SQLITE_DRIVER).partition("?")[0]
    is_file = uri.startswith((SQLITE, SQLITE_DRIVER))
    database = Path(urllib.parse.unquote(path)) if is_file else _root() / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{database}.lock", timeout=LOCK_SECONDS)


def _quiet_client() -> "type[MlflowClient]":
    """MLflow's client: silent, without usage data, and soon giving up a store out of reach."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    from mlflow import MlflowClient

    if not _is_server():
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = OPENING_ATTEMPTS  # no variable sets it
    return MlflowClient


def _open_runs(
    client: "MlflowClient", stage: str, which: Execution, values: dict[str, Any], model: str
) -> "list[MlflowRun]":
    """The parent run of an execution, and for a stage from `train` on its child."""
    revision = execution.revision()
    committed = execution.committed_params(revision)
    tags = {
        "pisces.execution": which.key,
        "mlflow.source.git.commit": revision or "none",
        "mlflow.note.content": execution.describe(values, committed),
    }
    experiment_id = _experiment_id(client)
    sweep = os.environ.get("PISCES_SWEEP")
    if sweep:
        tags["mlflow.parentRunId"] = _sweep(client, experiment_id, sweep)

    # The params belong to the key: an experiment may be run again under its name,
    # and MLflow's params cannot change.
    key = digest_of([which.key, values])
    parent = _reopen(client, experiment_id, which.name, tags | {"pisces.key": key})
    if stage not in MODEL_STAGES:
        return [parent]

    nested = {"pisces.key": f"{key}-model", "mlflow.parentRunId": parent.info.run_id}
    child = _reopen(client, experiment_id, f"{which.name}/{model}", tags | nested)
    return [parent, child]


def _experiment_id(client: "MlflowClient") -> str:
    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment:
        return experiment.experiment_id
    return client.create_experiment(EXPERIMENT, None if _is_server() else _artifacts())


def _sweep(client: "MlflowClient", experiment_id: str, name: str) -> str:
    """Id of the run that stands for a sweep; it holds nothing itself."""
    run = _reopen(client, experiment_id, name, {"pisces.key": f"sweep {name}"})
    client.set_terminated(run.info.run_id, "FINISHED")
    return run.info.run_id


def _reopen(
    client: "MlflowClient", experiment_id: str, name: str, tags: dict[str, str]
) -> "MlflowRun":
    """The run with this `pisces.key`, which becomes running again, or a new one."""
    query = f"tags.`pisces.key` = '{tags['pisces.key']}'"
    found = client.search_runs([experiment_id], query, max_results=1)
    if not found:
        return client.create_run(experiment_id, tags=tags, run_name=name)
    client.update_run(found[0].info.run_id, "RUNNING")
    return found[0]


def _log_params(client: "MlflowClient", run: "MlflowRun", values: dict[str, Any]) -> None:
    """Those that the run does not have yet: MLflow refuses to log one twice."""
    from mlflow.entities import Param

    params = []
    for name, value in leaves(values):
        if name not in run.data.params:
            text = value if isinstance(value, str) else json.dumps(value)
            params.append(Param(name, text))
    client.log_batch(run.info.run_id, params=params)
