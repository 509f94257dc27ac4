"""What a model calls unlike all it was trained on: what it should, and known frames.

    python -m benchmarks.novelty [--preset field] [--labels=-6:30:4] [--left-out [BPSK ...]]
        [--frames 48] [--test 24] [--seed 1] [--set train.epochs=12 ...] [--folder kept]
        [--model FOLDER]

A model of a preset is trained and calibrated through the library, as the stage `train` does it;
`--model` takes a finished one of that preset instead. AUROC is against test frames of the same
world, the rate of detection that at the threshold of the card. Strange frames have the physics of
the preset, unless they are another signal altogether. `--left-out` trains a model without each of
the modulations named, without names all 17 in turn, and scores the one left out. Known frames from
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
from benchmarks.foreign import Frames, World
from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.config import presets
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

LABELS = tuple(range(-6, 31, 4))
CLEAR_DB = 10
"""True SNR from which on a frame counts as clear."""


class Scored(NamedTuple):
    """Of n frames, (n,) each."""

    score: np.ndarray
    features_alone: np.ndarray
    snrs_db: np.ndarray
    """True SNRs."""

    def at(self, chosen: np.ndarray) -> "Scored":
        """The frames of a mask (n,)."""
        return Scored(*(column[chosen] for column in self))


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


def scores_of(trained: TrainedModel, known: Frames, world: World) -> Scored:
    """Novelty of frames, all of it and that of the features alone."""
    found = evidence.of_frames(trained, torch.from_numpy(known.frames))
    prediction = of_evidence(trained, found)
    assert trained.calibration is not None
    assert found.features is not None
    assert prediction.novelty is not None
    logits = found.modulation_logits, found.snr_logits
    alone = novelty.feature_novelty(found.features, *logits, trained.calibration).numpy()
    return Scored(prediction.novelty, alone, world.true_snrs_db(known.labels))


def row(title: str, found: Scored, test: Scored, trained: TrainedModel) -> dict[str, str]:
    """AUROC and rate of detection of a set, at all SNRs and from 10 dB up."""
    cells = {"frames": title, "n": f"{len(found.score)}"}
    for name, least in (("all SNRs", -np.inf), ("from 10 dB", CLEAR_DB)):
        new, known = (one.at(one.snrs_db >= least) for one in (found, test))
        if not len(new.score):
            continue
        cells[f"AUROC, {name}"] = f"{auroc(new.score, known.score):.3f}"
        cells[f"detected, {name}"] = percent(new.score > thresholds(trained)[0])
        alone = auroc(new.features_alone, known.features_alone)
        cells[f"features alone, {name}"] = f"{alone:.3f}"
    return cells


def by_snr(title: str, found: Scored, test: Scored) -> dict[str, str]:
    """AUROC of a set at each SNR, against test frames of the same."""
    cells = {"frames": title}
    for snr_db in np.unique(test.snrs_db):
        new, known = (one.at(one.snrs_db == snr_db) for one in (found, test))
        value = f"{auroc(new.score, known.score):.2f}" if len(new.score) else "-"
        cells[f"{snr_db:g} dB"] = value
    return cells


def auroc(new: np.ndarray, known: np.ndarray) -> float:
    """Chance that a new frame scores higher than a known one."""
    truth = np.repeat([0, 1], [len(known), len(new)])
    return float(roc_auc_score(truth, np.concatenate([known, new])))


def percent(flagged: np.ndarray) -> str:
    """Share of true values in percent."""
    return f"{100 * np.mean(flagged):.1f}"


def thresholds(trained: TrainedModel) -> tuple[float, float]:
    """Of the score, and of the features alone."""
    assert trained.calibration is not None
    known = trained.calibration.novelty
    assert known is not None
    return known.threshold or np.inf, known.feature_threshold or np.inf


def alarms(title: str, found: Scored, trained: TrainedModel) -> dict[str, str]:
    """False alarms of known frames in percent."""
    whole, alone = thresholds(trained)
    clear = found.at(found.snrs_db >= CLEAR_DB)
    return {
        "known frames": title,
        "n": f"{len(found.score)}",
        "false alarms": percent(found.score > whole),
        "from 10 dB": percent(clear.score > whole),
        "features alone": percent(found.features_alone > alone),
    }


def by_own_pulse(trained: TrainedModel, frames: np.ndarray) -> TrainedModel:
    """The same model, which reads frames by their own pulse."""
    iq = frames.view(np.complex64)[..., 0]
    render: Any = trained.input.receiver
    own = replace(render, response=estimate_response(iq, render.sps))
    return trained._replace(input=replace(trained.input, render=own))  # type: ignore[type-var]


def default(
    trained: TrainedModel, test_frames: Frames, world: World, options: argparse.Namespace
) -> None:
    """Tables of a model with all modulations.

    Args:
        trained: the model, calibrated.
        test_frames: known ones that it has not seen.
        world: that it was trained on.
        options: of the command.
    """
    test = scores_of(trained, test_frames, world)
    unknown = foreign.unknown_sets(world, options.test, options.seed + 1000)
    found = {title: scores_of(trained, frames, world) for title, frames in unknown.items()}
    print(f"\n{table([row(title, one, test, trained) for title, one in found.items()])}\n")
    print(f"{table([by_snr(title, one, test) for title, one in found.items()])}\n", flush=True)

    rows = [alarms("test part", test, trained)]
    for title, frames in foreign.known_sets(world, options.test, options.seed + 2000).items():
        own = by_own_pulse(trained, frames.frames)
        rows.append(alarms(title, scores_of(own, frames, world), trained))
    print(f"{table(rows)}\n", flush=True)

    of_each = [
        f"{snr_db:g} dB: {percent(test.score[test.snrs_db == snr_db] > thresholds(trained)[0])}"
        for snr_db in np.unique(test.snrs_db)
    ]
    print("false alarms of the test part, %: " + ", ".join(of_each))
    _speed(trained, test_frames)


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


def without_one(folder: Path, params: Params, world: World, options: argparse.Namespace) -> None:
    """A row for each modulation left out of training.

    Args:
        folder: of the data.
        params: of data and training.
        world: of the data.
        options: of the command.
    """
    rows, of_each_snr = [], []
    whole = IqStore(folder / IQ_SHARDS)
    for name in options.left_out or DIGITAL:
        trained, iq, parts = make_model(folder, params, name, options)
        test = scores_of(trained, stored(iq, parts["test"]), world)
        index = whole.every_frame()
        own = index[index[:, 0] == whole.modulations.index(name)]
        own = fit.first_of_each_cell(own, options.test)
        found = scores_of(trained, stored(whole, own), world)
        rows.append(row(name, found, test, trained))
        of_each_snr.append(by_snr(name, found, test))
        print(rows[-1], of_each_snr[-1], sep="\n", flush=True)
    print(f"\n{table(rows)}\n\n{table(of_each_snr)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=presets.names(), default="field")
    parser.add_argument("--labels", type=worlds.labels_of, default=LABELS)
    parser.add_argument("--left-out", nargs="*", choices=DIGITAL)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--test", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model", type=Path)
    options = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, value in (c.split("=") for c in options.set)}
    print(machine_and_date(), flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        world = foreign.world_of(options.preset, options.labels)
        if options.model:
            settings = foreign.physics(world)
            made = foreign.generated(
                DIGITAL, options.labels, options.test, settings, options.seed + 500
            )
            default(modelfile.load(options.model), made, world, options)
            return

        of_each = options.frames + worlds.VALIDATION + options.test
        params = worlds.params_of(options.preset, options.labels, of_each, changes)
        worlds.make_data(folder, params, options.seed)
        if options.left_out is not None:
            without_one(folder, params, world, options)
            return
        trained, iq, parts = make_model(folder, params, None, options)
        default(trained, stored(iq, parts["test"]), world, options)


if __name__ == "__main__":
    main()
