"""Masks take exactly what they say, whatever the order and chunks of the frames, and chance takes as much in its own way."""

from fractions import Fraction
from itertools import pairwise, product

import h5py
import numpy as np
import pytest
import torch

from pisces import perturbation
from pisces.datasets import Constellations
from pisces.perturbation import KINDS, Mask, Perturbations, controls, exact_size, masks, perturb, perturb_frame, select
from pisces.rendering import OUTSIDE, bin_frames, count_samples
from pisces.seeding import generator
from pisces.shards import Cell
from pisces.synthesis import synthesize_cell

RULES, NAMES, LEVELS = ("exact", "percentile"), ("top", "bottom", "random"), (1, 5, 20)
ALL = masks(RULES, NAMES, LEVELS)
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
    assert len(set(ALL)) == 18
    assert set(ALL) == {Mask(*one) for one in product(RULES, NAMES, LEVELS)}
    assert Mask("exact", "top", 0.5).key == "exact_top_0.5"


@pytest.mark.parametrize("level", [1, 5, 20, 33, 100])
def test_exact_masks_take_so_many_lit_pixels_and_none_better_is_left(level):
    counts = poisson_counts(level)
    lit = np.flatnonzero(counts)
    taken = {name: take(counts, Mask("exact", name, level)) for name in NAMES}
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
    assert sorted(counts[take(counts, Mask("exact", "top", 5))]) == [39, 40]
    assert sorted(counts[take(counts, Mask("exact", "bottom", 5))]) == [1, 2]


def test_ties_are_broken_at_random_but_reproducibly():
    """Of 40 pixels that all hold one sample, each of 600 frames gives 4: every pixel is taken 60 times, +- 5 sqrt(54)."""
    counts = np.zeros(100, np.float32)
    counts[30:70] = 1
    for name in NAMES:
        mask = Mask("exact", name, 10)
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


def test_random_masks_of_equal_size_are_drawn_apart():
    counts = poisson_counts("apart")
    one, other = (take(counts, Mask("exact", "random", level)) for level in (20, 20.01))
    assert len(one) == len(other)
    assert not np.array_equal(one, other)


# The published rule


def test_percentile_masks_take_whole_ties():
    """100 lit pixels: 90 ones, 9 twos and a five. The 99th percentile is 2.03, the 95th is 2, the 1st and the 5th are 1."""
    counts = np.zeros(400, np.float32)
    counts[100:200] = generator(1, "test percentile").permutation([1] * 90 + [2] * 9 + [5])
    sizes = {(name, level): len(take(counts, Mask("percentile", name, level))) for name in ("top", "bottom") for level in (1, 5, 20)}
    assert sizes == {("top", 1): 1, ("top", 5): 10, ("top", 20): 100, ("bottom", 1): 90, ("bottom", 5): 90, ("bottom", 20): 90}
    assert set(counts[take(counts, Mask("percentile", "top", 5))]) == {2, 5}
    assert set(counts[take(counts, Mask("percentile", "bottom", 5))]) == {1}
    assert sorted(take(counts, Mask("percentile", "bottom", 5))) == np.flatnonzero(counts == 1).tolist()


def test_percentile_masks_of_the_published_images():
    """QPSK at 0 dB, 1 024 samples on 224 x 224 pixels over +-3 RMS: 968 lit pixels, of which "1 %" takes 5.5 or 94.5 %."""
    n = 60
    iq = synthesize_cell("QPSK", 0, range(n), seed=1, samples=1024, sps=8, rolloff=(0.2, 0.5), carrier_offset_std=3.3e-5, gmsk_bt=0.35)
    frames = torch.from_numpy(iq.view(np.float32).reshape(n, 1024, 2))
    counts = count_samples(bin_frames(frames, 224, 3.0), 224).numpy()
    wanted = masks(("percentile",), NAMES, (1, 5))
    taken = [perturb_frame(one, wanted, 1, ("QPSK", 0, i)) for i, one in enumerate(counts)]
    lit = np.count_nonzero(counts, axis=1)

    def share(key: str) -> np.ndarray:
        return np.array([np.count_nonzero(one[frame[f"percentile_{key}/mask"]]) for one, frame in zip(counts, taken, strict=True)]) / lit

    # Pixels that hold more than one sample are about Poisson, 53 +- 7.3 of 968: sqrt(53) / 968 = 0.0075 a frame.
    tolerance = 5 * 0.0075 / np.sqrt(n)
    # The lit pixels of a frame are 1 024 less the 55 that share: as uncertain, and 1 for the published number's own rounding.
    assert lit.mean() == pytest.approx(968, abs=5 * np.sqrt(55 / n) + 1)
    assert share("top_1").mean() == pytest.approx(0.055, abs=tolerance)
    assert share("bottom_1").mean() == pytest.approx(0.945, abs=tolerance)
    assert share("top_1") + share("bottom_1") == pytest.approx(1)  # all that hold one sample, and all that hold more
    for frame in taken:
        assert np.array_equal(frame["percentile_bottom_1/mask"], frame["percentile_bottom_5/mask"])
    # "top 5 %" is as much as "top 1 %" where over 5 % of the pixels hold two samples, and everything where fewer do.
    five = share("top_5")
    assert set(np.unique(five == 1)) == {False, True}
    assert five[five < 1] == pytest.approx(share("top_1")[five < 1])
    # Of 502 pixels drawn from all 50 176, 9.7 are lit on average, with the variance of a binomial.
    assert [len(frame["percentile_random_1/mask"]) for frame in taken] == [502] * n
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
    assert np.array_equal(chosen["exact_top_5/control_count"], chosen["exact_bottom_5/control_count"])
    other = perturb_frame(counts, ALL, 1, ("QPSK", 0, 18))
    assert not np.array_equal(chosen["exact_top_5/control_count"], other["exact_top_5/control_count"])
    # Nor is the control the random mask under another name.
    assert not np.array_equal(chosen["exact_random_20/control_count"], chosen["exact_random_20/mask"])


# The file


@pytest.fixture(scope="module")
def chosen_index(index):
    return generator(1, "test index").permutation(index)[:30]


@pytest.fixture(scope="module")
def written(data, chosen_index, tmp_path_factory):
    path = tmp_path_factory.mktemp("perturb") / "perturbations.h5"
    summary = perturb(data, chosen_index, ALL, 1, path)
    assert summary == {"frames": 30, "dark_frames": 0, "masks": 18}
    return path


def frames_in(path) -> list[dict[str, list[int]]]:
    """What each frame of a file gives up, as `perturb_frame` names it."""
    file = Perturbations(path)
    return [
        {f"{mask.key}/{kind}": file.pixels(mask, kind, i, i + 1)[0].tolist() for mask in file.masks for kind in KINDS}
        for i in range(len(file.frame))
    ]


def test_round_trip(data, chosen_index, written):
    file = Perturbations(written)
    assert file.masks == list(ALL)
    assert np.array_equal(file.frame, chosen_index)
    counts = count_samples(torch.from_numpy(data.bins(chosen_index).astype(np.int32)), data.size).numpy()
    assert np.array_equal(file.lit, (counts > 0).sum(1))
    assert np.array_equal(file.samples, counts.sum(1))
    for one, frame, read in zip(counts, chosen_index, frames_in(written), strict=True):
        expected = perturb_frame(one, ALL, 1, data.identity(frame))
        assert read == {key: pixels.tolist() for key, pixels in expected.items()}


def test_pixels_of_several_frames_come_with_offsets_from_zero(written):
    file, each = Perturbations(written), frames_in(written)
    mask = Mask("percentile", "top", 20)
    pixels, offsets = file.pixels(mask, "mask", 11, 19)
    assert pixels.dtype == np.uint16
    assert [pixels[a:b].tolist() for a, b in pairwise(offsets)] == [frame[f"{mask.key}/mask"] for frame in each[11:19]]


def test_chunks_of_any_size_give_the_same_file(data, chosen_index, written, tmp_path, monkeypatch):
    """Both where frames are made and where they are read; 30 frames are no multiple of 7."""
    monkeypatch.setattr(perturbation, "CHUNK", 7)
    perturb(data, chosen_index, ALL, 1, tmp_path / "chunked.h5")
    assert frames_in(tmp_path / "chunked.h5") == frames_in(written)
    with h5py.File(written) as one, h5py.File(tmp_path / "chunked.h5") as other:
        names: list[str] = []
        one.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) == 3 + 2 * len(KINDS) * len(ALL)
        assert all(np.array_equal(one[name], other[name]) for name in names)
    assert list(Perturbations(written).chunks(7)) == [(0, 7), (7, 14), (14, 21), (21, 28), (28, 30)]


def test_order_and_company_of_frames_do_not_matter(data, chosen_index, written, tmp_path):
    some = np.array([22, 3, 17, 8])
    perturb(data, chosen_index[some], ALL, 1, tmp_path / "some.h5")
    everything = frames_in(written)
    assert frames_in(tmp_path / "some.h5") == [everything[i] for i in some]


def test_same_bytes_twice_and_others_for_another_seed(data, chosen_index, written, tmp_path):
    perturb(data, chosen_index, ALL, 1, tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == written.read_bytes()
    perturb(data, chosen_index, ALL, 2, tmp_path / "other.h5")
    assert frames_in(tmp_path / "other.h5") != frames_in(written)


def test_a_dark_frame_gives_up_nothing_and_is_counted(tmp_path, write_constellations):
    bins = generator(1, "test dark").integers(0, 256, (3, 64)).astype(np.uint16)
    bins[1] = OUTSIDE
    root = write_constellations(tmp_path / "constellations", {Cell("QPSK", 0): bins}, 16)
    index = np.array([[0, 0, 0], [0, 0, 1], [0, 0, 2]])
    assert perturb(Constellations(root), index, ALL, 1, tmp_path / "p.h5") == {"frames": 3, "dark_frames": 1, "masks": 18}
    file = Perturbations(tmp_path / "p.h5")
    assert (file.lit[1], file.samples[1]) == (0, 0)
    assert file.samples[[0, 2]].tolist() == [64, 64]
    first, dark, last = frames_in(tmp_path / "p.h5")
    assert not any(dark.values())
    assert first["exact_top_20/mask"]
    assert last["exact_top_20/mask"]
    assert len(select(np.zeros(16), Mask("percentile", "random", 50), np.zeros(16), generator(1, "dark"))) == 0


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"perturbations.h5 does not exist; make it with dvc repro perturb"):
        Perturbations(tmp_path / "perturbations.h5")


def test_preview_shows_what_the_largest_masks_take(data, written):
    images, shown, titles = perturbation.preview(data, written)
    assert list(shown) == [f"{mask.rule} {mask.name} 20 %" for mask in ALL if mask.level_percent == 20]
    assert images.shape == (4, 32, 32)
    each, file = frames_in(written), Perturbations(written)
    for image, title, taken in zip(images, titles, shown["exact top 20 %"], strict=True):
        assert np.log1p(image.size) > image.max() > 0
        assert image[taken].min() >= np.max(image[~taken])
        assert sorted(np.flatnonzero(taken)) in [frame["exact_top_20/mask"] for frame in each]
        modulation, snr_db = title.split("\n")
        assert [data.modulations.index(modulation), data.snrs_db.index(int(snr_db.split()[0]))] in file.frame[:, :2].tolist()
