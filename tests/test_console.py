"""What a person sees: a line for a mistake of theirs, the whole story for one of ours."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pisces.core import progress
from pisces.run import console

ROOT = Path(__file__).parents[1]


def fail(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.fixture(autouse=True)
def _alone_and_without_debug(monkeypatch):
    for name in ("PISCES_DEBUG", *console.RANKS):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("lr = -1 is wrong"),
        FileNotFoundError("x.h5 is missing"),
        OSError("the disk is full"),
    ],
)
def test_a_mistake_of_the_users_is_one_line_and_status_1(error, capsys):
    with pytest.raises(SystemExit) as stop:
        console.run(fail(error))
    assert stop.value.code == 1
    assert capsys.readouterr() == ("", f"error: {error}\n")


@pytest.mark.parametrize(
    "told",
    [
        "no postgresql://u:SeKr3t99@host/db there",
        "no postgresql:/u:SeKr3t99@host/db there",
        "no postgresql://u:a@SeKr3t99@host/db there",
        "no postgresql://u:a/SeKr3t99@host/db there",
        "no postgresql://u:a SeKr3t99@host/db there",
        "no postgresql://u@x:SeKr3t99@host/db there",
        "no postgresql://u:SeKr3t99 there",
        "no postgresql://u@host:5/db?passwrd=SeKr3t99&sslmode=require there",
        "no postgresql://u@host:5/db?sslmode=require&PASSWORD=SeKr3t99; there",
        "no host=h password=SeKr3t99 there",
    ],
)
def test_no_password_of_an_address_is_printed(told, capsys):
    with pytest.raises(SystemExit):
        console.run(fail(ValueError(told)))
    printed = capsys.readouterr().err
    assert "SeKr3t99" not in printed
    assert "***" in printed
    assert printed.startswith("error: no ")
    assert printed.endswith("there\n")
    assert ("sslmode=require" in printed) == ("sslmode" in told)


@pytest.mark.parametrize(
    "told",
    [
        "http://127.0.0.1:5000 and http://[::1]:5000/a in a browser",
        "allowed are sqlite:///FILE and postgresql://USER@HOST:PORT/DATABASE",
        "see https://host/a?timeout=3: it is there",
    ],
)
def test_an_address_without_a_password_is_printed_whole(told, capsys):
    with pytest.raises(SystemExit):
        console.run(fail(ValueError(told)))
    assert capsys.readouterr().err == f"error: {told}\n"


@pytest.mark.parametrize(
    ("variable", "number"), [("RANK", 3), ("SLURM_PROCID", 11), ("RANK", 0), ("SLURM_PROCID", 0)]
)
def test_all_but_the_first_process_let_it_speak_before_them(monkeypatch, capsys, variable, number):
    """They wait first: meanwhile the launcher ends them if the first has failed, too."""
    said_after = []
    monkeypatch.setattr("time.sleep", lambda _: said_after.append(capsys.readouterr().err))
    monkeypatch.setenv(variable, str(number))
    with pytest.raises(SystemExit) as stop:
        console.run(fail(OSError("the disk is full")))
    assert stop.value.code == 1
    assert said_after == ([""] if number else [])
    assert (
        capsys.readouterr().err
        == f"error{f' in process {number}' if number else ''}: the disk is full\n"
    )


def test_a_mistake_of_all_processes_is_one_line_under_torchrun(tmp_path):
    """Both fail at once; torchrun ends the second one while it waits."""
    stage = tmp_path / "stage.py"
    stage.write_text(
        "from pisces.run import console\n\ndef main():\n"
        "    raise ValueError('lr = -1 is wrong')\n\nconsole.run(main)\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(stage),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 1
    assert [line for line in done.stderr.splitlines() if "lr = -1" in line] == [
        "error: lr = -1 is wrong"
    ]


def test_debug_shows_where_it_was_raised(monkeypatch, capsys):
    monkeypatch.setenv("PISCES_DEBUG", "1")
    with pytest.raises(ValueError, match="lr = -1"):
        console.run(fail(ValueError("lr = -1")))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "error", [KeyError("lr"), TypeError("no"), AssertionError("no"), KeyboardInterrupt()]
)
def test_a_mistake_of_ours_is_not_hidden(error):
    with pytest.raises(type(error)):
        console.run(fail(error))


def test_a_good_stage_ends_well(capsys):
    console.run(lambda: print("wrote 3 frames"))
    assert capsys.readouterr() == ("wrote 3 frames\n", "")


def test_a_log_gets_lines_and_no_carriage_returns(monkeypatch, capsys):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1)
    assert list(progress.progress("abc", "render")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "render: 0 of 3\nrender: 1 of 3\nrender: 2 of 3\n"
    assert list(progress.progress(iter("ab"), "render")) == ["a", "b"]
    assert capsys.readouterr().err == "render: 0\nrender: 1\n"
    list(progress.progress(iter("ab"), "render", total=2))
    assert "render: 1 of 2\n" in capsys.readouterr().err


def test_quick_work_says_nothing(capsys):
    assert list(progress.progress(range(1000), "render")) == list(range(1000))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert list(progress.progress(range(3), "render")) == [0, 1, 2]
    assert "\rrender" in capsys.readouterr().err


def test_a_missing_permission_is_said_with_its_remedy(capsys):
    def main() -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "data/splits.npz")

    with pytest.raises(SystemExit):
        console.run(main)
    said = capsys.readouterr().err
    assert "no permission to read or write data/splits.npz" in said
    assert "chmod" in said
