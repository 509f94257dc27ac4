"""Do maps put first what a model was made to see, and are they what the papers' formulas say?"""

import doctest
import math
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.stats import hypergeom
from torch import nn
from torch.nn import functional
from torchvision.models import ResNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import BasicBlock

from pisces.attribution import compare, methods, rise
from pisces.attribution import head as heads
from pisces.attribution.head import Head
from pisces.attribution.integrated_gradients import completeness_error
from pisces.attribution.methods import attribute, build, pixel_scores
from pisces.attribution.settings import AttributionSettings
from pisces.config.sections.explanation import Attribute
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS as TASKS
from pisces.inputs.waveform import Waveform
from pisces.models.branches import plain
from pisces.models.joint import JointModel

METHODS = ("grad_cam", "integrated_gradients", "occlusion", "rise")
WITHOUT_MAP = METHODS[1:]
FORMULAS = AttributionSettings(
    methods=METHODS,
    frames_per_cell=1,
    layer="auto",
    ig_steps=8,
    ig_tolerance=math.inf,
    ig_most_steps=0,
    window=0.25,
    stride=0.25,
    rise_masks=64,
    rise_cells=4,
    rise_keep=0.5,
    shapley_permutations=4,
    levels_percent=(1, 5, 10, 25, 50, 100),
    infidelity_samples=8,
    masked_frames_per_cell=2,
    checked_frames=17,
    sensitivity_radius=0.1,
    sensitivity_samples=1,
    randomised_steps=3,
    shuffled_frames=256,
    shuffled_epochs=16,
    resamples=2000,
)


def explain(
    name: str,
    head: Head,
    images: torch.Tensor,
    targets: torch.Tensor,
    *context: torch.Tensor,
    seed: int = 1,
    **changed: object,
) -> torch.Tensor:
    method = build(name, replace(FORMULAS, **changed), seed)
    return attribute(method, head, images, targets, context)


# Planted patterns
#
# The modulation is which of four patterns stands in one block of the first view, the SNR likewise
# in the second view: any cells of 4 x 4 px, drawn for each frame. All patterns light 8 px. All
# around are random dots, brighter than the patterns and in both views alike, so that neither
# brightness nor place tells anything.

SIZE, BLOCK, CLASSES, BACKGROUND, SHOWN = 16, 4, 4, 0.05, 32
_row, _column = np.mgrid[:BLOCK, :BLOCK]
PATTERNS = np.stack(
    [_column % 2 == 0, _row % 2 == 0, (_column < 2) == (_row < 2), (_row + _column) % 2 == 0]
)


def planted(n: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """Images float32 (n, 2, SIZE, SIZE), classes int64 (n, 2), and the pixels of the patterns,
    bool like the images."""
    side = SIZE // BLOCK
    classes = rng.integers(CLASSES, size=(n, 2))
    chosen = np.eye(side**2, dtype=bool)[rng.integers(side**2, size=(n, 2))]
    blocks = np.kron(chosen.reshape(n, 2, side, side), np.ones((BLOCK, BLOCK), bool))

    patterns = np.tile(PATTERNS[classes], (side, side)) & blocks
    dots = (rng.random(blocks.shape) < BACKGROUND) & ~blocks
    images = (patterns + 1.1 * dots).astype(np.float32)
    return torch.from_numpy(images), torch.from_numpy(classes), patterns


class NarrowResNet(ResNet):
    """A ResNet a quarter as wide as torchvision's."""

    def _make_layer(self, block, planes, *args, **kwargs):
        self.inplanes = 16 if planes == 64 else self.inplanes
        return super()._make_layer(block, planes // 4, *args, **kwargs)


def resnet() -> tuple[nn.Module, int]:
    model = NarrowResNet(BasicBlock, [1, 1, 1, 1])
    model.conv1 = nn.Conv2d(2, 16, 7, 2, 3, bias=False)
    model.bn1, model.fc = nn.BatchNorm2d(16), nn.Identity()
    return model, 128


def vit() -> tuple[nn.Module, int]:
    model = VisionTransformer(SIZE, BLOCK, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=64)
    model.conv_proj, model.heads = nn.Conv2d(2, 32, BLOCK, BLOCK), nn.Identity()
    return model, 32


def swin() -> tuple[nn.Module, int]:
    """With windows of 2 x 2 cells: one of the whole map would let attention carry the evidence to
    any place; see `readable`."""
    model = SwinTransformer([2, 2], 16, [1, 1], [2, 2], [2, 2], stochastic_depth_prob=0.0)
    model.features[0][0], model.head = nn.Conv2d(2, 16, 2, 2), nn.Identity()
    return model, 32


KINDS = {
    "resnet": (resnet, 300, 32, 1e-2),
    "vit": (vit, 150, 64, 5e-3),
    "swin": (swin, 150, 32, 1e-2),
}
PLACE = {"resnet": "auto", "vit": "encoder.layers.encoder_layer_0.ln_1", "swin": "auto"}
"""Where Grad-CAM reads: before a vision transformer's blocks carry the evidence to other tokens;
see `readable`."""


LEAST = {"grad_cam": 0.5, "integrated_gradients": 0.6, "occlusion": 0.8, "rise": 0.8}


@cache
def trained(kind: str, seed: int = 1) -> JointModel:
    backbone, steps, batch, rate = KINDS[kind]
    torch.manual_seed(seed)
    body, width = backbone()
    branches, _ = plain(width)
    model = JointModel(body, branches, nn.Linear(width, CLASSES), nn.Linear(width, CLASSES))
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    rng = generator(seed, "planted", "train")
    for _ in range(steps):
        images, classes, _ = planted(batch, rng)
        modulation, snr = map(functional.cross_entropy, model(images), classes.T)
        optimizer.zero_grad()
        (modulation + snr).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def precision_at_k(
    scores: np.ndarray, wanted: np.ndarray, lit: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Share (n,) of `wanted` among the lit pixels with the highest scores, as many as are wanted.

    Equal scores come in random order.
    """
    ranked = np.lexsort((rng.random(scores.shape), -scores, ~lit))
    hits = np.take_along_axis(wanted, ranked, 1)
    first = np.arange(scores.shape[1]) < wanted.sum(1, keepdims=True)
    return (hits & first).sum(1) / wanted.sum(1)


def by_chance(wanted: np.ndarray, lit: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation, for a random ranking, of the mean `precision_at_k` over frames.

    Hits are hypergeometric.
    """
    k = wanted.sum(1)
    hits = hypergeom(lit.sum(1), k, k)
    variance = np.sum(hits.var() / k**2) / len(k) ** 2
    return float(np.mean(hits.mean() / k)), float(np.sqrt(variance))


def planted_precision(kind: str, task: str, name: str) -> tuple[float, float, float]:
    """Mean precision of a method's maps at the planted pixels of a task; then `by_chance`.

    Among the lit pixels of both views; for Grad-CAM, which tells no view apart, of the task's.
    """
    images, classes, patterns = planted(SHOWN, generator(1, "planted", "show"))
    view = TASKS.index(task)
    head, side = Head(trained(kind), task), BLOCK / SIZE
    place = {"layer": PLACE[kind], "window": side, "stride": side}
    maps = explain(name, head, images, classes[:, view], **place)
    of_task = patterns & (np.arange(2) == view)[:, None, None]

    views = slice(view, view + 1) if name == "grad_cam" else slice(None)
    every = (maps.numpy(), of_task, images.numpy() > 0)
    scores, wanted, lit = (values[:, views].reshape(SHOWN, -1) for values in every)
    precision = precision_at_k(scores, wanted, lit, generator(1, "ties")).mean()
    return float(precision), *by_chance(wanted, lit)


@pytest.mark.parametrize("kind", KINDS)
def test_planted_pixels_come_first(kind):
    """Six standard deviations above chance, and nearly all for the methods that take pixels away.

    Integrated gradients takes each pixel for itself, and not all of a pattern are needed.
    Grad-CAM resolves a cell, its borders blurred; and the mean of a gradient over tokens leaves out
    how much attention each of them has. The references do as a ranking without any knowledge must.
    """
    images, classes, _ = planted(256, generator(1, "planted", "test"))
    for logits, wanted in zip(trained(kind)(images), classes.T, strict=True):
        assert (logits.argmax(1) == wanted).float().mean() > 0.9
    for task in TASKS:
        for name in METHODS:
            precision, chance, deviation = planted_precision(kind, task, name)
            assert precision > max(LEAST[name], chance + 6 * deviation), (task, name)
        precision, chance, deviation = planted_precision(kind, task, "random")
        assert abs(precision - chance) < 5 * deviation
        assert planted_precision(kind, task, "brightness")[0] == 0


# Closed forms


def linear_head(weight: torch.Tensor, task: str = "modulation") -> Head:
    """Scores weight @ pixels, weight (classes, channels * size * size); those of the other task are
    the negative."""
    heads = nn.Linear(*weight.T.shape, bias=False), nn.Linear(*weight.T.shape, bias=False)
    for head, sign in zip(heads if task == "modulation" else heads[::-1], (1, -1), strict=True):
        head.weight.data = sign * weight
    return Head(JointModel(nn.Flatten(), plain(1)[0], *heads), task)


def randn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def images() -> torch.Tensor:
    """Five frames of two views of 8 px, half of it dark."""
    return randn(5, 2, 8, 8, seed=2).clamp_min(0)


TARGETS = torch.tensor([0, 2, 1, 1, 0])


@pytest.mark.parametrize("steps", [1, 8])
@pytest.mark.parametrize("task", TASKS)
def test_integrated_gradients_of_a_linear_model_are_weight_times_pixel(images, task, steps):
    weight = randn(3, 128)
    maps = explain(
        "integrated_gradients", linear_head(weight, task), images, TARGETS, ig_steps=steps
    )
    torch.testing.assert_close(maps, weight[TARGETS].view_as(images) * images, rtol=1e-5, atol=1e-6)


class Bent(nn.Module):
    """Logits that rise steeply from dark and then hardly at all, the more so the brighter."""

    def forward(self, images):
        bent = torch.tanh(30 * images.mean((1, 2, 3)))[:, None]
        logits = torch.cat([bent, -bent, 2 * bent], 1)
        return logits, logits


def test_integrated_gradients_take_the_steps_that_completeness_needs(images):
    head, images = Head(Bent(), "snr"), images.abs()

    def error_with(**changes) -> torch.Tensor:
        maps = explain("integrated_gradients", head, images, TARGETS, ig_steps=2, **changes)
        return completeness_error(head, maps, images, TARGETS, ())

    few, enough = error_with(), error_with(ig_tolerance=0.01, ig_most_steps=256)
    assert few.max() > 0.1
    assert enough.max() <= 0.01
    # Never more than asked for: 2, 4 and no 8.
    bounded = error_with(ig_tolerance=0.01, ig_most_steps=7)
    assert torch.allclose(bounded, error_with(ig_tolerance=0.01, ig_most_steps=4))
    assert bounded.max() > 0.01


def test_steps_of_a_frame_do_not_depend_on_its_batch(images):
    """A frame that is nearly dark is done at once, and the others need more steps."""
    images = images.abs()
    images[0] *= 1e-3
    changes = {"ig_steps": 2, "ig_tolerance": 0.01, "ig_most_steps": 64}
    head = Head(Bent(), "snr")
    together = explain("integrated_gradients", head, images, TARGETS, **changes)
    backward = head.backward_frames
    alone = [
        explain("integrated_gradients", head, images[[i]], TARGETS[[i]], **changes)
        for i in range(len(images))
    ]
    assert torch.allclose(together, torch.cat(alone), atol=1e-6)
    head = Head(Bent(), "snr")
    explain("integrated_gradients", head, images[[0]], TARGETS[[0]], **changes)
    assert head.backward_frames == 2
    assert backward > 2 * len(images)


def test_integrated_gradients_are_complete(images):
    """The gradient of (w x)^2 is linear along the way, so that one Gauss point is exact: w_i x_i (w
    x) each, f(x) - f(0) together."""

    class Square(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            return ((images.flatten(1) @ weight.T).square() + 3,)

    weight = randn(3, 128)
    maps = explain(
        "integrated_gradients", Head(Square(), "modulation"), images, TARGETS, ig_steps=1
    )
    product = weight[TARGETS] * images.flatten(1)
    torch.testing.assert_close(
        maps.flatten(1), product * product.sum(1, keepdim=True), rtol=1e-4, atol=1e-4
    )
    torch.testing.assert_close(
        maps.flatten(1).sum(1), product.sum(1).square(), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("window", "stride", "side", "starts"),
    [
        (0.25, 0.25, 2, (0, 2, 4, 6)),
        (0.5, 0.25, 4, (0, 2, 4)),  # overlap
        (0.375, 0.25, 3, (0, 2, 4, 6)),  # the last is cut
        (0.01, 0.01, 1, range(8)),
        (1.0, 1.0, 8, (0,)),
    ],
)
def test_occlusion_of_a_linear_model_is_the_score_within_the_window(
    images, window, stride, side, starts
):
    """Of one view at a time, and the mean over the windows that cover a pixel."""
    weight = randn(3, 128)
    within = weight[TARGETS].view_as(images) * images
    total, covered = torch.zeros_like(within), torch.zeros(8, 8)
    for row in starts:
        for column in starts:
            square = (..., slice(row, row + side), slice(column, column + side))
            total[square] += within[square].sum((2, 3), keepdim=True)
            covered[square] += 1
    maps = explain("occlusion", linear_head(weight), images, TARGETS, window=window, stride=stride)
    torch.testing.assert_close(maps, total / covered, rtol=1e-4, atol=1e-4)


def test_rise_ranks_by_the_rise_of_a_linear_probability():
    """Four far pixels with weights in a probability that is linear in them: the map rises with the
    weight, and is flat elsewhere.

    Letting pixel i through raises the expected probability by w_i (E[M_i^2] / E[M_i] - E[M_i]) =
    w_i (1 - keep) s, where s is the sum of the squared weights with which cells meet in the pixel.
    Along an axis these are f and 1 - f, whose squares add up to 2/3 on the mean over f, so that s
    is near 4/9. The probability has a standard deviation below 0.2, its mean over half of 20 000
    masks 0.002.
    """
    weight = torch.zeros(1, 2, 8, 8)
    where = [(0, 1, 1), (0, 6, 6), (1, 1, 6), (1, 6, 1)]
    for (view, row, column), share in zip(where, (0.1, 0.2, 0.3, 0.4), strict=True):
        weight[0, view, row, column] = share

    class LinearProbability(nn.Module):
        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
            p = (images * weight).flatten(1).sum(1)
            return (torch.stack([1 - p, p], 1).clamp_min(1e-9).log(),)

    head = Head(LinearProbability(), "modulation")
    maps = explain(
        "rise",
        head,
        torch.ones(1, 2, 8, 8),
        torch.tensor([1]),
        rise_cells=8,
        rise_masks=20000,
        rise_keep=0.5,
    )
    found = [maps[0][place].item() - maps[weight == 0].median().item() for place in where]
    assert found == pytest.approx(0.5 * 4 / 9 * np.array([0.1, 0.2, 0.3, 0.4]), abs=0.01)
    assert maps[weight == 0].median().item() == pytest.approx(
        0.5, abs=0.01
    )  # keep times all weights


@pytest.mark.parametrize(("size", "cells"), [(8, 4), (10, 4), (9, 2), (6, 8)])
def test_rise_masks_let_the_kept_share_through_everywhere(size, cells):
    """Values within 0..1 have a standard deviation of a half at most, so their mean is sure to 0.5
    / sqrt(2 000): five times that."""
    grids, shifts = rise.draw_grids(2000, 2, size, cells, 0.3, rng=generator(1, "masks"))
    whole_cell = math.ceil(size / cells)
    assert shifts.unique().tolist() == list(range(whole_cell + 1))
    masks = rise.masks_of(grids, shifts, size)
    assert masks.shape == (2000, 2, size, size)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    assert (masks.mean(0) - 0.3).abs().max() < 5 * 0.5 / 2000**0.5
    one, other = masks.transpose(0, 1).flatten(1)
    assert abs(torch.corrcoef(torch.stack([one, other]))[0, 1]) < 0.1


def test_rise_masks_are_one_picture_of_cells_cut_anywhere():
    """A lone kept cell is a hill, in the middle of a picture one cell of 4 px larger, which the
    shift, down and to the right, cuts."""
    grid = torch.zeros(5, 1, 3, 3)
    grid[:, :, 1, 1] = 1
    shifts = torch.tensor([[0, 0], [4, 0], [0, 4], [1, 3], [2, 2]])
    masks = rise.masks_of(grid, shifts[:, None], 12)[:, 0]
    for mask, (row, column) in zip(masks, shifts.tolist(), strict=True):
        assert torch.equal(mask[: 12 - row, : 12 - column], masks[0, row:, column:])
    middle = masks[-1]
    assert torch.allclose(middle, middle.flip(0))
    assert torch.allclose(middle, middle.T)
    assert 8 <= (middle.sum(0) > 0).sum() <= 11  # two cells at 16 / 3 px each, cut to whole pixels


class HandBuilt(nn.Module):
    """Two maps, of cells of `pool` px, by 1x1 filters of two views, an in-place ReLU behind them,
    and their means."""

    def __init__(self, pool: int = 1):
        super().__init__()
        filters = nn.Conv2d(2, 2, 1, bias=False)
        filters.weight.data = torch.tensor([[1.0, -1.0], [2.0, 1.0]])[:, :, None, None]
        self.layer1 = nn.Sequential(nn.AvgPool2d(pool), filters)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.relu(self.layer1(images)).mean((2, 3))


def test_grad_cam_of_a_net_worked_out_by_hand():
    """The weight of a map A_k, of Z pixels before the ReLU, is w_k / Z times the share of it above
    0; their sum is kept where positive."""
    identity = nn.Linear(2, 2, bias=False)
    identity.weight.data = torch.tensor([[1.0, -0.5], [-1.0, 0.25]])
    head = Head(JointModel(HandBuilt(), plain(2)[0], identity, identity), "modulation")
    signed = randn(5, 2, 8, 8, seed=4)
    targets = TARGETS % 2
    first, second = signed[:, 0] - signed[:, 1], 2 * signed[:, 0] + signed[:, 1]
    share = torch.stack([(first > 0).float().mean((1, 2)), (second > 0).float().mean((1, 2))], 1)
    alpha = identity.weight.data[targets] * share / 64
    expected = (alpha[:, 0, None, None] * first + alpha[:, 1, None, None] * second).clamp_min(0)
    maps = explain("grad_cam", head, signed, targets, layer="layer1")
    torch.testing.assert_close(maps[:, 0], expected, rtol=1e-4, atol=1e-7)
    assert torch.equal(maps[:, 0], maps[:, 1])
    assert 0.1 < (maps > 0).float().mean() < 0.9


def test_grad_cam_is_bilinear_between_its_cells():
    """Brightness that grows evenly with the column, averaged over cells of 2 px, grows evenly again
    between the outer cells' centres.

    Both maps are brightness times 1 and 2, each the whole of its cells above 0, with weights of 1 /
    16 for 16 cells.
    """
    identity = nn.Linear(2, 1, bias=False)
    identity.weight.data.fill_(1)
    ramp = torch.zeros(1, 2, 8, 8)
    ramp[:, 0] = 1 + torch.arange(8.0)
    head = Head(JointModel(HandBuilt(pool=2), plain(2)[0], identity, identity), "snr")
    maps = explain("grad_cam", head, ramp, torch.tensor([0]), layer="layer1")
    torch.testing.assert_close(maps[0, 1, :, 1:7], 3 / 16 * ramp[0, 0, :, 1:7], rtol=1e-5, atol=0)


def test_constant_model(images):
    """Nothing speaks for a class: maps of zero, but RISE's, which is its probability of a half
    everywhere."""

    constant = nn.Linear(2, 2)
    nn.init.zeros_(constant.weight)
    nn.init.ones_(constant.bias)
    head = Head(JointModel(HandBuilt(), plain(2)[0], constant, constant), "modulation")
    for name in ("grad_cam", "integrated_gradients", "occlusion"):
        assert torch.equal(
            explain(name, head, images, TARGETS % 2, layer="layer1"), torch.zeros_like(images)
        )
    torch.testing.assert_close(
        explain("rise", head, images, TARGETS % 2), torch.full_like(images, 0.5), rtol=1e-5, atol=0
    )


# Of all methods

ALL = (*METHODS, "brightness", "random")
CHEAP = {"rise_masks": 24, "ig_steps": 4, "window": 0.5, "stride": 0.5}


@cache
def untrained() -> JointModel:
    torch.manual_seed(1)
    body, width = resnet()
    return JointModel(
        body, plain(width)[0], nn.Linear(width, CLASSES), nn.Linear(width, CLASSES)
    ).eval()


@pytest.fixture
def shown() -> tuple[torch.Tensor, torch.Tensor]:
    images, classes, _ = planted(6, generator(1, "planted", "methods"))
    return images, classes[:, 1]


@pytest.mark.parametrize("name", ALL)
def test_frames_do_not_depend_on_those_beside_them(shown, name, monkeypatch):
    """However a caller makes batches, in any order, and however many go through the model at once;
    to rounding, in parts of the largest."""
    images, targets = shown
    head = Head(untrained(), "snr")
    whole = explain(name, head, images, targets, **CHEAP)
    in_parts = [
        explain(name, head, images[part], targets[part], **CHEAP)
        for part in (slice(0, 1), slice(1, 6))
    ]
    backwards = explain(name, head, images.flip(0), targets.flip(0), **CHEAP).flip(0)
    monkeypatch.setattr(heads, "VALUES_AT_ONCE", 4 * images[0].numel())
    small = explain(name, head, images, targets, **CHEAP)
    for other in (torch.cat(in_parts), backwards, small):
        torch.testing.assert_close(other, whole, rtol=0, atol=1e-4 * whole.abs().max().item())


@pytest.mark.parametrize("name", ALL)
def test_maps_are_as_the_images_and_repeat_to_the_byte(shown, name):
    images, targets = shown
    before, state = images.clone(), torch.get_rng_state()
    maps = explain(name, Head(untrained(), "snr"), images, targets, **CHEAP)
    assert (maps.shape, maps.dtype, maps.requires_grad) == (images.shape, torch.float32, False)
    assert torch.equal(maps, explain(name, Head(untrained(), "snr"), images, targets, **CHEAP))
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in untrained().parameters())


@pytest.mark.parametrize(
    ("name", "by_chance"), [(name, name in ("rise", "random")) for name in ALL]
)
def test_only_methods_that_draw_depend_on_the_generator(shown, name, by_chance):
    one, other = (
        explain(name, Head(untrained(), "snr"), *shown, seed=seed, **CHEAP) for seed in (1, 2)
    )
    assert torch.equal(one, other) != by_chance


@pytest.mark.parametrize("name", METHODS)
def test_maps_are_of_the_head_and_class_that_are_given(shown, name):
    images, targets = shown
    maps = explain(name, Head(untrained(), "snr"), images, targets, **CHEAP)
    assert not torch.equal(
        maps, explain(name, Head(untrained(), "modulation"), images, targets, **CHEAP)
    )
    assert not torch.equal(
        maps, explain(name, Head(untrained(), "snr"), images, (targets + 1) % CLASSES, **CHEAP)
    )


@pytest.mark.parametrize("name", METHODS)
def test_frozen_weights_and_a_caller_without_gradients_change_nothing(shown, name):
    maps = explain(name, Head(untrained(), "snr"), *shown, **CHEAP)
    frozen = untrained().requires_grad_(False)
    try:
        with torch.no_grad():
            assert torch.equal(explain(name, Head(frozen, "snr"), *shown, **CHEAP), maps)
    finally:
        frozen.requires_grad_(True)


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [
        ("grad_cam", 6, 6),
        ("integrated_gradients", 6 * 4, 6 * 4),
        ("occlusion", 6 * (1 + 2 * 4), 0),  # the frame itself, and four windows of either view
        ("rise", 6 * 24, 0),
        ("brightness", 0, 0),
        ("random", 0, 0),
    ],
)
def test_cost_in_passes(shown, name, forward, backward):
    head = Head(untrained(), "snr")
    explain(name, head, *shown, **CHEAP)
    assert (head.forward_frames, head.backward_frames) == (forward, backward)


@pytest.mark.parametrize("name", METHODS)
def test_maps_of_both_heads_are_those_of_each_alone(shown, name):
    images, targets = shown
    both = [Head(untrained(), task) for task in TASKS]
    method = build(name, replace(FORMULAS, **CHEAP), 1)
    classes = [targets, targets.flip(0)]
    together = methods.attribute_heads(method, both, images, classes)
    for head, maps, of_head in zip(both, together, classes, strict=True):
        alone = Head(untrained(), head.task)
        assert torch.equal(maps, attribute(method, alone, images, of_head))
        assert head.forward_frames == alone.forward_frames


def test_rise_shows_the_model_each_masked_picture_once_for_both_heads(shown):
    images, targets = shown
    method = build("rise", replace(FORMULAS, **CHEAP), 1)
    seen = []
    hook = untrained().register_forward_pre_hook(lambda _, given: seen.append(len(given[0])))
    both = [Head(untrained(), task) for task in TASKS]
    methods.attribute_heads(method, both, images, [targets, targets])
    hook.remove()
    assert sum(seen) == len(images) * CHEAP["rise_masks"]


def test_noise_of_each_frame_is_its_own(shown):
    maps = explain("random", Head(untrained(), "snr"), *shown)
    assert len({one.numpy().tobytes() for one in maps}) == len(maps)
    assert (maps.flatten(1).mean(1) - 0.5).abs().max() < 5 * (1 / 12 / maps[0].numel()) ** 0.5


def test_brightness_is_the_image(shown):
    assert torch.equal(explain("brightness", Head(untrained(), "snr"), *shown), shown[0])


def test_channels_of_a_view_are_added_up():
    """As `enhanced` draws them: three channels a view, a view's together."""
    maps = torch.arange(2 * 6 * 4, dtype=torch.float32).view(2, 6, 2, 2)
    together = pixel_scores(maps, 2)
    assert together.shape == (2, 8)
    assert together[0].tolist() == [
        12,
        15,
        18,
        21,
        48,
        51,
        54,
        57,
    ]  # 0 + 4 + 8 ..., then 12 + 16 + 20 ...
    assert torch.equal(pixel_scores(maps[:, :2], 2), maps[:, :2].flatten(1))


# Models of raw IQ
#
# Frames of 24 samples, of which the first six are planted: they alone count, and lie in a block of
# 2 x 2 px of the first view, where all others lie elsewhere. Points of the second view stand for
# any two samples, and some of them are beyond its extent.

SAMPLES, PLANTED, SIDE = 24, 6, 8
from_images = Waveform(SAMPLES).from_images
PIXELS = 2 * SIDE**2


class RawFrames(NamedTuple):
    images: torch.Tensor  # (n, 2, SIDE, SIDE)
    context: tuple[torch.Tensor, ...]
    block: np.ndarray  # bool (n, PIXELS)

    @property
    def behind(self) -> torch.Tensor:
        """How often each pixel stands for each sample, (n, PIXELS, SAMPLES)."""
        _, pixels, samples, _ = self.context
        n, pairs = pixels.shape
        frame = torch.arange(n).repeat_interleave(pairs)
        place = (frame, pixels.flatten(), samples.flatten())
        times = torch.zeros(n, PIXELS + 1, SAMPLES)  # the last is beyond the extent
        return times.index_put_(place, torch.ones(()), accumulate=True)[:, :-1]

    @property
    def power(self) -> torch.Tensor:
        """Of each sample that counts, (n, SAMPLES)."""
        return self.context[0].square().sum(1) * (torch.arange(SAMPLES) < PLANTED)


def raw_frames(n: int, second_view: bool = True) -> RawFrames:
    rng = generator(1, "heard")
    cells = np.eye(16, dtype=bool)[rng.integers(16, size=n)].reshape(n, 4, 4)
    blocks = np.kron(cells, np.ones((2, 2), bool)).reshape(n, -1)

    first = []
    for block in blocks:
        inside = rng.choice(np.flatnonzero(block), PLANTED)
        outside = rng.choice(np.flatnonzero(~block), SAMPLES - PLANTED)
        first.append(np.r_[inside, outside])

    second = np.zeros((n, 0), int)
    if second_view:
        beyond = [PIXELS] * 40
        second = rng.choice([*range(SIDE**2, PIXELS), *beyond], (n, 12))
    any_two = rng.integers(SAMPLES, size=(n, 2 * second.shape[1]))

    pixels = np.concatenate([first, second.repeat(2, axis=1)], 1)
    samples = np.concatenate([np.tile(np.arange(SAMPLES), (n, 1)), any_two], 1)
    every_point = np.concatenate([first, second], 1)
    points = np.stack([np.bincount(row, minlength=PIXELS + 1)[:-1] for row in every_point])

    counts = torch.from_numpy(points).float()
    pairs = torch.from_numpy(pixels), torch.from_numpy(samples)
    context = (randn(n, 2, SAMPLES, seed=7), *pairs, counts)
    both_views = np.concatenate([blocks, np.zeros_like(blocks)], 1)
    return RawFrames(counts.view(n, 2, SIDE, SIDE), context, both_views)


class Power(nn.Module):
    """Logits 0 and the power of the planted samples less its mean."""

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor]:
        power = frames[..., :PLANTED].square().sum((1, 2)) - 2 * PLANTED
        return (torch.stack([torch.zeros_like(power), power], 1),)


class Recurrent(nn.Module):
    """An LSTM, conditioned on the true SNR, that notes whether cuDNN may be used."""

    is_conditioned = True

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.lstm, self.out = (
                nn.LSTM(2, 8, batch_first=True, dropout=0.5, num_layers=2),
                nn.Linear(8, 3),
            )
        self.cudnn = set()

    def forward(
        self, frames: torch.Tensor, snr_db: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.cudnn.add(torch.backends.cudnn.enabled)
        scores = self.out(self.lstm(5 * frames.mT)[0].mean(1)) * snr_db[:, None]
        return scores, scores


def ones(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.int64)


def test_samples_are_as_loud_as_their_pixels_are_lit():
    """By hand: with all points there, the frames to the bit; of a dark image, silence; and a share
    of each pixel is a factor."""
    images, context, _ = raw_frames(5)
    frames, _, _, points = context
    assert torch.equal(from_images(images, *context), frames)
    assert torch.equal(from_images(torch.zeros_like(images), *context), torch.zeros_like(frames))
    left = torch.rand(5, PIXELS, generator=torch.Generator().manual_seed(1))
    factors = (left[..., None] ** raw_frames(5).behind).prod(1)
    found = from_images((left * points).view_as(images), *context)
    torch.testing.assert_close(found, frames * factors[:, None], rtol=1e-5, atol=1e-7)


def test_integrated_gradients_share_a_sample_among_its_pixels():
    """With a share v of all points left, a sample that k pixels hide has v^k of its amplitude and
    v^2k of its power, of which each of the k has the integral of 2 v^(2k - 1), 1 / k. The integrand
    has the degree 2k - 1, for which k Gauss points are exact."""
    one = raw_frames(6)
    hidden_by = one.behind.sum(1)
    assert hidden_by.max() >= 4
    assert (one.images > 1).any()
    maps = explain(
        "integrated_gradients",
        Head(Power(), "modulation", from_images),
        one.images,
        ones(6),
        *one.context,
        ig_steps=int(hidden_by.max()),
    )
    torch.testing.assert_close(
        maps.flatten(1),
        torch.einsum("nps,ns->np", one.behind, one.power / hidden_by),
        rtol=1e-4,
        atol=1e-5,
    )
    torch.testing.assert_close(maps.sum((1, 2, 3)), one.power.sum(1), rtol=1e-4, atol=0)


def test_occlusion_silences_what_has_a_point_in_the_window():
    one = raw_frames(6)
    maps = explain(
        "occlusion",
        Head(Power(), "modulation", from_images),
        one.images,
        ones(6),
        *one.context,
        window=1 / SIDE,
        stride=1 / SIDE,
    )
    gone = torch.einsum("nps,ns->np", one.behind.clamp_max(1), one.power)
    torch.testing.assert_close(maps.flatten(1), gone, rtol=1e-4, atol=1e-5)
    assert 0.01 < (gone > 0).float().mean() < 0.5


@pytest.mark.parametrize("name", WITHOUT_MAP)
def test_pixels_of_the_samples_that_count_come_first(name):
    """Without a second view none but the block's pixels say anything. The gradient tells them all
    from the others, and so does a window that is the block; random masks blur, and must do better
    than chance by six of its standard deviations."""
    one = raw_frames(SHOWN, second_view=False)
    head, block = Head(Power(), "modulation", from_images), {"window": 0.25, "stride": 0.25}
    maps = explain(name, head, one.images, ones(SHOWN), *one.context, rise_masks=256, **block)

    lit = one.images.flatten(1).numpy() > 0
    wanted = one.block & lit
    chance, deviation = by_chance(wanted, lit)
    scores = maps.flatten(1).numpy()
    precision = precision_at_k(scores, wanted, lit, generator(1, "ties")).mean()
    assert precision > (chance + 6 * deviation if name == "rise" else 0.999)
    assert chance + 6 * deviation < 0.7


@pytest.mark.parametrize("name", [*WITHOUT_MAP, "brightness", "random"])
def test_context_follows_its_frame(name, monkeypatch):
    """However many frames go through the model at once, in any order: what they carry stays theirs,
    the SNR too."""
    one, head = raw_frames(6), Head(Recurrent(), "snr", from_images)
    targets, snr_db = torch.tensor([0, 1, 2, 2, 1, 0]), torch.tensor([1.0, -2, 3, -4, 5, -6])
    columns = (one.images, targets, *one.context, snr_db)
    whole = explain(name, head, *columns, **CHEAP)

    alone = [explain(name, head, *(c[i : i + 1] for c in columns), **CHEAP) for i in range(6)]
    backwards = explain(name, head, *(c.flip(0) for c in columns), **CHEAP).flip(0)
    four_frames = 4 * sum(column[0].numel() for column in one.context[:3])
    monkeypatch.setattr(heads, "VALUES_AT_ONCE", four_frames)
    in_parts = explain(name, head, *columns, **CHEAP)

    for other in (torch.cat(alone), backwards, in_parts):
        torch.testing.assert_close(other, whole, rtol=0, atol=1e-5 * whole.abs().max().item())
    assert (whole.flatten(1).std(1) > 0).all()


@pytest.mark.parametrize(
    ("name", "cudnn"), [("integrated_gradients", {False}), ("occlusion", {True}), ("rise", {True})]
)
def test_recurrent_models_have_gradients_in_evaluation_mode(name, cudnn):
    """cuDNN, which refuses them, is off for gradients and only then, and never for other models."""
    one, model = raw_frames(4), Recurrent()
    head, snr_db = Head(model, "modulation", from_images), torch.arange(1.0, 5)
    maps = explain(name, head, one.images, ones(4), *one.context, snr_db, **CHEAP)
    assert not model.training
    assert maps.abs().sum() > 0
    assert model.cudnn == cudnn
    assert torch.backends.cudnn.enabled
    seen = set()
    head = Head(Power(), "modulation", from_images)
    head.model.register_forward_hook(lambda *_: seen.add(torch.backends.cudnn.enabled))
    explain(name, head, one.images, ones(4), *one.context, **CHEAP)
    assert seen == {True}


def test_every_method_that_params_allow_is_there():
    (allowed,) = Attribute.model_fields["methods"].annotation.__args__[:1]
    assert set(allowed.__args__) <= set(methods.METHODS)


def test_a_further_method_is_one_entry(shown, monkeypatch):
    class Darkness(methods.Brightness):
        name = "darkness"

        def attribute(self, _head, images, _targets, _context):
            return -images

    monkeypatch.setitem(methods.METHODS, "darkness", Darkness)
    maps = explain("darkness", Head(untrained(), "snr"), *shown)
    assert torch.equal(maps, -shown[0])
    chosen = compare.choose(replace(FORMULAS, methods=("darkness",)), spatial=False, seed=1)
    assert [method.name for method in chosen] == ["darkness", "brightness", "random"]


def test_errors_say_what_to_do(shown):
    with pytest.raises(ValueError, match=r"'joint'.*modulation and snr"):
        Head(untrained(), "joint")

    with pytest.raises(ValueError, match=r"'lime'.*attribute\.methods.*grad_cam, .*, random"):
        build("lime", FORMULAS, 1)

    head = Head(untrained(), "snr")
    with pytest.raises(ValueError, match=r"attribute\.layer = layer9 .*auto or one of layer1,"):
        explain("grad_cam", head, *shown, layer="layer9")


def test_the_example_in_the_documentation_runs():
    with torch.random.fork_rng():
        assert doctest.testmod(methods) == (0, 6)
