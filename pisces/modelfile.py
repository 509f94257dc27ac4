"""`model.safetensors` and `model.json`: together all that is needed to load a trained model and use it."""

import json
import platform
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
import torchvision
from pydantic import ValidationError
from torch import nn

import pisces
from pisces import models
from pisces.datasets import Constellations, Recordings, Signals
from pisces.files import read_json, sha256, staged, write_json
from pisces.models import Architecture
from pisces.models.cldnn import Settings
from pisces.params import Draw, Render
from pisces.rendering import Drawing
from pisces.signals import Waveform

WEIGHTS, CARD = "model.safetensors", "model.json"


class Trained(NamedTuple):
    """A model in evaluation mode with the meaning of its inputs and outputs."""

    model: nn.Module
    architecture: Architecture
    input: Drawing | Waveform
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]


def save(folder: Path, trained: Trained) -> None:
    """Writes weights and card of a model into `folder`."""
    with staged(folder / WEIGHTS) as temporary:
        state = {key: value.contiguous().cpu() for key, value in trained.model.state_dict().items()}
        safetensors.torch.save_file(state, temporary)
    versions = {"pisces": pisces.__version__, "torch": torch.__version__, "torchvision": torchvision.__version__}
    cldnn = trained.architecture.cldnn
    card: dict[str, Any] = {
        **trained.architecture._asdict(),
        "cldnn": cldnn and cldnn._asdict(),
        "modulations": trained.modulations,
        "snrs_db": trained.snrs_db,
        "input": _describe(trained.input),
        "weights_sha256": sha256(folder / WEIGHTS),
        "versions": versions | {"python": platform.python_version()},
    }
    write_json(folder / CARD, card)


def load(folder: Path) -> Trained:
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
        looks_at = _input(card["input"])
        cldnn = card["cldnn"] and Settings(**card["cldnn"])
        architecture = Architecture(card["model"], card["branches"], card["snr_head"], cldnn)
        modulations, snrs_db = tuple(card["modulations"]), tuple(card["snrs_db"])
        model = models.build(architecture, looks_at.shape, len(modulations), snrs_db)
        digest = card["weights_sha256"]
    except (KeyError, TypeError, json.JSONDecodeError, ValidationError) as error:
        what = " ".join(repr(error).split())[:300]
        raise ValueError(f"{card_file} is not a model card ({what}); make it again with dvc repro --force train") from None
    if sha256(weights) != digest:
        raise ValueError(f"{weights} is not the file that {card_file} describes (its weights_sha256 differs); keep the two together")
    try:
        model.load_state_dict(safetensors.torch.load_file(weights))
    except RuntimeError as error:
        raise ValueError(f"{weights} does not fit the {architecture.model} of {card_file}: {' '.join(str(error).split())[:300]}") from None
    return Trained(model.eval(), architecture, looks_at, modulations, snrs_db)


def recordings(trained: Trained, constellations: Path, shards: Path) -> Recordings:
    """What the model is asked about: the constellations or the IQ shards of a directory; errors as `check_fits`."""
    data = Signals(shards) if isinstance(trained.input, Waveform) else Constellations(constellations)
    check_fits(trained, data)
    return data


def _describe(looks_at: Drawing | Waveform) -> dict[str, Any]:
    if isinstance(looks_at, Waveform):
        return {"samples": looks_at.samples}
    return {"render": looks_at.render.model_dump(), "draw": looks_at.draw.model_dump()}


def _input(card: dict[str, Any]) -> Drawing | Waveform:
    if "samples" in card:
        return Waveform(card["samples"])
    # Through JSON: strict, yet a list becomes a tuple.
    return Drawing(*(kind.model_validate_json(json.dumps(card[key])) for key, kind in (("render", Render), ("draw", Draw))))


def check_fits(trained: Trained, data: Recordings) -> None:
    """Raises ValueError unless the model was made for exactly the classes and kind of frames of the data."""
    pairs = {
        "modulations": (trained.modulations, data.modulations),
        "SNRs in dB": (trained.snrs_db, data.snrs_db),
    }
    if isinstance(trained.input, Waveform):
        pairs["frames of so many samples:"] = (trained.input.samples, data.samples)
    else:
        for key in Render.model_fields:
            pairs[f"render.{key}"] = (getattr(trained.input.render, key), getattr(data.render, key))
    for what, (of_model, of_data) in pairs.items():
        if of_model != of_data:
            raise ValueError(f"the model knows {what} {of_model} but {data.root} has {of_data}; train again with dvc repro train")
