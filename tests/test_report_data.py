"""Pictures of the data carry units, limits and numbers of frames, and show what they were given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pisces.core.modulations import MODULATIONS
from pisces.core.seeding import generator
from pisces.report import data, families, style
from pisces.report.captions import caption_of
from tests.figures import assert_printable, labels, line


def test_audit():
    table = pd.DataFrame(
        [
            ("QPSK", 0, 0.5, -1, 1, 24),
            ("BPSK", 0, 1.5, -2, 2, 24),
            ("QPSK", 10, 21, 19, 22, 20),
            ("16QAM", 0, 0.1, 0, 1, 24),
        ],
        columns=["modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n"],
    ).assign(snr_label="power")
    spectrum = pd.DataFrame(
        {"rate": [-0.5, 0, 0.5], "power_db": [-3, 0, -3], "low_db": [-4, -1, -4], "high_db": -2}
    )
    figure = data.audit(table, spectrum)
    measured, error, density = figure.axes
    assert measured.get_ylabel() == "SNR from the out-of-band floor (dB)"
    assert labels(error) == ("SNR (dB)", "Measured - true (dB)")
    assert line(measured, "Measured = true SNR").tolist() == [[0, 0], [10, 10]]
    assert line(measured, "PSK").tolist() == [[0, 1], [10, 21]]
    assert line(measured, "QAM").tolist() == [[0, 0.1]]
    assert [[0, 1], [10, 11]] in [
        np.column_stack(one.get_data()).tolist() for one in error.get_lines()
    ]
    assert "n = 20 to 24 frames a cell" in caption_of(figure)
    assert_printable(figure)

    assert labels(density) == (
        "Frequency (symbol rates)",
        "Power spectrum over the pass band (dB)",
    )
    assert line(density, "This file").tolist() == [[-0.5, -3], [0, 0], [0.5, -3]]
    for name, half_rate_db in {"RRC 0.2": -3.01, "RRC 0.5": -3.01, "RML2018.01A": -9.0}.items():
        rates, level_db = line(density, name).T
        assert np.interp(0.5, rates, level_db) == pytest.approx(half_rate_db, abs=0.1)
    measured, error, _ = data.audit(table.assign(snr_label="amplitude"), spectrum).axes
    assert error.get_xlabel() == "SNR label (half the SNR in dB)"
    assert line(measured, "Measured = true SNR").tolist() == [[0, 0], [10, 20]]
    assert [[0, 1], [10, 1]] in [
        np.column_stack(one.get_data()).tolist() for one in error.get_lines()
    ]


def test_audit_of_nothing():
    empty = pd.DataFrame(
        {name: [] for name in ("modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n")}
    ).assign(snr_label="power")
    nothing = pd.DataFrame({name: [] for name in ("rate", "power_db", "low_db", "high_db")})
    caption = caption_of(data.audit(empty, nothing))
    assert "no frames a cell" in caption
    assert "no clear frames" in caption


def test_constellations_are_equal_in_both_axes_and_in_their_places():
    rng = generator(1, "test sheet")
    images = {"raw": rng.random((3, 3, 8, 8)), "noise": 7 * rng.random((3, 3, 8, 8))}
    names = ["16QAM", "BPSK", "OQPSK"]
    figure = data.constellations(
        names, (-10, 0, 20), images, {"raw": 2.5, "symbol": 2, "noise": 80, "differential": 3}
    )
    grid = np.reshape(figure.axes, (2, 3, 3))
    by_family = (1, 2, 0)
    for (v, view), (column, m), s in product(enumerate(images), enumerate(by_family), range(3)):
        axes = grid[v, s, column]
        assert np.array_equal(axes.images[0].get_array(), images[view][m, s])
        assert axes.images[0].get_clim() == (0, images[view].max())  # one brightness a view
        assert axes.get_aspect() == 1
        assert axes.images[0].origin == "upper"  # row 0, the largest Q, on top
        assert axes.axison
    assert [axes.get_title() for axes in grid[0, 0]] == ["BPSK", "OQPSK", "16QAM"]
    for view, rows in zip(images, grid, strict=True):
        assert [row[0].get_ylabel() for row in rows] == [
            f"{view}\n{snr_db} dB" for snr_db in (-10, 0, 20)
        ]
    caption = caption_of(figure)
    assert "One frame of each modulation at 3 SNR labels" in caption
    assert "half width: raw 2.5 RMS, noise 80 dB." in caption
    assert "In-phase to the right, quadrature upwards" in caption
    assert_printable(figure)


def test_labels_of_half_the_snr_are_not_called_db():
    images = {"raw": np.ones((1, 1, 8, 8))}
    figure = data.constellations(["QPSK"], (-4,), images, {"raw": 2.5}, "amplitude")
    assert figure.axes[0].get_ylabel() == "raw\nlabel -4"


def test_of_many_constellations_a_page_shows_some_of_each_family():
    views = ("raw", "symbol", "noise", "differential")
    images = {view: np.ones((24, 3, 8, 8)) for view in views}
    extents = dict.fromkeys(views, 2.5)
    figure = data.constellations(MODULATIONS, (-20, 4, 30), images, extents)
    assert len(figure.axes) == data.MOST_COLUMNS * data.MOST_ROWS
    shown = [axes.get_title() for axes in figure.axes[: data.MOST_COLUMNS]]
    assert list(families.families_of(shown)) == list(families.families_of(MODULATIONS))
    assert figure.axes[0].get_ylabel() == "raw\n-20 dB"
    assert figure.axes[data.MOST_COLUMNS].get_ylabel() == "raw\n30 dB"
    assert "8 of 24 modulations at 2 SNR labels" in caption_of(figure)
    assert figure.get_figwidth() == pytest.approx(style.PAGE)
    assert_printable(figure)
