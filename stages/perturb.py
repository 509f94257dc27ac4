"""Stage `perturb`: test frames -> for every mask and its controls, the pixels to black out."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.data import splitting
from pisces.inputs.drawing import BinStore
from pisces.pis import masks, store
from pisces.pis.settings import MaskSettings
from pisces.report import style
from pisces.run import console, tracking

CONSTELLATIONS, SPLITS = Path("data/constellations"), Path("data/splits.npz")
OUT, PLOT = Path("data/perturbations.h5"), Path("plots/perturbations.png")


def main() -> None:
    params = load_params()
    settings = params.perturb.to(MaskSettings)
    data = BinStore(CONSTELLATIONS)
    views = params.perturb.views or data.render.views
    chosen = masks.build(views, settings, data.render.size)
    index = splitting.first_of_each_cell(
        splitting.read_splits(SPLITS)["test"], params.perturb.frames_per_cell
    )
    with tracking.stage("perturb", params) as run:
        summary = store.perturb(data, index, chosen, settings, params.base.seed, OUT)
        style.save(style.perturbations(*store.preview(data, OUT)), PLOT)
        run.metrics(summary)
        run.artifact(PLOT)
    print(
        f"{summary['masks']} masks with two controls each for {summary['frames']} frames in {OUT}; dark frames: {summary['dark_frames']}"
    )


if __name__ == "__main__":
    console.run(main)
