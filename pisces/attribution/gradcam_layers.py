"""Where a backbone holds a map of the image that Grad-CAM can read: one cell for each part of the picture."""

import copy
import itertools
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import nn
from torchvision.models import SwinTransformer, VisionTransformer

from pisces.models.joint import JointModel

CELLS = 4
"""Cells along each side that `auto` asks for: fewer tell no more than which quarter of the picture."""


class Layout(NamedTuple):
    """Which layers of a backbone are maps, and how their output and a map (n, width, rows, columns) become each other."""

    layers: str  # pattern of their names
    stages: str  # those among which `auto` chooses
    to_map: Callable[[torch.Tensor], torch.Tensor]
    to_output: Callable[
        [torch.Tensor, torch.Tensor], torch.Tensor
    ]  # of the map and the output that it was taken from


class Adapter(nn.Module):
    """Hands a layer's output on as it is, by way of `map`, through which it goes as (n, width, rows, columns)."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        self.map = nn.Identity()

    def forward(self, output: torch.Tensor) -> torch.Tensor:
        return self.layout.to_output(self.map(self.layout.to_map(output)), output)


def readable(
    model: JointModel, example: torch.Tensor, layer: str = "auto"
) -> tuple[JointModel, nn.Module]:
    """A copy of `model` in evaluation mode, which answers the same, and the module in it that puts out the map of `layer`.

    `example`, images (1 or more, channels, size, size), tells how large the maps are; `auto` is the last stage whose map has
    `CELLS` cells or more along each side, or, on images too small for that, the last of those with the most. The copy shares
    the weights of `model`.

    In a transformer attention carries content from place to place, so that what a late map shows at a cell need not come from
    there: on planted patterns the map behind a window of the whole picture, and the last of a vision transformer's several
    blocks, told no more about the place than chance in some trainings, while those before did (tests/test_attribution.py).

    Raises:
        ValueError: when `layer` is none whose output is a map; of a vision transformer these are the first norms of its blocks,
            as behind the last one only the class token, which has no place in the picture, reaches the heads.
    """
    tensors = itertools.chain(model.parameters(), model.buffers())
    twin = copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()
    backbone = twin.backbone
    layout = _layout(backbone)
    names = [name for name, _ in backbone.named_modules() if re.fullmatch(layout.layers, name)]
    if layer != "auto" and layer not in names:
        raise ValueError(
            f"attribute.layer = {layer} is no layer with a map in this model; set it to auto or one of {', '.join(names)}"
        )
    name = _last_stage(backbone, layout, example) if layer == "auto" else layer
    adapter = Adapter(layout)
    backbone.set_submodule(name, nn.Sequential(backbone.get_submodule(name), adapter))
    return twin, adapter.map


@torch.no_grad()
def _last_stage(backbone: nn.Module, layout: Layout, example: torch.Tensor) -> str:
    sides: dict[str, int] = {}

    def measure(name: str, output: torch.Tensor) -> None:
        sides[name] = min(layout.to_map(output).shape[2:])

    with ExitStack() as hooks:
        for name, module in backbone.named_modules():
            if re.fullmatch(layout.stages, name):
                hooks.enter_context(
                    module.register_forward_hook(
                        lambda _module, _inputs, output, name=name: measure(name, output)
                    )
                )
        backbone(example[:1])
    enough = min(CELLS, max(sides.values()))
    return [name for name, side in sides.items() if side >= enough][-1]


def _layout(backbone: nn.Module) -> Layout:
    return next(
        (layout for kind, layout in LAYOUTS.items() if isinstance(backbone, kind)), CONVOLUTIONAL
    )


def _from_tokens(tokens: torch.Tensor) -> torch.Tensor:
    patches = tokens[:, 1:]  # (n, 1 + rows * columns, width), the class token first
    side = int(patches.shape[1] ** 0.5)
    return patches.transpose(1, 2).reshape(len(tokens), -1, side, side)


def _to_tokens(patches: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return torch.cat([tokens[:, :1], patches.flatten(2).transpose(1, 2)], 1)


def _from_channels_last(output: torch.Tensor) -> torch.Tensor:
    return output.permute(0, 3, 1, 2)  # (n, rows, columns, width) -> (n, width, rows, columns)


def _to_channels_last(map_: torch.Tensor, _output: torch.Tensor) -> torch.Tensor:
    return map_.permute(0, 2, 3, 1)


CONVOLUTIONAL = Layout(
    r"layer\d+(\.\d+)?", r"layer\d+", lambda output: output, lambda map_, _output: map_
)
_norms = r"encoder\.layers\.[^.]+\.ln_1"
LAYOUTS: dict[type[nn.Module], Layout] = {
    VisionTransformer: Layout(_norms, _norms, _from_tokens, _to_tokens),
    # Even members of `features` cut and merge patches, odd ones are stages of blocks.
    SwinTransformer: Layout(
        r"features\.(0|[1-9]\d*(\.\d+)?)",
        r"features\.\d*[13579]",
        _from_channels_last,
        _to_channels_last,
    ),
}
