"""Textbook estimators against theory: cumulants of ideal points; planted SNRs and modulations."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from pisces.core.modulations import DIGITAL, constellation
from pisces.core.seeding import generator
from pisces.evaluation import references
from pisces.sources.synthesis import synthesize_cell
from tests.conftest import RENDER
from tests.physics import physics

frames = partial(
    synthesize_cell, physics=physics(rolloff=(0.35, 0.35), carrier_offset_std=0), seed=3
)


@pytest.fixture
def rng():
    return generator(1, "test classical")


def noisy_symbols(
    modulation: str, snr_db: float, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Symbols of unit signal power, turned by a random phase a row: complex (n, symbols)."""
    noise = rng.normal(scale=np.sqrt(0.5 * 10 ** (-snr_db / 10)), size=(*shape, 2)) @ [1, 1j]
    return (rng.choice(constellation(modulation), shape) + noise) * np.exp(
        2j * np.pi * rng.random((shape[0], 1))
    )


# Swami and Sadler 2000, and the same moments of the constellations that it has not.
THEORY = {
    "BPSK": (1, 2, -2),
    "4ASK": (1, 1.36, -1.36),
    "8ASK": (1, 1.2381, -1.2381),
    "QPSK": (0, 1, -1),
    "8PSK": (0, 0, -1),
    "16PSK": (0, 0, -1),
    "32PSK": (0, 0, -1),
    "16QAM": (0, 0.68, -0.68),
    "32QAM": (0, 0.19, -0.69),
    "64QAM": (0, 0.619, -0.619),
    "128QAM": (0, 0.1814, -0.6573),
    "256QAM": (0, 0.6047, -0.6047),
    "16APSK": (0, 0.006, -0.7635),
    "32APSK": (0, 0, -0.5867),
}


@pytest.mark.parametrize(("modulation", "expected"), THEORY.items())
def test_cumulants_of_ideal_points(modulation, expected):
    """To the last digit given there, whatever the phase."""
    for phase in (1, np.exp(0.7j)):
        found = references.cumulants(phase * constellation(modulation)[None])
        assert found[0] == pytest.approx(expected, abs=6e-4)


def test_noise_changes_no_cumulant_and_has_none(rng):
    """SCATTER is what a frame of noise shows instead.

    Of 4000 frames the standard deviation is known to 1.1 %, plus 1 / symbols of bias.
    """
    symbols, n = 256, 4000
    noise = rng.normal(scale=np.sqrt(0.5), size=(n, symbols, 2)) @ [1, 1j]
    scatter = np.sqrt(symbols * np.mean(references.cumulants(noise) ** 2, 0))
    assert scatter == pytest.approx(references.SCATTER, rel=0.08)
    # 100 000 symbols at 0 dB: E|x|^8 of r is below 24 * 2^4 for noise of power 2, and hence the
    # standard deviation of C40 at most 0.05.
    long = references.cumulants(noisy_symbols("16QAM", 0, (1, 100_000), rng))
    assert long[0] == pytest.approx(THEORY["16QAM"], abs=0.15)


def test_oqpsk_and_what_has_no_points_are_not_named():
    assert references.recognisable(("OOK", "QPSK", "FM", "GMSK", "PAM4", "OQPSK")) == (
        "OOK",
        "QPSK",
        "PAM4",
    )


@pytest.mark.parametrize("snr_db", [5, 30])
def test_nearest_constellation_separates_what_differs_by_cumulants(rng, snr_db):
    """Five that are 0.3 or more apart in C42 or C20, of 1000 symbols.

    That is ten and more standard deviations at 30 dB, and four at 5 dB.
    """
    modulations = ("8ASK", "BPSK", "QPSK", "8PSK", "16QAM")
    share = 1 / (1 + 10 ** (-snr_db / 10))
    for m, modulation in enumerate(modulations):
        x = noisy_symbols(modulation, snr_db, (50, 1000), rng) * np.sqrt(share)
        assert (
            references.nearest_constellation(x, np.full(50, share), modulations).tolist()
            == [m] * 50
        )


def test_the_signals_power_is_allowed_for(rng):
    """QPSK at 3 dB with its noise has C42 = -0.44 and would pass for 32APSK (-0.59)."""
    share = 1 / (1 + 10**-0.3)
    x = noisy_symbols("QPSK", 3, (50, 2000), rng) * np.sqrt(share)
    modulations = ("QPSK", "8PSK", "32APSK")
    assert references.nearest_constellation(x, np.full(50, share), modulations).tolist() == [0] * 50
    assert references.nearest_constellation(x, np.ones(50), modulations).tolist() != [0] * 50


def test_kurtosis():
    found = [references.kurtosis(m) for m in ("BPSK", "32PSK", "16QAM", "64QAM", "256QAM", "OOK")]
    assert found == pytest.approx([1, 1, 1.32, 1.381, 1.3953, 2], abs=5e-5)


def test_levels_of_amplitude_shift_keying_are_those_named():
    """Of levels 0 to 3 and 0 to 7 the fourth moments are 24.5 / 3.5^2 and 584.5 / 17.5^2."""
    names = ("4ASK", "8ASK")
    found = [references.kurtosis(name, "unipolar") for name in names]
    assert found == pytest.approx([2, 584.5 / 17.5**2])

    for number, name in enumerate(names):
        x = constellation(name, "unipolar")[None]
        assert references.nearest_constellation(x, np.ones(1), names, "unipolar") == number
    four = constellation("4ASK", "unipolar")[None]
    assert references.nearest_constellation(four, np.ones(1), names) == 1  # told bipolar levels


@pytest.mark.parametrize("snr_db", [-5, 5, 15])
@pytest.mark.parametrize("modulation", ["QPSK", "16QAM", "8ASK"])
def test_m2m4_recovers_a_planted_snr(rng, modulation, snr_db):
    """From 2^20 symbols; real constellations in complex noise too."""
    x = noisy_symbols(modulation, snr_db, (1, 2**20), rng)
    k = references.kurtosis(modulation)
    found_db = 10 * np.log10(references.m2m4(x, np.array([k])))[0]
    # 2 M2^2 - M4 scatters by sqrt(var(4 M2 |r|^2 - |r|^4) / N) about (2 - k) S^2. Half of that,
    # relative, is the error of S, and that of rho is 1 + rho times as large.
    power = np.abs(x) ** 2
    scatter = np.std(4 * power.mean() * power - power**2) / 2**10 / (2 - k)
    assert found_db == pytest.approx(
        snr_db, abs=5 * 4.343 * (1 + 10 ** (snr_db / 10)) * scatter / 2
    )


def test_m2m4_at_its_ends():
    """Without noise infinite; 0 for what is no less Gaussian than noise, and for OOK (k = 2)."""
    without_noise = np.exp(2j * np.pi * np.arange(16) / 16)[None]
    peaked = np.array([[0, 0, 0, 0, 0, 0, 0, 4]], complex)
    assert references.m2m4(without_noise, np.array([1.0])) == np.inf
    assert references.m2m4(peaked, np.array([1.0])) == 0
    assert references.m2m4(without_noise, np.array([references.kurtosis("OOK")])) == 0


@pytest.mark.parametrize("snr_db", [-10, 0, 10, 30])
def test_noise_floor_finds_the_snr_of_generated_frames(snr_db):
    """Mean over 40 frames of the linear SNR, within half a decibel."""
    iq = np.concatenate(
        [
            frames(modulation, snr_db, range(10))
            for modulation in ("BPSK", "16QAM", "128APSK", "OQPSK")
        ]
    )
    _, floor_db, _ = references.estimate(iq.astype(complex), ("BPSK", "16QAM"), RENDER)
    assert 10 * np.log10(np.mean(10 ** (floor_db / 10))) == pytest.approx(snr_db, abs=0.5)


def test_estimates_of_generated_frames():
    """At 10 dB, 19 dB a symbol: PSK is named, and the SNR is that of the whole band.

    A frame scatters by some 0.6 dB, its 120 symbols alone by 0.4 (data-aided bound). Five standard
    errors of a median of 20 are 0.84 dB.
    """
    modulations = ("4ASK", "BPSK", "QPSK", "8PSK", "16QAM")
    for m, modulation in ((1, "BPSK"), (2, "QPSK"), (3, "8PSK")):
        chosen, _, moments_db = references.estimate(
            frames(modulation, 10, range(20)).astype(complex), modulations, RENDER
        )
        assert chosen.tolist() == [m] * 20
        assert np.median(moments_db) == pytest.approx(10, abs=0.84)


def test_m2m4_takes_the_kurtosis_of_what_was_named():
    """Called 16QAM, frames of QPSK look as if they had less noise than none."""
    iq = frames("QPSK", 5, range(20)).astype(complex)
    right, wrong = (references.estimate(iq, (m,), RENDER)[2] for m in ("QPSK", "16QAM"))
    assert np.median(right) == pytest.approx(5, abs=1)
    assert np.median(wrong) > 10


def test_frames_of_sixteen_symbols_and_a_rest_do():
    """Eight of them are left, enough to name QPSK more often than by chance.

    That is 0.5, and five standard errors of 100 frames.
    """
    iq = frames("QPSK", 30, range(100)).astype(complex)[:, :131]
    chosen, floor_db, moments_db = references.estimate(iq, ("BPSK", "QPSK"), RENDER)
    assert np.mean(chosen == 1) > 0.5 + 5 * 0.5 / 10
    assert np.isfinite(floor_db).all()
    assert not np.isnan(moments_db).any()


def test_without_constellations_only_the_noise_floor_is_estimated():
    chosen, floor_db, moments_db = references.estimate(
        frames("FM", 10, range(4)).astype(complex), (), RENDER
    )
    assert chosen.tolist() == [-1] * 4
    assert np.median(floor_db) == pytest.approx(10, abs=1)
    assert np.isneginf(moments_db).all()


@pytest.mark.parametrize(("samples", "sps"), [(64, 8), (1024, 2)])
def test_too_few_symbols_or_samples_a_symbol(samples, sps):
    iq = frames(DIGITAL[0], 30, range(2)).astype(complex)[:, :samples]
    with pytest.raises(
        ValueError,
        match=rf"{samples} samples at render.sps = {sps} .* 9 symbols .* correct render.sps",
    ):
        references.estimate(iq, ("QPSK",), replace(RENDER, sps=sps))
