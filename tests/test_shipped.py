"""The model that comes with the package, and the package as pip installs it."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pisces import __main__
from pisces.config import presets
from pisces.config.io import parse_params
from pisces.core import files
from pisces.core.seeding import generator
from pisces.inputs.settings import RenderSettings
from pisces.models import modelfile
from pisces.models.shipped import SHIPPED
from tests.recorded import burst, modulated

ROOT = Path(__file__).parents[1]
PRESET = "field"
"""What the shipped model is trained by; see CONTRIBUTING.md."""

is_there = pytest.mark.skipif(
    not (SHIPPED / modelfile.CARD).is_file(),
    reason="no model has been put into pisces/shipped yet: python -m pisces ship",
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@is_there
def test_its_files_are_those_of_the_checksum_list():
    listed = dict(line.split()[::-1] for line in (SHIPPED / "SHA256SUMS").read_text().splitlines())
    assert set(listed) == {"model.safetensors", "model.json", "README.md"}
    assert {name: sha256(SHIPPED / name) for name in listed} == listed


@is_there
def test_its_card_is_of_these_weights():
    weights = SHIPPED / modelfile.WEIGHTS
    card = json.loads((SHIPPED / modelfile.CARD).read_text())
    assert card["weights_sha256"] == files.sha256(weights)
    assert f"`{sha256(weights)}`" in (SHIPPED / "README.md").read_text()


@is_there
def test_it_is_of_the_preset_that_its_card_names():
    assert f"python -m pisces preset {PRESET}\n" in (SHIPPED / "README.md").read_text()

    trained = modelfile.load(SHIPPED)
    params = parse_params(presets.on_defaults(presets.overlay(PRESET)), PRESET)
    assert trained.architecture.model == params.train.model
    assert set(trained.modulations) == set(params.data.modulations)
    assert trained.snrs_db == params.data.snrs_db
    assert trained.snr_label == params.synthesize.snr_label
    assert trained.input.frame_samples == params.synthesize.samples

    render = params.render.to(RenderSettings)
    measured = ("response", "samples", "extent")  # of the frames, not of the params
    for name, value in vars(render).items():
        if name not in measured:
            assert trained.input.card()["render"][name] == value, name


@is_there
def test_it_says_what_is_known():
    calibration = modelfile.load(SHIPPED).calibration
    assert calibration is not None
    assert calibration.novelty is not None
    assert calibration.novelty.threshold is not None


MODULATIONS = ("BPSK", "QPSK", "16QAM")
RATE_HZ, SAMPLES_PER_SYMBOL, SNR_DB = 1e6, 8.0, 14.0


@pytest.fixture(scope="module")
def recordings(tmp_path_factory) -> list[Path]:
    """A burst of each modulation, as a file sink of GNU Radio writes it."""
    folder = tmp_path_factory.mktemp("recordings")
    paths = []
    for modulation in MODULATIONS:
        rng = generator(3, "a burst for the shipped model", modulation)
        signal = modulated(modulation, 1000, SAMPLES_PER_SYMBOL, rng=rng)
        iq = burst(signal, SNR_DB, before=3000, after=3000, rng=rng)
        paths.append(folder / f"{modulation}.cfile")
        iq.astype(np.complex64).tofile(paths[-1])
    return paths


def assert_right(folder: Path) -> None:
    """Of the predictions for `recordings`."""
    found = json.loads((folder / "predictions.json").read_text())
    assert len(found) == len(MODULATIONS)
    for modulation, one in zip(MODULATIONS, found, strict=True):
        (segment,) = one["segments"]
        assert segment["modulation"] == modulation
        assert segment["snr_db"] == pytest.approx(SNR_DB, abs=3)
        assert segment["known"] is True
        rate_hz = RATE_HZ / SAMPLES_PER_SYMBOL
        assert segment["symbol_rate_hz"] == pytest.approx(rate_hz, rel=1e-3)


@is_there
def test_generated_bursts_are_predicted_right(recordings, tmp_path, monkeypatch):
    paths = [str(path) for path in recordings]
    options = ["--sample-rate", str(RATE_HZ), "--model", str(SHIPPED), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["pisces", "predict", *paths, *options])
    __main__.main()
    assert_right(tmp_path)


# Installed


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The package as pip puts it into an empty folder, from the files that git would commit."""
    folder = tmp_path_factory.mktemp("installed")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    source = folder / "source"
    for name in names.split("\0"):
        wanted = name.startswith(("pisces/", "pyproject.toml", "README.md", "LICENSE"))
        if wanted and (ROOT / name).is_file():
            copy = source / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((ROOT / name).read_bytes())

    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    target = ["--target", str(folder / "site"), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, *target], check=True)
    return folder / "site"


def run_installed(site: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The command `pisces` of that package, from a folder that is no repository."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [site / "bin/pisces", *arguments],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )


@is_there
@pytest.mark.slow
def test_the_installed_command_predicts_elsewhere(installed, recordings, tmp_path):
    paths = [str(path) for path in recordings]
    done = run_installed(installed, tmp_path, "predict", *paths, "--sample-rate", str(RATE_HZ))
    assert done.returncode == 0, done.stderr
    assert f"model: {installed}/pisces/shipped\n" in done.stderr
    assert_right(tmp_path / "predictions")


@pytest.mark.slow
def test_tables_of_the_package_are_installed(installed):
    there = {path.relative_to(ROOT) for path in (ROOT / "pisces").rglob("*.csv")}
    assert there
    assert [name for name in there if not (installed / name).is_file()] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["check", "summary", "preset smoke", "restore", "sync"])
def test_an_installed_command_for_a_repository_says_so(installed, tmp_path, name):
    done = run_installed(installed, tmp_path, *name.split())
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {name.split()[0]} works on a repository of pisces, and ")
    assert list(tmp_path.iterdir()) == []
