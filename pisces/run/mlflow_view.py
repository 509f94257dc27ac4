"""How MLflow's interface shows our runs: columns of the table, charts, and its page for training.

MLflow calls that a shared view: JSON in a tag of the experiment, which an address names.
"""

import json
from typing import Any

NAME = "pisces"
PAGE = f"runs?viewStateShareKey={NAME}&workflowType=machine_learning"
"""Below an experiment. Without the second part MLflow 3 opens on traces."""

COLUMNS = (
    "metrics.`evaluate/joint.accuracy`",
    "metrics.`evaluate/modulation.accuracy`",
    "metrics.`evaluate/snr.accuracy`",
    "metrics.`evaluate/snr.mae_db`",
    "metrics.`pis/joint.excess`",
    "params.`train.model`",
    "tags.`preset`",
    "tags.`revision`",
    "tags.`study`",
)
"""Of the table of runs, which by itself shows no number."""

CURVES, BARS, PICTURES = "LINE", "BAR", "IMAGE"
SECTIONS = {
    "Accuracy over the SNR label": (
        CURVES,
        ("evaluate/by_snr.joint", "evaluate/by_snr.modulation", "evaluate/by_snr.snr"),
    ),
    "Training, by epoch": (
        CURVES,
        (
            "train/train_loss",
            "train/validation_loss",
            "train/validation_joint_accuracy",
            "train/validation_modulation_accuracy",
            "train/validation_snr_accuracy",
        ),
    ),
    "Results": (
        BARS,
        (
            "evaluate/joint.accuracy",
            "evaluate/modulation.accuracy",
            "evaluate/snr.accuracy",
            "evaluate/modulation.macro_f1",
            "evaluate/snr.mae_db",
            "limits/modulation.gap_points",
            "limits/snr.gap_points",
            "pis/joint.top",
            "pis/joint.random",
            "pis/joint.excess",
            "train/best_epoch",
        ),
    ),
    "Pictures": (
        PICTURES,
        (
            "accuracy_by_snr",
            "confusion_modulation",
            "confusion_snr",
            "ceiling",
            "degradation",
            "pis",
        ),
    ),
}
"""Section of charts -> their kind, and the metrics or pictures. Each is a chart, and many make the
interface slow."""


def charted(kind: str) -> set[str]:
    """The metrics or pictures that have a chart of this kind."""
    return {name for of_kind, names in SECTIONS.values() if of_kind == kind for name in names}


def view() -> str:
    """The state of the page of runs, as MLflow's interface writes it."""
    charts = []
    for section, (kind, names) in SECTIONS.items():
        charts += [_chart(section, kind, name) for name in names]
    state = {
        "searchFilter": "",
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": COLUMNS,
        "compareRunSections": [_section(name) for name in SECTIONS],
        "compareRunCharts": charts,
        "isAccordionReordered": True,  # else by their names
        "hideEmptyCharts": True,
    }
    return json.dumps(state)


def _section(name: str) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False}


def _chart(section: str, kind: str, name: str) -> dict[str, Any]:
    """A chart of the first ten runs."""
    chart: dict[str, Any] = {
        "uuid": f"{section} {name}",
        "type": kind,
        "runsCountToCompare": 10,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
        "displayName": name,
    }
    if kind == PICTURES:
        return chart | {"imageKeys": [name], "step": 0, "showRunParams": False}
    if kind == BARS:
        return chart | {"metricKey": name}
    return chart | {
        "metricKey": name,
        "selectedMetricKeys": [name],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }
