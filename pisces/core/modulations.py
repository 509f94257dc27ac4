"""Modulations of RML2018.01A (24) and RML2016.10a (11).

Their names, the one class order, families, and ideal constellation points.
"""

from collections.abc import Callable

import numpy as np

DIGITAL = (
    *("4ASK", "8ASK"),
    *("BPSK", "QPSK", "8PSK", "16PSK", "32PSK"),
    *("16APSK", "32APSK", "64APSK", "128APSK"),
    *("16QAM", "32QAM", "64QAM", "128QAM", "256QAM"),
    "OQPSK",
)
"""The 17 classes of the published joint modulation-and-SNR studies."""

ANALOG = ("AM-SSB-WC", "AM-SSB-SC", "AM-DSB-WC", "AM-DSB-SC", "FM")

MODULATIONS = ("OOK", *DIGITAL[:-1], *ANALOG, "GMSK", "OQPSK")
"""All 24 in the order of the columns of `Y` (DeepSig's classes-fixed.json)."""

CLASSES_TXT = (
    *("32PSK", "16APSK", "32QAM", "FM", "GMSK", "32APSK", "OQPSK", "8ASK"),
    *("BPSK", "8PSK", "AM-SSB-SC", "4ASK", "16PSK", "64APSK", "128QAM", "128APSK"),
    *("AM-DSB-SC", "AM-SSB-WC", "64QAM", "QPSK", "256QAM", "AM-DSB-WC", "OOK", "16QAM"),
)
"""The order in the `classes.txt` shipped with the data. It is wrong (radioML/dataset, issue 25)."""

CLASS_ORDERS = {"fixed": MODULATIONS, "classes_txt": CLASSES_TXT}
"""What the columns of `Y` may stand for, by the name that `data.class_order` has for it."""

RML2016 = (
    *("8PSK", "AM-DSB", "AM-SSB", "BPSK", "CPFSK", "GFSK"),
    *("PAM4", "QAM16", "QAM64", "QPSK", "WBFM"),
)
"""The 11 of RML2016.10a under the names that it gives them."""

TWINS = {
    "AM-DSB": "AM-DSB-WC",
    "AM-SSB": "AM-SSB-SC",
    "PAM4": "4ASK",
    "QAM16": "16QAM",
    "QAM64": "64QAM",
    "WBFM": "FM",
}
"""What RML2018.01A calls the same."""

NAMES = (*MODULATIONS, *(name for name in RML2016 if name not in MODULATIONS))
"""All 32 names in the one class order."""

FAMILIES = {
    "ASK": ("OOK", "4ASK", "8ASK", "PAM4"),
    "PSK": ("BPSK", "QPSK", "8PSK", "16PSK", "32PSK", "OQPSK"),
    "APSK": ("16APSK", "32APSK", "64APSK", "128APSK"),
    "QAM": ("16QAM", "32QAM", "64QAM", "128QAM", "256QAM", "QAM16", "QAM64"),
    "Analog": (*ANALOG, "AM-DSB", "AM-SSB", "WBFM", "GMSK", "GFSK", "CPFSK"),
}
"""For small multiples in plots.

GMSK, GFSK and CPFSK have no constellation of their own and sit with FM.
"""


def constellation(modulation: str) -> np.ndarray:
    """Ideal symbols of a linear modulation: complex128 (order,), unit mean power.

    OOK carries its mean (points 0 and sqrt 2), all others have zero mean: the levels of ASK are -3,
    -1, 1, 3 and so on. 32QAM and 128QAM are crosses: a square grid without its corners.

    APSK rings are those of DVB-S2 rate 3/4 for 16 and 32 (ETSI EN 302 307-1, tables 9 and 10), and
    of DVB-S2X rate 4/5 for 64 and 135/180 for 128 (EN 302 307-2, table 13). The points of a ring
    are evenly spaced.

    Raises:
        ValueError: for a modulation that has no constellation (analog, frequency shift keying) or
            is unknown.

    >>> constellation("BPSK").real.tolist()
    [1.0, -1.0]
    """
    if modulation not in _POINTS:
        raise ValueError(
            f"{modulation} has no constellation; those that have one: {', '.join(_POINTS)}"
        )
    points = _POINTS[modulation]()
    return points / np.sqrt(np.mean(np.abs(points) ** 2))


def _on_off() -> np.ndarray:
    return np.array([0, 1], dtype=complex)


def _ask(order: int) -> np.ndarray:
    return np.arange(1 - order, order, 2).astype(complex)


def _psk(order: int) -> np.ndarray:
    phase = 2 * np.pi * np.arange(order) / order
    offset = np.pi / 4 if order == 4 else 0
    return np.exp(1j * (phase + offset))


def _apsk(sizes: tuple[int, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Concentric rings, each turned by half its own spacing so that neighbours interleave."""
    rings = []
    for points, radius in zip(sizes, radii, strict=True):
        place = np.arange(points) + 0.5
        rings.append(radius * np.exp(2j * np.pi * place / points))
    return np.concatenate(rings)


def _apsk128() -> np.ndarray:
    """Rings 4 and 5 (2.681, 2.75) are one ring of 32 in all but name: they alternate in phase."""
    points = _apsk((16, 16, 16, 16, 16, 48), (1, 1.715, 2.118, 2.681, 2.75, 3.819))
    points[48:64] *= np.exp(1j * np.pi / 16)
    return points


def _square_qam(order: int) -> np.ndarray:
    levels = _ask(round(order**0.5)).real
    return (levels[:, None] + 1j * levels).ravel()


def _cross_qam(order: int) -> np.ndarray:
    """A square of 9/8 the order with a corner of 1/32 of the order cut at each of its four ends."""
    side = round((order * 9 / 8) ** 0.5)
    corner = side // 6
    points = _square_qam(side**2)
    edge = side - 2 * corner
    return points[(np.abs(points.real) < edge) | (np.abs(points.imag) < edge)]


_POINTS: dict[str, Callable[[], np.ndarray]] = {
    "OOK": _on_off,
    "4ASK": lambda: _ask(4),
    "8ASK": lambda: _ask(8),
    "BPSK": lambda: _psk(2),
    "QPSK": lambda: _psk(4),
    "OQPSK": lambda: _psk(4),
    "8PSK": lambda: _psk(8),
    "16PSK": lambda: _psk(16),
    "32PSK": lambda: _psk(32),
    "16APSK": lambda: _apsk((4, 12), (1, 2.85)),
    "32APSK": lambda: _apsk((4, 12, 16), (1, 2.84, 5.27)),
    "64APSK": lambda: _apsk((8, 16, 20, 20), (1, 2.2, 3.6, 5.2)),
    "128APSK": _apsk128,
    "16QAM": lambda: _square_qam(16),
    "32QAM": lambda: _cross_qam(32),
    "64QAM": lambda: _square_qam(64),
    "128QAM": lambda: _cross_qam(128),
    "256QAM": lambda: _square_qam(256),
}
_POINTS |= {name: _POINTS[twin] for name, twin in TWINS.items() if twin in _POINTS}

LINEAR = tuple(_POINTS)
"""All that have a constellation."""
