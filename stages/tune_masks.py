"""Stage `tune_masks`: the model, trained on with and without random masks -> two models more."""

from pathlib import Path

from pisces.config.io import load_params
from pisces.core import files
from pisces.core.texts import counted
from pisces.models import modelfile
from pisces.models.cldnn import Settings
from pisces.run import guard, tracking
from pisces.training import (
    checkpoints,
    components,
    devices,
    frames,
    history,
    mask_tuned,
    mask_tuning,
)
from pisces.training.augmentation import Augmentation
from pisces.training.settings import MaskTuning, NoiseAwareSettings, TrainingSettings

DATA, SPLITS = Path("data"), Path("data/splits.npz")
MODEL, OUT = Path("models"), Path("models/mask_tuned")


def main() -> None:
    params = load_params()
    config, augmentation = params.train.to(TrainingSettings), params.augment.to(Augmentation)
    cldnn = Settings(**params.cldnn.model_dump())
    noise_aware = params.noise_aware.to(NoiseAwareSettings)
    tuning = MaskTuning(**params.explain.mask_tuning.model_dump())

    trained, sps = modelfile.load(MODEL), params.render.sps
    modelfile.check_fits(trained, trained.input.open(DATA))
    data = frames.open_data(DATA, SPLITS, trained.input, augmentation, cldnn, noise_aware, sps)
    fabric = devices.make_fabric(config.accelerator, config.precision, config.model)

    def report(name: str, row: history.Epoch) -> None:
        print(f"{name}: {history.describe(row, tuning.epochs)}", flush=True)

    with (
        tracking.stage("tune_masks", params),
        checkpoints.shared_folder("tune_masks", fabric) as folder,
    ):
        print(devices.announce(fabric, folder), flush=True)
        models = mask_tuning.tune(MODEL, data, config, tuning, folder, fabric, report)
        with files.together():
            for name, model in models.items():
                modelfile.save(OUT / name, components.trained_model(model, config, data))
            files.write_json(OUT / mask_tuned.RECORD, mask_tuned.record(tuning, models))
    print(f"tuned {counted(len(models), 'model')} and wrote them to {OUT}")


if __name__ == "__main__":
    guard.run("tune_masks", main)
