"""What fine-tuning on a few frames of another world buys, over none and over starting afresh.

    python -m benchmarks.finetuning [--labels 0:28:4] [--frames 64] [--seeds 1 2]
        [--set train.epochs=16 ...] [--folder kept]

A model is trained on clean frames of the preset `physical`. The other world has the same classes,
seen through Rician multipath, an amplifier, an unbalanced mixer with a carrier leak, and phase
noise. Of it, so many frames of each modulation, spread over the SNRs, are trained on: from that
model with all of it trained, from that model with its tables of places frozen, and from random
weights. Frames of the test part are in no training.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks import worlds
from benchmarks.timing import machine_and_date
from pisces.core.seeding import generator
from pisces.data import splitting
from pisces.inputs.base import CONSTELLATIONS
from pisces.models import modelfile

PRESET = "physical"
OTHER_WORLD: dict[str, Any] = {
    "synthesize.multipath": {"k_factor_db": 3, "paths": 4, "delay_spread": 2.0},
    "synthesize.impairments": {
        "amplifier": {"smoothness": [2, 2], "backoff_db": [3, 3]},
        "iq_imbalance": {"gain_db": [1, 1], "phase_deg": [5, 5]},
        "dc_offset_db": [-20, -20],
        "phase_noise": [1.0e-5, 1.0e-5],
    },
}
FRAMES = (10, 100, 1000)
"""Of each modulation, that are trained on."""
TEST, HIGH_DB = 24, 12
LR = 1e-3
"""Highest rate of the fine-tuning, a fifth of that of the preset."""

CONTESTANTS: dict[str, dict[str, Any]] = {
    "fine-tuned": {"train.lr": LR},
    "fine-tuned, tables frozen": {"train.lr": LR, "train.freeze": ["backbone.tables"]},
    "from random weights": {"train.pretrained": "none"},
}
"""Name -> changes of the params that name the pretrained model."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=worlds.labels_of, default=worlds.labels_of("0:28:4"))
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in options.set)}
    print(machine_and_date(), flush=True)

    results: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        for seed in options.seeds:
            folder = (options.folder or Path(temporary)) / str(seed)
            for title, row in compare(folder, changes, seed, options).items():
                results.setdefault(title, []).append(row)
    for title, rows in results.items():
        print(worlds.describe(title, rows), flush=True)


def compare(
    folder: Path, changes: dict[str, Any], seed: int, options: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Accuracies in the other world, by how a model came to it.

    Args:
        folder: for data and models.
        changes: of params, by full name.
        seed: of data and trainings.
        options: labels and frames.
    """
    of_each = options.frames + worlds.VALIDATION + TEST
    clean = worlds.params_of(PRESET, options.labels, of_each, changes)
    finished = folder / "model"
    root = folder / "clean"
    worlds.make_data(root, clean, seed)
    shares = (options.frames, worlds.VALIDATION, TEST)
    if not (finished / modelfile.CARD).exists():
        parts = splitting.split(root / CONSTELLATIONS, shares, seed)
        modelfile.save(finished, worlds.train(root, clean, parts, seed))

    most = max(FRAMES) // len(options.labels) + 1
    other = folder / "other"
    spoilt = changes | OTHER_WORLD
    physics = worlds.params_of(PRESET, options.labels, most + worlds.VALIDATION + TEST, spoilt)
    worlds.make_data(other, physics, seed + 1000)
    parts = splitting.split(other / CONSTELLATIONS, (most, worlds.VALIDATION, TEST), seed)

    trained = modelfile.load(finished)
    rows = {"0 frames, as it is": worlds.accuracies(trained, other, parts["test"], HIGH_DB)}
    for frames in FRAMES:
        few = {**parts, "train": of_each_modulation(parts["train"], frames, seed)}
        for name, own in CONTESTANTS.items():
            settings = {"train.pretrained": str(finished)} | changes | own
            params = worlds.params_of(PRESET, options.labels, of_each, settings)
            tuned = worlds.train(other, params, few, seed)
            title = f"{frames} frames, {name}"
            rows[title] = worlds.accuracies(tuned, other, parts["test"], HIGH_DB)
            print(worlds.describe(f"{title}, seed {seed}", [rows[title]]), flush=True)
    return rows


def of_each_modulation(index: np.ndarray, frames: int, seed: int) -> np.ndarray:
    """So many frames of each modulation, at random SNRs, of an index (n, 3)."""
    order = generator(seed, "few frames").permutation(index)
    chosen = [order[order[:, 0] == m][:frames] for m in np.unique(index[:, 0])]
    return np.concatenate(chosen)


if __name__ == "__main__":
    main()
