"""What is left of a carrier's phase once its offset is followed: oscillators that waver.

Powers of symbols, averaged over a few of them, tell the phase (Viterbi and Viterbi, IEEE Trans.
Inf. Theory 29 (1983) 543). It is followed only where it moves by more than noise explains.
"""

import numpy as np
from scipy.interpolate import make_smoothing_spline

from pisces.acquisition.coarse_carrier import TINY, Response, blocks_of, symbols_of
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.receiver.spectrum import band_rates

BLOCK, FEW = 64, 16
"""Symbols that are equalised together, and whose powers are averaged."""
ORDERS = (2, 4, 8)
"""Powers that are looked at."""
LEAST_COHERENCE = 0.5
"""Of powers over a few symbols, from which on their phase is told without slips."""
LEAST_PHASES, MOST_PHASES = 16, 2**14
"""From which on the phase may be followed, and which a smoothing spline still takes."""
STANDS_OUT = 2.0
"""Times what noise alone moves, that the phase must move."""


def left_of_phase(iq: np.ndarray, response: Response, sps: int) -> np.ndarray | None:
    """The phase of a carrier that wavers, whose offset is already followed.

    Args:
        iq: complex64 (samples,), carrier near 0.
        response: amplitude response of the pulse, of frequencies in symbol rates.
        sps: samples a symbol.

    Returns:
        Radians at every sample, float64 (samples,); None where noise alone explains what it does.
    """
    blocks = blocks_of(iq, BLOCK * sps)
    if not LEAST_PHASES <= 2 * len(blocks) <= MOST_PHASES:
        return None
    points = symbols_of(blocks, response(np.abs(band_rates(BLOCK).numpy())), sps)
    middle = points[:, BLOCK // 4 - EDGE : 3 * BLOCK // 4 - EDGE]
    phasors = (middle / np.maximum(np.abs(middle), TINY)).reshape(-1, FEW)

    for order in ORDERS:
        means = np.mean(phasors**order, axis=1)  # (phases,)
        # Of FEW unit phasors of any phase the mean has the power 1 / FEW.
        power = max((np.mean(np.abs(means) ** 2) - 1 / FEW) / (1 - 1 / FEW), 0.0)
        if power >= LEAST_COHERENCE**2:
            return _smooth(np.unwrap(np.angle(means)) / order, power, order, sps, len(iq))
    return None


def _smooth(
    phases: np.ndarray, power: float, order: int, sps: int, samples: int
) -> np.ndarray | None:
    """A smooth curve through the phases of a few symbols each, where they move."""
    by_noise = (1 - power) / (2 * FEW * power * order**2)
    # Second differences of independent values have six times their variance.
    moved = np.mean(np.diff(phases, 2) ** 2) / 6
    if moved < STANDS_OUT * by_noise:
        return None
    middles = BLOCK // 4 + FEW * (np.arange(len(phases)) + 0.5)
    curve = make_smoothing_spline(middles / FEW, phases)
    inside = np.clip(np.arange(samples) / sps, middles[0], middles[-1])
    return curve(inside / FEW)
