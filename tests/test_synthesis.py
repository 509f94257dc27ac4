import pickle
from dataclasses import asdict
from functools import partial

import h5py
import numpy as np
import pytest
from scipy.special import erf

from pisces.core import modulations, shards
from pisces.core.dsp import noise_power
from pisces.core.modulations import (
    ANALOG,
    DIGITAL,
    MODULATIONS,
    NAMES,
    RML2016,
    TWINS,
    constellation,
)
from pisces.core.pulses import rrc_response
from pisces.core.seeding import generator
from pisces.sources import sharding, synthesis
from pisces.sources.chain import multipath_response
from pisces.sources.modulators import analog, audio, gmsk, shape_symbols
from pisces.sources.settings import MultipathSettings, Selection, SynthesisSettings
from pisces.sources.synthesis import clean_frames, synthesize_cell, synthesize_file
from tests.physics import TEXTBOOK, physics

SPS = TEXTBOOK.sps
SHORT = physics(samples=128)
REAL_VALUED = ("OOK", "4ASK", "8ASK", "BPSK", "AM-DSB-WC", "AM-DSB-SC")
LINEAR = ("OOK", *DIGITAL)
RICIAN = MultipathSettings(k_factor_db=3.0, paths=4, delay_spread=2.0)


def generators(count, *identity):
    return [generator(7, "test", *identity, i) for i in range(count)]


def clean(modulation, count, **changes):
    return clean_frames(modulation, generators(count, modulation), physics(**changes))


def power_spectrum(iq):
    """Mean power is kept; the Hann window keeps the signal from leaking into the noise floor."""
    window = np.hanning(iq.shape[-1])
    return np.abs(np.fft.fft(iq * window)) ** 2 / np.sum(window**2)


def line(values, frequency):
    """Amplitude of the tone at `frequency`, one a frame."""
    return np.mean(values * np.exp(-2j * np.pi * frequency * np.arange(values.shape[-1])), axis=-1)


# Pulse shape


@pytest.mark.parametrize("rolloff", [0.1, 0.35, 1.0])
def test_two_rrc_filters_satisfy_nyquist(rolloff):
    frequency = np.linspace(-0.5, 0.5, 1001)
    aliases = frequency[:, None] + np.arange(-SPS, SPS + 1) / SPS
    assert np.sum(rrc_response(aliases * SPS, rolloff) ** 2, axis=1) == pytest.approx(1, abs=1e-12)
    assert rrc_response(np.array([0.5]), rolloff) ** 2 == pytest.approx(0.5, abs=1e-12)
    beyond = np.abs(frequency) > (1 + rolloff) / (2 * SPS)
    assert rrc_response(frequency * SPS, rolloff)[beyond] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("modulation", LINEAR)
def test_matched_filter_at_the_known_timing_returns_the_symbols(modulation):
    rng = generator(7, "symbols", modulation)
    symbols = rng.choice(constellation(modulation), (3, 64))
    timing, rolloff = np.array([[0.0], [0.37], [0.81]]), np.array([[0.2], [0.35], [0.5]])
    block = shape_symbols(symbols, sps=SPS, rolloff=rolloff, timing=timing)
    frequency = np.fft.fftfreq(block.shape[-1])
    advanced = np.fft.fft(block) * np.exp(2j * np.pi * frequency * timing * SPS)
    received = np.fft.ifft(advanced * rrc_response(frequency * SPS, rolloff))[:, ::SPS]
    assert np.abs(received - symbols).max() < 1e-12
    # One root-raised cosine alone is not free of intersymbol interference.
    assert np.abs(np.fft.ifft(advanced)[:, ::SPS] - symbols).max() > 0.1


def test_shaping_keeps_the_power_of_the_symbols():
    symbols = generator(7, "power").choice(constellation("16PSK"), (200, 128))
    block = shape_symbols(symbols, sps=SPS, rolloff=0.35, timing=0.0)
    # Over one block the power fluctuates by less than 1/sqrt(128).
    assert np.mean(np.abs(block) ** 2) == pytest.approx(1, abs=5 / np.sqrt(128 * 200))


def test_half_power_bandwidth_is_the_symbol_rate():
    spectrum = power_spectrum(clean("16QAM", 400)).mean(axis=0)
    edge = 1024 // (2 * SPS)
    # The raised cosine is odd about its half-power point, so the mean of 9 bins is still 1/2,
    # whatever the roll-off.
    at_edge = np.concatenate(
        [spectrum[edge - 4 : edge + 5], spectrum[-edge - 4 : -edge + 5]]
    ).mean()
    # 400 frames of 18 bins, of which the window leaves half independent: 5/sqrt(3600) of the mean.
    assert at_edge / spectrum[1:30].mean() == pytest.approx(0.5, rel=5 / np.sqrt(3600))


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_99_percent_of_the_power_is_in_band(modulation):
    spectrum = power_spectrum(clean(modulation, 50))
    in_band = spectrum[:, np.abs(np.fft.fftfreq(1024)) < 0.09].sum(axis=1) / spectrum.sum(axis=1)
    assert in_band.mean() > 0.99
    if modulation in LINEAR:
        assert in_band.min() > 0.99


# Noise


@pytest.mark.parametrize("snr_db", [-20, 0, 10, 30])
@pytest.mark.parametrize("modulation", ["64QAM", "AM-SSB-WC", "GMSK"])
def test_measured_snr_is_that_of_the_label(modulation, snr_db):
    frames = range(20)
    noisy = synthesize_cell(modulation, snr_db, frames, TEXTBOOK, seed=3)
    rngs = [generator(3, "synthesize", modulation, snr_db, i) for i in frames]
    signal = clean_frames(modulation, rngs, TEXTBOOK)
    noise = noisy * np.sqrt(1 + 10 ** (-snr_db / 10)) - signal
    # The mean of N exponential powers has the relative deviation 1/sqrt(N): 4.34/sqrt(N) dB, taken
    # five times.
    tolerance_db = 5 * 4.34 / np.sqrt(noise.size)
    assert np.mean(np.abs(signal) ** 2, axis=1) == pytest.approx(1, abs=1e-12)
    assert -10 * np.log10(np.mean(np.abs(noise) ** 2)) == pytest.approx(snr_db, abs=tolerance_db)
    # Circular: I and Q have half of the power each and are uncorrelated.
    assert abs(np.mean(noise**2)) / np.mean(np.abs(noise) ** 2) < 5 / np.sqrt(noise.size)
    assert np.mean(np.abs(noisy) ** 2) == pytest.approx(1, abs=10 / np.sqrt(noise.size))


@pytest.mark.parametrize("multipath", [None, RICIAN])
@pytest.mark.parametrize("modulation", MODULATIONS)
def test_noise_floor_out_of_band_gives_the_snr(modulation, multipath):
    noisy = synthesize_cell(modulation, 30, range(10), physics(multipath=multipath), seed=3)
    floor = power_spectrum(noisy)[:, np.abs(np.fft.fftfreq(1024)) > 0.25].mean()
    # Half of 10 x 1024 bins, of which the window leaves half independent.
    assert -10 * np.log10(floor) == pytest.approx(30, abs=5 * 4.34 / np.sqrt(10 * 1024 / 4))


# Lines and envelopes that tell one modulation from another


@pytest.mark.parametrize("modulation", LINEAR + ANALOG)
def test_square_has_a_carrier_line_where_the_modulation_is_real(modulation):
    frames = clean(modulation, 50, carrier_offset_std=0.0)
    strength = np.abs(np.mean(frames**2, axis=-1))
    if modulation in REAL_VALUED:
        assert strength == pytest.approx(1, abs=1e-9)
    elif modulation in DIGITAL:
        # I and Q are alike: what is left is the chance of 128 symbols, of order 1/sqrt(128).
        assert strength.mean() < 2 / np.sqrt(128)


@pytest.mark.parametrize(
    ("modulation", "cumulant"), [("QPSK", 1.0), ("16QAM", 0.68), ("8PSK", 0.0)]
)
def test_fourth_power_has_a_line_of_the_cumulant(modulation, cumulant):
    rolloff = 0.35
    frames = clean(
        modulation, 20, samples=8192, rolloff=(rolloff, rolloff + 1e-9), carrier_offset_std=0.0
    )
    pulse = shape_symbols(np.eye(1, 64), sps=SPS, rolloff=rolloff, timing=0.0).real
    # Cumulants of independent symbols add, each weighted by its pulse to the fourth: the mean over
    # a symbol is |C40| sum(p^4)/sps.
    expected = cumulant * np.sum(pulse**4) / SPS
    # 1024 symbols with E|x|^8 < 5 leave a chance line of sqrt(5/1024) = 0.07 in one frame.
    assert np.abs(np.mean(frames**4, axis=-1)).mean() == pytest.approx(expected, abs=0.07)


@pytest.mark.parametrize(
    ("modulation", "envelope_line", "square_line"), [("QPSK", 1, 0), ("OQPSK", 0, 1)]
)
def test_oqpsk_switches_i_and_q_half_a_symbol_apart(modulation, envelope_line, square_line):
    frames = clean(modulation, 100, samples=8192, rolloff=(0.5, 0.5 + 1e-9), carrier_offset_std=0.0)
    # I^2 and Q^2 each carry a line at the symbol rate of rolloff/pi times their power (the integral
    # of H(f) H(f - 1/sps)). Half a symbol apart these are opposite: they cancel in I^2 + Q^2 =
    # |x|^2 and add up in x^2.
    full = 0.5 / np.pi
    # 1024 symbols leave a chance line of 1/sqrt(1024) = 0.03 in one frame.
    assert np.abs(line(np.abs(frames) ** 2, 1 / SPS)).mean() == pytest.approx(
        envelope_line * full, abs=0.03
    )
    assert np.abs(line(frames**2, 1 / SPS)).mean() == pytest.approx(square_line * full, abs=0.03)


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_only_fm_and_gmsk_have_a_constant_envelope(modulation):
    envelope = np.abs(clean(modulation, 5))
    assert (np.ptp(envelope) < 1e-9) == (modulation in ("FM", "GMSK"))
    assert modulation in ("FM", "GMSK") or np.ptp(envelope, axis=-1).min() > 0.1


def test_gmsk_turns_a_quarter_a_symbol():
    block = gmsk(np.ones((1, 32)), sps=SPS, bt=0.35, timing=0.3)
    assert np.angle(block[:, 1:] / block[:, :-1]) == pytest.approx(np.pi / 2 / SPS, abs=1e-12)


def test_gmsk_changes_its_frequency_as_the_gaussian_filter_does():
    sps, bt, timing = 64, 0.35, 0.25
    block = gmsk(np.repeat([[-1.0, 1.0]], 16, axis=1), sps=sps, bt=bt, timing=timing)
    turned = np.angle(block[0, 1:] / block[0, :-1]) / (np.pi / 2 / sps)  # 1 at the top frequency
    # Half-power bandwidth B of a Gaussian exp(-t^2/(2 s^2)) is sqrt(ln 2)/(2 pi s); its step
    # response is an error function.
    s = np.sqrt(np.log(2)) * sps / (2 * np.pi * bt)
    middle = np.arange(turned.size) + 0.5 - (15.5 + timing) * sps
    near = np.abs(middle) < 5 * sps
    # A mean over one sample differs from the value in its middle by the curvature / 24, below 1/(24
    # s^2).
    assert turned[near] == pytest.approx(erf(middle[near] / (np.sqrt(2) * s)), abs=1 / (24 * s**2))


@pytest.mark.parametrize("bt", [None, 0.35])
def test_gmsk_block_is_periodic(bt):
    block = gmsk(generator(7, "gmsk").choice((-1.0, 1.0), (50, 64)), sps=SPS, bt=bt, timing=0.6)
    # No faster across the seam than the top frequency, a quarter turn a symbol.
    assert np.abs(np.angle(block[:, 0] / block[:, -1])).max() <= np.pi / 2 / SPS + 1e-9


def test_cpfsk_turns_a_quarter_either_way_in_every_symbol():
    symbols = generator(7, "cpfsk").choice((-1.0, 1.0), (3, 16))
    # So that the block leaves the last as it is
    symbols[:, -1] *= np.where(symbols.sum(axis=1) % 4, -1, 1)
    # A timing of -1/2, 0 or 1/2 symbol puts the edges of the symbols, half a symbol from their
    # middles, on samples.
    for timing, shift in ((0.5, 0), (0.0, -SPS // 2), (-0.5, -SPS)):
        block = gmsk(symbols, sps=SPS, bt=None, timing=timing)
        assert np.abs(block) == pytest.approx(1, abs=1e-12)
        edges = np.roll(block, -shift, axis=1)[:, ::SPS]
        turned = np.angle(np.roll(edges, -1, axis=1) / edges)
        assert turned == pytest.approx(np.pi / 2 * symbols, abs=1e-12)
        steps = np.angle(block[:, 1:] / block[:, :-1])
        assert np.abs(steps) == pytest.approx(np.pi / 2 / SPS, abs=1e-12)


def test_cpfsk_between_samples_is_cpfsk_sampled_more_often():
    symbols = generator(7, "cpfsk").choice((-1.0, 1.0), (2, 16))
    timing = np.array([[0.125 / SPS], [3.75 / SPS]])
    # Where the edges are on samples
    often = gmsk(symbols, sps=8 * SPS, bt=None, timing=timing)[:, ::8]
    seldom = gmsk(symbols, sps=SPS, bt=None, timing=timing)
    ratio = seldom / often
    assert np.abs(ratio / ratio[:, :1] - 1).max() < 1e-12


def test_gmsk_differs_from_cpfsk_by_what_its_filter_takes_off_the_edges():
    symbols, bt = np.repeat([[-1.0, 1.0]], 16, axis=1), 8.0
    filtered, sharp = (gmsk(symbols, sps=64, bt=each, timing=0.25) for each in (bt, None))
    ratio = filtered / sharp
    # A Gaussian of deviation s = sqrt(ln 2) / (2 pi bt) symbols moves the area s / sqrt(2 pi) times
    # the step, here 2, from one side of an edge to the other; the rising edge and the falling one
    # do so in opposite directions.
    moved = np.pi / 2 * 2 * 2 * np.sqrt(np.log(2)) / (2 * np.pi * bt) / np.sqrt(2 * np.pi)
    assert np.ptp(np.angle(ratio / ratio[:, :1])) == pytest.approx(moved, rel=0.01)


# Analog


def test_audio_is_analytic_band_limited_and_of_unit_power():
    length = 4096
    signals = np.stack([audio(length, rng=rng) for rng in generators(50, "audio")])
    spectrum = np.abs(np.fft.fft(signals)) ** 2
    frequency = np.fft.fftfreq(length)
    outside = (frequency < 0.0014) | (frequency > 0.0171)
    assert spectrum[:, outside].sum() < 1e-20 * spectrum.sum()
    assert np.mean(signals.real**2, axis=1) == pytest.approx(1, abs=1e-12)
    low, high = (spectrum[:, (frequency > f) & (frequency < 2 * f)].sum() for f in (0.002, 0.008))
    # 1/f has equal power in every octave; that of the lower one, of 8 bins in 50 frames, is known
    # to 5 %.
    assert low / high == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("carrier", ["SC", "WC"])
@pytest.mark.parametrize(("sidebands", "lower_share"), [("SSB", 0.0), ("DSB", 0.5)])
def test_sidebands_and_carrier(sidebands, carrier, lower_share):
    signals = analog(
        f"AM-{sidebands}-{carrier}", np.stack([audio(2048, rng=rng) for rng in generators(5, "am")])
    )
    spectrum = np.abs(np.fft.fft(signals)) ** 2
    frequency = np.fft.fftfreq(2048)
    lower, upper = spectrum[:, frequency < 0].sum(), spectrum[:, frequency > 0].sum()
    assert lower / (lower + upper) == pytest.approx(lower_share, abs=1e-12)
    assert np.abs(signals.mean(axis=1)) == pytest.approx(1 if carrier == "WC" else 0, abs=1e-12)


def test_ssb_frames_have_one_sideband():
    spectrum = power_spectrum(clean("AM-SSB-SC", 50)).sum(axis=0)
    # From the fourth bin below the carrier on, a Hann window leaks less than -40 dB.
    assert spectrum[512:-4].sum() < 1e-4 * spectrum.sum()


def test_fm_frequency_is_the_audio():
    message = audio(2048, rng=generator(7, "fm"))[None]
    frequency = np.angle(analog("FM", message)[:, 1:] / analog("FM", message)[:, :-1]) / (2 * np.pi)
    assert frequency == pytest.approx(0.025 * message.real[:, 1:], abs=1e-12)


# The classes of RML2016.10a


@pytest.mark.parametrize("modulation", RML2016)
def test_frames_of_rml2016_have_unit_power_and_the_envelope_of_their_kind(modulation):
    frames = clean(modulation, 20, samples=128)
    assert frames.shape == (20, 128)
    assert np.mean(np.abs(frames) ** 2, axis=1) == pytest.approx(1, abs=1e-12)
    assert (np.ptp(np.abs(frames)) < 1e-9) == (modulation in ("CPFSK", "GFSK", "WBFM"))
    # A pulse-amplitude or double-sideband signal lies on a line through the origin.
    on_a_line = (
        np.abs(np.mean(clean(modulation, 20, samples=128, carrier_offset_std=0.0) ** 2, axis=1))
        > 1 - 1e-9
    )
    assert on_a_line.all() == (modulation in ("BPSK", "PAM4", "AM-DSB"))


def test_of_the_amplitude_modulations_of_rml2016_one_has_a_carrier():
    share = {
        name: np.abs(clean(name, 50, carrier_offset_std=0.0).mean(axis=1)) ** 2
        for name in ("AM-DSB", "AM-SSB")
    }
    # Audio of RMS 1/3 of the carrier leaves it 0.9 of the power; a frame is 1024 samples of audio
    # from 1.5 periods on.
    assert share["AM-DSB"].mean() == pytest.approx(0.9, abs=0.05)
    assert share["AM-SSB"].mean() < 0.1


@pytest.mark.parametrize(("modulation", "twin"), TWINS.items())
def test_twins_are_the_same_signal_drawn_anew(modulation, twin):
    rngs = [generators(5, "twins") for _ in range(2)]
    assert np.array_equal(
        *(
            clean_frames(name, each, TEXTBOOK)
            for name, each in zip((modulation, twin), rngs, strict=True)
        )
    )
    drawn = [synthesize_cell(name, 10, range(3), TEXTBOOK, seed=1) for name in (modulation, twin)]
    assert not np.any(drawn[0] == drawn[1])


@pytest.mark.parametrize(("modulation", "within"), [("CPFSK", False), ("GFSK", True)])
def test_a_gaussian_filter_keeps_frequency_shift_keying_in_its_band(modulation, within):
    spectrum = power_spectrum(clean(modulation, 100)).mean(axis=0)
    outside = spectrum[np.abs(np.fft.fftfreq(1024)) > 1.5 / SPS].sum() / spectrum.sum()
    assert (outside < 1e-5) == within
    assert within or outside == pytest.approx(msk_power_beyond(1.5), rel=0.2)


def msk_power_beyond(symbol_rates: float) -> float:
    """Share of the power of MSK beyond a frequency on either side: that of its pulses, half a
    cosine over two symbols.
    """
    f = np.arange(0, 50, 1e-3) + 5e-4  # never at 1/4, where the quotient is 0 / 0
    density = (np.cos(2 * np.pi * f) / (1 - 16 * f**2)) ** 2
    return density[f > symbol_rates].sum() / density.sum()


@pytest.mark.parametrize("snr_db", [-4, 0, 10, 18])
def test_short_frames_have_the_snr_of_their_label(snr_db):
    count = 400
    linear = [name for name in RML2016 if name in modulations.LINEAR]
    noisy = np.concatenate(
        [synthesize_cell(name, snr_db, range(count), SHORT, seed=3) for name in linear]
    )
    assert len(linear) == 6
    # The window's quarter of taper leaves 0.85 of 63 bins independent; the median of m exponentials
    # over ln 2 has the relative deviation 1 / (ln 2 sqrt(m)) and the bias 1 / (2 m ln 2). Of the
    # mean over n frames, five deviations; signal power is 1 to 1 / sqrt(128 n), and SNR + 1 = power
    # / noise turns relative errors of the noise into (1 + 1 / SNR) of them.
    m, snr = 0.85 * 63, 10 ** (snr_db / 10)
    noise = np.mean(noise_power(noisy)) * (1 + 1 / snr) * snr
    power = np.mean(np.abs(noisy) ** 2) * (1 + 1 / snr) * snr
    tolerance = 5 / (np.log(2) * np.sqrt(m * len(noisy))) + 1 / (2 * m * np.log(2))
    assert noise == pytest.approx(1, rel=tolerance)
    assert 10 * np.log10(power / noise - 1) == pytest.approx(
        snr_db, abs=4.34 * (tolerance + 5 / np.sqrt(128 * len(noisy))) * (1 + 1 / snr)
    )


# Carrier, timing, channel


def test_carrier_offset_has_the_given_deviation_and_the_phase_is_uniform():
    count, span = 2000, 255
    frames = clean("BPSK", count, samples=span + 1)
    # Without noise BPSK is real but for the carrier; the square removes its sign.
    offset = np.angle((frames[:, -1] * frames[:, 0].conj()) ** 2) / (4 * np.pi * span)
    # Standard error of a standard deviation: 1/sqrt(2 N).
    assert offset.std() == pytest.approx(3.3e-5, rel=5 / np.sqrt(2 * count))
    assert abs(offset.mean()) < 5 * 3.3e-5 / np.sqrt(count)
    carrier = clean("AM-DSB-WC", count, samples=64).mean(axis=1)
    assert abs(np.mean(carrier / np.abs(carrier))) < 5 / np.sqrt(count)


def test_timing_is_uniform_over_a_symbol():
    count = 1000
    clock = line(np.abs(clean("QPSK", count)) ** 2, 1 / SPS)
    assert abs(np.mean(clock / np.abs(clock))) < 5 / np.sqrt(count)


def test_frame_is_not_circular():
    frames = clean("QPSK", 200, rolloff=(0.2, 0.2 + 1e-9))
    together = np.concatenate([frames[:, -1:], frames[:, :1]], axis=1)
    correlation = np.mean(together[:, 0] * together[:, 1].conj())
    neighbours = np.mean(frames[:, 0] * frames[:, 1].conj())
    # Unlike neighbouring samples, one frame's two ends are 1024 samples apart.
    assert abs(correlation) < 5 / np.sqrt(200)
    assert abs(neighbours) > 0.9


@pytest.mark.parametrize("k_factor_db", [-10, 3, 20])
def test_channel_has_unit_power_its_k_factor_and_its_delay_spread(k_factor_db):
    count, spread, k = 4000, 2.0, 10 ** (k_factor_db / 10)
    frequency = np.array([0.0, 1 / (2 * np.pi * spread)])
    settings = MultipathSettings(k_factor_db, paths=4, delay_spread=spread)
    rngs = generators(count, "rician")
    response = np.stack([multipath_response(frequency, settings, rng=rng) for rng in rngs])
    # Rician power: variance (1 + 2K)/(1 + K)^2 around 1.
    assert np.mean(np.abs(response) ** 2, axis=0) == pytest.approx(
        1, abs=5 * np.sqrt((1 + 2 * k) / count) / (1 + k)
    )
    direct = np.sqrt(k / (1 + k))
    assert np.abs(response.mean(axis=0) - direct).max() < 5 / np.sqrt((1 + k) * count)
    scattered = (response - direct) * np.sqrt(1 + k)
    # Over a frequency step d an exponential profile correlates by 1/(1 - 2j pi d spread); a product
    # has deviation near 1, and up to twice that with 4 paths of random delays.
    assert abs(np.mean(scattered[:, 0] * scattered[:, 1].conj()) - 1 / (1 - 1j)) < 10 / np.sqrt(
        count
    )


# Identity and file


def params(**changes):
    fields = asdict(TEXTBOOK) | {"samples": 64}
    grid = {"format": "hdf5", "snrs_db": (-4, 20), "frames_per_cell": 3}
    return SynthesisSettings(**fields | grid | changes)


@pytest.mark.parametrize("modulation", MODULATIONS)
def test_frame_depends_on_its_identity_alone(modulation):
    make = partial(synthesize_cell, physics=physics(multipath=RICIAN))
    five = make(modulation, 10, range(5), seed=1)
    assert np.array_equal(make(modulation, 10, range(3, 5), seed=1), five[3:])
    assert len(np.unique(five[:, 0])) == 5
    assert not np.any(make(modulation, 10, range(5), seed=2) == five)
    assert not np.any(make(modulation, 12, range(5), seed=1) == five)


def test_file_has_the_layout_of_the_real_one(tmp_path):
    target = tmp_path / "new" / "synthetic.hdf5"
    assert synthesize_file(target, params(), seed=1) == 24 * 2 * 3
    with h5py.File(target) as file:
        assert {name: (d.shape, d.dtype, d.chunks) for name, d in file.items()} == {
            "X": ((144, 64, 2), np.float32, None),
            "Y": ((144, 24), np.int64, None),
            "Z": ((144, 1), np.int64, None),
        }
        x, y, z = (file[name][:] for name in "XYZ")
    assert np.array_equal(y, np.repeat(np.eye(24, dtype=int), 6, axis=0))
    assert list(z[:, 0]) == [-4, -4, -4, 20, 20, 20] * 24
    qpsk = synthesize_cell("QPSK", 20, range(3), physics(samples=64), seed=1)
    rows = (y[:, MODULATIONS.index("QPSK")] == 1) & (z[:, 0] == 20)
    assert np.array_equal(x[rows], np.stack([qpsk.real, qpsk.imag], axis=-1))


def test_file_is_the_same_bytes_again_whatever_the_batch(tmp_path, monkeypatch):
    synthesize_file(tmp_path / "a.hdf5", params(), seed=1)
    synthesize_file(tmp_path / "c.hdf5", params(), seed=2)
    monkeypatch.setattr(synthesis, "SAMPLES_AT_ONCE", 2 * 64)
    synthesize_file(tmp_path / "b.hdf5", params(), seed=1)
    a, b, c = ((tmp_path / f"{name}.hdf5").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_more_snrs_and_frames_leave_the_old_frames_as_they_were(tmp_path):
    synthesize_file(tmp_path / "few.hdf5", params(), seed=1)
    synthesize_file(tmp_path / "many.hdf5", params(snrs_db=(-4, 0, 20), frames_per_cell=5), seed=1)
    with h5py.File(tmp_path / "few.hdf5") as few, h5py.File(tmp_path / "many.hdf5") as many:
        old = few["X"][:].reshape(24, 2, 3, 64, 2)
        new = many["X"][:].reshape(24, 3, 5, 64, 2)
    assert np.array_equal(new[:, ::2, :3], old)


def test_pickle_has_the_layout_of_rml2016(tmp_path, monkeypatch):
    small = params(format="pkl", samples=128)
    assert synthesize_file(tmp_path / "a.pkl", small, seed=1) == 11 * 2 * 3
    monkeypatch.setattr(synthesis, "SAMPLES_AT_ONCE", 2 * 128)
    synthesize_file(tmp_path / "b.pkl", small, seed=1)
    assert (tmp_path / "a.pkl").read_bytes() == (tmp_path / "b.pkl").read_bytes()
    content = pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert sorted(content) == [(name, snr_db) for name in RML2016 for snr_db in (-4, 20)]
    assert {(array.shape, array.dtype) for array in content.values()} == {
        ((3, 2, 128), np.dtype(np.float32))
    }
    gfsk = synthesize_cell("GFSK", 20, range(3), SHORT, seed=1)
    assert np.array_equal(content["GFSK", 20], np.stack([gfsk.real, gfsk.imag], axis=1))


def test_pickle_to_shards_is_bit_for_bit_the_same_frames(tmp_path):
    synthesize_file(tmp_path / "synthetic.pkl", params(format="pkl", samples=128), seed=1)
    chosen = Selection(
        path=str(tmp_path / "synthetic.pkl"),
        class_order="fixed",
        modulations=("WBFM", "8PSK"),
        snrs_db=(-4, 20),
        frames_per_cell=None,
    )
    sharding.split(chosen, tmp_path / "shards")
    assert shards.grid(tmp_path / "shards") == (("8PSK", "WBFM"), (-4, 20))
    for number, cell in (
        (0, ("8PSK", -4)),
        (1, ("8PSK", 20)),
        (20, ("WBFM", -4)),
        (21, ("WBFM", 20)),
    ):
        path = shards.Cell(*cell).path(tmp_path / "shards")
        made = synthesize_cell(*cell, range(3), SHORT, seed=1)
        assert np.array_equal(shards.array(path, "iq"), np.stack([made.real, made.imag], axis=-1))
        assert shards.array(path, "row").tolist() == [3 * number, 3 * number + 1, 3 * number + 2]


def test_multipath_reaches_the_file(tmp_path):
    synthesize_file(tmp_path / "direct.hdf5", params(), seed=1)
    synthesize_file(
        tmp_path / "scattered.hdf5",
        params(multipath=RICIAN),
        seed=1,
    )
    with (
        h5py.File(tmp_path / "direct.hdf5") as direct,
        h5py.File(tmp_path / "scattered.hdf5") as scattered,
    ):
        assert not np.any(np.all(direct["X"][:] == scattered["X"][:], axis=(1, 2)))


@pytest.mark.parametrize(
    "extreme", [{"sps": 2, "rolloff": (0.01, 1.0), "gmsk_bt": 2.0}, {"sps": 64, "gmsk_bt": 0.11}]
)
@pytest.mark.parametrize("modulation", NAMES)
def test_extreme_settings_stay_finite(modulation, extreme):
    frames = clean(modulation, 5, samples=64, multipath=RICIAN, **extreme)
    assert np.mean(np.abs(frames) ** 2, axis=1) == pytest.approx(1, abs=1e-12)
