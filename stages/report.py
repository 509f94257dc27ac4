"""Stages `report_data` and `report`: tables and arrays of the other stages -> all pictures."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.report import needed, pictures, style
from pisces.run import guard, tracking

DATA, PLOTS = Path("data"), Path("plots")
STAGES = {"data": "report_data", "results": "report"}


def draw(part: str) -> dict[str, Figure]:
    """The pictures of one part, data or results."""
    if part == "data":
        from pisces.inputs import sheet  # here, for it loads torch, which takes seconds

        preview = sheet.preview(DATA / "constellations")
        tables = needed.tables(PLOTS, needed.DATA_TABLES)
        return pictures.of_data(tables["audit"], tables["audit_spectrum"], preview)

    return pictures.of_results(needed.tables(PLOTS, needed.TABLES), needed.arrays(DATA))


def main() -> None:
    part = sys.argv[-1]
    if part not in STAGES:
        raise ValueError(f"part {part!r} is unknown; give one of {', '.join(STAGES)}")
    params = load_params()
    with tracking.stage(STAGES[part], params) as run:
        figures = draw(part)
        paths = [PLOTS / f"{name}.png" for name in figures]
        with files.together():
            for figure, path in zip(figures.values(), paths, strict=True):
                style.save(figure, path)

        for path in paths:
            run.artifact(path)
    print(f"drew {counted(len(figures), 'picture')} in {PLOTS}/")


if __name__ == "__main__":
    guard.run("report", main)
