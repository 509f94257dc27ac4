"""How a stage ends when it is told to, killed, or left behind by its dvc, and what comes next."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pisces.config.io import load_params
from pisces.config.presets import leaves
from pisces.run import guard
from tests.pipeline import PATIENCE_S, ROOT, STAGES

WRITER = """
import os, signal, sys, time
from pathlib import Path
from pisces.core import files
from pisces.run import dvc_process, guard, signals

class LetGo:
    # A signal comes while Python lets go of it, where nothing can be raised.
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

def main():
    if sys.argv[1] == "letting go":
        LetGo()
    if sys.argv[1] == "swallowing":
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        except:
            pass
    if sys.argv[1] == "failing in its place":
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1)
        finally:
            os.close(1000)  # as shutil.rmtree may, which is not open
    if sys.argv[1] == "deferring":
        with signals.deferred(), signals.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            print("goes on", flush=True)
    with files.staged(Path("out.txt")) as temporary:
        temporary.write_text(sys.argv[1])
        print("writing", flush=True)
        while not Path("go").exists():
            time.sleep(0.01)

signals.catch()
dvc_process.end_with_dvc()
if sys.argv[1] == "importing":
    print("importing", flush=True)
    time.sleep(60)
guard.run("render", main)
"""

Start = Callable[..., subprocess.Popen]


def hear_signals(but: tuple[signal.Signals, ...]) -> None:
    """As in a terminal, whatever ran these tests ignores: nohup SIGHUP, a background job Ctrl-C.

    `but` are ignored.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN if number in but else signal.SIG_DFL)


@pytest.fixture
def start(tmp_path):
    """A function that starts a stage `render`, which writes a word once there is a file `go`."""
    (tmp_path / "writer.py").write_text(WRITER)
    # The second command keeps the shell of dvc from becoming the stage.
    (tmp_path / "dvc").write_text(
        "import subprocess, sys\nsubprocess.run(['/bin/sh', '-c', ' '.join(sys.argv[1:]) + '; :'])"
    )
    started = []

    def start(
        word: str, under_dvc: bool = False, ignored: tuple[signal.Signals, ...] = ()
    ) -> subprocess.Popen:
        command = [sys.executable, "writer.py", word]
        clean = {name: value for name, value in os.environ.items() if name != "DVC_STAGE"}
        if under_dvc:
            command = [sys.executable, "dvc", *command]
            clean["DVC_STAGE"] = "render"
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=clean | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=partial(hear_signals, ignored),
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def left(folder: Path) -> list[str]:
    """What lies where half-written outputs are, but for the locks of the stages."""
    return [path.name for path in (folder / ".work").iterdir() if path.suffix != ".lock"]


SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_stage_in_one_line_and_it_clears_up(start, tmp_path, number):
    stage = start("new")
    assert stage.stdout.readline() == "writing\n"
    assert left(tmp_path) != []
    stage.send_signal(number)
    stage.send_signal(signal.SIGTERM)  # as launchers do, which must not cut the clearing short
    said, _ = stage.communicate(timeout=PATIENCE_S)
    assert stage.returncode == 128 + number
    assert said.count("\n") == 1
    assert said.startswith(f"stopped by {SIGNALS[number]}")
    assert left(tmp_path) == []
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_libraries_are_imported_is_one_line(start, number):
    stage = start("importing")
    assert stage.stdout.readline() == "importing\n"
    stage.send_signal(number)
    said, _ = stage.communicate(timeout=PATIENCE_S)
    assert stage.returncode == 128 + number
    assert said.count("\n") == 1
    assert said.startswith(f"stopped by {SIGNALS[number]}")


@pytest.mark.parametrize("where", ["letting go", "swallowing", "failing in its place"])
def test_a_signal_is_not_lost_in_a_del_or_an_except_of_everything(start, where):
    stage = start(where)
    said, _ = stage.communicate(timeout=PATIENCE_S)
    assert stage.returncode == 128 + signal.SIGINT
    assert said.splitlines()[-1].startswith("stopped by Ctrl-C")
    assert "Traceback" not in said


def test_a_signal_that_is_deferred_comes_right_after(start, tmp_path):
    said, _ = start("deferring").communicate(timeout=PATIENCE_S)
    first, last = said.splitlines()
    assert first == "goes on"
    assert last.startswith("stopped by Ctrl-C")
    assert not (tmp_path / "out.txt").exists()


def test_what_nohup_ignores_stays_ignored(start, tmp_path):
    stage = start("new", ignored=(signal.SIGHUP,))
    assert stage.stdout.readline() == "writing\n"
    stage.send_signal(signal.SIGHUP)
    (tmp_path / "go").touch()
    assert stage.wait(timeout=PATIENCE_S) == 0
    assert (tmp_path / "out.txt").read_text() == "new"


def test_the_next_run_clears_up_after_a_killed_one_and_says_what_costs_memory(start, tmp_path):
    stage = start("old")
    assert stage.stdout.readline() == "writing\n"
    stage.kill()
    stage.wait()
    assert left(tmp_path) != []

    (tmp_path / "go").touch()
    said, _ = start("new").communicate(timeout=PATIENCE_S)
    line, _ = said.splitlines()
    for part in ("-9", "memory", "render.views", "render.size"):
        assert part in line
    assert left(tmp_path) == []

    assert start("newer").communicate(timeout=PATIENCE_S)[0] == "writing\n"


def test_a_stage_left_behind_by_its_dvc_ends_and_overwrites_nothing(start, tmp_path):
    (tmp_path / "out.txt").write_text("newer")
    dvc = start("old", under_dvc=True)
    assert dvc.stdout.readline() == "writing\n"
    dvc.kill()
    assert "the dvc that started this stage is gone" in dvc.stdout.readline()
    (tmp_path / "go").touch()
    assert (
        start("newest").wait(timeout=PATIENCE_S) == 0
    )  # which waits until the other one has ended
    assert (tmp_path / "out.txt").read_text() == "newest"
    assert left(tmp_path) == []


def test_a_second_run_waits_for_the_first_and_writes_last(start, tmp_path):
    first = start("first")
    assert first.stdout.readline() == "writing\n"
    second = start("second")
    assert "another run of render is writing here" in second.stdout.readline()
    (tmp_path / "go").touch()
    assert first.wait(timeout=PATIENCE_S) == second.wait(timeout=PATIENCE_S) == 0
    assert (tmp_path / "out.txt").read_text() == "second"


def test_every_stage_says_which_of_its_params_cost_memory():
    scripts = {"report" if name.startswith("report") else name for name in STAGES}
    assert guard.MEMORY.keys() == scripts
    known = {name for name, _ in leaves(load_params(ROOT / "presets/default.yaml").model_dump())}
    assert [key for keys in guard.MEMORY.values() for key in keys if key not in known] == []


@pytest.mark.parametrize("path", sorted((ROOT / "stages").glob("[a-z]*.py")), ids=lambda p: p.stem)
def test_every_stage_runs_as_the_only_one_of_its_name(path):
    assert f'guard.run("{path.stem}", main)' in path.read_text()
