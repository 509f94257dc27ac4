"""Whether training ends with metrics wherever the published sweeps crashed: their grid, on a step
or two of tiny data.

The sweeps of github.com/shamoons/modulation-explainability lost 133 of 168 runs. Its report on one
of them (sweep_4yfw48ad_analysis.md) has these backbones and heads, and blames memory, high rates
and weights that were not pretrained. Of the 800 runs of the whole product, these are 160: every
combination of head, rate, start and batch size once, so spread over the backbones that each meets
every combination of head, rate and start. As there, precision is mixed. Memory is limited, so that
large batches have to be split into micro-batches. "Pretrained" is a file of torchvision's random
weights: that tests the way by which weights come in, not what they are worth.
"""

import argparse
import ctypes
import itertools
import math
import resource
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from lightning_fabric import Fabric

from benchmarks.timing import machine_and_date
from benchmarks.training import make_data
from pisces.config.io import load_params
from pisces.core.progress import progress
from pisces.models import BACKBONES
from pisces.training import devices, trainer
from pisces.training.frames import TrainingData
from pisces.training.settings import TrainingSettings

MODELS = ("resnet34", "resnet50", "vit_b_16", "swin_tiny", "swin_small")
HEADS = ("standard", "bottleneck_64", "bottleneck_128", "dual_layer")
RATES = (1e-6, 1e-5, 1e-4, 1e-3)
BATCH_SIZES = (64, 128, 256, 512, 1024)
SIZE, FEWEST, VALIDATION = (
    32,
    128,
    64,
)  # pixels; training frames of the small batches; validation frames
HEADER = (
    "backbone",
    "runs",
    "ended with metrics",
    "skipped steps",
    "rollbacks",
    "out-of-memory splits",
    "best joint accuracy",
)


class Run(NamedTuple):
    model: str
    snr_head: str
    lr: float
    pretrained: bool
    batch_size: int


class Outcome(NamedTuple):
    skipped_steps: int
    rollbacks: int
    splits: int
    joint_accuracy: float


def grid() -> list[Run]:
    """With five backbones and five batch sizes, a Latin square: 32 runs a backbone, and no two
    equal but for the backbone.
    """
    rest = list(itertools.product(HEADS, RATES, (False, True)))
    return [
        Run(m, *one, BATCH_SIZES[(i + j) % len(BATCH_SIZES)])
        for i, m in enumerate(MODELS)
        for j, one in enumerate(rest)
    ]


def train(run: Run, data: TrainingData, weights: Path, folder: Path, fabric: Fabric) -> Outcome:
    """One epoch of a run of the grid.

    Args:
        run: Model, head, learning rate, batch size, and whether weights come from a file.
        data: Frames to train on and to validate; as many of the first as a batch of the run has,
            `FEWEST` at the least.
        weights: The file of a pretrained model.
        folder: Where the checkpoint goes.
        fabric: Device and precision.

    Returns:
        What went wrong on the way, and the joint accuracy of the validation part, 0 to 1.

    Raises:
        Exception: whatever ends the training.
        ValueError: a metric is not finite.
    """
    frames = max(run.batch_size, FEWEST)
    data = data._replace(parts=data.parts | {"train": data.parts["train"][:frames]})
    settings = run._asdict() | {
        "pretrained": str(weights) if run.pretrained else "none",
        "epochs": 1,
        "schedule": "plateau",
    }
    config = replace(load_params().train.to(TrainingSettings), **settings)
    with tempfile.TemporaryDirectory(dir=folder) as checkpoint:
        _, history = trainer.fit(
            data, config, 1, Path(checkpoint) / "last.pt", fabric, lambda _: None
        )
    if strange := [name for name, value in history[-1].items() if not math.isfinite(value)]:
        raise ValueError(f"{', '.join(strange)} are not finite")
    row = history[-1]
    splits = round(math.log2(run.batch_size / row["micro_batch"]))
    skipped, rollbacks = int(row["skipped_steps"]), int(row["rollbacks"])
    return Outcome(skipped, rollbacks, splits, row["validation_joint_accuracy"])


def limit_memory(size: int) -> None:
    """Lets allocations fail when this process holds `size` bytes, instead of the system killing it
    later; Linux with glibc only.
    """
    m_mmap_threshold = -3
    ctypes.CDLL(None).mallopt(
        m_mmap_threshold, 1 << 20
    )  # larger blocks go back when freed: kept ones would count as held
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def table_row(model: str, runs: int, outcomes: Sequence[Outcome]) -> str:
    """A row of the table in docs/results/benchmarks.md.

    Args:
        model: Backbone.
        runs: How many were tried.
        outcomes: Those that ended with metrics.

    Returns:
        A line of Markdown, with one cell for each of `HEADER`.
    """
    skipped, rollbacks, splits, accuracies = zip(*outcomes, strict=True) if outcomes else [()] * 4
    best = f"{100 * min(accuracies):.1f} to {100 * max(accuracies):.1f} %" if outcomes else ""
    cells = (model, runs, len(outcomes), sum(skipped), sum(rollbacks), sum(splits), best)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=MODELS, choices=MODELS)
    parser.add_argument("--limit", type=int, help="runs, taken evenly from the grid")
    parser.add_argument(
        "--memory-gb", type=float, default=8.0, help="that this process may take, on a CPU"
    )
    parser.add_argument("--accelerator", default="auto", help="as train.accelerator")
    parser.add_argument("--precision", default="bf16-mixed", help="as train.precision")
    arguments = parser.parse_args()
    fabric = devices.make_fabric(arguments.accelerator, arguments.precision)
    if fabric.device.type == "cpu":
        limit_memory(int(arguments.memory_gb * 1e9))
    runs = [run for run in grid() if run.model in arguments.backbones]
    limit = min(arguments.limit or len(runs), len(runs))
    runs = [runs[i * len(runs) // limit] for i in range(limit)]
    outcomes: dict[Run, Outcome] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = make_data(folder, ("raw",), SIZE, max(BATCH_SIZES), VALIDATION)
        for run in progress(runs, "runs"):
            weights = folder / f"{run.model}.pth"
            if run.pretrained and not weights.exists():
                torch.save(BACKBONES[run.model].builder().state_dict(), weights)
            try:
                outcomes[run] = train(run, data, weights, folder, fabric)
            except Exception as error:  # the very thing that is counted here
                print(f"{run}: {type(error).__name__}: {error}", flush=True)
    print(
        f"{machine_and_date()}, on {fabric.device.type}, {arguments.precision}; "
        f"{len(outcomes)} of {len(runs)} runs ended with metrics"
    )
    print(f"| {' | '.join(HEADER)} |\n{'|---' * len(HEADER)}|")
    for model in dict.fromkeys(run.model for run in runs):
        print(
            table_row(
                model,
                sum(run.model == model for run in runs),
                [one for run, one in outcomes.items() if run.model == model],
            )
        )


if __name__ == "__main__":
    main()
