"""What a pixel of a sum is worth follows exactly, as if it was masked."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import nn

from pisces import models
from pisces.attribution import methods
from pisces.attribution.head import Head
from pisces.attribution.methods import attribute
from pisces.attribution.shapley import LeaveOneOut, Shapley, is_summing
from pisces.core.tasks import HEADS
from pisces.inputs.drawing import DrawingProbe
from pisces.models import Architecture
from pisces.models.joint import JointModel
from tests.conftest import RENDER, SIZE
from tests.inputs.tiny import drawing

SHAPLEY = Shapley(permutations=5, seed=1)
CLASSES, SNRS_DB = 4, (0, 10, 20)


def build(model: str = "pixel_set", branches: str = "plain", head: str = "standard") -> nn.Module:
    """A model that has seen some pictures, so that its batch norms divide by their scale."""
    torch.manual_seed(1)
    built = models.build(Architecture(model, branches, head), (4, SIZE, SIZE), CLASSES, SNRS_DB)
    for _ in range(20):
        built(pictures(32))
    return built.eval()


def bins(frames: int, points: int = 40) -> torch.Tensor:
    """Pixel numbers, of which some are beyond the last pixel."""
    pixels = len(RENDER.views) * SIZE**2
    generator = torch.Generator().manual_seed(3)
    return torch.randint(pixels + pixels // 20, (frames, points), generator=generator)


def pictures(frames: int) -> torch.Tensor:
    return probe(frames).images


def probe(frames: int) -> DrawingProbe:
    return DrawingProbe(drawing("log_histogram", RENDER), bins(frames))


def probability(model: nn.Module, images: torch.Tensor, task: int) -> torch.Tensor:
    with torch.no_grad():
        return model(images)[task].double().softmax(1)


@pytest.mark.parametrize(("task", "name"), list(enumerate(HEADS)))
def test_leave_one_out_is_the_drop_when_a_pixel_is_masked(task, name):
    model, shown = build(branches="attention", head="bottleneck_64"), probe(2)
    targets = torch.tensor([1, 2])
    maps = attribute(LeaveOneOut(), Head(model, name), shown.images, targets).flatten(1)

    for frame, target in enumerate(targets):
        lit = shown.counts[frame].nonzero().squeeze(1).numpy()
        masked = shown.without([frame] * len(lit), lit, np.arange(len(lit) + 1))
        whole = probability(model, shown.images[frame : frame + 1], task)[0, target]
        drops = whole - probability(model, masked, task)[:, target]
        assert drops.abs().max() > 1e-3
        assert torch.allclose(maps[frame, lit].double(), drops, atol=1e-5)
        assert not maps[frame][shown.counts[frame] == 0].any()


def test_shapley_values_add_up_to_the_picture_less_a_dark_one():
    model, images, targets = build(), pictures(3), torch.tensor([0, 1, 3])
    maps = attribute(SHAPLEY, Head(model, "modulation"), images, targets)
    each = torch.arange(3)
    whole = probability(model, images, 0)[each, targets]
    dark = probability(model, torch.zeros_like(images), 0)[each, targets]
    assert (whole - dark).abs().max() > 0.01
    assert torch.allclose(maps.double().sum((1, 2, 3)), whole - dark, atol=1e-5)
    assert not maps[images == 0].any()


def test_shapley_values_of_three_pixels_are_those_of_the_definition():
    model, image = build(), torch.zeros(1, 4, SIZE, SIZE)
    lit = torch.tensor([5, SIZE**2 + 70, 3 * SIZE**2 + 9])
    image.view(-1)[lit] = torch.tensor([1.0, 2.0, 3.0])
    orders = list(permutations(range(3)))
    expected = torch.zeros(3, dtype=torch.float64)
    for order in orders:
        picture = torch.zeros_like(image)
        before = probability(model, picture, 0)[0, 1]
        for pixel in order:
            picture.view(-1)[lit[pixel]] = image.view(-1)[lit[pixel]]
            after = probability(model, picture, 0)[0, 1]
            expected[pixel] += (after - before) / len(orders)
            before = after

    many = Shapley(permutations=3000, seed=1)
    maps = attribute(many, Head(model, "modulation"), image, torch.tensor([1]))
    found = maps.flatten()[lit].double()
    # A share of all orders is known to 1 / (2 sqrt(3 000)), 5 times.
    assert torch.allclose(found, expected, atol=0.05 * float(expected.abs().max()))


def test_a_planted_pixel_ranks_first(monkeypatch):
    model, images = build(), pictures(1)
    planted = int(images.flatten().nonzero()[11])
    channel, place = divmod(planted, SIZE**2)

    # Only this pixel says anything, and it says the second class.
    table = torch.zeros(4, SIZE**2, 1)
    table[channel, place] = 1
    monkeypatch.setattr(model.backbone, "table", lambda: table)
    model.backbone.after_sum = nn.Identity()
    model.modulation_head = nn.Linear(4, 2)
    with torch.no_grad():
        model.modulation_head.weight.copy_(torch.tensor([[0.0] * 4, [1.0] * 4]))

    for method in (LeaveOneOut(), SHAPLEY):
        maps = attribute(method, Head(model, "modulation"), images, torch.tensor([1]))
        assert maps.flatten().nonzero().tolist() == [[planted]]
        assert maps.max() > 0


@pytest.mark.parametrize("method", [LeaveOneOut(), SHAPLEY])
def test_a_frame_depends_on_no_other_beside_it(method):
    head, images, targets = Head(build(), "snr"), pictures(3), torch.tensor([0, 1, 2])
    together = attribute(method, head, images, targets)
    alone = attribute(method, head, images[2:], targets[2:])
    assert torch.allclose(together[2:], alone, atol=1e-6)
    assert alone.any()


@pytest.mark.parametrize("method", [LeaveOneOut(), SHAPLEY])
def test_a_dark_picture_has_nothing_to_attribute(method):
    dark = torch.zeros(1, 4, SIZE, SIZE)
    assert not attribute(method, Head(build(), "snr"), dark, torch.tensor([0])).any()


@pytest.mark.parametrize("method", [LeaveOneOut(), SHAPLEY])
def test_other_models_are_refused(method):
    model = build("small_cnn")
    assert isinstance(model, JointModel)
    assert not is_summing(model)
    with pytest.raises(ValueError, match=r"sum over pixels.*train\.model = pixel_set"):
        attribute(method, Head(model, "snr"), pictures(1), torch.tensor([0]))


def test_methods_go_to_the_models_that_they_can_explain():
    names = ("grad_cam", "rise", "leave_one_out", "shapley")
    assert is_summing(build())
    assert methods.applicable(names, True, is_summing=True) == names[1:]
    assert methods.applicable(names, True) == names[:2]
    assert methods.applicable(names, False) == ("rise",)
    with pytest.raises(ValueError, match="cannot explain a model that sums over pixels"):
        methods.applicable(("grad_cam",), True, is_summing=True)
