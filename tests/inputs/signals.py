"""Signals for views, and a receiver written out in float64."""

import numpy as np
import torch

from pisces.core.pulses import rrc_response
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.sources.synthesis import clean_frames, synthesize_cell
from tests.physics import physics

EPS = float(np.finfo(np.float32).eps)
SPS, ROLLOFF = 8, 0.35


def tensor(iq: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(iq.astype(np.complex64))


def db(power: np.ndarray | float) -> np.ndarray:
    return 10 * np.log10(power)


def white(shape: tuple[int, ...], name: str) -> np.ndarray:
    """Complex white Gaussian noise of unit power."""
    re, im = generator(1, "test views", name).normal(scale=np.sqrt(0.5), size=(2, *shape))
    return re + 1j * im


def clean(
    modulation: str,
    frames: int,
    rolloff: tuple[float, float] = (0.2, 0.5),
    carrier_offset_std: float = 3.3e-5,
) -> np.ndarray:
    """Frames of 1 024 samples without noise, each of unit power, complex128."""
    rngs = [generator(1, "test views", modulation, i) for i in range(frames)]
    settings = physics(sps=SPS, rolloff=rolloff, carrier_offset_std=carrier_offset_std)
    return clean_frames(modulation, rngs, settings)


def received(modulation: str, frames: int) -> np.ndarray:
    """Frames of 1 024 samples at 20 dB of any roll-off, complex64."""
    return synthesize_cell(modulation, 20, range(frames), physics(sps=SPS), seed=1)


def matched(iq: np.ndarray, sps: int, rolloff: float, at: np.ndarray) -> np.ndarray:
    """Output (n, k) of the matched filter at the instants `at`, in samples, (k,) or (n, k).

    Both Fourier sums term by term.
    """
    n = iq.shape[1]
    frequency = np.arange(-(n // 2), n - n // 2) / n
    spectrum = (
        iq
        @ np.exp(-2j * np.pi * np.outer(np.arange(n), frequency))
        * rrc_response(frequency * sps, rolloff)
    )
    return (np.exp(2j * np.pi * at[..., None] * frequency) @ spectrum[..., None])[..., 0] / n


def square_law(iq: np.ndarray, sps: int, rolloff: float) -> np.ndarray:
    """Line of |y|^2 at the symbol rate over its mean, complex (n,).

    Oerder and Meyr's sum over four samples a symbol.
    """
    quarter = np.arange(4 * iq.shape[1] // sps)
    power = np.abs(matched(iq, sps, rolloff, quarter * sps / 4)) ** 2
    return (power @ np.exp(-2j * np.pi * quarter / 4)) / power.sum(1)


VIEWS = {
    "symbol": lambda iq: views.symbol(iq, SPS, ROLLOFF),
    "noise": lambda iq: views.noise(iq, SPS),
    "differential": lambda iq: views.differential(iq, 4),
}
