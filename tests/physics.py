"""The physics that most tests generate frames and symbols with."""

from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.frames import PHYSICS as TEXTBOOK
from pisces.core.modulations import constellation
from pisces.sources.settings import Physics


def physics(**changes: Any) -> Physics:
    """`TEXTBOOK` with some fields changed."""
    return replace(TEXTBOOK, **changes)


def received_symbols(
    modulation: str, snr: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Symbols of unit signal power at a random phase of each row: complex (n, symbols)."""
    noise = rng.normal(scale=np.sqrt(0.5 / snr), size=(*shape, 2)) @ [1, 1j]
    phase = np.exp(2j * np.pi * rng.random((shape[0], 1)))
    return rng.choice(constellation(modulation), shape) * phase + noise
