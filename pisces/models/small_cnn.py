"""A plain convolutional network for images, of 0.06 million parameters."""

from collections import OrderedDict
from itertools import pairwise

from torch import nn

WIDTHS = (16, 32, 64, 64)
"""Channels of the layers, each of which halves the side of the image."""


def build(channels: int, size: int) -> tuple[nn.Module, int]:  # noqa: ARG001
    """Four convolutions with batch norm and ReLU, averaged over the image.

    Args:
        channels: of the images.
        size: their side in pixels; any will do.

    Returns:
        Module images (n, channels, size, size) -> features (n, width), and that width.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (inputs, outputs) in enumerate(pairwise((channels, *WIDTHS)), 1):
        layers[f"layer{number}"] = _halving(inputs, outputs)
    layers["mean"] = nn.AdaptiveAvgPool2d(1)  # (n, width, rows, columns) -> (n, width, 1, 1)
    layers["flat"] = nn.Flatten()
    return nn.Sequential(layers), WIDTHS[-1]


def _halving(inputs: int, outputs: int) -> nn.Sequential:
    """Maps (n, inputs, side, side) -> (n, outputs, side / 2, side / 2), rounded up."""
    # The bias would be taken off by the batch norm.
    convolution = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())
