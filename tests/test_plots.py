"""Figures carry their units, limits, chance lines and numbers of frames, and show what they were given."""

from itertools import product

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from pisces import metrics, plots
from pisces.seeding import generator


def labels(axes) -> tuple[str, str]:
    return axes.get_xlabel(), axes.get_ylabel()


def line(axes, label: str) -> np.ndarray:
    """Points (n, 2) of the line with this name in the legend."""
    (found,) = (one for one in axes.get_lines() if one.get_label() == label)
    assert label in [text.get_text() for text in axes.get_legend().get_texts()]
    return np.column_stack([found.get_xdata(), found.get_ydata()]).astype(float)


def errorbar(axes, label: str):
    (found,) = (one for one in axes.containers if one.get_label() == label)
    return found


@pytest.fixture(scope="module")
def pis_rows() -> pd.DataFrame:
    """Scores that tell where they came from: 10 * task + mask + level / 10, the percentile ones 1000 more, those of `noise` 100 more."""
    rows = []
    for view, rule in product(("raw", "noise"), ("percentile", "exact")):
        for m, mask in enumerate(("top", "bottom", "random")):
            for level in (5.0, 1.0):
                for t, task in enumerate(("modulation", "snr", "joint")):
                    value = 10 * t + m + level / 10 + 1000 * (rule == "percentile") + 100 * (view == "noise")
                    row = {"view": view, "rule": rule, "mask": mask, "level_percent": level, "task": task, "n": 321, "pis": value}
                    row |= {"pis_ci_low": value - 0.5, "pis_ci_high": value + 0.25, "control_count_pis": -value}
                    fraction = level / 100 + (0.001 if view == "raw" else 0.002)
                    rows.append(row | {"accuracy": 0.6 - level / 100, "fraction_lit": fraction})
    return pd.DataFrame(rows)


def test_audit():
    table = pd.DataFrame(
        [("QPSK", 0, 0.5, -1, 1, 24), ("BPSK", 0, 1.5, -2, 2, 24), ("QPSK", 10, 21, 19, 22, 20), ("16QAM", 0, 0.1, 0, 1, 24)],
        columns=["modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n"],
    )
    measured, error = plots.audit(table).axes
    assert measured.get_ylabel() == "SNR from the out-of-band floor (dB)"
    assert labels(error) == ("SNR label (dB)", "Measured - label (dB)")
    assert line(measured, "Measured = label").tolist() == [[0, 0], [10, 10]]
    assert line(measured, "PSK").tolist() == [[0, 1], [10, 21]]
    assert line(measured, "QAM").tolist() == [[0, 0.1]]
    assert [[0, 1], [10, 11]] in [np.column_stack(one.get_data()).tolist() for one in error.get_lines()]
    assert measured.get_title().startswith("20 to 24 frames a cell")


def test_audit_of_nothing():
    empty = pd.DataFrame({name: [] for name in ("modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n")})
    assert plots.audit(empty).axes[0].get_title().startswith("no frames")


def test_constellations_are_equal_in_both_axes_and_in_their_places():
    rng = generator(1, "test sheet")
    images = {"raw": rng.random((11, 3, 8, 8)), "noise": 7 * rng.random((11, 3, 8, 8))}
    names = [f"M{m}" for m in range(11)]
    figure = plots.constellations(names, (-10, 0, 20), images, {"raw": 2.5, "symbol": 2, "noise": 80, "differential": 3})
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
        assert [row[0].get_ylabel() for row in rows] == [f"{view}\n{snr_db} dB" for snr_db in (-10, 0, 20)]
    caption = figure.get_supxlabel()
    assert "half width: raw 2.5 RMS, noise 80 dB;" in caption
    assert "In-phase to the right, quadrature upwards" in caption


def test_training():
    history = pd.DataFrame({"epoch": [1, 2], "train_loss": [3.0, 2.0], "validation_loss": [3.5, 2.5]})
    for share, task in zip((0.2, 0.3, 0.1), ("modulation", "snr", "joint"), strict=True):
        history[f"validation_{task}_accuracy"] = [share, 2 * share]
        history[f"{task}_weight"] = [0.5, share]
    loss, accuracy, weight = plots.training(history).axes
    assert labels(loss) == ("Epoch", "Loss, both tasks")
    assert labels(accuracy) == ("Epoch", "Validation accuracy (%)")
    assert labels(weight) == ("Epoch", "Share of the loss weight")
    assert (accuracy.get_ylim(), weight.get_ylim()) == ((0, 103), (0, 1))
    assert line(loss, "Train").tolist() == [[1, 3], [2, 2]]
    assert line(loss, "Validation").tolist() == [[1, 3.5], [2, 2.5]]
    assert line(accuracy, "SNR") == pytest.approx(np.array([[1, 30], [2, 60]]))
    assert line(weight, "Modulation") == pytest.approx(np.array([[1, 0.5], [2, 0.2]]))


def test_confusion_is_in_percent_of_the_true_class():
    true, predicted = np.array(list("aaaabb")), np.array(list("aaabcb"))
    axes = plots.confusion(true, predicted, ("a", "b", "c"), "modulation")
    assert labels(axes) == ("Predicted modulation", "True modulation")
    image = axes.images[0]
    assert image.get_array().tolist() == [[75, 25, 0], [0, 50, 50], [0, 0, 0]]  # rows are the truth
    assert image.get_clim() == (0, 100)
    assert {text.get_position(): text.get_text() for text in axes.texts} == {(0, 0): "75", (1, 0): "25", (1, 1): "50", (2, 1): "50"}
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["a", "b", "c"]
    assert axes.get_title() == "n = 6"
    assert image.colorbar.ax.get_ylabel() == "Share of the true class (%)"


def test_per_class_is_sorted_by_family():
    scores = pd.DataFrame(
        {"label": ["16QAM", "8ASK", "QPSK"], "f1": [0.1, 0.2, 0.3], "precision": [0.4, 0.5, 0.6], "recall": [0.7, 0.8, 0.9]}
    )
    axes = plots.per_class(scores.assign(frames=[4, 5, 6]))
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["8ASK", "QPSK", "16QAM"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([20, 30, 10])
    assert line(axes, "Precision")[:, 1] == pytest.approx([50, 60, 40])
    assert line(axes, "Recall")[:, 1] == pytest.approx([80, 90, 70])
    assert labels(axes) == ("Modulation, n = 15 frames", "Score (%)")
    assert axes.get_ylim() == (0, 100)


def test_accuracy_by_snr_has_chance_lines_and_intervals():
    rng = generator(1, "test accuracy by SNR")
    snr = np.repeat([-10, 0, 20], [40, 30, 50])
    predictions = {"snr_true_db": snr, "snr_pred_db": rng.permutation(snr)}
    predictions |= {"modulation_true": np.full(120, "QPSK"), "modulation_pred": rng.choice(["QPSK", "8PSK"], 120)}
    rows = metrics.accuracy_by_snr(predictions, 100, rng)
    axes = plots.accuracy_by_snr(rows, (4, 5))
    assert labels(axes) == ("SNR (dB)", "Accuracy (%)")
    assert axes.get_ylim() == (0, 100)
    for label, task in (("Modulation", "modulation"), ("SNR", "snr"), ("Joint", "joint")):
        assert line(axes, label) == pytest.approx(np.column_stack([[-10, 0, 20], 100 * rows[task]]))
    dotted = [one.get_ydata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"]
    assert dotted == pytest.approx([100 / 4, 100 / 5, 100 / 20])
    assert len(axes.collections) == 3
    for band, task in zip(axes.collections, ("modulation", "snr", "joint"), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(100 * rows[f"{task}_ci_low"].min())
        assert heights.max() == pytest.approx(100 * rows[f"{task}_ci_high"].max())
    assert "n = 30 or more a point; dotted: chance" in axes.get_title()
    assert "95 % bootstrap interval" in axes.get_title()


def test_perturbations_marks_the_masked_pixels_and_no_others():
    rng = generator(1, "test perturbations")
    images, masked = rng.random((2, 8, 8)), {"exact top 5 %": rng.random((2, 8, 8)) < 0.2}
    grid = np.reshape(plots.perturbations(images, masked, ["QPSK\n0 dB", "BPSK\n6 dB"]).axes, (2, 2))
    for i, (frame, beside) in enumerate(grid):
        for axes in (frame, beside):
            assert np.array_equal(axes.images[0].get_array(), images[i])
            assert axes.images[0].get_clim() == (0, images.max())
            assert axes.get_aspect() == 1
        assert not np.ma.getdata(frame.images[1].get_array()).any()
        assert np.array_equal(~np.ma.getmaskarray(beside.images[1].get_array()), masked["exact top 5 %"][i])
    assert [axes.get_title() for axes in grid[0]] == ["Frame", "exact top 5 %"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["QPSK\n0 dB", "BPSK\n6 dB"]


def test_degradation_starts_at_the_baseline_and_goes_over_the_realised_fraction(pis_rows):
    figure = plots.degradation(pis_rows, {"modulation": 0.7, "snr": 0.8, "joint": 0.65}, (17, 7))
    grid = np.reshape(figure.axes, (2, 3))
    tasks = list(zip(("Modulation", "SNR", "Joint"), (70, 80, 65), (17, 7, 119), strict=True))
    for (row, view, more), column in product(zip(grid, ("raw", "noise"), (0.1, 0.2), strict=True), range(3)):
        axes, (label, before, classes) = row[column], tasks[column]
        assert axes.get_lines()[3].get_ydata() == pytest.approx([100 / classes] * 2)
        assert labels(axes) == (f"Lit pixels of {view} taken (%)", f"{label} accuracy (%)")
        assert axes.get_ylim()[0] == 0
        for one in axes.get_lines()[:3]:
            assert one.get_xydata() == pytest.approx(np.array([[0, before], [1 + more, 59], [5 + more, 55]]))
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == ["Brightest pixels", "Dimmest lit pixels", "Random pixels"]
    assert "n = 321 frames" in figure.get_suptitle()


def test_pis_shows_exact_scores_with_intervals_and_controls(pis_rows):
    figure = plots.pis(pis_rows)
    grid = np.reshape(figure.axes, (2, 3))
    for (v, view), (t, label) in product(enumerate(("raw", "noise")), enumerate(("Modulation", "SNR", "Joint"))):
        axes = grid[v, t]
        assert labels(axes) == (f"Level (% of the lit pixels of {view})", f"{label} PIS")
        assert any(np.allclose(one.get_ydata(), 0) for one in axes.get_lines())
        controls = [one.get_ydata() for one in axes.get_lines() if one.get_markerfacecolor() == "none"]
        for m, mask in enumerate(("Brightest pixels", "Dimmest lit pixels", "Random pixels")):
            expected = 100 * v + 10 * t + m + np.array([0.1, 0.5])
            data, _, (bars,) = errorbar(axes, mask)
            assert data.get_ydata() == pytest.approx(expected)
            assert data.get_xdata() == pytest.approx([1, 5], abs=0.1)
            assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [pytest.approx([y - 0.5, y + 0.25]) for y in expected]
            assert any(np.allclose(control, -expected) for control in controls)
    assert "n = 321 frames" in figure.get_suptitle()
    assert "95 % bootstrap interval" in figure.get_suptitle()


def test_one_view_is_one_row(pis_rows):
    one = pis_rows[pis_rows["view"] == "noise"]
    for figure in (plots.pis(one), plots.degradation(one, {"modulation": 0.7, "snr": 0.8, "joint": 0.65}, (17, 7))):
        assert len(figure.axes) == 3
        assert all(" of noise" in axes.get_xlabel() for axes in figure.axes)


def test_only_one_rule_is_drawn_when_there_is_no_exact_one(pis_rows):
    axes = plots.pis(pis_rows[pis_rows["rule"] == "percentile"]).axes[0]
    assert errorbar(axes, "Brightest pixels")[0].get_ydata() == pytest.approx([1000.1, 1000.5])


def test_drawing_into_given_axes():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert plots.confusion(np.array(["a"]), np.array(["b"]), ("a", "b"), "modulation", axes) is axes
    assert axes.images


def test_saved_twice_is_the_same_picture(tmp_path, pis_rows):
    one = pis_rows[pis_rows["view"] == "raw"]
    for name in ("a.png", "b.png"):
        plots.save(plots.pis(one), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = matplotlib.image.imread(tmp_path / "a.png")
    assert picture.shape[1] == 1500  # 10 inches at 150 dots
    assert picture[..., :3].std() > 0.05
    plots.save(plots.confusion(np.array(["a"]), np.array(["b"]), ("a", "b"), "modulation"), tmp_path / "axes.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "axes.png", "b.png"]
