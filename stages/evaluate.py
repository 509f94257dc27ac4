"""Stage `evaluate`: model + test part -> predictions, accuracies with intervals, and the plots of a paper."""

from pathlib import Path

import pandas as pd

from pisces import console, files, inference, metrics, modelfile, plots, splitting, tracking
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.seeding import generator

CONSTELLATIONS, SPLITS, MODEL = Path("data/constellations"), Path("data/splits.npz"), Path("models")
HISTORY = Path("plots/training.csv")
OUT, METRICS, PLOTS = Path("data/predictions.npz"), Path("metrics/evaluate.json"), Path("plots")


def main() -> None:
    params = load_params()
    resamples, rng = params.evaluate.resamples, generator(params.base.seed, "evaluate")
    data, trained = Constellations(CONSTELLATIONS), modelfile.load(MODEL)
    modelfile.check_fits(trained, data)
    with tracking.stage("evaluate", params) as run:
        predictions = inference.predict_frames(trained, data, splitting.read_splits(SPLITS)["test"])
        files.write_npz(OUT, predictions)
        summary = metrics.summary(predictions, resamples, rng)
        files.write_json(METRICS, summary)
        by_snr = metrics.accuracy_by_snr(predictions, resamples, rng)
        files.write_csv(PLOTS / "accuracy_by_snr.csv", by_snr)
        scores = metrics.per_class_table(predictions, trained.modulations, trained.snrs_db)
        files.write_csv(PLOTS / "per_class.csv", scores)
        classes = (len(trained.modulations), len(trained.snrs_db))
        plots.save(plots.training(pd.read_csv(HISTORY)), PLOTS / "training.png")
        plots.save(plots.accuracy_by_snr(by_snr, classes), PLOTS / "accuracy_by_snr.png")
        plots.save(plots.per_class(scores[scores["task"] == "modulation"]), PLOTS / "per_class.png")
        for task, suffix, labels in (("modulation", "", trained.modulations), ("snr", "_db", trained.snrs_db)):
            actual, predicted = predictions[f"{task}_true{suffix}"], predictions[f"{task}_pred{suffix}"]
            files.write_csv(PLOTS / f"confusion_{task}.csv", pd.DataFrame({"actual": actual, "predicted": predicted}))
            what = {"modulation": "modulation", "snr": "SNR (dB)"}[task]
            plots.save(plots.confusion(actual, predicted, labels, what), PLOTS / f"confusion_{task}.png")
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for name in ("training", "accuracy_by_snr", "per_class", "confusion_modulation", "confusion_snr"):
            run.artifact(PLOTS / f"{name}.png")
    accuracies = ", ".join(f"{task} {100 * summary[task]['accuracy']:.1f} %" for task in metrics.TASKS)
    print(f"{len(predictions['frame'])} test frames: {accuracies}; wrote {OUT}, {METRICS} and {PLOTS}/")


if __name__ == "__main__":
    console.run(main)
