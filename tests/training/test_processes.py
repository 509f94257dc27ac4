"""The stage `train`, in one process and in two."""

import hashlib
import math
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.train
from pisces.config.presets import apply_overlay
from pisces.core import files
from pisces.training import trainer as loop
from tests.training.tiny import (
    CLDNN,
    CONFIG,
    EPS,
    SIZE,
    frames,
)

ROOT = Path(__file__).parents[2]


LAUNCHED = """
import os
import sys
sys.path.insert(0, {root!r})
import torch
import stages.train
from pisces import models
from tests.training.test_processes import say_digests
from tests.training.tiny import NORMLESS
torch.set_num_threads(1)
models.BACKBONES["resnet18"] = NORMLESS
say_digests()
for folder in {folders!r}:
    os.chdir(folder)
    stages.train.main()
"""


def say_digests() -> None:
    """From now on `fit` prints what the parameters of its model are."""
    fit = loop.fit

    def saying(*arguments):
        model, history = fit(*arguments)
        digest = hashlib.sha256(
            b"".join(parameter.detach().numpy().tobytes() for parameter in model.parameters())
        )
        print(f"parameters {digest.hexdigest()}", flush=True)
        return model, history

    loop.fit = saying


@pytest.fixture
def scratch(tmp_path, easy, raw, monkeypatch) -> Callable[..., Path]:
    """A function that makes a copy of the project with `easy` as its constellations and `raw` as
    its frames, and enters it.
    """
    monkeypatch.setenv("PISCES_TRACKING", "off")
    monkeypatch.delenv("DVC_ROOT", raising=False)
    # Last batches that the processes share unequally: of 13 frames 5, and of 9 one, which leaves
    # the second process without.
    spare = frames(range(6, 7))
    parts = {
        "train": np.concatenate([frames(range(3)), spare[:1]])[::-1],
        "validation": np.concatenate([frames(range(3, 5)), spare[1:2]]),
        "test": frames(range(5, 6)),
    }

    def make(
        name: str, parts: dict[str, np.ndarray] = parts, train: dict | None = None, **overlay: dict
    ) -> Path:
        folder = tmp_path / name
        (folder / "data").mkdir(parents=True)
        for part in ("pisces", "stages", "dvc.yaml", "none", "imagenet"):
            (folder / part).symlink_to(ROOT / part)
        (folder / "data/constellations").symlink_to(easy.root)
        (folder / "data/split_hdf5").symlink_to(raw.store.root)
        files.write_npz(folder / "data/splits.npz", parts)
        (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        settings = asdict(CONFIG) | {"task_weights": [0.5, 0.5], "epochs": 4}
        apply_overlay(folder / "params.yaml", {"train": settings | (train or {})} | overlay)
        monkeypatch.chdir(folder)
        return folder

    return make


def results(folder: Path) -> tuple[dict[str, float], dict[str, float], pd.DataFrame]:
    """Metrics, record of the run and history."""
    metrics = files.read_json(folder / "metrics/train.json")
    record = files.read_json(folder / "models/run.json")
    return metrics, record, pd.read_csv(folder / "plots/training.csv")


@pytest.mark.slow
@pytest.mark.usefixtures("normless")
def test_two_processes_train_as_one(scratch, raw):
    """The stage itself, with gloo on the CPU; frames are summed in another order, and nothing else
    differs.

    A cldnn differs in more, as each process draws what it adds to its own frames; but both must
    hold the same one in the end.
    """
    one = scratch("one")
    stages.train.main()
    settings = {"ema_decay": 0.9, "snr_balance": 0.5}
    held_out = raw.parts["validation"] + [0, 0, 1]
    parts = raw.parts | {"test": held_out}
    denoising = scratch(
        "cldnn", parts, CLDNN | settings, cldnn={"channels": 8}, augment={"mixup_alpha": 0.4}
    )
    two = scratch("two")
    (two / "launch.py").write_text(
        LAUNCHED.format(root=str(ROOT), folders=[str(two), str(denoising)])
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "launch.py",
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=two)
    assert ran.returncode == 0, ran.stderr
    assert (
        ran.stdout.count("trained resnet18 for 4 epochs")
        == ran.stdout.count("trained cldnn for 4 epochs")
        == 1
    )
    assert ran.stdout.count("epoch 1/4:") == 2
    digests = re.findall(r"parameters ([0-9a-f]{64})", ran.stdout)
    assert [digests.count(digest) for digest in digests] == [2] * 4
    metrics, record, history = results(one)
    metrics2, record2, history2 = results(two)
    # Rounding errors of a sum of n terms wander as sqrt(n) eps; each of 12 steps adds its own to
    # what it found.
    tolerance = 12 * math.sqrt(8 * SIZE**2) * EPS
    assert metrics2 == metrics
    assert set(metrics) == {"best_epoch", "skipped_steps", "rollbacks"}
    assert (record.pop("processes"), record2.pop("processes")) == (1, 2)
    assert (record["accelerator"], record["precision"]) == ("cpu", "32-true")
    assert (record["epochs"], record["micro_batch"]) == (4, 8)
    for name, value in record.items():
        same = value if isinstance(value, str) else pytest.approx(value, rel=tolerance)
        assert record2[name] == same, name
    pd.testing.assert_frame_equal(
        history2, history, rtol=max(tolerance, 1e-5)
    )  # six digits are written
    assert not list(two.glob(".ckpt/train/*/"))
    metrics, _, history = results(denoising)
    assert metrics["skipped_steps"] == 0
    assert (
        history[["train_denoising_loss", "train_identity_loss", "train_noise_loss", "eta_pearson"]]
        .notna()
        .all(axis=None)
    )
    assert pd.read_csv(denoising / "plots/noise_fraction.csv").shape == (4 * 3, 4)
