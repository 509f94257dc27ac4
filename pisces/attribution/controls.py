"""Control models for the sanity checks: they lack what the explained model has learnt.

After Adebayo et al., "Sanity checks for saliency maps" (NeurIPS 2018): the same model with its
weights made random (model parameter randomisation test), and one trained on shuffled labels (data
randomisation test).
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pisces import models
from pisces.attribution.explained_model import ExplainedModel
from pisces.attribution.settings import AttributionSettings
from pisces.core.seeding import generator
from pisces.core.tasks import HEADS
from pisces.evaluation.inference import BATCH
from pisces.training.schedules import build_optimizer

Tensors = tuple[torch.Tensor, ...]

# Training settings of the shuffled-label model.
SHUFFLED_BATCH = 64  # frames
SHUFFLED_LR = 1e-3


@dataclass(frozen=True)
class ControlModel:
    """A model to compare with the explained one."""

    check: str  # "weights": randomised weights; "labels": trained on shuffled labels
    share: float  # randomised modules / all modules with weights, 0..1; 1 for "labels"
    model: nn.Module
    fit: dict[str, float]  # task -> accuracy on its own shuffled labels; empty for "weights"


def control_models(
    explained: ExplainedModel, settings: AttributionSettings, train: np.ndarray
) -> Iterator[ControlModel]:
    """Copies of the model with ever more random weights, then one trained on shuffled labels.

    Args:
        explained: the model.
        settings: `randomised_steps`, `shuffled_frames`, `shuffled_epochs`.
        train: training frames (n, 3), of which a random subset gets shuffled labels.

    Returns:
        `randomised_steps` models of rising share, and one more. Each is made when it is asked for.
    """
    rng = generator(explained.seed, "randomised weights")
    for share, model in randomised(explained.model, settings.randomised_steps, rng):
        yield ControlModel("weights", share, model, {})

    model, fit = _trained_on_shuffled_labels(explained, settings, train)
    yield ControlModel("labels", 1.0, model, fit)


# Random weights


def randomised(
    model: nn.Module, steps: int, rng: np.random.Generator
) -> Iterator[tuple[float, nn.Module]]:
    """Copies of a model with ever more of its weights made random, from the heads to the stem.

    Cascading randomisation: the modules that own parameters are taken from the last registered one
    back, in about equal groups, and what is random in one copy stays so in the next. At share 1
    nothing learnt is left. `model` itself stays as it is.

    A tensor is made random by permuting its entries. That serves every parameter alike, a class
    token or a table of position biases as well as a convolution, while `reset_parameters` is known
    to some modules only and sets batch and layer norms to constants.

    - Kept: the distribution of the values, and so the scale of the signals. In a trained ResNet-18
      the logits of different frames still differ by 0.05, after `reset_parameters` by 0.002.
    - Lost: which value stands where, all that tells one pixel from another.
    - Unchanged: a tensor of equal values or of a single one. It shifts or scales everything alike.
    - The running mean and variance of a batch norm were learnt too. One permutation serves both, so
      that the two numbers of a channel stay together.

    Args:
        model: any model.
        steps: number of copies.
        rng: what permutes the weights.

    Returns:
        Pairs of the share of modules made random so far, 0..1, and the copy.

    Raises:
        ValueError: when there are more steps than modules with weights.
    """
    owners = [name for name, module in model.named_modules() if _owns_parameters(module)]
    if steps > len(owners):
        raise ValueError(
            f"{steps} steps are more than the {len(owners)} modules with weights; "
            "set attribute.randomised_steps to fewer"
        )

    done = 0
    for group in np.array_split(owners[::-1], steps):
        model = copy.deepcopy(model)
        for name in group:
            _permute(model.get_submodule(str(name)), rng)
        done += len(group)
        yield done / len(owners), model


def _owns_parameters(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


@torch.no_grad()
def _permute(module: nn.Module, rng: np.random.Generator) -> None:
    """Permutes the entries of each tensor that the module itself learnt, in place."""
    # The tensors of a group get the same permutation.
    groups: list[list[torch.Tensor]] = [[tensor] for tensor in module.parameters(recurse=False)]
    running_mean = getattr(module, "running_mean", None)
    if running_mean is not None:
        groups.append([running_mean, module.get_buffer("running_var")])

    for tensors in groups:
        entries, device = tensors[0].numel(), tensors[0].device
        permutation = torch.from_numpy(rng.permutation(entries)).to(device)
        for tensor in tensors:
            tensor.copy_(tensor.flatten()[permutation].view(tensor.shape))


# Shuffled labels


def _trained_on_shuffled_labels(
    explained: ExplainedModel, settings: AttributionSettings, train: np.ndarray
) -> tuple[nn.Module, dict[str, float]]:
    """A fresh model of the same architecture, and its fit; see `fit_shuffled`."""
    rng = generator(explained.seed, "shuffled labels")
    index = random_subset(train, settings.shuffled_frames, rng)

    trained, data, store = explained.trained, explained.data, explained.prober.store
    stored = store.prepare(store.gather(index), explained.device)
    condition = explained.condition(explained.snr_db(index))

    def inputs(stored: torch.Tensor, *condition: torch.Tensor) -> Tensors:
        return trained.input.tensors(stored).contiguous(), *condition

    fresh_model = partial(
        models.build,
        trained.architecture,
        trained.input.shape,
        len(data.modulations),
        data.snrs_db,
    )
    return fit_shuffled(
        fresh_model,
        inputs,
        (stored, *condition),
        targets=torch.from_numpy(index[:, :2].copy()),  # modulation and SNR, (n, 2)
        epochs=settings.shuffled_epochs,
        batch_size=SHUFFLED_BATCH,
        lr=SHUFFLED_LR,
        rng=rng,
    )


def random_subset(index: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Some frames of an index, in random order, none twice.

    Args:
        index: frames (all, 3).
        n: how many at most.
        rng: what picks them.

    Returns:
        Frames (n, 3); all of them where there are fewer than n.
    """
    return rng.permutation(index)[:n]


def fit_shuffled(
    fresh_model: Callable[[], nn.Module],
    inputs: Callable[..., Tensors],
    stored: Tensors,
    *,
    targets: torch.Tensor,
    epochs: int,
    batch_size: int,
    lr: float,
    rng: np.random.Generator,
) -> tuple[nn.Module, dict[str, float]]:
    """Trains a model on shuffled labels, by Adam on the sum of both heads' cross-entropies.

    Labels are permuted over frames, each task on its own, so nothing in a frame tells them. What
    the model fits it has memorised, as far as the epochs suffice (see Zhang et al., "Understanding
    deep learning requires rethinking generalization", ICLR 2017).

    Args:
        fresh_model: builds a model, its weights from torch's current generator.
        inputs: rows of `stored` -> inputs of the model.
        stored: tensors of n rows each: the stored form of frames, and the SNR labels, for a model
            conditioned on them.
        targets: true classes of modulation and SNR, int64 (n, 2).
        epochs: passes over the frames.
        batch_size: at most; batches are of about equal size.
        lr: learning rate.
        rng: decides everything random here, initial weights and dropout included.

    Returns:
        The model in evaluation mode, and task -> its accuracy on the shuffled labels, 0..1.
    """
    labels = _shuffled(targets, rng).to(stored[0].device)

    with torch.random.fork_rng():
        torch.manual_seed(int(rng.integers(2**63)))
        model = fresh_model().to(labels.device).train()
        adam = build_optimizer("adam", model.parameters(), lr)
        for _ in range(epochs):
            for batch in batches(rng.permutation(len(labels)), batch_size):
                loss = _loss(model, inputs, [column[batch] for column in stored], labels[batch])
                adam.zero_grad()
                loss.backward()
                adam.step()

    is_right = _predicted(model.eval(), inputs, stored) == labels  # (n, 2)
    return model, dict(zip(HEADS, is_right.float().mean(0).tolist(), strict=True))


def _loss(
    model: nn.Module,
    inputs: Callable[..., Tensors],
    stored: list[torch.Tensor],
    labels: torch.Tensor,
) -> torch.Tensor:
    """Sum of the cross-entropies of both heads on labels (n, 2)."""
    modulation_logits, snr_logits = model(*inputs(*stored))
    modulation = functional.cross_entropy(modulation_logits, labels[:, 0])
    snr = functional.cross_entropy(snr_logits, labels[:, 1])
    return modulation + snr


def _shuffled(targets: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Each column of targets (n, 2) permuted on its own."""
    columns = targets.cpu().T
    permuted = [column[torch.from_numpy(rng.permutation(len(column)))] for column in columns]
    return torch.stack(permuted, dim=1)


def batches(frames: np.ndarray, batch_size: int) -> list[torch.Tensor]:
    """Frames (n,) in batches of at most `batch_size`, of about equal size.

    A batch norm cannot train on a remainder of one frame.
    """
    n_batches = math.ceil(len(frames) / batch_size)
    return [torch.from_numpy(part) for part in np.array_split(frames, n_batches)]


@torch.inference_mode()
def _predicted(model: nn.Module, inputs: Callable[..., Tensors], stored: Tensors) -> torch.Tensor:
    """The most probable classes (n, 2) of stored frames."""
    predicted = []
    for part in zip(*(column.split(BATCH) for column in stored), strict=True):
        logits = model(*inputs(*part))
        predicted.append(torch.stack([of_head.argmax(1) for of_head in logits], dim=1))
    return torch.cat(predicted)
