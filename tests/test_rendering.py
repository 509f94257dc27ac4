"""An image is what its frame says: turned with it, of its samples and no others, whatever its scale and its neighbours in the batch."""

from dataclasses import asdict, replace
from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d

from pisces.core import shards
from pisces.core.seeding import generator
from pisces.core.settings import to_json
from pisces.core.shards import Cell
from pisces.inputs import binning, export, sheet, views
from pisces.inputs.binning import OUTSIDE, bin_frames, count_points, join_views
from pisces.inputs.drawing import Drawing
from pisces.inputs.settings import RenderSettings
from tests.conftest import (
    EXTENT,
    FRAMES,
    MODULATIONS,
    POINTS,
    RENDER,
    SIZE,
    SNRS_DB,
    draw,
    raw_only,
    save_bins,
)

METHODS = ("log_histogram", "histogram", "max_normalized", "gaussian", "enhanced")


def drawing(method: str, render: RenderSettings | None = None) -> Drawing:
    return Drawing(render or raw_only(), draw(method))


def seen(*names: str, **changes) -> RenderSettings:
    """`RENDER` with these views and other changes."""
    return replace(RENDER, views=names, **changes)


def raw_bins(frames: torch.Tensor, size: int = SIZE, extent: float = EXTENT) -> torch.Tensor:
    (bins,) = bin_frames(frames, raw_only(size, extent)).values()
    return bins


def images(frames: np.ndarray, size: int = SIZE, extent: float = EXTENT) -> np.ndarray:
    """Sample counts (n, size, size) of frames (n, samples, 2)."""
    return (
        count_points(raw_bins(torch.from_numpy(frames), size, extent), size**2)
        .numpy()
        .reshape(-1, size, size)
    )


def frames_of(iq_shards, modulation: str, snr_db: int) -> np.ndarray:
    return np.array(shards.array(Cell(modulation, snr_db).path(iq_shards), "iq"))


@pytest.fixture(scope="module")
def counts() -> torch.Tensor:
    """Six frames of Poisson counts (6, SIZE * SIZE), the last one dark."""
    drawn = generator(1, "test counts").poisson(0.4, (6, SIZE * SIZE)).astype(np.float32)
    drawn[-1] = 0
    return torch.from_numpy(drawn)


# Binning


def test_pixels_of_points_computed_by_hand():
    """RMS 1, pixels of 0.5: I = 0.6 is in column 4 + 1, Q = 0.8 in the second row above the middle, row 4 - 2."""
    frame = torch.tensor([[[0.6, 0.8], [-0.8, 0.6], [-0.6, -0.8], [0.8, -0.6]]])
    assert raw_bins(frame, 8, 2.0).tolist() == [[2 * 8 + 5, 2 * 8 + 2, 5 * 8 + 2, 5 * 8 + 5]]


def test_a_turn_by_90_degrees_turns_the_image_by_90_degrees():
    """Odd integers: their energy is exact in any order of adding, and none lies on the axes, where two pixels meet."""
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
    # A few roundings of 2^-24 at up to 112 pixels from the centre move a coordinate by 3e-5 of a pixel: of 2 x 5 120, 0.3 cross an edge.
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
    """One burst of 40 among 255 points on the unit circle: RMS 2.69, so that it lies at 14.9 RMS and they at 0.37."""
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
        match=r"frame 1 of 3 has samples that are NaN, infinite or too large to be squared; leave it out",
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
        match=rf"frames are float32 \(n, samples, 2\), I then Q, not {said}; torch.view_as_real makes them of",
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
        RENDER.extent, symbol=0.9, noise=45.0, differential=0.9
    )  # each cuts some points off
    iq = torch.view_as_complex(torch.from_numpy(frames))
    points = {
        "symbol": views.symbol(iq, 8, 0.2),
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
        # Dividing by the RMS first moves a coordinate by a few 1e-6 of a pixel: of 2 x 5 120, 0.03 cross an edge.
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


# Drawing


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
    """Three views: the last frames, the first, and a dark one; `enhanced` keeps the channels of a view together."""
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


# Shards


def test_render_keeps_what_the_source_says_and_adds_its_settings(iq_shards, constellations):
    cell = Cell("QPSK", -10)  # some of its samples are outside
    source, target = cell.path(iq_shards), cell.path(constellations)
    assert shards.attributes(target) == shards.attributes(source) | {"render": to_json(RENDER)}
    assert np.array_equal(shards.array(target, "row"), shards.array(source, "row"))
    expected = bin_frames(torch.from_numpy(frames_of(iq_shards, *cell)), RENDER)
    for view in RENDER.views:
        bins = binning.read_bins(constellations, cell, view)
        assert (bins.shape, bins.dtype) == ((FRAMES, POINTS[view]), np.uint16)
        assert np.array_equal(bins, expected[view])
        assert (bins != OUTSIDE).any()
    assert (expected["raw"] == OUTSIDE).any()


def test_settings_come_back_from_the_shards(constellations, tmp_path):
    assert binning.settings(constellations) == RENDER
    other = RenderSettings(
        views=("noise", "raw"), size=16, extent=RENDER.extent, sps=4, rolloff=0.1, delay=7
    )
    shards.save(Cell("QPSK", 0).path(tmp_path), {"row": np.arange(2)}, {"render": to_json(other)})
    assert binning.settings(tmp_path) == other


def test_a_view_that_was_not_rendered(constellations, iq_shards, tmp_path):
    binning.render(iq_shards, tmp_path / "raw", raw_only())
    one, all_views = (Cell("QPSK", 0).path(root) for root in (tmp_path / "raw", constellations))
    assert np.array_equal(shards.array(one, "raw/bins"), shards.array(all_views, "raw/bins"))
    with pytest.raises(
        ValueError, match=r"SNR_0.h5 holds no dataset 'noise/bins' but raw, row; make it again"
    ):
        binning.read_bins(tmp_path / "raw", Cell("QPSK", 0), "noise")


def test_render_is_the_same_bytes_in_chunks_of_any_size(
    iq_shards, constellations, tmp_path, monkeypatch
):
    monkeypatch.setattr(binning, "CHUNK", 7)  # of 20 frames
    assert binning.render(iq_shards, tmp_path / "again", RENDER) == 180
    for cell in shards.cells(constellations):
        assert cell.path(tmp_path / "again").read_bytes() == cell.path(constellations).read_bytes()


def test_render_with_a_silent_frame_leaves_nothing(tmp_path):
    iq = np.ones((4, 16, 2), np.float32)
    iq[2] = 0
    path = Cell("QPSK", 0).path(tmp_path / "in")
    shards.save(path, {"iq": iq, "row": np.arange(4)}, {})
    with pytest.raises(ValueError, match="frame 2 of 4 has no power"):
        binning.render(tmp_path / "in", tmp_path / "out", raw_only())
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_preview_shows_first_frames_in_the_class_order(constellations):
    shown = sheet.preview(constellations)
    assert (shown.modulations, shown.snrs_db) == (MODULATIONS, SNRS_DB)
    assert shown.extents == asdict(RENDER.extent)
    assert tuple(shown.images) == RENDER.views
    for (view, images), (m, s) in product(shown.images.items(), ((0, 0), (2, 1))):
        assert images.shape == (3, 3, SIZE, SIZE)
        first = binning.read_bins(constellations, Cell(MODULATIONS[m], SNRS_DB[s]), view)[0]
        counts = np.bincount(first[first != OUTSIDE], minlength=SIZE**2)
        assert images[m, s] == pytest.approx(np.log1p(counts).reshape(SIZE, SIZE), rel=1e-6)


# PNG


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory, write_constellations):
    """Two cells of four frames of 64 samples on 16 x 16 pixels; the first frame has 1 sample in pixel 5, 3 in 40, 60 in 200."""
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
