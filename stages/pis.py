"""Stage `pis`: model + perturbations -> Perturbation Impact Scores, overall, by modulation and by SNR."""

from pathlib import Path

from pisces import console, files, inference, modelfile, pis, plots, results, tracking
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.perturbation import Perturbations
from pisces.seeding import generator

SHARDS, CONSTELLATIONS, PERTURBATIONS = Path("data/split_hdf5"), Path("data/constellations"), Path("data/perturbations.h5")
MODEL, OUT, METRICS, PLOTS = Path("models"), Path("data/pis.npz"), Path("metrics/pis.json"), Path("plots")


def main() -> None:
    params = load_params()
    data, trained, perturbations = Constellations(CONSTELLATIONS), modelfile.load(MODEL), Perturbations(PERTURBATIONS)
    resamples, levels, seed = params.pis.resamples, params.perturb.levels_percent, params.base.seed
    look = inference.look(trained, data, SHARDS, params.pis.fill, seed)
    with tracking.stage("pis", params) as run:
        outcome = pis.measure(trained.model, look, data, perturbations, inference.device())
        pis.write_outcome(OUT, outcome, perturbations.frame)
        groups = pis.groups(perturbations.frame, data)
        tables = {"pis": pis.table(outcome, resamples, generator(seed, "pis"))}
        tables["pis_areas"] = pis.areas(outcome, resamples, generator(seed, "pis areas"))
        few = outcome.only(lambda mask: mask.rule not in ("percentile", "window") and mask.level_percent in (None, *levels))
        for name, group in groups.items():
            tables[f"pis_by_{name}"] = pis.grouped_table(few, *group, resamples, generator(seed, "pis by", name))
        tables["pis_by_cell"] = pis.by_cell(outcome, *(values for values, _ in groups.values()), max(levels))
        summary = pis.headline(tables["pis"], tables["pis_areas"], levels)
        files.write_json(METRICS, summary)
        classes = (len(trained.modulations), len(trained.snrs_db))
        pictures = {"pis": plots.pis(tables["pis"]), "pis_regions": plots.regions(tables["pis"])}
        pictures["degradation"] = plots.degradation(tables["pis"], pis.baseline(outcome), classes)
        pictures["pis_heatmap"] = plots.pis_heatmap(tables["pis_by_cell"], tuple(dict.fromkeys(mask.view for mask in outcome.masks)))
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for path in results.write(PLOTS, tables, pictures, look.note):
            run.artifact(path)
    print(f"PIS of {len(outcome.masks)} masks over {len(perturbations.frame)} frames in {PLOTS}/pis.csv; headline in {METRICS}")


if __name__ == "__main__":
    console.run(main)
