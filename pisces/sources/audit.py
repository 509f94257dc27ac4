"""What frames say about their own labels: whether the class order can be right, and the SNR they really have.

Frames in, findings out; `radioml.split` reads the frames. Noise is taken as white and circular, and its power from
the band outside |f| = 0.25 cycles a sample, where a signal of three or more samples a symbol has nothing.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.core import shards
from pisces.core.dsp import measured_snr, noise_power, to_complex
from pisces.core.modulations import CLASS_ORDERS, FAMILIES, LINEAR, MODULATIONS

FRAMES_MEASURED = 64
"""Frames a cell behind its measured SNR: the median of 64 is within 0.2 dB from 0 dB up."""

STEP_DB = 2
FITTED_DB = (-10, 30)
"""Labels that the slope is fitted over; below, one frame is too short to tell its noise from its power."""

REAL, COMPLEX = (0.7, np.inf), (0, 0.5)
CONSTANT, RINGED, SPREAD = (0, 1.1), (1.08, 1.35), (1.32, np.inf)
RULES: dict[str, dict[str, tuple[float, float]]] = {
    name: rule
    for names, rule in (
        (("OOK",), {"c20": REAL, "carrier": (0.3, np.inf)}),
        (("4ASK", "8ASK", "BPSK"), {"c20": REAL, "carrier": (0, 0.25)}),
        (("QPSK", "OQPSK"), {"c20": COMPLEX, "c40": (0.43, np.inf), "kurtosis": RINGED}),
        (("8PSK", "16PSK", "32PSK"), {"c20": COMPLEX, "c40": (0, 0.43), "kurtosis": RINGED}),
        (
            (*FAMILIES["APSK"], *FAMILIES["QAM"]),
            {"c20": COMPLEX, "c40": (0, 0.55), "kurtosis": SPREAD},
        ),
        (("FM", "GMSK"), {"kurtosis": CONSTANT}),
    )
    for name in names
    if name in MODULATIONS  # whose frames may be under the wrong column; RML2016.10a labels by name
}
"""Class -> feature -> range it must lie in, for the features of `features` on RRC-shaped frames without a matched filter.

Measured with GNU Radio at 8 samples a symbol and roll-off 0.35: c20 is 1 for real constellations and at most 0.25 for complex
ones; c40 is 0.7 for QPSK and OQPSK, 0.4 for 16QAM, 0.2 (its floor) for the rest; kurtosis is 1.0 for FM and GMSK, 1.2 for PSK,
1.4 to 1.5 for APSK and QAM. AM has no rule: what its baseband looks like differs from generator to generator.
"""

MIN_SYMBOLS = 24
"""Symbols a frame below which a random constellation already shows lines as strong as the rules allow."""

MOST = 0.5
"""Share of contradicted classes beyond which no known order is believed. Columns in a random order exceed it 99 times in 100; the
right order shows 0.3 with Rayleigh fading spread over half a symbol, and about 0.5 at two symbols, where shapes are gone."""


class OrderFindings(NamedTuple):
    """How many classes have a rule and frames to hold it against, and why some contradict theirs."""

    checked: int
    contradicted: dict[str, str]


def features(iq: np.ndarray) -> dict[str, float]:
    """What tells modulations apart in complex frames (n, samples): medians over the frames, corrected for noise.

    `carrier`: share of the signal's power in one spectral line. `c20`, `c40`: strength of the strongest line of x^2 and x^4
    over E|s|^2 and E|s|^4, the cumulants of Swami & Sadler (2000) but at any carrier offset. `kurtosis`:
    E|s|^4 / (E|s|^2)^2. `symbols`: frame length times equivalent bandwidth, one symbol each for a linear modulation.
    """
    noise = noise_power(iq)
    power = np.mean(np.abs(iq) ** 2, axis=-1)
    signal = np.maximum(power - noise, 1e-3 * power)
    # E|s + n|^4 for circular noise, solved for E|s|^4; by Jensen it cannot be less than signal^2.
    fourth = np.maximum(
        np.mean(np.abs(iq) ** 4, axis=-1) - 4 * signal * noise - 2 * noise**2, 0.5 * signal**2
    )
    measured = {
        "carrier": _strongest_line(iq) ** 2 / signal,
        "c20": _strongest_line(iq**2) / signal,
        "c40": _strongest_line(iq**4) / fourth,
        "kurtosis": fourth / signal**2,
    }
    return {name: float(np.median(values)) for name, values in measured.items()} | {
        "symbols": _symbols(iq)
    }


def _strongest_line(x: np.ndarray) -> np.ndarray:
    """Amplitude of the strongest complex exponential in each of (n, samples), found within 3 % by padding fourfold."""
    samples = x.shape[-1]
    return np.abs(np.fft.fft(x, 4 * samples)).max(-1) / samples


def _symbols(iq: np.ndarray) -> float:
    spectrum = np.mean(np.abs(np.fft.fft(iq)) ** 2, axis=0)
    return float(np.sum(spectrum) ** 2 / np.sum(spectrum**2))


def hold_against(
    classes: tuple[str, ...], measured: Mapping[int, dict[str, float]]
) -> OrderFindings:
    """Holds the `features` of each column of `Y` that has frames against the rule of the class it stands for."""
    ruled = {
        classes[column]: found for column, found in measured.items() if classes[column] in RULES
    }
    broken = {
        name: [f for f, (low, high) in RULES[name].items() if not low <= found[f] <= high]
        for name, found in ruled.items()
    }
    contradicted = {
        name: ", ".join(f"{f} {ruled[name][f]:.2f} not {_interval(*RULES[name][f])}" for f in wrong)
        for name, wrong in broken.items()
        if wrong
    }
    return OrderFindings(len(ruled), contradicted)


def _interval(low: float, high: float) -> str:
    return f"> {low}" if high == np.inf else f"< {high}" if low == 0 else f"{low}..{high}"


def check_class_order(
    class_order: str, measured: Mapping[int, dict[str, float]], source: str
) -> OrderFindings:
    """Holds a class order against the frames of each column of `Y`.

    Odd classes are let pass, and heavy multipath makes several odd, as long as no other known order does better. Frames of too
    few symbols (`MIN_SYMBOLS`) tell nothing and leave nothing checked.

    Args:
        class_order: a key of `CLASS_ORDERS`.
        measured: column -> `features` of its frames, for the columns that have frames of high SNR.
        source: name of the file, for the message.

    Raises:
        ValueError: when the frames contradict more classes than they do under another order, or more than `MOST` of them.
    """
    if not measured or np.median([found["symbols"] for found in measured.values()]) < MIN_SYMBOLS:
        return OrderFindings(0, {})
    findings = {order: hold_against(classes, measured) for order, classes in CLASS_ORDERS.items()}
    mine = findings[class_order]
    best = min(findings, key=lambda order: len(findings[order].contradicted))
    is_best = len(mine.contradicted) == len(findings[best].contradicted)
    if is_best and not _mostly_wrong(mine):
        return mine
    if is_best or _mostly_wrong(findings[best]):
        advice = f"no known order ({', '.join(CLASS_ORDERS)}) fits: find out which modulation each column of Y stands for"
    else:
        advice = f"{best} fits, with {len(findings[best].contradicted)} contradicted: set data.class_order to {best}"
    raise ValueError(
        f"data.class_order = {class_order} cannot be right for {source}: the frames contradict {len(mine.contradicted)} "
        f"of {mine.checked} classes ({'; '.join(f'{name}: {why}' for name, why in mine.contradicted.items())}); {advice}"
    )


def _mostly_wrong(findings: OrderFindings) -> bool:
    return len(findings.contradicted) > MOST * findings.checked


def snr_table(root: Path) -> pd.DataFrame:
    """Measured SNR of every linearly modulated cell of a directory of shards, from its first `FRAMES_MEASURED` frames.

    Columns: `modulation`, `snr_db` (the label), `measured_snr_db` (median over frames), `low_db` and `high_db` (16th and
    84th percentile), `floor_db` (out-of-band noise over the total power), `n`. NaN where noise outweighs the estimate.
    """
    columns = ["modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "floor_db", "n"]
    cells = [cell for cell in shards.cells(root) if cell.modulation in LINEAR]
    return pd.DataFrame(
        [_snr_row(cell, shards.array(cell.path(root), "iq")[:FRAMES_MEASURED]) for cell in cells],
        columns=columns,
    )


def _snr_row(cell: shards.Cell, frames: np.ndarray) -> tuple:
    snr = measured_snr(to_complex(frames))
    low, median, high = np.percentile(snr, [16, 50, 84])
    return (*cell, _db(median), _db(low), _db(high), -_db(1 + median), len(snr))


def _db(power: float) -> float:
    return float(10 * np.log10(power)) if power > 0 else np.nan


class SnrFit(NamedTuple):
    """Measured SNR over label within `FITTED_DB`."""

    slope: float | None
    """dB a dB; None with fewer than two labels to fit."""
    offset_db: float | None
    """Median of measured minus label."""
    tolerance: float | None
    """How far the slope may be from 1: one step of the labels over the whole range fitted."""

    @property
    def slope_is_one(self) -> bool | None:
        return None if self.slope is None else abs(self.slope - 1) <= self.tolerance


def fit_snr(table: pd.DataFrame) -> SnrFit:
    """Straight line through measured SNR over label (`snr_table`), every cell with the same weight."""
    fitted = table[table.snr_db.between(*FITTED_DB)].dropna(subset=["measured_snr_db"])
    if fitted.snr_db.nunique() < 2:
        return SnrFit(None, None, None)
    slope = np.polyfit(fitted.snr_db.astype(float), fitted.measured_snr_db, 1)[0]
    offset_db = (fitted.measured_snr_db - fitted.snr_db).median()
    return SnrFit(float(slope), float(offset_db), float(STEP_DB / np.ptp(fitted.snr_db)))
