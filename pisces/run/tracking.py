"""The only module that knows MLflow, which is a viewer: DVC's files are the record, and every stage runs without it.

An execution of the pipeline is one parent run and the model it trains one child. The stages from `train` on log to the child, those
before it to the parent; each finds its runs by the tag `pisces.key`, so no run id is ever written to a file. A metric is stored as
`<stage>/<name>`, since several stages share a run; a slash opens a section in MLflow's charts.

With PISCES_SWEEP=<name> the executions of one sweep of experiments stand under a run of that name.

Environment: PISCES_TRACKING=off (default on), PISCES_SWEEP, MLFLOW_TRACKING_URI (default the SQLite file `mlflow.db` beside `dvc.yaml`),
PISCES_UI_PORT (default 5000).
"""

import hashlib
import json
import logging
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
from filelock import FileLock

from pisces.config.schema import PARAMS, Params, load_params
from pisces.core import yaml
from pisces.core.files import read_json
from pisces.run import dvc_process
from pisces.run.console import RANKS

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun

EXPERIMENT = "pisces"
MODEL_STAGES = ("train", "evaluate", "perturb", "pis", "attribute", "limits")
LOCK_SECONDS = 60
DIGEST_CHARACTERS = 36  # the most that MLflow's data set digest holds


class Execution(NamedTuple):
    """What the stages of one `dvc repro` or `dvc exp run` have in common."""

    key: str
    name: str


class Session(NamedTuple):
    """The runs that a stage holds open: the parent, and from `train` on its child, which is then the one logged to."""

    client: "MlflowClient"
    runs: "tuple[MlflowRun, ...]"

    @property
    def run_id(self) -> str:
        return self.runs[-1].info.run_id


class Run:
    """What a stage logs to. Without a session it checks what it is given and keeps nothing."""

    def __init__(self, stage: str, session: Session | None) -> None:
        self._stage = stage
        self._session = session

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Logs numbers as `<stage>/<name>`; nested names are joined with dots, and `step` is the epoch.

        Raises:
            ValueError: for a value that is not a finite number.
        """
        numbers = _flatten(values)
        for name, value in numbers.items():
            if not _is_finite(value):
                raise ValueError(
                    f"metric {name} = {value!r} of stage {self._stage} is not a finite number; see what it was computed from"
                )
        self._log(lambda session: _log_metrics(session, self._stage, numbers, step))

    def artifact(self, path: Path) -> None:
        """Logs a file, or a directory under its name.

        Raises:
            FileNotFoundError: when there is no such path.
        """
        _check_exists(path)
        self._log(lambda session: session.client.log_artifact(session.run_id, str(path)))

    def model(self, weights: Path, description: Path) -> None:
        """Logs both files under `model/`, unless this run has them, and the SHA-256 of the weights as tag `model.sha256`.

        Raises:
            FileNotFoundError: when one of the files is missing.
        """
        _check_exists(weights)
        _check_exists(description)
        self._log(lambda session: _log_model(session, weights, description))

    def dataset(self, name: str, digest: str, source: str) -> None:
        """Logs what the stage read as an input of the run, with the first 36 characters of its digest (all of it in the source)."""
        self._log(lambda session: _log_dataset(session, name, digest, source))

    def _end(self, status: str) -> None:
        self._log(lambda session: _end(session, self._stage, status))

    def _log(self, write: Callable[[Session], None]) -> None:
        """Writes, if there is a session; one that fails is not used again."""
        if self._session is None:
            return
        try:
            write(self._session)
        except Exception as error:  # of any kind: a viewer never ends a stage
            self._session = None
            _warn(error)


@contextmanager
def stage(name: str, params: Params) -> Iterator[Run]:
    """The MLflow run of a stage, continued or new, which ends as FINISHED, or as FAILED when the body raises.

    When tracking is off, in all but the first process of a distributed run, and when MLflow fails (with a warning on stderr), the
    run keeps nothing.

    Raises:
        ValueError: when PISCES_TRACKING is neither on nor off.
    """
    run = Run(name, _try_to_open(name, params) if _is_on() and _is_first_process() else None)
    try:
        yield run
    except BaseException:
        run._end("FAILED")
        raise
    run._end("FINISHED")


def sync(metrics_dir: Path) -> int:
    """Imports the numbers in `metrics_dir/<stage>.json` as each stage would have logged them; returns how many.

    For results that DVC restored from its run cache, where no stage ran. The same files and params go to the same runs.

    Raises:
        FileNotFoundError: when there are no such files.
        ValueError: when tracking is off.
        OSError: when MLflow fails.
    """
    paths = sorted(metrics_dir.glob("*.json"))
    if not paths:
        raise FileNotFoundError(
            f"{metrics_dir} holds no metrics (*.json); make them with dvc repro"
        )
    if not _is_on():
        raise ValueError(
            "PISCES_TRACKING=off, so there is nothing to import into; unset it or set it to on"
        )
    params = load_params()
    metrics = {
        path.stem: {k: v for k, v in _flatten(read_json(path)).items() if _is_finite(v)}
        for path in paths
    }
    execution = Execution(f"sync/{_digest(metrics)}", f"synced {_now()}")
    try:
        for name, numbers in metrics.items():
            session = _open(name, params, execution)
            _log_metrics(session, name, numbers, step=0)
            _end(session, name, "FINISHED")
    except Exception as error:
        raise OSError(
            f"MLflow failed with {_one_line(error)}; check MLFLOW_TRACKING_URI"
        ) from error
    return sum(map(len, metrics.values()))


def ui_command() -> list[str]:
    """Command line of the MLflow user interface over this store, reachable from this machine alone.

    Raises:
        ValueError: when the store is a server, which has an interface of its own, or the port is not a number.
    """
    if _is_server(_uri()):
        raise ValueError(
            "MLFLOW_TRACKING_URI is a server with an interface of its own; open that address in a browser"
        )
    port = os.environ.get("PISCES_UI_PORT", "5000")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"PISCES_UI_PORT={port} is not a port; choose one of 1024..65535")
    store = [
        "--backend-store-uri",
        _uri(),
        "--default-artifact-root",
        _artifacts(),
        "--artifacts-destination",
        _artifacts(),
    ]
    return [
        sys.executable,
        "-m",
        "mlflow",
        "ui",
        "--host",
        "127.0.0.1",
        "--port",
        port,
        "--workers",
        "1",
        *store,
    ]


def _is_on() -> bool:
    switch = os.environ.get("PISCES_TRACKING", "on")
    if switch not in ("on", "off"):
        raise ValueError(f"PISCES_TRACKING={switch} is not known; set it to on or off")
    return switch == "on"


def _is_first_process() -> bool:
    return all(os.environ.get(rank, "0") == "0" for rank in RANKS)


def _root() -> Path:
    """The repository; in a queued experiment the original one, since the experiment's own directory vanishes."""
    return Path(os.environ.get("DVC_ROOT", ".")).absolute()


def _uri() -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_root() / 'mlflow.db'}"


def _artifacts() -> str:
    return (_root() / "mlartifacts").as_uri()


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def _lock(uri: str) -> FileLock:
    """Held while runs are found or created: MLflow also fails when two processes create the tables of one database."""
    database = (
        Path(uri.removeprefix("sqlite:///"))
        if uri.startswith("sqlite:///")
        else _root() / "mlflow.db"
    )
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{database}.lock", timeout=LOCK_SECONDS)


def _quiet_client(uri: str) -> "type[MlflowClient]":
    """MLflow's client, its messages silenced, no usage data sent, and a store out of reach given up in seconds, not minutes."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    from mlflow import MlflowClient

    if not _is_server(uri):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = (
            2  # no variable sets it, and the ten attempts at opening a database take 100 s
        )
    return MlflowClient


def _try_to_open(stage: str, params: Params) -> Session | None:
    try:
        return _open(stage, params, _execution(stage))
    except Exception as error:  # see `Run._log`
        _warn(error)
        return None


def _open(stage: str, params: Params, execution: Execution) -> Session:
    """Finds or creates the runs that `stage` logs to, and marks them as running."""
    uri = _uri()
    revision = os.environ.get("DVC_EXP_BASELINE_REV") or _git("rev-parse", "HEAD")
    values = params.model_dump(mode="json")
    tags = {
        "pisces.execution": execution.key,
        "mlflow.source.git.commit": revision or "none",
        "mlflow.note.content": _describe(values, _committed(revision)),
    }
    client_class = _quiet_client(uri)
    with _lock(uri):
        client = client_class(uri)
        experiment = client.get_experiment_by_name(EXPERIMENT)
        location = None if _is_server(uri) else _artifacts()
        experiment_id = (
            experiment.experiment_id
            if experiment
            else client.create_experiment(EXPERIMENT, location)
        )
        if sweep := os.environ.get("PISCES_SWEEP"):
            tags["mlflow.parentRunId"] = _sweep(client, experiment_id, sweep)
        # The params belong to the key: an experiment may be run again under its name, and MLflow's params cannot change.
        key = _digest([execution.key, values])
        runs = [_reopen(client, experiment_id, execution.name, tags | {"pisces.key": key})]
        if stage in MODEL_STAGES:
            nested = {"pisces.key": f"{key}-model", "mlflow.parentRunId": runs[0].info.run_id}
            runs.append(
                _reopen(
                    client, experiment_id, f"{execution.name}/{params.train.model}", tags | nested
                )
            )
        for run in runs:
            _log_params(client, run, values)
    session = Session(client, tuple(runs))
    client.set_tag(session.run_id, f"dvc.stage.{stage}", "RUNNING")
    return session


def _sweep(client: "MlflowClient", experiment_id: str, name: str) -> str:
    """Id of the run that stands for a sweep; it holds nothing itself."""
    run = _reopen(client, experiment_id, name, {"pisces.key": f"sweep {name}"})
    client.set_terminated(run.info.run_id, "FINISHED")
    return run.info.run_id


def _reopen(
    client: "MlflowClient", experiment_id: str, name: str, tags: dict[str, str]
) -> "MlflowRun":
    found = client.search_runs(
        [experiment_id], f"tags.`pisces.key` = '{tags['pisces.key']}'", max_results=1
    )
    if not found:
        return client.create_run(experiment_id, tags=tags, run_name=name)
    client.update_run(found[0].info.run_id, "RUNNING")
    return found[0]


def _end(session: Session, stage: str, status: str) -> None:
    session.client.set_tag(session.run_id, f"dvc.stage.{stage}", status)
    for run in session.runs:
        session.client.set_terminated(run.info.run_id, status)


def _log_params(client: "MlflowClient", run: "MlflowRun", values: dict[str, Any]) -> None:
    from mlflow.entities import Param

    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in _flatten(values).items()
    }
    client.log_batch(
        run.info.run_id,
        params=[Param(name, text) for name, text in texts.items() if name not in run.data.params],
    )


def _log_metrics(session: Session, stage: str, numbers: Mapping[str, float], step: int) -> None:
    from mlflow.entities import Metric

    now_ms = int(time.time() * 1000)
    session.client.log_batch(
        session.run_id,
        [Metric(f"{stage}/{name}", float(value), now_ms, step) for name, value in numbers.items()],
    )


def _log_model(session: Session, weights: Path, description: Path) -> None:
    with weights.open("rb") as file:
        digest = hashlib.file_digest(
            file, "sha256"
        ).hexdigest()  # as the command sha256sum prints it
    if session.runs[-1].data.tags.get("model.sha256") == digest:
        return
    for path in (weights, description):
        session.client.log_artifact(session.run_id, str(path), "model")
    session.client.set_tag(session.run_id, "model.sha256", digest)


def _log_dataset(session: Session, name: str, digest: str, source: str) -> None:
    from mlflow.entities import Dataset, DatasetInput

    origin = json.dumps({"uri": source, "digest": digest})
    session.client.log_inputs(
        session.run_id, [DatasetInput(Dataset(name, digest[:DIGEST_CHARACTERS], "local", origin))]
    )


def _execution(stage: str) -> Execution:
    """The DVC experiment if there is one, else the `dvc` process above this one, else this process alone."""
    name, baseline = os.environ.get("DVC_EXP_NAME"), os.environ.get("DVC_EXP_BASELINE_REV")
    if name and baseline:
        return Execution(f"{baseline}/{name}", name)
    dvc = dvc_process.running()
    what = "repro" if dvc else f"{stage} by hand"
    process = dvc or psutil.Process()
    return Execution(
        f"{platform.node()}/{process.pid}/{process.create_time():.2f}", f"{what} {_now()}"
    )


def _describe(
    values: Mapping[str, Mapping[str, Any]], committed: Mapping[str, Mapping[str, Any]] | None
) -> str:
    """What differs from the committed params, in words such as "train.lr 0.001 -> 0.0003"."""
    if committed is None:
        return f"no committed {PARAMS} to compare with"
    old, new = (
        {(s, k): v for s, keys in content.items() for k, v in keys.items()}
        for content in (committed, values)
    )
    changed = [
        name for name in old | new if (name in old, old.get(name)) != (name in new, new.get(name))
    ]
    words = [f"{'.'.join(name)} {_word(old, name)} -> {_word(new, name)}" for name in changed]
    return ", ".join(words) or "committed params"


def _word(values: Mapping[tuple[str, str], Any], name: tuple[str, str]) -> str:
    if name not in values:
        return "absent"
    return values[name] if isinstance(values[name], str) else json.dumps(values[name])


def _committed(revision: str | None) -> dict[str, Any] | None:
    text = _git("show", f"{revision}:./{PARAMS}") if revision else None
    return yaml.parse(text) if text else None


def _git(*arguments: str) -> str | None:
    """What git prints, or None when it fails: no repository, no commit, no such file."""
    answer = subprocess.run(["git", *arguments], capture_output=True, encoding="utf-8", check=False)
    return answer.stdout.strip() if answer.returncode == 0 else None


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in values.items():
        flat |= (
            _flatten(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": value}
        )
    return flat


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist, so it cannot be logged; make it with dvc repro"
        )


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M")


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _warn(error: Exception) -> None:
    # Without the store's address, which may hold a password.
    print(
        f"warning: MLflow failed with {_one_line(error)}; the stage goes on without it (PISCES_TRACKING=off turns it off)",
        file=sys.stderr,
    )
