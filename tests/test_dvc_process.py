"""The `dvc` above a process: found through what stands between, and known to be gone."""

import contextlib
import os
import signal
import subprocess
import sys

import psutil
import pytest

from pisces.run import dvc_process

# A shell that stays between dvc and the stage: the second command keeps it from becoming the first.
DVC = """
import subprocess, sys
subprocess.run(["/bin/sh", "-c", f'"{sys.executable}" -c "$STAGE"; true'])
"""
STAGE = """
import time
from pisces.run import dvc_process
dvc = dvc_process.running()
print(dvc.pid if dvc else None, flush=True)
while dvc and not dvc_process.is_gone(dvc):
    time.sleep(0.01)
print("gone", flush=True)
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a stage under a shell under a program of the given name."""
    started = []

    def start(name: str, **environment: str) -> subprocess.Popen:
        (tmp_path / name).write_text(DVC)
        known = {k: v for k, v in os.environ.items() if k != "DVC_STAGE"} | {"STAGE": STAGE}
        process = subprocess.Popen(
            [sys.executable, tmp_path / name],
            env=known | environment,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.stdout.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_dvc_above_a_shell_is_found_and_a_stage_that_outlives_it_knows(start):
    dvc = start("dvc", DVC_STAGE="train")
    assert dvc.stdout.readline() == f"{dvc.pid}\n"
    dvc.kill()  # and not waited for: a zombie is gone too
    assert dvc.stdout.readline() == "gone\n"


@pytest.mark.parametrize(
    ("name", "environment"),
    [("dvc", {}), ("make", {"DVC_STAGE": "train"})],
    ids=["no stage", "no dvc"],
)
def test_a_stage_run_by_hand_has_no_dvc(start, name, environment):
    assert start(name, **environment).stdout.readline() == "None\n"


def test_a_process_is_gone_only_once_it_has_ended():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    assert not dvc_process.is_gone(process)
    child.communicate()
    assert dvc_process.is_gone(process)
