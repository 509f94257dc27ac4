"""Stage `explore`: model + perturbed frames -> some frames with all that can be taken of them."""

from pathlib import Path

from pisces.attribution import methods, shapley
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.explorer import moved, prepared
from pisces.explorer.settings import ExploreSettings
from pisces.inputs.waveform import frames_behind
from pisces.models import modelfile
from pisces.pis import store
from pisces.run import guard, tracking

DATA, PLAN, MODEL = Path("data"), Path("data/perturbations.h5"), Path("models")
OUT = Path("data/explorer.npz")


def main() -> None:
    params = load_params()
    settings, seed = params.explore.to(ExploreSettings), params.base.seed
    setup = params.attribute.to(AttributionSettings)
    explained = ExplainedModel.opened(DATA, MODEL, params.train.precision, seed, params.pis.fill)
    trained, plan = explained.trained, store.read_plan(PLAN, explained.data)

    spatial, is_summing = trained.input.spatial, shapley.is_summing(trained.model)
    names = methods.applicable(settings.methods, spatial, is_summing)
    chosen = [methods.build(name, setup, seed) for name in names]
    iq, orders = frames_behind(explained.data, DATA), params.counterfactual.methods
    moves = moved.set_up(explained, iq, orders, setup, params.counterfactual.other_views)

    with tracking.stage("explore", params):
        found = prepared.prepare(explained, plan, chosen, settings, moves)
        about = prepared.about(explained, MODEL / modelfile.WEIGHTS)
        files.write_npz(OUT, found.arrays() | about)
    print(
        f"{counted(len(found.frame), 'frame')} without each of "
        f"{counted(len(found.choices), 'set', 'sets')} of pixels in {OUT}"
    )


if __name__ == "__main__":
    guard.run("explore", main)
