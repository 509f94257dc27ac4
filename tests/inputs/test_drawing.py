"""Images are what each method says of the counts, view by view and frame by frame."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from pisces.core.seeding import generator
from pisces.inputs.drawing import Drawing
from tests.conftest import (
    RENDER,
    SIZE,
    draw,
    raw_only,
)
from tests.inputs.tiny import drawing, seen

METHODS = ("log_histogram", "histogram", "max_normalized", "gaussian", "enhanced")


@pytest.fixture(scope="module")
def counts() -> torch.Tensor:
    """Six frames of Poisson counts (6, SIZE * SIZE), the last one dark."""
    drawn = generator(1, "test counts").poisson(0.4, (6, SIZE * SIZE)).astype(np.float32)
    drawn[-1] = 0
    return torch.from_numpy(drawn)


def test_methods_against_plain_numpy(counts):
    plain = counts.numpy().reshape(-1, 1, SIZE, SIZE)
    assert np.array_equal(drawing("histogram")(counts), plain)
    assert drawing("log_histogram")(counts).numpy() == pytest.approx(np.log1p(plain), rel=1e-6)
    peak = np.maximum(plain.max(axis=(2, 3), keepdims=True), 1)
    assert drawing("max_normalized")(counts).numpy() == pytest.approx(plain / peak, rel=1e-6)

    sigma = 1.3
    x = np.arange(-3, 4)  # three sigma, cut to whole pixels
    bell = np.exp(-(x**2) / (2 * sigma**2))
    kernel = np.outer(bell, bell) / bell.sum() ** 2
    smooth = Drawing(raw_only(), replace(draw("gaussian"), sigma_px=sigma))(counts)
    assert smooth.shape == plain.shape
    for image, one in zip(smooth, plain, strict=True):
        assert image[0].numpy() == pytest.approx(convolve2d(one[0], kernel, mode="same"), abs=1e-5)

    y, x = np.mgrid[-8:9, -8:9]  # four times the longest decay
    enhanced = drawing("enhanced")(counts)
    assert enhanced.shape == (len(counts), 3, SIZE, SIZE)
    for channel, decay in enumerate((0.5, 1.0, 2.0)):
        expected = np.log1p(
            convolve2d(plain[0, 0], np.exp(-np.sqrt(x**2 + y**2) / decay), mode="same")
        )
        assert enhanced[0, channel].numpy() == pytest.approx(expected, abs=1e-5)


def test_gaussian_keeps_the_total_away_from_the_border_and_loses_it_there():
    impulses = torch.zeros(3, SIZE, SIZE)
    impulses[0, 15, 9] = 7
    impulses[1, 3, 28] = 7  # three pixels from the border, as far as the kernel reaches
    impulses[2, 0, 9] = 7
    smooth = drawing("gaussian")(impulses.flatten(1))
    totals = smooth.sum(dim=(1, 2, 3))
    assert totals[:2].tolist() == pytest.approx([7, 7], rel=1e-6)
    assert totals[2] < 0.75 * 7
    assert smooth[0].max() < 0.2 * 7  # 1 / (2 pi) of it in the middle


def test_max_normalized_hides_what_histogram_shows(counts):
    assert torch.allclose(drawing("max_normalized")(3 * counts), drawing("max_normalized")(counts))
    assert not torch.allclose(drawing("histogram")(3 * counts), drawing("histogram")(counts))


@pytest.mark.parametrize("method", METHODS)
def test_drawing_does_not_depend_on_the_batch(counts, method):
    one = drawing(method)
    together = one(counts)
    assert together.shape == (len(counts), one.channels, SIZE, SIZE)
    assert together[:-1].flatten(1).any(dim=1).all()
    assert not together[-1].any()
    for i in range(len(counts)):
        torch.testing.assert_close(one(counts[i : i + 1])[0], together[i], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one(counts.flip(0)).flip(0), together, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_views_are_drawn_apart_one_after_the_other(counts, method):
    """Three views.

    The last frames, the first, and a dark one; `enhanced` keeps the channels of a view together.
    """
    apart = [counts[2:4], counts[:2], torch.zeros(2, SIZE**2)]
    together = drawing(method, seen("symbol", "raw", "noise"))
    one = drawing(method)
    assert one.channels == (3 if method == "enhanced" else 1)
    assert (together.pixels, together.channels) == (3 * SIZE**2, 3 * one.channels)
    drawn = together(torch.cat(apart, 1))
    assert drawn.shape == (2, together.channels, SIZE, SIZE)
    for view, part in enumerate(apart):
        channels = slice(view * one.channels, (view + 1) * one.channels)
        torch.testing.assert_close(drawn[:, channels], one(part), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(one(apart[0]), one(apart[1]))


def test_unknown_method(counts):
    unknown = Drawing(raw_only(), replace(draw("histogram"), method="scatter"))
    with pytest.raises(ValueError, match=r"draw.method 'scatter' is unknown"):
        unknown(counts)


def test_frames_of_another_length_are_refused():
    drawing = Drawing(replace(RENDER, samples=512), draw("histogram"))
    assert len(drawing.encode(torch.ones(3, 512, 2))) == 3
    with pytest.raises(ValueError, match=r"shape \(n, 512, 2\), .* not \(1, 256, 2\); cut them"):
        drawing.encode(torch.ones(1, 256, 2))
