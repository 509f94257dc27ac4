"""Masks take exactly what they say, whatever the order and chunks of the frames, and chance takes as much in its own way."""

from fractions import Fraction
from itertools import pairwise, product

import h5py
import numpy as np
import pytest
import torch

from pisces import perturbation, rendering
from pisces.datasets import Constellations
from pisces.perturbation import KINDS, Mask, Perturbations, controls, exact_size, masks, perturb, perturb_frame, select
from pisces.rendering import OUTSIDE, bin_frames, count_points
from pisces.seeding import generator
from pisces.shards import Cell
from pisces.synthesis import synthesize_cell
from tests.conftest import RENDER, SIZE, raw_only, save_bins

RULES, NAMES, LEVELS = ("exact", "percentile"), ("top", "bottom", "random"), (1, 5, 20)
ALL = masks(("raw",), RULES, NAMES, LEVELS)
VIEWS = ("differential", "raw")  # of four, in another order than in the data
BOTH = masks(VIEWS, RULES, NAMES, (20,))
WHO = ("QPSK", 0, 17)


def poisson_counts(*identity, pixels: int = 1024, mean: float = 0.3) -> np.ndarray:
    """A frame's counts, most of the lit ones tied at 1."""
    return generator(1, "test perturbation", *identity).poisson(mean, pixels).astype(np.float32)


def take(counts: np.ndarray, mask: Mask, identity=WHO) -> np.ndarray:
    return perturb_frame(counts, [mask], 1, identity)[f"{mask.key}/mask"]


# Exact masks


def test_exact_size_is_rounded_with_halves_up():
    for lit, level in product(range(600), (1, 2, 3, 5, 29, 35, 57, 70, 100)):
        assert exact_size(lit, level) == int(Fraction(level * lit, 100) + Fraction(1, 2))
    assert exact_size(968, 0.5) == 5


def test_masks_are_every_combination():
    every = masks(VIEWS, RULES, NAMES, LEVELS)
    assert len(set(every)) == len(every) == 36
    assert set(every) == {Mask(*one) for one in product(VIEWS, RULES, NAMES, LEVELS)}
    assert Mask("noise", "exact", "top", 0.5).key == "noise_exact_top_0.5"


@pytest.mark.parametrize("level", [1, 5, 20, 33, 100])
def test_exact_masks_take_so_many_lit_pixels_and_none_better_is_left(level):
    counts = poisson_counts(level)
    lit = np.flatnonzero(counts)
    taken = {name: take(counts, Mask("raw", "exact", name, level)) for name in NAMES}
    for pixels in taken.values():
        assert len(np.unique(pixels)) == len(pixels) == exact_size(len(lit), level) > 0
        assert (counts[pixels] > 0).all()
    if level < 100:
        top, bottom = (counts[taken[name]] for name in ("top", "bottom"))
        assert top.min() >= counts[np.setdiff1d(lit, taken["top"])].max()
        assert bottom.max() <= counts[np.setdiff1d(lit, taken["bottom"])].min()
        assert top.mean() > bottom.mean()


def test_masks_of_counts_without_ties():
    counts = np.zeros(100, np.float32)
    counts[10:50] = 1 + generator(1, "test no ties").permutation(40)
    assert sorted(counts[take(counts, Mask("raw", "exact", "top", 5))]) == [39, 40]
    assert sorted(counts[take(counts, Mask("raw", "exact", "bottom", 5))]) == [1, 2]


def test_ties_are_broken_at_random_but_reproducibly():
    """Of 40 pixels that all hold one sample, each of 600 frames gives 4: every pixel is taken 60 times, +- 5 sqrt(54)."""
    counts = np.zeros(100, np.float32)
    counts[30:70] = 1
    for name in NAMES:
        mask = Mask("raw", "exact", name, 10)
        times = np.zeros(100)
        for row in range(600):
            times[take(counts, mask, ("QPSK", 0, row))] += 1
        assert times.sum() == 2400
        assert times[30:70] == pytest.approx(60, abs=5 * np.sqrt(600 * 0.1 * 0.9))
        assert np.array_equal(take(counts, mask), take(counts, mask))
        others = [perturb_frame(counts, [mask], 2, WHO)[f"{mask.key}/mask"], take(counts, mask, ("8PSK", 0, 17))]
        assert not any(np.array_equal(take(counts, mask), other) for other in others)


def test_a_mask_does_not_depend_on_which_others_are_made():
    counts = poisson_counts("others")
    together = perturb_frame(counts, ALL, 1, WHO)
    assert list(together) == [f"{mask.key}/{kind}" for mask in ALL for kind in KINDS]
    for mask in reversed(ALL):
        for key, pixels in perturb_frame(counts, [mask], 1, WHO).items():
            assert np.array_equal(pixels, together[key])


def test_views_of_a_frame_are_drawn_apart():
    """The same counts in another view give up other pixels, where chance has a say."""
    counts = poisson_counts("views")
    raw, noise = (perturb_frame(counts, masks((view,), RULES, NAMES, LEVELS), 1, WHO) for view in ("raw", "noise"))
    for rule, name, kind in (("exact", "top", "mask"), ("exact", "random", "mask"), ("percentile", "top", "control_count")):
        one, other = raw[f"raw_{rule}_{name}_5/{kind}"], noise[f"noise_{rule}_{name}_5/{kind}"]
        assert len(one) == len(other)
        assert not np.array_equal(one, other)
    assert np.array_equal(raw["raw_percentile_top_5/mask"], noise["noise_percentile_top_5/mask"])  # no chance in it


def test_random_masks_of_equal_size_are_drawn_apart():
    counts = poisson_counts("apart")
    one, other = (take(counts, Mask("raw", "exact", "random", level)) for level in (20, 20.01))
    assert len(one) == len(other)
    assert not np.array_equal(one, other)


# The published rule


def test_percentile_masks_take_whole_ties():
    """100 lit pixels: 90 ones, 9 twos and a five. The 99th percentile is 2.03, the 95th is 2, the 1st and the 5th are 1."""
    counts = np.zeros(400, np.float32)
    counts[100:200] = generator(1, "test percentile").permutation([1] * 90 + [2] * 9 + [5])
    sizes = {(name, level): len(take(counts, Mask("raw", "percentile", name, level))) for name in ("top", "bottom") for level in (1, 5, 20)}
    assert sizes == {("top", 1): 1, ("top", 5): 10, ("top", 20): 100, ("bottom", 1): 90, ("bottom", 5): 90, ("bottom", 20): 90}
    assert set(counts[take(counts, Mask("raw", "percentile", "top", 5))]) == {2, 5}
    assert set(counts[take(counts, Mask("raw", "percentile", "bottom", 5))]) == {1}
    assert sorted(take(counts, Mask("raw", "percentile", "bottom", 5))) == np.flatnonzero(counts == 1).tolist()


def test_percentile_masks_of_the_published_images():
    """QPSK at 0 dB, 1 024 samples on 224 x 224 pixels over +-3 RMS: 968 lit pixels, of which "1 %" takes 5.5 or 94.5 %."""
    n = 60
    iq = synthesize_cell("QPSK", 0, range(n), seed=1, samples=1024, sps=8, rolloff=(0.2, 0.5), carrier_offset_std=3.3e-5, gmsk_bt=0.35)
    frames = torch.from_numpy(iq.view(np.float32).reshape(n, 1024, 2))
    counts = count_points(bin_frames(frames, raw_only(224, 3.0))["raw"], 224 * 224).numpy()
    wanted = masks(("raw",), ("percentile",), NAMES, (1, 5))
    taken = [perturb_frame(one, wanted, 1, ("QPSK", 0, i)) for i, one in enumerate(counts)]
    lit = np.count_nonzero(counts, axis=1)

    def share(key: str) -> np.ndarray:
        return (
            np.array([np.count_nonzero(one[frame[f"raw_percentile_{key}/mask"]]) for one, frame in zip(counts, taken, strict=True)]) / lit
        )

    # Pixels that hold more than one sample are about Poisson, 53 +- 7.3 of 968: sqrt(53) / 968 = 0.0075 a frame.
    tolerance = 5 * 0.0075 / np.sqrt(n)
    # The lit pixels of a frame are 1 024 less the 55 that share: as uncertain, and 1 for the published number's own rounding.
    assert lit.mean() == pytest.approx(968, abs=5 * np.sqrt(55 / n) + 1)
    assert share("top_1").mean() == pytest.approx(0.055, abs=tolerance)
    assert share("bottom_1").mean() == pytest.approx(0.945, abs=tolerance)
    assert share("top_1") + share("bottom_1") == pytest.approx(1)  # all that hold one sample, and all that hold more
    for frame in taken:
        assert np.array_equal(frame["raw_percentile_bottom_1/mask"], frame["raw_percentile_bottom_5/mask"])
    # "top 5 %" is as much as "top 1 %" where over 5 % of the pixels hold two samples, and everything where fewer do.
    five = share("top_5")
    assert set(np.unique(five == 1)) == {False, True}
    assert five[five < 1] == pytest.approx(share("top_1")[five < 1])
    # Of 502 pixels drawn from all 50 176, 9.7 are lit on average, with the variance of a binomial.
    assert [len(frame["raw_percentile_random_1/mask"]) for frame in taken] == [502] * n
    assert share("random_1").mean() == pytest.approx(0.01, abs=5 * np.sqrt(0.01 / 968 / n))


# Controls


@pytest.mark.parametrize("mask", ALL, ids=lambda mask: mask.key)
def test_controls_take_as_many_lit_pixels_or_as_much_mass(mask):
    counts = poisson_counts(mask.key)
    chosen = perturb_frame(counts, [mask], 1, WHO)
    pixels, by_count, by_mass = (chosen[f"{mask.key}/{kind}"] for kind in KINDS)
    for control in (by_count, by_mass):
        assert len(np.unique(control)) == len(control) > 0
        assert (counts[control] > 0).all()
    assert len(by_count) == np.count_nonzero(counts[pixels])
    # One more or one fewer lit pixel would change the mass by at most the brightest's.
    assert counts[by_mass].sum() == pytest.approx(counts[pixels].sum(), abs=float(counts.max()) / 2)


def test_mass_control_ends_nearest_to_the_mass():
    counts, order = poisson_counts("nearest", mean=1.5), generator(1, "test order")
    lit_at_random = order.permutation(np.flatnonzero(counts))
    for size in (0, 1, 7, 100):
        pixels = order.choice(lit_at_random, size, replace=False)
        by_count, by_mass = controls(counts, pixels, lit_at_random)
        assert np.array_equal(by_count, lit_at_random[:size])
        errors = [abs(counts[lit_at_random[:k]].sum() - counts[pixels].sum()) for k in range(len(lit_at_random) + 1)]
        assert np.array_equal(by_mass, lit_at_random[: len(by_mass)])
        assert errors[len(by_mass)] == min(errors)


def test_controls_of_equal_masks_are_equal_and_of_other_frames_are_not():
    counts = poisson_counts("shared")
    chosen = perturb_frame(counts, ALL, 1, WHO)
    assert np.array_equal(chosen["raw_exact_top_5/control_count"], chosen["raw_exact_bottom_5/control_count"])
    other = perturb_frame(counts, ALL, 1, ("QPSK", 0, 18))
    assert not np.array_equal(chosen["raw_exact_top_5/control_count"], other["raw_exact_top_5/control_count"])
    # Nor is the control the random mask under another name.
    assert not np.array_equal(chosen["raw_exact_random_20/control_count"], chosen["raw_exact_random_20/mask"])


# The file


@pytest.fixture(scope="module")
def chosen_index(index):
    return generator(1, "test index").permutation(index)[:30]


@pytest.fixture(scope="module")
def written(data, chosen_index, tmp_path_factory):
    path = tmp_path_factory.mktemp("perturb") / "perturbations.h5"
    summary = perturb(data, chosen_index, BOTH, 1, path)
    assert summary == {"frames": 30, "dark_frames": 0, "masks": 12}
    return path


def counts_of(data: Constellations, index: np.ndarray, view: str) -> np.ndarray:
    """Points (n, pixels) in each pixel of a view, from what its shards hold."""
    bins = data.bins_by_view(index)[data.render.views.index(view)]
    return np.stack([np.bincount(row[row != OUTSIDE], minlength=data.render.size**2) for row in bins])


def frames_in(path) -> list[dict[str, list[int]]]:
    """What each frame of a file gives up, as `perturb_frame` names it."""
    file = Perturbations(path)
    frames: list[dict[str, list[int]]] = [{} for _ in file.frame]
    for mask, kind in product(file.masks, KINDS):
        pixels, offsets = file.pixels(mask, kind, 0, len(frames))
        for frame, (a, b) in zip(frames, pairwise(offsets), strict=True):
            frame[f"{mask.key}/{kind}"] = pixels[a:b].tolist()
    return frames


def test_round_trip(data, chosen_index, written):
    file = Perturbations(written)
    assert file.masks == list(BOTH)
    assert np.array_equal(file.frame, chosen_index)
    read = frames_in(written)
    for v, view in enumerate(VIEWS):
        counts = counts_of(data, chosen_index, view)
        assert np.array_equal(file.lit[v], (counts > 0).sum(1))
        assert np.array_equal(file.points[v], counts.sum(1))
        of_view = [mask for mask in BOTH if mask.view == view]
        for one, frame, lists in zip(counts, chosen_index, read, strict=True):
            expected = perturb_frame(one, of_view, 1, data.identity(frame))
            assert {key: lists[key] for key in expected} == {key: pixels.tolist() for key, pixels in expected.items()}
    with h5py.File(written) as raw:
        assert raw.attrs["views"].tolist() == list(VIEWS)
        assert raw.attrs["render"] == RENDER.model_dump_json()


def test_counts_of_a_view_are_those_of_its_shards(data, chosen_index):
    for view in RENDER.views:
        counts = perturbation.count_view(data, chosen_index, view)
        assert counts.dtype == np.float32
        assert np.array_equal(counts, counts_of(data, chosen_index, view))


def test_pixels_of_several_frames_come_with_offsets_from_zero(written):
    file, each = Perturbations(written), frames_in(written)
    mask = Mask("raw", "percentile", "top", 20)
    pixels, offsets = file.pixels(mask, "mask", 11, 19)
    assert pixels.dtype == np.uint16
    assert [pixels[a:b].tolist() for a, b in pairwise(offsets)] == [frame[f"{mask.key}/mask"] for frame in each[11:19]]


def test_chunks_of_any_size_give_the_same_file(data, chosen_index, written, tmp_path, monkeypatch):
    """Both where frames are made and where they are read; 30 frames are no multiple of 7."""
    monkeypatch.setattr(perturbation, "CHUNK", 7)
    perturb(data, chosen_index, BOTH, 1, tmp_path / "chunked.h5")
    assert frames_in(tmp_path / "chunked.h5") == frames_in(written)
    with h5py.File(written) as one, h5py.File(tmp_path / "chunked.h5") as other:
        names: list[str] = []
        one.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) == 3 + 2 * len(KINDS) * len(BOTH)
        assert all(np.array_equal(one[name], other[name]) for name in names)
    assert list(Perturbations(written).chunks(7)) == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


def test_order_and_company_of_frames_do_not_matter(data, chosen_index, written, tmp_path):
    some = np.array([22, 3, 17, 8])
    perturb(data, chosen_index[some], BOTH, 1, tmp_path / "some.h5")
    everything = frames_in(written)
    assert frames_in(tmp_path / "some.h5") == [everything[i] for i in some]


def test_masks_of_a_view_do_not_depend_on_others_rendered_or_masked(data, iq_shards, chosen_index, written, tmp_path):
    rendering.render(iq_shards, tmp_path / "one", RENDER.model_copy(update={"views": ("differential",)}))
    alone = Constellations(tmp_path / "one")
    one = [mask for mask in BOTH if mask.view == "differential"]
    for where, file in ((alone, "rendered.h5"), (data, "masked.h5")):
        perturb(where, chosen_index, one, 1, tmp_path / file)
        for frame, together in zip(frames_in(tmp_path / file), frames_in(written), strict=True):
            assert frame == {key: together[key] for key in frame}
            assert frame["differential_exact_top_20/mask"]


def test_masks_of_a_view_that_the_data_lack_are_refused(chosen_index, tmp_path, iq_shards):
    rendering.render(iq_shards, tmp_path / "one", raw_only())
    message = r"perturb.views names 'noise', but the data have raw; change perturb.views or render.views"
    with pytest.raises(ValueError, match=message):
        perturb(Constellations(tmp_path / "one"), chosen_index, masks(("raw", "noise"), RULES, NAMES, LEVELS), 1, tmp_path / "p.h5")
    assert not (tmp_path / "p.h5").exists()


def test_same_bytes_twice_and_others_for_another_seed(data, chosen_index, written, tmp_path):
    perturb(data, chosen_index, BOTH, 1, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == written.read_bytes()
    perturb(data, chosen_index, BOTH, 2, tmp_path / "other.h5")
    assert frames_in(tmp_path / "other.h5") != frames_in(written)


def test_a_dark_frame_gives_up_nothing_and_is_counted(tmp_path):
    """The second frame is dark in `raw`, the third in `noise`."""
    raw, noise = generator(1, "test dark").integers(0, 256, (2, 3, 64))
    raw[1], noise[2] = OUTSIDE, OUTSIDE
    save_bins(tmp_path / "constellations", Cell("QPSK", 0), {"raw": raw, "noise": noise[:, :50]}, 16)
    data, index = Constellations(tmp_path / "constellations"), np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]])
    assert perturb(data, index, ALL, 1, tmp_path / "p.h5") == {"frames": 3, "dark_frames": 1, "masks": 18}
    file = Perturbations(tmp_path / "p.h5")
    assert file.lit.shape == (1, 3)
    assert (file.lit[0, 1], file.points.tolist()) == (0, [[64, 0, 64]])
    first, dark, last = frames_in(tmp_path / "p.h5")
    assert not any(dark.values())
    assert first["raw_exact_top_20/mask"]
    assert last["raw_exact_top_20/mask"]
    assert len(select(np.zeros(16), Mask("raw", "percentile", "random", 50), np.zeros(16), generator(1, "dark"))) == 0

    both = masks(("raw", "noise"), RULES, NAMES, LEVELS)
    assert perturb(data, index, both, 1, tmp_path / "both.h5") == {"frames": 3, "dark_frames": 2, "masks": 36}
    assert Perturbations(tmp_path / "both.h5").points.tolist() == [[64, 0, 64], [50, 50, 0]]


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"perturbations.h5 does not exist; make it with dvc repro perturb"):
        Perturbations(tmp_path / "perturbations.h5")


def test_preview_shows_what_the_largest_masks_take(data, written):
    """Two frames in two views: four rows."""
    preview = perturbation.preview(data, written)
    assert list(preview.taken) == [f"{rule} {name} 20 %" for rule, name in product(RULES, NAMES)]
    assert preview.images.shape == (4, SIZE, SIZE)
    assert [title.split("\n")[0] for title in preview.titles] == [*VIEWS, *VIEWS]
    each, file = frames_in(written), Perturbations(written)
    shown, brightness, drawn = [], {view: [] for view in VIEWS}, {view: [] for view in VIEWS}
    for image, title, taken in zip(preview.images, preview.titles, preview.taken["exact top 20 %"], strict=True):
        assert image[taken].min() >= np.max(image[~taken])
        view, cell = title.split("\n")
        (number,) = (i for i, frame in enumerate(each) if frame[f"{view}_exact_top_20/mask"] == np.flatnonzero(taken).tolist())
        brightness[view].append(np.log1p(counts_of(data, file.frame[number : number + 1], view)[0]))
        drawn[view].append(image.ravel())
        assert cell == "{}, {} dB".format(*data.identity(file.frame[number])[:2])
        shown.append(number)
    assert shown[0] == shown[1] != shown[2] == shown[3]
    for view in VIEWS:  # on one scale, or the SNR would not show
        assert np.stack(drawn[view]) == pytest.approx(np.stack(brightness[view]) / np.max(brightness[view]))


@pytest.mark.parametrize(("views", "rows"), [(("noise",), 4), (RENDER.views, 4), (("raw", "symbol", "noise"), 3)])
def test_preview_has_as_many_frames_as_there_is_room_for(data, chosen_index, tmp_path, views, rows):
    perturb(data, chosen_index, masks(views, ("exact",), ("top", "random"), (20, 50)), 1, tmp_path / "p.h5")
    preview = perturbation.preview(data, tmp_path / "p.h5")
    assert len(preview.titles) == len(preview.images) == rows
    assert list(preview.taken) == ["exact top 50 %", "exact random 50 %"]
    for image, taken in zip(preview.images, preview.taken["exact top 50 %"], strict=True):
        assert np.count_nonzero(taken) == exact_size(np.count_nonzero(image), 50) > 0
        assert image[taken].all()
