"""A picture is the sum of its lit pixels, and each pixel is known by its place."""

import pytest
import torch

from pisces import models
from pisces.models import Architecture
from pisces.models.pixel_set import PixelSet, place_features

CHANNELS, SIZE = 2, 16


def fresh(channels: int = CHANNELS, size: int = SIZE) -> PixelSet:
    torch.manual_seed(1)
    return PixelSet(channels, size).eval()


def pictures(frames: int, lit: float = 0.1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    values = torch.rand(frames, CHANNELS, SIZE, SIZE, generator=generator)
    return torch.where(values < lit, 10 * values, 0)


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_picture_is_the_sum_of_its_pixels():
    model, picture = fresh(), pictures(1)
    each = torch.zeros(int((picture > 0).sum()), *picture.shape[1:])
    for one, (channel, row, column) in zip(each, picture[0].nonzero().tolist(), strict=True):
        one[channel, row, column] = picture[0, channel, row, column]
    sums = model.sums(each).sum(0, keepdim=True)
    assert torch.allclose(sums, model.sums(picture), rtol=1e-5, atol=1e-5)
    assert torch.allclose(model.features_of_sum(sums), model(picture), rtol=1e-4, atol=1e-5)


def test_the_table_says_what_one_pixel_says():
    model, picture = fresh(), torch.zeros(1, CHANNELS, SIZE, SIZE)
    picture[0, 1, 3, 5] = 2.5
    sums = model.sums(picture)[0]
    assert torch.allclose(sums[1], 2.5 * model.table()[1, 3 * SIZE + 5], rtol=1e-6)
    assert not sums[0].any()


def test_the_same_place_says_another_thing_in_another_view():
    table = fresh().table()
    assert (table[0] - table[1]).abs().min(1).values.max() > 0


def test_sums_keep_their_digits_under_autocast():
    model, picture = fresh(), pictures(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.sums(picture), model.sums(picture.float()))
        assert model.sums(picture).dtype == torch.float32


@pytest.mark.parametrize("size", [2, 16, 254])
def test_places_are_told_apart_and_bounded(size):
    places = place_features(size)
    assert places.shape[0] == size**2
    assert len(places.unique(dim=0)) == size**2
    assert places.abs().max() <= 1


def test_places_have_the_axes_of_the_pictures():
    places = place_features(4).view(4, 4, -1)
    i, q = places[..., 0], places[..., 1]
    assert i[0].tolist() == [-0.75, -0.25, 0.25, 0.75]  # left to right
    assert q[:, 0].tolist() == [0.75, 0.25, -0.25, -0.75]  # top to bottom


def test_the_model_file_holds_no_places():
    assert not [name for name in fresh().state_dict() if "places" in name]


@pytest.mark.parametrize(("name", "most"), [("pixel_set", 300_000), ("small_cnn", 70_000)])
def test_small_models_are_small(name, most):
    model = models.build(Architecture(name, "plain", "standard"), (2, 64, 64), 24, range(26))
    assert most / 2 < parameters(model) < most


def test_weights_of_others_are_refused():
    architecture = Architecture("pixel_set", "plain", "standard")
    model = models.build(architecture, (1, 16, 16), 2, (0, 10))
    with pytest.raises(ValueError, match=r"train\.pretrained = imagenet .* = pixel_set; .* none"):
        models.load_pretrained(model, architecture, "imagenet")
