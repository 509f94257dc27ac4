"""What an SNR label means is measured or told once, kept with the shards, and read by all."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from pisces.attribution.explained_model import ExplainedModel
from pisces.core import shards
from pisces.core.modulations import MODULATIONS
from pisces.core.snr_label import DB_PER_LABEL, convention_in, label_of, true_snr_db
from pisces.evaluation import inference
from pisces.inputs import rendering
from pisces.inputs.drawing import BinStore
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import Architecture
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel
from pisces.pis.masks import build
from pisces.pis.score import measure
from pisces.pis.store import PerturbationPlan
from pisces.sources import sharding, snr_convention
from pisces.sources.audit import Audit
from pisces.sources.settings import Selection
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import MODULATIONS as CLASSES
from tests.conftest import PERTURB, SAMPLES, SNRS_DB, raw_only
from tests.physics import TEXTBOOK

CHOSEN, FRAMES = ("BPSK", "16QAM"), 8


def write_file(path: Path, true_db: dict[int, int]) -> Path:
    """Frames in the layout of RML2018.01A, at a true SNR in dB for each label."""
    iq = np.concatenate(
        [
            synthesize_cell(name, snr_db, range(FRAMES), TEXTBOOK, seed=1)
            for name in CHOSEN
            for snr_db in true_db.values()
        ]
    )
    columns = np.repeat([MODULATIONS.index(name) for name in CHOSEN], len(true_db) * FRAMES)
    with h5py.File(path, "w") as file:
        file["X"] = np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)
        file["Y"] = np.eye(24, dtype=np.int64)[columns]
        file["Z"] = np.tile(np.repeat(list(true_db), FRAMES), len(CHOSEN))[:, None]
    return path


def selection(path: Path | str = "x.h5", labels: tuple[int, ...] = (0,), **changes) -> Selection:
    return Selection(str(path), "fixed", CHOSEN, labels, None, **changes)


def split(path: Path, out: Path, labels: tuple[int, ...], **changes) -> Audit:
    return sharding.split(selection(path, labels, **changes), out)


def table_of(slope: float, labels: list[int]) -> pd.DataFrame:
    measured = [slope * label for label in labels]
    return pd.DataFrame({"snr_db": labels, "measured_snr_db": measured})


@pytest.mark.parametrize("convention", DB_PER_LABEL)
def test_labels_and_true_snrs_are_each_others_inverse(convention):
    labels = np.array([-20, 0, 7, 30])
    assert np.array_equal(label_of(true_snr_db(labels, convention), convention), labels)


def test_a_convention_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"snr_label = 'energy' is no convention .* power, ampl"):
        convention_in({"snr_label": "energy"})


# Found from the measured SNR


@pytest.mark.parametrize(
    ("slope", "found"),
    [(1.0, "power"), (0.9, "power"), (1.4, "power"), (1.6, "amplitude"), (2.0, "amplitude")],
)
def test_the_nearer_slope_decides(slope, found):
    meaning = snr_convention.meaning_of(selection(), table_of(slope, [0, 10, 20, 30]), 1024)
    assert (meaning.snr_label, meaning.known_from) == (found, "measured")
    assert meaning.fit.agrees is (slope in (1, 2))


def test_labels_whose_noise_cannot_be_measured_do_not_count():
    """Measured SNRs are flat below -9 dB, which is label -4.5."""
    labels = list(range(-20, 31, 2))
    table = pd.DataFrame({"snr_db": labels, "measured_snr_db": [max(2 * x, -9) for x in labels]})
    meaning = snr_convention.meaning_of(selection(), table, 1024)
    assert meaning.snr_label == "amplitude"
    assert meaning.fit.slope == pytest.approx(2)


@pytest.mark.parametrize(
    ("labels", "samples"), [([10], 1024), ([], 1024), ([0, 10, 20], snr_convention.SHORTEST - 1)]
)
def test_power_is_assumed_where_nothing_can_be_measured(labels, samples):
    meaning = snr_convention.meaning_of(selection(), table_of(2, labels), samples)
    assert (meaning.snr_label, meaning.known_from) == ("power", "assumed")


@pytest.mark.parametrize(
    ("told", "slope", "other"), [("power", 2, "amplitude"), ("amplitude", 1, "power")]
)
def test_a_convention_that_the_measurement_contradicts_is_refused_unless_forced(told, slope, other):
    table = table_of(slope, [0, 10, 20])
    with pytest.raises(
        ValueError,
        match=rf"data.snr_label = {told}.* x.h5 .* rises by {slope}.00 dB, as with {other}; "
        rf"set data.snr_label to {other} or auto, or data.snr_label_forced to true",
    ):
        snr_convention.meaning_of(selection(snr_label=told), table, 1024)

    forced = selection(snr_label=told, snr_label_forced=True)
    meaning = snr_convention.meaning_of(forced, table, 1024)
    assert (meaning.snr_label, meaning.known_from) == (told, "params")
    assert not meaning.fit.agrees


def test_a_convention_that_cannot_be_measured_is_as_told():
    meaning = snr_convention.meaning_of(selection(snr_label="amplitude"), table_of(1, [10]), 1024)
    assert (meaning.snr_label, meaning.known_from) == ("amplitude", "params")


# Kept with the data


@pytest.mark.parametrize(("convention", "factor"), DB_PER_LABEL.items())
def test_a_split_finds_the_convention_and_rendering_keeps_it(tmp_path, convention, factor):
    labels = (0, 10, 20, 30)
    file = write_file(tmp_path / "x.h5", {label: factor * label for label in labels})
    found = split(file, tmp_path / "iq", labels)
    assert found.details["snr_label"] == convention
    assert found.headline["slope"] == pytest.approx(factor, abs=0.03)
    assert not any("SNR" in warning for warning in found.warnings)

    rendering.render(tmp_path / "iq", tmp_path / "constellations", raw_only())
    for store in (IqStore(tmp_path / "iq"), BinStore(tmp_path / "constellations")):
        assert store.snr_label == convention
        assert store.snrs_db == labels
        assert store.true_snrs_db == tuple(factor * label for label in labels)


def test_every_shard_says_it_and_holds_the_same_frames(tmp_path):
    labels = (0, 10, 20)
    file = write_file(tmp_path / "x.h5", {label: 2 * label for label in labels})
    for out in ("iq", "again"):
        split(file, tmp_path / out, labels)
    with h5py.File(file) as whole:
        frames = whole["X"][:].reshape(len(CHOSEN), len(labels), FRAMES, 1024, 2)

    for cell in shards.cells(tmp_path / "iq"):
        path = cell.path(tmp_path / "iq")
        m, s = CHOSEN.index(cell.modulation), labels.index(cell.snr_db)
        assert shards.attributes(path)["snr_label"] == "amplitude"
        assert np.array_equal(shards.array(path, "iq"), frames[m, s])
        assert path.read_bytes() == cell.path(tmp_path / "again").read_bytes()


def test_a_refused_convention_leaves_no_shards(tmp_path):
    labels = (0, 10, 20)
    file = write_file(tmp_path / "x.h5", {label: 2 * label for label in labels})
    with pytest.raises(ValueError, match=r"data.snr_label = power.*rises by 2"):
        split(file, tmp_path / "iq", labels, snr_label="power")
    assert not (tmp_path / "iq").exists()

    found = split(file, tmp_path / "iq", labels, snr_label="power", snr_label_forced=True)
    assert shards.snr_label(tmp_path / "iq") == "power"
    assert any("rises by 2.0" in warning for warning in found.warnings)


@pytest.mark.parametrize("slope", [0.3, 2.6])
def test_a_slope_of_neither_convention_decides_nothing(slope):
    """Behind a receiver's low-pass the measured SNR hardly rises with the label."""
    table = table_of(slope, [0, 10, 20, 30])
    found = snr_convention.meaning_of(selection(snr_label="auto"), table, 1024)
    assert (found.snr_label, found.known_from) == ("power", "assumed")

    told = snr_convention.meaning_of(selection(snr_label="amplitude"), table, 1024)
    assert (told.snr_label, told.known_from) == ("amplitude", "params")


def test_one_label_is_taken_as_power_with_a_warning(tmp_path):
    found = split(write_file(tmp_path / "x.h5", {10: 20}), tmp_path / "iq", (10,))
    assert shards.snr_label(tmp_path / "iq") == "power"
    assert any("power is assumed" in warning for warning in found.warnings)


def test_shards_without_a_convention_mean_power(iq_shards):
    assert "snr_label" not in shards.attributes(shards.cells(iq_shards)[0].path(iq_shards))
    assert shards.snr_label(iq_shards) == "power"
    assert IqStore(iq_shards).true_snrs_db == SNRS_DB


def test_shards_of_an_unknown_convention_are_refused(tmp_path):
    path = shards.Cell("QPSK", 10).path(tmp_path)
    shards.save(path, {"row": np.arange(2)}, {"snr_label": "energy"})
    with pytest.raises(ValueError, match=r"SNR_10.h5: snr_label = 'energy'"):
        shards.snr_label(tmp_path)


# Read by predictions, scores and attributions


class Oracle(Classifier):
    """Scores all classes alike, and notes the true SNRs that it is given."""

    is_conditioned = True

    def __init__(self) -> None:
        super().__init__()
        self.given: list[float] = []

    def forward(
        self, frames: torch.Tensor, snr_db: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.given += snr_db.tolist()
        return torch.zeros(len(frames), len(CLASSES)), torch.zeros(len(frames), len(SNRS_DB))


def test_predictions_say_the_convention_and_estimate_the_true_snr(amplitude_shards, monkeypatch):
    monkeypatch.setattr(inference, "device", lambda: torch.device("cpu"))
    store, model = IqStore(amplitude_shards), Oracle()
    architecture = Architecture("cldnn", "plain", "standard")
    classes = store.modulations, store.snrs_db
    trained = TrainedModel(model, architecture, Waveform(SAMPLES), *classes, store.snr_label)

    found = inference.predict_frames(trained, store, store.every_frame()[::20])
    assert str(found["snr_label"]) == "amplitude"
    assert found["snr_true_db"].tolist() == [-5, 0, 10] * 3
    assert model.given == [-10, 0, 20] * 3
    assert found["snr_estimate_db"] == pytest.approx(np.mean(SNRS_DB), abs=1e-5)


@pytest.fixture
def explained(amplitude_shards, tmp_path) -> ExplainedModel:
    """A model of raw frames that is conditioned on the true SNR."""
    (tmp_path / "split_hdf5").symlink_to(amplitude_shards)
    rendering.render(amplitude_shards, tmp_path / "constellations", raw_only())
    store = BinStore(tmp_path / "constellations")
    architecture = Architecture("cldnn", "plain", "standard")
    classes = store.modulations, store.snrs_db
    trained = TrainedModel(Oracle(), architecture, Waveform(SAMPLES), *classes, store.snr_label)
    prober = trained.input.prober(tmp_path, "zero", 1)
    return ExplainedModel.on_device(trained, prober, store, 1, torch.device("cpu"))


def test_scores_and_attributions_give_a_conditioned_model_the_true_snr(explained):
    index = explained.data.every_frame()[::20]
    assert explained.snr_db(index).tolist() == [-10, 0, 20] * 3

    masks = tuple(build(("raw",), PERTURB, raw_only().size))
    plan = PerturbationPlan(index, masks, PERTURB, 1, raw_only())
    measure(explained.model, explained.prober, explained.data, plan, torch.device("cpu"))
    assert set(explained.model.given) == set(SNRS_DB)
