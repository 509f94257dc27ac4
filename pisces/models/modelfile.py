"""`model.safetensors` and `model.json`: together all that it takes to use a trained model."""

import json
import platform
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError

from pisces import models
from pisces.core.files import read_json, sha256, staged, together, write_json
from pisces.core.reading import require
from pisces.core.settings import from_json
from pisces.core.snr_label import SnrLabel
from pisces.core.texts import counted, in_one_line, readable_size
from pisces.core.version import VERSION
from pisces.inputs import INPUTS, kind_of
from pisces.inputs.base import FrameStore, Input
from pisces.models import Architecture
from pisces.models.calibration import Calibration
from pisces.models.classifier import Classifier
from pisces.models.cldnn import Settings
from pisces.models.pretrained import not_finite

WEIGHTS, CARD = "model.safetensors", "model.json"
LARGEST_SNR_DB = 1000
MOST_CARD_BYTES = 2**26
"""Some hundred times as much as the calibration of 24 modulations at 26 SNRs takes."""
LONGEST = 300  # characters of another library's message in one of ours


class TrainedModel(NamedTuple):
    """A model in evaluation mode with the meaning of its inputs and outputs."""

    model: Classifier
    architecture: Architecture
    input: Input
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    snr_label: SnrLabel = "power"  # what `snrs_db`, which are labels, mean
    calibration: Calibration | None = None  # how far it can be trusted; see `pisces.prediction`


@dataclass(frozen=True)
class _Card:
    """What `model.json` must say; its `versions` are for people."""

    model: str
    branches: str
    snr_head: str
    cldnn: Settings | None
    modulations: tuple[str, ...]
    snrs_db: tuple[int, ...]
    input: dict[str, Any]
    weights_sha256: str
    # Neither is named by cards made before it existed.
    snr_label: SnrLabel = "power"
    calibration: Calibration | None = None


def save(folder: Path, trained: TrainedModel) -> None:
    """Writes weights and card of a model into `folder`: both, or neither."""
    weights = trained.model.state_dict()
    # Contiguous, so that the memory format of the device does not reach the file.
    portable = {key: value.contiguous().cpu() for key, value in weights.items()}
    size = sum(tensor.nbytes for tensor in portable.values())
    with together():
        with staged(folder / WEIGHTS, size) as temporary:
            safetensors.torch.save_file(portable, temporary)
            digest = sha256(temporary)
        write_json(folder / CARD, _card(trained, digest))


def load(folder: Path) -> TrainedModel:
    """The model of `folder`, on the CPU.

    Raises:
        FileNotFoundError: when one of the two files is missing.
        ValueError: when they do not belong together or cannot be read.
    """
    weights, card_file = folder / WEIGHTS, folder / CARD
    for path in (weights, card_file):
        require(path, "train")

    try:
        card = _read_card(card_file)
        with torch.device("meta"):  # which takes no memory, whatever sizes a card asks for
            described = _from_card(card)
    except ValueError as error:
        raise ValueError(
            f"{card_file} is not a model card: {in_one_line(error, LONGEST)}; "
            f"use the {CARD} that belongs to {weights}, "
            "or make both again with dvc repro --force train"
        ) from None

    if sha256(weights) != card.weights_sha256:
        raise ValueError(
            f"{weights} is not the file that {card_file} describes (its weights_sha256 differs); "
            "keep the two together"
        )

    state = _read_weights(weights)
    try:
        # Of what does not fit this takes no memory either.
        described.model.load_state_dict(state, assign=True)
        fresh = _from_card(card)
        fresh.model.load_state_dict(state)
    except RuntimeError as error:
        raise ValueError(
            f"{weights} does not fit the {described.architecture.model} of {card_file}: "
            f"{in_one_line(error, LONGEST)}"
        ) from None
    return fresh


def load_named(key: str, folder: Path) -> TrainedModel:
    """The model of a folder that a param names; as `load`, with the param in every error."""
    try:
        return load(folder)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{key} = {folder}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{key} = {folder}: {error}") from None


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file; ValueError when it is damaged or one of them is not finite."""
    again = "train again with dvc repro --force train, or take another copy of the file"
    try:
        state = safetensors.torch.load_file(path)
    except SafetensorError as error:
        reason = in_one_line(error, LONGEST)
        raise ValueError(f"{path} is damaged ({reason}); {again}") from None

    broken = not_finite(state)
    if broken:
        raise ValueError(
            f"{path} holds NaN or infinity in {counted(len(broken), 'tensor')}, such as "
            f"{broken[0]}, from which nothing can be predicted; {again}"
        )
    return state


def check_fits(trained: TrainedModel, store: FrameStore) -> None:
    """Raises ValueError unless the model was made for the classes and frames of the store."""
    pairs: dict[str, tuple[Any, Any]] = {
        "modulations": (trained.modulations, store.modulations),
        "SNRs in dB": (trained.snrs_db, store.snrs_db),
        "SNR labels of the convention": (trained.snr_label, store.snr_label),
    }
    for name, required in trained.input.requirements.items():
        pairs[name] = (required, store.properties.get(name))

    for name, (of_model, of_data) in pairs.items():
        if of_model != of_data:
            raise ValueError(
                f"the model knows {name} {of_model} but {store.root} has {of_data}; "
                "train again with dvc repro train"
            )


def _card(trained: TrainedModel, weights_sha256: str) -> dict[str, Any]:
    """What `_from_card` needs, and which versions made it."""
    # Imported here, since it takes seconds that whoever loads a model need not spend.
    import torchvision

    cldnn = trained.architecture.cldnn
    versions = {
        "pisces": VERSION,
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "python": platform.python_version(),
    }
    return {
        **trained.architecture._asdict(),
        "cldnn": cldnn and cldnn._asdict(),
        "modulations": trained.modulations,
        "snrs_db": trained.snrs_db,
        "snr_label": trained.snr_label,
        "input": trained.input.card(),
        "calibration": trained.calibration and asdict(trained.calibration),
        "weights_sha256": weights_sha256,
        "versions": versions,
    }


def _read_card(path: Path) -> _Card:
    """The card in a file; ValueError names each key that is missing or of the wrong type."""
    size = path.stat().st_size
    if size > MOST_CARD_BYTES:
        most = readable_size(MOST_CARD_BYTES)
        raise ValueError(f"it has {readable_size(size)}, and a card has {most} at most")
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"it holds {type(content).__name__} instead of keys with values")
    known = {one.name for one in fields(_Card)}
    card = from_json(_Card, json.dumps({key: content[key] for key in content if key in known}))
    _check_classes(card)
    if card.calibration:
        card.calibration.check(len(card.modulations), len(card.snrs_db))

    # The defaults of settings are for who makes a model; which one was made must be said.
    unsaid = [key for key in Settings._fields if card.cldnn and key not in content["cldnn"]]
    if unsaid:
        raise ValueError(", ".join(f"cldnn.{key}" for key in unsaid) + " missing")
    return card


def _check_classes(card: _Card) -> None:
    """Raises ValueError unless the classes are those that a model can have been trained on."""
    if len(card.modulations) < 2 or len(set(card.modulations)) < len(card.modulations):
        raise ValueError("modulations must be two or more, each once")
    rising = list(card.snrs_db) == sorted(set(card.snrs_db))
    if len(card.snrs_db) < 2 or not rising or max(map(abs, card.snrs_db)) > LARGEST_SNR_DB:
        raise ValueError(
            f"snrs_db must be two or more, rising, of at most {LARGEST_SNR_DB} dB either way"
        )


def _from_card(card: _Card) -> TrainedModel:
    """A fresh model as a card describes it; ValueError says which key describes none."""
    architecture = Architecture(card.model, card.branches, card.snr_head, card.cldnn)

    if "kind" not in card.input:
        raise ValueError(f"input.kind is missing; it is one of {', '.join(INPUTS)}")
    kind = card.input["kind"]
    if kind not in tuple(INPUTS):
        raise ValueError(f"input.kind = {kind!r} is unknown; it is one of {', '.join(INPUTS)}")
    try:
        seen = kind_of(kind).from_card(card.input)
    except ValueError as error:
        raise ValueError(f"in its input, {error}") from None

    try:
        model = models.build(architecture, seen.shape, len(card.modulations), card.snrs_db)
    except RuntimeError as error:
        raise ValueError(f"no {card.model} can be built from it: {error}") from None
    classes = card.modulations, card.snrs_db
    return TrainedModel(
        model.eval(), architecture, seen, *classes, card.snr_label, card.calibration
    )
