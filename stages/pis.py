"""Stage `pis`: model + perturbations -> Perturbation Impact Scores, overall and by group."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files, hardware
from pisces.core.texts import counted
from pisces.evaluation import inference
from pisces.inputs.drawing import BinStore
from pisces.models import modelfile
from pisces.pis import removal, store, summary, tables
from pisces.pis.settings import RemovalSettings
from pisces.run import guard, tracking

DATA, PLAN, MODEL = Path("data"), Path("data/perturbations.h5"), Path("models")
OUT, METRICS, PLOTS = Path("data/pis.npz"), Path("metrics/pis.json"), Path("plots")


def main() -> None:
    params = load_params()
    levels = params.perturb.levels_percent
    data, trained = BinStore(DATA / "constellations"), modelfile.load(MODEL)
    modelfile.check_fits(trained, trained.input.open(DATA))
    inference.choose_precision(trained, params.train.precision)
    plan = store.read_plan(PLAN, data)
    settings = params.pis.to(RemovalSettings)

    print(f"measured on {hardware.in_words(inference.device())}", flush=True)
    with tracking.stage("pis", params) as run:
        measured = removal.measure(trained, DATA, data, plan, settings, inference.device())
        outcome, frame = measured.outcome, measured.frame
        found = tables.every_table(outcome, frame, data, levels)
        found["pis_redraw"] = measured.compared
        headline = summary.headline(found["pis"], levels)
        with files.together():
            outcome.write(OUT, frame, measured.note, measured.redraw_note)
            written = files.write_tables(PLOTS, found)
            files.write_json(METRICS, headline)

        for path in written:
            run.artifact(path)
        run.metrics(headline)
        run.model(MODEL / modelfile.WEIGHTS, MODEL / modelfile.CARD)
    print(measured.redraw_note)
    print(
        f"PIS of {counted(len(outcome.masks), 'mask')} over {counted(len(frame), 'frame')} in "
        f"{PLOTS}/pis.csv; headline in {METRICS}"
    )


if __name__ == "__main__":
    guard.run("pis", main)
