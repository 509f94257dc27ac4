"""Pixels are what the frame says.

Turned with it, and of its samples whatever its scale and batch.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.binning import OUTSIDE, bin_frames, count_points, join_views
from pisces.inputs.drawing import Drawing
from tests.conftest import (
    EXTENT,
    FRAMES,
    POINTS,
    RENDER,
    SIZE,
    draw,
)
from tests.inputs.tiny import frames_of, raw_bins, seen


def images(frames: np.ndarray, size: int = SIZE, extent: float = EXTENT) -> np.ndarray:
    """Sample counts (n, size, size) of frames (n, samples, 2)."""
    return (
        count_points(raw_bins(torch.from_numpy(frames), size, extent), size**2)
        .numpy()
        .reshape(-1, size, size)
    )


def test_pixels_of_points_computed_by_hand():
    """RMS 1, pixels of 0.5.

    I = 0.6 is in column 4 + 1, Q = 0.8 in the second row above the middle, row 4 - 2.
    """
    frame = torch.tensor([[[0.6, 0.8], [-0.8, 0.6], [-0.6, -0.8], [0.8, -0.6]]])
    assert raw_bins(frame, 8, 2.0).tolist() == [[2 * 8 + 5, 2 * 8 + 2, 5 * 8 + 2, 5 * 8 + 5]]


def test_a_turn_by_90_degrees_turns_the_image_by_90_degrees():
    """Of odd integers none lies on the axes, where two pixels meet.

    Their energy is exact in any order of adding.
    """
    iq = 2 * generator(1, "test turn").integers(-12, 12, (8, 512, 2)).astype(np.float32) + 1
    turned = np.stack([-iq[..., 1], iq[..., 0]], axis=-1)  # 1j * (I + 1j Q)
    plain = images(iq)
    assert np.array_equal(images(turned), np.rot90(plain, 1, axes=(1, 2)))
    assert not np.array_equal(images(turned), np.rot90(plain, -1, axes=(1, 2)))


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_a_power_of_two_changes_no_bin(iq_shards, scale):
    frames = torch.from_numpy(frames_of(iq_shards, "16QAM", 0))
    assert torch.equal(raw_bins(frames * scale, 224), raw_bins(frames, 224))


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_any_scale_changes_bins_only_by_rounding(iq_shards, scale):
    frames = torch.from_numpy(frames_of(iq_shards, "16QAM", 0))
    moved = raw_bins(frames * scale, 224) != raw_bins(frames, 224)
    # A few roundings of 2^-24 at up to 112 pixels from the centre move a coordinate by 3e-5 of a
    # pixel: of 2 x 5 120, 0.3 cross an edge.
    assert int(moved.sum()) <= 4


@pytest.mark.parametrize(("size", "extent"), [(32, 2.5), (224, 3.0), (16, 1.0)])
def test_agrees_with_a_plain_histogram(iq_shards, size, extent):
    frames = np.concatenate([frames_of(iq_shards, "QPSK", -10), frames_of(iq_shards, "16QAM", 20)])
    edges = np.linspace(-extent, extent, size + 1)
    expected = []
    for i, q in frames.astype(float).transpose(0, 2, 1):
        rms = np.sqrt(np.mean(i**2 + q**2))
        expected.append(
            np.histogram2d(q / rms, i / rms, bins=[edges, edges])[0][::-1]
        )  # rows run downwards, Q upwards
    # As above, with 10 240 samples; each that crosses an edge differs in two pixels.
    assert np.abs(images(frames, size, extent) - expected).sum() <= 2 * 5


def test_samples_outside_are_dropped_and_the_others_counted(iq_shards):
    """One burst of 40 among 255 points on the unit circle.

    RMS 2.69, so that it lies at 14.9 RMS and they at 0.37.
    """
    angle = 2 * np.pi * generator(1, "test burst").random(256)
    frame = np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)[None]
    for burst in ([40, 0.5], [-40, 0.5], [0.5, 40], [0.5, -40]):
        frame[0, 17] = burst
        bins = raw_bins(torch.from_numpy(frame))[0]
        assert np.flatnonzero(bins == OUTSIDE).tolist() == [17]
        image = images(frame)[0]
        assert image.sum() == 255
        assert image[1:-1, 1:-1].sum() == 255

    noisy = frames_of(iq_shards, "QPSK", -10)
    rms = np.sqrt(np.mean(np.sum(noisy.astype(float) ** 2, axis=2), axis=1))
    inside = (np.abs(noisy).max(axis=2) < 1.0 * rms[:, None]).sum(axis=1)
    assert inside.max() < noisy.shape[1]
    assert images(noisy, extent=1.0).sum(axis=(1, 2)) == pytest.approx(inside, abs=1)


def test_a_frame_depends_on_its_own_power_alone(iq_shards):
    frames = torch.from_numpy(frames_of(iq_shards, "QPSK", 20))
    mixed = torch.cat([1000 * frames[1:], frames[:1]])
    assert torch.equal(raw_bins(mixed)[-1], raw_bins(frames[:1])[0])


def test_silence_raises():
    frames = torch.ones(3, 16, 2)
    frames[1] = 0
    with pytest.raises(ValueError, match=r"frame 1 of 3 has no power; leave all-zero frames out"):
        raw_bins(frames)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("view", ["raw", "symbol", "noise", "differential"])
def test_a_sample_that_is_not_finite_raises(view, value):
    """Or whose power is not: 1e30 squared is beyond float32."""
    frames = torch.ones(3, 256, 2)
    frames[1, 7, 1] = value
    with pytest.raises(
        ValueError,
        match=r"frame 1 of 3 .*NaN, infinite or too large to be squared; leave it out",
    ):
        bin_frames(frames, seen(view))


@pytest.mark.parametrize(
    ("frames", "said"),
    [
        (torch.ones(3, 16, dtype=torch.complex64), r"complex64 \(3, 16\)"),
        (torch.ones(3, 16, 2, dtype=torch.complex64), r"complex64 \(3, 16, 2\)"),
        (torch.ones(3, 2, 16), r"float32 \(3, 2, 16\)"),
        (torch.ones(16, 2), r"float32 \(16, 2\)"),
        (torch.ones(3, 16, 2, dtype=torch.float64), r"float64 \(3, 16, 2\)"),
        (torch.ones(3, 16, 2, dtype=torch.int32), r"int32 \(3, 16, 2\)"),
    ],
)
def test_frames_of_another_kind_are_refused(frames, said):
    with pytest.raises(
        ValueError,
        match=rf"float32 \(n, samples, 2\), I then Q, not {said}; torch.view_as_real makes",
    ):
        raw_bins(frames)


def test_count_points_against_a_loop():
    rng = generator(1, "test count")
    bins = rng.integers(0, 64, (5, 100))
    bins[rng.random(bins.shape) < 0.2] = OUTSIDE
    bins[rng.random(bins.shape) < 0.1] = 64  # the first number after the last pixel
    expected = [np.bincount(row[row < 64], minlength=64) for row in bins]
    assert np.array_equal(count_points(torch.from_numpy(bins), 64), expected)


# Views


def test_each_view_is_a_plain_histogram_over_its_own_extent(iq_shards):
    frames = frames_of(iq_shards, "QPSK", 20)
    extents = replace(
        RENDER.extent, symbol=0.7, noise=45.0, differential=0.9
    )  # each cuts some points off
    iq = torch.view_as_complex(torch.from_numpy(frames))
    points = {
        "symbol": views.symbols_of(iq, replace(RENDER, rolloff=0.2)).points,
        "noise": views.noise(iq, 8),
        "differential": views.differential(iq, 3),
    }
    bins = bin_frames(torch.from_numpy(frames), seen(*points, extent=extents, rolloff=0.2, delay=3))
    assert list(bins) == list(points)
    for view, numbers in bins.items():
        extent = getattr(extents, view)
        edges = np.linspace(-extent, extent, SIZE + 1)
        counts = count_points(numbers, SIZE**2).numpy().reshape(-1, SIZE, SIZE)
        z = points[view].numpy().astype(complex)
        expected = [np.histogram2d(row.imag, row.real, bins=[edges, edges])[0][::-1] for row in z]
        assert 0 < np.sum(expected) < z.size
        # Dividing by the RMS first moves a coordinate by a few 1e-6 of a pixel: of 2 x 5 120, 0.03
        # cross an edge.
        assert np.abs(counts - expected).sum() <= 2 * 2


def test_views_do_not_depend_on_which_others_are_made(iq_shards):
    frames = torch.from_numpy(frames_of(iq_shards, "16QAM", 0))
    together = bin_frames(frames, RENDER)
    assert {view: tuple(bins.shape) for view, bins in together.items()} == {
        view: (FRAMES, n) for view, n in POINTS.items()
    }
    backwards = bin_frames(frames, seen(*reversed(RENDER.views)))
    assert list(backwards) == list(reversed(RENDER.views))
    for view, bins in together.items():
        assert bins.dtype == torch.uint16
        assert torch.equal(bin_frames(frames, seen(view))[view], bins)
        assert torch.equal(backwards[view], bins)
    assert torch.equal(together["raw"], raw_bins(frames))


def test_join_views_against_a_loop():
    """On the largest images, where the number of a pixel of the third view takes 18 bits."""
    rng, size = generator(1, "test join"), 254
    bins = [rng.integers(0, size**2, (3, points)).astype(np.uint16) for points in (40, 7, 20)]
    for one in bins:
        one[rng.random(one.shape) < 0.2] = OUTSIDE
    joined = join_views([torch.from_numpy(one) for one in bins], size)
    assert (joined.shape, joined.dtype) == ((3, 67), torch.int32)
    for frame in range(3):
        expected = []
        for view in range(3):
            for number in bins[view][frame]:
                expected.append(3 * size**2 if number == OUTSIDE else view * size**2 + int(number))
        assert joined[frame].tolist() == expected
    counts = Drawing(seen("raw", "symbol", "noise", size=size), draw("histogram")).count(joined)
    assert counts.shape == (3, 3 * size**2)
    for view, one in enumerate(bins):
        apart = count_points(torch.from_numpy(one.astype(np.int32)), size**2)
        assert torch.equal(counts[:, view * size**2 : (view + 1) * size**2], apart)
        assert apart.sum() == (one != OUTSIDE).sum() > 0
