"""Stages `report_data` and `report`: tables and arrays of the other stages -> all pictures."""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from pisces.config.io import load_params
from pisces.core.texts import counted
from pisces.report import needed, pictures, saved
from pisces.report.pis_regions import Images
from pisces.run import guard, tracking

DATA, PLOTS, CARD = Path("data"), Path("plots"), Path("models/model.json")
STAGES = {"data": "report_data", "results": "report"}
CAPTIONS = {"data": "captions_data.tex", "results": "captions.tex"}


def draw(part: str, source: str, images: Images) -> dict[str, Figure]:
    """The pictures of one part, data or results, of a data file with this name."""
    if part == "data":
        from pisces.inputs import sheet  # here, for it loads torch, which takes seconds

        tables = needed.tables(PLOTS, needed.DATA_TABLES)
        preview = sheet.preview(DATA / "constellations")
        return pictures.of_data(tables["audit"], tables["audit_spectrum"], preview, source)

    tables, arrays = needed.tables(PLOTS, needed.TABLES), needed.arrays(DATA)
    return pictures.of_results(tables, arrays, pictures.Run(needed.card(CARD), source, images))


def main() -> None:
    part = sys.argv[-1]
    if part not in STAGES:
        raise ValueError(f"part {part!r} is unknown; give one of {', '.join(STAGES)}")
    params = load_params()
    with tracking.stage(STAGES[part], params) as run:
        extents = params.render.extent.model_dump()
        images = Images(params.render.size, extents, params.perturb.window)
        figures = draw(part, Path(params.data.path).name, images)
        saved.save(figures, PLOTS, CAPTIONS[part])
        for name in figures:
            run.artifact(PLOTS / f"{name}.png")
    print(f"drew {counted(len(figures), 'picture')} in {PLOTS}/, captions: {CAPTIONS[part]}")


if __name__ == "__main__":
    guard.run("report", main)
