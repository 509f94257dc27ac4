"""Stage `train`: constellations or IQ shards + splits -> a model, going on from its last epoch if it was killed."""

from pathlib import Path

from pisces import checkpoints, console, datasets, devices, files, modelfile, splitting, tracking, training
from pisces.augmentation import Augmentation
from pisces.models.cldnn import Settings
from pisces.params import load_params
from pisces.rendering import Drawing
from pisces.signals import Waveform

SHARDS, CONSTELLATIONS, SPLITS = Path("data/split_hdf5"), Path("data/constellations"), Path("data/splits.npz")
OUT, METRICS = Path("models"), Path("metrics/train.json")
HISTORY, NOISE = Path("plots/training.csv"), Path("plots/noise_fraction.csv")


def main() -> None:
    params = load_params()
    config, varied = params.train, Augmentation(**params.augment.model_dump())
    data, frames = datasets.of_input(config.input, CONSTELLATIONS, SHARDS, varied.changes_frames)
    looks_at = Waveform(data.samples) if config.input == "iq" else Drawing(data.render, params.draw)
    parts, cldnn = splitting.read_splits(SPLITS), Settings(**params.cldnn.model_dump())
    work = training.Work(data, frames, parts, looks_at, varied, cldnn, params.noise_aware)
    fabric = devices.make_fabric(config.accelerator, config.precision)
    with tracking.stage("train", params) as run, checkpoints.shared_folder("train", fabric) as folder:

        def report(epoch: training.Epoch) -> None:
            print(training.describe(epoch, config.epochs), flush=True)
            run.metrics(epoch, step=int(epoch["epoch"]))

        model, history = training.fit(work, config, params.base.seed, folder / "last.pt", fabric, report)
        if not fabric.is_global_zero:
            return
        architecture = training.architecture_of(config, work)
        modelfile.save(OUT, modelfile.Trained(model, architecture, looks_at, data.modulations, data.snrs_db))
        files.write_json(METRICS, training.summary(history, config.stop_metric))
        files.write_csv(HISTORY, training.training_table(history))
        files.write_csv(NOISE, training.noise_table(history))
        run.model(OUT / modelfile.WEIGHTS, OUT / modelfile.CARD)
        run.artifact(HISTORY)
    print(f"trained {config.model} for {len(history)} epochs and wrote it to {OUT}")


if __name__ == "__main__":
    console.run(main)
