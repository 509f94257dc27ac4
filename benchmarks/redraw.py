"""What it costs to draw the symbols of a frame anew, beside the blind likelihood of the frame.

python -m benchmarks.redraw [--frames 64] [--repeats 3]
"""

import argparse
import time
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from benchmarks.frames import PHYSICS, SAMPLES, TEXTBOOK_RENDER
from benchmarks.timing import interleave, machine_and_date, medians
from pisces.core.modulations import DIGITAL
from pisces.evaluation import blind
from pisces.pis.regions import ring_numbers
from pisces.sources.synthesis import synthesize_cell
from pisces.truth.frames import RedrawableFrames
from pisces.truth.law import SymbolLaw
from pisces.truth.redraw import generators

RENDER = replace(TEXTBOOK_RENDER, samples=SAMPLES)
SIZE = RENDER.size
SNRS_DB = (0, 12, 24)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(machine_and_date())
    print("| SNR (dB) | task | ms a frame | of the blind likelihood |\n|---|---|---|---|")
    for snr_db in SNRS_DB:
        _measure(snr_db, options.frames, options.repeats)


def _measure(snr_db: int, count: int, repeats: int) -> None:
    """Prints the rows of one SNR."""
    physics = replace(PHYSICS, rolloff=(0.35, 0.35))
    each = -(-count // len(DIGITAL))
    parts = [synthesize_cell(name, snr_db, range(each), physics, seed=1) for name in DIGITAL]
    iq, names = np.concatenate(parts), [name for name in DIGITAL for _ in range(each)]
    law = SymbolLaw(DIGITAL, 8 * 10 ** (snr_db / 10))
    stored = torch.view_as_real(torch.from_numpy(iq))
    frames = {
        views: RedrawableFrames(stored, names, RENDER, law, views) for views in ("held", "redrawn")
    }

    rng = np.random.default_rng(1)
    free = torch.from_numpy(rng.random((len(iq), SIZE**2)) < 0.25)
    ring = torch.from_numpy(ring_numbers(np.arange(SIZE**2), SIZE, 4) == 2)[None]
    identities = [(name, snr_db, row) for row, name in enumerate(names)]
    rngs = partial(generators, 1, identities, "benchmark")
    contestants = {
        "the blind likelihood": lambda: blind.classify(iq, law.classes, RENDER, law.snr),
        "finding symbols and level": lambda: RedrawableFrames(stored, names, RENDER, law),
        "a quarter drawn anew": lambda: frames["held"].without(free, "free", rngs()),
        "a ring drawn anew": lambda: frames["held"].without(ring, "region", rngs()),
        "a ring, in the samples too": lambda: frames["redrawn"].without(ring, "region", rngs()),
    }
    seconds = medians(interleave(contestants, repeats, time.process_time))
    for task, taken in seconds.items():
        ratio = taken / seconds["the blind likelihood"]
        print(f"| {snr_db} | {task} | {1e3 * taken / len(iq):.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
