"""Stage `attribute`: model + test frames -> attributions and PIS's own ranking on one scale, with sanity checks."""

from pathlib import Path

from pisces import console, explanation, files, inference, modelfile, plots, splitting, tracking
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.perturbation import Perturbations

CONSTELLATIONS, SPLITS, MODEL = Path("data/constellations"), Path("data/splits.npz"), Path("models")
PERTURBATIONS, METRICS, PLOTS = Path("data/perturbations.h5"), Path("metrics/attribution.json"), Path("plots")


def main() -> None:
    params = load_params()
    settings, seed, data, trained = params.attribute, params.base.seed, Constellations(CONSTELLATIONS), modelfile.load(MODEL)
    modelfile.check_fits(trained, data)
    parts = splitting.read_splits(SPLITS)
    index = splitting.first_of_each_cell(parts["test"], settings.frames_per_cell)
    explainer = explanation.Explainer(trained, data, settings, seed, inference.device())
    with tracking.stage("attribute", params) as run:
        found = explanation.explain(explainer, index, parts["train"], Perturbations(PERTURBATIONS), max(params.perturb.levels_percent))
        tables = {"attribution": found.measures, "attribution_curves": found.curves, "attribution_checks": found.checks}
        for name, table in tables.items():
            files.write_csv(PLOTS / f"{name}.csv", table)
        summary = explanation.summary(found.measures, found.checks)
        files.write_json(METRICS, summary)
        pictures = {"attribution": plots.attribution_table(explanation.with_checks(found.measures, found.checks))}
        pictures |= {f"attribution_{task}": plots.attributions(*shown) for task, shown in found.examples.items()}
        for name, picture in pictures.items():
            plots.save(picture, PLOTS / f"{name}.png")
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for name in [*(f"{table}.csv" for table in tables), *(f"{picture}.png" for picture in pictures)]:
            run.artifact(PLOTS / name)
    print(f"{len(explainer.methods)} rankings of the pixels of {len(index)} frames judged in {PLOTS}/attribution.csv and {METRICS}")


if __name__ == "__main__":
    console.run(main)
