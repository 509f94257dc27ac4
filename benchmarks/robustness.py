"""How a model fares on frames with one impairment each, trained with and without impairments.

    python -m benchmarks.robustness [--labels 0:30:2] [--frames 64] [--test-labels 0:30:6]
        [--test 8] [--seed 1] [--probability 0.25] [--set train.epochs=16 ...] [--folder kept]

Both models are trained on the same clean frames of the preset `physical`; one has
`augment.impairments`. Each test file is generated anew with one impairment, and read by its own
estimated pulse. In a folder that `--folder` keeps, data and models are made once.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml

from benchmarks import worlds
from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces import models
from pisces.config.schema import Params
from pisces.core import stats
from pisces.data import splitting
from pisces.data.datasets import StoredFrames, batches
from pisces.inputs.base import CONSTELLATIONS
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.prediction.calibration import expected_calibration_error

PRESET = "physical"
HIGH_DB = 12
"""From which label on frames count as clean of noise."""
UNUSED = 1
"""Frames of each cell for the test part of a split, which cannot be empty."""
NOISY_DB, TOP_DB = 20, 30
"""Frames of labels below the first must not be taken for frames of the second."""
FAR_DB = 10
"""By which an SNR is much too high."""

TRAINED_WITH = {
    "amplifier": {"smoothness": [2, 3], "backoff_db": [0, 8]},
    "echo": {"amplitude": [0, 0.5], "delay": [0, 2]},
    "phase_noise": [0, 2.0e-5],
    "adjacent": {"level_db": [-30, -5], "offset": [1.2, 2.0]},
    "cochannel": {"level_db": [-40, -15], "offset": [-0.1, 0.1]},
    "lowpass": [0.12, 0.3],
    "iq_imbalance": {"gain_db": [-1, 1], "phase_deg": [-5, 5]},
    "dc_offset_db": [-40, -15],
    "quantiser": {"bits": [5, 10], "loading_db": [8, 12]},
}
"""`augment.impairments` of the second model."""


def spoilt_by(**impairments: Any) -> dict[str, Any]:
    """Changes of the section `synthesize`."""
    return {"impairments": impairments}


LOWPASS = "low-pass at 0.15 cycles a sample"
CASES: dict[str, dict[str, Any]] = {
    "none": {},
    "IQ imbalance of 1 dB, 5 degrees": spoilt_by(
        iq_imbalance={"gain_db": [1, 1], "phase_deg": [5, 5]}
    ),
    "DC at -20 dB": spoilt_by(dc_offset_db=[-20, -20]),
    "phase noise of 1e-5 cycles a sample": spoilt_by(phase_noise=[1.0e-5, 1.0e-5]),
    "amplifier, backoff 3 dB": spoilt_by(amplifier={"smoothness": [2, 2], "backoff_db": [3, 3]}),
    "quantiser of 6 bits": spoilt_by(quantiser={"bits": [6, 6], "loading_db": [10, 10]}),
    "clock off by 1000 ppm (std)": {"clock_offset_ppm": 1000},
    "Rician multipath, K = 10 dB": {
        "multipath": {"k_factor_db": 10, "paths": 4, "delay_spread": 2.0}
    },
    "Rayleigh multipath": {"multipath": {"k_factor_db": -20, "paths": 4, "delay_spread": 2.0}},
    "echo of 0.36 at half a symbol": spoilt_by(
        echo={"amplitude": [0.36, 0.36], "delay": [0.5, 0.5]}
    ),
    "echo of 0.36 at 1.5 symbols": spoilt_by(echo={"amplitude": [0.36, 0.36], "delay": [1.5, 1.5]}),
    "adjacent channel at -10 dB": spoilt_by(
        adjacent={"level_db": [-10, -10], "offset": [1.5, 1.5]}
    ),
    "co-channel at -15 dB": spoilt_by(cochannel={"level_db": [-15, -15], "offset": [-0.1, 0.1]}),
    LOWPASS: spoilt_by(lowpass=[0.15, 0.15]),
    "carrier offset of 3e-4 cycles a sample (std)": {"carrier_offset_std": 3.0e-4},
}
"""Test file -> changes of the section `synthesize`."""


class Predictions(NamedTuple):
    """Of n frames, arrays (n,)."""

    label_db: np.ndarray
    snr_db: np.ndarray
    """Predicted."""
    right: dict[str, np.ndarray]
    """Task -> bool."""
    confidence: dict[str, np.ndarray]
    """Task -> probability of the predicted class."""


@torch.inference_mode()
def predict(trained: TrainedModel, root: Path) -> Predictions:
    """Predictions of all frames below `root`, which may have fewer SNRs than the model knows."""
    store, model = trained.input.open(root), trained.model.eval()
    index = store.every_frame()
    modulations, snrs = [], []
    for batch in batches(StoredFrames(store, torch.device("cpu")), index, 256):
        inputs = trained.input.tensors(batch.stored)
        modulation, snr = models.predict(model, inputs, batch.snr)
        modulations.append(modulation.softmax(1))
        snrs.append(snr.softmax(1))

    modulation_prob, modulation = torch.cat(modulations).max(1)
    snr_prob, snr = torch.cat(snrs).max(1)
    label_db = np.array(store.snrs_db)[index[:, 1]]
    snr_db = np.array(trained.snrs_db)[snr.numpy()]
    right = {"modulation": modulation.numpy() == index[:, 0], "snr": snr_db == label_db}
    right["joint"] = right["modulation"] & right["snr"]
    confidence = {"modulation": modulation_prob.numpy(), "snr": snr_prob.numpy()}
    return Predictions(label_db, snr_db, right, confidence)


def percent(right: np.ndarray) -> str:
    """Share in percent with its Wilson interval."""
    low, high = stats.wilson(int(right.sum()), len(right))
    return f"{100 * right.mean():.1f} ({100 * low:.1f} to {100 * high:.1f})"


COLUMNS = [
    "impairment",
    *("modulation", "SNR", "joint"),
    *(f"{name} from {HIGH_DB} dB" for name in ("modulation", "SNR", "joint")),
    *("confidence / ECE of modulation", "of SNR"),
]


def row(title: str, found: Predictions) -> dict[str, str]:
    """Column -> cell, of the test file of this title."""
    high = found.label_db >= HIGH_DB
    cells = [percent(right) for right in found.right.values()]
    cells += [percent(right[high]) for right in found.right.values()]
    for task, confidence in found.confidence.items():
        error = expected_calibration_error(confidence, found.right[task])
        cells.append(f"{100 * confidence.mean():.1f} / {100 * error:.1f}")
    return dict(zip(COLUMNS, [title, *cells], strict=True))


def called_clean(found: Predictions) -> str:
    """Share of noisy frames that are taken for much cleaner ones, and how surely."""
    noisy = found.label_db < NOISY_DB
    surely = found.confidence["snr"]
    mistakes = {
        f"called {TOP_DB} dB": noisy & (found.snr_db == TOP_DB),
        f"called {FAR_DB} dB or more too high": noisy & (found.snr_db >= found.label_db + FAR_DB),
    }
    parts = []
    for name, called in mistakes.items():
        confidence = f", confidence {100 * surely[called].mean():.1f} %" if called.any() else ""
        parts.append(f"{name} {percent(called[noisy])} %{confidence}")
    return f"of {noisy.sum()} frames below {NOISY_DB} dB: {'; '.join(parts)}"


def make_tests(
    folder: Path, changes: Mapping[str, Any], options: argparse.Namespace
) -> dict[str, Path]:
    """Test file -> root of its data, whose frames no model is trained on."""
    roots = {}
    for number, (title, physics) in enumerate(CASES.items()):
        spoilt = {**changes, **{f"synthesize.{name}": value for name, value in physics.items()}}
        params = worlds.params_of(PRESET, options.test_labels, options.test, spoilt)
        roots[title] = folder / f"test-{number}"
        worlds.make_data(roots[title], params, options.seed + 1000)
    return roots


def trained_once(
    folder: Path, root: Path, params: Params, parts: dict[str, np.ndarray], seed: int
) -> TrainedModel:
    """The model in `folder`, trained first where there is none."""
    if not (folder / modelfile.CARD).exists():
        start, cpu_start = time.perf_counter(), time.process_time()
        modelfile.save(folder, worlds.train(root, params, parts, seed))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        print(f"{folder.name}: trained in {wall:.0f} s, {cpu:.0f} s of CPU", flush=True)
    return modelfile.load(folder)


def compare(folder: Path, changes: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Trains both models, tests them on every file, and prints the tables."""
    shares = (options.frames, worlds.VALIDATION, UNUSED)
    of_each = sum(shares)
    plain = worlds.params_of(PRESET, options.labels, of_each, changes)
    impaired = {
        "augment.impairments": TRAINED_WITH,
        "augment.impairment_probability": options.probability,
    }
    spoilt = worlds.params_of(PRESET, options.labels, of_each, {**changes, **impaired})

    root = folder / "train"
    worlds.make_data(root, plain, options.seed)
    parts = splitting.split(root / CONSTELLATIONS, shares, options.seed)
    tests = make_tests(folder, changes, options)

    for name, params in {"plain": plain, f"impaired-{options.probability}": spoilt}.items():
        trained = trained_once(folder / name, root, params, parts, options.seed)
        found = {title: predict(trained, test) for title, test in tests.items()}
        rows = [row(title, predictions) for title, predictions in found.items()]
        print(f"\n{name}\n\n{table(rows)}")
        for title in ("none", LOWPASS):
            print(f"{title}: {called_clean(found[title])}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labels", type=worlds.labels_of, default=worlds.labels_of("0:30:2"))
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--test-labels", type=worlds.labels_of, default=worlds.labels_of("0:30:6"))
    parser.add_argument("--test", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--probability", type=float, default=0.25)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in options.set)}
    print(machine_and_date(), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        compare(options.folder or Path(temporary), changes, options)


if __name__ == "__main__":
    main()
