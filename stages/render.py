"""Stage `render`: IQ shards -> constellation shards, and a sheet of what they look like."""

from pathlib import Path

from pisces import console, plots, rendering, tracking
from pisces.params import load_params

SHARDS, OUT, SHEET = Path("data/split_hdf5"), Path("data/constellations"), Path("plots/constellations.png")


def main() -> None:
    params = load_params()
    with tracking.stage("render", params) as run:
        n = rendering.render(SHARDS, OUT, params.render)
        plots.save(plots.constellations(*rendering.preview(OUT)), SHEET)
        run.artifact(SHEET)
    print(f"rendered {n} frames at {params.render.size} px into {OUT}; a look at them: {SHEET}")


if __name__ == "__main__":
    console.run(main)
