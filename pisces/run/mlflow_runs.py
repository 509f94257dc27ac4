"""Which runs of MLflow stand for an execution of the pipeline: a parent, and a child a stage.

The parent is the row that people see and compare. It holds the headlines, the curves, the pictures,
the model, and of the params those that differ from the defaults. A child holds what one stage read
and made. Both are found again by the tag `pisces.key`, so no id of a run is written to a file.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pisces.config import presets
from pisces.run import execution, mlflow_place, provenance
from pisces.run.execution import Execution
from pisces.run.stage_files import StageFiles

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

KEY, PARAMS, PARENT = "pisces.key", "pisces.params", "mlflow.parentRunId"
IMPORTANT = ("train.model", "train.input", "render.views", "train.seed", "base.seed")
"""Params that a parent shows though they are the defaults."""
MOST_RUNS = 50000
"""That MLflow gives at once."""

NO_FILES = StageFiles((), (), ())
"""Of a stage that dvc.yaml does not list."""


class Session(NamedTuple):
    """The runs that a stage logs to."""

    client: "MlflowClient"
    stage: str
    parent_id: str
    child_id: str

    @property
    def run_ids(self) -> tuple[str, str]:
        """Of the parent and the child."""
        return self.parent_id, self.child_id


def open_session(
    stage: str, values: Mapping[str, Any], files: StageFiles, which: Execution
) -> Session:
    """Finds or creates the runs that a stage logs to, and marks them as running.

    Args:
        stage: its name in dvc.yaml.
        values: all params, section -> key -> value.
        files: of the stage; its child shows the params that it reads.
        which: the execution of the pipeline, which the parent stands for.

    Returns:
        The parent, and the stage's child.
    """
    with mlflow_place.lock():
        client = mlflow_place.connect()
        parent = parent_of(client, values, which)
        child = child_of(client, parent, stage, values, files)
    session = Session(client, stage, parent.info.run_id, child.info.run_id)
    for run_id in session.run_ids:
        client.update_run(run_id, "RUNNING")
    return session


def end(session: Session, status: str) -> None:
    """Marks both runs as FINISHED or FAILED."""
    for run_id in session.run_ids:
        session.client.set_terminated(run_id, status)


def parent_of(client: "MlflowClient", values: Mapping[str, Any], which: Execution) -> "MlflowRun":
    """The run of an execution with these params, made where there is none.

    Args:
        client: of the store, whose lock is held.
        values: all params, section -> key -> value.
        which: the execution.
    """
    experiment_id = mlflow_place.experiment_id(client)
    # The params belong to the key: an experiment may be run again under its name,
    # and MLflow's params cannot change.
    key = digest_of([which.key, values])
    found = find(client, experiment_id, key)
    if found:
        return found

    tags = _tags(values, which) | {KEY: key, PARAMS: digest_of(values)}
    return _create(client, experiment_id, which.name, tags, _worth_showing(values))


def child_of(
    client: "MlflowClient",
    parent: "MlflowRun",
    stage: str,
    values: Mapping[str, Any],
    files: StageFiles,
) -> "MlflowRun":
    """The run of a stage, made where there is none, with the params that the stage reads.

    Args:
        client: of the store, whose lock is held.
        parent: of the execution.
        stage: its name in dvc.yaml.
        values: all params, section -> key -> value.
        files: of the stage.
    """
    key = f"{parent.data.tags[KEY]}-{stage}"
    found = find(client, parent.info.experiment_id, key)
    if found:
        return found

    tags = {KEY: key, PARENT: parent.info.run_id, "stage": stage}
    name = f"{stage} of {parent.info.run_name}"
    read = {key: value for key, value in presets.leaves(values) if files.reads(key)}
    return _create(client, parent.info.experiment_id, name, tags, read)


def find(client: "MlflowClient", experiment_id: str, key: str) -> "MlflowRun | None":
    """The run with a `pisces.key`."""
    found = client.search_runs([experiment_id], f"tags.`{KEY}` = '{key}'", max_results=1)
    return found[0] if found else None


def with_params(client: "MlflowClient", values: Mapping[str, Any]) -> "list[MlflowRun]":
    """Parents of executions with these params, the last one first."""
    experiment_id = mlflow_place.experiment_id(client)
    query = f"tags.`{PARAMS}` = '{digest_of(values)}'"
    return list(client.search_runs([experiment_id], query, order_by=["start_time DESC"]))


def experiments_shown(client: "MlflowClient") -> set[str]:
    """Names of DVC's experiments that have a parent."""
    experiment_id = mlflow_place.experiment_id(client)
    runs = client.search_runs([experiment_id], "tags.experiment != ''", max_results=MOST_RUNS)
    return {run.data.tags["experiment"] for run in runs}


def digest_of(content: Any) -> str:
    """A short name for a content that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _tags(values: Mapping[str, Any], which: Execution) -> dict[str, str]:
    """What a parent can be found and grouped by."""
    committed = execution.committed_params(which.revision)
    tags = {
        "pisces.execution": which.key,
        "mlflow.source.git.commit": which.revision or "none",
        "mlflow.note.content": execution.describe(values, committed),
        "preset": _preset(values),
        "revision": (which.revision or "none")[:10],
        "experiment": which.experiment,
        "study": which.study,
        "trial": which.trial,
    }
    return {name: value for name, value in tags.items() if value}


def _preset(values: Mapping[str, Any]) -> str | None:
    """The preset that the params are, or the nearest one and how many params differ from it."""
    nearest = provenance.nearest_preset(dict(presets.leaves(values)))
    if nearest is None:
        return None
    return f"{nearest.name} + {len(nearest.changes)}" if nearest.changes else nearest.name


def _worth_showing(values: Mapping[str, Any]) -> dict[str, Any]:
    """The params that differ from the shipped defaults, and the important ones."""
    now = dict(presets.leaves(values))
    shipped = dict(presets.leaves(presets.on_defaults({}))) if presets.names() else {}
    return {
        key: value
        for key, value in now.items()
        if key in IMPORTANT or (key in shipped and shipped[key] != value)
    }


def _create(
    client: "MlflowClient",
    experiment_id: str,
    name: str,
    tags: Mapping[str, str],
    values: Mapping[str, Any],
) -> "MlflowRun":
    """A new run with tags and params, which is finished until something logs to it."""
    from mlflow.entities import Param

    run = client.create_run(experiment_id, tags=dict(tags), run_name=name)
    params = []
    for key, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value)
        params.append(Param(key, text))
    client.log_batch(run.info.run_id, params=params)
    client.set_terminated(run.info.run_id, "FINISHED")
    return run
