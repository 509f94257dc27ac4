"""From settings to what the training loop takes: model, objective, optimiser and schedule.

The only place of the loop that knows which objective a model has.
"""

from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim.swa_utils import AveragedModel

from pisces import models
from pisces.models import Architecture, finetuning
from pisces.models.classifier import Classifier
from pisces.models.cldnn import Cldnn
from pisces.models.modelfile import TrainedModel
from pisces.training import schedules
from pisces.training.frames import TrainingData
from pisces.training.noise_aware import NoiseAwareObjective
from pisces.training.objective import JointObjective, Objective
from pisces.training.schedules import Schedule
from pisces.training.settings import TrainingSettings


def architecture_of(config: TrainingSettings, data: TrainingData) -> Architecture:
    """What, with the shape of the input and the classes, says how the model is built."""
    cldnn = data.cldnn if config.model == models.CLDNN else None
    return Architecture(config.model, config.branches, config.snr_head, cldnn)


def build_model(
    config: TrainingSettings, data: TrainingData, seed: int, fabric: Fabric
) -> Classifier:
    """A model on the CPU, fresh or with the weights that `config` names, frozen where it says so.

    Args:
        config: names model, heads and weights.
        data: the input and the classes.
        seed: of its random weights; torch's generator is left as it was.
        fabric: where it will be trained.

    Returns:
        The model, in training mode.

    Raises:
        ValueError: when there is no such model, or its input or weights do not fit.
    """
    architecture, store = architecture_of(config, data), data.store
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = models.build(architecture, data.input.shape, len(store.modulations), store.snrs_db)
    source = Path(config.pretrained)
    if source.is_dir():
        classes = store.modulations, store.snrs_db, store.snr_label
        taken = finetuning.start_from(source, model, architecture, data.input, *classes)
        fabric.print(f"starting from {source}: {taken}", flush=True)
    elif config.pretrained != "none":
        models.load_pretrained(model, architecture, config.pretrained)
    if config.freeze:
        finetuning.freeze(model, config.freeze)
    # Only CUDA has it; elsewhere each process keeps statistics of its own.
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    if config.compile:
        model.compile()
    return model


def trained_model(model: Classifier, config: TrainingSettings, data: TrainingData) -> TrainedModel:
    """The model with the meaning of its inputs and outputs, as it is saved.

    Args:
        model: as `trainer.fit` gave it.
        config: names model and heads.
        data: the input and the classes.

    Returns:
        What `modelfile.save` takes.
    """
    architecture, store = architecture_of(config, data), data.store
    classes = store.modulations, store.snrs_db
    return TrainedModel(model, architecture, data.input, *classes, store.snr_label)


def objective_of(
    config: TrainingSettings, data: TrainingData, model: nn.Module, device: torch.device
) -> Objective:
    """What the model is to learn.

    Args:
        config: names the model and the losses.
        data: the classes, how inputs are mixed, and how a `cldnn` learns what is noise.
        model: as `build_model` made it.
        device: where it will be trained.

    Returns:
        A noise-aware objective for a `cldnn`, the joint one for any other model.
    """
    if config.model != models.CLDNN:
        return JointObjective(data, config, device)
    assert data.noise_aware is not None, "a cldnn needs the settings of its training"
    assert isinstance(model, Cldnn), "config.model names the family of the model"
    return NoiseAwareObjective(data.noise_aware, model, data, config, device)


def optimizer_of(
    config: TrainingSettings, model: nn.Module, objective: Objective
) -> torch.optim.Optimizer:
    """An optimiser of the model's parameters and, without decay, of those that weigh the tasks.

    Args:
        config: names the optimiser, its rate and its decay.
        model: all of whose parameters are trained but for the frozen ones.
        objective: whose weighting may have parameters.

    Returns:
        The optimiser, of one group or two.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": trained, "weight_decay": config.weight_decay},
        {"params": list(objective.weighting.parameters()), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    fused = config.precision != "16-mixed"
    return schedules.build_optimizer(config.optimizer, groups, config.lr, fused=fused)


def schedule_of(
    config: TrainingSettings, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> Schedule:
    """The learning rates of a training of so many steps an epoch.

    Args:
        config: names the schedule and its settings.
        optimizer: all of whose groups follow it.
        steps_per_epoch: batches.

    Returns:
        The schedule at its first step.
    """
    return schedules.build(
        config.schedule,
        optimizer,
        epochs=config.epochs,
        steps_per_epoch=steps_per_epoch,
        lr=config.lr,
        factor=config.plateau_factor,
        patience=config.plateau_patience,
        warmup_steps=config.warmup_steps,
        cycle_epochs=config.cycle_epochs,
    )


def moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """An exponential moving average of the weights of a model, statistics of batches included.

    The k-th update leaves (1 + k) / (10 + k) of what was there, at most `decay`: the average soon
    forgets where training began.
    """

    @torch.no_grad()
    def average(
        averaged: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int
    ) -> torch.Tensor:
        assert isinstance(steps, torch.Tensor), "the average counts its updates in a tensor"
        if not averaged.is_floating_point():  # a count of batches
            return current
        keep = torch.clamp((1 + steps) / (10 + steps), max=decay).to(averaged.dtype)
        return torch.lerp(current, averaged, keep)

    return AveragedModel(model, avg_fn=average, use_buffers=True)
