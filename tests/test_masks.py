"""Each mask takes exactly what it says from every frame on its own, and chance takes as much in
its own way.
"""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise, product
from typing import get_args

import numpy as np
import pytest
import torch

from pisces.config.sections.explanation import Region, Rule
from pisces.core.seeding import generator
from pisces.inputs.binning import bin_frames, bin_points, count_points
from pisces.pis import masks
from pisces.pis.base import Family
from pisces.pis.brightness import exact_size, percentiles
from pisces.pis.clusters import core, density
from pisces.pis.masks import FAMILIES, KINDS, Mask, build, controls
from pisces.pis.regions import length_in_pixels, ring_numbers, sector_numbers, window_starts
from pisces.pis.settings import MaskSettings
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import PERTURB, raw_only
from tests.physics import TEXTBOOK

BRIGHTNESS_LEVELS = {"levels_percent": (1, 5, 20), "curve_percent": (0.5, 20, 60)}
SETTINGS = replace(
    PERTURB, **BRIGHTNESS_LEVELS, sectors=8, core_percent=40, window=0.3, stride=0.25
)
SIZE = 32
NAMES, LEVELS = SETTINGS.masks, SETTINGS.levels_percent
ALL = build(("raw",), SETTINGS, SIZE)
BRIGHTNESS = [mask for mask in ALL if mask.level_percent is not None]
REGIONS = [mask for mask in ALL if mask.level_percent is None]
WHO = ("QPSK", 0, 17)
EVERY = np.arange(SIZE * SIZE)


def settings(**changes) -> MaskSettings:
    return replace(SETTINGS, **changes)


def poisson_counts(*identity, size: int = SIZE, mean: float = 0.3) -> np.ndarray:
    """A frame's counts, most of the lit ones tied at 1."""
    return generator(1, "test masks", *identity).poisson(mean, size * size).astype(np.float32)


def lists(
    counts: np.ndarray, wanted: list[Mask] = ALL, seed: int = 1, identity=WHO, **changes
) -> dict[Mask, tuple[np.ndarray, ...]]:
    """What each mask and its controls take, in the order of `KINDS`."""
    taken = masks.take(counts, wanted, settings(**changes), seed, identity)
    return {mask: tuple(taken.pixels(mask, kind) for kind in KINDS) for mask in wanted}


def take(
    counts: np.ndarray, rule: str, name: str, level: float | None = None, identity=WHO, **changes
) -> np.ndarray:
    mask = Mask("raw", rule, name, level)
    return lists(counts, [mask], identity=identity, **changes)[mask][0]


# Which masks there are


def test_every_combination_is_built_once():
    both = build(("noise", "raw"), SETTINGS, SIZE)
    assert both == [mask._replace(view=view) for view in ("noise", "raw") for mask in ALL]
    assert {mask[1:] for mask in ALL if mask.rule == "exact"} == set(
        product(("exact",), NAMES, (0.5, 1, 5, 20, 60))
    )
    assert {mask[1:] for mask in ALL if mask.rule == "percentile"} == set(
        product(("percentile",), NAMES, LEVELS)
    )
    assert [mask.name for mask in ALL if mask.rule == "ring"] == ["1", "2", "3"]
    assert [mask.name for mask in ALL if mask.rule == "sector"] == [
        str(number) for number in range(1, 9)
    ]
    assert [mask.name for mask in ALL if mask.rule == "cluster"] == ["core", "transition"]
    # 0.3 of 32 pixels are 10, and 0.25 are 8; the last ones start at 22, not at 24, and end at the
    # border.
    starts = (0, 8, 16, 22)
    assert [mask.name for mask in ALL if mask.rule == "window"] == [
        f"{row}-{column}" for row, column in product(starts, starts)
    ]
    assert len(set(ALL)) == len(ALL) == 15 + 9 + 3 + 8 + 2 + 16
    exact, published = (
        settings(rules=("exact",), regions=()),
        settings(rules=("percentile",), curve_percent=(), regions=()),
    )
    assert {mask.rule for mask in build(("raw",), exact, SIZE)} == {"exact"}
    assert {mask.level_percent for mask in build(("raw",), published, SIZE)} == set(LEVELS)


def test_keys_tell_masks_apart_and_name_a_group():
    near = [Mask("raw", "exact", "top", level) for level in (0.1234567, 0.1234568, 5, 50, 0.5)]
    keys = [mask.key for mask in [*build(("noise", "raw"), SETTINGS, SIZE), *near[:2]]]
    assert len(set(keys)) == len(keys)
    assert not any("/" in key for key in keys)
    assert near[2].key == Mask("raw", "exact", "top", 5.0).key == "raw_exact_top_5"
    assert Mask("noise", "window", "0-8", None).key == "noise_window_0-8"


def test_what_cannot_be_built_is_refused():
    # On 8 pixels, rings of 4 / 6 pixels: the innermost pixel centre is sqrt(0.5) from the origin.
    message = r"perturb\.rings = 6 .*ring 1 .*8 x 8.*perturb\.rings or .*render\.size"
    with pytest.raises(ValueError, match=message):
        build(("raw",), settings(rings=6), 8)
    assert len(build(("raw",), settings(rings=5, rules=("exact",), regions=("ring",)), 8)) == 15 + 5
    with pytest.raises(ValueError, match=r"'spiral'.*perturb\.regions may name exact, .*, window"):
        take(poisson_counts(), "spiral", "1")


# Families


def test_every_family_that_params_allow_is_there():
    assert (*get_args(Rule), *get_args(Region)) == tuple(FAMILIES)


def test_a_further_family_is_one_entry(monkeypatch):
    def right(frame, wanted):
        return [frame.lit % frame.size == frame.size - int(mask.name) for mask in wanted]

    monkeypatch.setitem(FAMILIES, "right", Family(lambda _settings, _size: ("1", "2"), right))
    chosen = build(("raw",), settings(regions=("ring", "right")), SIZE)
    assert chosen[-2:] == [Mask("raw", "right", "1", None), Mask("raw", "right", "2", None)]

    counts = poisson_counts()
    taken = masks.take(counts, chosen, SETTINGS, 1, WHO)
    lit = np.flatnonzero(counts)
    for mask, column in zip(chosen[-2:], (SIZE - 1, SIZE - 2), strict=True):
        own = taken.pixels(mask)
        assert own.tolist() == lit[lit % SIZE == column].tolist() != []
        assert len(taken.pixels(mask, "control_count")) == len(own)


# Exact masks


def test_exact_size_is_rounded_with_halves_up():
    for lit, level in product(range(600), (1, 2, 3, 5, 29, 35, 57, 70, 100)):
        assert exact_size(lit, level) == int(Fraction(level * lit, 100) + Fraction(1, 2))
    assert exact_size(968, 0.5) == 5


@pytest.mark.parametrize("level", [1, 5, 20, 33, 100])
def test_exact_masks_take_so_many_lit_pixels_and_none_better_is_left(level):
    counts = poisson_counts(level)
    lit = np.flatnonzero(counts)
    taken = {name: take(counts, "exact", name, level) for name in NAMES}
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
    assert sorted(counts[take(counts, "exact", "top", 5)]) == [39, 40]
    assert sorted(counts[take(counts, "exact", "bottom", 5)]) == [1, 2]


def test_ties_are_broken_at_random_but_reproducibly():
    """Of 40 pixels that all hold one point, each of 600 frames gives 4.

    Every pixel is taken 60 times, +- 5 sqrt(54).
    """
    counts = np.zeros(100, np.float32)
    counts[30:70] = 1
    for name in NAMES:
        times = np.zeros(100)
        for row in range(600):
            times[take(counts, "exact", name, 10, ("QPSK", 0, row))] += 1
        assert times.sum() == 2400
        assert times[30:70] == pytest.approx(60, abs=5 * np.sqrt(600 * 0.1 * 0.9))
        mask = Mask("raw", "exact", name, 10)
        first, again, seeded, other = (
            lists(counts, [mask], seed, who)[mask][0]
            for seed, who in ((1, WHO), (1, WHO), (2, WHO), (1, ("8PSK", 0, 17)))
        )
        assert np.array_equal(first, again)
        assert not np.array_equal(first, seeded)
        assert not np.array_equal(first, other)


def test_levels_are_nested_and_complements_share_nothing():
    counts = poisson_counts("nested")
    for name in NAMES:
        less, more = (take(counts, "exact", name, level) for level in (20, 40))
        assert 0 < len(less) < len(more)
        assert set(less) < set(more)

    counts = np.zeros(SIZE * SIZE, np.float32)
    lit = np.sort(generator(1, "test complements").permutation(EVERY)[:200])
    counts[lit] = 1 + poisson_counts("complements")[:200]
    top, bottom = take(counts, "exact", "top", 70), take(counts, "exact", "bottom", 30)
    assert np.array_equal(np.sort(np.concatenate([top, bottom])), lit)


def test_a_mask_does_not_depend_on_which_others_are_made():
    counts = poisson_counts("others")
    together = lists(counts)
    assert list(together) == ALL
    for mask in reversed(ALL):
        assert all(
            np.array_equal(one, other)
            for one, other in zip(lists(counts, [mask])[mask], together[mask], strict=True)
        )


def test_lists_are_rising_numbers_of_lit_pixels():
    counts = poisson_counts("rising", size=64)
    for mask, three in lists(counts).items():
        for pixels in three:
            assert (np.diff(pixels) > 0).all(), mask
            assert (counts[pixels] > 0).all(), mask


def test_fractions_by_hand():
    """Of 9 pixels 5 are lit, with 8 points: the brightest two hold 5 of them, and so on."""
    counts = np.array([0, 1, 3, 0, 2, 1, 0, 1, 0], np.float32)
    top = Mask("raw", "exact", "top", 40)
    left, empty = Mask("raw", "window", "0-0", None), Mask("raw", "window", "2-2", None)
    taken = masks.take(counts, [top, left, empty], settings(window=1 / 3), 1, WHO)
    assert taken.fraction.shape == (len(KINDS), 3, 3)
    assert taken.fraction[0].tolist() == [[2 / 9, 2 / 5, 5 / 8], [0, 0, 0], [0, 0, 0]]
    assert taken.fraction[1, 0, :2].tolist() == [2 / 9, 2 / 5]
    for k, kind in enumerate(KINDS):
        held = counts[taken.pixels(top, kind)].sum()
        assert taken.fraction[k, 0, 2] == held / 8


def test_fractions_are_those_of_the_lists():
    """The published random mask draws from all pixels: its share of them counts dark ones, too."""
    counts = poisson_counts("fractions")
    taken = masks.take(counts, ALL, SETTINGS, 1, WHO)
    lit, points = np.count_nonzero(counts), int(counts.sum())
    for (i, mask), (k, kind) in product(enumerate(ALL), enumerate(KINDS)):
        pixels = taken.pixels(mask, kind)
        of_all, of_lit, of_mass = taken.fraction[k, i]
        assert of_lit == len(pixels) / lit
        assert of_mass == int(counts[pixels].sum()) / points
        if kind == "mask" and mask[1:3] == ("percentile", "random"):
            assert of_all == exact_size(len(counts), mask.level_percent) / len(counts)
            assert of_all > len(pixels) / len(counts) or mask.level_percent < 2
        else:
            assert of_all == len(pixels) / len(counts)


def test_views_of_a_frame_are_drawn_apart():
    """The same counts in another view give up other pixels, where chance has a say."""
    counts = poisson_counts("views")
    raw, noise = (lists(counts, build((view,), SETTINGS, SIZE)) for view in ("raw", "noise"))
    for rule, name, level, kind in (
        ("exact", "top", 20, 0),
        ("exact", "random", 20, 0),
        ("percentile", "random", 20, 0),
        ("cluster", "core", None, 0),
        ("exact", "top", 20, 1),
        ("exact", "top", 20, 2),
    ):
        one, other = raw["raw", rule, name, level][kind], noise["noise", rule, name, level][kind]
        assert len(one) > 0
        assert not np.array_equal(one, other)
    for rule, name, level in (
        ("percentile", "top", 5),
        ("ring", "1", None),
        ("window", "0-8", None),
    ):  # no chance in these
        assert np.array_equal(
            raw["raw", rule, name, level][0], noise["noise", rule, name, level][0]
        )


def test_a_dark_frame_gives_up_nothing():
    taken = masks.take(np.zeros(SIZE * SIZE, np.float32), ALL, SETTINGS, 1, WHO)
    for mask, kind in product(ALL, KINDS):
        assert len(taken.pixels(mask, kind)) == 0
    assert (taken.fraction == 0).all()


# The published rule


def test_percentile_masks_take_whole_ties():
    """100 lit pixels: 90 ones, 9 twos and a five.

    The 99th percentile is 2.03, the 95th is 2, the 1st and the 5th are 1.
    """
    counts = np.zeros(400, np.float32)
    counts[100:200] = generator(1, "test percentile").permutation([1] * 90 + [2] * 9 + [5])
    sizes = {
        (name, level): len(take(counts, "percentile", name, level))
        for name in ("top", "bottom")
        for level in (1, 5, 20)
    }
    assert sizes == {
        ("top", 1): 1,
        ("top", 5): 10,
        ("top", 20): 100,
        ("bottom", 1): 90,
        ("bottom", 5): 90,
        ("bottom", 20): 90,
    }
    assert set(counts[take(counts, "percentile", "top", 5)]) == {2, 5}
    assert set(counts[take(counts, "percentile", "bottom", 5)]) == {1}
    assert sorted(take(counts, "percentile", "bottom", 5)) == np.flatnonzero(counts == 1).tolist()


def test_percentiles_are_those_of_numpy():
    rng = generator(1, "test numpy")
    for n in (1, 2, 7, 500):
        values = np.sort(rng.poisson(2, n))
        levels = (0.5, 1, 33.3, 50, 95, 99, 100)
        expected = np.percentile(values, levels)
        assert percentiles(values, levels) == pytest.approx(expected, abs=1e-6)


def test_a_percentile_that_falls_on_a_tie_takes_it():
    """The 34.4th percentile of 126 values is the 44th, though (100 - 65.6) * 125 / 100 is
    43.00000000000001 in floating point.
    """
    counts = np.zeros(144, np.float32)
    counts[:126] = [1] * 44 + [2] * 82
    assert (100 - 65.6) * 125 / 100 > 43
    assert len(take(counts, "percentile", "top", 65.6)) == 126


def test_percentile_masks_of_the_published_images():
    """QPSK at 0 dB, 1 024 samples on 224 x 224 pixels over +-3 RMS.

    968 lit pixels, of which "1 %" takes 5.5 or 94.5 %.
    """
    n = 60
    iq = synthesize_cell("QPSK", 0, range(n), TEXTBOOK, seed=1)
    frames = torch.from_numpy(iq.view(np.float32).reshape(n, 1024, 2))
    counts = count_points(bin_frames(frames, raw_only(224, 3.0))["raw"], 224 * 224).numpy()
    wanted = [Mask("raw", "percentile", name, level) for name, level in product(NAMES, (1, 5))]
    taken = [masks.take(one, wanted, SETTINGS, 1, ("QPSK", 0, i)) for i, one in enumerate(counts)]
    lit = np.count_nonzero(counts, axis=1)

    def pixels(name: str, level: float) -> list[np.ndarray]:
        return [frame.pixels(Mask("raw", "percentile", name, level)) for frame in taken]

    def share(name: str, level: float) -> np.ndarray:
        return np.array([len(one) for one in pixels(name, level)]) / lit

    # Pixels that hold more than one sample are about Poisson, 53 +- 7.3 of 968: sqrt(53) / 968 =
    # 0.0075 a frame.
    tolerance = 5 * 0.0075 / np.sqrt(n)
    # The lit pixels of a frame are 1 024 less the 55 that share: as uncertain, and 1 for the
    # published number's own rounding.
    assert lit.mean() == pytest.approx(968, abs=5 * np.sqrt(55 / n) + 1)
    assert share("top", 1).mean() == pytest.approx(0.055, abs=tolerance)
    assert share("bottom", 1).mean() == pytest.approx(0.945, abs=tolerance)
    assert share("top", 1) + share("bottom", 1) == pytest.approx(
        1
    )  # all that hold one sample, and all that hold more
    for one, five in zip(pixels("bottom", 1), pixels("bottom", 5), strict=True):
        assert np.array_equal(one, five)
    # "top 5 %" is as much as "top 1 %" where over 5 % of the pixels hold two samples, and
    # everything where fewer do.
    five = share("top", 5)
    assert set(np.unique(five == 1)) == {False, True}
    assert five[five < 1] == pytest.approx(share("top", 1)[five < 1])
    # Of 502 pixels drawn from all 50 176, 9.7 are lit on average, with the variance of a binomial.
    of_all = np.array(
        [
            frame.fraction[0, wanted.index(Mask("raw", "percentile", "random", 1)), 0]
            for frame in taken
        ]
    )
    assert (of_all * 224 * 224).round(9).tolist() == [502] * n
    assert share("random", 1).mean() == pytest.approx(0.01, abs=5 * np.sqrt(0.01 / 968 / n))


# Regions


def test_regions_list_the_lit_pixels_of_theirs():
    """What a region takes from a picture is what it takes from a picture that is lit everywhere,
    less the dark pixels.
    """
    counts = poisson_counts("lit", mean=0.7)
    everywhere = lists(np.ones(SIZE * SIZE, np.float32))
    for mask, (pixels, _, _) in lists(counts).items():
        if mask.rule in ("ring", "sector", "window"):
            assert 0 < len(pixels) < len(everywhere[mask][0])
            assert np.array_equal(pixels, [pixel for pixel in everywhere[mask][0] if counts[pixel]])


@pytest.mark.parametrize("rule", ["ring", "sector", "cluster"])
def test_regions_of_one_kind_share_no_pixel_and_leave_none(rule):
    counts = poisson_counts(rule)
    parts = [pixels for mask, (pixels, _, _) in lists(counts).items() if mask.rule == rule]
    assert all(len(part) for part in parts)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.flatnonzero(counts))


@pytest.mark.parametrize("rings", [2, 5, 8])
def test_rings_are_equally_wide(rings):
    """k rings are a disc of k times their width; its border is a strip of pixels at most sqrt(1/2)
    away from it on either side.
    """
    size = 254
    number = ring_numbers(np.arange(size * size), size, rings)
    for k in range(1, rings):
        radius = k * size / 2 / rings
        assert np.count_nonzero(number <= k) == pytest.approx(
            np.pi * radius**2, abs=np.pi * (np.sqrt(2) * radius + 0.5)
        )
    assert (number[[0, size - 1, size * (size - 1)]] == rings).all()  # corners
    assert (number.reshape(size, size)[0, [127, 0]] == rings).all()  # ends at the border


def test_rings_of_a_small_picture():
    """On 4 x 4 pixels and with rings 1 pixel wide, the four inner centres are 0.7 from the origin,
    the others 1.6 or more.
    """
    number = ring_numbers(np.arange(16), 4, 2).reshape(4, 4)
    assert number.tolist() == [[2, 2, 2, 2], [2, 1, 1, 2], [2, 1, 1, 2], [2, 2, 2, 2]]


def test_sectors_have_equal_angles_and_follow_the_phase():
    """A point of phase k * 360 / n degrees, drawn as frames are, lies in the middle of sector k +
    1, at any radius.
    """
    for sectors in (2, 3, 8, 12):
        phase = 2 * np.pi * np.arange(sectors) / sectors
        for offset, radius in product((-0.45, 0, 0.45), (0.5, 0.9)):
            angle = phase + offset * 2 * np.pi / sectors
            points = torch.from_numpy(
                radius * np.stack([np.cos(angle), np.sin(angle)], 1)[None]
            ).float()  # (1, sectors, 2)
            pixels = bin_points(points, 127, 254).numpy()[0].astype(int)
            assert sector_numbers(pixels, 254, sectors).tolist() == list(range(1, sectors + 1))


@pytest.mark.parametrize("sectors", [4, 8, 28])
def test_a_turn_by_90_degrees_turns_the_sectors_by_a_quarter(sectors):
    counts = poisson_counts("turn", sectors)
    turned = np.rot90(counts.reshape(SIZE, SIZE)).ravel()  # from I towards Q
    pixel_was = np.rot90(EVERY.reshape(SIZE, SIZE)).ravel()
    for number in range(1, sectors + 1):
        before = take(counts, "sector", str(number), sectors=sectors)
        after = take(
            turned, "sector", str((number - 1 + sectors // 4) % sectors + 1), sectors=sectors
        )
        assert len(before) > 0
        assert sorted(pixel_was[after]) == before.tolist()


def test_density_counts_the_points_around_and_stops_at_borders():
    counts = np.zeros((8, 8))
    counts[0, 7], counts[4, 3] = 5, 2
    around = density(counts.ravel(), 8).reshape(8, 8)
    expected = np.zeros((8, 8))
    expected[:2, 6:], expected[3:6, 2:5] = 5, 2
    assert np.array_equal(around, expected)


def test_cores_are_the_clusters_of_a_planted_picture():
    """Two blobs of 3 x 3 pixels with 20 points each, single points on the way from one to the
    other, and one bright pixel far off.

    The blobs hold 360 of 410 points, the line 20 and the bright pixel 30, more than any other but
    alone. Without a blob's pixel there are 340: 85 % of the points, 348.5, need both blobs whole,
    and nothing else is as dense as their corners.
    """
    image = np.zeros((SIZE, SIZE), np.float32)
    image[10, 6:26] = 1
    image[9:12, 3:6] = image[9:12, 26:29] = 20
    image[28, 16] = 30
    blobs = np.zeros_like(image, bool)
    blobs[9:12, 3:6] = blobs[9:12, 26:29] = True
    counts = image.ravel()
    assert np.array_equal(take(counts, "cluster", "core", core_percent=85), np.flatnonzero(blobs))
    assert np.array_equal(
        take(counts, "cluster", "transition", core_percent=85), np.flatnonzero((image > 0) & ~blobs)
    )
    assert 28 * SIZE + 16 in take(counts, "exact", "top", 5)


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_cores_are_as_few_of_the_densest_as_hold_enough(percent):
    counts = poisson_counts("enough", percent)
    lit = np.flatnonzero(counts)
    around = density(counts, SIZE)[lit]
    cores = core(counts, lit, percent, generator(1, "test tie").permutation(len(lit)))
    held = counts[lit][cores]
    assert around[cores].min() >= around[~cores].max()
    assert 100 * held.sum() >= percent * counts.sum()
    assert (
        100 * (held.sum() - counts[lit][cores & (around == around[cores].min())].max())
        < percent * counts.sum()
    )


def test_cores_that_hold_exactly_enough_end_there():
    """Ten lonely pixels of one point each are equally dense.

    Half of the points are five pixels, each in half of 400 frames.
    """
    image = np.zeros((SIZE, SIZE), np.float32)
    image[5:25:5, 5:20:5] = 1
    image[20, 10:] = 0
    counts = image.ravel()
    assert counts.sum() == 10
    times = np.zeros(len(counts))
    for row in range(400):
        pixels = take(counts, "cluster", "core", None, ("QPSK", 0, row), core_percent=50)
        assert len(pixels) == 5
        times[pixels] += 1
    assert times[counts > 0] == pytest.approx(200, abs=5 * np.sqrt(400 / 4))


@pytest.mark.parametrize(
    ("size", "side", "stride"),
    [(32, 8, 8), (10, 4, 3), (10, 4, 4), (254, 64, 50), (8, 8, 1), (8, 1, 1)],
)
def test_windows_cover_the_picture_and_stay_in_it(size, side, stride):
    starts = window_starts(size, side, stride)
    assert starts[0] == 0
    assert starts[-1] == size - side
    assert all(0 < later - sooner <= stride for sooner, later in pairwise(starts))
    image = np.ones(size * size, np.float32)
    wanted = [Mask("raw", "window", f"{starts[-1]}-{start}", None) for start in starts]
    taken = lists(image, wanted, window=side / size, stride=stride / size)
    covered = np.zeros((size, size), bool)
    for start, mask in zip(starts, wanted, strict=True):
        rows, columns = np.divmod(taken[mask][0].astype(int), size)
        assert len(rows) == side**2
        assert (rows.min(), rows.max()) == (size - side, size - 1)
        assert (columns.min(), columns.max()) == (start, start + side - 1)
        covered[rows, columns] = True
    assert covered[size - side :].all()


def test_fractions_of_the_side_are_rounded_to_a_pixel_at_least():
    assert [length_in_pixels(fraction, 32) for fraction in (0.25, 0.26, 0.27, 0.001, 1)] == [
        8,
        8,
        9,
        1,
        32,
    ]
    assert length_in_pixels(0.25, 10) == 3  # halves up


# Controls


@pytest.mark.parametrize("mask", ALL, ids=lambda mask: mask.key)
def test_controls_take_as_many_lit_pixels_or_as_much_mass(mask):
    counts = poisson_counts(mask.key)
    pixels, by_count, by_mass = lists(counts, [mask])[mask]
    for control in (by_count, by_mass):
        assert len(np.unique(control)) == len(control) > 0
        assert (counts[control] > 0).all()
    assert len(by_count) == np.count_nonzero(counts[pixels])
    # The last lit pixel, or the one that was not taken, is less than the brightest too much, or
    # too little.
    assert abs(counts[by_mass].sum() - counts[pixels].sum()) < counts.max()


def test_mass_control_has_the_mass_of_its_mask_on_average_over_one_number():
    """For 41 masks of one order.

    It takes the pixel that crosses the wanted mass for so many of 840 even numbers that the mean
    is exact.

    Masses are 1 to 8, whose least common multiple is 840: the probability is a whole number of
    840ths.
    """
    rng = generator(1, "test order")
    mass, n, numbers = rng.integers(1, 9, 150), 150, 840
    rank = rng.permutation(n)
    taken = rng.random((41, n)) < np.linspace(0, 1, 41)[:, None]
    drawn = [controls(taken, mass, rank, (k + 0.5) / numbers) for k in range(numbers)]
    ordered, crossed = mass[np.argsort(rank)], 0
    for i, mask in enumerate(taken):
        wanted, by_mass = mass[mask].sum(), np.stack([one[1][i] for one in drawn])
        assert (drawn[0][0][i] == (rank < mask.sum())).all()
        sizes = by_mass.sum(axis=1)
        assert (by_mass == (rank < sizes[:, None])).all()
        last = min(k for k in range(n + 1) if ordered[:k].sum() >= wanted)
        assert set(sizes) <= {last, last - 1}
        assert (by_mass @ mass).sum() == wanted * numbers
        crossed += len(set(sizes)) == 2
    assert not drawn[0][1][0].any()
    assert drawn[-1][1][-1].all()
    assert crossed > 10  # the others end just there


@pytest.mark.parametrize(
    ("rule", "name", "level"), [("exact", "bottom", 2.5), ("exact", "top", 10), ("ring", "1", None)]
)
def test_mass_control_has_the_mass_of_its_mask_on_average_over_frames(rule, name, level):
    """40 lit pixels of 1, 4 or 9 points.

    `bottom` is a single point, where the nearest beginning would often be none.

    The order being given, the mass is one of two values at most 9 apart around the wanted one: its
    deviation is at most 9 / 2.
    """
    counts, repeats, mask = np.zeros(100, np.float32), 2000, Mask("raw", rule, name, level)
    counts[30:70] = generator(1, "test little mass").permutation([1] * 14 + [4] * 13 + [9] * 13)
    taken = [
        lists(counts, [mask], identity=("QPSK", 0, row), rings=5)[mask] for row in range(repeats)
    ]
    wanted, held = (np.array([counts[three[kind]].sum() for three in taken]) for kind in (0, 2))
    assert set(wanted) == {{"bottom": 1, "top": 36, "1": counts[[44, 45, 54, 55]].sum()}[name]}
    assert held.mean() == pytest.approx(wanted[0], abs=5 * 9 / 2 / np.sqrt(repeats))
    if name == "bottom":
        # The first pixel of the order with probability 1 / its mass m, or none: m^2 has the mean
        # of m^2 / m.
        some, chance = (
            np.array([len(three[2]) for three in taken]),
            float(np.mean(1 / counts[30:70])),
        )
        assert set(some) == {0, 1}
        assert some.mean() == pytest.approx(
            chance, abs=5 * np.sqrt(chance * (1 - chance) / repeats)
        )
        assert held.mean() == pytest.approx(
            1, abs=5 * np.sqrt(float(counts[30:70].mean() - 1) / repeats)
        )


def test_controls_of_equal_masks_are_equal_and_of_other_frames_are_not():
    counts = poisson_counts("shared")
    chosen = lists(counts)
    top, bottom, random = (chosen["raw", "exact", name, 20] for name in NAMES)
    assert np.array_equal(top[1], bottom[1])
    other = lists(counts, identity=("QPSK", 0, 18))["raw", "exact", "top", 20]
    assert not np.array_equal(top[1], other[1])
    assert not np.array_equal(
        random[1], random[0]
    )  # nor is the control the random mask under another name


def test_controls_are_drawn_evenly():
    """A ring takes the same 4 of 40 lit pixels of 600 frames, and its controls each of the 40 as
    often: 60 times, +- 5 sqrt(54).
    """
    counts = np.zeros(100, np.float32)
    lit = generator(1, "test evenly").permutation(np.setdiff1d(np.arange(100), [44, 45, 54, 55]))[
        :36
    ]
    counts[[44, 45, 54, 55, *lit]] = 1
    mask, times = Mask("raw", "ring", "1", None), np.zeros((3, 100))
    for row in range(600):
        for kind, pixels in enumerate(
            lists(counts, [mask], identity=("QPSK", 0, row), rings=5)[mask]
        ):
            times[kind, pixels] += 1
    assert times[0, [44, 45, 54, 55]].tolist() == [600] * 4
    for control in times[1:]:
        assert control.sum() == 2400
        assert control[counts > 0] == pytest.approx(60, abs=5 * np.sqrt(600 * 0.1 * 0.9))
