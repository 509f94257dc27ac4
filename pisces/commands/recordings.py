"""`python -m pisces predict`: recordings in, predictions out."""

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pisces.commands.help_texts import texts_of
from pisces.core.texts import counted

if TYPE_CHECKING:
    from pisces.prediction.files import Show
    from pisces.prediction.outputs import Outputs
    from pisces.prediction.recordings import Shown
    from pisces.sources.recordings import Recording

MOST_PICTURES = 50
"""Of the signals of a recording, that `--explain` draws."""


def add_predict(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `predict` to the commands of a parser."""
    predicting = commands.add_parser("predict", **texts_of(predict))
    predicting.set_defaults(function=predict)
    predicting.add_argument(
        "recordings", nargs="+", help="SigMF, WAV, FLAC, .npy, .mat, raw IQ, RadioML; - is stdin"
    )
    predicting.add_argument(
        "--model", type=Path, help="folder of a model; default: models, else the one shipped"
    )
    predicting.add_argument("--datatype", help="of raw samples, such as cf32, ci16, ci8 or cu8")
    predicting.add_argument("--sample-rate", type=float, help="in hertz")
    predicting.add_argument("--symbol-rate", type=float, help="in hertz; default: found")
    where = "signals are where the annotations of the file say, and nowhere else"
    predicting.add_argument("--annotated", action="store_true", help=where)
    hangs = "draw what each answer hangs on, and what is said without it"
    predicting.add_argument("--explain", action="store_true", help=hangs)
    out = Path("predictions")
    predicting.add_argument("--out", type=Path, default=out, help=f"default: {out}")


def predict(
    recordings: list[str],
    model: Path | None,
    datatype: str | None,
    sample_rate: float | None,
    symbol_rate: float | None,
    annotated: bool,
    explain: bool,
    out: Path,
) -> None:
    """Says which modulation each signal of recordings is, at which SNR, and whether it is known.

    Args:
        recordings: files, or - for the standard input.
        model: folder of a model; None: that of the last training here, else the one shipped.
        datatype: of raw samples.
        sample_rate: in hertz; it goes before what a file says.
        symbol_rate: in hertz; None: as annotated, or found.
        annotated: whether signals are where the annotations say, and nowhere else.
        explain: whether to draw what each answer hangs on.
        out: folder of what is written.
    """
    from pisces.models import modelfile, shipped
    from pisces.prediction import files
    from pisces.prediction.outputs import Outputs
    from pisces.prediction.recordings import Request
    from pisces.run import output_folders

    if symbol_rate is not None and not (math.isfinite(symbol_rate) and symbol_rate > 0):
        raise ValueError(f"--symbol-rate {symbol_rate:g} must be a number of hertz above 0")
    output_folders.require_writable(out)
    folder = model or shipped.folder()
    trained = modelfile.load(folder)
    if explain and not trained.input.pictures[0]:
        raise ValueError(
            f"the model in {folder} is given raw frames, without pictures of which something could "
            "be masked: leave --explain out, or take one of train.input = constellation"
        )
    print(f"model: {folder}", file=sys.stderr)
    if trained.calibration is None:
        print(
            "this model is not calibrated: probabilities are as trained, intervals of the SNR and "
            "what is known are left open",
            file=sys.stderr,
        )

    outputs = Outputs(out)
    source = files.Source(datatype, sample_rate, Request(symbol_rate, annotated))
    show = _explained(outputs) if explain else None
    predicted, complaints = files.predict_files(recordings, trained, source, outputs, show)
    if predicted:
        print(f"wrote {outputs.predictions} and more beside it")
    if complaints:
        failed = len(complaints)
        of = counted(predicted + failed, "recording")
        raise ValueError(f"not predicted: {failed} of {of}")


def _explained(outputs: "Outputs") -> "Show":
    """What draws each prediction of a recording, up to `MOST_PICTURES` of them."""
    from pisces.pis.signal import explain
    from pisces.report import signal as pictures
    from pisces.report import style

    def show(recording: "Recording", number: int, shown: "Shown") -> None:
        if number >= MOST_PICTURES:
            return
        prediction, model = shown.prediction, shown.model
        found = explain(model, shown.frames, prediction.modulation)
        start, end = prediction.start, prediction.start + prediction.count
        picture = pictures.Signal(
            title=f"{recording.name}, samples {start} to {end}: {prediction.modulation}",
            views=model.input.pictures[0],
            images=found.images,
            view=found.region.view,
            region=found.region.name,
            pixels=found.region.pixels,
            share=found.share,
            modulations=model.modulations,
            whole=found.whole,
            without=found.without,
        )
        path = outputs.picture(recording, number)
        style.save(pictures.signal(picture), path, pictures.DOTS_PER_INCH)

    return show
