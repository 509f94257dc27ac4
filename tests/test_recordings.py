"""Every format of recordings gives the samples that were written into it."""

import io
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile
from scipy.io import savemat

from pisces.core.modulations import MODULATIONS
from pisces.core.seeding import generator
from pisces.core.shards import Cell
from pisces.sources import rml2016
from pisces.sources.recordings import Annotation, Recording, describe, open_recordings
from pisces.sources.recordings.analytic import BAND, REACH
from pisces.sources.recordings.raw import ENDINGS

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared/data/recordings"
COUNT = 5_000
RATE_HZ = 48_000.0
SINGLE = 2.0**-24
"""Half a step of float32 at 1."""

rng = generator(1, "test recordings")
IQ = rng.uniform(-0.9, 0.9, COUNT) + 1j * rng.uniform(-0.9, 0.9, COUNT)


def pairs(iq: np.ndarray) -> np.ndarray:
    """Real (n, 2) of complex (n,)."""
    return np.stack([iq.real, iq.imag], axis=-1)


def stored(values: np.ndarray, code: str) -> np.ndarray:
    """Numbers within -1..1 as a type of NumPy's, integers as SigMF scales them."""
    dtype = np.dtype(code)
    if dtype.kind == "f":
        return values.astype(dtype)
    half = 2.0 ** (8 * dtype.itemsize - 1)
    middle = half if dtype.kind == "u" else 0.0
    return (np.round(values * half) + middle).astype(dtype)


def error_of(code: str) -> float:
    """The most that a component within -1..1 loses: half a step of its type, and of float32."""
    dtype = np.dtype(code)
    step = 2.0 ** (1 - 8 * dtype.itemsize) if dtype.kind in "iu" else 0.0
    return step / 2 + SINGLE


def only(path: Path | str, **options: object) -> Recording:
    """The one recording of a file."""
    (recording,) = open_recordings(path, **options)  # type: ignore[arg-type]
    return recording


def whole(recording: Recording) -> np.ndarray:
    return recording.read(0, recording.count)


def assert_holds(recording: Recording, iq: np.ndarray, error: float) -> None:
    """The samples are those of `iq`, whole, cut anywhere, and in chunks."""
    assert recording.count == len(iq)
    samples = whole(recording)
    assert samples.dtype == np.complex64
    assert np.abs(pairs(samples - iq)).max() <= error
    assert np.array_equal(recording.read(1_001, 77), samples[1_001:1_078])
    assert np.array_equal(recording.read(recording.count, 0), samples[:0])

    chunks = list(recording.chunks(1_500))
    assert [start for start, _ in chunks] == list(range(0, recording.count, 1_500))
    assert np.array_equal(np.concatenate([chunk for _, chunk in chunks]), samples)


@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize(
    ("word", "code"),
    [
        ("cf64", "f8"),
        ("cf32", "f4"),
        ("ci32", "i4"),
        ("cu32", "u4"),
        ("ci16", "i2"),
        ("cu16", "u2"),
        ("ci8", "i1"),
        ("cu8", "u1"),
    ],
)
def test_raw_samples_of_every_datatype(tmp_path, word, code, order):
    path = tmp_path / "capture.bin"
    in_order = ("<" if order == "le" else ">") + code
    stored(pairs(IQ), in_order).tofile(path)

    recording = only(path, datatype=f"{word}_{order}", sample_rate_hz=RATE_HZ)
    assert_holds(recording, IQ, error_of(code))
    assert recording.sample_rate_hz == RATE_HZ
    assert recording.name == "capture.bin"


def test_a_word_without_an_end_is_little_endian(tmp_path):
    path = tmp_path / "capture.bin"
    stored(pairs(IQ), "<i2").tofile(path)
    short, long = only(path, datatype="ci16"), only(path, datatype="CI16_LE")
    assert np.array_equal(whole(short), whole(long))


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_says_how_samples_are_stored(tmp_path, ending):
    path = tmp_path / f"capture{ending}"
    code = {"f": "f", "i": "i", "u": "u"}[ENDINGS[ending][1]] + str(int(ENDINGS[ending][2:]) // 8)
    stored(pairs(IQ), code).tofile(path)
    recording = only(path)
    assert_holds(recording, IQ, error_of(code))
    assert recording.sample_rate_hz is None


def test_a_datatype_goes_before_an_ending(tmp_path):
    path = tmp_path / "capture.cfile"
    stored(pairs(IQ), "i2").tofile(path)
    assert_holds(only(path, datatype="ci16"), IQ, error_of("i2"))


@pytest.mark.parametrize(
    ("kind", "subtype", "error"),
    [
        ("WAV", "PCM_16", error_of("i2")),
        ("WAV", "PCM_U8", error_of("u1")),
        ("WAV", "PCM_24", 2.0**-24 + SINGLE),
        ("WAV", "FLOAT", SINGLE),
        ("WAV", "DOUBLE", SINGLE),
        ("RF64", "PCM_16", error_of("i2")),
        ("FLAC", "PCM_16", error_of("i2")),
        ("AIFF", "PCM_16", error_of("i2")),
    ],
)
def test_stereo_audio_is_i_and_q(tmp_path, kind, subtype, error):
    path = tmp_path / f"capture.{kind.lower()}"
    # It scales floats by 2^(b-1) - 1 and not by 2^(b-1): a step more at most.
    soundfile.write(path, pairs(IQ), int(RATE_HZ), subtype, format=kind)
    recording = only(path)
    assert_holds(recording, IQ, 3 * error)
    assert recording.sample_rate_hz == RATE_HZ


def test_ogg_keeps_what_its_compression_keeps(tmp_path):
    time = np.arange(48_000)
    tone = 0.5 * np.exp(2j * np.pi * 0.05 * time)
    soundfile.write(tmp_path / "tone.ogg", pairs(tone), int(RATE_HZ), format="OGG")
    recording = only(tmp_path / "tone.ogg")
    assert recording.count == len(tone)
    found = recording.read(20_000, 8_000)
    kept = np.vdot(tone[20_000:28_000], found) / np.vdot(tone[:8_000], tone[:8_000])
    assert abs(kept - 1) < 0.05


def test_four_channels_are_two_recordings(tmp_path):
    both = np.concatenate([pairs(IQ), pairs(IQ.conj())], axis=1)
    soundfile.write(tmp_path / "two.wav", both, int(RATE_HZ), "FLOAT")
    first, second = open_recordings(tmp_path / "two.wav")
    assert [first.name, second.name] == ["two.wav[channel 0]", "two.wav[channel 1]"]
    assert_holds(first, IQ, SINGLE)
    assert_holds(second, IQ.conj(), SINGLE)


def real_file(folder: Path, samples: np.ndarray, name: str) -> Recording:
    """A file of real samples, of the kind that its ending says."""
    path = folder / name
    if path.suffix == ".wav":
        soundfile.write(path, samples, int(RATE_HZ), "FLOAT")
    elif path.suffix == ".npy":
        np.save(path, samples.astype(np.float32))
    elif path.suffix == ".mat":
        savemat(path, {"x": samples.astype(np.float32)})
    else:
        samples.astype(np.float32).tofile(path)
    return only(path, datatype="rf32")


@pytest.mark.parametrize("name", ["mono.wav", "real.npy", "real.mat", "real.bin"])
@pytest.mark.parametrize("frequency", [BAND[0], 0.11, 0.25, 0.4, BAND[1]])
def test_a_real_tone_becomes_analytic(tmp_path, name, frequency):
    """Its image at -f is 60 dB down, and its real part is what the file holds."""
    period = 2_000  # of which `frequency` holds a whole number of turns
    time = np.arange(40_000)
    tone = np.cos(2 * np.pi * frequency * time).astype(np.float32)
    recording = real_file(tmp_path, tone, name)
    assert recording.count == len(tone)
    assert np.array_equal(whole(recording).real, tone)

    inside = slice(10 * period, 12 * period)
    found = recording.read(inside.start, 2 * period)
    turning = np.exp(-2j * np.pi * frequency * time[inside])
    signal, image = np.mean(found * turning), np.mean(found * turning.conj())
    assert abs(signal - 1) < 1e-3
    assert abs(image) < 1e-3  # -60 dB


def test_a_real_sample_is_the_same_bytes_wherever_a_piece_is_cut(tmp_path):
    recording = real_file(tmp_path, IQ.real.repeat(9), "mono.wav")
    samples = whole(recording)
    for start, count in ((0, 1), (15_361, 3), (15_300, 200), (20_001, 16_385), (44_999, 1)):
        assert recording.read(start, count).tobytes() == samples[start : start + count].tobytes()
    assert b"".join(chunk.tobytes() for _, chunk in recording.chunks(777)) == samples.tobytes()


def test_an_impulse_reaches_no_further_than_the_filter(tmp_path):
    impulse = np.zeros(4_000, np.float32)
    impulse[2_000] = 1
    samples = whole(real_file(tmp_path, impulse, "mono.wav"))
    lit = np.flatnonzero(np.abs(samples) > 1e-6)
    assert lit[0] >= 2_000 - REACH
    assert lit[-1] <= 2_000 + REACH
    # Symmetric about it: no delay. The ideal transform is 2 / (pi n) for odd n.
    assert samples[2_001].imag == pytest.approx(2 / np.pi, rel=1e-3)
    assert samples[1_999].imag == pytest.approx(-2 / np.pi, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda iq: iq, SINGLE),
        (lambda iq: iq.astype(np.complex64), SINGLE),
        (lambda iq: iq.astype(">c8"), SINGLE),
        (pairs, SINGLE),
        (lambda iq: np.asfortranarray(pairs(iq)), SINGLE),
        (lambda iq: stored(pairs(iq), "i2"), error_of("i2")),
        (lambda iq: stored(pairs(iq), "u1"), error_of("u1")),
    ],
)
def test_arrays_of_numpy(tmp_path, make: Callable[[np.ndarray], np.ndarray], error):
    np.save(tmp_path / "capture.npy", make(IQ))
    recording = only(tmp_path / "capture.npy")
    assert_holds(recording, IQ, error)
    assert recording.frame_length is None


@pytest.mark.parametrize("make", [lambda iq: iq, pairs])
def test_an_array_of_frames(tmp_path, make):
    np.save(tmp_path / "frames.npy", make(IQ.reshape(50, 100)))
    recording = only(tmp_path / "frames.npy")
    assert_holds(recording, IQ, SINGLE)
    assert recording.frame_length == 100


def test_json_beside_an_array_says_its_rates(tmp_path):
    np.save(tmp_path / "points.npy", IQ)
    beside = {"samples_per_symbol": 4, "sample_rate": 2e6, "else": [1]}
    (tmp_path / "points.json").write_text(json.dumps(beside))
    recording = only(tmp_path / "points.npy")
    assert (recording.samples_per_symbol, recording.sample_rate_hz) == (4, 2e6)
    assert only(tmp_path / "points.npy", sample_rate_hz=5e6).sample_rate_hz == 5e6


@pytest.mark.parametrize("layout", ["row", "column", "pairs", "pairs in rows"])
def test_mat_of_version_5(tmp_path, layout):
    both = pairs(IQ)
    layouts = {"row": IQ, "column": IQ[:, None], "pairs": both, "pairs in rows": both.T}
    others = {"note": "by hand", "cell": np.array([{}, 1], object)}
    content = {"x": layouts[layout], "Fs": RATE_HZ, **others}
    savemat(tmp_path / "capture.mat", content, do_compression=True)
    recording = only(tmp_path / "capture.mat")
    assert_holds(recording, IQ, SINGLE)
    assert recording.sample_rate_hz == RATE_HZ


def mat_as_matlab_packs_it(order: str, real: np.ndarray, imaginary: np.ndarray) -> bytes:
    """A complex vector of doubles, whose whole numbers MATLAB stores as bytes."""
    number = "<" if order == "IM" else ">"

    def element(kind: int, content: bytes) -> bytes:
        padded = content.ljust(-(-len(content) // 8) * 8, b"\0")
        return struct.pack(f"{number}II", kind, len(content)) + padded

    parts = [
        element(6, struct.pack(f"{number}II", 0x0800 | 6, 0)),
        element(5, struct.pack(f"{number}ii", len(real), 1)),
        # A name of four letters at most stands in its own tag.
        struct.pack(f"{number}I", 1 << 16 | 1) + b"x\0\0\0",
        element(1, real.astype("i1").tobytes()),
        element(3, imaginary.astype(f"{number}i2").tobytes()),
    ]
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{number}H", 0x0100) + order.encode()
    return header + element(14, b"".join(parts))


@pytest.mark.parametrize("order", ["IM", "MI"])
def test_mat_whose_numbers_are_stored_as_shorter_ones(tmp_path, order):
    real, imaginary = np.arange(-50, 51), 300 * np.arange(101)
    (tmp_path / "a.mat").write_bytes(mat_as_matlab_packs_it(order, real, imaginary))
    assert np.array_equal(whole(only(tmp_path / "a.mat")), real + 1j * imaginary)


@pytest.mark.parametrize("layout", ["row", "column", "pairs"])
def test_mat_of_version_7_3(tmp_path, layout):
    path = tmp_path / "capture.mat"
    compound = np.empty(COUNT, [("real", "f8"), ("imag", "f8")])
    compound["real"], compound["imag"] = IQ.real, IQ.imag
    content = {"row": compound[:, None], "column": compound[None], "pairs": pairs(IQ).T}[layout]
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = content  # HDF5 has the dimensions of MATLAB the other way round
        file["x"].attrs["MATLAB_class"] = np.bytes_("double")
        file["fs"] = [[RATE_HZ]]
        file["note"] = np.array([[98, 121]], np.uint16)
        file["note"].attrs["MATLAB_class"] = np.bytes_("char")
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64")
    recording = only(path)
    assert_holds(recording, IQ, SINGLE)
    assert recording.sample_rate_hz == RATE_HZ


def test_frames_of_rml2018(tmp_path):
    frames = pairs(IQ[:4_096]).reshape(64, 64, 2).astype(np.float32)
    with h5py.File(tmp_path / "frames.hdf5", "w") as file:
        file["X"] = frames
        file["Y"] = np.eye(len(MODULATIONS), dtype=np.int64)[np.arange(64) % 24]
        file["Z"] = np.zeros((64, 1), np.int64)
    recording = only(tmp_path / "frames.hdf5")
    assert_holds(recording, IQ[:4_096], SINGLE)
    assert recording.frame_length == 64


def test_frames_of_rml2016_are_labelled(tmp_path):
    frames = pairs(IQ[:4_096]).reshape(64, 64, 2).transpose(0, 2, 1).astype(np.float32)
    cells = {Cell("8PSK", 0): frames[:20], Cell("BPSK", 4): frames[20:]}
    rml2016.write(tmp_path / "frames.pkl", cells)
    recording = only(tmp_path / "frames.pkl")
    assert_holds(recording, IQ[:4_096], SINGLE)
    assert recording.frame_length == 64
    labels = [(one.start, one.count, one.label) for one in recording.annotations]
    assert labels == [(0, 1_280, "8PSK"), (1_280, 2_816, "BPSK")]


def piped(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Lets `content` come by the standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_raw_samples_from_the_standard_input(monkeypatch):
    piped(monkeypatch, stored(pairs(IQ), "i2").tobytes())
    recording = only("-", datatype="ci16", sample_rate_hz=RATE_HZ)
    assert_holds(recording, IQ, error_of("i2"))
    assert (recording.name, recording.path) == ("stdin", Path("-"))


def test_frames_from_the_standard_input(monkeypatch):
    array = io.BytesIO()
    np.save(array, pairs(IQ).reshape(50, 100, 2))
    piped(monkeypatch, array.getvalue())
    recording = only("-")
    assert_holds(recording, IQ, SINGLE)
    assert recording.frame_length == 100


def test_the_copy_of_the_standard_input_goes_with_its_recording(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    piped(monkeypatch, stored(pairs(IQ), "f4").tobytes())
    recording = only("-", datatype="cf32")
    assert len(list(tmp_path.iterdir())) == 1
    del recording
    assert list(tmp_path.iterdir()) == []


def test_a_recording_in_one_line(tmp_path):
    np.save(tmp_path / "a.npy", IQ)
    line = describe(only(tmp_path / "a.npy", sample_rate_hz=2e6))
    assert line == "a.npy: 5,000 samples, 0.0025 s at 2,000,000 samples/s"
    assert "unknown" in describe(only(tmp_path / "a.npy"))


def test_one_of_a_kind_is_no_plural(tmp_path):
    np.save(tmp_path / "a.npy", IQ[:1])
    one = only(tmp_path / "a.npy")
    notes = (Annotation(0, 1, None, None, None, None),) * 2
    assert describe(replace(one, annotations=notes[:1])).startswith("a.npy: 1 sample, ")
    assert describe(replace(one, annotations=notes[:1])).endswith(", 1 annotation")
    assert describe(replace(one, annotations=notes)).endswith(", 2 annotations")


HUGE = 100 * 10**9
MEASURE = """
import re, sys
from pathlib import Path
from pisces.sources.recordings import open_recordings
for path in sys.argv[1:]:
    (recording,) = open_recordings(path, datatype="ci16")
    samples = recording.read(recording.count // 2, 10**6)
    assert len(samples) == 10**6
    status = Path("/proc/self/status").read_text()
    print(recording.count, re.search(r"VmHWM:\\s*(\\d+) kB", status)[1])
"""
"""The peak of the memory, which `resource` counts from before the process was its own."""


def rf64_header(data_bytes: int) -> bytes:
    """The header of a mono file of 16 bits that is longer than 4 GB."""
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, data_bytes + 72, data_bytes, data_bytes // 2, 0)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 48_000, 96_000, 2, 16)
    data = struct.pack("<4sI", b"data", 0xFFFFFFFF)
    return b"RF64" + struct.pack("<I", 0xFFFFFFFF) + b"WAVE" + ds64 + fmt + data


def npy_header(shape: tuple[int, ...]) -> bytes:
    """The beginning of an array of int16."""
    header = io.BytesIO()
    described = {"descr": "<i2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_2_0(header, described)
    return header.getvalue()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has /proc")
def test_a_piece_of_100_gb_takes_the_memory_of_a_piece(tmp_path):
    headers = {
        "raw.bin": b"",
        "mono.wav": rf64_header(HUGE),
        "pairs.npy": npy_header((HUGE // 4, 2)),
        "frames.npy": npy_header((5, HUGE // 20, 2)),
    }
    for name, header in headers.items():
        (tmp_path / name).write_bytes(header)
        os.truncate(tmp_path / name, len(header) + HUGE)  # a hole: it takes no room on the disk

    command = [sys.executable, "-c", MEASURE, *(str(tmp_path / name) for name in headers)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    lines = [line.split() for line in said.splitlines()]
    assert [int(count) for count, _ in lines] == [HUGE // 4, HUGE // 2, HUGE // 4, HUGE // 4]
    assert max(int(peak_kb) for _, peak_kb in lines) < 200_000


def test_every_real_recording_is_read():
    if not SHARED.exists():
        pytest.skip("the recordings are not there")
    for entry in json.loads((SHARED / "recordings.json").read_text()):
        recording = only(SHARED / entry["file"])
        read = sum(len(samples) for _, samples in recording.chunks(200_000))
        assert read == recording.count == entry["samples"], entry["file"]
        assert recording.sample_rate_hz == entry.get("sample_rate_hz"), entry["file"]
        assert recording.name == entry["file"]

        metadata = (SHARED / entry["file"]).with_suffix(".sigmf-meta")
        if metadata.exists():
            described = only(metadata)
            assert described.name == entry["file"]
            active = [[one.start, one.count] for one in described.annotations]
            assert active[0] == entry["active"][0] or entry["kind"] == "iq"
            piece = recording.read(1_000, 5_000)
            assert np.array_equal(described.read(1_000, 5_000), piece)
