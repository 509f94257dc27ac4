"""Stage `train`: constellations or IQ shards + splits -> a model, from its last checkpoint on."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.inputs import kind_of
from pisces.inputs.settings import DrawSettings
from pisces.models import modelfile
from pisces.models.cldnn import Settings
from pisces.prediction import fit
from pisces.run import guard, progress_file, tracking
from pisces.training import checkpoints, components, devices, frames, history, trainer
from pisces.training.augmentation import Augmentation
from pisces.training.settings import NoiseAwareSettings, TrainingSettings

DATA, SPLITS = Path("data"), Path("data/splits.npz")
OUT, RUN, METRICS = Path("models"), Path("models/run.json"), Path("metrics/train.json")
HISTORY, NOISE = Path("plots/training.csv"), Path("plots/noise_fraction.csv")


def main() -> None:
    params = load_params()
    config, augmentation = params.train.to(TrainingSettings), params.augment.to(Augmentation)
    cldnn = Settings(**params.cldnn.model_dump())
    noise_aware = params.noise_aware.to(NoiseAwareSettings)
    model_input = kind_of(config.input).for_data(DATA, params.draw.to(DrawSettings))
    sps, seed = params.render.sps, config.seed
    data = frames.open_data(DATA, SPLITS, model_input, augmentation, cldnn, noise_aware, sps)

    fabric = devices.make_fabric(config.accelerator, config.precision, config.model)
    shared = checkpoints.shared_folder("train", fabric)
    with tracking.stage("train", params) as run, shared as folder:

        def report(row: history.Epoch) -> None:
            print(history.describe(row, config.epochs), flush=True)
            run.metrics(row, step=int(row["epoch"]))
            progress_file.append(row)

        fabric.print(devices.announce(fabric, folder), flush=True)
        progress_file.append({"checkpoints": str(folder)})
        model, rows = trainer.fit(data, config, seed, folder / "last.pt", fabric, report)
        if not fabric.is_global_zero:
            return
        trained = components.trained_model(model, config, data)
        calibrated = fit.calibrated(trained, data.store, data.frames, data.parts)
        record = devices.describe(fabric) | history.record(rows, config.stop_metric)
        with files.together():
            modelfile.save(OUT, calibrated)
            files.write_json(METRICS, history.headline(rows, config.stop_metric))
            files.write_json(RUN, record)
            files.write_csv(HISTORY, history.training_table(rows))
            files.write_csv(NOISE, history.noise_table(rows))
        run.model(OUT / modelfile.WEIGHTS, OUT / modelfile.CARD)
        run.artifact(HISTORY)
    print(f"trained {config.model} for {counted(len(rows), 'epoch')} and wrote it to {OUT}")


if __name__ == "__main__":
    guard.run("train", main)
