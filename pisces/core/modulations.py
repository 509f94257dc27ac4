"""Modulations of RML2018.01A (24), RML2016.10a (11) and RML2016.10b (10).

Their names, the one class order, families, and ideal constellation points.
"""

import re
from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np

from pisces.core.apsk import RINGS, rings

Ask = Literal["bipolar", "unipolar"]
"""Levels of amplitude shift keying: about zero, or from zero on."""

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

RML2016B = tuple(name for name in RML2016 if name != "AM-SSB")
"""The 10 of RML2016.10b."""

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

OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,31}")
"""What a class of one's own may be called; it names a folder of shards."""

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


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once: those of `NAMES` in the one class order, then one's own by the alphabet.

    >>> in_order(["LoRa", "QPSK", "4ASK", "QPSK"])
    ('4ASK', 'QPSK', 'LoRa')
    """
    distinct = set(names)
    known = [name for name in NAMES if name in distinct]
    return (*known, *sorted(distinct - set(known)))


def constellation(modulation: str, ask: Ask = "bipolar", rate: str | None = None) -> np.ndarray:
    """Ideal symbols of a linear modulation: complex128 (order,), unit mean power.

    32QAM and 128QAM are crosses: a square grid without its corners. OOK carries its mean (points 0
    and sqrt 2); all others have zero mean, unipolar ASK aside.

    Args:
        modulation: one of `LINEAR`.
        ask: levels of 4ASK and 8ASK: bipolar -3, -1, 1, 3 and so on, or unipolar 0, 1, 2, 3 and so
            on. Others do not depend on it.
        rate: code rate of an APSK, see `core.apsk`; None for the usual one. Others do not depend
            on it.

    Returns:
        The points.

    Raises:
        ValueError: for a modulation that has no constellation (analog, frequency shift keying) or
            is unknown, and for a code rate that is unknown.

    >>> constellation("BPSK").real.tolist()
    [1.0, -1.0]
    >>> (constellation("4ASK", ask="unipolar").real * 3.5**0.5).round(9).tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    if modulation not in LINEAR:
        raise ValueError(
            f"{modulation} has no constellation; those that have one: {', '.join(LINEAR)}"
        )
    name = TWINS.get(modulation, modulation)
    if name in RINGS:
        points = rings(name, rate).points()
    elif name in UNIPOLAR and ask == "unipolar":
        points = UNIPOLAR[name]()
    else:
        points = _POINTS[name]()
    return points / np.sqrt(np.mean(np.abs(points) ** 2))


def _unipolar(order: int) -> np.ndarray:
    return np.arange(order).astype(complex)


def _ask(order: int) -> np.ndarray:
    return np.arange(1 - order, order, 2).astype(complex)


def _psk(order: int) -> np.ndarray:
    phase = 2 * np.pi * np.arange(order) / order
    offset = np.pi / 4 if order == 4 else 0
    return np.exp(1j * (phase + offset))


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


UNIPOLAR: dict[str, Callable[[], np.ndarray]] = {
    "4ASK": lambda: _unipolar(4),
    "8ASK": lambda: _unipolar(8),
}
"""Those whose levels `ask` chooses, with the unipolar ones."""

_POINTS: dict[str, Callable[[], np.ndarray]] = {
    "OOK": lambda: _unipolar(2),
    "4ASK": lambda: _ask(4),
    "8ASK": lambda: _ask(8),
    "BPSK": lambda: _psk(2),
    "QPSK": lambda: _psk(4),
    "OQPSK": lambda: _psk(4),
    "8PSK": lambda: _psk(8),
    "16PSK": lambda: _psk(16),
    "32PSK": lambda: _psk(32),
    "16QAM": lambda: _square_qam(16),
    "32QAM": lambda: _cross_qam(32),
    "64QAM": lambda: _square_qam(64),
    "128QAM": lambda: _cross_qam(128),
    "256QAM": lambda: _square_qam(256),
}

LINEAR = tuple(
    name for name in NAMES if (twin := TWINS.get(name, name)) in _POINTS or twin in RINGS
)
"""All that have a constellation."""
