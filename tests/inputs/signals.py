"""Signals for views, with symbols that are known, and a matched filter written out in float64."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from pisces.core.modulations import constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.receiver.echo import Echo
from pisces.sources.synthesis import clean_frames, synthesize_cell
from tests.conftest import RENDER
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


UNIPOLAR = {"4ASK": np.arange(4.0), "8ASK": np.arange(8.0), "OOK": np.arange(2.0)}
"""Levels of ASK in RML2018.01A, which leave a carrier."""
GUARD = 16
"""Symbols that are sent before and after a frame."""


@dataclass(frozen=True)
class Sent:
    """Frames whose symbols are known."""

    iq: np.ndarray
    """complex128 (n, samples), of unit signal power."""
    symbols: np.ndarray
    """complex128 (n, symbols), of unit mean power; the first at `first`."""
    first: np.ndarray
    """Instant of the first of them, in symbols from the start of the frame: (n, 1)."""
    echo: Echo | None = None
    """Behind which they came."""


def send(
    modulation: str,
    frames: int,
    snr_db: float,
    *,
    rolloff: tuple[float, float] | None = None,
    symbols: int = 128,
    sps: int = SPS,
    carrier_offset: float | np.ndarray = 0.0,
    clock_ppm: float = 0.0,
    echo: tuple[float, float] | None = None,
) -> Sent:
    """Frames in white noise, cut out of a longer signal, of random timing and phase.

    Args:
        modulation: a linear one.
        frames: how many.
        snr_db: power of the signal over that of the noise, over the whole band; inf for none.
        rolloff: range of a root-raised cosine; None for the twin of RML2018.01A, whose ASK is
            unipolar.
        symbols: in a frame.
        sps: samples a symbol.
        carrier_offset: cycles a sample, a number or a column (n, 1).
        clock_ppm: by how much the symbols come faster.
        echo: amplitude over that of the direct path and delay in symbols, of any phase.

    Returns:
        The frames, and what was sent.
    """
    rng = generator(1, "test send", modulation, frames, symbols, str(rolloff))
    points = constellation(modulation)
    if rolloff is None and modulation in UNIPOLAR:
        levels = UNIPOLAR[modulation]
        points = levels / np.sqrt(np.mean(levels**2)) + 0j
    block = symbols + 2 * GUARD
    sent = rng.choice(points, (frames, block))
    timing = rng.random((frames, 1))

    rates = np.arange(-block, block) / block
    if rolloff is None:
        response = rml2018_response(rates)
    else:
        response = rrc_response(rates, rng.uniform(*rolloff, (frames, 1)))
    behind = None
    if echo is not None:
        amplitude, delay = (np.full(frames, one) for one in echo)
        turns = generator(1, "test echo", frames).random(frames)
        late = np.exp(2j * np.pi * (turns[:, None] - rates * delay[:, None]))
        response = response * (1 + amplitude[:, None] * late)
        behind = Echo(*(torch.from_numpy(one).float() for one in (delay, amplitude, turns)))
    instants = GUARD + np.arange(symbols * sps) / sps * (1 + 1e-6 * clock_ppm)

    def signal(values: np.ndarray, delay: np.ndarray) -> np.ndarray:
        spectrum = np.tile(np.fft.fft(values), 2) * response * np.exp(-2j * np.pi * rates * delay)
        return spectrum @ np.exp(2j * np.pi * rates[:, None] * instants) / block

    stagger = 0.5 if modulation == "OQPSK" else 0
    iq = signal(sent.real, timing) + 1j * signal(sent.imag, timing + stagger)
    energy = np.abs(response) ** 2
    fold = energy[..., :block] + energy[..., block:]
    iq *= np.sqrt(sps) / np.sqrt(sps * fold.mean(-1, keepdims=True))
    turns = rng.random((frames, 1)) + carrier_offset * np.arange(symbols * sps)
    iq = iq * np.exp(2j * np.pi * turns)

    noise = rng.normal(scale=np.sqrt(0.5 * 10 ** (-snr_db / 10)), size=(2, *iq.shape))
    return Sent(iq + noise[0] + 1j * noise[1], sent, timing - GUARD, behind)


def receive(sent: Sent, pulse: str = "rml2018", **changes) -> views.Symbols:
    """What the receiver for the pulse makes of the frames."""
    return views.symbols_of(tensor(sent.iq), replace(RENDER, pulse=pulse, **changes))


def beside(sent: Sent, timing: np.ndarray, points: int, left_out: int) -> np.ndarray:
    """The symbols nearest to the instants of points that were received, complex (n, points).

    Args:
        sent: the frames.
        timing: as received, in symbols (n, 1).
        points: received of a frame.
        left_out: symbols of the frame before the first point.
    """
    number = np.rint(timing - sent.first).astype(int) + left_out + np.arange(points)
    return np.take_along_axis(sent.symbols, number, axis=1)


def error_vector_db(sent: Sent, received: views.Symbols, left_out: int = 4) -> np.ndarray:
    """Power of the error over that of the symbols, after the best complex gain, of each frame."""
    points = received.points.numpy().astype(complex)
    ideal = beside(sent, received.timing.numpy(), points.shape[1], left_out)
    gain = np.sum(points * ideal.conj(), 1) / np.sum(np.abs(ideal) ** 2, 1)
    error = points - gain[:, None] * ideal
    return db(np.sum(np.abs(error) ** 2, 1) / np.sum(np.abs(gain[:, None] * ideal) ** 2, 1))


VIEWS = {
    "symbol": lambda iq: views.symbols_of(iq, RENDER).points,
    "noise": lambda iq: views.noise(iq, SPS),
    "differential": lambda iq: views.differential(iq, 4),
}
