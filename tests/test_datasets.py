"""A batch holds the frames that its index names, in that order, with their classes beside them."""

import shutil

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.data import datasets
from pisces.data.datasets import (
    Batch,
    ResidentFrames,
    StoredFrames,
    batches,
    frames_in_reach,
)
from pisces.inputs import binning, kind_of, rendering
from pisces.inputs.base import check_same_frames
from pisces.inputs.binning import OUTSIDE
from pisces.inputs.drawing import BinStore
from pisces.inputs.waveform import IqStore, frames_behind
from tests.conftest import FRAMES, MODULATIONS, POINTS, RENDER, SAMPLES, SIZE, SNRS_DB, draw

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shuffled(index):
    return generator(1, "test datasets").permutation(index)[:50]


def test_knows_its_classes_and_settings(data, index):
    assert (data.modulations, data.snrs_db) == (MODULATIONS, SNRS_DB)
    assert data.render == RENDER
    assert np.array_equal(data.every_frame(), index)


def test_bins_are_those_of_the_shards_a_view_after_the_other(data, constellations, shuffled):
    apart, together = data.gather(shuffled), data.bins(shuffled)
    assert [(one.shape, one.dtype) for one in apart] == [
        ((50, POINTS[view]), np.uint16) for view in RENDER.views
    ]
    assert (together.shape, together.dtype) == ((50, sum(POINTS.values())), np.int32)
    ends = np.cumsum([0, *POINTS.values()])
    for v, view in enumerate(RENDER.views):
        expected = np.stack(
            [
                rendering.read_bins(constellations, Cell(MODULATIONS[m], SNRS_DB[s]), view)[i]
                for m, s, i in shuffled
            ]
        )
        assert np.array_equal(apart[v], expected)
        counted_on = np.where(expected == OUTSIDE, 4 * SIZE**2, expected.astype(int) + v * SIZE**2)
        assert np.array_equal(together[:, ends[v] : ends[v + 1]], counted_on)
        assert len(np.unique(expected, axis=0)) == len(np.unique(shuffled, axis=0))


def test_bins_are_a_copy(data, shuffled):
    before = data.bins(shuffled)
    for one in (data.bins(shuffled), *data.gather(shuffled)):
        one[:] = 0
    assert np.array_equal(data.bins(shuffled), before)
    assert before.any()


def test_identity_is_the_row_in_the_source_file(data, index):
    assert data.identity(np.array([1, 2, 7])) == ("QPSK", 20, 5000 + 3 * 7)
    assert len({data.identity(frame) for frame in index}) == len(index) == 9 * FRAMES
    assert data.identities(index) == [data.identity(frame) for frame in index]


def test_frames_are_those_that_were_rendered(data, iq_shards, shuffled):
    frames = IqStore(iq_shards).gather(shuffled)
    assert (frames.shape, frames.dtype) == ((50, SAMPLES, 2), np.float32)
    for frame, (m, s, row) in zip(frames, shuffled, strict=True):
        assert np.array_equal(
            frame, shards.array(Cell(MODULATIONS[m], SNRS_DB[s]).path(iq_shards), "iq")[row]
        )
    again = binning.bin_frames(torch.from_numpy(frames), RENDER)
    for bins, view in zip(data.gather(shuffled), RENDER.views, strict=True):
        # FFTs of another batch may round otherwise, and move a point across an edge.
        assert np.mean(bins != again[view].numpy()) < 1e-3


def test_frames_of_other_shards_are_refused(data, iq_shards, tmp_path):
    root = shutil.copytree(iq_shards, tmp_path / "split_hdf5")
    cell = Cell("QPSK", 0).path(root)
    iq, row = np.array(shards.array(cell, "iq")), np.array(shards.array(cell, "row"))
    shards.save(cell, {"iq": iq, "row": row + 1}, {})
    with pytest.raises(
        ValueError,
        match=r"QPSK/SNR_0.h5 was not rendered from .*split_hdf5/QPSK/SNR_0.h5: .*; make it again",
    ):
        check_same_frames(data, IqStore(root))


@pytest.mark.parametrize("batch_size", [1, 16, 50, 64])
def test_batches_cover_the_index_in_order_whatever_their_size(data, shuffled, batch_size):
    steps = list(batches(StoredFrames(data, CPU), shuffled, batch_size))
    assert [len(bins) for bins, *_ in steps] == [
        min(batch_size, 50 - start) for start in range(0, 50, batch_size)
    ]
    bins, modulation, snr = (torch.cat(column) for column in zip(*steps, strict=True))
    assert (bins.dtype, modulation.dtype, snr.dtype) == (torch.int32, torch.int64, torch.int64)
    assert np.array_equal(bins, data.bins(shuffled))
    assert np.array_equal(torch.stack([modulation, snr], 1), shuffled[:, :2])


@pytest.mark.parametrize("kind", ["data", "iq_data"])
def test_frames_that_lie_on_the_device_make_the_same_batches(kind, request, shuffled, monkeypatch):
    store = request.getfixturevalue(kind)
    monkeypatch.setattr(datasets, "READ_AT_ONCE", 7)
    streamed = StoredFrames(store, CPU)
    resident = ResidentFrames(streamed, shuffled)

    asked = np.concatenate([shuffled[::-3], shuffled[:5]])  # some twice, in another order
    steps = zip(batches(streamed, asked, 8), batches(resident, asked, 8), strict=True)
    for one, other in steps:
        assert all(map(torch.equal, one, other))


def test_frames_move_to_a_device_that_has_room_for_them(data, shuffled, monkeypatch):
    whole = 50 * data.bins(shuffled[:1]).nbytes
    share = datasets.RESIDENT_SHARE
    for free, kind in ((whole / share, ResidentFrames), (whole / share - 1, StoredFrames)):
        monkeypatch.setattr(datasets, "free_memory", lambda _, free=free: free)
        assert type(frames_in_reach(data, shuffled, CPU)) is kind


def test_frames_stay_in_the_shards_of_a_cpu(data, shuffled):
    assert type(frames_in_reach(data, shuffled, CPU)) is StoredFrames


def modulation_snr(batch: Batch) -> np.ndarray:
    return torch.stack([batch.modulation, batch.snr], 1).numpy()


def test_processes_share_every_batch_without_gap_or_overlap(data, shuffled):
    together = [
        modulation_snr(batch) for batch in batches(StoredFrames(data, CPU), shuffled[:48], 16)
    ]
    shares = [
        [
            modulation_snr(batch)
            for batch in batches(StoredFrames(data, CPU), shuffled[:48], 16, (rank, 4))
        ]
        for rank in range(4)
    ]
    for whole, *parts in zip(together, *shares, strict=True):
        assert [len(part) for part in parts] == [4] * 4
        assert np.array_equal(np.stack(parts, 1).reshape(16, 2), whole)
    part = next(batches(StoredFrames(data, CPU), shuffled, 16, (3, 4)))
    assert np.array_equal(part.stored, data.bins(shuffled[3:16:4]))


def test_no_frames_make_no_batches(data):
    assert list(batches(StoredFrames(data, CPU), np.empty((0, 3), np.int64), 8)) == []


def test_an_error_while_reading_reaches_the_reader(data):
    beyond = np.array([[0, 0, 0], [0, 0, FRAMES]])
    steps = batches(StoredFrames(data, CPU), beyond, 1)
    assert len(next(steps).stored) == 1
    with pytest.raises(IndexError):
        next(steps)


def test_missing_shard_is_named(constellations, tmp_path):
    root = shutil.copytree(constellations, tmp_path / "constellations")
    (root / "QPSK" / "SNR_0.h5").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"QPSK/SNR_0.h5 is missing; make it again with dvc repro --force"
    ):
        BinStore(root)


# Frames themselves


def test_batches_of_frames_have_unit_mean_square_and_the_shape_of_those_in_the_shards(
    iq_data, shuffled
):
    stored, modulation, snr = next(batches(StoredFrames(iq_data, CPU), shuffled, 50))
    assert (stored.shape, stored.dtype, iq_data.samples) == (
        (50, 2, SAMPLES),
        torch.float32,
        SAMPLES,
    )
    iq = torch.from_numpy(iq_data.gather(shuffled))
    gain = (stored / iq.mT).mean((1, 2), keepdim=True)
    torch.testing.assert_close(stored, gain * iq.mT, rtol=1e-6, atol=1e-6)
    assert stored.square().mean((1, 2)).numpy() == pytest.approx(
        1, abs=1e-5
    )  # of 512 squares in float32
    assert (iq.square().mean((1, 2)) - 1).abs().max() > 0.01
    assert np.array_equal(torch.stack([modulation, snr], 1), shuffled[:, :2])


def test_frames_and_constellations_are_addressed_alike(data, iq_data, index):
    assert (iq_data.modulations, iq_data.snrs_db) == (data.modulations, data.snrs_db)
    assert np.array_equal(iq_data.every_frame(), index)
    assert [iq_data.identity(frame) for frame in index] == [data.identity(frame) for frame in index]


def test_encoding_a_frame_gives_what_is_stored_of_it(data, iq_data, shuffled):
    frames = torch.from_numpy(iq_data.gather(shuffled))
    assert torch.equal(iq_data.encode(frames), iq_data.prepare(iq_data.gather(shuffled), CPU))
    bins = data.prepare(data.gather(shuffled), CPU)
    # FFTs of another batch may round otherwise, and move a point across an edge.
    assert (data.encode(frames) != bins).float().mean() < 1e-3


def test_each_input_opens_its_own_store(iq_shards, constellations):
    for name, store in (("constellation", BinStore), ("iq", IqStore)):
        seen = kind_of(name).for_data(iq_shards.parent, draw("histogram"))
        assert type(seen.open(constellations.parent)) is store


def test_frames_behind_other_constellations_are_refused_before_training(
    constellations, iq_shards, tmp_path
):
    root = shutil.copytree(iq_shards, tmp_path / "split_hdf5")
    cell = Cell("16QAM", 20).path(root)
    shards.save(
        cell,
        {
            "iq": np.array(shards.array(cell, "iq")),
            "row": np.array(shards.array(cell, "row"))[::-1],
        },
        {},
    )
    with pytest.raises(
        ValueError,
        match=r"16QAM/SNR_20.h5 was not rendered from .*; make it again with dvc repro render",
    ):
        frames_behind(BinStore(constellations), tmp_path)
    assert isinstance(frames_behind(BinStore(constellations), constellations.parent), IqStore)
