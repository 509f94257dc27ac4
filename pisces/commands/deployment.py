"""`python -m pisces export-model` and `register-model`: a model to where it is needed."""

import argparse
from pathlib import Path

from pisces.commands.help_texts import texts_of

WHICH = "folder of a model; default: models, else the one shipped"


def add_export_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `export-model` to the commands of a parser."""
    exporting = commands.add_parser("export-model", **texts_of(export_model))
    exporting.set_defaults(function=export_model)
    exporting.add_argument("--model", type=Path, help=WHICH)
    formats = ("onnx", "torch")
    exporting.add_argument(
        "--format", dest="kind", choices=formats, default="onnx", help="default: onnx"
    )
    exporting.add_argument("--out", type=Path, help="default: model.onnx or model.pt2")
    length = "of a frame; default: of the model, or 1024 where it does not say"
    exporting.add_argument("--samples", type=int, help=length)
    plain = "leave the search for echoes out: a smaller and faster graph"
    exporting.add_argument("--no-echo", action="store_true", help=plain)
    turns = "frames as (n, 1, 2 * samples), for GNU Radio 4's block OnnxInference"
    exporting.add_argument("--gnuradio4", action="store_true", help=turns)


def add_register_model(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `register-model` to the commands of a parser."""
    registering = commands.add_parser("register-model", **texts_of(register_model))
    registering.set_defaults(function=register_model)
    registering.add_argument("--model", type=Path, help=WHICH)


def export_model(
    model: Path | None,
    kind: str,
    out: Path | None,
    samples: int | None,
    no_echo: bool,
    gnuradio4: bool,
) -> None:
    """Writes a model as one graph, from raw frames to probabilities, for onnxruntime or torch.

    Args:
        model: its folder; None: that of the last training here, else the one shipped.
        kind: `onnx` or `torch`.
        out: the file; None for the usual name, in this folder.
        samples: of a frame; None for what the model says.
        no_echo: whether the graph looks for no echo, where the model's receiver does.
        gnuradio4: whether an ONNX graph takes I and Q in turn, as GNU Radio 4's block gives them.
    """
    from pisces.deploy import export
    from pisces.models import shipped
    from pisces.run import execution, output_folders

    target = out or Path(export.FORMATS[kind])
    output_folders.require_target(target)
    written = export.export_model(
        model or shipped.folder(),
        target,
        kind,
        samples=samples,
        echo=not no_echo,
        interleaved=gnuradio4,
        revision=execution.revision(),
    )
    print(f"wrote {written}")


def register_model(model: Path | None) -> None:
    """Registers a model in MLflow, from where `mlflow models serve` takes it."""
    from pisces.deploy import export, served
    from pisces.models import shipped
    from pisces.models.modelfile import CARD, WEIGHTS
    from pisces.run import tracking

    folder = model or shipped.folder()
    files = [folder / name for name in (WEIGHTS, CARD)]
    where, version = tracking.register(files, served.__name__, *export.example_of(folder))
    print(f"registered {folder} as version {version}; serve it with")
    print(f"  mlflow models serve -m {where} --env-manager local --host 127.0.0.1 --port 5001")
