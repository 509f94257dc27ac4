"""The committed metrics are headlines: few numbers under short, fixed keys."""

import json
from pathlib import Path
from typing import Any

import pytest

from pisces.config.presets import leaves

METRICS = Path(__file__).parents[1] / "metrics"
MOST_IN_ALL = 60
MOST = {
    "evaluate": 20,
    "pis": 12,
    "attribution": 4,
    "counterfactual": 4,
    "limits": 3,
    "audit": 4,
    "train": 3,
}
"""Numbers of each file; all of them together fit on a screen."""


def read(stage: str) -> dict[str, Any]:
    return dict(leaves(json.loads((METRICS / f"{stage}.json").read_text())))


def test_these_are_the_files():
    assert {path.stem for path in METRICS.glob("*.json")} == set(MOST)
    assert sum(MOST.values()) <= MOST_IN_ALL


@pytest.mark.parametrize("stage", MOST)
def test_few_numbers_and_nothing_else(stage):
    values = read(stage)
    assert 0 < len(values) <= MOST[stage]
    for key, value in values.items():
        assert type(value) in (int, float), f"{key} = {value!r} is no number"


@pytest.mark.parametrize("stage", MOST)
def test_keys_fit_a_narrow_column(stage):
    too_long = [key for key in read(stage) if len(key) > 28]
    assert too_long == []


def test_keys_of_evaluate():
    interval = ("accuracy", "ci_low", "ci_high")
    expected = {f"{task}.{name}" for task in ("modulation", "snr", "joint") for name in interval}
    expected |= {"modulation.macro_f1", "snr.macro_f1", "snr.mae_db"}
    heads = ("modulation_ece", "snr_ece", "snr_coverage", "snr_interval_db", "false_alarms")
    expected |= {f"calibration.{name}" for name in heads}
    bands = {f"band.{name}" for name in ("low", "middle", "high")}

    found = set(read("evaluate"))
    assert found - bands == expected


def test_keys_of_limits():
    found = set(read("limits"))
    assert found - {"modulation.blind_gap"} == {"modulation.gap_points", "snr.gap_points"}
