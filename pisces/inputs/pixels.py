"""Lists of pixels: `pixels[offsets[i]:offsets[i + 1]]` are the pixels of the i-th frame.

And where pixels go when their frame is turned or mirrored.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple, Self

import numpy as np
import torch

from pisces.inputs.base import to_device


class PixelLists(NamedTuple):
    """A list of pixels for each of n frames, on a device."""

    frames: torch.Tensor
    """The frame of each list, int32 (n,)."""
    owners: torch.Tensor
    """The number of the list that each pixel is in, int64 (total,)."""
    pixels: torch.Tensor
    """Pixel numbers, one list after the other, int32 (total,)."""

    @classmethod
    def on_device(
        cls,
        frames: Sequence[int] | np.ndarray,
        pixels: np.ndarray,
        offsets: np.ndarray,
        device: torch.device,
    ) -> Self:
        """Lists in a single transfer, for which a CUDA device is not waited for.

        Args:
            frames: the frame of each list, (n,).
            pixels: numbers of all lists, one list after the other, (total,).
            offsets: int (n + 1,), where each list begins and ends in `pixels`.
            device: where they go.

        Returns:
            The lists.
        """
        parts = (frames, np.diff(offsets), pixels)
        packed = np.concatenate(parts, dtype=np.int32, casting="same_kind")
        on_device = to_device(packed, device)
        of_lists, lengths, numbers = on_device.split([len(frames), len(frames), len(pixels)])

        # Without the size, the device would be asked for it.
        owners = torch.repeat_interleave(lengths, output_size=len(pixels))
        return cls(of_lists, owners.long(), numbers)

    def places(self, size: int) -> torch.Tensor:
        """Where the pixels stand in a table (n, size) that is laid out flat, int64 (total,)."""
        return self.owners * size + self.pixels

    def table(self, size: int) -> torch.Tensor:
        """Which of `size` pixels are in each list, bool (n, size)."""
        shape = len(self.frames), size
        table = torch.zeros(shape, dtype=torch.bool, device=self.pixels.device)
        table.view(-1).index_fill_(0, self.places(size), True)
        return table


def mask_pixels(values: torch.Tensor, lists: PixelLists) -> torch.Tensor:
    """Copies of frames with the listed pixels emptied.

    Args:
        values: of each pixel of all views, (frames, ...) with all pixels of a frame in `...`, on
            the device of the lists.
        lists: n of them, each of one of the frames.

    Returns:
        Values (n, ...), 0 in the listed pixels.
    """
    masked = values.index_select(0, lists.frames)
    flat = masked.view(-1)
    flat.index_fill_(0, lists.places(size=values[0].numel()), 0)
    return masked


@cache
def symmetries(size: int) -> torch.Tensor:
    """Where the pixels of a square image go under its eight symmetries, int64 (2, 4, size * size).

    `[mirrored, turns, pixel]` is the number of the pixel to which the points of `pixel` move when
    they are mirrored at the I axis (Q -> -Q) or not, and then turned by so many times 90 degrees,
    I towards Q.
    """
    # Twice the distance from the centre, whole numbers: odd, as the side is even.
    from_centre = 2 * torch.arange(size) - (size - 1)
    upwards, rightwards = torch.meshgrid(-from_centre, from_centre, indexing="ij")

    moved = []
    for start in (upwards, -upwards):
        i, q = rightwards, start
        for _ in range(4):
            row, column = (size - 1 - q) // 2, (size - 1 + i) // 2
            moved.append((row * size + column).flatten())
            i, q = -q, i
    return torch.stack(moved).view(2, 4, size * size)
