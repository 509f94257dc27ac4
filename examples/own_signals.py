"""Recordings to try `docs/guide/own_data.md` with: SigMF pairs of bursts in noise, annotated.

Two of the four classes, 2FSK and chirp, are in no RadioML file. One more recording is kept aside.

    python examples/own_signals.py recordings
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sigmf
from scipy.signal import fftconvolve

SAMPLE_RATE_HZ = 250e3
ROLLOFF = 0.3
GAP = 8_000
"""Samples of noise before each burst."""

Modulator = Callable[[int, float, np.random.Generator], np.ndarray]
"""Samples, samples a symbol, generator -> complex (samples,) of unit power."""


def psk(samples: int, sps: float, rng: np.random.Generator, order: int) -> np.ndarray:
    """Phase shift keying through a root-raised cosine."""
    symbols = np.exp(2j * np.pi * rng.integers(order, size=int(samples / sps) + 32) / order)
    oversampling = 32
    impulses = np.zeros(len(symbols) * oversampling, complex)
    impulses[::oversampling] = symbols
    shaped = fftconvolve(impulses, root_raised_cosine(oversampling), "same")

    at = (8 + np.arange(samples) / sps) * oversampling
    grid = np.arange(len(shaped))
    return np.interp(at, grid, shaped.real) + 1j * np.interp(at, grid, shaped.imag)


def root_raised_cosine(oversampling: int, symbols: int = 12) -> np.ndarray:
    """Taps with an energy of one symbol, by their response in frequency."""
    taps = 2 * symbols * oversampling
    rates = np.abs(np.fft.fftfreq(taps, 1 / oversampling))
    edge = np.clip((rates - (1 - ROLLOFF) / 2) / ROLLOFF, 0, 1)
    return np.fft.fftshift(np.fft.ifft(np.cos(np.pi / 2 * edge)).real) * oversampling


def fsk(samples: int, sps: float, rng: np.random.Generator) -> np.ndarray:
    """Two tones, one symbol rate apart, with a phase that never jumps."""
    bits = rng.choice([-0.5, 0.5], size=int(samples / sps) + 1)
    frequency = bits[(np.arange(samples) / sps).astype(int)] / sps
    return np.exp(2j * np.pi * np.cumsum(frequency))


def chirp(samples: int, sps: float, rng: np.random.Generator) -> np.ndarray:
    """Up-chirps over a band of one `sps`-th of a sample rate that begin anywhere in it, as LoRa."""
    chips = 64
    position = np.arange(samples) / sps
    begin = rng.integers(chips, size=int(samples / sps / chips) + 1)[(position / chips).astype(int)]
    frequency = ((begin + position) % chips / chips - 0.5) / sps
    return np.exp(2j * np.pi * np.cumsum(frequency))


MODULATORS: dict[str, Modulator] = {
    "QPSK": lambda samples, sps, rng: psk(samples, sps, rng, 4),
    "8PSK": lambda samples, sps, rng: psk(samples, sps, rng, 8),
    "2FSK": fsk,
    "chirp": chirp,
}


def write(
    path: Path, labels: list[str], burst: int, *, snr_db: tuple[float, float], seed: int
) -> None:
    """Writes bursts of these labels, one after the other, as a SigMF pair.

    Args:
        path: without its ending.
        labels: of the bursts.
        burst: samples of each.
        snr_db: lowest and highest, over the whole band.
        seed: of everything that is random.
    """
    rng = np.random.default_rng(seed)
    count = len(labels) * (GAP + burst) + GAP
    iq = rng.standard_normal((count, 2)) @ [1, 1j] / np.sqrt(2)

    recording = sigmf.SigMFFile(
        global_info={"core:datatype": "cf32_le", "core:sample_rate": SAMPLE_RATE_HZ}
    )
    recording.add_capture(0, {})
    for number, label in enumerate(labels):
        start = GAP + number * (GAP + burst)
        sps = rng.uniform(7, 10)
        turns = rng.uniform(-0.02, 0.02) * np.arange(burst) + rng.uniform()
        level = 10 ** (rng.uniform(*snr_db) / 20)
        signal = MODULATORS[label](burst, sps, rng) * np.exp(2j * np.pi * turns)
        iq[start : start + burst] += level * signal
        recording.add_annotation(start, burst, {"core:label": label})

    path.parent.mkdir(parents=True, exist_ok=True)
    data = path.with_suffix(".sigmf-data")
    (iq / np.abs(iq).max()).astype("<c8").tofile(data)
    recording.set_data_file(data)
    recording.tofile(path.with_suffix(".sigmf-meta"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--bursts", type=int, default=12, help="of a recording; default: 12")
    parser.add_argument("--burst", type=int, default=40_000, help="its samples; default: 40000")
    arguments = parser.parse_args()

    for number, label in enumerate(MODULATORS):
        for part in range(2):
            path = arguments.folder / "labelled" / f"{label}_{part}"
            labels = [label] * arguments.bursts
            write(path, labels, arguments.burst, snr_db=(18, 26), seed=10 * number + part)
    aside = list(MODULATORS) * 2
    write(arguments.folder / "aside", aside, arguments.burst, snr_db=(8, 14), seed=99)
    print(f"wrote {2 * len(MODULATORS)} recordings to {arguments.folder}/labelled, and one aside")


if __name__ == "__main__":
    main()
