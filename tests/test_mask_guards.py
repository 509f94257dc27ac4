"""Planted truths: the guards catch what they are for, and what random masks cost is told."""

import numpy as np
import pytest

from pisces.attribution import mask_guards, random_masks
from pisces.core.seeding import generator

SIZE, FRAMES, CLASSES = 16, 120, 4


@pytest.fixture
def rng():
    return generator(1, "test mask guards")


# What random masks cost


def test_a_planted_cost_is_told_and_compared():
    masks = [random_masks.RandomMask("symbol", 25)]
    right = np.ones((2, 100), bool)
    lost = right.copy()
    lost[:, :20] = False  # the trained model loses 20 of 100 frames
    found = random_masks.MaskedAccuracy(
        masks,
        whole={"trained": right, "tuned": right},
        masked={"trained": lost[None], "tuned": right[None]},
        snr_db=np.repeat([0, 10], 50),
    ).table("trained")
    drops = found[(found["measure"] == "random_drop") & (found["task"] == "modulation")]
    of_all = drops[drops["snr_db"].isna()].set_index("model")
    assert of_all.loc["trained", "value"] == 0.2
    assert of_all.loc["trained", "ci_low"] > 0
    assert of_all.loc["tuned", "difference_ci_high"] < 0
    assert drops[(drops["snr_db"] == 0) & (drops["model"] == "trained")]["value"].item() == 0.4


# Guards


def test_a_mask_that_stands_where_the_class_says_is_caught_and_a_random_one_is_not(rng):
    classes = np.arange(FRAMES) % CLASSES
    at_random = rng.random((FRAMES, SIZE * SIZE)) < 0.1
    leaking = at_random.reshape(FRAMES, CLASSES, -1).copy()
    leaking[np.arange(FRAMES), classes] |= rng.random((FRAMES, SIZE * SIZE // CLASSES)) < 0.3

    seen = [mask_guards.look(one.reshape(FRAMES, -1), SIZE) for one in (leaking, at_random)]
    right, of_random = (
        mask_guards.tells_class(one, classes, generator(1, "folds")) for one in seen
    )
    row = mask_guards.mask_only_row(right, of_random, classes)
    assert row["fails"] == "yes"
    assert row["difference_ci_low"] > 0
    assert mask_guards.mask_only_row(of_random, of_random, classes)["fails"] == "no"


@pytest.mark.parametrize("frames", [1, 2])
def test_few_frames_of_a_class_teach_nothing(frames, rng):
    classes = np.tile(np.arange(4), frames)
    right = mask_guards.tells_class(rng.random((len(classes), 3)), classes, rng)
    assert len(right) == 0
    assert mask_guards.mask_only_row(right, right, classes)["fails"] == "no"


def test_a_blurred_map_forgets_the_pixel_and_sees_no_dark_one(rng):
    lit = rng.random((1, SIZE * SIZE)) < 0.5
    flat = mask_guards.blurred(np.ones(lit.shape), lit, SIZE)
    np.testing.assert_allclose(flat, lit, atol=1e-12)  # of equal scores, whatever is lit

    planted = np.zeros(lit.shape)
    pixel = np.flatnonzero(lit[0])[10]
    planted[0, pixel] = 1
    blurred = mask_guards.blurred(planted, lit, SIZE)
    assert blurred[0, pixel] < 1
    assert np.count_nonzero(blurred) > 1
    assert not blurred[~lit].any()


def test_three_frames_of_a_class_are_enough(rng):
    classes = np.tile(np.arange(4), 3)
    seen = np.eye(4)[classes] + 0.01 * rng.random((12, 4))
    assert mask_guards.tells_class(seen, classes, rng).all()


@pytest.mark.parametrize(("measure", "better"), [("deletion_area", -1), ("insertion_area", 1)])
def test_a_blurred_copy_that_does_better_fails(measure, better):
    for sign, fails in ((better, "yes"), (-better, "no")):
        ends = sorted((0.1 * sign, 0.2 * sign))
        paired = {"difference_ci_low": ends[0], "difference_ci_high": ends[1]}
        assert mask_guards.blur_row(measure, paired)["fails"] == fails
