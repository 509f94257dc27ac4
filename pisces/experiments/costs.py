"""What a model costs: parameters, epochs of its training, and frames a second; and on what."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from pisces.core.seeding import generator
from pisces.experiments.measures import Interval
from pisces.experiments.predictions_of import Experiment

if TYPE_CHECKING:
    import torch

    from pisces.models.modelfile import TrainedModel

CARD, RUN = "models/model.json", "models/run.json"
FILES = ("models/model.safetensors", CARD)
FRAMES = 256
ROUNDS = 6
"""From the slowest to the fastest of six rounds is a 97 % interval of the median: 1 - 2 / 2^6."""
SAMPLES_PER_SYMBOL = 8
LONGEST = 1024
"""Samples of a frame for a model that takes any."""
RAN_ON = ("device", "precision", "processes", "threads")
"""What of a machine the bytes of a model hang on, as `RUN` has it."""

Models = Mapping[str, "TrainedModel"]
"""Name of an experiment -> its model."""


def models_of(experiments: Sequence[Experiment]) -> "dict[str, TrainedModel]":
    """Those that DVC's cache has, and this version can read."""
    return {one.name: trained for one in experiments if (trained := _model(one))}


def size_and_epochs(one: Experiment, models: Models) -> dict[str, float]:
    """`parameters` and `epochs`, NaN where DVC's cache lacks the files that say them."""
    found = {"parameters": np.nan, "epochs": np.nan}
    if one.name in models:
        sizes = [values.numel() for values in models[one.name].model.parameters()]
        found["parameters"] = float(sum(sizes))

    found["epochs"] = float(run_of(one).get("epochs", np.nan))
    return found


def run_of(one: Experiment) -> dict[str, Any]:
    """How its training went on its machine; empty where DVC's cache does not know."""
    run = one.files.cached("train", RUN)
    return json.loads(run.read_bytes()) if run else {}


def ran_otherwise(experiments: Sequence[Experiment]) -> list[str]:
    """A remark where trainings ran on other threads or another device, of those that are known."""
    runs = {one.name: run_of(one) for one in experiments}
    parts = []
    for key in RAN_ON:
        values = dict.fromkeys(run[key] for run in runs.values() if key in run)
        if len(values) > 1:
            named = [_with_names(value, key, runs) for value in values]
            parts.append(f"{key} {' and '.join(named)}")
    if not parts:
        return []
    otherwise = "so equal params give other bytes, which DVC's run cache does not tell apart"
    return [f"trained with {'; '.join(parts)}, {otherwise}"]


def _with_names(value: Any, key: str, runs: Mapping[str, Mapping[str, Any]]) -> str:
    """A value of a key, and which experiments have it."""
    names = [name for name, run in runs.items() if run.get(key) == value]
    return f"{value} ({', '.join(names)})"


def frames_per_second(models: Models) -> dict[str, Interval]:
    """Frames a second from raw IQ to prediction.

    Each round runs every model once, so that what else the machine does falls on all alike. A
    model that is conditioned on the true SNR takes no frame without a label, and is left out.

    Returns:
        Name -> median over the rounds, the slowest and the fastest of them.
    """
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for number in range(ROUNDS + 1):
        for name, trained in models.items():
            if getattr(trained.model, "is_conditioned", False):
                continue
            elapsed = _seconds(trained)
            if number:  # the first round warms up
                seconds[name].append(elapsed)

    rates = {name: [FRAMES / one for one in values] for name, values in seconds.items() if values}
    return {name: Interval(median(one), min(one), max(one)) for name, one in rates.items()}


def _model(one: Experiment) -> "TrainedModel | None":
    from pisces.models import modelfile

    cached = [one.files.cached("train", path) for path in FILES]
    with tempfile.TemporaryDirectory() as folder:
        for path, file in zip(FILES, cached, strict=True):
            if file is None:
                return None
            (Path(folder) / Path(path).name).symlink_to(file.resolve())
        try:
            return modelfile.load(Path(folder))
        except ValueError:  # as of a model that another version of the code wrote
            return None


def _seconds(trained: "TrainedModel") -> float:
    """Of one batch, on the device that evaluates models."""
    from pisces.evaluation import inference

    device = inference.device()
    trained.model.to(device)
    frames = _frames(trained.input.frame_samples or LONGEST).to(device)
    start = time.perf_counter()
    modulation, _ = inference.predict_iq(trained, frames)
    modulation.sum().item()  # which waits for a GPU
    return time.perf_counter() - start


def _frames(samples: int) -> "torch.Tensor":
    """QPSK of rectangular pulses in some noise, float32 (frames, samples, 2)."""
    import torch

    rng = generator(1, "frames to time models with")
    symbols = rng.choice([-1.0, 1.0], size=(FRAMES, samples // SAMPLES_PER_SYMBOL + 1, 2))
    frames = np.repeat(symbols, SAMPLES_PER_SYMBOL, axis=1)[:, :samples]
    noisy = frames + 0.1 * rng.normal(size=frames.shape)
    return torch.from_numpy(noisy.astype(np.float32))
