"""Pulse shapes of linear modulations, as amplitude responses over frequency in symbol rates.

All are real and even: the pulses are symmetric in time, and a transmitter alone, without the
matched filter of a receiver, gives them.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.interpolate import PchipInterpolator

Pulse = Literal["rrc", "rml2018"]
"""Which pulse frames are made with."""

RML2018_TABLE = Path(__file__).with_name("rml2018_pulse.csv")
"""The measured pulse; its first lines say how it was found."""


def rrc_response(rate: np.ndarray, rolloff: float | np.ndarray) -> np.ndarray:
    """Root-raised-cosine response (Proakis & Salehi, Digital Communications, 5th ed., 9.2-1).

    Args:
        rate: frequency in symbol rates.
        rolloff: above 0 to 1; it broadcasts with `rate`.

    Returns:
        1 in the pass band, 1/sqrt(2) at half the symbol rate, 0 beyond (1 + rolloff) / 2.
    """
    # 0 where the fall begins, 1 where it ends
    edge = (2 * np.abs(rate) - (1 - rolloff)) / (2 * rolloff)
    return np.cos(np.pi / 2 * np.clip(edge, 0, 1))


def rml2018_response(rate: np.ndarray) -> np.ndarray:
    """Response of the pulse that was measured in RML2018.01A, 1 at `rate` 0.

    It is no Nyquist pulse, and neither a root-raised cosine nor its square: -9 dB at half the
    symbol rate, 0 from 0.72 symbol rates on. See the head of `RML2018_TABLE`.
    """
    rates, response = _rml2018_table()
    within = np.minimum(np.abs(rate), rates[-1])
    return PchipInterpolator(rates, response)(within)


@cache
def _rml2018_table() -> tuple[np.ndarray, np.ndarray]:
    rates, response = np.loadtxt(RML2018_TABLE, delimiter=",", skiprows=7, unpack=True)
    return rates, response
