"""A picture as the set of its lit pixels: features of places, summed by brightness.

What a pixel says hangs on its view and its place alone, and a picture is the sum of what its pixels
say (Zaheer et al., "Deep sets", NeurIPS 2017). A dark pixel adds nothing, so the features of a
picture without some pixels follow from one subtraction: exact and cheap.
"""

import math

import torch
from torch import nn

OCTAVES = 4
"""Fourier features of I and Q have periods of 2, 1, 1/2, ... image sides, so many of them."""
HARMONICS = (1, 2, 3, 4, 8, 12, 16, 20, 32)
"""Of the angle: constellations of so many rays have one of their own."""
HIDDEN, SUMMED = 64, 128
"""Widths of the network of places, and of what each view sums up."""
FEATURES = 256
"""Width of what the heads get."""
DROPOUT = 0.1


class PixelSet(nn.Module):
    """Images (n, channels, size, size) -> features (n, `FEATURES`).

        table     what a pixel says: a small network of its place, one for each channel
        sums      brightness times table, summed over the pixels of each channel
        features  batch norm and two hidden layers of the sums

    Args:
        channels: of the images; each has a table of its own.
        size: side of the images in pixels.
    """

    places: torch.Tensor  # float32 (size * size, features of a place)

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        with torch.device(
            "cpu"
        ):  # on "meta", arange would load torch's compiler: more than a second
            places = place_features(size)
        self.register_buffer("places", places, persistent=False)
        self.tables = nn.ModuleList(_table(places.shape[1]) for _ in range(channels))

        summed = channels * SUMMED
        self.after_sum = nn.Sequential(
            nn.BatchNorm1d(summed),
            *(nn.Linear(summed, FEATURES), nn.BatchNorm1d(FEATURES), nn.GELU()),
            nn.Dropout(DROPOUT),
            *(nn.Linear(FEATURES, FEATURES), nn.BatchNorm1d(FEATURES), nn.GELU()),
            nn.Dropout(DROPOUT),
        )

    def table(self) -> torch.Tensor:
        """What each pixel says at brightness 1: (channels, size * size, `SUMMED`)."""
        return torch.stack([network(self.places) for network in self.tables])

    def sums(self, images: torch.Tensor) -> torch.Tensor:
        """What the pixels of each channel say together: (n, channels, `SUMMED`) of images."""
        # Frames differ by little of a large sum: more than the digits of a half would hold.
        with torch.autocast(images.device.type, enabled=False):
            brightness = images.float().flatten(2).transpose(0, 1)  # (channels, n, pixels)
            return (brightness @ self.table()).transpose(0, 1)

    def features_of_sum(self, sums: torch.Tensor) -> torch.Tensor:
        """Features (n, `FEATURES`) of sums (n, channels, `SUMMED`), of `sums` or altered."""
        return self.after_sum(sums.flatten(1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features_of_sum(self.sums(images))


def build(channels: int, size: int) -> tuple[nn.Module, int]:
    """`PixelSet` and the width of its features; any channels and size."""
    return PixelSet(channels, size), FEATURES


def place_features(size: int) -> torch.Tensor:
    """What is known of each pixel from its place, float32 (size * size, features), within -1..1.

    I and Q in half sides, radius over that of a corner, Fourier features of I and Q, and harmonics
    of the angle, damped within one pixel of the centre, where the angle means nothing.
    """
    axis = (torch.arange(size) + 0.5) * 2 / size - 1  # -1..1, centres of pixels
    q, i = torch.meshgrid(-axis, axis, indexing="ij")  # row 0 is the largest Q
    i, q = i.flatten(), q.flatten()
    radius, angle = torch.hypot(i, q), torch.atan2(q, i)

    half_periods = math.pi * 2.0 ** torch.arange(OCTAVES)
    phases = torch.cat([part[:, None] * half_periods for part in (i, q, radius)], 1)
    turns = angle[:, None] * torch.tensor(HARMONICS)
    outside_centre = (radius * size / 2).clamp_max(1)[:, None]

    places = torch.stack([i, q, radius / math.sqrt(2)], 1)
    fourier = [phases.sin(), phases.cos()]
    harmonics = [outside_centre * turns.sin(), outside_centre * turns.cos()]
    return torch.cat([places, *fourier, *harmonics], 1)


def _table(features: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, SUMMED))
