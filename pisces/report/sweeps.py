"""Pictures of a sweep: values by trial, epochs and pruning, importance, choices, settings."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pisces.core.texts import counted
from pisces.report.captions import describe
from pisces.report.style import (
    ALWAYS,
    CAPTION,
    COLUMN,
    CONDITIONAL,
    ESTIMATE,
    TRIAL_COLOURS,
    ZERO_LINE,
    Mark,
    Style,
    handles,
    legend_below,
    spread,
)

FINISHED, PRUNED, FAILED = (
    Mark("Finished", TRIAL_COLOURS["finished"], "o"),
    Mark("Pruned, at its last epoch", TRIAL_COLOURS["pruned"], "x"),
    Mark("Failed", TRIAL_COLOURS["failed"], "v"),
)
UNDER_WAY = Mark("Running or waiting", "0.55", "D")
MARK_OF = {"finished": FINISHED, "pruned": PRUNED, "failed": FAILED}
"""State of a trial -> its mark; any other is under way."""
COLUMNS = 2
"""Panels beside each other."""
MOST_TICKS = 6
NOT_SAMPLED = -0.08
"""Place of a param that a trial has not."""
Ticks = list[tuple[float, str]]
ROW = 0.55
"""Inches of a param."""
TITLE_PAD = 11
"""Points between a panel and its title, for the numbers of trials."""
ROOM = 16
"""Characters below a panel."""
LONGEST = 20
"""Characters of a choice on an axis."""


def pictures(
    tables: Mapping[str, pd.DataFrame], metric: str, epoch_metric: str, maximize: bool
) -> dict[str, Figure]:
    """Every picture that there is something to draw for.

    Args:
        tables: of a report, by name.
        metric: what was sought.
        epoch_metric: what trials reported of each epoch.
        maximize: whether a higher metric is better.

    Returns:
        Name -> figure.
    """
    found = {"history": history(tables["trials"], metric, maximize)}
    if not tables["epochs"].empty:
        found["epochs"] = epochs(tables["epochs"], tables["trials"], epoch_metric)
    if not tables["importance"].empty:
        found["importance"] = importance(tables["importance"])
    if not tables["marginals"].empty:
        found["marginals"] = marginals(tables["marginals"], metric)
        keys = list(dict.fromkeys(tables["marginals"]["param"]))
        found["parallel"] = parallel(tables["trials"], keys, metric)
    return found


def history(trials: pd.DataFrame, metric: str, maximize: bool) -> Figure:
    """The value of each trial in the order of their numbers, with the best so far.

    Args:
        trials: with the columns `trial`, `state` and `value`.
        metric: what was sought.
        maximize: whether a higher value is better.
    """
    figure = Figure((COLUMN, 2.8))
    axes = figure.subplots()
    finished = trials[trials["state"] == "finished"].sort_values("trial")
    best = finished["value"].cummax() if maximize else finished["value"].cummin()
    axes.plot(finished["trial"], finished["value"], ls="", marker="o", ms=4, color=FINISHED.colour)
    axes.step(finished["trial"], best, where="post", color="0.25", lw=1)

    # Near the axis, since they have no value.
    marks = trials["state"].map(_mark_of)
    without_value = [PRUNED, FAILED, UNDER_WAY]
    for mark in without_value:
        others = trials.loc[[one == mark for one in marks], "trial"]
        style: Style = {"ls": "", "marker": mark.marker, "ms": 4, "color": mark.colour}
        along_axis = axes.get_xaxis_transform()
        axes.plot(others, np.full(len(others), 0.03), transform=along_axis, **style)
    axes.margins(y=0.12)
    axes.set(xlabel="Trial")
    _name_values(axes, metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    best_line = Mark("Best so far", "0.25", "")
    there = [mark for mark in without_value if mark in set(marks)]
    named = [PRUNED._replace(label="Pruned") if mark == PRUNED else mark for mark in there]
    legend_below(
        figure, [*handles([FINISHED], ""), *handles([best_line]), *handles(named, "")], columns=2
    )
    counts = trials["state"].value_counts()
    came_of = ", ".join(f"{count} {state}" for state, count in counts.items())
    describe(figure, f"Value of each trial in the order in which they began: {came_of}")
    return figure


def epochs(rows: pd.DataFrame, trials: pd.DataFrame, epoch_metric: str) -> Figure:
    """What each trial reported of each epoch, and where it was pruned.

    Args:
        rows: with the columns `trial`, `epoch` and `value`.
        trials: with the columns `trial` and `state`.
        epoch_metric: what was reported.
    """
    figure = Figure((COLUMN, 3.0))
    axes = figure.subplots()
    states = trials.set_index("trial")["state"]
    shown: dict[Mark, None] = {}
    for trial, of_trial in rows.groupby("trial"):
        mark = _mark_of(states[trial])
        shown[mark._replace(marker="") if mark == FINISHED else mark] = None
        axes.plot(of_trial["epoch"], of_trial["value"], color=mark.colour, lw=0.8, alpha=0.6)
        last = of_trial.iloc[-1]
        if mark != FINISHED:
            axes.plot(last["epoch"], last["value"], marker=mark.marker, ms=5, color=mark.colour)
        elif len(of_trial) == 1:
            axes.plot(last["epoch"], last["value"], marker=".", color=mark.colour)
    axes.set(xlabel="Epoch")
    _name_values(axes, epoch_metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_below(figure, handles(shown), columns=2)
    count = counted(rows["trial"].nunique(), "trial")
    describe(figure, f"What {count} reported of each epoch, a line each")
    return figure


def _mark_of(state: str) -> Mark:
    return MARK_OF.get(state, UNDER_WAY)


def _name_values(axes: Axes, metric: str) -> None:
    """The label of the axis of values, of which a full key may be long."""
    axes.set_ylabel(metric, fontsize=CAPTION)


def importance(rows: pd.DataFrame) -> Figure:
    """The share of the variance that each param explains, with the range of the forests.

    Args:
        rows: the columns of `importances`.
    """
    figure = Figure((COLUMN, 1.3 + 0.27 * len(rows)))
    axes = figure.subplots()
    shares = 100 * rows[["importance", "low", "high"]]
    places = np.arange(len(rows))[::-1]
    colours = [CONDITIONAL if one else ALWAYS for one in rows["conditional"]]
    axes.barh(places, shares["importance"], color=colours, height=0.65, alpha=0.8)
    reach = spread(shares["importance"], shares["low"], shares["high"])
    axes.errorbar(
        shares["importance"], places, xerr=reach, ls="", color="0.25", elinewidth=1, capsize=2
    )
    labels = [f"{row.param}\n(n = {row.trials})" for row in rows.itertuples()]
    axes.set_yticks(places, labels, fontsize=CAPTION)
    axes.set(xlim=(0, None))
    axes.set_xlabel("Importance (% of the variance, fANOVA)", fontsize=CAPTION)
    some = "Orange: params that only some trials have, among those"
    describe(
        figure,
        "Share of the variance of the values that each param explains by itself",
        "Bars: mean of the forests, lines: their range; n: finished trials",
        some if any(rows["conditional"]) else "",
    )
    return figure


def marginals(rows: pd.DataFrame, metric: str) -> Figure:
    """The mean value of each choice of each param, with its interval.

    Args:
        rows: the columns of `sweep_report.marginals`.
        metric: what was sought.
    """
    keys = list(dict.fromkeys(rows["param"]))
    lines = -(-len(keys) // COLUMNS)
    figure = Figure((COLUMN, 1.1 + 1.7 * lines))
    panels = figure.subplots(lines, COLUMNS, sharey=True, squeeze=False)
    for axes in panels.flat[len(keys) :]:
        axes.set_axis_off()
    for axes, key in zip(panels.flat, keys, strict=False):
        _panel(axes, key, rows[rows["param"] == key])
    figure.supylabel(metric, fontsize=CAPTION)  # once: it is longer than a panel is high
    panels[0, 0].set_ylim(_limits(rows))
    describe(
        figure,
        f"Mean {metric} of the finished trials of each choice, whose number stands above its panel",
        "Bars: 95 % intervals, Student's t over trials; none for a single trial, and those of two "
        "may leave the panel",
        "*: only some trials have the param" if any(rows["conditional"]) else "",
    )
    return figure


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """The least and greatest value that is shown: all means, and intervals of three trials on.

    With some room, which is small where all values are one.
    """
    known = rows[rows["trials"] > 2]
    ends = pd.concat([rows["mean"], known["low"], known["high"]]).dropna()
    low, high = float(ends.min()), float(ends.max())
    room = 0.15 * (high - low) or 0.02 * abs(high) or 1.0
    return low - room, high + room


def _panel(axes: Axes, key: str, rows: pd.DataFrame) -> None:
    """The choices of one param."""
    places = np.arange(len(rows))
    reach = spread(rows["mean"], rows["low"], rows["high"])
    reach = np.nan_to_num(reach)
    axes.errorbar(
        places, rows["mean"], reach, ls="", marker="o", ms=4, elinewidth=1, color=ESTIMATE
    )
    for place, count in enumerate(rows["trials"]):
        _write_above(axes, place, f"{count}")
    labels = [_short(choice) for choice in rows["choice"]]
    is_crowded = max(map(len, labels)) * len(labels) > ROOM
    turned: Style = {"rotation": 30, "ha": "right"} if is_crowded else {}
    axes.set_xticks(places, labels, fontsize=CAPTION, **turned)
    axes.tick_params(axis="y", labelsize=CAPTION)
    axes.set_xlim(-0.5, len(rows) - 0.5)
    star = "*" if rows["conditional"].any() else ""
    axes.set_title(f"{key}{star}", fontsize=CAPTION, pad=TITLE_PAD)


def _write_above(axes: Axes, place: float, text: str) -> None:
    """Words above a panel, where no interval reaches."""
    style: Style = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
    style |= {"fontsize": CAPTION, "color": "0.35", "annotation_clip": False}
    axes.annotate(text, (place, 1), (0, 2), xycoords=("data", "axes fraction"), **style)


def _short(choice: str) -> str:
    return choice if len(choice) <= LONGEST else f"{choice[: LONGEST - 3]}..."


def parallel(trials: pd.DataFrame, keys: Sequence[str], metric: str) -> Figure:
    """The settings of each finished trial as a line over one axis a param, coloured by its value.

    Args:
        trials: with the columns `state`, `value` and those of the params.
        keys: of the params.
        metric: what was sought.
    """
    finished = trials[trials["state"] == "finished"].sort_values("value")
    figure = Figure((COLUMN, 1.2 + ROW * len(keys)))
    axes = figure.subplots()
    columns = [_places(finished[key]) for key in keys]
    across = np.stack([one for one, _ in columns], axis=1)  # (trials, params)

    values = finished["value"].to_numpy(float)
    norm = Normalize(values.min(), values.max())
    viridis = matplotlib.colormaps["viridis"]
    rows = np.arange(len(keys))
    for line, value in zip(across, values, strict=True):
        axes.plot(line, rows, color=viridis(norm(value)), lw=0.9, marker=".", ms=4)
    for row, (_, ticks) in enumerate(columns):
        axes.axhline(row, **ZERO_LINE)
        for place, label in ticks:
            _write_below(axes, (place, row), label)
    axes.set_yticks(rows, [key.replace(".", ".\n", 1) for key in keys], fontsize=CAPTION)
    axes.set_xticks([])
    axes.set_ylim(len(keys) - 0.4, -0.3)  # the first on top
    axes.set_xlim(NOT_SAMPLED - 0.05, 1.05)
    axes.spines[:].set_visible(False)
    if values.min() < values.max():
        scale = figure.colorbar(
            matplotlib.cm.ScalarMappable(norm, viridis), ax=axes, location="bottom", pad=0.01
        )
        scale.set_label(metric, fontsize=CAPTION)
        scale.ax.tick_params(labelsize=CAPTION)
    else:
        axes.set_xlabel(f"{metric} = {values[0]:.4g} of each", fontsize=CAPTION)
    describe(
        figure,
        f"Settings of {counted(len(finished), 'finished trial')}, a line each, by its {metric}",
        "At the left edge: not sampled" if (across == NOT_SAMPLED).any() else "",
    )
    return figure


def _write_below(axes: Axes, place: tuple[float, float], label: str) -> None:
    """The label of a tick, below its axis and above all lines."""
    axes.annotate(
        _short(label),
        place,
        xytext=(0, -3),
        textcoords="offset points",
        fontsize=CAPTION,
        ha="center",
        va="top",
        zorder=5,
        bbox={"boxstyle": "square,pad=0.15", "fc": "white", "ec": "none"},
    )


def _places(values: pd.Series) -> tuple[np.ndarray, Ticks]:
    """Where values stand on an axis from 0 to 1, left of it where there are none.

    Args:
        values: (trials,), numbers or texts.

    Returns:
        Places (trials,), and place and label of each tick.
    """
    known = values.dropna()
    is_number = pd.api.types.is_numeric_dtype(known) and not pd.api.types.is_bool_dtype(known)
    if is_number and known.nunique() > MOST_TICKS:
        heights, ticks = _along_range(known.astype(float))
    else:
        labels = known.map(_label)
        in_order = list(
            dict.fromkeys(labels[known.sort_values(key=None if is_number else _texts).index])
        )
        ends = (0.05, 0.95) if len(in_order) > 1 else (0.5, 0.5)
        places = np.linspace(*ends, len(in_order))
        ticks = [(float(place), label) for place, label in zip(places, in_order, strict=True)]
        heights = labels.map({label: place for place, label in ticks})
    return heights.reindex(values.index).fillna(NOT_SAMPLED).astype(float).to_numpy(), ticks


def _label(value: object) -> str:
    """A choice as the tables write it."""
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)


def _texts(values: pd.Series) -> pd.Series:
    return values.map(str)


def _along_range(values: pd.Series) -> tuple[pd.Series, Ticks]:
    """Heights of numbers, by their logarithm where they span more than a decade, and four ticks."""
    low, high = float(values.min()), float(values.max())
    is_log = low > 0 and high / low > 10
    shown = np.geomspace(low, high, 4) if is_log else np.linspace(low, high, 4)
    scaled = np.log(values / low) / np.log(high / low) if is_log else (values - low) / (high - low)
    ticks = [(0.05 + 0.3 * place, f"{one:.2g}") for place, one in enumerate(shown)]
    return 0.05 + 0.9 * scaled, ticks
