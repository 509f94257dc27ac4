"""What spoils a frame on its way, as arithmetic alone: nothing is drawn here.

Frames are complex (n, samples), and every parameter is a column (n, 1), one value a frame. The
functions take NumPy arrays and torch tensors alike, and return what they were given, on the same
device. They change no frame in place. `sources.chain` and `training.impaired` draw the parameters
and have the order.
"""

import math
import sys
from typing import Any

import numpy as np

TAYLOR_TERMS = 20
"""Of `at_instants`: at half a sample from the nearest one, (pi / 2)^20 / 20! is 3e-15."""
LOWPASS_REACH = 32
"""Samples on either side of a sample that the taps of `lowpass` reach."""


def namespace(frames: Any) -> Any:
    """The library of the frames, numpy or torch, which spell what is used here alike.

    Who has a tensor has imported torch; who has none need not.
    """
    return np if isinstance(frames, np.ndarray) else sys.modules["torch"]


def mean_power(frames: Any) -> Any:
    """Mean power of each frame: (n, 1)."""
    xp = namespace(frames)
    return xp.mean(xp.abs(frames) ** 2, axis=-1, keepdims=True)


def rapp(frames: Any, smoothness: Any, backoff_db: Any) -> Any:
    """A solid-state amplifier, which compresses the envelope and keeps the phase.

    y = x / (1 + (|x| / A)^(2 p))^(1 / (2 p)), with small-signal gain 1. C. Rapp, Effects of
    HPA-nonlinearity on a 4-DPSK/OFDM signal, 2nd European Conf. Satellite Commun., 1991.

    Args:
        frames: complex (n, samples).
        smoothness: p, above 0; the greater, the sharper the knee. Some 2 to 3 in practice.
        backoff_db: power A^2 of saturation over the mean power of the frame.

    Returns:
        complex (n, samples), of envelope below A.
    """
    xp = namespace(frames)
    saturation = mean_power(frames) ** 0.5 * 10 ** (backoff_db / 20)
    overdrive = (xp.abs(frames) / saturation) ** (2 * smoothness)
    return frames / (1 + overdrive) ** (1 / (2 * smoothness))


def echo_response(frequency: Any, amplitude: Any, delay: Any, turns: Any) -> Any:
    """Frequency response of a direct path and one echo (Proakis & Salehi, 13.1).

    Args:
        frequency: cycles a sample, (bins,).
        amplitude: of the echo over the direct path, from 0 on.
        delay: samples, from 0 on.
        turns: phase of the echo, in turns.

    Returns:
        complex (n, bins), of mean power 1 + amplitude^2.
    """
    xp = namespace(frequency)
    return 1 + amplitude * xp.exp(2j * np.pi * (turns - frequency * delay))


def at_instants(block: Any, instants: Any) -> Any:
    """Values of periodic band-limited signals between their samples.

    The signal is the sum of the block's harmonics, and its Taylor series about the nearest sample
    gives it to rounding error. So a clock that is off is exact. Laakso et al., Splitting the unit
    delay, IEEE Signal Processing Magazine 13 (1996) 30, has the ideal that this reaches.

    Args:
        block: one period of each, complex (n, length).
        instants: in samples from the first, (n, samples), of any value.

    Returns:
        complex (n, samples).
    """
    xp = namespace(block)
    length = block.shape[-1]
    nearest = xp.round(instants)
    beyond = instants - nearest  # -1/2..1/2
    rows = xp.arange(len(block), device=block.device)[:, None]
    at = nearest % length
    at = at.astype(int) if xp is np else at.long()

    slope = 2j * np.pi * xp.fft.fftfreq(length, device=block.device)
    spectrum = xp.fft.fft(block)
    values = block[rows, at]
    for order in range(1, TAYLOR_TERMS):
        spectrum = spectrum * slope
        derivative = xp.fft.ifft(spectrum)[rows, at]
        values = values + derivative * beyond**order / math.factorial(order)
    return values


def phase_noise(frames: Any, steps: Any, linewidth: Any) -> Any:
    """A free-running oscillator, whose phase is a random walk.

    Its line is a Lorentzian, as wide as `linewidth` at half of its power. Demir, Mehrotra &
    Roychowdhury, IEEE Trans. Circuits and Systems I 47 (2000) 655.

    Args:
        frames: complex (n, samples).
        steps: standard normal numbers, (n, samples).
        linewidth: cycles a sample, from 0 on: the phase gains the variance 2 pi linewidth a sample.

    Returns:
        complex (n, samples).
    """
    xp = namespace(frames)
    deviation = (2 * np.pi * linewidth) ** 0.5
    return frames * xp.exp(1j * xp.cumsum(deviation * steps, axis=-1))


def add_interference(frames: Any, interferer: Any, level_db: Any, offset: Any) -> Any:
    """Frames with another transmitter beside them (adjacent channel) or on them (co-channel).

    ITU-R SM.1541 and textbooks on cellular systems (Rappaport, Wireless Communications, 2nd ed.,
    3.5) give levels of use.

    Args:
        frames: complex (n, samples).
        interferer: the other's baseband, complex (n, samples), of any power.
        level_db: mean power of the interferer over that of the frame.
        offset: of its carrier, cycles a sample.

    Returns:
        complex (n, samples).
    """
    xp = namespace(frames)
    time = xp.arange(frames.shape[-1], device=frames.device)
    power = mean_power(frames) / mean_power(interferer) * 10 ** (level_db / 10)
    return frames + power**0.5 * interferer * xp.exp(2j * np.pi * offset * time)


def lowpass(frames: Any, cutoff: Any) -> Any:
    """A linear-phase filter: a sinc under a Blackman window of 2 `LOWPASS_REACH` + 1 taps.

    Oppenheim & Schafer, Discrete-Time Signal Processing, 3rd ed., 7.5: it falls over 0.08 cycles a
    sample, to -74 dB.

    Args:
        frames: complex (n, samples + 2 `LOWPASS_REACH`).
        cutoff: where the amplitude is half, above 0 to 1/2 cycles a sample.

    Returns:
        complex (n, samples), without the ends that the taps reach beyond.
    """
    xp = namespace(frames)
    length = frames.shape[-1]
    place = xp.arange(-LOWPASS_REACH, LOWPASS_REACH + 1, device=frames.device)
    angle = np.pi * place / (LOWPASS_REACH + 1)
    window = 0.42 + 0.5 * xp.cos(angle) + 0.08 * xp.cos(2 * angle)
    taps = 2 * cutoff * xp.sinc(2 * cutoff * place) * window
    taps = taps / taps.sum(axis=-1, keepdims=True)

    filtered = xp.fft.ifft(xp.fft.fft(frames) * xp.fft.fft(taps, length))
    return filtered[:, 2 * LOWPASS_REACH :]  # what no end has wrapped into


def iq_imbalance(frames: Any, gain_db: Any, phase_deg: Any) -> Any:
    """A receiver whose Q branch has another gain and not quite a quarter turn: mu x + nu x*.

    The image, the mirrored spectrum, lies |nu / mu|^2 below the signal. Valkama, Renfors &
    Koivunen, IEEE Trans. Signal Processing 49 (2001) 2335.

    Args:
        frames: complex (n, samples).
        gain_db: of Q over I.
        phase_deg: what the quarter turn is off.

    Returns:
        complex (n, samples).
    """
    xp = namespace(frames)
    gain = 10 ** (gain_db / 20)
    phase = phase_deg * np.pi / 180
    mu = (1 + gain * xp.exp(-1j * phase)) / 2
    nu = (1 - gain * xp.exp(1j * phase)) / 2
    return mu * frames + nu * frames.conj()


def dc_offset(frames: Any, level_db: Any, turns: Any) -> Any:
    """A direct-conversion receiver whose own oscillator leaks into its input.

    Razavi, IEEE Trans. Circuits and Systems II 44 (1997) 428.

    Args:
        frames: complex (n, samples).
        level_db: power of the constant over the mean power of the frame.
        turns: its phase, in turns.

    Returns:
        complex (n, samples).
    """
    xp = namespace(frames)
    amplitude = mean_power(frames) ** 0.5 * 10 ** (level_db / 20)
    return frames + amplitude * xp.exp(2j * np.pi * turns)


def quantise(frames: Any, bits: Any, loading_db: Any) -> Any:
    """A mid-rise converter of I and of Q, which clips.

    An input that fills the range evenly has an error 6.02 dB a bit below it. Gray & Neuhoff,
    IEEE Trans. Information Theory 44 (1998) 2325.

    Args:
        frames: complex (n, samples).
        bits: of each of I and Q, from 1 on.
        loading_db: power of the clipping level over the mean power of I or Q, which is half of
            the frame's.

    Returns:
        complex (n, samples); each of I and Q has one of 2^bits levels.
    """
    clip = (mean_power(frames) / 2) ** 0.5 * 10 ** (loading_db / 20)
    step = 2 * clip / 2.0**bits
    return _levels(frames.real, clip, step) + 1j * _levels(frames.imag, clip, step)


def _levels(values: Any, clip: Any, step: Any) -> Any:
    xp = namespace(values)
    # The highest cell ends at the clipping level.
    cell = xp.floor(values / step)
    most = xp.round(clip / step)
    inside = xp.minimum(xp.maximum(cell, -most), most - 1)
    return step * (inside + 0.5)
