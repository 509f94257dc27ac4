"""What the PIS table costs.

Against bare forward passes, against a PNG a perturbed frame, to make its masks, and in memory.

Lists are the masks and both controls of each. Whoever has the images of all lists drawn already
pays one forward pass a frame and list,
and one a frame as it is: those are the bare passes.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from benchmarks.frames import TEXTBOOK_RENDER, make_shards
from benchmarks.timing import interleave, machine_and_date, medians
from pisces import models
from pisces.core.shards import Cell
from pisces.evaluation import inference
from pisces.inputs import rendering
from pisces.inputs.drawing import BinStore, Drawing, DrawingProber
from pisces.inputs.settings import DrawSettings
from pisces.models import Architecture
from pisces.pis import masks, score, tables
from pisces.pis.settings import MaskSettings
from pisces.pis.store import PerturbationPlan

SIZE = 32
CELLS = [Cell(m, s) for m in ("QPSK", "64QAM") for s in (0, 20)]
CLASSES = 17, tuple(range(0, 31, 5))  # of the model, whatever the frames are
RENDER = replace(TEXTBOOK_RENDER, views=("raw",), size=SIZE)
DRAWING = Drawing(
    RENDER, DrawSettings(method="log_histogram", sigma_px=1.0, decay_px=(0.5, 1.0, 2.0))
)
EVERYTHING = MaskSettings(
    views=("raw",),
    rules=("exact", "percentile"),
    masks=("top", "bottom", "random"),
    levels_percent=(1, 2, 3, 4, 5),
    curve_percent=(0.5, 10, 20, 40, 60, 80, 100),
    regions=("ring", "sector", "cluster", "window"),
    rings=4,
    sectors=8,
    core_percent=50,
    window=0.25,
    stride=0.25,
    frames_per_cell=None,
)
FIFTEEN = replace(EVERYTHING, rules=("exact",), curve_percent=(), regions=())
PLAIN_MASKS = 12


class Silent(nn.Module):
    """Predicts the same of all, in no time."""

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return tuple(
            torch.zeros(len(images), classes, device=images.device)
            for classes in (CLASSES[0], len(CLASSES[1]))
        )


def make(root: Path, frames_per_cell: int, size: int) -> BinStore:
    """Synthetic frames of `CELLS`, rendered.

    Args:
        root: Folder for the shards.
        frames_per_cell: How many frames of each modulation and SNR.
        size: Pixels along an edge of the image.

    Returns:
        The pixel numbers of all frames.
    """
    make_shards(root / "iq", CELLS, frames_per_cell)
    rendering.render(root / "iq", root / "constellations", replace(RENDER, size=size))
    return BinStore(root / "constellations")


def plan_of(data: BinStore, settings: MaskSettings) -> PerturbationPlan:
    chosen = tuple(masks.build(("raw",), settings, data.render.size))
    return PerturbationPlan(data.every_frame(), chosen, settings, 1, data.render)


def one_png_each(data: BinStore, plan: PerturbationPlan, folder: Path) -> torch.Tensor:
    """Masked frames as PNG files, written and read back one by one.

    The time in which the lists of pixels are made is counted.

    Args:
        data: Pixel numbers of the frames.
        plan: Frames, and masks of which the first `PLAIN_MASKS` are taken.
        folder: Where the files go.

    Returns:
        Images (lists, 1, size, size), float32.
    """
    counts = DRAWING.count(torch.from_numpy(data.bins(plan.frame)))
    grey = (DRAWING(counts) * (255 / np.log1p(1024))).round().to(torch.uint8).flatten(1).numpy()
    read = []
    few = plan.masks[:PLAIN_MASKS]
    for mask, (pixels, offsets) in plan.pixels(data, 0, len(grey), few).items():
        for frame, (start, stop) in enumerate(pairwise(offsets)):
            image = grey[frame].copy()
            image[pixels[start:stop]] = 0
            path = folder / f"{mask.key}_{frame}.png"
            Image.fromarray(image.reshape(SIZE, SIZE)).save(path)
            with Image.open(path) as file:
                read.append(np.asarray(file))
    return torch.from_numpy(np.stack(read))[:, None] * (np.log1p(1024) / 255)


@torch.inference_mode()
def predict(model: nn.Module, images: torch.Tensor) -> None:
    for batch in images.to(inference.device()).split(score.BATCH):
        model(batch.contiguous(memory_format=torch.channels_last))[0].argmax(1).cpu()


def time_all(root: Path, frames_per_cell: int, repeats: int, model_name: str = "resnet18") -> None:
    """Prints the times of the score beside bare inference and beside PNG files.

    Args:
        root: Folder for frames and files.
        frames_per_cell: How many frames of each modulation and SNR.
        repeats: Rounds of which the median counts.
        model_name: Architecture that predicts.
    """
    data, device = make(root, frames_per_cell, SIZE), inference.device()
    chosen, few = plan_of(data, EVERYTHING), plan_of(data, FIFTEEN)
    model = models.build(
        Architecture(model_name, "plain", "standard"), (1, SIZE, SIZE), *CLASSES
    ).eval()
    model = model.to(device, memory_format=torch.channels_last)
    images = DRAWING(
        DRAWING.count(torch.from_numpy(data.bins(chosen.frame)).to(device))
    ).contiguous(memory_format=torch.channels_last)
    lists, frames = len(chosen.masks) * len(masks.KINDS), len(chosen.frame)
    contestants = {
        "pis": lambda: score.measure(model, DrawingProber(DRAWING, data), data, chosen, device),
        "bare": lambda: [predict(model, images) for _ in range(lists + 1)],
        "pis, silent model": lambda: score.measure(
            Silent(), DrawingProber(DRAWING, data), data, chosen, device
        ),
        "PNG": lambda: one_png_each(data, few, root),
        "PNG and model": lambda: predict(model, one_png_each(data, few, root)),
    }
    seconds = medians(interleave(contestants, repeats))
    shown = []
    hook = model.register_forward_pre_hook(lambda _, given: shown.append(len(given[0])))
    score.measure(model, DrawingProber(DRAWING, data), data, chosen, device)
    hook.remove()
    passes = (lists + 1) * frames
    print(
        f"{len(chosen.masks)} masks, with their controls {lists} lists, of {frames} frames "
        f"of {SIZE} px, {model_name} on {device}"
    )
    print(
        f"pis {seconds['pis']:.2f} s, {passes} bare passes {seconds['bare']:.2f} s: "
        f"{seconds['pis'] / seconds['bare']:.2f} (at most 1.2)"
    )
    each, run = seconds["bare"] / passes, sum(shown)
    print(
        f"  of them {run} differ and are run, in {seconds['pis'] / (each * run):.2f} times "
        "what as many bare passes take"
    )
    for name, theirs, ours in (
        ("with the model", "PNG and model", "pis"),
        ("without", "PNG", "pis, silent model"),
    ):
        plain, here = seconds[theirs] / (PLAIN_MASKS * frames), seconds[ours] / passes
        print(
            f"a frame and list {name}: {1e6 * plain:.0f} us by a PNG, {1e6 * here:.1f} us here: "
            f"{plain / here:.1f} times"
        )


def time_masks(root: Path, frames_per_cell: int) -> None:
    data = make(root, frames_per_cell, 64)
    plan = plan_of(data, FIFTEEN)
    start = time.perf_counter()
    plan.write(root / "perturbations.h5")
    lists = sum(
        taken.chosen.shape[0] * taken.chosen.shape[1]
        for chunk in plan.chunks(score.BATCH)
        for taken in plan.taken(data, *chunk, plan.masks)
    )
    seconds = time.perf_counter() - start
    kilobytes = (root / "perturbations.h5").stat().st_size / 1024
    print(
        f"{len(plan.masks)} masks with controls of {len(plan.frame)} frames of 64 px, "
        f"{lists} lists made: {seconds:.2f} s (under 5); plan of {kilobytes:.0f} kB"
    )


def peak(frames_per_cell: int) -> None:
    """Prints the peak memory of measuring and of the table; in a process of its own, so that it is
    of this alone.
    """
    with tempfile.TemporaryDirectory() as temporary:
        data = make(Path(temporary), frames_per_cell, SIZE)
        chosen = plan_of(data, EVERYTHING)
        measured = score.measure(
            Silent(), DrawingProber(DRAWING, data), data, chosen, torch.device("cpu")
        )
        tables.table(measured)
        megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{len(chosen.frame)} frames, {len(chosen.masks)} masks: peak {megabytes:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--frames", type=int, default=64, help="frames a cell, of 4 cells, for the passes"
    )
    parser.add_argument("--mask-frames", type=int, default=500, help="frames a cell for the masks")
    parser.add_argument(
        "--memory-frames",
        type=int,
        default=128,
        help="frames a cell for the memory, and four times as many",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--model", default="resnet18", help="what predicts in the first part")
    arguments = parser.parse_args()
    print(machine_and_date())
    with tempfile.TemporaryDirectory() as temporary:
        time_all(Path(temporary), arguments.frames, arguments.repeats, arguments.model)
    with tempfile.TemporaryDirectory() as temporary:
        time_masks(Path(temporary), arguments.mask_frames)
    for frames in (arguments.memory_frames, 4 * arguments.memory_frames):
        subprocess.run(
            [sys.executable, "-c", f"from benchmarks.pis import peak; peak({frames})"], check=True
        )


if __name__ == "__main__":
    main()
