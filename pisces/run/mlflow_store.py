"""What is written to the runs of a stage: numbers, curves, files, pictures, models, data sets.

A number is `<stage>/<name>` on the stage's child, and on the parent as well where people look for
it. What a run has already is not written again.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pisces.run import mlflow_place, mlflow_view
from pisces.run.mlflow_runs import Session

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from mlflow import MlflowClient

REGISTERED = "pisces-model"
DIGEST_CHARACTERS = 36
"""The most that MLflow's data set digest holds."""
BATCH = 1000
"""The most numbers that MLflow takes at once."""

FILES, MODEL = "pisces.files", "model.sha256"
"""Tags: which content of which file a child has; which weights a parent has."""

HEADLINES = mlflow_view.charted(mlflow_view.CURVES) | mlflow_view.charted(mlflow_view.BARS)
"""Numbers that the parent shows as well."""
COMPARED = mlflow_view.charted(mlflow_view.PICTURES)
"""Pictures that the parent has as well, where MLflow shows those of several runs side by side."""


def log_metrics(session: Session, numbers: Mapping[str, float], step: int) -> None:
    """Logs numbers as `<stage>/<name>`.

    Args:
        session: whose child they go to, and the headlines among them to its parent.
        numbers: name -> finite number.
        step: the epoch, from 1 on; 0 for what belongs to none.
    """
    named = _named(session, {name: {step: value} for name, value in numbers.items()})
    for run_id, curves in named.items():
        _log(session.client, run_id, curves)


def add_curves(session: Session, curves: Mapping[str, Mapping[int, float]]) -> int:
    """Logs numbers over steps as `<stage>/<name>`, without those that a run has.

    Args:
        session: whose child they go to, and the headlines among them to its parent.
        curves: name -> step -> finite number.

    Returns:
        How many were not there.
    """
    added = 0
    for run_id, named in _named(session, curves).items():
        last = session.client.get_run(run_id).data.metrics
        missing = {}
        for name, curve in named.items():
            known = _known(session.client, run_id, name, curve, last)
            missing[name] = {step: one for step, one in curve.items() if step not in known}
        added += _log(session.client, run_id, missing)
    return added


def log_files(session: Session, root: Path, paths: Sequence[Path]) -> int:
    """Logs files to the child, and some pictures to the parent, where they are compared.

    Args:
        session: of the stage that made them.
        root: the folder that their paths are relative to, under which they keep their place.
        paths: the files; an absolute one has no place but its name.

    Returns:
        How many of them the child did not have with this content.
    """
    client, run_id = session.client, session.child_id
    known = json.loads(client.get_run(run_id).data.tags.get(FILES, "{}"))
    digests = {str(path): sha256(root / path)[:16] for path in paths}
    changed = [path for path in paths if known.get(str(path)) != digests[str(path)]]
    for path in changed:
        folder = None if path.is_absolute() else str(path.parent)
        client.log_artifact(run_id, str(root / path), folder)
        if path.suffix == ".png" and path.stem in COMPARED:
            _log_picture(session, root / path)
    if changed:
        client.set_tag(run_id, FILES, json.dumps(known | digests))
    return len(changed)


def log_model(session: Session, weights: Path, card: Path) -> bool:
    """Logs both files to the parent with the SHA-256 of the weights; whether it had others or none.

    Args:
        session: of a stage that made or used the model.
        weights: the file of the weights.
        card: the description beside it.
    """
    digest = sha256(weights)
    parent = session.client.get_run(session.parent_id)
    if parent.data.tags.get(MODEL) == digest:
        return False
    for path in (weights, card):
        session.client.log_artifact(session.parent_id, str(path), "model")
    session.client.set_tag(session.parent_id, MODEL, digest)
    return True


def log_dataset(session: Session, name: str, digest: str, source: str) -> bool:
    """Logs an input of the execution, its whole digest in the source, unless it has one so named.

    Args:
        session: whose parent it goes to.
        name: of the data set.
        digest: of its content, in hex; MLflow keeps the first `DIGEST_CHARACTERS`.
        source: where it lies.

    Returns:
        Whether it was not there.
    """
    from mlflow.entities import Dataset, DatasetInput

    inputs = session.client.get_run(session.parent_id).inputs
    if inputs and any(one.dataset.name == name for one in inputs.dataset_inputs):
        return False
    origin = json.dumps({"uri": source, "digest": digest})
    dataset = Dataset(name, digest[:DIGEST_CHARACTERS], "local", origin)
    session.client.log_inputs(session.parent_id, [DatasetInput(dataset)])
    return True


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
    with mlflow_place.lock():
        run = _run_of_model(mlflow_place.connect(), digest)
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.models.signature import infer_signature
    from mlflow.types import Schema, TensorSpec

    frames = TensorSpec(example.dtype, (-1, -1, 2), name=None)
    signature = ModelSignature(Schema([frames]), infer_signature(example, answer).outputs)
    mlflow.set_tracking_uri(mlflow_place.uri())
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
    experiment_id = mlflow_place.experiment_id(client)
    found = client.search_runs([experiment_id], f"tags.`{MODEL}` = '{digest}'", max_results=1)
    if found:
        return str(found[0].info.run_id)
    run = client.create_run(experiment_id, tags={MODEL: digest}, run_name="registered")
    return str(run.info.run_id)


def _named(
    session: Session, curves: Mapping[str, Mapping[int, float]]
) -> dict[str, dict[str, Mapping[int, float]]]:
    """Id of a run -> full name -> step -> number: all for the child, headlines for the parent."""
    named = {f"{session.stage}/{name}": curve for name, curve in curves.items()}
    headlines = {name: curve for name, curve in named.items() if name in HEADLINES}
    return {session.child_id: named, session.parent_id: headlines}


def _log(client: "MlflowClient", run_id: str, curves: Mapping[str, Mapping[int, float]]) -> int:
    """Logs curves to a run; how many numbers they are."""
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    metrics = []
    for name, curve in curves.items():
        metrics += [Metric(name, float(value), now_ms, step) for step, value in curve.items()]
    for start in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics[start : start + BATCH])
    return len(metrics)


def _known(
    client: "MlflowClient",
    run_id: str,
    name: str,
    curve: Mapping[int, float],
    last: Mapping[str, float],
) -> set[int]:
    """The steps of a curve that a run has already.

    Args:
        client: of the store.
        run_id: of the run.
        name: of the metric.
        curve: step -> number.
        last: the last number of every metric of the run.
    """
    if name not in last:
        return set()
    if set(curve) == {0}:  # one that changed when a stage ran again is logged again
        return {0} if last[name] == curve[0] else set()
    return {one.step for one in client.get_metric_history(run_id, name)}


def _log_picture(session: Session, path: Path) -> None:
    """Logs a picture under the name of its file, as MLflow's charts show it."""
    import PIL.Image

    with PIL.Image.open(path) as picture:
        session.client.log_image(session.parent_id, picture, key=path.stem)


def sha256(path: Path) -> str:
    """Of a file, in hex, as sha256sum prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
