"""What a stage shows lies in its folder under its names, as the writers of tables and pictures write it."""

import matplotlib.image
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pisces import files, plots, results

TABLES = {"areas": pd.DataFrame({"view": ["raw", "noise"], "area": [1 / 3, None]}), "cells": pd.DataFrame({"snr_db": [-10, 20]})}


@pytest.fixture
def pictures() -> dict:
    """A figure and the axes of another one, of 2 x 1 and 3 x 1 inches."""
    return {"areas": Figure((2, 1)), "heatmap": Figure((3, 1)).subplots()}


def test_every_table_and_picture_is_written_under_its_name(tmp_path, pictures):
    written = results.write(tmp_path / "plots", TABLES, pictures)
    assert [path.name for path in written] == ["areas.csv", "cells.csv", "areas.png", "heatmap.png"]
    assert sorted((tmp_path / "plots").iterdir()) == sorted(written)
    assert [path.read_text() for path in written[:2]] == ["view,area\nraw,0.333333\nnoise,\n", "snr_db\n-10\n20\n"]
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
            plots.save(pictures[path.stem], other)
        assert path.read_bytes() == other.read_bytes()


def test_a_note_is_added_to_the_caption_of_every_picture(tmp_path, pictures):
    pictures["areas"].suptitle("Areas")
    results.write(tmp_path / "without", TABLES, pictures)
    results.write(tmp_path, TABLES, pictures, "samples silenced")
    assert pictures["areas"].get_suptitle() == "Areas; samples silenced"
    assert pictures["heatmap"].figure.get_suptitle() == "samples silenced"
    for name in ("areas", "heatmap"):
        assert (tmp_path / f"{name}.png").read_bytes() != (tmp_path / "without" / f"{name}.png").read_bytes()


def test_what_was_there_is_replaced_and_the_rest_is_left(tmp_path, pictures):
    for name in ("areas.csv", "areas.png", "training.csv"):
        (tmp_path / name).write_text("old")
    results.write(tmp_path, TABLES, pictures)
    assert [path.name for path in tmp_path.iterdir() if path.read_bytes() == b"old"] == ["training.csv"]
    assert results.write(tmp_path, {}, {}) == []
