"""RadioML-like frames of all modulations, in the layout of RML2018.01A or RML2016.10a, with SNR labels that are true.

Every signal is first one period of a periodic block, longer than the frame by `GUARD_SYMBOLS` at each end. On a periodic
block a filter is a product of spectra, so pulse shapes, fractional timing and multipath are exact: nothing is truncated or
interpolated. The frame is the middle of the block, so its two ends have nothing to do with each other.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from pisces.core import files, seeding, shards
from pisces.core.modulations import ANALOG, MODULATIONS, RML2016, TWINS, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.sources import rml2016

GUARD_SYMBOLS = 16
SAMPLES_AT_ONCE = 2**18
AUDIO_BAND = (0.0015, 0.017)
"""Cycles a sample: 300 Hz to 3.4 kHz at 200 kHz."""
FM_DEVIATION = 0.025
"""RMS, in cycles a sample: 99 % of the power then lies within 0.09 cycles a sample, as in RML2018.01A."""
AM_INDEX = 1 / 3
"""RMS of the audio over the carrier: the envelope only reaches zero at three standard deviations."""


@dataclass(frozen=True)
class MultipathSettings:
    """A Rician channel; see `multipath_response`."""

    k_factor_db: float  # power of the direct path over that of all scattered ones
    paths: int  # scattered ones
    delay_spread: float  # RMS, in samples


@dataclass(frozen=True)
class SynthesisSettings:
    """What is generated: the section `synthesize` of params.yaml, as the library takes it."""

    format: str  # hdf5, as RML2018.01A, or pkl, as RML2016.10a
    snrs_db: tuple[int, ...]
    frames_per_cell: int
    samples: int  # a frame
    sps: int  # samples a symbol, even
    rolloff: tuple[float, float]  # range of the uniform roll-off
    carrier_offset_std: float  # cycles a sample
    gmsk_bt: float
    multipath: MultipathSettings | None


Generators = Sequence[np.random.Generator]
Channel = Callable[..., np.ndarray]


def synthesize_file(path: Path, params: SynthesisSettings, seed: int) -> int:
    """Writes frames of every modulation in the layout of `params.format`, whole or not at all; returns their number.

    Raises:
        OSError: when `path` cannot be written.
    """
    return (_write_hdf5 if params.format == "hdf5" else _write_pickle)(path, params, seed)


def _write_hdf5(path: Path, params: SynthesisSettings, seed: int) -> int:
    """As RML2018.01A: `X` float32 (n, samples, 2) is I, Q; `Y` int64 (n, 24) the one-hot modulation; `Z` int64 (n, 1) the SNR in dB.

    Rows go modulation by modulation, within it SNR by SNR, as in the real file. All are contiguous, so that they read fast.
    """
    total = len(MODULATIONS) * len(params.snrs_db) * params.frames_per_cell
    layout = {
        "X": ((total, params.samples, 2), np.float32),
        "Y": ((total, len(MODULATIONS)), np.int64),
        "Z": ((total, 1), np.int64),
    }
    row = 0
    with files.staged(path) as temporary:
        file = shards.create(temporary, layout, {})
        for cell, x in _batches(MODULATIONS, params, seed):
            y = np.tile(
                np.eye(len(MODULATIONS), dtype=np.int64)[MODULATIONS.index(cell.modulation)],
                (len(x), 1),
            )
            shards.write(file, row, {"X": x, "Y": y, "Z": np.full((len(x), 1), cell.snr_db)})
            row += len(x)
    return total


def _write_pickle(path: Path, params: SynthesisSettings, seed: int) -> int:
    """As RML2016.10a (see pisces/sources/rml2016.py), but for the labels: here they are the SNR over the whole band, there they are not."""
    cells: dict[Cell, list[np.ndarray]] = {}
    for cell, frames in _batches(RML2016, params, seed):
        cells.setdefault(cell, []).append(
            frames.transpose(0, 2, 1)
        )  # (n, samples, 2) -> (n, 2, samples)
    rml2016.write(path, {cell: np.concatenate(parts) for cell, parts in cells.items()})
    return len(cells) * params.frames_per_cell


def _batches(
    modulations: Sequence[str], params: SynthesisSettings, seed: int
) -> Iterator[tuple[Cell, np.ndarray]]:
    """Frames float32 (n, samples, 2) of each cell, in batches that bound the memory, cell by cell."""
    synthesize = partial(
        synthesize_cell,
        seed=seed,
        samples=params.samples,
        sps=params.sps,
        rolloff=params.rolloff,
        carrier_offset_std=params.carrier_offset_std,
        gmsk_bt=params.gmsk_bt,
        channel=partial(multipath_response, **asdict(params.multipath))
        if params.multipath
        else None,
    )
    batch = max(1, SAMPLES_AT_ONCE // params.samples)
    for cell in progress(
        [Cell(*names) for names in product(modulations, params.snrs_db)], "synthesize"
    ):
        for first in range(0, params.frames_per_cell, batch):
            iq = synthesize(*cell, range(first, min(first + batch, params.frames_per_cell)))
            yield cell, iq.view(np.float32).reshape(len(iq), params.samples, 2)


def synthesize_cell(
    modulation: str,
    snr_db: int,
    frames: range,
    *,
    seed: int,
    samples: int,
    sps: int,
    rolloff: tuple[float, float],
    carrier_offset_std: float,
    gmsk_bt: float,
    channel: Channel | None = None,
) -> np.ndarray:
    """Received frames of one modulation at one SNR: complex64 (len(frames), samples), mean power near 1.

    A frame depends on (modulation, snr_db, its number in the cell) and not on which others are made, so that more SNRs
    or more frames leave the old ones as they were. `channel` is called with the frequencies and a keyword `rng` and
    returns the channel's frequency response.
    """
    rngs = [seeding.generator(seed, "synthesize", modulation, snr_db, frame) for frame in frames]
    clean = clean_frames(
        modulation,
        rngs,
        samples=samples,
        sps=sps,
        rolloff=rolloff,
        carrier_offset_std=carrier_offset_std,
        gmsk_bt=gmsk_bt,
        channel=channel,
    )
    return add_noise(clean, snr_db, rngs=rngs).astype(np.complex64)


def clean_frames(
    modulation: str,
    rngs: Generators,
    *,
    samples: int,
    sps: int,
    rolloff: tuple[float, float],
    carrier_offset_std: float,
    gmsk_bt: float,
    channel: Channel | None = None,
) -> np.ndarray:
    """Frames before noise, one a generator: complex128 (batch, samples), each of exactly unit power.

    The carrier's phase is uniform and its offset normal with `carrier_offset_std` cycles a sample.
    """
    # Even, so that GMSK and its like can close their phase.
    n_symbols = 2 * (-(-samples // (2 * sps)) + GUARD_SYMBOLS)
    block = _baseband(modulation, rngs, n_symbols, sps=sps, rolloff=rolloff, gmsk_bt=gmsk_bt)
    if channel is not None:
        frequency = np.fft.fftfreq(block.shape[-1])
        block = np.fft.ifft(
            np.fft.fft(block) * np.stack([channel(frequency, rng=rng) for rng in rngs])
        )
    start = (block.shape[-1] - samples) // 2
    turns = _draw(rngs, lambda rng: rng.random()) + carrier_offset_std * _draw(
        rngs, lambda rng: rng.normal()
    ) * np.arange(samples)
    iq = block[:, start : start + samples] * np.exp(
        2j * np.pi * turns
    )  # (batch, block) -> (batch, samples)
    return iq / np.sqrt(np.mean(np.abs(iq) ** 2, axis=-1, keepdims=True))


def _baseband(
    modulation: str,
    rngs: Generators,
    n_symbols: int,
    *,
    sps: int,
    rolloff: tuple[float, float],
    gmsk_bt: float,
) -> np.ndarray:
    """Periodic blocks without carrier, channel and noise: complex128 (batch, n_symbols * sps)."""
    modulation = TWINS.get(modulation, modulation)
    if modulation in ANALOG:
        return analog(modulation, np.stack([audio(n_symbols * sps, rng=rng) for rng in rngs]))
    timing = _draw(rngs, lambda rng: rng.random())
    if modulation in ("GMSK", "GFSK", "CPFSK"):
        symbols = np.stack([rng.choice((-1.0, 1.0), n_symbols) for rng in rngs])
        return gmsk(symbols, sps=sps, bt=None if modulation == "CPFSK" else gmsk_bt, timing=timing)
    points = constellation(modulation)
    symbols = np.stack([rng.choice(points, n_symbols) for rng in rngs])
    shape = partial(shape_symbols, sps=sps, rolloff=_draw(rngs, lambda rng: rng.uniform(*rolloff)))
    if modulation == "OQPSK":
        return shape(symbols.real, timing=timing) + 1j * shape(symbols.imag, timing=timing + 0.5)
    return shape(symbols, timing=timing)


def _draw(rngs: Generators, draw: Callable[[np.random.Generator], float]) -> np.ndarray:
    """One number a frame, as a column (batch, 1) that broadcasts over time."""
    return np.array([[draw(rng)] for rng in rngs])


def rrc_spectrum(frequency: np.ndarray, sps: int, rolloff: float | np.ndarray) -> np.ndarray:
    """Root-raised-cosine spectrum: real, 1 in the pass band, 1/sqrt(2) at half the symbol rate, 0 beyond (1 + rolloff) / (2 sps).

    `frequency` in cycles a sample and `rolloff`, above 0 to 1, broadcast. Proakis & Salehi, Digital Communications, 5th ed., 9.2-1.
    """
    edge = (2 * sps * np.abs(frequency) - (1 - rolloff)) / (
        2 * rolloff
    )  # 0 where the fall begins, 1 where it ends
    return np.cos(np.pi / 2 * np.clip(edge, 0, 1))


def shape_symbols(
    symbols: np.ndarray, *, sps: int, rolloff: float | np.ndarray, timing: float | np.ndarray
) -> np.ndarray:
    """Root-raised-cosine pulses on `symbols` (batch, n): complex128 (batch, n * sps), of the power of the symbols.

    Symbol k peaks at sample (k + timing) * sps, between samples if need be; filtering once more by `rrc_spectrum` returns
    the symbols there. `rolloff` and `timing` (in symbols) are one number or a column (batch, 1).
    """
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    return np.fft.ifft(
        sps * _impulses(symbols, sps, timing * sps) * rrc_spectrum(frequency, sps, rolloff)
    )


def gmsk(
    symbols: np.ndarray, *, sps: int, bt: float | None, timing: float | np.ndarray
) -> np.ndarray:
    """GMSK of modulation index 1/2 from -1 and +1 in `symbols` (batch, n), n even: complex128 (batch, n * sps), unit envelope.

    The frequency pulse is a rectangle of one symbol, centred at sample (k + timing) * sps, through a Gaussian filter whose
    half-power bandwidth is `bt` times the symbol rate; None leaves the filter out, which gives CPFSK of the same index. The last
    symbol is flipped where it takes that for the phase to return to its start, as a periodic block needs. Murota & Hirade,
    IEEE Trans. Commun. 29 (1981) 1044.
    """
    closed = symbols.copy()
    closed[:, -1] *= np.where(symbols.sum(axis=-1) % 4, -1, 1)
    quarter_turns = (
        _rectangles(closed, sps, timing) if bt is None else _gaussians(closed, sps, bt, timing)
    )
    return np.exp(0.5j * np.pi * np.cumsum(quarter_turns, axis=-1))


def _gaussians(symbols: np.ndarray, sps: int, bt: float, timing: float | np.ndarray) -> np.ndarray:
    """Quarter turns from the previous sample to each one: (batch, n * sps)."""
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    gaussian = np.exp(-np.log(2) / 2 * (frequency * sps / bt) ** 2)
    # sinc(f) and half a sample of delay integrate the frequency from the previous sample to this one: the sum is then exact.
    pulse = np.sinc(frequency * sps) * gaussian * np.sinc(frequency)
    return np.fft.ifft(_impulses(symbols, sps, timing * sps + 0.5) * pulse).real


def _rectangles(symbols: np.ndarray, sps: int, timing: float | np.ndarray) -> np.ndarray:
    """As `_gaussians` without the filter, whose edges no spectrum of so few samples holds: in time, two symbols share a sample."""
    turns = np.repeat(symbols, sps, axis=-1) / sps
    delay = np.broadcast_to((timing - 0.5) * sps + 1, (len(symbols), 1))
    whole = np.floor(delay).astype(int)
    at = (np.arange(turns.shape[-1]) - whole) % turns.shape[-1]  # (batch, time)
    earlier, here = (np.take_along_axis(turns, index, axis=-1) for index in (at - 1, at))
    return here + (delay - whole) * (earlier - here)


def _impulses(symbols: np.ndarray, sps: int, delay: float | np.ndarray) -> np.ndarray:
    """Spectrum of a unit impulse times each symbol, every `sps` samples, the first at sample `delay`: (batch, n * sps)."""
    frequency = np.fft.fftfreq(symbols.shape[-1] * sps)
    return np.tile(np.fft.fft(symbols), sps) * np.exp(-2j * np.pi * frequency * delay)


def audio(length: int, *, rng: np.random.Generator) -> np.ndarray:
    """Noise in the band of speech, as an analytic signal: complex128 (length,), periodic; the real part has unit power.

    Its power falls as 1/f over `AUDIO_BAND`.
    """
    low, high = (round(edge * length) for edge in AUDIO_BAND)
    bins = np.arange(max(low, 1), high + 1)
    spectrum = np.zeros(length, complex)
    spectrum[bins] = _complex_normal(bins.size, rng=rng) / np.sqrt(bins)
    # Parseval; without negative frequencies the real part holds half of the power.
    return np.fft.ifft(spectrum) * length * np.sqrt(2 / np.sum(np.abs(spectrum) ** 2))


def analog(modulation: str, audio: np.ndarray) -> np.ndarray:
    """An analog modulation of analytic audio (batch, time) whose real part has unit power: complex128 (batch, time).

    AM-DSB sends the real part and AM-SSB (upper sideband) the analytic signal, with a carrier (WC) or without (SC). FM sends
    a constant envelope whose frequency is `FM_DEVIATION` times the real part.
    """
    if modulation == "FM":
        return np.exp(2j * np.pi * FM_DEVIATION * np.cumsum(audio.real, axis=-1))
    _, sidebands, carrier = modulation.split("-")
    message = audio if sidebands == "SSB" else audio.real + 0j
    return 1 + AM_INDEX * message if carrier == "WC" else message


def multipath_response(
    frequency: np.ndarray,
    *,
    k_factor_db: float,
    paths: int,
    delay_spread: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Frequency response of one static Rician channel: complex128, shaped like `frequency` (cycles a sample), unit mean power.

    A direct path without delay, `k_factor_db` above the power of all scattered ones together. The scattered paths are
    Rayleigh, equal in mean power, with exponentially distributed delays of standard deviation `delay_spread` samples: that
    is an exponential power delay profile of this RMS spread. Proakis & Salehi, 13.1.
    """
    scattered_power = 1 / (1 + 10 ** (k_factor_db / 10))
    gains = _complex_normal(paths, rng=rng) * np.sqrt(scattered_power / paths)
    delays = rng.exponential(delay_spread, paths)
    scattered = gains[:, None] * np.exp(
        -2j * np.pi * delays[:, None] * frequency
    )  # (paths, frequency)
    return np.sqrt(1 - scattered_power) + scattered.sum(axis=0)


def add_noise(clean: np.ndarray, snr_db: int, *, rngs: Generators) -> np.ndarray:
    """`clean` (batch, time) of unit power plus white Gaussian noise, `snr_db` below it over the whole band, at unit mean power."""
    noise_power = 10 ** (-snr_db / 10)
    noise = np.stack([_complex_normal(clean.shape[-1], rng=rng) for rng in rngs])
    return (clean + np.sqrt(noise_power) * noise) / np.sqrt(1 + noise_power)


def _complex_normal(size: int, *, rng: np.random.Generator) -> np.ndarray:
    """Circular Gaussian numbers of unit mean power: complex128 (size,)."""
    return rng.normal(scale=np.sqrt(0.5), size=2 * size).view(complex)
