"""RadioML-like frames of all modulations, whose SNR labels mean what the settings say.

They are written in the layout of RML2018.01A or RML2016.10a. Every signal is first one period of a
periodic block, longer than the frame by `chain.GUARD_SYMBOLS` at each end. On such a block a filter
is a product of spectra, so that pulse shapes, fractional timing and multipath are exact: nothing is
truncated or interpolated. The frame is the middle of the block, whose two ends are then unrelated.
`chain` says what happens to it on its way.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np

from pisces.core import files, seeding, shards
from pisces.core.apsk import RINGS
from pisces.core.modulations import ANALOG, MODULATIONS, RML2016, TWINS, constellation
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.core.snr_label import true_snr_db
from pisces.sources import chain, rml2016
from pisces.sources.chain import Generators, draw
from pisces.sources.modulators import analog, audio, gmsk, shape_pulses
from pisces.sources.settings import Physics, SynthesisSettings

SAMPLES_AT_ONCE = 2**18
"""Of all frames that are made together, which bounds the memory."""


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
    - `Z` int64 (n, 1): the label of the SNR.

    All are contiguous, so that they read fast.
    """
    total = len(MODULATIONS) * len(params.snrs_db) * params.frames_per_cell
    layout = {
        "X": ((total, params.samples, 2), np.float32),
        "Y": ((total, len(MODULATIONS)), np.int64),
        "Z": ((total, 1), np.int64),
    }
    one_hot = np.eye(len(MODULATIONS), dtype=np.int64)

    size = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in layout.values())
    row = 0
    with files.staged(path, size) as temporary:
        file = shards.create(temporary, layout, {})
        for cell, x in _batches(MODULATIONS, params, seed):
            y = np.tile(one_hot[MODULATIONS.index(cell.modulation)], (len(x), 1))
            z = np.full((len(x), 1), cell.snr_db)
            shards.write(file, row, {"X": x, "Y": y, "Z": z})
            row += len(x)
    return total


def _write_pickle(path: Path, params: SynthesisSettings, seed: int) -> int:
    """As RML2016.10a, see pisces/sources/rml2016.py."""
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
    batch = max(1, SAMPLES_AT_ONCE // params.samples)
    cells = [Cell(*names) for names in product(modulations, params.snrs_db)]
    for cell in progress(cells, "synthesize"):
        for first in range(0, params.frames_per_cell, batch):
            last = min(first + batch, params.frames_per_cell)
            iq = synthesize_cell(*cell, range(first, last), params, seed=seed)
            yield cell, iq.view(np.float32).reshape(len(iq), params.samples, 2)


def synthesize_cell(
    modulation: str, snr_db: int, frames: range, physics: Physics, *, seed: int
) -> np.ndarray:
    """Received frames of one modulation at one label of the SNR.

    A frame depends on (modulation, snr_db, its number in the cell) and not on which others are
    made, so that more SNRs or more frames leave the old ones as they were.

    Args:
        modulation: one of `core.modulations.NAMES`.
        snr_db: the label; `physics.snr_label` says what it means.
        frames: their numbers in the cell.
        physics: what they are made of.
        seed: of all randomness.

    Returns:
        complex64 (len(frames), physics.samples), of mean power near 1.
    """
    rngs = [seeding.generator(seed, "synthesize", modulation, snr_db, frame) for frame in frames]
    clean = clean_frames(modulation, rngs, physics)
    true_db = true_snr_db(snr_db, physics.snr_label)
    noisy = chain.disturbed(clean, true_db, physics, rngs)
    return chain.received(noisy, physics, rngs).astype(np.complex64)


def clean_frames(modulation: str, rngs: Generators, physics: Physics) -> np.ndarray:
    """Frames before interference and noise, one for each generator.

    Args:
        modulation: one of `core.modulations.NAMES`.
        rngs: one for each frame.
        physics: what they are made of.

    Returns:
        complex128 (batch, samples), each frame of exactly unit power. Where a low-pass follows,
        longer by `chain.margin` at each end.
    """
    block = _baseband(modulation, rngs, physics)
    block = chain.transmitted(block, physics, rngs)
    block = chain.propagated(block, physics, rngs)
    iq = chain.sampled(block, physics, rngs)  # (batch, block) -> (batch, samples)
    return chain.carried(iq, physics, rngs)


def _baseband(modulation: str, rngs: Generators, physics: Physics) -> np.ndarray:
    """Periodic blocks without carrier, channel and noise: complex128 (batch, symbols * sps)."""
    modulation = TWINS.get(modulation, modulation)
    n_symbols, sps = chain.block_symbols(physics), physics.sps
    if modulation in ANALOG:
        message = np.stack([audio(n_symbols * sps, rng=rng) for rng in rngs])
        return analog(modulation, message)

    timing = draw(rngs, lambda rng: rng.random())
    if modulation in ("GMSK", "GFSK", "CPFSK"):
        signs = np.stack([rng.choice((-1.0, 1.0), n_symbols) for rng in rngs])
        bt = None if modulation == "CPFSK" else physics.gmsk_bt
        return gmsk(signs, sps=sps, bt=bt, timing=timing)

    symbols = np.stack([rng.choice(_points(modulation, physics, rng), n_symbols) for rng in rngs])
    shape = partial(shape_pulses, sps=sps, response=chain.pulse(physics, rngs))
    if modulation == "OQPSK":
        i = shape(symbols.real, timing=timing)
        q = shape(symbols.imag, timing=timing + 0.5)
        return i + 1j * q
    return shape(symbols, timing=timing)


def _points(modulation: str, physics: Physics, rng: np.random.Generator) -> np.ndarray:
    """The constellation of one frame; where several code rates are named it draws one."""
    if modulation not in RINGS:
        return constellation(modulation, physics.ask)
    rates = physics.apsk_rates[modulation]
    at = rng.integers(len(rates)) if len(rates) > 1 else 0
    return constellation(modulation, rate=rates[at])
