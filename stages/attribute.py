"""Stage `attribute`: model + test frames -> attributions and PIS's own ranking on one scale, with sanity checks."""

from pathlib import Path

from pisces.attribution import compare
from pisces.attribution.settings import AttributionSettings
from pisces.config.schema import load_params
from pisces.core import files
from pisces.data import splitting
from pisces.evaluation import inference
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.pis.store import Perturbations
from pisces.report import results, style
from pisces.run import console, tracking

DATA, SPLITS = Path("data"), Path("data/splits.npz")
MODEL, PERTURBATIONS = Path("models"), Path("data/perturbations.h5")
METRICS, PLOTS = Path("metrics/attribution.json"), Path("plots")


def main() -> None:
    params = load_params()
    settings, seed = params.attribute.to(AttributionSettings), params.base.seed
    data, trained = BinStore(DATA / "constellations"), modelfile.load(MODEL)
    modelfile.check_fits(trained, trained.input.open(DATA))
    prober = trained.input.prober(DATA, "zero", seed)
    parts = splitting.read_splits(SPLITS)
    index = splitting.first_of_each_cell(parts["test"], settings.frames_per_cell)
    explainer = compare.Explainer(trained, prober, data, settings, seed, inference.device())
    if left_out := set(settings.methods) - set(explainer.methods):
        print(
            f"left out: {', '.join(left_out)}, for a model of raw IQ has no map of the constellation to read"
        )
    with tracking.stage("attribute", params) as run:
        found = compare.explain(
            explainer,
            index,
            parts["train"],
            Perturbations(PERTURBATIONS),
            max(params.perturb.levels_percent),
        )
        tables = {
            "attribution": found.measures,
            "attribution_curves": found.curves,
            "attribution_checks": found.checks,
        }
        summary = compare.summary(found.measures, found.checks)
        files.write_json(METRICS, summary)
        pictures = {
            "attribution": style.attribution_table(
                compare.with_checks(found.measures, found.checks)
            )
        }
        pictures |= {
            f"attribution_{task}": style.attributions(*shown)
            for task, shown in found.examples.items()
        }
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for path in results.write(PLOTS, tables, pictures, prober.note):
            run.artifact(path)
    print(
        f"{len(explainer.methods)} rankings of the pixels of {len(index)} frames judged in {PLOTS}/attribution.csv and {METRICS}"
    )


if __name__ == "__main__":
    console.run(main)
