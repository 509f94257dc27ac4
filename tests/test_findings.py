"""The audit warns of what is wrong with the signal of a file, and of nothing where all is right."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
from scipy.signal import fftconvolve, firwin
from scipy.stats import t as student

from pisces.core import shards
from pisces.core.modulations import MODULATIONS, RML2016, constellation
from pisces.core.pulses import rml2018_response, rrc_response
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.sources import audit, sharding
from pisces.sources.class_bands import class_findings, occupied_band
from pisces.sources.finding import Expected, Finding
from pisces.sources.settings import Selection
from pisces.sources.signal_statistics import GROUPS, interval
from pisces.sources.synthesis import synthesize_cell
from tests.physics import physics
from tests.test_radioml import GNURADIO, needs_gnuradio

EXPECTED = Expected(sps=8, carrier_offset_std=3.3e-5)
NAMES = ("4ASK", "8ASK", "BPSK", "QPSK", "8PSK", "16QAM", "64QAM", "OQPSK")
LABELS, FRAMES = (-10, 12, 24), 32


@dataclass(frozen=True)
class World:
    """How frames are made."""

    pulse: str = "rrc"
    rolloff: tuple[float, float] = (0.2, 0.5)
    unipolar: bool = False
    db_per_label: int = 1
    sps: int = 8
    samples: int = 1024
    offset_std: float = 3.3e-5
    echo: float = 0.0
    """Amplitude, half a symbol late."""
    echo_turns: float | None = None
    """Of its phase; None draws it anew for each frame."""
    low_pass: float | None = None
    """Cycles a sample."""


OURS = {}
MEASURED = {"pulse": "rml2018", "unipolar": True, "db_per_label": 2}
WORLDS = {"ours": OURS, "measured": MEASURED}


def points_of(modulation: str, unipolar: bool) -> np.ndarray:
    if unipolar and modulation.endswith("ASK"):
        return np.arange(int(modulation.removesuffix("ASK"))) + 0j
    return constellation(modulation)


def shaped(
    symbols: np.ndarray, response: Callable[[np.ndarray], np.ndarray], sps: int, timing: np.ndarray
) -> np.ndarray:
    """One period of a periodic block, (n, symbols) -> (n, symbols * sps)."""
    frequency = np.fft.fftfreq(symbols.shape[1] * sps)
    impulses = np.tile(np.fft.fft(symbols), sps) * np.exp(-2j * np.pi * frequency * sps * timing)
    return np.fft.ifft(impulses * response(frequency * sps))


def frames_of(modulation: str, n: int, snr_db: float, rng, world: World) -> np.ndarray:
    count = 2 * (world.samples // (2 * world.sps) + 16)
    symbols = rng.choice(points_of(modulation, world.unipolar), (n, count))
    timing, rolloff = rng.random((n, 1)), rng.uniform(*world.rolloff, (n, 1))

    def response(rates: np.ndarray) -> np.ndarray:
        return rrc_response(rates, rolloff) if world.pulse == "rrc" else rml2018_response(rates)

    if modulation == "OQPSK":
        i = shaped(symbols.real, response, world.sps, timing)
        block = i + 1j * shaped(symbols.imag, response, world.sps, timing + 0.5)
    else:
        block = shaped(symbols, response, world.sps, timing)

    turns = rng.random((n, 1)) if world.echo_turns is None else world.echo_turns
    late = np.fft.fftfreq(block.shape[1]) * world.sps / 2
    channel = 1 + world.echo * np.exp(2j * np.pi * (turns - late))
    block = np.fft.ifft(np.fft.fft(block) * channel)

    start = (block.shape[1] - world.samples) // 2
    iq = block[:, start : start + world.samples]
    offset = world.offset_std * rng.normal(size=(n, 1))
    iq = iq * np.exp(2j * np.pi * (rng.random((n, 1)) + offset * np.arange(world.samples)))
    iq /= np.sqrt(np.mean(np.abs(iq) ** 2, axis=1, keepdims=True))

    noise = rng.normal(size=iq.shape) + 1j * rng.normal(size=iq.shape)
    iq = iq + 10 ** (-snr_db / 20) * np.sqrt(0.5) * noise
    if world.low_pass:
        taps = firwin(101, world.low_pass, fs=1)
        iq = fftconvolve(iq, taps[None], mode="same", axes=1)
    return iq


def interleaved(iq: np.ndarray) -> np.ndarray:
    return np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)


def write(root: Path, world: World, seed: int = 1, frames: int = FRAMES) -> Path:
    """A directory of shards."""
    for name in NAMES:
        for label in LABELS:
            rng = generator(seed, "test findings", world.pulse, name, label)
            iq = frames_of(name, frames, world.db_per_label * label, rng, world)
            shards.save(Cell(name, label).path(root), {"iq": interleaved(iq)}, {})
    return root


def found_in(root: Path, expected: Expected = EXPECTED) -> dict[str, Finding]:
    return {finding.name: finding for finding in audit.examine(root, expected).findings}


def warned(found: dict[str, Finding]) -> dict[str, str]:
    return {name: finding.warning for name, finding in found.items() if finding.warning}


@pytest.fixture(scope="module")
def right_files(tmp_path_factory) -> dict[str, list[dict[str, Finding]]]:
    """Findings of ten right files of each world."""
    root = tmp_path_factory.mktemp("right")
    return {
        name: [
            found_in(write(root / f"{name}_{seed}", World(**world), seed)) for seed in range(1, 11)
        ]
        for name, world in WORLDS.items()
    }


# What is right


@pytest.mark.parametrize("world", WORLDS)
def test_right_files_are_without_warnings(right_files, world):
    assert [warned(found) for found in right_files[world]] == [{}] * 10


def unipolar_carrier(order: int) -> float:
    """Share of power of levels 0 to order - 1 through the measured pulse in their mean."""
    rates = np.linspace(-1, 1, 2001)
    power_of_pulse = 2 * np.mean(rml2018_response(rates) ** 2)  # over that of its pass band
    levels = np.arange(order)
    return float(levels.mean() ** 2 / (levels.mean() ** 2 + levels.var() * power_of_pulse))


@pytest.mark.parametrize(
    ("world", "pulse", "level_db", "ask", "carrier"),
    [
        ("ours", "rrc", 10 * np.log10(0.5), "bipolar", 0),
        (
            *("measured", "rml2018", 20 * np.log10(rml2018_response(0.5))),
            *("unipolar", (unipolar_carrier(4) + unipolar_carrier(8)) / 2),
        ),
    ],
)
def test_figures_are_those_put_in(right_files, world, pulse, level_db, ask, carrier):
    for found in right_files[world]:
        assert found["half_rate_level"].verdict == pulse
        level = found["half_rate_level"]
        half_width = (level.ci_high - level.ci_low) / 2  # 2.1 standard errors
        assert level.figure == pytest.approx(level_db, abs=2 * half_width + 0.1)
        assert half_width < 0.5
        assert found["symbol_period"].figure == pytest.approx(8, abs=0.01)
        assert found["carrier_offset_std"].figure == pytest.approx(3.3e-5, rel=0.3)
        assert found["ask_carrier"].verdict == ask
        assert found["ask_carrier"].figure == pytest.approx(carrier, abs=0.03)


def test_the_bandwidth_is_that_of_the_roll_off(tmp_path):
    found = found_in(write(tmp_path, World(rolloff=(0.35, 0.35))))["bandwidth_99"]
    # By integration of cos^2 over the slope: 1 % of the power lies beyond 0.584 symbol rates.
    edge = np.linspace(0, 1, 100_001)
    power = rrc_response(edge, 0.35) ** 2
    width = 2 * edge[np.searchsorted(np.cumsum(power), 0.99 * power.sum())]
    assert found.figure == pytest.approx(width, abs=2 / 128)


def test_intervals_cover_as_often_as_they_say(right_files):
    tilts = [found["band_tilt"] for files in right_files.values() for found in files]
    covering = sum(tilt.ci_low <= 0 <= tilt.ci_high for tilt in tilts)
    assert covering >= 15  # of 20 at 95 %: fewer once in 3 000 times
    widths = [tilt.ci_high - tilt.ci_low for tilt in tilts]
    scatter = np.std([tilt.figure for tilt in tilts])
    assert np.mean(widths) == pytest.approx(2 * 2.13 * scatter, rel=0.5)


def test_interval_is_that_of_student():
    rng = generator(1, "test findings", "interval")
    values = rng.normal(3, 2, GROUPS)
    half = student.ppf(0.975, GROUPS - 1) * values.std(ddof=1) / np.sqrt(GROUPS)
    expected = (values.mean(), values.mean() - half, values.mean() + half)
    assert interval(values) == pytest.approx(expected)
    assert interval([*values, np.nan]) == pytest.approx(expected)
    assert interval(values, tests=8).ci_low < expected[1]
    assert np.isnan(interval([1.0])).all()


# What is wrong


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize(
    ("wrong", "name", "says"),
    [
        ({"echo": 0.36}, "echo", "symbols late"),
        ({"sps": 10}, "symbol_period", "set render.sps to 10"),
        ({"sps": 4}, "symbol_period", "set render.sps to 4"),
        ({"offset_std": 1e-2}, "carrier_offset_std", "render.carrier_offset_std"),
        ({"low_pass": 0.15}, "noise_flatness", "not white"),
        ({"echo": 0.36, "echo_turns": 0}, "half_rate_level", "no known pulse"),
        ({"echo": 0.36, "echo_turns": 0.25}, "band_tilt", "upper side"),
    ],
)
def test_what_is_wrong_is_warned_of(tmp_path, world, wrong, name, says):
    found = found_in(write(tmp_path, World(**WORLDS[world] | wrong)))
    assert found[name].verdict == "warning"
    assert says in warned(found)[name]


@pytest.mark.parametrize(
    ("world", "own", "other"), [("ours", "rrc", "rml2018"), ("measured", "rml2018", "rrc")]
)
def test_a_pulse_in_the_params_that_is_not_the_files_is_warned_of(tmp_path, world, own, other):
    file = write(tmp_path, World(**WORLDS[world]))
    told_right, told_wrong, left_open = (
        found_in(file, EXPECTED._replace(pulse=pulse))["half_rate_level"]
        for pulse in (own, other, "estimated")
    )
    assert f"render.pulse = {other}; render.pulse: estimated reads" in told_wrong.warning
    assert told_right.verdict == left_open.verdict == own


def test_the_amplitude_of_an_echo_is_found(tmp_path):
    found = found_in(write(tmp_path, World(echo=0.2)))["echo"]
    # a sin(p) / (1 + a^2 + 1.2 a cos(p)) over the phases p, as a raised cosine is 0.6 at 1/2
    phase = np.linspace(0, 2 * np.pi, 10_001)[:-1]
    seen = 0.2 * np.sin(phase) / (1.04 + 2 * 0.2 * 0.6 * np.cos(phase))
    assert found.figure == pytest.approx(np.sqrt(2 * np.mean(seen**2)), abs=0.03)


@pytest.mark.parametrize("samples", [128, 256])
@pytest.mark.parametrize("world", WORLDS)
def test_short_frames_are_judged_with_wider_intervals(tmp_path, world, samples):
    found = found_in(write(tmp_path, World(**WORLDS[world], samples=samples)))
    assert warned(found) == {}
    assert found["symbol_period"].figure == pytest.approx(8, abs=0.2)


def test_other_params_are_compared_with_the_frames(tmp_path):
    root = write(tmp_path, World())
    assert set(warned(found_in(root, Expected(10, 3.3e-5)))) == {"symbol_period"}
    assert set(warned(found_in(root, Expected(8, 1e-7)))) == set()  # a tenth of a turn is harmless
    assert warned(found_in(root, Expected())) == {}


def test_one_frame_a_cell_tells_nothing(tmp_path):
    found = found_in(write(tmp_path, World(), frames=1))
    assert {finding.verdict for finding in found.values()} == {"unknown"}


def test_only_bands_are_found_without_linear_modulations(tmp_path):
    iq = frames_of("QPSK", 4, 20, generator(1, "test findings"), World())
    shards.save(Cell("FM", 20).path(tmp_path), {"iq": interleaved(iq)}, {})
    signal = audit.examine(tmp_path, EXPECTED)
    assert [finding.name for finding in signal.findings] == [
        "flatness of FM",
        "occupied_band of FM",
    ]
    assert signal.spectrum.columns.tolist() == ["rate", "power_db", "low_db", "high_db"]
    assert len(signal.spectrum) == 0


def test_the_spectrum_is_that_of_the_pulse(tmp_path):
    spectrum = audit.examine(write(tmp_path, World(**MEASURED)), EXPECTED).spectrum
    inside = spectrum[spectrum.rate.abs() < 0.5]
    expected_db = 20 * np.log10(rml2018_response(inside.rate.to_numpy()))
    # 350 frames without a carrier: a bin scatters by 4.34 / sqrt(350) dB.
    assert np.abs(inside.power_db - expected_db).max() < 5 * 4.34 / np.sqrt(350)
    assert (spectrum.low_db <= spectrum.power_db).all()


# Classes of noise


def noise_of(n: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    return (rng.normal(size=(n, samples)) + 1j * rng.normal(size=(n, samples))) * np.sqrt(0.5)


@pytest.mark.parametrize("samples", [128, 1024])
@pytest.mark.parametrize("frames", [FRAMES, 3 * FRAMES])
def test_a_class_that_is_only_noise_is_warned_of(tmp_path, samples, frames):
    """Whether it is linear or not, and no other."""
    root = write(tmp_path, World(samples=samples), frames=frames)
    for name in ("AM-SSB", "16APSK"):
        for label in LABELS:
            iq = noise_of(frames, samples, generator(1, "test findings", "noise", name, label))
            shards.save(Cell(name, label).path(root), {"iq": interleaved(iq)}, {})

    found = audit.examine(root, EXPECTED).findings
    warnings = {each.name: each.warning for each in found if each.name.startswith("flatness")}
    only_noise = {name for name, warning in warnings.items() if warning}
    assert only_noise == {"flatness of AM-SSB", "flatness of 16APSK"}
    assert "take AM-SSB out of data.modulations" in warnings["flatness of AM-SSB"]
    (band,) = [each for each in found if each.name == "occupied_band of AM-SSB"]
    assert band.figure == pytest.approx(0.99, abs=0.01)
    (flat,) = [each for each in found if each.name == "flatness of AM-SSB"]
    assert flat.figure == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("format_", ["hdf5", "pkl"])
@pytest.mark.parametrize("label", [6, 30])
def test_generated_classes_are_more_than_noise(tmp_path, format_, label):
    """All of them, analog ones among them, at a label of 6 dB too."""
    names = MODULATIONS if format_ == "hdf5" else RML2016
    samples = 1024 if format_ == "hdf5" else 128
    for name in names:
        iq = synthesize_cell(name, label, range(GROUPS), physics(samples=samples), seed=1)
        frames = iq.view(np.float32).reshape(GROUPS, samples, 2)
        shards.save(Cell(name, label).path(tmp_path), {"iq": frames}, {})
    found = {each.name: each for each in class_findings(tmp_path)}
    assert {each.verdict for each in found.values()} == {"fits"}
    assert len(found) == 2 * len(names)


def test_nothing_is_said_of_classes_that_have_no_clear_label(tmp_path):
    iq = noise_of(FRAMES, 128, generator(1, "test findings", "unclear"))
    shards.save(Cell("AM-SSB", 0).path(tmp_path), {"iq": interleaved(iq)}, {})
    assert {each.verdict for each in class_findings(tmp_path)} == {"unknown"}


def test_the_occupied_band_of_a_band_of_noise_is_its_width():
    spectra = np.zeros((4, 1000))
    spectra[:, 300:500] = generator(1, "test findings", "band").exponential(size=(4, 200))
    assert occupied_band(spectra) == pytest.approx(0.2 * 0.99, abs=0.005)


# In a whole file


def test_split_counts_and_lists_its_warnings(tmp_path):
    world = World(sps=10)
    rng = generator(1, "test findings", "file")
    iq = frames_of("QPSK", FRAMES, 20, rng, world)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = interleaved(iq)
        file["Y"] = np.tile(np.eye(24, dtype=np.int64)[MODULATIONS.index("QPSK")], (FRAMES, 1))
        file["Z"] = np.full((FRAMES, 1), 20)
    path = str(tmp_path / "x.h5")
    data = Selection(path, "fixed", ("QPSK",), (20,), None, snr_label="power")

    found = sharding.split(data, tmp_path / "out", EXPECTED)
    assert found.headline["warnings"] == len(found.warnings) == 1
    assert "set render.sps to 10" in found.warnings[0]
    row = found.findings.set_index("name").loc["symbol_period"]
    assert row.figure == pytest.approx(10, abs=0.05)
    assert (row.expected, row.param, row.verdict) == ("8", "render.sps", "warning")


@pytest.mark.parametrize("unipolar", [True, False])
def test_split_keeps_the_levels_of_amplitude_shift_keying(tmp_path, unipolar):
    labels = np.repeat([12, 24], FRAMES)
    names, world = ("4ASK", "8ASK"), World(unipolar=unipolar)
    iq = [
        frames_of(name, FRAMES, label, generator(1, "test findings", "ask", name, label), world)
        for name in names
        for label in (12, 24)
    ]
    columns = np.repeat([MODULATIONS.index(name) for name in names], 2 * FRAMES)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = interleaved(np.concatenate(iq))
        file["Y"] = np.eye(24, dtype=np.int64)[columns]
        file["Z"] = np.tile(labels, 2)[:, None]

    data = Selection(str(tmp_path / "x.h5"), "fixed", names, (12, 24), None)
    sharding.split(data, tmp_path / "out", EXPECTED)
    assert shards.ask(tmp_path / "out") == ("unipolar" if unipolar else "bipolar")


@needs_gnuradio
def test_gnuradio_is_without_warnings(tmp_path):
    snrs_db = (-10, 0, 6, 12, 18, 24, 30)
    data = Selection(str(GNURADIO), "fixed", MODULATIONS, snrs_db, None)
    found = sharding.split(data, tmp_path / "out", EXPECTED)
    assert found.warnings == []
    rows = found.findings.set_index("name")
    assert rows.verdict["half_rate_level"] == "rrc"
    assert rows.verdict["ask_carrier"] == "bipolar"
