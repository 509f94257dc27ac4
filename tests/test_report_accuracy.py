"""Pictures of accuracy carry units, chance lines and numbers of frames, and show their data."""

from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from pisces.core.seeding import generator
from pisces.core.stats import wilson
from pisces.evaluation import metrics
from pisces.report import accuracy, ceiling, style
from pisces.report.captions import caption_of
from tests.figures import assert_printable, labels, legend, line


def test_training():
    history = pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5]}
    )
    for share, task in zip((0.2, 0.3, 0.1), ("modulation", "snr", "joint"), strict=True):
        history[f"validation_{task}_accuracy"] = [share, 2 * share]
        history[f"{task}_weight"] = [0.5, share]
    loss, right, weight = accuracy.training(history).axes
    assert labels(loss) == ("Epoch", "Loss, both tasks")
    assert labels(right) == ("Epoch", "Validation accuracy (%)")
    assert labels(weight) == ("Epoch", "Share of the loss weight")
    assert (right.get_ylim(), weight.get_ylim()) == ((0, 100), (0, 1))
    assert not any(
        one.get_clip_on() for axes in (right, weight) for one in axes.get_lines()
    )  # markers at the ends are whole
    assert line(loss, "Train").tolist() == [[1, 3], [2, 2]]
    assert line(loss, "Validation").tolist() == [[1, 3.5], [2, 2.5]]
    assert line(right, "SNR") == pytest.approx(np.array([[1, 30], [2, 60]]))
    assert line(weight, "Modulation") == pytest.approx(np.array([[1, 0.5], [2, 0.2]]))


def test_training_with_phases_shows_them_and_what_was_learnt_beside_the_tasks():
    history = pd.DataFrame(
        {"epoch": [1, 2, 3, 4], "phase": [0, 1, 3, 3], "train_loss": 1.0, "validation_loss": 1.0}
    )
    for task in ("modulation", "snr", "joint"):
        history[f"validation_{task}_accuracy"] = history[f"{task}_weight"] = 0.5
    history["train_denoising_loss"], history["train_features_loss"] = (
        [4.0, 3.0, 2.0, 1.0],
        [np.nan, 0.5, 0.4, 0.3],
    )
    figure = accuracy.training(history)
    *_, auxiliary = figure.axes
    assert line(auxiliary, "Denoising")[:, 1].tolist() == [4, 3, 2, 1]
    assert line(auxiliary, "Features")[1:, 1].tolist() == [0.5, 0.4, 0.3]
    assert [text.get_text() for text in auxiliary.get_legend().get_texts()] == [
        "Denoising",
        "Features",
    ]
    for axes in figure.axes:
        assert [one.get_xdata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"] == [
            1.5,
            2.5,
        ]
    assert "Dotted: phases b1, c begin." in caption_of(figure)
    assert_printable(figure)
    assert auxiliary.get_yscale() == "log"
    nothing = accuracy.training(
        history.assign(train_denoising_loss=0.0, train_features_loss=0.0)
    ).axes[-1]
    assert nothing.get_yscale() == "linear"


def test_confusion_is_in_percent_of_the_true_class():
    true, predicted = np.array(list("aaaabb")), np.array(list("aaabcb"))
    figure = accuracy.confusion(true, predicted, ("a", "b", "c"), "modulation")
    (axes,) = figure.axes
    assert labels(axes) == ("Predicted modulation", "True modulation")
    image = axes.images[0]
    assert image.get_array().tolist() == [[75, 25, 0], [0, 50, 50], [0, 0, 0]]  # rows are the truth
    assert image.get_clim() == (0, 100)
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "75",
        (1, 0): "25",
        (1, 1): "50",
        (2, 1): "50",
    }
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["a", "b", "c"]
    assert "n = 0 to 4 test frames a class" in caption_of(figure)
    assert_printable(figure)


def test_numbers_above_the_last_confused_one_are_left_out_but_for_the_first():
    true = np.array([-4, -4, -2, 0, 2, 4])
    predicted = np.array([-4, -2, -2, 0, 2, 4])
    figure = accuracy.confusion(true, predicted, (-4, -2, 0, 2, 4), "SNR (dB)", rising=True)
    assert figure.axes[0].images[0].get_array().tolist() == [[50, 50, 0], [0, 100, 0], [0, 0, 100]]
    assert "Left out: 2, 4, all right" in caption_of(figure)
    whole = accuracy.confusion(true, true, (-4, -2, 0, 2, 4), "SNR (dB)", rising=True)
    assert whole.axes[0].images[0].get_array().shape == (2, 2)


def test_a_matrix_is_two_columns_wide_once_its_numbers_would_touch():
    widths = []
    for n in (17, 24):
        names = np.array([f"class {i:02}" for i in range(n)])
        figure = accuracy.confusion(names, names, names.tolist(), "modulation")
        assert_printable(figure)
        widths.append(figure.get_figwidth())
    assert widths == [style.COLUMN, style.PAGE]


def test_per_class_is_sorted_by_family():
    scores = pd.DataFrame(
        {
            "label": ["16QAM", "8ASK", "QPSK"],
            "f1": [0.1, 0.2, 0.3],
            "precision": [0.4, 0.5, 0.6],
            "recall": [0.7, 0.8, 0.9],
        }
    )
    figure = accuracy.per_class(scores.assign(frames=[4, 5, 60]))
    (axes,) = figure.axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["8ASK", "QPSK", "16QAM"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first on top
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([20, 30, 10])
    recall, precision = axes.get_lines()
    assert precision.get_xdata() == pytest.approx([50, 60, 40])
    assert recall.get_xdata() == pytest.approx([80, 90, 70])
    assert legend(figure) == ["Precision", "F1", "Recall"]
    ends = axes.containers[1][2][0].get_segments()[1][:, 0]  # of QPSK, 54 of 60
    assert ends == pytest.approx([100 * end for end in wilson(54, 60)])
    assert "n = 4 to 60 test frames a modulation" in caption_of(figure)
    assert labels(axes) == ("Score (%)", "")
    assert not any(
        one.get_clip_on() for one in axes.get_lines()
    )  # markers at 0 and 100 % are whole


def test_accuracy_by_snr_has_chance_lines_and_intervals():
    rng = generator(1, "test accuracy by SNR")
    snr = np.repeat([-10, 0, 20], [40, 30, 50])
    predictions = {"snr_true_db": snr, "snr_pred_db": rng.permutation(snr)}
    predictions |= {
        "modulation_true": np.full(120, "QPSK"),
        "modulation_pred": rng.choice(["QPSK", "8PSK"], 120),
    }
    rows = metrics.accuracy_by_snr(predictions)
    figure = accuracy.accuracy_by_snr(rows, (4, 5))
    (axes,) = figure.axes
    assert labels(axes) == ("SNR (dB)", "Accuracy (%)")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["\N{MINUS SIGN}10", "0", "20"]
    for label, task in (("Modulation", "modulation"), ("SNR", "snr"), ("Joint", "joint")):
        (curve,) = (one for one in axes.get_lines() if one.get_label() == label)
        assert curve.get_xydata() == pytest.approx(
            np.column_stack([[-10, 0, 20], 100 * rows[task]])
        )
    assert not any(
        one.get_clip_on() for one in axes.get_lines() if one.get_marker() != "None"
    )  # markers at 0 and 100 % are whole
    dotted = [one.get_ydata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"]
    assert dotted == pytest.approx([100 / 4, 100 / 5, 100 / 20])
    assert len(axes.collections) == 3
    for band, task in zip(axes.collections, ("modulation", "snr", "joint"), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(100 * rows[f"{task}_ci_low"].min())
        assert heights.max() == pytest.approx(100 * rows[f"{task}_ci_high"].max())
    assert legend(figure) == ["Modulation", "SNR", "Joint"]
    assert "95 % Wilson interval, n = 30 to 50 frames a point" in caption_of(figure)
    assert figure.get_suptitle() == axes.get_title() == ""
    assert_printable(figure)


def test_a_curve_below_another_is_seen_on_both_of_its_sides():
    """All three tasks on one line, where the last drawn would hide the others."""
    rows = pd.DataFrame({"snr_db": [0, 10], "frames": 30})
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": 1.0, "validation_loss": 1.0})
    for task in ("modulation", "snr", "joint"):
        rows[[task, f"{task}_ci_low", f"{task}_ci_high"]] = 0.5
        history[[f"validation_{task}_accuracy", f"{task}_weight"]] = 0.5
    for axes in (
        accuracy.accuracy_by_snr(rows, (4, 5)).axes[0],
        accuracy.training(history).axes[1],
    ):
        named = {one.get_label(): one for one in axes.get_lines()}
        curves = sorted((named[one] for one in ("Modulation", "SNR", "Joint")), key=height)
        for below, above in pairwise(curves):
            assert below.get_linewidth() > above.get_linewidth()
            assert below.get_markersize() > above.get_markersize()
        assert curves[0].get_linewidth() > 2 * curves[-1].get_linewidth()


def height(curve: Line2D) -> float:
    """In the order in which curves are drawn."""
    return curve.get_zorder()


def test_snr_estimate_shows_the_estimates_and_how_far_they_are_off():
    rows = pd.DataFrame({"snr_db": [-10, 0, 20], "frames": [5, 7, 7], "mean_db": [-8.0, 0.5, 17.0]})
    rows = rows.assign(std_db=1.0, low_db=rows["mean_db"] - 1, high_db=rows["mean_db"] + 2)
    figure = accuracy.snr_estimate(rows, "the estimated noise fraction")
    estimate, error = figure.axes
    assert line(estimate, "Mean").tolist() == [[-10, -8], [0, 0.5], [20, 17]]
    assert line(estimate, "Perfect").tolist() == [[-10, -10], [0, 0], [20, 20]]
    assert error.get_lines()[0].get_xydata().tolist() == [[-10, 2], [0, 0.5], [20, -3]]
    for axes, offset in ((estimate, 0), (error, rows["snr_db"])):
        ends = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert set(ends) >= {*(rows["low_db"] - offset), *(rows["high_db"] - offset)}
    assert (labels(estimate)[1], *labels(error)) == (
        "Estimated SNR (dB)",
        "SNR (dB)",
        "Estimate minus\ntrue SNR (dB)",
    )
    assert "Estimate: the estimated noise fraction, n = 5 to 7 frames" in caption_of(figure)


def test_estimates_are_compared_with_the_true_snr_of_labels_of_half_of_it():
    rows = pd.DataFrame({"snr_db": [-10, 0, 20], "frames": 7, "mean_db": [-18.0, 0.5, 37.0]})
    rows = rows.assign(std_db=1.0, low_db=rows["mean_db"] - 1, high_db=rows["mean_db"] + 2)
    estimate, error = accuracy.snr_estimate(rows, "", "amplitude").axes
    assert line(estimate, "Perfect").tolist() == [[-10, -20], [0, 0], [20, 40]]
    assert error.get_lines()[0].get_xydata().tolist() == [[-10, 2], [0, 0.5], [20, -3]]
    assert error.get_xlabel() == "SNR label (half the SNR in dB)"


@pytest.fixture
def ceiling_rows() -> pd.DataFrame:
    """Accuracies that tell where they came from.

    Matched-filter bound 0.95, ceiling 0.9, blind 0.7, model 0.5, references 0.3 and 0.4, chance
    0.1, each 0.05 more for the SNR.
    """
    series = {
        "modulation": (
            *("ceiling", "matched-filter bound", "blind"),
            *("model", "cumulants", "chance"),
        ),
        "snr": ("ceiling", "model", "noise floor", "m2m4", "chance"),
    }
    accuracy = {
        "matched-filter bound": 0.95,
        "ceiling": 0.9,
        "blind": 0.7,
        "model": 0.5,
        "cumulants": 0.3,
        "noise floor": 0.3,
        "m2m4": 0.4,
        "chance": 0.1,
    }
    n = {"ceiling": 1600, "matched-filter bound": 1600, "blind": 50, "chance": 0}
    rows = [
        {
            "snr_db": snr_db,
            "task": task,
            "series": name,
            "accuracy": accuracy[name] + 0.05 * (task == "snr"),
            "n": n.get(name, 136),
        }
        for task, names in series.items()
        for name, snr_db in product(names, (-10, 0, 20))
    ]
    table = pd.DataFrame(rows)
    return table.assign(ci_low=table["accuracy"] - 0.04, ci_high=table["accuracy"] + 0.02)


def test_ceiling(ceiling_rows):
    figure = ceiling.ceiling(ceiling_rows)
    assert_printable(figure)
    modulation, snr = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Modulation", "SNR"]
    assert (*labels(modulation), *labels(snr)) == ("SNR (dB)", "Accuracy (%)", "SNR (dB)", "")
    assert modulation.get_ylim() == snr.get_ylim() == (-2, 102)  # room for a line at 100 %
    drawn = [
        {one.get_label(): one.get_xydata().tolist() for one in axes.get_lines()}
        for axes in figure.axes
    ]
    expected = (
        {
            "Matched-filter bound": 95,
            "Ceiling, all known": 90,
            "Blind reference": 70,
            **{"Model": 50, "Cumulants": 30, "Chance": 10},
        },
        {"Ceiling, all known": 95, "Model": 55, "Noise floor": 35, "M2M4": 45},
    )
    for found, values in zip(drawn, expected, strict=True):
        for name, percent in values.items():
            assert found[name] == pytest.approx(
                np.array([[-10, percent], [0, percent], [20, percent]])
            )
    bands = (
        modulation.collections[[one.get_label() for one in modulation.get_lines()].index("Model")]
        .get_paths()[0]
        .vertices[:, 1]
    )
    assert (bands.min(), bands.max()) == pytest.approx((46, 52))
    # Filled column by column.
    assert sorted(legend(figure)) == sorted(ceiling.CEILING_LABELS.values())
    sizes = "n = 136 frames a point; blind reference: n = 50; ceiling: n = 1600 simulated frames"
    assert sizes in caption_of(figure)
    for name in ("Matched-filter bound", "Blind reference", "Cumulants", "M2M4"):
        assert f"{name}: " in caption_of(figure)


def test_a_blind_reference_above_the_bound_is_explained_and_has_its_interval_as_bars(ceiling_rows):
    is_blind = (ceiling_rows["series"] == "blind") & (ceiling_rows["snr_db"] == -10)
    rows = ceiling_rows.copy()
    rows.loc[is_blind, ["accuracy", "ci_low", "ci_high"]] = [1, 0.7, 1]
    figure = ceiling.ceiling(rows)
    assert "stands above the bound at label -10 by chance" in caption_of(figure)
    bars = figure.axes[0].collections[-1].get_segments()
    assert bars[0][:, 1].tolist() == pytest.approx([70, 100])

    rows.loc[is_blind, "ci_low"] = 0.99
    assert "which chance hardly does" in caption_of(ceiling.ceiling(rows))
    assert "above the bound" not in caption_of(ceiling.ceiling(ceiling_rows))


def test_ceiling_of_one_task(ceiling_rows):
    figure = ceiling.ceiling(ceiling_rows[ceiling_rows["task"] == "snr"])
    assert [axes.get_title() for axes in figure.axes] == ["SNR"]
    expected = ["Ceiling, all known", "Model", "Noise floor", "M2M4", "Chance"]
    assert legend(figure) == expected
    assert labels(figure.axes[0]) == ("SNR (dB)", "Accuracy (%)")
    assert "OQPSK" not in caption_of(figure)  # which is about modulations
