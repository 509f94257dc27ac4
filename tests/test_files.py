"""Outputs appear whole or not at all, and JSON stays JSON."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from pisces.core import files, work
from pisces.core.locks import LockFile


def make_folder(path, **contents):
    path.mkdir()
    for name, text in contents.items():
        (path / name).write_text(text)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_new_file_appears_with_its_folders(tmp_path):
    target = tmp_path / "deep" / "er" / "out.txt"
    with files.staged(target) as temporary:
        temporary.write_text("new")
        assert not target.exists()
    assert contents(target.parent) == {"out.txt": "new"}


def test_a_file_is_replaced(tmp_path):
    target = tmp_path / "out.txt"
    target.write_text("old")
    with files.staged(target) as temporary:
        temporary.write_text("new")
        assert target.read_text() == "old"
    assert contents(tmp_path) == {"out.txt": "new"}


def test_a_directory_is_replaced_and_not_merged(tmp_path):
    target = tmp_path / "out"
    make_folder(target, old="old", both="old")
    with files.staged(target) as temporary:
        make_folder(temporary, both="new")
        assert contents(target) == {"old": "old", "both": "old"}
    assert contents(target) == {"both": "new"}
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_nothing_and_keeps_the_old(tmp_path, error):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("old")
    make_folder(folder, a="old")
    for target in (file, folder, tmp_path / "new"):
        with pytest.raises(error), files.staged(target) as temporary:  # noqa: PT012
            make_folder(temporary, half="written")
            raise error("stop")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert file.read_text() == "old"
    assert contents(folder) == {"a": "old"}


def test_removing_the_old_directory_never_leaves_half_of_it(tmp_path, monkeypatch):
    target = tmp_path / "out"
    make_folder(target, a="old", b="old")

    def remove_one_and_stop(path, *_, **__):
        next(file for file in path.rglob("*") if file.is_file()).unlink()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), files.staged(target) as temporary:  # noqa: PT012
        make_folder(temporary, a="new", b="new")
        monkeypatch.setattr(
            shutil,
            "rmtree",
            lambda path, *rest, **named: remove_one_and_stop(type(target)(path), *rest, **named),
        )
    assert contents(target) == {"a": "new", "b": "new"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk quota is used up"),
        (
            RuntimeError(
                "Unable to close file (write failed: errno = 28, "
                "error message = 'No space left on device')"
            ),
            "the disk is full",
        ),
    ],
)
def test_a_full_disk_is_named_with_the_target(tmp_path, error, reason):
    with (
        pytest.raises(
            OSError, match=rf"could not write .*out\.h5: {reason}; make room and run again"
        ),
        files.staged(tmp_path / "out.h5"),
    ):
        raise error
    assert not list(tmp_path.iterdir())


def test_another_error_stays_what_it_is(tmp_path):
    with pytest.raises(PermissionError, match=r"^not yours$"), files.staged(tmp_path / "out"):
        raise PermissionError("not yours")


def test_json_round_trip(tmp_path):
    content = {"joint": {"accuracy": 0.25, "n": 3}, "names": ["QPSK"]}
    files.write_json(tmp_path / "a.json", content)
    assert (
        files.read_json(tmp_path / "a.json")
        == content
        == json.loads((tmp_path / "a.json").read_text())
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_json_is_refused_and_the_old_file_kept(tmp_path, value):
    files.write_json(tmp_path / "a.json", {"accuracy": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "a.json", {"joint": {"accuracy": value}})
    assert files.read_json(tmp_path / "a.json") == {"accuracy": 1}


def test_csv_has_no_index_and_six_digits(tmp_path):
    files.write_csv(tmp_path / "a.csv", pd.DataFrame({"mask": ["top"], "pis": [1 / 3]}))
    assert (tmp_path / "a.csv").read_text() == "mask,pis\ntop,0.333333\n"


def test_sha256_knows_contents_and_their_bounds(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    parts = hashlib.sha256(b"ab").digest() + hashlib.sha256(b"c").digest()
    assert files.sha256(one, two) == hashlib.sha256(parts).hexdigest()
    before = files.sha256(one, two)
    one.write_bytes(b"a")
    two.write_bytes(b"bc")
    assert files.sha256(one, two) != before


def test_staged_keeps_the_old_directory_when_nothing_was_made(tmp_path):
    kept = tmp_path / "out" / "kept"
    kept.parent.mkdir()
    kept.write_text("x")
    with pytest.raises(FileNotFoundError), files.staged(tmp_path / "out"):
        pass
    assert kept.read_text() == "x"


# Several outputs


def test_outputs_appear_together(tmp_path):
    file, folder, new = tmp_path / "file", tmp_path / "folder", tmp_path / "deep" / "new"
    file.write_text("old")
    make_folder(folder, a="old")
    with files.together():
        files.write_bytes(file, b"new")
        with files.staged(folder) as temporary:
            make_folder(temporary, b="new")
        files.write_bytes(new, b"new")
        assert file.read_text() == "old"
        assert contents(folder) == {"a": "old"}
        assert not new.exists()

    assert file.read_text() == new.read_text() == "new"
    assert contents(folder) == {"b": "new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "file", "folder"]


def test_a_failure_after_some_outputs_leaves_all_as_they_were(tmp_path):
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ValueError, match="not JSON"), files.together():  # noqa: PT012
        files.write_bytes(file, b"new")
        files.write_bytes(tmp_path / "new", b"new")
        files.write_json(tmp_path / "json", {"accuracy": float("nan")})
    assert contents(tmp_path) == {"file": "old"}


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("stop", [PermissionError(errno.EACCES, "no"), KeyboardInterrupt()])
def test_a_name_that_cannot_be_given_takes_back_the_others(tmp_path, monkeypatch, links, stop):
    """The last of four outputs: a file and a folder that were there, and two new ones."""
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("old")
    make_folder(folder, a="old")
    replace = os.replace

    def replace_but_the_last(source, target):
        if Path(target).name == "last" and Path(source).name == "last":
            raise stop
        replace(source, target)

    def no_link(*_, **__):
        raise OSError(errno.EPERM, "no links on this disk")

    monkeypatch.setattr(os, "replace", replace_but_the_last)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(type(stop)), files.together():  # noqa: PT012
        files.write_bytes(file, b"new")
        with files.staged(folder) as temporary:
            make_folder(temporary, b="new")
        files.write_bytes(tmp_path / "new", b"new")
        files.write_bytes(tmp_path / "last", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert file.read_text() == "old"
    assert contents(folder) == {"a": "old"}


@pytest.mark.parametrize("before", ["old", None])
def test_a_signal_right_after_a_file_has_its_name_leaves_it_there(tmp_path, monkeypatch, before):
    """As when it comes while the system renames: the training would lose its only checkpoint."""
    file = tmp_path / "last.pt"
    if before:
        file.write_text(before)
    replace = os.replace

    def replace_and_stop(source, target):
        replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_stop)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(file, b"new")
    assert contents(tmp_path) == {"last.pt": "new"}


@pytest.mark.parametrize(("owner", "step"), [(LockFile, "take"), (Path, "rename")])
def test_a_signal_while_its_folder_is_made_leaves_none(tmp_path, monkeypatch, owner, step):
    """It is locked, and then named."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, step, stop)
    with pytest.raises(KeyboardInterrupt):
        files.write_bytes(tmp_path / "file", b"new")
    assert list((tmp_path / work.WORK).glob("*")) == []


@pytest.mark.parametrize("renamings", [1, 2, 3, 4])
def test_a_signal_after_any_renaming_of_several_leaves_all_as_they_were(
    tmp_path, monkeypatch, renamings
):
    """A folder that was there takes two renamings, and each of the files one."""
    folder, file = tmp_path / "folder", tmp_path / "file"
    make_folder(folder, a="old")
    file.write_text("old")
    replace, done = os.replace, []

    def replace_and_stop(source, target):
        replace(source, target)
        done.append(target)
        if len(done) == renamings:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", replace_and_stop)
    with pytest.raises(KeyboardInterrupt), files.together():  # noqa: PT012
        with files.staged(folder) as temporary:
            make_folder(temporary, b="new")
        files.write_bytes(file, b"new")
        files.write_bytes(tmp_path / "new", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    assert contents(folder) == {"a": "old"}
    assert file.read_text() == "old"


def test_what_is_written_after_outputs_together_appears_at_once(tmp_path):
    with files.together():
        pass
    files.write_bytes(tmp_path / "file", b"new")
    assert contents(tmp_path) == {"file": "new"}


def test_together_within_together_is_one(tmp_path):
    with files.together():
        with files.together():
            files.write_bytes(tmp_path / "inner", b"new")
        assert not (tmp_path / "inner").exists()
    assert contents(tmp_path) == {"inner": "new"}


def test_a_key_that_stands_twice_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('{"input": {"kind": "iq", "kind": "constellation"}}')
    with pytest.raises(ValueError, match=r'a\.json is not JSON: the key "kind" stands twice'):
        files.read_json(path)


# Killed, and what is cleared


WRITE = """
import sys
from pathlib import Path
from pisces.core import files

with files.staged(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print(temporary, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def write():
    """A function that starts a process which stays in the middle of writing a file."""
    started = []

    def start(target: Path, cwd: Path) -> tuple[subprocess.Popen, Path]:
        """The process, and where it writes."""
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE, target],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process, cwd / process.stdout.readline().rstrip("\n")

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_a_killed_process_leaves_is_hidden_and_cleared_by_the_next(tmp_path, write):
    target = tmp_path / "data" / "out.txt"
    process, temporary = write(Path("data/out.txt"), tmp_path)
    assert temporary.is_relative_to(tmp_path / work.WORK)
    process.kill()
    process.wait()
    assert temporary.exists()
    assert list(target.parent.iterdir()) == []

    work.tidy(tmp_path / work.WORK)
    assert not temporary.exists()


def test_what_a_living_process_writes_is_left_alone(tmp_path, write):
    process, temporary = write(Path("out.txt"), tmp_path)
    work.tidy(tmp_path / work.WORK)
    assert temporary.read_text() == "half"
    process.communicate()
    assert contents(tmp_path) == {"out.txt": "half"}


def test_a_folder_that_never_got_a_lock_is_cleared_when_it_is_old(tmp_path):
    young, old = tmp_path / f"{work.NEW}a", tmp_path / f"{work.NEW}b"
    young.mkdir()
    old.mkdir()
    os.utime(old, (0, 0))
    work.tidy(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_a_folder_that_leads_elsewhere_is_written_on_its_own_disk(tmp_path, monkeypatch):
    big, here = tmp_path / "big", tmp_path / "here"
    big.mkdir()
    here.mkdir()
    (here / "data").symlink_to(big)
    monkeypatch.chdir(here)
    with files.staged(Path("data/out.txt")) as temporary:
        assert temporary.resolve().is_relative_to(big)
        temporary.write_text("new")
    assert contents(big) == {"out.txt": "new"}


def test_everything_reaches_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """Files, then the folders that name them, then the new name."""
    events = []

    def name_of(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name

    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: events.append(name_of(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("renamed"), replace(*paths)))
    with files.staged(tmp_path / "out") as temporary:
        make_folder(temporary, a="x", b="x")
    assert set(events[:3]) == {"out", "a", "b"}
    assert events[3:] == ["renamed", tmp_path.name]


# No room


def test_what_cannot_fit_is_refused_before_it_is_written(tmp_path):
    more = shutil.disk_usage(tmp_path).free + 10**12
    with (
        pytest.raises(OSError, match=r"disk is full; .* \(needed: [\d.]+ GB, free: [\d.]+ .?B\)"),
        files.staged(tmp_path / "out.h5", more),
    ):
        pytest.fail("nothing may be written")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["torch", "safetensors", "npz", "json", "csv", "figure"])
def test_a_file_larger_than_allowed_is_one_line_and_leaves_nothing(tmp_path, kind):
    """`ulimit -f` stands for a full disk, which needs a disk of one's own."""
    code = f"""
import resource
import numpy as np, pandas as pd, torch, safetensors.torch
from pathlib import Path
from matplotlib.figure import Figure
from pisces.core import files
from pisces.training import checkpoints

resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))
numbers = np.random.default_rng(1).random(10_000)
path = Path("out")

def write_safetensors():
    with files.staged(path) as temporary:
        safetensors.torch.save_file({{"a": torch.from_numpy(numbers)}}, temporary)

def write_figure():
    with files.staged(Path("out.png")) as temporary:
        Figure().savefig(temporary)

{{
    "torch": lambda: checkpoints.save(path, {{"a": torch.from_numpy(numbers)}}),
    "safetensors": write_safetensors,
    "npz": lambda: files.write_npz(path, {{"a": numbers}}),
    "json": lambda: files.write_json(path, {{"a": list(numbers)}}),
    "csv": lambda: files.write_csv(path, pd.DataFrame({{"a": numbers}})),
    "figure": write_figure,
}}[{kind!r}]()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("OSError: could not write out")
    assert "larger than allowed here; raise that limit with ulimit -f unlimited" in last
    assert "(needed: " in last
    assert "ulimit -f: 512 bytes)" in last
    assert list(tmp_path.iterdir()) == []


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "kept").write_text("of the user")
    with pytest.raises(OSError, match="out is a folder, where a file is to be written: name anoth"):
        files.write_bytes(tmp_path / "out", b"new")
    assert (tmp_path / "out" / "kept").read_text() == "of the user"


def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path):
    """As root it could: /dev/null would be a file from then on, for everybody."""
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(OSError, match="is a device or a pipe, and no file"):
            files.write_bytes(target, b"x")
    assert (tmp_path / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()
