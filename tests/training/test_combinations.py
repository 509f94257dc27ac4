"""Every backbone, model of raw IQ, branch, SNR head, SNR loss and weighting trains and survives
save and load.

What is ours runs on a backbone of a few hundred weights, in combinations in which any two names
meet. Each of torchvision's backbones, with one layer of its true width where it has many, meets one
of them on the smallest image that it can take.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from pisces.core import shards
from pisces.core.shards import Cell
from pisces.data.datasets import StoredFrames, batches
from pisces.evaluation.inference import predict
from pisces.inputs.drawing import BinStore, Drawing
from pisces.inputs.waveform import IqStore, Waveform
from pisces.models import BACKBONES, BRANCHES, SNR_HEADS, modelfile, models_for
from pisces.models.cldnn import Settings
from pisces.training import components
from pisces.training.frames import TrainingData
from pisces.training.losses import SNR_LOSSES
from pisces.training.weighting import WEIGHTINGS
from tests import conftest
from tests.conftest import draw, raw_only
from tests.training.pairwise import cover, pairs
from tests.training.tiny import CPU, UNCHANGED, configure, make_trainer

MODULATIONS, SNRS_DB, FRAMES = ("BPSK", "QPSK"), (-4, 0, 10), 6
IMAGE_MODELS, IQ_MODELS = models_for((3, 32, 32)), models_for((2, 128))
SMALLEST = dict.fromkeys(IMAGE_MODELS, 8) | {"vit_b_16": 16, "vit_b_32": 32, "vit_h_14": 14}


def is_allowed(_branches: str, head: str, loss: str, _weights: str) -> bool:
    return loss != "regression" or head == "regression"


AXES = tuple(BRANCHES), tuple(SNR_HEADS), tuple(SNR_LOSSES), tuple(WEIGHTINGS)
COMBINATIONS = cover(*AXES, allowed=is_allowed)


def shallow_vit(patch: int, width: int, heads: int) -> Callable[..., nn.Module]:
    return partial(
        VisionTransformer,
        patch_size=patch,
        num_layers=1,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=4 * width,
    )


def shallow_swin(width: int, heads: int) -> Callable[..., nn.Module]:
    """Of four stages; the first has a block of shifted windows beside the plain one."""
    return partial(
        SwinTransformer,
        patch_size=[4, 4],
        embed_dim=width,
        depths=[2, 1, 1, 1],
        num_heads=[heads, 2 * heads, 4 * heads, 8 * heads],
        window_size=[7, 7],
    )


SHALLOW = {
    "resnet18": partial(ResNet, BasicBlock, [1, 1, 1, 1]),
    "resnet34": partial(ResNet, BasicBlock, [1, 1, 1, 1]),
    "resnet50": partial(ResNet, Bottleneck, [1, 1, 1, 1]),
    "vit_b_16": shallow_vit(16, 768, 12),
    "vit_b_32": shallow_vit(32, 768, 12),
    "vit_h_14": shallow_vit(14, 1280, 16),
    "swin_tiny": shallow_swin(96, 3),
    "swin_small": shallow_swin(96, 3),
    "swin_base": shallow_swin(128, 4),
}
"""Each backbone with as few layers as its kind allows."""


@pytest.fixture
def put_in_place(monkeypatch):
    """A function that gives a registered backbone another builder."""

    def put(name: str, builder: Callable[..., nn.Module]) -> None:
        monkeypatch.setitem(BACKBONES, name, BACKBONES[name]._replace(builder=builder))

    return put


@pytest.fixture(scope="module")
def make_data(tmp_path_factory, write_constellations):
    """A function that makes a frame of every class, as images of `size` pixels."""
    rng = np.random.default_rng(1)

    def make(size: int) -> TrainingData:
        names = product(MODULATIONS, SNRS_DB)
        cells = {Cell(*name): rng.integers(0, size**2, (1, 64)) for name in names}
        store = BinStore(write_constellations(tmp_path_factory.mktemp("noise"), cells, size))
        index = store.every_frame()
        parts = {"train": index, "validation": index}
        return TrainingData(
            store, None, parts, Drawing(raw_only(size), draw("log_histogram")), UNCHANGED
        )

    return make


def assert_trains_and_survives(data, folder, model, branches, head, loss, weights, steps=1) -> None:
    settings = {
        "input": "iq" if model in IQ_MODELS else "constellation",
        "model": model,
        "branches": branches,
        "snr_head": head,
        "snr_loss": loss,
        "weighting": weights,
        "batch_size": FRAMES,
        "lr": 1e-3,
    }
    trainer = make_trainer(data, **settings)
    trainer.calibrate()
    own = trainer.model.module
    before = {name: value.clone() for name, value in own.named_parameters()}
    batch = next(batches(StoredFrames(data.store, CPU), data.parts["train"], FRAMES))
    row = trainer.train([batch] * steps, FRAMES * steps)
    assert row["skipped_steps"] == 0
    assert np.isfinite(list(row.values())).all()

    # Adam moves all that has a gradient. Layers with dropout or ReLU may lack one in places, but
    # nowhere all through.
    after = dict(own.named_parameters())
    assert [name for name in before if torch.equal(after[name], before[name])] == []
    assert all(value.isfinite().all() for value in own.state_dict().values())

    # Files have this memory format; another one takes sums in another order.
    own = own.eval().to(memory_format=torch.contiguous_format)
    trained = components.trained_model(own, configure(**settings), data)
    modelfile.save(folder, trained)
    loaded = modelfile.load(folder)
    assert loaded[1:] == trained[1:]
    inputs, snr_db = data.input.tensors(batch.stored), trainer.snrs_db[batch.snr]
    kept, restored = (predict(one.model, inputs, snr_db) for one in (trained, loaded))
    assert all(map(torch.equal, kept, restored))
    assert all(scores.std(0).min() > 0 for scores in kept)


@pytest.fixture(scope="module")
def tiny_data(make_data):
    return make_data(8)


def test_any_two_names_that_may_meet_do():
    everything = [one for one in product(*AXES) if is_allowed(*one)]
    met = set().union(*map(pairs, COMBINATIONS))
    assert met == set().union(*map(pairs, everything))
    assert all(is_allowed(*one) for one in COMBINATIONS)
    assert len(COMBINATIONS) < len(everything) / 5


@pytest.mark.parametrize(("branches", "head", "loss", "weights"), COMBINATIONS)
def test_all_that_is_ours_on_a_tiny_backbone(
    tiny_data, tmp_path, put_in_place, branches, head, loss, weights
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
    assert_trains_and_survives(tiny_data, tmp_path, "resnet18", branches, head, loss, weights)


@pytest.mark.parametrize(
    ("model", "combination"), list(zip(IMAGE_MODELS, COMBINATIONS, strict=False)), ids=str
)
def test_every_backbone(make_data, tmp_path, put_in_place, model, combination):
    if model in SHALLOW:
        put_in_place(model, SHALLOW[model])
    assert_trains_and_survives(make_data(SMALLEST[model]), tmp_path, model, *combination)


@pytest.mark.parametrize("model", SHALLOW)
def test_the_layers_of_a_shallow_backbone_are_those_of_the_whole_one(model):
    size = {"image_size": SMALLEST[model]} if BACKBONES[model].sized else {}
    with torch.device("meta"):
        whole, shallow = (make(**size) for make in (BACKBONES[model].builder, SHALLOW[model]))
    shapes = {name: value.shape for name, value in whole.state_dict().items()}
    for name, value in shallow.state_dict().items():
        assert shapes[name] == value.shape, name
    kinds, kinds_here = ({type(part) for part in one.modules()} for one in (whole, shallow))
    assert kinds_here == kinds


def test_the_backbones_meet_every_name():
    met = zip(*COMBINATIONS[: len(IMAGE_MODELS)], strict=True)
    assert [set(names) for names in met] == [set(axis) for axis in AXES]


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
    "conditioned": Settings(paths="dual", film=True, condition="known"),
}


@pytest.fixture(scope="module")
def heard(tmp_path_factory) -> TrainingData:
    """A frame of every class: a tone of its own in noise of its own."""
    root = tmp_path_factory.mktemp("heard") / "split_hdf5"
    rng = np.random.default_rng(1)
    for (m, modulation), (s, snr_db) in product(enumerate(MODULATIONS), enumerate(SNRS_DB)):
        noise = 0.5 ** (s + 1) * rng.normal(size=(1, 256)).view(complex)
        tone = np.exp(2j * np.pi * 0.05 * (1 + m) * np.arange(128)) + noise
        iq = np.stack([tone.real, tone.imag], 2).astype(np.float32)
        cell = Cell(modulation, snr_db)
        shards.save(cell.path(root), {"iq": iq, "row": np.zeros(1, np.int64)}, cell._asdict())
    store = IqStore(root)
    parts = dict.fromkeys(("train", "validation"), store.every_frame())
    last_phase = conftest.noise_aware((0, 0, 0))  # in which everything learns
    waveform, cldnn = Waveform(128), FAMILY["A5"]
    return TrainingData(store, store, parts, waveform, UNCHANGED, cldnn, last_phase)


@pytest.mark.parametrize(
    ("model", "combination"), list(zip(IQ_MODELS[1:], COMBINATIONS, strict=False)), ids=str
)
def test_every_model_of_raw_iq(heard, tmp_path, model, combination):
    assert_trains_and_survives(heard, tmp_path, model, *combination)


def test_no_model_of_raw_iq_is_left_out():
    """The first of them is the family below."""
    assert IQ_MODELS[0] == "cldnn"
    assert len(COMBINATIONS) >= len(IQ_MODELS[1:])


@pytest.mark.parametrize("name", FAMILY)
def test_every_member_of_the_cldnn_family(heard, tmp_path, name):
    data = heard._replace(cldnn=FAMILY[name]._replace(channels=8, dropout=0.1))
    # The first step makes something of a denoiser and a FiLM that change nothing; what is behind
    # them learns from the second.
    assert_trains_and_survives(
        data, tmp_path, "cldnn", "plain", "standard", "cross_entropy", "kendall", steps=3
    )
