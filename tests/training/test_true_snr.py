"""Training works on true SNRs, whatever the labels of the file mean; labels select frames."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pisces import models
from pisces.core import shards
from pisces.core.dsp import measured_snr, to_complex
from pisces.core.shards import Cell
from pisces.data.datasets import StoredFrames, batches
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import Architecture, modelfile
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from pisces.sources.synthesis import synthesize_cell
from pisces.training import components
from pisces.training.augmentation import Augmentation, Augmented
from pisces.training.frames import TrainingData
from pisces.training.noise_aware import eta_report
from pisces.training.objective import LossValues
from pisces.training.trainer import Trainer
from tests import conftest
from tests.conftest import MODULATIONS, SAMPLES, SNRS_DB
from tests.physics import TEXTBOOK
from tests.test_denoiser import awake
from tests.training.tiny import UNCHANGED, configure, make_trainer

CPU = torch.device("cpu")
IQ = {"input": "iq", "model": "cldnn", "batch_size": 9}
DUAL = Settings(paths="dual", film=True, channels=8, dropout=0.0)
KNOWN = DUAL._replace(condition="known")
PHASE_C = 4  # the epoch in which it begins
LABELS = (-5, 0, 10)
"""Of `amplitude_shards`, whose true SNRs are `SNRS_DB`."""


def data_of(
    root: Path, cldnn: Settings = DUAL, augmentation: Augmentation = UNCHANGED, **noise_aware
) -> TrainingData:
    """Three frames of each of nine cells to train on, one to validate."""
    store = IqStore(root)
    index = store.every_frame()
    parts = {"train": index[index[:, 2] < 3], "validation": index[index[:, 2] == 3]}
    settings = conftest.noise_aware(**noise_aware)
    return TrainingData(store, store, parts, Waveform(SAMPLES), augmentation, cldnn, settings)


def trainer_of(data: TrainingData) -> Trainer:
    """Of a cldnn whose denoiser does something, in phase c."""
    trainer = make_trainer(data, **IQ)
    awake(trainer.model.module.denoiser)
    trainer.history = [{}] * (PHASE_C - 1)
    return trainer


def losses_of(data: TrainingData) -> LossValues:
    """Of a frame of each cell."""
    trainer = trainer_of(data)
    batch = next(batches(StoredFrames(data.store, CPU), data.parts["train"][::3], 9))
    rng = np.random.default_rng(5)
    return trainer.objective.training_losses(trainer.model, batch, PHASE_C, rng)


def tasks_of(data: TrainingData) -> list[float]:
    return losses_of(data).tasks.tolist()


def save_teacher(folder: Path) -> str:
    """A model that is conditioned on the true SNR."""
    architecture = Architecture("cldnn", "plain", "standard", KNOWN)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        teacher = models.build(architecture, (2, SAMPLES), len(MODULATIONS), SNRS_DB).eval()
    trained = TrainedModel(teacher, architecture, Waveform(SAMPLES), MODULATIONS, SNRS_DB)
    modelfile.save(folder, trained)
    return str(folder)


@pytest.mark.parametrize("cldnn", [DUAL, KNOWN])
@pytest.mark.parametrize("steps", [{"degrade_db": (2, 8)}, {"degrade_to_db": (-14, 6)}])
def test_losses_are_those_of_the_true_snr(iq_shards, amplitude_shards, tmp_path, cldnn, steps):
    """The same frames give the same losses to the bit, under labels of either convention."""
    changes = {"distillation": 0.5, "teacher": save_teacher(tmp_path), **steps}
    by_power, by_amplitude = (
        losses_of(data_of(root, cldnn, **changes)) for root in (iq_shards, amplitude_shards)
    )
    assert by_amplitude.tasks.tolist() == by_power.tasks.tolist()
    assert by_amplitude.auxiliary == by_power.auxiliary
    assert all(by_power.auxiliary.values())


def test_calibration_and_its_report_are_those_of_the_true_snr(iq_shards, amplitude_shards):
    rows = []
    for root in (iq_shards, amplitude_shards):
        data = data_of(root)
        trainer = trainer_of(data)
        trainer.calibrate()
        steps = batches(StoredFrames(data.store, CPU), data.parts["validation"], 9)
        rows.append(trainer.validate(steps))
    power, amplitude = rows
    assert amplitude["eta_pearson"] == power["eta_pearson"]
    # Columns are named by the labels.
    for label, snr_db in zip(LABELS, SNRS_DB, strict=True):
        assert amplitude[f"eta_mean_{label}dB"] == power[f"eta_mean_{snr_db}dB"]


def test_the_report_clamps_the_true_eta():
    """Labels of 20 and 30 are 40 and 60 dB, both beyond the smallest eta."""
    eta, label_db = np.array([0.0, -8.0, -8.0]), np.array([0.0, 20.0, 30.0])
    assert eta_report(eta, label_db, "amplitude")["eta_pearson"] == pytest.approx(1)
    assert eta_report(eta, label_db, "power")["eta_pearson"] < 0.99


def test_validation_gives_a_conditioned_model_the_true_snr(iq_shards, amplitude_shards):
    found = []
    for root in (iq_shards, amplitude_shards):
        data = data_of(root, KNOWN)
        steps = batches(StoredFrames(data.store, CPU), data.parts["validation"], 9)
        found.append(trainer_of(data).validate(steps))
    power, amplitude = found
    assert amplitude == power


def test_raw_gain_selects_by_label(amplitude_shards):
    """No label is below -7, though a true SNR is."""
    gains = {"probability": 1.0, "low": 0.0, "high": 0.5}
    plain = tasks_of(data_of(amplitude_shards))
    none = data_of(amplitude_shards, raw_gain=gains | {"below_db": -7})
    some = data_of(amplitude_shards, raw_gain=gains | {"below_db": -4})
    assert tasks_of(none) == plain
    assert tasks_of(some) != plain


def test_distillation_selects_by_label(amplitude_shards, tmp_path):
    """No label is from 11 to 30, though a true SNR is."""
    teacher = {"distillation": 0.5, "teacher": save_teacher(tmp_path)}
    none = data_of(amplitude_shards, **teacher, teach_band_db=(11, 30))
    everything = data_of(amplitude_shards, **teacher, teach_band_db=(-5, 10))
    assert losses_of(none).auxiliary["distillation"] == 0
    assert losses_of(everything).auxiliary["distillation"] > 0


def test_mixup_selects_by_label(amplitude_shards):
    """All labels are at least -7, and none is at least 11; of the true SNRs one is not, and one
    is.
    """
    from_db = {
        least: data_of(
            amplitude_shards,
            augmentation=Augmentation(mixup_alpha=1.0, mixup_snr_min_db=least),
        )
        for least in (None, -7, 11)
    }
    assert tasks_of(from_db[-7]) == tasks_of(from_db[None])
    assert tasks_of(from_db[11]) == tasks_of(data_of(amplitude_shards))


def test_a_model_is_saved_with_the_convention(amplitude_shards):
    data = data_of(amplitude_shards)
    model = trainer_of(data).model.module
    trained = components.trained_model(model, configure(**IQ), data)
    assert trained.snr_label == "amplitude"
    modelfile.check_fits(trained, data.store)


# Added noise


@pytest.fixture(params=["power", "amplitude"])
def received(request, tmp_path) -> IqStore:
    """64 frames of each of the labels 24 and 30."""
    count, factor = 64, {"power": 1, "amplitude": 2}[request.param]
    for label in (24, 30):
        iq = synthesize_cell("QPSK", factor * label, range(count), TEXTBOOK, seed=1)
        cell = Cell("QPSK", label)
        frames = iq.view(np.float32).reshape(count, 1024, 2)
        meaning = cell._asdict() | {"snr_label": request.param}
        shards.save(cell.path(tmp_path), {"iq": frames, "row": np.arange(count)}, meaning)
    return IqStore(tmp_path)


def median_snr_db(frames: np.ndarray) -> float:
    return float(10 * np.log10(np.median(measured_snr(to_complex(frames)))))


def test_a_frame_of_lowered_snr_measures_as_those_of_its_new_label(received):
    """From label 30 to 24 there are 6 dB, or 12.

    A frame's measured SNR comes from the median of about 435 exponentials and deviates by 1 / (ln 2
    sqrt(435)), the median of n frames by 1.25 / sqrt(n) of that. Two such medians are compared.
    """
    index = received.every_frame()
    of_24, of_30 = index[index[:, 1] == 0], index[index[:, 1] == 1]
    low, high = received.true_snrs_db
    settings = Augmentation(noise_db=high - low)
    loader = Augmented(received, received, settings, 1, 1, received.snrs_db, CPU)
    batch = loader.prepare(loader.gather(of_30))
    lowered = batch.stored[batch.snr == 0].mT.numpy()  # (n, 2, samples) -> (n, samples, 2)
    assert len(lowered) > 16, "either class is as likely"

    one_frame_db = 4.34 / (np.log(2) * np.sqrt(435))
    deviation_db = 1.25 * one_frame_db * np.sqrt(1 / len(lowered) + 1 / len(of_24))
    wanted_db = median_snr_db(received.gather(of_24))
    assert median_snr_db(lowered) == pytest.approx(wanted_db, abs=5 * deviation_db)
    assert wanted_db == pytest.approx(low, abs=5 * deviation_db)


def test_noise_that_leads_to_no_lower_class_is_not_added(received):
    index = received.every_frame()
    low, high = received.true_snrs_db
    settings = Augmentation(noise_db=high - low - 0.5)
    loader = Augmented(received, received, settings, 1, 1, received.snrs_db, CPU)
    assert torch.equal(loader.prepare(loader.gather(index)).snr, torch.from_numpy(index[:, 1]))
