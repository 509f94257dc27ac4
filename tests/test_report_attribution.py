"""Pictures of attributions show maps, curves and measures as they were given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pisces.attribution import sanity
from pisces.core.modulations import DIGITAL
from pisces.core.seeding import generator
from pisces.report import attribution, attribution_measures, families, style
from pisces.report.captions import caption_of
from tests.figures import assert_printable, legend


def test_attributions_lay_maps_over_the_constellation():
    rng = generator(1, "test attributions")
    images, mask = rng.random((2, 8, 8)), rng.random((2, 8, 8)) < 0.2
    signed = np.zeros((2, 8, 8))
    signed[0, 0, :3] = (2, -4, 1)
    positive = np.full((2, 8, 8), 0.6)
    positive[0, 0, :2] = (0.8, 0.7)
    maps = {"integrated_gradients": signed, "rise": positive}
    given = attribution.Examples(
        images, {"Top 5 %": mask}, maps, ["QPSK, 0 dB\nraw", "16QAM, 6 dB\nraw"]
    )
    figure = attribution.examples(given)
    grid = np.reshape(figure.axes, (2, 4))
    for i, (frame, masked, *over) in enumerate(grid):
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
    red, _, blue, opacity = np.moveaxis(np.asarray(grid[0, 2].images[1].get_array()), -1, 0)
    assert opacity[0, :4] == pytest.approx(
        [0.5, 1, 0.25, 0]
    )  # over the largest magnitude, and nothing where there is nothing
    assert (np.sign(red - blue)[0, :3] == [1, -1, 1]).all()
    assert np.asarray(grid[0, 3].images[1].get_array())[0, :3, 3] == pytest.approx(
        [1, 0.5, 0]
    )  # what is everywhere is no colour
    assert len(grid[1, 3].images) == 1  # nor is what is everywhere alike
    assert grid[1, 3].texts[0].get_text() == "no map"
    bare = positive.copy()
    bare[0, 4:] = bare[1] = np.nan
    maps = {"integrated_gradients": bare, "rise": bare}
    figure_of_bare = attribution.examples(given._replace(maps=maps))
    _, _, above, _, _, _, nothing, *_ = figure_of_bare.axes
    opacity = np.asarray(above.images[1].get_array())[..., 3]
    assert opacity[0, :3] == pytest.approx([1, 0.5, 0])  # as if the others were not
    assert not opacity[4:].any()
    assert len(nothing.images) == 1
    assert [text.get_text() for text in nothing.texts] == ["no map"]
    assert not above.texts
    heads = [
        "Frame",
        "Top 5\u00a0%",
        "Integrated\ngradients",
        "RISE",
    ]
    assert [axes.get_title() for axes in grid[0]] == heads
    assert [axes.get_ylabel() for axes in grid[:, 0]] == [
        "QPSK\n0 dB\nraw",
        "16QAM\n6 dB\nraw",
    ]
    assert "2 of 2 frames" in caption_of(figure)
    assert "No map: every pixel has the same score" in caption_of(figure)
    assert_printable(figure)


def test_many_examples_of_attributions_are_spread_over_one_page_by_family():
    images = np.ones((17, 8, 8)) * np.arange(1, 18)[:, None, None]
    names = ["OQPSK", *(name for name in DIGITAL if name != "OQPSK")]
    titles = [f"{name}, 10 dB\nsymbol" for name in names]
    given = attribution.Examples(images, {"Top": images > 0}, {"rise": images}, titles)
    figure = attribution.examples(given, "amplitude")
    grid = np.reshape(figure.axes, (6, 3))
    shown = [frame.get_ylabel().split("\n") for frame in grid[:, 0]]
    assert shown[0] == ["4ASK", "label 10", "symbol"]
    modulations = [name for name, *_ in shown]
    assert modulations == style.spaced(families.by_family(names), 6)
    for frame, name in zip(grid[:, 0], modulations, strict=True):
        assert frame.images[0].get_array().max() == 1 + names.index(name)
    assert "6 of 17 frames" in caption_of(figure)
    assert_printable(figure)


def test_a_score_of_a_single_pixel_of_a_fine_image_is_spread_over_its_neighbours():
    scores = np.zeros((1, 64, 64))
    scores[0, 10, 10], scores[0, 10, 12] = 1, -2
    given = attribution.Examples(np.ones((1, 64, 64)), {}, {"shapley": scores}, ["QPSK, 0 dB\nraw"])
    colours = np.asarray(attribution.examples(given).axes[1].images[1].get_array())
    opacity = colours[..., 3]
    assert opacity[9:12, 9].tolist() == [0.5] * 3
    assert opacity[9:12, 11].tolist() == [1] * 3  # the larger of the two
    assert not opacity[:9].any()
    red_less_blue = colours[10, :, 0] - colours[10, :, 2]
    assert np.sign(red_less_blue[[9, 11]]).tolist() == [1, -1]


def test_curves_of_all_methods_have_panels_large_enough_for_them():
    rows = pd.DataFrame(
        product(("snr", "modulation"), ("random", "rise"), ("deletion", "insertion"), (0, 5, 100)),
        columns=["task", "method", "curve", "level_percent"],
    )
    rows["probability"] = np.arange(len(rows)) / 100
    rows = rows.assign(ci_low=rows["probability"] - 0.02, ci_high=rows["probability"] + 0.01)
    measured = pd.DataFrame({"measure": ["deletion_area", "weights"], "n": [170, 17]})
    figure = attribution_measures.curves(rows, measured)
    grid = np.reshape(figure.axes, (2, 2))
    for (t, task), (c, curve) in product(
        enumerate(("snr", "modulation")), enumerate(("deletion", "insertion"))
    ):
        here = rows[(rows["task"] == task) & (rows["curve"] == curve)]
        for one in grid[t, c].get_lines():
            method = {"Random": "random", "RISE": "rise"}[one.get_label()]
            percent = 100 * here.loc[here["method"] == method, "probability"]
            assert one.get_xydata() == pytest.approx(np.column_stack([(0, 5, 100), percent]))
        ends = grid[t, c].collections[0].get_paths()[0].vertices[:, 1]
        of_first = 100 * here.loc[here["method"] == "random", ["ci_low", "ci_high"]].to_numpy()
        assert (ends.min(), ends.max()) == pytest.approx((of_first.min(), of_first.max()))
    assert [axes.get_xlabel() for axes in grid[1]] == list(attribution_measures.CURVES.values())
    assert legend(figure) == ["RISE", "Random"]
    assert "n = 170 frames" in caption_of(figure)
    assert_printable(figure)


def test_tiny_numbers_in_the_attribution_table_have_exponents_of_their_own():
    rows = pd.DataFrame(
        product(("snr", "modulation"), ("random", "grad_cam"), ("infidelity",)),
        columns=["task", "method", "measure"],
    )
    rows = rows.assign(value=[1e-7, 3e-7, 2e-7, 4e-7], ci_low=5e-8, ci_high=5e-7, n=17)
    rows["null"] = np.nan
    figure = attribution_measures.measures(rows)
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
    figure = attribution_measures.measures(
        pd.concat([rows, costs, rows.assign(method="unknown", n=9)])
    )
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
        "Deletion\narea (%)\nlow is good",
        "Rank correlation\nwith brightness",
        "... with random\nweights\nlow is good",
    ]
    caption = caption_of(figure)
    assert "over frames, n = 17 (deletion area, agreement, weights)" in caption
    assert "Dashed: threshold of the sanity checks, 0.5." in caption
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
    figure = attribution_measures.measures(rows)
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
    caption = caption_of(figure)
    assert "n = 21 (agreement), n = 17 to 21 (weights)" in caption
    assert "Grey x: mean |rank correlation| between maps of different frames." in caption
    assert_printable(figure)
    without_checks = attribution_measures.measures(rows[rows["measure"] == "agreement"])
    assert "Dashed" not in caption_of(without_checks)
