"""Stage `render`: IQ shards -> constellation shards."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core.texts import counted
from pisces.inputs import rendering
from pisces.inputs.receiver import carrier
from pisces.inputs.settings import RenderSettings
from pisces.run import guard, tracking

SHARDS, OUT = Path("data/split_hdf5"), Path("data/constellations")


def main() -> None:
    params = load_params()
    settings = params.render.to(RenderSettings)
    with tracking.stage("render", params):
        rendered = rendering.render(SHARDS, OUT, settings)

    if rendered.beyond:
        reach = carrier.REACH * settings.carrier_offset_std
        print(
            f"warning: {rendered.beyond} of {rendered.linear} frames of linear modulations have a "
            f"carrier offset beyond the {reach:.2g} cycles a sample that the view symbol can "
            "follow; raise render.carrier_offset_std"
        )
    print(f"rendered {counted(rendered.frames, 'frame')} at {params.render.size} px into {OUT}")


if __name__ == "__main__":
    guard.run("render", main)
