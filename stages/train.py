"""Stage `train`: constellations + splits -> a model, going on from its last epoch if it was killed."""

from pathlib import Path

import pandas as pd

from pisces import checkpoints, console, files, modelfile, splitting, tracking, training
from pisces.datasets import Constellations
from pisces.params import load_params
from pisces.rendering import Drawing

CONSTELLATIONS, SPLITS, OUT = Path("data/constellations"), Path("data/splits.npz"), Path("models")
METRICS, HISTORY = Path("metrics/train.json"), Path("plots/training.csv")


def main() -> None:
    params = load_params()
    data = Constellations(CONSTELLATIONS)
    drawing = Drawing(data.size, data.extent, **params.draw.model_dump())
    with tracking.stage("train", params) as run, checkpoints.folder("train") as folder:

        def report(epoch: training.Epoch) -> None:
            print(training.describe(epoch, params.train.epochs), flush=True)
            run.metrics(epoch, step=int(epoch["epoch"]))

        model, history = training.fit(
            data, splitting.read_splits(SPLITS), drawing, params.train, params.base.seed, folder / "last.pt", report
        )
        modelfile.save(OUT, params.train.model, modelfile.Trained(model, drawing, data.modulations, data.snrs_db))
        files.write_json(METRICS, training.summary(history))
        files.write_csv(HISTORY, pd.DataFrame(history))
        run.model(OUT / modelfile.WEIGHTS, OUT / modelfile.CARD)
        run.artifact(HISTORY)
    print(f"trained {params.train.model} for {len(history)} epochs and wrote it to {OUT}")


if __name__ == "__main__":
    console.run(main)
