"""What a model predicts of frames: named, ordered and normalised as promised."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pisces import models
from pisces.core.seeding import generator
from pisces.evaluation import inference
from pisces.evaluation.inference import bypass_denoiser, predict, predict_frames, predict_iq
from pisces.inputs.drawing import Drawing
from pisces.inputs.waveform import Waveform
from pisces.models import Architecture
from pisces.models.classifier import Classifier
from pisces.models.cldnn import Settings
from pisces.models.modelfile import TrainedModel
from tests.conftest import MODULATIONS, RENDER, SAMPLES, SIZE, SNRS_DB, draw
from tests.test_denoiser import awake

CPU = torch.device("cpu")
DRAWING = Drawing(replace(RENDER, samples=0), draw("histogram"))
ARCHITECTURE = Architecture("resnet18", "plain", "standard")


class BySpread(Classifier):
    """Predicts from the sum of squares of the counts of the first view, and always the last SNR.

    Above 700 it is the second modulation, else the first.
    """

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
    predicted = predict_frames(trained, data, shuffled)
    shapes = {name: values.shape for name, values in predicted.items()}
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
        "snr_label": (),
        "snr_source": (),
        "note": (),
    }
    assert shapes == per_frame | others
    assert all(
        predicted[name].dtype == np.int64 for name in ("snr_true_db", "snr_pred_db", "frame")
    )
    for task, labels in (("modulation", predicted["modulations"]), ("snr", predicted["snrs_db"])):
        probability = predicted[f"{task}_prob"]
        assert probability.dtype == np.float32
        # Three roundings of float32.
        assert probability.sum(1) == pytest.approx(1, abs=4e-7)
        assert probability.min() > 0
        assert len(np.unique(probability, axis=0)) > 1
        chosen = predicted["modulation_pred" if task == "modulation" else "snr_pred_db"]
        assert np.array_equal(chosen, labels[probability.argmax(1)])
    assert np.array_equal(predicted["frame"], shuffled)
    assert predicted["modulation_true"].tolist() == [MODULATIONS[m] for m in shuffled[:, 0]]
    assert predicted["snr_true_db"].tolist() == [SNRS_DB[s] for s in shuffled[:, 1]]


@pytest.mark.usefixtures("on_cpu")
def test_each_prediction_belongs_to_its_frame(data, shuffled):
    by_spread = TrainedModel(BySpread(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)
    predicted = predict_frames(by_spread, data, shuffled)

    first_views = [row[row < SIZE * SIZE] for row in data.bins(shuffled)]
    spread = np.array([np.sum(np.bincount(view).astype(float) ** 2) for view in first_views])
    expected = np.where(spread > 700, "QPSK", "4ASK")
    assert np.array_equal(predicted["modulation_pred"], expected)

    probability = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    mean_db = probability @ np.array(SNRS_DB)
    assert predicted["snr_estimate_db"] == pytest.approx(mean_db, rel=1e-6)
    assert predicted["snr_source"] == "mean of the SNR head"
    assert predicted["note"] == ""
    assert set(expected) == {"QPSK", "4ASK"}
    assert set(predicted["snr_pred_db"].tolist()) == {20}


@pytest.mark.usefixtures("on_cpu")
def test_batch_size_does_not_matter(trained, data, shuffled, monkeypatch):
    together = predict_frames(trained, data, shuffled)
    monkeypatch.setattr(inference, "BATCH", 23)
    apart = predict_frames(trained, data, shuffled)
    assert apart["modulation_prob"] == pytest.approx(together["modulation_prob"], abs=1e-5)
    assert np.array_equal(apart["frame"], together["frame"])


def test_frames_from_anywhere_are_predicted_like_those_of_a_shard(trained, data, iq_data, shuffled):
    some = shuffled[:5]
    frames = torch.from_numpy(iq_data.gather(some))
    for one, stored in ((trained, data), (iq_model(Settings(film=True)), iq_data)):
        expected = predict(one.model, one.input.tensors(stored.encode(frames)), torch.zeros(5))
        for logits, wanted in zip(predict_iq(one, frames), expected, strict=True):
            assert torch.equal(logits, wanted)
            assert not logits.requires_grad

    message = r"takes frames of shape \(n, 256, 2\), I then Q, not \(5, 128, 2\); cut them"
    with pytest.raises(ValueError, match=message):
        predict_iq(iq_model(Settings()), frames[:, :128])


# Models of raw IQ


def iq_model(settings: Settings, samples: int = SAMPLES) -> TrainedModel:
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
def test_an_estimated_noise_fraction_is_given_in_db(iq_data, shuffled):
    trained = iq_model(Settings(film=True))
    predicted = predict_frames(trained, iq_data, shuffled)
    frames = iq_data.prepare(iq_data.gather(shuffled), CPU)
    with torch.inference_mode():
        eta = trained.model.estimate(frames)
        modulation, snr = trained.model(frames)
    assert predicted["snr_estimate_db"] == pytest.approx(
        -10 / np.log(10) * eta.numpy(), rel=1e-4, abs=1e-4
    )
    assert predicted["snr_estimate_db"].std() > 0.01
    assert predicted["snr_source"] == "estimated noise fraction"
    assert predicted["modulation_prob"] == pytest.approx(modulation.softmax(1).numpy(), abs=1e-5)
    assert predicted["snr_prob"] == pytest.approx(snr.softmax(1).numpy(), abs=1e-5)


@pytest.mark.usefixtures("on_cpu")
def test_a_model_conditioned_on_the_true_snr_takes_labels_and_others_do_not(iq_data, shuffled):
    known = iq_model(Settings(paths="denoised", film=True, condition="known"))
    predicted = predict_frames(known, iq_data, shuffled)
    frames = iq_data.prepare(iq_data.gather(shuffled), CPU)
    true, wrong = (
        torch.tensor([float(SNRS_DB[s]) + off for s in shuffled[:, 1]]) for off in (0, 5)
    )
    probability = [
        predict(known.model, frames, snr_db)[0].softmax(1).numpy() for snr_db in (true, wrong)
    ]
    assert predicted["modulation_prob"] == pytest.approx(probability[0], abs=1e-5)
    assert np.abs(probability[0] - probability[1]).max() > 1e-4
    assert predicted["snr_estimate_db"] == pytest.approx(
        predicted["snr_prob"] @ np.array(SNRS_DB), abs=1e-4
    )
    blind = iq_model(Settings(paths="denoised", film=True))
    assert all(
        map(torch.equal, predict(blind.model, frames, true), predict(blind.model, frames, wrong))
    )


@pytest.mark.usefixtures("on_cpu")
def test_predictions_of_a_bypassed_denoiser_carry_a_note(iq_data, shuffled):
    trained = iq_model(Settings(paths="denoised"))
    bypass_denoiser(trained)
    assert predict_frames(trained, iq_data, shuffled[:2])["note"] == inference.BYPASSED


def test_a_bypassed_denoiser_is_out_of_the_way():
    trained = iq_model(Settings(paths="denoised"))
    frames = torch.randn(3, 2, SAMPLES, generator=torch.Generator().manual_seed(1))
    before = trained.model(frames)[0]
    bypass_denoiser(trained)
    after = trained.model(frames)[0]
    assert not torch.equal(after, before)
    for parameter in trained.model.denoiser.parameters():
        parameter.data.zero_()
    assert torch.equal(trained.model(frames)[0], after)


def test_there_must_be_a_denoiser_to_bypass(trained):
    for one in (trained, iq_model(Settings(film=True))):
        model = one.architecture.model
        message = rf"evaluate.bypass_denoiser = true, .* {model} has no denoiser; set it to false"
        with pytest.raises(ValueError, match=message):
            bypass_denoiser(one)


@pytest.mark.usefixtures("on_cpu")
@pytest.mark.parametrize(
    ("has_bf16", "asked", "expected"),
    [
        (True, "auto", torch.bfloat16),
        (True, "32-true", torch.float32),
        (False, "auto", torch.float32),
    ],
)
def test_passes_are_in_bf16_where_training_would_be_and_repeat_to_the_bit(
    trained, data, shuffled, monkeypatch, has_bf16, asked, expected
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": has_bf16})
    lower = trained._replace(model=copy.deepcopy(trained.model))
    inference.choose_precision(lower, asked)
    images = DRAWING.tensors(torch.from_numpy(data.bins(shuffled)))
    snr_db = torch.zeros(len(images))

    logits, scores = predict(lower.model, images, snr_db)
    assert (logits.dtype, scores.dtype) == (expected, expected)
    again, _ = predict(lower.model, images, snr_db)
    assert torch.equal(logits, again)

    whole, _ = predict(trained.model, images, snr_db)
    # bfloat16 has 8 binary digits; the errors of 20 layers add up.
    tolerance = 20 * 2**-8 * whole.abs().max().item() if expected is torch.bfloat16 else 0
    torch.testing.assert_close(logits.float(), whole, rtol=0, atol=tolerance)


@pytest.mark.usefixtures("on_cpu")
def test_what_a_gpu_trained_in_16_bits_a_cpu_predicts_in_32(trained):
    lower = trained._replace(model=copy.deepcopy(trained.model))
    inference.choose_precision(lower, "16-mixed")
    images = torch.zeros(1, *DRAWING.shape)
    assert predict(lower.model, images, torch.zeros(1))[0].dtype == torch.float32


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("shape", [(0, SAMPLES, 2), (0, 1, 2), (3, 1, 2), (3, 0, 2), (0, 0, 2)])
@pytest.mark.parametrize("views", [("raw",), ("noise",), ("differential",), RENDER.views, None])
def test_frames_that_hold_nothing_are_refused(trained, shape, views):
    """Of images of any views, and of the frames themselves."""
    if views is None:
        one = iq_model(Settings())
    else:
        one = trained._replace(input=Drawing(replace(RENDER, views=views), draw("histogram")))
    with pytest.raises(ValueError, match=r"hold nothing .* one frame or more.* of 2 samples"):
        predict_iq(one, torch.ones(shape))
