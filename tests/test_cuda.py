"""What a GPU makes of the same frames: the CPU's answer, within what float32 allows.

Skipped where there is none; `python -m benchmarks.gpu` runs them and times the rest.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pisces import models
from pisces.attribution.head import Head
from pisces.attribution.methods import METHODS, attribute, build
from pisces.data.datasets import ResidentFrames, StoredFrames, batches, frames_in_reach
from pisces.inputs import binning, views
from pisces.inputs.base import Input
from pisces.inputs.drawing import Drawing, DrawingProber
from pisces.inputs.waveform import Waveform, WaveformProber
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.pis.masks import KINDS
from pisces.pis.masks import build as build_masks
from pisces.pis.score import measure
from pisces.pis.store import PerturbationPlan
from pisces.training import devices, trainer
from pisces.training.augmentation import Augmentation
from pisces.training.frames import TrainingData
from tests.conftest import MODULATIONS, PERTURB, RENDER, SAMPLES, SNRS_DB, draw, noise_aware
from tests.test_attribution import FORMULAS
from tests.training.tiny import CONFIG, UNCHANGED

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
EPS = torch.finfo(torch.float32).eps
ROUNDED = 1000 * EPS
"""Of a network of some 20 layers, whose sums over thousands of products differ in their order."""
DRAWING = Drawing(RENDER, draw("log_histogram"))
DRAWINGS = ("histogram", "log_histogram", "max_normalized", "gaussian", "enhanced")
IMAGE_MODELS = ("pixel_set", "small_cnn", "resnet18")
IQ_MODELS = ("cldnn", "mcldnn", "lstm2", "moeformer")
CLDNN = Settings(paths="dual", film=True, channels=8, dropout=0.1)


@pytest.fixture
def _float32():
    """Convolutions and cuDNN's LSTMs in float32, not in the TF32 of 10 bits that torch prefers."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@pytest.fixture(scope="module")
def frames(iq_data, index) -> torch.Tensor:
    """Every frame of the shards, float32 (180, samples, 2)."""
    return iq_data.prepare(iq_data.gather(index), CPU).mT.contiguous()


def on_both(call, *tensors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What `call` makes of the tensors on the CPU and on the GPU, both brought back."""
    return call(*tensors), call(*(tensor.to(CUDA) for tensor in tensors)).cpu()


def build_model(name: str, samples: int = SAMPLES) -> torch.nn.Module:
    """An untrained model of images of `RENDER`, or of frames."""
    shape = (2, samples) if name in IQ_MODELS else (len(RENDER.views), RENDER.size, RENDER.size)
    torch.manual_seed(1)
    cldnn = CLDNN if name == "cldnn" else None
    architecture = Architecture(name, "plain", "standard", cldnn)
    return models.build(architecture, shape, len(MODULATIONS), SNRS_DB).eval()


# Views and drawings


@pytest.mark.parametrize("view", RENDER.views)
def test_a_view_has_the_points_that_the_cpu_gives(view, frames):
    iq = torch.view_as_complex(frames)
    iq = iq / iq.abs().square().mean(1, keepdim=True).sqrt()
    on_cpu, on_gpu = on_both(lambda one: views.points_of(view, one, RENDER), iq)

    # Two FFTs of n samples and a filter: errors grow with log2 n, at most 10 roundings of each.
    # The noise view is a level in dB: 8.7 dB a unit of relative error, of samples that are
    # smaller than the frame's by what the filter takes away (60 dB).
    scale = 8.7 * 1e3 if view == "noise" else on_cpu.abs().amax(1, keepdim=True).clamp_min(1)
    bound = 10 * np.log2(SAMPLES) * EPS * scale
    same = ((on_cpu - on_gpu).abs() <= bound).all(1)

    # Which line is the carrier, or which instant the eye's, may turn on a rounding in noise.
    wanted = 0.97 if view == "symbol" else 1.0
    assert same.float().mean() >= wanted


def test_few_points_fall_into_another_pixel(frames):
    on_cpu, on_gpu = on_both(lambda one: binning.encode(one, RENDER), frames)
    # A pixel is 2 * 2.5 / 32 = .16 wide, and a point within 1e-5 of one of its four edges may move;
    # so may the symbols of the 3 % of frames whose carrier is another one.
    assert (on_cpu != on_gpu).float().mean() < 0.03


@pytest.mark.parametrize("method", DRAWINGS)
def test_a_drawing_is_that_of_the_cpu(method, data, index):
    drawing = Drawing(RENDER, draw(method))
    bins = torch.from_numpy(data.bins(index))
    on_cpu, on_gpu = on_both(drawing.tensors, bins)

    # Counts are exact; a kernel sums up to 17 x 17 products, each rounded once.
    torch.testing.assert_close(on_gpu, on_cpu, rtol=17**2 * EPS, atol=17**2 * EPS)


def test_turning_frames_moves_the_same_points(data, index):
    drawing = Drawing(RENDER, draw("histogram"))
    stored = torch.from_numpy(data.bins(index))
    turns, mirrored = torch.arange(len(index)) % 4, torch.arange(len(index)) % 3 == 0
    on_cpu, on_gpu = on_both(drawing.turned, stored, turns, mirrored)
    assert torch.equal(on_cpu, on_gpu)
    assert not torch.equal(on_cpu, stored)


# Models


@pytest.mark.usefixtures("_float32")
@pytest.mark.parametrize("name", IMAGE_MODELS + IQ_MODELS)
def test_a_model_gives_the_logits_of_the_cpu(name, data, iq_data, index):
    inputs = inputs_of(name, data, iq_data, index)
    model = build_model(name)
    snr_db = torch.zeros(len(inputs))
    with torch.inference_mode():
        on_cpu = models.predict(model, inputs, snr_db)[0]
        on_gpu = models.predict(model.to(CUDA), inputs.to(CUDA), snr_db.to(CUDA))[0].cpu()

    assert (on_cpu - on_gpu).abs().max() < ROUNDED * on_cpu.std()


def model_input(name) -> Input:
    return Waveform(SAMPLES) if name in IQ_MODELS else DRAWING


def inputs_of(name, data, iq_data, index) -> torch.Tensor:
    store = iq_data if name in IQ_MODELS else data
    return model_input(name).tensors(store.prepare(store.gather(index), CPU))


def fit(name, data, iq_data, index, tmp_path, precision="auto", augmentation=UNCHANGED, epochs=4):
    """Trains one of the models on the frames of the shards, on the GPU."""
    parts = {"train": index[index[:, 2] < 16], "validation": index[index[:, 2] >= 16]}
    cldnn = CLDNN if name == "cldnn" else None
    taken, store = model_input(name), iq_data if name in IQ_MODELS else data
    training_data = TrainingData(
        store, iq_data, parts, taken, augmentation, cldnn, noise_aware((1, 1, 1))
    )
    config = replace(
        CONFIG,
        input=taken.name,
        model=name,
        epochs=epochs,
        batch_size=32,
        lr=3e-3,
        accelerator="cuda",
        precision=precision,
    )
    fabric = devices.make_fabric("cuda", precision)
    return trainer.fit(training_data, config, 1, tmp_path / "last.pt", fabric, lambda _: None)


@pytest.mark.parametrize("precision", ["auto", "32-true", "16-mixed"])
@pytest.mark.parametrize("name", IMAGE_MODELS + IQ_MODELS)
def test_training_learns(name, precision, data, iq_data, index, tmp_path):
    _, history = fit(name, data, iq_data, index, tmp_path, precision, epochs=6)
    losses = [row["train_loss"] for row in history]
    assert np.isfinite(losses).all()
    assert sum(row["skipped_steps"] for row in history) <= (3 if precision == "16-mixed" else 0)
    assert history[-1]["train_snr_accuracy"] > 1 / len(SNRS_DB) + 0.1


@pytest.mark.parametrize("name", IMAGE_MODELS + IQ_MODELS)
def test_training_twice_gives_the_same_weights(name, data, iq_data, index, tmp_path):
    states = []
    for run in ("one", "other"):
        (tmp_path / run).mkdir()
        model, _ = fit(name, data, iq_data, index, tmp_path / run)
        states.append(model.state_dict())
    one, other = states
    assert [key for key in one if not torch.equal(one[key], other[key])] == []


def test_augmentations_run_on_the_gpu(data, iq_data, index, tmp_path):
    varied = Augmentation(noise_db=6, symmetry=True)
    _, history = fit("pixel_set", data, iq_data, index, tmp_path, augmentation=varied, epochs=2)
    assert np.isfinite([row["train_loss"] for row in history]).all()


def test_frames_are_kept_on_the_gpu(data, index):
    kept = frames_in_reach(data, index, CUDA)
    assert isinstance(kept, ResidentFrames)
    on_gpu, on_cpu = (
        next(batches(loader, index[::-7], 20)) for loader in (kept, StoredFrames(data, CPU))
    )
    for one, other in zip(on_gpu, on_cpu, strict=True):
        assert one.device.type == "cuda"
        assert torch.equal(one.cpu(), other)


# Explanations


@pytest.mark.usefixtures("_float32")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["pixel_set", "resnet18", "cldnn"])
def test_an_attribution_is_that_of_the_cpu(name, method, data, iq_data, index):
    model = build_model(name)
    if METHODS[method].needs_map and name != "resnet18":
        pytest.skip("the model has no map of the image")
    if method in ("leave_one_out", "shapley") and name != "pixel_set":
        pytest.skip("the model does not sum over pixels")

    few = index[::30]
    maps = []
    for device in (CPU, CUDA):
        prober = prober_of(name, data, iq_data)
        probe = prober.probe(few, device)
        images = probe.images
        head = Head(model.to(device), "modulation", model_input(name).from_images)
        targets = torch.from_numpy(few[:, 0]).to(device)
        one = attribute(build(method, FORMULAS, 1), head, images, targets, probe.context)
        maps.append(one.cpu())
    on_cpu, on_gpu = maps
    assert on_cpu.abs().max() > 0
    # Many a map is a difference of logits near 1, whatever is left of it.
    assert (on_cpu - on_gpu).abs().max() <= ROUNDED * on_cpu.abs().max() + 8 * EPS


def prober_of(name, data, iq_data):
    if name in IQ_MODELS:
        return WaveformProber(iq_data, data, "zero", 1)
    return DrawingProber(DRAWING, data)


def test_pis_counts_the_same_frames_as_right(data, index):
    few = index[::6]
    masks = tuple(build_masks(("raw", "symbol"), PERTURB, RENDER.size))
    plan = PerturbationPlan(few, masks, PERTURB, 1, RENDER)
    prober = DrawingProber(DRAWING, data)
    on_cpu = measure(build_model("pixel_set"), prober, data, plan, CPU)
    on_gpu = measure(build_model("pixel_set"), prober, data, plan, CUDA)
    for kind in KINDS:
        assert on_cpu.fraction[kind].max() > 0
        assert np.array_equal(on_cpu.fraction[kind], on_gpu.fraction[kind])
        # An untrained model is undecided about many a frame, and float32 decides some of these.
        differ = on_cpu.correct[kind]["joint"] != on_gpu.correct[kind]["joint"]
        assert differ.mean() < 0.01


@pytest.mark.parametrize("name", ["pixel_set", "cldnn"])
def test_masking_does_not_wait_for_the_gpu(name, data, iq_data, index):
    probe = prober_of(name, data, iq_data).probe(index[:4], CUDA)
    lit = probe.counts.argmax(1).cpu().numpy()
    torch.cuda.set_sync_debug_mode("error")
    try:
        masked = probe.without(np.arange(4), lit, np.arange(5))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    whole = probe.without(np.arange(4), lit[:0], np.zeros(5, int))
    assert (masked != whole).flatten(1).any(1).all()
