"""A batch holds the frames that its index names, in that order, with the right answers beside them."""

import shutil

import numpy as np
import pytest
import torch

from pisces import rendering
from pisces.datasets import Constellations, batches
from pisces.seeding import generator
from pisces.shards import Cell
from tests.conftest import EXTENT, FRAMES, MODULATIONS, SAMPLES, SIZE, SNRS_DB

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shuffled(index):
    return generator(1, "test datasets").permutation(index)[:50]


def test_knows_its_classes_and_settings(data):
    assert (data.modulations, data.snrs_db) == (MODULATIONS, SNRS_DB)
    assert (data.size, data.extent) == (SIZE, EXTENT)


def test_bins_are_those_of_the_shards(data, constellations, shuffled):
    bins = data.bins(shuffled)
    assert (bins.shape, bins.dtype) == ((50, SAMPLES), np.uint16)
    for row, (m, s, frame) in zip(bins, shuffled, strict=True):
        assert np.array_equal(row, rendering.read_bins(constellations, Cell(MODULATIONS[m], SNRS_DB[s]))[frame])
    assert len(np.unique(bins, axis=0)) == len(np.unique(shuffled, axis=0))


def test_bins_are_a_copy(data, shuffled):
    before = data.bins(shuffled)
    data.bins(shuffled)[:] = 0
    assert np.array_equal(data.bins(shuffled), before)
    assert before.any()


def test_identity_is_the_row_in_the_source_file(data, index):
    assert data.identity(np.array([1, 2, 7])) == ("QPSK", 20, 5000 + 3 * 7)
    assert len({data.identity(frame) for frame in index}) == len(index) == 9 * FRAMES


@pytest.mark.parametrize("batch_size", [1, 16, 50, 64])
def test_batches_cover_the_index_in_order_whatever_their_size(data, shuffled, batch_size):
    steps = list(batches(data, shuffled, batch_size, CPU))
    assert [len(bins) for bins, *_ in steps] == [min(batch_size, 50 - start) for start in range(0, 50, batch_size)]
    bins, modulation, snr = (torch.cat(column) for column in zip(*steps, strict=True))
    assert (bins.dtype, modulation.dtype, snr.dtype) == (torch.int32, torch.int64, torch.int64)
    assert np.array_equal(bins, data.bins(shuffled))
    assert np.array_equal(torch.stack([modulation, snr], 1), shuffled[:, :2])


def test_missing_shard_is_named(constellations, tmp_path):
    root = shutil.copytree(constellations, tmp_path / "constellations")
    (root / "QPSK" / "SNR_0.h5").unlink()
    with pytest.raises(FileNotFoundError, match=r"QPSK/SNR_0.h5 is missing; make it again with dvc repro --force"):
        Constellations(root)
