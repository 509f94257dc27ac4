"""The carrier of a signal over time, followed from block to block, blind to its modulation."""

from collections.abc import Callable

import numpy as np
import torch
from scipy import fft
from scipy.interpolate import make_smoothing_spline

from pisces.inputs.receiver.chain import LEAST_SNR
from pisces.inputs.receiver.long import EDGE, LongFrames, receive_long
from pisces.inputs.receiver.spectrum import band_rates, observe, power_of

ORDERS = (1, 2, 4, 8, 12, 16, 20, 32)
"""Powers whose lines are looked for: those of the view `symbol`, a carrier's and that of BPSK."""
BLOCKS = (64, 256)
"""Symbols of a block; the next one begins half as many later."""
REACH = 0.08
"""Of a symbol rate, that the carrier is looked for to either side of the middle of the band."""
SHARE_OF_LINE = 2
"""Offsets that are tried across the width of the highest order's line."""
DRIFT = 1.5e-5
"""Symbol rates a symbol, that a carrier moves easily."""
MOST_STEPS = 8
"""Offsets by which it moves from a block to the next at most."""
PRIOR_STD = 0.03
"""Of the carrier about the middle of the band, of a symbol rate."""
STANDS_OUT = 4.0
"""Standard errors by which the lines of a power must be higher than noise alone has them."""
BETWEEN_BINS = 2.3
"""Independent offsets for each that is one line's width from the next: found by trial on noise."""
INDEPENDENT = 0.35
"""Share of the evidence that counts: powers of the same noise agree in part, and blocks overlap."""
AT_ONCE = 256
"""Blocks that are looked at together, which bounds the memory."""
LEAST_KNOTS = 5
"""Blocks from which on the carrier may bend."""
SMOOTHING = 10.0
"""Of the smoothing spline, between a block's own noise and how fast a carrier drifts."""
TINY = 1e-12
"""Keeps amplitudes of zero from dividing by zero."""

Response = Callable[[np.ndarray], np.ndarray]
"""Of frequencies in symbol rates."""


def follow_carrier(iq: np.ndarray, response: Response, sps: int) -> np.ndarray | None:
    """The carrier's offset over a signal.

    Short blocks follow a carrier that drifts. Long ones then see what is left of it more exactly,
    and the weak lines of one that does not drift.

    Args:
        iq: complex64 (samples,), the carrier near 0.
        response: amplitude response of the pulse, of frequencies in symbol rates.
        sps: samples a symbol.

    Returns:
        Cycles a sample at every sample, float64 (samples,); None where no line stands out.
    """
    found = None
    for symbols in BLOCKS:
        left = iq if found is None else turn_back(iq, found)
        track = _track(left, response, sps, symbols)
        if track is not None:
            found = track if found is None else found + track
    return found


def _track(iq: np.ndarray, response: Response, sps: int, symbols: int) -> np.ndarray | None:
    """As `follow_carrier`, by blocks of so many symbols."""
    blocks = blocks_of(iq, symbols * sps)
    if not len(blocks):
        return None
    step = 1 / (SHARE_OF_LINE * max(ORDERS) * symbols)
    offsets = np.arange(-round(REACH / step), round(REACH / step) + 1) * step
    score = lines_of(blocks, response(np.abs(band_rates(symbols).numpy())), offsets, sps)
    if score is None:
        return None
    score -= 0.5 * (offsets / PRIOR_STD) ** 2

    way = likeliest_way(score, step / (DRIFT * symbols / 2))
    middles = (np.arange(len(way)) + 1) * sps * symbols / 2
    return smooth_track(middles, peak_of(score, way, offsets) / sps, len(iq))


def lines_of(
    blocks: np.ndarray, response: np.ndarray, offsets: np.ndarray, sps: int
) -> np.ndarray | None:
    """Evidence for a carrier at each offset in each block: the lines of those powers that have one.

    Powers without a line are left out: they would decide by chance between offsets that are
    1 / M apart, which the M-th power cannot tell.

    Args:
        blocks: complex64 (n, samples).
        response: of the pulse at `band_rates` of a block.
        offsets: cycles a symbol, (offsets,).
        sps: samples a symbol.

    Returns:
        (n, offsets), or None where no power has a line.
    """
    starts = range(0, len(blocks), AT_ONCE)

    def powers(start: int) -> np.ndarray:
        points = symbols_of(blocks[start : start + AT_ONCE], response, sps)
        return line_powers(points, offsets)  # (lines, AT_ONCE, offsets)

    # Twice, since all of them do not fit into memory.
    highest = np.concatenate([powers(start).max(2) for start in starts], axis=1)  # (lines, n)

    # The highest of so many independent exponentials, and how far it spreads (Gumbel's law).
    symbols = blocks.shape[1] // sps - 2 * EDGE
    orders = np.repeat(ORDERS, len(highest) // len(ORDERS))
    independent = np.maximum(2 * REACH * np.minimum(orders, 0.5 / REACH) * symbols, 2)
    expected = np.log(BETWEEN_BINS * independent) + np.euler_gamma
    error = np.pi / np.sqrt(6 * len(blocks))
    has_line = highest.mean(1) > expected + STANDS_OUT * error
    if not has_line.any():
        return None
    return INDEPENDENT * np.concatenate([powers(start)[has_line].sum(0) for start in starts])


def blocks_of(iq: np.ndarray, samples: int) -> np.ndarray:
    """Blocks of so many samples, each half over the next: complex64 (n, samples)."""
    if len(iq) < samples:
        return np.empty((0, samples), np.complex64)
    return np.lib.stride_tricks.sliding_window_view(iq, samples)[:: samples // 2]


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
    observed = observe(iq, torch.fft.fft(iq), sps)
    signal = torch.maximum(1 - observed.noise, LEAST_SNR * observed.noise)
    pulse = torch.from_numpy(np.asarray(response, np.float32))[None]
    equalized, _ = receive_long(LongFrames(observed, pulse, signal, sps), blind=False)
    return equalized.points.numpy()


def line_powers(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Power of the lines of all `ORDERS` at each offset, over that of noise.

    The M-th power of symbols from a constellation of M-fold symmetry has a line at M times the
    offset (Viterbi and Viterbi, IEEE Trans. Inf. Theory 29 (1983) 543). Its periodogram, over that
    of noise alone, is about the log likelihood ratio of the line.

    Args:
        points: complex (n, symbols).
        offsets: cycles a symbol, (offsets,).

    Returns:
        float32 (2 * orders, n, offsets), of each order with points weighted two ways; the mean is 1
        where there is no line.
    """
    phasors = points / np.maximum(np.abs(points), TINY)
    bins = 4 * 2 ** int(np.ceil(np.log2(points.shape[1])))
    powers = []
    for order in ORDERS:
        at = np.round(order * offsets * bins).astype(int) % bins
        for weight in amplitude_weights(np.abs(points) ** 2):
            spectrum = fft.fft(phasors**order * weight.astype(np.float32), bins)
            powers.append((spectrum.real**2 + spectrum.imag**2)[:, at].astype(np.float32))
    return np.stack(powers)


def amplitude_weights(power: np.ndarray) -> list[np.ndarray]:
    """All points alike, and the outermost almost alone, as `receiver.carrier` weighs them.

    Args:
        power: of the points, (n, symbols).

    Returns:
        Two arrays (n, symbols), the squares of each of which add up to 1 over a block.
    """
    relative = power / np.maximum(power.max(1, keepdims=True), TINY)
    weights = [np.ones_like(power), relative**4]
    least = np.finfo(power.dtype).tiny  # of silence, whose outermost points weigh nothing
    return [one / np.sqrt(np.maximum(np.sum(one**2, 1, keepdims=True), least)) for one in weights]


def likeliest_way(score: np.ndarray, slowness: float) -> np.ndarray:
    """The way through the blocks with the highest score, which moves little (Viterbi).

    Args:
        score: log likelihood of each offset, (blocks, offsets).
        slowness: what a move to the next offset costs, in nats.

    Returns:
        Number of the offset of each block, int64 (blocks,).
    """
    moves = np.arange(-MOST_STEPS, MOST_STEPS + 1)
    cost = np.abs(moves) * slowness
    best = score[0]
    moved = np.empty(score.shape, np.int8)  # which of `moves` led here
    for number, of_block in enumerate(score):
        if number == 0:
            continue
        padded = np.pad(best, MOST_STEPS, constant_values=-np.inf)
        ways = np.lib.stride_tricks.sliding_window_view(padded, len(moves)) - cost
        move = ways.argmax(1)
        moved[number] = move
        best = of_block + ways[np.arange(len(best)), move]

    way = np.empty(len(score), np.int64)
    way[-1] = best.argmax()
    for number in range(len(score) - 1, 0, -1):
        way[number - 1] = way[number] + moves[moved[number, way[number]]]
    return way


def peak_of(score: np.ndarray, way: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets (blocks,) at which parabolas about the way peak."""
    step = offsets[1] - offsets[0]
    best = way.clip(1, len(offsets) - 2)[:, None]
    before, at, after = (np.take_along_axis(score, best + one, 1)[:, 0] for one in (-1, 0, 1))
    curvature = before - 2 * at + after
    bent = np.where(curvature < 0, curvature, -1)
    shift = np.where(curvature < 0, 0.5 * (before - after) / bent, 0)
    return offsets[best[:, 0]] + shift.clip(-1, 1) * step


def smooth_track(middles: np.ndarray, offsets: np.ndarray, samples: int) -> np.ndarray:
    """A smooth curve through offsets at some instants, at all samples: float64 (samples,)."""
    at = np.arange(samples, dtype=float)
    if len(middles) < LEAST_KNOTS:
        degree = min(1, len(middles) - 1)
        return np.polyval(np.polyfit(middles, offsets, degree), at)
    scale = middles[1] - middles[0]
    spline = make_smoothing_spline(middles / scale, offsets, lam=SMOOTHING)
    return spline(at / scale)


def turn_back(iq: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Samples without a carrier offset that changes: complex64 (samples,).

    Args:
        iq: complex64 (samples,).
        offset: cycles a sample at each sample, (samples,).
    """
    turns = np.cumsum(offset)
    return (iq * np.exp(-2j * np.pi * (turns % 1))).astype(np.complex64)
