"""Outputs appear whole or not at all, and JSON stays JSON."""

import errno
import hashlib
import json
import shutil

import pandas as pd
import pytest

from pisces.core import files


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
