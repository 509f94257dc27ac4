"""Stage `render`: IQ shards -> constellation shards."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.inputs import rendering
from pisces.inputs.settings import RenderSettings
from pisces.run import console, tracking

SHARDS, OUT = Path("data/split_hdf5"), Path("data/constellations")


def main() -> None:
    params = load_params()
    settings = params.render.to(RenderSettings)
    with tracking.stage("render", params):
        n = rendering.render(SHARDS, OUT, settings)
    print(f"rendered {n} frames at {params.render.size} px into {OUT}")


if __name__ == "__main__":
    console.run(main)
