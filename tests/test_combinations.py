"""Every backbone, model of raw IQ, branch, SNR head, SNR loss and weighting trains a step and survives save and load.

All combinations of what is ours run on a backbone of a few hundred weights; each of torchvision's backbones meets some of them, on
the smallest image that it can take; each model of raw IQ has frames of 128 samples. `vit_h_14` has one layer of its true width there:
its 32 hold 630 million weights.
"""

import json
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.vision_transformer import VisionTransformer

from pisces.config.schema import MODELS, load_params
from pisces.core import shards
from pisces.core.settings import from_json
from pisces.core.shards import Cell
from pisces.data.datasets import StoredFrames, batches
from pisces.evaluation.inference import predict
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import BACKBONES, BRANCHES, SNR_HEADS, modelfile
from pisces.models.cldnn import Settings
from pisces.training import devices, trainer
from pisces.training.augmentation import Augmentation
from pisces.training.losses import SNR_LOSSES
from pisces.training.settings import TrainingSettings
from pisces.training.weighting import WEIGHTINGS
from tests import conftest
from tests.conftest import draw, raw_only

ROOT = Path(__file__).parents[1]
MODULATIONS, SNRS_DB, FRAMES = ("BPSK", "QPSK"), (-4, 0, 10), 6
UNCHANGED = Augmentation()
COMBINATIONS = [
    (branches, head, loss, weights)
    for branches, head, loss, weights in product(BRANCHES, SNR_HEADS, SNR_LOSSES, WEIGHTINGS)
    if loss != "regression" or head == "regression"
]
SMALLEST = dict.fromkeys(BACKBONES, 8) | {"vit_b_16": 16, "vit_b_32": 32, "vit_h_14": 14}
MET = [*BACKBONES, "resnet18", "resnet34", "resnet50", "swin_tiny", "vit_h_14"]


@pytest.fixture
def put_in_place(monkeypatch):
    """A function that gives a registered backbone another builder."""

    def put(name: str, builder: Callable[..., nn.Module]) -> None:
        monkeypatch.setitem(BACKBONES, name, BACKBONES[name]._replace(builder=builder))

    return put


@pytest.fixture(scope="module")
def make_work(tmp_path_factory, write_constellations):
    """A function that makes a frame of every class, as images of `size` pixels."""
    rng = np.random.default_rng(1)

    def make(size: int) -> trainer.TrainingData:
        cells = {
            Cell(m, s): rng.integers(0, size**2, (1, 64)) for m, s in product(MODULATIONS, SNRS_DB)
        }
        data = BinStore(write_constellations(tmp_path_factory.mktemp("noise"), cells, size))
        index = np.array(list(product(range(len(MODULATIONS)), range(len(SNRS_DB)), [0])))
        drawing = Drawing(raw_only(size), draw("log_histogram"))
        return trainer.TrainingData(
            data, None, {"train": index, "validation": index}, drawing, UNCHANGED
        )

    return make


def assert_trains_and_survives(work, folder, model, branches, head, loss, weights, steps=1) -> None:
    seen = "iq" if model in MODELS["iq"] else "constellation"
    settings = {
        "input": seen,
        "model": model,
        "branches": branches,
        "snr_head": head,
        "snr_loss": loss,
        "weighting": weights,
    }
    train = load_params(ROOT / "params.yaml").train.model_dump(mode="json")
    config = from_json(
        TrainingSettings,
        json.dumps(train | settings | {"batch_size": FRAMES, "accelerator": "cpu"}),
    )
    learner = trainer.Learner(devices.make_fabric("cpu", "32-true"), work, config, seed=1)
    learner.calibrate()
    own = learner.model.module
    before = {name: value.clone() for name, value in own.named_parameters()}
    batch = next(batches(StoredFrames(work.data, torch.device("cpu")), work.parts["train"], FRAMES))
    row = learner.train([batch] * steps, 1, FRAMES * steps)
    assert row["skipped_steps"] == 0
    assert np.isfinite(list(row.values())).all()
    # Adam moves all that has a gradient. Layers with dropout or ReLU may lack one in places, but nowhere all through.
    assert [
        name for name, value in own.named_parameters() if torch.equal(value, before[name])
    ] == []
    assert all(value.isfinite().all() for value in own.state_dict().values())

    own = own.eval().to(
        memory_format=torch.contiguous_format
    )  # as files have it; another format takes sums in another order
    trained = modelfile.TrainedModel(
        own, trainer.architecture_of(config, work), work.input, MODULATIONS, SNRS_DB
    )
    modelfile.save(folder, trained)
    loaded = modelfile.load(folder)
    assert loaded[1:] == trained[1:]
    inputs = work.input.tensors(batch.stored)
    answers = [
        predict(model.model, inputs, learner.snrs_db[batch.snr]) for model in (trained, loaded)
    ]
    assert all(map(torch.equal, *answers))
    assert all(scores.std(0).min() > 0 for scores in answers[0])


@pytest.fixture(scope="module")
def tiny_work(make_work):
    return make_work(8)


@pytest.mark.parametrize(("branches", "head", "loss", "weights"), COMBINATIONS)
def test_all_that_is_ours_on_a_tiny_backbone(
    tiny_work, tmp_path, put_in_place, branches, head, loss, weights
):
    def tiny() -> nn.Module:
        layers = {
            "conv1": nn.Conv2d(3, 4, 3),
            "relu": nn.LeakyReLU(),
            "pool": nn.AdaptiveAvgPool2d(4),
            "flat": nn.Flatten(),
        }
        return nn.Sequential(OrderedDict(layers | {"fc": nn.Linear(64, 10)}))

    put_in_place("resnet18", tiny)
    assert_trains_and_survives(tiny_work, tmp_path, "resnet18", branches, head, loss, weights)


SOME = COMBINATIONS[::9]


@pytest.mark.parametrize(("model", "combination"), list(zip(MET, SOME, strict=False)), ids=str)
def test_every_backbone(make_work, tmp_path, put_in_place, model, combination):
    put_in_place(
        "vit_h_14",
        partial(
            VisionTransformer,
            patch_size=14,
            num_layers=1,
            num_heads=16,
            hidden_dim=1280,
            mlp_dim=5120,
        ),
    )
    assert_trains_and_survives(make_work(SMALLEST[model]), tmp_path, model, *combination)


def test_the_backbones_meet_every_name():
    met = list(zip(*SOME[: len(MET)], strict=True))
    assert len(SOME) >= len(MET)
    assert [set(names) for names in met] == [
        set(BRANCHES),
        set(SNR_HEADS),
        set(SNR_LOSSES),
        set(WEIGHTINGS),
    ]


# Models of raw IQ

FAMILY = {
    "A0": Settings(),
    "A1": Settings(film=True),
    "A2": Settings(paths="denoised"),
    "A3": Settings(paths="dual", soft_blend=True),
    "A4": Settings(paths="dual", film=True),
    "A5": Settings(
        paths="dual",
        film=True,
        expert="v2",
        expert_window=5,
        cyclo=True,
        eta_gate=True,
        denoiser_dropout=0.1,
    ),
    "oracle": Settings(paths="dual", film=True, condition="known"),
}


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> trainer.TrainingData:
    """A frame of every class: a tone of its own in noise of its own."""
    root = tmp_path_factory.mktemp("heard") / "split_hdf5"
    rng = np.random.default_rng(1)
    for m, s in product(range(len(MODULATIONS)), range(len(SNRS_DB))):
        tone = np.exp(2j * np.pi * 0.05 * (1 + m) * np.arange(128)) + 0.5 ** (s + 1) * rng.normal(
            size=(1, 256)
        ).view(complex)
        arrays = {
            "iq": np.stack([tone.real, tone.imag], 2).astype(np.float32),
            "row": np.zeros(1, np.int64),
        }
        shards.save(
            Cell(MODULATIONS[m], SNRS_DB[s]).path(root),
            arrays,
            {"modulation": MODULATIONS[m], "snr_db": SNRS_DB[s]},
        )
    data = IqStore(root)
    index = data.every_frame()
    # Phase c from the start, in which everything learns.
    learning = conftest.noise_aware((0, 0, 0))
    return trainer.TrainingData(
        data,
        data,
        {"train": index, "validation": index},
        Waveform(128),
        UNCHANGED,
        FAMILY["A5"],
        learning,
    )


OTHERS = COMBINATIONS[::7]


@pytest.mark.parametrize(
    ("model", "combination"), list(zip(MODELS["iq"][1:], OTHERS, strict=False)), ids=str
)
def test_every_model_of_raw_iq(heard, tmp_path, model, combination):
    assert_trains_and_survives(heard, tmp_path, model, *combination)


def test_no_model_of_raw_iq_is_left_out():
    """The first of them is the family below."""
    assert MODELS["iq"][0] == "cldnn"
    assert len(OTHERS) >= len(MODELS["iq"][1:])


@pytest.mark.parametrize("name", FAMILY)
def test_every_member_of_the_cldnn_family(heard, tmp_path, name):
    work = heard._replace(cldnn=FAMILY[name]._replace(channels=8, dropout=0.1))
    # The first step makes something of a denoiser and a FiLM that change nothing; what is behind them learns from the second.
    assert_trains_and_survives(
        work, tmp_path, "cldnn", "plain", "standard", "cross_entropy", "kendall", steps=3
    )
