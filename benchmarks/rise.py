"""What RISE costs when one pass over its masked pictures serves both heads, against two passes.

python -m benchmarks.rise [--model pixel_set] [--size 64] [--frames 16] [--repeats 5]
"""

import argparse
import time

import torch

from benchmarks.timing import interleave, machine_and_date, medians
from pisces import models
from pisces.attribution.head import Head, unaltered
from pisces.attribution.methods import Rise
from pisces.core.tasks import HEADS
from pisces.models import Architecture

VIEWS, CLASSES, SNRS_DB = 2, 24, tuple(range(-8, 11, 2))
RISE = Rise(masks=256, cells=8, keep=0.5, seed=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="pixel_set")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)

    torch.manual_seed(1)
    architecture = Architecture(options.model, "plain", "standard")
    shape = (VIEWS, options.size, options.size)
    model = models.build(architecture, shape, CLASSES, SNRS_DB).eval()
    images = torch.rand(options.frames, *shape).mul(5).sub(3).clamp_min(0)
    targets = torch.zeros(options.frames, dtype=torch.long)
    heads = [Head(model, task, unaltered) for task in HEADS]

    def together() -> list[torch.Tensor]:
        return RISE.attribute_heads(heads, images, [targets, targets], ())

    def apart() -> list[torch.Tensor]:
        return [RISE.attribute(head, images, targets, ()) for head in heads]

    assert all(map(torch.equal, together(), apart())), "the maps differ"
    seconds = medians(
        interleave({"together": together, "apart": apart}, options.repeats, time.process_time)
    )
    print(machine_and_date())
    print(f"{options.model}, {options.frames} frames of {VIEWS} views of {options.size} px:")
    print(f"one pass for both heads takes {seconds['together'] / seconds['apart']:.2f} of two")


if __name__ == "__main__":
    main()
