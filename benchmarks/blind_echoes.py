"""What the blind reference loses in frames from which its receiver has removed an echo.

    python -m benchmarks.blind_echoes [--labels 8 16 20] [--frames 60]

Frames of the preset `physical`, and the same with an echo. The reference takes the SNR of their
symbols from the pulse alone; here it is also told less.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.config import presets
from pisces.config.io import parse_params
from pisces.config.schema import Params
from pisces.core import shards
from pisces.core.progress import progress
from pisces.core.shards import Cell
from pisces.evaluation import blind, limits, references
from pisces.inputs import views
from pisces.inputs.settings import RenderSettings
from pisces.sources.settings import SynthesisSettings
from pisces.sources.synthesis import synthesize_cell

ECHO = {"amplitude": [0.2, 0.6], "delay": [0.3, 2]}
LESS_DB = (0, 3, 6, 10)
"""By which the reference is told a lower SNR."""


class World(NamedTuple):
    """Frames of one SNR, and how they are received."""

    iq: np.ndarray
    """Complex64 (n, samples)."""
    true: np.ndarray
    """Number of the modulation, (n,)."""
    modulations: tuple[str, ...]
    receiver: RenderSettings
    snr: float
    """Linear, of a symbol after the equaliser, by the pulse alone."""


def make(params: Params, label: int, frames: int) -> World:
    """Frames of every modulation that has points, at one SNR."""
    modulations = references.recognisable(tuple(params.data.modulations))
    physics = params.synthesize.to(SynthesisSettings)
    with tempfile.TemporaryDirectory() as folder:
        parts = []
        for modulation in modulations:
            iq = synthesize_cell(modulation, label, range(frames), physics, seed=7)
            stored = {"iq": iq.view(np.float32).reshape(frames, -1, 2)}
            shards.save(Cell(modulation, label).path(Path(folder)), stored, {})
            parts.append(iq)
        render = params.render.to(RenderSettings)
        reception = limits.reception_of(Path(folder), modulations, (label,), render)
    true = np.repeat(np.arange(len(modulations)), frames)
    snr = reception.after_equalizer[label]
    iq = np.concatenate(parts).astype(np.complex64)
    return World(iq, true, modulations, reception.receiver, snr)


def lost_an_echo(world: World) -> np.ndarray:
    """Whether the receiver has removed an echo from each frame, bool (n,)."""
    iq = torch.from_numpy(world.iq)
    by_pulse = replace(world.receiver, equalizer="pulse")
    received = views.symbols_of(iq, world.receiver).points
    received_for_pulse = views.symbols_of(iq, by_pulse).points
    return (received != received_for_pulse).any(1).numpy()


def errors(world: World, at: np.ndarray, receiver: RenderSettings, less_db: float = 0) -> int:
    """How many of some frames the reference takes for another modulation."""
    snr = world.snr / 10 ** (less_db / 10)
    found = blind.classify(world.iq[at], world.modulations, receiver, snr)
    return int(np.count_nonzero(found != world.true[at]))


def row(name: str, label: int, world: World) -> dict[str, str]:
    """Of the table."""
    removed = lost_an_echo(world)
    by_pulse = replace(world.receiver, equalizer="pulse")
    told_less = {
        f"errors of these, {less} dB less": str(errors(world, removed, world.receiver, less))
        for less in LESS_DB
    }
    return {
        "frames": name,
        "SNR": f"{label} dB",
        "n": str(len(world.true)),
        "errors of others": str(errors(world, ~removed, world.receiver)),
        "echo removed": str(int(removed.sum())),
        **told_less,
        "for the pulse alone": str(errors(world, removed, by_pulse)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=int, nargs="+", default=[8, 16, 20])
    parser.add_argument("--frames", type=int, default=60, help="of each modulation and SNR")
    arguments = parser.parse_args()

    changes = presets.overlay("physical")
    with_echo = presets.merged(changes, {"synthesize": {"impairments": {"echo": ECHO}}})
    rows = []
    for name, overlay in (("clean", changes), ("with an echo", with_echo)):
        params = parse_params(presets.on_defaults(overlay), name)
        for label in progress(arguments.labels, name):
            rows.append(row(name, label, make(params, label, arguments.frames)))
    print(f"{machine_and_date()}\n\n{table(rows)}")


if __name__ == "__main__":
    main()
