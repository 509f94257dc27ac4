"""Shards of constellations hold what binning gives, and appear whole or not at all."""

from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.settings import to_json
from pisces.core.shards import Cell
from pisces.inputs import rendering, sheet
from pisces.inputs.binning import OUTSIDE, bin_frames
from pisces.inputs.settings import RenderSettings
from tests.conftest import (
    FRAMES,
    MODULATIONS,
    POINTS,
    RENDER,
    SIZE,
    SNRS_DB,
    raw_only,
)
from tests.inputs.signals import send
from tests.inputs.tiny import frames_of


def test_render_keeps_what_the_source_says_and_adds_its_settings(iq_shards, constellations):
    cell = Cell("QPSK", -10)  # some of its samples are outside
    source, target = cell.path(iq_shards), cell.path(constellations)
    assert shards.attributes(target) == shards.attributes(source) | {"render": to_json(RENDER)}
    assert np.array_equal(shards.array(target, "row"), shards.array(source, "row"))
    expected = bin_frames(torch.from_numpy(frames_of(iq_shards, *cell)), RENDER)
    for view in RENDER.views:
        bins = rendering.read_bins(constellations, cell, view)
        assert (bins.shape, bins.dtype) == ((FRAMES, POINTS[view]), np.uint16)
        assert np.array_equal(bins, expected[view])
        assert (bins != OUTSIDE).any()
    assert (expected["raw"] == OUTSIDE).any()


def test_settings_come_back_from_the_shards(constellations, tmp_path):
    assert rendering.read_settings(constellations) == RENDER
    other = RenderSettings(
        views=("noise", "raw"),
        size=16,
        extent=RENDER.extent,
        sps=4,
        pulse="rrc",
        rolloff=0.1,
        carrier_offset_std=3.3e-5,
        delay=7,
    )
    shards.save(Cell("QPSK", 0).path(tmp_path), {"row": np.arange(2)}, {"render": to_json(other)})
    assert rendering.read_settings(tmp_path) == other


def test_a_view_that_was_not_rendered(constellations, iq_shards, tmp_path):
    rendering.render(iq_shards, tmp_path / "raw", raw_only())
    one, all_views = (Cell("QPSK", 0).path(root) for root in (tmp_path / "raw", constellations))
    assert np.array_equal(shards.array(one, "raw/bins"), shards.array(all_views, "raw/bins"))
    with pytest.raises(
        ValueError, match=r"SNR_0.h5 holds no dataset 'noise/bins' but raw, row; make it again"
    ):
        rendering.read_bins(tmp_path / "raw", Cell("QPSK", 0), "noise")


def test_render_gives_the_same_bins_in_chunks_of_any_size(
    iq_shards, constellations, tmp_path, monkeypatch
):
    monkeypatch.setattr(rendering, "CHUNK", 7)  # of 20 frames
    assert rendering.render(iq_shards, tmp_path / "again", RENDER).frames == 180
    for cell in shards.cells(constellations):
        for view in RENDER.views:
            again = rendering.read_bins(tmp_path / "again", cell, view)
            assert np.array_equal(again, rendering.read_bins(constellations, cell, view))
        # Matrix products of other sizes round otherwise.
        before, after = (
            shards.array(cell.path(root), "carrier_offset")
            for root in (constellations, tmp_path / "again")
        )
        assert after == pytest.approx(before, abs=1e-9)


def test_render_twice_is_the_same_bytes(iq_shards, constellations, tmp_path):
    rendering.render(iq_shards, tmp_path / "again", RENDER)
    for cell in shards.cells(constellations):
        assert cell.path(tmp_path / "again").read_bytes() == cell.path(constellations).read_bytes()


def test_render_keeps_the_carrier_offsets_and_counts_those_beyond(tmp_path):
    """Of FM there is no symbol, whatever its lines seem to say: it is not counted."""
    for name, offset in (("QPSK", 2e-4), ("BPSK", 1.5e-3), ("FM", 0.0)):
        sent = send("QPSK" if name == "FM" else name, 20, 20, carrier_offset=offset)
        arrays = {"iq": sent.iq.astype(np.complex64).view(np.float32).reshape(20, 1024, 2)}
        cell = Cell(name, 20)
        shards.save(cell.path(tmp_path / "in"), arrays | {"row": np.arange(20)}, cell._asdict())

    settings = replace(RENDER, views=("symbol",), pulse="rml2018")
    counted = rendering.render(tmp_path / "in", tmp_path / "out", settings)
    assert counted == (60, 40, 20)
    found, beyond = (
        shards.array(Cell(name, 20).path(tmp_path / "out"), "carrier_offset")
        for name in ("QPSK", "BPSK")
    )
    assert found.dtype == np.float32
    assert found == pytest.approx(np.full(20, 2e-4), abs=2e-5)
    assert np.isnan(beyond).all()


def test_render_with_a_silent_frame_leaves_nothing(tmp_path):
    iq = np.ones((4, 16, 2), np.float32)
    iq[2] = 0
    path = Cell("QPSK", 0).path(tmp_path / "in")
    shards.save(path, {"iq": iq, "row": np.arange(4)}, {})
    with pytest.raises(ValueError, match="frame 2 of 4 has no power"):
        rendering.render(tmp_path / "in", tmp_path / "out", raw_only())
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_preview_shows_first_frames_in_the_class_order(constellations):
    shown = sheet.preview(constellations)
    assert (shown.modulations, shown.snrs_db) == (MODULATIONS, SNRS_DB)
    assert shown.extents == asdict(RENDER.extent)
    assert tuple(shown.images) == RENDER.views
    for (view, images), (m, s) in product(shown.images.items(), ((0, 0), (2, 1))):
        assert images.shape == (3, 3, SIZE, SIZE)
        first = rendering.read_bins(constellations, Cell(MODULATIONS[m], SNRS_DB[s]), view)[0]
        counts = np.bincount(first[first != OUTSIDE], minlength=SIZE**2)
        assert images[m, s] == pytest.approx(np.log1p(counts).reshape(SIZE, SIZE), rel=1e-6)
