"""Pictures of PIS show every score at its place, with interval, control and chance."""

from itertools import product

import matplotlib.colors
import matplotlib.image
import numpy as np
import pandas as pd
import pytest

from pisces.core.modulations import MODULATIONS
from pisces.core.seeding import generator
from pisces.core.stats import mcnemar
from pisces.core.tasks import TASKS
from pisces.report import pis, pis_cells, pis_regions, style
from pisces.report.captions import caption_of
from tests.figures import assert_printable, legend, pis_row

MASKS = ("Brightest pixels", "Dimmest lit pixels", "Random pixels")


@pytest.fixture(scope="module")
def pis_rows() -> pd.DataFrame:
    """Scores that tell where they came from: 10 * task + mask + level / 10.

    The percentile ones are 1000 more, those of `noise` 100 more.

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
            rows.append(pis_row(view, rule, mask, task, value, **more))
    return pd.DataFrame(rows)


def test_perturbations_marks_the_masked_pixels_and_no_others():
    rng = generator(1, "test perturbations")
    images, masked = rng.random((2, 8, 8)), {"exact top 5 %": rng.random((2, 8, 8)) < 0.2}
    grid = np.reshape(pis.perturbations(images, masked, ["QPSK\n0 dB", "BPSK\n6 dB"]).axes, (2, 2))
    for i, (frame, beside) in enumerate(grid):
        for axes in (frame, beside):
            assert np.array_equal(axes.images[0].get_array(), images[i])
            assert axes.images[0].get_clim() == (0, images.max())
            assert axes.get_aspect() == 1
        assert not np.ma.getdata(frame.images[1].get_array()).any()
        assert np.array_equal(
            ~np.ma.getmaskarray(beside.images[1].get_array()), masked["exact top 5 %"][i]
        )
    assert [axes.get_title() for axes in grid[0]] == ["Frame", "exact top\n5\u00a0%"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["QPSK\n0 dB", "BPSK\n6 dB"]


def test_many_perturbations_fit_on_a_page():
    masked = {f"percentile bottom {level} %": np.zeros((4, 8, 8), bool) for level in range(8)}
    figure = pis.perturbations(np.ones((4, 8, 8)), masked, ["QPSK"] * 4)
    assert figure.get_figwidth() == pytest.approx(style.PAGE)
    assert figure.axes[1].get_title() == "percentile\nbottom 0\u00a0%"
    assert_printable(figure)


def test_degradation_starts_at_the_baseline_and_goes_over_the_realised_fraction(pis_rows):
    figure = pis.degradation(pis_rows, dict(zip(TASKS, (0.7, 0.8, 0.65), strict=True)), (17, 7))
    grid = np.reshape(figure.axes, (3, 2))
    tasks = list(zip(("Modulation", "SNR", "Joint"), (70, 80, 65), (17, 7, 119), strict=True))
    for (t, (label, before, classes)), (v, more) in product(
        enumerate(tasks), enumerate((0.1, 0.2))
    ):
        axes = grid[t, v]
        chance = [one.get_ydata()[0] for one in axes.get_lines() if one.get_linestyle() == ":"]
        assert chance == pytest.approx([100 / classes])
        assert axes.get_ylim() == (-2, 102)
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
            )  # PIS; that of its control is the negative, its interval from 0.5 below to 0.25 above
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
    caption = caption_of(figure)
    assert "exact masks" in caption
    assert "95 % paired score interval of the drop, n = 321 frames" in caption
    assert_printable(figure)


def test_first_few_percent_of_a_degradation_curve_can_be_told_apart():
    rows = [
        pis_row("raw", "exact", "top", "joint", 0, level_percent=level, fraction_lit=level / 100)
        for level in (0.5, 1, 5, 20, 100)
    ]
    axes = pis.degradation(pd.DataFrame(rows), dict.fromkeys(TASKS, 0.5), (2, 2)).axes[2]
    left, from_half, to_five, right = axes.transData.transform([[x, 0] for x in (0, 0.5, 5, 100)])[
        :, 0
    ]
    assert (to_five - from_half) / (right - left) > 0.3  # 4.5 % of a linear axis
    assert left < from_half
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "1", "5", "20", "100"]


def test_pis_shows_exact_scores_with_intervals_and_controls(pis_rows):
    figure = pis.scores(pis_rows)
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
        for m, ((points, _, (bars,)), control, mark) in enumerate(
            zip(axes.containers, controls, marks, strict=True)
        ):
            expected = 100 * v + 10 * t + m + np.array([0.1, 0.5])
            assert points.get_ydata() == pytest.approx(expected)
            assert points.get_xdata() == pytest.approx([1, 5], rel=0.13)
            assert np.asarray(mark.get_offsets()) == pytest.approx(points.get_xydata())
            assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
                pytest.approx([y - 0.5, y + 0.25]) for y in expected
            ]
            assert control.get_xydata() == pytest.approx(np.column_stack([[1, 5], -expected]))
            white, filled = mark.get_facecolors()  # at 1 % it does not differ from its control
            assert white.tolist() == [1, 1, 1, 1]
            assert filled.tolist() == mark.get_edgecolors()[0].tolist() != white.tolist()
    assert {axes.get_xlabel() for axes in grid[-1]} == {"Level (% of lit pixels)"}
    assert legend(figure) == [*MASKS, "Count control"]
    caption = caption_of(figure)
    assert "exact masks at 1, 5 %. Bars: 95 % paired score interval, n = 321 frames." in caption
    assert "p < 0.05, Holm-adjusted" in caption
    assert_printable(figure)


def test_levels_of_next_to_nothing_and_those_close_to_others_are_left_out(pis_rows):
    ends = [axes.get_ylim() for axes in pis.scores(pis_rows).axes]
    left_out = [
        pis_row("raw", "exact", "top", task, 900, level_percent=level)
        for task, level in product(TASKS, (0.5, 4.0))
    ]
    figure = pis.scores(pd.concat([pis_rows, pd.DataFrame(left_out)]))
    assert [axes.get_ylim() for axes in figure.axes] == ends
    assert figure.axes[0].containers[0][0].get_ydata().max() < 900
    assert "masks at 1, 5 %" in caption_of(figure)


def test_every_interval_of_pis_lies_within_its_panel(pis_rows):
    for axes in pis.scores(pis_rows).axes:
        low, high = axes.get_ylim()
        for container in axes.containers:
            ends = np.concatenate(container[2][0].get_segments())[:, 1]
            assert low < ends.min()
            assert ends.max() < high


def test_an_snr_that_no_mask_costs_anything_takes_no_room(pis_rows):
    sure = pis_rows.assign(accuracy=pis_rows["accuracy"].where(pis_rows["task"] != "snr", 0.999))
    for figure in (pis.scores(sure), pis.degradation(sure, dict.fromkeys(TASKS, 0.7), (17, 7))):
        assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes] == ["Modulation", ""]
        assert "Not drawn: the SNR, right in 99.5 % of the frames and more" in caption_of(figure)
        assert_printable(figure)


def test_one_view_and_one_mask_is_one_column(pis_rows):
    one = pis_rows[(pis_rows["view"] == "noise") & (pis_rows["mask"] == "top")]
    for figure in (pis.scores(one), pis.degradation(one, dict.fromkeys(TASKS, 0.7), (17, 7))):
        assert len(figure.axes) == 3
        assert figure.axes[0].get_title() == "noise"
        assert legend(figure)[:2] == ["Brightest pixels", "Count control"]
        assert_printable(figure)


def test_four_views_fit_on_a_page(pis_rows):
    four = pd.concat(
        [pis_rows, pis_rows.replace({"view": {"raw": "symbol", "noise": "differential"}})]
    )
    figure = pis.degradation(four, dict.fromkeys(TASKS, 0.7), (17, 7))
    assert figure.get_figwidth() == style.PAGE
    assert_printable(figure)


def test_only_one_rule_is_drawn_when_there_is_no_exact_one(pis_rows):
    figure = pis.scores(pis_rows[pis_rows["rule"] == "percentile"])
    assert figure.axes[0].containers[0][0].get_ydata() == pytest.approx([1000.1, 1000.5])
    assert "percentile masks" in caption_of(figure)


def test_where_nothing_was_taken_the_picture_says_so(pis_rows):
    some = pis_rows[pis_rows["mask"] == "random"]
    images = pis_regions.Images(8, {"raw": 2.5, "noise": 80}, 0.5)
    for figure, why in (
        (pis_regions.regions(pis_rows, images), "perturb.regions is empty"),
        (pis_cells.heatmap(pis_cells.Scores(some, some, some, some)), "perturb.masks top"),
    ):
        assert why in figure.get_suptitle()
        assert why in caption_of(figure)
        assert not figure.axes
        assert_printable(figure)


@pytest.fixture
def cell_scores() -> pis_cells.Scores:
    """Of two views. Cells take a tenth of the lit pixels of 100 frames: a PIS of 1 is 10 frames.

    Of the sums, those of 8ASK, of 10 dB and of all stand out.
    """
    rows = [
        {"view": view, "mask": mask, "task": task, "modulation": m, "snr_db": snr_db} | more
        for view, mask, task, wrong in (
            ("raw", "top", "joint", 0),
            ("noise", "top", "joint", 1),
            ("raw", "bottom", "joint", 50),
            ("raw", "top", "snr", 50),
        )
        for m, snr_db, more in (
            ("16QAM", 10, {"n": 100, "excess": -3}),
            ("16QAM", -4, {"n": 101, "excess": 0.5}),
            ("QPSK", 10, {"n": 100, "excess": np.nan}),
            ("8ASK", 10, {"n": 100, "excess": 2 + wrong}),
        )
    ]
    cells = pd.DataFrame(rows).assign(rule="exact", level_percent=5.0, fraction_lit=0.1)
    sums = cells[cells["snr_db"] == 10].assign(excess=1.5)
    by_modulation = sums.assign(p_count_holm=np.where(sums["modulation"] == "8ASK", 0.01, 0.2), n=7)
    by_snr = cells.drop_duplicates(["view", "mask", "task", "snr_db"]).assign(excess=-1.5, n=8)
    by_snr["p_count_holm"] = np.where(by_snr["snr_db"] == 10, 0.01, 0.2)
    overall = cells.drop_duplicates(["view", "mask", "task"]).assign(excess=1, p_count_holm=0.01)
    other = [table.assign(level_percent=1.0, excess=77) for table in (by_modulation, by_snr)]
    return pis_cells.Scores(
        cells,
        pd.concat([by_modulation, other[0]]),
        pd.concat([by_snr, other[1]]),
        overall.assign(n=9),
    )


def test_pis_heatmap_has_each_cell_and_sum_at_its_place_and_is_grey_within_noise(cell_scores):
    figure = pis_cells.heatmap(cell_scores)
    raw, noise, bar = figure.axes
    for axes, view, ask in ((noise, "noise", 3), (raw, "raw", 2)):
        shown = axes.images[0].get_array()
        # 8ASK, QPSK, 16QAM and all; -4 dB, where 5 frames tip one way, 10 dB and all.
        assert np.ma.filled(shown, 99).tolist() == [
            [99, ask, 1.5],
            [99, 99, 99],
            [99, -3, 99],
            [99, -1.5, 1],
        ]
        assert axes.images[0].get_clim() == (-3, 3)
        assert axes.get_title() == view
    assert [tick.get_text() for tick in raw.get_xticklabels()][-1] == "All"
    assert [tick.get_text() for tick in raw.get_yticklabels()] == ["8ASK", "QPSK", "16QAM", "All"]
    assert figure.get_supxlabel() == "SNR (dB)"
    assert bar.get_ylabel() == "Joint PIS over chance"
    assert matplotlib.colors.to_hex(raw.images[0].get_cmap().get_bad()) == "#cccccc"
    caption = caption_of(figure)
    assert "brightest pixels, 5 % of the lit pixels, minus their count control" in caption
    assert "n = 100 to 101 a cell, n = 7 a modulation, n = 8 an SNR, n = 9 in all" in caption
    assert_printable(figure)


def test_a_heatmap_in_which_nothing_stands_out_says_so(cell_scores):
    few = pis_cells.Scores(*(table.assign(n=2, p_count_holm=1.0) for table in cell_scores))
    figure = pis_cells.heatmap(few)
    assert len(figure.axes) == 2  # no scale of colours
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["within noise\nn = 2 a cell"] * 2
    assert "All is within noise" in caption_of(figure)
    assert_printable(figure)


def test_fewest_frames_are_what_an_exact_test_needs():
    lost = np.arange(100) < pis_cells.FEWEST
    assert mcnemar(lost, np.zeros(100, bool)) < pis.SIGNIFICANT
    assert mcnemar(lost & (np.arange(100) > 0), np.zeros(100, bool)) > pis.SIGNIFICANT


def test_largest_heatmap_fits_on_a_page():
    views, snrs_db = ("raw", "symbol", "noise", "differential"), range(-20, 32, 2)
    cells = pd.DataFrame(
        product(views, MODULATIONS, snrs_db), columns=["view", "modulation", "snr_db"]
    ).assign(rule="exact", mask="top", task="joint", level_percent=5.0, n=2)
    cells = cells.assign(fraction_lit=0.05, excess=1.0, p_count_holm=0.01)
    sums = [cells.drop_duplicates(["view", *by]) for by in (["modulation"], ["snr_db"], [])]
    figure = pis_cells.heatmap(pis_cells.Scores(cells, *sums))
    assert figure.axes[0].images[0].get_array().shape == (25, 27)
    assert len(figure.axes[0].get_xticks()) <= 8
    assert_printable(figure)


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_saved_twice_is_the_same_picture_with_its_caption(tmp_path, pis_rows, ending):
    one = pis_rows[pis_rows["view"] == "raw"]
    paths = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for path in paths:
        style.save(pis.scores(one), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"paired score interval" in first
    assert not any(word in first for word in (b"CreationDate", b"Matplotlib"))
    assert sorted(tmp_path.iterdir()) == paths


def test_a_picture_is_a_column_wide_at_200_dots_an_inch(tmp_path, pis_rows):
    path = tmp_path / "a.png"
    style.save(pis.scores(pis_rows), path)
    picture = matplotlib.image.imread(path)
    assert picture.shape[1] == int(88 / 25.4 * 200)
    assert picture[..., :3].std() > 0.05
