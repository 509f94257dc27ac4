"""Where MLflow's store is: its address, a client of it, and the interface that shows it."""

import logging
import os
import re
import sys
import urllib.parse
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from pisces.core import files
from pisces.run import mlflow_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "pisces"
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    f"mlflow.sharedViewState.{mlflow_view.NAME}": mlflow_view.view(),
}
"""By the first the interface opens on training runs and not on traces, unless its version lets the
browser decide."""

SQLITE, SQLITE_DRIVER = "sqlite:///", "sqlite+pysqlite:///"
LOCK_SECONDS = 60

UI_VARIABLES = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_UVICORN_OPTS": "--log-level warning",
}
"""For MLflow's interface: without its eight processes for jobs, which nothing here submits, and
without a line that names the address of its page about traces."""

OPENING_ATTEMPTS = 2
"""At a database; MLflow's ten take 100 s."""
CONNECTING_SECONDS = 10
"""That PostgreSQL may take to answer."""


def connect() -> "MlflowClient":
    """MLflow's client: silent, without usage data, and soon giving up a store out of reach.

    Call it within `lock`: where there is no store it makes one.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    os.environ.setdefault("PGCONNECT_TIMEOUT", str(CONNECTING_SECONDS))
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    from mlflow import MlflowClient

    if not is_server():
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = OPENING_ATTEMPTS  # no variable sets it
        _make_database()
    return MlflowClient(uri())


def _make_database() -> None:
    """Makes the SQLite store with all its tables, unless it is there; within `lock`.

    In its own place MLflow would make them one by one, and can use none where that was cut short.
    """
    database = _database()
    if database is None or database.exists():
        return
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with files.staged(database) as temporary:
        store = SqlAlchemyStore(_of_database(temporary.absolute()), artifacts())
        store.engine.dispose()


def experiment_id(client: "MlflowClient") -> str:
    """Of our experiment, made where there is none, and shown as one of training runs."""
    from mlflow.exceptions import MlflowException

    experiment = client.get_experiment_by_name(EXPERIMENT)
    if experiment is None:
        with suppress(MlflowException):  # another machine was faster
            client.create_experiment(EXPERIMENT, None if is_server() else artifacts())
        experiment = client.get_experiment_by_name(EXPERIMENT)

    assert experiment is not None, "an experiment was just made"
    for name, value in EXPERIMENT_TAGS.items():
        if experiment.tags.get(name) != value:
            client.set_experiment_tag(experiment.experiment_id, name, value)
    return str(experiment.experiment_id)


def lock() -> FileLock:
    """Held while runs are found or created.

    MLflow also fails when two processes create the tables of one database.
    """
    database = _database() or _root() / "mlflow.db"
    database.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{database}.lock", timeout=LOCK_SECONDS)


def _database() -> Path | None:
    """The file of the store; None for a server, another database and SQLite's in memory."""
    address = uri()
    if not address.startswith((SQLITE, SQLITE_DRIVER)):
        return None
    path = address.removeprefix(SQLITE).removeprefix(SQLITE_DRIVER).partition("?")[0]
    return Path(urllib.parse.unquote(path)) if path != ":memory:" else None


def uri() -> str:
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


def artifacts() -> str:
    """Where files of runs go, unless a server keeps them."""
    return (_root() / "mlartifacts").as_uri()


def is_server() -> bool:
    """Whether the store is a server, which has an interface and a place for files of its own."""
    return uri().startswith(("http://", "https://"))


def ui_address(experiment: str) -> str:
    """Where the interface shows the runs of an experiment.

    Raises:
        ValueError: when PISCES_UI_PORT is not a port.
    """
    return f"http://127.0.0.1:{_port()}/#/experiments/{experiment}/{mlflow_view.PAGE}"


def ui_command() -> tuple[list[str], dict[str, str]]:
    """Command line and variables of MLflow's interface over this store, for this machine alone.

    The address goes by a variable: other users see a command line, and it may hold a password.

    Raises:
        ValueError: when the store is a server, which has an interface of its own, or the port is
            not a number.
    """
    if is_server():
        raise ValueError(
            "MLFLOW_TRACKING_URI is a server with an interface of its own; "
            "open that address in a browser"
        )
    options = {
        "--host": "127.0.0.1",
        "--port": _port(),
        "--workers": "1",
        "--default-artifact-root": artifacts(),
        "--artifacts-destination": artifacts(),
    }
    command = [sys.executable, "-m", "mlflow", "ui"]
    for name, value in options.items():
        command += [name, value]
    return command, UI_VARIABLES | {"MLFLOW_BACKEND_STORE_URI": uri()}


def without_password(text: str) -> str:
    """A message without the password of the store's address, nor a part of it.

    A driver that misreads an address complains about the piece that it takes for a port.
    """
    address = urllib.parse.urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    name_and_password = address.netloc.rpartition("@")[0]
    secrets = [name_and_password.partition(":")[2]]
    secrets += urllib.parse.parse_qs(address.query).get("password", [])

    # An unquoted / or # ends what a parser takes for the host.
    rest = os.environ.get("MLFLOW_TRACKING_URI", "").partition("://")[2].rpartition("@")[0]
    secrets += re.split("[/:@?#]", rest.partition(":")[2])
    quoted = [secret for secret in secrets if secret]
    every = {*quoted, *map(urllib.parse.unquote, quoted)}
    for secret in sorted(every, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _port() -> str:
    port = os.environ.get("PISCES_UI_PORT", "5000")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"PISCES_UI_PORT={port} is not a port; choose one of 1024..65535")
    return port


def _root() -> Path:
    """The repository; in an experiment the original one, as the experiment's own vanishes.

    DVC names it of those in its queue, and a sweep of those in its clones.
    """
    named = os.environ.get("PISCES_ROOT") or os.environ.get("DVC_ROOT") or "."
    return Path(named).absolute()


def _of_database(path: Path) -> str:
    """The address of a database, in which a % and a ? of its path have to be quoted."""
    if not set("%?") & set(str(path)):
        return f"{SQLITE}{path}"
    # With the driver named, or MLflow would make a folder of the quoted name.
    return f"{SQLITE_DRIVER}{urllib.parse.quote(str(path))}"
