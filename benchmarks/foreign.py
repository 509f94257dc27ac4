"""Frames that no model of digital modulations should know, and known ones of another radio.

Each set is frames float32 (n, samples, 2), I then Q, and their labels, int64 (n,).
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks import worlds
from pisces.config import presets
from pisces.core.modulations import DIGITAL, MODULATIONS
from pisces.core.snr_label import SnrLabel, label_of, true_snr_db
from pisces.sources import synthesis
from pisces.sources.modulators import complex_normal
from pisces.sources.settings import SynthesisSettings

SAMPLES, SPS = 1024, 8
BEYOND_DB = 30
"""Of the true SNR, beyond the highest."""


class Frames(NamedTuple):
    """A set of frames."""

    frames: np.ndarray
    """float32 (n, samples, 2)."""
    labels: np.ndarray
    """int64 (n,)."""


Clean = Callable[[int, np.random.Generator], np.ndarray]
"""So many clean frames of unit power: complex128 (n, samples)."""


class World(NamedTuple):
    """What the model was trained on."""

    preset: str
    labels: tuple[int, ...]
    snr_label: SnrLabel

    def true_snrs_db(self, labels: np.ndarray) -> np.ndarray:
        """SNRs in dB of labels (n,)."""
        return true_snr_db(labels, self.snr_label)


def world_of(preset: str, labels: tuple[int, ...]) -> World:
    """That of a preset, with other labels."""
    convention = worlds.params_of(preset, labels, 8, {}).synthesize.snr_label
    return World(preset, labels, convention)


def physics(world: World, preset: str | None = None, **changes: Any) -> SynthesisSettings:
    """What frames are made of, whose labels mean what they mean in the world of the model.

    Args:
        world: of the model.
        preset: of another radio; None for the model's own.
        changes: of `synthesize`; impairments join those of the preset.

    Returns:
        The settings.
    """
    preset = preset or world.preset
    changed = {f"synthesize.{name}": value for name, value in changes.items()}
    changed["synthesize.snr_label"] = world.snr_label
    if "impairments" in changes:
        own = presets.overlay(preset).get("synthesize", {}).get("impairments") or {}
        changed["synthesize.impairments"] = own | changes["impairments"]
    if "sps" in changes:
        changed["render.sps"] = changes["sps"]
    return worlds.params_of(preset, world.labels, 8, changed).synthesize.to(SynthesisSettings)


def generated(
    modulations: tuple[str, ...],
    labels: tuple[int, ...],
    of_each: int,
    made_of: SynthesisSettings,
    seed: int,
) -> Frames:
    """Frames of modulations that the project generates.

    Args:
        modulations: names.
        labels: of the SNR.
        of_each: frames of each (modulation, SNR).
        made_of: their physics.
        seed: of all randomness.

    Returns:
        The frames, modulation by modulation.
    """
    parts, found = [], []
    for modulation in modulations:
        for label in labels:
            cell = synthesis.synthesize_cell(modulation, label, range(of_each), made_of, seed=seed)
            parts.append(as_real(cell))
            found += [label] * of_each
    return Frames(np.concatenate(parts), np.array(found))


def as_real(iq: np.ndarray) -> np.ndarray:
    """float32 (n, samples, 2) of complex (n, samples)."""
    return iq.astype(np.complex64).view(np.float32).reshape(*iq.shape, 2)


def noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """White noise of unit power, complex128 (count, SAMPLES)."""
    return complex_normal(count * SAMPLES, rng=rng).reshape(count, SAMPLES)


def with_noise(clean: Clean, world: World, of_each: int, rng: np.random.Generator) -> Frames:
    """Frames of each label, with white noise.

    Args:
        clean: makes them.
        world: of the labels.
        of_each: frames of each label.
        rng: of all randomness.

    Returns:
        The frames, label by label.
    """
    parts = []
    for label in world.labels:
        signal = clean(of_each, rng)
        signal = signal / np.sqrt(np.mean(np.abs(signal) ** 2, 1, keepdims=True))
        amplitude = 10 ** (-true_snr_db(label, world.snr_label) / 20)
        parts.append(as_real(signal + amplitude * noise(of_each, rng)))
    return Frames(np.concatenate(parts), np.repeat(world.labels, of_each))


def fsk(index: float, order: int = 2) -> Clean:
    """Frequency shift keying of continuous phase.

    Args:
        index: of modulation: between neighbouring tones, in symbol rates.
        order: tones.

    Returns:
        What makes such frames.
    """

    def make(count: int, rng: np.random.Generator) -> np.ndarray:
        symbols = 2 * rng.integers(order, size=(count, SAMPLES // SPS + 1)) - (order - 1)
        frequency = np.repeat(symbols, SPS, 1) * index / 2 / SPS  # cycles a sample
        start = rng.integers(SPS)
        phase = np.cumsum(frequency, 1)[:, start : start + SAMPLES] + rng.random((count, 1))
        return np.exp(2j * np.pi * phase)

    return make


def ofdm(used: int, carriers: int, prefix: int) -> Clean:
    """Frames of QPSK on `used` of so many carriers, with a cyclic prefix, both in samples."""

    def make(count: int, rng: np.random.Generator) -> np.ndarray:
        blocks = SAMPLES // (carriers + prefix) + 2
        spectrum = np.zeros((count, blocks, carriers), complex)
        tones = [*range(1, used // 2 + 1), *range(carriers - used // 2, carriers)]
        spectrum[..., tones] = rng.choice((1, 1j, -1, -1j), (count, blocks, len(tones)))
        block = np.fft.ifft(spectrum)
        stream = np.concatenate([block[..., -prefix:], block], 2).reshape(count, -1)
        start = rng.integers(carriers + prefix)
        return stream[:, start : start + SAMPLES]

    return make


def tone(count: int, rng: np.random.Generator) -> np.ndarray:
    """One carrier, at up to 0.05 cycles a sample: complex128 (count, SAMPLES)."""
    phase = rng.uniform(-0.05, 0.05, (count, 1)) * np.arange(SAMPLES) + rng.random((count, 1))
    return np.exp(2j * np.pi * phase)


MADE_HERE: dict[str, Clean] = {
    "2-FSK, index 0.7": fsk(0.7),
    "2-FSK, index 1": fsk(1),
    "2-FSK, index 2": fsk(2),
    "4-FSK, index 1": fsk(1, 4),
    "OFDM, 16 of 128 carriers": ofdm(16, 128, 16),
    "OFDM, 16 of 64 carriers": ofdm(16, 64, 16),
    "OFDM, 52 of 64 carriers": ofdm(52, 64, 16),
    "a tone": tone,
}
UNKNOWN_PHYSICS: dict[str, dict[str, Any]] = {
    "echo of 0.9 a symbol late": {
        "impairments": {"echo": {"amplitude": [0.9, 0.9], "delay": [1, 1]}}
    },
    "Rayleigh, spread of a symbol": {
        "multipath": {"k_factor_db": -20, "paths": 4, "delay_spread": 8.0}
    },
    "4 samples a symbol": {"sps": 4},
    "10 samples a symbol": {"sps": 10},
    "16 samples a symbol": {"sps": 16},
}


def _impaired(**impairments: Any) -> dict[str, Any]:
    return {"impairments": impairments}


KNOWN_PHYSICS: dict[str, tuple[str | None, Mapping[str, Any]]] = {
    "the same, other frames": (None, {}),
    "physical: bipolar ASK, no impairment": ("physical", {}),
    "twin: pulse of RML2018.01A, unipolar ASK": ("twin", {}),
    "echo of 0.1 at half a symbol": (
        None,
        _impaired(echo={"amplitude": [0.1, 0.1], "delay": [0.5, 0.5]}),
    ),
    "echo of 0.2 at half a symbol": (
        None,
        _impaired(echo={"amplitude": [0.2, 0.2], "delay": [0.5, 0.5]}),
    ),
    "echo of 0.36 at half a symbol": (
        None,
        _impaired(echo={"amplitude": [0.36, 0.36], "delay": [0.5, 0.5]}),
    ),
    "Rician multipath, K = 10 dB": (
        None,
        {"multipath": {"k_factor_db": 10, "paths": 4, "delay_spread": 2.0}},
    ),
    "IQ imbalance of 1 dB, 5 degrees": (
        None,
        _impaired(iq_imbalance={"gain_db": [1, 1], "phase_deg": [5, 5]}),
    ),
    "DC at -20 dB": (None, _impaired(dc_offset_db=[-20, -20])),
    "phase noise of 1e-5": (None, _impaired(phase_noise=[1e-5, 1e-5])),
    "phase noise of 1e-4": (None, _impaired(phase_noise=[1e-4, 1e-4])),
    "amplifier, backoff 3 dB": (
        None,
        _impaired(amplifier={"smoothness": [2, 2], "backoff_db": [3, 3]}),
    ),
    "clock off by 1000 ppm": (None, {"clock_offset_ppm": 1000}),
    "carrier offset of 3e-4": (None, {"carrier_offset_std": 3e-4}),
    "adjacent channel at -20 dB": (
        None,
        _impaired(adjacent={"level_db": [-20, -20], "offset": [1.5, 1.5]}),
    ),
    "co-channel at -15 dB": (
        None,
        _impaired(cochannel={"level_db": [-15, -15], "offset": [-0.1, 0.1]}),
    ),
}
"""Title -> preset, None for the model's own, and changes: known modulations, received otherwise."""


def unknown_sets(world: World, of_each: int, seed: int) -> dict[str, Frames]:
    """Title -> frames of what the model was not trained on.

    Args:
        world: of the model.
        of_each: frames of each label; a few of each (modulation, SNR) where many are in a set.
        seed: of all randomness.

    Returns:
        The sets.
    """
    rng = np.random.default_rng(seed)
    labels = world.labels
    few = max(1, of_each // 8)
    plain = physics(world)
    sets = {
        name: generated((name,), labels, of_each, plain, seed)
        for name in (*(one for one in MODULATIONS if one not in DIGITAL), "CPFSK")
    }
    sets["MSK"] = sets.pop("CPFSK")
    sets |= {name: with_noise(make, world, of_each, rng) for name, make in MADE_HERE.items()}

    alone = as_real(noise(of_each * len(labels), rng))
    sets["noise alone"] = Frames(alone, np.full(len(alone), max(labels)))
    beyond = max(labels) + round(label_of(BEYOND_DB, world.snr_label))
    sets["30 dB beyond the highest SNR"] = generated(DIGITAL, (beyond,), 2 * few, plain, seed)
    for name, changes in UNKNOWN_PHYSICS.items():
        sets[name] = generated(DIGITAL, labels, few, physics(world, **changes), seed)
    return sets


def known_sets(world: World, of_each: int, seed: int) -> dict[str, Frames]:
    """Title -> frames of known modulations from other radios; arguments as `unknown_sets`."""
    few = max(1, of_each // 8)
    return {
        title: generated(DIGITAL, world.labels, few, physics(world, preset, **changes), seed)
        for title, (preset, changes) in KNOWN_PHYSICS.items()
    }
