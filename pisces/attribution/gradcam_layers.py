"""Which layers of a backbone are maps of the image, for Grad-CAM: a cell for each part of it."""

import copy
import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from pisces import models
from pisces.models import Architecture

AUTO = "auto"
"""Stands for the last stage whose map is not too coarse; see `readable`."""
CELLS = 4
"""Cells along each side that `auto` wants: fewer tell no more than which quarter of the image."""


class Layout(NamedTuple):
    """Which layers of a backbone are maps, and how to go between their output and a map.

    A map is (n, width, rows, columns).
    """

    layers: str  # pattern of their names
    stages: str  # of those among which `auto` chooses
    to_map: Callable[[torch.Tensor], torch.Tensor]
    to_output: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # (map, old output) -> output


class Adapter(nn.Module):
    """Returns a layer's output unchanged, by way of `map`, through which it passes as a map."""

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
        ValueError: as `check_layer`.
    """
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
    pattern = _layout(backbone).layers
    names = [name for name, _ in backbone.named_modules() if re.fullmatch(pattern, name)]
    if layer != AUTO and layer not in names:
        raise ValueError(
            f"attribute.layer = {layer} is no layer with a map in this model; "
            f"set it to {AUTO} or one of {', '.join(names)}"
        )


def _copy_sharing_weights(model: nn.Module) -> nn.Module:
    tensors = itertools.chain(model.parameters(), model.buffers())
    already_copied = {id(tensor): tensor for tensor in tensors}
    return copy.deepcopy(model, already_copied)


@torch.no_grad()
def _last_stage(backbone: nn.Module, layout: Layout, example: torch.Tensor) -> str:
    """Name of the stage that `auto` stands for."""
    sides: dict[str, int] = {}

    def measure(_module: nn.Module, _inputs: tuple, output: torch.Tensor, name: str) -> None:
        sides[name] = min(layout.to_map(output).shape[2:])

    with ExitStack() as hooks:
        for name, module in backbone.named_modules():
            if re.fullmatch(layout.stages, name):
                hook = partial(measure, name=name)
                hooks.enter_context(module.register_forward_hook(hook))
        backbone(example[:1])

    enough = min(CELLS, max(sides.values()))
    return [name for name, side in sides.items() if side >= enough][-1]


def _layout(backbone: nn.Module) -> Layout:
    for kind, layout in LAYOUTS.items():
        if isinstance(backbone, kind):
            return layout
    return CONVOLUTIONAL


def _from_tokens(tokens: torch.Tensor) -> torch.Tensor:
    patches = tokens[:, 1:]  # (n, 1 + rows * columns, width), the class token first
    side = int(patches.shape[1] ** 0.5)
    return patches.transpose(1, 2).reshape(len(tokens), -1, side, side)


def _to_tokens(map_: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    patches = map_.flatten(2).transpose(1, 2)
    return torch.cat([tokens[:, :1], patches], 1)


def _from_channels_last(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2)  # (n, rows, columns, width) -> (n, width, rows, columns)


def _to_channels_last(map_: torch.Tensor, _output: torch.Tensor) -> torch.Tensor:
    return map_.permute(0, 2, 3, 1)


def _as_is(output: torch.Tensor, _old: torch.Tensor | None = None) -> torch.Tensor:
    return output


CONVOLUTIONAL = Layout(r"layer\d+(\.\d+)?", r"layer\d+", _as_is, _as_is)

_norms = r"encoder\.layers\.[^.]+\.ln_1"
# Even members of a Swin's `features` cut and merge patches, odd ones are stages of blocks.
_members, _odd_members = r"features\.(0|[1-9]\d*(\.\d+)?)", r"features\.\d*[13579]"

LAYOUTS: dict[type[nn.Module], Layout] = {
    VisionTransformer: Layout(_norms, _norms, _from_tokens, _to_tokens),
    SwinTransformer: Layout(_members, _odd_members, _from_channels_last, _to_channels_last),
}
