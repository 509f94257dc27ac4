"""Symbols drawn anew in samples: what is left of the old ones, and that the view shows the new."""

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch

from benchmarks.frames import PHYSICS
from pisces.core.modulations import constellation
from pisces.core.pulses import rrc_response
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.receiver.pulse import fixed_response, responses_of
from pisces.inputs.settings import RenderSettings
from pisces.sources.modulators import shape_pulses
from pisces.sources.synthesis import synthesize_cell
from pisces.truth import found, samples
from pisces.truth.found import find, least_snr, timing_variance
from pisces.truth.law import SymbolLaw
from pisces.truth.redraw import generators, redraw
from tests.conftest import RENDER

NAMES = ("BPSK", "QPSK", "8PSK", "16QAM", "64QAM")
SPS, SAMPLES, GUARD = 8, 1024, 16
ONE_PULSE = replace(PHYSICS, rolloff=(0.35, 0.35))
SYMBOL: RenderSettings = replace(RENDER, views=("symbol",), samples=SAMPLES)
TWIN = replace(SYMBOL, pulse="rml2018")


class Sent(NamedTuple):
    """Frames, and what each symbol put into them."""

    iq: np.ndarray
    """complex64 (n, SAMPLES)."""
    of_symbols: np.ndarray
    """Without noise, of the symbols of the view alone: complex (n, symbols, SAMPLES)."""


def sent_frames(snr_db: float, rolloff: np.ndarray, rng: np.random.Generator) -> Sent:
    """16QAM at random timing, phase and carrier offset; `rolloff` (n, 1), of each frame."""
    n, block = len(rolloff), SAMPLES // SPS + 2 * GUARD
    symbols = rng.choice(constellation("16QAM"), (n, block))
    timing = rng.uniform(-0.5, 0.5, (n, 1))
    time = np.arange(SAMPLES)
    turns = rng.random((n, 1)) + rng.normal(scale=PHYSICS.carrier_offset_std, size=(n, 1)) * time
    carrier = np.exp(2j * np.pi * turns)

    def shaped(some: np.ndarray) -> np.ndarray:
        def pulse(rate):
            return rrc_response(rate, rolloff)

        made = shape_pulses(some, sps=SPS, response=pulse, timing=timing)
        return made[:, GUARD * SPS :][:, :SAMPLES] * carrier

    parts = []
    for number in range(4, SAMPLES // SPS - 4):
        one = np.zeros_like(symbols)
        one[:, GUARD + number] = symbols[:, GUARD + number]
        parts.append(shaped(one))
    std = math.sqrt(0.5 * 10 ** (-snr_db / 10))
    noise = rng.normal(scale=std, size=(n, 2 * SAMPLES)).view(complex)
    return Sent((shaped(symbols) + noise).astype(np.complex64), np.stack(parts, 1))


def leak_db(
    sent: Sent, points: torch.Tensor, pulses: samples.Pulses, share: float, snr_db: float
) -> float:
    """Power that stays of so large a share of the symbols, over that of the noise, in dB.

    Their part of each frame less the pulses at what is held, of whatever amplitudes fit best: what
    the points say of them is theirs, noise and all.
    """
    left = []
    removed = np.zeros(points.shape[1], bool)
    removed[:: round(1 / share)] = True
    for row, of_symbols in enumerate(sent.of_symbols):
        some = samples.Pulses(*(one[row : row + 1] for one in pulses))
        columns = []
        for number in np.flatnonzero(removed):
            one = torch.zeros(1, points.shape[1], dtype=torch.complex64)
            one[0, number] = 1
            nothing = np.zeros((1, SAMPLES), np.complex128)
            columns.append(samples.with_symbols(nothing, 0 * one, one, some, SPS)[0])
        old = of_symbols[removed].sum(0)
        basis = np.stack(columns, 1)
        fitted = basis @ np.linalg.lstsq(basis, old, rcond=None)[0]
        left.append(np.mean(np.abs(old - fitted) ** 2))
    return 10 * math.log10(np.mean(left)) + snr_db


@pytest.mark.parametrize("snr_db", [0, 12, 24])
@pytest.mark.parametrize("rolloffs", [(0.35, 0.35), (0.2, 0.5)])
def test_what_is_left_of_old_symbols_is_far_below_the_noise(snr_db, rolloffs):
    """By 15 dB, for a twentieth and a quarter of the symbols, of one pulse and of mixed ones."""
    rng = generator(1, "test leak", snr_db)
    sent = sent_frames(snr_db, rng.uniform(*rolloffs, (8, 1)), rng)
    received = views.symbols_of(torch.from_numpy(sent.iq), SYMBOL)
    pulses = samples.find_pulses(sent.iq, received, SYMBOL)
    assert pulses.fits.all()
    for share in (0.05, 0.25):
        assert leak_db(sent, received.points, pulses, share, snr_db) < -15


def test_the_view_shows_the_new_symbols_and_keeps_all_others():
    """Without the synchronisation found anew, which moves all: at 20 dB it is nearly the same."""
    snr_db, n = 20, 12
    iq = synthesize_cell("16QAM", snr_db, range(n), ONE_PULSE, seed=3)
    received = views.symbols_of(torch.from_numpy(iq), SYMBOL)
    law = SymbolLaw(NAMES, SPS * 10 ** (snr_db / 10))
    symbols = find(received, ["16QAM"] * n, law, fixed_response(SAMPLES // SPS, SYMBOL))
    assert symbols.refused == ("",) * n

    removed = torch.zeros(symbols.x.shape, dtype=torch.bool)
    removed[:, 5::6] = True
    rngs = generators(1, [("16QAM", snr_db, row) for row in range(n)], "a sixth")
    new = redraw(symbols.x, law, removed, rngs).x * symbols.level
    new = torch.where(removed, new, received.points)
    pulses = samples.find_pulses(iq, received, SYMBOL)
    replaced = samples.with_symbols(iq, received.points, new, pulses, SPS)

    shown = views.symbols_of(torch.from_numpy(replaced), SYMBOL).points
    turned = (shown * new.conj()).sum(1, keepdim=True)  # the phase may be a quarter turn away
    shown = shown * (turned.conj() / turned.abs())
    error = (shown - new).abs().square().mean(1)
    assert error.sqrt().max() < 0.1
    assert (new - received.points)[removed].abs().mean() > 0.5

    # Far from the band of the symbols there is what there was.
    spectra = np.fft.fft(replaced - iq) / math.sqrt(SAMPLES)
    beyond = np.abs(np.fft.fftfreq(SAMPLES)) > 0.25
    noise = 10 ** (-snr_db / 10)
    assert np.mean(np.abs(spectra[:, beyond]) ** 2) < 0.03 * noise


def test_without_a_change_no_bit_changes():
    iq = synthesize_cell("QPSK", 10, range(3), ONE_PULSE, seed=3)
    received = views.symbols_of(torch.from_numpy(iq), SYMBOL)
    pulses = samples.find_pulses(iq, received, SYMBOL)
    same = samples.with_symbols(iq, received.points, received.points.clone(), pulses, SPS)
    assert same.tobytes() == iq.tobytes()


def test_a_pulse_that_does_not_fit_is_seen():
    """The pulse of RML2018.01A is no root-raised cosine; told of it, it fits."""
    physics = replace(ONE_PULSE, pulse="rml2018")
    iq = synthesize_cell("QPSK", 24, range(6), physics, seed=3)
    received = views.symbols_of(torch.from_numpy(iq), TWIN)
    assert samples.find_pulses(iq, received, TWIN).fits.all()
    assert not samples.find_pulses(iq, received, SYMBOL).fits.any()


def test_too_few_samples_a_symbol_are_refused():
    iq = synthesize_cell("QPSK", 24, range(1), ONE_PULSE, seed=3)
    received = views.symbols_of(torch.from_numpy(iq), SYMBOL)
    with pytest.raises(ValueError, match=r"render\.sps = 2 leaves no band without signal"):
        samples.find_pulses(iq, received, replace(SYMBOL, sps=2))


# Which frames are refused


def found_of(modulation: str, snr_db: int, render: RenderSettings = SYMBOL, physics=ONE_PULSE):
    iq = torch.from_numpy(synthesize_cell(modulation, snr_db, range(8), physics, seed=3))
    law = SymbolLaw((*NAMES, "FM", "OQPSK", "GMSK"), SPS * 10 ** (snr_db / 10))
    received = views.symbols_of(iq, render)
    return find(received, [modulation] * 8, law, responses_of(iq, render))


@pytest.mark.parametrize("modulation", ["FM", "AM-DSB-SC", "GMSK", "OQPSK"])
def test_what_has_no_points_is_refused(modulation):
    assert set(found_of(modulation, 20).refused) == {found.NO_POINTS}
    assert found.why_without_points(modulation).startswith(f"{modulation} has no constellation")


def test_a_low_snr_is_refused():
    """Whatever the pulse: at -12 dB, -3 dB a symbol."""
    assert set(found_of("QPSK", -12).refused) == {found.LOW_SNR}
    assert set(found_of("QPSK", 0).refused) == {""}


@pytest.mark.parametrize("modulation", ["QPSK", "64QAM"])
@pytest.mark.parametrize("snr_db", [0, 24])
def test_frames_of_the_law_are_not_refused(modulation, snr_db):
    assert set(found_of(modulation, snr_db).refused) == {""}


def test_an_echo_shows_in_the_symbols():
    """A path half as strong, three samples late."""
    iq = synthesize_cell("16QAM", 24, range(8), ONE_PULSE, seed=3)
    iq[:, 3:] += 0.5 * iq[:, :-3]
    law = SymbolLaw(NAMES, SPS * 10**2.4)
    received = views.symbols_of(torch.from_numpy(iq), SYMBOL)
    refused = find(received, ["16QAM"] * 8, law, fixed_response(SAMPLES // SPS, SYMBOL)).refused
    assert set(refused) == {found.MISFIT}


def test_the_level_is_found_to_a_per_mille():
    """From the mean power alone it is known to 2 %."""
    rng = generator(1, "test level")
    law = SymbolLaw(NAMES, 1000.0)
    sent = rng.choice(constellation("16QAM"), (16, 120))
    noise = rng.normal(scale=math.sqrt(0.5 / 1000), size=(16, 240)).view(complex)
    points = torch.from_numpy((1.3 * (sent + noise)).astype(np.complex64))
    x, level = found.leveled(points, law)
    assert level.numpy() == pytest.approx(1.3, rel=5 / math.sqrt(2 * 1000 * 120))
    assert torch.allclose(x * level, points, rtol=1e-5)


@pytest.mark.parametrize("rolloff", [0.2, 0.5])
def test_the_error_of_the_timing_is_as_derived(rolloff):
    """Of 200 frames at 15 dB a symbol, whose standard deviation is known to 5 %."""
    rng, render = generator(1, "test timing"), replace(SYMBOL, rolloff=rolloff)
    snr, n = 10**1.5, 200
    sent = rng.choice(constellation("QPSK"), (n, 160))
    shaped = shape_pulses(sent, sps=8, response=lambda r: rrc_response(r, rolloff), timing=0.3)
    noise = rng.normal(scale=math.sqrt(0.5 * 8 / snr), size=(n, 2 * SAMPLES)).view(complex)
    iq = (shaped[:, 128:][:, :SAMPLES] + noise).astype(np.complex64)
    timing = views.symbols_of(torch.from_numpy(iq), render).timing.numpy()

    by_noise, by_square = timing_variance(fixed_response(SAMPLES // SPS, render)[0])
    expected = math.sqrt(by_noise / snr + by_square / snr**2)
    assert np.std(timing) == pytest.approx(expected, rel=0.25)


def test_a_sharp_pulse_needs_a_higher_snr():
    least = [
        10 * math.log10(least_snr(fixed_response(128, replace(SYMBOL, rolloff=rolloff))[0]))
        for rolloff in (0.2, 0.35, 0.5)
    ]
    assert least == sorted(least, reverse=True)
    assert all(-3 < one < 4 for one in least)
