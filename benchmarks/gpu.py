"""All that needs a GPU, in at most 8 minutes; writes docs/results/gpu.json.

    python -m benchmarks.gpu [--repeats 3]

It runs the tests marked `cuda`, and measures the speed of training, the share of the input path in
it, what PIS costs, and memory.

Each model is trained as `benchmarks.training` does it: from shards (`read`), on images that already
lie on the GPU (`resident`) and, at 224 pixels, on what 12 processes read of PNG files (`png`).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from lightning_fabric import Fabric

from benchmarks import pis
from benchmarks.timing import interleave, machine_and_date, medians
from benchmarks.training import PNG_SIZE, make_data, png_loader, rates, report
from pisces import models
from pisces.config.io import load_params
from pisces.core.files import write_json
from pisces.inputs.drawing import DrawingProber
from pisces.models import Architecture
from pisces.pis import masks, score
from pisces.training import devices
from pisces.training.augmentation import Augmentation

PAGE = Path("docs/results/gpu.json")
TEST_PROCESSES = 6
DEFAULT_MODEL, BATCH, FRAMES = "pixel_set", 128, 16384
AT_224, FRAMES_AT_224, WORKERS = ("resnet18", "resnet50", "swin_tiny"), 4096, 12
PIS_MODELS, PIS_FRAMES_PER_CELL = ("pixel_set", "resnet18"), 256


def run_tests() -> dict[str, Any]:
    """How many of the tests marked `cuda` passed, and which failed, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "found.xml"
        command = [sys.executable, "-m", "pytest", "-m", "cuda", "tests", f"--junitxml={found}"]
        processes = ["--numprocesses", str(TEST_PROCESSES), "--tb", "short"]
        done = subprocess.run([*command, *processes], capture_output=True, text=True, check=False)
        print(done.stdout[-8000:], flush=True)
        cases = list(ElementTree.parse(found).iter("testcase"))

    wrong = [case for case in cases if case.find("failure") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "passed": len(cases) - len(wrong) - len(skipped),
        "skipped": len(skipped),
        "failed": [case.get("name") for case in wrong],
    }


def time_training(
    model: str,
    views: tuple[str, ...],
    size: int,
    frames: int,
    fabric: Fabric,
    *,
    png: bool,
    symmetry: bool,
    repeats: int,
) -> dict[str, float]:
    """Speed and memory of the training of one model.

    Args:
        model: architecture.
        views: channels of the images.
        size: pixels along an edge of them.
        frames: of a pass.
        fabric: device and precision.
        png: whether a loop over PNG files is timed as well.
        symmetry: whether frames are turned and mirrored, as by default.
        repeats: rounds of which the median counts.

    Returns:
        Frames a second of each contestant, the share of the input path in percent of a step, and
        the peak of the GPU's memory in GiB.
    """
    torch.cuda.reset_peak_memory_stats()
    with tempfile.TemporaryDirectory() as folder:
        data = make_data(Path(folder), views, size, frames, 0)
        pngs = None
        if png:
            loading = {"batch_size": BATCH, "num_workers": WORKERS, "pin_memory": True}
            pngs = png_loader(data, Path(folder) / "png", **loading)
        data = data._replace(augmentation=Augmentation(symmetry=symmetry))
        found = report(f"{model}, {size} px", rates(data, model, BATCH, fabric, pngs, repeats))

    found = {f"{name}_frames_per_second": round(rate, 1) for name, rate in found.items()}
    read, resident = found["read_frames_per_second"], found["resident_frames_per_second"]
    found["input_share_percent"] = round(100 * (1 - read / resident), 2)
    found["peak_memory_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return found


def time_all_training(fabric: Fabric, repeats: int) -> dict[str, dict[str, float]]:
    """What is trained, in words -> its speed and memory, see `time_training`."""
    found = {}
    render = load_params().render
    views, size = tuple(render.views), render.size
    for symmetry in (False, True):
        name = f"{DEFAULT_MODEL}, {len(views)} views, {size} px{', symmetry' if symmetry else ''}"
        found[name] = time_training(
            DEFAULT_MODEL,
            views,
            size,
            FRAMES,
            fabric,
            png=False,
            symmetry=symmetry,
            repeats=repeats,
        )
    for model in AT_224:
        found[f"{model}, raw, {PNG_SIZE} px"] = time_training(
            model,
            ("raw",),
            PNG_SIZE,
            FRAMES_AT_224,
            fabric,
            png=True,
            symmetry=False,
            repeats=repeats,
        )
    return found


def time_pis(model_name: str, repeats: int) -> dict[str, float]:
    """The passes of PIS over bare passes of the same model, and what it took.

    Args:
        model_name: of the images of `benchmarks.pis`.
        repeats: rounds of which the median counts.

    Returns:
        Seconds of PIS and of as many bare passes as it has lists, their ratio, and lists.
    """
    device = torch.device("cuda")
    with tempfile.TemporaryDirectory() as folder:
        data = pis.make(Path(folder), PIS_FRAMES_PER_CELL, pis.SIZE)
        plan = pis.plan_of(data, pis.EVERYTHING)
        bins = torch.from_numpy(data.bins(plan.frame)).to(device)
        images = pis.DRAWING.tensors(bins)

        architecture = Architecture(model_name, "plain", "standard")
        model = models.build(architecture, (1, pis.SIZE, pis.SIZE), *pis.CLASSES).eval()
        model = model.to(device, memory_format=torch.channels_last)

        lists = len(plan.masks) * len(masks.KINDS) + 1
        prober = DrawingProber(pis.DRAWING, data)
        contestants = {
            "pis": lambda: score.measure(model, prober, data, plan, device),
            "bare": lambda: [pis.predict(model, images) for _ in range(lists)],
        }
        seconds = medians(interleave(contestants, repeats))
    return {
        "pis_seconds": round(seconds["pis"], 3),
        "bare_seconds": round(seconds["bare"], 3),
        "passes_a_mask": round(seconds["pis"] / seconds["bare"], 2),
        "lists": lists,
        "frames": len(plan.frame),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=PAGE)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        parser.error("there is no CUDA GPU, or its driver is too old for this build of torch")

    start = time.perf_counter()
    fabric = devices.make_fabric("cuda", "auto")
    precision = fabric.strategy.precision.precision
    made = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}, {machine_and_date()}"
    print(f"{made}, {precision}", flush=True)
    result: dict[str, Any] = {"machine": made, "precision": precision, "tests": run_tests()}

    result["training"] = time_all_training(fabric, options.repeats)
    result["pis"] = {model: time_pis(model, options.repeats) for model in PIS_MODELS}
    result["seconds"] = round(time.perf_counter() - start)

    write_json(options.out, result)
    print(f"wrote {options.out} after {result['seconds']} s")


if __name__ == "__main__":
    main()
