"""A picture turned or mirrored is that of the frame turned or mirrored."""

from itertools import product

import numpy as np
import pytest
import torch

from pisces.data.datasets import StoredFrames
from pisces.inputs import binning
from pisces.inputs.base import Input
from pisces.inputs.pixels import symmetries
from pisces.inputs.waveform import Waveform
from pisces.training.augmentation import Augmentation
from pisces.training.frames import frames_of_epoch
from pisces.training.symmetry import SINGLE_SIDEBAND, Symmetric, draw
from tests.inputs.signals import received as received_frames
from tests.inputs.signals import white
from tests.inputs.tiny import drawing, seen
from tests.training.tiny import CPU, assert_same, configure, fit

FRAMES = 16
ELEMENTS = list(product((False, True), range(4)))
POWERS_OF_J = (1, 1j, -1, -1j)
FLIPS = 2
"""Points, of all frames together, that rounding may move over the edge of a pixel."""


def as_frames(iq: np.ndarray) -> torch.Tensor:
    return torch.view_as_real(torch.from_numpy(iq.astype(np.complex64)))


def on_all(turns: int, mirrored: bool) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((FRAMES,), turns), torch.full((FRAMES,), mirrored)


def turned_frames(iq: np.ndarray, turns: int, mirrored: bool) -> np.ndarray:
    return POWERS_OF_J[turns] * (iq.conj() if mirrored else iq)


def moved_points(model_input: Input, iq: np.ndarray, turns: int, mirrored: bool) -> float:
    """Points that lie elsewhere in the turned picture than in that of the turned frame."""
    picture = model_input.encode(as_frames(iq))
    own = model_input.tensors(model_input.turned(picture, *on_all(turns, mirrored)))
    other = model_input.encode(as_frames(turned_frames(iq, turns, mirrored)))
    return float((own - model_input.tensors(other)).abs().sum() / 2)


@pytest.mark.parametrize(("mirrored", "turns"), ELEMENTS)
def test_pixels_of_turned_points_are_turned_pixels_bit_for_bit(mirrored, turns):
    size, points = 64, white((FRAMES, 1024), "wide").astype(np.complex64)
    turned = turned_frames(points, turns, mirrored)
    own, other = (binning.bin_points(as_frames(one), 12.8, size).long() for one in (points, turned))
    outside = own == binning.OUTSIDE
    assert 0 < outside.sum() < outside.numel() / 10
    assert torch.equal(other == binning.OUTSIDE, outside)
    assert torch.equal(symmetries(size)[int(mirrored), turns, own[~outside]], other[~outside])


@pytest.mark.parametrize("view", ["raw", "symbol", "noise", "differential"])
@pytest.mark.parametrize(("mirrored", "turns"), ELEMENTS)
def test_every_view_says_how_it_turns(view, mirrored, turns):
    model_input = drawing("histogram", seen(view, size=64))
    iq = received_frames("16QAM", FRAMES)
    assert moved_points(model_input, iq, turns, mirrored) <= FLIPS


@pytest.mark.parametrize(("mirrored", "turns"), ELEMENTS[1:])
def test_pictures_do_move(mirrored, turns):
    model_input = drawing("histogram", seen("raw"))
    picture = model_input.encode(as_frames(received_frames("16QAM", FRAMES)))
    assert not torch.equal(model_input.turned(picture, *on_all(turns, mirrored)), picture)


@pytest.mark.parametrize(("mirrored", "turns"), ELEMENTS)
def test_raw_frames_are_turned_themselves(mirrored, turns):
    iq = received_frames("QPSK", FRAMES)
    model_input = Waveform(iq.shape[1])
    stored = model_input.encode(as_frames(iq))
    other = model_input.encode(as_frames(turned_frames(iq, turns, mirrored)))
    # The RMS sums the same squares in another order.
    assert torch.allclose(model_input.turned(stored, *on_all(turns, mirrored)), other, rtol=1e-6)


def test_an_input_without_symmetries_is_refused():
    class Other(Input):
        name = "other"

    with pytest.raises(ValueError, match=r"augment\.symmetry = true .* = other .* set it to false"):
        Input.turned(Other, *[torch.zeros(1)] * 3)


# Draws


def identities(modulation: str, count: int) -> list[tuple[str, int, int]]:
    return [(modulation, 0, row) for row in range(count)]


def test_all_eight_are_equally_likely():
    count = 8000
    drawn = draw(1, 1, identities("QPSK", count))
    times = np.bincount(4 * drawn.mirrored + drawn.quarter_turns, minlength=8)
    assert abs(times - count / 8).max() < 5 * np.sqrt(count / 8)


def test_a_single_sideband_is_turned_and_not_mirrored():
    for modulation in SINGLE_SIDEBAND:
        drawn = draw(1, 1, identities(modulation, 100))
        assert not drawn.mirrored.any()
        assert set(drawn.quarter_turns) == {0, 1, 2, 3}
    assert draw(1, 1, identities("AM-DSB-SC", 100)).mirrored.any()


def test_each_frame_is_drawn_for_itself_and_anew_in_each_epoch():
    all_of_them = draw(1, 1, identities("QPSK", 40))
    some = draw(1, 1, identities("QPSK", 40)[10:20])
    for whole, part in zip(all_of_them, some, strict=True):
        assert np.array_equal(whole[10:20], part)
    for other in (draw(1, 2, identities("QPSK", 40)), draw(2, 1, identities("QPSK", 40))):
        assert not np.array_equal(other.quarter_turns, all_of_them.quarter_turns)


# In training


def test_batches_keep_their_labels(data, index):
    model_input = drawing("histogram", data.render)
    plain = StoredFrames(data, CPU)
    loader = Symmetric(plain, data, model_input, 1, 1, CPU)
    before, after = (one.prepare(one.gather(index)) for one in (plain, loader))
    assert torch.equal(before.modulation, after.modulation)
    assert torch.equal(before.snr, after.snr)

    drawn = draw(1, 1, [data.identity(frame) for frame in index])
    unmoved = (after.stored == before.stored).all(1).numpy()
    assert np.array_equal(unmoved, (drawn.quarter_turns == 0) & ~drawn.mirrored)


def test_symmetry_comes_on_top_of_what_else_is_varied(received):
    config = configure()
    batches = []
    for settings in (Augmentation(noise_db=20.0), Augmentation(noise_db=20.0, symmetry=True)):
        varied = received._replace(augmentation=settings)
        stored = StoredFrames(varied.store, CPU)
        loader, order = frames_of_epoch(varied, config, 1, 1, stored)
        batches.append(loader.prepare(loader.gather(order)))
    plain, moved = batches
    assert torch.equal(plain.snr, moved.snr)

    drawn = draw(1, 1, [received.store.identity(frame) for frame in order])
    again = received.input.turned(plain.stored, *map(torch.from_numpy, drawn))
    assert torch.equal(moved.stored, again)
    assert not torch.equal(moved.stored, plain.stored)


@pytest.mark.usefixtures("tiny")
def test_without_it_training_is_as_it_was_and_with_it_another(received, tmp_path):
    varied = received._replace(augmentation=Augmentation(symmetry=True))
    plain = fit(received, tmp_path / "plain.pt")
    off = received._replace(augmentation=Augmentation(symmetry=False))
    assert_same(plain, fit(off, tmp_path / "off.pt"))
    assert fit(varied, tmp_path / "on.pt")[1][0]["train_loss"] != plain[1][0]["train_loss"]
