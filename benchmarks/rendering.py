"""Rendering against the plain way and against copying the same bytes.

The plain way is histogram2d, log1p and a PNG a frame, on as many cores. The default list of views
has no plain way: on one core, it is set against the view `raw` and against the copy.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.frames import make_shards
from benchmarks.timing import interleave, machine_and_date, medians
from pisces.config.io import load_params
from pisces.core import shards
from pisces.core.shards import Cell
from pisces.inputs import rendering
from pisces.inputs.settings import Extent, RenderSettings

DEFAULT = Path("presets/default.yaml")
SIZE, EXTENT = 224, 2.5
REACH = Extent(raw=EXTENT, symbol=2.0, noise=80.0, differential=EXTENT)
RAW = RenderSettings(
    views=("raw",),
    size=SIZE,
    extent=REACH,
    sps=8,
    pulse="rrc",
    rolloff=0.35,
    carrier_offset_std=3.3e-5,
    delay=4,
)


def plain_frame(folder: Path, number: int, frame: np.ndarray) -> None:
    """The common recipe: an 8-bit PNG of the log histogram of a normalised frame.

    Args:
        folder: Where the file goes.
        number: Name of the file.
        frame: I and Q, (samples, 2), in any unit.
    """
    scaled = frame / np.sqrt(np.mean(np.sum(frame**2, axis=1)))
    image, _, _ = np.histogram2d(scaled[:, 0], scaled[:, 1], SIZE, [[-EXTENT, EXTENT]] * 2)
    image = np.log1p(image)
    Image.fromarray((255 * image / image.max()).astype(np.uint8)).save(folder / f"{number}.png")


def plain_share(root: Path, folder: Path, frames: int, share: tuple[int, int]) -> None:
    """One process's share of the frames of the first cell, by the common recipe.

    Args:
        root: Folder of IQ shards.
        folder: Where the files go.
        frames: How many frames all processes take together.
        share: Number of this process, from 0, and how many there are.
    """
    iq = shards.array(shards.cells(root)[0].path(root), "iq")
    for number in range(share[0], frames, share[1]):
        plain_frame(folder, number, iq[number])


def on_one_core(
    source: Path, target: Path, copy: Callable[[], None], repeats: int
) -> dict[str, float]:
    """Seconds of one core for the default views of the shards, for `raw` alone, and for a copy.

    Args:
        source: Folder of IQ shards.
        target: Folder to render into.
        copy: Copies the shards.
        repeats: Rounds of which the median counts.

    Returns:
        Name -> seconds of the processor.
    """
    views = load_params(DEFAULT).render.to(RenderSettings)
    raw = replace(views, views=("raw",))
    contestants = {
        "views": lambda: rendering.render(source, target, views),
        "raw": lambda: rendering.render(source, target, raw),
        "copy": copy,
    }
    cores = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = medians(interleave(contestants, repeats, time.process_time))
    torch.set_num_threads(cores)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--frames", type=int, default=4096, help="frames a cell, of 8 cells (default 4096: 268 MB)"
    )
    parser.add_argument("--plain-frames", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    cells = [Cell(m, s) for m in ("BPSK", "QPSK", "64QAM", "128APSK") for s in (0, 20)]
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary, ProcessPoolExecutor(cores) as pool:
        root = Path(temporary)
        source = root / "source"
        make_shards(source, cells, arguments.frames)

        def plain() -> None:
            (root / "png").mkdir(exist_ok=True)
            share = partial(plain_share, source, root / "png", arguments.plain_frames)
            list(pool.map(share, [(core, cores) for core in range(cores)]))

        def copy() -> None:
            shutil.rmtree(root / "copied", ignore_errors=True)
            for cell in cells:
                target = cell.path(root / "copied")
                target.parent.mkdir(parents=True, exist_ok=True)
                with cell.path(source).open("rb") as reader, target.open("wb") as writer:
                    shutil.copyfileobj(reader, writer, 1 << 20)

        contestants = {
            "render": lambda: rendering.render(source, root / "out", RAW),
            "copy": copy,
            "plain": plain,
        }
        seconds = medians(interleave(contestants, arguments.repeats))
        of_core = on_one_core(source, root / "out", copy, arguments.repeats)
    total = len(cells) * arguments.frames
    rates = {
        "render": total / seconds["render"],
        "copy": total / seconds["copy"],
        "plain": arguments.plain_frames / seconds["plain"],
    }
    print(machine_and_date())
    for name, rate in rates.items():
        print(f"{name:<7}{rate:10.0f} frames/s")
    print(f"render / plain = {rates['render'] / rates['plain']:.0f} (at least 100)")
    print(f"render / copy  = {rates['render'] / rates['copy']:.2f} (at least 0.5)")

    core_rates = {name: total / one for name, one in of_core.items()}
    print("\ndefault views, seconds of one core")
    for name, rate in core_rates.items():
        print(f"{name:<7}{rate:10.0f} frames/s")
    print(f"views / raw  = {core_rates['views'] / core_rates['raw']:.3f}")
    print(f"views / copy = {core_rates['views'] / core_rates['copy']:.3f}")


if __name__ == "__main__":
    main()
