"""Where studies are kept: which addresses there are, what is never shown, and who waits."""

import os
import sqlite3
import sys
import threading
import time
from contextlib import closing

import optuna
import psycopg
import pytest
import sqlalchemy
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial

from benchmarks import postgres
from pisces.experiments import address, storage
from pisces.experiments.storage import Away

PASSWORD = "hidden {word}@/%"
QUOTED = "hidden%20%7Bword%7D%40%2F%25"


@pytest.fixture
def store(tmp_path, monkeypatch) -> storage.PatientStorage:
    monkeypatch.setattr(storage, "SECONDS_BETWEEN_TRIES", 0.01)
    return storage.open_storage(address.read(f"sqlite:///{tmp_path}/a.db"), 1, 60)


@pytest.fixture
def study(store) -> optuna.Study:
    return optuna.create_study(storage=store, study_name="a")


def lost_connection() -> Exception:
    """What SQLAlchemy raises when a server has gone away."""
    error = psycopg.OperationalError("server closed the connection unexpectedly")
    return sqlalchemy.exc.OperationalError("SELECT 1", {}, error)


class Broken:
    """An operation whose connection is lost some times: before it is done, or after."""

    def __init__(self, operation, times: int, is_done: bool):
        self.operation, self.times, self.is_done = operation, times, is_done

    def __call__(self, *arguments, **options):
        self.times -= 1
        if self.times < 0:
            return self.operation(*arguments, **options)
        if self.is_done:
            self.operation(*arguments, **options)
        raise lost_connection()


# Addresses


@pytest.mark.parametrize(
    ("given", "driver"),
    [
        ("postgresql://a@b/c", "postgresql+psycopg"),
        ("postgres://a@b/c", "postgresql+psycopg"),
        ("sqlite:///x.db", "sqlite"),
    ],
)
def test_an_address_gets_the_driver_that_is_installed(given, driver):
    assert address.read(given).drivername == driver


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(monkeypatch):
    assert address.read(None).database == "sweeps.db"
    monkeypatch.setenv(address.VARIABLE, "sqlite:///of_environment.db")
    assert address.read(None).database == "of_environment.db"
    assert address.read("sqlite:///given.db").database == "given.db"


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("mysql://a:secret@b/c", "mysql"),
        ("a.db", "not the address"),
        ("postgresql://a:secret@b:port/c", "not the address"),
        ("sqlite://", "lost"),
        ("sqlite://folder/a.db", "lost"),
    ],
)
def test_what_is_no_address_is_refused_in_one_line_without_its_password(given, part):
    with pytest.raises(ValueError, match=part) as raised:
        address.read(given)
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "sqlite:///FILE" in str(raised.value)


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ("timeout=abc", "timeout=abc"),
        ("timeout=nan", "timeout=nan"),
        ("timeout=-1", "timeout=-1"),
        ("timeout=1&timeout=2", "timeout="),
        ("mode=ro&uri=true", "option mode"),
        ("nolock=1", "option nolock"),
    ],
)
def test_an_option_that_a_file_cannot_have_is_named(options, part):
    with pytest.raises(ValueError, match=part) as raised:
        address.read(f"sqlite:///a.db?{options}")
    assert "\n" not in str(raised.value)


def test_the_time_to_wait_for_a_locked_file_can_be_given(tmp_path):
    path = tmp_path / "a.db"
    storage.open_storage(address.read(f"sqlite:///{path}"), 0, 60)
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"locked; end the program that writes it"):
            storage.open_storage(address.read(f"sqlite:///{path}?timeout=0.1"), 0, 60)
    assert time.monotonic() - start < 5


def test_an_unescaped_at_in_a_password_is_refused_and_not_shown():
    with pytest.raises(ValueError, match="%40") as caught:
        address.read("postgresql://ann:first@second@server/sweeps")
    assert "first" not in str(caught.value)
    assert "second" not in str(caught.value)


def test_an_address_is_shown_without_its_passwords():
    url = address.read(f"postgresql://a:{QUOTED}@host:5/b?sslpassword=second")
    assert url.password == PASSWORD
    assert address.shown(url) == "postgresql://a:***@host:5/b?sslpassword=***"


@pytest.mark.parametrize("key", ["passwrd", "PASSWORD", "passw%6Frd"])
def test_the_value_of_an_option_that_may_be_a_secret_is_not_shown(key):
    url = address.read(f"postgresql://a@host/b?{key}=SeKr3t99&connect_timeout=5")
    assert "SeKr3t99" not in address.shown(url)
    assert "connect_timeout=5" in address.shown(url)
    assert address.has_password(url)
    said = address.reason(ValueError("no connection with SeKr3t99"), url)
    assert said.startswith("no connection with ***;")


@pytest.mark.parametrize("spelt", [PASSWORD, QUOTED])
def test_a_complaint_of_the_database_is_shown_without_the_password(spelt):
    url = address.read(f"postgresql://a:{QUOTED}@host/b")
    error = ValueError(f"cannot connect as a with {spelt}\nto the host")
    assert address.reason(error, url).startswith("cannot connect as a with *** to the host; ")


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ("unable to open database file", "make its folder"),
        ("database or disk is full", "make room"),
        ("database disk image is malformed", "put a copy of it back"),
        ("attempt to write a readonly database", "the right to write it"),
        ("database is locked", "wait for it"),
        ("[Errno 2] No such file or directory: 'a.db'", "make its folder"),
        ("[Errno 28] No space left on device", "make room"),
        ("something that nobody knows of the database", "name another one"),
    ],
)
def test_the_remedy_for_a_file_is_one_for_files(complaint, remedy):
    said = address.reason(ValueError(complaint), address.read("sqlite:///a.db"))
    assert remedy in said.removeprefix(complaint)
    assert "createdb" not in said
    assert "start it" not in said


@pytest.mark.parametrize(
    ("complaint", "remedy"),
    [
        ('FATAL:  database "b" does not exist', "createdb"),
        ('FATAL:  role "a" does not exist', "createuser"),
        ('permission denied for database "b"', "the right"),
        ("FATAL:  the database system is starting up", "wait until it has started"),
        ("could not extend file: No space left on device", "make room"),
        ("connection refused", "start it"),
        ('invalid connection option "passwrd"', "correct the address"),
        ('invalid sslmode value: "maybe"', "correct the address"),
    ],
)
def test_the_remedy_for_a_server_is_the_most_specific(complaint, remedy):
    said = address.reason(ValueError(complaint), address.read("postgresql://a@host/b"))
    assert remedy in said.removeprefix(complaint)
    assert ("start it" in said) == ("invalid" not in complaint and "start" in remedy)


def test_a_password_is_taken_out_of_the_list_of_processes(monkeypatch):
    given = "postgresql://a:secret@host/b"
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "pisces", "--storage", given, "x"])
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    started: list = []
    address.hide_password(given)
    ((_, arguments, environment),) = started
    assert arguments == ["python", "-m", "pisces", "x"]
    assert environment[address.VARIABLE] == given

    address.hide_password("postgresql://a@host/b")
    address.hide_password(None)
    assert len(started) == 1


@pytest.mark.parametrize("option", [["--storage", "u"], ["--storage=u"], ["--sto", "u"]])
def test_an_option_is_taken_out_however_it_is_written(option):
    assert address.without_option(["a", *option, "b"], "u") == ["a", "b"]


# Opening


def test_a_server_that_does_not_answer_is_named_in_one_line():
    url = address.read(f"postgresql://a:{QUOTED}@127.0.0.1:9/b")
    with pytest.raises(
        ValueError, match=r"127\.0\.0\.1:9/b cannot be used: .*; start it"
    ) as raised:
        storage.open_storage(url, 1, 60)
    assert "\n" not in str(raised.value)
    assert "hidden" not in str(raised.value)


def test_a_file_that_is_no_database_is_named(tmp_path):
    path = tmp_path / "a.db"
    path.write_bytes(b"something else" * 100)
    with pytest.raises(ValueError, match=r"a\.db cannot be used: .*name another file"):
        storage.open_storage(address.read(f"sqlite:///{path}"), 1, 60)


def test_a_file_in_no_folder_is_named_and_nothing_is_made(tmp_path):
    with pytest.raises(ValueError, match=r"none/a\.db cannot be used: there is no folder .*none;"):
        storage.open_storage(address.read(f"sqlite:///{tmp_path}/none/a.db"), 1, 60)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["folder", "device"])
def test_what_is_no_file_is_named_and_nothing_is_made(tmp_path, kind):
    path = tmp_path / "a.db"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/full")
    with pytest.raises(ValueError, match=rf"a\.db is a {kind}, not a file; name a file"):
        storage.open_storage(address.read(f"sqlite:///{path}"), 1, 60)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "tables",
    [
        ["studies (id INTEGER PRIMARY KEY, title TEXT)"],
        ["studies (study_id INTEGER PRIMARY KEY, title TEXT)"],
        ["version_info (version TEXT)", "studies (id INTEGER)"],
        ["trials (trial_id INTEGER PRIMARY KEY)", "patients (id INTEGER)"],
        ["experiments (experiment_id INTEGER PRIMARY KEY)", "alembic_version (version_num TEXT)"],
    ],
)
def test_a_database_of_another_program_is_refused_and_left_as_it_is(tmp_path, tables):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as other:
        for table in tables:
            other.execute(f"CREATE TABLE {table}")
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"belongs to another program.*name another") as raised:
        storage.open_storage(address.read(f"sqlite:///{path}"), 1, 60)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_tables_that_an_ended_worker_has_not_all_made_are_completed(tmp_path):
    path = tmp_path / "a.db"
    url = address.read(f"sqlite:///{path}")
    storage.open_storage(url, 1, 60)
    with closing(sqlite3.connect(path)) as other:
        listed = other.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (name,) in listed.fetchall():
            if name != "studies":
                other.execute(f"DROP TABLE {name}")
    again = storage.open_storage(url, 1, 60)
    assert optuna.create_study(storage=again, study_name="a").trials == []


def test_a_database_where_others_have_tables_besides_those_of_optuna_is_taken(tmp_path):
    path = tmp_path / "a.db"
    url = address.read(f"sqlite:///{path}")
    storage.open_storage(url, 1, 60)
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE runs (id INTEGER)")
    storage.open_storage(url, 1, 60)


# Patience


def test_an_operation_is_repeated_until_the_storage_answers(store, capsys):
    assert store.patiently(Broken(lambda: 5, times=3, is_done=False)) == 5
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in said] == [
        "the storage does not answer",
        "the storage answers again after 0 s",
    ]


def test_a_storage_that_stays_away_is_given_up_after_the_limit(store):
    store.hurry(0.1)
    start = time.monotonic()
    with pytest.raises(Away, match=r"has not answered for 0\.1 s.*run the same command again"):
        store.patiently(Broken(lambda: 5, times=10**9, is_done=False))
    assert 0.1 <= time.monotonic() - start < 1


def test_a_full_disk_is_waited_for_until_there_is_room(store, study, capsys):
    most_pages = [1]

    @sqlalchemy.event.listens_for(store.engine, "checkout")
    def limit(connection, *_):
        connection.execute(f"PRAGMA max_page_count = {most_pages[-1]}")

    threading.Timer(0.2, most_pages.append, [10**6]).start()
    study.set_user_attr("a", 2000 * "long ")
    assert study.user_attrs["a"] == 2000 * "long "
    assert "is full; make room" in capsys.readouterr().err


def test_a_mistake_is_not_repeated(store):
    with pytest.raises(KeyError):
        store.get_trial(10**6)


def test_the_thread_of_heartbeats_ends_in_silence(store, study, monkeypatch, capfd):
    trial = study._storage.create_new_trial(study._study_id)
    broken = Broken(RDBStorage.record_heartbeat, times=10**9, is_done=False)
    monkeypatch.setattr(RDBStorage, "record_heartbeat", broken)
    store.hurry(0.05)
    thread = threading.Thread(target=store.record_heartbeat, args=(trial,))
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "Traceback" not in capfd.readouterr().err


# Commits of which nobody knows whether they were made


@pytest.mark.parametrize("is_done", [False, True])
def test_a_trial_is_taken_once_when_the_answer_is_lost(study, monkeypatch, is_done):
    for _ in range(2):
        study.add_trial(create_trial(state=TrialState.WAITING))
    broken = Broken(RDBStorage.set_trial_state_values, times=1, is_done=is_done)
    monkeypatch.setattr(RDBStorage, "set_trial_state_values", broken)
    study.optimize(lambda _: 1.0, n_trials=1)
    assert [one.state for one in study.trials] == [TrialState.COMPLETE, TrialState.WAITING]


@pytest.mark.parametrize("is_done", [False, True])
def test_a_trial_ends_once_when_the_answer_is_lost(study, monkeypatch, is_done):
    def objective(_):
        broken = Broken(RDBStorage.set_trial_state_values, times=1, is_done=is_done)
        monkeypatch.setattr(RDBStorage, "set_trial_state_values", broken)
        return 3.0

    study.optimize(objective, n_trials=1)
    assert [(one.state, one.value) for one in study.trials] == [(TrialState.COMPLETE, 3.0)]


def test_a_trial_that_another_worker_took_meanwhile_is_left_to_it(store, study, monkeypatch):
    study.add_trial(create_trial(state=TrialState.WAITING))
    plain = RDBStorage.set_trial_state_values

    def taken_by_another(self, trial, state, values=None):
        monkeypatch.setattr(RDBStorage, "set_trial_state_values", plain)
        store.set_trial_user_attr(trial, storage.WORKER, "another")
        plain(self, trial, state, values)
        raise lost_connection()

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", taken_by_another)
    trial = study.trials[0]._trial_id
    assert store.set_trial_state_values(trial, TrialState.RUNNING) is False


def test_nobody_is_lost_right_after_an_outage(store, study, monkeypatch):
    trial = study._storage.create_new_trial(study._study_id)
    store.record_heartbeat(trial)
    monkeypatch.setattr(store, "grace_period", -1)
    assert store._get_stale_trial_ids(study._study_id) == [trial]

    store.patiently(Broken(lambda: 0, times=1, is_done=False))
    assert store._get_stale_trial_ids(study._study_id) == []


def test_a_trial_that_is_taken_has_a_heartbeat_at_once(store, study, monkeypatch):
    """So that it is missed if its worker dies before the first one of Optuna."""
    study.add_trial(create_trial(state=TrialState.WAITING))
    monkeypatch.setattr(store, "grace_period", -1)
    store.set_trial_state_values(study.trials[0]._trial_id, TrialState.RUNNING)
    assert len(store._get_stale_trial_ids(study._study_id)) == 1


def test_one_worker_at_a_time_holds_the_claim_of_a_file(tmp_path):
    url = address.read(f"sqlite:///{tmp_path}/a.db")
    first, second = storage.claim_of(url, "a"), storage.claim_of(url, "a")
    with storage.held(first):
        assert not second.take()
    assert second.take()
    second.release()


# PostgreSQL


@pytest.fixture(scope="module")
def server():
    if postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.server() as started:
        yield started


@pytest.mark.slow
def test_a_wrong_password_is_named_and_not_shown(server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "wrong one")
    with pytest.raises(ValueError, match="PGPASSWORD") as raised:
        storage.open_storage(address.read(server.url), 1, 60)
    assert "wrong one" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_one_worker_at_a_time_holds_a_claim_in_postgresql(server, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    url = address.read(server.url)
    first, second = storage.claim_of(url, "a"), storage.claim_of(url, "a")
    with storage.held(first):
        assert not second.take()
        other = storage.claim_of(url, "b")
        assert other.take()
        other.release()
    assert second.take()
    second.release()


@pytest.mark.slow
def test_a_study_outlives_a_restart_of_postgresql(server, monkeypatch, capsys):
    monkeypatch.setenv("PGPASSWORD", postgres.PASSWORD)
    store = storage.open_storage(address.read(server.url), 60, 60)
    study = optuna.create_study(storage=store, study_name="restart")

    def objective(trial):
        server.stop()
        threading.Timer(3, server.start).start()
        trial.report(0.5, step=1)
        return trial.suggest_float("x", 0, 1)

    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert trial.state is TrialState.COMPLETE
    assert trial.intermediate_values == {1: 0.5}
    assert "the storage answers again" in capsys.readouterr().err
