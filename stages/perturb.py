"""Stage `perturb`: test frames -> for every mask and its controls, the pixels to black out."""

from pathlib import Path

from pisces import console, masks, perturbation, plots, splitting, tracking
from pisces.datasets import Constellations
from pisces.params import load_params

CONSTELLATIONS, SPLITS = Path("data/constellations"), Path("data/splits.npz")
OUT, PLOT = Path("data/perturbations.h5"), Path("plots/perturbations.png")


def main() -> None:
    params = load_params()
    data = Constellations(CONSTELLATIONS)
    views = params.perturb.views or data.render.views
    chosen = masks.build(views, params.perturb, data.render.size)
    index = splitting.first_of_each_cell(splitting.read_splits(SPLITS)["test"], params.perturb.frames_per_cell)
    with tracking.stage("perturb", params) as run:
        summary = perturbation.perturb(data, index, chosen, params.perturb, params.base.seed, OUT)
        plots.save(plots.perturbations(*perturbation.preview(data, OUT)), PLOT)
        run.metrics(summary)
        run.artifact(PLOT)
    print(f"{summary['masks']} masks with two controls each for {summary['frames']} frames in {OUT}; dark frames: {summary['dark_frames']}")


if __name__ == "__main__":
    console.run(main)
