"""Regions of a constellation image: rings, sectors and windows.

Axes are those of `pisces/inputs/binning.py`: I runs along the columns, left to right, Q along the
rows, bottom to top; pixel number = row * size + column.
"""

import itertools

import numpy as np

from pisces.pis.settings import MaskSettings


def names(region: str, settings: MaskSettings, size: int) -> list[str]:
    """What the masks of a family of regions are called; see `masks.Mask.name`.

    Args:
        region: ring, sector, cluster or window.
        settings: how many there are, or how large.
        size: pixels along each side of the images.

    Returns:
        A name a mask.

    Raises:
        ValueError: when a ring or sector has no pixel.
    """
    if region == "cluster":
        return ["core", "transition"]

    if region == "window":
        side = pixels_of(settings.window, size)
        stride = pixels_of(settings.stride, size)
        corners = itertools.product(window_starts(size, side, stride), repeat=2)
        return [f"{row}-{column}" for row, column in corners]

    number_of, key = {"ring": (ring, "rings"), "sector": (sector, "sectors")}[region]
    regions = getattr(settings, key)
    number = number_of(np.arange(size * size), size, regions)
    numbers = range(1, regions + 1)
    empty = sorted(set(numbers) - set(number.tolist()))
    if empty:
        raise ValueError(
            f"perturb.{key} = {regions} leaves {region} {empty[0]} without a pixel "
            f"on images of {size} x {size}; lower perturb.{key} or raise render.size"
        )
    return [str(one) for one in numbers]


def pixels_of(fraction: float, size: int) -> int:
    """A fraction of the side in pixels: rounded, halves up, and at least 1."""
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


def _iq_of(pixels: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """I and Q of the centres of pixels, in pixels from the origin."""
    row, column = np.divmod(pixels, size)
    return column + 0.5 - size / 2, size / 2 - 0.5 - row


def ring(pixels: np.ndarray, size: int, rings: int) -> np.ndarray:
    """Number, from 1, of the ring around the origin that each pixel's centre lies in.

    All rings are equally wide, and the last ends at the border. The corners beyond it belong to
    the last.

    Args:
        pixels: pixel numbers, (n,).
        size: pixels along each side of the image.
        rings: how many there are.

    Returns:
        (n,), 1..rings.
    """
    radius = np.hypot(*_iq_of(pixels, size))
    number = (radius * (2 * rings / size)).astype(int)
    return np.minimum(number, rings - 1) + 1


def sector(pixels: np.ndarray, size: int, sectors: int) -> np.ndarray:
    """Number, from 1, of the sector that each pixel's centre lies in.

    All sectors have the same angle, the first is centred on the positive I axis, and numbers grow
    with the phase. A pixel on the edge of two belongs to the next.

    Args:
        pixels: pixel numbers, (n,).
        size: pixels along each side of the image.
        sectors: how many there are.

    Returns:
        (n,), 1..sectors.
    """
    i, q = _iq_of(pixels, size)
    # Rounded: pixels on an edge, such as the diagonals of four sectors, are treated alike in all
    # quadrants.
    turns = np.round(np.arctan2(q, i) * (sectors / (2 * np.pi)), 9)
    return np.floor(turns + 0.5).astype(int) % sectors + 1


def in_window(pixels: np.ndarray, size: int, side: int, row: int, column: int) -> np.ndarray:
    """Whether each pixel lies in a window.

    Args:
        pixels: pixel numbers, (n,).
        size: pixels along each side of the image.
        side: pixels along each side of the window.
        row: of its top left pixel.
        column: of its top left pixel.

    Returns:
        bool (n,).
    """
    rows, columns = np.divmod(pixels, size)
    in_rows = (rows >= row) & (rows < row + side)
    return in_rows & (columns >= column) & (columns < column + side)
