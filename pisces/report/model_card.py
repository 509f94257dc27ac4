"""The model card: what a model is, what made it, what it is worth and what it is not for."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pisces.core.snr_label import SnrLabel, true_snr_db
from pisces.core.texts import counted

TASKS_IN_WORDS = {"modulation": "modulation", "snr": "SNR", "joint": "both"}
IMPAIRMENTS = "synthesize.impairments."


class Making(NamedTuple):
    """What made a model."""

    params: Mapping[str, Any]
    """Full name -> value."""
    commands: Sequence[str]
    data_md5: str
    split_md5: str
    revision: str | None
    edited: Sequence[str]
    """Files of code that differ from the revision."""


class Known(NamedTuple):
    """All that is known of a model. What is None is said to be unknown."""

    card: Mapping[str, Any]
    """Content of `model.json`."""
    parameters: int
    frame_samples: int | None
    symbol_samples: int | None
    checksums: Mapping[str, str]
    """File -> SHA-256."""
    making: Making | None
    run: Mapping[str, Any] | None
    """Content of `models/run.json`."""
    evaluation: Mapping[str, Any] | None
    """Content of `metrics/evaluate.json`."""
    accuracy: pd.DataFrame | None
    """`plots/accuracy_by_snr.csv`."""
    ceiling: pd.DataFrame | None
    """`plots/ceiling.csv`."""


def text(known: Known, docs: str) -> str:
    """A model card in Markdown; the same bytes for the same model, tables and revision.

    Args:
        known: what it tells.
        docs: address of the folder `docs` as seen from the card, without a slash at its end.

    Returns:
        The text, with the front matter of a model hub.
    """
    sections = (
        _front_matter(known),
        _introduction(known),
        _use(),
        _training_data(known),
        _making(known),
        _accuracy(known),
        _calibration(known),
        _limits(known, docs),
        _licence(known),
        _files(known),
    )
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def _front_matter(known: Known) -> Iterator[str]:
    yield "---"
    yield f"license: {'mit' if _is_generated(known) else 'other'}"
    yield "library_name: pisces"
    yield "tags: [radio, sdr, automatic-modulation-classification, snr-estimation, onnx]"
    yield "---"


def _introduction(known: Known) -> Iterator[str]:
    card = known.card
    modulations, snrs_db = card["modulations"], _true_snrs_db(card)
    novelty = (card.get("calibration") or {}).get("novelty") or {}
    unknown = novelty.get("threshold") is not None
    yield f"# {card['model']}: {len(modulations)} modulations and their SNR"
    yield ""
    yield (
        f"From {_count(known.frame_samples)} samples of complex baseband, the model says which of "
        f"{len(modulations)} modulations they are, and their SNR, {snrs_db[0]} to {snrs_db[-1]} dB "
        "over the whole band."
    )
    if unknown:
        yield "It also says when a signal is unlike all that it was trained on."
    yield f"It has {_count(known.parameters)} parameters."
    yield ""
    yield f"Modulations: {', '.join(modulations)}."


def _use() -> Iterator[str]:
    yield "## Use"
    yield ""
    yield "A recording, on the command line; FOLDER holds this card and the two files beside it:"
    yield ""
    yield "    pisces predict recording.sigmf-meta --model FOLDER"
    yield "    pisces predict recording.cfile --sample-rate 1e6 --model FOLDER"
    yield ""
    yield "Frames float32 (n, samples, 2), I then Q, from Python:"
    yield ""
    yield "    from pathlib import Path"
    yield ""
    yield "    from pisces.models import modelfile"
    yield "    from pisces.prediction.frames import predict"
    yield ""
    yield '    prediction = predict(modelfile.load(Path("FOLDER")), frames)'
    yield "    print(prediction.modulation_prob, prediction.snr_db, prediction.known)"
    yield ""
    yield "As one ONNX file: `pisces export-model --model FOLDER`."


def _training_data(known: Known) -> Iterator[str]:
    card = known.card
    seen = card["input"]
    yield "## Trained on"
    yield ""
    yield "| | |"
    yield "|---|---|"
    samples, a_symbol = _count(known.frame_samples), _count(known.symbol_samples)
    yield f"| frame | {samples} samples, {a_symbol} samples a symbol |"
    yield f"| SNR labels | {_listed(card['snrs_db'])} |"
    yield f"| a label means | {_meaning(card['snr_label'])} |"
    if seen["kind"] == "constellation":
        views, size = seen["render"]["views"], seen["render"]["size"]
        yield f"| views | {_listed(views)}, {size} pixels a side |"

    if known.making is None:
        yield "| data | not known: the `dvc.lock` here is of another model |"
        return
    params = known.making.params
    yield f"| data | {_source(known)} |"
    yield f"| MD5 of the data | `{known.making.data_md5}` |"
    yield f"| MD5 of the split | `{known.making.split_md5}` |"
    parts = ("train", "validation", "test")
    shares = [f"{part} {_value(params[f'stratify.{part}'])}" for part in parts]
    yield f"| parts | {_listed(shares)} (shares, or frames of each modulation and SNR) |"
    if _is_generated(known):
        yield from _generated(params)


def _generated(params: Mapping[str, Any]) -> Iterator[str]:
    """Rows that say how frames were generated."""
    rolloff = _range(params["synthesize.rolloff"])
    yield f"| pulse | {params['synthesize.pulse']}, roll-off {rolloff} |"
    carrier = _value(params["synthesize.carrier_offset_std"])
    yield f"| carrier offset | standard deviation {carrier} cycles a sample |"
    yield f"| clock offset | up to {_value(params['synthesize.clock_offset_ppm'])} ppm |"
    frames = params["synthesize.frames_per_cell"]
    yield f"| frames | {frames} of each modulation at each SNR |"
    impairments = {
        key.removeprefix(IMPAIRMENTS): value
        for key, value in params.items()
        if key.startswith(IMPAIRMENTS) and value is not None
    }
    described = [f"{key} {_range(value)}" for key, value in impairments.items()]
    yield f"| impairments | {'; '.join(described) or 'none'} |"


def _making(known: Known) -> Iterator[str]:
    yield "## Made by"
    yield ""
    making = known.making
    if making is None:
        yield "Not known: the `dvc.lock` here is of another model."
    else:
        yield from (f"    {command}" for command in making.commands)
        yield ""
        yield f"- Revision when this card was written: {_revision(making)}."
    versions = known.card.get("versions", {})
    yield (
        "- Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."
    )
    if known.run is None:
        yield "- How the training went is not known: `run.json` is missing."
        return
    run = known.run
    yield (
        f"- {counted(run['epochs'], 'epoch')} on {run['device']}, precision {run['precision']}, "
        f"{counted(run['threads'], 'thread')}. Other threads or processors give other weights."
    )


def _revision(making: Making) -> str:
    if making.revision is None:
        return "not known, outside a git repository"
    if making.edited:
        return f"`{making.revision}`, with changes of {', '.join(making.edited)}"
    return f"`{making.revision}`"


def _accuracy(known: Known) -> Iterator[str]:
    yield "## Accuracy"
    yield ""
    if known.evaluation is None or known.accuracy is None:
        yield "Not known: no evaluation of this model lies here. `dvc repro evaluate` makes one."
        return
    yield "On frames of the same file that were not trained on, with 95 % intervals."
    yield ""
    for task, words in TASKS_IN_WORDS.items():
        one = known.evaluation[task]
        yield f"- {words}: {_percent(one['accuracy'], one['ci_low'], one['ci_high'])}"
    yield ""

    convention: SnrLabel = known.card["snr_label"]
    ceiling = _ceiling(known.ceiling)
    yield "| SNR (dB) | frames | modulation | ceiling | SNR | both |"
    yield "|---|---|---|---|---|---|"
    for row in known.accuracy.to_dict("records"):
        snr_db = true_snr_db(row["snr_db"], convention)
        modulation, snr, joint = (_of_row(row, task) for task in ("modulation", "snr", "joint"))
        most = ceiling.get(row["snr_db"], "")
        yield f"| {snr_db:g} | {row['frames']} | {modulation} | {most} | {snr} | {joint} |"
    yield ""
    if ceiling:
        yield (
            "Ceiling: the accuracy, for the modulation, of a likelihood test that knows all "
            "but the symbols and the noise."
        )
    else:
        yield "The ceiling of a likelihood test is not known: `dvc repro limits` makes it."


def _ceiling(table: pd.DataFrame | None) -> dict[int, str]:
    """SNR label -> accuracy of the likelihood test, in words."""
    if table is None:
        return {}
    rows = table[(table["task"] == "modulation") & (table["series"] == "ceiling")]
    return {row["snr_db"]: f"{100 * row['accuracy']:.1f} %" for row in rows.to_dict("records")}


def _calibration(known: Known) -> Iterator[str]:
    yield "## Calibration"
    yield ""
    calibration = known.card.get("calibration")
    if calibration is None:
        yield "None: probabilities are those of the heads as trained; nothing is called unknown."
        return

    yield f"Fitted on {_count(calibration['frames'])} validation frames."
    yield ""
    modulation, snr = calibration["modulation_temperature"], calibration["snr_temperature"]
    yield f"- Temperatures: modulation {modulation:.2f}, SNR {snr:.2f}."
    measured = (known.evaluation or {}).get("calibration")
    if measured is None:
        yield "- What that is worth on test frames is not known: `dvc repro evaluate` measures it."
        return
    for head in ("modulation", "snr"):
        of_head = f"Expected calibration error of the {TASKS_IN_WORDS[head]}"
        yield f"- {of_head}: {measured[f'{head}_ece']:.3f}."
    if "snr_coverage" in measured:
        aim, found = 100 * calibration["coverage"], 100 * measured["snr_coverage"]
        width_db = measured["snr_interval_db"]
        yield (
            f"- Intervals of the SNR are made to hold {aim:.0f} % of frames, and hold "
            f"{found:.1f} % of test frames; mean width {width_db:.2f} dB."
        )
    if "false_alarms" in measured:
        share = 100 * measured["false_alarms"]
        yield f"- {share:.1f} % of test frames, all of known classes, count as unknown."


def _limits(known: Known, docs: str) -> Iterator[str]:
    card = known.card
    snrs_db = _true_snrs_db(card)
    params = known.making.params if known.making else {}
    yield "## Known limits"
    yield ""
    yield (
        f"- **Classes.** It knows {len(card['modulations'])} modulations. Any other is, at best, "
        "called unknown; analogue modulation and frequency-shift keying have no class."
    )
    yield (
        f"- **Length.** A frame has {_count(known.frame_samples)} samples. `pisces predict` cuts "
        "recordings into such frames and refuses shorter ones."
    )
    yield (
        f"- **Rate.** A symbol has {_count(known.symbol_samples)} samples. `pisces predict` finds "
        "the symbol rate and resamples. A rate found wrong gives a wrong answer: say "
        "`--symbol-rate` where it is known."
    )
    yield (
        f"- **SNR.** {snrs_db[0]} to {snrs_db[-1]} dB over the band of a frame. Beyond, the "
        "nearest class is given."
    )
    if _is_generated(known):
        yield from _limits_of_generated(params)
    else:
        yield "- **Offsets and channel.** Those of the data that it was trained on, and no others."
    yield ""
    pages = {
        "recordings": "guide/recordings.md",
        "using a model": "guide/use_a_model.md",
        "limits": "results/limits.md",
        "robustness": "results/robustness.md",
    }
    links = [f"[{name}]({docs}/{page})" for name, page in pages.items()]
    yield f"More: {_listed(links)}."


def _limits_of_generated(params: Mapping[str, Any]) -> Iterator[str]:
    carrier = _value(params["synthesize.carrier_offset_std"])
    clock = _value(params["synthesize.clock_offset_ppm"])
    yield (
        f"- **Offsets.** Carriers of a standard deviation of {carrier} cycles a sample, clocks "
        f"within {clock} ppm. `pisces predict` centres a signal before."
    )
    yield (
        "- **Channel.** The impairments in the table above, and no others. Fading within a frame, "
        "other signals in the band and clipping were not trained on."
    )
    yield "- **Generated frames.** The accuracy above is of such frames, not of recordings."


def _licence(known: Known) -> Iterator[str]:
    yield "## Licence"
    yield ""
    if _is_generated(known):
        yield "MIT, the code, the generated frames and the weights."
        return
    yield (
        "The code is MIT. The data have a licence of their own, which may bind models trained on "
        "them: that of the RadioML files is CC BY-NC-SA 4.0."
    )


def _files(known: Known) -> Iterator[str]:
    yield "## Files"
    yield ""
    yield "| file | SHA-256 |"
    yield "|---|---|"
    yield from (f"| `{name}` | `{digest}` |" for name, digest in known.checksums.items())


def _is_generated(known: Known) -> bool:
    return known.making is not None and "synthesize.pulse" in known.making.params


def _source(known: Known) -> str:
    if _is_generated(known):
        return "generated by the stage `synthesize`"
    return "a file of its user's, or a folder of labelled recordings"


def _true_snrs_db(card: Mapping[str, Any]) -> list[int]:
    return [true_snr_db(label, card["snr_label"]) for label in card["snrs_db"]]


def _meaning(convention: SnrLabel) -> str:
    if convention == "power":
        return "the SNR in dB, over the whole band of a frame"
    return "half of the SNR in dB, over the whole band of a frame"


def _of_row(row: Mapping[Any, Any], task: str) -> str:
    return _percent(row[task], row[f"{task}_ci_low"], row[f"{task}_ci_high"])


def _percent(share: float, low: float, high: float) -> str:
    return f"{100 * share:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _range(value: Any) -> str:
    """A pair is a range; all else is as it is written."""
    if isinstance(value, list) and len(value) == 2:
        return f"{_value(value[0])} to {_value(value[1])}"
    return _value(value)


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _count(number: int | None) -> str:
    return "an unknown number of" if number is None else f"{number:,}".replace(",", " ")
