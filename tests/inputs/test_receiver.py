"""Each step of the receiver against a closed form or its bound, and the chain on known symbols."""

import numpy as np
import pytest
import torch

from pisces.core.modulations import constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.seeding import generator
from pisces.inputs import views
from pisces.inputs.receiver import carrier, equalizer, timing
from pisces.inputs.receiver.long import EDGE
from pisces.inputs.receiver.spectrum import band_rates, occupied_band
from pisces.sources.modulators import shape_symbols
from tests.conftest import RENDER
from tests.inputs.signals import (
    EPS,
    ROLLOFF,
    SPS,
    Sent,
    beside,
    db,
    error_vector_db,
    matched,
    receive,
    received,
    send,
    tensor,
    white,
)

SYMBOLS = 128
STD = RENDER.carrier_offset_std


def response_of(rolloff: float | None, symbols: int = SYMBOLS) -> torch.Tensor:
    """Of a root-raised cosine, or of the pulse of RML2018.01A: float32 (1, 2 * symbols)."""
    rates = band_rates(symbols).double().numpy()
    response = rml2018_response(rates) if rolloff is None else rrc_response(rates, rolloff)
    return torch.from_numpy(response).float()[None]


def band_of(iq: np.ndarray, symbols: int = SYMBOLS) -> torch.Tensor:
    return occupied_band(torch.fft.fft(tensor(iq)), symbols)


def timing_errors(sent: Sent, found: torch.Tensor, period: float = 1.0) -> np.ndarray:
    """Symbols by which timings (n, 1) are late, to the nearest instant of a period."""
    late = (found.numpy() - sent.first)[:, 0]
    return (late + period / 2) % period - period / 2


# Timing


@pytest.mark.parametrize("sps", [2, 5, 8])
@pytest.mark.parametrize("rolloff", [0.2, 0.35, 1.0])
@pytest.mark.parametrize("modulation", ["QPSK", "16QAM"])
def test_timing_of_periodic_signals_is_exact(modulation, rolloff, sps):
    """Every product of the two halves of their band turns by the timing alone."""
    rng = generator(1, "test periodic", modulation, sps)
    sent = rng.choice(constellation(modulation), (7, 64))
    true = np.array([-2.3, -0.49, -0.2, 0.0, 0.123, 0.49, 7.4])[:, None]
    iq = 3 * shape_symbols(sent, sps=sps, rolloff=rolloff, timing=true)

    found = timing.timing_of(band_of(iq, 64), response_of(rolloff, 64))
    late = (found.timing.numpy() - true + 0.5) % 1 - 0.5
    # The window that leaves the ends out breaks the period: the edges of the band are even, so
    # that what it mixes is in phase. What is left is rounding, on a line of beta / 8 of the power.
    assert np.abs(late).max() < 16 * EPS * 8 / rolloff * np.log2(64 * sps)


def test_beats_against_sums_written_out(frames):
    symbols, rolloff = frames.shape[1] // SPS, 0.35
    beats = timing.beats_of(band_of(frames, symbols), response_of(rolloff, symbols))

    k, n = np.arange(symbols), np.arange(frames.shape[1])
    rates = k / symbols
    spectra = {
        shift: frames @ np.exp(-2j * np.pi * np.outer(n / SPS, rates + shift)) for shift in (0, -1)
    }
    waves = np.exp(2j * np.pi * np.outer(rates, k)) / symbols
    above = (spectra[0] * rrc_response(1 - rates, rolloff)) @ waves
    below = (spectra[-1] * rrc_response(rates, rolloff)) @ waves
    for beat, expected in zip(beats, (above * below.conj(), above**2, below**2), strict=True):
        error = np.abs(beat.numpy() - expected).max(1)
        assert (error < 30 * EPS * np.abs(expected).max(1) + 1e-6).all()


def timing_bound(response: np.ndarray, snr_db: float) -> float:
    """Standard deviation of the timing in white noise, in symbols.

    The line is the sum over the frequencies of |S|^2 G^2, where G = P(f) P(1 - f) is what either
    edge is after the filter. Noise in one edge meets the signal, and the noise, in the other.
    """
    mirrored, own = np.split(response, 2)
    edge, fold = own * mirrored, own**2 + mirrored**2
    signal, noise = 1 / fold.mean(), 10 ** (-snr_db / 10) / SPS

    window = torch.signal.windows.hann(32, sym=False)[:16].numpy()  # the ends of a quarter
    weights = np.concatenate([window, np.ones(96), window[::-1]])
    counted = weights.sum() ** 2 / np.square(weights).sum()

    disturbed = signal * noise * np.mean(edge**2 * fold) + noise**2 * np.mean(edge**2)
    line = signal * np.mean(edge**2)
    return np.sqrt(disturbed / 2 / counted) / line / (2 * np.pi)


@pytest.mark.parametrize("snr_db", [10, 20])
@pytest.mark.parametrize("rolloff", [None, 0.2, 0.35, 0.5])
def test_timing_scatters_as_theory_says(rolloff, snr_db):
    """400 frames tell a standard deviation to 3.5 %; noise of the symbols' own adds a little."""
    sent = send("QPSK", 400, snr_db, rolloff=rolloff and (rolloff, rolloff))
    response = response_of(rolloff)
    errors = timing_errors(sent, timing.timing_of(band_of(sent.iq), response).timing)
    bound = timing_bound(response[0].double().numpy(), snr_db)
    assert np.std(errors) == pytest.approx(bound, rel=0.2)
    assert abs(np.mean(errors)) < 5 * bound / np.sqrt(400)


@pytest.mark.parametrize("modulation", ["QPSK", "256QAM", "4ASK"])
@pytest.mark.parametrize("rolloff", [None, 0.2, 0.45])
def test_symbols_do_not_disturb_their_timing(modulation, rolloff):
    """A filter that is not even about the edge of the band leaves .0026 (roll-off .2, and twin)."""
    sent = send(modulation, 100, np.inf, rolloff=rolloff and (rolloff, rolloff))
    found = timing.timing_of(band_of(sent.iq), response_of(rolloff))
    assert np.abs(timing_errors(sent, found.timing)).max() < 0.002
    assert found.drift.abs().max() < 0.01


def test_staggered_frames_open_the_eye_of_i_or_q():
    """Instants of I and Q are half a symbol apart; the power, where neither beats, has no line."""
    sent = send("OQPSK", 100, 20)
    found = timing.timing_of(band_of(sent.iq), response_of(None))
    assert np.std(timing_errors(sent, found.timing, period=0.5)) < 0.02
    assert not found.drift.any()

    nearer = np.abs(timing_errors(sent, found.timing)) < 0.25
    assert 20 < nearer.sum() < 80


def test_the_open_rail_of_oqpsk_is_clean():
    """I, or else Q, is a linear function of the points but for -27 dB or so, as of QPSK."""
    sent = send("OQPSK", 60, 20)
    found = receive(sent)
    points = torch.view_as_real(found.points).double().numpy()  # (n, symbols, 2)

    rails = []
    for stagger, part in ((0, np.real), (0.5, np.imag)):
        rail = Sent(sent.iq, part(sent.symbols) * np.sqrt(2), sent.first + stagger)
        ideal = beside(rail, found.timing.numpy(), points.shape[1], EDGE)
        fits = [np.linalg.lstsq(x, y)[1][0] for x, y in zip(points, ideal, strict=True)]
        rails.append(db(np.array(fits) / points.shape[1]))
    open_db, closed_db = np.sort(rails, axis=0)
    assert np.median(open_db) < -24
    assert np.median(closed_db) > -6


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


# Equaliser


def periodic(rolloff: float | None, true: float) -> tuple[np.ndarray, torch.Tensor]:
    """16QAM symbols (6, 128) and the spectrum of their signal, one period of a periodic one."""
    sent = generator(1, "test equaliser").choice(constellation("16QAM"), (6, SYMBOLS))
    rates = band_rates(SYMBOLS).double().numpy()
    shift = np.exp(-2j * np.pi * true * rates)
    band = SPS * np.tile(np.fft.fft(sent), 2) * response_of(rolloff)[0].double().numpy() * shift
    return sent, torch.from_numpy(band.astype(np.complex64))


def told(power: float) -> torch.Tensor:
    return torch.full((6, 1), power)


@pytest.mark.parametrize("rolloff", [None, 0.2, 1.0])
@pytest.mark.parametrize("true", [-0.4, 0.0, 0.123])
def test_nothing_of_other_symbols_is_left(rolloff, true):
    sent, band = periodic(rolloff, true)
    found = equalizer.equalize(
        band, response_of(rolloff), told(true), signal=told(1), noise=told(0), sps=SPS
    )
    # Rounding of the transforms, divided by a fold of .25 at least, and the least loading.
    assert np.abs(found.points.numpy() - sent).max() < 64 * EPS
    assert found.disturbance.max() < 1e-6


def test_zero_forcing_enhances_noise_by_the_mean_of_one_over_the_fold():
    """White noise of unit power, 200 frames of 128 points: known to 4.34 / 160 = 0.03 dB."""
    band = band_of(white((200, SYMBOLS * SPS), "enhanced"))
    response = response_of(None)
    arguments = {"signal": torch.ones(200, 1), "sps": SPS}
    forced = equalizer.equalize(
        band, response, torch.zeros(200, 1), noise=torch.zeros(200, 1), **arguments
    )
    own, mirrored = np.split(response[0].double().numpy(), 2)
    fold = own**2 + mirrored**2
    enhanced = np.mean(1 / fold) / SPS
    power = np.mean(np.abs(forced.points.numpy()) ** 2)
    assert db(power / enhanced) == pytest.approx(0, abs=0.15)
    assert db(enhanced * SPS * fold.mean()) > 0.5  # over a flat fold of the same energy


@pytest.mark.parametrize("snr_db", [-5, 5, 20])
def test_least_mean_square_error_is_below_zero_forcing_and_is_what_is_told(snr_db):
    sent, band = periodic(None, 0.0)
    response, noise = response_of(None), 10 ** (-snr_db / 10)
    signal = float(response.square().sum() / SYMBOLS)  # of symbols of unit power
    noisy = band + np.sqrt(noise * signal) * band_of(white((6, SYMBOLS * SPS), "mmse"))

    errors = []
    for known in (0.0, noise * signal):
        found = equalizer.equalize(
            noisy, response, told(0), signal=told(signal), noise=told(known), sps=SPS
        )
        points = found.points.numpy()
        errors.append(np.mean(np.abs(points - sent) ** 2))
    assert errors[1] < errors[0] * (1 + 0.02 * (snr_db > 10))  # they meet at high SNR

    gain = np.sum(points * sent.conj()).real / np.sum(np.abs(sent) ** 2)
    disturbance = np.mean(np.abs(points - gain * sent) ** 2)
    # 768 points: known to 4.34 / 28 = 0.16 dB.
    assert db(disturbance / found.disturbance.mean().item()) == pytest.approx(0, abs=0.8)


def test_with_a_root_raised_cosine_it_is_the_matched_filter(frames):
    symbols = frames.shape[1] // SPS
    one = torch.ones(len(frames), 1)
    found = equalizer.equalize(
        band_of(frames, symbols),
        response_of(ROLLOFF, symbols),
        0.2 * one,
        signal=one,
        noise=0 * one,
        sps=SPS,
    )
    expected = matched(frames, SPS, ROLLOFF, (np.arange(symbols) + 0.2) * SPS)
    assert np.abs(found.points.numpy() - expected).max() < 32 * EPS * np.abs(expected).max()


# Drift


@pytest.mark.parametrize(("snr_db", "cost_db"), [(12, 1.0), (20, 1.5), (30, 4.0)])
def test_a_clock_that_drifts_is_followed(snr_db, cost_db):
    """By 0.128 symbols over the frame, which costs 4 dB at 20 dB where it is not."""
    steady, drifting = (
        np.median(error_vector_db(sent, receive(sent)))
        for sent in (send("QPSK", 100, snr_db, clock_ppm=ppm) for ppm in (0, 1000))
    )
    assert drifting < steady + cost_db


@pytest.mark.parametrize("snr_db", [0, 10, 20, 60])
@pytest.mark.parametrize("modulation", ["QPSK", "64QAM"])
def test_frames_without_drift_lose_nothing_by_it(modulation, snr_db, monkeypatch):
    sent = send(modulation, 200, snr_db)
    with_it = error_vector_db(sent, receive(sent))
    monkeypatch.setattr(timing, "MOST_DRIFT", 0.0)
    without = error_vector_db(sent, receive(sent))
    assert np.mean(with_it) < np.mean(without) + 0.15
    assert np.median(with_it) < np.median(without) + 0.05


def test_drift_is_found_as_large_as_it_is():
    sent = send("16QAM", 100, 40, clock_ppm=1000)
    drift = timing.timing_of(band_of(sent.iq), response_of(None)).drift
    assert np.median(drift) == pytest.approx(-0.128, rel=0.1)  # symbols come ever earlier


# Carrier


def offset_points(
    modulation: str, frames: int, snr_db: float, offset: np.ndarray | float
) -> torch.Tensor:
    """Symbols (frames, 120) of any phase, turning by an offset in cycles a symbol, in noise."""
    rng = generator(1, "test carrier", modulation, str(snr_db))
    points = rng.choice(constellation(modulation), (frames, 120))
    turns = rng.random((frames, 1)) + offset * np.arange(120)
    noise = 10 ** (-snr_db / 20) * white((frames, 120), "carrier")
    return tensor(points * np.exp(2j * np.pi * turns) + noise)


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "8PSK"])
def test_offsets_of_psk_are_found_to_their_bound(modulation):
    """20 dB over the whole band are 29 a symbol.

    Cramer and Rao: var f >= 6 / ((2 pi)^2 SNR N (N^2 - 1)). Phases alone lose nothing at high SNR.
    Interpolation between the bins of each order adds less than the bound itself.
    """
    std = STD * SPS
    true = std * generator(1, "test offsets").normal(size=(400, 1))
    found = carrier.find_carrier(offset_points(modulation, 400, 29, true), std)
    bound = np.sqrt(6 / ((2 * np.pi) ** 2 * 10**2.9 * 120 * (120**2 - 1)))
    assert np.std(found.offset.numpy() - true) < 2 * bound
    assert bound < std / 20
    assert not found.beyond.any()


@pytest.mark.parametrize("symbols", [24, 31, 120])
def test_offsets_of_either_sign_are_found_in_odd_and_even_frames(symbols):
    """Without noise, to a twentieth of a cycle over the frame; of no more than the prior has."""
    std = 0.1 / symbols
    true = np.linspace(-2 * std, 2 * std, 101)[:, None]
    points = offset_points("QPSK", 101, 60, true)[:, :symbols]
    found = carrier.find_carrier(points, std)
    assert np.abs(found.offset.numpy() - true).max() < 0.05 / symbols


def test_noise_alone_gets_hardly_an_offset():
    """Chance lines stand no higher than the prior's fall within a few standard deviations."""
    std = STD * SPS
    found = carrier.find_carrier(tensor(white((400, 120), "no line")), std)
    assert found.offset.abs().median() < 1.5 * std
    assert found.beyond.float().mean() < 0.01


@pytest.mark.parametrize("modulation", ["64APSK", "32PSK"])
def test_chance_lines_of_many_orders_do_not_add_up(modulation):
    """6 dB over the whole band are 15 a symbol, where the lines of these two drown.

    Counted in full, the evidence of six powers of the same noise puts 14 and 27 % of the frames a
    tenth of a cycle off.
    """
    std = STD * SPS
    true = std * generator(1, "test chance lines").normal(size=(600, 1))
    found = carrier.find_carrier(offset_points(modulation, 600, 15, true), std)
    assert np.mean(np.abs(found.offset.numpy() - true) > 0.1 / 120) < 0.13


@pytest.mark.parametrize("modulation", ["QPSK", "16QAM", "64QAM", "32APSK", "16PSK"])
def test_ten_times_the_expected_offset_is_followed(modulation):
    std = STD * SPS
    true = 10 * std * np.repeat([[-1], [1]], 50, axis=0)
    found = carrier.find_carrier(offset_points(modulation, 100, 29, true), std)
    # A twentieth of a cycle over the frame.
    assert np.mean(np.abs(found.offset.numpy() - true) < 0.05 / 120) > 0.9


@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "8PSK"])
def test_offsets_beyond_the_search_are_marked(modulation):
    std = STD * SPS
    for factor, marked in ((0, 0), (25, 0), (40, 1), (150, 1)):
        found = carrier.find_carrier(offset_points(modulation, 100, 29, factor * std), std)
        assert found.beyond.float().mean() == pytest.approx(marked, abs=0.02), factor


@pytest.mark.parametrize("modulation", ["QPSK", "16QAM", "128QAM"])
def test_canonical_phase_forgets_every_turn_but_quarters(modulation):
    points = offset_points(modulation, 20, 30, 0.0)
    canonical = carrier.canonical_phase(points)
    fourth = (canonical.to(torch.complex128) ** 4).sum(1)
    assert (fourth.real / fourth.abs()).max() < -1 + 1e-4
    for turn in (0.3, 1.0, 2.9):
        again = carrier.canonical_phase(points * np.exp(1j * turn))
        quarters = (again / canonical).angle() / (np.pi / 2)
        assert (quarters - quarters.round()).abs().max() < 1e-3
    # No turn, where none is needed: not to the other side of a branch.
    assert (carrier.canonical_phase(canonical) - canonical).abs().max() < 1e-4


# Chain


@pytest.mark.parametrize(
    ("snr_db", "rolloff", "least"),
    [
        (-5, ROLLOFF, 0.94),
        (0, ROLLOFF, 0.97),
        (10, ROLLOFF, 0.99),
        (30, ROLLOFF, 0.99),
        (-5, None, 0.92),
        (0, None, 0.97),
        (10, None, 0.99),
        (30, None, 0.99),
    ],
)
def test_symbols_have_unit_power_whatever_the_noise(snr_db, rolloff, least):
    """A timing that scatters (by .1 symbols at -5 dB on the twin) loses some of it."""
    sent = send("16QAM", 200, snr_db, rolloff=rolloff and (rolloff, rolloff))
    found = receive(sent, "rml2018" if rolloff is None else "rrc")
    points = found.points.numpy()
    ideal = beside(sent, found.timing.numpy(), points.shape[1], EDGE)
    gain = np.abs(np.sum(points * ideal.conj(), 1)) / np.sum(np.abs(ideal) ** 2, 1)
    assert least < np.mean(gain) < 1.02


@pytest.mark.parametrize(("snr_db", "most_db"), [(60, -39), (30, -35.5), (20, -27), (10, -17.5)])
@pytest.mark.parametrize("modulation", ["QPSK", "64QAM"])
def test_error_vector_with_the_pulse_known(modulation, snr_db, most_db):
    """Of the twin, whose own carrier offsets the chain has to find."""
    offset = STD * generator(1, "test evm").normal(size=(60, 1))
    sent = send(modulation, 60, snr_db, carrier_offset=offset)
    assert np.median(error_vector_db(sent, receive(sent))) < most_db


@pytest.mark.parametrize("snr_db", [10, 20, 60])
@pytest.mark.parametrize("rolloff", [0.2, 0.5])
def test_root_raised_cosines_come_out_to_their_noise(rolloff, snr_db):
    """The matched filter gathers the noise of sps samples: -SNR - 9.03 dB, -50 dB at best."""
    sent = send("QPSK", 60, snr_db, rolloff=(rolloff, rolloff))
    error_db = np.median(error_vector_db(sent, receive(sent, "rrc", rolloff=rolloff)))
    assert error_db < max(-snr_db - db(SPS) + 0.5, -50)


@pytest.mark.parametrize(("snr_db", "most_db"), [(60, -40), (30, -34), (20, -26), (10, -16)])
@pytest.mark.parametrize("modulation", ["BPSK", "QPSK", "16QAM"])
def test_short_frames_keep_all_their_symbols(modulation, snr_db, most_db):
    sent = send(modulation, 100, snr_db, symbols=16)
    found = receive(sent)
    assert found.points.shape == (100, 16)
    assert np.median(error_vector_db(sent, found, left_out=0)) < most_db


@pytest.mark.parametrize("symbols", [16, 32, 128, 512])
@pytest.mark.parametrize("sps", [2, 3, 8, 16])
def test_any_length_and_rate_comes_out(symbols, sps):
    """At 2 samples a symbol no band shows the noise, and none is told to the equaliser."""
    sent = send("QPSK", 40, 25, symbols=symbols, sps=sps)
    left_out = 0 if symbols <= 24 else EDGE
    found = receive(sent, sps=sps)
    assert found.points.shape == (40, symbols - 2 * left_out)
    assert np.median(error_vector_db(sent, found, left_out)) < -20


@pytest.mark.parametrize("pulse", ["rml2018", "rrc", "chosen"])
@pytest.mark.parametrize("samples", [128, 256, 1024])
def test_odd_frames_have_no_nan(pulse, samples):
    impulse = np.zeros(samples)
    impulse[samples // 3] = 1
    half = np.ones(samples)
    half[samples // 2 :] = 0
    odd = np.stack([impulse, half, np.ones(samples), 1e-3 * white((samples,), "odd")])
    found = receive(Sent(odd, odd, odd), pulse)
    assert all(one.isfinite().all() for one in found)
