"""RadioML-like frames of all modulations, with SNR labels that are true.

They are written in the layout of RML2018.01A or RML2016.10a. Every signal is first one period of a
periodic block, longer than the frame by `GUARD_SYMBOLS` at each end. On such a block a filter is a
product of spectra, so that pulse shapes, fractional timing and multipath are exact: nothing is
truncated or interpolated. The frame is the middle of the block, whose two ends are then unrelated.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from pisces.core import files, seeding, shards
from pisces.core.modulations import ANALOG, MODULATIONS, RML2016, TWINS, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.sources import rml2016
from pisces.sources.modulators import analog, audio, complex_normal, gmsk, shape_symbols
from pisces.sources.settings import SynthesisSettings

GUARD_SYMBOLS = 16
SAMPLES_AT_ONCE = 2**18
"""Of all frames that are made together, which bounds the memory."""

Generators = Sequence[np.random.Generator]
"""One for each frame of a batch."""
Channel = Callable[..., np.ndarray]
"""Of frequencies in cycles a sample and a keyword `rng`: the frequency response of a channel."""


def synthesize_file(path: Path, params: SynthesisSettings, seed: int) -> int:
    """Writes frames of every modulation in the layout of `params.format`, whole or not at all.

    Args:
        path: of the file.
        params: what is generated.
        seed: of all randomness.

    Returns:
        The number of frames.

    Raises:
        OSError: when `path` cannot be written.
    """
    write = _write_hdf5 if params.format == "hdf5" else _write_pickle
    return write(path, params, seed)


def _write_hdf5(path: Path, params: SynthesisSettings, seed: int) -> int:
    """As RML2018.01A, with rows modulation by modulation and within each SNR by SNR.

    - `X` float32 (n, samples, 2): I, Q.
    - `Y` int64 (n, 24): the one-hot modulation.
    - `Z` int64 (n, 1): the SNR in dB.

    All are contiguous, so that they read fast.
    """
    total = len(MODULATIONS) * len(params.snrs_db) * params.frames_per_cell
    layout = {
        "X": ((total, params.samples, 2), np.float32),
        "Y": ((total, len(MODULATIONS)), np.int64),
        "Z": ((total, 1), np.int64),
    }
    one_hot = np.eye(len(MODULATIONS), dtype=np.int64)

    row = 0
    with files.staged(path) as temporary:
        file = shards.create(temporary, layout, {})
        for cell, x in _batches(MODULATIONS, params, seed):
            y = np.tile(one_hot[MODULATIONS.index(cell.modulation)], (len(x), 1))
            z = np.full((len(x), 1), cell.snr_db)
            shards.write(file, row, {"X": x, "Y": y, "Z": z})
            row += len(x)
    return total


def _write_pickle(path: Path, params: SynthesisSettings, seed: int) -> int:
    """As RML2016.10a (see pisces/sources/rml2016.py), but with labels that are true.

    Here they are the SNR over the whole band, there they are not.
    """
    cells: dict[Cell, list[np.ndarray]] = {}
    for cell, frames in _batches(RML2016, params, seed):
        rows = frames.transpose(0, 2, 1)  # (n, samples, 2) -> (n, 2, samples)
        cells.setdefault(cell, []).append(rows)

    rml2016.write(path, {cell: np.concatenate(parts) for cell, parts in cells.items()})
    return len(cells) * params.frames_per_cell


def _batches(
    modulations: Sequence[str], params: SynthesisSettings, seed: int
) -> Iterator[tuple[Cell, np.ndarray]]:
    """Frames float32 (n, samples, 2) cell by cell, in batches that bound the memory."""
    channel = None
    if params.multipath:
        channel = partial(multipath_response, **asdict(params.multipath))
    synthesize = partial(
        synthesize_cell,
        seed=seed,
        samples=params.samples,
        sps=params.sps,
        rolloff=params.rolloff,
        carrier_offset_std=params.carrier_offset_std,
        gmsk_bt=params.gmsk_bt,
        channel=channel,
    )

    batch = max(1, SAMPLES_AT_ONCE // params.samples)
    cells = [Cell(*names) for names in product(modulations, params.snrs_db)]
    for cell in progress(cells, "synthesize"):
        for first in range(0, params.frames_per_cell, batch):
            last = min(first + batch, params.frames_per_cell)
            iq = synthesize(*cell, range(first, last))
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
    """Received frames of one modulation at one SNR.

    A frame depends on (modulation, snr_db, its number in the cell) and not on which others are
    made, so that more SNRs or more frames leave the old ones as they were.

    Args:
        modulation: one of `core.modulations.MODULATIONS`.
        snr_db: over the whole band.
        frames: their numbers in the cell.
        seed: of all randomness.
        samples: of each frame.
        sps: samples a symbol, even.
        rolloff: range of the uniform roll-off, above 0 to 1.
        carrier_offset_std: of the normal carrier offset, cycles a sample.
        gmsk_bt: half-power bandwidth of GMSK's filter over the symbol rate.
        channel: a `Channel`; None for none.

    Returns:
        complex64 (len(frames), samples), of mean power near 1.
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
    """Frames before noise, one for each generator. The carrier's phase is uniform.

    Args:
        modulation: one of `core.modulations.MODULATIONS`.
        rngs: one for each frame.
        samples, sps, rolloff, carrier_offset_std, gmsk_bt, channel: see `synthesize_cell`.

    Returns:
        complex128 (batch, samples), each frame of exactly unit power.
    """
    # Even, so that GMSK and its like can close their phase.
    n_symbols = 2 * (-(-samples // (2 * sps)) + GUARD_SYMBOLS)
    block = _baseband(modulation, rngs, n_symbols, sps=sps, rolloff=rolloff, gmsk_bt=gmsk_bt)

    if channel is not None:
        frequency = np.fft.fftfreq(block.shape[-1])
        responses = np.stack([channel(frequency, rng=rng) for rng in rngs])
        block = np.fft.ifft(np.fft.fft(block) * responses)

    start = (block.shape[-1] - samples) // 2
    middle = block[:, start : start + samples]  # (batch, block) -> (batch, samples)

    phase = _draw(rngs, lambda rng: rng.random())
    offset = carrier_offset_std * _draw(rngs, lambda rng: rng.normal())
    turns = phase + offset * np.arange(samples)
    iq = middle * np.exp(2j * np.pi * turns)

    power = np.mean(np.abs(iq) ** 2, axis=-1, keepdims=True)
    return iq / np.sqrt(power)


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
        message = np.stack([audio(n_symbols * sps, rng=rng) for rng in rngs])
        return analog(modulation, message)

    timing = _draw(rngs, lambda rng: rng.random())
    if modulation in ("GMSK", "GFSK", "CPFSK"):
        signs = np.stack([rng.choice((-1.0, 1.0), n_symbols) for rng in rngs])
        bt = None if modulation == "CPFSK" else gmsk_bt
        return gmsk(signs, sps=sps, bt=bt, timing=timing)

    points = constellation(modulation)
    symbols = np.stack([rng.choice(points, n_symbols) for rng in rngs])
    rolloffs = _draw(rngs, lambda rng: rng.uniform(*rolloff))
    shape = partial(shape_symbols, sps=sps, rolloff=rolloffs)
    if modulation == "OQPSK":
        i = shape(symbols.real, timing=timing)
        q = shape(symbols.imag, timing=timing + 0.5)
        return i + 1j * q
    return shape(symbols, timing=timing)


def _draw(rngs: Generators, draw: Callable[[np.random.Generator], float]) -> np.ndarray:
    """One number a frame, as a column (batch, 1) that broadcasts over time."""
    return np.array([[draw(rng)] for rng in rngs])


def multipath_response(
    frequency: np.ndarray,
    *,
    k_factor_db: float,
    paths: int,
    delay_spread: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Frequency response of one static Rician channel (Proakis & Salehi, 13.1).

    The direct path has no delay. The scattered paths are Rayleigh, equal in mean power, with
    exponentially distributed delays: that is an exponential power delay profile.

    Args:
        frequency: cycles a sample.
        k_factor_db: power of the direct path over that of all scattered ones together.
        paths: how many scattered ones.
        delay_spread: standard deviation of their delays in samples, the RMS spread.
        rng: draws gains and delays.

    Returns:
        complex128, shaped like `frequency`, of unit mean power.
    """
    scattered_power = 1 / (1 + 10 ** (k_factor_db / 10))
    gains = complex_normal(paths, rng=rng) * np.sqrt(scattered_power / paths)
    delays = rng.exponential(delay_spread, paths)

    rotation = -2j * np.pi * delays[:, None]
    scattered = gains[:, None] * np.exp(rotation * frequency)  # (paths, frequency)
    return np.sqrt(1 - scattered_power) + scattered.sum(axis=0)


def add_noise(clean: np.ndarray, snr_db: int, *, rngs: Generators) -> np.ndarray:
    """Frames plus white Gaussian noise, scaled to unit mean power.

    Args:
        clean: complex128 (batch, time) of unit power.
        snr_db: power of `clean` over that of the noise in the whole band.
        rngs: one for each frame.

    Returns:
        complex128 (batch, time).
    """
    noise_power = 10 ** (-snr_db / 10)
    noise = np.stack([complex_normal(clean.shape[-1], rng=rng) for rng in rngs])
    return (clean + np.sqrt(noise_power) * noise) / np.sqrt(1 + noise_power)
