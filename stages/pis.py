"""Stage `pis`: model + perturbations -> Perturbation Impact Scores, overall, by modulation and by SNR."""

from pathlib import Path

from pisces import console, files, inference, modelfile, pis, plots, tracking
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.perturbation import Perturbations
from pisces.seeding import generator

CONSTELLATIONS, MODEL, PERTURBATIONS = Path("data/constellations"), Path("models"), Path("data/perturbations.h5")
OUT, METRICS, PLOTS = Path("data/pis.npz"), Path("metrics/pis.json"), Path("plots")


def main() -> None:
    params = load_params()
    data, trained, perturbations = Constellations(CONSTELLATIONS), modelfile.load(MODEL), Perturbations(PERTURBATIONS)
    modelfile.check_fits(trained, data)
    resamples, rng = params.pis.resamples, generator(params.base.seed, "pis")
    with tracking.stage("pis", params) as run:
        outcome = pis.measure(trained.model, trained.drawing, data, perturbations, inference.device())
        pis.write_outcome(OUT, outcome, perturbations.frame)
        rows = pis.table(outcome, resamples, rng)
        files.write_csv(PLOTS / "pis.csv", rows)
        for name, (groups, what) in pis.groups(perturbations.frame, data).items():
            files.write_csv(PLOTS / f"pis_by_{name}.csv", pis.grouped_table(outcome, groups, what, resamples, rng))
        summary = pis.headline(rows)
        files.write_json(METRICS, summary)
        plots.save(plots.pis(rows), PLOTS / "pis.png")
        classes = (len(trained.modulations), len(trained.snrs_db))
        plots.save(plots.degradation(rows, pis.baseline(outcome), classes), PLOTS / "degradation.png")
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for name in ("pis.png", "degradation.png", "pis.csv", "pis_by_modulation.csv", "pis_by_snr.csv"):
            run.artifact(PLOTS / name)
    print(f"PIS of {len(outcome.masks)} masks over {len(perturbations.frame)} frames in {PLOTS}/pis.csv; headline in {METRICS}")


if __name__ == "__main__":
    console.run(main)
