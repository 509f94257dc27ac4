"""Weights of torchvision's models: folded stems, stretched position embeddings, and files that are
something else.
"""

import os
import urllib.error
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import get_model_weights, resnet18
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.models.swin_transformer import SwinTransformer
from torchvision.models.vision_transformer import VisionTransformer

from pisces import models
from pisces.models import Architecture, backbones, pretrained

# Small builders in the place of torchvision's, so that a file has kilobytes.
tiny_resnet = partial(ResNet, Bottleneck, width_per_group=4)
tiny_vit = partial(
    VisionTransformer, patch_size=16, num_layers=1, num_heads=2, hidden_dim=32, mlp_dim=64
)
tiny_swin = partial(SwinTransformer, [4, 4], 24, [1, 1], [2, 2], [7, 7])
TINY = {
    "vit_b_16": tiny_vit,
    "swin_tiny": tiny_swin,
    "resnet50": partial(tiny_resnet, [1, 1, 1, 1]),
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    for name, builder in TINY.items():
        monkeypatch.setitem(
            backbones.BACKBONES, name, backbones.BACKBONES[name]._replace(builder=builder)
        )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def weights(name: str, **options) -> dict[str, torch.Tensor]:
    """State of a whole torchvision model in float64, with batch variances other than the first."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        state = TINY[name](**options).double().state_dict()
        return {
            key: value + torch.rand_like(value) if "running_var" in key else value
            for key, value in state.items()
        }


def build(name: str = "resnet50", channels: int = 1, size: int = 32) -> nn.Module:
    return models.build(Architecture(name, "plain", "standard"), (channels, size, size), 2, (0, 10))


def load(model: nn.Module, source: str | Path, name: str = "resnet50") -> None:
    models.load_pretrained(model, Architecture(name, "plain", "standard"), str(source))


def written(path: Path, state: dict) -> Path:
    torch.save(state, path)
    return path


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_equal_channels_are_filtered_like_a_grey_photograph(channels):
    generator = torch.Generator().manual_seed(1)
    filters, grey = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((8, 3, 5, 5), (2, 1, 16, 16))
    )
    maps = functional.conv2d(grey.expand(-1, channels, -1, -1), pretrained.fold(filters, channels))
    torch.testing.assert_close(maps, functional.conv2d(grey.expand(-1, 3, -1, -1), filters))
    assert maps.abs().max() > 1


def test_three_channels_keep_their_filters():
    filters = torch.rand(8, 3, 5, 5)
    assert torch.equal(pretrained.fold(filters, 3), filters)


@pytest.mark.parametrize(("channels", "suffix"), [(1, "pth"), (3, "pth"), (4, "safetensors")])
@pytest.mark.parametrize("name", TINY)
def test_features_are_those_of_torchvision(name, channels, suffix, tmp_path):
    options = {"image_size": 32} if name == "vit_b_16" else {}
    state, path = weights(name, **options), tmp_path / f"weights.{suffix}"
    (safetensors.torch.save_file if suffix == "safetensors" else torch.save)(state, path)
    model, original = build(name, channels).double(), TINY[name](**options).double()
    load(model, path, name)
    original.load_state_dict(state)
    original.set_submodule(backbones.BACKBONES[name].classifier, nn.Identity())
    grey = torch.rand(2, 1, 32, 32, dtype=torch.float64)
    ours, theirs = (
        m.eval()(grey.expand(-1, c, -1, -1)) for m, c in ((model.backbone, channels), (original, 3))
    )
    torch.testing.assert_close(ours, theirs)
    assert (theirs[0] - theirs[1]).abs().max() > 1e-3


def test_heads_stay_as_they_were(tmp_path):
    model = build()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load(model, written(tmp_path / "weights.pth", weights("resnet50")))
    changed = {
        name.split(".")[0]
        for name, value in model.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"backbone"}


@pytest.mark.parametrize("size", [32, 64, 112])
def test_position_embeddings_keep_their_place_in_the_image(size, tmp_path):
    state = weights("vit_b_16", image_size=64)
    state["encoder.pos_embedding"][..., 0] = 7
    model = build("vit_b_16", size=size).double()
    load(model, written(tmp_path / "weights.pth", state), "vit_b_16")
    old, new = (
        positions[0]
        for positions in (
            state["encoder.pos_embedding"],
            model.backbone.encoder.pos_embedding.detach(),
        )
    )
    assert torch.equal(new[0], old[0])  # the class token has no place
    old, new = old[1:].reshape(4, 4, -1), new[1:].reshape(size // 16, size // 16, -1)
    torch.testing.assert_close(
        new[[0, 0, -1, -1], [0, -1, 0, -1]], old[[0, 0, -1, -1], [0, -1, 0, -1]]
    )
    torch.testing.assert_close(new[..., 0], torch.full_like(new[..., 0], 7))
    assert model.eval()(torch.rand(2, 1, size, size, dtype=torch.float64))[0].shape == (2, 2)


def test_names_of_older_files(tmp_path):
    """Torchvision's ImageNet files of ViTs name linear_1 and linear_2, those of ResNets have no
    num_batches_tracked.
    """
    vit, resnet = weights("vit_b_16", image_size=32), weights("resnet50")
    old = {
        key.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): value
        for key, value in vit.items()
    }
    assert old.keys() != vit.keys()
    model = build("vit_b_16")
    load(model, written(tmp_path / "vit.pth", old), "vit_b_16")
    name = "encoder.layers.encoder_layer_0.mlp.3.weight"
    assert torch.equal(model.backbone.state_dict()[name], vit[name])
    load(
        build(),
        written(
            tmp_path / "resnet.pth",
            {key: value for key, value in resnet.items() if "num_batches" not in key},
        ),
    )


def test_a_file_without_classifier_or_with_another_number_of_classes(tmp_path):
    state = weights("resnet50")
    del state["fc.weight"], state["fc.bias"]
    load(build(), written(tmp_path / "headless.pth", state))
    load(
        build(),
        written(
            tmp_path / "seven.pth",
            state | {"fc.weight": torch.ones(7, 2048), "fc.bias": torch.ones(7)},
        ),
    )


def test_wrong_shape_names_the_file_the_tensor_and_both_shapes(tmp_path):
    state = weights("resnet50") | {"layer1.0.conv1.weight": torch.ones(4, 64, 5, 5)}
    shapes = r"layer1.0.conv1.weight: .*\[4, 64, 5, 5\].*\[4, 64, 1, 1\]"
    with pytest.raises(
        ValueError,
        match=rf"odd.pth does not fit torchvision's resnet50: size mismatch for {shapes}",
    ):
        load(build(), written(tmp_path / "odd.pth", state))


def test_a_stem_that_is_no_image_filter(tmp_path):
    state = weights("resnet50") | {"conv1.weight": torch.ones(64)}
    with pytest.raises(
        ValueError, match=r"size mismatch for conv1.weight: .*\[64\].*\[64, 1, 7, 7\]"
    ):
        load(build(), written(tmp_path / "flat.pth", state))


def test_another_architecture(tmp_path):
    """In one line that can be read: a block of three convolutions, each with the four tensors and
    the count of its normalisation, is 18.
    """
    fits, remedy = "does not fit torchvision's resnet50", r"is it a file of resnet50\?$"
    first = r"layer3.1.conv1.weight, layer3.1.bn1.weight, layer3.1.bn1.bias, \.\.\."
    deeper = tiny_resnet([1, 1, 2, 1]).state_dict()
    with pytest.raises(
        ValueError, match=rf"deeper.pth {fits}: unexpected: 18 tensors \({first}\); {remedy}"
    ):
        load(build(), written(tmp_path / "deeper.pth", deeper))
    del deeper["conv1.weight"], deeper["layer1.0.conv1.weight"]
    missing = r"missing: 2 tensors \(conv1.weight, layer1.0.conv1.weight\)"
    both = rf"{missing}; unexpected: 18 tensors \({first}\)"
    with pytest.raises(ValueError, match=rf"holes.pth {fits}: {both}; {remedy}"):
        load(build(), written(tmp_path / "holes.pth", deeper))
    with pytest.raises(
        ValueError, match=rf"vit.pth {fits}: missing: \d+ tensors \(conv1.weight, .*; {remedy}"
    ) as raised:
        load(build(), written(tmp_path / "vit.pth", weights("vit_b_16", image_size=32)))
    assert len(str(raised.value).removeprefix(f"train.pretrained = {tmp_path}")) < 300
    wide = {
        key: value[: len(value) // 2] if key.endswith("conv2.weight") else value
        for key, value in weights("resnet50").items()
    }
    with pytest.raises(
        ValueError,
        match=rf"wide.pth {fits}: size .* layer1.0.conv2.weight: .* \(and 3 more\); {remedy}",
    ):
        load(build(), written(tmp_path / "wide.pth", wide))
    oblong = weights("vit_b_16", image_size=32) | {"encoder.pos_embedding": torch.ones(1, 4, 32)}
    with pytest.raises(
        ValueError, match=r"oblong.pth does not fit torchvision's vit_b_16: .*not a perfect square"
    ):
        load(build("vit_b_16"), written(tmp_path / "oblong.pth", oblong), "vit_b_16")


class Trap:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


def test_a_pickled_command_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError,
        match=r"trap.pth cannot be read: it .* holds more than tensors; write the state dict",
    ):
        load(build(), written(tmp_path / "trap.pth", weights("resnet50") | {"note": Trap()}))
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["cut.pth", "cut.safetensors", "empty.pth"])
def test_damaged_file(name, tmp_path):
    path = tmp_path / name
    (safetensors.torch.save_file if "safe" in name else torch.save)(weights("resnet50"), path)
    path.write_bytes(path.read_bytes()[: 0 if "empty" in name else 9999])
    with pytest.raises(ValueError, match=f"{name} cannot be read: it is damaged"):
        load(build(), path)


@pytest.mark.parametrize(
    "content", [{"epoch": 3}, {"state_dict": {"conv1.weight": torch.ones(1)}}, torch.ones(2)]
)
def test_a_file_of_something_else(content, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"other.pth is not a state dict; .* torch.save\(model.state_dict\(\), path\)",
    ):
        load(build(), written(tmp_path / "other.pth", content))


def test_no_such_file():
    with pytest.raises(
        ValueError,
        match=r"train.pretrained = imagnet is not a file; allowed are none, imagenet and the path",
    ):
        load(build(), "imagnet")


def test_imagenet_comes_from_the_cache_of_torchvision(tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    state = resnet18().state_dict()
    written(tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth", state)
    model = build("resnet18")
    load(model, "imagenet", "resnet18")
    assert torch.equal(model.backbone.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])


def test_imagenet_without_net(tmp_path, monkeypatch):
    def offline(*_args, **_options):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    folder = tmp_path / "hub" / "checkpoints"
    remedy = r"put https://.*resnet18-f37072fd.pth into that folder, or set train.pretrained = none"
    with pytest.raises(
        ValueError,
        match=rf"resnet18-f37072fd.pth .* read from {folder} .*\(URLError\); {remedy}",
    ):
        load(build("resnet18"), "imagenet", "resnet18")


def test_a_damaged_cache(tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth").write_bytes(b"half a download")
    with pytest.raises(
        ValueError, match=r"ImageNet weights resnet18-f37072fd.pth can neither be read from"
    ):
        load(build("resnet18"), "imagenet", "resnet18")


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_imagenet_weights_are_of_the_same_architecture(name, monkeypatch):
    monkeypatch.undo()  # the real builders
    weights = get_model_weights(backbones.BACKBONES[name].weights).DEFAULT
    with torch.device("meta"):
        backbone, width = backbones.build(
            name, 3, weights.meta["min_size"][0] if "vit" in name else 32
        )
    classifier = 1000 * (width + 1)
    assert sum(p.numel() for p in backbone.parameters()) + classifier == weights.meta["num_params"]
