"""Recordings of symbols, one sample each: they are given a pulse, as a transmitter would."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy import ndimage

from pisces.acquisition import coarse_carrier, levels
from pisces.acquisition.baseband import carrier_track
from pisces.acquisition.detection import FEW_BINS, cell_powers
from pisces.acquisition.frames import cut, with_white_noise
from pisces.acquisition.segment import Acquired, Goal, Readable, Segment
from pisces.core import seeding
from pisces.core.pulses import rrc_response
from pisces.sources.modulators import shape_pulses

ROLLOFF = 0.35
"""Of the root-raised cosine."""
AT_ONCE = 2**17
"""Symbols that are in memory together, and the longest segment."""
SNR_DB = 30.0
"""Energy of a symbol over the noise density, of the noise that is put beside the band.

Symbols alone do not show the noise in them; beside a band without any, a receiver would take them
for better than they can be.
"""
FLAT_DB = 2.0
"""Ripple up to which a spectrum counts as flat."""
DEVIATIONS = 6.0
"""Standard errors by which the points must be less peaked than noise is."""
LEAST_SYMBOLS = 1024
"""That can be told from noise."""


def are_symbols(iq: np.ndarray) -> bool:
    """Whether samples are symbols: as white as noise, and not Gaussian.

    The mean fourth power over the square of the mean second is 2 of complex Gaussian noise, with a
    standard error of 2 / sqrt(samples), and less of any constellation.

    Args:
        iq: complex (samples,).
    """
    power = np.abs(iq.astype(np.complex128)) ** 2
    if len(iq) < LEAST_SYMBOLS or not power.any():
        return False
    kurtosis = np.mean(power**2) / np.mean(power) ** 2
    if kurtosis > 2 - DEVIATIONS * 2 / np.sqrt(len(iq)):
        return False

    cells = cell_powers(iq, FEW_BINS)
    spectrum = ndimage.uniform_filter1d(cells.mean(0), 3, mode="wrap")
    spread_db = 10 * np.log10(spectrum.max() / max(spectrum.min(), 1e-30))
    chance_db = 4.34 * 6 / np.sqrt(3 * len(iq) / FEW_BINS)
    return bool(spread_db < FLAT_DB + chance_db)


def acquire_symbols(recording: Readable, goal: Goal) -> Iterator[Acquired]:
    """Frames of symbols with root-raised cosine pulses, piece by piece.

    Args:
        recording: one sample a symbol.
        goal: what frames are to be.
    """
    rate_hz = recording.sample_rate_hz or 1.0
    response = partial(rrc_response, rolloff=ROLLOFF)
    for start in range(0, recording.count, AT_ONCE):
        symbols = levels.read(recording, start, min(AT_ONCE, recording.count - start))
        shaped = shape_pulses(symbols[None], sps=goal.sps, response=response, timing=0.0)[0]

        noise = np.mean(np.abs(shaped) ** 2) * goal.sps / 10 ** (SNR_DB / 10)
        rng = seeding.generator(0, "acquire", start)
        iq = with_white_noise(
            shaped.astype(np.complex64), 1 + ROLLOFF, float(noise), goal.sps, rng=rng
        )
        track = carrier_track(iq, goal.sps)
        center = 0.0
        if track is not None and np.max(np.abs(track)) > goal.max_offset:
            iq = coarse_carrier.turn_back(iq, track)
            center = float(track.mean()) * goal.sps

        frames, starts = cut(iq, goal.samples)
        segment = Segment(
            start=start,
            count=len(symbols),
            center_hz=center * rate_hz,
            bandwidth_hz=rate_hz,
            symbol_rate_hz=rate_hz,
            symbol_rate_confidence=1.0,
            snr_db=np.nan,
        )
        yield Acquired(segment, frames, start + np.round(starts / goal.sps).astype(np.int64))
