"""How often intervals of scores hold the truth: fills docs/results/coverage.md.

    python -m benchmarks.coverage

Frames are drawn by a law that is known, intervals are made of them, and those that hold the truth
are counted. Of a drop alone the coverage is exact: every outcome of n frames is enumerated with its
probability. The others are simulated, with a Monte Carlo standard error beside them.

- drop: of accuracy, between two predictions of the same frames. Beside the frames that a mask
  breaks there are those that it mends: a share of `MENDED`, and the least and the largest coverage
  over them stand in the table.
- bootstrap: the percentile bootstrap over frames of the same drop, with `MENDED_ONCE` mended.
- score: drop over the fraction taken, where the fractions scatter from frame to frame and the mask
  breaks the more frames the more it takes.
- excess: over a control that takes as much of each frame, and breaks frames of its own.
- excess by mass: over a control that takes as much in the mean, and another fraction of each frame.
- excess area: the area of a curve over its control's, of frames that are lost from some level on.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks.pages import table, write_between
from benchmarks.timing import machine_and_date
from pisces.core import paired
from pisces.core.progress import progress
from pisces.core.seeding import generator
from pisces.pis.intervals import excess_interval

PAGE = Path("docs/results/coverage.md")
START, END = "<!-- coverage -->\n", "<!-- end of coverage -->\n"

FRAMES = (14, 34, 119, 238, 952)
DROPS = (0.01, 0.05, 0.20)
MENDED = (0, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
MENDED_ONCE = 0.005

LEAST, MOST = 0.94, 0.965
EXPECTED_FRAMES = 6
"""Frames lost in the mean from which on an interval must not cover more than `MOST`."""

NEGLIGIBLE = 1e-9
"""Probability of outcomes that are left out at either end."""
BEFORE, CONTROL_DROP = 0.6, 0.03
MEAN_FRACTION, CONCENTRATION = 0.25, 8.0
"""Of the beta law of the fractions: their standard deviation is .14."""
LEVELS = 5
"""Of a curve, evenly apart."""
BOOTSTRAPS, RESAMPLES = 1000, 500
VALUES_AT_ONCE = 1 << 20


class Cell(NamedTuple):
    """A place of the grid."""

    n: int
    drop: float

    @property
    def must_be_sharp(self) -> bool:
        """Whether too wide an interval counts against it."""
        return self.n * self.drop >= EXPECTED_FRAMES


GRID = tuple(Cell(n, drop) for n in FRAMES for drop in DROPS)


def exact_coverage(cell: Cell, mended: float) -> float:
    """How often `paired.difference_interval` holds the drop of a cell, by enumeration."""
    broken = cell.drop + mended
    lost, gained = np.meshgrid(
        _likely(cell.n, broken), _likely(cell.n, mended), indexing="ij"
    )  # (lost, gained) each
    possible = lost + gained <= cell.n
    lost, gained = lost[possible], gained[possible]

    of_lost = binom.pmf(lost, cell.n, broken)
    of_gained = binom.pmf(gained, cell.n - lost, mended / (1 - broken))
    low, high = paired.difference_interval(lost, gained, cell.n)
    held = (low <= cell.drop) & (cell.drop <= high)
    return float((of_lost * of_gained)[held].sum())


def _likely(n: int, share: float) -> np.ndarray:
    """Numbers of frames of which a share is expected, but for the least likely."""
    first, last = binom.ppf([NEGLIGIBLE, 1 - NEGLIGIBLE], n, share)
    return np.arange(int(first), int(last) + 1)


def bootstrap_coverage(cell: Cell, repeats: int, rng: np.random.Generator) -> float:
    """How often the percentile bootstrap over frames holds the drop of a cell."""
    of_frame = [cell.drop + MENDED_ONCE, MENDED_ONCE, 1 - cell.drop - 2 * MENDED_ONCE]
    held = 0
    for lost, gained, same in rng.multinomial(cell.n, of_frame, size=repeats):
        shares = np.array([lost, gained, same]) / cell.n
        drawn = rng.multinomial(cell.n, shares, size=RESAMPLES)
        low, high = np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975]) / cell.n
        held += low <= cell.drop <= high
    return held / repeats


Interval = tuple[np.ndarray, np.ndarray]
Simulated = Callable[[Cell, int, np.random.Generator], tuple[Interval, float]]
"""A cell, how many data sets, and what draws them -> their intervals, and the truth."""


def score(cell: Cell, repeats: int, rng: np.random.Generator) -> tuple[Interval, float]:
    """PIS of a mask that breaks frames in proportion to what it takes of them."""
    fraction = _fractions(cell, repeats, rng)
    broken = (cell.drop + MENDED_ONCE) * fraction / MEAN_FRACTION
    drawn = rng.random(fraction.shape)
    change = (drawn < broken).astype(int) - (drawn > 1 - MENDED_ONCE)
    return paired.ratio_interval(change, fraction), cell.drop / MEAN_FRACTION


def excess(cell: Cell, repeats: int, rng: np.random.Generator) -> tuple[Interval, float]:
    """What a mask costs more than a control that takes as much of each frame."""
    fraction = _fractions(cell, repeats, rng)
    three = _three_predictions(cell, fraction.shape, rng)
    return excess_interval(*three, fraction, fraction), cell.drop / MEAN_FRACTION


def excess_by_mass(cell: Cell, repeats: int, rng: np.random.Generator) -> tuple[Interval, float]:
    """What a mask costs more than a control that takes as much in the mean."""
    fraction, of_control = _fractions(cell, repeats, rng), _fractions(cell, repeats, rng)
    three = _three_predictions(cell, fraction.shape, rng)
    return excess_interval(*three, fraction, of_control), cell.drop / MEAN_FRACTION


def area(cell: Cell, repeats: int, rng: np.random.Generator) -> tuple[Interval, float]:
    """An area over its control's: a frame that breaks at a level is lost from there on."""
    lost_from = rng.integers(1, LEVELS + 1, (repeats, cell.n)) / LEVELS  # share of the curve
    mean_lost = (LEVELS + 1) / 2 / LEVELS
    drawn = rng.random(lost_from.shape)
    change = (drawn < cell.drop / mean_lost + MENDED_ONCE).astype(int) - (drawn > 1 - MENDED_ONCE)
    return paired.bounded_mean_interval(change * lost_from), cell.drop


def _fractions(cell: Cell, repeats: int, rng: np.random.Generator) -> np.ndarray:
    a, b = CONCENTRATION * MEAN_FRACTION, CONCENTRATION * (1 - MEAN_FRACTION)
    return rng.beta(a, b, (repeats, cell.n))


def _three_predictions(
    cell: Cell, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right before, after the mask and after the control, 0 or 1 each.

    The control breaks a share of the frames that were right, the mask more of them and others, and
    either mends as many frames as would keep accuracy at `BEFORE` less its drop.
    """
    before = rng.random(shape) < BEFORE

    def after(drop: float) -> np.ndarray:
        broken = (drop + MENDED_ONCE) / BEFORE
        mended = MENDED_ONCE / (1 - BEFORE)
        changed = rng.random(shape) < np.where(before, broken, mended)
        return before ^ changed

    masked, control = after(CONTROL_DROP + cell.drop), after(CONTROL_DROP)
    return before.astype(np.int8), masked.astype(np.int8), control.astype(np.int8)


def simulated_coverage(
    simulated: Simulated, cell: Cell, repeats: int, rng: np.random.Generator
) -> float:
    """How often intervals hold the truth, over so many data sets."""
    step, held = max(1, VALUES_AT_ONCE // cell.n), 0
    for start in range(0, repeats, step):
        (low, high), truth = simulated(cell, min(step, repeats - start), rng)
        held += np.count_nonzero((low <= truth) & (truth <= high))
    return held / repeats


SIMULATED: dict[str, Simulated] = {
    "score": score,
    "excess": excess,
    "excess by mass": excess_by_mass,
    "excess area": area,
}


def row(cell: Cell, repeats: int, seed: int) -> dict[str, str]:
    """A line of the table: coverages in percent, and half the width of an interval in points."""
    exact = [exact_coverage(cell, mended) for mended in MENDED]
    rng = generator(seed, "bootstrap", cell.n, str(cell.drop))
    bootstrap = bootstrap_coverage(cell, min(repeats, BOOTSTRAPS), rng)

    seen = round(cell.n * cell.drop)
    low, high = paired.difference_interval(seen, 0, cell.n)
    cells = {
        "frames": str(cell.n),
        "drop, %": f"{100 * cell.drop:g}",
        "frames lost": f"{cell.n * cell.drop:.3g}" + (" *" if cell.must_be_sharp else ""),
        "± points": f"{50 * float(high - low):.1f}",
        "bootstrap": f"{100 * bootstrap:.0f}",
        "drop": f"{100 * min(exact):.1f} to {100 * max(exact):.1f}",
    }
    for name, one in SIMULATED.items():
        rng = generator(seed, name, cell.n, str(cell.drop))
        cells[name] = f"{100 * simulated_coverage(one, cell, repeats, rng):.1f}"
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10_000, help="data sets of each cell")
    parser.add_argument("--page", type=Path, default=PAGE, help="where the table goes")
    args = parser.parse_args()

    rows = [row(cell, args.repeats, seed=1) for cell in progress(GRID, "coverage")]
    error = 100 * np.sqrt(0.95 * 0.05 / args.repeats)
    of_bootstrap = 100 * np.sqrt(0.25 / min(args.repeats, BOOTSTRAPS))
    made = (
        f"{table(rows)}\n{args.repeats} data sets of each cell: a standard error of {error:.2f} "
        f"points at 95 %, and up to {of_bootstrap:.1f} of the bootstrap. {machine_and_date()}.\n"
    )
    write_between(args.page, START, END, made)
    print(made)


if __name__ == "__main__":
    main()
