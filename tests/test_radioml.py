"""The split takes the frames that the labels name, wherever they lie, and refuses what is neither
RML2018.01A nor RML2016.10a.
"""

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import pickle
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image

from pisces.config import presets
from pisces.core import shards
from pisces.core.modulations import DIGITAL, MODULATIONS, RML2016, RML2016B
from pisces.core.seeding import generator
from pisces.core.settings import to_json
from pisces.inputs import rendering
from pisces.inputs.waveform import normalise
from pisces.sources import rml2016, rml2018, sharding
from pisces.sources.base import is_usable
from pisces.sources.settings import Selection
from tests.conftest import raw_only

ROOT = Path(__file__).parents[1]
GNURADIO = ROOT.parent / "shared/data/gnuradio_rml2018.hdf5"
needs_gnuradio = pytest.mark.skipif(not GNURADIO.exists(), reason=f"{GNURADIO.name} is not there")

HELD, SNRS_DB, FRAMES, SAMPLES = ("QPSK", "8PSK", "FM"), (-10, 0, 6), 5, 64
BPSK, QPSK = MODULATIONS.index("BPSK"), MODULATIONS.index("QPSK")


def small(**changes: np.ndarray) -> dict[str, np.ndarray]:
    """A tiny file, cell by cell, in which sample 0 of every frame holds its row as I; `changes`
    replace datasets.
    """
    columns, labels = (
        np.repeat([MODULATIONS.index(name) for name in HELD], len(SNRS_DB) * FRAMES),
        np.repeat(SNRS_DB, FRAMES),
    )
    n = len(columns)
    x = generator(1, "test radioml").normal(size=(n, SAMPLES, 2)).astype(np.float32)
    x[:, 0, 0] = np.arange(n)
    return {
        "X": x,
        "Y": np.eye(24, dtype=np.int64)[columns],
        "Z": np.tile(labels, len(HELD))[:, None],
    } | changes


def write(path: Path, content: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in content.items():
            file[name] = array
    return path


def data(path: Path, **changes) -> Selection:
    defaults = {
        "class_order": "fixed",
        "modulations": ("QPSK", "8PSK"),
        "snrs_db": (0, 6),
        "frames_per_cell": None,
    }
    return Selection(path=str(path), **(defaults | changes))


def changed(array: np.ndarray, where, value) -> np.ndarray:
    array = array.copy()
    array[where] = value
    return array


def frames_in(root: Path, cell: shards.Cell) -> np.ndarray:
    return np.array(shards.array(cell.path(root), "iq"))


class TestSelection:
    def test_cells_hold_the_frames_that_the_labels_name(self, tmp_path):
        content = small()
        found = sharding.split(data(write(tmp_path / "x.h5", content)), tmp_path / "out")
        assert shards.cells(tmp_path / "out") == [
            ("8PSK", 0),
            ("8PSK", 6),
            ("QPSK", 0),
            ("QPSK", 6),
        ]
        for cell in shards.cells(tmp_path / "out"):
            rows = shards.array(cell.path(tmp_path / "out"), "row")
            wanted = (content["Z"][:, 0] == cell.snr_db) & (
                content["Y"][:, MODULATIONS.index(cell.modulation)] == 1
            )
            assert np.array_equal(rows, np.flatnonzero(wanted))
            assert np.array_equal(frames_in(tmp_path / "out", cell), content["X"][wanted])
        assert found.details["kept"]["frames"] == 4 * FRAMES
        assert found.details["file"] == {
            "frames": 45,
            "cells": 9,
            "frames_per_cell_min": FRAMES,
            "frames_per_cell_max": FRAMES,
        }

    def test_attributes_name_cell_and_source(self, tmp_path):
        path = write(tmp_path / "x.h5", small())
        sharding.split(data(path), tmp_path / "out")
        content = path.read_bytes()
        digest = hashlib.sha256(content[: 2**20] + str(len(content)).encode()).hexdigest()
        attributes = shards.attributes(shards.Cell("QPSK", 6).path(tmp_path / "out"))
        assert attributes == {
            "snr_label": "power",
            "ask": "bipolar",
            "modulation": "QPSK",
            "snr_db": 6,
            "source": "x.h5",
            "source_sha256": digest,
        }

    @pytest.mark.parametrize("block_bytes", [1, 7 * SAMPLES * 8, 2**25])
    def test_shuffled_file_gives_the_same_frames(self, tmp_path, monkeypatch, block_bytes):
        """In blocks of 1, 7 and all rows, so that cells cross the borders of blocks."""
        monkeypatch.setattr(rml2018, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(rml2018, "LABEL_ROWS", 11)
        content = small()
        order = generator(1, "shuffle").permutation(len(content["X"]))
        shuffled = {name: array[order] for name, array in content.items()}
        sharding.split(data(write(tmp_path / "sorted.h5", content)), tmp_path / "a")
        sharding.split(data(write(tmp_path / "shuffled.h5", shuffled)), tmp_path / "b")
        for cell in shards.cells(tmp_path / "a"):
            rows = shards.array(cell.path(tmp_path / "b"), "row")
            assert (np.diff(rows) > 0).all()
            back = np.argsort(order[rows])
            assert np.array_equal(
                frames_in(tmp_path / "b", cell)[back], frames_in(tmp_path / "a", cell)
            )

    def test_limit_takes_the_first_usable_frames_in_row_order(self, tmp_path):
        content = small()
        first = FRAMES  # QPSK at 0 dB is the second cell
        content["X"][[first, first + 2]] = 0
        found = sharding.split(
            data(write(tmp_path / "x.h5", content), frames_per_cell=2, skip_unusable=True),
            tmp_path / "out",
        )
        assert shards.array(shards.Cell("QPSK", 0).path(tmp_path / "out"), "row").tolist() == [
            first + 1,
            first + 3,
        ]
        assert shards.array(shards.Cell("QPSK", 6).path(tmp_path / "out"), "row").tolist() == [
            2 * FRAMES,
            2 * FRAMES + 1,
        ]
        assert found.details["kept"]["unusable_left_out"] == 2
        assert any("2 frames that cannot be" in w and "2 all zero" in w for w in found.warnings)

    def test_cell_short_of_usable_frames_is_cut_and_reported(self, tmp_path):
        content = small()
        content["X"][FRAMES + 1] = 0
        found = sharding.split(
            data(write(tmp_path / "x.h5", content), frames_per_cell=FRAMES, skip_unusable=True),
            tmp_path / "out",
        )
        path = shards.Cell("QPSK", 0).path(tmp_path / "out")
        assert shards.array(path, "row").tolist() == [FRAMES, *range(FRAMES + 2, 2 * FRAMES)]
        assert shards.array(path, "iq")[:, 0, 0].tolist() == [
            FRAMES,
            *range(FRAMES + 2, 2 * FRAMES),
        ]
        assert shards.attributes(path)["source"] == "x.h5"
        assert found.details["kept"]["frames_per_cell_min"] == FRAMES - 1
        assert any(
            "fewer than data.frames_per_cell = 5 usable frames are in 1 of 4 cells" in warning
            for warning in found.warnings
        )

    def test_class_order_gives_the_meaning_of_a_column(self, tmp_path):
        """8PSK is column 9 of classes.txt, which in the right order is 32APSK: there is none."""
        content = small()
        content["Y"] = np.roll(content["Y"], 9 - MODULATIONS.index("8PSK"), axis=1)
        path = write(tmp_path / "x.h5", content)
        sharding.split(
            data(path, class_order="classes_txt", modulations=("8PSK", "BPSK")), tmp_path / "out"
        )
        assert shards.array(shards.Cell("8PSK", 0).path(tmp_path / "out"), "row").tolist() == list(
            range(4 * FRAMES, 5 * FRAMES)
        )

    @pytest.mark.parametrize("dtypes", [("f8", "i1", "i2"), (">f4", "f4", "f8"), ("f2", "?", "i8")])
    def test_harmless_types_are_read(self, tmp_path, dtypes):
        content = small()
        cast = {
            name: array.astype(dtype)
            for (name, array), dtype in zip(content.items(), dtypes, strict=True)
        }
        sharding.split(data(write(tmp_path / "x.h5", cast)), tmp_path / "out")
        expected = cast["X"][FRAMES : 2 * FRAMES].astype(np.float32)
        found = shards.array(shards.Cell("QPSK", 0).path(tmp_path / "out"), "iq")
        assert found.dtype == np.float32
        assert np.array_equal(found, expected)

    def test_same_params_same_bytes(self, tmp_path):
        path = write(tmp_path / "x.h5", small())
        for out in ("a", "b"):
            sharding.split(data(path), tmp_path / out)
        for cell in shards.cells(tmp_path / "a"):
            assert cell.path(tmp_path / "a").read_bytes() == cell.path(tmp_path / "b").read_bytes()


Y, Z, X = small()["Y"], small()["Z"], small()["X"]
REFUSED = {
    "no Z": ({"X": X, "Y": Y}, "has no dataset Z but X, Y"),
    "complex X": (
        {"X": X[..., 0] + 1j * X[..., 1]},
        r"X in .*x.h5 has shape \(45, 64\); it must be \(frames, at least 64 samples, 2\)",
    ),
    "complex X of the right shape": (
        {"X": X.astype(complex)},
        "X in .* has type complex128; it must be floating",
    ),
    "channels before time": ({"X": X.transpose(0, 2, 1)}, r"X in .* has shape \(45, 2, 64\)"),
    "short frames": ({"X": X[:, :32]}, r"X in .* has shape \(45, 32, 2\)"),
    "scalar X": ({"X": np.float32(1)}, r"X in .* has shape \(\)"),
    "23 classes": (
        {"Y": Y[:, :23]},
        r"Y in .* has shape \(45, 23\); it must be \(45, 24\): one row a frame",
    ),
    "Y of other length": ({"Y": Y[:-1]}, r"Y in .* has shape \(44, 24\); it must be \(45, 24\)"),
    "flat Z": ({"Z": Z[:, 0]}, r"Z in .* has shape \(45,\); it must be \(45, 1\)"),
    "names in Y": ({"Y": np.full((45, 24), b"QPSK")}, r"Y in .* has type \|S4; it must be integer"),
    "no frames": ({"X": X[:0], "Y": Y[:0], "Z": Z[:0]}, "holds no frames"),
    "two classes": (
        {"Y": changed(Y, (17, BPSK), 1)},
        r"Y in .* is not one-hot at row 17: \[0, 0, 0, 1",
    ),
    "no class": ({"Y": changed(Y, (3, QPSK), 0)}, "not one-hot at row 3"),
    "one of two": ({"Y": changed(Y, (44, BPSK), 2)}, "not one-hot at row 44"),
    "odd SNR": (
        {"Z": changed(Z, 20, 5)},
        "Z in .* is 5 at row 20; the SNRs of RML2018.01A are -20, -18, .. 30 dB",
    ),
    "high SNR": ({"Z": changed(Z, 20, 32)}, "is 32 at row 20"),
    "broken SNR": ({"Z": changed(Z.astype(float), 20, 0.5)}, "is 0.5 at row 20"),
    "NaN SNR": ({"Z": changed(Z.astype(float), 20, np.nan)}, "is nan at row 20"),
    "NaN": (
        {"X": changed(X, (7, 3, 1), np.nan)},
        r"x.h5 holds 1 frame that .* \(NaN or infinite: row 7\).*data.skip_unusable to true",
    ),
    "infinity": ({"X": changed(X, (8, 3, 1), np.inf)}, "infinite: row 8"),
    "beyond float32": (
        {"X": changed(X.astype(float), (9, 3, 1), 1e300)},
        "too strong for float32: row 9",
    ),
    "below float32": (
        {"X": changed(X.astype(float), 9, 1e-300)},
        "too weak for float32: row 9",
    ),
    "silence": (
        {"X": changed(X, slice(FRAMES, 2 * FRAMES), 0)},
        r"x.h5 holds 5 frames that .*\(all zero: rows 5, 6, 7, 8, 9\).*data.skip_unusable to true",
    ),
    "empty cell": (
        {"Z": changed(Z, slice(FRAMES, 2 * FRAMES), 6)},
        "x.h5 has no frame of QPSK at 0 dB; take the modulation or the SNR out",
    ),
}


def refuses(
    settings: Selection, out: Path, match: str, error: type[Exception] = ValueError
) -> None:
    """The split fails so, and leaves nothing, not even a temporary."""
    with pytest.raises(error, match=match):
        sharding.split(settings, out)
    assert not list(out.parent.glob("*out*"))


class TestRefused:
    @pytest.mark.parametrize(("changes", "match"), REFUSED.values(), ids=REFUSED)
    def test_bad_content(self, tmp_path, changes, match):
        content = changes if match.startswith("has no dataset") else small(**changes)
        refuses(data(write(tmp_path / "x.h5", content)), tmp_path / "out", match)

    def test_nan_in_a_frame_that_is_not_read_is_no_concern(self, tmp_path):
        path = write(tmp_path / "x.h5", small(X=changed(X, 44, np.nan)))
        assert sharding.split(data(path), tmp_path / "out").details["kept"]["frames"] == 4 * FRAMES

    def test_modulation_or_snr_that_the_file_does_not_hold(self, tmp_path):
        path = write(tmp_path / "x.h5", small())
        match = r"data.modulations asks for BPSK, which .*x.h5 .* holds QPSK, 8PSK, FM"
        refuses(data(path, modulations=("BPSK", "QPSK")), tmp_path / "out", match)
        refuses(
            data(path, snrs_db=(-10, 0, 3, 30)),
            tmp_path / "out",
            r"data.snrs_db asks for 3, 30, which .* it holds -10, 0, 6",
        )

    def test_no_such_file(self, tmp_path):
        refuses(
            data(tmp_path / "x.h5"),
            tmp_path / "out",
            "x.h5 is not a file; set data.path",
            FileNotFoundError,
        )

    @pytest.mark.parametrize("suffix", ["h5", "pkl"])
    def test_a_directory(self, tmp_path, suffix):
        folder = tmp_path / f"x.{suffix}"
        folder.mkdir()
        match = f"x.{suffix} is a directory, not a file; set data.path"
        refuses(data(folder), tmp_path / "out", match, FileNotFoundError)

    def test_no_hdf5(self, tmp_path):
        (tmp_path / "x.h5").write_bytes(b"\x8a\x00Z" * 10_000)
        refuses(
            data(tmp_path / "x.h5"),
            tmp_path / "out",
            "x.h5 cannot be read as HDF5: .*download it again",
        )

    def test_download_that_was_cut_off(self, tmp_path):
        path = write(tmp_path / "x.h5", small())
        os.truncate(path, path.stat().st_size // 2)
        refuses(
            data(path),
            tmp_path / "out",
            r"x.h5 cannot be read as HDF5: it is cut off: \d+ of \d+ bytes.*download it",
        )

    def test_full_disk_is_named_and_keeps_what_was_there(self, tmp_path):
        """A limit on the size of files stands for the end of the disk: one shard's worth of data is
        above it.
        """
        path = write(tmp_path / "x.h5", small(X=np.ones((45, 4096, 2), np.float32)))
        out = tmp_path / "out"
        (out / "before").mkdir(parents=True)
        code = (
            "import resource; from pathlib import Path\n"
            "from pisces.core.settings import from_json; from pisces.run import console; "
            "from pisces.sources import sharding\n"
            "from pisces.sources.settings import Selection\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
            f"data = from_json(Selection, {to_json(data(path))!r})\n"
            f"console.run(lambda: sharding.split(data, Path({str(out)!r})))"
        )
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert ended.returncode == 1
        assert (
            f"could not write {out}: the file is larger than allowed here; raise that"
            in ended.stderr
        )
        assert len(ended.stderr.splitlines()) == 1
        assert sorted(p.name for p in tmp_path.rglob("*")) == ["before", "out", "x.h5"]


NAMED = tuple(
    shards.Cell(name, snr_db) for name in ("WBFM", "QAM16", "8PSK") for snr_db in (0, -20, 18)
)


def pickled(path: Path, samples: int = SAMPLES, **changes: np.ndarray) -> Path:
    """A file in the layout of RML2016.10a whose cells grow from 3 frames on, and in which sample 0
    of every frame holds its row as I.
    """
    cells = {cell: np.ones((3 + i, 2, samples), np.float32) for i, cell in enumerate(sorted(NAMED))}
    ends = np.cumsum([len(frames) for frames in cells.values()])
    for end, frames in zip(ends, cells.values(), strict=True):
        frames[:, 0, 0] = np.arange(end - len(frames), end) + 1e-3
        frames[:, 1, 1] = 7
    rml2016.write(
        path,
        {cell: cells[cell] for cell in NAMED}
        | {("8PSK", 18): changes.get("frames", cells["8PSK", 18])},
    )
    return path


def named(path: Path, **changes) -> Selection:
    return data(path, **({"modulations": ("WBFM", "8PSK"), "snrs_db": (-20, 18)} | changes))


class TestPickle:
    def test_cells_hold_their_frames_time_before_channels_and_rows_count_through_the_sorted_file(
        self, tmp_path
    ):
        path = pickled(tmp_path / "x.pkl")
        found = sharding.split(named(path), tmp_path / "out")
        assert shards.grid(tmp_path / "out") == (("8PSK", "WBFM"), (-20, 18))
        rows = {
            cell: shards.array(cell.path(tmp_path / "out"), "row")
            for cell in shards.cells(tmp_path / "out")
        }
        # 8PSK: 3 frames at -20 dB, 4 at 0, 5 at 18. QAM16: 6, 7, 8. WBFM: 9, 10, 11.
        assert {cell: each.tolist() for cell, each in rows.items()} == {
            ("8PSK", -20): [0, 1, 2],
            ("8PSK", 18): [7, 8, 9, 10, 11],
            ("WBFM", -20): list(range(33, 42)),
            ("WBFM", 18): list(range(52, 63)),
        }
        for cell, each in rows.items():
            iq = frames_in(tmp_path / "out", cell)
            assert (iq.dtype, iq.shape) == (np.float32, (len(each), SAMPLES, 2))
            assert np.array_equal(iq[:, 0, 0], (each + 1e-3).astype(np.float32))
            assert (iq[:, 1, 1] == 7).all()
        assert found.details["file"] == {
            "frames": 63,
            "cells": 9,
            "frames_per_cell_min": 3,
            "frames_per_cell_max": 11,
        }
        assert found.details["kept"] == {
            "frames": 28,
            "cells": 4,
            "frames_per_cell_min": 3,
            "frames_per_cell_max": 11,
            "unusable_left_out": 0,
        }

    def test_classes_are_known_by_name_so_no_order_is_checked_or_missed(self, tmp_path):
        path = pickled(tmp_path / "x.pkl")
        for order in ("fixed", "classes_txt"):
            found = sharding.split(named(path, class_order=order), tmp_path / order)
            assert "class_order" not in found.details
            assert "contradicted" not in found.headline
            assert not [warning for warning in found.warnings if "class" in warning]
        for cell in shards.cells(tmp_path / "fixed"):
            assert (
                cell.path(tmp_path / "fixed").read_bytes()
                == cell.path(tmp_path / "classes_txt").read_bytes()
            )

    def test_attributes_name_cell_and_source(self, tmp_path):
        path = pickled(tmp_path / "x.pkl")
        sharding.split(named(path), tmp_path / "out")
        digest = hashlib.sha256(path.read_bytes() + str(path.stat().st_size).encode()).hexdigest()
        attributes = shards.attributes(shards.Cell("WBFM", 18).path(tmp_path / "out"))
        assert attributes == {
            "snr_label": "power",
            "ask": "bipolar",
            "modulation": "WBFM",
            "snr_db": 18,
            "source": "x.pkl",
            "source_sha256": digest,
        }

    def test_limit_takes_the_first_usable_frames(self, tmp_path):
        frames = np.ones((5, 2, SAMPLES), np.float32)
        frames[[0, 2]] = 0
        found = sharding.split(
            named(
                pickled(tmp_path / "x.pkl", frames=frames), frames_per_cell=2, skip_unusable=True
            ),
            tmp_path / "out",
        )
        assert shards.array(shards.Cell("8PSK", 18).path(tmp_path / "out"), "row").tolist() == [
            8,
            10,
        ]
        assert found.details["kept"]["unusable_left_out"] == 2
        assert any("2 frames that cannot be" in w and "2 all zero" in w for w in found.warnings)

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (np.nan, "NaN or infinite"),
            (-np.inf, "NaN or infinite"),
            (1e300, "too strong for float32"),
        ],
    )
    def test_a_frame_that_is_no_number(self, tmp_path, value, why):
        """It is named as in the pickle, which has no rows."""
        frames = np.ones((5, 2, SAMPLES))
        frames[3, 1, 9] = value
        path = pickled(tmp_path / "x.pkl", frames=frames)
        refuses(
            named(path),
            tmp_path / "out",
            rf"x.pkl holds 1 frame that .* \({why}: index 3 of \(8PSK, 18\)\); "
            "repair .*data.skip_unusable",
        )
        assert (
            sharding.split(named(path, snrs_db=(-20, 0)), tmp_path / "out").details["kept"]["cells"]
            == 4
        )

    def test_silence(self, tmp_path):
        path = pickled(tmp_path / "x.pkl", frames=np.zeros((5, 2, SAMPLES), np.float32))
        message = (
            r"x.pkl holds 5 frames .*\(all zero: index 0 of \(8PSK, 18\), .*, "
            r"index 4 of \(8PSK, 18\)\)"
        )
        refuses(named(path), tmp_path / "out", message)
        message = "no frame of 8PSK at 18 dB in .*x.pkl can be normalised; take"
        refuses(named(path, skip_unusable=True), tmp_path / "out", message)

    def test_modulation_or_snr_that_the_file_does_not_hold(self, tmp_path):
        path = pickled(tmp_path / "x.pkl")
        match = "data.modulations asks for 16QAM, .*x.pkl .* holds 8PSK, QAM16, WBFM"
        refuses(named(path, modulations=("16QAM", "8PSK")), tmp_path / "out", match)
        refuses(
            named(path, snrs_db=(0, 20)),
            tmp_path / "out",
            "data.snrs_db asks for 20, which .*x.pkl does not hold; it holds -20, 0, 18",
        )

    def test_params_meant_for_another_dataset_name_the_preset_of_this_one(self, tmp_path):
        path = pickled(tmp_path / "x.pkl")
        remedy = rf"preset rml2016a --data {path}$"
        match = rf"data.modulations asks for 17 .* lacks 16; it holds 8PSK, QAM16, WBFM; .*{remedy}"
        refuses(named(path, modulations=DIGITAL), tmp_path / "out", match)
        match = rf"data.snrs_db asks for 4 .* lacks 3; .* holds -20, 0, 18; .*{remedy}"
        refuses(named(path, snrs_db=(18, 20, 22, 24)), tmp_path / "out", match)
        other = write(tmp_path / "x.h5", small())
        match = rf"data.modulations asks for 11 .* lacks 9; .*preset rml2018 --data {other}$"
        refuses(data(other, modulations=RML2016), tmp_path / "out", match)

    def test_a_preset_that_the_file_cannot_fill_is_not_offered(self, tmp_path):
        """Nor the one that has just been applied."""
        path = pickled(tmp_path / "x.pkl")
        match = "data.modulations asks for 11 .* set data.modulations to those .* you want$"
        refuses(named(path, modulations=RML2016), tmp_path / "out", match)

        cells = {shards.Cell(name, 0): np.ones((3, 2, SAMPLES), np.float32) for name in RML2016B}
        rml2016.write(tmp_path / "RML2016.10b.dat", cells)
        match = r"lacks 9; .*such files: .*preset rml2016b --data .*10b.dat$"
        chosen = ("16QAM", "QPSK", *DIGITAL[5:13])
        refuses(named(tmp_path / "RML2016.10b.dat", modulations=chosen), tmp_path / "out", match)

    def test_the_named_presets_are_shipped_and_ask_for_what_is_said(self):
        for reader in sharding.READERS.values():
            for preset in reader.presets:
                shipped = presets.on_defaults(presets.overlay(preset.name))["data"]
                assert tuple(shipped["modulations"]) == preset.modulations
                assert tuple(shipped["snrs_db"]) == preset.snrs_db

    def test_short_frames(self, tmp_path):
        refuses(
            named(pickled(tmp_path / "x.pkl", samples=62)),
            tmp_path / "out",
            "x.pkl holds frames of 62 samples; the least is 64",
        )

    def test_no_such_file_and_none_of_the_kind(self, tmp_path):
        refuses(
            named(tmp_path / "x.pkl"),
            tmp_path / "out",
            "x.pkl is not a file; set data.path",
            FileNotFoundError,
        )


# What files are called, and what else they are


def written(write: Callable, *arguments) -> bytes:
    """What a function writes into a file that it is given first."""
    file = io.BytesIO()
    write(file, *arguments)
    return file.getvalue()


def wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setparams((2, 2, 48_000, 0, "NONE", ""))
        recording.writeframes(bytes(99))
    return file.getvalue()


FOREIGN: dict[str, tuple[Callable[[], bytes], str]] = {
    "text": (lambda: b"I,Q\n0.1,0.2\n" * 999, r"text, which begins with 'I,Q\\n"),
    "text of another code": (lambda: "größer".encode("utf-16"), "text, which begins with 'größer'"),
    "text of many bytes": (lambda: b"x" + 4000 * "ä".encode(), "text, which begins with 'xää"),
    "npy": (lambda: written(np.save, X), r"a NumPy array \(.npy\)"),
    "npz": (lambda: written(lambda file: np.savez(file, X=X)), r"a NumPy archive \(.npz\)"),
    "PyTorch": (lambda: written(lambda file: torch.save(torch.ones(3), file)), "a file of PyTorch"),
    "MATLAB": (lambda: written(scipy.io.savemat, {"X": X}), "a MATLAB file of version 5"),
    "PNG": (lambda: written(Image.new("L", (9, 9)).save, "png"), "a PNG picture"),
    "JPEG": (lambda: written(Image.new("L", (9, 9)).save, "jpeg"), "a JPEG picture"),
    "WAV": (wav, "a WAV recording"),
    "SigMF": (
        lambda: b'{"global": {"core:datatype": "cf32_le"}}',
        "the metadata of a SigMF recording",
    ),
    "empty": (bytes, "empty"),
}
"""What a file holds -> its content, and what is said of it."""


class TestFormat:
    @pytest.mark.parametrize(
        "name",
        ["x.dat", "x.PKL", "x.pickle", "x.p", "x", "x.h5", "x_dict.dat", "x.bz2"],
    )
    def test_a_pickle_of_any_name_is_read(self, tmp_path, name):
        pickled(tmp_path / "x.pkl").rename(tmp_path / name)
        found = sharding.split(named(tmp_path / name), tmp_path / "out")
        assert found.details["kept"]["frames"] == 28

    @pytest.mark.parametrize("protocol", range(6))
    def test_a_pickle_of_any_protocol_is_known(self, tmp_path, protocol):
        content = {("QPSK", 0): np.ones((3, 2, SAMPLES), np.float32)}
        (tmp_path / "x").write_bytes(pickle.dumps(content, protocol))
        assert sharding.reader_of(tmp_path / "x") is rml2016.READER

    @pytest.mark.parametrize("name", ["x.pkl", "x.dat", "x", "x.HDF5", "x.mat"])
    @pytest.mark.parametrize("block", [0, 512, 4096])
    def test_hdf5_of_any_name_is_read(self, tmp_path, name, block):
        """Its signature may stand behind a block of the user's."""
        with h5py.File(tmp_path / name, "w", userblock_size=block) as file:
            for key, array in small().items():
                file[key] = array
        found = sharding.split(data(tmp_path / name), tmp_path / "out")
        assert found.details["kept"]["frames"] == 4 * FRAMES

    @pytest.mark.parametrize("kind", ["gztar", "bztar", "xztar", "tar", "zip"])
    def test_an_archive_is_to_be_unpacked(self, tmp_path, kind):
        (tmp_path / "in").mkdir()
        pickled(tmp_path / "in" / "x.pkl")
        packed = Path(shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "in"))
        packed = packed.rename(tmp_path / "x.pkl")
        refuses(named(packed), tmp_path / "out", r"x.pkl is packed \(\w+\): unpack it")

    @pytest.mark.parametrize(
        "pack", [gzip.compress, bz2.compress, lzma.compress, lambda _: b"7z\xbc\xaf\x27\x1c" * 99]
    )
    def test_a_file_that_is_packed_alone(self, tmp_path, pack):
        path = tmp_path / "x.hdf5"
        path.write_bytes(pack(bytes(999)))
        refuses(data(path), tmp_path / "out", r"x.hdf5 is packed \(\w+\): unpack it")

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (b"<!DOCTYPE html><html>", "is a web page, not the data: download"),
            (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS"),
            (
                b"\x89HDF\r\r\n\x1a\r\n" + bytes(99),
                "is an .* line ends were changed.*as a binary file",
            ),
            (b"", "is empty: copy or download it again; data.path takes HDF5 files in"),
            (bytes(9999), "begins with zeros, as a download that never ended"),
            (b"\xef\xbf\xbdHDF\r\n\x1a\n", "is binary data that were copied as text"),
            (b"\xc2\x80\x04\xc2\x95", "is binary data that were copied as text"),
        ],
    )
    def test_what_else_is_downloaded(self, tmp_path, content, match):
        (tmp_path / "x.h5").write_bytes(content)
        refuses(data(tmp_path / "x.h5"), tmp_path / "out", f"x.h5 {match}")

    @pytest.mark.parametrize(("make", "match"), FOREIGN.values(), ids=FOREIGN)
    @pytest.mark.parametrize("name", ["x.h5", "x.pkl", "x"])
    def test_what_a_file_is_and_what_can_be_read(self, tmp_path, make, match, name):
        (tmp_path / name).write_bytes(make())
        readable = "data.path takes HDF5 files .* RML2018.01A, and pickles as RML2016.10a and"
        refuses(data(tmp_path / name), tmp_path / "out", f"{name} is {match}.* {readable}")

    def test_samples_without_labels_are_known_by_their_ending(self, tmp_path):
        (tmp_path / "x.sigmf-data").write_bytes(b"\x8a\x00Z" * 999)
        match = r"x.sigmf-data is by its ending \(.sigmf-data\) a recording of samples without"
        refuses(data(tmp_path / "x.sigmf-data"), tmp_path / "out", match)

    def test_a_relative_path_is_to_be_made_absolute(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        match = f"x.h5 is not a file; .*here {tmp_path}/x.h5; give an absolute path.*--temp"
        refuses(data(Path("x.h5")), tmp_path / "out", match, FileNotFoundError)


# Why a file cannot be opened or read


def fails_to_open(text: str, number: int):
    """As h5py where the system reports such an error."""

    def opened(*_, **__):
        raise OSError(number, f"Unable to synchronously open file ({text}, errno = {number})")

    return opened


class TestOpening:
    def test_a_file_that_another_process_writes(self, tmp_path):
        path = write(tmp_path / "x.h5", small())
        code = (
            f"import h5py, sys; f = h5py.File({str(path)!r}, 'r+'); print(1, flush=True); input()"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with other:
            other.stdout.readline()
            match = "x.h5 cannot be opened: another process has it open for writing: wait"
            refuses(data(path), tmp_path / "out", match, OSError)
            other.communicate(b"\n")
        assert sharding.split(data(path), tmp_path / "out").details["kept"]["frames"] == 20

    @pytest.mark.parametrize(
        ("number", "match"),
        [
            (errno.ENOLCK, "has no locks.*HDF5_USE_FILE_LOCKING to FALSE"),
            (errno.EOPNOTSUPP, "has no locks.*HDF5_USE_FILE_LOCKING to FALSE"),
            (errno.EACCES, "no permission to read it: .*chmod"),
            (errno.EIO, os.strerror(errno.EIO)),
        ],
    )
    def test_what_the_system_says_is_no_damage(self, tmp_path, monkeypatch, number, match):
        path = write(tmp_path / "x.h5", small())
        monkeypatch.setattr(h5py, "File", fails_to_open("unable to lock file", number))
        with pytest.raises(OSError, match=f"x.h5 cannot be opened: .*{match}") as raised:
            sharding.split(data(path), tmp_path / "out")
        assert "download" not in str(raised.value)


def with_broken_chunk(path: Path, name: str, filter_code: int) -> Path:
    """A file of which a chunk of one dataset is no longer what its filter wrote."""
    write(path, {key: array for key, array in small().items() if key != name})
    array = small()[name]
    with h5py.File(path, "r+") as file:
        settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        settings.set_chunk((9, *array.shape[1:]))
        settings.set_filter(filter_code, h5py.h5z.FLAG_OPTIONAL, (1,))
        kind = h5py.h5t.py_create(array.dtype)
        space = h5py.h5s.create_simple(array.shape)
        dataset = h5py.h5d.create(file.id, name.encode(), kind, space, settings)
        for start in range(0, len(array), 9):
            dataset.write_direct_chunk((start,) + (0,) * (array.ndim - 1), b"broken", 0)
    return path


class TestContentThatCannotBeRead:
    @pytest.mark.parametrize("name", "XYZ")
    def test_a_damaged_chunk_names_file_and_dataset(self, tmp_path, name):
        path = with_broken_chunk(tmp_path / "x.h5", name, h5py.h5z.FILTER_DEFLATE)
        match = rf"{name} in .*x.h5 cannot be read at rows \d+ to \d+: they are damaged"
        refuses(data(path), tmp_path / "out", match, OSError)

    @pytest.mark.parametrize(("code", "called"), [(32015, "zstd"), (32001, "blosc")])
    @pytest.mark.parametrize("name", "XYZ")
    def test_a_filter_that_is_not_installed_is_named(self, tmp_path, name, code, called):
        path = with_broken_chunk(tmp_path / "x.h5", name, code)
        match = rf"{name} in .*x.h5 cannot .* filter {code} \({called}\), which is not installed: "
        refuses(data(path), tmp_path / "out", match + ".*h5repack", OSError)

    @pytest.mark.parametrize(
        ("put", "match"),
        [
            (lambda file: file.create_group("X"), "has a group X, not a dataset; it holds nothing"),
            (
                lambda file: put(file, h5py.SoftLink("/Q")),
                "has X as a link to /Q, which leads to noth",
            ),
            (lambda file: put(file, h5py.SoftLink("/X")), "has X as a link to /X, .* in a circle"),
            (
                lambda file: put(file, h5py.ExternalLink("no.h5", "/X")),
                "has X as a link to /X in no.h5, which is not there: put that file beside it",
            ),
            (lambda file: put(file, np.dtype("f4")), "has X, but not as a dataset"),
            (lambda file: put_virtual(file), "takes X from no.h5, which is not there"),
        ],
    )
    def test_no_dataset(self, tmp_path, put, match):
        path = write(tmp_path / "x.h5", {key: small()[key] for key in "YZ"})
        with h5py.File(path, "r+") as file:
            put(file)
        refuses(data(path), tmp_path / "out", f"x.h5 {match}")

    def test_a_link_that_leads_to_data_is_followed(self, tmp_path):
        path = write(tmp_path / "x.h5", {key: small()[key] for key in "YZ"})
        write(tmp_path / "frames.h5", {"frames": small()["X"]})
        with h5py.File(path, "r+") as file:
            put(file, h5py.ExternalLink("frames.h5", "/frames"))
        assert sharding.split(data(path), tmp_path / "out").details["kept"]["frames"] == 20


def put(file: h5py.File, link) -> None:
    file["X"] = link


def put_virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((45, SAMPLES, 2), np.float32)
    layout[:] = h5py.VirtualSource("no.h5", "frames", (45, SAMPLES, 2))
    file.create_virtual_dataset("X", layout)


# Frames that cannot be normalised


BROKEN = {
    "all zero": (0, 0),
    "NaN or infinite": (np.nan, np.inf),
    "too weak": (1e-40, 1e-30),
    "too strong": (1e30, 3e38),
}


class TestUnusable:
    def broken(self, path: Path) -> Path:
        """Frames 5 to 12, which are all of QPSK at 0 dB and some at 6 dB, are broken but for 9."""
        x = small()["X"]
        levels = [level for pair in BROKEN.values() for level in pair]
        for row, level in zip((5, 6, 7, 8, 10, 11, 12, 13), levels, strict=True):
            x[row] = level
        return write(path, small(X=x))

    def test_they_are_refused_with_their_rows(self, tmp_path):
        path = self.broken(tmp_path / "x.h5")
        rows = r"NaN or infinite: rows 7, 8; all zero: rows 5, 6; too strong .*: rows 12, 13; too w"
        match = rf"x.h5 holds 8 frames that cannot be normalised \({rows}.* rows 10, 11\); repair"
        refuses(data(path), tmp_path / "out", match + ".*set data.skip_unusable to true")

    def test_what_is_left_is_rendered(self, tmp_path):
        path = self.broken(tmp_path / "x.h5")
        found = sharding.split(data(path, skip_unusable=True), tmp_path / "out")
        assert found.details["kept"]["unusable_left_out"] == 8
        assert sorted(found.details["unusable_rows"].values()) == [
            [5, 6],
            [7, 8],
            [10, 11],
            [12, 13],
        ]
        (warning,) = [each for each in found.warnings if "normalised" in each]
        assert "8 frames" in warning
        rows = shards.array(shards.Cell("QPSK", 0).path(tmp_path / "out"), "row")
        assert rows.tolist() == [9]
        rendering.render(tmp_path / "out", tmp_path / "constellations", raw_only())

    @pytest.mark.parametrize("exponent", range(-44, 39))
    def test_a_frame_is_usable_just_where_it_can_be_normalised(self, exponent):
        """Or nearly: numbers below the normal ones of float32 have few digits left."""
        frame = torch.full((1, 1024, 2), 10.0) ** exponent
        usable = bool(is_usable(frame.numpy())[0])
        try:
            unit = normalise(frame)
        except ValueError:
            assert not usable
        else:
            assert not usable or torch.allclose(unit, torch.ones_like(unit), rtol=1e-4)
            assert usable or exponent < -18 or exponent > 17


@needs_gnuradio
class TestGnuRadio:
    def test_labels_are_recovered_and_the_order_holds(self, tmp_path):
        chosen = ("BPSK", "QPSK", "16APSK", "64QAM")
        found = sharding.split(
            data(GNURADIO, modulations=chosen, snrs_db=(-10, 0, 6, 12, 18, 24, 30)),
            tmp_path / "out",
        )
        order = {"checked": 20, "contradicted": {}, "ask": "bipolar"}
        assert found.details["class_order"] == order
        assert found.headline["contradicted"] == 0
        assert found.headline["slope"] == pytest.approx(1, abs=0.05)
        assert found.headline["offset_db"] == pytest.approx(0, abs=0.2)
        assert found.details["slope_agrees"] is True
        assert not found.warnings

    def test_some_snrs_of_many_are_the_right_rows(self, tmp_path):
        """An offset computed from the number of chosen SNRs, not of those in the file, reads other
        cells.
        """
        sharding.split(data(GNURADIO, snrs_db=(6, 24), frames_per_cell=10), tmp_path / "out")
        with h5py.File(GNURADIO) as source:
            for cell in shards.cells(tmp_path / "out"):
                rows = shards.array(cell.path(tmp_path / "out"), "row")
                assert len(rows) == 10
                assert set(source["Z"][rows, 0]) == {cell.snr_db}
                assert set(source["Y"][rows].argmax(1)) == {MODULATIONS.index(cell.modulation)}
                assert np.array_equal(frames_in(tmp_path / "out", cell), source["X"][rows])

    def test_wrong_class_order_leaves_no_output(self, tmp_path):
        refuses(
            data(GNURADIO, class_order="classes_txt"),
            tmp_path / "out",
            "data.class_order = classes_txt cannot be right",
        )


@pytest.mark.parametrize("shape", [(2**40, 1024), (3, 2**32)])
def test_sizes_that_no_memory_holds_are_refused(tmp_path, shape):
    """Chunks that were never written take no disk, so that a file may claim any size."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        frames, samples = shape
        for name, rest, dtype in (("X", (samples, 2), "f4"), ("Y", (24,), "i8"), ("Z", (1,), "i8")):
            chunks = (1, *(min(side, 1024) for side in rest))
            file.create_dataset(name, (frames, *rest), dtype, chunks=chunks)
    with pytest.raises(ValueError, match=rf"x\.h5 says that X holds {frames} frames of {samples}"):
        sharding.split(data(tmp_path / "x.h5"), tmp_path / "iq")
