"""What a model says of frames: named, ordered and normalised as promised, and of pictures that lack just the listed pixels."""

import numpy as np
import pytest
import torch
from torch import nn

from pisces import inference, models
from pisces.inference import predict, predict_frames, remove_pixels
from pisces.modelfile import Trained
from pisces.models import Architecture
from pisces.rendering import Drawing
from pisces.seeding import generator
from tests.conftest import MODULATIONS, RENDER, SIZE, SNRS_DB, draw

DRAWING = Drawing(RENDER, draw("histogram"))
ARCHITECTURE = Architecture("resnet18", "plain", "standard")


class BySpread(nn.Module):
    """Says the second modulation if the counts of the first view have a sum of squares above 700, else the first; always the last SNR."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        peaked = (images[:, 0] ** 2).sum((1, 2)) > 700
        modulation = torch.stack([~peaked, peaked, torch.zeros_like(peaked)], 1).float()
        return modulation, torch.tensor([0.0, 1.0, 2.0]).repeat(len(images), 1)


@pytest.fixture(scope="module")
def trained() -> Trained:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = models.build(ARCHITECTURE, DRAWING.channels, SIZE, 3, SNRS_DB)
        return Trained(model.eval(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB)


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
    per_frame = dict.fromkeys(("modulation_true", "modulation_pred", "snr_true_db", "snr_pred_db"), (60,))
    others = {"modulation_prob": (60, 3), "snr_prob": (60, 3), "modulations": (3,), "snrs_db": (3,), "frame": (60, 3)}
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
    said = predict_frames(Trained(BySpread(), ARCHITECTURE, DRAWING, MODULATIONS, SNRS_DB), data, shuffled)
    spread = [np.sum(np.bincount(row[row < SIZE * SIZE]).astype(float) ** 2) for row in data.bins(shuffled)]
    expected = np.where(np.array(spread) > 700, "QPSK", "4ASK")
    assert np.array_equal(said["modulation_pred"], expected)
    assert set(expected) == {"QPSK", "4ASK"}
    assert set(said["snr_pred_db"].tolist()) == {20}


@pytest.mark.usefixtures("on_cpu")
def test_batch_size_does_not_matter(trained, data, shuffled, monkeypatch):
    together = predict_frames(trained, data, shuffled)
    monkeypatch.setattr(inference, "BATCH", 23)
    apart = predict_frames(trained, data, shuffled)
    assert apart["modulation_prob"] == pytest.approx(together["modulation_prob"], abs=1e-5)
    assert np.array_equal(apart["frame"], together["frame"])


def test_predict_leaves_no_gradient(trained):
    modulation, snr = predict(trained.model, DRAWING, torch.ones(2, DRAWING.pixels))
    assert (modulation.shape, snr.shape) == ((2, 3), (2, 3))
    assert not modulation.requires_grad


def test_remove_pixels_empties_only_the_listed():
    counts = torch.arange(1.0, 13).view(3, 4)
    before = counts.clone()
    emptied = remove_pixels(counts, np.array([3, 0, 2], np.uint16), np.array([0, 1, 1, 3]))
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
    assert torch.equal(remove_pixels(counts, np.concatenate(lists), offsets), expected)


def test_removing_nothing_changes_nothing():
    counts = torch.ones(2, 16)
    assert torch.equal(remove_pixels(counts, np.empty(0, np.uint16), np.zeros(3, np.int64)), counts)
