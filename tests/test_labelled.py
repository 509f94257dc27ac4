"""A folder of labelled recordings as training data: which frames it gives, and what it refuses."""

import json
import re
import shlex
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml as yaml_text

from pisces.__main__ import main
from pisces.acquisition import labelled, labels
from pisces.acquisition.acquire import acquire
from pisces.config.io import load_params
from pisces.core import yaml
from pisces.core.dsp import measured_snr, to_complex, to_db
from pisces.core.seeding import generator
from pisces.core.shards import Cell, array
from pisces.sources import sharding
from pisces.sources.recordings import open_recordings
from pisces.sources.settings import Selection
from tests.pipeline import ROOT, change_params, overlaid
from tests.recorded import InMemory

SPS, SAMPLES, RATE_HZ = 8, 256, 1e6
BURST, GAP = 6_000, 1_000
"""Samples of a recording; a burst gives 23 frames, and 112 samples are left."""
SNRS_DB = (0, 6, 12)
TABLE_HEAD = "file,start,count,label,symbol_rate_hz\n"
RECEIVED_DB = 20.0


def tone_pairs(rng: np.random.Generator, samples: int, sps: float = SPS) -> np.ndarray:
    """2-FSK at unit power, its tones one symbol rate apart."""
    bits = rng.choice([-0.5, 0.5], size=int(samples / sps) + 1)
    frequency = bits[(np.arange(samples) / sps).astype(int)] / sps
    return np.exp(2j * np.pi * np.cumsum(frequency))


def qpsk(rng: np.random.Generator, samples: int) -> np.ndarray:
    """QPSK with pulses of two raised cosine symbols at unit power."""
    symbols = np.exp(1j * np.pi * (rng.integers(4, size=samples // SPS + 4) / 2 + 0.25))
    impulses = np.zeros(len(symbols) * SPS, complex)
    impulses[::SPS] = symbols
    shaped = np.convolve(impulses, np.hanning(2 * SPS + 1))[2 * SPS :][:samples]
    return shaped / np.sqrt(np.mean(np.abs(shaped) ** 2))


SIGNALS = {"QPSK": qpsk, "2FSK": tone_pairs}


def recorded(label: str, bursts: int, snr_db: float = RECEIVED_DB, seed: int = 0) -> np.ndarray:
    """Bursts of one class in noise, complex64."""
    rng = generator(seed, "recording", label)
    count = bursts * (GAP + BURST)
    noise = rng.standard_normal((count, 2)) @ [1, 1j] / np.sqrt(2)
    for start in starts(bursts):
        noise[start : start + BURST] += 10 ** (snr_db / 20) * SIGNALS[label](rng, BURST)
    return (noise / 30).astype("<c8")


def starts(bursts: int) -> list[int]:
    return [GAP + number * (GAP + BURST) for number in range(bursts)]


def write_pair(
    folder: Path, name: str, iq: np.ndarray, stretches: list[tuple[int, int, str]]
) -> Path:
    """A SigMF pair whose annotations say the label and the symbol rate."""
    folder.mkdir(parents=True, exist_ok=True)
    iq.tofile(folder / f"{name}.sigmf-data")
    annotations = [
        {
            "core:sample_start": start,
            "core:sample_count": count,
            "core:label": label,
            "signal:detail": {"symbol_rate": RATE_HZ / SPS},
        }
        for start, count, label in stretches
    ]
    description = {
        "global": {
            "core:datatype": "cf32_le",
            "core:version": "1.0.0",
            "core:sample_rate": RATE_HZ,
        },
        "captures": [{"core:sample_start": 0}],
        "annotations": annotations,
    }
    path = folder / f"{name}.sigmf-meta"
    path.write_text(json.dumps(description))
    return path


def write_folder(folder: Path, bursts: int = 2, **how: float) -> Path:
    for label in SIGNALS:
        stretches = [(start, BURST, label) for start in starts(bursts)]
        write_pair(folder, label, recorded(label, bursts, **how), stretches)
    return folder


def write_table(folder: Path, lines: str, head: str = TABLE_HEAD) -> Path:
    (folder / "labels.csv").write_text(head + lines)
    return folder


def selection(folder: Path, **changes) -> Selection:
    plain = Selection(
        path=str(folder),
        class_order="fixed",
        modulations=("QPSK", "2FSK"),
        snrs_db=SNRS_DB,
        frames_per_cell=None,
        frame_samples=SAMPLES,
        own_classes=("2FSK",),
    )
    return replace(plain, **changes)


def split(data: Selection, out: Path):
    reader = labelled.reader_of(data, SPS, 0.001)
    return sharding.split(data, out, reader=reader)


def cells_of(data: Selection) -> list[Cell]:
    return [Cell(name, snr_db) for name in data.modulations for snr_db in data.snrs_db]


def bytes_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*.h5"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_folder(tmp_path_factory.mktemp("recordings"))


@pytest.fixture(scope="module")
def shards_of(folder, tmp_path_factory) -> tuple[Selection, Path]:
    data, out = selection(folder), tmp_path_factory.mktemp("split") / "iq"
    split(data, out)
    return data, out


# Frames


def test_each_cell_has_frames_and_no_frame_is_in_two(shards_of):
    data, out = shards_of
    rows = {cell: array(cell.path(out), "row").tolist() for cell in cells_of(data)}
    every = [row for of_cell in rows.values() for row in of_cell]
    assert len(every) == len(set(every))
    # All are received above the highest label, so they are dealt out evenly.
    counts = Counter(map(len, rows.values()))
    assert max(counts) - min(counts) <= 1
    assert sum(map(len, rows.values())) == 2 * 2 * (BURST // SAMPLES)


def test_noise_brings_each_frame_to_the_snr_of_its_label(shards_of):
    """The floor of a frame is the median of half its bins, within 1 / (ln 2 sqrt(bins / 2)) of it.

    A taper of a quarter leaves 7 / 8 of the bins independent. Twice measured, before and after, and
    (snr + 1) / snr times as much in the SNR; the mean of n frames is within 4 standard errors, and
    half of one of a frame's, since a median of few bins is biased.
    """
    data, out = shards_of
    of_floor = 1 / (np.log(2) * np.sqrt(SAMPLES / 2 * 7 / 8))
    for cell in cells_of(data):
        snr = measured_snr(to_complex(array(cell.path(out), "iq")))
        expected = 10 ** (cell.snr_db / 10)
        error = np.sqrt(2) * of_floor * (expected + 1)
        tolerance = error * (4 / np.sqrt(len(snr)) + 0.5)
        assert np.median(snr) == pytest.approx(expected, abs=tolerance), cell


@pytest.mark.parametrize("snr_db", [-5, 0, 10])
def test_added_noise_is_what_is_missing(snr_db):
    """On a tone in noise of known power: the total is signal, and signal over the wanted SNR."""
    rng = np.random.default_rng(5)
    samples = 2**16
    tone = np.exp(2j * np.pi * 0.01 * np.arange(samples))
    noise = rng.standard_normal((samples, 2)) @ [1, 1j] / np.sqrt(2) * 10 ** (-15 / 20)
    iq = tone + noise
    frame = np.stack([iq.real, iq.imag], axis=1).astype(np.float32)
    noisy = labelled.with_snr(frame, snr_db, rng=rng)

    added = to_complex((noisy - frame)[None])[0]
    expected = 10 ** (-snr_db / 10) - 10 ** (-15 / 10)
    # Of the floor it was reckoned from, and of the noise itself.
    floor_error = 1 / (np.log(2) * np.sqrt(samples / 2))
    tolerance = 4 * expected * (floor_error + 1 / np.sqrt(samples))
    assert np.mean(np.abs(added) ** 2) == pytest.approx(expected, abs=tolerance)
    assert abs(np.mean(added**2)) < 4 * expected / np.sqrt(samples)  # circular


def test_a_frame_below_a_label_is_left_as_it_is():
    frame = np.random.default_rng(1).standard_normal((SAMPLES, 2)).astype(np.float32)
    noisy = labelled.with_snr(frame, 60, rng=np.random.default_rng(2))
    assert np.array_equal(noisy, frame)


def test_a_frame_serves_labels_up_to_its_own_snr(tmp_path):
    """A weak recording fills the low labels, so that strong frames are left for the high ones."""
    for name, snr_db in (("strong", 20.0), ("weak", 4.0)):
        iq = recorded("QPSK", 2, snr_db=snr_db)
        write_pair(tmp_path, name, iq, [(start, BURST, "QPSK") for start in starts(2)])
    data = selection(tmp_path, modulations=("QPSK",), snrs_db=(0, 12))
    split(data, tmp_path / "iq")

    per_recording = 2 * (BURST // SAMPLES)
    low, high = (array(Cell("QPSK", snr).path(tmp_path / "iq"), "row").tolist() for snr in (0, 12))
    assert max(high) < per_recording  # the strong one comes first by name
    assert len(high) >= len(low) - per_recording
    assert any(row >= per_recording for row in low)


def test_amplitude_labels_mean_twice_the_snr(folder, tmp_path):
    data = selection(folder, snrs_db=(0, 6), snr_label="amplitude")
    audit = split(data, tmp_path / "iq")
    assert audit.details["snr_label"] == "amplitude"
    snr = measured_snr(to_complex(array(Cell("QPSK", 6).path(tmp_path / "iq"), "iq")))
    assert float(to_db(np.median(snr))) == pytest.approx(12, abs=1)


def test_what_labels_mean_is_known_without_linear_classes(tmp_path):
    """The frames were made so: nothing is measured, and nothing is assumed with a warning."""
    write_folder(tmp_path / "in")
    for path in (tmp_path / "in").glob("QPSK*"):
        path.rename(path.with_name(path.name.replace("QPSK", "other")))
    text = (tmp_path / "in" / "other.sigmf-meta").read_text()
    (tmp_path / "in" / "other.sigmf-meta").write_text(text.replace("QPSK", "mine"))
    names = ("2FSK", "mine")
    data = selection(tmp_path / "in", modulations=names, own_classes=names)
    audit = split(data, tmp_path / "iq")
    assert audit.details["snr_label_known_from"] == "source"
    assert audit.warnings == []
    assert {"flatness of 2FSK", "flatness of mine"} <= set(audit.findings["name"])


def test_frames_per_cell_are_taken_from_all_recordings(folder, tmp_path):
    data = selection(folder, frames_per_cell=2, snrs_db=(0,))
    split(data, tmp_path / "iq")
    per_class = 2 * (BURST // SAMPLES)
    first, second = array(Cell("QPSK", 0).path(tmp_path / "iq"), "row").tolist()
    assert second - first >= per_class // 2 - 1


def test_bytes_are_the_same_in_every_run(shards_of, tmp_path):
    data, out = shards_of
    split(data, tmp_path / "iq")
    assert bytes_of(tmp_path / "iq") == bytes_of(out)


def test_frames_share_no_sample(tmp_path):
    """A ramp of phases would repeat in frames that overlap, as the last one of a segment may."""
    count = SAMPLES * 3 + SAMPLES * 3 // 4
    iq = recorded("2FSK", 1)[GAP : GAP + count]
    write_pair(tmp_path, "one", iq, [(0, count, "2FSK")])
    data = selection(tmp_path, modulations=("2FSK",), snrs_db=(0,))
    assert split(data, tmp_path / "iq").details["kept"]["frames"] == 3


def test_what_is_trained_on_is_cut_as_what_is_detected(tmp_path):
    """2-FSK has lines at its symbol rate and at twice that: the same must be found both times."""
    burst, around = 32_000, 8_000
    rng = np.random.default_rng(3)
    iq = rng.standard_normal((burst + 2 * around, 2)) @ [1, 1j] / np.sqrt(2)
    iq[around : around + burst] += 10 * tone_pairs(rng, burst, sps=8.73)
    path = write_pair(tmp_path, "one", iq.astype("<c8"), [])
    (recording,) = open_recordings(path)
    annotation = labels.Annotation(around, burst, "2FSK", None, None, None)

    goal = {"samples": SAMPLES, "sps": SPS, "max_offset": 0.01}
    (labelled_one,) = acquire(replace(recording, annotations=(annotation,)), annotated=True, **goal)
    detected, *_ = acquire(recording, **goal)
    rates = [one.segment.symbol_rate_hz for one in (labelled_one, detected)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-3)


# The table


def test_a_table_gives_what_annotations_give(folder, shards_of, tmp_path):
    other = tmp_path / folder.name
    other.mkdir()
    lines = ""
    for label in sorted(SIGNALS):
        iq = np.fromfile(folder / f"{label}.sigmf-data", "<c8")
        np.save(other / f"{label}.npy", iq)
        (other / f"{label}.json").write_text(json.dumps({"sample_rate": RATE_HZ}))
        for start in starts(2):
            lines += f"{label}.npy,{start},{BURST},{label},{RATE_HZ / SPS}\n"
    write_table(other, lines)
    data, out = shards_of
    split(replace(data, path=str(other)), tmp_path / "iq")
    for cell in cells_of(data):
        for name in ("iq", "row"):
            found = array(cell.path(tmp_path / "iq"), name)
            assert np.array_equal(found, array(cell.path(out), name))


def test_a_list_of_frames_is_labelled_by_its_samples(tmp_path):
    """Frames of two classes in one array: each class gets its own half."""
    halves = [recorded(label, 2)[GAP : GAP + 4096].reshape(16, SAMPLES) for label in SIGNALS]
    np.save(tmp_path / "frames.npy", np.concatenate(halves))
    half = 16 * SAMPLES
    rate = f",{1 / SPS}"
    write_table(tmp_path, f"frames.npy,0,{half},QPSK{rate}\nframes.npy,{half},{half},2FSK{rate}\n")
    data = selection(tmp_path, snrs_db=(16,))
    split(data, tmp_path / "iq")
    # The envelope of FSK is constant, that of QPSK is not.
    ripple = {}
    for name in SIGNALS:
        frames = to_complex(array(Cell(name, 16).path(tmp_path / "iq"), "iq"))
        assert len(frames) == 16
        ripple[name] = np.std(np.abs(frames)) / np.mean(np.abs(frames))
    assert ripple["2FSK"] < 0.6 * ripple["QPSK"]


def test_recordings_may_lie_in_folders_below(shards_of, tmp_path):
    data, _ = shards_of
    for label in SIGNALS:
        write_pair(
            tmp_path / label, "one", recorded(label, 2), [(s, BURST, label) for s in starts(2)]
        )
    reader = labelled.reader_of(replace(data, path=str(tmp_path)), SPS, 0.001)
    frames = sharding.selected_frames(replace(data, path=str(tmp_path)), reader).frames
    assert sum(frames.values()) == 2 * 2 * (BURST // SAMPLES)


# What is refused


def refused(folder: Path, tmp_path: Path, **changes) -> str:
    """The one line that a split ends with; nothing is left of it."""
    data = selection(folder, **changes)
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # each caller looks at the message
        split(data, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


LINES = {
    "QPSK.npy,-1,100,QPSK,": ["start is '-1'", "0 or more"],
    "QPSK.npy,0,0,QPSK,": ["count is '0'", "1 or more"],
    "QPSK.npy,0.5,10,QPSK,": ["start is '0.5'", "whole number"],
    "QPSK.npy,,10,QPSK,": ["start is ''"],
    "QPSK.npy,0,99999,QPSK,": ["end at sample 99999", "has 14000 samples"],
    "QPSK.npy,0,100,,": ["label is empty", "name of the class"],
    "QPSK.npy,0": ["count is ''"],
    "QPSK.npy,0,100,QPSK,fast": ["symbol_rate_hz is 'fast'", "hertz"],
    "QPSK.npy,0,100,QPSK,-5": ["symbol_rate_hz is -5", "above 0"],
    "gone.npy,0,100,QPSK,": ["gone.npy is not there"],
    "../QPSK.npy,0,100,QPSK,": ["file is '../QPSK.npy'", "must be a file in"],
    ",0,100,QPSK,": ["file is ''"],
}


@pytest.mark.parametrize("line", LINES)
def test_a_bad_line_is_named(tmp_path, line):
    np.save(tmp_path / "QPSK.npy", recorded("QPSK", 2))
    write_table(tmp_path, f"QPSK.npy,{GAP},{BURST},QPSK,\n{line}\n")
    said = refused(tmp_path, tmp_path)
    for part in ("labels.csv, line 3: ", *LINES[line]):
        assert part in said


IMPOSSIBLE = {
    "5e9,6e9,": ["band 5000000000 to 6000000000 Hz", "lies outside", "-500000 to 500000 Hz"],
    "1e30,2e30,": ["lies outside"],
    "500000,,": ["lies outside"],
    "30000,30000.0001,": ["band 30000 to 30000.0001 Hz", "too narrow"],
    "0.03,0.03000000001,": ["too narrow"],
    ",,1e30": ["symbol rate 1e+30 Hz", "166.667 ", "to 1000000 Hz"],
    ",,1e-9": ["symbol rate 1e-09 Hz", "166.667 "],
    ",,1e-12": ["symbol rate 1e-12 Hz", "leave it out"],
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("numbers", IMPOSSIBLE)
def test_what_a_recording_cannot_hold_is_named(tmp_path, numbers):
    np.save(tmp_path / "a.npy", recorded("QPSK", 2))
    (tmp_path / "a.json").write_text(json.dumps({"sample_rate": RATE_HZ}))
    head = "file,start,count,label,low_hz,high_hz,symbol_rate_hz\n"
    lines = f"a.npy,{GAP},{BURST},QPSK,,,\na.npy,{GAP + BURST + GAP},{BURST},QPSK,{numbers}\n"
    write_table(tmp_path, lines, head)
    said = refused(tmp_path, tmp_path, modulations=("QPSK",))
    for part in ("labels.csv, line 3: ", "samples 8000 to 14000", "a.npy", *IMPOSSIBLE[numbers]):
        assert part in said


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (b"", ["no column file, start, count, label", "file,start,count,label"]),
        (b"file;start;count;label\n", ["no column file, start"]),
        (b"file,start,count\na.npy,0,1\n", ["no column label"]),
        (b"file,start,count,label\n", ["labels nothing"]),
        (b"file,start,count,label\na.npy,0,9,", ["label is empty"]),
        (b"file,start,count,label\na.npy,0,9," + b"x" * 200_000, ["line 2", "131072 characters"]),
        (b"file,start,count,label\na\0.npy,0,9,QPSK\n", ["line 2: file is 'a\\x00.npy'"]),
        (b"file,start,count,label\na.npy,0," + b"9" * 5000 + b",QPSK", ["count is", "18 digits"]),
        (b"file,start,count,label\na.npy,0,9,QPSK,,\n", ["line 2 has 6 cells", "4 columns"]),
        (b"file,start,count,label,start\na.npy,0,9,QPSK,5\n", ["column start twice"]),
        (b"file,start,count,label\n\xff\xfe", ["not text in UTF-8"]),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, content, parts):
    np.save(tmp_path / "a.npy", recorded("QPSK", 1))
    (tmp_path / "labels.csv").write_bytes(content)
    said = refused(tmp_path, tmp_path)
    assert "labels.csv" in said
    assert len(said) < 600
    for part in parts:
        assert part in said


def test_a_table_as_a_spreadsheet_writes_it_is_read(tmp_path):
    np.save(tmp_path / "a.npy", recorded("QPSK", 1))
    text = f"\ufefffile,start,count,label\r\na.npy, {GAP} ,{BURST}, QPSK \r\n\r\n"
    (tmp_path / "labels.csv").write_bytes(text.encode())
    (one,) = labels.labelled(tmp_path)
    assert (one.label, one.annotation.start, one.annotation.count) == ("QPSK", GAP, BURST)


def test_a_file_of_two_recordings_needs_annotations(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "four.wav", np.zeros((5000, 4)) + 0.1, 48_000)
    write_table(tmp_path, "four.wav,0,4000,QPSK,\n")
    said = refused(tmp_path, tmp_path)
    assert "line 2" in said
    assert "annotations of SigMF" in said


def test_folders_without_labels_say_what_to_put_there(tmp_path):
    (tmp_path / "empty").mkdir()
    said = refused(tmp_path / "empty", tmp_path)
    for part in ("holds nothing", "core:label", "labels.csv", "file,start,count,label"):
        assert part in said

    write_pair(tmp_path / "bare", "one", recorded("QPSK", 1), [])
    said = refused(tmp_path / "bare", tmp_path)
    assert "none has an annotation with core:label" in said


def test_a_folder_around_a_data_file_names_the_file(tmp_path):
    (tmp_path / "RML.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(600))
    assert f"set data.path (or preset --data) to the file {tmp_path}/RML.hdf5" in refused(
        tmp_path, tmp_path
    )


def test_a_class_that_nothing_is_labelled(folder, tmp_path):
    names = ("QPSK", "2fsk")
    said = refused(folder, tmp_path, modulations=names, own_classes=names[1:])
    assert "asks for 2fsk" in said
    assert "its labels are 2FSK, QPSK" in said
    assert "data.own_classes to those of 2FSK" in said


def test_a_label_that_no_class_can_be_called(tmp_path):
    label = "AFSK 1200 (ax.25)"
    write_pair(tmp_path, "one", recorded("2FSK", 1), [(GAP, BURST, label)])
    said = refused(tmp_path, tmp_path)
    assert f"'{label}' can be no class: a name has 1 to 32 letters" in said
    # One that nobody asks for is left alone.
    write_folder(tmp_path)
    data = selection(tmp_path)
    assert split(data, tmp_path / "iq").details["kept"]["frames"] > 0


def test_stretches_shorter_than_a_frame(tmp_path):
    write_pair(tmp_path, "one", recorded("QPSK", 1), [(GAP, SAMPLES - 1, "QPSK")])
    said = refused(tmp_path, tmp_path, modulations=("QPSK",))
    assert "gives no frame of QPSK" in said
    assert f"data.frame_samples = {SAMPLES}" in said
    assert f"render.sps = {SPS}" in said


def test_recordings_too_weak_for_a_label(folder, tmp_path):
    said = refused(folder, tmp_path, snrs_db=(0, 40, 50))
    found = re.search(r"frames of QPSK .* measures ([\d.]+) dB", said)
    assert found is not None
    assert float(found[1]) == pytest.approx(RECEIVED_DB, abs=3)
    assert "none is left for 40, 50 in data.snrs_db" in said


@pytest.mark.parametrize("second", ["QPSK", "2FSK"])
def test_samples_that_are_labelled_twice(tmp_path, second):
    stretches = [(GAP, BURST, "QPSK"), (GAP + BURST - 1, BURST, second)]
    path = write_pair(tmp_path, "one", recorded("QPSK", 2), stretches)
    if second != "2FSK":
        write_pair(tmp_path, "two", recorded("2FSK", 1), [(GAP, BURST, "2FSK")])
    said = refused(tmp_path, tmp_path)
    assert str(path) in said
    assert f"samples {GAP + BURST - 1} to {GAP + 2 * BURST - 1} labelled {second}" in said
    assert "shorten one of them" in said


def test_neighbours_in_frequency_are_not_the_same_samples():
    a = labels.Annotation(0, 100, "a", -2e5, -1e5, None)
    b = labels.Annotation(0, 100, "b", 1e5, 2e5, None)
    recording = type("R", (InMemory,), {"path": Path("x")})(np.zeros(200), RATE_HZ)
    found = [labels.Labelled(recording, one, one.label, "x") for one in (a, b)]
    assert labels.choose(found, Path("x"), ("a", "b")) == found
    twice = [found[0], found[1]._replace(annotation=b._replace(low_hz=-1.5e5))]
    with pytest.raises(ValueError, match="overlap"):
        labels.choose(twice, Path("x"), ("a", "b"))


# As a user, by the commands of docs/guide/own_data.md

PAGE = ROOT / "docs" / "guide" / "own_data.md"
COMMAND = re.compile(r"^    ((?:python|cp|dvc) .*)$", re.MULTILINE)
EDITS = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""What the page says to change in params.yaml."""


def say(arguments: list[str], monkeypatch, capsys) -> str:
    monkeypatch.setattr("sys.argv", ["pisces", *arguments])
    main()
    return capsys.readouterr().out


def test_the_commands_say_what_to_set_and_what_is_done(folder, tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    monkeypatch.chdir(tmp_path)
    said = say(["preset", "default", "--data", str(folder)], monkeypatch, capsys)
    assert "its labels are 2FSK, QPSK" in said
    with pytest.raises(ValueError, match=r"asks for 4ASK, .*its labels are 2FSK, QPSK"):
        say(["forecast"], monkeypatch, capsys)

    own = {"own_classes": ["2FSK"], "modulations": ["QPSK", "2FSK"], "snrs_db": [0, 6]}
    change_params(tmp_path, "data", **own, frame_samples=SAMPLES)
    said = say(["forecast"], monkeypatch, capsys)
    assert f"4 labelled stretches of {4 * BURST:,} samples" in said
    assert f"QPSK {2 * BURST:,}" in said

    change_params(tmp_path, "stratify", train=0.5, validation=0.25, test=0.25)
    said = say(["check"], monkeypatch, capsys)
    assert "frames of 4 (modulation, SNR)" in said
    assert "warning: render.pulse = estimated" in said
    change_params(tmp_path, "render", pulse="rrc")
    assert "warning" not in say(["check"], monkeypatch, capsys)


def test_only_own_classes_show_no_pulse(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    shutil.copy(ROOT / "presets" / "default.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    names = ["2FSK", "chirp"]
    own = {"own_classes": names, "modulations": list(names)}
    change_params(tmp_path, "data", path=str(tmp_path), **own)
    with pytest.raises(ValueError, match=r"needs a linear modulation, .*set render.pulse to rrc"):
        load_params()
    change_params(tmp_path, "render", pulse="rrc")
    assert load_params().data.modulations == ("2FSK", "chirp")


@pytest.mark.slow
def test_the_page_is_what_happens(copied, shell, tmp_path):
    """Its commands in their order, on shorter recordings and with the settings of `smoke`."""
    root = shutil.copytree(copied, tmp_path / "pisces")
    shell.must(root, "dvc", "repro", "train")  # the finished model that is trained on from
    shell.must(root, "cp", "-rL", "models", "finished")
    smoke = yaml.read(ROOT / "presets" / "smoke.yaml")

    commands = COMMAND.findall(PAGE.read_text())
    assert len(commands) >= 4
    for command in commands:
        words = shlex.split(command)
        if words[1].startswith("examples/"):
            words += ["--bursts", "3", "--burst", "16000"]
        if words[:2] == ["cp", "-rL"]:
            words[2] = "finished"
        printed = shell.must(root, *words)

        if "preset" in words:
            (edits,) = (yaml_text.safe_load(text) for text in EDITS.findall(PAGE.read_text()))
            changes = {name: smoke[name] for name in ("render", "train", "perturb")}
            for section, values in overlaid(
                changes | {"attribute": smoke["attribute"]}, edits
            ).items():
                change_params(root, section, **values)
            change_params(root, "data", frames_per_cell=10)
        if "check" in words:
            assert "holds 200 frames of 20 (modulation, SNR)" in printed
            shell.must(root, "dvc", "repro", "report_data", "report")
            assert len(list((root / "plots").glob("*.png"))) > 10
            shell.must(root, "git", "add", "-A")
            shell.must(root, "git", "commit", "-qm", "own")
        if "predict" in words:
            (said,) = json.loads((root.parent / "predictions" / "predictions.json").read_text())
            named = {one["modulation"] for one in said["segments"]}
            assert named <= {"QPSK", "8PSK", "2FSK", "chirp"}
            assert len(said["segments"]) >= 8
    # `smoke` knows no 8PSK.
    assert "new outputs: 8PSK, 2FSK, chirp" in printed
