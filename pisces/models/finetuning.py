"""Training on from a finished model of ours: all that fits is taken over, new classes start afresh.

An output of a head belongs to a class. So it is taken over by the class's name or true SNR, not by
its place: a model may go on with more classes, fewer, or others.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from pisces import models
from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.inputs.base import Input
from pisces.models import Architecture, modelfile
from pisces.models.classifier import Classifier
from pisces.models.modelfile import TrainedModel

KEY = "train.pretrained"


class TakenOver(NamedTuple):
    """What a model starts from, for people."""

    tensors: int
    """Tensors of which something was taken over..."""
    of: int
    """...of so many."""
    new_modulations: list[str]
    """Classes whose outputs start afresh."""
    new_snrs_db: list[int]
    """True SNRs in dB whose outputs start afresh."""

    def __str__(self) -> str:
        fresh = [*self.new_modulations, *(f"{snr_db} dB" for snr_db in self.new_snrs_db)]
        outputs = f"; new outputs: {', '.join(fresh)}" if fresh else ""
        return f"{self.tensors} of {self.of} tensors{outputs}"


def start_from(
    folder: Path,
    model: nn.Module,
    architecture: Architecture,
    model_input: Input,
    modulations: Sequence[str],
    snrs_db: Sequence[int],
    snr_label: SnrLabel,
) -> TakenOver:
    """Fills a fresh model in place with the weights of a finished one.

    Args:
        folder: of `model.safetensors` and `model.json`.
        model: as `models.build` makes it of the other arguments.
        architecture: what it was built from, which must be that of the finished one.
        model_input: what it takes, which must be that of the finished one.
        modulations: its classes.
        snrs_db: labels of its classes...
        snr_label: ...and what they mean.

    Returns:
        What was taken over.

    Raises:
        FileNotFoundError: when the folder lacks one of the two files.
        ValueError: when they are damaged, or the two models differ in more than their classes.
    """
    finished = modelfile.load_named(KEY, folder)
    check_alike(folder, finished, architecture, model_input)

    old = finished.modulations, _true(finished.snrs_db, finished.snr_label)
    new = modulations, _true(snrs_db, snr_label)
    axes = _class_axes(architecture, model_input.shape, len(modulations), snrs_db)
    # A regressed SNR is counted in steps of its grid.
    other_grid = architecture.snr_head == "regression" and old[1] != new[1]

    # The tensors of a state dict are those of the model: what is copied into them is in it.
    state, source = model.state_dict(), finished.model.state_dict()
    taken = 0
    for name, tensor in state.items():
        if other_grid and "snr_head" in name:
            continue
        if name in axes:
            task, axis = axes[name]
            taken += _copy_classes(source[name], tensor, old[task], new[task], axis)
        else:
            tensor.copy_(source[name])
            taken += 1

    new_modulations = [name for name in new[0] if name not in old[0]]
    new_snrs_db = list(new[1]) if other_grid else [one for one in new[1] if one not in old[1]]
    return TakenOver(taken, len(state), new_modulations, new_snrs_db)


def freeze(model: Classifier, names: Sequence[str]) -> None:
    """Takes parts of a model out of training: neither weights nor statistics of batches change.

    Args:
        model: changed in place.
        names: of its submodules, such as `backbone` or `backbone.tables`.

    Raises:
        ValueError: when there is no such part, or nothing would be left to train.
    """
    parts = {name: part for name, part in model.named_modules() if name and _has_weights(part)}
    for name in names:
        if name not in parts:
            shown = ", ".join(one for one in parts if one.count(".") < 2)
            raise ValueError(
                f"train.freeze names {name!r}, and the model has no such part with weights; "
                f"there are {shown}"
            )
        parts[name].requires_grad_(False)

    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"train.freeze = {', '.join(names)} leaves nothing to train; take one out of it"
        )
    model.frozen = tuple(names)


def _has_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def check_alike(
    folder: Path, finished: TrainedModel, architecture: Architecture, model_input: Input
) -> None:
    """Whether a model can start from a finished one.

    Args:
        folder: of the finished one.
        finished: the model of that folder.
        architecture: of the new one.
        model_input: what the new one takes.

    Raises:
        ValueError: where more than classes, or what belongs to the data, differs.
    """
    _check_length(folder, finished.input.frame_samples, model_input.frame_samples)
    pairs = {
        f"train.{part}": (getattr(finished.architecture, part), getattr(architecture, part))
        for part in ("model", "branches", "snr_head")
    }
    pairs["cldnn"] = finished.architecture.cldnn, architecture.cldnn
    pairs["train.input"] = finished.input.name, model_input.name
    theirs, ours = finished.input.requirements, model_input.requirements
    pairs |= {name: (theirs.get(name), ours[name]) for name in ours}
    pairs["draw"] = finished.input.card().get("draw"), model_input.card().get("draw")

    for name, (of_finished, of_new) in pairs.items():
        if of_finished != of_new:
            raise ValueError(
                f"{KEY} = {folder} is a model with {name} = {of_finished}, "
                f"and the params say {of_new}; make them alike, or set {KEY} to none"
            )


def _check_length(folder: Path, of_finished: int | None, of_new: int | None) -> None:
    """Raises ValueError unless a finished model takes frames of as many samples as the new one."""
    if of_finished == of_new:
        return
    if of_finished is None:
        raise ValueError(
            f"{KEY} = {folder} has a card of an older version, which does not say of how many "
            f"samples the frames of its model are: if they are of {of_new}, as those of the data, "
            f'write "samples": {of_new} into input.render of {folder / modelfile.CARD}; '
            f"else set {KEY} to none"
        )
    raise ValueError(
        f"{KEY} = {folder} is a model of frames of {of_finished} samples, and those of the data "
        f"have {of_new or 'a number that is not known'}; name a model of such frames, "
        f"or set {KEY} to none"
    )


def _true(labels: Sequence[int], meaning: SnrLabel) -> tuple[int, ...]:
    return tuple(true_snr_db(label, meaning) for label in labels)


def _class_axes(
    architecture: Architecture, shape: Sequence[int], modulations: int, snrs_db: Sequence[int]
) -> dict[str, tuple[int, int]]:
    """Tensors with an axis of classes: name -> task (0 modulation, 1 SNR) and the axis.

    Found by what changes its shape with one class more.
    """
    one_more_snr = [*snrs_db, max(snrs_db) + 1]
    with torch.device("meta"):
        built = models.build(architecture, shape, modulations, snrs_db).state_dict()
        larger = (
            models.build(architecture, shape, modulations + 1, snrs_db).state_dict(),
            models.build(architecture, shape, modulations, one_more_snr).state_dict(),
        )

    axes = {}
    for task, state in enumerate(larger):
        for name, tensor in built.items():
            sizes = zip(tensor.shape, state[name].shape, strict=True)
            changed = [axis for axis, (size, grown) in enumerate(sizes) if size != grown]
            if changed:
                axes[name] = task, changed[0]
    return axes


def _copy_classes(
    source: torch.Tensor,
    target: torch.Tensor,
    old: Sequence[str] | Sequence[int],
    new: Sequence[str] | Sequence[int],
    axis: int,
) -> bool:
    """Copies what belongs to the classes that both have; whether there are any."""
    shared = [one for one in new if one in old]
    for one in shared:
        target.select(axis, list(new).index(one)).copy_(source.select(axis, list(old).index(one)))
    return bool(shared)
