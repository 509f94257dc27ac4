"""What each list of views is worth: trains with each over seeds, and writes docs/results/views.md.

    python -m benchmarks.views [--seeds 1 2 3] [--frames 32] [raw raw,symbol ...]

Each seed has frames, split and start of its own, the same for all lists. Each list is drawn twice:
at 64 pixels a view, and at a size at which all its views together have about the pixels of one view
of 64, so that a list is not better for being larger.
"""

import argparse
import math
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks import worlds
from benchmarks.experiments import table, write_between
from benchmarks.timing import machine_and_date
from pisces.data import splitting
from pisces.inputs import rendering
from pisces.inputs.base import CONSTELLATIONS, IQ_SHARDS
from pisces.inputs.settings import RenderSettings
from pisces.sources import sharding, synthesis
from pisces.sources.settings import Selection, SynthesisSettings

PRESET, PAGE = "benchmark", Path("docs/results/views.md")
START, END = "<!-- made by benchmarks.views -->\n", "<!-- end -->\n"
LISTS = (
    "symbol,noise",
    "raw",
    "symbol",
    "raw,symbol",
    "raw,noise",
    "raw,symbol,noise",
    "raw,symbol,noise,differential",
)
REFERENCE = LISTS[0]
"""The default list, from which differences are counted."""
SIZE = 64
HIGH, TEST = 22, 16
"""Labels that count as high, and test frames of each cell."""
TASKS = ("modulation", "snr", "joint", f"joint from {HIGH}")


def equal_budget(views: int) -> int:
    """Even size at which so many views have about the pixels of one of `SIZE`.

    >>> [equal_budget(views) for views in (1, 2, 3, 4)]
    [64, 46, 36, 32]
    """
    return 2 * round(SIZE / math.sqrt(views) / 2)


def make_frames(root: Path, of_each: int, seed: int) -> None:
    """Frames of the preset as shards below `root`."""
    params = worlds.params_of(PRESET, None, of_each, {})
    file = root / "frames.hdf5"
    synthesis.synthesize_file(file, params.synthesize.to(SynthesisSettings), seed)
    sharding.split(replace(params.data.to(Selection), path=str(file)), root / IQ_SHARDS)
    file.unlink()


def accuracies(iq: Path, views: str, size: int, frames: int, seed: int) -> dict[str, float]:
    """Accuracies in percent of a model of a list of views.

    Args:
        iq: root of the shards of `make_frames`.
        views: names with commas between them.
        size: pixels along an edge of each.
        frames: training frames of each cell.
        seed: of the split and of the training.

    Returns:
        Task of `TASKS` -> accuracy over the test frames.
    """
    of_each = frames + worlds.VALIDATION + TEST
    changes = {"render.views": views.split(","), "render.size": size}
    params = worlds.params_of(PRESET, None, of_each, changes)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        render = params.render.to(RenderSettings)
        rendering.render(iq / IQ_SHARDS, root / CONSTELLATIONS, render)
        parts = splitting.split(root / CONSTELLATIONS, (frames, worlds.VALIDATION, TEST), seed)
        trained = worlds.train(root, params, parts, seed)
        row = worlds.accuracies(trained, root, parts["test"], HIGH)
    return {task: row[task] for task in TASKS}


def interval(values: np.ndarray) -> tuple[float, float]:
    """Mean over seeds, and half of the 95 % interval by Student's t."""
    if len(values) < 2:
        return float(values.mean()), math.nan
    spread = values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(stats.t.ppf(0.975, len(values) - 1) * spread)


def described(views: str, size: int, rows: np.ndarray, reference: np.ndarray) -> dict[str, str]:
    """The row of a list in the table.

    Args:
        views: the list.
        size: pixels along an edge of each view.
        rows: accuracies (seeds, tasks) in percent.
        reference: those of `REFERENCE` at the same kind of size.

    Returns:
        Column -> text; means, and of joint accuracy the difference to the reference, paired by
        seed, with its interval.
    """
    row = {"views": views.replace(",", " + "), "size": str(size)}
    row |= {task: f"{one:.1f}" for task, one in zip(TASKS, rows.mean(0), strict=True)}
    mean, half = interval(rows[:, 2] - reference[:, 2])
    is_reference = views == REFERENCE
    row["joint, less the default's"] = "" if is_reference else f"{mean:+.1f} ± {half:.1f}"
    return row


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lists", nargs="*", default=LISTS, help="views with commas between them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--frames", type=int, default=32, help="training frames of each cell")
    options = parser.parse_args()
    lists = dict.fromkeys([REFERENCE, *options.lists])
    sizes = {"each view": lambda _: SIZE, "all views together": equal_budget}

    found: dict[tuple[str, int], list[list[float]]] = {}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            make_frames(Path(folder), options.frames + worlds.VALIDATION + TEST, seed)
            for views in lists:
                for size in sorted({of(len(views.split(","))) for of in sizes.values()}):
                    row = accuracies(Path(folder), views, size, options.frames, seed)
                    found.setdefault((views, size), []).append(list(row.values()))
                    print(f"seed {seed}, {views}, {size} px: {row}", flush=True)

    made = f"Made by `python -m benchmarks.views` on {machine_and_date()}; accuracies in percent, "
    made += f"{len(options.seeds)} seeds, {options.frames} training frames a class.\n"
    for title, size_of in sizes.items():
        rows = []
        for views in lists:
            size, reference = size_of(views.count(",") + 1), size_of(REFERENCE.count(",") + 1)
            of_list, of_reference = found[views, size], found[REFERENCE, reference]
            rows.append(described(views, size, np.array(of_list), np.array(of_reference)))
        made += f"\nThe same pixels for {title}:\n\n{table(rows)}"
    write_between(PAGE, START, END, made)
    print(made)


if __name__ == "__main__":
    main()
