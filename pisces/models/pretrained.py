"""Weights of torchvision's models, made to fit our backbones: any number of channels, any image size, no classifier."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import nn
from torchvision.models import get_model_weights
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from pisces.models.backbones import BACKBONES, Backbone

State = Mapping[str, torch.Tensor]
_REMEDY = "write the state dict of torchvision's model with torch.save(model.state_dict(), path)"


def load(backbone: nn.Module, name: str, source: str) -> None:
    """Fills `backbone`, built as `name`, in place.

    `source` is `imagenet`, torchvision's default weights from its cache or the net, or the path of a `.safetensors` or torch
    file with the state dict of torchvision's model of that name. Nothing but tensors is unpickled.

    Raises:
        ValueError: when the weights are not there, cannot be read or belong to another architecture.
    """
    spec = BACKBONES[name]
    state = _imagenet(spec.builder) if source == "imagenet" else _read(Path(source))
    try:
        missing, strange = backbone.load_state_dict(fitted(state, spec, backbone), strict=False)
        reasons = [*_tensors("missing", missing), *_tensors("unexpected", strange)]
    except (RuntimeError, ValueError) as error:  # for tensors of another shape, a line each
        reasons = [_first_line(error)]
    if reasons:
        raise ValueError(
            f"train.pretrained = {source} does not fit torchvision's {name}: {'; '.join(reasons)}; is it a file of {name}?"
        )


def fitted(state: State, spec: Backbone, backbone: nn.Module) -> State:
    """`state` of the whole torchvision model as `backbone` takes it: stem folded, position embeddings stretched to its grid."""
    state = {
        key: value for key, value in state.items() if not key.startswith(f"{spec.classifier}.")
    }
    stem = f"{spec.stem}.weight"
    if stem in state and state[stem].ndim == 4:
        state[stem] = fold(state[stem], backbone.get_submodule(spec.stem).in_channels)
    if isinstance(backbone, VisionTransformer) and "encoder.pos_embedding" in state:
        interpolate_embeddings(backbone.image_size, backbone.patch_size, state)
    return state


def fold(filters: torch.Tensor, channels: int) -> torch.Tensor:
    """Filters (out, in, height, width) for `channels` inputs; all equal, they give what all equal inputs gave before.

    The sum over the old inputs, shared out evenly among the new ones. Filters that already fit stay as they are.
    """
    if filters.shape[1] == channels:
        return filters
    return (filters.sum(1, keepdim=True) / channels).repeat(1, channels, 1, 1)


def _imagenet(builder: Callable[..., nn.Module]) -> State:
    weights = get_model_weights(builder).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    try:
        return weights.get_state_dict(
            progress=False, check_hash=True, map_location="cpu", weights_only=True
        )
    except Exception as error:  # whatever a net or a damaged file leads to
        raise ValueError(
            f"the ImageNet weights {file.name} can neither be read from {file.parent} nor downloaded ({type(error).__name__}); "
            f"put {weights.url} into that folder, or set train.pretrained = none"
        ) from error


def _read(path: Path) -> State:
    if not path.is_file():
        raise ValueError(
            f"train.pretrained = {path} is not a file; allowed are none, imagenet and the path of a .safetensors or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # whatever damaged bytes lead to; torch's message tells to unpickle them after all
        raise ValueError(
            f"train.pretrained = {path} cannot be read: it is damaged or holds more than tensors; {_REMEDY}"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise ValueError(f"train.pretrained = {path} is not a state dict; {_REMEDY}")
    return state


def _tensors(what: str, names: Sequence[str]) -> list[str]:
    """How many tensors are `what`, and the first of them; nothing when there is none."""
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return [f"{len(names)} tensors are {what} ({some})"] if names else []


def _first_line(error: Exception) -> str:
    """What torch says first about tensors of another shape, and how many more it names."""
    lines = [line.strip() for line in str(error).splitlines() if not line.endswith(":")]
    return textwrap.shorten(lines[0], 240) + (
        f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
    )
