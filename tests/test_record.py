"""A result as JSON: for whom, of which frames, and as a row of a public board."""

import json

import pytest

from pisces.commands import comparison
from pisces.experiments import measures, record
from tests import made_up

PARAMS = {"base.seed": 1, "train.seed": 1, "train.model": "pixel_set"}
REQUIRED = {"schema_version", "task", "model", "regime", "dataset", "split", "metrics"}
"""Of a row of the board, with `verification`."""


@pytest.fixture
def run(tmp_path, monkeypatch) -> made_up.Repository:
    monkeypatch.chdir(tmp_path)
    repository = made_up.Repository(tmp_path)
    repository.run("one", made_up.predictions(0.7, 1), PARAMS)
    repository.run("other", made_up.predictions(0.7, 2), PARAMS | {"train.seed": 2})
    presets = repository.root / "presets"
    presets.mkdir()
    (presets / "default.yaml").write_text((made_up.ROOT / "presets/default.yaml").read_text())
    return repository


def test_a_record_says_what_was_measured_on_which_frames(run):
    one, other = record.records(["one", "other"])
    assert one["metrics"]["joint"]["value"] == pytest.approx(
        measures.per_frame(made_up.predictions(0.7, 1), "joint").mean()
    )
    assert one["metrics"]["joint"]["ci_low"] < one["metrics"]["joint"]["value"]
    assert (one["seed"], other["seed"]) == (1, 2)
    assert one["revision"] == run.git("rev-parse", "HEAD~1")
    assert one["split"] == other["split"]
    assert one["split"]["test_frames"] == 270
    assert one["dataset"]["shards_md5"] == f"{made_up.md5_of('frames')}.dir"
    assert other["regime"]["params_that_differ"]["train.seed"] == 2
    points = one["curves"]["joint"]
    assert [point["snr_label"] for point in points] == list(made_up.SNRS_DB)
    frames_right = sum(point["value"] * point["frames"] for point in points)
    assert frames_right / 270 == pytest.approx(one["metrics"]["joint"]["value"])


def test_other_test_frames_have_another_hash(run):
    run.run("far", made_up.predictions(0.7, 1, first=3), PARAMS | {"train.seed": 3})
    one, far = record.records(["one", "far"])
    assert one["split"]["test_frames_sha256"] != far["split"]["test_frames_sha256"]


@pytest.mark.usefixtures("run")
def test_a_row_of_the_board_has_what_its_schema_requires():
    one = record.records(["one"])[0]
    row = record.for_amc_board(one)
    assert row.keys() >= REQUIRED | {"verification"}
    assert row["metrics"]["values"]["accuracy_overall"] == one["metrics"]["modulation"]["value"]
    assert row["metrics"]["primary"] in row["metrics"]["values"]
    assert row["metrics"]["uncertainty"].keys() == row["metrics"]["values"].keys()
    assert row["split"]["checksum"] == f"sha256:{one['split']['test_frames_sha256']}"
    assert row["eval"]["conditions"]["snr_db_min"] == min(made_up.SNRS_DB)
    assert row["environment"]["code_commit"] == one["revision"]
    assert row["model"] == {"name": "pixel_set", "family": "baseline", "pretrained": False}


def test_one_file_of_one_result_or_of_several(run):
    out = run.root / "results.json"
    comparison.record(["one"], out, None)
    assert json.loads(out.read_text())["experiment"] == "one"
    comparison.record(["one", "other"], out, "amc")
    assert [row["environment"]["seed"] for row in json.loads(out.read_text())] == [1, 2]


def test_a_record_of_nothing_is_refused_whole(run):
    run.run("trained", None, PARAMS)
    out = run.root / "results.json"
    with pytest.raises(ValueError, match="no result to record of trained: it has no predictions"):
        comparison.record(["one", "trained"], out, None)
    assert not out.exists()
