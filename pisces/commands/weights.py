"""Whether the weights that params name can be trained on from, before anything runs."""

from pathlib import Path

from pisces.config.io import PARAMS
from pisces.config.schema import Params


def check_weights(params: Params) -> None:
    """Opens what `train` would start or learn from.

    Raises:
        FileNotFoundError, ValueError: where there are no weights at a path, or they are damaged, or
            those of another model.
    """
    train, noise_aware = params.train, params.noise_aware
    source = train.pretrained
    if Path(source).is_dir():
        _check_model("train.pretrained", source, train.model)
    elif source not in ("none", "imagenet"):
        _check_file("train.pretrained", source, params)

    for name in ("reference", "teacher"):
        folder = getattr(noise_aware, name)
        if folder == "none":
            continue
        if not Path(folder).is_dir():
            raise _no_folder(f"noise_aware.{name}", folder, "cldnn")
        _check_model(f"noise_aware.{name}", folder, "cldnn")


def _check_model(key: str, folder: str, model: str) -> None:
    """Raises an error unless a folder holds a whole model of that name."""
    from pisces.models import modelfile

    names = modelfile.WEIGHTS, modelfile.CARD
    missing = [name for name in names if not (Path(folder) / name).is_file()]
    if missing:
        raise ValueError(
            f"{PARAMS}: {key} = {folder} holds no {missing[0]}; "
            f"name a folder with {' and '.join(names)} of a trained model, or set it to none"
        )
    found = modelfile.load_named(f"{PARAMS}: {key}", Path(folder)).architecture.model
    if found != model:
        raise ValueError(
            f"{PARAMS}: {key} = {folder} is a model with train.model = {found}, "
            f"and {model} is needed; name one, or set it to none"
        )


def _check_file(key: str, source: str, params: Params) -> None:
    """Raises ValueError unless a path leads to weights of the backbone that is trained."""
    import torch

    from pisces.models import backbones, pretrained

    model = params.train.model
    if model not in backbones.BACKBONES:
        raise _no_folder(key, source, model)
    if not Path(source).is_file():
        raise ValueError(
            f"{PARAMS}: {key} = {source} does not exist; allowed are none, imagenet, "
            "a .safetensors or .pth file, and the folder of a trained model"
        )
    with torch.device("meta"):  # which takes neither time nor memory
        # Of one channel: the stem is folded to any number.
        backbone, _ = backbones.build(model, 1, params.render.size)
    pretrained.load(backbone, model, source, assign=True)


def _no_folder(key: str, source: str, model: str) -> ValueError:
    return ValueError(
        f"{PARAMS}: {key} = {source} is no folder of a model; "
        f"for {model} name that of a trained one, or set it to none"
    )
