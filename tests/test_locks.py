"""A lock frees itself with its process, with and without locks of the file system."""

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.core.locks import LockFile

ROOT = Path(__file__).parents[1]
HOLD = """
import errno, fcntl, sys
from pathlib import Path
from pisces.core.locks import LockFile

def no_locks(*_):
    raise OSError(errno.ENOLCK, "No locks available")

if {without_locks}:
    fcntl.flock = no_locks
assert LockFile(Path("a.lock")).take()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["with locks", "without locks"])
def holder(request, tmp_path, monkeypatch):
    """A process that holds `a.lock`, on a file system that has locks or has none."""
    without_locks = request.param == "without locks"
    if without_locks:
        forbid_locks(monkeypatch, errno.ENOLCK)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.format(without_locks=without_locks)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def forbid_locks(monkeypatch, code: int) -> None:
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_a_living_process_keeps_it_and_a_killed_one_gives_it_up(holder, tmp_path):
    lock = LockFile(tmp_path / "a.lock")
    assert not lock.take()
    holder.kill()
    holder.wait()
    assert lock.take()
    assert lock.was_abandoned
    lock.release()

    assert lock.take()
    assert not lock.was_abandoned


def test_who_waits_is_told_once_and_gets_it(holder, tmp_path):
    said = []

    def end_the_holder() -> None:
        said.append("waiting")
        holder.kill()
        holder.wait()

    with LockFile(tmp_path / "a.lock").wait(end_the_holder):
        assert not LockFile(tmp_path / "a.lock").take()
    assert said == ["waiting"]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
@pytest.mark.parametrize("left", ["", "not a name\0", "elsewhere 1 2.5"])
def test_without_locks_what_an_old_file_says_keeps_nobody_out(tmp_path, monkeypatch, code, left):
    forbid_locks(monkeypatch, code)
    (tmp_path / "a.lock").write_text(left)
    with LockFile(tmp_path / "a.lock").wait(pytest.fail):
        assert not LockFile(tmp_path / "a.lock").take()
    assert LockFile(tmp_path / "a.lock").take()


def test_a_signal_while_it_is_taken_gives_it_up(tmp_path, monkeypatch):
    """As right after the name is written, when no `with` would release it."""
    path = tmp_path / "lock"
    write = os.pwrite

    def write_and_stop(*arguments):
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "pwrite", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        LockFile(path).take()
    monkeypatch.undo()
    next_one = LockFile(path)
    assert next_one.take()
    assert not next_one.was_abandoned


def test_another_trouble_is_not_taken_for_a_lock_that_is_held(tmp_path, monkeypatch):
    forbid_locks(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="Input/output"):
        LockFile(tmp_path / "a.lock").take()
