"""What was found out about a file and its labels: counts, class order, and the measured SNR.

Noise is taken as white and circular. Its power is that of the band outside |f| = 0.25 cycles a
sample, where a signal of three or more samples a symbol has nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from pisces.core import shards
from pisces.core.dsp import measured_snr, to_complex
from pisces.core.modulations import LINEAR, Ask
from pisces.core.shards import Cell
from pisces.core.snr_label import DB_PER_LABEL, SnrLabel, true_snr_db
from pisces.core.texts import counted
from pisces.sources.base import Source
from pisces.sources.class_bands import class_findings
from pisces.sources.class_order import JUDGED_FROM_DB, MIN_SYMBOLS, OrderFindings
from pisces.sources.finding import Expected, Finding, findings_table
from pisces.sources.findings import findings, symbol_period
from pisces.sources.signal_statistics import measure
from pisces.sources.spectrum_findings import spectrum_table

FRAMES_MEASURED = 64
"""Frames a cell behind its measured SNR: the median of 64 is within 0.2 dB from 0 dB up."""

STEP_DB = 2
FITTED_DB = (-10, 60)
"""True SNRs that the slope is fitted over.

Below, a frame is too short to separate its noise; above, its taper leaks as much.
"""


@dataclass(frozen=True)
class Audit:
    """What was found out about a file and its labels."""

    headline: dict[str, float]
    """`slope`, `offset_db` and `contradicted`, each left out where it is unknown; `warnings`, how
    many there are."""
    details: dict[str, Any]
    """Frames and cells of the file and of what was kept, and what was checked."""
    table: pd.DataFrame
    """See `snr_table`, with `snr_label`, what the labels mean, in every row."""
    findings: pd.DataFrame
    """See `finding.findings_table`."""
    spectrum: pd.DataFrame
    """See `spectrum_findings.spectrum_table`."""
    warnings: list[str]


def snr_table(root: Path) -> pd.DataFrame:
    """Measured SNR of every linearly modulated cell of a directory of shards.

    Each is measured on the first `FRAMES_MEASURED` frames of its cell.

    Columns: `modulation`, `snr_db` (the label), `measured_snr_db` (median over frames), `low_db`
    and `high_db` (16th and 84th percentile), `floor_db` (out-of-band noise over the total power),
    `n`. NaN where noise outweighs the estimate.
    """
    columns = ["modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "floor_db", "n"]
    rows = []
    for cell in shards.cells(root):
        if cell.modulation in LINEAR:
            frames = shards.array(cell.path(root), "iq")[:FRAMES_MEASURED]
            rows.append(_snr_row(cell, frames))
    return pd.DataFrame(rows, columns=columns)


def _snr_row(cell: Cell, frames: np.ndarray) -> tuple[str, int, float, float, float, float, int]:
    snr = measured_snr(to_complex(frames))
    low, median, high = np.percentile(snr, [16, 50, 84])
    return (*cell, _db(median), _db(low), _db(high), -_db(1 + median), len(snr))


def _db(power: float) -> float:
    return float(10 * np.log10(power)) if power > 0 else np.nan


class SnrFit(NamedTuple):
    """Measured SNR over label, where the true SNR is within `FITTED_DB`."""

    slope: float  # dB for each step of 1 of the label
    offset_db: float  # median of measured minus true SNR
    tolerance: float  # how far the slope may be off: one step of the labels over their range
    snr_label: SnrLabel = "power"  # what the labels are taken for

    @property
    def error(self) -> float:
        """How far the slope is from that of the convention, 0 or more."""
        return abs(self.slope - DB_PER_LABEL[self.snr_label])

    @property
    def agrees(self) -> bool:
        """Whether the slope is that of the convention, within the tolerance."""
        return self.error <= self.tolerance


def fit_snr(table: pd.DataFrame, snr_label: SnrLabel = "power") -> SnrFit | None:
    """Straight line through measured SNR over label (`snr_table`), each cell of the same weight.

    None with fewer than two labels whose true SNR, by `snr_label`, is within `FITTED_DB`.
    """
    lowest, highest = (limit / DB_PER_LABEL[snr_label] for limit in FITTED_DB)
    fitted = table[table.snr_db.between(lowest, highest)].dropna(subset=["measured_snr_db"])
    if fitted.snr_db.nunique() < 2:
        return None
    slope = np.polyfit(fitted.snr_db.astype(float), fitted.measured_snr_db, 1)[0]
    true_db = true_snr_db(fitted.snr_db.to_numpy(), snr_label)
    offset_db = (fitted.measured_snr_db - true_db).median()
    tolerance = true_snr_db(STEP_DB, snr_label) / np.ptp(fitted.snr_db)
    return SnrFit(float(slope), float(offset_db), float(tolerance), snr_label)


class LabelMeaning(NamedTuple):
    """What the SNR labels of a file are taken for, and why."""

    snr_label: SnrLabel
    known_from: Literal["source", "params", "measured", "assumed"]
    fit: SnrFit | None  # of the convention; None where it could not be measured


class Kept(NamedTuple):
    """What a split has written."""

    frames: Mapping[Cell, int]  # of each cell
    unusable: Mapping[str, Sequence[int]]  # why frames were left out -> their rows in the source
    limit: int | None  # data.frames_per_cell

    @property
    def unusable_count(self) -> int:
        """How many frames were read and left out."""
        return sum(len(rows) for rows in self.unusable.values())


class Signal(NamedTuple):
    """What the frames show of their signal."""

    findings: list[Finding]
    spectrum: pd.DataFrame

    @property
    def ask(self) -> Ask:
        """Levels of ASK; bipolar where the frames do not tell."""
        verdicts = {finding.name: finding.verdict for finding in self.findings}
        return "unipolar" if verdicts.get("ask_carrier") == "unipolar" else "bipolar"


def examine(root: Path, expected: Expected) -> Signal:
    """Findings about the signal of a directory of shards, against what the params assume."""
    of_classes = class_findings(root)
    statistics = measure(root)
    if statistics is None:
        return Signal(of_classes, spectrum_table(None, None))
    sps = symbol_period(statistics, expected)
    found = findings(statistics, expected) + of_classes
    return Signal(found, spectrum_table(statistics, sps))


def conclude(
    source: Source, kept: Kept, table: pd.DataFrame, meaning: LabelMeaning, signal: Signal
) -> Audit:
    """The audit of a file of which some frames were kept.

    Args:
        source: the file.
        kept: how many frames of each cell were written.
        table: the `snr_table` of what was written.
        meaning: of the SNR labels.
        signal: what `examine` found in it.

    Returns:
        Headline numbers, details, tables and warnings.
    """
    fit = meaning.fit
    headline: dict[str, float] = {}
    details: dict[str, Any] = {
        "file": _counts([len(rows) for rows in source.rows.values()]),
        "kept": _counts(list(kept.frames.values())) | {"unusable_left_out": kept.unusable_count},
        "unusable_rows": {why: _places(source, rows) for why, rows in kept.unusable.items()},
        "snr_label": meaning.snr_label,
        "snr_label_known_from": meaning.known_from,
    }
    if fit is not None:
        headline |= {"slope": fit.slope, "offset_db": fit.offset_db}
        details["slope_agrees"] = fit.agrees
    if source.order is not None:
        details["class_order"] = source.order._asdict()
        if source.order.checked:
            headline["contradicted"] = len(source.order.contradicted)
    warnings = _warnings(kept, source.order, meaning)
    warnings += [finding.warning for finding in signal.findings if finding.warning]
    headline["warnings"] = len(warnings)
    table = table.assign(snr_label=meaning.snr_label)
    rows = findings_table(signal.findings)
    return Audit(headline, details, table, rows, signal.spectrum, warnings)


def _places(source: Source, rows: Sequence[int]) -> list[int] | list[str]:
    """Where a user finds the frames of these rows in the file."""
    return list(rows) if source.place is None else [source.place(row) for row in rows]


def _counts(frames_per_cell: list[int]) -> dict[str, int]:
    return {
        "frames": sum(frames_per_cell),
        "cells": len(frames_per_cell),
        "frames_per_cell_min": min(frames_per_cell),
        "frames_per_cell_max": max(frames_per_cell),
    }


def _warnings(kept: Kept, order: OrderFindings | None, meaning: LabelMeaning) -> list[str]:
    return _warnings_of_counts(kept) + _warnings_of_order(order) + _warnings_of_snr(meaning)


def _warnings_of_counts(kept: Kept) -> list[str]:
    warnings = []
    counts = kept.frames.values()
    short = sum(n < kept.limit for n in counts) if kept.limit else 0
    if short:
        warnings.append(
            f"fewer than data.frames_per_cell = {kept.limit} usable frames are in {short} of "
            f"{counted(len(counts), 'cell')}; the least is {min(counts)}"
        )
    if kept.unusable:
        kinds = [f"{len(rows)} {why}" for why, rows in sorted(kept.unusable.items())]
        warnings.append(
            f"left out {counted(kept.unusable_count, 'frame')} that cannot be normalised "
            f"({', '.join(kinds)}); data/audit.json lists their rows"
        )
    return warnings


def _warnings_of_order(order: OrderFindings | None) -> list[str]:
    if order is None:
        return []
    if not order.checked:
        return [
            f"the class order could not be checked: that takes frames of {JUDGED_FROM_DB} dB or "
            f"more, with {MIN_SYMBOLS} symbols"
        ]
    odd = order.contradicted.items()
    return [f"frames labelled {name} look unlike it: {why}" for name, why in odd]


def _warnings_of_snr(meaning: LabelMeaning) -> list[str]:
    if meaning.known_from == "assumed":
        measured = f": it rises by {meaning.fit.slope:.2f} dB for each step" if meaning.fit else ""
        return [
            "what the SNR labels mean could not be measured, and power is assumed (true SNR in "
            "dB = label): that takes two labels, linear modulations, frames that are long enough "
            "and a measured SNR that rises by 1 or 2 dB for each step of 1 of the "
            f"label{measured}; "
            "if it is wrong, set data.snr_label to amplitude (true SNR in dB = 2 x label)"
        ]
    fit = meaning.fit
    if fit is None or fit.agrees:
        return []
    return [
        f"measured SNR rises by {fit.slope:.2f} dB for each step of 1 of the label, not by "
        f"{DB_PER_LABEL[fit.snr_label]} (+-{fit.tolerance:.2f}) as labels of the convention "
        f"{fit.snr_label} do: the labels mean something else, or the signal reaches beyond "
        "|f| = 0.25 cycles a sample; see plots/audit.csv and data.snr_label"
    ]
