"""The storage of a study, which may be away for a while: workers wait for it and go on.

Operations are repeated when the connection was lost. Whether a change had been made by then is not
known, so that each of them does no harm when it is made twice:
- a value, an attribute, a heartbeat, a param: the same is written again;
- a new trial: may stand there twice, and `attempts` leaves one of them out;
- the state of a trial: is compared with what was meant, and with the worker that took it.
"""

import functools
import os
import platform
import secrets
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning, OptunaError, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import BaseModel, StudyModel, VersionInfoModel
from optuna.trial import TrialState
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from pisces.core.locks import LockFile
from pisces.core.seeding import bits
from pisces.core.texts import in_one_line
from pisces.experiments import address

T = TypeVar("T")

WORKER = "worker"
"""User attribute of a trial: which worker has taken it."""
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_TO_CONNECT = 10
SECONDS_FOR_LOCKED_FILE = 60
SECONDS_FOR_OTHERS = 10.0
"""After an outage, for their heartbeats."""
LONGEST_LIST = 100
"""Characters of a message for the tables of another program."""
HEARTBEATS = 6
"""In the time after which a trial counts as lost."""

CONNECTION = {
    "connect_timeout": SECONDS_TO_CONNECT,
    # A server that is gone without a word is noticed within a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
AWAY = ("08", "57P", "53100", "53300", "40001", "40P01")
"""Beginnings of SQLSTATE codes: no connection, shutdown, disk full, too many connections, deadlock.
"""
AWAY_FILE = ("locked", "is full", "disk I/O error")
"""Complaints of SQLite that may be over soon, when somebody has made room."""

REPEATED = (
    "create_new_study",
    "delete_study",
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_id_from_name",
    "get_study_name_from_id",
    "get_study_directions",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_all_studies",
    "get_trial_id_from_study_id_trial_number",
    "get_trial_param",
    "get_trial_user_attrs",
    "get_trial_system_attrs",
    "get_trial",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "_create_new_trial",
    "_set_trial_param",
    "_get_trials",
    "_get_best_trial_id",
)
"""Operations of a storage that are waited for as they are, by the names of Optuna."""


class Away(BaseException):
    """The storage did not come back in time. No `Exception`: Optuna would ask the storage then."""


class PatientStorage(RDBStorage):
    """A storage of Optuna that waits for its database.

    Args:
        url: of the database.
        patience: seconds to wait for it.
        lost_after: seconds without a heartbeat after which a trial counts as lost.
    """

    def __init__(self, url: URL, patience: float, lost_after: int):
        self.address = url
        self.patience = patience
        self.lost_after = lost_after
        self.worker = f"{platform.node()}/{os.getpid()}/{secrets.token_hex(4)}"
        self._outage: float | None = None
        self._back = -float("inf")
        self._speaking = threading.Lock()

        options: dict[str, Any] = {"connect_args": connection(url)}
        if not address.is_file(url):
            options["pool_pre_ping"] = True
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            super().__init__(
                as_optuna_takes(url),
                options,
                heartbeat_interval=max(1, lost_after // HEARTBEATS),
                grace_period=lost_after,
            )

    def hurry(self, seconds: float) -> None:
        """From now on nobody waits for it longer than so many seconds."""
        self.patience = min(self.patience, seconds)

    def patiently(self, operation: Callable[[], T]) -> T:
        """What an operation returns, as soon as the database answers.

        Raises:
            Away: when it does not for `patience` seconds.
        """
        since: float | None = None
        while True:
            try:
                result = operation()
            except (OptunaError, sqlalchemy.exc.SQLAlchemyError) as error:
                if not is_away(error):
                    raise
                since = since or time.monotonic()
                self._say_away(error, since)
                if time.monotonic() - since > self.patience:
                    raise Away(
                        f"the storage {address.shown(self.address)} has not answered for "
                        f"{self.patience:g} s: {address.reason(error, self.address)}; then run "
                        "the same command again"
                    ) from None
            else:
                if since is not None:
                    self._say_back()
                return result
            time.sleep(SECONDS_BETWEEN_TRIES)

    def _say_away(self, error: Exception, since: float) -> None:
        with self._speaking:
            if self._outage is None:
                self._outage = since
                print(
                    f"the storage does not answer ({address.reason(error, self.address)}); "
                    f"waiting for it, at most {self.patience:g} s",
                    file=sys.stderr,
                    flush=True,
                )

    def _say_back(self) -> None:
        with self._speaking:
            if self._outage is not None:
                self._back = time.monotonic()
                seconds = self._back - self._outage
                self._outage = None
                print(f"the storage answers again after {seconds:.0f} s", file=sys.stderr)

    def record_heartbeat(self, trial_id: int) -> None:
        """As Optuna's, whose thread ends without a word; the trial itself meets the same."""
        record = functools.partial(RDBStorage.record_heartbeat, self, trial_id)
        with suppress(Away, OptunaError, sqlalchemy.exc.SQLAlchemyError):
            self.patiently(record)

    def _get_stale_trial_ids(self, study_id: int) -> list[int]:
        """As Optuna's; none right after an outage, when nobody could send a heartbeat."""
        find = functools.partial(RDBStorage._get_stale_trial_ids, self, study_id)
        found = self.patiently(find)
        return found if time.monotonic() - self._back > SECONDS_FOR_OTHERS else []

    def set_trial_state_values(
        self, trial_id: int, state: TrialState, values: Sequence[float] | None = None
    ) -> bool:
        """As Optuna's; a change whose answer was lost is not taken for that of another worker."""
        if state is TrialState.RUNNING:
            # Before: a worker that dies right after it has a heartbeat then, and so is missed.
            self.record_heartbeat(trial_id)
            self.set_trial_user_attr(trial_id, WORKER, self.worker)

        tries = 0

        def change() -> bool:
            nonlocal tries
            tries += 1
            return RDBStorage.set_trial_state_values(self, trial_id, state, values)

        try:
            is_changed = self.patiently(change)
        except UpdateFinishedTrialError:
            if tries == 1 or self.get_trial(trial_id).state is not state:
                raise
            return True
        if not is_changed and tries > 1:
            trial = self.get_trial(trial_id)
            return trial.state is state and trial.user_attrs.get(WORKER) == self.worker
        return is_changed


def _waiting_for(name: str) -> Callable[..., Any]:
    """An operation of Optuna's storage, repeated until the database answers."""
    method = getattr(RDBStorage, name)

    @functools.wraps(method)
    def operation(self: PatientStorage, *arguments: Any, **options: Any) -> Any:
        return self.patiently(lambda: method(self, *arguments, **options))

    return operation


for _name in REPEATED:
    setattr(PatientStorage, _name, _waiting_for(_name))


def is_away(error: BaseException | None) -> bool:
    """Whether an error means that the database cannot be reached now, or is locked."""
    while error is not None:
        if isinstance(error, sqlalchemy.exc.DBAPIError) and _is_lost(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_lost(error: sqlalchemy.exc.DBAPIError) -> bool:
    if error.connection_invalidated:
        return True
    if not isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
        return False
    module = type(error.orig).__module__
    if module == "sqlite3":
        return any(part in str(error.orig) for part in AWAY_FILE)
    code = getattr(error.orig, "sqlstate", None)
    # Without a code it was not the server that answered.
    return code is None or code.startswith(AWAY)


def as_optuna_takes(url: URL) -> str:
    """An address for `RDBStorage`, which fills in what stands in braces."""
    return url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def connection(url: URL) -> dict[str, Any]:
    """What a connection is opened with."""
    if not address.is_file(url):
        return dict(CONNECTION)
    seconds = url.query.get(address.TIMEOUT, SECONDS_FOR_LOCKED_FILE)
    return {"timeout": float(str(seconds))}


class Claim(Protocol):
    """One worker at a time holds it: who takes a trial, or makes a study."""

    def take(self) -> bool:
        """Takes it unless another has it; returns whether it is taken."""

    def release(self) -> None:
        """Lets others have it."""


class AdvisoryLock:
    """A claim in PostgreSQL, free as soon as the connection of its holder is gone."""

    def __init__(self, url: URL, name: str):
        # Without a pool, in which a connection would live on with its lock.
        self._engine = sqlalchemy.create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=dict(CONNECTION)
        )
        self._key = bits(0, name) % 2**63
        self._connection: sqlalchemy.Connection | None = None

    def take(self) -> bool:
        connection = self._engine.connect()
        # So that the server notices the death of a machine.
        connection.execute(sqlalchemy.text("SET tcp_keepalives_idle = 30"))
        connection.execute(sqlalchemy.text("SET tcp_keepalives_interval = 10"))
        question = sqlalchemy.text("SELECT pg_try_advisory_lock(:key)")
        if not connection.execute(question, {"key": self._key}).scalar():
            connection.close()
            return False
        self._connection = connection
        return True

    def release(self) -> None:
        if self._connection is not None:
            # A connection that is lost holds no lock.
            with suppress(sqlalchemy.exc.SQLAlchemyError):
                self._connection.close()
            self._connection = None


def claim_of(url: URL, name: str) -> Claim:
    """What holds other workers off: of that name, or in a file from all of it."""
    if address.is_file(url):
        path = Path(str(url.database))
        return LockFile(path.with_name(f"{path.name}.lock"))
    return AdvisoryLock(url, f"pisces/{name}")


@contextmanager
def held(claim: Claim, storage: PatientStorage | None = None) -> Iterator[None]:
    """Holds a claim, as soon as no other worker does; `storage` is waited for."""
    take = claim.take if storage is None else functools.partial(storage.patiently, claim.take)
    while not take():
        time.sleep(SECONDS_BETWEEN_TRIES / 4)
    try:
        yield
    finally:
        claim.release()


def open_storage(url: URL, patience: float, lost_after: int) -> PatientStorage:
    """Opens a storage, and makes its tables where there are none.

    Args:
        url: as `address.read` gives it.
        patience: seconds to wait for it when it is away later; now it has to be there.
        lost_after: seconds without a heartbeat after which a trial counts as lost.

    Returns:
        The storage.

    Raises:
        ValueError: when it does not answer, refuses, or belongs to another program.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        if address.is_file(url):
            address.require_file(url)
        # Before the claim, which makes a file beside that of another program.
        require_own_tables(url)
        # Two workers that make the same tables at once would both fail.
        with held(claim_of(url, "tables")):
            return PatientStorage(url, patience, lost_after)
    except (sqlalchemy.exc.SQLAlchemyError, OptunaError, RuntimeError, OSError) as error:
        raise ValueError(
            f"the storage {address.shown(url)} cannot be used: {address.reason(error, url)}"
        ) from None


def require_own_tables(url: URL) -> bool:
    """Whether a database has studies, some or none; it is only read.

    Raises:
        ValueError: where Optuna has not made them.
    """
    if address.is_file(url) and not Path(str(url.database)).exists():
        return False
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=connection(url))
    with warnings.catch_warnings():
        # Types of columns that SQLAlchemy does not know.
        warnings.simplefilter("ignore", sqlalchemy.exc.SAWarning)
        tables = sqlalchemy.inspect(engine)
        found = {
            name: {column["name"] for column in tables.get_columns(name)}
            for name in tables.get_table_names()
        }
    if not is_of_optuna(found):
        raise ValueError(
            f"the storage {address.shown(url)} belongs to another program, whose tables are "
            f"{in_one_line(', '.join(sorted(found)), LONGEST_LIST)}; name another file or database"
        )
    return StudyModel.__tablename__ in found


def is_of_optuna(found: Mapping[str, set[str]]) -> bool:
    """Whether Optuna may have a database for itself.

    Args:
        found: name of each table that is there -> names of its columns.

    Returns:
        True as well where there are no tables, or a worker has begun to make them.
    """
    own = BaseModel.metadata.tables
    if VersionInfoModel.__tablename__ in found:
        # Other columns may be those of another version, of which Optuna itself tells.
        shared = own.keys() & found.keys()
        return all(set(own[name].primary_key.columns.keys()) <= found[name] for name in shared)
    return all(
        name in own and set(own[name].columns.keys()) <= columns for name, columns in found.items()
    )
