"""`python -m pisces model-card` and `ship`: a model with what is known of it."""

import argparse
import hashlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pisces.commands.help_texts import texts_of
from pisces.core.files import read_json, together, write_bytes

if TYPE_CHECKING:
    import pandas

    from pisces.models.modelfile import TrainedModel
    from pisces.report.model_card import Known, Making
    from pisces.run.provenance import Lock, Provenance

MODEL, README, RUN = Path("models"), "README.md", "run.json"
CHECKSUMS = "SHA256SUMS"
EVALUATION, ACCURACY, CEILING = (
    "metrics/evaluate.json",
    "plots/accuracy_by_snr.csv",
    "plots/ceiling.csv",
)
PREDICTIONS = "data/predictions.npz"


def add_model_card(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `model-card` and `ship` to the commands of a parser."""
    writing = commands.add_parser("model-card", **texts_of(model_card))
    writing.set_defaults(function=model_card)
    writing.add_argument("--model", type=Path, default=MODEL, help=f"folder; default: {MODEL}")
    writing.add_argument("--out", type=Path, help=f"default: {README} beside the model")

    shipping = commands.add_parser("ship", **texts_of(ship))
    shipping.set_defaults(function=ship)
    shipping.add_argument("--model", type=Path, default=MODEL, help=f"folder; default: {MODEL}")


def model_card(model: Path, out: Path | None) -> None:
    """Writes a model card: what a model was trained on, what it is worth, what it is not for.

    Args:
        model: folder of a model. Params, metrics and tables are those of the repository around it.
        out: the card; None: `README.md` in that folder.
    """
    from pisces.run import output_folders

    target = out or model / README
    if out:
        output_folders.require_target(out)
    known = _known(model, _loaded(model))
    write_bytes(target, _text(known, target).encode())

    print(f"wrote {target}")
    if gaps := ", ".join(_unknown(known)):
        print(f"it says that these are not known: {gaps}")


def ship(model: Path) -> None:
    """Puts a trained model, its card and its checksums into the package, for `predict` to use.

    Args:
        model: folder of a model, in the repository that trained and evaluated it.
    """
    from pisces.models import modelfile
    from pisces.models.shipped import SHIPPED

    if SHIPPED.exists() and model.resolve() == SHIPPED.resolve():
        raise ValueError(f"{model} is the model that the package has; name the folder of another")
    trained = _loaded(model)
    if trained.calibration is None or trained.calibration.novelty is None:
        raise ValueError(
            f"{model / modelfile.CARD} has no calibration, so that predict could not say what is "
            "unknown; train it again with dvc repro train"
        )
    known = _known(model, trained)
    if gaps := ", ".join(_unknown(known)):
        raise ValueError(
            f"of the model in {model} these are not known: {gaps}; "
            "ship it from the repository that trained it, after dvc repro evaluate limits"
        )

    names = (modelfile.WEIGHTS, modelfile.CARD, README)
    contents = {name: (model / name).read_bytes() for name in names[:2]}
    contents[README] = _text(known, SHIPPED / README).encode()
    with together():
        for name, content in contents.items():
            write_bytes(SHIPPED / name, content)
        write_bytes(SHIPPED / CHECKSUMS, _checksum_lines(contents).encode())
    print(f"wrote {', '.join((*names, CHECKSUMS))} to {SHIPPED}; commit them")


def _loaded(model: Path) -> "TrainedModel":
    from pisces.models import modelfile

    return modelfile.load(model)


def _text(known: "Known", target: Path) -> str:
    from pisces.report.model_card import text

    return text(known, os.path.relpath("docs", target.parent))


def _checksum_lines(contents: dict[str, bytes]) -> str:
    """What `sha256sum --check` reads."""
    return "".join(f"{_sha256(content)}  {name}\n" for name, content in contents.items())


def _sha256(content: bytes) -> str:
    """As other programs compute it; `files.sha256` is one over the digests of several files."""
    return hashlib.sha256(content).hexdigest()


def _known(model: Path, trained: "TrainedModel") -> "Known":
    """All that the model and the repository around its folder say of it."""
    from pisces.models import modelfile
    from pisces.report.model_card import Known
    from pisces.run import provenance

    lock = provenance.Lock(model.resolve().parent)
    weights = model / modelfile.WEIGHTS
    made = provenance.of_model(lock, weights)
    evaluated = lock.read("evaluate", provenance.WEIGHTS) == provenance.md5(weights)
    predictions = lock.wrote("evaluate", PREDICTIONS)
    limited = evaluated and predictions == lock.read("limits", PREDICTIONS)

    files = modelfile.WEIGHTS, modelfile.CARD
    run = model / RUN
    evaluation = lock.intact("evaluate", EVALUATION) if evaluated else None
    return Known(
        card=read_json(model / modelfile.CARD),
        parameters=sum(one.numel() for one in trained.model.parameters()),
        frame_samples=trained.input.frame_samples,
        symbol_samples=trained.input.symbol_samples,
        checksums={name: _sha256((model / name).read_bytes()) for name in files},
        making=made and _making(made),
        run=read_json(run) if run.is_file() else None,
        evaluation=read_json(evaluation) if evaluation else None,
        accuracy=_table(lock, "evaluate", ACCURACY) if evaluated else None,
        ceiling=_table(lock, "limits", CEILING) if limited else None,
    )


def _making(made: "Provenance") -> "Making":
    from pisces.report.model_card import Making

    commands = ["dvc repro evaluate limits"]
    if made.preset:
        edits = [f"-S {shlex.quote(f'{key}={value}')}" for key, value in _settable(made)]
        run = " ".join(["dvc exp run", *edits, "evaluate limits"]) if edits else commands[0]
        commands = [f"python -m pisces preset {made.preset.name}", run]
    return Making(
        params=made.params,
        commands=commands,
        data_md5=made.data_md5,
        split_md5=made.split_md5,
        revision=made.revision,
        edited=made.edited,
    )


def _settable(made: "Provenance") -> list[tuple[str, str]]:
    """Params that differ from the preset, with values as Hydra's overrides write them."""
    import json

    assert made.preset is not None, "the caller has seen that there is one"
    return [(key, json.dumps(value)) for key, value in made.preset.changes.items()]


def _table(lock: "Lock", stage: str, path: str) -> "pandas.DataFrame | None":
    import pandas

    intact = lock.intact(stage, path)
    return pandas.read_csv(intact) if intact else None


def _unknown(known: "Known") -> list[str]:
    """What the card cannot tell, in words."""
    parts: dict[str, Any] = {
        "how it was made": known.making,
        "its training": known.run,
        "its accuracy": known.evaluation if known.accuracy is not None else None,
        "its ceiling": known.ceiling,
    }
    return [name for name, part in parts.items() if part is None]
