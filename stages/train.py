"""Stage `train`: constellations + splits -> a model, going on from its last epoch if it was killed."""

from pathlib import Path

import pandas as pd

from pisces import checkpoints, console, devices, files, modelfile, splitting, tracking, training
from pisces.augmentation import Augmentation
from pisces.datasets import Constellations, Frames
from pisces.models import Architecture
from pisces.params import load_params
from pisces.rendering import Drawing

SHARDS, CONSTELLATIONS, SPLITS = Path("data/split_hdf5"), Path("data/constellations"), Path("data/splits.npz")
OUT, METRICS, HISTORY = Path("models"), Path("metrics/train.json"), Path("plots/training.csv")


def main() -> None:
    params = load_params()
    config, data = params.train, Constellations(CONSTELLATIONS)
    drawing, varied = Drawing(data.render, params.draw), Augmentation(**params.augment.model_dump())
    frames = Frames(SHARDS, data) if varied.changes_frames else None
    work = training.Work(data, frames, splitting.read_splits(SPLITS), drawing, varied)
    fabric = devices.make_fabric(config.accelerator, config.precision)
    with tracking.stage("train", params) as run, checkpoints.shared_folder("train", fabric) as folder:

        def report(epoch: training.Epoch) -> None:
            print(training.describe(epoch, config.epochs), flush=True)
            run.metrics(epoch, step=int(epoch["epoch"]))

        model, history = training.fit(work, config, params.base.seed, folder / "last.pt", fabric, report)
        if not fabric.is_global_zero:
            return
        architecture = Architecture(config.model, config.branches, config.snr_head)
        modelfile.save(OUT, modelfile.Trained(model, architecture, drawing, data.modulations, data.snrs_db))
        files.write_json(METRICS, training.summary(history, config.stop_metric))
        files.write_csv(HISTORY, pd.DataFrame(history))
        run.model(OUT / modelfile.WEIGHTS, OUT / modelfile.CARD)
        run.artifact(HISTORY)
    print(f"trained {config.model} for {len(history)} epochs and wrote it to {OUT}")


if __name__ == "__main__":
    console.run(main)
