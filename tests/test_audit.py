"""The audit measures what was put in: SNR, lines, envelope; and tells a wrong class order from a
right one.
"""

import warnings

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.signal import firwin, upfirdn

from pisces.core import shards
from pisces.core.dsp import measured_snr, noise_power, to_complex
from pisces.core.modulations import CLASSES_TXT, MODULATIONS, constellation
from pisces.core.seeding import generator
from pisces.sources import audit, class_order, rml2018, sharding
from pisces.sources.finding import NOTHING_EXPECTED
from pisces.sources.settings import Selection
from tests.test_radioml import GNURADIO, needs_gnuradio

SAMPLES, SPS = 1024, 8


def clean(modulation: str, n: int) -> np.ndarray:
    """Frames (n, SAMPLES) of unit power, band-limited to |f| < 0.2 by 90 dB, at phases of their
    own.
    """
    rng = generator(1, "test audit", modulation)
    symbols = rng.choice(constellation(modulation), (n, SAMPLES // SPS + 32))
    iq = upfirdn(firwin(161, 0.08, window=("kaiser", 9), fs=1), symbols, up=SPS)[:, 16 * SPS :][
        :, :SAMPLES
    ]
    iq = iq * np.exp(2j * np.pi * rng.random((n, 1)))
    return iq / np.sqrt(np.mean(np.abs(iq) ** 2, axis=1, keepdims=True))


def noise(n: int, samples: int = SAMPLES) -> np.ndarray:
    rng = generator(1, "test audit", "noise")
    return (rng.normal(size=(n, samples)) + 1j * rng.normal(size=(n, samples))) / np.sqrt(2)


@pytest.mark.parametrize("snr_db", [0, 20, 60])
def test_measured_snr_is_the_one_put_in(snr_db):
    n = 64
    iq = clean("QPSK", n) + 10 ** (-snr_db / 20) * noise(n)
    measured_db = 10 * np.log10(np.median(measured_snr(iq)))
    # The median of about 0.85 * 511 exponentials scatters by 1 / (ln 2 sqrt(435)) = 7 %; that of P
    # / N - 1 by (1 + 1 / SNR) as much.
    one_frame_db = 4.34 / (np.log(2) * np.sqrt(435)) * (1 + 10 ** (-snr_db / 10))
    assert measured_db == pytest.approx(snr_db, abs=5 * 1.25 * one_frame_db / np.sqrt(n))


def test_noise_power_is_that_of_white_noise():
    n = 400
    assert np.mean(noise_power(3 * noise(n))) == pytest.approx(9, rel=5 * 0.07 / np.sqrt(n) + 1e-3)


def test_features_do_not_depend_on_noise_scale_or_carrier_offset():
    iq = clean("QPSK", 24)
    turned = 7 * iq * np.exp(2j * np.pi * 0.013 * np.arange(SAMPLES))
    quiet, noisy = (
        class_order.features(turned + 7e-3 * noise(24)),
        class_order.features(turned + 7 * 10 ** (-12 / 20) * noise(24)),
    )
    for name in ("c20", "c40", "kurtosis"):
        assert noisy[name] == pytest.approx(quiet[name], abs=0.06)
    assert quiet["c40"] > 2 * quiet["c20"]


@pytest.mark.parametrize("level", [1e-6, 1, 1e6])
@pytest.mark.parametrize("broken", [6, 11])
def test_features_survive_frames_that_are_broken(broken, level):
    """Constant ones, of which the mean of the spectra would be one line."""
    n = 24
    iq = clean("QPSK", n) + 1e-3 * noise(n)
    whole = class_order.features(iq)
    iq[:broken] = level
    found = class_order.features(iq)
    if broken == 6:
        assert found["symbols"] == pytest.approx(whole["symbols"], rel=0.25)
    measured = {MODULATIONS.index("QPSK"): found}
    assert class_order.check_class_order("fixed", measured, "x.h5") == (1, {}, "")


@pytest.mark.parametrize("sample", [0, SAMPLES // 2, SAMPLES - 1])
def test_a_frame_of_one_sample_is_measured_without_a_warning(tmp_path, sample):
    """No noise is seen of it where a taper begins or ends."""
    frames = np.zeros((3, SAMPLES, 2), np.float32)
    frames[:, sample] = 1
    shards.save(shards.Cell("QPSK", 10).path(tmp_path), {"iq": frames, "row": np.arange(3)}, {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(measured_snr(to_complex(frames))).all()
        class_order.features(to_complex(frames))
        audit.examine(tmp_path, NOTHING_EXPECTED)
        audit.snr_table(tmp_path)


def test_features_of_known_envelopes():
    time = np.arange(SAMPLES)
    tone = class_order.features(np.exp(2j * np.pi * 17 / SAMPLES * time)[None] + 1e-4 * noise(1))
    assert (tone["carrier"], tone["c20"], tone["c40"], tone["kurtosis"]) == pytest.approx(
        (1, 1, 1, 1), abs=1e-3
    )
    # On-off keying: the mean is 1/sqrt 2, so a carrier holds half of the power.
    assert class_order.features(clean("OOK", 24) + 1e-4 * noise(24))["carrier"] == pytest.approx(
        0.5, abs=0.1
    )
    # A real signal has x^2 = |x|^2: all of its power is one line.
    assert class_order.features(clean("8ASK", 24) + 1e-4 * noise(24))["c20"] == pytest.approx(
        1, abs=1e-3
    )
    # One symbol is one sample of bandwidth / sps: 128 of them, in a band of 0.16 cycles a sample
    # with soft edges.
    assert (
        100 < class_order.features(clean("QPSK", 24) + 1e-4 * noise(24))["symbols"] < 0.18 * SAMPLES
    )


@pytest.fixture(scope="module")
def gnuradio_features():
    with rml2018.open_file(GNURADIO) as source:
        return rml2018.features_by_column(source, rml2018.rows_by_label(source))


def relabelled(measured, meant_by):
    """What a file would show whose columns stood in the order `meant_by`."""
    return {meant_by.index(MODULATIONS[column]): found for column, found in measured.items()}


@needs_gnuradio
class TestClassOrder:
    def test_right_order_contradicts_nothing(self, gnuradio_features):
        assert class_order.check_class_order(
            "fixed", gnuradio_features, "x.h5"
        ) == class_order.OrderFindings(len(class_order.RULES), {}, "bipolar")

    def test_wrong_order_is_refused_and_the_right_one_named(self, gnuradio_features):
        with pytest.raises(
            ValueError,
            match=r"data.class_order = classes_txt .* x.h5.*8ASK: c20 0.*data.class_order to fixed",
        ):
            class_order.check_class_order("classes_txt", gnuradio_features, "x.h5")

    def test_the_other_way_round(self, gnuradio_features):
        permuted = relabelled(gnuradio_features, CLASSES_TXT)
        assert not class_order.check_class_order("classes_txt", permuted, "x.h5").contradicted
        with pytest.raises(
            ValueError,
            match=r"data.class_order = fixed cannot be right.*set data.class_order to classes_txt",
        ):
            class_order.check_class_order("fixed", permuted, "x.h5")

    @pytest.mark.parametrize("order", ["fixed", "classes_txt"])
    def test_an_unknown_order_is_refused_whatever_is_set(self, gnuradio_features, order):
        alphabetical = relabelled(gnuradio_features, sorted(MODULATIONS))
        with pytest.raises(ValueError, match=r"cannot be right.*no known order .* fits"):
            class_order.check_class_order(order, alphabetical, "x.h5")

    def test_odd_classes_in_a_right_file_are_let_pass(self, gnuradio_features):
        """Whatever AM looks like, and with a quarter of the others wholly unlike themselves."""
        odd = dict(gnuradio_features)
        for name in (
            "AM-SSB-WC",
            "AM-SSB-SC",
            "AM-DSB-WC",
            "AM-DSB-SC",
            "FM",
            "GMSK",
            "OOK",
            "OQPSK",
            "32QAM",
        ):
            odd[MODULATIONS.index(name)] = odd[MODULATIONS.index("8PSK")]
        assert set(class_order.check_class_order("fixed", odd, "x.h5").contradicted) == {
            "FM",
            "GMSK",
            "OOK",
            "OQPSK",
            "32QAM",
        }

    @pytest.mark.parametrize(
        "held", [("4ASK", "8ASK"), ("16QAM", "64QAM", "256QAM"), ("BPSK", "QPSK", "8PSK")]
    )
    def test_files_with_few_classes(self, gnuradio_features, held):
        few = {MODULATIONS.index(name): gnuradio_features[MODULATIONS.index(name)] for name in held}
        assert not class_order.check_class_order("fixed", few, "x.h5").contradicted
        with pytest.raises(ValueError, match=r"set data.class_order to fixed"):
            class_order.check_class_order("classes_txt", few, "x.h5")

    def test_too_few_symbols_leave_the_order_unchecked(self, gnuradio_features):
        short = {column: found | {"symbols": 16.0} for column, found in gnuradio_features.items()}
        assert class_order.check_class_order(
            "classes_txt", short, "x.h5"
        ) == class_order.OrderFindings(0, {})


def unipolar(order: int) -> np.ndarray:
    """Frames of ASK with the levels 0 to order - 1."""
    carrier = (order - 1) / 2
    rms = np.sqrt((order**2 - 1) / 12)  # of the levels about their mean
    bipolar = clean(f"{order}ASK", 24)
    turned = bipolar * np.exp(-0.5j * np.angle(np.sum(bipolar**2, axis=1, keepdims=True)))
    return rms * turned + carrier + 1e-3 * noise(24)


def test_ask_of_both_kinds_is_right_and_the_kind_is_named():
    four, eight = (MODULATIONS.index(name) for name in ("4ASK", "8ASK"))
    kinds = {
        "unipolar": {four: unipolar(4), eight: unipolar(8)},
        "bipolar": {four: clean("4ASK", 24), eight: clean("8ASK", 24)},
        "mixed": {four: unipolar(4), eight: clean("8ASK", 24)},
    }
    for kind, frames in kinds.items():
        measured = {column: class_order.features(iq) for column, iq in frames.items()}
        found = class_order.check_classes(MODULATIONS, measured)
        assert found == class_order.OrderFindings(2, {}, kind)


@pytest.mark.parametrize("order", [4, 8])
def test_a_file_of_nothing_but_unipolar_ask_is_checked(order):
    """Its carrier makes the spectrum narrow; its frames have as many symbols as any."""
    column = MODULATIONS.index(f"{order}ASK")
    measured = {column: class_order.features(unipolar(order))}
    found = class_order.check_class_order("fixed", measured, "x.h5")
    assert found == class_order.OrderFindings(1, {}, "unipolar")
    with pytest.raises(ValueError, match=r"set data.class_order to fixed"):
        class_order.check_class_order("classes_txt", measured, "x.h5")


def test_levels_of_neither_kind_are_no_reason_to_doubt_the_order():
    """The order is right where nothing but the levels is odd; the audit warns of them."""
    column = MODULATIONS.index("4ASK")
    measured = {column: class_order.features(clean("4ASK", 24)) | {"carrier": 0.35}}
    found = class_order.check_class_order("fixed", measured, "x.h5")
    assert found.contradicted == {"4ASK": "carrier 0.35 not < 0.25 or > 0.45"}
    assert (found.checked, found.ask) == (1, "mixed")


def test_ask_with_half_a_carrier_is_contradicted():
    column = MODULATIONS.index("4ASK")
    measured = class_order.features(unipolar(4)) | {"carrier": 0.35}
    (why,) = class_order.check_classes(MODULATIONS, {column: measured}).contradicted.values()
    assert why == "carrier 0.35 not < 0.25 or > 0.45"


def table_with_slope(slope: float, labels: list[int]) -> pd.DataFrame:
    return pd.DataFrame(
        {"snr_db": labels, "measured_snr_db": [slope * label + 3 for label in labels]}
    )


def test_fit_recovers_slope_and_offset_over_the_fitted_labels_only():
    table = table_with_slope(1, [-10, 0, 30])
    outside = pd.DataFrame({"snr_db": [-20, -18], "measured_snr_db": [40.0, np.nan]})
    fit = audit.fit_snr(pd.concat([table, outside]))
    assert (fit.slope, fit.offset_db, fit.tolerance, fit.agrees) == pytest.approx(
        (1, 3, 2 / 40, True)
    )


@pytest.mark.parametrize(
    ("slope", "labels", "verdict"),
    [(1.04, [-10, 30], True), (1.06, [-10, 30], False), (1.06, [20, 30], True)],
)
def test_slope_may_be_off_by_one_step_of_the_labels_over_their_range(slope, labels, verdict):
    assert audit.fit_snr(table_with_slope(slope, labels)).agrees is verdict


def test_no_fit_without_two_labels():
    assert audit.fit_snr(table_with_slope(1, [6])) is None


def test_table_leaves_out_what_has_no_linear_modulation(tmp_path):
    for cell in (shards.Cell(name, 10) for name in ("QPSK", "QAM16", "FM", "WBFM", "CPFSK")):
        iq = clean("QPSK", 8) + 10 ** (-10 / 20) * noise(8)
        frames = np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)
        shards.save(cell.path(tmp_path), {"iq": frames}, {})
    table = audit.snr_table(tmp_path)
    assert table[["modulation", "snr_db", "n"]].to_numpy().tolist() == [
        ["QAM16", 10, 8],
        ["QPSK", 10, 8],
    ]
    row = table.iloc[0]
    assert row.low_db < row.measured_snr_db < row.high_db
    # Ten times the noise is signal, so noise is 1/11 of the power.
    assert (row.measured_snr_db, row.floor_db) == pytest.approx((10, -10 * np.log10(11)), abs=0.8)


def test_labels_that_scaled_the_amplitude_show_a_slope_of_two(tmp_path):
    labels, n = (0, 10, 20, 30), 16
    chosen = ("BPSK", "16QAM")
    columns = np.repeat([MODULATIONS.index(name) for name in chosen], len(labels) * n)
    iq = np.concatenate(
        [clean(name, n) + 10 ** (-snr_db / 10) * noise(n) for name in chosen for snr_db in labels]
    )
    with h5py.File(tmp_path / "doubled.h5", "w") as file:
        file["X"] = np.stack([iq.real, iq.imag], axis=-1).astype(np.float32)
        file["Y"] = np.eye(24, dtype=np.int64)[columns]
        file["Z"] = np.tile(np.repeat(labels, n), len(chosen))[:, None]
    data = Selection(
        path=str(tmp_path / "doubled.h5"),
        class_order="fixed",
        modulations=chosen,
        snrs_db=labels,
        frames_per_cell=None,
    )
    found = sharding.split(data, tmp_path / "out")
    assert found.headline["slope"] == pytest.approx(2, abs=0.05)
    assert found.headline["offset_db"] == pytest.approx(0, abs=0.2)
    assert found.details["snr_label"] == "amplitude"
    assert found.details["snr_label_known_from"] == "measured"
    assert found.details["slope_agrees"] is True
    assert not any("rises by" in warning for warning in found.warnings)
    assert set(found.table["snr_label"]) == {"amplitude"}
