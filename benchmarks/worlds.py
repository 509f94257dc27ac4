"""How well a model does in either world of generated frames, and in the one that it never saw.

    python -m benchmarks.worlds twin physical [--labels 0:30:2] [--frames 64] [--test 32]
        [--seeds 1 2 3] [--set train.epochs=12 ...] [--from 8] [--other frames.hdf5]
        [--crossed rrc] [--folder kept] [--blind]

Each preset is generated, split, rendered and trained once a seed through the library, in a folder
that is thrown away unless `--folder` names one to keep. Accuracies are those of test frames that no
model was trained on. `--crossed` names a pulse that other frames are generated with, `--other` a
file of the RML2018.01A layout; both are read by their own pulse. `--blind` compares modulation with
the blind reference of `limits`, on the same test frames.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from benchmarks.timing import machine_and_date
from pisces import models
from pisces.config import presets
from pisces.config.io import parse_params
from pisces.config.schema import Params
from pisces.data import splitting
from pisces.data.datasets import StoredFrames, batches
from pisces.evaluation import blind, limits
from pisces.inputs import kind_of, rendering
from pisces.inputs.base import CONSTELLATIONS, IQ_SHARDS, FrameStore
from pisces.inputs.settings import DrawSettings, RenderSettings
from pisces.inputs.waveform import frames_behind
from pisces.models.modelfile import TrainedModel
from pisces.sources import rml2018, sharding, synthesis
from pisces.sources.settings import Selection, SynthesisSettings
from pisces.training import components, devices, frames, trainer
from pisces.training.augmentation import Augmentation
from pisces.training.settings import TrainingSettings

VALIDATION = 8
"""Frames of each cell that choose the best epoch."""


def params_of(
    preset: str, labels: tuple[int, ...] | None, of_each: int, changes: Mapping[str, Any]
) -> Params:
    """A preset with other labels, so many frames of each cell, and further changes by full name."""
    content = presets.merged(presets.on_defaults({}), presets.overlay(preset))
    content["synthesize"]["frames_per_cell"] = of_each
    content["data"]["frames_per_cell"] = of_each
    if labels is not None:
        content["synthesize"]["snrs_db"] = content["data"]["snrs_db"] = list(labels)
    for name, value in changes.items():
        section, key = name.split(".")
        content[section][key] = value
    return parse_params(content, preset)


def make_data(root: Path, params: Params, seed: int) -> None:
    """Generated frames as shards and as constellations below `root`; made once."""
    if (root / CONSTELLATIONS).exists():
        return
    file = root / "frames.hdf5"
    synthesis.synthesize_file(file, params.synthesize.to(SynthesisSettings), seed)
    read_file(root, file, params.data.to(Selection), params.render.to(RenderSettings))


def read_file(root: Path, file: Path, data: Selection, render: RenderSettings) -> None:
    """A file as shards and as constellations below `root`."""
    sharding.split(replace(data, path=str(file)), root / IQ_SHARDS)
    rendering.render(root / IQ_SHARDS, root / CONSTELLATIONS, render)


def train(root: Path, params: Params, parts: dict[str, np.ndarray], seed: int) -> TrainedModel:
    """The model of `params`, trained on the data below `root`."""
    config, augmentation = params.train.to(TrainingSettings), params.augment.to(Augmentation)
    model_input = kind_of(config.input).for_data(root, params.draw.to(DrawSettings))
    store = model_input.open(root)
    iq = frames_behind(store, root) if augmentation.changes_frames else None
    sps = params.render.sps
    data = frames.TrainingData(store, iq, parts, model_input, augmentation, sps=sps)

    fabric = devices.make_fabric(config.accelerator, config.precision, config.model)
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder) / "last.pt"
        model, _ = trainer.fit(data, config, seed, last, fabric, lambda _: None)
    return components.trained_model(model, config, data)


def accuracies(trained: TrainedModel, root: Path, index: np.ndarray, high: int) -> dict[str, float]:
    """Accuracy in percent by task, over all frames of an index and from the label `high` up."""
    store = trained.input.open(root)
    labels = np.array(store.snrs_db)[index[:, 1]]
    modulation, snr = predictions(trained, store, index)
    joint = modulation & snr
    at_high = labels >= high
    by_task = {"joint": joint, "modulation": modulation, "snr": snr}
    row = {task: 100 * float(right.mean()) for task, right in by_task.items()}
    row[f"joint from {high}"] = 100 * float(joint[at_high].mean())
    for label in store.snrs_db:
        row[f"{label}"] = 100 * float(joint[labels == label].mean())
    return row


@torch.inference_mode()
def predictions(
    trained: TrainedModel, store: FrameStore, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether modulation and SNR of frames are right, bool (n,) each.

    The store may hold fewer SNRs than the model knows.
    """
    model = trained.model.eval()
    known_db, held_db = torch.tensor(trained.snrs_db), torch.tensor(store.snrs_db)
    right = []
    for batch in batches(StoredFrames(store, torch.device("cpu")), index, 256):
        modulation, snr = models.predict(model, trained.input.tensors(batch.stored), batch.snr)
        modulation_right = modulation.argmax(1) == batch.modulation
        snr_right = known_db[snr.argmax(1)] == held_db[batch.snr]
        right.append(torch.stack([modulation_right, snr_right]))
    modulation_right, snr_right = torch.cat(right, 1).numpy()
    return modulation_right, snr_right


def points_below_blind(
    trained: TrainedModel, root: Path, index: np.ndarray, render: RenderSettings
) -> list[str]:
    """How far modulation lies below the blind reference on the same frames: a line for each SNR."""
    store, iq = trained.input.open(root), root / IQ_SHARDS
    snrs_db, names = np.array(store.snrs_db), np.array(trained.modulations)
    labels = snrs_db[index[:, 1]]
    model, _ = predictions(trained, store, index)

    receiver, _, snrs = limits.reception_of(iq, trained.modulations, store.snrs_db, render)
    frames = {"modulations": names, "snrs_db": snrs_db, "frame": index}
    named = blind.predict_frames(iq, frames, receiver, snrs, None)
    right = named == names[index[:, 0]]

    lines = []
    for label in store.snrs_db:
        at = labels == label
        lead = 100.0 * right[at] - 100.0 * model[at]
        reach = 1.96 * lead.std() / np.sqrt(len(lead))
        accuracies = f"blind {100 * right[at].mean():.1f}, model {100 * model[at].mean():.1f}"
        lines.append(
            f"{label}: {accuracies}, {lead.mean():.1f} +- {reach:.1f} below, n {len(lead)}"
        )
    return lines


def labels_of(text: str) -> tuple[int, ...]:
    """`first:last:step`, the last included."""
    first, last, step = (int(part) for part in text.split(":"))
    return tuple(range(first, last + 1, step))


def describe(title: str, rows: list[dict[str, float]]) -> str:
    """Means over seeds, and the least and largest of them."""
    parts = []
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = f" ({min(values):.1f} to {max(values):.1f})" if len(rows) > 1 else ""
        parts.append(f"{name} {np.mean(values):.1f}{spread}")
    return f"{title}: " + ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="+", choices=presets.names())
    parser.add_argument("--labels", type=labels_of)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--test", type=int, default=32)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--from", type=int, default=8, dest="high")
    parser.add_argument("--crossed", choices=["rrc", "rml2018"])
    parser.add_argument("--other", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--blind", action="store_true")
    options = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in options.set)}
    print(machine_and_date(), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        for preset in options.presets:
            run(preset, folder, changes, options)


def run(preset: str, folder: Path, changes: dict[str, Any], options: argparse.Namespace) -> None:
    """Trains a preset once a seed, and prints its accuracies."""
    of_each = options.frames + VALIDATION + options.test
    params = params_of(preset, options.labels, of_each, changes)
    results: dict[str, list[dict[str, float]]] = {}

    for seed in options.seeds:
        root = folder / f"{preset}-{seed}"
        make_data(root, params, seed)
        shares = (options.frames, VALIDATION, options.test)
        parts = splitting.split(root / CONSTELLATIONS, shares, seed)

        start, cpu_start = time.perf_counter(), time.process_time()
        trained = train(root, params, parts, seed)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        row = {"seconds": wall, "CPU seconds": cpu}
        row |= accuracies(trained, root, parts["test"], options.high)
        results.setdefault(preset, []).append(row)
        print(describe(f"{preset}, seed {seed}", [row]), flush=True)

        if options.blind:
            render = params.render.to(RenderSettings)
            lines = points_below_blind(trained, root, parts["test"], render)
            print(*lines, sep="\n", flush=True)

        for title, other in others(root, params, trained, seed, options).items():
            index = trained.input.open(other).every_frame()
            row = accuracies(trained, other, index, options.high)
            results.setdefault(f"{preset} on {title}", []).append(row)
            print(describe(f"{preset} on {title}, seed {seed}", [row]), flush=True)

    for title, rows in results.items():
        print(describe(f"{title}, {len(rows)} seeds", rows), flush=True)


def others(
    root: Path, params: Params, trained: TrainedModel, seed: int, options: argparse.Namespace
) -> dict[str, Path]:
    """Data sets beside the one that was trained on: title -> root."""
    found = {}
    if options.crossed:
        physics = params.synthesize.model_copy(
            update={"pulse": options.crossed, "frames_per_cell": options.test}
        )
        crossed = params.model_copy(update={"synthesize": physics})
        found[options.crossed] = root / options.crossed
        make_data(found[options.crossed], crossed, seed + 1000)
    if options.other:
        path = root / "other"
        with rml2018.open_file(options.other) as source:
            held = {label.snr_db for label in rml2018.rows_by_label(source)}
        snrs_db = tuple(label for label in trained.snrs_db if label in held)
        data = Selection(str(options.other), "fixed", trained.modulations, snrs_db, None)
        if not path.exists():
            read_file(path, options.other, data, params.render.to(RenderSettings))
        found[options.other.name] = path
    return found


if __name__ == "__main__":
    main()
