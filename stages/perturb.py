"""Stage `perturb`: test frames -> the plan of which pixels every mask and control blacks out."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.data import splitting
from pisces.inputs.drawing import BinStore
from pisces.pis import masks, sheet, store
from pisces.pis.settings import MaskSettings
from pisces.run import guard, tracking

CONSTELLATIONS, SPLITS = Path("data/constellations"), Path("data/splits.npz")
OUT, SHEET = Path("data/perturbations.h5"), Path("data/perturbations_sheet.npz")


def main() -> None:
    params = load_params()
    settings = params.perturb.to(MaskSettings)
    data = BinStore(CONSTELLATIONS)

    test = splitting.read_splits(SPLITS, data.sizes)["test"]
    index = splitting.first_of_each_cell(test, settings.frames_per_cell)
    chosen = masks.build(settings.views or data.render.views, settings, data.render.size)
    plan = store.PerturbationPlan(index, tuple(chosen), settings, params.base.seed, data.render)

    with tracking.stage("perturb", params), files.together():
        plan.write(OUT)
        files.write_npz(SHEET, sheet.sheet(data, plan)._asdict())
    dark = store.dark_frames(data, plan)
    print(
        f"{counted(len(chosen), 'mask')} with two controls each for {counted(len(index), 'frame')} "
        f"in {OUT}; dark frames: {dark}"
    )


if __name__ == "__main__":
    guard.run("perturb", main)
