"""What ranking pixels by an attribution costs, against sorting all of them, dark ones too.

python -m benchmarks.order [--frames 64] [--size 224] [--repeats 5]
"""

import argparse
import time

import numpy as np
import torch

from benchmarks.timing import interleave, machine_and_date, medians
from pisces.attribution import faithfulness
from pisces.core.seeding import generator

VIEWS, POINTS = 2, 1024


def sort_all(scores: np.ndarray, counts: np.ndarray, ties: np.ndarray) -> np.ndarray:
    """The same order, of all pixels: the lit ones first, by falling score."""
    return np.lexsort((ties, -scores, counts == 0))


def make_counts(frames: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Points in each pixel, float32 (frames, pixels of all views), of Gaussian clouds."""
    counts = np.zeros((frames, VIEWS, size * size), np.float32)
    for of_view in counts.reshape(frames * VIEWS, -1):
        column, row = rng.normal(size / 2, size / 8, (2, POINTS)).astype(int).clip(0, size - 1)
        np.add.at(of_view, row * size + column, 1)
    return counts.reshape(frames, -1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=64)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)

    rng = generator(1, "benchmark order")
    counts = make_counts(options.frames, options.size, rng)
    scores, ties = rng.normal(size=counts.shape), rng.random(counts.shape)
    contestants = {
        "lit pixels": lambda: faithfulness.order(scores, counts, ties),
        "all pixels": lambda: sort_all(scores, counts, ties),
    }
    seconds = medians(interleave(contestants, options.repeats, time.process_time))

    what = f"{options.frames} frames of {VIEWS} views of {options.size} px"
    times = seconds["all pixels"] / seconds["lit pixels"]
    print(machine_and_date())
    print(f"{what}: {seconds['lit pixels']:.4f} s of CPU to rank the lit pixels")
    print(f"{times:.1f} times as fast as sorting all of them (asked: 25)")


if __name__ == "__main__":
    main()
