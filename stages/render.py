"""Stage `render`: IQ shards -> constellation shards, and a sheet of what they look like."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.inputs import binning, sheet
from pisces.inputs.settings import RenderSettings
from pisces.report import style
from pisces.run import console, tracking

SHARDS, OUT, SHEET = (
    Path("data/split_hdf5"),
    Path("data/constellations"),
    Path("plots/constellations.png"),
)


def main() -> None:
    params = load_params()
    with tracking.stage("render", params) as run:
        n = binning.render(SHARDS, OUT, params.render.to(RenderSettings))
        style.save(style.constellations(*sheet.preview(OUT)), SHEET)
        run.artifact(SHEET)
    print(f"rendered {n} frames at {params.render.size} px into {OUT}; a look at them: {SHEET}")


if __name__ == "__main__":
    console.run(main)
