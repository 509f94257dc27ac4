"""A checkpoint belongs to one set of params, inputs and code, and to one process at a time."""

import errno
import fcntl
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pisces.core import yaml
from pisces.training import checkpoints
from tests.pipeline import PATIENCE_S

ROOT = Path(__file__).parents[2]

PIPELINE = """
stages:
  train:
    cmd: python -m stages.train
    params: [base.seed, train]
    deps: ["${train.start}", data/bins, data/splits.npz, code.py, package]
"""
PARAMS = (
    "base: {seed: 1, other: 1}\ntrain: {lr: 1e-3, start: weights.pth}\ndraw: {method: histogram}\n"
)


@pytest.fixture
def stage(tmp_path, monkeypatch) -> Path:
    """A directory with a stage `train` whose inputs are a folder of two files, a file, and its
    code.
    """
    (tmp_path / "data/bins/QPSK").mkdir(parents=True)
    texts = {
        "dvc.yaml": PIPELINE,
        "params.yaml": PARAMS,
        "data/splits.npz": "splits",
        "code.py": "x = 1",
        "unlisted.py": "y = 1",
        "weights.pth": "weights",
    }
    texts |= {"data/bins/QPSK/SNR_0.h5": "zero", "data/bins/QPSK/SNR_6.h5": "six"}
    (tmp_path / "package/part").mkdir(parents=True)
    texts["package/part/module.py"] = "z = 1"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("params.yaml", "seed: 1", "seed: 2"),
        ("params.yaml", "lr: 1e-3", "lr: 1e-4"),
        ("params.yaml", "lr: 1e-3", "lr: 1e-3, epochs: 3"),
        ("data/splits.npz", "splits", "Splits"),
        ("data/bins/QPSK/SNR_6.h5", "six", "sax"),
        ("code.py", "x = 1", "x = 2"),
        ("weights.pth", "weights", "Weights"),
        ("package/part/module.py", "z = 1", "z = 2"),
        ("dvc.yaml", "params: [base.seed, train]", "params: [base.seed, train, draw]"),
        ("dvc.yaml", "package]", "package, unlisted.py]"),
    ],
)
@pytest.mark.usefixtures("stage")
def test_what_the_stage_depends_on_changes_the_fingerprint(file, old, new):
    before = checkpoints.fingerprint("train")
    change(Path(file), old, new)
    changed = checkpoints.fingerprint("train")
    assert changed != before
    change(Path(file), new, old)
    assert checkpoints.fingerprint("train") == before


@pytest.mark.usefixtures("stage")
def test_files_of_a_folder_added_renamed_or_swapped_change_the_fingerprint():
    folder = Path("data/bins/QPSK")
    seen = [checkpoints.fingerprint("train")]
    (folder / "SNR_12.h5").write_text("twelve")
    seen.append(checkpoints.fingerprint("train"))
    (folder / "SNR_12.h5").rename(folder / "SNR_14.h5")
    seen.append(checkpoints.fingerprint("train"))
    (folder / "SNR_14.h5").unlink()
    (folder / "SNR_0.h5").write_text("six")
    (folder / "SNR_6.h5").write_text("zero")
    seen.append(checkpoints.fingerprint("train"))
    assert len(set(seen)) == 4


@pytest.mark.usefixtures("stage")
def test_what_the_stage_does_not_depend_on_leaves_the_fingerprint():
    before = checkpoints.fingerprint("train")
    change(Path("params.yaml"), "other: 1", "other: 2")
    change(Path("params.yaml"), "histogram", "gaussian")
    change(Path("params.yaml"), "lr: 1e-3", "lr: 0.001")
    change(Path("unlisted.py"), "y = 1", "y = 2")
    for stray in ("package/part/__pycache__/module.pyc", "package/notes.md", "package/.a.py.swp"):
        Path(stray).parent.mkdir(exist_ok=True)
        Path(stray).write_text("stray")
    assert checkpoints.fingerprint("train") == before


def test_the_stage_train_depends_on_every_key_that_training_reads():
    """Whole sections, of which any key counts: see above."""
    listed = yaml.read(ROOT / "dvc.yaml")["stages"]["train"]["params"]
    assert {"train", "augment", "cldnn", "noise_aware", "draw"} <= set(listed)


@pytest.mark.usefixtures("stage")
def test_processes_share_the_folder_of_the_first():
    """The first one locks it, the others learn of it, and it is gone when the first is done."""
    heard = []
    first = SimpleNamespace(is_global_zero=True, broadcast=lambda path: heard.append(path) or path)
    second = SimpleNamespace(
        is_global_zero=False, broadcast=lambda nothing: heard[0] if nothing is None else nothing
    )
    with checkpoints.shared_folder("train", first) as folder:
        checkpoints.save(folder / "last.pt", {"epoch": 3})
        with checkpoints.shared_folder("train", second) as other:
            assert checkpoints.load(other / "last.pt") == {"epoch": 3}
        assert folder.is_dir()
    assert not folder.exists()


def test_the_folder_is_kept_after_a_failure_and_gone_after_success(stage):
    with pytest.raises(KeyboardInterrupt), checkpoints.folder("train") as folder:  # noqa: PT012
        checkpoints.save(folder / "last.pt", {"epoch": 3})
        raise KeyboardInterrupt
    assert folder.resolve().is_relative_to(stage / ".ckpt" / "train")
    with checkpoints.folder("train") as again:
        assert again == folder
        assert checkpoints.load(again / "last.pt") == {"epoch": 3}
    assert not folder.exists()


@pytest.mark.usefixtures("stage")
def test_other_params_find_no_checkpoint():
    stopped = pytest.raises(ValueError, match="stop")
    with stopped, checkpoints.folder("train") as folder:
        checkpoints.save(folder / "last.pt", {"epoch": 3})
        raise ValueError("stop")
    change(Path("params.yaml"), "lr: 1e-3", "lr: 1e-4")
    with checkpoints.folder("train") as other:
        assert checkpoints.load(other / "last.pt") is None
    change(Path("params.yaml"), "lr: 1e-4", "lr: 1e-3")
    with checkpoints.folder("train") as again:
        assert checkpoints.load(again / "last.pt") == {"epoch": 3}


@pytest.mark.usefixtures("stage")
def test_it_lies_in_the_repository_when_the_stage_runs_elsewhere(tmp_path_factory, monkeypatch):
    repository = tmp_path_factory.mktemp("repository")
    monkeypatch.setenv("DVC_ROOT", str(repository))
    with checkpoints.folder("train") as folder:
        assert folder.parent == repository / ".ckpt" / "train"


def test_a_second_process_waits_for_the_first(stage):
    code = """
from pisces.training import checkpoints
with checkpoints.folder("train") as folder:
    print("in", folder.is_dir(), (folder / "last.pt").exists(), flush=True)
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}){code}"]
    with checkpoints.folder("train") as folder:
        checkpoints.save(folder / "last.pt", {"epoch": 3})
        second = subprocess.Popen(
            command, cwd=stage, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert (
            second.stdout.readline()
            == "another train with the same params and inputs is running; waiting for it to end\n"
        )
        with pytest.raises(subprocess.TimeoutExpired):
            second.wait(timeout=0.3)
    assert second.communicate(timeout=PATIENCE_S)[0] == "in True False\n"
    assert second.returncode == 0
    assert not folder.exists()


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_keeps_nobody_waiting(stage, monkeypatch, capsys, code):
    """Nor does an old lock file, which is empty or names a process that is gone."""

    def refuse(*_):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = stage / ".ckpt/train" / f"{checkpoints.fingerprint('train')}.lock"
    lock.parent.mkdir(parents=True)
    for old in ("", "elsewhere 1 2.5"):
        lock.write_text(old)
        with checkpoints.folder("train") as folder:
            assert folder.is_dir()
    assert capsys.readouterr().out == ""


def test_a_checkpoint_comes_back_exactly_and_whole(tmp_path):
    state = {"model": {"w": torch.rand(3)}, "history": [{"loss": 0.1 + 0.2}]}
    checkpoints.save(tmp_path / "last.pt", state)
    loaded = checkpoints.load(tmp_path / "last.pt")
    assert torch.equal(loaded["model"]["w"], state["model"]["w"])
    assert loaded["history"] == state["history"]
    with pytest.raises((AttributeError, TypeError)):
        checkpoints.save(tmp_path / "last.pt", {"not": (lambda: None)})
    assert checkpoints.load(tmp_path / "last.pt")["history"] == state["history"]
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    shutil.rmtree(tmp_path)
    assert checkpoints.load(tmp_path / "last.pt") is None
