"""A preset whose trials take seconds, and a study of it, for whoever tries sweeps under DVC."""

from typing import Any

PRESET = """
data: {path: data/raw/synthetic.hdf5, modulations: [BPSK, QPSK], snrs_db: [-6, 30],
  frames_per_cell: 40}
synthesize: {snrs_db: [-6, 30], frames_per_cell: 40, samples: 256}
render: {size: 16}
train: {epochs: 3, batch_size: 16, schedule: plateau}
noise_aware: {b1: {epochs: 0}, b2: {epochs: 0}}
"""
STUDY: dict[str, Any] = {
    "preset": "tiny",
    "metric": "training.validation_joint_accuracy",
    "direction": "maximize",
    "until": "train",
    "trials": 2,
    "threads": 1,
    "sampler": {"kind": "random", "seed": 1},
    "pruner": {"kind": "none"},
    "space": {"train.lr": {"from": 1e-4, "to": 1e-2, "log": True}},
}
"""Content of sweeps/<name>.yaml; `tiny` is `PRESET`."""
