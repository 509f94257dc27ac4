"""Figures carry their units, limits, chance lines and numbers of frames, and show what they were given."""

from itertools import pairwise, product

import matplotlib.colors
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from pisces.attribution import sanity
from pisces.core.modulations import MODULATIONS
from pisces.core.seeding import generator
from pisces.evaluation import metrics
from pisces.report import style


def labels(axes) -> tuple[str, str]:
    return axes.get_xlabel(), axes.get_ylabel()


def line(axes, label: str) -> np.ndarray:
    """Points (n, 2) of the line with this name in the legend."""
    (found,) = (one for one in axes.get_lines() if one.get_label() == label)
    assert label in [text.get_text() for text in axes.get_legend().get_texts()]
    return np.column_stack([found.get_xdata(), found.get_ydata()]).astype(float)


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def boxes_in_inches(figure) -> tuple[list, list]:
    """Extents, once drawn, of the panels with all their labels, and of the words around them: caption and legend."""
    figure.draw_without_rendering()
    around = [figure._suptitle, *figure.legends]
    to_inches = figure.dpi_scale_trans.inverted()
    panels = [axes.get_tightbbox().transformed(to_inches) for axes in figure.axes if axes.axison]
    return panels, [one.get_window_extent().transformed(to_inches) for one in around]


def assert_printable(figure) -> None:
    """Nothing is cut off, the words lie on no panel, and all fits on a page."""
    width, height = figure.get_size_inches()
    assert width <= 10
    assert height <= 10
    panels, words = boxes_in_inches(figure)
    for box in (*panels, *words):
        assert min(box.x0, box.y0) >= -0.01
        assert box.x1 <= width + 0.01
        assert box.y1 <= height + 0.01
    assert not any(word.overlaps(panel) for word, panel in product(words, panels))


TASKS = ("modulation", "snr", "joint")
MASKS = ("Brightest pixels", "Dimmest lit pixels", "Random pixels")


def score(view: str, rule: str, mask: str, task: str, value: float, **more) -> dict:
    """A row of a PIS table; it differs from its control unless `more` says otherwise."""
    row = {
        "view": view,
        "rule": rule,
        "mask": mask,
        "level_percent": np.nan,
        "task": task,
        "n": 321,
        "accuracy": 0.5,
        "fraction_lit": 0.1,
    }
    row |= {
        "pis": value,
        "pis_ci_low": value - 0.5,
        "pis_ci_high": value + 0.25,
        "control_count_pis": -value,
    }
    return row | {"p_count_holm": 0.01} | more


@pytest.fixture(scope="module")
def pis_rows() -> pd.DataFrame:
    """Scores that tell where they came from: 10 * task + mask + level / 10, the percentile ones 1000 more, those of `noise` 100 more.

    Those at 1 % do not differ from their control.
    """
    rows = []
    for (v, view), rule in product(enumerate(("raw", "noise")), ("percentile", "exact")):
        for (m, mask), level, (t, task) in product(
            enumerate(("top", "bottom", "random")), (5.0, 1.0), enumerate(TASKS)
        ):
            value = 10 * t + m + level / 10 + 1000 * (rule == "percentile") + 100 * v
            fraction = level / 100 + (0.001 if view == "raw" else 0.002)
            more = {
                "level_percent": level,
                "accuracy": 0.6 - level / 100,
                "fraction_lit": fraction,
                "p_count_holm": 0.2 if level == 1 else 0.01,
            }
            rows.append(score(view, rule, mask, task, value, **more))
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def region_rows() -> pd.DataFrame:
    """Of two views: three rings with the scores 1, 2, 3, four sectors with 4..7, core 8, transition 9, and 2 x 2 windows; `noise` negative.

    Windows take 0 (undefined), 5 per mille, 20 % and 30 % of the lit pixels; ring 2 and the third window do not differ from their control.
    """
    rows = []
    for sign, view in ((1, "raw"), (-1, "noise")):
        names = [
            *product(["ring"], "123"),
            *product(["sector"], "1234"),
            ("cluster", "core"),
            ("cluster", "transition"),
        ]
        rows += [
            score(view, rule, name, "joint", sign * (1 + i), p_count_holm=0.01 + i % 8 * (i == 1))
            for i, (rule, name) in enumerate(names)
        ]
        windows = [
            ("0-0", np.nan, 0, np.nan),
            ("0-8", 900, 0.005, 0.01),
            ("8-0", 4, 0.2, 0.9),
            ("8-8", -12, 0.3, 0.01),
        ]
        rows += [
            score(view, "window", name, "joint", sign * pis, fraction_lit=f, p_count_holm=p)
            for name, pis, f, p in windows
        ]
    return pd.concat(
        [pd.DataFrame(rows), pd.DataFrame(rows).assign(task="snr", pis=77)], ignore_index=True
    )


def test_audit():
    table = pd.DataFrame(
        [
            ("QPSK", 0, 0.5, -1, 1, 24),
            ("BPSK", 0, 1.5, -2, 2, 24),
            ("QPSK", 10, 21, 19, 22, 20),
            ("16QAM", 0, 0.1, 0, 1, 24),
        ],
        columns=["modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n"],
    )
    measured, error = style.audit(table).axes
    assert measured.get_ylabel() == "SNR from the out-of-band floor (dB)"
    assert labels(error) == ("SNR label (dB)", "Measured - label (dB)")
    assert line(measured, "Measured = label").tolist() == [[0, 0], [10, 10]]
    assert line(measured, "PSK").tolist() == [[0, 1], [10, 21]]
    assert line(measured, "QAM").tolist() == [[0, 0.1]]
    assert [[0, 1], [10, 11]] in [
        np.column_stack(one.get_data()).tolist() for one in error.get_lines()
    ]
    assert measured.get_title().startswith("20 to 24 frames a cell")


def test_audit_of_nothing():
    empty = pd.DataFrame(
        {name: [] for name in ("modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n")}
    )
    assert style.audit(empty).axes[0].get_title().startswith("no frames")


def test_constellations_are_equal_in_both_axes_and_in_their_places():
    rng = generator(1, "test sheet")
    images = {"raw": rng.random((11, 3, 8, 8)), "noise": 7 * rng.random((11, 3, 8, 8))}
    names = [f"M{m}" for m in range(11)]
    figure = style.constellations(
        names, (-10, 0, 20), images, {"raw": 2.5, "symbol": 2, "noise": 80, "differential": 3}
    )
    grid = np.reshape(figure.axes, (2, 3, 11))
    for (v, view), m, s in product(enumerate(images), range(11), range(3)):
        axes = grid[v, s, m]
        assert np.array_equal(axes.images[0].get_array(), images[view][m, s])
        assert axes.images[0].get_clim() == (0, images[view].max())  # one brightness a view
        assert axes.get_aspect() == 1
        assert axes.images[0].origin == "upper"  # row 0, the largest Q, on top
        assert axes.axison
    assert [axes.get_title() for axes in grid[0, 0]] == names
    for view, rows in zip(images, grid, strict=True):
        assert [row[0].get_ylabel() for row in rows] == [
            f"{view}\n{snr_db} dB" for snr_db in (-10, 0, 20)
        ]
    caption = figure.get_suptitle()
    assert "half width: raw 2.5 RMS, noise 80 dB;" in caption
    assert "In-phase to the right, quadrature upwards" in caption
    assert_printable(figure)


@pytest.mark.parametrize("modulations", [1, 2])
def test_caption_of_few_constellations_is_whole(modulations):
    views = ("raw", "symbol", "noise", "differential")
    images = {view: np.ones((modulations, 1, 8, 8)) for view in views}
    figure = style.constellations(
        ["128APSK"] * modulations, (-20,), images, dict.fromkeys(views, 2.5)
    )
    assert "differential 2.5 RMS; brightness: log(1 + points)" in figure.get_suptitle()
    assert_printable(figure)


def test_training():
    history = pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5]}
    )
    for share, task in zip((0.2, 0.3, 0.1), ("modulation", "snr", "joint"), strict=True):
        history[f"validation_{task}_accuracy"] = [share, 2 * share]
        history[f"{task}_weight"] = [0.5, share]
    loss, accuracy, weight = style.training(history).axes
    assert labels(loss) == ("Epoch", "Loss, both tasks")
    assert labels(accuracy) == ("Epoch", "Validation accuracy (%)")
    assert labels(weight) == ("Epoch", "Share of the loss weight")
    assert (accuracy.get_ylim(), weight.get_ylim()) == ((0, 100), (0, 1))
    assert not any(
        one.get_clip_on() for axes in (accuracy, weight) for one in axes.get_lines()
    )  # markers at the ends are whole
    assert line(loss, "Train").tolist() == [[1, 3], [2, 2]]
    assert line(loss, "Validation").tolist() == [[1, 3.5], [2, 2.5]]
    assert line(accuracy, "SNR") == pytest.approx(np.array([[1, 30], [2, 60]]))
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
    figure = style.training(history)
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
    assert figure.get_suptitle() == "Dotted: phases b1, c begin"
    assert_printable(figure)
    assert auxiliary.get_yscale() == "log"
    nothing = style.training(
        history.assign(train_denoising_loss=0.0, train_features_loss=0.0)
    ).axes[-1]
    assert nothing.get_yscale() == "linear"


def test_confusion_is_in_percent_of_the_true_class():
    true, predicted = np.array(list("aaaabb")), np.array(list("aaabcb"))
    axes = style.confusion(true, predicted, ("a", "b", "c"), "modulation")
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
    assert axes.get_title() == "n = 6"
    assert image.colorbar.ax.get_ylabel() == "Share of the true class (%)"


def test_per_class_is_sorted_by_family():
    scores = pd.DataFrame(
        {
            "label": ["16QAM", "8ASK", "QPSK"],
            "f1": [0.1, 0.2, 0.3],
            "precision": [0.4, 0.5, 0.6],
            "recall": [0.7, 0.8, 0.9],
        }
    )
    axes = style.per_class(scores.assign(frames=[4, 5, 6]))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["8ASK", "QPSK", "16QAM"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([20, 30, 10])
    assert line(axes, "Precision")[:, 1] == pytest.approx([50, 60, 40])
    assert line(axes, "Recall")[:, 1] == pytest.approx([80, 90, 70])
    assert labels(axes) == ("Modulation, n = 15 frames", "Score (%)")
    assert axes.get_ylim() == (0, 100)
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
    rows = metrics.accuracy_by_snr(predictions, 100, rng)
    axes = style.accuracy_by_snr(rows, (4, 5))
    assert labels(axes) == ("SNR (dB)", "Accuracy (%)")
    assert axes.get_ylim() == (0, 100)
    for label, task in (("Modulation", "modulation"), ("SNR", "snr"), ("Joint", "joint")):
        assert line(axes, label) == pytest.approx(np.column_stack([[-10, 0, 20], 100 * rows[task]]))
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
    assert "n = 30 or more a point; dotted: chance" in axes.get_title()
    assert "95 % bootstrap interval" in axes.get_title()


def test_snr_estimate_shows_the_estimates_and_how_far_they_are_off():
    rows = pd.DataFrame({"snr_db": [-10, 0, 20], "frames": [5, 7, 7], "mean_db": [-8.0, 0.5, 17.0]})
    rows = rows.assign(std_db=1.0, low_db=rows["mean_db"] - 1, high_db=rows["mean_db"] + 2)
    figure = style.snr_estimate(rows, "the estimated noise fraction")
    estimate, error = figure.axes
    assert line(estimate, "Mean").tolist() == [[-10, -8], [0, 0.5], [20, 17]]
    assert line(estimate, "Perfect").tolist() == [[-10, -10], [0, 0], [20, 20]]
    assert error.get_lines()[0].get_xydata().tolist() == [[-10, 2], [0, 0.5], [20, -3]]
    for axes, offset in ((estimate, 0), (error, rows["snr_db"])):
        ends = axes.collections[0].get_paths()[0].vertices[:, 1]
        assert set(ends) >= {*(rows["low_db"] - offset), *(rows["high_db"] - offset)}
    assert (labels(estimate)[1], *labels(error)) == (
        "Estimated SNR (dB)",
        "SNR label (dB)",
        "Estimate minus label (dB)",
    )
    assert (
        figure.get_suptitle()
        == "Estimate: the estimated noise fraction; n = 5 to 7 frames per label"
    )


def test_perturbations_marks_the_masked_pixels_and_no_others():
    rng = generator(1, "test perturbations")
    images, masked = rng.random((2, 8, 8)), {"exact top 5 %": rng.random((2, 8, 8)) < 0.2}
    grid = np.reshape(
        style.perturbations(images, masked, ["QPSK\n0 dB", "BPSK\n6 dB"]).axes, (2, 2)
    )
    for i, (frame, beside) in enumerate(grid):
        for axes in (frame, beside):
            assert np.array_equal(axes.images[0].get_array(), images[i])
            assert axes.images[0].get_clim() == (0, images.max())
            assert axes.get_aspect() == 1
        assert not np.ma.getdata(frame.images[1].get_array()).any()
        assert np.array_equal(
            ~np.ma.getmaskarray(beside.images[1].get_array()), masked["exact top 5 %"][i]
        )
    assert [axes.get_title() for axes in grid[0]] == ["Frame", "exact top 5\u00a0%"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["QPSK\n0 dB", "BPSK\n6 dB"]


def test_many_perturbations_fit_on_a_page():
    masked = {f"percentile bottom {level} %": np.zeros((4, 8, 8), bool) for level in range(8)}
    figure = style.perturbations(np.ones((4, 8, 8)), masked, ["QPSK"] * 4)
    assert figure.get_figwidth() <= 10
    assert figure.axes[1].get_title() == "percentile\nbottom 0\u00a0%"


def test_degradation_starts_at_the_baseline_and_goes_over_the_realised_fraction(pis_rows):
    figure = style.degradation(pis_rows, dict(zip(TASKS, (0.7, 0.8, 0.65), strict=True)), (17, 7))
    grid = np.reshape(figure.axes, (3, 2))
    tasks = list(zip(("Modulation", "SNR", "Joint"), (70, 80, 65), (17, 7, 119), strict=True))
    for (t, (label, before, classes)), (v, more) in product(
        enumerate(tasks), enumerate((0.1, 0.2))
    ):
        axes = grid[t, v]
        chance = [one.get_ydata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"]
        assert chance == pytest.approx([100 / classes])
        assert axes.get_ylim() == (0, 100)
        assert axes.get_xlim() == (0, pytest.approx(1.05 * 5.2))  # of both views
        curves = [one for one in axes.get_lines() if one.get_marker() != "None"]
        controls = [one for one in axes.get_lines() if one.get_linestyle() == "--"]
        assert len(curves) == len(controls) == len(axes.collections) == 3
        for m, (curve, control, band) in enumerate(
            zip(curves, controls, axes.collections, strict=True)
        ):
            assert curve.get_xydata() == pytest.approx(
                np.array([[0, before], [1 + more, 59], [5 + more, 55]])
            )
            at_5 = (
                10 * t + m + 0.5 + 100 * v
            )  # PIS; its control's is the negative of it, and the interval from 0.5 below to 0.25 above
            assert control.get_xydata()[[0, 2]] == pytest.approx(
                np.array([[0, before], [5 + more, before + (5 + more) * at_5]])
            )
            ends = band.get_paths()[0].vertices[:, 1]
            assert ends.min() == pytest.approx(before - (5 + more) * (at_5 + 0.25))
            assert ends.max() == pytest.approx(
                max(
                    before,
                    before - (1 + more) * (at_5 - 0.4 - 0.5),
                    before - (5 + more) * (at_5 - 0.5),
                )
            )
        assert grid[t, 0].get_ylabel() == f"{label}\naccuracy (%)"
    assert [axes.get_title() for axes in grid[0]] == ["raw", "noise"]
    assert {axes.get_xlabel() for axes in grid[-1]} == {"Lit pixels taken (%)"}
    assert legend(figure) == [*MASKS, "Count control", "Chance"]
    assert (
        figure.get_suptitle() == "Exact masks; 95 % bootstrap interval of the drop, n = 321 frames"
    )
    assert_printable(figure)


def test_first_few_percent_of_a_degradation_curve_can_be_told_apart():
    rows = [
        score("raw", "exact", "top", "joint", 0, level_percent=level, fraction_lit=level / 100)
        for level in (0.5, 1, 5, 20, 100)
    ]
    axes = style.degradation(pd.DataFrame(rows), dict.fromkeys(TASKS, 0.5), (2, 2)).axes[2]
    left, from_half, to_five, right = axes.transData.transform([[x, 0] for x in (0, 0.5, 5, 100)])[
        :, 0
    ]
    assert (to_five - from_half) / (right - left) > 0.3  # 4.5 % of a linear axis
    assert left < from_half
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "5", "20", "100"]


def test_pis_shows_exact_scores_with_intervals_and_controls(pis_rows):
    figure = style.pis(pis_rows)
    grid = np.reshape(figure.axes, (3, 2))
    for (v, view), (t, label) in product(
        enumerate(("raw", "noise")), enumerate(("Modulation", "SNR", "Joint"))
    ):
        axes = grid[t, v]
        assert grid[0, v].get_title() == view
        assert grid[t, 0].get_ylabel() == f"{label}\nPIS"
        assert any(np.allclose(one.get_ydata(), 0) for one in axes.get_lines())
        controls = [one for one in axes.get_lines() if one.get_linestyle() == "--"]
        marks = [one for one in axes.collections if len(one.get_offsets()) == 2]
        for m, ((data, _, (bars,)), control, mark) in enumerate(
            zip(axes.containers, controls, marks, strict=True)
        ):
            expected = 100 * v + 10 * t + m + np.array([0.1, 0.5])
            assert data.get_ydata() == pytest.approx(expected)
            assert data.get_xdata() == pytest.approx([1, 5], rel=0.1)
            assert np.asarray(mark.get_offsets()) == pytest.approx(data.get_xydata())
            assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
                pytest.approx([y - 0.5, y + 0.25]) for y in expected
            ]
            assert control.get_xydata() == pytest.approx(np.column_stack([[1, 5], -expected]))
            white, filled = mark.get_facecolors()  # at 1 % it does not differ from its control
            assert white.tolist() == [1, 1, 1, 1]
            assert filled.tolist() == mark.get_edgecolors()[0].tolist() != white.tolist()
    assert {axes.get_xlabel() for axes in grid[-1]} == {"Level (% of lit pixels)"}
    assert legend(figure) == [*MASKS, "Count control"]
    caption = "Exact masks; 95 % bootstrap interval, n = 321 frames; filled: differs from its count control, Holm-adjusted p < 0.05"
    assert figure.get_suptitle() == caption
    assert_printable(figure)


def test_a_level_of_next_to_nothing_does_not_set_the_scale_of_pis(pis_rows):
    ends = [axes.get_ylim() for axes in style.pis(pis_rows).axes]
    assert [
        low < -100.5 - 10 * t and high > 100.75 + 10 * t
        for t in range(3)
        for low, high in ends[2 * t : 2 * t + 2]
    ] == 6 * [True]
    tiny = [score("raw", "exact", "top", task, 900, level_percent=0.5) for task in TASKS]
    figure = style.pis(pd.concat([pis_rows, pd.DataFrame(tiny)]))
    assert [axes.get_ylim() for axes in figure.axes] == ends
    assert ends[4][1] < 150  # of the joint task, whose largest interval ends at 122.75
    assert (
        figure.axes[0].containers[0][0].get_ydata().max() == 900
    )  # drawn, though out of the panel
    assert figure.get_suptitle().endswith("; levels under 1 % may leave the panel")
    assert_printable(figure)


def test_one_view_and_one_mask_is_one_column(pis_rows):
    one = pis_rows[(pis_rows["view"] == "noise") & (pis_rows["mask"] == "top")]
    for figure in (style.pis(one), style.degradation(one, dict.fromkeys(TASKS, 0.7), (17, 7))):
        assert len(figure.axes) == 3
        assert figure.axes[0].get_title() == "noise"
        assert legend(figure)[:2] == ["Brightest pixels", "Count control"]
        assert_printable(figure)


def test_four_views_fit_on_a_page(pis_rows):
    four = pd.concat(
        [pis_rows, pis_rows.replace({"view": {"raw": "symbol", "noise": "differential"}})]
    )
    figure = style.degradation(four, dict.fromkeys(TASKS, 0.7), (17, 7))
    assert figure.get_figwidth() == style.PAGE
    assert_printable(figure)


def test_only_one_rule_is_drawn_when_there_is_no_exact_one(pis_rows):
    figure = style.pis(pis_rows[pis_rows["rule"] == "percentile"])
    assert figure.axes[0].containers[0][0].get_ydata() == pytest.approx([1000.1, 1000.5])
    assert figure.get_suptitle().startswith("Percentile masks")


def test_regions_are_points_with_controls(region_rows):
    figure = style.regions(region_rows)
    raw, _, noise, *_ = figure.axes
    for axes, view, sign in ((raw, "raw", 1), (noise, "noise", -1)):
        points = [one for one in axes.collections if len(one.get_offsets()) > 1]
        y = [offset[1] for one in points for offset in one.get_offsets().tolist()]
        x = [offset[0] for one in points for offset in one.get_offsets().tolist()]
        assert [sign * value for value in y] == list(range(1, 10))
        assert np.all(np.diff(x) >= 1)  # nothing on top of another
        assert np.diff(x)[[2, 6]].tolist() == [2, 2]  # gaps between the kinds
        hollow = [
            one
            for one in axes.get_lines()
            if one.get_marker() == "o" and one.get_markerfacecolor() == "none"
        ]
        assert [sign * value for one in hollow for value in one.get_ydata()] == list(
            range(-1, -10, -1)
        )
        white = [np.all(face == 1) for one in points for face in one.get_facecolors()]
        assert white == [False, True] + 7 * [False]
        assert axes.get_ylabel() == f"{view}\nJoint PIS"
    names = ["1", "2", "3", "0", "90", "180", "270", "core", "transition"]
    assert [tick.get_text() for tick in noise.get_xticklabels()] == names
    heads = ["Ring (1: centre)", "Sector (degrees)", "Cluster"]
    assert [text.get_text() for text in raw.texts] == heads
    assert raw.get_ylim() == noise.get_ylim()
    assert legend(figure) == ["Ring", "Sector", "Cluster", "Count control"]
    assert "n = 321 frames" in figure.get_suptitle()
    assert_printable(figure)


def test_a_region_of_next_to_nothing_does_not_set_the_scale(region_rows):
    ends = style.regions(region_rows).axes[0].get_ylim()
    tiny = score("raw", "ring", "4", "joint", 500, fraction_lit=0.002)
    assert style.regions(pd.concat([region_rows, pd.DataFrame([tiny])])).axes[0].get_ylim() == ends
    assert ends[0] < -9.5
    assert 9.25 < ends[1] < 12


def test_windows_are_a_map_at_their_places(region_rows):
    figure = style.regions(region_rows)
    _, raw, _, noise, bar = figure.axes
    for axes, view, sign in ((raw, "raw", 1), (noise, "noise", -1)):
        image = axes.images[0]
        shown = image.get_array()
        assert np.ma.getmaskarray(shown).tolist() == [
            [True, True],
            [False, False],
        ]  # nothing, and next to nothing
        assert shown[1].tolist() == [4 * sign, -12 * sign]
        assert image.origin == "upper"  # row 0, the largest Q, on top
        assert image.get_clim() == (-12, 12)
        dots = axes.get_lines()[0].get_xydata()
        assert sorted(dots.tolist()) == [[1, 0], [1, 1]]  # x, y
        assert axes.get_ylabel() == view
    assert matplotlib.colors.to_hex(image.get_cmap().get_bad()) == "#bfbfbf"
    assert bar.get_ylabel() == "Joint PIS of a window"
    assert "grey: less than 1 % of the lit pixels" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("sectors", "names"),
    [
        (3, ["0", "120", "240"]),
        (7, ["0", "103", "206", "309"]),
        (8, ["0", "90", "180", "270"]),
        (16, ["0", "90", "180", "270"]),
    ],
)
def test_degrees_of_sectors_stand_apart_and_under_their_points(sectors, names):
    rows = [
        score("raw", rule, str(k + 1), "joint", 1)
        for rule, n in (("ring", 4), ("sector", sectors))
        for k in range(n)
    ]
    figure = style.regions(
        pd.DataFrame(
            [*rows, *(score("raw", "cluster", name, "joint", 1) for name in ("core", "transition"))]
        )
    )
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["1", "2", "3", "4", *names, "core", "transition"]
    for k, tick in enumerate(ticks[4:-2]):
        assert tick.get_position()[0] == 5 + k * -(-sectors // 4)
    boxes = [
        tick.get_window_extent() for tick in ticks[:-1]
    ]  # the last two, a name each, may touch
    assert all(right.x0 > left.x1 + 2 for left, right in pairwise(boxes))


@pytest.mark.parametrize("kept", [("ring", "cluster"), ("window",)])
def test_some_regions_are_drawn_without_the_others(region_rows, kept):
    figure = style.regions(region_rows[region_rows["rule"].isin(kept)], "snr")
    points, windows = figure.axes[:2]
    assert (points.axison, windows.axison) == ("ring" in kept, "window" in kept)
    assert (legend(figure) if figure.legends else []) == (
        ["Ring", "Cluster", "Count control"] if points.axison else []
    )
    assert (
        windows.images[0].get_array() if windows.axison else points.collections[-1].get_offsets()
    ).max() == 77
    assert_printable(figure)


def test_where_nothing_was_taken_the_picture_says_so(pis_rows):
    for figure, why in (
        (style.regions(pis_rows), "perturb.regions is empty"),
        (style.pis_heatmap(pis_rows[pis_rows["mask"] == "random"], ["raw"]), "perturb.masks top"),
    ):
        assert why in figure.get_suptitle()
        assert not figure.axes
        assert_printable(figure)


def test_pis_heatmap_has_each_cell_at_its_place():
    cells = [
        {
            "view": view,
            "mask": mask,
            "task": task,
            "modulation": m,
            "snr_db": snr_db,
            "level_percent": 5.0,
            "n": n,
            "excess": excess,
        }
        for view, mask, task, wrong in (
            ("raw", "top", "joint", 0),
            ("noise", "top", "joint", 1),
            ("raw", "bottom", "joint", 50),
            ("raw", "top", "snr", 50),
        )
        for m, snr_db, n, excess in (
            ("16QAM", 10, 2, -3),
            ("16QAM", -4, 4, 1),
            ("QPSK", 10, 4, np.nan),
            ("8ASK", 10, 3, 2 + wrong),
        )
    ]
    figure = style.pis_heatmap(
        pd.DataFrame(cells).assign(pis=70, control_count_pis=70), ("noise", "raw")
    )
    noise, raw, bar = figure.axes
    for axes, view, ask in ((noise, "noise", 3), (raw, "raw", 2)):
        shown = axes.images[0].get_array()
        assert np.ma.filled(shown, 99).tolist() == [
            [99, ask],
            [99, 99],
            [1, -3],
        ]  # 8ASK, QPSK, 16QAM; -4 and 10 dB
        assert axes.images[0].get_clim() == (-3, 3)
        assert axes.get_title() == view
    assert [tick.get_text() for tick in raw.get_xticklabels()] == ["-4", "10"]
    assert [tick.get_text() for tick in noise.get_yticklabels()] == ["8ASK", "QPSK", "16QAM"]
    assert figure.get_supxlabel() == "SNR (dB)"
    assert bar.get_ylabel() == "Joint PIS over chance"
    assert matplotlib.colors.to_hex(raw.images[0].get_cmap().get_bad()) == "#bfbfbf"
    caption = "Brightest pixels, 5 % of the lit pixels, minus their count control; only n = 2 to 4 frames a cell; grey: undefined"
    assert figure.get_suptitle() == caption
    assert_printable(figure)


def test_largest_heatmap_fits_on_a_page():
    views, snrs_db = ("raw", "symbol", "noise", "differential"), range(-20, 32, 2)
    cells = pd.DataFrame(
        product(views, MODULATIONS, snrs_db), columns=["view", "modulation", "snr_db"]
    )
    figure = style.pis_heatmap(
        cells.assign(mask="top", task="joint", level_percent=5.0, n=2, excess=0.0), views
    )
    assert figure.axes[0].images[0].get_array().shape == (24, 26)
    assert len(figure.axes[0].get_xticks()) <= 8
    assert_printable(figure)


def test_attributions_lay_maps_over_the_constellation():
    rng = generator(1, "test attributions")
    images, mask = rng.random((2, 8, 8)), rng.random((2, 8, 8)) < 0.2
    signed = np.zeros((2, 8, 8))
    signed[0, 0, :3] = (2, -4, 1)
    positive = np.full((2, 8, 8), 0.6)
    positive[0, 0, :2] = (0.8, 0.7)
    curves = {"occlusion": np.array([[0.9, 0.5, 0.1], [1, 0.25, 0]]), "random": np.ones((2, 3))}
    maps = {"integrated_gradients": signed, "rise": positive}
    figure = style.attributions(
        images, {"Top 5 %": mask}, maps, curves, (0, 5, 100), ["QPSK\n0 dB", "BPSK\n6 dB"], 7
    )
    grid = np.reshape(figure.axes, (2, 5))
    for i, (frame, masked, *over, curve) in enumerate(grid):
        assert all(
            np.array_equal(axes.images[0].get_array(), images[i]) for axes in (frame, masked, *over)
        )
        assert [axes.images[0].get_cmap().name for axes in (frame, masked, *over)] == [
            "viridis",
            "viridis",
            "Greys",
            "Greys",
        ]
        assert np.array_equal(~np.ma.getmaskarray(masked.images[1].get_array()), mask[i])
        occlusion, chance = (one.get_xydata() for one in curve.get_lines())
        assert occlusion == pytest.approx(
            np.column_stack([(0, 5, 100), 100 * curves["occlusion"][i]])
        )
        assert chance[:, 1].tolist() == [100, 100, 100]
        assert curve.get_ylim() == (0, 100)
    red, _, blue, opacity = np.moveaxis(np.asarray(grid[0, 2].images[1].get_array()), -1, 0)
    assert opacity[0, :4] == pytest.approx(
        [0.5, 1, 0.25, 0]
    )  # over the largest magnitude, and nothing where there is nothing
    assert (np.sign(red - blue)[0, :3] == [1, -1, 1]).all()
    assert np.asarray(grid[0, 3].images[1].get_array())[0, :3, 3] == pytest.approx(
        [1, 0.5, 0]
    )  # what is everywhere is no colour
    assert not grid[1, 3].images[1].get_array()[..., 3].any()
    bare = positive.copy()
    bare[0, 4:] = bare[1] = np.nan
    maps = {"integrated_gradients": bare, "rise": bare}
    figure = style.attributions(
        images, {"Top 5 %": mask}, maps, curves, (0, 5, 100), ["QPSK\n0 dB", "BPSK\n6 dB"], 7
    )
    _, _, above, _, _, _, _, nothing, *_ = figure.axes
    opacity = np.asarray(above.images[1].get_array())[..., 3]
    assert opacity[0, :3] == pytest.approx([1, 0.5, 0])  # as if the others were not
    assert not opacity[4:].any()
    assert len(nothing.images) == 1
    heads = [
        "Constellation",
        "Top 5\u00a0%",
        "Integrated\ngradients",
        "RISE",
        "Probability of\nthe answer (%)",
    ]
    assert [axes.get_title() for axes in grid[0]] == heads
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["QPSK\n0 dB", "BPSK\n6 dB"]
    assert grid[1, 4].get_xlabel() == "Lit pixels taken (%)"
    assert legend(figure) == ["Occlusion", "Random"]
    assert "n = 7" in figure.get_suptitle()
    assert "examples" not in figure.get_suptitle()
    assert_printable(figure)


def test_many_examples_of_attributions_are_spread_over_one_page():
    images = np.ones((17, 8, 8)) * np.arange(1, 18)[:, None, None]
    curves = {"random": np.arange(17)[:, None] / np.array([20, 40])}
    figure = style.attributions(
        images,
        {"Top": images > 0},
        {"rise": images},
        curves,
        (0, 100),
        [f"row {i}" for i in range(17)],
    )
    grid = np.reshape(figure.axes, (9, 4))
    for i, (frame, _, _, curve) in zip(
        range(0, 17, 2), grid, strict=True
    ):  # the first and the last among them
        assert frame.get_ylabel() == f"row {i}"
        assert frame.images[0].get_array().max() == i + 1
        assert curve.get_lines()[0].get_ydata() == pytest.approx([5 * i, 2.5 * i])
    assert figure.get_suptitle().startswith("9 of 17 examples; ")
    assert figure.get_figwidth() == style.PAGE
    assert_printable(figure)


def test_curves_have_markers_only_where_they_are_apart():
    curves = {
        "rise": np.array([[0.9, 0.5, 0.02, 0.4, 0.5]]),
        "random": np.array([[0.9, 0.8, 0.7, 0.02, 0.5]]),
    }
    figure = style.attributions(np.ones((1, 8, 8)), {}, {}, curves, (0, 1, 5, 20, 100), ["QPSK"])
    rise, chance = figure.axes[-1].get_lines()
    assert list(rise.get_markevery()) == [False, True, False, True, False]
    assert list(chance.get_markevery()) == [False, True, True, False, False]
    assert_printable(figure)


def test_tiny_numbers_in_the_attribution_table_have_exponents_of_their_own():
    rows = pd.DataFrame(
        product(("snr", "modulation"), ("random", "grad_cam"), ("infidelity",)),
        columns=["task", "method", "measure"],
    )
    rows = rows.assign(value=[1e-7, 3e-7, 2e-7, 4e-7], ci_low=5e-8, ci_high=5e-7, n=17)
    figure = style.attribution_table(rows)
    figure.canvas.draw()
    axes = figure.axes[-1]
    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticklabels() if low <= tick.get_position()[0] <= high]
    assert 1 <= len(ticks) <= 3
    shown = [float(tick.get_text().replace("\N{MINUS SIGN}", "-")) for tick in ticks]
    assert shown == pytest.approx([tick.get_position()[0] for tick in ticks])
    assert max(shown) > 0
    assert axes.xaxis.get_offset_text().get_text() == ""


def test_attribution_table_has_each_value_in_its_panel():
    methods, measures = (
        ("random", "grad_cam", "brightness"),
        ("deletion_area", "agreement", "weights"),
    )
    rows = pd.DataFrame(
        product(("snr", "modulation"), methods, measures), columns=["task", "method", "measure"]
    )
    rows["value"] = np.arange(len(rows)) / 100
    rows = rows.assign(ci_low=rows["value"] - 0.02, ci_high=rows["value"] + 0.01, n=17)
    costs = rows[rows["measure"] == "agreement"].assign(
        measure="forward_passes"
    )  # not for the picture
    figure = style.attribution_table(pd.concat([rows, costs, rows.assign(method="unknown", n=9)]))
    grid = np.reshape(figure.axes, (2, 3))
    for (t, task), (m, measure) in product(enumerate(("snr", "modulation")), enumerate(measures)):
        scale = 100 if measure == "deletion_area" else 1
        axes = grid[t, m]
        value = (
            rows[(rows["task"] == task) & (rows["measure"] == measure)].set_index("method")["value"]
            * scale
        )
        shown = [one[0].get_xydata()[0].tolist() for one in axes.containers]
        assert shown == [
            pytest.approx([value[method], y])
            for y, method in enumerate(("grad_cam", "brightness", "random"))
        ]
        ends = [one[2][0].get_segments()[0][:, 0].tolist() for one in axes.containers]
        assert ends == [pytest.approx([x - 0.02 * scale, x + 0.01 * scale]) for x, _ in shown]
        assert [
            one.get_xdata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"
        ] == pytest.approx([value["random"]])
    assert [tick.get_text() for tick in grid[0, 0].get_yticklabels()] == [
        "Grad-CAM",
        "Brightness (ranks PIS)",
        "Random",
    ]
    assert grid[0, 0].get_ylim()[0] > grid[0, 0].get_ylim()[1]  # the first on top
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["SNR head", "Modulation head"]
    assert [axes.get_xlabel() for axes in grid[1]] == [
        "Deletion area\n(%, low is good)\nn = 17",
        "Rank correlation\nwith brightness\nn = 17",
        "... with random\nweights\n(low is good)\nn = 17",
    ]
    caption = "95 % bootstrap interval; dotted: the random ranking; dashed: threshold of the sanity checks, 0.5"
    assert figure.get_suptitle() == caption
    assert_printable(figure)


def test_sanity_checks_have_their_threshold_their_null_and_the_pattern_of_pis():
    rows = pd.DataFrame(
        product(("snr", "modulation"), ("weights", "agreement"), ("rise", "pis")),
        columns=["task", "measure", "method"],
    )
    rows = rows[(rows["method"] == "rise") | (rows["measure"] == "weights")]
    rows = rows.assign(
        value=0.2, ci_low=0.1, ci_high=0.3, n=np.where(rows["method"] == "pis", 17, 21)
    )
    rows["null"] = np.where(
        (rows["method"] == "rise") & (rows["measure"] == "weights"), 0.7, np.nan
    )
    figure = style.attribution_table(rows)
    for agreement, weights in np.reshape(figure.axes, (2, 2)):
        assert not [
            one
            for one in agreement.get_lines()
            if one.get_linestyle() == "--" or one.get_marker() == "x"
        ]
        assert [
            one.get_xdata()[0] for one in weights.get_lines() if one.get_linestyle() == "--"
        ] == [sanity.THRESHOLD]
        (null,) = (one.get_xydata() for one in weights.get_lines() if one.get_marker() == "x")
        assert null[np.isfinite(null[:, 0])].tolist() == [[0.7, 0]]
        assert [one[0].get_xydata().tolist() for one in weights.containers] == [
            [[0.2, 0]],
            [[0.2, 1]],
        ]
        assert np.isnan(
            agreement.containers[1][0].get_xdata().astype(float)
        ).all()  # no PIS pattern there
    agreement, weights = figure.axes[2:]
    assert [tick.get_text() for tick in agreement.get_yticklabels()] == ["RISE", "PIS pattern"]
    assert agreement.get_xlabel().endswith("\nn = 21")
    assert weights.get_xlabel().endswith("\nn = 17 to 21")
    assert figure.get_suptitle().endswith(
        "sanity checks, 0.5; grey x: mean |rank correlation| between maps of different frames"
    )
    assert_printable(figure)
    assert (
        "dashed" not in style.attribution_table(rows[rows["measure"] == "agreement"]).get_suptitle()
    )


def test_drawing_into_given_axes():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert style.confusion(np.array(["a"]), np.array(["b"]), ("a", "b"), "modulation", axes) is axes
    assert axes.images


def test_saved_twice_is_the_same_picture(tmp_path, pis_rows):
    one = pis_rows[pis_rows["view"] == "raw"]
    for name in ("a.png", "b.png"):
        style.save(style.pis(one), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[:2] == (810, 525)  # 5.4 x 3.5 inches at 150 dots
    assert picture[..., :3].std() > 0.05
    style.save(
        style.confusion(np.array(["a"]), np.array(["b"]), ("a", "b"), "modulation"),
        tmp_path / "axes.png",
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "axes.png", "b.png"]


@pytest.fixture
def ceiling_rows() -> pd.DataFrame:
    """Accuracies that tell where they came from: ceiling 0.9, model 0.5, references 0.3 and 0.4, chance 0.1, each 0.05 more for the SNR."""
    series = {
        "modulation": ("ceiling", "model", "cumulants", "chance"),
        "snr": ("ceiling", "model", "noise floor", "m2m4", "chance"),
    }
    accuracy = {
        "ceiling": 0.9,
        "model": 0.5,
        "cumulants": 0.3,
        "noise floor": 0.3,
        "m2m4": 0.4,
        "chance": 0.1,
    }
    n = {"ceiling": 1600, "chance": 0}
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
    figure = style.ceiling(ceiling_rows)
    assert_printable(figure)
    modulation, snr = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["Modulation", "SNR"]
    assert (*labels(modulation), *labels(snr)) == ("SNR (dB)", "Accuracy (%)", "SNR (dB)", "")
    assert modulation.get_ylim() == snr.get_ylim() == (0, 102)  # room for a line at 100 %
    drawn = [
        {one.get_label(): one.get_xydata().tolist() for one in axes.get_lines()}
        for axes in figure.axes
    ]
    expected = (
        {"Ceiling": 90, "Model": 50, "Cumulants": 30, "Chance": 10},
        {"Ceiling": 95, "Model": 55, "Noise floor": 35, "M2M4": 45},
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
    assert legend(figure) == ["Ceiling", "Model", "Cumulants", "Noise floor", "M2M4", "Chance"]
    assert "n = 136 frames a point; ceiling: n = 1600 trials" in figure._suptitle.get_text()


def test_ceiling_of_one_task(ceiling_rows):
    figure = style.ceiling(ceiling_rows[ceiling_rows["task"] == "snr"])
    assert [axes.get_title() for axes in figure.axes] == ["SNR"]
    assert legend(figure) == ["Ceiling", "Model", "Noise floor", "M2M4", "Chance"]
    assert labels(figure.axes[0]) == ("SNR (dB)", "Accuracy (%)")
