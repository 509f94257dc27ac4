"""Task losses: their values by other ways, where their gradients pull, and float32 whatever comes
in.
"""

import math

import pytest
import torch
from torch.nn import functional

from pisces.training.losses import SNR_LOSSES, modulation_loss, snr_loss

CLASSES = 6
POSITIONS = torch.arange(CLASSES) - (CLASSES - 1) / 2


def regression_scores(v: torch.Tensor) -> torch.Tensor:
    return -(v[:, None] - POSITIONS).square() / 2


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Scores (n, classes) and one true class a frame, each class at least once."""
    generator = torch.Generator().manual_seed(1)
    target = torch.arange(4 * CLASSES) % CLASSES
    return 3 * torch.randn(len(target), CLASSES, generator=generator), target


def pull(name: str, scores: list[float], target: int) -> list[float]:
    """By how much a step of gradient descent moves each score, over its length."""
    leaf = torch.tensor([scores], requires_grad=True)
    snr_loss(name, leaf, torch.tensor([target]), POSITIONS).sum().backward()
    return (-leaf.grad[0]).tolist()


@pytest.mark.parametrize("name", SNR_LOSSES)
def test_each_frame_has_its_own_loss(name, batch):
    scores, target = batch
    together = snr_loss(name, scores, target, POSITIONS)
    assert together.shape == target.shape
    alone = [
        snr_loss(name, scores[i : i + 1], target[i : i + 1], POSITIONS).item()
        for i in range(len(target))
    ]
    assert together.tolist() == pytest.approx(alone, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", SNR_LOSSES)
def test_half_precision_scores_are_computed_with_in_float32(name, batch):
    scores, target = batch[0].bfloat16(), batch[1]
    for autocast in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            snr, modulation = (
                snr_loss(name, scores, target, POSITIONS),
                modulation_loss(scores, target, 0.1),
            )
        assert snr.dtype == modulation.dtype == torch.float32
        assert torch.equal(snr, snr_loss(name, scores.float(), target, POSITIONS))
        assert torch.equal(modulation, modulation_loss(scores.float(), target, 0.1))


@pytest.mark.parametrize("name", SNR_LOSSES)
def test_a_sure_right_prediction_costs_nothing(name):
    """Scores 100 steps apart leave e^-100 for the rest; those of the regression head are exact at a
    class.
    """
    target = torch.arange(CLASSES)
    scores = regression_scores(POSITIONS) if name == "regression" else 100 * torch.eye(CLASSES)
    assert snr_loss(name, scores, target, POSITIONS).tolist() == pytest.approx(
        [0] * CLASSES, abs=1e-5
    )


def test_cross_entropy_of_no_idea_is_the_log_of_the_number_of_classes():
    loss = snr_loss("cross_entropy", torch.zeros(1, CLASSES), torch.tensor([2]), POSITIONS)
    assert loss.item() == pytest.approx(math.log(CLASSES))


def test_distance_adds_the_mean_steps_to_the_true_class():
    """Probabilities 1/2, 1/4, 1/4 on classes 1, 2 and 5: from class 1 that is (0 + 1 + 4) / 4 steps
    on average, and log 2.
    """
    scores = torch.full((1, CLASSES), -100.0)
    scores[0, [1, 2, 5]] = torch.tensor([0.5, 0.25, 0.25]).log()
    loss = snr_loss("distance", scores, torch.tensor([1]), POSITIONS)
    assert loss.item() == pytest.approx(math.log(2) + 5 / 4, rel=1e-6)


def test_distance_counts_in_steps_of_an_uneven_grid():
    positions = torch.tensor([-1.5, -0.5, 2.0])
    loss = snr_loss("distance", torch.zeros(1, 3), torch.tensor([2]), positions)
    assert loss.item() == pytest.approx(math.log(3) + (3.5 + 2.5 + 0) / 3, rel=1e-6)


def test_distance_pulls_probability_to_the_neighbour_rather_than_far_away():
    """From no idea, with class 1 true: d/ds_k of the expected distance is p_k (d_k - mean
    distance).
    """
    moved = pull("distance", [0.0] * CLASSES, 1)
    assert moved[0] == pytest.approx(moved[2])
    assert moved[1] > moved[2] > moved[3] > moved[4] > moved[5]
    mean = (1 + 0 + 1 + 2 + 3 + 4) / CLASSES
    assert moved[5] == pytest.approx(-1 / CLASSES - (4 - mean) / CLASSES, rel=1e-5)


def test_cross_entropy_and_a_penalty_through_argmax_tell_no_neighbour_from_a_far_class():
    moved = pull("cross_entropy", [0.0] * CLASSES, 1)
    assert moved[2] == pytest.approx(moved[5])
    leaf = torch.zeros(1, CLASSES, requires_grad=True)
    assert not (POSITIONS[leaf.argmax(1)] - POSITIONS[1]).abs().requires_grad


def test_ordinal_is_the_sum_of_binary_cross_entropies_over_thresholds(batch):
    scores, target = batch
    p = torch.softmax(scores.double(), 1)
    expected = sum(
        functional.binary_cross_entropy(
            p[:, k + 1 :].sum(1), (target > k).double(), reduction="none"
        )
        for k in range(CLASSES - 1)
    )
    assert snr_loss("ordinal", scores, target, POSITIONS).tolist() == pytest.approx(
        expected.tolist(), rel=1e-5
    )


def test_ordinal_with_two_classes_is_cross_entropy(batch):
    scores, target = batch[0][:, :2], batch[1] % 2
    both = [
        snr_loss(name, scores, target, POSITIONS[:2]).tolist()
        for name in ("ordinal", "cross_entropy")
    ]
    assert both[0] == pytest.approx(both[1], rel=1e-5)


def test_ordinal_costs_more_the_further_away_the_prediction_is():
    """A sure prediction with odds e^20 crosses one threshold more for each step, each worth 20 and
    the log of the few classes beyond.
    """
    scores = 20 * torch.eye(CLASSES)
    losses = snr_loss("ordinal", scores, torch.zeros(CLASSES, dtype=torch.long), POSITIONS)
    assert losses.diff().tolist() == pytest.approx([20] * (CLASSES - 1), abs=math.log(CLASSES))


@pytest.mark.parametrize("name", ["cross_entropy", "ordinal"])
def test_proper_losses_are_least_at_the_true_probabilities(name):
    """The mean over targets drawn from q has no gradient at a softmax of q, and one elsewhere."""
    q = torch.tensor([0.05, 0.1, 0.4, 0.25, 0.15, 0.05])

    def gradient(scores: torch.Tensor) -> torch.Tensor:
        leaf = scores.clone().requires_grad_()
        (
            q * snr_loss(name, leaf.expand(CLASSES, -1), torch.arange(CLASSES), POSITIONS)
        ).sum().backward()
        return leaf.grad

    assert gradient(q.log()).abs().max() < 1e-6
    assert gradient(q.flip(0).log()).abs().max() > 0.05


@pytest.mark.parametrize("name", ["cross_entropy", "distance", "ordinal"])
def test_extreme_scores_give_finite_losses_and_gradients(name):
    """Scores 1e4 apart: probabilities underflow to 0, whose logarithms are -inf; the losses are of
    that order instead.
    """
    scores = torch.tensor([[1e4, 0, 0, 0, 0, -1e4]], requires_grad=True)
    loss = snr_loss(name, scores, torch.tensor([CLASSES - 1]), POSITIONS)
    loss.sum().backward()
    assert 1e4 < loss.item() < 1e6
    assert scores.grad.isfinite().all()
    assert scores.grad[0, 0] > 0 > scores.grad[0, -1]


def test_regression_is_smooth_l1_of_the_number_behind_the_scores():
    """Half the square within one class step, linear beyond (beta = 1)."""
    v = torch.tensor([0.9, -0.1, 2.5, -4.0])
    loss = snr_loss("regression", regression_scores(v), torch.tensor([3, 3, 3, 0]), POSITIONS)
    assert loss.tolist() == pytest.approx([0.4**2 / 2, 0.6**2 / 2, 2.0 - 0.5, 1.5 - 0.5], rel=1e-5)


def test_regression_moves_the_number_towards_the_true_class():
    v = torch.tensor([-1.0, 1.0], requires_grad=True)
    snr_loss("regression", regression_scores(v), torch.tensor([3, 3]), POSITIONS).sum().backward()
    assert v.grad.tolist() == pytest.approx(
        [-1.0, 0.5], rel=1e-4
    )  # from 1.5 below and 0.5 above the class at 0.5


def test_label_smoothing_spreads_the_target_over_all_classes(batch):
    logits, target = batch
    log_p = torch.log_softmax(logits, 1)
    smoothed = -0.9 * log_p[torch.arange(len(target)), target] - 0.1 * log_p.mean(1)
    assert modulation_loss(logits, target, 0.1).tolist() == pytest.approx(
        smoothed.tolist(), rel=1e-5
    )
    assert modulation_loss(logits, target, 0.0).tolist() == pytest.approx(
        snr_loss("cross_entropy", logits, target, POSITIONS).tolist()
    )


def test_an_unknown_loss_lists_what_there_is():
    with pytest.raises(
        ValueError,
        match="SNR loss 'focal' is unknown; there are cross_entropy, distance, ordinal, regression",
    ):
        snr_loss("focal", torch.zeros(1, CLASSES), torch.tensor([0]), POSITIONS)
