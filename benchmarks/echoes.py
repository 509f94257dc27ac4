"""How often the receiver takes a frame without an echo for one with an echo, class by class.

    python -m benchmarks.echoes [--frames 200]

GMSK, FM and AM are not linear modulations of the pulse, as the search for an echo takes them to be.
A frame counts where `render.equalizer: blind` changes what is received of it. Prints the table of
docs/results/robustness.md.
"""

import argparse
from dataclasses import replace

import numpy as np
import torch

from benchmarks.frames import PHYSICS
from benchmarks.pages import table
from benchmarks.timing import machine_and_date
from pisces.config.io import load_params
from pisces.core import stats
from pisces.inputs import views
from pisces.inputs.receiver.pulse import estimate_response
from pisces.inputs.settings import RenderSettings
from pisces.run import console
from pisces.sources.settings import Physics
from pisces.sources.synthesis import synthesize_cell

OTHERS = ("GMSK", "FM", "AM-DSB-SC", "AM-DSB-WC", "AM-SSB-SC", "AM-SSB-WC")
LINEAR = ("QPSK", "64QAM", "8ASK")
"""To compare with; the pulse is estimated from these."""
SNRS_DB = (0, 6, 12, 20, 30)
FOR_THE_PULSE = 200
"""Frames of each of `LINEAR` that the pulse is estimated from, at the highest SNR."""

WORLDS = {
    "root-raised cosines of roll-off 0.2 to 0.5": PHYSICS,
    "the twin of RML2018.01A": replace(PHYSICS, pulse="rml2018", ask="unipolar"),
}


def frames_of(modulation: str, snr_db: int, frames: int, physics: Physics) -> np.ndarray:
    """Complex frames (frames, samples)."""
    return synthesize_cell(modulation, snr_db, range(frames), physics, seed=2)


def changed(iq: torch.Tensor, render: RenderSettings) -> int:
    """Of how many frames complex64 (n, samples) the search for an echo changes the symbols."""
    as_sent, searched = (
        views.symbols_of(iq, replace(render, equalizer=name)).points for name in ("pulse", "blind")
    )
    return int((as_sent != searched).any(1).sum())


def row(modulation: str, physics: Physics, render: RenderSettings, frames: int) -> dict[str, str]:
    """Column -> cell: the share of frames with a false echo at each SNR, in percent."""
    cells = {"class": modulation}
    for snr_db in SNRS_DB:
        iq = torch.from_numpy(frames_of(modulation, snr_db, frames, physics)).to(torch.complex64)
        found = changed(iq, render)
        low, high = stats.wilson(found, frames)
        share = f"{100 * found / frames:.1f} ({100 * low:.1f} to {100 * high:.1f})"
        cells[f"{snr_db} dB"] = share
    return cells


def main() -> None:
    """Prints a table for each world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    defaults = load_params().render.to(RenderSettings)
    print(machine_and_date(), flush=True)

    for world, physics in WORLDS.items():
        clear = [frames_of(name, SNRS_DB[-1], FOR_THE_PULSE, physics) for name in LINEAR]
        response = estimate_response(np.concatenate(clear), physics.sps)
        render = replace(defaults, sps=physics.sps, pulse="estimated", response=response)
        rows = [row(name, physics, render, options.frames) for name in (*OTHERS, *LINEAR)]
        print(f"\n{world}\n\n{table(rows)}", flush=True)


if __name__ == "__main__":
    console.run(main)
