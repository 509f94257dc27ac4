"""Rings of APSK by code rate, as DVB-S2 and DVB-S2X give them.

The ratios are those of ETSI EN 302 307-1 (DVB-S2) and EN 302 307-2 (DVB-S2X). Those of the second
part were taken only where two independent public implementations agree. Where it gives several
ratios for one code rate, those of normal frames stand here. A new row needs its source.

The points of a ring are evenly spaced, and the first lies half a spacing from the I axis, so that
neighbouring rings interleave. The standards differ in two places: they turn the outer ring of the
32APSK of DVB-S2 by half a spacing, and place the points of 128APSK unevenly along its rings.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Rings(NamedTuple):
    """Concentric rings, from the innermost to the outermost."""

    sizes: tuple[int, ...]
    """Points of each ring."""
    radii: tuple[float, ...]
    """Over that of the innermost."""
    turns: tuple[float, ...]
    """Of each ring beyond half its spacing, in spacings."""
    source: str

    def points(self) -> np.ndarray:
        """complex128 (order,), ring by ring; the innermost has radius 1."""
        rings = []
        for size, radius, turn in zip(self.sizes, self.radii, self.turns, strict=True):
            place = np.arange(size) + 0.5
            ring = radius * np.exp(2j * np.pi * place / size)
            rings.append(ring * np.exp(2j * np.pi * turn / size))
        return np.concatenate(rings)


S2_16 = "EN 302 307-1, table 9"
S2_32 = "EN 302 307-1, table 10"
S2X_16 = "EN 302 307-2, table 11a"
S2X_32 = "EN 302 307-2, 5.4: 4+12+16rbAPSK"
S2X_64 = "EN 302 307-2, 5.4: 16+16+16+16APSK"
S2X_64_8 = "EN 302 307-2, 5.4: 8+16+20+20APSK"
S2X_64_4 = "EN 302 307-2, 5.4: 4+12+20+28APSK"
S2X_128 = "EN 302 307-2, 5.4: 128APSK"
GNU_RADIO = "measured in frames made with GNU Radio, see docs/results/gnuradio.md"
"""Of no standard: sizes, radii (to 1 %) and turns of the rings at 30 dB."""


def _apsk16(outer: float, source: str) -> Rings:
    return Rings((4, 12), (1, outer), (0, 0), source)


def _apsk32(middle: float, outer: float, source: str) -> Rings:
    return Rings((4, 12, 16), (1, middle, outer), (0, 0, 0), source)


def _apsk64(sizes: tuple[int, ...], radii: tuple[float, ...], source: str) -> Rings:
    return Rings(sizes, radii, (0, 0, 0, 0), source)


def _apsk128(outer: float, source: str) -> Rings:
    """Rings 4 and 5 are one ring of 32 in all but name: they alternate in phase."""
    radii = (1, 1.715, 2.118, 2.681, 2.75, outer)
    return Rings((16, 16, 16, 16, 16, 48), radii, (0, 0, 0, 0.5, 0, 0), source)


RINGS: Mapping[str, Mapping[str, Rings]] = {
    "16APSK": {
        "2/3": _apsk16(3.15, S2_16),
        "3/4": _apsk16(2.85, S2_16),
        "4/5": _apsk16(2.75, S2_16),
        "5/6": _apsk16(2.70, S2_16),
        "8/9": _apsk16(2.60, S2_16),
        "9/10": _apsk16(2.57, S2_16),
        "26/45": _apsk16(3.70, S2X_16),
        "3/5": _apsk16(3.70, S2X_16),
        "28/45": _apsk16(3.50, S2X_16),
        "23/36": _apsk16(3.10, S2X_16),
        "25/36": _apsk16(3.10, S2X_16),
        "13/18": _apsk16(2.85, S2X_16),
        "140/180": _apsk16(3.60, S2X_16),
        "154/180": _apsk16(3.20, S2X_16),
    },
    "32APSK": {
        "3/4": _apsk32(2.84, 5.27, S2_32),
        "4/5": _apsk32(2.72, 4.87, S2_32),
        "5/6": _apsk32(2.64, 4.64, S2_32),
        "8/9": _apsk32(2.54, 4.33, S2_32),
        "9/10": _apsk32(2.53, 4.30, S2_32),
        "2/3": _apsk32(2.85, 5.55, S2X_32),
    },
    "64APSK": {
        "128/180": _apsk64((16, 16, 16, 16), (1, 1.88, 2.72, 3.95), S2X_64),
        "132/180": _apsk64((4, 12, 20, 28), (1, 2.4, 4.3, 7.0), S2X_64_4),
        "7/9": _apsk64((8, 16, 20, 20), (1, 2.2, 3.6, 5.2), S2X_64_8),
        "4/5": _apsk64((8, 16, 20, 20), (1, 2.2, 3.6, 5.2), S2X_64_8),
        "5/6": _apsk64((8, 16, 20, 20), (1, 2.2, 3.5, 5.0), S2X_64_8),
        "gnuradio": _apsk64((4, 12, 20, 28), (1, 2.18, 3.58, 4.96), GNU_RADIO),
    },
    "128APSK": {
        "135/180": _apsk128(3.819, S2X_128),
        "140/180": _apsk128(3.733, S2X_128),
        "gnuradio": Rings((16, 16, 32, 64), (1, 1.80, 2.79, 3.98), (0, 0, 0, 0), GNU_RADIO),
    },
}
"""Modulation -> code rate -> rings."""

USUAL_RATE: Mapping[str, str] = {
    "16APSK": "3/4",
    "32APSK": "3/4",
    "64APSK": "4/5",
    "128APSK": "135/180",
}
"""The code rate of a constellation where none is named."""


def rings(modulation: str, rate: str | None = None) -> Rings:
    """The rings of an APSK at a code rate, None for `USUAL_RATE`.

    Raises:
        ValueError: for a code rate that `RINGS` does not have.
    """
    known = RINGS[modulation]
    if rate is None:
        rate = USUAL_RATE[modulation]
    if rate not in known:
        raise ValueError(
            f"{modulation} has no code rate {rate}; known are {', '.join(known)}; "
            "add another with its source to RINGS in pisces/core/apsk.py"
        )
    return known[rate]
