"""An experiment is watched while it runs, and says what came of it. DVC is a stand-in here."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pisces.core import yaml
from pisces.core.locks import LockFile
from pisces.experiments import leash, trial, workplace
from pisces.run import dvc_process, progress_file, signals
from pisces.training import checkpoints
from tests.pipeline import PATIENCE_S

ROOT = Path(__file__).parents[1]

PARAMS = yaml.read(ROOT / "presets/default.yaml")
SAY = """
import json, os, sys, time

def say(**row):
    with open({path!r}, "a") as file:
        file.write(json.dumps(row) + chr(10))

"""


class Place(workplace.Workplace):
    """A workplace in which a script runs in place of DVC."""

    def __init__(self, folder: Path, script: str):
        super().__init__(folder, folder, "0" * 40)
        self.script = SAY.format(path=str(self.progress)) + script
        self.published: list[str] = []
        (self.repository / "plots").mkdir(parents=True)
        (self.repository / "plots/training.csv").write_text("epoch,loss\n1,0.5\n2,0.25\n")
        for name in ("dvc.yaml", "params.yaml"):
            (self.repository / name).write_bytes((ROOT / name).read_bytes())

    def reset(self) -> None:
        self.progress.unlink(missing_ok=True)

    def publish(self, name: str) -> None:
        self.published.append(name)

    def start(self, name, until, environment):
        del name, until, environment
        with self.log.open("wb") as log:
            command = [sys.executable, "-c", self.script]
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


OF_STAGE = "ERROR: failed to reproduce 'a': failed to run: python -m stages.a, exited with 1\n"


def run(place: Place, go_on=lambda _: True) -> trial.Outcome:
    return trial.run(place, trial.Experiment("a-0", PARAMS, "train", {}), go_on)


@pytest.fixture(autouse=True)
def here(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


def test_each_epoch_is_seen_and_the_experiment_is_published(tmp_path):
    place = Place(tmp_path, "say(checkpoints='x'); say(epoch=1); say(epoch=2)")
    seen = []
    outcome = run(place, lambda row: seen.append(row["epoch"]) or True)
    assert seen == [1, 2]
    assert outcome == ([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}], True)
    assert place.published == ["a-0"]


def test_what_comes_from_the_run_cache_has_the_epochs_of_its_table(tmp_path):
    outcome = run(Place(tmp_path, ""))
    assert not outcome.trained
    assert [row["epoch"] for row in outcome.rows] == [1, 2]


def test_a_stage_that_fails_is_told_by_its_own_line_and_leaves_no_checkpoint(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    script = f"say(checkpoints={str(kept)!r}); sys.stderr.write('error: lr = 9: too much\\n')\n"
    script += f"sys.stderr.write({OF_STAGE!r}); sys.exit(255)"
    place = Place(tmp_path, script)
    with pytest.raises(trial.Failed, match=r"^lr = 9: too much$"):
        run(place)
    assert not kept.exists()
    assert place.published == []


@pytest.mark.parametrize(
    "printed",
    [
        "ERROR: failed to acquire lock\n",
        "Running stage 'a':\nERROR: failed to reproduce 'a': [Errno 13] Permission denied: 'b'\n",
        f"Running stage 'a':\nerror: could not write b: the disk is full; make room\n{OF_STAGE}",
        f"Running stage 'a':\nerror: [Errno 122] Disk quota exceeded: 'b'\n{OF_STAGE}",
        "",
    ],
)
def test_what_dvc_or_a_disk_fails_of_is_told_apart_from_a_stage(tmp_path, printed):
    """The checkpoint stays for the next attempt."""
    kept = tmp_path / "kept"
    kept.mkdir()
    script = f"say(checkpoints={str(kept)!r}); sys.stderr.write({printed!r}); sys.exit(255)"
    with pytest.raises(trial.OfMachine):
        run(Place(tmp_path, script))
    assert kept.exists()


@pytest.mark.parametrize(
    "script",
    [
        "os.kill(os.getpid(), 9)",
        "print('stopped by SIGTERM; nothing'); sys.exit(255)",
        f"print({OF_STAGE.replace('with 1', 'with -9')!r}); sys.exit(255)",
    ],
)
def test_who_was_ended_from_outside_is_lost_and_has_not_failed(tmp_path, script):
    with pytest.raises(trial.Lost):
        run(Place(tmp_path, script))


def test_a_pruned_training_ends_at_once_with_its_checkpoint(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    place = Place(tmp_path, f"say(checkpoints={str(kept)!r}); say(epoch=1); time.sleep(600)")
    start = time.monotonic()
    with pytest.raises(trial.Pruned):
        run(place, lambda _: False)
    assert time.monotonic() - start < PATIENCE_S
    assert not kept.exists()


class StoppedAsItStarts(Place):
    """A signal comes while DVC has begun and nobody knows of it yet."""

    process: subprocess.Popen | None = None

    def start(self, name, until, environment):
        self.process = super().start(name, until, environment)
        os.kill(os.getpid(), signal.SIGTERM)
        return self.process


@pytest.fixture
def _own_signals(monkeypatch):
    """What a signal changes of this process is put back."""
    before = {number: signal.getsignal(number) for number in signals.NAMES}
    monkeypatch.setattr(signals._Requests, "first", -signals.PATIENCE_SECONDS)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_own_signals")
def test_a_signal_while_dvc_starts_leaves_no_dvc_behind(tmp_path):
    place = StoppedAsItStarts(tmp_path, "time.sleep(600)")
    with pytest.raises(signals.Stopped), signals.raised():
        run(place)
    assert place.process is not None
    assert place.process.poll() is not None


def test_a_checkpoint_that_another_training_has_taken_stays(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    place = Place(tmp_path, f"say(checkpoints={str(kept)!r}); say(epoch=1); time.sleep(600)")
    other = LockFile(kept.with_suffix(".lock"))
    assert other.take()
    with other, pytest.raises(trial.Pruned):
        run(place, lambda _: False)
    assert kept.exists()


def test_equal_data_are_made_by_one_at_a_time_until_the_training_begins(tmp_path):
    """The first writes `begun` and trains once `go` is there; the second must not begin before."""
    first, second = tmp_path / "1", tmp_path / "2"
    wait = f"open({str(tmp_path / 'begun')!r}, 'w')\n"
    wait += f"while not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(0.01)\n"
    wait += f"say(epoch=1)\nwhile not os.path.exists({str(tmp_path / 'end')!r}): time.sleep(0.01)"
    places = [Place(first, wait), Place(second, f"open({str(tmp_path / 'second')!r}, 'w')")]
    for place in places:
        place.checkpoints = tmp_path / "shared"

    threads = [threading.Thread(target=run, args=(place,)) for place in places]
    threads[0].start()
    until(lambda: (tmp_path / "begun").exists())
    threads[1].start()
    time.sleep(1)
    assert not (tmp_path / "second").exists()
    (tmp_path / "go").touch()
    until(lambda: (tmp_path / "second").exists())
    assert threads[0].is_alive()
    (tmp_path / "end").touch()
    for thread in threads:
        thread.join(PATIENCE_S)


def until(condition) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("section", "key", "value", "is_other"),
    [
        ("base", "seed", 2, True),
        ("synthesize", "samples", 2048, True),
        ("render", "size", 32, True),
        ("stratify", "train", 0.7, True),
        ("train", "lr", 0.1, False),
        ("draw", "sigma_px", 2.0, False),
    ],
)
def test_data_are_those_of_the_params_that_they_are_made_with(section, key, value, is_other):
    other = PARAMS | {section: PARAMS[section] | {key: value}}
    keys = {trial.data_key(params, ROOT / "dvc.yaml") for params in (PARAMS, other)}
    assert len(keys) == 1 + is_other


@pytest.mark.parametrize(
    ("printed", "line"),
    [
        ("x\nerror: first\nerror: second\nERROR: of dvc\n", "second"),
        ("ERROR: failed to reproduce 'a'\nERROR: out of space\n", "out of space"),
        ("Running stage\n", None),
    ],
)
def test_the_last_line_of_a_stage_says_why_it_failed(printed, line):
    assert trial.error_line(printed) == line


# Metrics


def test_a_failed_value_is_told_apart_from_a_missing_one(tmp_path):
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics/evaluate.json").write_text('{"joint": {"accuracy": 0.25, "a": null}}')
    assert trial.value_of("evaluate.joint.accuracy", tmp_path) == 0.25
    for metric in ("evaluate.joint.a", "evaluate.joint", "evaluate.none.none"):
        with pytest.raises(trial.Failed, match=metric):
            trial.value_of(metric, tmp_path)


def test_the_last_value_of_a_column_is_a_metric(tmp_path):
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/training.csv").write_text("epoch,a,b\n1,0.5,\n2,0.75,\n")
    assert trial.value_of("training.a", tmp_path) == 0.75
    assert math.isnan(trial.read_rows(tmp_path / "plots/training.csv")[0]["b"])
    with pytest.raises(trial.Failed, match=r"training\.b"):
        trial.value_of("training.b", tmp_path)


# Progress


def test_a_training_writes_lines_only_where_it_is_asked_to(tmp_path, monkeypatch):
    monkeypatch.delenv(progress_file.VARIABLE, raising=False)
    progress_file.append({"epoch": 1})

    path = tmp_path / "progress"
    monkeypatch.setenv(progress_file.VARIABLE, str(path))
    reader = progress_file.Reader(path)
    assert reader.new() == []
    progress_file.append({"epoch": 1})
    progress_file.append({"epoch": 2})
    with path.open("a") as file:
        file.write('{"epoch"')
    assert reader.new() == [{"epoch": 1}, {"epoch": 2}]
    with path.open("a") as file:
        file.write(": 3}\n")
    assert reader.new() == [{"epoch": 3}]


def test_of_several_processes_the_first_writes(tmp_path, monkeypatch):
    monkeypatch.setenv(progress_file.VARIABLE, str(tmp_path / "progress"))
    monkeypatch.setenv("RANK", "1")
    progress_file.append({"epoch": 1})
    assert not (tmp_path / "progress").exists()


def test_checkpoints_lie_where_several_machines_share_them(tmp_path, monkeypatch):
    monkeypatch.setenv("PISCES_CHECKPOINTS", str(tmp_path / "shared"))
    monkeypatch.setattr(checkpoints, "fingerprint", lambda _: "f")
    with checkpoints.folder("train") as folder:
        assert folder == tmp_path / "shared/train/f"


# Processes


def test_a_child_on_a_leash_ends_with_its_parent(tmp_path):
    child = f"import time, os; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
    child += "time.sleep(600)"
    parent = "import os, subprocess, sys\nsubprocess.run([sys.executable, {!r}, str(os.getpid()), "
    parent += "sys.executable, '-c', {!r}])"
    script = parent.format(leash.__file__, child)
    started = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
    process = psutil.Process(int((tmp_path / "pid").read_text()))
    os.kill(started.pid, signal.SIGKILL)
    started.wait()
    until(lambda: dvc_process.is_gone(process))


def test_a_child_whose_parent_is_gone_already_does_not_begin(tmp_path):
    command = [sys.executable, leash.__file__, "1", sys.executable, "-c", "open('begun', 'w')"]
    done = subprocess.run(command, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert not (tmp_path / "begun").exists()


def test_all_that_a_process_started_ends_with_it():
    child = "import subprocess, sys\n"
    child += "subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    started = subprocess.Popen([sys.executable, "-c", child], start_new_session=True)
    until(lambda: psutil.Process(started.pid).children())
    (grandchild,) = psutil.Process(started.pid).children()
    with workplace.ended(started):
        pass
    assert started.poll() is not None
    assert dvc_process.is_gone(grandchild)


def test_a_stage_gets_no_address_of_a_storage(tmp_path, monkeypatch):
    monkeypatch.setenv("PISCES_STORAGE", "postgresql://a:b@c/d")
    monkeypatch.setenv("PGPASSWORD", "b")
    monkeypatch.setenv("DVC_EXP_NAME", "another")
    environment = Place(tmp_path, "")._environment()
    assert not environment.keys() & {"PISCES_STORAGE", "PGPASSWORD", "DVC_EXP_NAME"}
    assert json.dumps(environment).count(str(tmp_path)) >= 3
