"""The picture of both removals shows each mask's drops, and which differ from their controls."""

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgba

from pisces.report import pis_removal
from pisces.report.captions import caption_of
from pisces.report.style import REMOVAL_COLOURS
from tests.figures import assert_printable, legend, removed_rows


def rows() -> pd.DataFrame:
    """Of three rings, one nearly empty; two levels of random masks; windows by label alone."""
    random = {"rule": "exact", "blackout_p_holm": np.nan, "redraw_p_holm": np.nan}
    return pd.concat(
        [
            removed_rows("1", "2"),
            removed_rows("3", fraction_points=0.001),
            removed_rows("random", level_percent=25.0, **random),
            removed_rows("random", level_percent=2.0, **random),
            removed_rows("0-0", rule="window", snr_db=10),
            removed_rows("1", task="snr", blackout_drop=0.9),
            removed_rows("core", rule="cluster", redraw_drop=np.nan),
        ],
        ignore_index=True,
    )


def test_each_removal_of_each_mask_has_its_place():
    figure = pis_removal.removals(rows())
    random, ring = figure.axes
    assert [text.get_text() for text in random.get_xticklabels()] == ["25"]
    assert [text.get_text() for text in ring.get_xticklabels()] == ["1", "2"]
    drops = [one.get_offsets()[:, 1].tolist() for one in ring.collections if len(one.get_offsets())]
    points = [drop for drop in drops if len(drop) == 2 and drop[0] == drop[1]]
    assert [20.0, 20.0] in points
    assert [0.0, 0.0] in points
    assert [5.0, 5.0] in points
    assert legend(figure) == ["Blackout", "Redraw", "Likelihood", "Control"]
    assert "n = 4 frames" in caption_of(figure)
    assert_printable(figure)


def test_filled_is_what_differs_from_its_control():
    figure = pis_removal.removals(rows())
    faces = {}
    for one in figure.axes[1].collections:
        if len(one.get_offsets()) == 2 and len(one.get_facecolor()):
            faces[tuple(one.get_edgecolor()[0])] = tuple(one.get_facecolor()[0])
    white = to_rgba("white")
    assert faces[to_rgba(REMOVAL_COLOURS["blackout"])] == to_rgba(REMOVAL_COLOURS["blackout"])
    assert faces[to_rgba(REMOVAL_COLOURS["redraw"])] == white
    assert faces[to_rgba(REMOVAL_COLOURS["likelihood"])] == white


def test_without_a_redrawn_mask_the_picture_says_so():
    empty = removed_rows("1").iloc[:0]
    assert "No masks were redrawn" in caption_of(pis_removal.removals(empty))
    assert_printable(pis_removal.removals(empty))


def test_by_redraw_alone_there_is_no_blackout():
    nothing = dict.fromkeys([name for name in removed_rows("1") if "blackout" in name], np.nan)
    figure = pis_removal.removals(removed_rows("1", "2", **nothing))
    assert legend(figure) == ["Redraw", "Likelihood", "Control"]
    assert_printable(figure)
