"""A comparison in words: tables of at most 100 columns for a terminal."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pisces.experiments.compare import Comparison
from pisces.experiments.measures import BY_NAME

WIDTH, NAME, CELL = 100, 20, 22
ACCURACIES = ("joint", "modulation", "snr")
TESTED = "p: McNemar's exact test over frames, Student's t over seeds; Holm: for the whole table"
LEAST = "Least: half of the interval, below which a difference would not have been found"

Row = Mapping[Any, Any]


def text(comparison: Comparison) -> str:
    """All tables, and last what could not be compared."""
    lines = [*_experiments(comparison), "", *_kinds(comparison)]
    if len(comparison.differences):
        lines += ["", *_differences(comparison)]
    elif len(comparison.kinds) == 1:
        lines += ["", "there is no second kind of experiment, so there is no difference"]
    notes = (*comparison.refused, *comparison.remarks)
    if notes:
        lines += ["", *[f"note: {note}" for note in notes]]
    return "\n".join(lines)


def _experiments(comparison: Comparison) -> Iterator[str]:
    rows = comparison.experiments.to_dict("records")
    yield "Test accuracy in %, with 95 % intervals over the test frames"
    yield _line(("experiment", NAME), ("seed", 5), *[(name, CELL) for name in ACCURACIES])
    for row in rows:
        yield _line((row["experiment"], NAME), (str(row["seed"]), 5), *_accuracies(row))

    yield ""
    yield "Macro F1 of the modulation in %, mean absolute error of the SNR in dB, points below the"
    yield "ceiling of the modulation, joint PIS of the brightest pixels (-: that stage has not run)"
    heads = (("macro F1", CELL), ("MAE", CELL), ("below ceiling", CELL), ("PIS", 6))
    yield _line(("experiment", NAME), *heads)
    for row in rows:
        others = (_cell(row, "gap_points", 1), CELL), (_number(row["pis"], 2), 6)
        yield _line((row["experiment"], NAME), *_f1_and_error(row), *others)

    yield ""
    has_speed = not all(math.isnan(row["frames_per_second"]) for row in rows)
    speed = [("frames a second, raw IQ to answer", 36)] if has_speed else []
    yield _line(("experiment", NAME), ("kind", 5), ("parameters", 12), ("epochs", 7), *speed)
    for row in rows:
        cost = (_whole(row["parameters"]), 12), (_whole(row["epochs"]), 7)
        rate = [(_cell(row, "frames_per_second", 0), 36)] if has_speed else []
        yield _line((row["experiment"], NAME), (row["kind"], 5), *cost, *rate)


def _kinds(comparison: Comparison) -> Iterator[str]:
    rows = comparison.kinds.to_dict("records")
    yield "Kinds: equal but for the seed of the training"
    for row in rows:
        named = f"{row['kind']:<3}{row['label'] or 'the only one'}: {row['experiments']}"
        yield from textwrap.wrap(named, WIDTH, subsequent_indent="   ")

    if any(row["seeds"] > 1 for row in rows):
        yield ""
        yield "Means over seeds, with 95 % intervals over seeds and test frames (of one: frames)"
        heads = [(name, CELL) for name in ACCURACIES]
        yield _line(("kind", 5), ("seeds", 6), ("frames", 7), *heads)
        for row in rows:
            yield _line(*_size(row), *_accuracies(row))
        yield _line(("kind", 5), ("seeds", 6), ("frames", 7), ("macro F1", CELL), ("MAE", CELL))
        for row in rows:
            yield _line(*_size(row), *_f1_and_error(row))


def _differences(comparison: Comparison) -> Iterator[str]:
    rows = comparison.differences.to_dict("records")
    yield f"Differences to kind {rows[0]['less']}, in points or dB, with 95 % intervals"
    heads = (("p", 8), ("Holm", 8), ("least", 7), ("over", 26))
    yield _line(("kind", 5), ("measure", 11), ("difference", 26), *heads)
    for row in rows:
        measure = BY_NAME[row["measure"]]
        digits = 1 if measure.unit == "%" else 2
        cells = (row["measure"], 11), (_signed(row, digits), 26)
        tests = (_p(row["p"]), 8), (_p(row["p_holm"]), 8)
        least = (f"{row['half_width']:.{digits}f}", 7)
        yield _line((row["kind"], 5), *cells, *tests, least, (row["over"], 26))
    yield TESTED
    yield LEAST


def _size(row: Row) -> Sequence[tuple[str, int]]:
    return (row["kind"], 5), (str(row["seeds"]), 6), (str(row["frames"]), 7)


def _accuracies(row: Row) -> list[tuple[str, int]]:
    return [(_cell(row, name, 1), CELL) for name in ACCURACIES]


def _f1_and_error(row: Row) -> Sequence[tuple[str, int]]:
    return (_cell(row, "macro_f1", 1), CELL), (_cell(row, "mae_db", 2), CELL)


def _cell(row: Row, name: str, digits: int) -> str:
    """A figure with its interval; - where there is none."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if math.isnan(value):
        return "-"
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _signed(row: Row, digits: int) -> str:
    value, low, high = (row[f"difference{end}"] for end in ("", "_low", "_high"))
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def _whole(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}".replace(",", " ")


def _p(value: float) -> str:
    if math.isnan(value):
        return "-"
    return "< .0001" if value < 1e-4 else f"{value:.4f}"


def _line(*cells: tuple[str, int]) -> str:
    """Cells beside each other, each of at least its width, and too long ones cut."""
    parts = [_cut(text, width - 1).ljust(width) for text, width in cells]
    return "".join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 2]}.."
