"""Pages of docs/results/ that hold what a benchmark makes: tables in Markdown, and their cells."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats


def table(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows of equal keys as a table in Markdown, in whole lines."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_between(page: Path, start: str, end: str, made: str) -> None:
    """Puts text between two lines of a page, in place of what stood there.

    Args:
        page: a file that holds both lines once.
        start: the line before, with its end.
        end: the line after, with its end.
        made: whole lines.
    """
    text = page.read_text(encoding="utf-8")
    made = text.split(start)[0] + start + made + end + text.split(end)[1]
    page.write_text(made, encoding="utf-8")


def interval(values: np.ndarray, sign: str = "") -> str:
    """Mean over seeds and the half-width of its 95 % interval, by Student's t; - for NaN."""
    if np.isnan(values).any():
        return "-"
    mean = f"{values.mean():{sign}.1f}"
    if len(values) < 2:
        return mean
    deviation = values.std(ddof=1) / np.sqrt(len(values))
    return f"{mean} ± {stats.t.ppf(0.975, len(values) - 1) * deviation:.1f}"
