"""What stages log to MLflow, which is a viewer: DVC's files are the record.

An execution of the pipeline is one parent run, and each of its stages a child; see `mlflow_runs`. A
stage logs while it runs, and once it has ended all that its files hold, so that a run looks as if
`sync` had made it. A metric is `<stage>/<name>`; a slash opens a section in MLflow's charts.

The executions of one study or sweep of experiments have its name as the tag `study`, by which they
are filtered and grouped: below a row of their own they could not be seen beside others.

Environment: PISCES_TRACKING=off (default on), PISCES_TRIAL, PISCES_SWEEP, MLFLOW_TRACKING_URI
(default the SQLite file `mlflow.db` beside `dvc.yaml`; a relative one is relative to the
repository), PISCES_UI_PORT (default 5000).
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.config.presets import leaves
from pisces.config.schema import Params
from pisces.core.texts import in_one_line
from pisces.run import (
    console,
    execution,
    mlflow_place,
    mlflow_runs,
    mlflow_store,
    stage_files,
    stage_record,
)
from pisces.run.mlflow_runs import NO_FILES, Session
from pisces.run.stage_record import is_finite

if TYPE_CHECKING:
    import numpy as np
    import pandas

LONGEST_COMPLAINT = 200
"""Characters of an error of MLflow's in a warning."""
HERE = Path()


class Run:
    """What a stage logs to. Without a session it checks what it is given and keeps nothing."""

    def __init__(self, stage: str, session: Session | None) -> None:
        self._stage = stage
        self._session = session

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Logs numbers as `<stage>/<name>`; nested names are joined with dots.

        Args:
            values: name -> finite number; an `epoch` among them is the step, and no metric.
            step: the epoch, from 1 on; 0 for what belongs to none.

        Raises:
            ValueError: for a value that is not a finite number.
        """
        numbers = {name: value for name, value in leaves(values) if name != "epoch"}
        for name, value in numbers.items():
            if not is_finite(value):
                raise ValueError(
                    f"metric {name} = {value!r} of stage {self._stage} is not a finite number; "
                    "see what it was computed from"
                )
        self._log(lambda session: mlflow_store.log_metrics(session, numbers, step))

    def artifact(self, path: Path) -> None:
        """Logs a file in its place, pictures also to be compared.

        Raises:
            FileNotFoundError: when there is no such path.
        """
        _check_exists(path)
        self._log(lambda session: mlflow_store.log_files(session, HERE, [path]))

    def model(self, weights: Path, description: Path) -> None:
        """Logs both files under `model/` of the parent, unless it has them.

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

    def record(self) -> None:
        """Logs what the files of the stage hold and its runs do not."""

        def write(session: Session) -> None:
            files = stage_files.of_pipeline(HERE).get(self._stage, NO_FILES)
            stage_record.record(session, files, HERE)

        self._log(write)

    def end(self, status: str) -> None:
        """Marks the runs as FINISHED or FAILED."""
        self._log(lambda session: mlflow_runs.end(session, status))

    def _log(self, write: Callable[[Session], object]) -> None:
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
    run.record()
    run.end("FINISHED")


def require_on(purpose: str) -> None:
    """Raises ValueError when tracking is off, so that there is nothing to do something with."""
    if not _is_on():
        raise ValueError(
            f"PISCES_TRACKING=off, so there is nothing to {purpose}; unset it or set it to on"
        )


def failed(error: Exception) -> OSError:
    """The error of a command that could not do without MLflow."""
    return OSError(f"MLflow failed with {_one_line(error)}; check MLFLOW_TRACKING_URI")


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
    require_on("register a model in")
    try:
        return mlflow_store.register(files, loader, digest, example, answer)
    except Exception as error:
        raise failed(error) from error


def _is_on() -> bool:
    switch = os.environ.get("PISCES_TRACKING", "on")
    if switch not in ("on", "off"):
        raise ValueError(f"PISCES_TRACKING={switch} is not known; set it to on or off")
    return switch == "on"


def _try_to_open(name: str, params: Params) -> Session | None:
    try:
        values, files = params.model_dump(mode="json"), stage_files.of_pipeline(HERE)
        which = execution.current(name)
        return mlflow_runs.open_session(name, values, files.get(name, NO_FILES), which)
    except Exception as error:  # see `Run._log`
        _warn(error)
        return None


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist, so it cannot be logged; make it with dvc repro"
        )


def _one_line(error: Exception) -> str:
    text = mlflow_place.without_password(in_one_line(error))
    return f"{type(error).__name__}: {text[:LONGEST_COMPLAINT]}"


def _warn(error: Exception) -> None:
    print(
        f"warning: MLflow failed with {_one_line(error)}; "
        "the stage continues without it (PISCES_TRACKING=off turns it off)",
        file=sys.stderr,
    )
