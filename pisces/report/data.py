"""Pictures of the data, seen before training: `audit` and `constellations`."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.snr_label import SnrLabel, convention_in, true_snr_db
from pisces.report.captions import describe
from pisces.report.families import by_family, families_of
from pisces.report.style import (
    CAPTION,
    COLUMN,
    FAMILY_MARKS,
    NAMES,
    PAGE,
    PULSE_COLOURS,
    Style,
    band,
    draw_constellation,
    name_row,
    sizes,
    snr_axis,
    snr_named,
    snr_ticks,
    spaced,
)

USUAL_SNRS_DB = (-20, 30)
"""Where the axes of an audit without any frame end."""


KNOWN_PULSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RRC 0.2": partial(rrc_response, rolloff=0.2),
    "RRC 0.5": partial(rrc_response, rolloff=0.5),
    "RML2018.01A": rml2018_response,
}
"""Legend -> amplitude response of what a spectrum is compared with: see `PULSE_COLOURS`."""

DASHES = ("--", "-.", ":")
SPECTRUM_LIMITS_DB = (-45, 5)
SPECTRUM_REACH = 1.0
"""Symbol rates on either side."""

MOST_COLUMNS, MOST_ROWS = 8, 8
"""Constellations that a page holds at a size at which their points can be seen."""


def audit(table: pd.DataFrame, spectrum: pd.DataFrame) -> Figure:
    """Measured SNR over its label, how far it is off, and the spectrum of the signal.

    Args:
        table: plots/audit.csv, `modulation, snr_db, measured_snr_db, low_db, high_db, n,
            snr_label`; a row a cell, perhaps none.
        spectrum: plots/audit_spectrum.csv, `rate, power_db, low_db, high_db`; perhaps empty.

    Returns:
        SNR, a curve a family, on the left and the mean spectrum on the right.
    """
    figure = Figure((PAGE, 3.6))
    halves = figure.add_gridspec(1, 2, width_ratios=(1.15, 1))
    rows = halves[0].subgridspec(2, 1, height_ratios=(3, 2))
    measured = figure.add_subplot(rows[0])
    error = figure.add_subplot(rows[1], sharex=measured)
    measured.tick_params(labelbottom=False)

    snrs_db = table["snr_db"]
    ends = (snrs_db.min(), snrs_db.max()) if len(table) else USUAL_SNRS_DB
    snr_label = convention_of(table)
    true_ends = [true_snr_db(end, snr_label) for end in ends]
    measured.plot(ends, true_ends, ":", color="black", zorder=3, label="Measured = true SNR")
    error.plot(ends, (0, 0), ":", color="black", zorder=3)

    for family, members in families_of(table["modulation"]).items():
        of_family = table[table["modulation"].isin(members)]
        _family_curve(measured, error, family, of_family, snr_label)

    measured.set(ylabel="SNR from the out-of-band floor (dB)")
    error.set(xlabel=snr_axis(snr_label), ylabel="Measured - true (dB)")
    if len(table):
        snr_ticks(error, snrs_db)
    measured.legend(frameon=False)
    _spectrum(figure.add_subplot(halves[1]), spectrum)
    figure.align_ylabels([measured, error])

    counted = sizes(table["n"]) if len(table) else "no"
    frames = "clear frames without a carrier" if len(spectrum) else "no clear frames"
    describe(
        figure,
        f"Left: measured SNR over its label, the median class of each family, {counted} frames a "
        "cell; shaded: 16th to 84th percentile of the widest class",
        f"Right: mean spectrum of {frames}, noise taken off; shaded: 95 % interval",
    )
    return figure


def _spectrum(axes: Axes, spectrum: pd.DataFrame) -> None:
    """The mean spectrum of a file beside those of known pulses."""
    if len(spectrum):
        rate = spectrum["rate"]
        style: Style = {"color": PULSE_COLOURS["This file"]}
        band(axes, rate, spectrum["low_db"], spectrum["high_db"], alpha=0.25, **style)
        axes.plot(rate, spectrum["power_db"], lw=1.2, zorder=3, label="This file", **style)

    rates = np.linspace(-SPECTRUM_REACH, SPECTRUM_REACH, 801)
    for (name, response), dashes in zip(KNOWN_PULSES.items(), DASHES, strict=True):
        with np.errstate(divide="ignore"):
            level_db = 20 * np.log10(np.abs(response(rates)))
        axes.plot(rates, level_db, ls=dashes, lw=1, color=PULSE_COLOURS[name], label=name)

    axes.set(
        xlabel="Frequency (symbol rates)",
        ylabel="Power spectrum over the pass band (dB)",
        xlim=(-SPECTRUM_REACH, SPECTRUM_REACH),
        ylim=SPECTRUM_LIMITS_DB,
    )
    axes.legend(frameon=False, loc="lower center")


def convention_of(table: pd.DataFrame) -> SnrLabel:
    """What the labels of an audit mean, which every row says alike."""
    names = table["snr_label"].tolist()
    return convention_in({"snr_label": names[0]}) if names else "power"


def _family_curve(
    measured: Axes, error: Axes, family: str, rows: pd.DataFrame, snr_label: SnrLabel
) -> None:
    """The median class of a family, and the widest band among its classes."""
    by_snr = rows.groupby("snr_db")
    median = by_snr["measured_snr_db"].median()
    low, high = by_snr["low_db"].min(), by_snr["high_db"].max()

    mark = FAMILY_MARKS[family]
    style: Style = {"color": mark.colour, "marker": mark.marker, "lw": 1}
    measured.plot(median.index, median, label=mark.label, **style)
    band(measured, median.index, low, high, color=mark.colour, alpha=0.15)
    true_db = true_snr_db(median.index.to_numpy(), snr_label)
    error.plot(median.index, median - true_db, **style)


def constellations(
    modulations: Sequence[str],
    snrs_db: Sequence[int],
    images: Mapping[str, np.ndarray],
    extents: Mapping[str, float],
    snr_label: SnrLabel = "power",
) -> Figure:
    """A sheet of images: modulations in columns, SNRs in rows, the views under each other.

    Of more than `MOST_COLUMNS` modulations so many are shown, spread over the families, and of more
    than `MOST_ROWS` rows the lowest and the highest SNR.

    Args:
        modulations: names of the classes.
        snrs_db: SNRs of the rows of a view, rising, in dB.
        images: view -> log(1 + points in a pixel), (modulations, SNRs, size, size).
        extents: view -> half of the width of an image, in dB for `noise` and in RMS units else.
        snr_label: what the SNR labels mean.

    Returns:
        The figure. All images of a view share one scale of brightness.
    """
    columns = [list(modulations).index(one) for one in spaced(by_family(modulations), MOST_COLUMNS)]
    kept = spaced(range(len(snrs_db)), max(2, MOST_ROWS // len(images)))
    rows = [(view, s) for view in images for s in kept]
    tile = min(1, (PAGE - NAMES) / len(columns))
    figure = Figure((max(COLUMN, NAMES + tile * len(columns)), 0.2 + tile * len(rows)))
    grid = figure.subplots(len(rows), len(columns), squeeze=False)

    for axes_row, (view, s) in zip(grid, rows, strict=True):
        brightest = images[view].max()
        for axes, image in zip(axes_row, images[view][columns, s], strict=True):
            draw_constellation(axes, image, brightest)
        name_row(axes_row[0], snr_named(f"{view}, {snrs_db[s]} dB", snr_label))
    for axes, column in zip(grid[0], columns, strict=True):
        axes.set_title(modulations[column], fontsize=CAPTION, pad=3)

    units = {view: "dB" if view == "noise" else "RMS" for view in images}
    widths = ", ".join(f"{view} {extents[view]:g} {unit}" for view, unit in units.items())
    some = f"{len(columns)} of {len(modulations)} modulations"
    describe(
        figure,
        f"One frame of each of {some} at {len(kept)} SNR labels in every view"
        if len(columns) < len(modulations)
        else f"One frame of each modulation at {len(kept)} SNR labels in every view",
        f"In-phase to the right, quadrature upwards, half width: {widths}",
        "The brighter a pixel, the more points it holds, on one scale a view",
    )
    return figure
