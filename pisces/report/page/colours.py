"""Colours of the pictures as HTML writes them; which they are, `report.style` says."""

import matplotlib
import numpy as np
from matplotlib.colors import Colormap, to_hex


def hex_of(colour: str) -> str:
    """A colour of matplotlib.

    >>> hex_of("white")
    '#ffffff'
    """
    return to_hex(colour)


def shades(colours: str | Colormap, number: int) -> list[str]:
    """So many colours from the lower to the upper end of a map."""
    colormap = matplotlib.colormaps[colours] if isinstance(colours, str) else colours
    return [to_hex(colormap(x)) for x in np.linspace(0, 1, number)]
