"""What a stage shows lies in its folder under its names, as the writers of tables and pictures write it."""

from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import matplotlib.image
import pandas as pd
import pytest
from matplotlib.figure import Figure

import stages.attribute
import stages.evaluate
import stages.limits
import stages.pis
from pisces.core import files
from pisces.report import results, style

TABLES = {
    "areas": pd.DataFrame({"view": ["raw", "noise"], "area": [1 / 3, None]}),
    "cells": pd.DataFrame({"snr_db": [-10, 20]}),
}


@pytest.fixture
def pictures() -> dict:
    """A figure and the axes of another one, of 2 x 1 and 3 x 1 inches."""
    return {"areas": Figure((2, 1)), "heatmap": Figure((3, 1)).subplots()}


def test_every_table_and_picture_is_written_under_its_name(tmp_path, pictures):
    written = results.write(tmp_path / "plots", TABLES, pictures)
    assert [path.name for path in written] == ["areas.csv", "cells.csv", "areas.png", "heatmap.png"]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(written)
    assert [path.read_text() for path in written[:2]] == [
        "view,area\nraw,0.333333\nnoise,\n",
        "snr_db\n-10\n20\n",
    ]
    for path, inches in zip(written[2:], (2, 3), strict=True):
        height, width, _ = matplotlib.image.imread(path).shape
        assert width / height == pytest.approx(inches, abs=inches / height)


def test_files_are_byte_for_byte_those_of_the_writers(tmp_path, pictures):
    written = results.write(tmp_path, TABLES, pictures)
    for path in written:
        other = tmp_path / "other" / path.name
        if path.suffix == ".csv":
            files.write_csv(other, TABLES[path.stem])
        else:
            style.save(pictures[path.stem], other)
        assert path.read_bytes() == other.read_bytes()


def test_a_note_is_added_to_the_caption_of_every_picture(tmp_path, pictures):
    pictures["areas"].suptitle("Areas")
    results.write(tmp_path / "without", TABLES, pictures)
    results.write(tmp_path, TABLES, pictures, "samples silenced")
    assert pictures["areas"].get_suptitle() == "Areas; samples silenced"
    assert pictures["heatmap"].figure.get_suptitle() == "samples silenced"
    for name in ("areas", "heatmap"):
        assert (tmp_path / f"{name}.png").read_bytes() != (
            tmp_path / "without" / f"{name}.png"
        ).read_bytes()


def test_what_was_there_is_replaced_and_the_rest_is_left(tmp_path, pictures):
    for name in ("areas.csv", "areas.png", "training.csv"):
        (tmp_path / name).write_text("old")
    results.write(tmp_path, TABLES, pictures)
    assert [path.name for path in tmp_path.iterdir() if path.read_bytes() == b"old"] == [
        "training.csv"
    ]
    assert results.write(tmp_path, {}, {}) == []


def run(stage: ModuleType, monkeypatch, **params) -> dict[str, str]:
    """The note on each picture of a stage of which all but its own lines is hollow; `params` are those it looks at."""
    notes = {}

    def write(_folder: Path, _tables: dict, pictures: dict, note: str = "") -> list[Path]:
        notes.update(dict.fromkeys(pictures, note))
        return []

    for name in [
        name
        for name in vars(stage)
        if not name.startswith("_") and name not in ("main", "results", "Path")
    ]:
        monkeypatch.setattr(stage, name, MagicMock())
    for section, values in params.items():
        monkeypatch.setattr(stage.load_params.return_value, section, SimpleNamespace(**values))
    if stage is stages.limits:
        stage.bounds.measure.return_value = (
            None,
            {task: {"gap_points": {"all": 0.0}} for task in ("modulation", "snr")},
        )
    monkeypatch.setattr(results, "write", write)
    stage.main()
    return notes


@pytest.mark.parametrize("stage", [stages.pis, stages.attribute], ids=["pis", "attribute"])
def test_pictures_say_what_a_prober_says_of_masked_pixels(stage, monkeypatch):
    notes = run(stage, monkeypatch, perturb={"levels_percent": (5,)})
    assert notes
    prober = stage.modelfile.load.return_value.input.prober.return_value
    assert all(note is prober.note for note in notes.values())


@pytest.mark.parametrize(("bypassed", "said"), [(True, results.BYPASSED), (False, "")])
def test_pictures_of_the_test_part_say_that_the_denoiser_was_bypassed(bypassed, said, monkeypatch):
    evaluate = {"bypass_denoiser": bypassed, "resamples": 10}
    assert run(stages.limits, monkeypatch, evaluate=evaluate) == {"ceiling": said}
    notes = run(stages.evaluate, monkeypatch, evaluate=evaluate)
    assert notes.pop("training") == ""
    assert set(notes.values()) == {said}
