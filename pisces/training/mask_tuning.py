"""Fine-tuning of a trained model on random masks, so that blackout is no sight that it never had.

Zheng et al., "F-Fidelity: a robust framework for faithfulness evaluation of explainable AI" (ICLR
2025, arXiv 2410.02970): a model that was never shown a hole reacts to the hole as well as to what
was there. After some epochs on frames with random holes it reacts to what is missing.

What the epochs alone do is told by a control: as many steps from the same weights, on the same
frames in the same order, without masks.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric

from pisces.core.seeding import generator
from pisces.models.classifier import Classifier
from pisces.training import checkpoints, guards
from pisces.training.frames import TrainingData
from pisces.training.history import Epoch
from pisces.training.mask_tuned import CONTROL, TUNED
from pisces.training.settings import MaskTuning, NoiseAwareSettings, TrainingSettings
from pisces.training.trainer import Trainer

OnEpoch = Callable[[str, Epoch], None]
"""Called with the name of the model and each new row of its history."""


def tune(
    model: Path,
    data: TrainingData,
    config: TrainingSettings,
    tuning: MaskTuning,
    folder: Path,
    fabric: Fabric,
    on_epoch: OnEpoch,
) -> dict[str, Classifier]:
    """Trains a model on, once with random masks and once without.

    Args:
        model: folder of the trained model, which stays as it is.
        data: the frames that it was trained on, and how they are varied.
        config: how it was trained: losses, optimiser, batches. Its schedule becomes `one_cycle`
            over the few epochs, and the model of the last epoch counts.
        tuning: how long, how fast, and how much the masks take.
        folder: of the checkpoints, from which a run that was killed resumes.
        fabric: the device and the precision.
        on_epoch: called after each epoch.

    Returns:
        `TUNED` and `CONTROL` -> the model, on the CPU and in evaluation mode; nothing for 0 epochs.
    """
    if not tuning.epochs:
        return {}
    settings = _settings(config, tuning, model)
    seed = int(generator(config.seed, "mask tuning").integers(2**31))

    tuned = {}
    for name, share in ((TUNED, tuning.share), (CONTROL, 0.0)):
        of_model = data._replace(masked_share=share, noise_aware=_last_phase(data.noise_aware))
        checkpoint = folder / f"{name}.pt"
        fresh = partial(Trainer, fabric, of_model, settings, seed)
        trainer = guards.resumed(fresh, checkpoint)
        tuned[name] = _last_model(trainer, checkpoint, partial(on_epoch, name))
    return tuned


def _settings(config: TrainingSettings, tuning: MaskTuning, model: Path) -> TrainingSettings:
    """Those of the training, but for what makes it one short fine-tuning to its end."""
    return replace(
        config,
        pretrained=str(model),
        epochs=tuning.epochs,
        lr=tuning.lr,
        schedule="one_cycle",
        stop_patience=tuning.epochs,
        curriculum_epochs=0,
        ema_decay=0,
    )


def _last_phase(settings: NoiseAwareSettings | None) -> NoiseAwareSettings | None:
    """A denoiser has learnt by itself already: it is trained with the classifier from the start."""
    if settings is None:
        return None
    first = {name: replace(getattr(settings, name), epochs=0) for name in ("a", "b1", "b2")}
    return replace(settings, **first)


def _last_model(
    trainer: Trainer, checkpoint: Path, on_epoch: Callable[[Epoch], None]
) -> Classifier:
    """The model after all epochs: the best one might be of another number of steps."""
    while not trainer.finished:
        row = guards.epoch_with_rollbacks(trainer, checkpoint, rate="explain.mask_tuning.lr")
        checkpoints.save(checkpoint, trainer.state())
        on_epoch(row)
    return trainer.kept.cpu().eval()
