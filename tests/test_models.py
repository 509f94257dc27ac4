"""Models by name: shapes, that both heads hang on the image, and that the seed decides the weights."""

import pytest
import torch

from pisces import models


def build(seed: int, channels: int = 1) -> torch.nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return models.build("resnet18", channels, 5, 7)


@pytest.mark.parametrize(("channels", "size"), [(1, 32), (3, 48)])
def test_logits_of_both_heads(channels, size):
    modulation, snr = build(1, channels).eval()(torch.rand(4, channels, size, size))
    assert (modulation.shape, snr.shape) == ((4, 5), (4, 7))


def test_every_parameter_learns_from_the_two_heads_together():
    model = build(1)
    modulation, snr = model(torch.rand(4, 1, 32, 32))
    (modulation.square().sum() + snr.square().sum()).backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_heads_share_the_backbone_and_nothing_else():
    model = build(1)
    model(torch.rand(4, 1, 32, 32))[0].square().sum().backward()
    assert model.snr_head.weight.grad is None
    assert model.modulation_head.weight.grad.any()
    assert all(p.grad is not None for p in model.backbone.parameters())


def test_weights_are_those_of_the_seed():
    first, again, other = (build(seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first if name.endswith("conv1.weight"))


def test_stem_has_the_variance_of_he_initialisation():
    stem = build(1, 3).backbone.conv1.weight
    # Fan-out 64 * 7 * 7; the standard deviation of n normal numbers scatters by 1 / sqrt(2 n).
    assert stem.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=5 / (2 * stem.numel()) ** 0.5)


def test_unknown_model():
    with pytest.raises(ValueError, match="model 'vgg' is unknown; there are resnet18"):
        models.build("vgg", 1, 2, 2)
