"""How long the model behind the page takes to answer a stroke of the brush, of a finished run."""

import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.timing import machine_and_date
from pisces.config.io import load_params
from pisces.explorer import live
from pisces.explorer.live import Question

FRAMES = Path("data/explorer.npz")
STROKES = 200
PIXELS = 20
"""Taken by each stroke beyond those of the one before, at most."""


def main() -> None:
    params = load_params()
    how = {"fill": params.pis.fill, "precision": params.train.precision}
    model, _ = live.load(Path("models"), Path("data"), FRAMES, how, params.base.seed)
    with np.load(FRAMES) as arrays:
        frame = tuple(arrays["frame"][-1].tolist())
        lit = arrays["lit"][-arrays["lit_per_frame"][-1] :].tolist()

    processor, wall = [], []
    for stroke in range(STROKES):
        question = Question(frame, tuple(lit[: PIXELS * stroke % len(lit)]))
        began = time.perf_counter(), time.process_time()
        model.answer(question)
        wall.append(1000 * (time.perf_counter() - began[0]))
        processor.append(1000 * (time.process_time() - began[1]))
    middle, most = statistics.median(processor), statistics.quantiles(processor, n=20)[-1]
    print(f"{STROKES} strokes: median {middle:.1f} ms of processor time, 95 % below {most:.1f} ms")
    print(f"as the clock has it: median {statistics.median(wall):.1f} ms")
    print(machine_and_date())


if __name__ == "__main__":
    main()
