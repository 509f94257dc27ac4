"""The pipeline keeps its promises under DVC, in copies of the repository with the preset smoke."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import h5py
import pytest
import torch
import torchvision

from pisces.core import yaml
from tests.pipeline import (
    EPOCHS,
    STAGES,
    Shell,
    change_params,
    commit,
    outputs,
    stages_run,
)

pytestmark = pytest.mark.slow

AFTER_TRAINING = {
    *("train", "evaluate", "pis", "tune_masks", "attribute", "counterfactual", "limits"),
    *("explore", "report", "page"),
}
"""What another training changes; `perturb` needs no model."""


@pytest.fixture(scope="module")
def clone(copied, shell) -> Path:
    """A copy after one `dvc repro`, committed; not to be changed."""
    printed = shell.must(copied, "dvc", "repro")
    assert stages_run(printed) == set(STAGES)
    commit(shell, copied)
    return copied


@pytest.fixture
def scratch(clone, tmp_path) -> Path:
    """A copy of the clone to work in."""
    return shutil.copytree(clone, tmp_path / "pisces")


@pytest.fixture(scope="module")
def experiment(clone, tmp_path_factory, shell) -> tuple[Path, str]:
    """Another copy, after `dvc exp run -S train.lr=3e-4`, and what that printed."""
    root = shutil.copytree(clone, tmp_path_factory.mktemp("experiment") / "pisces")
    command = ("dvc", "exp", "run", "--name", "slower", "-S", "train.lr=3e-4")
    return root, shell.must(root, *command)


def missing(root: Path) -> list[str]:
    return [path for stage in STAGES for path in outputs(stage) if not (root / path).exists()]


def test_every_declared_output_is_made(clone):
    assert missing(clone) == []


def test_the_page_of_a_whole_run_has_nothing_to_mend(clone):
    page = (clone / "plots/report.html").read_text()
    assert 'class="problems"' not in page
    assert '"explorer":{' in page


def test_a_second_repro_runs_nothing(clone, shell):
    printed = shell.must(clone, "dvc", "repro")
    assert stages_run(printed) == set()
    assert "up to date" in printed


def test_new_colours_are_drawn_without_computing_anything(scratch, shell):
    with (scratch / "pisces/report/style.py").open("a") as source:
        source.write("# x\n")
    assert stages_run(shell.must(scratch, "dvc", "repro")) == {"report_data", "report", "page"}


# Experiments


def test_another_learning_rate_trains_and_scores_anew_and_renders_nothing(experiment):
    _, printed = experiment
    assert stages_run(printed) == AFTER_TRAINING


def test_metrics_diff_shows_what_the_experiment_changed(experiment, shell):
    root, _ = experiment
    changes = json.loads(shell.must(root, "dvc", "metrics", "diff", "--json"))
    assert changes["metrics/attribution.json"]["modulation.random"]["diff"] != 0
    assert "metrics/audit.json" not in changes


def test_exp_show_lists_the_experiment_with_its_learning_rate(experiment, shell):
    root, _ = experiment
    printed = shell.must(root, "dvc", "exp", "show", "--csv")
    (row,) = [line for line in printed.splitlines() if "slower" in line]
    assert "0.0003" in row.split(",")


def test_plots_diff_makes_a_page(experiment, shell):
    root, _ = experiment
    printed = shell.must(root, "dvc", "plots", "diff", "HEAD")
    assert "Traceback" not in printed
    page = (root / "dvc_plots" / "index.html").read_text()
    assert "confusion_modulation" in page
    assert "Losses by epoch" in page


def test_a_model_of_raw_frames_takes_the_whole_way(scratch, shell):
    changes = ("-S", "train.input=iq", "-S", "train.model=pet_cgdnn")
    printed = shell.must(scratch, "dvc", "exp", "run", *changes)
    assert stages_run(printed) == AFTER_TRAINING
    assert "1024" in json.dumps(json.loads((scratch / "models/model.json").read_text())["input"])
    assert missing(scratch) == []


def test_a_sweep_fills_the_queue(scratch, shell):
    shell.must(scratch, "dvc", "exp", "run", "--queue", "-S", "train.lr=1e-4,1e-2")
    _, queue = shell(scratch, "dvc", "queue", "status")
    assert queue.count("Queued") == 2
    _, table = shell(scratch, "dvc", "exp", "show", "--csv")
    values = {value for line in table.splitlines() for value in line.split(",")}
    assert values >= {"0.0001", "0.01"}


def test_another_size_is_not_taken_from_the_cache_and_an_odd_one_is_refused(scratch, shell):
    status, printed = shell(scratch, "dvc", "exp", "run", "-S", "render.size=47")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    for part in ("params.yaml", "render.size = 47", "even"):
        assert part in line
    assert not (scratch / "data/constellations").exists()


# Data that cannot be read


def test_a_missing_file_is_named_in_one_line(scratch, shell):
    change_params(scratch, "data", path="/nowhere/frames.hdf5")
    status, printed = shell(scratch, "dvc", "repro", "split_hdf5")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if "/nowhere/frames.hdf5" in line]
    assert line.startswith("ERROR: failed to reproduce 'split_hdf5'")


def test_a_file_that_is_cut_off_leaves_nothing(scratch, shell, tmp_path):
    path = tmp_path / "frames.hdf5"
    whole = (scratch / "data/raw/synthetic.hdf5").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    change_params(scratch, "data", path=str(path))
    assert_split_fails(scratch, shell, str(path), "cut off")


def test_a_frame_that_is_no_number_stops_half_way_and_leaves_nothing(scratch, shell, tmp_path):
    path = Path(shutil.copy(scratch / "data/raw/synthetic.hdf5", tmp_path / "frames.hdf5"))
    with h5py.File(path, "r+") as file:
        file["X"][-1, 0, 0] = float("nan")  # of the last modulation, OQPSK
    change_params(scratch, "data", path=str(path), modulations=["BPSK", "OQPSK"])
    assert_split_fails(scratch, shell, str(path), "NaN")


def assert_split_fails(root: Path, shell: Shell, *parts: str) -> None:
    """`dvc repro split_hdf5` fails in one line with all `parts`, and leaves no output of it."""
    status, printed = shell(root, "dvc", "repro", "split_hdf5")
    assert status != 0
    assert "Traceback" not in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert [part for part in parts if part not in line] == []
    assert [path for path in outputs("split_hdf5") if (root / path).exists()] == []
    hidden = [path.name for folder in ("data", "plots") for path in (root / folder).glob(".*")]
    assert set(hidden) <= {".gitignore"}


# Killed while training


TRAINED = (
    "models/model.safetensors",
    "models/model.json",
    "metrics/train.json",
    "plots/training.csv",
)
FIRST_EPOCH = f"epoch 1/{EPOCHS}:"


@pytest.fixture
def untrained(clone, tmp_path) -> Path:
    """A copy of the clone that has never trained: no results, and none in the cache."""
    root = shutil.copytree(clone, tmp_path / "pisces", ignore=shutil.ignore_patterns("runs"))
    cache = root / ".dvc/cache/files/md5"
    for out in yaml.read(root / "dvc.lock")["stages"]["train"]["outs"]:
        (root / out["path"]).unlink()
        (cache / out["md5"][:2] / out["md5"][2:]).unlink(missing_ok=True)
    return root


HOLD = """
import builtins, os, time

say = builtins.print

def hold(*values, **options):
    say(*values, **options)
    if values and str(values[0]).startswith("epoch 1/"):
        while not os.path.exists(os.environ["HOLD_UNTIL"]):
            time.sleep(0.01)

builtins.print = hold
"""
"""A training this small would be over before it can be killed: it waits after its first epoch."""


@pytest.fixture
def held_training(untrained, shell, tmp_path):
    """`dvc repro train` after its first epoch, which goes on once the file `go` exists."""
    (tmp_path / "sitecustomize.py").write_text(HOLD)
    own = {"PYTHONPATH": str(tmp_path), "HOLD_UNTIL": str(tmp_path / "go")}
    dvc = subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=untrained,
        env=shell.variables | own,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert any(line.startswith(FIRST_EPOCH) for line in dvc.stdout)
        yield dvc
    finally:
        if dvc.poll() is None:
            os.killpg(dvc.pid, signal.SIGKILL)
        dvc.wait()
        dvc.stdout.close()


def assert_resumed_as_if_uninterrupted(printed: str, root: Path, clone: Path) -> None:
    assert stages_run(printed) == {"train"}
    epochs = [line for line in printed.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == EPOCHS - 1
    for name in TRAINED:
        assert (root / name).read_bytes() == (clone / name).read_bytes(), name
    assert not [path for path in (root / ".ckpt/train").iterdir() if path.is_dir()]


def test_a_killed_training_resumes_to_the_very_same_bytes(untrained, held_training, clone, shell):
    os.killpg(held_training.pid, signal.SIGKILL)
    held_training.wait()
    held_training.stdout.read()
    assert not any((untrained / name).exists() for name in TRAINED)
    printed = shell.must(untrained, "dvc", "repro", "train")
    assert_resumed_as_if_uninterrupted(printed, untrained, clone)


def test_a_training_whose_dvc_was_killed_ends_itself(
    untrained, held_training, clone, shell, tmp_path
):
    os.kill(held_training.pid, signal.SIGKILL)
    held_training.wait()
    # Until the stage that dvc has left behind has ended: it is held, and must notice by itself.
    assert "the dvc that started this stage is gone" in held_training.stdout.read()

    (tmp_path / "go").touch()
    printed = shell.must(untrained, "dvc", "repro", "train")
    assert_resumed_as_if_uninterrupted(printed, untrained, clone)


# Disk


def damaged_copies(root: Path) -> list[str]:
    """Files of DVC's cache whose content is no longer what their names say."""
    found = []
    for path in (root / ".dvc/cache/files/md5").rglob("*"):
        if path.is_file():
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            if digest != path.parent.name + path.name.removesuffix(".dir"):
                found.append(path.name)
    return found


def test_no_stage_writes_into_an_output_that_the_cache_shares(scratch, shell):
    shell.must(scratch, "dvc", "checkout", "--relink")
    linked = [path for path in (scratch / "data").rglob("*") if path.is_file()]
    assert any(path.stat().st_nlink > 1 for path in linked)

    shell.must(scratch, "dvc", "repro", "--force")
    change_params(scratch, "render", size=48)
    shell.must(scratch, "dvc", "repro")
    assert damaged_copies(scratch) == []


# Weights of others


def test_other_weights_under_the_same_name_train_again(scratch, shell, tmp_path):
    weights = tmp_path / "weights.pth"
    change_params(scratch, "train", model="resnet18", pretrained=str(weights), epochs=1)
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(torchvision.models.resnet18().state_dict(), weights)
        printed = shell.must(scratch, "dvc", "repro", "train")
        assert stages_run(printed) == {"train"}
    assert "didn't change" in shell.must(scratch, "dvc", "repro", "train")

    weights.unlink()
    status, printed = shell(scratch, "dvc", "repro", "train")
    assert status != 0
    assert str(weights) in printed
