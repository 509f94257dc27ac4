"""Deletion, insertion, infidelity and sensitivity against linear models and closed forms."""

from itertools import permutations

import numpy as np
import pytest
import torch

from pisces.attribution import faithfulness
from pisces.core.seeding import generator
from pisces.inputs.pixels import PixelLists, mask_pixels
from pisces.pis.base import rank_descending

EPS = float(np.finfo(np.float32).eps)


@pytest.fixture
def rng():
    return generator(1, "test faithfulness")


class Linear:
    """Logits (n, 2) of images or counts: 0 and the sum of every value times its weight."""

    def __init__(self, weights: np.ndarray):
        self.weights = torch.from_numpy(weights.astype(np.float32))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        total = (images * self.weights).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(total), total], dim=1)


def without(weights: np.ndarray, counts: torch.Tensor):
    """Lists of pixels -> logits of a linear model for counts (n, pixels) without them."""

    def predict(pixels: np.ndarray, offsets: np.ndarray) -> torch.Tensor:
        lists = PixelLists.on_device(range(len(counts)), pixels, offsets, counts.device)
        return Linear(weights)(mask_pixels(counts, lists))

    return predict


def ones(n: int) -> torch.Tensor:
    return torch.ones(n, dtype=torch.int64)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def each(frames: int) -> list[np.random.Generator]:
    return [generator(2, "test frame", i) for i in range(frames)]


def sparse(rng: np.random.Generator, *shape: int) -> torch.Tensor:
    """Images of which about half the pixels are lit, with values from 1 to 2."""
    return torch.from_numpy(
        (rng.uniform(1, 2, shape) * (rng.random(shape) < 0.5)).astype(np.float32)
    )


# Order


def test_order_by_hand():
    scores = np.array([[1.0, 5, 5, 9, -2], [0, 0, 0, 0, 0]])
    counts = np.array([[1, 2, 1, 0, 3], [1, 1, 0, 1, 0]])
    ties = np.array([[0.1, 0.9, 0.2, 0.3, 0.4], [0.9, 0.1, 0.0, 0.5, 0.3]])
    assert faithfulness.order(scores, counts, ties).tolist() == [[2, 1, 0, 4], [1, 3, 0, -1]]


def test_frames_without_a_lit_pixel_have_no_order():
    nothing = np.zeros((2, 5))
    assert faithfulness.order(nothing, nothing, nothing).shape == (2, 0)
    none = torch.zeros(2, 5)
    empty = np.empty((2, 0), np.int64)
    found = faithfulness.curves(without(np.ones(5), none), none, empty, (50, 100), ones(2))
    for curve in found.values():
        assert np.array_equal(curve, np.full((2, 3), 0.5))


def test_order_by_brightness_begins_with_the_masks_of_pis(rng):
    counts = rng.poisson(1, (5, 64))
    ties = np.stack([rng.permutation(64) for _ in counts])
    order = faithfulness.order(np.log1p(counts), counts, ties)
    for of_frame, count, tie in zip(order, counts, ties, strict=True):
        lit = np.flatnonzero(count)
        rank = rank_descending(count[lit], np.argsort(np.argsort(tie[lit])))
        assert of_frame[: len(lit)].tolist() == lit[np.argsort(rank)].tolist()


# Deletion and insertion


def test_curves_of_a_linear_model(rng):
    """The logit is a sum over lit pixels, so what is left of it at each level can be added up by
    hand: 4, 3 and 0 of 6 are lit."""
    counts = np.array([[1, 2, 0, 4, 1, 0], [0, 1, 3, 0, 0, 2], [0] * 6])
    weights = rng.normal(size=6)
    order = faithfulness.order(rng.normal(size=(3, 6)), counts, rng.random((3, 6)))
    given = torch.from_numpy(counts).float()
    curves = faithfulness.curves(
        without(weights, given), given, order, (50, 100), torch.tensor([1, 0, 1])
    )
    for frame, half, lit, sign in (
        (0, 2, 4, 1),
        (1, 2, 3, -1),
        (2, 0, 0, 1),
    ):  # half of 3 is rounded up
        terms = (counts * weights)[frame, order[frame, :lit]]
        assert curves["deletion"][frame] == pytest.approx(
            sigmoid(sign * np.array([terms.sum(), terms[half:].sum(), 0])), abs=8 * EPS
        )
        assert curves["insertion"][frame] == pytest.approx(
            sigmoid(sign * np.array([0, terms[:half].sum(), terms[:lit].sum()])), abs=8 * EPS
        )
    alone = faithfulness.curves(
        without(weights, given[1:2]), given[1:2], order[1:2], (50, 100), torch.tensor([0])
    )
    for name, columns in alone.items():
        assert columns == pytest.approx(curves[name][1:2], abs=EPS)


def test_true_ranking_has_the_least_deletion_and_the_largest_insertion_of_all():
    """All 120 orders of five lit pixels of a linear model: by weight times count is best in both,
    its reverse worst, and no other ties."""
    counts, weights = np.array([2, 1, 0, 3, 1, 2]), np.array([0.4, -1.1, 9.0, 0.7, 0.3, -0.2])
    levels = (20, 40, 60, 80, 100)
    orders = np.array(list(permutations((0, 1, 3, 4, 5))))
    given = torch.from_numpy(np.tile(counts, (120, 1))).float()
    curves = faithfulness.curves(without(weights, given), given, orders, levels, ones(120))
    best = faithfulness.order((counts * weights)[None], counts[None], np.zeros((1, 6)))[0]
    worst = best[::-1].tolist()
    for name, sign in (("deletion", 1), ("insertion", -1)):
        ranked = orders[np.argsort(sign * faithfulness.area(curves[name], levels))]
        assert ranked[0].tolist() == best.tolist()
        assert ranked[-1].tolist() == worst
    assert best.tolist() == [3, 0, 4, 5, 1]


def test_area_of_straight_lines():
    levels = (1, 2, 5, 50, 100)
    x = np.array([0, *levels]) / 100
    curves = np.stack([1 - x, 0.3 + 0 * x, x])
    assert faithfulness.area(curves, levels) == pytest.approx([0.5, 0.3, 0.5])
    assert faithfulness.area(curves[:, :-1], levels[:-1]) == pytest.approx(
        [0.75, 0.3, 0.25]
    )  # a mean height, however far it goes
    assert faithfulness.area(np.array([[1, 0, 0]]), (10, 100)) == pytest.approx([0.05])


# Infidelity


def test_infidelity_of_the_exact_map_is_rounding(rng):
    """Of a linear model, weight times image is what every pixel does: integrated gradients. In any
    unit, and of no other map."""
    images, weights = sparse(rng, 3, 2, 8, 8), rng.normal(size=(2, 8, 8))
    exact = images * torch.from_numpy(weights).float()
    scatter = torch.from_numpy(rng.normal(size=exact.shape)).float()

    def infidelity(maps: torch.Tensor) -> np.ndarray:
        return faithfulness.infidelity(Linear(weights), images, maps, ones(3), 20, each(3))

    # A map of zeros predicts no change, so this is their mean square.
    changes = infidelity(torch.zeros_like(images))
    # A change is a difference of two sums of 128 terms of up to about 5, in 7 digits, while the
    # changes themselves are about 5.
    assert (infidelity(exact) < 1e-5 * changes).all()
    assert (infidelity(1e-3 * exact) < 1e-5 * changes).all()
    assert (infidelity(scatter) > 0.1 * changes).all()
    assert infidelity(7 * scatter) == pytest.approx(infidelity(scatter), rel=1e-4)


def test_infidelity_puts_out_a_tenth_of_the_lit_pixels(rng):
    """A flat map predicts the same of every choice of k of N lit pixels: what is left is the
    variance of the sum of k, drawn without replacement: k (1 - k / N) S^2, with S^2 of N - 1. A
    tenth of N is 6.4 here: k = 6."""
    samples, lit = 4000, 64
    images, weights = torch.zeros(1, 1, 10, 10), rng.normal(2, 1, (10, 10))
    at = rng.permutation(100)[:lit]
    images.view(-1)[at] = torch.from_numpy(rng.uniform(1, 2, lit)).float()
    terms = (images.numpy() * weights).ravel()[at]
    flat = faithfulness.infidelity(
        Linear(weights), images, torch.ones_like(images), ones(1), samples, each(1)
    )
    # A variance of so many nearly normal draws scatters by sqrt(2 / samples) of itself; five of
    # these, and k = 5 or 7 is 15 % away.
    assert flat == pytest.approx(
        6 * (1 - 6 / lit) * terms.var(ddof=1), rel=5 * np.sqrt(2 / samples)
    )
    assert 5 * np.sqrt(2 / samples) < 0.12


def test_infidelity_of_few_or_no_lit_pixels():
    """Of three lit pixels one goes at a time; a dark image has none to mask."""
    images = torch.zeros(2, 1, 2, 2)
    images[0, 0, 0] = 1
    images[0, 0, 1, 0] = 1
    weights = np.array([[[3.0, 3.0], [3.0, 8.0]]])
    assert faithfulness.infidelity(
        Linear(weights), images, torch.zeros_like(images), ones(2), 5, each(2)
    ) == pytest.approx([9, 0])


def test_infidelity_does_not_depend_on_batches(rng, monkeypatch):
    images, weights = sparse(rng, 5, 2, 4, 4), rng.normal(size=(2, 4, 4))
    maps = torch.from_numpy(rng.normal(size=images.shape)).float()
    targets = torch.tensor([1, 0, 1, 1, 1])

    def infidelity() -> np.ndarray:
        return faithfulness.infidelity(Linear(weights), images, maps, targets, 6, each(5))

    whole = infidelity()
    monkeypatch.setattr(faithfulness, "BATCH", 12)
    assert infidelity() == pytest.approx(whole, rel=1e-5)
    assert whole[1] == 0  # the logit of class 0 never changes
    assert (whole[[0, 2, 3, 4]] > 0).all()
    strided = (
        images.contiguous(memory_format=torch.channels_last),
        maps.contiguous(memory_format=torch.channels_last),
    )
    again = faithfulness.infidelity(Linear(weights), *strided, targets, 6, each(5))
    assert again == pytest.approx(whole, rel=1e-5)


def test_infidelity_gives_each_image_its_own_context(rng, monkeypatch):
    """A model whose weights come beside the image, one set a frame: their product with it predicts
    all, that of other frames not."""
    images, weights = (
        sparse(rng, 5, 2, 4, 4),
        torch.from_numpy(rng.normal(size=(5, 2, 4, 4))).float(),
    )
    monkeypatch.setattr(faithfulness, "BATCH", 40)  # two frames at a time

    def forward(given: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
        return (given * beside).flatten(1).sum(1, keepdim=True).expand(-1, 2)

    def infidelity(maps: torch.Tensor) -> np.ndarray:
        return faithfulness.infidelity(forward, images, maps, ones(5), 20, each(5), (weights,))

    changes = infidelity(torch.zeros_like(images))
    assert (infidelity(images * weights) < 1e-5 * changes).all()
    assert (infidelity(images * weights.roll(1, 0)) > 0.1 * changes).all()


# Sensitivity


def test_sensitivity_of_a_constant_explanation_is_zero(rng):
    images = sparse(rng, 3, 1, 4, 4)
    assert faithfulness.sensitivity(
        lambda x, *_: torch.ones_like(x), images, ones(3), 0.5, 4, each(3)
    ).tolist() == [0, 0, 0]


def test_sensitivity_of_the_image_itself():
    """The map moves as the image does: by the norm of p values from -r to r, r sqrt(p / 3) give or
    take a share 0.5 sqrt(0.8 / p)."""
    images, radius = torch.full((2, 3, 32, 32), 2.0), 0.25
    images[1] = 4.0
    p = 3 * 32 * 32
    expected = radius * np.sqrt(1 / 3) / np.array([2.0, 4.0])
    found = faithfulness.sensitivity(lambda x, *_: x, images, ones(2), radius, 8, each(2))
    spread = 0.5 * np.sqrt(0.8 / p)
    assert found == pytest.approx(expected, rel=6 * spread)
    assert (found > expected * (1 - spread)).all()  # the largest of eight
    assert faithfulness.sensitivity(
        lambda x, *_: x, images, ones(2), 2 * radius, 8, each(2)
    ) == pytest.approx(2 * expected, rel=6 * spread)


def test_sensitivity_changes_pixels_up_and_down():
    """The mean of p values from -r to r scatters by r / sqrt(3 p), where that of values from 0 to r
    would be r / 2. The map is one number seen as many, as a coarse map enlarged may be."""
    images, radius = torch.full((2, 3, 32, 32), 2.0), 0.25

    def enlarged(x, *_):
        means = x.mean((1, 2, 3)).view(-1, 1, 1, 1)
        return means.repeat(1, 1, 32, 32).expand_as(x)

    found = faithfulness.sensitivity(enlarged, images, ones(2), radius, 8, each(2))
    assert (found < 5 * radius / np.sqrt(3 * 3 * 32 * 32) / 2.0).all()
    assert (found > 0).all()


def test_sensitivity_explains_each_image_for_its_own_target(rng):
    """A map that is there for target 1 only cannot change for target 0; and one image alone has the
    same draws as among others."""
    images, targets = sparse(rng, 4, 1, 4, 4), torch.tensor([1, 0, 0, 1])

    def sensitivity(n: int) -> np.ndarray:
        explain = lambda x, t, _: x * t[:, None, None, None]  # noqa: E731
        return faithfulness.sensitivity(explain, images[:n], targets[:n], 0.1, 3, each(n))

    whole = sensitivity(4)
    assert (whole > 0).tolist() == [True, False, False, True]
    assert sensitivity(1) == pytest.approx(whole[:1], rel=1e-6)


def test_sensitivity_explains_each_image_in_its_own_context(rng):
    """Maps that are the image times a number that comes beside it: only where that is above 0 is
    anything there to change."""
    images, beside = sparse(rng, 4, 1, 4, 4), torch.tensor([[2.0], [0], [0], [5]])
    found = faithfulness.sensitivity(
        lambda x, _, b: x * b[0][..., None, None], images, ones(4), 0.1, 3, each(4), (beside,)
    )
    assert (found > 0).tolist() == [True, False, False, True]
    plain = faithfulness.sensitivity(lambda x, *_: x, images, ones(4), 0.1, 3, each(4))
    assert found[[0, 3]] == pytest.approx(
        plain[[0, 3]], rel=1e-5
    )  # over the norm of the map, whatever its unit


def test_global_generator_is_left_alone(rng):
    before = torch.get_rng_state()
    images = sparse(rng, 2, 1, 4, 4)
    faithfulness.sensitivity(lambda x, *_: x, images, ones(2), 0.1, 3, each(2))
    faithfulness.infidelity(Linear(np.ones((1, 4, 4))), images, images, ones(2), 3, each(2))
    assert torch.equal(torch.get_rng_state(), before)


# Intervals


def test_summary_is_paired_frame_by_frame(rng):
    """Frames differ much, methods by exactly 0.25 in each: the means have wide intervals, their
    difference none."""
    frames = rng.normal(size=200)
    summary = faithfulness.summarise({"better": frames + 0.25, "random": frames}, 500, rng)
    assert summary["better"]["difference"] == pytest.approx(0.25)
    assert summary["better"]["difference_ci_low"] == pytest.approx(
        summary["better"]["difference_ci_high"]
    )
    assert summary["better"]["ci_high"] - summary["better"]["ci_low"] > 0.2
    assert [
        summary["random"][key] for key in ("difference", "difference_ci_low", "difference_ci_high")
    ] == [0, 0, 0]
    assert {one["frames"] for one in summary.values()} == {200}


def test_frames_without_a_value_are_left_out(rng):
    summary = faithfulness.summarise(
        {"gappy": np.array([1.0, np.nan, 3]), "random": np.array([0.0, 5, np.nan])}, 50, rng
    )
    assert (
        summary["gappy"]["frames"],
        summary["gappy"]["mean"],
        summary["gappy"]["difference"],
    ) == (2, 2, 1)


def test_one_more_method_changes_no_other(rng):
    values = {"a": rng.normal(size=30), "random": rng.normal(size=30)}
    few = faithfulness.summarise(values, 50, generator(5, "test"))
    more = faithfulness.summarise({"b": rng.normal(size=30)} | values, 50, generator(5, "test"))
    assert {name: more[name] for name in values} == few


def test_summary_without_the_random_baseline_is_refused(rng):
    with pytest.raises(ValueError, match="'random' among rise"):
        faithfulness.summarise({"rise": np.zeros(3)}, 10, rng)
