"""Lists of pixels: `pixels[offsets[i]:offsets[i + 1]]` are the pixels of the i-th frame.

And where pixels go when their frame is turned or mirrored.
"""

from functools import cache

import numpy as np
import torch


def listed(pixels: np.ndarray, offsets: np.ndarray, size: int) -> torch.Tensor:
    """Lists of pixels as a table of all pixels: is a pixel in the list of a frame?

    Args:
        pixels: numbers 0..size - 1 of all lists, one list after the other, (total,).
        offsets: int (n + 1,), where the list of each frame begins and ends in `pixels`.
        size: pixels of a frame, those of all views.

    Returns:
        bool (n, size), on the CPU.
    """
    table = torch.zeros(len(offsets) - 1, size, dtype=torch.bool)
    table.view(-1).index_fill_(0, flat_places(pixels, offsets, size), True)
    return table


def flat_places(pixels: np.ndarray, offsets: np.ndarray, size: int) -> torch.Tensor:
    """Where the listed pixels stand in a table (n, size) that is laid out flat.

    Args:
        pixels: as in `listed`.
        offsets: as in `listed`.
        size: pixels of a frame, those of all views.

    Returns:
        int64 (total,), on the CPU.
    """
    frame = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))  # of each entry of `pixels`
    return torch.from_numpy(frame * size + pixels.astype(np.int64))


def mask_pixels(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """A copy of counts with the listed pixels emptied.

    Args:
        counts: points in each pixel of all views, float32 (n, pixels).
        pixels: numbers of the pixels to empty, all lists one after the other, as in `listed`.
        offsets: int (n + 1,), the bounds of the lists, as in `listed`.

    Returns:
        Counts (n, pixels), 0 in the listed pixels, on the device of `counts`.
    """
    return empty_pixels(counts.clone(), pixels, offsets)


def empty_pixels(values: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """Sets the listed pixels to 0, in place.

    Args:
        values: of each pixel of all views, contiguous (n, ...) with all pixels of a frame in `...`.
        pixels: as in `listed`.
        offsets: as in `listed`.

    Returns:
        The values.
    """
    places = flat_places(pixels, offsets, size=values.flatten(1).shape[1])
    values.view(-1).index_fill_(0, places.to(values.device), 0)
    return values


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
