"""The picture of regions shows rings, sectors, clusters and windows at their places."""

import math
from itertools import pairwise, product

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest

from pisces.report import pis_regions
from pisces.report.captions import caption_of
from pisces.report.style import Mark
from tests.figures import assert_printable, legend, pis_row

IMAGES = pis_regions.Images(16, {"raw": 2.0, "noise": 80.0}, 0.5)


@pytest.fixture(scope="module")
def region_rows() -> pd.DataFrame:
    """Of two views, that of `noise` with negative scores.

    Three rings have the scores 1, 2, 3, four sectors 4..7, core 8, transition 9; 2 x 2 windows.

    Windows take 0 (undefined), 5 per mille, 20 % and 30 % of the lit pixels. Ring 2 and the third
    window do not differ from their control.
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
            pis_row(view, rule, name, "joint", sign * (1 + i), p_count_holm=0.01 + i % 8 * (i == 1))
            for i, (rule, name) in enumerate(names)
        ]
        windows = [
            ("0-0", np.nan, 0, np.nan),
            ("0-8", 900, 0.005, 0.01),
            ("8-0", 4, 0.2, 0.9),
            ("8-8", -12, 0.3, 0.01),
        ]
        rows += [
            pis_row(view, "window", name, "joint", sign * pis, fraction_lit=f, p_count_holm=p)
            for name, pis, f, p in windows
        ]
    return pd.concat(
        [pd.DataFrame(rows), pd.DataFrame(rows).assign(task="snr", pis=77)], ignore_index=True
    )


def test_regions_are_points_with_controls(region_rows):
    figure = pis_regions.regions(region_rows, IMAGES)
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
    assert "n = 321 frames" in caption_of(figure)
    assert_printable(figure)


def test_a_region_of_next_to_nothing_is_not_drawn(region_rows):
    tiny = pis_row("raw", "ring", "4", "joint", 500, fraction_lit=0.002)
    figure = pis_regions.regions(pd.concat([region_rows, pd.DataFrame([tiny])]), IMAGES)
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()][:5] == ["1", "2", "3", "4", "0"]
    drawn = [y for one in axes.collections for _, y in one.get_offsets().tolist()]
    assert max(drawn) == 9
    assert axes.get_ylim() == pis_regions.regions(region_rows, IMAGES).axes[0].get_ylim()
    assert -12 < axes.get_ylim()[0] < -9.5  # of the view `noise`
    assert 9.25 < axes.get_ylim()[1] < 12
    assert "regions with less than 1 % of the lit pixels" in caption_of(figure)


def test_windows_are_a_map_at_their_places(region_rows):
    figure = pis_regions.regions(region_rows, IMAGES)
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
        half = IMAGES.extents[view]
        assert image.get_extent() == [-half, half, -half, half]
        dots = axes.get_lines()[0].get_xydata()
        assert sorted(dots.tolist()) == [[half / 2, -half / 2], [half / 2, half / 2]]  # I, Q
        unit = "dB" if view == "noise" else "RMS"
        assert axes.get_xlabel() == f"In-phase ({unit})"
        assert axes.get_ylabel() == f"Quadrature\n({unit})"
        assert axes.get_xticks().tolist() == [-half, 0, half]
    assert matplotlib.colors.to_hex(image.get_cmap().get_bad()) == "#cccccc"
    assert bar.get_ylabel() == "PIS of a window"


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
        pis_row("raw", rule, str(k + 1), "joint", 1)
        for rule, n in (("ring", 4), ("sector", sectors))
        for k in range(n)
    ]
    figure = pis_regions.regions(
        pd.DataFrame(
            [
                *rows,
                *(pis_row("raw", "cluster", name, "joint", 1) for name in ("core", "transition")),
            ]
        ),
        IMAGES,
    )
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["1", "2", "3", "4", *names, "core", "transition"]
    for k, tick in enumerate(ticks[4:-2]):
        assert tick.get_position()[0] == 5 + k * math.ceil(sectors / 4)
    boxes = [
        tick.get_window_extent() for tick in ticks[:-1]
    ]  # the last two, a name each, may touch
    assert all(right.x0 > left.x1 + 2 for left, right in pairwise(boxes))


@pytest.mark.parametrize("kept", [("ring", "cluster"), ("window",)])
def test_some_regions_are_drawn_without_the_others(region_rows, kept):
    figure = pis_regions.regions(region_rows[region_rows["rule"].isin(kept)], IMAGES, "snr")
    points, windows = figure.axes[:2]
    assert (points.axison, windows.axison) == ("ring" in kept, "window" in kept)
    assert (legend(figure) if figure.legends else []) == (
        ["Ring", "Cluster", "Count control"] if points.axison else []
    )
    assert (
        windows.images[0].get_array() if windows.axison else points.collections[-1].get_offsets()
    ).max() == 77
    assert_printable(figure)


def test_a_further_region_is_drawn_by_its_label_and_colour(region_rows, monkeypatch):
    monkeypatch.setitem(pis_regions.REGIONS, "border", Mark("Border", "C3", "^"))
    views = ("raw", "noise")
    further = [pis_row(view, "border", "outermost", "joint", 6.5) for view in views]
    figure = pis_regions.regions(pd.concat([region_rows, pd.DataFrame(further)]), IMAGES)
    points = figure.axes[0].collections[-1]
    assert points.get_offsets()[:, 1].tolist() == [6.5]
    assert matplotlib.colors.same_color(points.get_edgecolor()[0], "C3")
    assert "Border" in legend(figure)
    assert figure.axes[2].get_xticklabels()[-1].get_text() == "outermost"
