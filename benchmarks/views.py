"""What each list of views is worth: trains with each over seeds, and writes docs/results/views.md.

    python -m benchmarks.views [--seeds 1 2 3] [--frames 32] [raw raw,symbol ...]

Each seed has frames, split and start of its own, the same for all lists. Each list is drawn twice:
at 64 pixels a view, and at a size at which all its views together have about the pixels of one view
of 64, so that a list is not better for being larger.
"""

import argparse
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks import worlds
from benchmarks.pages import interval, table, write_between
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
JOINT = TASKS.index("joint")

Found = dict[tuple[str, int], list[list[float]]]
"""List of views and size -> accuracies (seeds, tasks)."""


def equal_budget(views: int) -> int:
    """Even size at which so many views have about the pixels of one of `SIZE`.

    >>> [equal_budget(views) for views in (1, 2, 3, 4)]
    [64, 46, 36, 32]
    """
    return 2 * round(SIZE / math.sqrt(views) / 2)


SIZES: dict[str, Callable[[int], int]] = {
    "each view": lambda _: SIZE,
    "all views together": equal_budget,
}
"""What has the same number of pixels -> the size of so many views."""


def count_of(views: str) -> int:
    """How many views a list names."""
    return len(views.split(","))


def make_frames(root: Path, of_each: int, seed: int) -> None:
    """Makes frames of the preset.

    Args:
        root: below which their shards appear.
        of_each: frames of each cell.
        seed: of the frames.
    """
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
    difference = interval(rows[:, JOINT] - reference[:, JOINT], "+")
    row["joint, less the default's"] = "" if views == REFERENCE else difference
    return row


def measure(lists: Sequence[str], seeds: Sequence[int], frames: int) -> Found:
    """Trains with every list at both of its sizes, once a seed.

    Args:
        lists: of views.
        seeds: each with frames of its own.
        frames: training frames of each cell.

    Returns:
        Accuracies (seeds, tasks) in percent, by list and size.
    """
    found: Found = {}
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            make_frames(Path(folder), frames + worlds.VALIDATION + TEST, seed)
            for views in lists:
                for size in sorted({size_of(count_of(views)) for size_of in SIZES.values()}):
                    row = accuracies(Path(folder), views, size, frames, seed)
                    found.setdefault((views, size), []).append(list(row.values()))
                    print(f"seed {seed}, {views}, {size} px: {row}", flush=True)
    return found


def rows_of(
    lists: Sequence[str], found: Found, size_of: Callable[[int], int]
) -> list[dict[str, str]]:
    """A table of all lists.

    Args:
        lists: of views.
        found: as `measure` gives it.
        size_of: pixels along an edge, of so many views.

    Returns:
        Rows of `described`.
    """
    reference = np.array(found[REFERENCE, size_of(count_of(REFERENCE))])
    rows = []
    for views in lists:
        size = size_of(count_of(views))
        rows.append(described(views, size, np.array(found[views, size]), reference))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("lists", nargs="*", default=LISTS, help="views with commas between them")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--frames", type=int, default=32, help="training frames of each cell")
    options = parser.parse_args()
    lists = list(dict.fromkeys([REFERENCE, *options.lists]))

    found = measure(lists, options.seeds, options.frames)
    made = f"Made by `python -m benchmarks.views` on {machine_and_date()}; accuracies in percent, "
    made += f"{len(options.seeds)} seeds, {options.frames} training frames a class.\n"
    for title, size_of in SIZES.items():
        rows = rows_of(lists, found, size_of)
        made += f"\nThe same pixels for {title}:\n\n{table(rows)}"
    write_between(PAGE, START, END, made)
    print(made)


if __name__ == "__main__":
    main()
