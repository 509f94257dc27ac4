"""A signal in a band -> frames with the carrier in the middle and so many samples a symbol."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pisces.acquisition import coarse_carrier
from pisces.acquisition.band import Band
from pisces.acquisition.fine_phase import left_of_phase
from pisces.acquisition.frames import cut, with_white_noise, without_ends
from pisces.acquisition.in_band_noise import noise_in_band
from pisces.acquisition.pulse import response_of
from pisces.acquisition.resampling import nearest_ratio, resample, shift_frequency
from pisces.acquisition.segment import Goal
from pisces.acquisition.tilt import upright
from pisces.core import seeding
from pisces.inputs.receiver.pulse import RATES

CLOCK_TOLERANCE = 0.05
"""Symbols over a frame by which its clock may be off without being resampled."""
PULSE_SYMBOLS = 64
"""Of the blocks that the pulse is found from."""
NEAR_CENTER = 0.02
"""Of a symbol rate, by which the middle of a band may be off the carrier."""


@dataclass(frozen=True)
class Made:
    """Frames of one signal."""

    frames: np.ndarray
    """complex64 (n, samples)."""
    starts: np.ndarray
    """Of each, in samples of the recording from the beginning of the signal on: int64 (n,)."""
    start: int
    """Where the signal really begins, as `starts`."""
    count: int
    """Samples of the recording that it lasts."""
    center: float
    """Of the carrier, in the mean, cycles a sample of the recording."""


def frames_of(
    iq: np.ndarray, start: int, band: Band, rate: float, goal: Goal, *, whole: bool = False
) -> Made:
    """Frames of a signal.

    Args:
        iq: complex64 (samples,).
        start: where it begins in the recording, which seeds the noise that is put beside its band.
        band: of the signal.
        rate: symbols a sample.
        goal: what frames are to be.
        whole: whether the signal is known to last over all samples. Those that are already as they
            are to be then stay as they are.
    """
    ratio = ratio_of(rate, goal)

    def filled(slow: np.ndarray, noise: float) -> np.ndarray:
        rng = seeding.generator(0, "acquire", start)
        return with_white_noise(slow, band.occupied / rate, noise, goal.sps, rng=rng)

    noise = band.noise * float(ratio)

    def noise_of(slow: np.ndarray) -> float:
        # Gain controls, and bursts that are nearly never off, lead detection to too much noise.
        in_band = noise_in_band(slow[lasting], rate / float(ratio))
        return noise if in_band is None else min(noise, in_band)

    slow, center = resample(shift_frequency(iq, -band.center), ratio), band.center
    draft = filled(slow, noise)
    lasting = slice(0, len(slow)) if whole else without_ends(draft, noise, goal.sps)
    track = carrier_track(draft, goal.sps)

    of_carrier = band.center / float(ratio) + (0.0 if track is None else track)
    within_reach = np.max(np.abs(of_carrier)) <= goal.max_offset
    stays = abs(band.center) < NEAR_CENTER * rate and (within_reach or (whole and track is None))
    if stays:
        slow, center = resample(iq, ratio), 0.0
    elif track is not None:
        slow = coarse_carrier.turn_back(slow, track)
        center += float(track.mean()) * float(ratio)
        slow = upright(slow, lasting, noise_of(slow), goal.sps)
        slow = without_wavering(slow, lasting, goal.sps)

    made = iq if stays and whole and ratio == 1 else filled(slow, noise_of(slow))

    frames, starts = cut(made[lasting], goal.samples)
    first, last = (round(one / float(ratio)) for one in (lasting.start, lasting.stop))
    at = first + np.round(starts / float(ratio)).astype(np.int64)
    return Made(frames, at, first, min(last, len(iq)) - first, center)


def ratio_of(rate: float, goal: Goal) -> Fraction:
    """Of the rates of frames and recording; 1 where that is near enough."""
    exact = rate * goal.sps
    symbols_off = abs(exact - 1) * goal.samples / goal.sps
    return Fraction(1) if symbols_off < CLOCK_TOLERANCE else nearest_ratio(exact)


def carrier_track(iq: np.ndarray, sps: int) -> np.ndarray | None:
    """As `coarse_carrier.follow_carrier`, by the pulse that the signal shows."""
    return coarse_carrier.follow_carrier(iq, _pulse_of(iq, sps), sps)


def without_wavering(iq: np.ndarray, lasting: slice, sps: int) -> np.ndarray:
    """Samples whose phase does not waver while the signal lasts: see `fine_phase`."""
    signal = iq[lasting]
    phase = left_of_phase(signal, _pulse_of(signal, sps), sps)
    if phase is None:
        return iq
    steady = iq.copy()
    steady[lasting] *= np.exp(-1j * phase)
    return steady


def _pulse_of(iq: np.ndarray, sps: int) -> coarse_carrier.Response:
    found = response_of(coarse_carrier.blocks_of(iq, PULSE_SYMBOLS * sps), sps)
    return lambda rates: np.interp(rates, RATES, found)
