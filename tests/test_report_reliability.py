"""The reliability diagram shows what its table holds."""

import pandas as pd
import pytest

from pisces.report import reliability
from pisces.report.captions import caption_of
from tests.figures import assert_printable, legend


def test_a_panel_a_head_with_accuracy_over_confidence_and_the_error_of_the_table():
    bins = {"confidence": [0.4, 0.9], "accuracy": [0.5, 0.8], "frames": [10, 30]}
    bins |= {"ci_low": [0.3, 0.7], "ci_high": [0.7, 0.9]}
    one = pd.DataFrame(bins).assign(task="snr", probabilities="as trained")
    other = one.assign(probabilities="calibrated", accuracy=one["confidence"])
    figure = reliability.diagram(pd.concat([one, other, one.assign(task="modulation")]))

    snr, modulation = figure.axes
    assert (snr.get_title(), modulation.get_title()) == ("SNR", "Modulation")
    _, drawn, calibrated = snr.lines[:1] + [container[0] for container in snr.containers]
    assert drawn.get_xdata().tolist() == pytest.approx([40, 90])
    assert drawn.get_ydata().tolist() == pytest.approx([50, 80])
    assert calibrated.get_ydata().tolist() == pytest.approx([40, 90])

    assert legend(figure) == ["As trained", "Calibrated"]
    caption = caption_of(figure)
    assert "SNR as trained 10.0 %, SNR calibrated 0.0 %, Modulation as trained 10.0 %" in caption
    assert "n = 40 test frames" in caption
    assert_printable(figure)
    assert len(modulation.containers) == 1
