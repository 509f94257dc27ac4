"""Files of pictures show the counts on one grey scale."""

import numpy as np
import pytest
from PIL import Image

from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.inputs import export
from tests.conftest import (
    raw_only,
    save_bins,
)
from tests.inputs.tiny import drawing, seen


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory, write_constellations):
    """Two cells of four frames of 64 samples on 16 x 16 pixels.

    The first frame has 1 sample in pixel 5, 3 in 40, 60 in 200.
    """
    bins = generator(1, "test png").integers(0, 256, (4, 64)).astype(np.uint16)
    bins[0] = [5] + 3 * [40] + 60 * [200]
    bins[1] = 200
    return write_constellations(
        tmp_path_factory.mktemp("png"), {Cell("BPSK", -4): bins, Cell("QPSK", -4): bins}, 16
    )


def first_two_png(root, target, method: str) -> tuple[np.ndarray, np.ndarray]:
    assert export.export_png(root, target, drawing(method, raw_only(16)), 2) == 4
    files = sorted(str(p.relative_to(target)) for p in target.rglob("*.png"))
    assert files == [f"{m}/SNR_-4/0000{i}.png" for m in ("BPSK", "QPSK") for i in (0, 1)]
    return tuple(np.array(Image.open(target / "QPSK" / "SNR_-4" / f"0000{i}.png")) for i in (0, 1))


def test_grey_values_of_known_counts(by_hand, tmp_path):
    """Pixels 5, 40 and 200 are (row, column) (0, 5), (2, 8) and (12, 8)."""
    log, full = first_two_png(by_hand, tmp_path / "log", "log_histogram")
    assert (log.shape, log.dtype) == ((16, 16), np.uint8)
    assert [log[0, 5], log[2, 8], log[12, 8]] == [
        round(255 * np.log(1 + n) / np.log(65)) for n in (1, 3, 60)
    ]
    assert full[12, 8] == 255
    assert (np.count_nonzero(log), np.count_nonzero(full)) == (3, 1)
    plain, full = first_two_png(by_hand, tmp_path / "plain", "histogram")
    assert [plain[0, 5], plain[2, 8], plain[12, 8], full[12, 8]] == [1, 3, 60, 64]
    relative, full = first_two_png(by_hand, tmp_path / "relative", "max_normalized")
    assert [relative[0, 5], relative[2, 8], relative[12, 8], full[12, 8]] == [4, 13, 255, 255]


def test_enhanced_is_rgb(by_hand, tmp_path):
    image, full = first_two_png(by_hand, tmp_path / "enhanced", "enhanced")
    assert image.shape == (16, 16, 3)
    assert full[12, 8].tolist() == [255, 255, 255]
    # One pixel off, each channel has its own exp(-1 / decay) of the 64 samples.
    assert full[12, 9].tolist() == [
        round(255 * np.log(1 + 64 * np.exp(-1 / d)) / np.log(65)) for d in (0.5, 1.0, 2.0)
    ]


def test_all_frames_are_exported_without_a_limit(by_hand, tmp_path):
    assert (
        export.export_png(by_hand, tmp_path / "all", drawing("log_histogram", raw_only(16)), None)
        == 8
    )
    assert len(list((tmp_path / "all").rglob("*.png"))) == 8


def test_one_of_several_views_is_exported(tmp_path):
    """White is a pixel with every point of its own view: 64 of `raw`, 9 of `symbol`."""
    bins = {
        "raw": np.full((1, 64), 7),
        "symbol": np.array([[200] * 5 + [3] * 4]),
        "noise": np.full((1, 30), 9),
    }
    save_bins(tmp_path / "bins", Cell("QPSK", 0), bins, 16)
    for view in bins:
        assert (
            export.export_png(
                tmp_path / "bins",
                tmp_path / view,
                drawing("log_histogram", seen(view, size=16)),
                None,
            )
            == 1
        )
    png = {view: np.array(Image.open(tmp_path / view / "QPSK/SNR_0/00000.png")) for view in bins}
    assert {view: np.flatnonzero(image).tolist() for view, image in png.items()} == {
        "raw": [7],
        "symbol": [3, 200],
        "noise": [9],
    }
    assert [png["raw"][0, 7], png["noise"][0, 9]] == [255, 255]
    assert [png["symbol"][12, 8], png["symbol"][0, 3]] == [
        round(255 * np.log(1 + n) / np.log(10)) for n in (5, 4)
    ]
