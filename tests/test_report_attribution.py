"""Pictures of attributions show maps, curves and measures as they were given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pisces.attribution import sanity
from pisces.core.seeding import generator
from pisces.report import attribution, style
from tests.figures import assert_printable, legend


def test_attributions_lay_maps_over_the_constellation():
    rng = generator(1, "test attributions")
    images, mask = rng.random((2, 8, 8)), rng.random((2, 8, 8)) < 0.2
    signed = np.zeros((2, 8, 8))
    signed[0, 0, :3] = (2, -4, 1)
    positive = np.full((2, 8, 8), 0.6)
    positive[0, 0, :2] = (0.8, 0.7)
    curves = {"occlusion": np.array([[0.9, 0.5, 0.1], [1, 0.25, 0]]), "random": np.ones((2, 3))}
    maps = {"integrated_gradients": signed, "rise": positive}
    given = attribution.Examples(
        images, {"Top 5 %": mask}, maps, curves, (0, 5, 100), ["QPSK\n0 dB", "BPSK\n6 dB"], 7
    )
    figure = attribution.examples(given)
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
    figure_of_bare = attribution.examples(given._replace(maps=maps))
    _, _, above, _, _, _, _, nothing, *_ = figure_of_bare.axes
    opacity = np.asarray(above.images[1].get_array())[..., 3]
    assert opacity[0, :3] == pytest.approx([1, 0.5, 0])  # as if the others were not
    assert not opacity[4:].any()
    assert len(nothing.images) == 1
    heads = [
        "Constellation",
        "Top 5\u00a0%",
        "Integrated\ngradients",
        "RISE",
        "Probability of\nprediction (%)",
    ]
    assert [axes.get_title() for axes in grid[0]] == heads
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["QPSK\n0 dB", "BPSK\n6 dB"]
    assert grid[1, 4].get_xlabel() == "Lit pixels deleted (%)"
    assert legend(figure) == ["Occlusion", "Random"]
    assert "n = 7" in figure.get_suptitle()
    assert "examples" not in figure.get_suptitle()
    assert_printable(figure)


def test_many_examples_of_attributions_are_spread_over_one_page():
    images = np.ones((17, 8, 8)) * np.arange(1, 18)[:, None, None]
    curves = {"random": np.arange(17)[:, None] / np.array([20, 40])}
    titles = [f"row {i}" for i in range(17)]
    given = attribution.Examples(
        images, {"Top": images > 0}, {"rise": images}, curves, (0, 100), titles
    )
    figure = attribution.examples(given)
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
    image, levels = np.ones((1, 8, 8)), (0, 1, 5, 20, 100)
    given = attribution.Examples(image, {}, {}, curves, levels, ["QPSK"])
    figure = attribution.examples(given)
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
    rows["null"] = np.nan
    figure = attribution.measures(rows)
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
    rows["null"] = np.nan
    costs = rows[rows["measure"] == "agreement"].assign(
        measure="forward_passes"
    )  # not for the picture
    figure = attribution.measures(pd.concat([rows, costs, rows.assign(method="unknown", n=9)]))
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
    caption = (
        "95 % bootstrap interval; dotted: the random ranking; "
        "dashed: threshold of the sanity checks, 0.5"
    )
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
    figure = attribution.measures(rows)
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
    assert "dashed" not in attribution.measures(rows[rows["measure"] == "agreement"]).get_suptitle()
