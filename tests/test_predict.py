"""`python -m pisces predict`: a recording in, the right answer out, in files others can read."""

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import numpy as np
import pytest
import sigmf
import soundfile

from pisces.prediction import segments, tables
from pisces.sources.recordings import open_recordings
from tests.predicting import (
    BEFORE,
    CENTRE_HZ,
    OFFSET,
    RATE_HZ,
    SAMPLES,
    SAMPLES_A_SYMBOL,
    SNR_DB,
    SNRS_DB,
    SPS,
    model,
    predict,
    signal,
    trained,
    write_sigmf,
)
from tests.recorded import modulated, noise, shifted

__all__ = ["model", "predict", "signal", "trained"]

FIELDS = {
    *("start", "count", "modulation", "probability", "alternatives", "snr_db", "snr_interval_db"),
    *("symbol_rate_hz", "centre_hz", "known", "novelty"),
}
SYMBOL_RATE_HZ = RATE_HZ / SAMPLES_A_SYMBOL


def written(folder: Path) -> list[dict]:
    return json.loads((folder / "out" / "predictions.json").read_text())


def only_segment(folder: Path) -> dict:
    (recording,) = written(folder)
    (segment,) = recording["segments"]
    return segment


# The answer


@pytest.fixture
def answered(predict, tmp_path, signal) -> dict:
    """The only segment of a SigMF recording of the burst."""
    answer = predict(write_sigmf(tmp_path / "burst", signal))
    assert answer.status == 0, answer
    return only_segment(tmp_path)


def test_the_fields_are_those_that_are_promised(answered, tmp_path):
    (recording,) = written(tmp_path)
    assert recording.keys() >= {"recording", "segments", "summary"}
    assert recording["recording"] == "burst.sigmf-data"
    assert answered.keys() >= FIELDS
    assert recording["summary"].startswith("1 signal in 0.0209 s")


def test_a_burst_of_an_odd_rate_beside_the_centre_is_named(answered, signal):
    assert answered["modulation"] == "QPSK"
    assert answered["probability"] > 0.9
    others = [one["modulation"] for one in answered["alternatives"]]
    assert sorted([answered["modulation"], *others]) == ["16QAM", "BPSK", "QPSK"]

    # The end of the burst is known to a frame, which must be whole.
    frame = SAMPLES / SPS * SAMPLES_A_SYMBOL
    length = len(signal) - BEFORE - 5000
    assert answered["start"] == pytest.approx(BEFORE, abs=frame / 2)
    assert answered["start"] + answered["count"] == pytest.approx(BEFORE + length, abs=frame)


def test_rate_and_centre_are_those_of_the_burst(answered):
    # A line in the spectrum of the burst is 1 / length wide, and its top within half of that.
    symbols = answered["count"] / SAMPLES_A_SYMBOL
    assert answered["symbol_rate_hz"] == pytest.approx(SYMBOL_RATE_HZ, rel=0.5 / symbols)
    # The carrier is left within what the receiver follows, a hundredth of the symbol rate.
    centre_hz = CENTRE_HZ + OFFSET * RATE_HZ
    assert answered["centre_hz"] == pytest.approx(centre_hz, abs=SYMBOL_RATE_HZ / 100)
    assert answered["bandwidth_hz"] == pytest.approx(1.2 * SYMBOL_RATE_HZ, rel=0.15)


def test_the_snr_is_that_over_the_band_of_a_frame(answered):
    """Frames are `SPS` symbol rates wide and take in more noise than the recording."""
    expected_db = SNR_DB - 10 * np.log10(SPS / SAMPLES_A_SYMBOL)
    low, high = answered["snr_interval_db"]
    assert low <= expected_db <= high
    step = SNRS_DB[1] - SNRS_DB[0]  # of the classes, whose mean under the softmax is named
    assert answered["snr_db"] == pytest.approx(expected_db, abs=step / 2)


def test_noise_alone_is_no_signal(predict, tmp_path):
    iq = noise(60_000, 1.0, rng=np.random.default_rng(2)).astype(np.complex64)
    answer = predict(write_sigmf(tmp_path / "noise", iq))
    (recording,) = written(tmp_path)
    assert (answer.status, recording["segments"]) == (0, [])
    assert "no modulated signal" in answer.printed


# Files


def test_the_csv_has_a_row_a_segment_with_the_same_numbers(answered, tmp_path):
    (row,) = csv.DictReader((tmp_path / "out" / "predictions.csv").open())
    assert row["modulation"] == "QPSK"
    for key in ("start", "snr_db", "symbol_rate_hz"):
        assert float(row[key]) == pytest.approx(answered[key], rel=1e-5)


def test_a_frequency_in_the_csv_has_all_of_its_digits(answered, tmp_path):
    (row,) = csv.DictReader((tmp_path / "out" / "predictions.csv").open())
    assert float(row["centre_hz"]) == pytest.approx(answered["centre_hz"], rel=1e-10)


def test_the_copy_says_which_sample_rate_its_annotations_go_by(predict, tmp_path, signal):
    assert predict(write_sigmf(tmp_path / "burst", signal), "--sample-rate", "2e6").status == 0
    copy = json.loads((tmp_path / "out" / "burst.sigmf-meta").read_text())
    assert copy["global"]["core:sample_rate"] == 2e6


def test_the_copy_of_the_metadata_opens_elsewhere_and_says_the_same(answered, tmp_path, signal):
    metadata = tmp_path / "out" / "burst.sigmf-meta"
    opened = sigmf.fromfile(metadata)  # data beside it included
    opened.validate()
    assert np.array_equal(opened.read_samples(), signal)

    (annotation,) = opened.get_annotations()
    assert annotation["core:label"] in ("QPSK", "unknown")
    assert annotation["core:sample_start"] == answered["start"]
    assert annotation["pisces:probability"] == answered["probability"]
    middle_hz = (annotation["core:freq_lower_edge"] + annotation["core:freq_upper_edge"]) / 2
    assert middle_hz == pytest.approx(answered["centre_hz"])
    used = {key.partition(":")[0] for key in annotation} - {"core"}
    declared = opened.get_global_info()["core:extensions"]
    assert used <= {one["name"] for one in declared}
    assert all(one["optional"] for one in declared)

    (again,) = open_recordings(metadata)
    assert [one.start for one in again.annotations] == [answered["start"]]


@pytest.mark.parametrize("offset", [0, 1_000])
def test_annotations_count_as_the_metadata_do(predict, tmp_path, signal, offset):
    own = {"core:sample_start": offset + 10, "core:sample_count": 20, "core:label": "mine"}
    predict(write_sigmf(tmp_path / "burst", signal, own, **{"core:offset": offset}))
    content = json.loads((tmp_path / "out" / "burst.sigmf-meta").read_text())
    mine, ours = content["annotations"]
    assert mine == own
    assert ours["core:sample_start"] == offset + only_segment(tmp_path)["start"]


def test_a_later_capture_begins_later(predict, tmp_path, signal):
    metadata = write_sigmf(tmp_path / "two", np.concatenate([signal[:3_000], signal]))
    content = json.loads(metadata.read_text())
    content["captures"].append({"core:sample_start": 3_000, "core:frequency": 2 * CENTRE_HZ})
    metadata.write_text(json.dumps(content))
    predict(metadata)

    _, second = written(tmp_path)
    (segment,) = second["segments"]
    copied = json.loads((tmp_path / "out" / "two.sigmf-meta").read_text())
    (annotation,) = copied["annotations"]
    assert annotation["core:sample_start"] == 3_000 + segment["start"]


def test_a_second_prediction_takes_the_place_of_the_first(predict, tmp_path, signal):
    metadata = write_sigmf(tmp_path / "burst", signal)
    predict(metadata)
    first = (tmp_path / "out" / "burst.sigmf-meta").read_text()
    predict(metadata)
    assert (tmp_path / "out" / "burst.sigmf-meta").read_text() == first

    predict(tmp_path / "out" / "burst.sigmf-meta", "--out", "elsewhere")  # what holds our own
    assert (tmp_path / "elsewhere" / "burst.sigmf-meta").read_text() == first


@pytest.mark.parametrize("out", [".", "filled"])
def test_descriptions_of_others_are_never_overwritten(predict, tmp_path, signal, out):
    metadata = write_sigmf(tmp_path / "burst", signal)
    others = write_sigmf(tmp_path / "filled" / "burst", signal)
    before = metadata.read_bytes(), others.read_bytes()
    answer = predict(metadata, "--out", out)
    assert answer.status == 1
    assert "burst.sigmf-meta" in answer.complained
    assert (metadata.read_bytes(), others.read_bytes()) == before
    assert not (tmp_path / out / "predictions.json").exists()


def test_recordings_of_one_name_do_not_overwrite_each_other(predict, tmp_path, signal):
    first = write_sigmf(tmp_path / "a" / "burst", signal)
    second = write_sigmf(tmp_path / "b" / "burst", signal[3_000:])
    predict(first, second)
    copies = [tmp_path / "out" / "burst.sigmf-meta", tmp_path / "out" / "2" / "burst.sigmf-meta"]
    (early,), (late,) = (sigmf.fromfile(copy).get_annotations() for copy in copies)
    moved = early["core:sample_start"] - late["core:sample_start"]
    assert moved == pytest.approx(3_000, abs=100)
    assert [one["path"] for one in written(tmp_path)] == [str(first), str(second)]


def test_a_recording_that_is_named_twice_is_predicted_once(predict, tmp_path, signal):
    metadata = write_sigmf(tmp_path / "burst", signal)
    predict(metadata.with_suffix(".sigmf-data"), metadata)
    assert len(written(tmp_path)) == 1


# Other formats


def test_raw_samples_from_a_file_and_from_the_standard_input(
    predict, tmp_path, signal, monkeypatch
):
    signal.tofile(tmp_path / "raw.bin")
    told = ("--datatype", "cf32", "--sample-rate", RATE_HZ)
    predict(tmp_path / "raw.bin", *told)
    of_file = only_segment(tmp_path)
    stream = SimpleNamespace(buffer=io.BytesIO(signal.tobytes()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stream)
    assert predict("-", *told).status == 0
    assert only_segment(tmp_path) == of_file
    assert of_file["centre_hz"] == pytest.approx(OFFSET * RATE_HZ, abs=SYMBOL_RATE_HZ / 100)


def test_a_wav_of_one_channel_is_a_real_pass_band(predict, tmp_path):
    rng = np.random.default_rng(3)
    rate_hz, carrier_hz = 48_000, 12_000
    clean = shifted(modulated("QPSK", 1_500, 20.3, rng=rng), carrier_hz / rate_hz)
    real = clean.real + noise(len(clean), 0.02, rng=rng).real
    quiet = noise(10_000, 0.02, rng=rng).real
    audio = np.concatenate([quiet, real, quiet])
    soundfile.write(tmp_path / "radio.wav", audio / np.abs(audio).max() / 1.1, rate_hz)
    predict(tmp_path / "radio.wav")
    segment = only_segment(tmp_path)
    assert segment["modulation"] == "QPSK"
    assert segment["centre_hz"] == pytest.approx(carrier_hz, abs=rate_hz / 20.3 / 100)


def test_frames_of_the_models_length_are_predicted_one_by_one(predict, tmp_path):
    rng = np.random.default_rng(4)
    rows = [modulated("BPSK", SAMPLES // SPS + 20, SPS, rng=rng)[:SAMPLES] for _ in range(6)]
    frames = np.array(rows) + noise(6 * SAMPLES, 0.1, rng=rng).reshape(6, SAMPLES)
    np.save(tmp_path / "frames.npy", frames.astype(np.complex64))
    predict(tmp_path / "frames.npy")
    (recording,) = written(tmp_path)
    assert [one["start"] for one in recording["segments"]] == [SAMPLES * n for n in range(6)]
    assert [one["modulation"] for one in recording["segments"]] == 6 * ["BPSK"]
    assert {one["symbol_rate_hz"] for one in recording["segments"]} == {None}


def test_symbols_are_predicted_as_symbols(predict, tmp_path):
    rng = np.random.default_rng(5)
    points = rng.choice([1 + 1j, 1 - 1j, -1 + 1j, -1 - 1j], 6_000) / np.sqrt(2)
    points += noise(6_000, 0.01, rng=rng)
    np.save(tmp_path / "points.npy", points.astype(np.complex64))
    predict(tmp_path / "points.npy", "--symbol-rate", 1)
    assert only_segment(tmp_path)["modulation"] == "QPSK"


def test_a_collection_gives_each_of_its_recordings(predict, tmp_path, signal):
    names = ("first", "second")
    for name in names:
        write_sigmf(tmp_path / name, signal)
    files = [sigmf.fromfile(tmp_path / f"{name}.sigmf-meta") for name in names]
    for file, name in zip(files, names, strict=True):
        file.tofile(tmp_path / f"{name}.sigmf-meta", overwrite=True)
    streams = [f"{name}.sigmf-meta" for name in names]
    collection = sigmf.SigMFCollection(streams, base_path=tmp_path)
    collection.tofile(tmp_path / "both.sigmf-collection")
    assert predict(tmp_path / "both.sigmf-collection").status == 0
    assert [one["recording"] for one in written(tmp_path)] == [f"{n}.sigmf-data" for n in names]


# Options


def test_with_annotated_signals_are_where_the_annotations_say(predict, tmp_path, signal):
    told = {"core:sample_start": BEFORE + 1_000, "core:sample_count": 5_000}
    edges_hz = [CENTRE_HZ + OFFSET * RATE_HZ + sign * 0.7 * SYMBOL_RATE_HZ for sign in (-1, 1)]
    told |= dict(zip(("core:freq_lower_edge", "core:freq_upper_edge"), edges_hz, strict=True))
    told |= {"signal:detail": {"symbol_rate": SYMBOL_RATE_HZ}}
    tiny = [{"core:sample_start": n, "core:sample_count": 5} for n in range(1_000)]
    predict(write_sigmf(tmp_path / "burst", signal, *tiny, told), "--annotated")
    segment = only_segment(tmp_path)
    assert segment["modulation"] == "QPSK"
    assert BEFORE + 1_000 <= segment["start"] < BEFORE + 1_100
    assert segment["symbol_rate_hz"] == pytest.approx(SYMBOL_RATE_HZ)


def test_explain_draws_what_each_answer_hangs_on(predict, tmp_path, signal):
    answer = predict(write_sigmf(tmp_path / "burst", signal), "--explain")
    assert answer.status == 0, answer
    (picture,) = (tmp_path / "out").glob("*.png")
    pixels = matplotlib.image.imread(picture)[..., :3]
    height, width, _ = pixels.shape
    assert width > height
    assert width >= 88 / 25.4 * 250  # dots that make print at the width of a column
    red = np.abs(pixels - np.array([1, 0.231, 0.188])).max(-1) < 0.01
    assert red.sum() > 0.002 * red.size


# Of many frames


def test_probabilities_of_a_signal_are_between_the_mean_and_the_product_of_its_frames():
    frames = np.array([[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])
    found = segments.pooled(np.log(frames))
    product = frames.prod(0) / frames.prod(0).sum()
    mean = np.sqrt(frames.prod(0)) / np.sqrt(frames.prod(0)).sum()
    assert found.sum() == pytest.approx(1)
    assert mean[0] < found[0] < product[0]
    assert segments.pooled(np.log(frames[:1])) == pytest.approx(frames[0])


def test_the_likeliest_comes_first_and_three_after_it():
    name, probability, others = segments.likeliest(
        np.array([0.1, 0.4, 0.3, 0.15, 0.05]), ["a", "b", "c", "d", "e"]
    )
    assert (name, probability) == ("b", 0.4)
    assert [one.modulation for one in others] == ["c", "d", "a"]


# The table


def widest() -> segments.SegmentPrediction:
    """A segment whose cells are as wide as they get."""
    others = tuple(segments.Alternative(name, 0.33) for name in ("128QAM", "64APSK"))
    return segments.SegmentPrediction(
        start=123_456_789_012,
        count=1_234_567,
        frames=100,
        modulation="128APSK",
        probability=0.34,
        alternatives=others,
        snr_db=-12.3,
        snr_interval_db=(-14.4, -10.2),
        symbol_rate_hz=115_234.5,
        symbol_rate_confidence=1.0,
        centre_hz=1_089_435_678.9,
        bandwidth_hz=828_123.0,
        known=False,
        novelty=1.5,
    )


def test_the_table_fits_a_hundred_columns():
    prediction = segments.RecordingPrediction("x.wav", "x.wav", (widest(),), "summary", 1e7)
    table = list(tables.lines(prediction))
    assert max(map(len, table)) <= 100
    assert "12345.6789" in table[2]


def test_a_rate_that_only_the_bandwidth_tells_is_marked():
    unsure = replace(widest(), symbol_rate_confidence=0.1)
    for segment, mark in ((unsure, "~115.2k"), (widest(), " 115.2k")):
        one = segments.RecordingPrediction("x.wav", "x.wav", (segment,), "summary", 1e7)
        assert mark in list(tables.lines(one))[2]


def test_a_long_table_is_cut_on_the_screen_only():
    many = tuple(widest() for _ in range(tables.MOST_LINES + 7))
    prediction = segments.RecordingPrediction("x.wav", "x.wav", many, "summary", 1e6)
    table = list(tables.lines(prediction))
    assert "7 more" in table[-2]
    assert len(tables.frame([prediction])) == len(many)
