"""Stage `evaluate`: model + test part -> predictions, accuracies with intervals, and the plots of a paper."""

from pathlib import Path

import pandas as pd

from pisces.config.schema import load_params
from pisces.core import files
from pisces.core.seeding import generator
from pisces.data import splitting
from pisces.evaluation import inference, metrics
from pisces.models import modelfile
from pisces.report import results, style
from pisces.run import console, tracking

DATA, SPLITS = Path("data"), Path("data/splits.npz")
MODEL, HISTORY = Path("models"), Path("plots/training.csv")
OUT, METRICS, PLOTS = Path("data/predictions.npz"), Path("metrics/evaluate.json"), Path("plots")


def main() -> None:
    params = load_params()
    resamples, rng = params.evaluate.resamples, generator(params.base.seed, "evaluate")
    trained = modelfile.load(MODEL)
    data = trained.input.open(DATA)
    modelfile.check_fits(trained, data)
    if params.evaluate.bypass_denoiser:
        inference.bypass_denoiser(trained)
    with tracking.stage("evaluate", params) as run:
        predictions = inference.predict_frames(trained, data, splitting.read_splits(SPLITS)["test"])
        files.write_npz(OUT, predictions)
        summary = metrics.summary(predictions, resamples, rng)
        files.write_json(METRICS, summary)
        by_snr = metrics.accuracy_by_snr(predictions, resamples, rng)
        scores = metrics.per_class_table(predictions, trained.modulations, trained.snrs_db)
        tables = {
            "accuracy_by_snr": by_snr,
            "per_class": scores,
            "snr_estimate": metrics.snr_estimates(predictions),
        }
        pictures = {
            "accuracy_by_snr": style.accuracy_by_snr(
                by_snr, (len(trained.modulations), len(trained.snrs_db))
            ),
            "per_class": style.per_class(scores[scores["task"] == "modulation"]),
            "snr_estimate": style.snr_estimate(
                tables["snr_estimate"], inference.snr_source(trained)
            ),
        }
        confused = {
            "modulation": ("modulation", "", trained.modulations),
            "snr": ("SNR (dB)", "_db", trained.snrs_db),
        }
        for task, (what, suffix, labels) in confused.items():
            actual, predicted = (
                predictions[f"{task}_true{suffix}"],
                predictions[f"{task}_pred{suffix}"],
            )
            tables[f"confusion_{task}"] = pd.DataFrame({"actual": actual, "predicted": predicted})
            pictures[f"confusion_{task}"] = style.confusion(actual, predicted, labels, what)
        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        # In training nothing was bypassed: its picture goes without the note.
        curves = {"training": style.training(pd.read_csv(HISTORY))}
        note = results.BYPASSED if params.evaluate.bypass_denoiser else ""
        for path in (
            *results.write(PLOTS, {}, curves),
            *results.write(PLOTS, tables, pictures, note),
        ):
            run.artifact(path)
    accuracies = ", ".join(
        f"{task} {100 * summary[task]['accuracy']:.1f} %" for task in metrics.TASKS
    )
    print(
        f"{len(predictions['frame'])} test frames: {accuracies}; wrote {OUT}, {METRICS} and {PLOTS}/"
    )


if __name__ == "__main__":
    console.run(main)
