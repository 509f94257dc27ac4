"""What a model calls unlike all it was trained on: what it should, and known frames.

    python -m benchmarks.novelty [--left-out [BPSK ...]] [--frames 64] [--test 24] [--seed 1]
        [--set train.epochs=12 ...] [--folder kept] [--recordings ../shared/data/recordings]

A model of the preset `twin` at the labels of the default is trained and calibrated through the
library, as the stage `train` does it. AUROC is against test frames of the same data, the rate of
detection that at the threshold of the card. `--left-out` trains a model without each of the
modulations named, without names all 17 in turn, and scores the one left out. Known frames from
other radios are read by their own pulse, as predictions of a recording are.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from sklearn.metrics import roc_auc_score

from benchmarks import foreign, worlds
from benchmarks.foreign import Frames
from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.config.schema import Params
from pisces.core.modulations import DIGITAL
from pisces.data import splitting
from pisces.inputs.base import CONSTELLATIONS, IQ_SHARDS
from pisces.inputs.receiver.pulse import estimate_response
from pisces.inputs.waveform import IqStore
from pisces.models import modelfile
from pisces.models.modelfile import TrainedModel
from pisces.prediction import evidence, fit, novelty
from pisces.prediction.frames import of_evidence, predict

LABELS = tuple(range(-8, 11, 2))
CLEAR_LABEL = 5
"""Labels from here on are true SNRs of 10 dB and more."""
SPS = 8
RECORDINGS = ("kr01_bpsk_1200baud", "gnuradio_8PSK_12dB", "gnuradio_16QAM_18dB")
"""Complex baseband at 8 samples a symbol."""


class Scored(NamedTuple):
    """Of n frames, (n,) each."""

    score: np.ndarray
    features_alone: np.ndarray
    labels: np.ndarray


def make_model(
    folder: Path, params: Params, left_out: str | None, options: argparse.Namespace
) -> tuple[TrainedModel, IqStore, dict[str, np.ndarray]]:
    """A calibrated model of the data below `folder`, without one modulation or with all.

    Args:
        folder: of the data, made once.
        params: of data and training.
        left_out: name of the modulation, or None.
        options: of the command.

    Returns:
        The model, the frames of its data, and their parts.
    """
    root = folder / f"without-{left_out}" if left_out else folder
    if left_out:
        _link_all_but(folder, root, left_out)
    shares = (options.frames, worlds.VALIDATION, options.test)
    parts = splitting.split(root / CONSTELLATIONS, shares, options.seed)
    iq = IqStore(root / IQ_SHARDS)
    model = root / "model"
    if not (model / modelfile.CARD).exists():
        trained = worlds.train(root, params, parts, options.seed)
        modelfile.save(model, trained)
    trained = modelfile.load(model)
    store = trained.input.open(root)
    calibration = fit.calibrate(trained, store, iq, parts)
    return trained._replace(calibration=calibration), iq, parts


def _link_all_but(folder: Path, root: Path, left_out: str) -> None:
    """Shards below `root` that are those of `folder` without one modulation."""
    for kind in (CONSTELLATIONS, IQ_SHARDS):
        (root / kind).mkdir(parents=True, exist_ok=True)
        for path in (folder / kind).iterdir():
            link = root / kind / path.name
            if path.name != left_out and not link.exists():
                link.symlink_to(path.resolve())


def stored(iq: IqStore, index: np.ndarray) -> Frames:
    """Frames of an index (n, 3)."""
    return Frames(iq.gather(index), np.array(iq.snrs_db)[index[:, 1]])


def scores_of(trained: TrainedModel, known: Frames) -> Scored:
    """Novelty of frames, all of it and that of the features alone."""
    found = evidence.of_frames(trained, torch.from_numpy(known.frames))
    prediction = of_evidence(trained, found)
    assert trained.calibration is not None
    assert found.features is not None
    assert prediction.novelty is not None
    logits = found.modulation_logits, found.snr_logits
    alone = novelty.feature_novelty(found.features, *logits, trained.calibration).numpy()
    return Scored(prediction.novelty, alone, known.labels)


def row(title: str, found: Scored, test: Scored, trained: TrainedModel) -> dict[str, str]:
    """AUROC and rate of detection of a set, at all SNRs and from 10 dB up."""
    assert trained.calibration is not None
    assert trained.calibration.novelty is not None
    threshold = trained.calibration.novelty.threshold or np.inf
    cells = {"frames": title, "n": f"{len(found.labels)}"}
    for name, least in (("all SNRs", -np.inf), ("from 10 dB", CLEAR_LABEL)):
        at, of_test = found.labels >= least, test.labels >= least
        if not at.any():
            continue
        for what in ("score", "features_alone"):
            new, known = getattr(found, what)[at], getattr(test, what)[of_test]
            truth = np.repeat([0, 1], [len(known), len(new)])
            auroc = roc_auc_score(truth, np.concatenate([known, new]))
            cells[f"AUROC, {name}{', features alone' if what != 'score' else ''}"] = f"{auroc:.3f}"
        cells[f"detected, {name}"] = f"{100 * np.mean(found.score[at] > threshold):.0f}"
    return cells


def alarms(title: str, found: Scored, trained: TrainedModel) -> dict[str, str]:
    """False alarms of known frames in percent."""
    assert trained.calibration is not None
    assert trained.calibration.novelty is not None
    threshold = trained.calibration.novelty.threshold or np.inf
    alone = trained.calibration.novelty.feature_threshold or np.inf
    clear = found.labels >= CLEAR_LABEL
    return {
        "known frames": title,
        "n": f"{len(found.labels)}",
        "false alarms": f"{100 * np.mean(found.score > threshold):.1f}",
        "from 10 dB": f"{100 * np.mean(found.score[clear] > threshold):.1f}",
        "features alone": f"{100 * np.mean(found.features_alone > alone):.1f}",
    }


def by_own_pulse(trained: TrainedModel, frames: np.ndarray) -> TrainedModel:
    """The same model, which reads frames by their own pulse."""
    iq = frames.view(np.complex64)[..., 0]
    render: Any = trained.input.receiver
    own = replace(render, response=estimate_response(iq, render.sps))
    return trained._replace(input=replace(trained.input, render=own))  # type: ignore[type-var]


def default(folder: Path, params: Params, options: argparse.Namespace) -> None:
    """Tables of the model with all modulations."""
    start = time.process_time()
    trained, iq, parts = make_model(folder, params, None, options)
    print(f"trained and calibrated in {time.process_time() - start:.0f} s of CPU", flush=True)
    test_frames = stored(iq, parts["test"])
    test = scores_of(trained, test_frames)

    unknown = foreign.unknown_sets(LABELS, options.test, options.seed + 1000)
    found = {title: scores_of(trained, frames) for title, frames in unknown.items()}
    print(f"\n{table([row(title, one, test, trained) for title, one in found.items()])}\n")

    rows = [alarms("test part", test, trained)]
    for title, frames in foreign.known_sets(LABELS, options.test, options.seed + 2000).items():
        own = by_own_pulse(trained, frames.frames)
        rows.append(alarms(title, scores_of(own, frames), trained))
    print(f"{table(rows)}\n", flush=True)

    by_label = [
        f"{label}: {100 * np.mean(found_at.score > _threshold(trained)):.1f}"
        for label in LABELS
        for found_at in [Scored(*(column[test.labels == label] for column in test))]
    ]
    print("false alarms of the test part by label, %: " + ", ".join(by_label))
    _speed(trained, test_frames)
    if options.recordings:
        _recordings(trained, options.recordings)


def _threshold(trained: TrainedModel) -> float:
    assert trained.calibration is not None
    assert trained.calibration.novelty is not None
    return trained.calibration.novelty.threshold or np.inf


def _speed(trained: TrainedModel, test: Frames) -> None:
    """Frames a second of CPU time, of predictions with and without what `known` takes."""
    frames = torch.from_numpy(test.frames[:1024])
    plain = trained._replace(calibration=None)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        trained.model(plain.input.tensors(plain.input.encode(frames)))
        middle = time.process_time()
        predict(trained, frames)
        seconds.append((middle - start, time.process_time() - middle))
    without, everything = len(frames) / np.median(seconds, 0)
    print(f"frames a second of CPU: {without:.0f} logits alone, {everything:.0f} with novelty")


def _recordings(trained: TrainedModel, folder: Path) -> None:
    """Share of known frames of recordings that need no front end, read by their own pulse."""
    for name in RECORDINGS:
        iq = np.fromfile(folder / f"{name}.sigmf-data", np.complex64)
        whole = iq[: len(iq) // foreign.SAMPLES * foreign.SAMPLES].reshape(-1, foreign.SAMPLES)
        frames = foreign.as_real(whole)
        prediction = predict(by_own_pulse(trained, frames), torch.from_numpy(frames))
        names, counts = np.unique(prediction.modulation_prob.argmax(1), return_counts=True)
        named = {trained.modulations[m]: int(n) for m, n in zip(names, counts, strict=True)}
        assert prediction.known is not None
        print(f"{name}: {prediction.known.sum()} of {len(frames)} known; named {named}")


def without_one(folder: Path, params: Params, options: argparse.Namespace) -> None:
    """A row for each modulation left out of training."""
    rows = []
    whole = IqStore(folder / IQ_SHARDS)
    for name in options.left_out or DIGITAL:
        trained, iq, parts = make_model(folder, params, name, options)
        test = scores_of(trained, stored(iq, parts["test"]))
        index = whole.every_frame()
        own = index[index[:, 0] == whole.modulations.index(name)]
        own = fit.first_of_each_cell(own, options.test)
        found = scores_of(trained, stored(whole, own))
        rows.append(row(name, found, test, trained))
        print(rows[-1], flush=True)
    print(f"\n{table(rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--left-out", nargs="*", choices=DIGITAL)
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--test", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--recordings", type=Path)
    options = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in options.set)}
    print(machine_and_date(), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        of_each = options.frames + worlds.VALIDATION + options.test
        params = worlds.params_of("twin", LABELS, of_each, changes)
        worlds.make_data(folder, params, options.seed)
        if options.left_out is None:
            default(folder, params, options)
        else:
            without_one(folder, params, options)


if __name__ == "__main__":
    main()
