"""Stage `attribute`: model + test frames -> attribution methods and PIS's ranking, measured."""

from pathlib import Path

from pisces.attribution import compare, shapley, tuned_models
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.config.io import load_params
from pisces.core import files, hardware
from pisces.core.texts import counted
from pisces.data import splitting
from pisces.models import modelfile
from pisces.pis import store
from pisces.run import guard, tracking

DATA, SPLITS = Path("data"), Path("data/splits.npz")
MODEL, MASK_TUNED = Path("models"), Path("models/mask_tuned")
PERTURBATIONS = Path("data/perturbations.h5")
METRICS, PLOTS = Path("metrics/attribution.json"), Path("plots")
EXAMPLES = Path("data/attribution_examples.npz")


def main() -> None:
    params = load_params()
    settings, seed = params.attribute.to(AttributionSettings), params.base.seed

    explained = ExplainedModel.opened(DATA, MODEL, params.train.precision, seed)
    data, trained = explained.data, explained.trained

    is_summing = shapley.is_summing(trained.model)
    chosen = compare.choose(settings, trained.input.spatial, seed, is_summing)
    if left_out := compare.left_out(settings, chosen):
        print(f"left out: {', '.join(left_out)}, which cannot explain {trained.architecture.model}")

    parts = splitting.read_splits(SPLITS, data.sizes)
    train, test = parts["train"], parts["test"]
    index = splitting.first_of_each_cell(test, settings.frames_per_cell)
    tested = splitting.first_of_each_cell(test, settings.masked_frames_per_cell)
    tuned = tuned_models.load(MASK_TUNED, params.train.precision, tested)
    plan, level = store.read_plan(PERTURBATIONS, data), max(params.perturb.levels_percent)

    print(f"explained on {hardware.in_words(explained.device)}", flush=True)
    with tracking.stage("attribute", params) as run:
        found = compare.explain(explained, chosen, settings, index, train, plan, level, tuned)
        headline = compare.headline(found.measures)
        with files.together():
            files.write_npz(EXAMPLES, found.example_arrays(explained.prober.note))
            tables = files.write_tables(PLOTS, found.tables)
            files.write_json(METRICS, headline)

        for path in tables:
            run.artifact(path)
        run.metrics(headline)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
    print(f"{counted(len(chosen), 'ranking')} of {counted(len(index), 'frame')} are in {PLOTS}")


if __name__ == "__main__":
    guard.run("attribute", main)
