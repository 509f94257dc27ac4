"""Stage `train`: constellations or IQ shards + splits -> a model, going on from its last epoch if it was killed."""

from pathlib import Path

from pisces.config.schema import load_params
from pisces.core import files
from pisces.data import splitting
from pisces.inputs import kind_of
from pisces.inputs.settings import DrawSettings
from pisces.models import modelfile
from pisces.models.cldnn import Settings
from pisces.run import console, dvc_process, tracking
from pisces.training import checkpoints, devices, trainer
from pisces.training.augmentation import Augmentation
from pisces.training.settings import NoiseAwareSettings, TrainingSettings

DATA, SPLITS = Path("data"), Path("data/splits.npz")
OUT, METRICS = Path("models"), Path("metrics/train.json")
HISTORY, NOISE = Path("plots/training.csv"), Path("plots/noise_fraction.csv")


def main() -> None:
    params = load_params()
    config, draw = params.train.to(TrainingSettings), params.draw.to(DrawSettings)
    varied = params.augment.to(Augmentation)
    model_input = kind_of(config.input).for_data(DATA, draw)
    store = model_input.open(DATA)
    frames = trainer.frames_behind(store, DATA) if varied.changes_frames else None
    parts, cldnn = splitting.read_splits(SPLITS), Settings(**params.cldnn.model_dump())
    noise_aware = params.noise_aware.to(NoiseAwareSettings)
    work = trainer.TrainingData(store, frames, parts, model_input, varied, cldnn, noise_aware)
    fabric = devices.make_fabric(config.accelerator, config.precision)
    with (
        tracking.stage("train", params) as run,
        checkpoints.shared_folder("train", fabric) as folder,
    ):

        def report(epoch: trainer.Epoch) -> None:
            print(trainer.describe(epoch, config.epochs), flush=True)
            run.metrics(epoch, step=int(epoch["epoch"]))

        model, history = trainer.fit(
            work,
            config,
            params.base.seed,
            folder / "last.pt",
            fabric,
            report,
            dvc_process.stop_when_gone(),
        )
        if not fabric.is_global_zero:
            return
        architecture = trainer.architecture_of(config, work)
        modelfile.save(
            OUT,
            modelfile.TrainedModel(
                model, architecture, model_input, store.modulations, store.snrs_db
            ),
        )
        files.write_json(METRICS, trainer.summary(history, config.stop_metric))
        files.write_csv(HISTORY, trainer.training_table(history))
        files.write_csv(NOISE, trainer.noise_table(history))
        run.model(OUT / modelfile.WEIGHTS, OUT / modelfile.CARD)
        run.artifact(HISTORY)
    print(f"trained {config.model} for {len(history)} epochs and wrote it to {OUT}")


if __name__ == "__main__":
    console.run(main)
