"""The model card, and what is put into the package with it."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from pisces import __main__, models
from pisces.core import yaml
from pisces.core.files import write_csv, write_json
from pisces.inputs.drawing import Drawing
from pisces.models import Architecture, modelfile, shipped
from pisces.models.modelfile import TrainedModel
from pisces.prediction import fit
from pisces.report.model_card import Known, text
from pisces.run import provenance
from tests.conftest import MODULATIONS, RENDER, SNRS_DB, draw

ROOT = Path(__file__).parents[1]
ARCHITECTURE = Architecture("pixel_set", "plain", "standard")
ACCURACY = pd.DataFrame(
    {
        "snr_db": SNRS_DB,
        "frames": 100,
        **{
            f"{task}{ending}": [share + 0.1 * step for step in range(3)]
            for task, start in (("modulation", 0.31), ("snr", 0.51), ("joint", 0.21))
            for ending, share in (("", start), ("_ci_low", start - 0.1), ("_ci_high", start + 0.1))
        },
    }
)
CEILING = pd.DataFrame(
    {
        "snr_db": SNRS_DB * 2,
        "task": "modulation",
        "series": ["model"] * 3 + ["ceiling"] * 3,
        "accuracy": [0.1, 0.2, 0.3, 0.666, 0.777, 0.888],
    }
)
EVALUATION = {
    **{task: {"accuracy": 0.4, "ci_low": 0.3, "ci_high": 0.5} for task in ("modulation", "snr")},
    "joint": {"accuracy": 0.4, "ci_low": 0.3, "ci_high": 0.5},
    "calibration": {
        **{"modulation_ece": 0.012, "snr_ece": 0.02},
        **{"snr_coverage": 0.913, "snr_interval_db": 2.5, "false_alarms": 0.047},
    },
}
RUN = {"epochs": 3, "device": "a processor", "precision": "32-true", "threads": 2}


@pytest.fixture(scope="module")
def calibrated(data, iq_data, index) -> TrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shape = Drawing(RENDER, draw("log_histogram")).shape
        model = models.build(ARCHITECTURE, shape, len(MODULATIONS), SNRS_DB)
        model(torch.rand(16, *shape))
    seen = Drawing(replace(RENDER, **vars(data.render)), draw("log_histogram"))
    trained = TrainedModel(model.eval(), ARCHITECTURE, seen, MODULATIONS, SNRS_DB)
    row = index[:, 2]
    parts = {"train": index[row < 8], "validation": index[row >= 8], "test": index[row >= 14]}
    return fit.calibrated(trained, data, iq_data, parts)


@pytest.fixture
def repository(calibrated, tmp_path, monkeypatch) -> Path:
    """One in which `calibrated` was trained and evaluated by the default preset."""
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    modelfile.save(tmp_path / "models", calibrated)
    write_json(tmp_path / "models/run.json", RUN)
    write_json(tmp_path / "metrics/evaluate.json", EVALUATION)
    write_csv(tmp_path / "plots/accuracy_by_snr.csv", ACCURACY)
    write_csv(tmp_path / "plots/ceiling.csv", CEILING)
    write_lock(tmp_path, yaml.read(ROOT / "presets/default.yaml"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_lock(root: Path, params: dict[str, Any]) -> None:
    """What DVC writes after a run, of the files that lie there and of some that do not."""

    def entry(path: str) -> dict[str, str]:
        file = root / path
        return {"path": path, "md5": provenance.md5(file) if file.is_file() else f"md5 of {path}"}

    def stage(sections: tuple[str, ...], deps: tuple[str, ...], outs: tuple[str, ...]) -> dict:
        read = {section: params[section] for section in sections}
        return {
            "params": {"params.yaml": read},
            "deps": [entry(path) for path in deps],
            "outs": [entry(path) for path in outs],
        }

    raw, weights = params["data"]["path"], "models/model.safetensors"
    predictions, split = "data/predictions.npz", "data/splits.npz"
    tables = ("metrics/evaluate.json", "plots/accuracy_by_snr.csv")
    stages = {
        "synthesize": stage(("synthesize",), (), ("data/raw/synthetic.hdf5",)),
        "split_hdf5": stage(("data",), (raw,), ()),
        "render": stage(("render",), (), ()),
        "stratify": stage(("stratify",), (), (split,)),
        "train": stage(("train",), (split,), (weights,)),
        "evaluate": stage(("evaluate",), (weights,), (predictions, *tables)),
        "limits": stage((), (predictions,), ("plots/ceiling.csv",)),
    }
    write_json(root / "dvc.lock", {"schema": "2.0", "stages": stages})


def command(monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["pisces", *arguments])
    __main__.main()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def card_of(monkeypatch) -> str:
    command(monkeypatch, "model-card")
    return Path("models/README.md").read_text()


@pytest.mark.usefixtures("repository")
def test_the_card_tells_what_lies_in_the_repository(monkeypatch):
    card = card_of(monkeypatch)
    assert "| -10 | 100 | 31.0 % (21.0 to 41.0) | 66.6 % | 51.0 % (41.0 to 61.0) |" in card
    assert "| 20 | 100 | 51.0 % (41.0 to 61.0) | 88.8 % |" in card
    assert "of the modulation: 0.012." in card
    assert "hold 91.3 % of test frames; mean width 2.50 dB" in card
    assert "4.7 % of test frames" in card
    assert "3 epochs on a processor, precision 32-true, 2 threads" in card
    assert "md5 of data/raw/synthetic.hdf5" in card
    assert "python -m pisces preset default\n    dvc repro evaluate limits\n" in card
    assert "license: mit\n" in card
    for name in ("model.safetensors", "model.json"):
        assert f"| `{name}` | `{sha256(Path('models') / name)}` |" in card


@pytest.mark.usefixtures("repository")
def test_the_same_model_has_the_same_card(monkeypatch):
    assert card_of(monkeypatch) == card_of(monkeypatch)


def test_its_links_lead_to_the_docs(repository, monkeypatch):
    shutil.copytree(ROOT / "docs", repository / "docs")
    targets = re.findall(r"\]\(([^)]+)\)", card_of(monkeypatch))
    assert len(targets) > 2
    assert [one for one in targets if not (repository / "models" / one).is_file()] == []


def test_params_that_differ_from_the_nearest_preset_are_named(repository, monkeypatch):
    params = yaml.read(ROOT / "presets/default.yaml")
    params["train"]["lr"] = 0.125
    params["render"]["views"] = ["raw"]
    write_lock(repository, params)
    edits = "-S 'render.views=[\"raw\"]' -S train.lr=0.125"
    assert f"    dvc exp run {edits} evaluate limits\n" in card_of(monkeypatch)


def test_a_file_of_others_has_a_licence_of_its_own(repository, monkeypatch):
    params = yaml.read(ROOT / "presets/default.yaml")
    params["data"]["path"] = "/somewhere/RML2018.hdf5"
    write_lock(repository, params)
    card = card_of(monkeypatch)
    assert "license: other\n" in card
    assert "CC BY-NC-SA" in card
    assert "roll-off" not in card  # what is not generated has no pulse that is known


def test_figures_of_another_model_are_not_told(repository, calibrated, monkeypatch, capsys):
    with torch.no_grad():
        next(calibrated.model.parameters()).add_(1)
    try:
        modelfile.save(repository / "models", calibrated)
    finally:
        with torch.no_grad():
            next(calibrated.model.parameters()).sub_(1)
    card = card_of(monkeypatch)
    assert "31.0 %" not in card
    assert "roll-off" not in card
    assert "how it was made, its accuracy, its ceiling" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "figure", "stays"),
    [
        ("plots/accuracy_by_snr.csv", "31.0 %", "roll-off"),
        ("plots/ceiling.csv", "66.6 %", "31.0 %"),
        ("metrics/evaluate.json", "0.012", "roll-off"),
    ],
)
def test_an_edited_or_missing_table_is_not_told(repository, monkeypatch, path, figure, stays):
    file = repository / path
    for damage in (lambda: file.write_text(file.read_text() + "\n"), file.unlink):
        damage()
        card = card_of(monkeypatch)
        assert figure not in card
        assert stays in card


def test_labels_that_are_half_of_the_snr_are_told_in_db():
    card = {
        "model": "pixel_set",
        "modulations": MODULATIONS,
        "snrs_db": SNRS_DB,
        "snr_label": "amplitude",
        "input": {"kind": "waveform"},
    }
    known = Known(card, 7, 256, None, {}, None, None, EVALUATION, ACCURACY, None)
    written = text(known, "docs")
    assert "| -20 | 100 | 31.0 %" in written
    assert "-20 to 40 dB" in written
    assert "an unknown number of samples a symbol" in written


# Into the package


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """Where `ship` puts a model."""
    folder = tmp_path / "package/pisces/shipped"
    monkeypatch.setattr(shipped, "SHIPPED", folder)
    return folder


@pytest.mark.usefixtures("repository")
def test_what_is_shipped_fits_its_checksums_and_its_card(package, monkeypatch):
    command(monkeypatch, "ship")
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=package)
    assert done.returncode == 0
    assert sorted(path.name for path in package.iterdir()) == sorted(
        ("model.safetensors", "model.json", "README.md", "SHA256SUMS")
    )
    assert sha256(package / "model.safetensors") in (package / "README.md").read_text()

    same = [modelfile.load(folder) for folder in (Path("models"), package)]
    weights = [one.model.state_dict() for one in same]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_model_of_which_little_is_known_is_not_shipped(repository, package, monkeypatch):
    (repository / "metrics/evaluate.json").unlink()
    with pytest.raises(ValueError, match="are not known: its accuracy; ship it from"):
        command(monkeypatch, "ship")
    (repository / "dvc.lock").unlink()
    with pytest.raises(ValueError, match="are not known: how it was made, its accuracy"):
        command(monkeypatch, "ship")
    assert not package.exists()


def test_a_model_without_calibration_is_not_shipped(repository, package, calibrated, monkeypatch):
    modelfile.save(repository / "models", calibrated._replace(calibration=None))
    with pytest.raises(ValueError, match=r"models/model.json has no calibration.*dvc repro train"):
        command(monkeypatch, "ship")
    assert not package.exists()


def test_the_nearest_preset_is_the_one_that_was_applied(repository):
    assert repository == Path.cwd()
    for name in ("smoke", "field"):
        content = __main__.presets.on_defaults(__main__.presets.overlay(name))
        params = dict(__main__.presets.leaves(json.loads(json.dumps(content))))
        assert provenance.nearest_preset(params) == provenance.Preset(name, {})
