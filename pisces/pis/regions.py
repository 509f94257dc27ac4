"""Masks by region: rings, sectors and windows of a constellation image.

Axes are those of `pisces/inputs/binning.py`: I runs along the columns, left to right, Q along the
rows, bottom to top; pixel number = row * size + column.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product

import numpy as np

from pisces.pis.base import Family, Frame, Mask
from pisces.pis.settings import MaskSettings

# Rings


def ring_numbers(pixels: np.ndarray, size: int, rings: int) -> np.ndarray:
    """In which ring around the origin each pixel's centre lies.

    All rings are equally wide, and the last ends at the border. The corners beyond it belong to
    the last.

    Args:
        pixels: pixel numbers, (n,).
        size: pixels along each side of the image.
        rings: how many there are.

    Returns:
        Number of the ring from the centre, 1..rings, (n,).
    """
    radius = np.hypot(*_centres(pixels, size))
    rings_inside = (radius * (2 * rings / size)).astype(int)
    return np.minimum(rings_inside, rings - 1) + 1


def _ring_names(settings: MaskSettings, size: int) -> list[str]:
    numbers = ring_numbers(np.arange(size**2), size, settings.rings)
    return _numbered("ring", settings.rings, numbers, size)


def _rings(frame: Frame, masks: Sequence[Mask]) -> list[np.ndarray]:
    numbers = ring_numbers(frame.lit, frame.size, frame.settings.rings)
    return [numbers == int(mask.name) for mask in masks]


RING = Family(_ring_names, _rings)


# Sectors


def sector_numbers(pixels: np.ndarray, size: int, sectors: int) -> np.ndarray:
    """In which sector each pixel's centre lies.

    All sectors have the same angle, the first is centred on the positive I axis, and numbers grow
    with the phase. A pixel on the edge of two belongs to the next.

    Args:
        pixels: pixel numbers, (n,).
        size: pixels along each side of the image.
        sectors: how many there are.

    Returns:
        Number of the sector, 1..sectors, (n,).
    """
    i, q = _centres(pixels, size)
    # Rounded: pixels on an edge, such as the diagonals of four sectors, are treated alike in all
    # quadrants.
    phase_in_sectors = np.round(np.arctan2(q, i) * (sectors / (2 * np.pi)), 9)
    return np.floor(phase_in_sectors + 0.5).astype(int) % sectors + 1


def _sector_names(settings: MaskSettings, size: int) -> list[str]:
    numbers = sector_numbers(np.arange(size**2), size, settings.sectors)
    return _numbered("sector", settings.sectors, numbers, size)


def _sectors(frame: Frame, masks: Sequence[Mask]) -> list[np.ndarray]:
    numbers = sector_numbers(frame.lit, frame.size, frame.settings.sectors)
    return [numbers == int(mask.name) for mask in masks]


SECTOR = Family(_sector_names, _sectors)


# Windows


def length_in_pixels(fraction: float, size: int) -> int:
    """A fraction of the side of an image in pixels: rounded, halves up, and at least 1."""
    return max(1, int(fraction * size + 0.5))


def window_starts(size: int, side: int, stride: int) -> list[int]:
    """First row, or column, of each window.

    Args:
        size: pixels along each side of the image.
        side: pixels along each side of a window.
        stride: pixels from one window to the next.

    Returns:
        Rising; the last window is moved in, so that it ends at the border.
    """
    last = size - side
    return [*range(0, last, stride), last]


def _window_names(settings: MaskSettings, size: int) -> list[str]:
    side = length_in_pixels(settings.window, size)
    stride = length_in_pixels(settings.stride, size)
    starts = window_starts(size, side, stride)
    return [f"{row}-{column}" for row, column in product(starts, starts)]


def _windows(frame: Frame, masks: Sequence[Mask]) -> np.ndarray:
    side = length_in_pixels(frame.settings.window, frame.size)
    rows, columns = np.divmod(frame.lit, frame.size)  # (lit,)
    first_rows, first_columns = _window_corners(tuple(mask.name for mask in masks))  # (masks, 1)

    in_rows = (rows >= first_rows) & (rows < first_rows + side)
    in_columns = (columns >= first_columns) & (columns < first_columns + side)
    return in_rows & in_columns


@cache
def _window_corners(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """First row and first column of the windows of these names, int (names, 1) each."""
    corners = np.array([name.split("-") for name in names], int)
    return corners[:, :1], corners[:, 1:]


WINDOW = Family(_window_names, _windows)


# All


def _centres(pixels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """I and Q of the centres of pixels (n,), in pixels from the origin, (n,) each."""
    row, column = np.divmod(pixels, size)
    return column + 0.5 - size / 2, size / 2 - 0.5 - row


def _numbered(region: str, count: int, numbers: np.ndarray, size: int) -> list[str]:
    """The names "1" to `count` of regions, of which every one must have a pixel.

    `numbers` has the region of each pixel of the image, (pixels,).

    Raises:
        ValueError: when a region has none.
    """
    for number in range(1, count + 1):
        if number not in numbers:
            raise ValueError(
                f"perturb.{region}s = {count} leaves {region} {number} without a pixel "
                f"on images of {size} x {size}; lower perturb.{region}s or raise render.size"
            )
    return [str(number) for number in range(1, count + 1)]
