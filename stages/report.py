"""Stages `report_data` and `report`: tables and arrays of the other stages -> all pictures."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pisces.config.io import load_params
from pisces.report import pictures, style
from pisces.run import guard, tracking

DATA, PLOTS = Path("data"), Path("plots")
STAGES = {"data": "report_data", "results": "report"}


def read_table(name: str) -> pd.DataFrame:
    return pd.read_csv(PLOTS / f"{name}.csv", dtype={"mask": str})  # rings are named by numbers


def read_arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(DATA / f"{name}.npz") as file:
        return dict(file)


def draw(part: str) -> dict[str, Figure]:
    """The pictures of one part, data or results."""
    if part == "data":
        from pisces.inputs import sheet  # here, for it loads torch, which takes seconds

        preview = sheet.preview(DATA / "constellations")
        return pictures.of_data(read_table("audit"), read_table("audit_spectrum"), preview)

    tables = {name: read_table(name) for name in pictures.TABLES}
    arrays = {name: read_arrays(name) for name in pictures.ARRAYS}
    return pictures.of_results(tables, arrays)


def main() -> None:
    part = sys.argv[-1]
    if part not in STAGES:
        raise ValueError(f"part {part!r} is unknown; give one of {', '.join(STAGES)}")
    params = load_params()
    with tracking.stage(STAGES[part], params) as run:
        figures = draw(part)
        for name, figure in figures.items():
            path = PLOTS / f"{name}.png"
            style.save(figure, path)
            run.artifact(path)
    print(f"drew {len(figures)} pictures in {PLOTS}/")


if __name__ == "__main__":
    guard.run("report", main)
