"""Pictures of counterfactuals show which symbols moved where, and what was predicted."""

import numpy as np
import pytest
from matplotlib.text import Annotation

from pisces.report import counterfactuals
from pisces.report.captions import caption_of
from tests.figures import assert_printable

SYMBOLS = 8


def turned_examples(count: int = 1) -> dict[str, np.ndarray]:
    """As the stage `counterfactual` writes them: in the k-th frame k + 1 symbols move."""
    rng = np.random.default_rng(1)
    before, after = rng.normal(size=(2, count, SYMBOLS, 2)).view(complex)[..., 0]
    moved = np.arange(SYMBOLS) <= np.arange(count)[:, None]
    return {
        "titles": np.array([f"64QAM to 256QAM, {4 + k} dB" for k in range(count)]),
        "before": before.astype(np.complex64),
        "after": np.where(moved, after, before).astype(np.complex64),
        "moved": moved,
        "predictions": np.array([["64QAM", "256QAM"]] * count),
        "probabilities": np.array([[0.97, 0.61]] * count),
        "order": np.array("own_swaps"),
        "note": np.array("the other views are held as they are"),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_moved_symbols_are_arrows_from_where_they_were(count):
    given = turned_examples(count)
    figure = counterfactuals.counterfactuals(given)
    assert_printable(figure)
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == min(count, counterfactuals.MOST_PANELS)
    assert f"{len(panels)} of {count} frames" in caption_of(figure)
    assert "first what turns the model most" in caption_of(figure)

    arrows = [one for one in panels[0].texts if isinstance(one, Annotation)]
    (arrow,) = arrows
    old, new = given["before"][0, 0], given["after"][0, 0]
    assert arrow.xyann == pytest.approx((old.real, old.imag))
    assert arrow.xy == pytest.approx((new.real, new.imag))
    stayed, *_ = panels[0].lines
    assert len(stayed.get_xdata()) == SYMBOLS - 1

    title, predictions, moves = panels[0].get_title().splitlines()
    assert title == "64QAM to 256QAM, 4 dB"
    assert predictions == "64QAM 0.97 → 256QAM 0.61"
    assert moves == f"1 move of {SYMBOLS}"


def test_a_label_is_not_called_db_where_it_is_half_of_it():
    figure = counterfactuals.counterfactuals(turned_examples(), "amplitude")
    assert figure.axes[0].get_title().startswith("64QAM to 256QAM, label 4\n")


def test_without_examples_the_picture_says_so():
    empty = {name: array[:0] for name, array in turned_examples().items() if array.ndim}
    figure = counterfactuals.counterfactuals(empty | {"order": np.array("own_swaps")})
    assert "counterfactuals.csv" in caption_of(figure)
