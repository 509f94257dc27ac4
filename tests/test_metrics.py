"""Accuracies, scores and intervals against hand computation, theory and simulation."""

import json

import numpy as np
import pandas as pd
import pytest

from pisces.core.seeding import generator
from pisces.evaluation import metrics


def answers(modulation_true, modulation_pred, snr_true_db, snr_pred_db) -> dict[str, np.ndarray]:
    return {
        "modulation_true": np.array(modulation_true),
        "modulation_pred": np.array(modulation_pred),
        "snr_true_db": np.array(snr_true_db),
        "snr_pred_db": np.array(snr_pred_db),
    }


def answers_at(snrs_db: list[int], right: list[bool]) -> dict[str, np.ndarray]:
    """Answers whose modulation is as right as `right` says and whose SNR always is."""
    return answers(
        ["QPSK"] * len(right), ["QPSK" if r else "8PSK" for r in right], snrs_db, snrs_db
    )


@pytest.fixture
def rng():
    return generator(1, "test metrics")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_interval_is_the_normal_approximation(rng, share):
    n, resamples = 10_000, 20_000
    result = metrics.accuracy(np.arange(n) < share * n, resamples, rng)
    sigma = np.sqrt(share * (1 - share) / n)
    # The 2.5 % quantile of R draws scatters by sqrt(.025 * .975 / R) over the density there, .0584 / sigma; counts come in steps of
    # 1 / n; skewness moves both ends by (z^2 - 1) / 6 * (1 - 2 p) / n = 0.47 / n at the most.
    tolerance = 5 * sigma * np.sqrt(0.025 * 0.975 / resamples) / 0.0584 + 1.5 / n
    assert result["accuracy"] == pytest.approx(share)
    assert result["ci_low"] == pytest.approx(share - 1.96 * sigma, abs=tolerance)
    assert result["ci_high"] == pytest.approx(share + 1.96 * sigma, abs=tolerance)
    assert tolerance < 0.2 * sigma


def test_interval_covers_the_truth_as_often_as_it_says(rng):
    true, n, repeats = 0.8, 200, 1000
    covered = 0
    for right in rng.random((repeats, n)) < true:
        interval = metrics.accuracy(right, 500, rng)
        covered += interval["ci_low"] <= true <= interval["ci_high"]
    # Five standard errors of a simulation, and 0.01 that intervals of this kind lack at n = 200 (Brown, Cai and DasGupta 2001, fig. 3).
    assert covered / repeats == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / repeats) + 0.01)


def test_interval_of_certainty_and_of_nothing(rng):
    assert metrics.accuracy(np.ones(50, bool), 100, rng) == {
        "accuracy": 1,
        "ci_low": 1,
        "ci_high": 1,
    }
    with pytest.raises(ValueError, match="accuracy of no frames"):
        metrics.accuracy(np.empty(0, bool), 100, rng)


def test_f1_by_hand():
    true, predicted = np.array(list("aaabbc")), np.array(list("aabbcc"))
    scores = metrics.per_class(true, predicted, ("a", "b", "c", "d")).set_index("label")
    assert scores["precision"].tolist() == pytest.approx([1, 1 / 2, 1 / 2, 0])
    assert scores["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 1, 0])
    assert scores["f1"].tolist() == pytest.approx([4 / 5, 1 / 2, 2 / 3, 0])
    assert scores["frames"].tolist() == [3, 2, 1, 0]


def test_summary_by_hand(rng):
    predictions = answers(list("aaabbc"), list("aabbcc"), [0, 0, 2, 2, 4, 4], [0, 2, 2, -20, 4, 4])
    result = metrics.summary(predictions, 200, rng)
    assert result["modulation"]["accuracy"] == pytest.approx(4 / 6)
    assert result["modulation"]["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert result["snr"]["accuracy"] == pytest.approx(4 / 6)
    assert result["snr"]["mae_db"] == pytest.approx((2 + 22) / 6)
    # 0 dB: precision 1, recall 1/2; 2 dB: 1/2, 1/2; 4 dB: 1, 1.
    assert result["snr"]["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result["joint"]["accuracy"] == pytest.approx(2 / 6)  # the first and the last frame
    for task in metrics.TASKS:
        assert result[task]["ci_low"] < result[task]["accuracy"] < result[task]["ci_high"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_joint_is_both_right_on_the_same_frame(rng):
    disjoint = answers(list("abab"), list("aaaa"), [0, 0, 0, 0], [2, 0, 2, 0])
    result = metrics.summary(disjoint, 100, rng)
    assert [result[task]["accuracy"] for task in metrics.TASKS] == [0.5, 0.5, 0]
    together = answers(list("abab"), list("aaaa"), [0, 0, 0, 0], [0, 2, 0, 2])
    assert metrics.correct(together)["joint"].tolist() == [True, False, True, False]


def test_bands_hold_both_their_edges_and_nothing_else(rng):
    """At one edge of each band the answer is right, at the other wrong: leaving out either or taking in a neighbour shows."""
    snrs_db = [-16, -14, -6, -4, 6, 8, 10, 30]
    for right in (
        [False, True, False, True, False, False, True, False],
        [False, False, True, False, True, False, False, True],
    ):
        bands = metrics.summary(answers_at(snrs_db, right), 100, rng)["band"]
        assert bands == {
            name: {"joint": 0.5, "modulation": 0.5} for name in ("low", "middle", "high")
        }


def test_band_without_frames_is_left_out(rng):
    assert metrics.summary(answers_at([-16, 0, 8], [True, True, False]), 100, rng)["band"] == {
        "middle": {"joint": 1, "modulation": 1}
    }


def test_accuracy_by_snr(rng):
    predictions = answers(
        list("aaaaaa"), list("aabbba"), [10, 10, 10, -4, -4, -4], [10, 8, 10, -4, -4, -4]
    )
    rows = metrics.accuracy_by_snr(predictions, 100, rng)
    assert rows[["snr_db", "frames"]].to_numpy().tolist() == [[-4, 3], [10, 3]]
    assert rows["modulation"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert rows["snr"].tolist() == pytest.approx([1, 2 / 3])
    assert rows["joint"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert (rows["modulation_ci_low"] < rows["modulation"]).all()
    assert (rows["modulation_ci_high"] > rows["modulation"]).all()


def test_per_class_table_has_both_tasks_in_the_order_of_their_classes():
    predictions = answers(["b", "a", "b"], ["b", "b", "b"], [0, 2, 2], [0, 2, 0])
    table = metrics.per_class_table(predictions, ("b", "a"), (0, 2))
    expected = [
        ["modulation", "b", 2 / 3, 1, 0.8, 2],
        ["modulation", "a", 0, 0, 0, 1],
        ["snr", 0, 0.5, 1, 2 / 3, 1],
        ["snr", 2, 1, 0.5, 2 / 3, 2],
    ]
    expected = pd.DataFrame(
        expected, columns=["task", "label", "precision", "recall", "f1", "frames"]
    )
    pd.testing.assert_frame_equal(table.reset_index(drop=True), expected, check_dtype=False)


def test_estimates_of_each_label_by_hand():
    """Of 0..100 the 16th and 84th percentiles are 16 and 84; the variance of k consecutive whole numbers is (k^2 - 1) / 12."""
    predictions = {
        "snr_true_db": np.array([10] * 101 + [-4] * 2),
        "snr_estimate_db": np.array([*range(101), -5, -2], np.float32),
    }
    rows = metrics.snr_estimates(predictions)
    assert rows.columns.tolist() == ["snr_db", "frames", "mean_db", "std_db", "low_db", "high_db"]
    assert rows.to_numpy() == pytest.approx(
        np.array(
            [[-4, 2, -3.5, 1.5, -5 + 0.16 * 3, -5 + 0.84 * 3], [10, 101, 50, np.sqrt(850), 16, 84]]
        ),
        rel=1e-12,
    )
