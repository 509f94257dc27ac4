"""What docs/guide/own_file.md promises of disks, clones and paths, beside what readers do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pisces.config.agreement import path_remark
from pisces.run import guard, output_folders, restore
from tests.pipeline import (
    ROOT,
    Shell,
    change_params,
    commit,
    copy_code,
    outputs,
    smoke_params,
    stages_run,
)


@pytest.fixture
def scratch(copied, tmp_path) -> Path:
    """A copy of the repository to work in, in which nothing has run."""
    return shutil.copytree(copied, tmp_path / "pisces")


def link_data(root: Path, disk: Path) -> None:
    """What fills the large disk the short way: a folder of outputs that is a link."""
    disk.mkdir()
    (root / "data").symlink_to(disk)


# Another disk


@pytest.mark.slow
def test_outputs_are_links_into_a_cache_on_another_disk(scratch, shell, tmp_path):
    """The commands of the guide; run twice, so that links are replaced, too."""
    disk = tmp_path / "disk"
    shell.must(scratch, "dvc", "cache", "dir", "--local", str(disk))
    shell.must(scratch, "dvc", "config", "--local", "cache.type", "symlink")
    shell.must(scratch, "dvc", "repro", "render")
    change_params(scratch, "data", frames_per_cell=20)
    printed = shell.must(scratch, "dvc", "repro", "render")
    assert stages_run(printed) == {"split_hdf5", "render"}

    large = [path for path in outputs("synthesize") + outputs("split_hdf5") if "data/" in path]
    made = [path for name in large for path in [scratch / name, *(scratch / name).rglob("*")]]
    files = [path for path in made if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if not path.resolve().is_relative_to(disk)] == []
    assert not shell.must(scratch, "git", "status", "--short", ".dvc")


@pytest.mark.slow
def test_a_data_folder_that_is_a_link_is_told_before_the_work(scratch, shell, tmp_path):
    link_data(scratch, tmp_path / "disk")
    status, printed = shell(scratch, "dvc", "repro", "split_hdf5")
    assert status != 0
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    for part in ("data is a link to", "dvc cache dir --local", "own_file.md"):
        assert part in line
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("folder", output_folders.SHARED)
def test_a_stage_by_hand_does_not_write_through_a_link(tmp_path, monkeypatch, capsys, folder):
    disk = tmp_path / "disk"
    disk.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    Path(folder).parent.mkdir(exist_ok=True)
    Path(folder).symlink_to(disk)

    with pytest.raises(SystemExit):
        guard.run("split_hdf5", lambda: (disk / "out").touch())
    said = capsys.readouterr().err
    for part in (f"error: {folder} is a link to", "dvc cache dir --local", "own_file.md"):
        assert part in said
    assert said.count("\n") == 1
    assert list(disk.iterdir()) == []


def test_the_way_back_does_not_lead_through_a_link(tmp_path, monkeypatch):
    link_data(tmp_path, tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data is a link to .*dvc cache dir --local.*own_file"):
        restore.restore()


# Before anything is installed


def make(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What make says; it would run nothing."""
    foreign = ("DATA", "PRESET", "MAKE")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return subprocess.run(
        ["make", "-n", *arguments], cwd=root, env=clean, capture_output=True, text=True, check=False
    )


def test_a_zip_without_git_is_told(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    done = make(tmp_path, "repro")
    assert done.returncode != 0
    assert "there is no .git here" in done.stderr
    assert done.stdout == ""

    (tmp_path / ".git").mkdir()
    (tmp_path / "requirements.lock").touch()
    assert "pip install" in make(tmp_path, "repro").stdout


def test_make_names_a_folder_that_is_a_link(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".git").mkdir()
    link_data(tmp_path, tmp_path / "disk")
    done = make(tmp_path)
    assert done.returncode != 0
    assert "data is a link" in done.stderr
    assert "own_file.md" in done.stderr


def test_make_says_which_files_are_accepted(tmp_path):
    done = make(ROOT, "repro", f"DATA={tmp_path / 'gone'}")
    for name in ("RML2018.01A", "RML2016.10a", "RML2016.10b", "unpacked", "folder of labelled"):
        assert name in done.stderr


def test_make_takes_a_folder(tmp_path):
    """Of recordings; what is not one is told by the command that it is given to."""
    done = make(ROOT, "repro", f"DATA={tmp_path}")
    assert f"python -m pisces preset  --data '{tmp_path}'" in done.stdout


# Paths and clones


def test_a_relative_path_is_to_be_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remark = path_remark("raw/mine.hdf5")
    assert "--temp" in remark
    assert remark.endswith(f"set it to {tmp_path}/raw/mine.hdf5")
    assert path_remark(str(tmp_path / "raw/mine.hdf5")) == ""
    assert path_remark("data/raw/synthetic.hdf5") == ""

    Path("raw").mkdir()
    Path("raw/mine.hdf5.dvc").touch()  # tracked by DVC, which brings it into every folder
    assert path_remark("raw/mine.hdf5") == ""


def test_a_clone_with_autocrlf_has_the_same_bytes(shell: Shell, tmp_path):
    root = copy_code(tmp_path / "root", smoke_params())
    commit(shell, root)
    options = ("-c", "core.autocrlf=true")
    shell.must(tmp_path, "git", *options, "clone", "-q", str(root), "clone")
    names = shell.must(root, "git", "ls-files").splitlines()
    assert len(names) > 100
    changed = [n for n in names if (root / n).read_bytes() != (tmp_path / "clone" / n).read_bytes()]
    assert changed == []
