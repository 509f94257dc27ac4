"""Which layers of a backbone Grad-CAM can read: those whose output is a map of the image."""

import copy
import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from pisces import models
from pisces.models import Architecture

AUTO = "auto"
"""Value of `attribute.layer`: the last stage whose map is fine enough; see `readable`."""
CELLS = 4
"""Cells along each side that `auto` wants: fewer tell no more than which quarter of the image."""


class Layout(NamedTuple):
    """Which layers of a kind of backbone hold a map, and how to go between output and map.

    A map is (n, width, rows, columns), with a cell for each part of the image.
    """

    layers: str  # regular expression of their names
    stages: str  # the same of the layers among which `auto` chooses
    to_map: Callable[[torch.Tensor], torch.Tensor]  # output -> map
    to_output: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (map, old output) -> output


class Adapter(nn.Module):
    """Identity behind a layer: the output goes through `map` as a map, where Grad-CAM reads it."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        self.map = nn.Identity()

    def forward(self, output: torch.Tensor) -> torch.Tensor:
        map_ = self.map(self.layout.to_map(output))
        return self.layout.to_output(map_, output)


def readable(
    model: nn.Module, example: torch.Tensor, layer: str = AUTO
) -> tuple[nn.Module, nn.Module]:
    """A copy of a model that predicts the same, and the module in it whose output is a map.

    The module is put behind `layer`, and Grad-CAM reads its output and the gradient there.

    `auto` is the last stage whose map has `CELLS` cells or more along each side. On images too
    small for that it is the last of the stages with the most cells.

    In a transformer attention carries content from place to place, so what a late map shows at a
    cell need not come from there. On planted patterns (tests/test_attribution.py) two maps told no
    more about the place than chance in some trainings: that behind a window of the whole image, and
    the last of several blocks of a vision transformer. The maps before them did.

    Args:
        model: a `JointModel` whose backbone sees images.
        example: images (1 or more, channels, size, size); they decide how large the maps are.
        layer: name of a layer of the backbone, or `auto`.

    Returns:
        The copy, in evaluation mode, which shares the weights of `model`; and the module.

    Raises:
        ValueError: where the model has no backbone, and as `check_layer`.
    """
    if not hasattr(model, "backbone"):
        raise ValueError(
            f"Grad-CAM reads a layer that is a map of the image, and {type(model).__name__} has "
            "none; leave grad_cam out of attribute.methods"
        )
    twin = _copy_sharing_weights(model).eval()
    backbone = twin.get_submodule("backbone")
    layout = _layout(backbone)
    _check_name(backbone, layer)

    name = _last_stage(backbone, layout, example) if layer == AUTO else layer
    adapter = Adapter(layout)
    backbone.set_submodule(name, nn.Sequential(backbone.get_submodule(name), adapter))
    return twin, adapter.map


def check_layer(architecture: Architecture, shape: Sequence[int], layer: str) -> None:
    """Refuses a layer that Grad-CAM could not read, before any training and without weights.

    Args:
        architecture: of a model that sees images.
        shape: of its input, (channels, size, size).
        layer: as in `attribute.layer`.

    Returns:
        Nothing, where Grad-CAM can read the layer.

    Raises:
        ValueError: when `layer` is none whose output is a map. Of a vision transformer the maps are
            the first norms of its blocks: behind the last one only the class token reaches the
            heads, and it has no place in the image.
    """
    if layer == AUTO:
        return
    with torch.device("meta"):  # tensors have shapes and no values
        model = models.build(architecture, shape, 2, (0, 10))
    _check_name(model.get_submodule("backbone"), layer)


def _check_name(backbone: nn.Module, layer: str) -> None:
    """Raises ValueError unless `layer` is `auto` or a layer of the backbone that holds a map."""
    pattern = _layout(backbone).layers
    names = [name for name, _ in backbone.named_modules() if re.fullmatch(pattern, name)]
    if layer != AUTO and layer not in names:
        raise ValueError(
            f"attribute.layer = {layer} is no layer with a map in this model; "
            f"set it to {AUTO} or one of {', '.join(names)}"
        )


def _copy_sharing_weights(model: nn.Module) -> nn.Module:
    tensors = itertools.chain(model.parameters(), model.buffers())
    # `deepcopy` takes what stands in its memo for copied, so tensors listed there stay shared.
    memo = {id(tensor): tensor for tensor in tensors}
    return copy.deepcopy(model, memo)


@torch.no_grad()
def _last_stage(backbone: nn.Module, layout: Layout, example: torch.Tensor) -> str:
    """Name of the stage that `auto` stands for."""
    sides: dict[str, int] = {}  # stage -> cells along the shorter side of its map, in order

    def measure(_module: nn.Module, _inputs: tuple, output: torch.Tensor, name: str) -> None:
        sides[name] = min(layout.to_map(output).shape[2:])

    with ExitStack() as hooks:
        for name, module in backbone.named_modules():
            if re.fullmatch(layout.stages, name):
                hook = partial(measure, name=name)
                hooks.enter_context(module.register_forward_hook(hook))
        backbone(example[:1])

    enough = min(CELLS, max(sides.values()))
    fine_enough = [name for name, side in sides.items() if side >= enough]
    return fine_enough[-1]


def _layout(backbone: nn.Module) -> Layout:
    for kind in type(backbone).__mro__:
        if kind.__name__ in LAYOUTS:
            return LAYOUTS[kind.__name__]
    return CONVOLUTIONAL


# Outputs to maps and back


def _from_tokens(tokens: torch.Tensor) -> torch.Tensor:
    patches = tokens[:, 1:]  # (n, 1 + rows * columns, width), the class token first
    side = int(patches.shape[1] ** 0.5)
    by_channel = patches.transpose(1, 2)  # (n, width, rows * columns)
    return by_channel.reshape(len(tokens), -1, side, side)


def _to_tokens(map_: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    patches = map_.flatten(2).transpose(1, 2)  # (n, rows * columns, width)
    class_token = tokens[:, :1]
    return torch.cat([class_token, patches], 1)


def _from_channels_last(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2)  # (n, rows, columns, width) -> (n, width, rows, columns)


def _to_channels_last(map_: torch.Tensor, _output: torch.Tensor) -> torch.Tensor:
    return map_.permute(0, 2, 3, 1)


def _as_is(output: torch.Tensor, _old: torch.Tensor | None = None) -> torch.Tensor:
    return output


CONVOLUTIONAL = Layout(
    layers=r"layer\d+(\.\d+)?",  # the stages of a ResNet and their blocks
    stages=r"layer\d+",
    to_map=_as_is,
    to_output=_as_is,
)

LAYOUTS: dict[str, Layout] = {
    "VisionTransformer": Layout(
        layers=r"encoder\.layers\.[^.]+\.ln_1",  # the first norm of each block
        stages=r"encoder\.layers\.[^.]+\.ln_1",
        to_map=_from_tokens,
        to_output=_to_tokens,
    ),
    # Even members of a Swin's `features` cut and merge patches, odd ones are stages of blocks.
    "SwinTransformer": Layout(
        layers=r"features\.(0|[1-9]\d*(\.\d+)?)",
        stages=r"features\.\d*[13579]",
        to_map=_from_channels_last,
        to_output=_to_channels_last,
    ),
}
"""Class of backbone, of torchvision -> its layout; any other is `CONVOLUTIONAL`.

By name, since importing torchvision takes seconds.
"""
