"""Pictures of the data carry units, limits and numbers of frames, and show what they were given."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from pisces.core.seeding import generator
from pisces.report import data
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
    measured, error, density = data.audit(table, spectrum).axes
    assert measured.get_ylabel() == "SNR from the out-of-band floor (dB)"
    assert labels(error) == ("SNR (dB)", "Measured - true SNR (dB)")
    assert line(measured, "Measured = true SNR").tolist() == [[0, 0], [10, 10]]
    assert line(measured, "PSK").tolist() == [[0, 1], [10, 21]]
    assert line(measured, "QAM").tolist() == [[0, 0.1]]
    assert [[0, 1], [10, 11]] in [
        np.column_stack(one.get_data()).tolist() for one in error.get_lines()
    ]
    assert measured.get_title().startswith("20 to 24 frames a cell")

    assert labels(density) == (
        "Frequency (symbol rates)",
        "Power spectrum over the pass band (dB)",
    )
    assert line(density, "This file").tolist() == [[-0.5, -3], [0, 0], [0.5, -3]]
    for name, half_rate_db in {"RRC 0.2": -3.01, "RRC 0.5": -3.01, "RML2018.01A": -9.0}.items():
        rates, level_db = line(density, name).T
        assert np.interp(0.5, rates, level_db) == pytest.approx(half_rate_db, abs=0.1)
    measured, error, _ = data.audit(table.assign(snr_label="amplitude"), spectrum).axes
    assert error.get_xlabel() == "SNR label (true SNR in dB = 2 x label)"
    assert line(measured, "Measured = true SNR").tolist() == [[0, 0], [10, 20]]
    assert [[0, 1], [10, 1]] in [
        np.column_stack(one.get_data()).tolist() for one in error.get_lines()
    ]


def test_audit_of_nothing():
    empty = pd.DataFrame(
        {name: [] for name in ("modulation", "snr_db", "measured_snr_db", "low_db", "high_db", "n")}
    ).assign(snr_label="power")
    nothing = pd.DataFrame({name: [] for name in ("rate", "power_db", "low_db", "high_db")})
    measured, _, density = data.audit(empty, nothing).axes
    assert measured.get_title().startswith("no frames")
    assert "no clear frames" in density.get_title()


def test_constellations_are_equal_in_both_axes_and_in_their_places():
    rng = generator(1, "test sheet")
    images = {"raw": rng.random((11, 3, 8, 8)), "noise": 7 * rng.random((11, 3, 8, 8))}
    names = [f"M{m}" for m in range(11)]
    figure = data.constellations(
        names, (-10, 0, 20), images, {"raw": 2.5, "symbol": 2, "noise": 80, "differential": 3}
    )
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
        assert [row[0].get_ylabel() for row in rows] == [
            f"{view}\n{snr_db} dB" for snr_db in (-10, 0, 20)
        ]
    caption = figure.get_suptitle()
    assert "half width: raw 2.5 RMS, noise 80 dB;" in caption
    assert "In-phase to the right, quadrature upwards" in caption
    assert_printable(figure)


@pytest.mark.parametrize("modulations", [1, 2])
def test_caption_of_few_constellations_is_whole(modulations):
    views = ("raw", "symbol", "noise", "differential")
    images = {view: np.ones((modulations, 1, 8, 8)) for view in views}
    figure = data.constellations(
        ["128APSK"] * modulations, (-20,), images, dict.fromkeys(views, 2.5)
    )
    assert "differential 2.5 RMS; brightness: log(1 + points)" in figure.get_suptitle()
    assert_printable(figure)
