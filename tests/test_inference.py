"""What a model says of frames: named, ordered and normalised as promised, and of pictures that lack just the listed pixels."""

import shutil

import numpy as np
import pytest
import torch
from torch import nn

from pisces import models
from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.evaluation import inference
from pisces.evaluation.inference import bypass_denoiser, predict, predict_frames, predict_iq
from pisces.inputs.drawing import Drawing, DrawingProbe
from pisces.inputs.pixels import mask_pixels
from pisces.inputs.waveform import Waveform, WaveformProbe
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from tests.conftest import MODULATIONS, RENDER, SAMPLES, SIZE, SNRS_DB, draw
from tests.test_denoiser import awake

CPU = torch.device("cpu")
DRAWING = Drawing(RENDER, draw("histogram"))
ARCHITECTURE = Architecture("resnet18", "plain", "standard")


class BySpread(nn.Module):
    """Says the second modulation if the counts of the first view have a sum of squares above 700, else the first; always the last SNR."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        peaked = (images[:, 0] ** 2).sum((1, 2)) > 700
        modulation = torch.stack([~peaked, peaked, torch.zeros_like(peaked)], 1).float()
        return modulation, torch.tensor([0.0, 1.0, 2.0]).repeat(len(images), 1)


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, DRAWING.shape, 3, SNRS_DB)
        return TrainedModel(model.eval(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)


@pytest.fixture(scope="module")
def shuffled(index):
    return generator(1, "test inference").permutation(index)[:60]


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(inference, "device", lambda: torch.device("cpu"))


@pytest.mark.usefixtures("on_cpu")
def test_keys_types_and_shapes(trained, data, shuffled):
    said = predict_frames(trained, data, shuffled)
    shapes = {name: values.shape for name, values in said.items()}
    per_frame = dict.fromkeys(
        ("modulation_true", "modulation_pred", "snr_true_db", "snr_pred_db", "snr_estimate_db"),
        (60,),
    )
    others = {
        "modulation_prob": (60, 3),
        "snr_prob": (60, 3),
        "modulations": (3,),
        "snrs_db": (3,),
        "frame": (60, 3),
    }
    assert shapes == per_frame | others
    assert all(said[name].dtype == np.int64 for name in ("snr_true_db", "snr_pred_db", "frame"))
    for task, labels in (("modulation", said["modulations"]), ("snr", said["snrs_db"])):
        probability = said[f"{task}_prob"]
        assert probability.dtype == np.float32
        # Three roundings of float32.
        assert probability.sum(1) == pytest.approx(1, abs=4e-7)
        assert probability.min() > 0
        assert len(np.unique(probability, axis=0)) > 1
        predicted = said["modulation_pred" if task == "modulation" else "snr_pred_db"]
        assert np.array_equal(predicted, labels[probability.argmax(1)])
    assert np.array_equal(said["frame"], shuffled)
    assert said["modulation_true"].tolist() == [MODULATIONS[m] for m in shuffled[:, 0]]
    assert said["snr_true_db"].tolist() == [SNRS_DB[s] for s in shuffled[:, 1]]


@pytest.mark.usefixtures("on_cpu")
def test_each_answer_belongs_to_its_frame(data, shuffled):
    said = predict_frames(
        TrainedModel(BySpread(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB), data, shuffled
    )
    spread = [
        np.sum(np.bincount(row[row < SIZE * SIZE]).astype(float) ** 2)
        for row in data.bins(shuffled)
    ]
    expected = np.where(np.array(spread) > 700, "QPSK", "4ASK")
    assert np.array_equal(said["modulation_pred"], expected)
    weights = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    assert said["snr_estimate_db"] == pytest.approx(
        weights @ np.array(SNRS_DB), rel=1e-6
    )  # the mean under its probabilities
    assert set(expected) == {"QPSK", "4ASK"}
    assert set(said["snr_pred_db"].tolist()) == {20}


@pytest.mark.usefixtures("on_cpu")
def test_batch_size_does_not_matter(trained, data, shuffled, monkeypatch):
    together = predict_frames(trained, data, shuffled)
    monkeypatch.setattr(inference, "BATCH", 23)
    apart = predict_frames(trained, data, shuffled)
    assert apart["modulation_prob"] == pytest.approx(together["modulation_prob"], abs=1e-5)
    assert np.array_equal(apart["frame"], together["frame"])


def test_frames_from_anywhere_are_answered_as_those_of_a_shard_are(
    trained, data, iq_data, shuffled
):
    some = shuffled[:5]
    frames = torch.from_numpy(iq_data.gather(some))
    for one, stored in ((trained, data), (heard(Settings(film=True)), iq_data)):
        expected = predict(one.model, one.input.tensors(stored.encode(frames)), torch.zeros(5))
        for logits, wanted in zip(predict_iq(one, frames), expected, strict=True):
            assert torch.equal(logits, wanted)
            assert not logits.requires_grad
    with pytest.raises(
        ValueError,
        match=r"the model takes frames of shape \(n, 256, 2\), I then Q, not \(5, 128, 2\); cut them",
    ):
        predict_iq(heard(Settings()), frames[:, :128])


def test_remove_pixels_empties_only_the_listed():
    counts = torch.arange(1.0, 13).view(3, 4)
    before = counts.clone()
    emptied = mask_pixels(counts, np.array([3, 0, 2], np.uint16), np.array([0, 1, 1, 3]))
    assert emptied.tolist() == [[1, 2, 3, 0], [5, 6, 7, 8], [0, 10, 0, 12]]
    assert torch.equal(counts, before)


def test_remove_pixels_against_a_loop():
    """On two views of 254 x 254 pixels, the largest image, whose last pixel number is above 2^16."""
    rng = generator(1, "test remove")
    counts = 1 + torch.from_numpy(rng.poisson(1.0, (5, 2 * 254 * 254)).astype(np.float32))
    lists = [rng.choice(2 * 254 * 254, n, replace=False) for n in (0, 700, 1, 0, 300)]
    expected = counts.clone()
    for row, pixels in zip(expected, lists, strict=True):
        row[pixels] = 0
    offsets = np.concatenate([[0], np.cumsum([len(pixels) for pixels in lists])])
    assert torch.equal(mask_pixels(counts, np.concatenate(lists), offsets), expected)


def test_removing_nothing_changes_nothing():
    counts = torch.ones(2, 16)
    assert torch.equal(mask_pixels(counts, np.empty(0, np.uint16), np.zeros(3, np.int64)), counts)


# Models of raw IQ


def heard(settings: Settings, samples: int = SAMPLES) -> TrainedModel:
    """A small cldnn whose denoiser and FiLM do something."""
    architecture = Architecture("cldnn", "plain", "standard", settings._replace(channels=8))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(architecture, (2, samples), 3, SNRS_DB).eval()
        if model.film is not None:
            nn.init.normal_(model.film.gamma.weight)
    if model.has_denoiser:
        awake(model.denoiser)
    return TrainedModel(model, architecture, Waveform(samples), MODULATIONS, SNRS_DB)


@pytest.mark.usefixtures("on_cpu")
def test_an_estimated_noise_fraction_is_told_in_db(iq_data, shuffled):
    trained = heard(Settings(film=True))
    said = predict_frames(trained, iq_data, shuffled)
    frames = iq_data.prepare(iq_data.gather(shuffled), CPU)
    with torch.inference_mode():
        eta = trained.model.estimate(frames)
        modulation, snr = trained.model(frames)
    assert said["snr_estimate_db"] == pytest.approx(
        -10 / np.log(10) * eta.numpy(), rel=1e-4, abs=1e-4
    )
    assert said["snr_estimate_db"].std() > 0.01
    assert said["modulation_prob"] == pytest.approx(modulation.softmax(1).numpy(), abs=1e-5)
    assert said["snr_prob"] == pytest.approx(snr.softmax(1).numpy(), abs=1e-5)


@pytest.mark.usefixtures("on_cpu")
def test_an_oracle_is_told_the_labels_and_nobody_else(iq_data, shuffled):
    oracle = heard(Settings(paths="denoised", film=True, condition="known"))
    said = predict_frames(oracle, iq_data, shuffled)
    frames = iq_data.prepare(iq_data.gather(shuffled), CPU)
    true, wrong = (
        torch.tensor([float(SNRS_DB[s]) + off for s in shuffled[:, 1]]) for off in (0, 5)
    )
    probability = [
        predict(oracle.model, frames, snr_db)[0].softmax(1).numpy() for snr_db in (true, wrong)
    ]
    assert said["modulation_prob"] == pytest.approx(probability[0], abs=1e-5)
    assert np.abs(probability[0] - probability[1]).max() > 1e-4
    assert said["snr_estimate_db"] == pytest.approx(said["snr_prob"] @ np.array(SNRS_DB), abs=1e-4)
    blind = heard(Settings(paths="denoised", film=True))
    assert all(
        map(torch.equal, predict(blind.model, frames, true), predict(blind.model, frames, wrong))
    )


def test_a_bypassed_denoiser_is_out_of_the_way():
    trained = heard(Settings(paths="denoised"))
    frames = torch.randn(3, 2, SAMPLES, generator=torch.Generator().manual_seed(1))
    before = trained.model(frames)[0]
    bypass_denoiser(trained)
    after = trained.model(frames)[0]
    assert not torch.equal(after, before)
    for parameter in trained.model.denoiser.parameters():
        parameter.data.zero_()
    assert torch.equal(trained.model(frames)[0], after)


def test_there_must_be_a_denoiser_to_bypass(trained):
    for one in (trained, heard(Settings(film=True))):
        with pytest.raises(
            ValueError,
            match=rf"evaluate.bypass_denoiser = true, but this {one.architecture.model} has no denoiser; set it to false",
        ):
            bypass_denoiser(one)


# Frames and pictures with points taken out


NONE_TAKEN = (np.empty(0, np.int64), np.zeros(4, np.int64))


@pytest.mark.usefixtures("constellations")
def test_a_model_of_constellations_is_probed_by_its_images(trained, data, iq_shards, shuffled):
    prober = trained.input.prober(iq_shards.parent, "zero", 1)
    pictures = prober.probe(shuffled[:5], CPU)
    assert isinstance(pictures, DrawingProbe)
    assert prober.note == ""
    counts = DRAWING.count(torch.from_numpy(data.bins(shuffled[:5])))
    assert torch.equal(pictures.without([3, 0, 4], *NONE_TAKEN), DRAWING(counts[[3, 0, 4]]))
    lit = [int(counts[i].argmax()) for i in (3, 0, 4)]
    taken = pictures.without([3, 0, 4], np.array(lit), np.arange(4))
    expected = counts[[3, 0, 4]].clone()
    expected[[0, 1, 2], lit] = 0
    assert torch.equal(taken, DRAWING(expected))
    assert not torch.equal(taken, pictures.without([3, 0, 4], *NONE_TAKEN))


@pytest.mark.parametrize(
    ("fill", "said"), [("zero", "silenced"), ("resample", "replaced by others of their frame")]
)
@pytest.mark.usefixtures("constellations")
def test_a_model_of_frames_is_probed_without_the_samples_behind_the_pixels(
    data, iq_data, iq_shards, shuffled, fill, said
):
    """Of the view `raw`, whose points are the samples themselves."""
    prober = heard(Settings()).input.prober(iq_shards.parent, fill, 1)
    assert prober.note == f"model of raw IQ: samples behind the pixels taken are {said}"
    waves = prober.probe(shuffled[:5], CPU)
    assert isinstance(waves, WaveformProbe)
    frames = iq_data.prepare(iq_data.gather(shuffled[:5]), CPU)[[3, 0, 4]]
    assert torch.equal(waves.without([3, 0, 4], *NONE_TAKEN), frames)
    bins = data.gather(shuffled[:5])[0][[3, 0, 4]]
    lit = [np.bincount(row[row < SIZE**2]).argmax() for row in bins]
    found = waves.without([3, 0, 4], np.array(lit), np.arange(4))
    for before, after, row, pixel in zip(frames, found, bins, lit, strict=True):
        gone = row == pixel
        assert 0 < gone.sum() < SAMPLES
        assert torch.equal(after[:, ~gone], before[:, ~gone])
        if fill == "zero":
            assert not after[:, gone].any()
        else:
            kept = set(map(tuple, before[:, ~gone].T.tolist()))
            assert set(map(tuple, after[:, gone].T.tolist())) <= kept


@pytest.mark.usefixtures("constellations")
def test_resampled_frames_hang_on_seed_and_frame_alone(iq_shards, shuffled):
    pixels = np.arange(0, SIZE**2, 2)
    offsets = np.array([0, len(pixels)])
    trained = heard(Settings())

    def seen(seed: int, index: np.ndarray, number: int) -> torch.Tensor:
        prober = trained.input.prober(iq_shards.parent, "resample", seed)
        return prober.probe(index, CPU).without([number], pixels, offsets)

    assert torch.equal(seen(1, shuffled[:5], 3), seen(1, shuffled[3:5], 0))
    assert not torch.equal(seen(1, shuffled[:5], 3), seen(2, shuffled[:5], 3))


def test_a_prober_asks_that_constellations_and_frames_belong_together(data_of_others):
    with pytest.raises(
        ValueError,
        match=r"was not rendered from .*: their rows differ; make it again with dvc repro render",
    ):
        heard(Settings()).input.prober(data_of_others, "zero", 1)


@pytest.fixture
def data_of_others(constellations, iq_shards, tmp_path):
    shutil.copytree(constellations, tmp_path / "constellations")
    root = shutil.copytree(iq_shards, tmp_path / "split_hdf5")
    cell = Cell("QPSK", 0).path(root)
    shards.save(
        cell,
        {"iq": np.array(shards.array(cell, "iq")), "row": np.array(shards.array(cell, "row")) + 1},
        {},
    )
    return tmp_path
