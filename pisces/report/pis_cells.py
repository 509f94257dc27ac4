"""The heat map of Perturbation Impact Scores by modulation and SNR, grey within noise."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from pisces.core.snr_label import SnrLabel
from pisces.report.captions import describe
from pisces.report.families import by_family
from pisces.report.pis import MASKS, SIGNIFICANT, scale_end
from pisces.report.style import (
    COLUMN,
    PAGE,
    SIGNED,
    TASKS,
    Style,
    empty_picture,
    sizes,
    snr_axis,
)

ALL = "All"
"""The row of all modulations and the column of all SNRs."""

FEWEST = int(np.ceil(1 - np.log2(SIGNIFICANT)))
"""Frames that must tip one way, before an exact McNemar test can find anything."""


MOST_CELLS = 24
"""Beside each other, of all views, in the width of one column."""


class Scores(NamedTuple):
    """Tables of one run, over ever more frames a row."""

    cells: pd.DataFrame
    """plots/pis_by_cell.csv, of one level."""
    by_modulation: pd.DataFrame
    """plots/pis_by_modulation.csv."""
    by_snr: pd.DataFrame
    """plots/pis_by_snr.csv."""
    overall: pd.DataFrame
    """plots/pis.csv."""


def heatmap(
    scores: Scores, mask: str = "top", task: str = "joint", snr_label: SnrLabel = "power"
) -> Figure:
    """PIS minus that of the count control in every (modulation, SNR) cell: a panel a view.

    Beside the cells stand all SNRs of a modulation, under them all modulations of an SNR. What
    cannot be told from chance is grey: sums whose adjusted p-value is above `SIGNIFICANT`, and
    cells in which less than `FEWEST` more frames tip one way than the other.

    Args:
        scores: the tables.
        mask: top, bottom or random.
        task: modulation, snr or joint.
        snr_label: what the SNR labels mean.

    Returns:
        SNR to the right, modulations downwards, those of a family together.
    """
    label = MASKS[mask].label
    cells = scores.cells[(scores.cells["mask"] == mask) & (scores.cells["task"] == task)]
    if cells.empty:
        lacking = f"perturb.rules lacks exact, or perturb.masks {mask}"
        return empty_picture(f"{label} were not masked:\n{lacking}")

    level = cells["level_percent"].max()
    shown = Scores(cells, *(_chosen(table, mask, task, level) for table in scores[1:]))
    told = {view: _told(shown, view) for view in cells["view"].unique()}
    figure, image = _maps(told, snr_label, sizes(cells["n"]))
    if np.isfinite(np.concatenate([table.to_numpy() for table in told.values()])).any():
        figure.colorbar(image, ax=figure.axes, label=f"{TASKS[task].label} PIS over chance")
        grey = "Grey: within noise"
    else:
        grey = "All is within noise"

    counts = zip(("a cell", "a modulation", "an SNR", "in all"), shown, strict=True)
    describe(
        figure,
        f"{TASKS[task].label} perturbation impact score of the {label.lower()}, {level:g} % of "
        "the lit pixels, minus their count control",
        f"{grey}, which is p of {SIGNIFICANT} or more, Holm-adjusted, of sums, and less than "
        f"{FEWEST} more frames that tip one way, of cells",
        "Frames: " + ", ".join(f"{sizes(table['n'])} {what}" for what, table in counts),
    )
    return figure


def _chosen(table: pd.DataFrame, mask: str, task: str, level: float) -> pd.DataFrame:
    """The rows of one mask, by the exact rule."""
    of_mask = (table["rule"] == "exact") & (table["mask"] == mask)
    return table[of_mask & (table["task"] == task) & (table["level_percent"] == level)]


def _told(scores: Scores, view: str) -> pd.DataFrame:
    """Scores over chance of one view, NaN within noise: modulations and ALL by SNRs and ALL."""
    cells, by_modulation, by_snr, overall = (table[table["view"] == view] for table in scores)
    tipped = cells["excess"] * cells["fraction_lit"] * cells["n"]  # more frames lost than regained
    parts = [
        cells.assign(shown=cells["excess"].where(tipped.abs().round() >= FEWEST)),
        *(
            sums.assign(shown=sums["excess"].where(sums["p_count_holm"] < SIGNIFICANT), **place)
            for sums, place in (
                (by_modulation, {"snr_db": ALL}),
                (by_snr, {"modulation": ALL}),
                (overall, {"modulation": ALL, "snr_db": ALL}),
            )
        ),
    ]
    rows = pd.concat([part[["modulation", "snr_db", "shown"]] for part in parts])
    table = rows.pivot(index="modulation", columns="snr_db", values="shown")
    modulations, snrs_db = scores.cells["modulation"], scores.cells["snr_db"]
    return table.reindex([*by_family(modulations), ALL], columns=[*sorted(set(snrs_db)), ALL])


def _maps(
    told: dict[str, pd.DataFrame], snr_label: SnrLabel, frames: str
) -> tuple[Figure, AxesImage]:
    """A panel a view, all on one scale of colours; one that is grey says why."""
    some = next(iter(told.values()))
    width = COLUMN if len(told) * some.shape[1] <= MOST_CELLS else PAGE
    figure = Figure((width, 0.7 + 0.14 * len(some)))
    panels = figure.subplots(1, len(told), squeeze=False, sharey=True)[0]
    every = np.concatenate([table.to_numpy(dtype=float).ravel() for table in told.values()])
    norm = CenteredNorm(0, scale_end(pd.Series(every)))

    for axes, (view, table) in zip(panels, told.items(), strict=True):
        values = np.ma.masked_invalid(table.to_numpy(dtype=float))
        image = axes.imshow(values, aspect="auto", interpolation="nearest", cmap=SIGNED, norm=norm)
        axes.set_title(view)
        if values.mask.all():
            middle: Style = {"ha": "center", "va": "center", "transform": axes.transAxes}
            axes.text(0.45, 0.55, f"within noise\n{frames} a cell", **middle)
        _name_cells(axes, list(table.index), list(table.columns))
    figure.supxlabel(snr_axis(snr_label), fontsize="medium")
    return figure, image


def _name_cells(axes: Axes, modulations: Sequence[str], snrs: Sequence[int | str]) -> None:
    """Names of rows and of some columns, and lines between the cells and the sums."""
    last = len(snrs) - 1
    step = 1 + last // 4
    places = [*range(0, last - 1, step), last]
    axes.set_xticks(places, [snrs[place] for place in places])
    axes.set_yticks(range(len(modulations)), modulations)
    axes.tick_params(length=0)
    axes.axvline(last - 0.5, color="white", lw=1.5)
    axes.axhline(len(modulations) - 1.5, color="white", lw=1.5)
