"""Masked pixels, and what a model is shown of frames without the points behind them."""

import shutil

import numpy as np
import pytest
import torch

from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.inputs.drawing import Drawing, DrawingProbe
from pisces.inputs.pixels import PixelLists, mask_pixels
from pisces.inputs.waveform import Waveform, WaveformProbe
from tests.conftest import RENDER, SAMPLES, SIZE, draw

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def shuffled(index):
    return generator(1, "test inference").permutation(index)[:60]


def masked_by(counts: torch.Tensor, pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
    """Every frame of the counts (n, pixels) without its list of pixels."""
    lists = PixelLists.on_device(range(len(counts)), pixels, offsets, counts.device)
    return mask_pixels(counts, lists)


def test_masking_empties_only_the_listed_pixels():
    counts = torch.arange(1.0, 13).view(3, 4)
    before = counts.clone()
    masked = masked_by(counts, np.array([3, 0, 2], np.uint16), np.array([0, 1, 1, 3]))
    assert masked.tolist() == [[1, 2, 3, 0], [5, 6, 7, 8], [0, 10, 0, 12]]
    assert torch.equal(counts, before)


def test_masked_pixels_are_those_of_a_loop():
    """On two views of 254 x 254 pixels, the largest image: pixel numbers exceed 2^16."""
    rng = generator(1, "test remove")
    counts = 1 + torch.from_numpy(rng.poisson(1.0, (5, 2 * 254 * 254)).astype(np.float32))
    lists = [rng.choice(2 * 254 * 254, n, replace=False) for n in (0, 700, 1, 0, 300)]
    expected = counts.clone()
    for row, pixels in zip(expected, lists, strict=True):
        row[pixels] = 0
    offsets = np.concatenate([[0], np.cumsum([len(pixels) for pixels in lists])])
    assert torch.equal(masked_by(counts, np.concatenate(lists), offsets), expected)


def test_masking_nothing_changes_nothing():
    counts = torch.ones(2, 16)
    assert torch.equal(masked_by(counts, np.empty(0, np.uint16), np.zeros(3, np.int64)), counts)


def test_a_frame_may_have_several_lists_or_none():
    counts = torch.arange(1.0, 13).view(3, 4)
    lists = PixelLists.on_device([2, 0, 2], np.array([1, 3, 0]), np.array([0, 2, 2, 3]), CPU)
    assert mask_pixels(counts, lists).tolist() == [[9, 0, 11, 0], [1, 2, 3, 4], [0, 10, 11, 12]]
    in_lists = [[False, True, False, True], [False] * 4, [True, False, False, False]]
    assert lists.table(4).tolist() == in_lists


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.int64])
def test_lists_reach_a_device_that_cannot_be_asked_for_their_lengths(dtype):
    """The device `meta` has shapes and no values: whatever waits for a value fails there."""
    meta = torch.device("meta")
    pixels, offsets = np.array([3, 0, 2], dtype), np.array([0, 1, 1, 3])
    lists = PixelLists.on_device(np.array([0, 1, 1]), pixels, offsets, meta)
    assert mask_pixels(torch.ones(2, 4, device=meta), lists).shape == (3, 4)
    assert lists.table(4).shape == (3, 4)


NOTHING_MASKED = (np.empty(0, np.int64), np.zeros(4, np.int64))


@pytest.mark.parametrize(
    "method", ["histogram", "log_histogram", "max_normalized", "gaussian", "enhanced"]
)
def test_a_model_of_constellations_is_probed_by_its_images(data, constellations, shuffled, method):
    drawing = Drawing(RENDER, draw(method))
    prober = drawing.prober(constellations.parent, "zero", 1)
    probe = prober.probe(shuffled[:5], CPU)
    assert isinstance(probe, DrawingProbe)
    assert prober.note == ""
    counts = drawing.count(torch.from_numpy(data.bins(shuffled[:5])))
    assert torch.equal(probe.without([3, 0, 4], *NOTHING_MASKED), drawing(counts[[3, 0, 4]]))

    lit = [int(counts[i].argmax()) for i in (3, 0, 4)]
    masked = probe.without([3, 0, 4], np.array(lit), np.arange(4))
    expected = counts[[3, 0, 4]].clone()
    expected[[0, 1, 2], lit] = 0
    assert torch.equal(masked, drawing(expected))
    assert torch.equal(probe.without([3, 0, 4], *NOTHING_MASKED), drawing(counts[[3, 0, 4]]))
    assert not torch.equal(masked, probe.without([3, 0, 4], *NOTHING_MASKED))


@pytest.mark.parametrize(
    ("fill", "note"), [("zero", "silenced"), ("resample", "replaced by others of their frame")]
)
def test_a_model_of_frames_is_probed_without_the_samples_behind_the_pixels(
    data, constellations, iq_data, shuffled, fill, note
):
    """Of the view `raw`, whose points are the samples themselves."""
    prober = Waveform(SAMPLES).prober(constellations.parent, fill, 1)
    assert prober.note == f"model of raw IQ: samples behind the pixels taken are {note}"
    probe = prober.probe(shuffled[:5], CPU)
    assert isinstance(probe, WaveformProbe)
    frames = iq_data.prepare(iq_data.gather(shuffled[:5]), CPU)[[3, 0, 4]]
    assert torch.equal(probe.without([3, 0, 4], *NOTHING_MASKED), frames)

    bins = data.gather(shuffled[:5])[0][[3, 0, 4]]
    lit = [np.bincount(row[row < SIZE**2]).argmax() for row in bins]
    found = probe.without([3, 0, 4], np.array(lit), np.arange(4))

    for before, after, row, pixel in zip(frames, found, bins, lit, strict=True):
        gone = row == pixel
        assert 0 < gone.sum() < SAMPLES
        assert torch.equal(after[:, ~gone], before[:, ~gone])
        if fill == "zero":
            assert not after[:, gone].any()
        else:
            kept = set(map(tuple, before[:, ~gone].T.tolist()))
            assert set(map(tuple, after[:, gone].T.tolist())) <= kept


def test_resampled_frames_depend_on_seed_and_frame_alone(constellations, shuffled):
    pixels = np.arange(0, SIZE**2, 2)
    offsets = np.array([0, len(pixels)])

    def resampled(seed: int, index: np.ndarray, number: int) -> torch.Tensor:
        prober = Waveform(SAMPLES).prober(constellations.parent, "resample", seed)
        return prober.probe(index, CPU).without([number], pixels, offsets)

    assert torch.equal(resampled(1, shuffled[:5], 3), resampled(1, shuffled[3:5], 0))
    assert not torch.equal(resampled(1, shuffled[:5], 3), resampled(2, shuffled[:5], 3))


def test_constellations_and_frames_of_others_are_refused(data_of_others):
    with pytest.raises(
        ValueError,
        match=r"was not rendered from .*: their rows differ; make it again with dvc repro render",
    ):
        Waveform(SAMPLES).prober(data_of_others, "zero", 1)


@pytest.fixture
def data_of_others(constellations, iq_shards, tmp_path):
    shutil.copytree(constellations, tmp_path / "constellations")
    root = shutil.copytree(iq_shards, tmp_path / "split_hdf5")
    cell = Cell("QPSK", 0).path(root)
    iq, rows = (np.array(shards.array(cell, name)) for name in ("iq", "row"))
    shards.save(cell, {"iq": iq, "row": rows + 1}, {})
    return tmp_path
