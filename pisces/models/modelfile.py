"""`model.safetensors` and `model.json`: together all that is needed to load a trained model and use it."""

import platform
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
import torchvision
from torch import nn

from pisces import models
from pisces.core.files import read_json, sha256, staged, write_json
from pisces.core.version import VERSION
from pisces.inputs import kind_of
from pisces.inputs.base import FrameStore, Input
from pisces.models import Architecture
from pisces.models.cldnn import Settings

WEIGHTS, CARD = "model.safetensors", "model.json"


class TrainedModel(NamedTuple):
    """A model in evaluation mode with the meaning of its inputs and outputs."""

    model: nn.Module
    architecture: Architecture
    input: Input
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]


def save(folder: Path, trained: TrainedModel) -> None:
    """Writes weights and card of a model into `folder`."""
    with staged(folder / WEIGHTS) as temporary:
        state = {key: value.contiguous().cpu() for key, value in trained.model.state_dict().items()}
        safetensors.torch.save_file(state, temporary)
    versions = {
        "pisces": VERSION,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }
    cldnn = trained.architecture.cldnn
    card: dict[str, Any] = {
        **trained.architecture._asdict(),
        "cldnn": cldnn and cldnn._asdict(),
        "modulations": trained.modulations,
        "snrs_db": trained.snrs_db,
        "input": trained.input.card(),
        "weights_sha256": sha256(folder / WEIGHTS),
        "versions": versions | {"python": platform.python_version()},
    }
    write_json(folder / CARD, card)


def load(folder: Path) -> TrainedModel:
    """The model of `folder`, on the CPU.

    Raises:
        FileNotFoundError: when one of the two files is missing.
        ValueError: when they do not belong together or cannot be read.
    """
    weights, card_file = folder / WEIGHTS, folder / CARD
    for path in (weights, card_file):
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist; make it with dvc repro train")
    try:
        card = read_json(card_file)
        seen = _input(card["input"])
        cldnn = card["cldnn"] and Settings(**card["cldnn"])
        architecture = Architecture(card["model"], card["branches"], card["snr_head"], cldnn)
        modulations, snrs_db = tuple(card["modulations"]), tuple(card["snrs_db"])
        model = models.build(architecture, seen.shape, len(modulations), snrs_db)
        digest = card["weights_sha256"]
    except (KeyError, TypeError, ValueError) as error:
        what = " ".join(repr(error).split())[:300]
        raise ValueError(
            f"{card_file} is not a model card ({what}); make it again with dvc repro --force train"
        ) from None
    if sha256(weights) != digest:
        raise ValueError(
            f"{weights} is not the file that {card_file} describes (its weights_sha256 differs); keep the two together"
        )
    try:
        model.load_state_dict(safetensors.torch.load_file(weights))
    except RuntimeError as error:
        raise ValueError(
            f"{weights} does not fit the {architecture.model} of {card_file}: {' '.join(str(error).split())[:300]}"
        ) from None
    return TrainedModel(model.eval(), architecture, seen, modulations, snrs_db)


def check_fits(trained: TrainedModel, store: FrameStore) -> None:
    """Raises ValueError unless the model was made for exactly the classes and kind of frames of the store."""
    pairs = {
        "modulations": (trained.modulations, store.modulations),
        "SNRs in dB": (trained.snrs_db, store.snrs_db),
    }
    for name, required in trained.input.requirements.items():
        pairs[name] = (required, store.properties.get(name))
    for name, (of_model, of_data) in pairs.items():
        if of_model != of_data:
            raise ValueError(
                f"the model knows {name} {of_model} but {store.root} has {of_data}; train again with dvc repro train"
            )


def _input(card: dict[str, Any]) -> Input:
    """The input that a card describes."""
    return kind_of("iq" if "samples" in card else "constellation").from_card(card)
