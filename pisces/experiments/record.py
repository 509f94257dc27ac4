"""One JSON object a result: what was measured, on which frames, and by what.

`docs/reference/benchmark.md` says what each field means. `for_amc_board` writes one as a row of the
board of modulation classification at github.com/crabedesneiges/rf-benchmark-hub.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from pisces.core import stats
from pisces.core.snr_label import convention_in, true_snr_db
from pisces.core.tasks import TASKS
from pisces.experiments import costs, predictions_of, standing
from pisces.experiments.measures import MEASURES, RESAMPLES, Interval, bootstrap, figures, right
from pisces.experiments.predictions_of import SPLITS, Experiment
from pisces.run.provenance import DATA, nearest_preset

VERSION = "1.0.0"
TASK = {"name": "joint_modulation_snr", "version": "v1"}
BOARD_VERSION = "1.2.0"
"""Of the result schema of the board, which 1.2.0 gave intervals."""
WORLDS = {
    ("rml2018", "amplitude"): "twin",
    ("rrc", "power"): "physical",
}
"""Pulse and SNR labels of generated frames -> what the board of joint classification calls them."""
FILES = {"rml2018": "RML2018.01A", "rml2016a": "RML2016.10a", "rml2016b": "RML2016.10b"}
"""Beginning of the name of a preset -> the file that it is for."""
BOARD_NAMES = {"RML2018.01A": "radioml_2018_01a", "RML2016.10a": "radioml_2016_10a"}
WHOLE_RANGES = {"RML2018.01A": [-20, 30], "RML2016.10a": [-20, 18]}
"""First and last SNR label of a file."""


def records(names: Sequence[str]) -> list[dict[str, Any]]:
    """A record of each experiment.

    Args:
        names: experiments of DVC, revisions of git, or `workspace`.

    Raises:
        ValueError: where there is no such experiment, or one of them has no predictions.
    """
    found, missing = predictions_of.find(names)
    if missing:
        lines = [f"{one.name}: {one.reason}" for one in missing]
        raise ValueError("there is no result to record of " + "; ".join(lines))
    models = costs.models_of(found)
    return [_record(one, models) for one in found]


def for_amc_board(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as a row of the board of automatic modulation classification.

    SNRs are labels there, as in the files. The board ranks rows of its own splits alone: frames of
    another one have an identifier made of ours, which it has to know first.
    """
    split, regime, environment = (record[name] for name in ("split", "regime", "environment"))
    data = regime["data"]
    plain = data.lower().replace(".", "").replace(" ", "-")
    labels = record["dataset"]["snr_labels"]
    ends = [min(labels), max(labels)]
    intervals = {
        "accuracy_overall": _uncertainty(record["metrics"]["modulation"]),
        "macro_f1": _uncertainty(record["metrics"]["macro_f1"]),
    }
    row: dict[str, Any] = {
        "schema_version": BOARD_VERSION,
        "created_at": record["created_at"],
        "task": {"name": "amc", "version": "v1"},
        "model": {
            "name": record["model"]["name"],
            "family": "baseline",
            "pretrained": record["model"]["pretrained"] != "none",
        },
        "regime": {"name": regime["training"]},
        "dataset": {
            "name": BOARD_NAMES.get(data, plain),
            "version": record["dataset"]["shards_md5"],
        },
        "split": {
            "canonical_split_id": f"amc-{plain}-pisces-{split['test_frames_sha256'][:8]}-v1",
            "name": split["part"],
            "seed": split["seed"],
            "checksum": f"sha256:{split['test_frames_sha256']}",
        },
        "metrics": {
            "primary": "accuracy_overall",
            "values": {
                "accuracy_overall": record["metrics"]["modulation"]["value"],
                "macro_f1": record["metrics"]["macro_f1"]["value"],
            },
            "uncertainty": intervals,
            "curves": {"accuracy_vs_snr": _points(record["curves"]["modulation"])},
        },
        "eval": {
            "conditions": {
                "snr_db_min": ends[0],
                "snr_db_max": ends[1],
                "full_snr_range": ends == WHOLE_RANGES.get(data),
                "snr_label": record["dataset"]["snr_label"],
            },
            "n_samples": split["test_frames"],
        },
        "environment": {
            "seed": record["seed"],
            "hardware": environment["device"],
            "python_version": environment["packages"].get("python", ""),
            "framework": f"torch {environment['packages'].get('torch', '')}",
        },
        "verification": {"status": "self_reported"},
    }
    if record["model"]["parameters"] is not None:
        row["model"]["n_params"] = record["model"]["parameters"]
    if record["revision"]:
        row["environment"]["code_commit"] = record["revision"]
    return row


def _record(one: Experiment, models: costs.Models) -> dict[str, Any]:
    card = _json(one, "models/model.json")
    run = costs.run_of(one)
    size = costs.size_and_epochs(one, models)
    preset = nearest_preset(one.params)
    pretrained = one.params.get("train.pretrained", "none")
    return {
        "record_version": VERSION,
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiment": one.name,
        "revision": one.files.commit,
        "code_sha256": one.code,
        "task": TASK,
        "model": {
            "name": one.params.get("train.model"),
            "input": one.params.get("train.input"),
            "pretrained": pretrained,
            "parameters": _whole(size["parameters"]),
            "epochs": _whole(size["epochs"]),
            "weights_sha256": card.get("weights_sha256"),
        },
        "regime": {
            "training": "from_scratch" if pretrained == "none" else "full_finetune",
            "data": _regime(one, preset.name if preset else ""),
            "preset": preset.name if preset else None,
            "params_that_differ": preset.changes if preset else dict(one.params),
        },
        "dataset": {
            "source_md5": one.lock.read("split_hdf5", one.params.get(DATA, "")),
            "shards_md5": one.data_md5,
            "snr_label": convention_in(one.predictions),
            "modulations": one.predictions["modulations"].tolist(),
            "snr_labels": one.predictions["snrs_db"].tolist(),
        },
        "split": {
            "part": "test",
            "seed": one.params.get("base.seed"),
            "splits_md5": one.lock.read("evaluate", SPLITS),
            "test_frames": len(one.predictions["frame"]),
            "test_frames_sha256": one.frames_sha256,
        },
        "seed": one.seed,
        "metrics": _metrics(one),
        "curves": {task: _curve(one, task) for task in TASKS},
        "environment": {
            "device": run.get("device", "unknown"),
            "accelerator": run.get("accelerator"),
            "precision": run.get("precision"),
            "threads": run.get("threads"),
            "packages": card.get("versions", {}),
        },
    }


def _metrics(one: Experiment) -> dict[str, dict[str, Any]]:
    """Measure -> value with its interval, how that was found, and the unit."""
    found = figures(one.predictions, bootstrap([one.predictions])[0])
    metrics = {}
    for measure in MEASURES:
        method = "wilson" if measure.is_share else "bootstrap_percentile"
        unit = "dB" if measure.unit == "dB" else "share"
        metrics[measure.name] = _interval(found[measure.name]) | {"unit": unit, "method": method}

    gap = standing.points_below_ceiling(one)
    if gap:
        metrics["below_ceiling"] = _interval(gap) | {"unit": "points", "method": "normal"}
    return metrics


def _curve(one: Experiment, task: str) -> list[dict[str, Any]]:
    """Accuracy at each SNR label, the true SNR beside it."""
    labels = one.predictions["snr_true_db"]
    is_right = right(one.predictions, task)
    points = []
    for label in np.unique(labels).tolist():
        at = is_right[labels == label]
        low, high = stats.wilson(int(at.sum()), len(at))
        snr_db = true_snr_db(label, convention_in(one.predictions))
        point = {"snr_label": label, "snr_db": snr_db, "frames": len(at)}
        points.append(point | _interval(Interval(float(at.mean()), low, high)))
    return points


def _interval(found: Interval) -> dict[str, float]:
    return {"value": found.value, "ci_low": found.low, "ci_high": found.high}


def _regime(one: Experiment, preset: str) -> str:
    """What the frames are of: a generated world, a public file, or one of the user's own."""
    params = one.params
    if "synthesize.pulse" in params:
        pulse, label = params["synthesize.pulse"], params.get("synthesize.snr_label", "")
        return WORLDS.get((pulse, label), "generated")
    known = [name for start, name in FILES.items() if preset.startswith(start)]
    return known[0] if known else "own file"


def _json(one: Experiment, path: str) -> dict[str, Any]:
    """A JSON file of the stage train, empty where DVC's cache lacks it."""
    file = one.files.cached("train", path)
    return json.loads(file.read_bytes()) if file else {}


def _whole(value: float) -> int | None:
    return None if np.isnan(value) else int(value)


def _uncertainty(metric: Mapping[str, Any]) -> dict[str, Any]:
    """An interval as the board has it, which knows Wilson's as one from the share and n alone."""
    found = {"ci_low": metric["ci_low"], "ci_high": metric["ci_high"], "confidence": 0.95}
    if metric["method"] == "wilson":
        note = "Wilson score interval of the predictions of all test frames"
        return found | {"method": "wilson_backfill", "note": note}
    return found | {"method": metric["method"], "n_resamples": RESAMPLES}


def _points(curve: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    return [
        {
            "x": float(point["snr_label"]),
            "y": point["value"],
            "y_low": point["ci_low"],
            "y_high": point["ci_high"],
        }
        for point in curve
    ]
