"""Runs that nobody made: predictions, locks and metrics as commits of a small repository.

It has a cache of DVC and a `dvc.lock`, and no stage that could run.
"""

import hashlib
import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pisces.core.seeding import generator

ROOT = Path(__file__).parents[1]
MODULATIONS, SNRS_DB = ("BPSK", "QPSK", "16QAM"), (-4, 0, 8)
DATA = "data/raw/frames.hdf5"
CEILING = "snr_db,task,series,accuracy,n\n0,modulation,ceiling,1,100\n0,modulation,model,1,100\n"


def predictions(accuracy: float, seed: int, of_each: int = 30, first: int = 0) -> dict:
    """Predictions that are right in about so many frames, as the stage evaluate writes them.

    Args:
        accuracy: of either head, 0.5..1.
        seed: of the errors. How hard a frame is hangs on the frame alone.
        of_each: test frames of each cell.
        first: row of the first of them.
    """
    cells = np.indices((len(MODULATIONS), len(SNRS_DB), of_each)).reshape(3, -1).T
    frame = cells.astype(np.int64)
    frame[:, 2] += first
    hard = generator(0, "hard frames").random(len(frame))
    luck = generator(seed, "luck of a training").random((2, len(frame)))
    arrays: dict[str, np.ndarray] = {"frame": frame}
    names = ("modulation", np.array(MODULATIONS)), ("snr", np.array(SNRS_DB))
    for column, (head, classes) in enumerate(names):
        # A mean of two uniform numbers exceeds t with probability 2 (1 - t)^2.
        is_right = (hard + luck[column]) / 2 < 1 - np.sqrt((1 - accuracy) / 2)
        true = frame[:, column]
        chosen = np.where(is_right, true, (true + 1) % len(classes))
        suffix = "_db" if head == "snr" else ""
        arrays[f"{head}_true{suffix}"] = classes[true]
        arrays[f"{head}_pred{suffix}"] = classes[chosen]
        arrays[f"{head}_prob"] = 0.1 + 0.7 * np.eye(len(classes))[chosen]
    arrays["snr_estimate_db"] = arrays["snr_pred_db"].astype(float)
    return arrays | {"modulations": np.array(MODULATIONS), "snrs_db": np.array(SNRS_DB)}


def with_other_weights(lock: str, params: Mapping[str, Any]) -> str:
    """A lock whose training ran again, with other weights, after its evaluation.

    Args:
        lock: of `Repository.run`.
        params: that it ran with.
    """
    weights = md5_of(f"{md5_of('frames')}{md5_of('code')}{sorted(params.items())}")
    assert lock.count(weights) == 2
    return lock.replace(weights, md5_of("new"), 1)


class Repository:
    """A repository of git and DVC that `run` adds to.

    Args:
        root: an empty folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir()
        (root / ".dvc/config").write_text("")
        (root / ".dvc/.gitignore").write_text("/cache\n/tmp\n/config.local\n")
        self.git("init", "-q")
        self.git("config", "user.name", "a")
        self.git("config", "user.email", "a@b")
        self.git("commit", "-q", "--allow-empty", "-m", "start")

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.root), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def run(
        self,
        name: str,
        arrays: Mapping[str, np.ndarray] | None,
        params: Mapping[str, Any],
        data: str = "frames",
        code: str = "code",
        metrics: Mapping[str, Mapping[str, Any]] | None = None,
        ceiling: str = CEILING,
        trained: Mapping[str, Any] | None = None,
    ) -> None:
        """Commits a run as the experiment `name`; the workspace is left with it.

        Args:
            name: of the experiment.
            arrays: its predictions; None: the stage evaluate has not run.
            params: full key -> value, of the section train and base.
            data: what its frames are, a word.
            code: what trained it, a word.
            metrics: stage -> its headlines, which are of this very model.
            ceiling: the table plots/ceiling.csv of the stage limits.
            trained: content of models/run.json; None: the cache lacks it.
        """
        lock = _lock(params, md5_of(data), md5_of(code))
        if arrays is None:
            del lock["evaluate"]
        else:
            content = npz(arrays)
            lock["evaluate"]["outs"] = [_entry("data/predictions.npz", md5(content))]
            self.cache(content)
        if trained is not None:
            content = json.dumps(trained).encode()
            lock["train"]["outs"].append(_entry("models/run.json", md5(content)))
            self.cache(content)
        for stage, values in (metrics or {}).items():
            files = {f"metrics/{stage}.json": json.dumps(values)}
            if stage == "limits":
                files["plots/ceiling.csv"] = ceiling
            for path, content in files.items():
                (self.root / path).parent.mkdir(exist_ok=True)
                (self.root / path).write_text(content)
            read = lock["evaluate"]["outs"] if stage == "limits" else lock["train"]["outs"]
            outs = [_entry(path, md5_of(content)) for path, content in files.items()]
            lock[stage] = {"cmd": "run", "deps": read, "outs": outs}

        self.write("params.yaml", _nested(params))
        self.write("dvc.lock", {"schema": "2.0", "stages": lock})
        self.git("add", ".")
        self.git("commit", "-qm", name)
        baseline = self.git("rev-parse", "HEAD~1")
        ref = f"refs/exps/{baseline[:2]}/{baseline[2:]}/{name}"
        self.git("update-ref", ref, "HEAD")

    def write(self, path: str, content: Mapping[str, Any]) -> None:
        """JSON, which is YAML without aliases."""
        (self.root / path).write_text(json.dumps(content, indent=1))

    def cache(self, content: bytes) -> Path:
        """Puts a file into the cache of DVC."""
        digest = md5(content)
        path = self.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def md5_of(word: str) -> str:
    return md5(word.encode())


def _entry(path: str, digest: str) -> dict[str, str]:
    return {"path": path, "hash": "md5", "md5": digest}


def _lock(params: Mapping[str, Any], data: str, code: str) -> dict[str, Any]:
    """Stages up to evaluate, of which only what comparisons read is there."""
    shards = _entry("data/split_hdf5", f"{data}.dir")
    splits = _entry("data/splits.npz", data)
    weights = _entry("models/model.safetensors", md5_of(f"{data}{code}{sorted(params.items())}"))
    package = _entry("pisces/training", code)
    of_train = {key: value for key, value in params.items() if key.startswith("train.")}
    of_base = {key: value for key, value in params.items() if key.startswith("base.")}
    return {
        "split_hdf5": {
            "cmd": "run",
            "params": {"params.yaml": {"data.path": DATA}},
            "outs": [shards],
        },
        "stratify": {"cmd": "run", "params": {"params.yaml": of_base}, "outs": [splits]},
        "train": {
            "cmd": "run",
            "deps": [shards, splits, package],
            "params": {"params.yaml": of_train},
            "outs": [weights],
        },
        "evaluate": {"cmd": "run", "deps": [shards, splits, weights, package]},
    }


def _nested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Full key -> value as sections; with the path of the data, which the lock has as well."""
    sections: dict[str, Any] = {"data": {"path": DATA}}
    for key, value in params.items():
        section, name = key.split(".", 1)
        sections.setdefault(section, {})[name] = value
    return sections
