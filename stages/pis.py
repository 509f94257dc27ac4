"""Stage `pis`: model + perturbations -> Perturbation Impact Scores, overall, by modulation and by SNR."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.core import files
from pisces.core.seeding import generator
from pisces.evaluation import inference
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.pis import score
from pisces.pis.store import Perturbations
from pisces.report import results, style
from pisces.run import console, tracking

DATA, PERTURBATIONS = Path("data"), Path("data/perturbations.h5")
MODEL, OUT, METRICS, PLOTS = (
    Path("models"),
    Path("data/pis.npz"),
    Path("metrics/pis.json"),
    Path("plots"),
)


def main() -> None:
    params = load_params()
    data, trained = BinStore(DATA / "constellations"), modelfile.load(MODEL)
    perturbations = Perturbations(PERTURBATIONS)
    resamples, levels, seed = params.pis.resamples, params.perturb.levels_percent, params.base.seed
    modelfile.check_fits(trained, trained.input.open(DATA))
    prober = trained.input.prober(DATA, params.pis.fill, seed)
    with tracking.stage("pis", params) as run:
        outcome = score.measure(trained.model, prober, data, perturbations, inference.device())
        score.write_outcome(OUT, outcome, perturbations.frame)
        groups = score.groups(perturbations.frame, data)
        tables = {"pis": score.table(outcome, resamples, generator(seed, "pis"))}
        tables["pis_areas"] = score.areas(outcome, resamples, generator(seed, "pis areas"))
        few = outcome.only(
            lambda mask: (
                mask.rule not in ("percentile", "window") and mask.level_percent in (None, *levels)
            )
        )
        for name, group in groups.items():
            tables[f"pis_by_{name}"] = score.grouped_table(
                few, *group, resamples, generator(seed, "pis by", name)
            )
        tables["pis_by_cell"] = score.by_cell(
            outcome, *(values for values, _ in groups.values()), max(levels)
        )
        summary = score.headline(tables["pis"], tables["pis_areas"], levels)
        files.write_json(METRICS, summary)
        classes = (len(trained.modulations), len(trained.snrs_db))
        pictures = {"pis": style.pis(tables["pis"]), "pis_regions": style.regions(tables["pis"])}
        pictures["degradation"] = style.degradation(tables["pis"], score.baseline(outcome), classes)
        pictures["pis_heatmap"] = style.pis_heatmap(
            tables["pis_by_cell"], tuple(dict.fromkeys(mask.view for mask in outcome.masks))
        )
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for path in results.write(PLOTS, tables, pictures, prober.note):
            run.artifact(path)
    print(
        f"PIS of {len(outcome.masks)} masks over {len(perturbations.frame)} frames in {PLOTS}/pis.csv; headline in {METRICS}"
    )


if __name__ == "__main__":
    console.run(main)
