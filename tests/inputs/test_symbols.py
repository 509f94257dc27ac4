"""Symbols against sums written out in float64, and against what a receiver knows of timing."""

import numpy as np
import pytest

from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.sources.modulators import shape_symbols
from tests.conftest import SAMPLES
from tests.inputs.signals import EPS, ROLLOFF, SPS, clean, matched, received, square_law, tensor


def slow_symbols(iq: np.ndarray, sps: int, rolloff: float) -> np.ndarray:
    timing = -np.angle(square_law(iq, sps, rolloff)) / (2 * np.pi)
    k = np.arange(views.EDGE, iq.shape[1] // sps - views.EDGE)
    points = matched(iq, sps, rolloff, (k + timing[:, None]) * sps)
    return points / np.sqrt(np.mean(np.abs(points) ** 2, axis=1, keepdims=True))


@pytest.mark.parametrize(("sps", "rolloff"), [(8, 0.35), (4, 0.2), (16, 1.0), (2, 0.35)])
def test_symbols_against_the_sums_written_out(frames, sps, rolloff):
    points, expected = (
        views.symbol(tensor(frames), sps, rolloff).numpy(),
        slow_symbols(frames, sps, rolloff),
    )
    assert points.shape == (60, SAMPLES // sps - 2 * views.EDGE)
    # A Fourier transform rounds by about log2(256) eps, there and back; the timing turns with the
    # rounding of a line that weak.
    tolerance = 16 * EPS * (1 + 1 / np.abs(square_law(frames, sps, rolloff)))
    assert (np.abs(points - expected).max(axis=1) < tolerance).all()


# Timing


@pytest.mark.parametrize("modulation", ["QPSK", "16QAM"])
@pytest.mark.parametrize("rolloff", [0.2, 0.35, 1.0])
@pytest.mark.parametrize("sps", [2, 5, 8])
def test_symbols_come_out_as_they_were_sent(modulation, sps, rolloff):
    """On a periodic signal the square law has no noise of its own.

    Every product of two halves of the band turns by the timing alone.
    """
    rng = generator(1, "test sent", modulation, sps)
    for timing in (-2.3, -0.49, -0.2, 0.0, 0.123, 0.49, 7.4):
        sent = rng.choice(constellation(modulation), (6, 64))
        iq = (
            3
            * shape_symbols(sent, sps=sps, rolloff=rolloff, timing=timing)
            * np.exp(2j * np.pi * rng.random((6, 1)))
        )
        points = views.symbol(tensor(iq), sps, rolloff).numpy()
        expected = np.roll(sent, round(timing), axis=1)[
            :, views.EDGE : -views.EDGE
        ]  # timings are within half a symbol
        phase = np.sum(points * expected.conj(), axis=1, keepdims=True)
        expected = (
            expected
            * phase
            / np.abs(phase)
            / np.sqrt(np.mean(np.abs(expected) ** 2, axis=1, keepdims=True))
        )
        # Rounding of the two transforms; an error of the timing by 1e-5 symbols would show as 2e-5
        # (see `slopes`).
        assert np.abs(points - expected).max() < EPS * (np.log2(64 * sps) + np.log2(64))


def slopes(symbols: np.ndarray, rolloff: float) -> np.ndarray:
    """Slopes (n, k), per symbol, of the raised-cosine signal of `symbols` (n, k) at their instants.

    At a distance of m symbols the pulse, sinc(t) cos(pi beta t) / (1 - (2 beta t)^2), falls through
    zero with the slope below.
    """
    k, itself = np.arange(symbols.shape[1]), np.eye(symbols.shape[1])
    m = k - k[:, None] + itself
    slope = np.cos(np.pi * m) / m * np.cos(np.pi * rolloff * m) / (1 - (2 * rolloff * m) ** 2)
    return symbols @ (slope * (1 - itself))


def timing_error(points: np.ndarray, sent: np.ndarray, slope: np.ndarray) -> float:
    """Symbols by which `points` (k,) were taken late, by least squares.

    It is y(t + e) = y(t) + e y'(t), up to a complex gain.
    """
    gain, bent = np.linalg.lstsq(np.stack([sent, slope], axis=1), points)[0]
    return (bent / gain).real


@pytest.mark.parametrize("error", [-0.02, 0.05])
def test_known_timing_errors_are_measured(error):
    sent = generator(1, "test known").choice(constellation("16QAM"), (1, 64))
    late = matched(
        shape_symbols(sent, sps=SPS, rolloff=ROLLOFF, timing=0.0),
        SPS,
        ROLLOFF,
        (np.arange(64) + error) * SPS,
    )
    used = slice(8, -8)  # `slopes` knows no symbols beyond the ends
    # The next term, e^2 / 2 y'', is as uneven as the symbols; 48 of them average it out to a few
    # percent of e.
    assert timing_error(
        late[0, used] * 1j, sent[0, used], slopes(sent, ROLLOFF)[0, used]
    ) == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("modulation", ["QPSK", "256QAM"])
@pytest.mark.parametrize("rolloff", [0.22, 0.35, 0.45])
@pytest.mark.parametrize("n", [64, 128])
def test_timing_of_frames_cut_out_of_a_signal(modulation, rolloff, n):
    """About one symbol's power at either end is wrong.

    The filter takes the frame's end for what came before its start.

    The line of n symbols has n (beta / 8) of the symbols' power (the integral of cos^2 sin^2 over
    the roll-off), so that as much as a whole symbol beside it turns the timing by at most 8 / (2 pi
    beta n) symbols.
    """
    rng = generator(1, "test cut", modulation, int(100 * rolloff))
    sent, timing = (
        rng.choice(constellation(modulation), (40, n + 32)),
        rng.uniform(-0.4, 0.4, (40, 1)),
    )
    iq = shape_symbols(sent, sps=SPS, rolloff=rolloff, timing=timing)[:, 16 * SPS : -16 * SPS]
    points = views.symbol(tensor(iq), SPS, rolloff).numpy()
    used = slice(16 + views.EDGE, -16 - views.EDGE)
    parts = zip(points, sent[:, used], slopes(sent, rolloff)[:, used], strict=True)
    errors = [timing_error(*part) for part in parts]
    assert np.abs(errors).max() < 8 / (2 * np.pi * rolloff * n)
    assert np.std(errors) > 1e-4  # what is measured is not rounding


# Staggered I and Q


@pytest.mark.parametrize("rolloff", [0.2, 0.35, 0.5])
def test_square_law_line_of_oqpsk_vanishes(rolloff):
    """The lines of I and Q, half a symbol apart, are opposite.

    Those of QPSK add to (beta / 8) / (1 - beta / 4) of the power.
    """
    rng, n, symbols = generator(1, "test line", int(100 * rolloff)), 60, 64
    i, q = rng.choice((-1.0, 1.0), (2, n, symbols))

    def mean_line(stagger: float) -> complex:
        iq = shape_symbols(i, sps=4, rolloff=rolloff, timing=0.1) + 1j * shape_symbols(
            q, sps=4, rolloff=rolloff, timing=0.1 + stagger
        )
        return square_law(iq, 4, rolloff).mean() * np.exp(2j * np.pi * 0.1)

    line = rolloff / 8 / (1 - rolloff / 4)
    # Each of the beta * symbols products of a frame scatters by as much as its mean, weighted by
    # sin^2 (whose square's mean is 3/2).
    scatter = line * np.sqrt(1.5 / (n * rolloff * symbols))
    assert abs(mean_line(0.0) - line) < 5 * scatter
    assert abs(mean_line(0.5)) < 5 * scatter < line / 2


def spread(points: np.ndarray) -> np.ndarray:
    """Standard deviation of the power of the points over its mean, of each frame."""
    power = np.abs(points) ** 2
    return power.std(axis=1) / power.mean(axis=1)


def test_symbols_of_qpsk_have_one_radius_and_those_of_oqpsk_have_not():
    """20 dB over the whole band are 29 after the matched filter.

    So the power of QPSK spreads by 2 sqrt(10^-2.9 / 2) = 0.05.

    Where I of OQPSK is open, Q is half-way: a sum of random signs times the pulse g there. Its
    power has the variance 2 ((sum g^2)^2 - sum g^4), which makes 0.48 of all power for beta = 0.35;
    a frame of 120 symbols finds it to about 0.04.
    """
    qpsk, oqpsk = (
        views.symbol(tensor(received(modulation, 60)), SPS, ROLLOFF).numpy()
        for modulation in ("QPSK", "OQPSK")
    )
    assert spread(qpsk).max() < 0.1
    assert spread(oqpsk).min() > 0.25


def test_oqpsk_is_four_clusters_at_no_timing():
    symbols = np.arange(views.EDGE, 1024 // SPS - views.EDGE)
    timings = np.arange(0, 1, 1 / 16)
    instants = (symbols + timings[:, None]).ravel() * SPS

    best = {}
    for modulation in ("QPSK", "OQPSK"):
        iq = clean(modulation, 2, (ROLLOFF, ROLLOFF))
        points = matched(iq, SPS, ROLLOFF, instants).reshape(2, len(timings), -1)
        best[modulation] = np.min([spread(points[:, i]) for i in range(len(timings))], axis=0)
    assert best["OQPSK"].min() > 0.25
    assert best["QPSK"].max() < 0.15  # at most 1/32 of a symbol off


def test_differential_over_half_a_symbol_tells_oqpsk_from_qpsk():
    """QPSK goes through the centre, about once in four symbols, and OQPSK never does.

    It does so where I and Q change sign together.

    Of 400 frames of each, QPSK had 1.2 to 5.5 % of its points within 0.2 of the centre, OQPSK 0.1 %
    at most.
    """
    near = {
        modulation: (views.differential(tensor(received(modulation, 60)), SPS // 2).abs() < 0.2)
        .float()
        .mean(1)
        for modulation in ("QPSK", "OQPSK")
    }
    assert near["QPSK"].min() > 0.008
    assert near["OQPSK"].max() < 0.002
