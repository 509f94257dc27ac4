"""Accuracies, scores and intervals against hand computation, theory and simulation."""

import json

import numpy as np
import pandas as pd
import pytest

from pisces.core import stats
from pisces.core.tasks import TASKS
from pisces.evaluation import metrics


def predictions_of(
    modulation_true, modulation_pred, snr_true_db, snr_pred_db
) -> dict[str, np.ndarray]:
    return {
        "modulation_true": np.array(modulation_true),
        "modulation_pred": np.array(modulation_pred),
        "snr_true_db": np.array(snr_true_db),
        "snr_pred_db": np.array(snr_pred_db),
    }


def predictions_at(snrs_db: list[int], right: list[bool]) -> dict[str, np.ndarray]:
    """Predictions whose modulation is as right as `right` says and whose SNR always is."""
    return predictions_of(
        ["QPSK"] * len(right), ["QPSK" if r else "8PSK" for r in right], snrs_db, snrs_db
    )


@pytest.mark.parametrize(("successes", "n"), [(0, 7), (5, 7), (952, 952)])
def test_accuracy_has_a_wilson_interval(successes, n):
    found = metrics.accuracy(np.arange(n) < successes)
    assert found["accuracy"] == successes / n
    assert (found["ci_low"], found["ci_high"]) == stats.wilson(successes, n)


def test_certainty_has_an_interval():
    """952 of 952 right: n / (n + 1.96^2) to 1, where a bootstrap would have no width."""
    found = metrics.accuracy(np.ones((2, 476), bool))
    assert found["ci_low"] == pytest.approx(952 / (952 + 1.96**2), rel=1e-4)
    assert (found["accuracy"], found["ci_high"]) == (1, 1)


def test_accuracy_of_no_frames_is_refused():
    with pytest.raises(ValueError, match="no frames"):
        metrics.accuracy(np.empty(0, bool))


def test_f1_by_hand():
    true, predicted = np.array(list("aaabbc")), np.array(list("aabbcc"))
    scores = metrics.per_class(true, predicted, ("a", "b", "c", "d")).set_index("label")
    assert scores["precision"].tolist() == pytest.approx([1, 1 / 2, 1 / 2, 0])
    assert scores["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 1, 0])
    assert scores["f1"].tolist() == pytest.approx([4 / 5, 1 / 2, 2 / 3, 0])
    assert scores["frames"].tolist() == [3, 2, 1, 0]


def test_errors_and_bands_are_those_of_the_true_snr():
    """Labels -4 and 5 are -8 and 10 dB where the label is half of the SNR."""
    predictions = predictions_of(["QPSK"] * 3, ["QPSK"] * 3, [-4, -4, 5], [-4, -1, 5])
    power = metrics.summary(predictions)
    assert power["snr"]["mae_db"] == pytest.approx(3 / 3)
    assert power["band"] == {"middle": 2 / 3}

    amplitude = metrics.summary(predictions | {"snr_label": np.array("amplitude")})
    assert amplitude["snr"]["mae_db"] == pytest.approx(6 / 3)
    assert amplitude["band"] == {"low": 1 / 2, "high": 1}


def test_summary_by_hand():
    predictions = predictions_of(
        list("aaabbc"), list("aabbcc"), [0, 0, 2, 2, 4, 4], [0, 2, 2, -20, 4, 4]
    )
    result = metrics.summary(predictions)
    assert result["modulation"]["accuracy"] == pytest.approx(4 / 6)
    assert result["modulation"]["macro_f1"] == pytest.approx((4 / 5 + 1 / 2 + 2 / 3) / 3)
    assert result["snr"]["accuracy"] == pytest.approx(4 / 6)
    assert result["snr"]["mae_db"] == pytest.approx((2 + 22) / 6)
    # 0 dB: precision 1, recall 1/2; 2 dB: 1/2, 1/2; 4 dB: 1, 1.
    assert result["snr"]["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert result["joint"]["accuracy"] == pytest.approx(2 / 6)  # the first and the last frame
    for task in TASKS:
        assert result[task]["ci_low"] < result[task]["accuracy"] < result[task]["ci_high"]
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_joint_is_both_right_on_the_same_frame():
    disjoint = predictions_of(list("abab"), list("aaaa"), [0, 0, 0, 0], [2, 0, 2, 0])
    result = metrics.summary(disjoint)
    assert [result[task]["accuracy"] for task in TASKS] == [0.5, 0.5, 0]
    together = predictions_of(list("abab"), list("aaaa"), [0, 0, 0, 0], [0, 2, 0, 2])
    assert metrics.correct(together)["joint"].tolist() == [True, False, True, False]


def test_bands_hold_both_their_edges_and_nothing_else():
    """At one edge of each band the prediction is right, at the other wrong.

    Leaving out either, or taking in a neighbour, then shows.
    """
    snrs_db = [-16, -14, -6, -4, 6, 8, 10, 30]
    for right in (
        [False, True, False, True, False, False, True, False],
        [False, False, True, False, True, False, False, True],
    ):
        bands = metrics.summary(predictions_at(snrs_db, right))["band"]
        assert bands == {"low": 0.5, "middle": 0.5, "high": 0.5}


def test_band_without_frames_is_left_out():
    assert metrics.summary(predictions_at([-16, 0, 8], [True, True, False]))["band"] == {
        "middle": 1
    }


def test_accuracy_by_snr():
    predictions = predictions_of(
        list("aaaaaa"), list("aabbba"), [10, 10, 10, -4, -4, -4], [10, 8, 10, -4, -4, -4]
    )
    rows = metrics.accuracy_by_snr(predictions)
    assert rows[["snr_db", "frames"]].to_numpy().tolist() == [[-4, 3], [10, 3]]
    assert rows["modulation"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert rows["snr"].tolist() == pytest.approx([1, 2 / 3])
    assert rows["joint"].tolist() == pytest.approx([1 / 3, 1 / 3])
    assert (rows["modulation_ci_low"] < rows["modulation"]).all()
    assert (rows["modulation_ci_high"] > rows["modulation"]).all()


def test_per_class_table_has_both_tasks_in_the_order_of_their_classes():
    predictions = predictions_of(["b", "a", "b"], ["b", "b", "b"], [0, 2, 2], [0, 2, 0])
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
    """Of 0..100 the 16th and 84th percentiles are 16 and 84.

    The variance of k consecutive whole numbers is (k^2 - 1) / 12.
    """
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


def test_confusion_is_a_row_a_frame():
    predictions = predictions_of(["b", "a"], ["b", "b"], [0, 2], [2, 2])
    found = metrics.confusion_pairs(predictions)
    assert found["modulation"].to_numpy().tolist() == [["b", "b"], ["a", "b"]]
    assert found["snr"].to_dict("list") == {"actual": [0, 2], "predicted": [2, 2]}
