"""The physics that most tests generate frames with."""

from dataclasses import replace
from typing import Any

from pisces.core.apsk import USUAL_RATE
from pisces.sources.settings import Physics

TEXTBOOK = Physics(
    samples=1024,
    sps=8,
    pulse="rrc",
    rolloff=(0.2, 0.5),
    ask="bipolar",
    apsk_rates={modulation: (rate,) for modulation, rate in USUAL_RATE.items()},
    snr_label="power",
    carrier_offset_std=3.3e-5,
    clock_offset_ppm=0.0,
    gmsk_bt=0.35,
    multipath=None,
    impairments=None,
)
"""Root-raised cosines, and labels that are the SNR."""


def physics(**changes: Any) -> Physics:
    """`TEXTBOOK` with some fields changed."""
    return replace(TEXTBOOK, **changes)
