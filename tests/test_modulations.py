from itertools import chain

import numpy as np
import pytest

from pisces.core.modulations import (
    ANALOG,
    CLASSES_TXT,
    DIGITAL,
    FAMILIES,
    LINEAR,
    MODULATIONS,
    NAMES,
    RML2016,
    TWINS,
    constellation,
)

ORDERS = {"OOK": 2, "BPSK": 2, "QPSK": 4, "OQPSK": 4}


def test_both_orders_name_the_same_24():
    assert len(MODULATIONS) == len(set(MODULATIONS)) == 24
    assert set(MODULATIONS) == set(CLASSES_TXT) == {"OOK", "GMSK", *DIGITAL, *ANALOG}
    assert len(DIGITAL) == 17


def test_fixed_order_has_the_columns_whose_spectra_are_known():
    # Real frames at 3 and 4 have the lines of x^2 and x^4 that BPSK and QPSK must have.
    assert (MODULATIONS[3], MODULATIONS[4]) == ("BPSK", "QPSK")
    assert (MODULATIONS[0], MODULATIONS[23]) == ("OOK", "OQPSK")


def test_orders_agree_only_at_17():
    agreeing = [
        i
        for i, pair in enumerate(zip(MODULATIONS, CLASSES_TXT, strict=True))
        if len(set(pair)) == 1
    ]
    assert agreeing == [17]
    assert MODULATIONS[17] == "AM-SSB-WC"


def test_families_cover_every_modulation_once():
    assert sorted(chain(*FAMILIES.values())) == sorted(NAMES)
    assert all(
        twin in family
        for name, twin in TWINS.items()
        for family in FAMILIES.values()
        if name in family
    )


def test_the_11_of_rml2016_follow_the_24_whose_order_stays():
    assert list(RML2016) == sorted(RML2016)
    assert len(RML2016) == 11
    assert NAMES[:24] == MODULATIONS
    assert NAMES[24:] == ("AM-DSB", "AM-SSB", "CPFSK", "GFSK", "PAM4", "QAM16", "QAM64", "WBFM")


@pytest.mark.parametrize(
    ("name", "twin"), [("PAM4", "4ASK"), ("QAM16", "16QAM"), ("QAM64", "64QAM")]
)
def test_linear_names_of_rml2016_have_the_points_of_their_twins(name, twin):
    assert np.array_equal(constellation(name), constellation(twin))


def test_linear_are_those_with_a_constellation():
    assert set(LINEAR) == {"OOK", *DIGITAL, "PAM4", "QAM16", "QAM64"}


@pytest.mark.parametrize("modulation", LINEAR)
def test_constellation_has_unit_power_and_its_number_of_points(modulation):
    points = constellation(modulation)
    order = ORDERS.get(modulation) or int("".join(filter(str.isdigit, modulation)))
    distances = np.abs(points[:, None] - points) + 9 * np.eye(len(points))
    assert len(points) == order
    assert distances.min() > 0.05
    assert np.mean(np.abs(points) ** 2) == pytest.approx(1, abs=1e-12)
    assert np.mean(points) == pytest.approx(1 / np.sqrt(2) if modulation == "OOK" else 0, abs=1e-12)


# Swami & Sadler 2000, with |C40| for its dependence on the phase. Rounded there to three decimals
# or, where exact, fewer: hence the tolerance of 1e-3.
CUMULANTS = {
    "BPSK": (2, -2),
    "4ASK": (1.36, -1.36),
    "8ASK": (1.2381, -1.2381),
    "QPSK": (1, -1),
    "OQPSK": (1, -1),
    "8PSK": (0, -1),
    "16PSK": (0, -1),
    "32PSK": (0, -1),
    "16QAM": (0.68, -0.68),
    "32QAM": (0.19, -0.69),
    "64QAM": (0.619, -0.619),
    "128QAM": (0.1814, -0.6573),
    "256QAM": (0.6047, -0.6047),
    "16APSK": (0.006, -0.7635),
    "32APSK": (0, -0.5867),
}


@pytest.mark.parametrize(("modulation", "expected"), CUMULANTS.items())
def test_cumulants(modulation, expected):
    x = constellation(modulation)
    m20, m40, m42 = np.mean(x**2), np.mean(x**4), np.mean(np.abs(x) ** 4)
    assert (abs(m40 - 3 * m20**2), m42 - abs(m20) ** 2 - 2) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("modulation", "columns"), [("32QAM", [4, 6, 6, 6, 6, 4]), ("128QAM", [8, 8, *[12] * 8, 8, 8])]
)
def test_cross_qam_is_a_square_grid_without_corners(modulation, columns):
    points = constellation(modulation)
    for axis in (points.real, points.imag):
        levels, counts = np.unique(axis.round(9), return_counts=True)
        assert list(counts) == columns
        assert np.ptp(np.diff(levels)) < 1e-6
    corner = points.real.max() + 1j * points.imag.max()
    assert np.abs(points - corner).min() > 0.1


@pytest.mark.parametrize(
    ("modulation", "sizes"),
    [
        ("16APSK", [4, 12]),
        ("32APSK", [4, 12, 16]),
        ("64APSK", [8, 16, 20, 20]),
        ("128APSK", [16, 16, 16, 16, 16, 48]),
    ],
)
def test_apsk_rings(modulation, sizes):
    _, counts = np.unique(np.abs(constellation(modulation)).round(9), return_counts=True)
    assert list(counts) == sizes


@pytest.mark.parametrize("modulation", ["FM", "GMSK", "CPFSK", "AM-DSB", "QSPK"])
def test_no_constellation_is_said_so(modulation):
    with pytest.raises(
        ValueError,
        match=rf"{modulation} has no constellation; those that have one: OOK, 4ASK.*256QAM",
    ):
        constellation(modulation)
