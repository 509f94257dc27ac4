"""Each view against sums written out in float64, and against what a receiver knows of timing, floors and offsets."""

import numpy as np
import pytest
import torch
from scipy import signal

from pisces.core import shards
from pisces.core.modulations import constellation
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.inputs import binning, views
from pisces.inputs.binning import bin_frames
from pisces.sources.synthesis import clean_frames, rrc_spectrum, shape_symbols, synthesize_cell
from tests.conftest import MODULATIONS, POINTS, RENDER, SAMPLES

EPS = float(np.finfo(np.float32).eps)
SPS, ROLLOFF = 8, 0.35


def tensor(iq: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(iq.astype(np.complex64))


def db(power: np.ndarray | float) -> np.ndarray:
    return 10 * np.log10(power)


def white(shape: tuple[int, ...], name: str) -> np.ndarray:
    """Complex white Gaussian noise of unit power."""
    re, im = generator(1, "test views", name).normal(scale=np.sqrt(0.5), size=(2, *shape))
    return re + 1j * im


def clean(
    modulation: str,
    frames: int,
    rolloff: tuple[float, float] = (0.2, 0.5),
    carrier_offset_std: float = 3.3e-5,
) -> np.ndarray:
    """Frames of 1 024 samples without noise, each of unit power, complex128."""
    rngs = [generator(1, "test views", modulation, i) for i in range(frames)]
    return clean_frames(
        modulation,
        rngs,
        samples=1024,
        sps=SPS,
        rolloff=rolloff,
        carrier_offset_std=carrier_offset_std,
        gmsk_bt=0.35,
    )


def received(modulation: str, frames: int) -> np.ndarray:
    """Frames of 1 024 samples at 20 dB of any roll-off, complex64."""
    return synthesize_cell(
        modulation,
        20,
        range(frames),
        seed=1,
        samples=1024,
        sps=SPS,
        rolloff=(0.2, 0.5),
        carrier_offset_std=3.3e-5,
        gmsk_bt=0.35,
    )


@pytest.fixture(scope="module", params=(-10, 0, 20))
def frames(iq_shards, request) -> np.ndarray:
    """20 frames a modulation at one SNR, cut out of longer signals: complex64 (60, 256)."""
    iq = [
        shards.array(Cell(modulation, request.param).path(iq_shards), "iq")
        for modulation in MODULATIONS
    ]
    return np.concatenate(iq).view(np.complex64)[..., 0]


# Symbols, written out


def matched(iq: np.ndarray, sps: int, rolloff: float, at: np.ndarray) -> np.ndarray:
    """Output (n, k) of the matched filter at the instants `at`, in samples, (k,) or (n, k): both Fourier sums term by term."""
    n = iq.shape[1]
    frequency = np.arange(-(n // 2), n - n // 2) / n
    spectrum = (
        iq
        @ np.exp(-2j * np.pi * np.outer(np.arange(n), frequency))
        * rrc_spectrum(frequency, sps, rolloff)
    )
    return (np.exp(2j * np.pi * at[..., None] * frequency) @ spectrum[..., None])[..., 0] / n


def square_law(iq: np.ndarray, sps: int, rolloff: float) -> np.ndarray:
    """Line of |y|^2 at the symbol rate over its mean, complex (n,): Oerder and Meyr's sum over four samples a symbol."""
    quarter = np.arange(4 * iq.shape[1] // sps)
    power = np.abs(matched(iq, sps, rolloff, quarter * sps / 4)) ** 2
    return (power @ np.exp(-2j * np.pi * quarter / 4)) / power.sum(1)


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
    # A Fourier transform rounds by about log2(256) eps, there and back; the timing turns with the rounding of a line that weak.
    tolerance = 16 * EPS * (1 + 1 / np.abs(square_law(frames, sps, rolloff)))
    assert (np.abs(points - expected).max(axis=1) < tolerance).all()


# Timing


@pytest.mark.parametrize("modulation", ["QPSK", "16QAM"])
@pytest.mark.parametrize("rolloff", [0.2, 0.35, 1.0])
@pytest.mark.parametrize("sps", [2, 5, 8])
def test_symbols_come_out_as_they_were_sent(modulation, sps, rolloff):
    """On a periodic signal the square law has no noise of its own: every product of two halves of the band turns by the timing alone."""
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
        # Rounding of the two transforms; an error of the timing by 1e-5 symbols would show as 2e-5 (see `slopes`).
        assert np.abs(points - expected).max() < EPS * (np.log2(64 * sps) + np.log2(64))


def slopes(symbols: np.ndarray, rolloff: float) -> np.ndarray:
    """d/dt of the raised-cosine signal of `symbols` (n, k) at the symbols' own instants, per symbol: (n, k).

    At a distance of m symbols the pulse, sinc(t) cos(pi beta t) / (1 - (2 beta t)^2), falls through zero with the slope below.
    """
    k, itself = np.arange(symbols.shape[1]), np.eye(symbols.shape[1])
    m = k - k[:, None] + itself
    slope = np.cos(np.pi * m) / m * np.cos(np.pi * rolloff * m) / (1 - (2 * rolloff * m) ** 2)
    return symbols @ (slope * (1 - itself))


def timing_error(points: np.ndarray, sent: np.ndarray, slope: np.ndarray) -> float:
    """Symbols by which `points` (k,) were taken late, by least squares: y(t + e) = y(t) + e y'(t), up to a complex gain."""
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
    # The next term, e^2 / 2 y'', is as uneven as the symbols; 48 of them average it out to a few percent of e.
    assert timing_error(
        late[0, used] * 1j, sent[0, used], slopes(sent, ROLLOFF)[0, used]
    ) == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("modulation", ["QPSK", "256QAM"])
@pytest.mark.parametrize("rolloff", [0.22, 0.35, 0.45])
@pytest.mark.parametrize("n", [64, 128])
def test_timing_of_frames_cut_out_of_a_signal(modulation, rolloff, n):
    """The filter takes the frame's end for what came before its start: about one symbol's power there is wrong.

    The line of n symbols has n (beta / 8) of the symbols' power (the integral of cos^2 sin^2 over the roll-off), so that as much as a
    whole symbol beside it turns the timing by at most 8 / (2 pi beta n) symbols.
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
    """The lines of I and Q, half a symbol apart, are opposite; those of QPSK add to (beta / 8) / (1 - beta / 4) of the power."""
    rng, n, symbols = generator(1, "test line", int(100 * rolloff)), 60, 64
    i, q = rng.choice((-1.0, 1.0), (2, n, symbols))

    def mean_line(stagger: float) -> complex:
        iq = shape_symbols(i, sps=4, rolloff=rolloff, timing=0.1) + 1j * shape_symbols(
            q, sps=4, rolloff=rolloff, timing=0.1 + stagger
        )
        return square_law(iq, 4, rolloff).mean() * np.exp(2j * np.pi * 0.1)

    line = rolloff / 8 / (1 - rolloff / 4)
    # Each of the beta * symbols products of a frame scatters by as much as its mean, weighted by sin^2 (whose square's mean is 3/2).
    scatter = line * np.sqrt(1.5 / (n * rolloff * symbols))
    assert abs(mean_line(0.0) - line) < 5 * scatter
    assert abs(mean_line(0.5)) < 5 * scatter < line / 2


def spread(points: np.ndarray) -> np.ndarray:
    """Standard deviation of the power of the points over its mean, of each frame."""
    power = np.abs(points) ** 2
    return power.std(axis=1) / power.mean(axis=1)


def test_symbols_of_qpsk_have_one_radius_and_those_of_oqpsk_have_not():
    """20 dB over the whole band are 29 after the matched filter, so that the power of QPSK spreads by 2 sqrt(10^-2.9 / 2) = 0.05.

    Where I of OQPSK is open, Q is half-way: a sum of random signs times the pulse g there. Its power has the variance
    2 ((sum g^2)^2 - sum g^4), which makes 0.48 of all power for beta = 0.35; a frame of 120 symbols finds it to about 0.04.
    """
    qpsk, oqpsk = (
        views.symbol(tensor(received(modulation, 60)), SPS, ROLLOFF).numpy()
        for modulation in ("QPSK", "OQPSK")
    )
    assert spread(qpsk).max() < 0.1
    assert spread(oqpsk).min() > 0.25


def test_oqpsk_is_four_clusters_at_no_timing():
    iq = {modulation: clean(modulation, 4, (ROLLOFF, ROLLOFF)) for modulation in ("QPSK", "OQPSK")}
    symbols = np.arange(views.EDGE, 1024 // SPS - views.EDGE)
    best = {
        modulation: np.min(
            [
                spread(matched(x, SPS, ROLLOFF, (symbols + timing) * SPS))
                for timing in np.arange(0, 1, 1 / 16)
            ],
            axis=0,
        )
        for modulation, x in iq.items()
    }
    assert best["OQPSK"].min() > 0.25
    assert best["QPSK"].max() < 0.15  # at most 1/32 of a symbol off


def test_differential_over_half_a_symbol_tells_oqpsk_from_qpsk():
    """QPSK goes through the centre where I and Q change sign together, about once in four symbols; OQPSK never does.

    Of 400 frames of each, QPSK had 1.2 to 5.5 % of its points within 0.2 of the centre, OQPSK 0.1 % at most.
    """
    near = {
        modulation: (views.differential(tensor(received(modulation, 60)), SPS // 2).abs() < 0.2)
        .float()
        .mean(1)
        for modulation in ("QPSK", "OQPSK")
    }
    assert near["QPSK"].min() > 0.008
    assert near["OQPSK"].max() < 0.002


# The floor


@pytest.mark.parametrize("sps", [3, 4, 8, 16])
def test_high_pass_stops_the_occupied_band_and_passes_the_rest(sps):
    taps = views._high_pass(sps).astype(float)
    assert len(taps) % 2
    assert np.array_equal(taps, taps[::-1])
    rate, response = signal.freqz(taps, worN=8192, fs=sps)  # in symbol rates
    level_db = 2 * db(np.abs(response) + 1e-12)
    assert (
        level_db[rate <= 0.75].max() < -views.STOP_BAND_DB + 2 < views.FLOOR_DB
    )  # Kaiser's formula is good to 2 dB
    assert np.abs(level_db[rate >= 1.25]).max() < 0.01
    assert (rate >= 1.25).any()


def test_noise_against_a_direct_convolution(frames):
    points = views.noise(tensor(frames), SPS).numpy().astype(complex)
    taps = views._high_pass(SPS).astype(float)
    rms = np.sqrt(np.mean(np.abs(frames.astype(complex)) ** 2, axis=1))
    outside = np.stack([np.convolve(frame, taps, "valid") for frame in frames]) / (
        rms[:, None] * np.sqrt(np.sum(taps**2))
    )
    assert points.shape == outside.shape == (60, SAMPLES - 82)
    back = 10 ** ((np.abs(points) + views.FLOOR_DB) / 20) * np.exp(1j * np.angle(points))
    lit = np.abs(points) > 0
    # The transforms round by log2(256) eps of the frame's RMS, and a radius of up to 80 dB by 80 eps, which is 9 eps of the level.
    assert np.abs(back - outside)[lit].max() < 30 * EPS * np.abs(outside).max()
    assert np.abs(outside[~lit]).max(initial=0) < 10 ** (views.FLOOR_DB / 20) + 16 * EPS


def level_db(iq: np.ndarray) -> float:
    """Power mean of the levels of the view, in dB below the power of the frames."""
    radius = views.noise(tensor(iq), SPS).abs().double().numpy()
    return float(db(np.mean(10 ** ((radius + views.FLOOR_DB) / 10))))


@pytest.mark.parametrize("modulation", ["BPSK", "256QAM"])
@pytest.mark.parametrize("noise_db", range(-60, 1, 10))
def test_floor_is_where_white_noise_was_put(modulation, noise_db):
    """20 frames of 942 points of 3/4 of the band scatter by 4.34 / sqrt(14 000) = 0.04 dB, and leakage adds 0.06 dB at -60."""
    iq = clean(modulation, 20) + 10 ** (noise_db / 20) * white((20, 1024), "floor")
    power = 10 ** (noise_db / 10)
    assert level_db(iq) == pytest.approx(db(power / (1 + power)), abs=0.3)


@pytest.mark.parametrize("modulation", ["BPSK", "256QAM"])
def test_clean_signals_lie_at_the_centre(modulation):
    assert (views.noise(tensor(clean(modulation, 20)), SPS) == 0).all()


def test_white_noise_lies_at_0_db_at_any_angle():
    noise = white((20, 1024), "alone")
    assert level_db(noise) == pytest.approx(0, abs=0.3)
    points = views.noise(tensor(noise), SPS).numpy()
    # 14 000 independent angles.
    assert abs(np.mean(points / np.abs(points))) < 5 / np.sqrt(14_000)


# Differences


@pytest.mark.parametrize("delay", [1, 4, 255])
def test_differential_against_a_loop(frames, delay):
    points = views.differential(tensor(frames), delay).numpy()
    for frame, row in zip(frames.astype(complex), points, strict=True):
        expected = np.array([frame[n] * np.conj(frame[n - delay]) for n in range(delay, SAMPLES)])
        expected /= np.sqrt(np.mean(np.abs(expected) ** 2))
        assert np.abs(row - expected).max() < 8 * EPS * np.abs(expected).max()


@pytest.mark.parametrize("delay", [1, 4])
def test_differential_turns_with_the_carrier_offset_and_is_blind_to_its_phase(delay):
    iq, offset = clean("16QAM", 5), 0.013
    turned = iq * np.exp(2j * np.pi * (0.3 + offset * np.arange(1024)))
    before, after = (views.differential(tensor(x), delay).numpy() for x in (iq, turned))
    assert (
        np.abs(after - before * np.exp(2j * np.pi * offset * delay)).max()
        < 8 * EPS * np.abs(before).max()
    )


@pytest.mark.parametrize("modulation", ["FM", "GMSK"])
def test_constant_modulus_is_the_unit_circle(modulation):
    points = views.differential(tensor(clean(modulation, 5)), 4)
    assert (points.abs() - 1).abs().max() < 8 * EPS
    assert (views.differential(tensor(clean("QPSK", 5)), 4).abs() - 1).abs().max() > 0.5


# All


VIEWS = {
    "symbol": lambda iq: views.symbol(iq, SPS, ROLLOFF),
    "noise": lambda iq: views.noise(iq, SPS),
    "differential": lambda iq: views.differential(iq, 4),
}


@pytest.mark.parametrize(("name", "turn"), [("symbol", 1j), ("noise", 1j), ("differential", 1)])
def test_a_turn_by_90_degrees_turns_all_but_the_differential(frames, name, turn):
    before, after = VIEWS[name](tensor(frames)), VIEWS[name](tensor(1j * frames))
    torch.testing.assert_close(after, before * turn, rtol=0, atol=1e-3)
    assert before.abs().max() > 1


@pytest.mark.parametrize("name", VIEWS)
def test_a_frame_is_seen_alone(frames, name):
    together = VIEWS[name](tensor(frames))
    loud = frames.copy()
    loud[1:] *= 1000
    torch.testing.assert_close(VIEWS[name](tensor(loud))[0], together[0], rtol=0, atol=1e-4)
    torch.testing.assert_close(VIEWS[name](tensor(frames[7:8]))[0], together[7], rtol=0, atol=1e-4)


@pytest.mark.parametrize("exponent", [-40, -3, 1, 40])
def test_a_power_of_two_changes_no_bin_in_any_view(frames, exponent):
    """Far beyond where the fourth power of a sample leaves float32."""
    iq = torch.view_as_real(tensor(frames))
    before, after = bin_frames(iq, RENDER), bin_frames(iq * 2.0**exponent, RENDER)
    for view, bins in before.items():
        assert torch.equal(after[view], bins), view
        assert len(bins.unique()) > 100


def test_silence_beyond_the_signal_and_between_pulses_has_no_nan():
    impulse = torch.zeros(1, SAMPLES, dtype=torch.complex64)
    impulse[0, 100] = 1
    tone = torch.ones(1, SAMPLES, dtype=torch.complex64)
    for name, view in VIEWS.items():
        for iq in (impulse, tone):
            points = view(iq)
            assert points.shape == (1, POINTS[name])
            assert points.isfinite().all()
    assert not VIEWS["differential"](impulse).any()
    assert not VIEWS["noise"](tone).any()


@pytest.mark.parametrize(
    ("name", "samples", "message"),
    [
        (
            "symbol",
            255,
            "frames of 255 samples are not a whole number, above 8, of symbols of render.sps = 8 samples",
        ),
        ("symbol", 64, "frames of 64 samples are not a whole number, above 8, of symbols"),
        (
            "noise",
            82,
            "frames of 82 samples are shorter than the 83 taps that noise needs at render.sps = 8; leave it out of render.views",
        ),
        (
            "differential",
            4,
            "render.delay = 4 is no less than the 4 samples of a frame; make it smaller",
        ),
        ("differential", 3, "render.delay = 4 is no less than the 3 samples"),
    ],
)
def test_frames_that_a_view_cannot_be_made_of(name, samples, message):
    with pytest.raises(ValueError, match=message):
        VIEWS[name](torch.ones(2, samples, dtype=torch.complex64))


@pytest.mark.parametrize(("name", "samples"), [("symbol", 72), ("noise", 83), ("differential", 5)])
def test_shortest_frames_give_one_point(name, samples):
    assert VIEWS[name](tensor(white((2, samples), "short"))).shape == (2, 1)


def test_noise_needs_a_band_without_signal():
    with pytest.raises(
        ValueError,
        match=r"render.sps = 2 leaves no band without signal; noise needs 3 or more: leave it out",
    ):
        views.noise(tensor(white((1, 256), "band")), 2)
    assert views.noise(tensor(white((1, 256), "band")), 3).any()


def test_rendering_frames_too_short_for_a_view_leaves_nothing(tmp_path):
    path = Cell("QPSK", 0).path(tmp_path / "in")
    shards.save(path, {"iq": np.ones((4, 80, 2), np.float32), "row": np.arange(4)}, {})
    with pytest.raises(ValueError, match=r"frames of 80 samples are shorter than the 83 taps"):
        binning.render(tmp_path / "in", tmp_path / "out", RENDER)
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


# Which samples a point stands for


def samples_of(name: str, iq: np.ndarray) -> torch.Tensor:
    return views.samples_of(name, tensor(iq), SPS, ROLLOFF, 4)


@pytest.mark.parametrize(
    ("name", "each"), [("raw", 1), ("symbol", SPS), ("noise", 1), ("differential", 2)]
)
@pytest.mark.parametrize("samples", [SAMPLES, 88])
def test_every_point_of_every_view_has_its_samples(name, each, samples):
    iq = white((50, samples), "behind")
    behind = samples_of(name, iq)
    points = samples if name == "raw" else VIEWS[name](tensor(iq)).shape[1]
    assert (behind.shape, behind.dtype) == ((50, points, each), torch.int64)
    assert behind.min() >= 0
    assert behind.max() < samples
    assert (behind.flatten(1).unique(dim=0).shape[0] > 1) == (
        name == "symbol"
    )  # only there it hangs on the frame
    assert all(len(set(point)) == each for point in behind[0].tolist())


def test_a_raw_point_is_its_own_sample(frames):
    assert torch.equal(
        samples_of("raw", frames), torch.arange(SAMPLES).view(1, -1, 1).expand(60, -1, -1)
    )


def test_silent_factors_darken_just_the_differential_points_they_are_in(frames):
    behind = samples_of("differential", frames)[0]
    for point in (0, 100, 251):
        silenced = frames.copy()
        silenced[:, behind[point]] = 0
        dark = (views.differential(tensor(silenced), 4) == 0).numpy()
        expected = (behind[:, :, None] == behind[point]).any((1, 2)).numpy()
        assert (dark == expected).all()
        assert expected.sum() == (
            2 if point in (0, 251) else 3
        )  # the two samples, four apart, are each in another product as well


def test_an_impulse_is_strongest_at_the_noise_point_in_whose_middle_it_is():
    """The linear-phase taps are largest in the middle. Beyond the points' middles an impulse lies in the middle of none."""
    impulses = np.eye(SAMPLES)
    behind = samples_of("noise", impulses)[0, :, 0]
    level = VIEWS["noise"](tensor(impulses)).abs()
    assert torch.equal(level.argmax(1)[behind], torch.arange(POINTS["noise"]))
    assert behind.tolist() == list(range(41, SAMPLES - 41))


@pytest.mark.parametrize("sps", [2, 5, 8])
@pytest.mark.parametrize("timing", [-0.47, -0.2, 0.03, 0.123, 0.31, 0.47])
def test_a_lone_symbol_has_most_of_its_energy_in_its_samples(sps, timing):
    """Of all sps samples in a row, those nearest to the middle of an even pulse; a pulse on its own beats at its own timing."""
    symbols = 20
    iq = shape_symbols(
        np.eye(symbols), sps=sps, rolloff=ROLLOFF, timing=timing
    )  # frame k: symbol k alone
    behind = views.samples_of("symbol", tensor(iq), sps, ROLLOFF, 4)
    energy = signal.convolve(
        np.abs(iq) ** 2, np.ones((1, sps)), mode="valid"
    )  # of sps samples from each on
    assert behind.shape == (symbols, symbols - 2 * views.EDGE, sps)
    for k in range(views.EDGE, symbols - views.EDGE):
        first = int(energy[k].argmax())
        assert behind[k, k - views.EDGE].tolist() == list(range(first, first + sps))


@pytest.mark.parametrize("sps", [2, 5, 8])
def test_symbols_share_no_sample_and_leave_none_out_at_any_timing(sps):
    """From the middle of one symbol to the next the line turns once, through both ends of -1/2..1/2."""
    timing, symbols = np.arange(-0.5, 0.501, 1e-3)[:, None], 12
    sent = (
        generator(1, "test tiled")
        .choice(constellation("QPSK"), (1, symbols))
        .repeat(len(timing), 0)
    )
    behind = views.samples_of(
        "symbol",
        tensor(shape_symbols(sent, sps=sps, rolloff=ROLLOFF, timing=timing)),
        sps,
        ROLLOFF,
        4,
    )
    in_a_row = behind.flatten(1)
    assert (in_a_row.diff() == 1).all()
    assert (
        (views.EDGE - 1) * sps <= in_a_row.min() <= (views.EDGE - 1) * sps + 1
    )  # the lower only at -1/2 itself
    assert in_a_row.max() == (symbols - views.EDGE) * sps - 1
    middle = (behind[:, 0].double().mean(1) / sps).numpy() - views.EDGE
    assert (
        np.abs(middle - timing[:, 0])[1:-1].max() < 0.5 / sps + 1e-3
    )  # the ends themselves may round to each other
