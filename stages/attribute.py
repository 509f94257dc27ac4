"""Stage `attribute`: model + test frames -> attributions and PIS's own ranking on one scale, with sanity checks."""

from pathlib import Path

from pisces import console, explanation, files, inference, modelfile, plots, results, splitting, tracking
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.perturbation import Perturbations

SHARDS, CONSTELLATIONS, SPLITS = Path("data/split_hdf5"), Path("data/constellations"), Path("data/splits.npz")
MODEL, PERTURBATIONS = Path("models"), Path("data/perturbations.h5")
METRICS, PLOTS = Path("metrics/attribution.json"), Path("plots")


def main() -> None:
    params = load_params()
    settings, seed, data, trained = params.attribute, params.base.seed, Constellations(CONSTELLATIONS), modelfile.load(MODEL)
    look = inference.look(trained, data, SHARDS, "zero", seed)
    parts = splitting.read_splits(SPLITS)
    index = splitting.first_of_each_cell(parts["test"], settings.frames_per_cell)
    explainer = explanation.Explainer(trained, look, data, settings, seed, inference.device())
    if left_out := set(settings.methods) - set(explainer.methods):
        print(f"left out: {', '.join(left_out)}, for a model of raw IQ has no map of the constellation to read")
    with tracking.stage("attribute", params) as run:
        found = explanation.explain(explainer, index, parts["train"], Perturbations(PERTURBATIONS), max(params.perturb.levels_percent))
        tables = {"attribution": found.measures, "attribution_curves": found.curves, "attribution_checks": found.checks}
        summary = explanation.summary(found.measures, found.checks)
        files.write_json(METRICS, summary)
        pictures = {"attribution": plots.attribution_table(explanation.with_checks(found.measures, found.checks))}
        pictures |= {f"attribution_{task}": plots.attributions(*shown) for task, shown in found.examples.items()}
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for path in results.write(PLOTS, tables, pictures, look.note):
            run.artifact(path)
    print(f"{len(explainer.methods)} rankings of the pixels of {len(index)} frames judged in {PLOTS}/attribution.csv and {METRICS}")


if __name__ == "__main__":
    console.run(main)
