"""What the tests of pictures share: reading figures back, and whether they can be printed."""

from itertools import product

import numpy as np
import pandas as pd
from matplotlib.text import Text

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
    """Extents, once drawn, of panels with labels, and of the words around: caption, legend."""
    figure.draw_without_rendering()
    around = [text for text in (figure._suptitle, figure._supxlabel) if text is not None]
    around += figure.legends
    to_inches = figure.dpi_scale_trans.inverted()
    panels = [axes.get_tightbbox().transformed(to_inches) for axes in figure.axes if axes.axison]
    return panels, [one.get_window_extent().transformed(to_inches) for one in around]


def assert_printable(figure) -> None:
    """Nothing is cut off, words lie on no panel and can be read, and it is a column or two wide.

    Captions stand in a file of their own.
    """
    width, height = figure.get_size_inches()
    assert style.COLUMN - 0.01 <= width <= style.PAGE + 0.01
    assert height <= 9
    words_in_it = [one for one in figure.findobj(Text) if one.get_text() and one.get_visible()]
    assert min(one.get_fontsize() for one in words_in_it) >= 7
    panels, words = boxes_in_inches(figure)
    for box in (*panels, *words):
        assert min(box.x0, box.y0) >= -0.01
        assert box.x1 <= width + 0.01
        assert box.y1 <= height + 0.01
    assert not any(word.overlaps(panel) for word, panel in product(words, panels))


def pis_row(view: str, rule: str, mask: str, task: str, value: float, **more) -> dict:
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


def removed_rows(*rings: str, **more) -> pd.DataFrame:
    """Rows of plots/pis_redraw.csv of rings, whose drops are .2 by blackout and 0 by redraw."""
    row = {"view": "symbol", "rule": "ring", "level_percent": np.nan, "task": "modulation"}
    row |= {"snr_db": np.nan, "n": 4, "fraction_points": 0.25}
    for name, drop in {"blackout": 0.2, "redraw": 0.0, "likelihood": 0.05}.items():
        interval = name if name == "likelihood" else f"{name}_drop"
        row |= {f"{name}_drop": drop, f"{name}_control_drop": drop / 2}
        row |= {f"{interval}_ci_low": drop - 0.1, f"{interval}_ci_high": drop + 0.1}
    row |= {"blackout_p_holm": 0.01, "redraw_p_holm": 1.0}
    return pd.DataFrame([row | {"mask": ring} | more for ring in rings])
