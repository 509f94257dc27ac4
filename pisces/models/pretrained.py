"""Weights of torchvision's models, made to fit our backbones.

These take any number of channels and any image size, and have no classifier.
"""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import safetensors.torch
import torch
from torch import nn

from pisces.core.texts import counted
from pisces.models.backbones import BACKBONES, Backbone

State = Mapping[str, torch.Tensor]
"""A state dict."""
_REMEDY = "write the state dict of torchvision's model with torch.save(model.state_dict(), path)"


def load(backbone: nn.Module, name: str, source: str, *, assign: bool = False) -> None:
    """Fills a backbone in place. Nothing but tensors is unpickled.

    Args:
        backbone: as `backbones.build` makes it.
        name: what it was built as, a key of `BACKBONES`.
        source: `imagenet`, which is torchvision's default weights from its cache or the net, or the
            path of a `.safetensors` or torch file with the state dict of torchvision's model.
        assign: whether the tensors of the source become those of the backbone, which may so be one
            of the meta device; else they are copied into it.

    Raises:
        ValueError: when the weights are not there, cannot be read or belong to another
            architecture.
    """
    spec = BACKBONES[name]
    state = _imagenet(spec.weights) if source == "imagenet" else _read(Path(source))
    broken = not_finite(state)
    if broken:
        raise ValueError(
            f"train.pretrained = {source} holds NaN or infinity in "
            f"{counted(len(broken), 'tensor')}, such as "
            f"{broken[0]}, and would train to nothing; take another copy of the file"
        )
    try:
        missing, unexpected = backbone.load_state_dict(
            fitted(state, spec, backbone), strict=False, assign=assign
        )
        reasons = [*_tensors("missing", missing), *_tensors("unexpected", unexpected)]
    except (RuntimeError, ValueError) as error:  # for tensors of another shape, a line each
        reasons = [_first_line(error)]

    if reasons:
        raise ValueError(
            f"train.pretrained = {source} does not fit torchvision's {name}: "
            f"{'; '.join(reasons)}; is it a file of {name}?"
        )


def fitted(state: State, spec: Backbone, backbone: nn.Module) -> State:
    """The state dict of a whole torchvision model as our backbone takes it.

    Args:
        state: of torchvision's model.
        spec: where its parts are.
        backbone: as `backbones.build` makes it of `spec`.

    Returns:
        A state dict without classifier, the stem folded to the channels of `backbone` and position
        embeddings stretched to its grid.
    """
    classifier = f"{spec.classifier}."
    state = {key: value for key, value in state.items() if not key.startswith(classifier)}

    stem = f"{spec.stem}.weight"
    if stem in state and state[stem].ndim == 4:
        ours = backbone.get_submodule(spec.stem)
        assert isinstance(ours, nn.Conv2d)
        state[stem] = fold(state[stem], ours.in_channels)

    if "encoder.pos_embedding" in state:
        from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

        if isinstance(backbone, VisionTransformer):
            interpolate_embeddings(backbone.image_size, backbone.patch_size, state)
    return state


def fold(filters: torch.Tensor, channels: int) -> torch.Tensor:
    """Filters (out, in, height, width) -> (out, channels, height, width).

    The sum over the old inputs is shared out evenly among the new ones, so that equal inputs give
    what they gave before. Filters that already fit stay as they are.
    """
    if filters.shape[1] == channels:
        return filters
    share = filters.sum(1, keepdim=True) / channels  # (out, 1, height, width)
    return share.repeat(1, channels, 1, 1)


def not_finite(state: State) -> list[str]:
    """Names of the tensors that hold NaN or infinity."""
    return [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]


def _imagenet(name: str) -> State:
    """Torchvision's default weights of its model `name`, from its cache or the net."""
    from torchvision.models import get_model_weights

    weights = get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # whatever a net or a damaged file leads to
        raise ValueError(
            f"the ImageNet weights {file.name} can neither be read from {file.parent} "
            f"nor downloaded ({type(error).__name__}); "
            f"put {weights.url} into that folder, or set train.pretrained = none"
        ) from error


def _read(path: Path) -> State:
    """The state dict in a file; ValueError when there is none."""
    if not path.is_file():
        raise ValueError(
            f"train.pretrained = {path} is not a file; "
            "allowed are none, imagenet and the path of a .safetensors or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state: object = torch.load(path, map_location="cpu", weights_only=True)
    # Whatever damaged bytes lead to; torch's own message advises to unpickle them after all
    except Exception as error:
        raise ValueError(
            f"train.pretrained = {path} cannot be read: "
            f"it is damaged or holds more than tensors; {_REMEDY}"
        ) from error

    if not _is_state(state):
        raise ValueError(f"train.pretrained = {path} is not a state dict; {_REMEDY}")
    return state


def _is_state(state: object) -> TypeGuard[State]:
    return isinstance(state, Mapping) and all(
        isinstance(value, torch.Tensor) for value in state.values()
    )


def _tensors(what: str, names: Sequence[str]) -> list[str]:
    """How many tensors are `what`, and the first of them; nothing when there is none."""
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return [f"{what}: {counted(len(names), 'tensor')} ({some})"] if names else []


def _first_line(error: Exception) -> str:
    """The first line of torch's message about tensors of another shape, and how many follow."""
    lines = [line.strip() for line in str(error).splitlines() if not line.endswith(":")]
    more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    return textwrap.shorten(lines[0], 240) + more
