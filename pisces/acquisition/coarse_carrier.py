"""The carrier of a signal over time, followed from block to block, blind to its modulation."""

import numpy as np
import torch
from scipy.interpolate import make_smoothing_spline

from pisces.inputs.receiver.long import EDGE, receive_long
from pisces.inputs.receiver.spectrum import band_rates, noise_power, power_of, tapered_spectrum

ORDERS = (1, 2, 4, 8, 12, 16, 20, 32)
"""Powers whose lines are looked for: those of the view `symbol`, a carrier's and that of BPSK."""
BLOCK = 64
"""Symbols of a block; the next one begins half as many later."""
REACH = 0.08
"""Of a symbol rate, that the carrier is looked for to either side of the middle of the band."""
STEP = 1 / 4096
"""Of a symbol rate, between the offsets that are tried."""
DRIFT_STD = 6e-4
"""By how much the carrier moves from a block to the next, of a symbol rate; most keep still."""
MOST_STEPS = 8
"""Of `STEP`, that it moves at most."""
PRIOR_STD = 0.03
"""Of the carrier about the middle of the band, of a symbol rate."""
STANDS_OUT = 3.0
"""By how much (nats a block) the lines along the way must beat those beside it to be followed."""
INDEPENDENT = 0.7
"""Share of the evidence of all orders that counts, since powers of the same noise agree in part."""
AT_ONCE = 256
"""Blocks that are looked at together, which bounds the memory."""
TINY = 1e-12


def follow_carrier(
    blocks: np.ndarray, response: np.ndarray, sps: int, samples: int
) -> np.ndarray | None:
    """The carrier's offset over a signal.

    Args:
        blocks: of `blocks_of` the signal, its carrier near 0.
        response: of the pulse at `response_rates`, (2 * BLOCK,).
        sps: samples a symbol.
        samples: of the signal.

    Returns:
        Cycles a sample at every sample, float64 (samples,); None where no line stands out.
    """
    if not len(blocks):
        return None
    offsets = np.arange(-round(REACH / STEP), round(REACH / STEP) + 1) * STEP
    evidence = []
    for first in range(0, len(blocks), AT_ONCE):
        points = symbols_of(blocks[first : first + AT_ONCE], response, sps)
        evidence.append(line_evidence(points, offsets))
    score = INDEPENDENT * np.concatenate(evidence)  # (blocks, offsets)
    score -= 0.5 * (offsets / PRIOR_STD) ** 2 / len(score)

    way = likeliest_way(score)
    along = np.take_along_axis(score, way[:, None], 1).mean()
    beside = np.quantile(score.mean(0), 0.5)
    if along - beside < STANDS_OUT:
        return None
    middles = (np.arange(len(way)) + 1) * sps * BLOCK / 2
    return smooth_track(middles, peak_of(score, way, offsets) / sps, samples)


def blocks_of(iq: np.ndarray, sps: int) -> np.ndarray:
    """Blocks of `BLOCK` symbols, each half over the next: complex64 (n, samples)."""
    length = BLOCK * sps
    if len(iq) < length:
        return np.empty((0, length), np.complex64)
    return np.lib.stride_tricks.sliding_window_view(iq, length)[:: length // 2]


def symbols_of(frames: np.ndarray, response: np.ndarray, sps: int) -> np.ndarray:
    """Equalised symbols of frames, their carrier left as it is: complex64 (n, symbols - 2 EDGE).

    Args:
        frames: complex64 (n, samples).
        response: of the pulse at `band_rates` of a frame, (2 * symbols,).
        sps: samples a symbol.
    """
    iq = torch.from_numpy(np.array(frames, np.complex64))
    level = power_of(iq).mean(1, keepdim=True)
    iq = iq * level.clamp_min(TINY).rsqrt()
    tapered = tapered_spectrum(iq)
    noise = noise_power(tapered, iq.shape[1] // sps)
    signal = torch.maximum(1 - noise, 0.05 * noise)
    pulse = torch.from_numpy(np.asarray(response, np.float32))[None]
    equalized, _ = receive_long(
        iq, tapered, pulse, signal=signal, noise=noise, sps=sps, blind=False
    )
    return equalized.points.numpy()


def line_evidence(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Evidence for a carrier at each offset: power of the lines of all `ORDERS`, over noise.

    The M-th power of symbols from a constellation of M-fold symmetry has a line at M times the
    offset (Viterbi and Viterbi, IEEE Trans. Inf. Theory 29 (1983) 543). Its periodogram, over that
    of noise alone, is about the log likelihood ratio of the line.

    Args:
        points: complex (n, symbols).
        offsets: cycles a symbol, (offsets,).

    Returns:
        float64 (n, offsets); each order adds 1 in the mean where there is no line.
    """
    phasors = points / np.maximum(np.abs(points), TINY)
    weights = amplitude_weights(np.abs(points) ** 2)
    bins = 4 * 2 ** int(np.ceil(np.log2(points.shape[1])))

    evidence = np.zeros((len(points), len(offsets)))
    for order in ORDERS:
        at = np.round(order * offsets * bins).astype(int) % bins
        for weight in weights:
            spectrum = np.fft.fft(phasors**order * weight, bins)
            evidence += (spectrum.real**2 + spectrum.imag**2)[:, at]
    return evidence


def amplitude_weights(power: np.ndarray) -> list[np.ndarray]:
    """All points alike, and the outermost almost alone, as `receiver.carrier` weighs them.

    Args:
        power: of the points, (n, symbols).

    Returns:
        Two arrays (n, symbols) whose squares add up to 1 together.
    """
    relative = power / np.maximum(power.max(1, keepdims=True), TINY)
    weights = [np.ones_like(power), relative**4]
    return [one / np.sqrt(2 * np.sum(one**2, 1, keepdims=True)) for one in weights]


def likeliest_way(score: np.ndarray) -> np.ndarray:
    """The way through the blocks with the highest score, which moves little (Viterbi).

    Args:
        score: log likelihood of each offset, (blocks, offsets).

    Returns:
        Number of the offset of each block, int64 (blocks,).
    """
    moves = np.arange(-MOST_STEPS, MOST_STEPS + 1)
    cost = np.abs(moves) * STEP / DRIFT_STD
    best = score[0]
    came_from = np.empty(score.shape, np.int64)
    for number, of_block in enumerate(score):
        if number == 0:
            continue
        padded = np.pad(best, MOST_STEPS, constant_values=-np.inf)
        ways = np.lib.stride_tricks.sliding_window_view(padded, len(moves)) - cost
        move = ways.argmax(1)
        came_from[number] = np.arange(len(best)) + moves[move]
        best = of_block + ways[np.arange(len(best)), move]

    way = np.empty(len(score), np.int64)
    way[-1] = best.argmax()
    for number in range(len(score) - 1, 0, -1):
        way[number - 1] = came_from[number, way[number]]
    return way


def peak_of(score: np.ndarray, way: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets (blocks,) at which parabolas about the way peak."""
    best = way.clip(1, len(offsets) - 2)[:, None]
    before, at, after = (np.take_along_axis(score, best + one, 1)[:, 0] for one in (-1, 0, 1))
    curvature = before - 2 * at + after
    bent = np.where(curvature < 0, curvature, -1)
    shift = np.where(curvature < 0, 0.5 * (before - after) / bent, 0)
    return offsets[best[:, 0]] + shift.clip(-1, 1) * STEP


def smooth_track(middles: np.ndarray, offsets: np.ndarray, samples: int) -> np.ndarray:
    """A smooth curve through offsets at some instants, at all samples: float64 (samples,)."""
    at = np.arange(samples, dtype=float)
    if len(middles) < 5:
        degree = min(1, len(middles) - 1)
        return np.polyval(np.polyfit(middles, offsets, degree), at)
    scale = middles[1] - middles[0]
    spline = make_smoothing_spline(middles / scale, offsets, lam=SMOOTHING)
    return spline(at / scale)


SMOOTHING = 10.0
"""Of the smoothing spline, between a block's own noise and how fast a carrier drifts."""


def turn_back(iq: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Samples without a carrier offset that changes: complex64 (samples,).

    Args:
        iq: complex64 (samples,).
        offset: cycles a sample at each sample, (samples,).
    """
    turns = np.cumsum(offset)
    return (iq * np.exp(-2j * np.pi * (turns % 1))).astype(np.complex64)


def response_rates() -> np.ndarray:
    """Frequencies, in symbol rates, at which `follow_carrier` takes the pulse's response."""
    return band_rates(BLOCK).numpy().astype(float)


assert BLOCK > 2 * EDGE
