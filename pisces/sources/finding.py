"""One finding about the signal of a file, judged against what the params assume.

A finding has a figure, a 95 % interval, and a range of figures that do no harm. It is a warning
where its whole interval lies outside that range.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pisces.sources.signal_statistics import Estimate

COLUMNS = ["name", "figure", "unit", "ci_low", "ci_high", "expected", "param", "verdict"]
UNKNOWN = Estimate(np.nan, np.nan, np.nan)
ANY = (-np.inf, np.inf)


class Expected(NamedTuple):
    """What the params assume of the frames; None where nothing was said."""

    sps: float | None = None  # render.sps
    carrier_offset_std: float | None = None  # render.carrier_offset_std, cycles a sample
    pulse: str | None = None  # render.pulse; `rrc` and `rml2018` are compared


NOTHING_EXPECTED = Expected()


@dataclass(frozen=True)
class Finding:
    """A row of plots/audit_findings.csv, and what to warn of."""

    name: str
    figure: float
    unit: str
    ci_low: float
    ci_high: float
    expected: str
    param: str
    """What to set where it is not as expected."""
    verdict: str
    """`fits`, `warning`, `unknown` (too few such frames), or which of several kinds it is."""
    warning: str = ""
    """What is wrong and what to change; empty where nothing is."""

    @property
    def row(self) -> tuple[float | str, ...]:
        """Its `COLUMNS`."""
        return tuple(getattr(self, column) for column in COLUMNS)

    def named(self, kind: str) -> "Finding":
        """The finding with the kind of signal as its verdict, where it fits."""
        return replace(self, verdict=kind) if self.verdict == "fits" else self


def findings_table(found: Sequence[Finding]) -> pd.DataFrame:
    """A row a finding: `name, figure, unit, ci_low, ci_high, expected, param, verdict`."""
    return pd.DataFrame([finding.row for finding in found], columns=COLUMNS)


def judged(
    name: str,
    estimate: Estimate,
    unit: str,
    *,
    harmless: tuple[float, float],
    expected: str,
    param: str,
    warning: str,
) -> Finding:
    """A finding that fits unless its whole interval lies outside the harmless range.

    Args:
        name: of the figure.
        estimate: the figure and its interval; NaN where the frames do not tell it.
        unit: of the figure.
        harmless: lowest and highest figure that does no harm.
        expected: what the figure should be, in words.
        param: what to set where it is not so.
        warning: what to say then: what is wrong, and what to change.

    Returns:
        With the verdict `fits`, `warning` or `unknown`.
    """
    low, high = harmless
    if np.isnan(estimate.figure):
        verdict = "unknown"
    elif estimate.ci_low > high or estimate.ci_high < low:
        verdict = "warning"
    else:
        verdict = "fits"
    told = warning if verdict == "warning" else ""
    return Finding(name, estimate.figure, unit, *estimate[1:], expected, param, verdict, told)
