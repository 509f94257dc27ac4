"""Stage `evaluate`: model + test part -> predictions, accuracies with intervals, tables."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files, hardware
from pisces.core.tasks import TASKS
from pisces.core.texts import counted
from pisces.data import splitting
from pisces.evaluation import inference, metrics
from pisces.inputs.waveform import frames_behind
from pisces.models import modelfile
from pisces.prediction import checks, evidence
from pisces.run import guard, tracking

DATA, SPLITS, MODEL = Path("data"), Path("data/splits.npz"), Path("models")
OUT, METRICS, TABLES = Path("data/predictions.npz"), Path("metrics/evaluate.json"), Path("plots")


def main() -> None:
    params = load_params()
    trained = modelfile.load(MODEL)
    data = trained.input.open(DATA)
    modelfile.check_fits(trained, data)

    for remark in trained.input.remarks(data):
        print(f"warning: {remark}")
    if params.evaluate.bypass_denoiser:
        inference.bypass_denoiser(trained)

    with tracking.stage("evaluate", params) as run:
        test = splitting.read_splits(SPLITS, data.sizes)["test"]
        predictions = inference.predict_frames(trained, data, test)
        found = evidence.collect(trained, data, frames_behind(data, DATA), test)

        summary = metrics.summary(predictions) | checks.summary(trained, found, test)
        tables = metrics.tables(predictions, trained.modulations, trained.snrs_db)
        tables["reliability"] = checks.reliability(trained, found, test)
        with files.together():
            files.write_npz(OUT, predictions)
            files.write_json(METRICS, summary)
            written = files.write_tables(TABLES, tables)

        run.metrics(summary)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
        for path in written:
            run.artifact(path)

    if trained.calibration is None:
        print("the model has no calibration: its probabilities are those of the heads as trained")
    print(f"evaluated on {hardware.in_words(inference.device())}")
    accuracies = [f"{task} {100 * summary[task]['accuracy']:.1f} %" for task in TASKS]
    tested = counted(len(test), "test frame")
    print(f"{tested}: {', '.join(accuracies)}; wrote {OUT}, {METRICS} and {TABLES}/*.csv")


if __name__ == "__main__":
    guard.run("evaluate", main)
