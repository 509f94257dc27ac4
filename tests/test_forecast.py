"""What is said of a run before it begins: sizes are those of the files that it then writes."""

import os
from dataclasses import dataclass

import pytest

from benchmarks import run_times
from pisces import __main__
from pisces.sources import sharding
from pisces.sources.forecast import forecast, of_recordings
from tests.test_radioml import FRAMES, small, write
from tests.test_radioml import data as selected


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "frames.hdf5", small())


def test_it_counts_the_frames_that_the_split_writes(source, tmp_path):
    _, written, _ = forecast(selected(source), views=1).splitlines()
    sharding.split(selected(source), tmp_path / "shards")
    frames = FRAMES * len(list((tmp_path / "shards").rglob("*.h5")))
    assert f"of {frames} frames into data/" in written

    _, of_few, _ = forecast(selected(source, frames_per_cell=1), views=1).splitlines()
    assert f"of {frames // FRAMES} frames into data/" in of_few


def test_at_the_size_of_rml2018_it_is_minutes_and_gigabytes(tmp_path, monkeypatch):
    """Of 2 555 904 frames and 21.4 GB, as measured: 115 s for the file and 139 s for the stages."""
    path = tmp_path / "huge.hdf5"
    path.touch()
    os.truncate(path, 21_400_000_000)  # without a byte on disk
    monkeypatch.setattr("pisces.sources.forecast.reader_of", lambda _: _Huge())
    file, written, checksums = forecast(selected(path), views=2).splitlines()
    assert "huge.hdf5 has 21.4 GB" in file
    assert "about 2 min" in file
    assert "write 31.4 GB of 2555904 frames into data/, about 5 min" in written
    assert "about 2 min" in checksums


@dataclass
class _Huge:
    """A reader of a file whose frames are all in the cells that are selected."""

    samples: int = 1024

    def open(self, _path, _order):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    @property
    def rows(self):
        cells = [(name, snr_db) for name in ("QPSK", "8PSK") for snr_db in (0, 6)]
        return {cell: range(2_555_904 // len(cells)) for cell in cells}


def test_a_folder_of_recordings_is_told_by_its_labels(tmp_path):
    """At the measured 3e5 samples a second, 90 million take 5 minutes."""
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "one").write_bytes(bytes(3_000_000))
    labelled = [("QPSK", 60_000_000), ("chirp", 15_000_000), ("chirp", 15_000_000)]
    text = of_recordings(tmp_path, labelled, frame_samples=1024)
    assert "3.0 MB in 1 file:" in text
    assert "3 labelled stretches of 90,000,000 samples (QPSK 60,000,000, chirp 30,000,000)" in text
    assert "about 5 min" in text


def test_generated_frames_are_announced_as_such(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["pisces", "forecast"])
    __main__.main()
    assert "is made by the stage synthesize" in capsys.readouterr().out


def test_stages_are_timed_from_line_to_line():
    lines = [
        (0.0, "Verifying data sources in stage\n"),
        (1.0, "Running stage 'render':\n"),
        (2.0, "> python -m stages.render\n"),
        (5.5, "Running stage 'train':\n"),
    ]
    assert list(run_times.seconds_of_stages(lines, end=9.0)) == [("render", 4.5), ("train", 3.5)]
    assert list(run_times.seconds_of_stages(lines[:1], end=9.0)) == []
