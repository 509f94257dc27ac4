"""Does the copy predict as the model does, is its map the image's, and are gradients right?"""

from collections.abc import Callable
from functools import cache

import pytest
import torch
from captum.attr import LayerGradientXActivation
from torch import nn
from torchvision.models import ResNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import BasicBlock

from pisces.attribution.gradcam_layers import check_layer, readable
from pisces.models import Architecture, build
from pisces.models.branches import plain
from pisces.models.joint import JointModel

SIZE, CHANNELS = 32, 2


def resnet() -> nn.Module:
    return ResNet(BasicBlock, [1, 1, 1, 1], num_classes=8)


def vit() -> nn.Module:
    model = VisionTransformer(SIZE, 8, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=16)
    model.heads = nn.Identity()  # torchvision starts it at zero
    return model


def swin() -> nn.Module:
    return SwinTransformer([4, 4], 16, [1, 2], [2, 2], [4, 4], num_classes=8)


LAYERS = {
    resnet: [name for stage in range(1, 5) for name in (f"layer{stage}", f"layer{stage}.0")],
    vit: ["encoder.layers.encoder_layer_0.ln_1", "encoder.layers.encoder_layer_1.ln_1"],
    swin: [
        "features.0",
        "features.1",
        "features.1.0",
        "features.2",
        "features.3",
        "features.3.0",
        "features.3.1",
    ],
}
KIND_AND_LAYER = [
    pytest.param(kind, layer, id=f"{kind.__name__}-{layer}")
    for kind, layers in LAYERS.items()
    for layer in layers
]


def joint(kind: Callable[[], nn.Module], dtype: torch.dtype = torch.float32) -> JointModel:
    torch.manual_seed(1)
    branches, width = plain(8)
    return JointModel(kind(), branches, nn.Linear(width, 4), nn.Linear(width, 3)).to(dtype).eval()


def pictures(n: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Three channels, which torchvision's stems have."""
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2), dtype=dtype)


def map_of(model: nn.Module, module: nn.Module, images: torch.Tensor) -> torch.Tensor:
    kept = []
    with (
        module.register_forward_hook(lambda _module, _inputs, output: kept.append(output.clone())),
        torch.no_grad(),
    ):
        model(images)
    (one,) = kept
    return one


@pytest.mark.parametrize(("kind", "layer"), KIND_AND_LAYER)
@pytest.mark.parametrize("gradients", [False, True])
def test_copy_predicts_to_the_bit_as_the_model_does(kind, layer, gradients):
    """With and without gradients, as torch's attention takes another way without."""
    model, images = joint(kind), pictures()
    copy, _ = readable(model, images, layer)
    with torch.set_grad_enabled(gradients):
        for one, other in zip(model(images), copy(images), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize(("kind", "layer"), KIND_AND_LAYER)
def test_gradient_at_the_map_is_that_of_a_small_change_of_it(kind, layer):
    """Central differences in float64: rounding is some 1e-15 of scores near 1, over a step of 1e-7,
    and few ReLUs turn within it.

    Of the frame itself and no other: what moves in one frame's map moves that frame's score alone.
    """
    model, images = joint(kind, torch.float64), pictures(2, torch.float64)
    copy, module = readable(model, images, layer)
    gradient = LayerGradientXActivation(
        lambda x: copy(x)[0], module, multiply_by_inputs=False
    ).attribute(images, target=1)
    direction = torch.randn(
        gradient.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    step = 1e-7

    def moved(way: float) -> torch.Tensor:
        with (
            module.register_forward_hook(
                lambda _module, _inputs, output: output + way * step * direction
            ),
            torch.no_grad(),
        ):
            return copy(images)[0][:, 1]

    slope = (moved(1) - moved(-1)) / (2 * step)
    expected = (gradient * direction).flatten(1).sum(1)
    assert (expected.abs() > 1e-4).all()
    torch.testing.assert_close(slope, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("kind", "layer", "patch"),
    [(vit, "encoder.layers.encoder_layer_0.ln_1", 8), (swin, "features.0", 4)],
)
@pytest.mark.parametrize("cell", [(0, 0), (1, 3), (3, 0)])
def test_a_cell_is_its_part_of_the_picture(kind, layer, patch, cell):
    """Before any attention, a changed patch changes the cell in its row and column and no other."""
    row, column = cell
    images = pictures(1)
    changed = images.clone()
    changed[..., row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] += 1
    copy, module = readable(joint(kind), images, layer)
    differs = (map_of(copy, module, images) != map_of(copy, module, changed)).any(1)[0]
    assert differs.nonzero().tolist() == [[row, column]]


@cache
def real_model(name: str, size: int) -> JointModel:
    """On torch's `meta` device, where tensors have shapes and no values."""
    with torch.device("meta"):
        return build(Architecture(name, "plain", "standard"), (CHANNELS, size, size), 4, (0, 10))


@pytest.mark.parametrize(
    ("model", "size", "layer", "cells"),
    [
        ("resnet18", 16, "layer1", 4),
        ("resnet18", 32, "layer2", 4),
        ("resnet18", 64, "layer3", 4),
        ("resnet18", 96, "layer3", 6),
        ("resnet18", 128, "layer4", 4),
        ("resnet50", 8, "layer1", 2),  # nowhere are there four
        ("small_cnn", 16, "layer2", 4),
        ("small_cnn", 64, "layer4", 4),
        ("vit_b_16", 64, "encoder.layers.encoder_layer_11.ln_1", 4),
        ("vit_b_32", 64, "encoder.layers.encoder_layer_11.ln_1", 2),
        ("swin_tiny", 16, "features.1", 4),
        ("swin_tiny", 32, "features.3", 4),
        ("swin_tiny", 64, "features.5", 4),
        ("swin_tiny", 128, "features.7", 4),
        ("swin_tiny", 8, "features.1", 2),
    ],
)
def test_auto_is_the_last_stage_of_four_cells_a_side(model, size, layer, cells):
    built_for = size if model.startswith("vit") else 64  # the others take any size
    whole = real_model(model, built_for)
    with torch.device("meta"):
        example = torch.zeros(1, CHANNELS, size, size)
        copy, module = readable(whole, example)
        kept = []
        module.register_forward_hook(lambda _module, _inputs, output: kept.append(output.shape[2:]))
        copy(example)
    assert copy.backbone.get_submodule(f"{layer}.1").map is module
    assert kept == [(cells, cells)]


def test_model_stays_as_it_was():
    model = joint(resnet).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, _ in model.named_modules()]
    copy, _ = readable(model, pictures())
    assert model.training
    assert not copy.training
    assert [name for name, _ in model.named_modules()] == names
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_copy_holds_no_weights_of_its_own():
    model = joint(swin)
    copy, _ = readable(model, pictures())
    assert {id(tensor) for tensor in copy.parameters()} == {
        id(tensor) for tensor in model.parameters()
    }


@pytest.mark.parametrize(
    ("kind", "layer"),
    [
        (resnet, "layer5"),
        (resnet, "fc"),  # no map
        (resnet, "avgpool"),
        (vit, "encoder.layers.encoder_layer_1"),  # its patches reach no head
        (vit, "conv_proj"),
        (swin, "head"),
        (swin, "features.0.0"),  # channels first, unlike the others
    ],
)
def test_layers_without_a_map(kind, layer):
    first, last = LAYERS[kind][0], LAYERS[kind][-1]
    message = rf"attribute\.layer = {layer} .*auto or one of {first}, .*{last}"
    with pytest.raises(ValueError, match=message):
        readable(joint(kind), pictures(), layer)


@pytest.mark.parametrize(
    ("model", "layer"),
    [
        ("resnet50", "layer4.2"),
        ("small_cnn", "layer4"),
        ("vit_b_16", "encoder.layers.encoder_layer_11.ln_1"),
        ("swin_tiny", "features.7"),
    ],
)
def test_a_layer_is_refused_before_training(model, layer):
    architecture, shape = Architecture(model, "plain", "standard"), (CHANNELS, 64, 64)
    state = torch.get_rng_state()
    for known in ("auto", layer):
        check_layer(architecture, shape, known)
    with pytest.raises(
        ValueError, match=rf"attribute\.layer = {layer}x .*auto or one of .*{layer}"
    ):
        check_layer(architecture, shape, f"{layer}x")
    assert torch.equal(torch.get_rng_state(), state)
