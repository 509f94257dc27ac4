"""What stages log to MLflow, which is a viewer: DVC's files are the record.

An execution of the pipeline is one parent run and the model it trains one child. The stages from
`train` on log to the child, those before it to the parent. Each finds its runs by the tag
`pisces.key`, so no run id is ever written to a file. A metric is stored as `<stage>/<name>`, since
several stages share a run; a slash opens a section in MLflow's charts.

With PISCES_SWEEP=<name> the executions of one sweep of experiments stand under a run of that name.

Environment: PISCES_TRACKING=off (default on), PISCES_SWEEP, MLFLOW_TRACKING_URI (default the SQLite
file `mlflow.db` beside `dvc.yaml`; a relative one is relative to the repository), PISCES_UI_PORT
(default 5000).
"""

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.config.io import load_params
from pisces.config.presets import leaves
from pisces.config.schema import Params
from pisces.core.files import read_json
from pisces.core.texts import in_one_line
from pisces.run import console, execution, mlflow_store
from pisces.run.execution import Execution
from pisces.run.mlflow_store import UI_VARIABLES, Session

if TYPE_CHECKING:
    import numpy as np
    import pandas

__all__ = ["UI_VARIABLES", "Run", "stage", "sync", "ui_command"]

LONGEST_COMPLAINT = 200
"""Characters of an error of MLflow's in a warning."""


class Run:
    """What a stage logs to. Without a session it checks what it is given and keeps nothing."""

    def __init__(self, stage: str, session: Session | None) -> None:
        self._stage = stage
        self._session = session

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Logs numbers as `<stage>/<name>`; nested names are joined with dots.

        Raises:
            ValueError: for a value that is not a finite number.
        """
        numbers = dict(leaves(values))
        for name, value in numbers.items():
            if not _is_finite(value):
                raise ValueError(
                    f"metric {name} = {value!r} of stage {self._stage} is not a finite number; "
                    "see what it was computed from"
                )
        self._log(lambda session: mlflow_store.log_metrics(session, self._stage, numbers, step))

    def artifact(self, path: Path) -> None:
        """Logs a file, or a directory under its name.

        Raises:
            FileNotFoundError: when there is no such path.
        """
        _check_exists(path)
        self._log(lambda session: mlflow_store.log_artifact(session, path))

    def model(self, weights: Path, description: Path) -> None:
        """Logs both files under `model/`, unless this run has them.

        The SHA-256 of the weights becomes the tag `model.sha256`.

        Raises:
            FileNotFoundError: when one of the files is missing.
        """
        _check_exists(weights)
        _check_exists(description)
        self._log(lambda session: mlflow_store.log_model(session, weights, description))

    def dataset(self, name: str, digest: str, source: str) -> None:
        """Logs what the stage read, with the first 36 characters of its digest.

        Args:
            name: of the data set.
            digest: of its content; all of it stands in the source.
            source: where it lies.
        """
        self._log(lambda session: mlflow_store.log_dataset(session, name, digest, source))

    def end(self, status: str) -> None:
        """Marks the stage and its runs as FINISHED or FAILED."""
        self._log(lambda session: mlflow_store.end(session, self._stage, status))

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
    """The MLflow run of a stage, continued or new.

    It ends as FINISHED, or as FAILED when the body raises. It keeps nothing when tracking is off,
    in all but the first process of a distributed run, and, with a warning on stderr, when MLflow
    fails.

    Raises:
        ValueError: when PISCES_TRACKING is neither on nor off.
    """
    is_tracked = _is_on() and console.is_first_process()
    run = Run(name, _try_to_open(name, params) if is_tracked else None)
    try:
        yield run
    except BaseException:
        run.end("FAILED")
        raise
    run.end("FINISHED")


def sync(metrics_dir: Path) -> int:
    """Imports the numbers in `metrics_dir/<stage>.json` as each stage would have logged them.

    For results that DVC restored from its run cache, where no stage ran. The same files and params
    go to the same runs. Returns how many numbers there are.

    Raises:
        FileNotFoundError: when there are no such files.
        ValueError: when tracking is off.
        OSError: when MLflow fails.
    """
    metrics = _read_numbers(metrics_dir)
    if not _is_on():
        raise ValueError(
            "PISCES_TRACKING=off, so there is nothing to import into; unset it or set it to on"
        )
    params = load_params()
    key = f"sync/{mlflow_store.digest_of(metrics)}"
    which = Execution(key, f"synced {execution.now()}")
    try:
        for name, numbers in metrics.items():
            session = mlflow_store.open_session(name, params, which)
            mlflow_store.log_metrics(session, name, numbers, step=0)
            mlflow_store.end(session, name, "FINISHED")
    except Exception as error:
        raise OSError(
            f"MLflow failed with {_one_line(error)}; check MLFLOW_TRACKING_URI"
        ) from error
    return sum(map(len, metrics.values()))


def ui_command() -> list[str]:
    """See `mlflow_store.ui_command`."""
    return mlflow_store.ui_command()


def register(
    files: Sequence[Path],
    loader: str,
    digest: str,
    example: "np.ndarray",
    answer: "pandas.DataFrame",
) -> tuple[str, str]:
    """See `mlflow_store.register`.

    Raises:
        ValueError: when tracking is off.
        OSError: when MLflow fails.
    """
    if not _is_on():
        raise ValueError(
            "PISCES_TRACKING=off, so there is nothing to register a model in; "
            "unset it or set it to on"
        )
    try:
        return mlflow_store.register(files, loader, digest, example, answer)
    except Exception as error:
        raise OSError(
            f"MLflow failed with {_one_line(error)}; check MLFLOW_TRACKING_URI"
        ) from error


def _read_numbers(metrics_dir: Path) -> dict[str, dict[str, float]]:
    """Stage -> name -> number, of every metrics file."""
    paths = sorted(metrics_dir.glob("*.json"))
    if not paths:
        raise FileNotFoundError(
            f"{metrics_dir} holds no metrics (*.json); make them with dvc repro"
        )
    metrics = {}
    for path in paths:
        values = leaves(read_json(path))
        metrics[path.stem] = {name: one for name, one in values if _is_finite(one)}
    return metrics


def _is_on() -> bool:
    switch = os.environ.get("PISCES_TRACKING", "on")
    if switch not in ("on", "off"):
        raise ValueError(f"PISCES_TRACKING={switch} is not known; set it to on or off")
    return switch == "on"


def _try_to_open(name: str, params: Params) -> Session | None:
    try:
        return mlflow_store.open_session(name, params, execution.current(name))
    except Exception as error:  # see `Run._log`
        _warn(error)
        return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist, so it cannot be logged; make it with dvc repro"
        )


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {in_one_line(error, LONGEST_COMPLAINT)}"


def _warn(error: Exception) -> None:
    # Without the store's address, which may hold a password.
    print(
        f"warning: MLflow failed with {_one_line(error)}; "
        "the stage continues without it (PISCES_TRACKING=off turns it off)",
        file=sys.stderr,
    )
